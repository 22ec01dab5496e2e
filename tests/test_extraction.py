"""Extraction: progress commits with its memories, under a lease, and nothing stops the others."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from anyio import Event, create_task_group

from consumers.extraction import Worker
from consumers.extraction.derivation import BATCH
from extractors.protocol import LOOK_BACK, Extractor, LogSlice, Reading
from memory.client import AsyncMemoryClient, MemoryClient
from memory.database import Database, DatabaseRole
from memory.embedding import Embedder
from memory.errors import EmbeddingFailed, ExtractionFailed, StoreUnavailable
from memory.models import Candidate, Evidence, Interaction, InteractionKind, MemoryKind, Role, Scope
from memory.settings import Settings
from tests.conftest import Extraction, Residence, Verbatim, WordEmbedder

ANA = Scope("northwind", "ana", "scout", "s1")
TOM = Scope("northwind", "tom", "scout", "s1")
DAY_ZERO = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return DAY_ZERO + timedelta(days=number)


def progress(connection: psycopg.Connection) -> dict[tuple[str, str], int]:
    rows = connection.execute(
        "SELECT user_id, session_id, ordinal FROM session_progress"
    ).fetchall()
    return {(user, session): ordinal for user, session, ordinal in rows}


def forced(connection: psycopg.Connection) -> None:
    """Makes every retry due now, without waiting for it."""
    connection.execute("UPDATE users SET due_at = now() WHERE due_at IS NOT NULL")
    connection.execute("UPDATE session_progress SET retry_at = now() WHERE retry_at IS NOT NULL")


@dataclass(frozen=True)
class Acting(Verbatim):
    """Extracts as `Verbatim`, and calls `act` with what it was shown first."""

    act: Callable[[LogSlice], Awaitable[None]] = field(kw_only=True)

    async def extract(self, log: LogSlice) -> list[Candidate]:
        await self.act(log)
        return await super().extract(log)


class TestProgress:
    def test_each_interaction_is_shown_once_with_what_came_before(
        self, client: MemoryClient, worker: Extraction, extractors: list[Extractor]
    ) -> None:
        shown: list[tuple[list[int], list[int]]] = []

        async def note(log: LogSlice) -> None:
            shown.append(([i.ordinal for i in log.interactions], [i.ordinal for i in log.before]))

        extractors[:] = [Acting(act=note)]
        for count in (2, LOOK_BACK + 2, 1):
            for _ in range(count):
                client.record(ANA, "Hello.")
            worker.drain()
        worker.drain()
        last = LOOK_BACK + 5
        assert shown == [
            ([1, 2], []),
            (list(range(3, last)), [1, 2]),
            ([last], list(range(last - LOOK_BACK, last))),
        ]

    def test_an_extractor_is_shown_only_what_it_reads(
        self, client: MemoryClient, worker: Extraction, extractors: list[Extractor]
    ) -> None:
        shown: list[InteractionKind] = []

        async def note(log: LogSlice) -> None:
            shown.extend(i.kind for i in log.interactions)

        extractors[:] = [Acting(act=note)]
        client.record(ANA, "Search.", kind="tool_call", role="assistant")
        client.record(ANA, "Hello.")
        worker.drain()
        assert shown == [InteractionKind.MESSAGE]
        assert client.position(ANA).extracted == 2

    def test_a_long_session_is_taken_in_batches_that_each_commit(
        self,
        client: MemoryClient,
        worker: Extraction,
        extractors: list[Extractor],
        superuser: psycopg.Connection,
    ) -> None:
        seen: list[tuple[int, int]] = []

        async def note(log: LogSlice) -> None:
            row = superuser.execute(
                "SELECT COALESCE(max(ordinal), 0) FROM session_progress"
            ).fetchone()
            assert row is not None
            seen.append((len(log.interactions), row[0]))

        extractors[:] = [Acting(act=note)]
        one = Interaction(ANA, "", InteractionKind.MESSAGE, Role.USER, "Hello.", day(1))
        client.record_many([replace(one, id=str(n)) for n in range(BATCH + 10)])
        worker.drain()
        assert seen == [(BATCH, 0), (10, BATCH)]
        assert progress(superuser) == {("ana", "s1"): BATCH + 10}

    def test_what_arrives_meanwhile_is_due_again(
        self, client: MemoryClient, worker: Extraction, extractors: list[Extractor]
    ) -> None:
        waiting = ["Second."]

        async def record(_: LogSlice) -> None:
            if waiting:
                client.record(ANA.in_session("s2"), waiting.pop())

        extractors[:] = [Acting(act=record)]
        client.record(ANA, "First.")
        worker.drain()
        assert {m.text for m in client.history(ANA)} == {"User: First.", "User: Second."}
        assert client.position(ANA).extracted == 2

    def test_nothing_due_is_nothing_done(self, worker: Extraction) -> None:
        assert (worker.drain().users, worker.drain().memories) == (0, {})

    def test_only_the_user_that_is_asked_for(
        self, client: MemoryClient, worker: Extraction
    ) -> None:
        for scope in (ANA, TOM):
            client.record(scope, "Hello.")
        worker.portal.call(worker.worker.drain, "northwind", "tom")
        assert client.position(ANA).extracted == 0
        assert client.position(TOM).extracted == 1


class TestAtomicity:
    def test_a_worker_that_dies_in_its_commit_leaves_nothing_half(
        self,
        client: MemoryClient,
        worker: Extraction,
        superuser: psycopg.Connection,
    ) -> None:
        client.record(ANA, "I live in Berlin.", id="m1")
        # The last statement of the commit breaks the connection, as a killed worker would.
        superuser.execute(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
            " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$"
        )
        superuser.execute(
            "CREATE TRIGGER die BEFORE INSERT ON session_progress"
            " FOR EACH ROW EXECUTE FUNCTION die()"
        )
        with pytest.raises(StoreUnavailable):
            worker.drain()
        for table in ("memories", "evidence", "embeddings", "assertions", "session_progress"):
            row = superuser.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
            assert row == (0,), table
        superuser.execute("DROP TRIGGER die ON session_progress")
        superuser.execute("UPDATE users SET leased_until = now(), due_at = now()")
        worker.drain()
        assert {m.value for m in client.history(ANA, kinds=[MemoryKind.FACT])} == {"berlin"}
        assert progress(superuser) == {("ana", "s1"): 1}

    def test_a_lease_taken_over_commits_nothing(
        self,
        client: MemoryClient,
        worker: Extraction,
        extractors: list[Extractor],
        superuser: psycopg.Connection,
    ) -> None:
        others = [uuid4()]

        async def take_over(_: LogSlice) -> None:
            if others:
                superuser.execute(
                    "UPDATE users SET lease_token = %s, leased_until = now() + interval '1 hour'",
                    (others.pop(),),
                )

        extractors[:] = [Acting(act=take_over)]
        client.record(ANA, "Hello.")
        done = worker.drain()
        assert (done.interactions, client.history(ANA), progress(superuser)) == (0, [], {})
        row = superuser.execute("SELECT lease_token IS NOT NULL FROM users").fetchone()
        assert row == (True,)  # the other's lease is left alone
        superuser.execute("UPDATE users SET leased_until = now() - interval '1 second'")
        worker.drain()
        assert len(client.history(ANA)) == 1

    async def test_two_workers_are_never_at_one_user(
        self,
        async_client: AsyncMemoryClient,
        settings: Settings,
        url: str,
        embedder: Embedder,
    ) -> None:
        at: list[str] = []
        overlaps: list[str] = []
        met = Event()

        async def note(log: LogSlice) -> None:
            if log.scope.user in at:
                overlaps.append(log.scope.user)
            at.append(log.scope.user)
            if len(set(at)) == 2:
                met.set()
            await met.wait()  # both workers are busy, so neither may take the other's user
            at.remove(log.scope.user)

        users = [replace(ANA, user=f"user-{n}") for n in range(2)]
        for scope in users:
            for session in ("s1", "s2"):
                await async_client.record(scope.in_session(session), "Hello.")
        async with (
            Database(settings, url, DatabaseRole.WORKER) as database,
            create_task_group() as group,
        ):
            for _ in range(2):
                worker = Worker(database, embedder, [Acting(act=note)], settings)
                group.start_soon(worker.drain)
        assert overlaps == []
        for scope in users:
            assert len(await async_client.history(scope)) == 2

    def test_a_worker_that_vanished_is_replaced_when_its_lease_ends(
        self, client: MemoryClient, worker: Extraction, superuser: psycopg.Connection
    ) -> None:
        client.record(ANA, "Hello.")
        superuser.execute(
            "UPDATE users SET lease_token = gen_random_uuid(),"
            " leased_until = now() + interval '1 hour'"
        )
        assert worker.drain().users == 0
        superuser.execute("UPDATE users SET leased_until = now() - interval '1 second'")
        assert worker.drain().users == 1
        assert len(client.history(ANA)) == 1


@dataclass(frozen=True)
class Choking(Verbatim):
    """Breaks on sessions that say “poison”."""

    name: str = "choking"

    async def extract(self, log: LogSlice) -> list[Candidate]:
        if any("poison" in i.content for i in log.interactions):
            raise ExtractionFailed(f"cannot read {log.scope.session!r}")
        return []


class TestFailures:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"max_attempts": 3})

    @pytest.fixture
    def extractors(self) -> list[Extractor]:
        return [Choking(), Residence()]

    def test_a_poison_session_is_set_aside_and_its_neighbours_go_on(
        self,
        client: MemoryClient,
        worker: Extraction,
        superuser: psycopg.Connection,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        client.record(ANA, "poison", occurred_at=day(1))
        client.record(ANA.in_session("s2"), "I live in Berlin.", occurred_at=day(2))
        client.record(TOM, "I live in Oslo.", occurred_at=day(3))
        with caplog.at_level(logging.CRITICAL):
            attempts = []
            for _ in range(5):
                worker.drain()
                forced(superuser)
                attempts.append(worker.worker.done.failures)
        assert attempts == [1, 2, 3, 3, 3]
        assert {m.value for m in client.history(ANA)} == {"berlin"}
        assert {m.value for m in client.history(TOM)} == {"oslo"}
        row = superuser.execute(
            "SELECT session_id, attempts, error FROM session_progress"
            " WHERE set_aside_at IS NOT NULL"
        ).fetchall()
        assert row == [("s1", 3, "ExtractionFailed: cannot read 's1'")]

    def test_one_attempt_can_be_all(
        self, client: MemoryClient, url: str, settings: Settings, superuser: psycopg.Connection
    ) -> None:
        client.record(ANA, "poison")
        once = settings.model_copy(update={"max_attempts": 1})

        async def drain() -> None:
            async with Database(once, url, DatabaseRole.WORKER) as database:
                await Worker(database, WordEmbedder(), [Choking()], once).drain()

        client._portal.call(drain)
        rows = superuser.execute("SELECT due_at FROM users").fetchall()
        assert rows == [(None,)]
        assert superuser.execute(
            "SELECT set_aside_at IS NOT NULL FROM session_progress"
        ).fetchall() == [(True,)]

    def test_a_session_that_recovers_forgets_its_failures(
        self, client: MemoryClient, worker: Extraction, extractors: list[Extractor],
        superuser: psycopg.Connection,
    ) -> None:  # fmt: skip
        client.record(ANA, "poison. I live in Berlin.")
        worker.drain()
        del extractors[0]
        forced(superuser)
        worker.drain()
        rows = superuser.execute("SELECT ordinal, attempts, error FROM session_progress").fetchall()
        assert rows == [(1, 0, None)]
        assert {m.value for m in client.history(ANA)} == {"berlin"}

    def test_an_extractor_that_cites_what_it_was_not_shown_is_a_failure(
        self, client: MemoryClient, worker: Extraction, extractors: list[Extractor]
    ) -> None:
        class Inventive(Verbatim):
            async def extract(self, log: LogSlice) -> list[Candidate]:
                evidence = (Evidence("never", "x", 0, 1, day(1)),)
                return [Candidate(MemoryKind.FACT, "x", evidence, day(1))]

        extractors[:] = [Inventive()]
        client.record(ANA, "Hello.")
        assert worker.drain().failures == 1
        assert client.history(ANA) == []

    def test_an_embedding_service_that_is_down_is_waited_for(
        self, client: MemoryClient, url: str, settings: Settings, superuser: psycopg.Connection
    ) -> None:
        class Flaky(WordEmbedder):
            down = True

            async def embed(self, texts: Sequence[str]) -> Any:
                if self.down:
                    raise EmbeddingFailed("no answer")
                return await super().embed(texts)

        embedder = Flaky()

        async def drain() -> None:
            async with Database(settings, url, DatabaseRole.WORKER) as database:
                await Worker(database, embedder, [Residence()], settings).drain()

        client.record(ANA, "I live in Berlin.")
        with pytest.raises(EmbeddingFailed):
            client._portal.call(drain)
        assert progress(superuser) == {}  # no attempt of the session was used up
        forced(superuser)
        embedder.down = False
        client._portal.call(drain)
        assert {m.value for m in client.history(ANA)} == {"berlin"}


@dataclass
class Counting:
    """Reads all of a user, and believes how much feedback there is, as a claim or as free text."""

    attribute: str | None
    name: str = "counting"
    version: str = "1"
    reading: Reading = Reading.USER
    reads: frozenset[InteractionKind] = frozenset({InteractionKind.FEEDBACK})
    makes: frozenset[MemoryKind] = frozenset({MemoryKind.PREFERENCE})
    least: int = 2
    broken: bool = False

    async def extract(self, log: LogSlice) -> list[Candidate]:
        if self.broken:
            raise ExtractionFailed("cannot count")
        given = log.interactions
        if len(given) < self.least:
            return []
        evidence = tuple(Evidence(i.id, i.content, 0, len(i.content), i.occurred_at) for i in given)
        return [
            Candidate(
                MemoryKind.PREFERENCE,
                f"Gave feedback {len(given)} times",
                evidence,
                given[-1].occurred_at,
                attribute=self.attribute,
                value=str(len(given)) if self.attribute else None,
                single_valued=self.attribute is not None,
            )
        ]


@pytest.mark.parametrize("attribute", ["feedback", None], ids=["claim", "free text"])
class TestReadersOfAUser:
    def feedback(self, client: MemoryClient, number: int) -> None:
        client.record(
            ANA.in_session(f"s{number}"), f"Liked {number}", id=f"f{number}", kind="feedback",
            occurred_at=day(number),
        )  # fmt: skip

    @pytest.fixture
    def counting(self, extractors: list[Extractor], attribute: str | None) -> Counting:
        extractors[:] = [counting := Counting(attribute)]
        return counting

    def test_believe_what_they_propose_now_and_no_more(
        self, client: MemoryClient, worker: Extraction, counting: Counting
    ) -> None:
        for number in (1, 2, 3):
            self.feedback(client, number)
            worker.drain()
        (memory,) = [m for m in client.history(ANA) if m.valid_to is None]
        assert memory.text == "Gave feedback 3 times"
        assert len(client.explain(ANA, memory.id).evidence) == 3

    def test_withdraw_what_they_no_longer_propose(
        self, client: MemoryClient, worker: Extraction, counting: Counting
    ) -> None:
        for number in (1, 2):
            self.feedback(client, number)
        worker.drain()
        assert len(client.history(ANA)) == 1
        counting.least = 99
        self.feedback(client, 3)
        worker.drain()
        assert client.history(ANA) == []
        (once,) = client.history(ANA, closed=True)
        assert once.believed_to is not None

    def test_say_the_same_again_without_a_change(
        self, client: MemoryClient, worker: Extraction, counting: Counting,
        superuser: psycopg.Connection,
    ) -> None:  # fmt: skip
        for number in (1, 2):
            self.feedback(client, number)
        worker.drain()
        before = client.history(ANA, closed=True)
        client.record(ANA, "Hello.")
        worker.drain()
        assert client.history(ANA, closed=True) == before

    def test_follow_what_is_forgotten(
        self, client: MemoryClient, worker: Extraction, counting: Counting
    ) -> None:
        for number in (1, 2, 3):
            self.feedback(client, number)
        worker.drain()
        client.forget(ANA, session="s3")
        worker.drain()
        assert [m.text for m in client.history(ANA)] == ["Gave feedback 2 times"]

    def test_that_fail_stop_nobody_and_are_given_up_on(
        self,
        client: MemoryClient,
        worker: Extraction,
        counting: Counting,
        extractors: list[Extractor],
        settings: Settings,
        superuser: psycopg.Connection,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        extractors.append(Residence())
        counting.broken = True
        self.feedback(client, 1)
        client.record(ANA, "I live in Berlin.", id="m1")
        client.record(TOM, "I live in Oslo.", id="m1")
        with caplog.at_level(logging.CRITICAL):
            for _ in range(settings.max_attempts):
                worker.drain()
                forced(superuser)
        assert {m.value for m in client.history(ANA)} == {"berlin"}
        assert {m.value for m in client.history(TOM)} == {"oslo"}
        assert worker.worker.done.failures == settings.max_attempts
        assert superuser.execute("SELECT due_at FROM users").fetchall() == [(None,), (None,)]
