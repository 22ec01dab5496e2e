"""The ingestion loop: polls a consumer group, applies records, and waits out passing failures."""

import logging
from collections.abc import Callable
from threading import Event
from time import monotonic

from consumers.ingest.options import IngestOptions
from consumers.ingest.session import ConsumerSession, open_session
from consumers.ingest.store import Counts
from memory.backoff import backoff
from memory.errors import ConcurrentWrite, ExperientialMemoryError, StoreUnavailable
from memory.settings import Settings

logger = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0
"""Seconds between two tries, doubling."""


class Trouble:
    """Failures in a row: how long to wait after each, and what to log once they are over."""

    def __init__(self) -> None:
        self._failures = 0
        self._since = 0.0

    def again(self) -> float:
        """Returns the seconds to wait now."""
        if not self._failures:
            self._since = monotonic()
        self._failures += 1
        return backoff(self._failures - 1, first=FIRST_WAIT, longest=LONGEST_WAIT)

    def over(self) -> None:
        """Ends the row of failures."""
        if self._failures:
            seconds = monotonic() - self._since
            logger.warning("ingest goes on after %d tries, %.1f s", self._failures, seconds)
        self._failures = 0


class Ingest:
    """Applies a topic to the log until it is stopped; `stop` may be called from anywhere.

    `locate` returns the database's URL, checked to be at this release.
    """

    def __init__(
        self,
        settings: Settings,
        locate: Callable[[], str],
        options: IngestOptions,
        progress: Callable[[Counts], None] = lambda _: None,
    ) -> None:
        self.done = Counts()
        self._settings = settings
        self._locate = locate
        self._options = options
        self._progress = progress
        self._stopping = Event()
        self._trouble = Trouble()

    def stop(self) -> None:
        """Lets the current batch finish, then ends `run`."""
        self._stopping.set()

    def run(self) -> Counts:
        """Ingests; returns the counts of records once it was stopped or drained.

        It waits out passing failures for ever.

        Raises:
            BrokenStream: the topic does not continue at the log's position.
            ConfigurationError: brokers or database do not let this process work.
        """
        while not self._stopping.is_set():
            try:
                self._membership()
            except ExperientialMemoryError as error:
                if not error.retriable:
                    raise
                self._wait(error)
            else:
                break
        return self.done

    def _membership(self) -> None:
        """Follows the topic as one member of the group, until the session ends."""
        session = open_session(self._settings, self._locate(), self._options, self._count)
        try:
            while not self._stopping.is_set():
                try:
                    went_on = session.step()
                except (StoreUnavailable, ConcurrentWrite) as error:
                    if session.failed:
                        raise
                    self._hold(session, error)
                    continue
                if not went_on and self._options.drain and session.drained():
                    return
        finally:
            session.close()

    def _count(self, counts: Counts) -> None:
        self._trouble.over()
        self.done.add(counts)
        self._progress(self.done)

    def _hold(self, session: ConsumerSession, error: ExperientialMemoryError) -> None:
        """Keeps the partitions while the database is away.

        Raises:
            PositionLost, BusUnavailable: they could not be kept.
        """
        session.pause()
        while not self._stopping.is_set():
            self._wait(error, session.stay)
            try:
                session.reconnect()
            except StoreUnavailable as again:
                error = again
            else:
                return

    def _wait(
        self, error: ExperientialMemoryError, pause: Callable[[float], object] | None = None
    ) -> None:
        delay = self._trouble.again()
        logger.warning("ingest waits %.1f s: %s", delay, error)
        deadline = monotonic() + delay
        while (left := deadline - monotonic()) > 0 and not self._stopping.is_set():
            (pause or self._stopping.wait)(left)
