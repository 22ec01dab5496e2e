"""The floor under `benchmarks.speed`: what somebody who knows the tables would write by hand.

The same tables, role, binding and security, in one round trip, and nothing else: no signals beyond
the cosine and BM25, no citations, no kinds or agents, no context of what is found.
"""

from collections.abc import Sequence
from typing import Any, LiteralString, Self

import psycopg
from numpy.typing import NDArray
from pgvector import HalfVector
from pgvector.psycopg import register_vector_async

from benchmarks.speed_store import TENANT

BIND = "SELECT set_config('memory.tenant_id', %s, true), set_config('memory.user_id', %s, true)"

DENSE = """
SELECT m.memory_id, m.text, m.kind, m.occurred_at, 1 - (e.vector <=> %(vector)s) AS score
FROM embeddings e JOIN memories m USING (tenant_id, user_id, memory_id)
WHERE e.tenant_id = %(tenant)s AND e.user_id = %(user)s AND e.embedder_id = %(embedder)s
    AND m.believed_to IS NULL
ORDER BY e.vector <=> %(vector)s
LIMIT 10
"""

# Cosine as a z-score plus BM25 with term frequencies, over one user's memories.
HYBRID = """
WITH terms AS MATERIALIZED (
    SELECT lexeme, quote_literal(lexeme)::tsquery AS query
    FROM unnest(tsvector_to_array(to_tsvector('english', %(text)s))) AS lexeme
), mine AS MATERIALIZED (
    SELECT m.memory_id, m.lexemes, length(m.lexemes) AS words,
        1 - (e.vector <=> %(vector)s) AS dense
    FROM memories m JOIN embeddings e USING (tenant_id, user_id, memory_id)
    WHERE m.tenant_id = %(tenant)s AND m.user_id = %(user)s AND e.embedder_id = %(embedder)s
        AND m.believed_to IS NULL
), postings AS MATERIALIZED (
    SELECT mine.memory_id, mine.words, u.lexeme, cardinality(u.positions) AS tf
    FROM mine, unnest(mine.lexemes) u
    WHERE mine.lexemes @@ (SELECT string_agg(query::text, ' | ')::tsquery FROM terms)
        AND u.lexeme IN (SELECT lexeme FROM terms)
), df AS (
    SELECT lexeme, count(*) AS df FROM postings GROUP BY lexeme
), corpus AS (
    SELECT count(*) AS n, avg(words) AS mean FROM mine
), bm25 AS (
    SELECT memory_id, sum(ln(1 + (n - df + 0.5) / (df + 0.5)) * tf * 2.2
        / (tf + 1.2 * (0.25 + 0.75 * words / mean))) AS bm25
    FROM postings JOIN df USING (lexeme) CROSS JOIN corpus GROUP BY memory_id
), fused AS (
    SELECT memory_id, (dense - avg(dense) OVER ()) / stddev_pop(dense) OVER ()
        + COALESCE(bm25, 0) AS score
    FROM mine LEFT JOIN bm25 USING (memory_id)
)
SELECT m.memory_id, m.text, m.kind, m.occurred_at, f.score
FROM (SELECT * FROM fused ORDER BY score DESC LIMIT 10) f
JOIN memories m ON m.tenant_id = %(tenant)s AND m.user_id = %(user)s AND m.memory_id = f.memory_id
ORDER BY f.score DESC
"""


def _collective() -> LiteralString:
    """The same statement over the tenant's collective tier."""
    own = "m.tenant_id = %(tenant)s AND m.user_id = %(user)s"
    statement: LiteralString = HYBRID.replace(own, "m.tenant_id = %(tenant)s")
    statement = statement.replace("memories m", "collective_memories m")
    statement = statement.replace("embeddings e", "collective_embeddings e")
    return statement.replace("tenant_id, user_id, memory_id", "tenant_id, memory_id").replace(
        "m.occurred_at", "m.valid_from"
    )


COLLECTIVE = _collective()


class Floor:
    """Connections set up by a careful hand: as the client, prepared, the vector type known."""

    def __init__(self, url: str, size: int = 1) -> None:
        self._url = url
        self._size = size
        self._idle: list[psycopg.AsyncConnection[Any]] = []

    async def __aenter__(self) -> Self:
        for _ in range(self._size):
            connection = await psycopg.AsyncConnection.connect(
                self._url, autocommit=True, prepare_threshold=1
            )
            await connection.execute("SET ROLE memory_client")
            await connection.execute("SET search_path TO memory, public")
            await register_vector_async(connection)
            self._idle.append(connection)
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._idle:
            await connection.close()

    async def ask(
        self,
        user: str,
        text: str,
        vector: NDArray[Any],
        statements: Sequence[LiteralString] = (HYBRID,),
        tenant: str = TENANT,
    ) -> list[list[Any]]:
        """The rows of each statement, in one round trip."""
        params = {"tenant": tenant, "user": user, "text": text, "embedder": 1}
        connection = self._idle.pop()
        try:
            async with connection.pipeline():
                await connection.execute(BIND, (tenant, user))
                cursors = [
                    await connection.execute(statement, {**params, "vector": HalfVector(vector)})
                    for statement in statements
                ]
            return [await cursor.fetchall() for cursor in cursors]
        finally:
            self._idle.append(connection)
