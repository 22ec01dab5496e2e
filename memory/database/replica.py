"""Reading from a standby, with the primary in its place while it is away.

A standby shows what it has replayed, so it answers as the primary did a moment before. Statements
that write fail there.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from itertools import count
from typing import Any

from anyio import sleep

from memory.backoff import backoff
from memory.database.binding import DatabaseRole
from memory.database.pipeline import Calls, Rows
from memory.database.transactions import Database, StatementRunner
from memory.errors import (
    ConcurrentWrite,
    ExperientialMemoryError,
    LockTimeout,
    LoginRefused,
    NotMigrated,
    PoolExhausted,
    StoreUnavailable,
)
from memory.settings import Settings

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
"""Seconds between two tries to reach a standby that is away, as `backoff` spreads them."""


class ReadDatabase(StatementRunner):
    """Runs reading statements on a standby.

    `connect` returns an open pool of it. `primary`, if given, serves while the standby is away; no
    call waits for the tries to reach it again.
    """

    def __init__(
        self,
        settings: Settings,
        role: DatabaseRole,
        connect: Callable[[], Awaitable[Database]],
        primary: StatementRunner | None = None,
    ) -> None:
        super().__init__(settings, role)
        self._role = role
        self._connect = connect
        self._primary = primary
        self._standby: Database | None = None
        self._returning: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connects to the standby; a primary that may serve in its place excuses its absence.

        Raises:
            StoreUnavailable: the standby cannot be reached.
            NotMigrated: it has not replayed the migrations of this release.
            ConfigurationError: it refuses the login, or is at another release.
        """
        try:
            self._standby = await self._connect()
        except LoginRefused:
            raise  # at the start it is a fault of the installation, which the primary would hide
        except (StoreUnavailable, NotMigrated) as error:
            if self._primary is None:
                raise
            self._leave(None, error)

    async def close(self) -> None:
        """Disconnects from the standby; the primary belongs to the caller."""
        if self._returning is not None:
            self._returning.cancel()
            with suppress(asyncio.CancelledError):
                await self._returning
        if self._closing is not None:
            await self._closing
        if self._standby is not None:
            await self._standby.close()

    async def run(self, calls: Calls) -> list[Rows]:
        """Runs as `StatementRunner.run`, on the standby if it is there.

        Raises:
            StoreUnavailable: neither can be reached, or replay cancelled the statements twice.
        """
        standby = self._standby
        if standby is not None:
            try:
                return await _undisturbed(standby, calls)
            except (LockTimeout, PoolExhausted):
                raise  # what is too much there would be on the primary, too
            except StoreUnavailable as error:
                if self._primary is None:
                    raise
                if not isinstance(error.__cause__, ConcurrentWrite):
                    self._leave(standby, error)
        if self._primary is None:
            raise StoreUnavailable("the standby is not connected")
        return await self._primary.run(calls)

    async def check(self) -> None:
        """Replaces dead connections."""
        for database in (self._standby, self._primary):
            if database is not None:
                await database.check()

    def _leave(self, standby: Database | None, error: ExperientialMemoryError) -> None:
        """Lets the primary serve until the standby answers again.

        That may be at once: replay ends connections, too, where cancelling a statement is not
        enough.
        """
        if self._returning is not None or self._standby is not standby:
            return  # another call was first
        logger.info("the standby did not answer: %s", error)
        self._standby = None
        if standby is not None:  # who waits for a connection of it goes to the primary now
            self._closing = self._start(standby.close(), "leaving")
        self._returning = self._start(self._return(), "returning")

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Starts a task under a name like those of a pool's tasks, as `silence` expects."""
        return asyncio.create_task(work, name=f"{self._role.value}-{name}")

    async def _return(self) -> None:
        for attempt in count():
            try:
                self._standby = await self._connect()
                break
            except ExperientialMemoryError as error:
                if attempt == 0:
                    logger.warning("the primary serves reads: the standby is away: %s", error)
            await sleep(backoff(attempt, first=FIRST_PAUSE, longest=LONGEST_PAUSE))
        self._returning = None
        if attempt:
            logger.warning("the standby serves reads again")


async def _undisturbed(standby: Database, calls: Calls) -> list[Rows]:
    """Runs statements, and once more if replay cancelled them to go on.

    Statements that only read meet no other conflict.
    """
    with suppress(ConcurrentWrite):
        return await standby.run(calls)
    try:
        return await standby.run(calls)
    except ConcurrentWrite as error:
        cause = str(error).splitlines()[0]
        raise StoreUnavailable(
            f"the standby cancelled a read twice: {cause}; hot_standby_feedback = on or a longer"
            " max_standby_streaming_delay there avoids it"
        ) from error
