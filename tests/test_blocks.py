"""Blocks of memories that recall reads at once: they say what the rows say, whatever happens."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier, Event

import psycopg
import pytest
from psycopg.errors import UniqueViolation

from memory.beliefs.long_term import seal
from memory.client import AsyncMemoryClient, MemoryClient
from memory.database import Database, queries
from memory.models import MemoryKind, Scope
from memory.recall.ranking import Scores
from memory.settings import Settings
from tests.ingesting import until

ANA = Scope("northwind", "ana")
MEMORIES = 600  # two blocks and a rest
FILL = """
INSERT INTO users (tenant_id, user_id, position, change_seq)
SELECT 'northwind', unnest(ARRAY['ana', 'bob']), 600, 600;
INSERT INTO memories (tenant_id, user_id, memory_id, generation, belief_key, kind, text, attribute,
    single_valued, session_id, ordinal, ordinal_to, confidence, importance, support, tokens,
    payload, lexemes, occurred_at, valid_from, believed_from, extractor, extractor_version)
SELECT tenant_id, user_id, n, 1, substring(sha256(('k' || n)::bytea) FOR 16), 'episode', said,
    CASE WHEN n % 100 = 1 THEN 'instruction' END, false, 'session-' || n / 7, n % 7 + 1, n % 7 + 1,
    1, 0.5, 1, 9, '{}', to_tsvector('english', said), now(), now(), now(), 'test', '1'
FROM users, generate_series(1, 600) n,
    LATERAL (SELECT concat_ws(' ', 'walk w' || n % 10, 'it''s \\odd w' || n % 83) AS said) s;
