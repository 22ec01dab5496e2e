"""Erasure: what was forgotten is nowhere any more, and does not come back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from consumers.extraction import Worker
from extractors.protocol import Extractor, LogSlice
from memory.beliefs.erasure import Forgotten
from memory.client import AsyncMemoryClient, MemoryClient
from memory.database import Database, DatabaseRole
from memory.embedding import Embedder
from memory.errors import ForgottenId, InvalidInput, UnknownMemory
from memory.models import Candidate, Evidence, MemoryKind, Scope
from memory.settings import Settings
from tests.conftest import Extraction, Verbatim, interrupted

ANA = Scope("northwind", "ana", "scout", "s1")
TOM = Scope("northwind", "tom", "scout", "s1")
DAY_ZERO = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "zyxomma"  # noqa: S105 - a word that occurs nowhere else


def day(number: int) -> datetime:
    return DAY_ZERO + timedelta(days=number)


def traces(connection: psycopg.Connection, word: str = SECRET) -> set[str]:
    """Every column of every table that holds the word, in text, JSON, arrays or lexemes."""
    columns = connection.execute(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'memory'::regnamespace AND c.relkind = 'r'"
        " AND a.attnum > 0 AND NOT a.attisdropped"
    ).fetchall()
    found = set()
    for table, column in columns:
        # bytea is shown in hex by a cast, so what it holds as text is looked for as such.
        statement = sql.SQL(
            "SELECT EXISTS (SELECT FROM {table} t WHERE t.{column}::text ILIKE %(word)s"
            " OR t.{column}::text ILIKE %(hex)s)"
        ).format(table=sql.Identifier(table), column=sql.Identifier(column))
        parameters = {"word": f"%{word}%", "hex": f"%{word.encode().hex()}%"}
        row = connection.execute(statement, parameters).fetchone()
        if row and row[0]:
            found.add(f"{table}.{column}")
    return found


@pytest.fixture
def told(client: MemoryClient, worker: Extraction) -> MemoryClient:
    """A secret in everything that can be said, beside what shall stay."""
    client.record(ANA, "I live in Berlin.", id="open-1", occurred_at=day(1))
    client.record(
        ANA,
        f"I live in {SECRET}. I speak {SECRET}.",
        id=f"id-{SECRET}",
        payload={"note": SECRET},
        actor=SECRET,
        occurred_at=day(5),
    )
    client.record(ANA, "I speak German.", id="open-2", occurred_at=day(6))
    client.record(TOM, "I live in Oslo.", id="open-1", occurred_at=day(1))
    worker.drain()
    return client


def values(client: MemoryClient, scope: Scope = ANA) -> set[str | None]:
    return {m.value for m in client.history(scope, kinds=[MemoryKind.FACT], closed=True)}


def memory_of(client: MemoryClient, value: str, attribute: str = "lives_in") -> int:
    found = client.history(ANA, attribute=attribute)
    return next(m.id for m in found if m.value == value)


class TestNothingIsLeft:
    def test_the_search_finds_what_is_there(
        self, told: MemoryClient, superuser: psycopg.Connection
    ) -> None:
        assert {
            "interactions.content", "interactions.payload", "interactions.actor",
            "interactions.interaction_id", "memories.text", "memories.value", "memories.lexemes",
            "evidence.quote", "evidence.interaction_id", "assertions.candidate",
            "assertions.interaction_ids",
        } <= traces(superuser)  # fmt: skip

    def test_of_a_memory_with_its_sources(
        self, told: MemoryClient, worker: Extraction, superuser: psycopg.Connection
    ) -> None:
        forgotten = told.forget(ANA, memory=memory_of(told, SECRET))
        assert forgotten.interactions == 1
        assert traces(superuser) == set()
        assert values(told) == {"berlin", "german"}
        worker.drain()
        assert traces(superuser) == set()
        assert values(told) == {"berlin", "german"}

    def test_of_a_session(
        self, told: MemoryClient, worker: Extraction, superuser: psycopg.Connection
    ) -> None:
        told.state.set(ANA, SECRET, {"of": SECRET})
        told.record(ANA.in_session("s2"), "I speak Dutch.", id="open-3", occurred_at=day(7))
        worker.drain()
        assert told.forget(ANA, session="s1").interactions == 3
        assert traces(superuser) == set()
        assert values(told) == {"dutch"}
        assert told.context(ANA, "What was said?").turns == ()

    def test_of_a_user(
        self, told: MemoryClient, worker: Extraction, superuser: psycopg.Connection
    ) -> None:
        told.state.set(ANA, SECRET, SECRET)
        told.forget(ANA, memory=memory_of(told, SECRET), keep_sources=True)
        assert told.forget(ANA, user=True).interactions == 3
        assert traces(superuser) == set()
        assert (values(told), told.interactions(ANA)) == (set(), [])
        worker.drain()
        assert values(told) == set()
        assert values(told, TOM) == {"oslo"}

    def test_of_a_belief_whose_sources_were_kept_and_forgotten_later(
        self, told: MemoryClient, worker: Extraction, superuser: psycopg.Connection
    ) -> None:
        told.forget(ANA, memory=memory_of(told, SECRET), keep_sources=True)
        assert "memories.text" in traces(superuser)  # what else was said stays
        told.forget(ANA, session="s1")
        assert traces(superuser) == set()

    def test_of_a_failure_that_quoted_it(
        self,
        told: MemoryClient,
        worker: Extraction,
        extractors: list[Extractor],
        superuser: psycopg.Connection,
    ) -> None:
        class Quoting(Verbatim):
            async def extract(self, log: LogSlice) -> list[Candidate]:
                raise ValueError(log.interactions[-1].content)

        extractors.append(Quoting(name="quoting"))
        later = ANA.in_session("s2")
        told.record(later, f"Forget {SECRET}.", id="m9", occurred_at=day(8))
        worker.drain()
        assert "session_progress.error" in traces(superuser)
        extractors.pop()
        told.forget(ANA, session="s2")
        told.forget(ANA, session="s1")
        assert traces(superuser) == set()

    def test_neighbours_keep_everything(
        self, told: MemoryClient, superuser: psycopg.Connection
    ) -> None:
        before = told.history(TOM, closed=True)
        told.forget(ANA, user=True)
        assert told.history(TOM, closed=True) == before
        assert len(told.interactions(TOM)) == 1


class TestStaysForgotten:
    @pytest.mark.parametrize("how", ["memory", "session", "user"])
    def test_redelivery_is_refused(self, told: MemoryClient, how: str) -> None:
        if how == "memory":
            told.forget(ANA, memory=memory_of(told, SECRET))
        elif how == "session":
            told.forget(ANA, session="s1")
        else:
            told.forget(ANA, user=True)
        with pytest.raises(ForgottenId, match="stays forgotten"):
            told.record(ANA, f"I live in {SECRET}.", id=f"id-{SECRET}", occurred_at=day(5))
        assert SECRET not in values(told)

    def test_a_session_can_be_used_again(self, told: MemoryClient, worker: Extraction) -> None:
        told.forget(ANA, session="s1")
        receipt = told.record(ANA, "I live in Rome.", id="new", occurred_at=day(9))
        assert (receipt.ordinal, receipt.duplicate) == (1, False)
        worker.drain()
        assert values(told) == {"rome"}

    def test_a_user_can_come_back(self, told: MemoryClient, worker: Extraction) -> None:
        told.forget(ANA, user=True)
        told.record(ANA, "I live in Rome.", id="new", occurred_at=day(9))
        worker.drain()
        assert values(told) == {"rome"}
        assert values(told, TOM) == {"oslo"}


class Pairs(Verbatim):
    """Makes one episode of all it is shown: a memory that rests on several interactions."""

    async def extract(self, log: LogSlice) -> list[Candidate]:
        evidence = tuple(
            Evidence(i.id, i.content, 0, len(i.content), i.occurred_at) for i in log.interactions
        )
        text = " / ".join(e.quote for e in evidence)
        return [Candidate(MemoryKind.EPISODE, text, evidence, evidence[-1].occurred_at)]


class TestSharedMemories:
    @pytest.fixture
    def extractors(self) -> list[Extractor]:
        return [Pairs()]

    def test_what_rests_on_it_in_part_is_made_anew_from_the_rest(
        self, client: MemoryClient, worker: Extraction, superuser: psycopg.Connection
    ) -> None:
        for number, text in enumerate(["First.", f"Then {SECRET}.", "Last."]):
            client.record(ANA, text, id=f"m{number}", occurred_at=day(number))
        worker.drain()
        (episode,) = client.history(ANA)
        assert SECRET in episode.text
        client.record(ANA, "More.", id="m3", occurred_at=day(3))
        worker.drain()
        client.remember(ANA, f"{SECRET} again", id="m4")
        remembered = next(m for m in client.history(ANA) if m.provenance.extractor == "explicit")
        client.forget(ANA, memory=remembered.id)
        superuser.execute("DELETE FROM session_progress")  # extraction may be behind as well
        worker.portal.call(forget_interactions, client, ["m1"])
        assert traces(superuser) == set()
        worker.drain()
        assert traces(superuser) == set()
        assert "First. / Last. / More." in {m.text for m in client.history(ANA)}


async def forget_interactions(client: MemoryClient, ids: list[str]) -> Forgotten:
    async with AsyncMemoryClient(
        client._client._settings, embedder=client._client._embedder
    ) as own:
        return await own._eraser.interactions(ANA, ids)


class TestDuringExtraction:
    """Forgetting while a worker is at the user: whatever it had read, nothing comes back."""

    @pytest.mark.parametrize("how", [{"session": "s1"}, {"user": True}], ids=["session", "user"])
    async def test_leaves_nothing_of_what_the_worker_had_read(
        self,
        async_client: AsyncMemoryClient,
        settings: Settings,
        url: str,
        embedder: Embedder,
        superuser: psycopg.Connection,
        how: dict[str, Any],
    ) -> None:
        await async_client.record(ANA, f"My word is {SECRET}.", id="m1")
        slow = interrupted(lambda: async_client.forget(ANA, **how))
        async with Database(settings, url, DatabaseRole.WORKER) as database:
            done = await Worker(database, embedder, [slow], settings).drain()
        assert done.memories == {}
        assert traces(superuser) == set()
        assert await async_client.history(ANA, closed=True) == []

    async def test_a_belief_that_was_refused_meanwhile_is_not_made_again(
        self,
        async_client: AsyncMemoryClient,
        settings: Settings,
        url: str,
        embedder: Embedder,
    ) -> None:
        async def refuse() -> None:
            memory = (await async_client.history(ANA))[0]
            await async_client.forget(ANA, memory=memory.id, keep_sources=True)

        async with Database(settings, url, DatabaseRole.WORKER) as database:
            await async_client.record(ANA, "First.", id="m1")
            await Worker(database, embedder, [Verbatim()], settings).drain()
            await async_client.record(ANA, "Second.", id="m2")
            await Worker(database, embedder, [interrupted(refuse)], settings).drain()
        assert [m.text for m in await async_client.history(ANA)] == ["User: Second."]

    async def test_remembering_meanwhile_costs_the_worker_nothing(
        self,
        async_client: AsyncMemoryClient,
        settings: Settings,
        url: str,
        embedder: Embedder,
    ) -> None:
        slow = interrupted(lambda: async_client.remember(ANA, "Likes dogs", id="m9"))
        await async_client.record(ANA, "First.", id="m1")
        async with Database(settings, url, DatabaseRole.WORKER) as database:
            await Worker(database, embedder, [slow], settings).drain()
        texts = {m.text for m in await async_client.history(ANA)}
        assert {"User: First.", "Likes dogs"} <= texts


LETTERS = """
INSERT INTO dead_letters (cluster_id, topic_id, partition, record_offset, topic, reason, detail,
    value, tenant_id, user_id, session_id, interaction_id)
