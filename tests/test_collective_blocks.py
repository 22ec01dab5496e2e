"""Blocks of collective memories say what the rows say, and go with what is withdrawn."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import psycopg
import pytest

from memory.beliefs.collective import Collective
from memory.client import MemoryClient
from memory.database import Database, DatabaseRole
from memory.models import MemoryKind, RecalledMemory, Scope
from memory.settings import Settings
from tests.compacting import TENANT, compactor, hold, named, set_policy, shared
from tests.conftest import WordEmbedder
from tests.ingesting import until

ANA = Scope(TENANT, "ana")

Told = list[tuple[object, ...]]


class Ask(Protocol):
    """What a question finds: ids, texts and scores; `ask(kinds=[MemoryKind.FACT])`."""

    def __call__(self, kinds: list[MemoryKind] | None = None) -> Told: ...


MEMORIES = 600  # two blocks and a rest
QUESTION = "walk w3 w42 'it''s \\odd"
FILL = """
INSERT INTO tenants (tenant_id, change_seq) VALUES ('northwind', 600), ('initech', 600);
INSERT INTO collective_memories (tenant_id, memory_id, generation, belief_key, kind, text,
    attribute, value, confidence, support, tokens, lexemes, valid_from, believed_from, extractor,
    extractor_version)
SELECT tenant_id, n, 1, ('k' || n)::bytea, CASE WHEN n % 5 = 0 THEN 'fact' ELSE 'preference' END,
    said, 'uses.w' || n, 'yes', 0.5, 5, 9, to_tsvector('english', said), now(), now(), 'test', '1'
FROM tenants, generate_series(1, 600) n,
    LATERAL (SELECT concat_ws(' ', 'walk w' || n % 10, 'it''s \\odd w' || n % 83) AS said) s;
