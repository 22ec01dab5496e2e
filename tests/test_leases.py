"""Claims: one worker a user, whose turn it is, and what wakes a worker."""

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import anyio
import anyio.lowlevel
import psycopg
import pytest

from consumers.extraction import Worker
from consumers.extraction import leases as claims_module
from consumers.extraction import worker as extraction
from consumers.extraction.leases import (
    BACKFILL_EVERY,
    FULL_BATCH,
    Lease,
    Leases,
    UserFilter,
    fail,
    retry_set_aside,
)
from consumers.importing.importer import import_interactions, read_jsonl
from consumers.runtime import wakeups
from consumers.runtime.task_groups import together
from extractors.protocol import LogSlice
from memory.backoff import backoff
from memory.client import AsyncMemoryClient, MemoryClient
from memory.database import Database, DatabaseRole, queries
from memory.errors import EmbeddingFailed, ExtractionFailed, LeaseLost, StoreUnavailable
from memory.models import Candidate, Interaction, InteractionKind, Role, Scope
from memory.settings import Settings
from tests.conftest import Extraction, Residence, Verbatim, WordEmbedder

ANA = Scope("northwind", "ana", "scout", "s1")
TOM = Scope("northwind", "tom", "scout", "s1")
NOW = datetime(2026, 3, 2, tzinfo=UTC)
LONG = 60.0
"""Seconds that a condition may take on a busy machine."""


@pytest.fixture
async def store(settings: Settings, url: str) -> AsyncIterator[Database]:
    async with Database(settings, url, DatabaseRole.WORKER) as opened:
        yield opened