SELECT 'c', 't', 0, row_number() OVER (), 't', 'future', 'ahead', convert_to(%s, 'UTF8'), l.*
FROM (VALUES ('northwind', 'ana', 's1', 'm1'), ('northwind', 'ana', 's2', 'm2'),
    ('northwind', 'ana', NULL, NULL), ('northwind', 'tom', 's1', 'm1'),
    ('initech', 'ana', 's1', 'm1'), (NULL, NULL, NULL, NULL)) l
"""


class TestDeadLetters:
    @pytest.mark.parametrize(
        ("how", "left"),
        [({"session": "s1"}, 5), ({"memory": 1}, 5), ({"user": True}, 3)],
        ids=["session", "memory", "user"],
    )
    def test_forgetting_reaches_what_could_not_be_applied(
        self,
        client: MemoryClient,
        worker: Extraction,
        superuser: psycopg.Connection,
        how: dict[str, Any],
        left: int,
    ) -> None:
        client.record(ANA, "I live in Berlin.", id="m1", occurred_at=day(1))
        worker.drain()
        superuser.execute(LETTERS, (SECRET,))
        client.forget(ANA, **how)
        rows = superuser.execute("SELECT tenant_id, user_id FROM dead_letters").fetchall()
        assert len(rows) == left
        assert {("northwind", "tom"), ("initech", "ana"), (None, None)} <= set(rows)


class TestRefusals:
    @pytest.mark.parametrize(
        "what", [{}, {"memory": 1, "user": True}, {"session": "s", "memory": 2}]
    )
    def test_exactly_one_thing_is_forgotten_at_a_time(
        self, client: MemoryClient, what: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidInput, match="forget one of"):
            client.forget(ANA, **what)

    def test_an_unknown_memory(self, client: MemoryClient) -> None:
        with pytest.raises(UnknownMemory, match="404"):
            client.forget(ANA, memory=404)

    def test_what_was_never_there_is_no_error(self, client: MemoryClient) -> None:
        nobody = Scope("northwind", "nobody")
        assert client.forget(nobody, user=True) == Forgotten(0, 0)
        assert client.forget(nobody, session="s") == Forgotten(0, 0)
