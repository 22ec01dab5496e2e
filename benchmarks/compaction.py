"""How long each of the operators' jobs takes, how many rows it moves, and what `cluster` saves.

    python -m benchmarks.compaction [--memories 100000] [--users 1000]

Fills a fresh embedded store with users whose memories came in turn, one each, so that every user's
rows lie between everyone's; one session of each is idle, a fifth hold a duplicate, a third of the
facts are shared by many users, and the events of the last 900 days leave something to fade. Then
runs every job, and every job again, and prints JSON: seconds, what was changed, and rows a second;
pages of memories and vectors a user before and after `cluster`; shared buffers that recall's scan
of one user touches before and after. The embedder counts words: embedding is measured elsewhere.
"""

import argparse
import asyncio
import hashlib
import json
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import psycopg
from anyio import to_thread

from benchmarks.store import fresh_store
from consumers.compaction import JOBS, compact
from memory import embedded
from memory.embedding import Vectors
from memory.settings import Settings

TENANT = "benchmark"
DIMENSIONS = 384
SESSIONS = 10

FILL = """
INSERT INTO embedders (name, dimensions) VALUES ('words-384', 384);
INSERT INTO tenants (tenant_id, policy) VALUES ('benchmark', '{"retain_interactions_days": 3650}');

CREATE TEMP TABLE vectors AS
SELECT n, (SELECT array_agg(random() - 0.5) FROM generate_series(1, 384 + 0 * n))
    ::vector::halfvec AS v
FROM generate_series(0, 999) n;

CREATE TEMP TABLE rows AS
SELECT 'user-' || lpad(u::text, 6, '0') AS user_id, n, u, n / per_session AS session,
    n % per_session + 1 AS ordinal,
    timestamptz '2024-01-01' + make_interval(days => n * 900 / per_user, mins => u) AS at,
    format('On day %s I told them that tool %s is what I use for task %s of client %s.',
        n, (u * 7 + n) % 300, n % 17, (u * 31 + n * 13) % 5000) AS content
FROM generate_series(0, per_user - 1) n, generate_series(1, users) u
ORDER BY n, u;

INSERT INTO users (tenant_id, user_id, position, change_seq, recorded_at, extracted)
SELECT 'benchmark', user_id, per_user, per_user, now(), per_user FROM rows WHERE n = 0;

INSERT INTO sessions (tenant_id, user_id, session_id, length, started_at, last_at, expires_at,
    closed_at)
SELECT 'benchmark', user_id, 's' || session, count(*), min(at), max(at),
    now() + CASE WHEN session = 0 THEN interval '-1 day' ELSE interval '1 day' END, NULL
FROM rows GROUP BY user_id, session;

INSERT INTO interactions (tenant_id, user_id, session_id, ordinal, position, interaction_id,
    private, kind, role, content, payload, occurred_at, source, content_hash)
SELECT 'benchmark', user_id, 's' || session, ordinal, n + 1, user_id || '-' || n, false, 'message',
    'user', content, '{}', at, 'client', sha256(convert_to(user_id || n, 'UTF8'))
FROM rows;

INSERT INTO memories (tenant_id, user_id, memory_id, generation, belief_key, kind, text, attribute,
    value, single_valued, session_id, ordinal, ordinal_to, confidence, importance, support, tokens,
    payload, lexemes, occurred_at, valid_from, believed_from, extractor, extractor_version)
SELECT 'benchmark', user_id, n + 1, 1,
    CASE WHEN duplicate THEN sha256('allergic_to') ELSE sha256(convert_to('b' || n, 'UTF8')) END,
    CASE WHEN n % 3 = 0 THEN 'fact' ELSE 'episode' END, content,
    CASE WHEN duplicate THEN 'allergic_to'
         WHEN n % 3 = 0 THEN 'uses.tool_' || (u * 7 + n) % 300 END,
    CASE WHEN duplicate AND n = 0 THEN 'Nuts' WHEN duplicate THEN 'nuts'
         WHEN n % 3 = 0 THEN 'yes' END,
    false, 's' || session, ordinal, ordinal, 0.9, 0.5, 1, 25, '{}', to_tsvector('english', content),
    at, at, at, 'benchmark', '1'
FROM (SELECT *, u % 5 = 0 AND n IN (0, 3) AS duplicate FROM rows) r
ORDER BY n, u;

INSERT INTO evidence (tenant_id, user_id, memory_id, interaction_id, start_offset, end_offset,
    quote, stance, occurred_at, recorded_at)
SELECT 'benchmark', user_id, n + 1, user_id || '-' || n, 0, length(content), content, 'supports',
    at, at
FROM rows ORDER BY n, u;

INSERT INTO embeddings (tenant_id, user_id, embedder_id, generation, memory_id, vector)
SELECT 'benchmark', r.user_id, 1, 1, r.n + 1, v.v
FROM rows r JOIN vectors v ON v.n = (r.u * 37 + r.n) % 1000 ORDER BY r.n, r.u;
"""

