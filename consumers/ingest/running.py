"""The ingestion loop: polls a consumer group, applies records, and waits out passing failures."""

import logging
from collections.abc import Callable
from dataclasses import replace
from threading import Event
from time import monotonic

from consumers.ingest.options import IngestOptions
from consumers.ingest.session import ConsumerSession, open_session
from consumers.ingest.store import Counts
from consumers.runtime.health import Health
from memory.backoff import backoff
from memory.errors import (
    BusUnavailable,
    ConcurrentWrite,
    ConfigurationError,
    ExperientialMemoryError,
    StoreUnavailable,
)
from memory.settings import Settings

logger = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0
"""Seconds between two tries, doubling."""

REPORT_SECONDS = 60.0
"""Seconds between two log lines of normal work."""


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
            logger.warning(
                "ingest goes on after %d tries, %.1f s",
                self._failures,
                seconds,
                extra={"event": "ingest_goes_on"},
            )
        self._failures = 0


class Reported:
    """What was done when the last line was logged, and when that was."""

    def __init__(self, done: Counts) -> None:
        self._done = replace(done)
        self._at = monotonic()

    def due(self) -> bool:
        """Whether it is time for another line."""
        return monotonic() - self._at >= REPORT_SECONDS

    def tell(self, done: Counts, behind: int) -> None:
        """Logs what was done since the last line; `behind`: messages that wait in the topic."""
        before, self._done, self._at = self._done, replace(done), monotonic()
        figures = {
            "records": done.records - before.records,
            "appended": done.appended - before.appended,
            "dead_letters": done.set_aside - before.set_aside,
            "behind": behind,
        }
        logger.info(
            "ingested %(records)d records, %(appended)d of them appended; %(behind)d wait in this"
            " process's partitions",
            figures,
            extra={"event": "ingesting", "figures": figures},
        )


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
        health: Health | None = None,
    ) -> None:
        self.done = Counts()
        self._health = health or Health("ingest")
        self._reported = Reported(self.done)
        self._settings = settings
        self._locate = locate
        self._options = options
        self._progress = progress
        self._stopping = Event()
        self._session: ConsumerSession | None = None
        self._trouble = Trouble()

    def stop(self) -> None:
        """Ends `run` once the current batch is finished, or given up: the store may be silent."""
        self._stopping.set()
        if self._session is not None:
            self._session.stop()

    def run(self) -> Counts:
        """Ingests; returns the counts of records once it was stopped or drained.

        It waits out passing failures for ever, a refused login among them unless it drains.

        Raises:
            BrokenStream: the topic does not continue at the log's position.
            ConfigurationError: brokers or database do not let this process work.
        """
        while not self._stopping.is_set():
            self._health.beat()
            try:
                self._membership()
            except ExperientialMemoryError as error:
                if not error.retriable or self._refused_at_once(error):
                    raise
                self._wait(error)
            else:
                break
        return self.done

    def _refused_at_once(self, error: ExperientialMemoryError) -> bool:
        """Whether a run that is to end by itself meets a refused login: nobody waits for it."""
        return self._options.drain and isinstance(error, ConfigurationError)

    def _membership(self) -> None:
        """Follows the topic as one member of the group, until the session ends."""
        session = open_session(self._settings, self._locate(), self._options, self._count)
        self._session = session
        try:
            while not self._stopping.is_set():
                self._health.beat()
                try:
                    went_on = session.step()
                except (StoreUnavailable, ConcurrentWrite) as error:
                    if session.failed:
                        raise
                    self._hold(session, error)
                    continue
                self._worked(session)
                if not went_on and self._options.drain and session.drained():
                    return
        finally:
            session.close()

    def _count(self, counts: Counts) -> None:
        self._trouble.over()
        self.done.add(counts)
        self._progress(self.done)

    def _worked(self, session: ConsumerSession) -> None:
        self._health.works()
        self._health.about["partitions"] = session.partitions
        if self._reported.due():
            self._reported.tell(self.done, session.behind())

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
        logger.warning("ingest waits %.1f s: %s", delay, error, extra={"event": "ingest_waits"})
        self._health.waits("brokers" if isinstance(error, BusUnavailable) else "store", error)
        deadline = monotonic() + delay
        while (left := deadline - monotonic()) > 0 and not self._stopping.is_set():
            self._health.beat()
            (pause or self._stopping.wait)(left)
