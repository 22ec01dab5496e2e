"""What goes wrong, one thing after another: every kind once, then at random by its weight."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from time import monotonic
from typing import Protocol

from benchmarks.chaos.postgres import KillablePostgres
from benchmarks.chaos.proxy import Proxy, Trap
from benchmarks.chaos.stopping import Held
from benchmarks.chaos.supervision import Kept

TRAP_SECONDS = 10.0
"""How long a trap waits for somebody to run into it."""

OVERTAKING = 10.0
"""How many leases a process is held at most until another has done what it has in its hands."""

READY_SECONDS = 0.5
"""Until a process has surely heard what it is to do at its next batch."""

PATIENCE = 5.0
"""How many times its pace the killer waits for work to go on before it breaks the next thing."""
TRIES = 3
"""For each kind to be done once at least."""

HOPELESS = 10
"""Tries for each kill after which nothing seems to be there to break."""


class Killable(Protocol):
    """The broker, as far as it is broken here."""

    def kill(self) -> None:
        """Ends it at once."""

    def restart(self) -> None:
        """Starts it again; returns once it answers."""


@dataclass
class System:
    """Everything that runs, and may be broken.

    proxies: what the way to Postgres leads through.
    lease: seconds a worker may hold a user, and a consumer its partitions, without a sign of life.
    held: what a process that stopped itself has in its hands; None once it is done with that.
    overtaken: whether another process has done that meanwhile; None: cannot be told just now.
    join: starts one more ingest process for a while.
    """

    rng: Random
    postgres: KillablePostgres
    broker: Killable | None
    ingest: Sequence[Kept]
    extract: Sequence[Kept]
    publish: Sequence[Kept]
    producers: Sequence[Kept]
    lease: float
    held: Callable[[int], Held | None]
    overtaken: Callable[[Held], Awaitable[bool | None]]
    proxies: Sequence[Proxy] = ()
    join: Callable[[], Awaitable[None]] | None = None
    busy: set[object] = field(default_factory=set)

    @asynccontextmanager
    async def taken(self, thing: object) -> AsyncIterator[None]:
        """Marks something as broken just now, so that nothing else breaks it meanwhile."""
        self.busy.add(thing)
        try:
            yield
        finally:
            self.busy.discard(thing)

    def one_of(self, kept: Sequence[Kept]) -> Kept | None:
        """A process that runs and is not broken just now."""
        free = [k for k in kept if k.running and k not in self.busy]
        return self.rng.choice(free) if free else None


Fault = Callable[[System], Awaitable[int]]
"""Breaks something, makes it whole again, and returns how many SIGKILLs that took; raises
NothingToBreak where what it is for is not there."""


class NothingToBreak(Exception):
    """What a fault is for is not there just now."""


async def kill_ingest(system: System) -> int:
    """SIGKILL to one that writes the log."""
    return _kill(system, system.ingest)


async def kill_extract(system: System) -> int:
    """SIGKILL to one that derives memories."""
    return _kill(system, system.extract)


async def kill_publish(system: System) -> int:
    """SIGKILL to one that tells others what became of memories."""
    return _kill(system, system.publish)


async def kill_producer(system: System) -> int:
    """SIGKILL to an app, which sends again what it is not sure of."""
    return _kill(system, system.producers)


def _kill(system: System, kept: Sequence[Kept]) -> int:
    victim = system.one_of(kept)
    if victim is None or not victim.kill():
        raise NothingToBreak
    return 1


async def kill_postgres(system: System) -> int:
    """SIGKILL to the server and everything it started; then it comes back."""
    async with _alone(system, system.postgres):
        system.postgres.kill()
        await asyncio.sleep(system.rng.uniform(0.0, 2.0))
        await asyncio.to_thread(system.postgres.restart)
    return 1


async def kill_backend(system: System) -> int:
    """SIGKILL to one backend: the server throws everybody out and recovers."""
    async with _alone(system, system.postgres):
        if not system.postgres.kill_backend(system.rng):
            raise NothingToBreak
        await asyncio.sleep(1.0)
    return 1


async def kill_broker(system: System) -> int:
    """SIGKILL to the broker; then it comes back."""
    broker = system.broker
    if broker is None:
        raise NothingToBreak
    async with _alone(system, broker):
        await asyncio.to_thread(broker.kill)
        await asyncio.sleep(system.rng.uniform(0.0, 2.0))
        await asyncio.to_thread(broker.restart)
    return 1


@asynccontextmanager
async def _alone(system: System, server: object) -> AsyncIterator[None]:
    if server in system.busy:
        raise NothingToBreak
    async with system.taken(server):
        yield


async def seconds_until_due(system: System) -> int:
    """SIGSTOP to a process wherever it is, past its lease; then SIGCONT."""
    victim = system.one_of([*system.ingest, *system.extract, *system.publish])
    if victim is None:
        raise NothingToBreak
    async with system.taken(victim):
        victim.signal(signal.SIGSTOP)
        await asyncio.sleep(system.lease * system.rng.uniform(1.2, 2.0))
        victim.signal(signal.SIGCONT)
    return 0


async def pause_within_extraction(system: System) -> int:
    """A worker stops with a batch read, and goes on when another has committed what is in it."""
    return await _pause_within(system, system.extract)


async def pause_within_ingest(system: System) -> int:
    """A consumer stops with a batch read, and goes on when another has committed what is in it."""
    return await _pause_within(system, system.ingest)


async def _pause_within(system: System, kept: Sequence[Kept]) -> int:
    async with _stopped(system, kept) as victim:
        longest = OVERTAKING * system.lease
        held = system.held(victim.pid)
        late = held is not None and await _within(longest, partial(system.overtaken, held))
        victim.signal(signal.SIGCONT)
        if not late:
            raise NothingToBreak

        async def done() -> bool:
            return system.held(victim.pid) is None

        await _within(longest, done)
    return 0


async def _within(seconds: float, holds: Callable[[], Awaitable[bool | None]]) -> bool:
    """Waits at most so long for a condition; whether it came about."""
    deadline = monotonic() + seconds
    while monotonic() < deadline:
        if await holds():
            return True
        await asyncio.sleep(0.1)
    return False


async def kill_within_extraction(system: System) -> int:
    """SIGKILL to a worker that has a batch in its hands."""
    return await _kill_within(system, system.extract)


async def kill_within_ingest(system: System) -> int:
    """SIGKILL to a consumer that has a batch in its hands."""
    return await _kill_within(system, system.ingest)


async def _kill_within(system: System, kept: Sequence[Kept]) -> int:
    async with _stopped(system, kept) as victim:
        if not victim.kill():
            raise NothingToBreak
    return 1


@asynccontextmanager
async def _stopped(system: System, kept: Sequence[Kept]) -> AsyncIterator[Kept]:
    """A process that stopped itself with a batch in its hands."""
    victim = system.one_of(kept)
    if victim is None:
        raise NothingToBreak
    async with system.taken(victim):
        victim.signal(signal.SIGUSR1)

        async def stopped() -> bool:
            return victim.stopped

        if not await _within(TRAP_SECONDS, stopped):
            await _let_be(victim)
            raise NothingToBreak
        yield victim


async def _let_be(victim: Kept) -> None:
    """Nobody would let it go on if it stopped itself later."""
    victim.signal(signal.SIGUSR2)
    await asyncio.sleep(0.5)
    victim.signal(signal.SIGCONT)


async def cut_before_commit(system: System) -> int:
    """A connection breaks just before its COMMIT reaches the server."""
    return await _sprung(system, Trap(needle=b"COMMIT", passed=False))


async def cut_after_commit(system: System) -> int:
    """A connection breaks when its COMMIT has happened and was not answered yet."""
    return await _sprung(system, Trap(needle=b"COMMIT", passed=True))


async def cut_anywhere(system: System) -> int:
    """A connection breaks after some bytes, in the middle of whatever it is doing."""
    return await _sprung(system, Trap(after=system.rng.randrange(1, 50_000)))


async def hold_commit(system: System) -> int:
    """A connection goes silent before its COMMIT and goes on past the lease."""
    return await _sprung(system, Trap(needle=b"COMMIT", held=system.lease * 1.5))


async def _sprung(system: System, trap: Trap) -> int:
    proxy = system.rng.choice(system.proxies)
    async with _alone(system, proxy):
        proxy.set_trap(trap)
        try:
            await asyncio.wait_for(trap.sprung.wait(), TRAP_SECONDS)
        except TimeoutError:
            proxy.set_trap(None)
            raise NothingToBreak from None
        await asyncio.sleep(trap.held)
    return 0


async def cut_everything(system: System) -> int:
    """Every connection to Postgres breaks at once."""
    if not sum([proxy.cut_all() for proxy in system.proxies]):
        raise NothingToBreak
    return 0


async def rebalance(system: System) -> int:
    """One more ingest process joins, and leaves in good order."""
    if system.join is None or "join" in system.busy:
        raise NothingToBreak
    async with system.taken("join"):
        await system.join()
    return 0


KINDS: dict[Fault, int] = {
    kill_ingest: 8,
    kill_extract: 8,
    kill_producer: 4,
    kill_publish: 2,
    kill_postgres: 2,
    kill_backend: 3,
    kill_broker: 2,
    seconds_until_due: 2,
    pause_within_extraction: 2,
    pause_within_ingest: 2,
    kill_within_extraction: 2,
    kill_within_ingest: 2,
    cut_before_commit: 2,
    cut_after_commit: 2,
    cut_anywhere: 2,
    hold_commit: 1,
    cut_everything: 1,
    rebalance: 1,
}


@dataclass
class Killer:
    """Breaks a system until so many SIGKILLs were sent, and while it works.

    pace: mean seconds from one fault to the next; faults that take longer overlap.
    worked: how much was done so far; None where that cannot be told just now.
    step: how much has to be done between two faults, unless it takes far too long.
    only: the kinds of faults by name; none: all that are possible.
    """

    system: System
    kills: int
    pace: float
    worked: Callable[[], Awaitable[int | None]]
    step: float
    told: Callable[[str], None] = lambda _: None
    only: Sequence[str] = ()
    killed: int = 0
    done: Counter[str] = field(default_factory=Counter)
    tries: Counter[str] = field(default_factory=Counter)
    first: list[Fault] = field(default_factory=list)

    async def run(self, on_kill: Callable[[int], None]) -> None:
        """Returns once everything that was broken is whole again."""
        self.first = self._possible()
        self.system.rng.shuffle(self.first)
        async with asyncio.TaskGroup() as under_way:
            while (self.broken < self.kills or self.first) and self._worth_trying():
                kind = self.first.pop() if self.first else self._drawn()
                under_way.create_task(self._break(kind, on_kill))
                before = await self.worked()
                await asyncio.sleep(self.system.rng.expovariate(1 / self.pace))
                await self._more_than(before)

    async def direct(self, on_ready: Callable[[int], None]) -> None:
        """One fault after another; `on_ready` hears of the first, second … that waits for work."""
        for number in range(1, self.kills + TRIES):
            if self.broken == self.kills:
                return
            breaking = asyncio.create_task(self._break(self._drawn(), lambda _: None))
            await asyncio.sleep(READY_SECONDS)
            on_ready(number)
            await breaking

    def _worth_trying(self) -> bool:
        return self.tries.total() < HOPELESS * (self.kills + TRIES)

    @property
    def broken(self) -> int:
        """SIGKILLs so far; where no kind that is allowed sends any, faults of any kind."""
        killing = any(kind.__name__.startswith("kill") for kind in self._possible())
        return self.killed if killing else sum(self.done.values())

    async def _more_than(self, before: int | None) -> None:
        """Waits until more is done than before, so that the next fault meets work under way."""
        deadline = monotonic() + PATIENCE * self.pace
        while monotonic() < deadline:
            now = await self.worked()
            if now is not None and now >= (before or 0) + self.step:
                return
            await asyncio.sleep(0.1)

    def _drawn(self) -> Fault:
        possible = self._possible()
        (kind,) = self.system.rng.choices(possible, [KINDS[k] for k in possible])
        return kind

    def _possible(self) -> list[Fault]:
        missing = set() if self.system.broker else {kill_broker}
        if not self.system.ingest:
            missing |= {kill_ingest, kill_within_ingest, pause_within_ingest, rebalance}
        if not self.system.publish:
            missing |= {kill_publish}
        possible = [kind for kind in KINDS if kind not in missing]
        return [kind for kind in possible if not self.only or kind.__name__ in self.only]

    async def _break(self, kind: Fault, on_kill: Callable[[int], None]) -> None:
        name = kind.__name__
        try:
            kills = await kind(self.system)
        except NothingToBreak:
            self.tries[name] += 1
            if self.done[name] == 0 and self.tries[name] < TRIES:
                self.first.append(kind)
            self.told(f"{name}: nothing to break")
            return
        self.killed += kills
        self.done[name] += 1
        self.told(f"{name} ({self.broken} of {self.kills})")
        on_kill(self.broken)