def claims_of(store: Database, settings: Settings, **changes: Any) -> Leases:
    return Leases(store, settings.model_copy(update=changes), UserFilter())


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Waits for a condition, for long enough on any machine."""
    with anyio.fail_after(LONG):
        while not await holds():  # noqa: ASYNC110
            await anyio.sleep(0.02)


def said(scope: Scope, number: int, source: str = "client") -> Interaction:
    message = Interaction(scope, f"{scope.user}-{number}", InteractionKind.MESSAGE, Role.USER, "Hi",
                          NOW)  # fmt: skip
    return replace(message, source=source)


class TestOneLeaseAUser:
    """The proof that a user is never held by two, and that the proof can fail."""

    async def overlaps(self, store: Database, settings: Settings) -> tuple[int, int]:
        """Leases taken by several at once, and how many were of somebody who was held."""
        leases = claims_of(store, settings)
        held: set[str] = set()
        taken, doubled = 0, 0

        async def acquire() -> None:
            nonlocal taken, doubled
            for _ in range(20):
                lease = await leases.acquire(0.0)
                if lease is None:
                    continue
                taken += 1
                doubled += lease.scope.user in held
                held.add(lease.scope.user)
                await anyio.lowlevel.checkpoint()
                held.discard(lease.scope.user)
                await leases.release(lease, 0.0)

        await together(6, acquire)
        return taken, doubled

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"pool_max": 6})

    @pytest.fixture
    def users(self, client: MemoryClient) -> None:
        for number in range(3):
            client.record(replace(ANA, user=f"user-{number}"), "Hello.")

    async def test_holds_among_many(self, users: None, store: Database, settings: Settings) -> None:
        taken, doubled = await self.overlaps(store, settings)
        assert taken > 20
        assert doubled == 0

    async def test_would_be_seen_to_break(
        self, users: None, store: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sound = queries.statement("leases.acquire")
        broken = sound.replace("leasable_at(u, %(quiet)s, %(full)s) <= now()", "true")
        assert broken != sound
        with_it = {**queries.load(), "leases.acquire": broken}
        monkeypatch.setattr(queries, "statement", with_it.__getitem__)
        queries.numbered.cache_clear()
        try:
            _, doubled = await self.overlaps(store, settings)
        finally:
            queries.numbered.cache_clear()
        assert doubled > 0


class TestALeaseTakenOver:
    """Every write of a worker that was too slow, one by one."""

    @pytest.fixture
    async def slow(
        self, client: MemoryClient, store: Database, settings: Settings,
        superuser: psycopg.Connection,
    ) -> Lease:  # fmt: skip
        client.record(ANA, "Hello.")
        lease = await claims_of(store, settings).acquire(0.0)
        assert lease is not None
        superuser.execute(
            "UPDATE users SET lease_token = %s, leased_until = now() + interval '1 hour'",
            (uuid4(),),
        )
        return lease

    def everything(self, superuser: psycopg.Connection) -> list[Any]:
        tables = ("users", "session_progress", "memories", "assertions", "generation_progress")
        return [superuser.execute(f"SELECT * FROM {t}".encode()).fetchall() for t in tables]

    async def test_is_not_released_or_renewed(
        self, slow: Lease, store: Database, settings: Settings, superuser: psycopg.Connection
    ) -> None:
        before = self.everything(superuser)
        leases = claims_of(store, settings)
        await leases.release(slow)
        await leases.release(slow, 0.0)
        await leases.release_now(slow)
        params = claims_module.renewal(slow, settings)
        assert await store.fetch(slow.scope, "leases.renew", params) == []
        assert self.everything(superuser) == before

    async def test_counts_no_attempt(
        self, slow: Lease, store: Database, settings: Settings, superuser: psycopg.Connection
    ) -> None:
        before = self.everything(superuser)
        for attempts in (1, 5):
            allowed = settings.model_copy(update={"max_attempts": attempts})
            with pytest.raises(LeaseLost, match="ana"):
                await fail(
                    store, allowed, slow, generation=1, session="s1", error=ExtractionFailed("no")
                )
        assert self.everything(superuser) == before

    async def test_recovers_nothing_and_notes_no_progress_of_a_shadow(
        self, slow: Lease, store: Database, superuser: psycopg.Connection
    ) -> None:
        superuser.execute(
            "INSERT INTO session_progress (tenant_id, user_id, generation, session_id, attempts)"
            " VALUES ('northwind', 'ana', 1, '', 2)"
        )
        before = self.everything(superuser)
        held = {"lease": slow.token, "generation": 1}
        await store.fetch(slow.scope, "leases.recover", held)
        come_to = {**held, "position": 1, "forget_seq": 0}
        await store.fetch(slow.scope, "generations.derived", come_to)
        assert self.everything(superuser) == before


async def test_a_transaction_whose_worker_was_cut_off_gives_its_locks_up(
    async_client: AsyncMemoryClient, settings: Settings, url: str, superuser: psycopg.Connection
) -> None:
    await async_client.record(ANA, "Hello.")
    hasty = settings.model_copy(update={"statement_timeout": 0.5})
    locks = "SELECT FROM users WHERE user_id = 'ana' FOR UPDATE"

    async def silent(database: Database) -> None:
        async with database.transaction(ANA) as transaction:
            await transaction.fetch("log.mark_due", {"tenant": "northwind", "user": "ana"})
            # Waits until the server has ended the one that says nothing more.
            await anyio.to_thread.run_sync(superuser.execute, locks)

    async with Database(hasty, url, DatabaseRole.WORKER) as database:
        with pytest.raises(StoreUnavailable, match="idle-in-transaction"):
            await silent(database)


class TestRenewal:
    """Work that is longer than its lease."""

    def held_until(self, superuser: psycopg.Connection) -> datetime:
        row = superuser.execute("SELECT leased_until FROM users").fetchone()
        assert row is not None
        assert isinstance(row[0], datetime)
        return row[0]

    async def test_keeps_the_user_while_it_goes_on(
        self,
        async_client: AsyncMemoryClient,
        store: Database,
        settings: Settings,
        superuser: psycopg.Connection,
    ) -> None:
        await async_client.record(ANA, "Hello.")
        leases = claims_of(store, settings, lease=3.0)
        lease = await leases.acquire(0.0)
        assert lease is not None
        first = self.held_until(superuser)

        async def renewed() -> bool:
            return self.held_until(superuser) > first

        async with leases.renewing(lease):
            await until(renewed)
        assert await leases.acquire(0.0) is None

    async def test_gives_up_where_the_user_was_taken_over(
        self,
        async_client: AsyncMemoryClient,
        store: Database,
        settings: Settings,
        superuser: psycopg.Connection,
    ) -> None:
        await async_client.record(ANA, "Hello.")
        leases = claims_of(store, settings, lease=0.5)
        lease = await leases.acquire(0.0)
        assert lease is not None
        superuser.execute(
            "UPDATE users SET lease_token = %s, leased_until = now() + interval '1 hour'",
            (uuid4(),),
        )
        with anyio.fail_after(LONG), pytest.raises(LeaseLost, match="was taken over"):
            async with leases.renewing(lease):
                await anyio.sleep_forever()

    async def test_an_error_within_comes_out_as_itself(
        self, async_client: AsyncMemoryClient, store: Database, settings: Settings
    ) -> None:
        await async_client.record(ANA, "Hello.")
        leases = claims_of(store, settings)
        lease = await leases.acquire(0.0)
        assert lease is not None
        with pytest.raises(EmbeddingFailed):
            async with leases.renewing(lease):
                raise EmbeddingFailed("no answer")


class TestWhoseTurn:
    async def turns(self, leases: Leases, number: int) -> list[str]:
        found = [await leases.acquire(0.0) for _ in range(number)]
        return [lease.scope.user if lease else "" for lease in found]

    async def test_live_users_come_before_what_is_imported(
        self, async_client: AsyncMemoryClient, store: Database, settings: Settings
    ) -> None:
        old = [replace(ANA, user=f"old-{n}") for n in range(3)]
        new = [replace(ANA, user=f"new-{n}") for n in range(3)]
        for scope in old:
            await async_client.record_many([said(scope, 1, "import:beam")])
        for scope in new:
            await async_client.record(scope, "Hello.")
        turns = await self.turns(claims_of(store, settings), 6)
        assert turns == ["new-0", "new-1", "new-2", "old-0", "old-1", "old-2"]

    async def test_backfill_has_its_share_however_many_live_users_wait(
        self, async_client: AsyncMemoryClient, store: Database, settings: Settings
    ) -> None:
        await async_client.record_many([said(replace(ANA, user="old"), 1, "import:beam")])
        live = [said(replace(ANA, user=f"new-{n}"), 1) for n in range(2 * BACKFILL_EVERY)]
        await async_client.record_many(live)
        assert "old" in await self.turns(claims_of(store, settings), BACKFILL_EVERY)

    async def test_a_user_of_whom_history_waits_is_live_once_it_speaks(
        self, async_client: AsyncMemoryClient, store: Database, settings: Settings
    ) -> None:
        await async_client.record_many([said(TOM, 1, "import:beam")])
        await async_client.record_many([said(ANA, 1, "import:beam")])
        await async_client.record(ANA, "Hello.")
        await async_client.record_many([said(ANA, 2, "import:beam")])
        assert await self.turns(claims_of(store, settings), 2) == ["ana", "tom"]

    async def test_a_file_of_interactions_is_history(
        self, async_client: AsyncMemoryClient, superuser: psycopg.Connection, tmp_path: Any
    ) -> None:
        path = tmp_path / "log.jsonl"
        path.write_text(
            '{"tenant": "northwind", "user": "ana", "session": "s1", "id": "1", "kind": "message",'
            ' "role": "user", "content": "Hi", "occurred_at": "2026-03-02T00:00:00Z", "v": 1}\n'
        )
        await import_interactions(async_client, read_jsonl(path))
        rows = superuser.execute("SELECT u.backfill, i.source FROM users u, interactions i")
        assert rows.fetchall() == [(True, "import:jsonl")]

    async def test_a_user_that_is_not_quiet_is_let_finish(
        self, async_client: AsyncMemoryClient, store: Database, settings: Settings,
        superuser: psycopg.Connection,
    ) -> None:  # fmt: skip
        await async_client.record(ANA, "Hello.")
        leases = claims_of(store, settings)
        assert await leases.acquire(3600.0) is None
        wait = await leases.seconds_until_due(3600.0, 1e9)
        assert 3000 < wait <= 3600
        superuser.execute("UPDATE users SET recorded_at = now() - interval '2 hours'")
        assert await leases.acquire(3600.0) is not None

    async def test_a_user_with_much_that_is_new_need_not_be_quiet(
        self, async_client: AsyncMemoryClient, store: Database, settings: Settings
    ) -> None:
        leases = claims_of(store, settings)
        await async_client.record_many([said(ANA, n) for n in range(FULL_BATCH - 1)])
        assert await leases.acquire(3600.0) is None
        await async_client.record_many([said(ANA, FULL_BATCH)])
        lease = await leases.acquire(3600.0)
        assert lease is not None
        await leases.release(lease)
        await async_client.record(ANA, "Hello.")
        assert await leases.acquire(3600.0) is None

    async def test_a_user_that_never_falls_quiet_is_taken_all_the_same(
        self, async_client: AsyncMemoryClient, store: Database, settings: Settings,
        superuser: psycopg.Connection,
    ) -> None:  # fmt: skip
        await async_client.record(ANA, "Hello.")
        superuser.execute("UPDATE users SET due_at = now() - interval '5 minutes'")
        leases = claims_of(store, settings)
        assert await leases.acquire(61.0) is None
        assert await leases.acquire(60.0) is not None

    async def test_the_wait_is_for_the_end_of_a_lease(
        self, async_client: AsyncMemoryClient, store: Database, settings: Settings
    ) -> None:
        leases = claims_of(store, settings, lease=500.0)
        assert await leases.seconds_until_due(0.0, 1e9) == 1e9
        await async_client.record(ANA, "Hello.")
        assert await leases.seconds_until_due(0.0, 1e9) <= 0
        assert await leases.acquire(0.0) is not None
        assert 400 < await leases.seconds_until_due(0.0, 1e9) <= 500
        assert await leases.seconds_until_due(0.0, 30.0) == 30.0


@dataclass(frozen=True)
class Choking(Verbatim):
    """Breaks on sessions that say “poison”, as long as `broken` holds anything."""

    name: str = "choking"
    broken: list[bool] = field(default_factory=lambda: [True])

    async def extract(self, log: LogSlice) -> list[Candidate]:
        if self.broken and any("poison" in i.content for i in log.interactions):
            raise ExtractionFailed(f"cannot read {log.scope.session!r}")
        return await super().extract(log)


class TestFailing:
    @pytest.fixture
    def choking(self, extractors: list[Any]) -> Choking:
        extractors[:] = [choking := Choking()]
        return choking

    def test_a_failed_session_does_not_keep_its_neighbours_waiting(
        self, client: MemoryClient, worker: Extraction, choking: Choking,
        superuser: psycopg.Connection, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        client.record(ANA, "poison")
        with caplog.at_level(logging.CRITICAL):
            worker.drain()
            superuser.execute("UPDATE session_progress SET retry_at = now() + interval '1 hour'")
            superuser.execute("UPDATE users SET due_at = now() + interval '1 hour'")
            client.record(ANA.in_session("s2"), "Hello.")
            done = worker.drain()
        assert done.failures == 1  # the failed one was not tried again before its time
        assert [m.text for m in client.history(ANA)] == ["User: Hello."]
        row = superuser.execute("SELECT due_at > now() + interval '30 minutes' FROM users")
        assert row.fetchone() == (True,)

    def test_what_failed_is_not_called_extracted(
        self, client: MemoryClient, worker: Extraction, choking: Choking,
        superuser: psycopg.Connection, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        client.record(ANA, "poison")
        with caplog.at_level(logging.CRITICAL):
            worker.drain()
        assert client.position(ANA).extracted == 0
        choking.broken.clear()
        superuser.execute("UPDATE session_progress SET retry_at = now()")
        superuser.execute("UPDATE users SET due_at = now()")
        worker.drain()
        assert client.position(ANA).extracted == 1

    async def test_attempts_are_further_and_further_apart(
        self, async_client: AsyncMemoryClient, store: Database, settings: Settings,
        superuser: psycopg.Connection,
    ) -> None:  # fmt: skip
        await async_client.record(ANA, "poison")
        lease = await claims_of(store, settings).acquire(0.0)
        assert lease is not None
        waits: list[float | None] = []
        for _ in range(settings.max_attempts):
            failed = {"generation": 1, "session": "s1", "error": ExtractionFailed("no")}
            waits.append(await fail(store, settings, lease, **failed))  # type: ignore[arg-type]
            superuser.execute(
                "UPDATE session_progress SET retry_at = now() WHERE retry_at IS NOT NULL"
            )
        assert waits[-1] is None
        low = [2.5 * 2**n for n in range(settings.max_attempts - 1)]
        assert all(least <= w <= 2 * least for w, least in zip(waits, low, strict=False) if w)

    def test_what_was_set_aside_can_be_taken_up_again(
        self, client: MemoryClient, worker: Extraction, choking: Choking, settings: Settings,
        url: str, superuser: psycopg.Connection, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        client.record(ANA, "poison")
        client.record(replace(TOM, tenant="other"), "poison")
        with caplog.at_level(logging.CRITICAL):
            for _ in range(settings.max_attempts):
                worker.drain()
                superuser.execute(
                    "UPDATE session_progress SET retry_at = now() WHERE retry_at IS NOT NULL"
                )
                superuser.execute("UPDATE users SET due_at = now() WHERE due_at IS NOT NULL")
        assert client.history(ANA) == []
        choking.broken.clear()

        async def taken(users: UserFilter) -> int:
            async with Database(settings, url, DatabaseRole.WORKER) as database:
                return await retry_set_aside(database, users)

        assert client._portal.call(taken, UserFilter("northwind", "tom")) == 0
        assert client._portal.call(taken, UserFilter()) == 2
        worker.drain()
        assert [m.text for m in client.history(ANA)] == ["User: poison"]
        assert client._portal.call(taken, UserFilter()) == 0


class TestFollowing:
    """Workers that stay: woken by what is recorded, never by the clock."""

    @pytest.fixture(autouse=True)
    def no_clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wakeups, "POLL_SECONDS", 3600.0)
        monkeypatch.setattr(wakeups, "SETTLE_SECONDS", 3600.0)
        monkeypatch.setattr(extraction, "FIRST_WAIT", 0.05)

    @asynccontextmanager
    async def following(self, worker: Worker, at_once: int = 1) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: worker.follow(at_once=at_once))
            yield
            group.cancel_scope.cancel()

    async def extracted(self, client: AsyncMemoryClient, scope: Scope, position: int) -> None:
        async def come_to() -> bool:
            return (await client.position(scope)).extracted >= position

        await until(come_to)

    async def test_are_woken_and_do_not_look_round_for_work(
        self,
        async_client: AsyncMemoryClient,
        store: Database,
        settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        looks = 0
        acquire = Leases.acquire

        async def looking(
            self: Leases, quiet: float, passed_over: Sequence[str] = ()
        ) -> Lease | None:
            nonlocal looks
            looks += 1
            return await acquire(self, quiet, passed_over)

        monkeypatch.setattr(Leases, "acquire", looking)
        async with self.following(Worker(store, WordEmbedder(), [Verbatim()], settings)):
            for number in range(1, 6):
                await async_client.record(ANA, "Hello.")
                await self.extracted(async_client, ANA, number)
        assert looks <= 5 * 4 + 2

    async def test_several_at_once_in_one_process(
        self, async_client: AsyncMemoryClient, store: Database, settings: Settings
    ) -> None:
        at: set[str] = set()
        both = anyio.Event()

        @dataclass(frozen=True)
        class Meeting(Verbatim):
            async def extract(self, log: LogSlice) -> list[Candidate]:
                at.add(log.scope.user)
                if len(at) == 2:
                    both.set()
                await both.wait()
                return []

        for scope in (ANA, TOM):
            await async_client.record(scope, "Hello.")
        with anyio.fail_after(LONG):
            await Worker(store, WordEmbedder(), [Meeting()], settings).drain(at_once=2)
        assert at == {"ana", "tom"}

    async def test_listen_again_where_the_connection_was_cut(
        self,
        async_client: AsyncMemoryClient,
        store: Database,
        settings: Settings,
        superuser: psycopg.Connection,
    ) -> None:
        listening = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        listening += " AND query LIKE '%LISTEN memory_due'"

        async def listens() -> bool:
            return superuser.execute(listening.encode()).fetchone() is not None

        async with self.following(Worker(store, WordEmbedder(), [Verbatim()], settings)):
            await async_client.record(ANA, "Hello.")
            await self.extracted(async_client, ANA, 1)
            await until(listens)
            cut = f"SELECT pg_terminate_backend(pid) FROM ({listening}) l"
            assert superuser.execute(cut.encode()).fetchall() == [(True,)]
            await until(listens)
            await async_client.record(ANA, "Hello again.")
            await self.extracted(async_client, ANA, 2)

    async def test_go_on_by_themselves_once_trouble_is_over(
        self, async_client: AsyncMemoryClient, store: Database, settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(extraction, "FIRST_RETRY", 0.05)
        monkeypatch.setattr(claims_module, "MIN_RETRY", 0.05)
        failures = 0

        class Flaky(WordEmbedder):
            async def embed(self, texts: Sequence[str]) -> Any:
                nonlocal failures
                failures += 1
                if failures < 4:
                    raise EmbeddingFailed("no answer")
                return await super().embed(texts)

        await async_client.record(ANA, "I live in Berlin.")
        async with self.following(Worker(store, Flaky(), [Residence()], settings)):
            await self.extracted(async_client, ANA, 1)
        assert [m.value for m in await async_client.history(ANA)] == ["berlin"]

    async def test_give_their_user_back_when_they_are_stopped(
        self,
        async_client: AsyncMemoryClient,
        store: Database,
        settings: Settings,
        superuser: psycopg.Connection,
    ) -> None:
        begun = anyio.Event()

        @dataclass(frozen=True)
        class Endless(Verbatim):
            async def extract(self, log: LogSlice) -> list[Candidate]:
                begun.set()
                await anyio.sleep_forever()
                return []

        await async_client.record(ANA, "Hello.")
        async with self.following(Worker(store, WordEmbedder(), [Endless()], settings)):
            with anyio.fail_after(LONG):
                await begun.wait()
        row = superuser.execute("SELECT lease_token, extracted, due_at <= now() FROM users")
        assert row.fetchone() == (None, 0, True)


class TestNotifying:
    """When the store notifies: as a user turns due, and one transaction at a time."""

    @pytest.fixture
    def ear(self, url: str) -> Iterator[psycopg.Connection]:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("LISTEN memory_due")
            yield connection

    def heard(self, ear: psycopg.Connection) -> int:
        # What was sent before comes with the answer to this.
        ear.execute("SELECT 1")
        return len(list(ear.notifies(timeout=0)))

    def test_once_for_a_user_that_turns_due(
        self, client: MemoryClient, worker: Extraction, ear: psycopg.Connection
    ) -> None:
        for _ in range(3):
            client.record(ANA, "Hello.")
        assert self.heard(ear) == 1
        worker.drain()
        assert self.heard(ear) == 0
        client.record(ANA, "Hello.")
        assert self.heard(ear) == 1

    def test_once_for_a_user_that_is_due_earlier(
        self, client: MemoryClient, ear: psycopg.Connection, superuser: psycopg.Connection
    ) -> None:
        client.record(ANA, "Hello.")
        superuser.execute("UPDATE users SET due_at = now() + interval '1 hour'")
        self.heard(ear)
        client.record(ANA, "Hello.")
        assert self.heard(ear) == 1

    def test_not_where_another_of_the_tenant_is_just_about_to(
        self, client: MemoryClient, ear: psycopg.Connection, superuser: psycopg.Connection
    ) -> None:
        client.record(ANA, "Hello.")
        self.heard(ear)
        with superuser.transaction():
            superuser.execute("SELECT FROM notification_turns FOR UPDATE")
            client.record(TOM, "Hello.")
            assert self.heard(ear) == 0
            client.record(Scope("initech", "ana", "scout", "s1"), "Hello.")
            assert self.heard(ear) == 1


class TestBackoff:
    def test_doubles_up_to_the_longest_and_is_never_twice_the_same(self) -> None:
        for attempt, most in enumerate([1, 2, 4, 8, 10, 10]):
            waits = [backoff(attempt, first=1.0, longest=10.0) for _ in range(50)]
            assert all(most / 2 <= wait <= most for wait in waits)
            assert len(set(waits)) > 40

    def test_has_no_end(self) -> None:
        assert backoff(10**6, first=1.0, longest=60.0) <= 60.0


def test_every_statement_that_holds_a_lease_locks_or_changes_the_users_row() -> None:
    """A look at the token without the row's lock would be a race."""
    checked = {
        name
        for name, text in queries.load().items()
        if "lease_token = %(lease)s" in text or "lease_token = %(lease)s::uuid" in text
    }
    assert checked
    for name in checked:
        assert re.search(r"UPDATE users|FOR NO KEY UPDATE|FOR UPDATE", queries.statement(name)), (
            name
        )
