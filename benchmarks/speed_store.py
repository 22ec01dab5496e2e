"""A store of made-up users for `benchmarks.speed`: their memories, evidence and vectors, in bulk.

Rows lie in the tables as extraction leaves them: a session's memories together, the sessions of
many users taking turns. Row-level security does not bind the owner who fills them.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

TENANT = "benchmark"
SHARING = "sharing"  # the tenant with a collective tier
EMBEDDER = "precomputed"
DIMENSIONS = 384
VOCABULARY = 20_000
WORDS = 28  # mean words of a memory, every other one a stop word
QUESTION_WORDS = 12
SESSION = 40  # memories of one session
STOP_WORDS = ("the", "and", "of", "to", "a", "in", "is", "that", "was", "for", "it", "with")
BATCH = 20_000

STAGE = """
CREATE UNLOGGED TABLE benchmark_stage (
    user_id text, memory_id bigint, session_id text, ordinal int, text text)
"""

FILL = """
INSERT INTO users (tenant_id, user_id, position, change_seq, extracted)
SELECT %(tenant)s, user_id, count(*), count(*), count(*) FROM benchmark_stage GROUP BY user_id;
INSERT INTO memories (tenant_id, user_id, memory_id, generation, belief_key, kind, text,
    single_valued, session_id, ordinal, ordinal_to, confidence, importance, support, tokens,
    payload, lexemes, occurred_at, valid_from, believed_from, extractor, extractor_version)
SELECT %(tenant)s, user_id, memory_id, 1, decode(md5(user_id || memory_id), 'hex'), 'episode', text,
    false, session_id, ordinal, ordinal, 1, 0.5, 1, length(text) / 4,
    jsonb_build_object('turns', jsonb_build_array(jsonb_build_array('Ana', false, 0,
        length(text)))),
    to_tsvector('english', text), at, at, at, 'episodes', '1'
FROM (SELECT *, timestamptz '2026-01-01Z' + memory_id * interval '10 minutes' AS at
      FROM benchmark_stage) s;
INSERT INTO evidence (tenant_id, user_id, memory_id, interaction_id, start_offset, end_offset,
    quote, stance, occurred_at, recorded_at)
SELECT %(tenant)s, user_id, memory_id, user_id || '-' || memory_id, 0, length(text), text,
    'supports', timestamptz '2026-01-01Z', timestamptz '2026-01-01Z'
FROM benchmark_stage;
"""

FILL_COLLECTIVE = """
INSERT INTO collective_memories (tenant_id, memory_id, generation, belief_key, kind, text,
    attribute, value, confidence, support, tokens, lexemes, valid_from, believed_from, extractor,
    extractor_version)
SELECT %(tenant)s, memory_id, 1, decode(md5(memory_id::text), 'hex'), 'preference', text,
    'prefers', memory_id::text, 1, 5, length(text) / 4, to_tsvector('english', text),
    timestamptz '2026-01-01Z', timestamptz '2026-01-01Z', 'behaviour', '1'
FROM benchmark_stage
"""


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Rows scaled to length one."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


class RandomEmbedder:
    """Random unit vectors, so that embedding takes no time worth speaking of."""

    name = EMBEDDER
    dimensions = DIMENSIONS

    def __init__(self) -> None:
        self._random = np.random.default_rng(5)

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One random unit vector a text."""
        return unit(self._random.normal(size=(len(texts), DIMENSIONS)))

    async def aclose(self) -> None:
        """Holds nothing."""


