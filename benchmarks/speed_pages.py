"""What recall's statements really do: the pages they read, and whether they find the nearest."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import psycopg
from anyio import to_thread
from psycopg import sql

from memory.database import Binding, DatabaseRole, queries
from memory.models import Scope
from memory.recall.ranking import POOL, Scores, pool
from memory.recall.search import Search
from memory.settings import Settings

NEAREST = """
SELECT memory_id FROM memories JOIN embeddings USING (tenant_id, user_id, memory_id)
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND embedder_id = %(embedder_id)s
ORDER BY vector <=> %(vector)s
LIMIT %(limit)s
"""

# BM25 from every posting of every memory, each lexeme counted once a memory.
MATCHING = """
WITH mine AS (
    SELECT memory_id, length(lexemes) AS words, tsvector_to_array(lexemes) AS held FROM memories
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s
), postings AS (
    SELECT memory_id, words, lexeme FROM mine CROSS JOIN unnest(held) AS lexeme
), asked AS (
    SELECT lexeme, count(*) AS holding FROM postings
    WHERE lexeme = ANY(tsvector_to_array(to_tsvector(%(language)s::regconfig, %(text)s)))
    GROUP BY lexeme
)
SELECT sum(ln(1 + (n - holding + 0.5) / (holding + 0.5))
    * 2.2 / (1 + 1.2 * (0.25 + 0.75 * words / mean))) AS bm25
FROM postings JOIN asked USING (lexeme)
CROSS JOIN (SELECT count(*) AS n, avg(words) AS mean FROM mine) c
GROUP BY memory_id
ORDER BY bm25 DESC
LIMIT %(limit)s
"""


async def exact_nearest(url: str, scope: Scope, search: Search, scored: Mapping[str, Any]) -> float:
    """Share of the POOL nearest by meaning, and of the POOL best BM25 scores, that are the same."""
    params = {**search.call[1], "tenant": scope.tenant, "user": scope.user, "limit": POOL}
    nearest, best = await to_thread.run_sync(_computed, url, params)
    scores = Scores.of(scored)
    found = set(scores.ids[np.argsort(-scores.dense)[:POOL]].tolist())
    bm25 = np.sort(scores.bm25)[::-1][: len(best)]
    same = float(np.mean(np.isclose(bm25, best, rtol=1e-5))) if best else 1.0
    return (len(found & set(nearest)) / len(nearest) + same) / 2


def _computed(url: str, params: Mapping[str, Any]) -> tuple[list[int], list[float]]:
    with psycopg.connect(url) as connection:
        connection.execute("SET search_path TO memory, public")
        connection.execute("SET enable_indexscan TO off")
        connection.execute("SET enable_bitmapscan TO off")
        vector = {**params, "vector": str(params["vector"].to_list())}
        nearest = [row[0] for row in connection.execute(NEAREST, vector)]
        return nearest, [float(row[0]) for row in connection.execute(MATCHING, vector)]


async def pages(
    url: str, scope: Scope, search: Search, scored: Mapping[str, Any]
) -> dict[str, int]:
    """Pages that the statements of one recall touch, whether cached or not.

    `read_in_full` says how many memories the second of them reads.
    """
    scores = Scores.of(scored)
    chosen = scores.ids[pool(scores, search.question).at].tolist()
    params = {
        **search.call[1],
        "tenant": scope.tenant,
        "user": scope.user,
        "names": False,
        "memories": chosen,
        "soon": None,
        "lexemes": list(scores.rarity),
    }
    found = await to_thread.run_sync(_pages, url, {**params, "vector": params["vector"].to_text()})
    return {**found, "read_in_full": len(chosen)}


def _pages(url: str, params: Mapping[str, Any]) -> dict[str, int]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path TO memory, public")
        scores = touched(connection, "recall.scores", params)
        details = touched(connection, "recall.details", params)
    return {"pages": scores + details, "scores_pages": scores, "details_pages": details}


def touched(connection: psycopg.Connection[Any], name: str, params: Mapping[str, Any]) -> int:
    """Pages that one named statement touches as the client, under the plan it really runs by."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    text = re.sub(r"%\((\w+)\)s", number, queries.statement(name))
    with connection.transaction():
        binding = Binding(Settings(), DatabaseRole.CLIENT)
        bind, keys = binding.bind(params["tenant"], params["user"], "scope.bind_read")
        connection.execute(queries.statement(bind), keys)
        connection.execute(f"PREPARE touched AS {text}")
        values = sql.SQL(", ").join(sql.Literal(params[n]) for n in names)
        explain = sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE touched({})")
        row = connection.execute(explain.format(values)).fetchone()
        connection.execute("DEALLOCATE touched")
    assert row is not None
    plan = row[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