"""
QUESTION = {
    "text": "walk w3 w42 'it''s \\odd", "language": "english", "vector": "[1]", "embedder_id": 1,
    "agent": None, "only_agent": False, "kinds": None, "names": False, "generation": None,
}  # fmt: skip
CHANGES = {
    "a belief is closed": "UPDATE memories SET believed_to = now() WHERE memory_id = 43",
    "one is archived": "UPDATE memories SET archived_at = now() WHERE memory_id = 300",
    "one is forgotten": "DELETE FROM memories WHERE memory_id = 43",
    "it says something else": "UPDATE memories SET lexemes = 'w3:1' WHERE memory_id = 42",
    "it stands elsewhere": "UPDATE memories SET ordinal = 40, ordinal_to = 41 WHERE memory_id = 42",
    "it moves": "CREATE TEMPORARY TABLE moved AS SELECT * FROM memories WHERE memory_id = 42;"
    " DELETE FROM memories WHERE memory_id = 42; INSERT INTO memories SELECT * FROM moved",
    "many are archived": "UPDATE memories SET archived_at = now() WHERE memory_id % 3 = 0",
    "all are forgotten": "DELETE FROM memories",
}


@pytest.fixture
def filled(superuser: psycopg.Connection) -> psycopg.Connection:
    """As the owner, with memories of two users, none of them in a block."""
    for part in FILL.split(";\n"):
        superuser.execute(part.encode())
    return superuser


def blocks(connection: psycopg.Connection, user: str = "ana") -> list[int]:
    rows = connection.execute(
        "SELECT block FROM recall_blocks WHERE user_id = %s AND members IS NOT NULL"
        " ORDER BY block", (user,),
    )  # fmt: skip
    return [block for (block,) in rows]


async def same(database: Database, **asked: object) -> Scores:
    """What is read from blocks, held against what is read row by row."""
    sealed, by_row = [
        Scores.of(
            (await database.fetch(ANA, "recall.scores", {**QUESTION, **asked, "by_row": by_row}))[0]
        )
        for by_row in (False, True)
    ]
    for name in ("ids", "bm25", "places", "ordinal_tos"):
        assert getattr(sealed, name).tolist() == getattr(by_row, name).tolist(), name
    assert sorted(sealed.instructions) == sorted(by_row.instructions)
    assert (sealed.rarity, sealed.mean_words) == (by_row.rarity, by_row.mean_words)
    return sealed


async def test_whole_ranges_of_a_user_are_sealed_once(
    filled: psycopg.Connection, database: Database
) -> None:
    async with database:
        assert [await seal(database, ANA), await seal(database, ANA)] == [2, 0]
        assert (blocks(filled), blocks(filled, "bob")) == ([0, 1], [])
        scores = await same(database)
        assert len(scores.ids) == MEMORIES
        assert set(scores.rarity) == {"walk", "w3", "w42", "odd"}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_changes_is_read_as_it_is_now(
    filled: psycopg.Connection, database: Database, change: str
) -> None:
    async with database:
        await seal(database, ANA)
        before = await same(database)
        filled.execute(CHANGES[change].encode())
        assert blocks(filled) != [0, 1]
        after = await same(database)
        moved = change == "it moves"
        assert moved == (before.bm25.tolist() == after.bm25.tolist()
                         and before.places.tolist() == after.places.tolist())  # fmt: skip
        await seal(database, ANA)
        assert blocks(filled) == ([] if change == "all are forgotten" else [0, 1])
        assert (await same(database)).bm25.tolist() == after.bm25.tolist()


async def test_more_support_leaves_blocks_as_they_are(
    filled: psycopg.Connection, database: Database
) -> None:
    async with database:
        await seal(database, ANA)
        filled.execute("UPDATE memories SET support = 2, confidence = 0.9, importance = 0.1")
        assert blocks(filled) == [0, 1]


async def test_the_past_is_read_row_by_row(
    filled: psycopg.Connection, async_client: AsyncMemoryClient, database: Database
) -> None:
    """A block that lies shows which questions believe it."""
    async with database:
        await seal(database, ANA)
    filled.execute("UPDATE recall_blocks SET members = '', postings = ''")
    now = datetime.now(UTC)
    for past, found in (
        ({}, False),
        ({"as_of": now}, True),
        ({"believed_at": now}, True),
        ({"kinds": [MemoryKind.EPISODE]}, True),
    ):
        recall = await async_client.recall(ANA, "walk w42", k=3, **past)
        assert any(item.memory.id < 512 for item in recall.items) == found, past


async def test_odd_lexemes_keep_their_places(filled: psycopg.Connection) -> None:
    odd = ["it's", "back\\slash", "'", "\\", "a b", "c:1A", "d,2", "é"]
    row = filled.execute(
        "SELECT inverted_index(ARRAY[NULL, array_to_tsvector(%s)])", (odd,)
    ).fetchone()
    assert row is not None
    held = filled.execute("SELECT lexeme, positions FROM unnest(%s::tsvector)", row).fetchall()
    assert dict(held) == {lexeme: [2] for lexeme in odd}


async def test_what_serves_one_agent_is_read_row_by_row(
    filled: psycopg.Connection, database: Database
) -> None:
    async with database:
        filled.execute("UPDATE memories SET agent_id = 'scout' WHERE memory_id = 42")
        assert await seal(database, ANA) == 2
        assert blocks(filled) == [1]
        assert len((await same(database)).ids) == MEMORIES - 1
        assert len((await same(database, agent="scout")).ids) == MEMORIES
        assert len((await same(database, agent="another")).ids) == MEMORIES - 1


async def test_more_words_than_a_block_holds_are_read_row_by_row(
    filled: psycopg.Connection, database: Database
) -> None:
    async with database:
        filled.execute(
            "UPDATE memories SET lexemes = array_to_tsvector(ARRAY("
            "SELECT 'w' || memory_id % 10 || sha256((memory_id || '-' || n)::text::bytea)"
            " FROM generate_series(1, 100) n)) || 'walk' WHERE memory_id < 200"
        )
        await seal(database, ANA)
        assert blocks(filled) == [1]
        await same(database)


async def test_generations_have_blocks_of_their_own(
    filled: psycopg.Connection, database: Database
) -> None:
    async with database:
        await seal(database, ANA)
        filled.execute("INSERT INTO generations (name, state) VALUES ('next', 'shadow')")
        filled.execute(
            "INSERT INTO memories SELECT (jsonb_populate_record(m, jsonb_build_object("
            "'generation', 2, 'memory_id', m.memory_id + 600))).* FROM memories m"
        )
        filled.execute("UPDATE users SET change_seq = 1200")
        await seal(database, ANA)
        assert blocks(filled) == [0, 1, 2]
        assert await seal(database, ANA, 2) == 2
        assert len((await same(database)).ids) == MEMORIES
        assert len((await same(database, generation=2)).ids) == MEMORIES


class TestAtOnce:
    """A block and a change of its memories are never both committed unseen by each other."""

    async def test_nothing_is_sealed_beside_a_change_under_way(
        self, filled: psycopg.Connection, database: Database, url: str
    ) -> None:
        async with database:
            with psycopg.connect(url) as writer:
                writer.execute("UPDATE memory.memories SET believed_to = now() WHERE memory_id = 9")
                assert await seal(database, ANA) == 0
                writer.commit()
            assert await seal(database, ANA) == 2
            assert len((await same(database)).ids) == MEMORIES - 1

    async def test_a_change_waits_for_a_block_and_takes_it_away(
        self, filled: psycopg.Connection, database: Database, url: str
    ) -> None:
        def close() -> None:
            with psycopg.connect(url) as writer:
                writer.execute("UPDATE memory.memories SET believed_to = now() WHERE memory_id = 9")

        waiting = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        with psycopg.connect(url) as sealer, ThreadPoolExecutor(1) as pool:
            sealer.execute("SELECT memory.build_block('northwind', 'ana', 1::smallint)")
            closed = pool.submit(close)
            until(
                lambda: filled.execute(waiting).fetchone() == (1,), "the change waits for the block"
            )
            assert not closed.done()
            sealer.commit()
            closed.result()
        assert blocks(filled) == []
        async with database:
            await seal(database, ANA)
            assert len((await same(database)).ids) == MEMORIES - 1


ONE = "tenant_id = 'northwind' AND user_id = 'ana' AND memory_id = %(id)s"
INSERTED = (
    "INSERT INTO memories SELECT (jsonb_populate_record(m, jsonb_build_object('memory_id',"
    " %(id)s::bigint))).* FROM memories m WHERE user_id = 'bob' AND memory_id = %(id)s"
)
"""Bob's memories are never changed: what comes is a copy of his."""

