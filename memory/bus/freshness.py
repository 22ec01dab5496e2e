"""Freshness: waits until the store shows the interaction of a receipt.

A receipt with a position waits for that position in the log. A receipt with a place on the bus
waits for its id, until it is in the log or ingestion has passed its place. A standby replays both
in the primary's order, so both work there.
"""

from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import assert_never

import anyio

from memory.backoff import backoff
from memory.database import StatementRunner
from memory.errors import NotApplied
from memory.log.interactions import Position, position_of, settled_call
from memory.models import Receipt, Scope

TIMEOUT = 5.0
"""Seconds to wait if a caller names a receipt and no time."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.002, 0.1
"""Seconds between two looks, as `backoff` spreads them; no connection is held in between."""


class WaitUntil(StrEnum):
    """The end of a wait: the log holds the interaction, or extraction has processed it."""

    RECORDED = "recorded"
    EXTRACTED = "extracted"


@dataclass(frozen=True, slots=True)
class WaitResult:
    """The result of a wait.

    fresh: whether the awaited state was reached; true without a wait.
    seconds: how long the wait took.
    position: of the interaction in the user's log; 0 if it is not there.
    """

    fresh: bool = True
    seconds: float = 0.0
    position: int = 0


NOT_WAITED = WaitResult()


class Freshness:
    """Waits for receipts, over one database role."""

    def __init__(self, database: StatementRunner) -> None:
        self._database = database

    async def wait(
        self, scope: Scope, after: Receipt | None, until: WaitUntil, timeout: float = TIMEOUT
    ) -> WaitResult:
        """Returns once the state is reached, or after `timeout` seconds; looks at least once."""
        if after is None:
            return NOT_WAITED
        began = monotonic()
        looks = 0
        while True:
            position = await self._reached(scope, after, until)
            waited = monotonic() - began
            if position is not None or waited >= timeout:
                return WaitResult(position is not None, waited, position or 0)
            pause = backoff(looks, first=SHORTEST_PAUSE, longest=LONGEST_PAUSE)
            await anyio.sleep(min(pause, timeout - waited))
            looks += 1

    async def require(self, scope: Scope, receipt: Receipt, timeout: float) -> None:
        """Waits until the log holds the interaction, or certainly never will.

        Raises:
            NotApplied: neither within `timeout` seconds.
        """
        if not (await self.wait(scope, receipt, WaitUntil.RECORDED, timeout)).fresh:
            raise NotApplied(
                f"interaction {receipt.interaction_id!r} is on its way at {receipt.place} and was"
                f" not in the log after {timeout} s; is `memory ingest` running?"
            )

    async def _reached(self, scope: Scope, after: Receipt, until: WaitUntil) -> int | None:
        """The interaction's position; 0 if it will never have one, None if not reached yet."""
        if after.position or after.place is None:
            rows = await self._database.fetch(scope, "log.position")
            return after.position if _has_come(position_of(rows), after.position, until) else None
        settled, rows = await self._database.fetch_all(
            scope, [settled_call([after]), ("log.position", {})]
        )
        if not settled:
            return None
        position = settled[0]["position"] or 0
        return position if _has_come(position_of(rows), position, until) else None


def _has_come(position: Position, needed: int, until: WaitUntil) -> bool:
    match until:
        case WaitUntil.RECORDED:
            return position.recorded >= needed
        case WaitUntil.EXTRACTED:
            return position.extracted >= needed
    assert_never(until)
