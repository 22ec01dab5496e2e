"""Wake-ups: a loop sleeps until the store notifies it, and also looks from time to time."""

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial

import anyio

from consumers.runtime.task_groups import beside
from memory.backoff import backoff, spread
from memory.database import Database
from memory.errors import StoreUnavailable

logger = logging.getLogger(__name__)

POLL_SECONDS = 30.0
"""The longest sleep, in case a notification was lost."""

SETTLE_SECONDS = 1.0
"""The longest sleep after a notification: a commit in progress may not have sent its own yet."""

FIRST_WAIT, LONGEST_WAIT = 0.2, 30.0
"""Seconds before a listening connection is opened again: doubling from the first to the second."""


class Wakeups:
    """The notifications on one channel; any number of loops may wait for them."""

    def __init__(self) -> None:
        self._heard = anyio.Event()

    def hear(self) -> None:
        """Wakes all waiting loops."""
        self._heard.set()
        self._heard = anyio.Event()

    def expected(self) -> anyio.Event:
        """Returns the next notification; call it before looking for work, to miss none."""
        return self._heard


@asynccontextmanager
async def listening(database: Database, statement: str) -> AsyncIterator[Wakeups]:
    """Listens while the block runs; opens a broken connection again."""
    wakeups = Wakeups()
    async with beside(partial(_listen, database, statement, wakeups)):
        yield wakeups


async def _listen(database: Database, statement: str, wakeups: Wakeups) -> None:
    attempt = 0
    while True:
        try:
            async with aclosing(database.listen(statement, beat=POLL_SECONDS)) as heard:
                async for _ in heard:
                    attempt = 0
                    wakeups.hear()  # also once it listens: what came before went unheard
        except StoreUnavailable as error:
            logger.info("listening waits: %s", error)
        await anyio.sleep(backoff(attempt, first=FIRST_WAIT, longest=LONGEST_WAIT))
        attempt += 1


async def sleep(expected: anyio.Event, seconds: float, *, after: float = 0.0) -> bool:
    """Sleeps for `seconds`, or until `after` seconds past a notification; returns if one came."""
    with anyio.move_on_after(spread(seconds)) as slept:
        await expected.wait()
        await anyio.sleep(after)
    return not slept.cancelled_caught or expected.is_set()