SCAN = """
EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
SELECT count(e.vector <=> %s::halfvec), count(m.lexemes) FROM memories m
LEFT JOIN embeddings e USING (tenant_id, user_id, memory_id)
WHERE m.tenant_id = 'benchmark' AND m.user_id = %s AND m.generation = 1
    AND m.believed_to IS NULL AND m.archived_at IS NULL
"""


class WordEmbedder:
    """Counts words: costs next to nothing, so that what is measured is the job."""

    name = "words-384"
    dimensions = DIMENSIONS

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """A vector a text."""
        vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split() or [""]:
                digest = hashlib.sha256(word.encode()).digest()
                vectors[row, int.from_bytes(digest[:2], "big") % DIMENSIONS] += 1
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    async def aclose(self) -> None:
        """Nothing is held."""


def fill(url: str, memories: int, users: int) -> None:
    """Writes the store's rows, round after round over the users."""
    per_user = memories // users
    numbers = {
        "users)": f"{users})",
        "per_user": str(per_user),
        "per_session": str(-(-per_user // SESSIONS)),
    }
    script = FILL
    for name, number in numbers.items():
        script = script.replace(name, number)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path TO memory, public")
        connection.execute(script.encode())
        connection.execute("VACUUM ANALYZE")


def scanned(url: str, users: int) -> float:
    """Shared buffers that a scan of one user's memories and vectors touches; a median."""
    step = max(1, users // 20)
    vector = str([0.1] * DIMENSIONS)
    found = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path TO memory, public")
        for number in range(1, users + 1, step):
            row = connection.execute(SCAN.encode(), (vector, f"user-{number:06d}")).fetchone()
            plan = row[0][0]["Plan"] if row else {}
            found.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    return float(statistics.median(found))


def vacuumed(url: str) -> None:
    """What autovacuum does in its own time."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


async def measured(settings: Settings, job: str) -> dict[str, Any]:
    """One job's report, with rows a second."""
    began = time.perf_counter()
    (report,) = await compact(settings, [job], tenant=TENANT, embedder=WordEmbedder())
    seconds = time.perf_counter() - began
    return {
        "seconds": round(seconds, 2),
        "examined": report.examined,
        "changed": report.changed,
        **({"measured": report.measured} if report.measured else {}),
        **({"found": report.found} if report.found else {}),
    }


async def benchmark(memories: int, users: int) -> dict[str, Any]:
    """Everything this module measures."""
    result: dict[str, Any] = {"memories": memories, "users": users, "jobs": {}, "again": {}}
    async with fresh_store() as settings:
        url = await to_thread.run_sync(embedded.start, settings.data_dir)
        began = time.perf_counter()
        await to_thread.run_sync(fill, url, memories, users)
        result["fill_seconds"] = round(time.perf_counter() - began, 1)
        for job in JOBS:
            if job == "cluster":
                vacuumed(url)
                result["buffers_of_a_scan"] = {"before": scanned(url, users)}
            result["jobs"][job] = await measured(settings, job)
            if job == "cluster":
                vacuumed(url)
                result["buffers_of_a_scan"]["after"] = scanned(url, users)
        for job in JOBS:
            result["again"][job] = await measured(settings, job)
    total = sum(job["seconds"] for job in result["jobs"].values())
    result["seconds"] = round(total, 1)
    result["memories_a_second"] = round(memories / total)
    return result


def main() -> None:
    """Parses the command line and prints the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--memories", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=1_000)
    given = parser.parse_args()
    json.dump(asyncio.run(benchmark(given.memories, given.users)), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