"""
CHANGES = {
    "one is withdrawn": "DELETE FROM collective_memories WHERE memory_id = 43",
    "one is ended": "UPDATE collective_memories SET believed_to = now() WHERE memory_id = 300",
    "one is worded anew": "UPDATE collective_memories SET lexemes = 'w3:1' WHERE memory_id = 42",
    "many are withdrawn": "DELETE FROM collective_memories WHERE memory_id % 3 = 0",
    "one comes": "INSERT INTO collective_memories SELECT (jsonb_populate_record(m,"
    ' \'{"memory_id": 0, "belief_key": "new"}\')).* FROM collective_memories m'
    " WHERE tenant_id = 'northwind' AND memory_id = 42",
    "all are withdrawn": "DELETE FROM collective_memories",
}


@pytest.fixture
def filled(superuser: psycopg.Connection) -> psycopg.Connection:
    """As the owner, with collective memories of two tenants, none of them in a block."""
    for part in FILL.split(";\n"):
        superuser.execute(part.encode())
    row = superuser.execute("SELECT register_embedder('test', 8)").fetchone()
    assert row == (1,)
    drawn = np.random.default_rng(7).normal(size=(MEMORIES, 8))
    with superuser.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO collective_embeddings VALUES ('northwind', 1, %s, %s)",
            [(n, str(vector.tolist())) for n, vector in enumerate(drawn, 1)],
        )
    return superuser


def seal(connection: psycopg.Connection, tenant: str = TENANT) -> int:
    made = 0
    while connection.execute("SELECT build_collective_block(%s)", (tenant,)).fetchone() == (True,):
        made += 1
    return made


def blocks(connection: psycopg.Connection, tenant: str = TENANT) -> list[int]:
    rows = connection.execute(
        "SELECT block FROM collective_blocks WHERE tenant_id = %s ORDER BY block", (tenant,)
    )
    return [block for (block,) in rows]


def asked(database: Database, kinds: list[MemoryKind] | None) -> tuple[RecalledMemory, ...]:
    """What a question finds, more than ever is listed."""

    async def found() -> tuple[RecalledMemory, ...]:
        async with database:
            return await Collective(database, "english").candidates(
                ANA, np.arange(8, dtype=np.float32), 1, QUESTION, kinds=kinds, limit=MEMORIES
            )

    return asyncio.run(found())


def told(items: tuple[RecalledMemory, ...]) -> Told:
    return [(i.memory.id, i.memory.text, round(i.score, 5), round(i.signals["bm25"], 5),
             round(i.signals["dense"], 5)) for i in items]  # fmt: skip


@pytest.fixture
def ask(settings: Settings, url: str) -> Ask:
    return lambda kinds=None: told(asked(Database(settings, url, DatabaseRole.CLIENT), kinds))


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_is_found_as_it_is_now(
    filled: psycopg.Connection, ask: Ask, change: str
) -> None:
    by_row = ask()
    assert len(by_row) > 500
    assert [seal(filled), seal(filled)] == [2, 0]
    assert (blocks(filled), blocks(filled, "initech")) == ([0, 1], [])
    assert ask() == by_row
    filled.execute(CHANGES[change].encode())
    assert blocks(filled) != [0, 1]
    after = ask()
    assert after != by_row
    seal(filled)
    assert blocks(filled) == ([] if change == "all are withdrawn" else [0, 1])
    assert ask() == after
    filled.execute("DELETE FROM collective_blocks")
    assert ask() == after


def test_some_kinds_are_read_row_by_row(filled: psycopg.Connection, ask: Ask) -> None:
    facts = ask(kinds=[MemoryKind.FACT])
    seal(filled)
    assert ask(kinds=[MemoryKind.FACT]) == facts
    assert 0 < len(facts) < len(ask()) / 4


def test_another_count_leaves_blocks_as_they_are(filled: psycopg.Connection) -> None:
    seal(filled)
    filled.execute("UPDATE collective_memories SET support = 10, confidence = 0.9")
    assert blocks(filled) == [0, 1]


def test_more_words_than_a_block_holds_are_read_row_by_row(
    filled: psycopg.Connection, ask: Ask
) -> None:
    filled.execute(
        "UPDATE collective_memories SET lexemes = array_to_tsvector(ARRAY("
        "SELECT 'w' || memory_id % 10 || sha256((memory_id || '-' || n)::text::bytea)"
        " FROM generate_series(1, 100) n)) || 'walk' WHERE memory_id < 200"
    )
    by_row = ask()
    assert [seal(filled), seal(filled)] == [2, 0]
    assert ask() == by_row


def test_withdrawing_takes_the_block_along(
    client: MemoryClient, settings: Settings, embedder: WordEmbedder, superuser: psycopg.Connection
) -> None:
    """The app forgets a user: what stood on that user's support is in no block either."""
    set_policy(superuser, k=5)
    hold(client, named(5), attribute="uses.calendar", value="zyxomma")
    superuser.execute("UPDATE tenants SET change_seq = 250")
    run = compactor(settings, embedder)
    run("promote")
    superuser.execute("UPDATE tenants SET change_seq = 300")
    (report,) = run("promote")
    assert report.changed["blocks made"] == 1
    holds = "SELECT count(*) FROM collective_blocks WHERE postings::text LIKE '%zyxomma%'"
    assert superuser.execute(holds).fetchone() == (1,)
    assert run("verify")[0].found == 0
    client.forget(Scope(TENANT, "user-3"), user=True)
    assert shared(superuser) == []
    assert blocks(superuser) == []


class TestAtOnce:
    """A block and a change of its memories are never both committed unseen by each other."""

    change = "DELETE FROM memory.collective_memories WHERE memory_id = 9"

    def test_nothing_is_sealed_beside_a_change_under_way(
        self, filled: psycopg.Connection, url: str
    ) -> None:
        with psycopg.connect(url) as writer:
            writer.execute(self.change)
            assert seal(filled) == 0
            writer.commit()
        assert seal(filled) == 2
        assert filled.execute("SELECT sum(member_count) FROM collective_blocks").fetchone() == (
            510,
        )

    def test_a_change_waits_for_a_block_and_takes_it_away(
        self, filled: psycopg.Connection, url: str
    ) -> None:
        def withdraw() -> None:
            with psycopg.connect(url) as writer:
                writer.execute(self.change)

        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        with psycopg.connect(url) as sealer, ThreadPoolExecutor(1) as pool:
            sealer.execute("SELECT memory.build_collective_block('northwind')")
            withdrawn = pool.submit(withdraw)
            until(lambda: filled.execute(waiting).fetchone() == (1,), "the change waits")
            assert not withdrawn.done()
            sealer.commit()
            withdrawn.result()
        assert blocks(filled) == []