MOVES = [
    INSERTED.replace("%(id)s::bigint", "%(id)s::bigint, 'user_id', 'ana'"),
    f"UPDATE memories SET believed_to = now() WHERE {ONE}",
    f"UPDATE memories SET believed_to = NULL, archived_at = NULL WHERE {ONE}",
    f"UPDATE memories SET archived_at = now() WHERE {ONE}",
    f"UPDATE memories SET lexemes = to_tsvector('english', 'walk w' || %(id)s %% 7) WHERE {ONE}",
    f"UPDATE memories SET agent_id = CASE WHEN agent_id IS NULL THEN 'scout' END WHERE {ONE}",
    f"UPDATE memories SET ordinal = ordinal + 1, ordinal_to = ordinal_to + 1 WHERE {ONE}",
    f"UPDATE memories SET support = support + 1 WHERE {ONE}",
    f"DELETE FROM memories WHERE {ONE}",
    f"DELETE FROM memories WHERE {ONE}",
]
WRITERS, TRANSACTIONS = 3, 60


def change(url: str, seed: int, start: Barrier) -> None:
    """Transactions of one to three changes each; every fourth is taken back."""
    drawn = random.Random(seed)
    with psycopg.connect(url) as writer:
        writer.execute("SET search_path = memory, public")
        writer.commit()
        start.wait()
        for _ in range(TRANSACTIONS):
            # In the order of their ids, so that no two writers wait for each other.
            for memory in sorted(drawn.sample(range(1, 520), drawn.randint(1, 3))):
                try:
                    with writer.transaction():
                        writer.execute(drawn.choice(MOVES).encode(), {"id": memory})
                except UniqueViolation:  # it is there already
                    pass
            if drawn.random() < 0.25:
                writer.rollback()
            else:
                writer.commit()


def seal_and_check(url: str, start: Barrier, done: Event) -> tuple[int, list[tuple[object, ...]]]:
    """Seals for as long as others write; how many blocks it made, and those ever seen wrong."""
    made, wrong = 0, []
    users = {"tenant": "northwind", "users": ["ana"]}
    with psycopg.connect(url, autocommit=True) as sealer:
        sealer.execute("SET search_path = memory, public")
        start.wait()
        while not done.is_set():
            row = sealer.execute("SELECT build_block('northwind', 'ana', 1::smallint)").fetchone()
            made += row == (True,)
            wrong += sealer.execute(
                queries.statement("verification.wrong_blocks"), users
            ).fetchall()
    return made, wrong


@pytest.mark.parametrize("seed", [1, 2])
async def test_blocks_say_what_rows_say_at_every_moment(
    filled: psycopg.Connection, database: Database, url: str, seed: int
) -> None:
    """Writers, two who seal, and who reads sees blocks and rows agree in every snapshot."""
    start, done = Barrier(WRITERS + 2), Event()
    with ThreadPoolExecutor(WRITERS + 2) as pool:
        sealing = [pool.submit(seal_and_check, url, start, done) for _ in range(2)]
        try:
            writing = [pool.submit(change, url, 10 * seed + n, start) for n in range(WRITERS)]
            for writer in writing:
                writer.result()
        finally:
            done.set()
        sealed = [sealer.result() for sealer in sealing]
    assert sum(made for made, _ in sealed) > 2
    assert [wrong for _, wrong in sealed] == [[], []]
    async with database:
        await same(database)
        await seal(database, ANA)
        await same(database)
        await same(database, agent="scout")


@pytest.fixture
def repeatable(filled: psycopg.Connection) -> Iterator[None]:
    """A database whose transactions would see nothing that was committed after they began."""
    name = filled.info.dbname
    setting = f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'"
    filled.execute(setting.encode())
    yield
    filled.execute(f"ALTER DATABASE {name} RESET default_transaction_isolation".encode())


@pytest.mark.usefixtures("repeatable")
async def test_a_stricter_default_of_the_server_changes_nothing(
    filled: psycopg.Connection, database: Database
) -> None:
    async with database, database.transaction(ANA) as transaction:
        await transaction.fetch("long_term.changes", {"tenant": "northwind", "user": "ana"})
        filled.execute("UPDATE users SET change_seq = 700 WHERE user_id = 'ana'")
        keys = {"tenant": "northwind", "user": "ana"}
        (row,) = await transaction.fetch("long_term.changes", keys)
        assert row["change_seq"] == 700


def test_nothing_of_a_forgotten_user_is_left_in_a_block(
    filled: psycopg.Connection, settings: Settings, client: MemoryClient
) -> None:
    for user in ("ana", "bob"):
        filled.execute("SELECT build_block('northwind', %s, 1::smallint)", (user,))
        filled.execute("SELECT build_block('northwind', %s, 1::smallint)", (user,))
    assert (blocks(filled), blocks(filled, "bob")) == ([0, 1], [0, 1])
    client.forget(ANA, user=True)
    left = filled.execute("SELECT DISTINCT user_id FROM recall_blocks").fetchall()
    assert left == [("bob",)]
