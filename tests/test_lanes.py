"""Slow users, floods and heavy tenants leave the others their turns."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import anyio
import anyio.lowlevel
import pytest

from consumers.extraction import Worker, lanes, reading_apart
from consumers.extraction.lanes import SPARE, Lanes, Slot, TenantUse
from consumers.extraction.reading_apart import LONG_CHARACTERS, Processes, read_apart
from extractors.protocol import LogSlice
from memory.client import AsyncMemoryClient
from memory.database import Database, DatabaseRole
from memory.errors import ExtractionFailed
from memory.models import Candidate, Interaction, InteractionKind, Role, Scope
from memory.settings import Settings
from tests.conftest import Verbatim, WordEmbedder

pytestmark = pytest.mark.anyio
LONG = 30.0
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANA = Scope("northwind", "ana", session="s1")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class TestUse:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    def spend(self, use: TenantUse, clock: Clock, tenant: str, seconds: float) -> None:
        number = use.began(tenant)
        clock.now += seconds
        use.ended(number)

    def test_the_heaviest_come_first(self, clock: Clock) -> None:
        use = TenantUse(clock)
        for tenant, seconds in {"small": 0.1, "large": 4.0, "larger": 5.0}.items():
            self.spend(use, clock, tenant, seconds)
        assert use.heavy() == ["larger", "large"]

    def test_work_that_goes_on_counts(self, clock: Clock) -> None:
        use = TenantUse(clock)
        self.spend(use, clock, "before", 1.0)
        use.began("slow")
        clock.now += 9.0
        assert use.heavy() == ["slow"]

    def test_is_forgotten(self, clock: Clock) -> None:
        use = TenantUse(clock)
        self.spend(use, clock, "large", 5.0)
        clock.now += 1_000.0
        assert use.heavy() == []


class TestSlots:
    async def test_the_kept_one_goes_last_and_waits_until_all_others_have_users(self) -> None:
        made = Lanes(1)
        first, second = Slot(), Slot()
        await made.ready(first)
        assert not first.kept
        with anyio.move_on_after(0.05) as waited:
            await made.ready(second)
        assert waited.cancelled_caught
        assert second.kept
        async with made.working(first, "acme"):
            await made.ready(second)
            assert made.passed_over(second) == ["acme"]
            assert made.passed_over(first) == ()

    async def test_who_takes_long_leaves_it_to_another(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lanes, "OVERTIME_SECONDS", 0.0)
        made = Lanes(1)
        slots = [Slot() for _ in range(SPARE + 2)]
        kept = Slot()

        async def slow(slot: Slot) -> None:
            await made.ready(slot)
            async with made.working(slot, "acme"):
                await anyio.sleep_forever()

        await made.ready(slots[0])
        with anyio.move_on_after(0.05):
            await made.ready(kept)
        async with anyio.create_task_group() as group:
            for slot in slots:
                group.start_soon(slow, slot)
            with anyio.fail_after(LONG):
                await made.ready(kept)  # as many as may take long do, and one more has the slot
            assert [slot.held for slot in slots].count(True) == 1
            group.cancel_scope.cancel()

    async def test_a_slot_comes_back_after_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lanes, "OVERTIME_SECONDS", 0.0)
        made, slot = Lanes(1), Slot()
        for _ in range(2 * SPARE):
            await made.ready(slot)
            with pytest.raises(ValueError, match="poison"):
                await self.failing(made, slot)
        await made.ready(slot)
        assert slot.held

    async def failing(self, made: Lanes, slot: Slot) -> None:
        async with made.working(slot, "acme"):
            while slot.held:
                await anyio.lowlevel.checkpoint()
            raise ValueError("poison")


@dataclass(frozen=True)
class Stuck(Verbatim):
    """Waits for ever for users whose name says so, as for a lock or a slow model."""

    async def extract(self, log: LogSlice) -> list[Candidate]:
        if log.scope.user.startswith("stuck"):
            await anyio.sleep_forever()
        return await super().extract(log)


class TestFollowing:
    @pytest.fixture
    async def store(self, settings: Settings, url: str) -> AsyncIterator[Database]:
        pooled = settings.model_copy(update={"pool_max": 16})
        async with Database(pooled, url, DatabaseRole.WORKER) as database:
            yield database

    @asynccontextmanager
    async def following(self, store: Database, settings: Settings) -> AsyncIterator[None]:
        worker = Worker(store, WordEmbedder(), [Stuck()], settings)
        async with anyio.create_task_group() as group:
            group.start_soon(worker.follow)
            yield
            group.cancel_scope.cancel()

    async def stuck(self, client: AsyncMemoryClient, users: int) -> None:
        for number in range(users):
            await client.record(Scope("poison", f"stuck-{number}", session="s1"), "Hello.")

    async def extracted(self, client: AsyncMemoryClient, scope: Scope) -> bool:
        receipt = await client.record(scope, "Hello.")
        found = await client.recall(scope, "Hello?", after=receipt, timeout=LONG)
        return bool(found.fresh)

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"debounce": 0.0})

    async def test_users_that_take_long_hold_up_nobody_of_their_tenant(
        self, async_client: AsyncMemoryClient, store: Database, settings: Settings
    ) -> None:
        await self.stuck(async_client, SPARE)
        async with self.following(store, settings):
            assert await self.extracted(async_client, Scope("poison", "good", session="s1"))

    async def test_any_number_of_them_holds_up_no_other_tenant(
        self, async_client: AsyncMemoryClient, store: Database, settings: Settings
    ) -> None:
        await self.stuck(async_client, 3 * SPARE)
        async with self.following(store, settings):
            for number in range(3):
                assert await self.extracted(async_client, replace(ANA, user=f"good-{number}"))


@dataclass(frozen=True)
class Where(Verbatim):
    """Says in which process it reads; some texts end the process, raise, or never end."""

    async def extract(self, log: LogSlice) -> list[Candidate]:
        text = log.interactions[0].content
        if text.startswith("end"):
            os._exit(1)
        if text.startswith("raise"):
            raise ValueError("poison")
        if text.startswith("never"):
            while True:
                pass
        made = await super().extract(log)
        return [replace(one, text=str(os.getpid())) for one in made]


def log_of(text: str, characters: int = LONG_CHARACTERS) -> LogSlice:
    content = text.ljust(characters, ".")
    message = Interaction(ANA, "i1", InteractionKind.MESSAGE, Role.USER, content, NOW)
    return LogSlice(ANA, [message])


class TestReadingApart:
    async def test_only_long_slices_leave_the_process(self) -> None:
        (reader,) = read_apart([Where()], Processes())
        (short,) = await reader.extract(log_of("Hello", 10))
        (long,) = await reader.extract(log_of("Hello"))
        assert short.text == str(os.getpid())
        assert long.text.isdecimal()
        assert long.text != short.text

    async def test_what_an_extractor_raises_comes_back(self) -> None:
        (reader,) = read_apart([Where()], Processes())
        with pytest.raises(ValueError, match="poison"):
            await reader.extract(log_of("raise"))

    async def test_a_text_that_ends_the_process_fails_its_session_alone(self) -> None:
        (reader,) = read_apart([Where()], Processes())
        with pytest.raises(ExtractionFailed, match=r"8,000 characters ended"):
            await reader.extract(log_of("end"))
        assert await reader.extract(log_of("Hello"))

    async def test_a_text_that_is_never_read_is_given_up(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading_apart, "READING_SECONDS", 0.3)
        (reader,) = read_apart([Where()], Processes())
        with pytest.raises(ExtractionFailed, match=r"took over 0.3 s"):
            await reader.extract(log_of("never"))

    async def test_the_event_loop_goes_on_meanwhile(self) -> None:
        (reader,) = read_apart([Where()], Processes())
        with anyio.move_on_after(0.3) as waited:
            await reader.extract(log_of("never"))
        assert waited.cancelled_caught

    async def test_an_extractor_that_holds_something_open_reads_where_it_is(self) -> None:
        @dataclass(frozen=True)
        class Local(Where):
            pass

        (reader,) = read_apart([Local()], Processes())
        (made,) = await reader.extract(log_of("Hello"))
        assert made.text == str(os.getpid())