class Words:
    """Made-up text: stop words and words drawn by the law of Zipf and Mandelbrot in turn.

    The most frequent word is in about every third memory, and a question of QUESTION_WORDS shares
    a word with about every fourth, as questions of LoCoMo do.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        weights = np.cumsum(1.0 / (np.arange(VOCABULARY) + 4.0))
        self._cumulated = weights / weights[-1]

    def texts(self, count: int) -> Iterator[str]:
        """As many memories' texts."""
        pairs = np.maximum(2, self._random.normal(WORDS / 2, WORDS / 6, count).astype(int))
        ranks = self._ranks(int(pairs.sum()))
        for end, size in zip(np.cumsum(pairs), pairs, strict=True):
            yield self._joined(ranks[end - size : end])

    def question(self) -> str:
        """A question of QUESTION_WORDS words."""
        return self._joined(self._ranks(QUESTION_WORDS // 2))

    def _ranks(self, count: int) -> NDArray[np.int64]:
        return np.searchsorted(self._cumulated, self._random.random(count))

    def _joined(self, ranks: Iterable[Any]) -> str:
        return " ".join(f"{STOP_WORDS[rank % len(STOP_WORDS)]} w{rank}" for rank in ranks)


def interleaved(users: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """User and memory id, session by session in turn, as their rows come into the tables."""
    for start in range(0, max(users.values()), SESSION):
        for user, memories in users.items():
            for n in range(start, min(start + SESSION, memories)):
                yield user, n + 1


def grow(url: str, users: Mapping[str, int], seed: int, tenant: str = TENANT) -> None:
    """Adds users with so many memories each; as the owner, in bulk, without foreign key checks."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path = memory, public")
        connection.execute("SET session_replication_role = replica")
        connection.execute(STAGE)
        words = Words(seed).texts(sum(users.values()))
        with connection.cursor() as cursor, cursor.copy("COPY benchmark_stage FROM STDIN") as copy:
            for (user, n), text in zip(interleaved(users), words, strict=True):
                session = (n - 1) // SESSION
                copy.write_row((user, n, f"s{session}", (n - 1) % SESSION + 1, text))
        for part in FILL.split(";\n"):
            if part.strip():
                connection.execute(part, {"tenant": tenant})
        connection.execute("DROP TABLE benchmark_stage")
        _copy_vectors(connection, tenant, interleaved(users), seed)
        _seal(connection, tenant, users)
        for table in ("users", "memories", "evidence", "embeddings", "recall_blocks"):
            connection.execute(f"VACUUM ANALYZE {table}")


def _seal(connection: psycopg.Connection[Any], tenant: str, users: Iterable[str]) -> None:
    """Makes the blocks that extraction would have made."""
    for user in users:
        while connection.execute(
            "SELECT build_block(%s, %s, 1::smallint)", (tenant, user)
        ).fetchone() == (True,):
            pass


def grow_collective(url: str, memories: int, seed: int) -> None:
    """Gives the tenant SHARING a collective tier of so many memories."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path = memory, public")
        connection.execute("SET session_replication_role = replica")
        connection.execute(STAGE)
        with connection.cursor() as cursor, cursor.copy("COPY benchmark_stage FROM STDIN") as copy:
            for n, text in enumerate(Words(seed).texts(memories), 1):
                copy.write_row(("", n, "", 1, text))
        connection.execute(FILL_COLLECTIVE, {"tenant": SHARING})
        connection.execute("DROP TABLE benchmark_stage")
        places = (("", n + 1) for n in range(memories))
        _copy_vectors(connection, SHARING, places, seed, "collective_embeddings")
        connection.execute(
            "INSERT INTO tenants (tenant_id, change_seq) VALUES (%s, %s)", (SHARING, memories)
        )
        while connection.execute("SELECT build_collective_block(%s)", (SHARING,)).fetchone() == (
            True,
        ):
            pass
        for table in ("collective_memories", "collective_embeddings", "collective_blocks"):
            connection.execute(f"VACUUM ANALYZE {table}")


def _copy_vectors(
    connection: psycopg.Connection[Any],
    tenant: str,
    places: Iterable[tuple[str, int]],
    seed: int,
    table: str = "embeddings",
) -> None:
    """Random vectors, in pgvector's binary form of halfvec."""
    row = connection.execute("SELECT register_embedder(%s, %s)", (EMBEDDER, DIMENSIONS)).fetchone()
    assert row is not None
    head = struct.pack(">HH", DIMENSIONS, 0)
    owned = table == "embeddings"
    statement = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(sql.Identifier(table))
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        numbers = ["int2", "int8", "bytea"]
        copy.set_types(["text", "text", *numbers, "int2"] if owned else ["text", *numbers])
        for (user, memory), vector in zip(places, _halves(seed), strict=False):
            rest = (row[0], memory, head + vector)
            copy.write_row((tenant, user, *rest, 1) if owned else (tenant, *rest))


def _halves(seed: int) -> Iterator[bytes]:
    random = np.random.default_rng(seed)
    while True:
        vectors = random.standard_normal((BATCH, DIMENSIONS), dtype=np.float32)
        yield from (vector.tobytes() for vector in unit(vectors).astype(">f2"))
