"""Lanes: lets a worker's loops go on to other users while some of them are slow.

A worker has as many slots as users to extract at once, and one that is kept for tenants that used
little of the worker lately. A loop needs a slot to take users. One whose user takes long gives its
slot to a spare loop, and gets one again when it is done. So a slow text, a lock that is waited for,
or a flood delays neither the other users of its tenant nor other tenants.
"""

import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from time import monotonic

import anyio

from consumers.runtime.task_groups import beside

OVERTIME_SECONDS = 0.25
"""After this long with one user, a loop leaves its slot to a spare loop."""

SPARE = 3
"""Loops beyond the slots: users at most that take long while others are extracted beside them."""

HALF_LIFE_SECONDS = 10.0
"""What a tenant used counts half as much after this time."""

HEAVY_SHARE = 1 / 3
"""A tenant that used this much of what the heaviest did is heavy too."""

NO_LONGER = 0.001
"""Seconds of use that no longer count."""

MOST_HEAVY = 100
"""Heavy tenants that the kept slot passes over: the heaviest."""


def loops(at_once: int) -> int:
    """Returns how many loops a worker that follows runs for `at_once` users at once."""
    return at_once + 1 + SPARE


class TenantUse:
    """The seconds that a worker spent on each tenant lately."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._spent: dict[str, tuple[float, float]] = {}  # seconds, and as of when
        self._working: dict[int, tuple[str, float]] = {}
        self._numbers = count()

    def began(self, tenant: str) -> int:
        """Says that work on a user of `tenant` begins; returns its number for `ended`."""
        number = next(self._numbers)
        self._working[number] = tenant, self._clock()
        return number

    def ended(self, number: int) -> None:
        """Says that the work of this number is over."""
        tenant, began = self._working.pop(number)
        now = self._clock()
        self._spent[tenant] = self._left(tenant, now) + now - began, now

    def heavy(self) -> Sequence[str]:
        """Returns the tenants that used the most, the heaviest first; [] if none used anything."""
        now = self._clock()
        left = {tenant: self._left(tenant, now) for tenant in self._spent}
        used = {tenant: seconds for tenant, seconds in left.items() if seconds > NO_LONGER}
        self._spent = {tenant: self._spent[tenant] for tenant in used}
        for tenant, began in self._working.values():
            used[tenant] = used.get(tenant, 0.0) + now - began
        least = HEAVY_SHARE * max(used.values(), default=0.0)
        heavy = [tenant for tenant in used if used[tenant] >= least]
        return sorted(heavy, key=lambda tenant: -used[tenant])[:MOST_HEAVY]

    def _left(self, tenant: str, now: float) -> float:
        seconds, since = self._spent.get(tenant, (0.0, now))
        return seconds * math.exp2((since - now) / HALF_LIFE_SECONDS)


@dataclass(slots=True)
class Slot:
    """The right of one loop to take users.

    held: whether the loop has it now; it passes to another loop while a user takes long.
    kept: whether it is for tenants that used little.
    """

    held: bool = False
    kept: bool = False


class Lanes:
    """The slots of one worker; its loops wait for them."""

    def __init__(self, at_once: int, use: TenantUse | None = None) -> None:
        self._at_once = at_once
        self._use = use or TenantUse()
        self._free = [True, *[False] * at_once]  # whether it is the kept one, which goes last
        self._slots = anyio.Semaphore(len(self._free))
        self._busy = 0  # slots with a user, without the kept one
        self._all_busy = anyio.Event()
        self._overtime = 0

    async def ready(self, slot: Slot) -> None:
        """Waits until the loop has a slot, and with the kept one until all others have users."""
        if not slot.held:
            await self._slots.acquire()
            slot.held, slot.kept = True, self._free.pop()
        while slot.kept and self._busy < self._at_once:
            await self._all_busy.wait()

    def leave(self, slot: Slot) -> None:
        """Gives the slot back, if the loop has it."""
        if slot.held:
            slot.held = False
            self._free = sorted([*self._free, slot.kept], reverse=True)
            self._slots.release()

    def passed_over(self, slot: Slot) -> Sequence[str]:
        """Returns the tenants whose users the slot does not take now."""
        return self._use.heavy() if slot.kept else ()

    @asynccontextmanager
    async def working(self, slot: Slot, tenant: str) -> AsyncIterator[None]:
        """Counts the block as work on a user of `tenant`; leaves the slot if it takes long."""
        number = self._use.began(tenant)
        self._count(not slot.kept)
        try:
            async with beside(partial(self._leave_late, slot)):
                yield
        finally:
            self._use.ended(number)
            if slot.held:
                self._count(-(not slot.kept))
            else:
                self._overtime -= 1

    def _count(self, busy: int) -> None:
        self._busy += busy
        if self._busy >= self._at_once:
            self._all_busy.set()
            self._all_busy = anyio.Event()

    async def _leave_late(self, slot: Slot) -> None:
        await anyio.sleep(OVERTIME_SECONDS)
        if self._overtime < SPARE:
            self._overtime += 1
            self._count(-(not slot.kept))
            self.leave(slot)
