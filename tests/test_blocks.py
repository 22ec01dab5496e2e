"""Blocks of memories that recall reads at once: they say what the rows say, whatever happens."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from memory.database import Database
from memory.long_term import seal
from memory.models import Scope
from memory.ranking import Scores
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

        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        with psycopg.connect(url) as sealer, ThreadPoolExecutor(1) as pool:
            sealer.execute("SELECT memory.seal_block('northwind', 'ana', 1::smallint)")
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
