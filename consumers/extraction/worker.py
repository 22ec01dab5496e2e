"""The extraction worker: leases users, runs extractors over new interactions, commits memories.

A worker extracts users one after another, or several at once. It extracts each user as a whole, so
a user's sessions never race. Every commit checks the lease; a worker that was too slow commits
nothing.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import entry_points
from itertools import count
from math import inf
from time import monotonic

import anyio

from consumers.extraction.derivation import Derivation, ExtractionReport, Yielded, is_trouble
from consumers.extraction.lanes import Lanes, Slot, loops
from consumers.extraction.leases import (
    FIRST_RETRY,
    Lease,
    Leases,
    UserFilter,
    fail,
)
from consumers.extraction.reading_apart import Processes, read_apart
from consumers.generations.registry import Generation, followed_generations
from consumers.operations import usage
from consumers.runtime import logs, wakeups
from consumers.runtime.health import Health
from consumers.runtime.task_groups import beside, together
from consumers.runtime.wakeups import Wakeups
from extractors.language_model.conflicts import ConflictResolver
from extractors.protocol import ENTRY_POINT_GROUP, Extractor
from memory.backoff import backoff
from memory.beliefs.long_term import LongTerm
from memory.client.arguments import check_part
from memory.database import Database
from memory.embedding import Embedder
from memory.errors import (
    ConcurrentWrite,
    ConfigurationError,
    ExperientialMemoryError,
    InvalidInput,
    LeaseLost,
    LockTimeout,
    StatementTimeout,
    StoreUnavailable,
)
from memory.log.plain_json import shown
from memory.settings import Settings, settings_of

logger = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0
"""Seconds between two tries while the store or the embedder is in trouble, doubling."""

AT_ONCE = 2
"""Users that a command extracts at once: the worker embeds one's texts while it reads and commits
another's."""

REPORT_SECONDS = 60.0
"""Seconds between two log lines of a worker that follows."""

COUNT_SECONDS = 300.0
"""Seconds between two counts of what the tenants use."""

TICK_SECONDS, LATE_SECONDS = 1.0, 60.0
"""How often the event loop says that it runs, and how long it may not."""

USER_SECONDS = 900.0
"""How long a worker may take from one commit of a user to the next: a model may be slow."""

USER_TURN_SECONDS = 2.0
"""After this long, a user with more to extract goes to the end of the line at its next commit."""

LEAST_PAUSE = 0.05
"""Seconds between two looks for work: a due user may be locked by its own writer."""


def installed_extractors(settings: Settings) -> list[Extractor]:
    """Returns every extractor that an installed package offers, in the order of their names.

    An extractor is left out if these settings lack what it needs, such as a model.
    """
    entries = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name)
    settings = settings_of(settings)
    made = [entry.load()(settings) for entry in entries]
    return [extractor for extractor in made if extractor is not None]


class Worker:
    """Extracts one user after another, with the worker's role.

    resolver: decides the conflicts that the rules leave open; without one they stay open.
    done: the report on the live generation.
    beside: the report on the shadows that are kept up with it.
    health: told of each step while the worker follows.

    Raises:
        InvalidInput: an argument is not what its type says.
    """

    def __init__(
        self,
        database: Database,
        embedder: Embedder,
        extractors: Sequence[Extractor],
        settings: Settings,
        progress: Callable[[ExtractionReport], None] = lambda _: None,
        resolver: ConflictResolver | None = None,
    ) -> None:
        settings = settings_of(settings)
        if not isinstance(database, Database):
            raise InvalidInput(f"database must be a Database, got {shown(database)}")
        if not isinstance(extractors, Sequence):
            raise InvalidInput(f"extractors must be a list, got {shown(extractors)}")
        for extractor in extractors:
            check_part("an extractor", extractor, "extract")
        check_part("embedder", embedder, "embed")
        check_part("progress", progress, "__call__")
        if resolver is not None:
            check_part("resolver", resolver, "keeping")
        self.database = database
        self.long_term = LongTerm(database, embedder, settings.language)
        self.extractors = extractors
        self._processes = Processes()
        self._resolver = resolver
        self._settings = settings
        self._progress = progress
        self.done = ExtractionReport()
        self.beside = ExtractionReport()
        self.health = Health("extract")

    async def drain(
        self, tenant: str | None = None, user: str | None = None, *, at_once: int = 1
    ) -> ExtractionReport:
        """Extracts until no user is due, without waiting for users to fall quiet.

        Raises:
            StoreUnavailable, EmbeddingFailed: a passing problem; run it again.
        """
        began = monotonic()
        leases = Leases(self.database, self._settings, UserFilter(tenant, user))
        await together(at_once, partial(self._drain, leases))
        self.done.seconds = monotonic() - began
        return self.done

    async def _drain(self, leases: Leases) -> None:
        while lease := await leases.acquire(0.0):
            await self._work(leases, lease)

    async def follow(
        self, tenant: str | None = None, user: str | None = None, *, at_once: int = 1
    ) -> None:
        """Extracts every user who falls quiet, for ever; waits while the store or embedder is away.

        When it is stopped from outside, it releases its users at once.
        """
        leases = Leases(self.database, self._settings, UserFilter(tenant, user))
        lanes, numbers = Lanes(at_once), count(1)
        async with (
            wakeups.listening(self.database, "leases.listen") as heard,
            beside(self._tick, partial(self._report, leases), self._count),
        ):
            following = partial(self._follow, leases, lanes, heard, numbers)
            await together(loops(at_once), following)

    async def _tick(self) -> None:
        while True:
            self.health.beat("event loop", within=LATE_SECONDS)
            await anyio.sleep(TICK_SECONDS)

    async def _count(self) -> None:
        """Counts what the tenants use; another worker may do so as well."""
        while True:
            try:
                await usage.count_all(self.database)
            except ExperientialMemoryError as error:
                if not error.retriable:
                    raise
                logger.warning("counting waits: %s", error, extra={"event": "counting_waits"})
            await anyio.sleep(COUNT_SECONDS)

    async def _report(self, leases: Leases) -> None:
        """Logs once a minute what was done since, and how long the oldest user has waited."""
        users, interactions = self.done.users, self.done.interactions
        while True:
            await anyio.sleep(REPORT_SECONDS)
            lag = await leases.lag_seconds()
            figures = {
                "interactions": self.done.interactions - interactions,
                "users": self.done.users - users,
                "lag_seconds": lag,
            }
            users, interactions = self.done.users, self.done.interactions
            logger.info(
                "extracted %(interactions)d interactions of %(users)d users; the oldest user has"
                " waited %(lag_seconds)s s",
                figures,
                extra={"event": "extracting", "figures": figures},
            )

    async def _follow(
        self, leases: Leases, lanes: Lanes, heard: Wakeups, numbers: Iterator[int]
    ) -> None:
        loop, slot = f"users {next(numbers)}", Slot()
        quiet, trouble, woken = self._settings.debounce, 0, False
        while True:
            self.health.end(loop)
            await lanes.ready(slot)
            self.health.beat(loop, within=USER_SECONDS)
            expected, passed_over = heard.expected(), lanes.passed_over(slot)
            try:
                if lease := await leases.acquire(quiet, passed_over):
                    self.health.works()
                    async with lanes.working(slot, lease.scope.tenant):
                        await self._work(leases, lease)
                    trouble = 0
                    continue
                longest = wakeups.SETTLE_SECONDS if woken else wakeups.POLL_SECONDS
                seconds_until_due = await leases.seconds_until_due(quiet, longest, passed_over)
            except ExperientialMemoryError as error:
                if not error.retriable:
                    raise
                logger.warning("extraction waits: %s", error, extra={"event": "extraction_waits"})
                self.health.waits(_server(error), error)
                await anyio.sleep(backoff(trouble, first=FIRST_WAIT, longest=LONGEST_WAIT))
                trouble += 1
            else:
                trouble = 0
                self.health.works()
                # Who turned due just now is not to be taken before the time of being quiet is up.
                woken = await wakeups.sleep(
                    expected, max(LEAST_PAUSE, seconds_until_due), after=quiet
                )

    async def _work(self, leases: Leases, lease: Lease) -> None:
        try:
            with logs.about(tenant=lease.scope.tenant):
                async with leases.renewing(lease):
                    await self._extract_user(lease)
        except (LeaseLost, ConcurrentWrite) as error:
            # Nothing was committed that was not ours to commit; who holds the user now goes on.
            logger.info("user %r: %s", lease.scope.user, error)
            await leases.release(lease, 0.0)
        except Yielded:
            await leases.release(lease, 0.0)
            self._progress(self.done)
            return
        except ExperientialMemoryError as error:
            if is_trouble(error):
                await leases.release(lease, FIRST_RETRY)
                raise
            with logs.about(tenant=lease.scope.tenant):
                await self._refused(leases, lease, error)
        except BaseException:  # this process is being stopped
            await leases.release_now(lease)
            raise
        else:
            await leases.release(lease)
        self.done.users += 1
        self._progress(self.done)

    async def _refused(self, leases: Leases, lease: Lease, error: ExperientialMemoryError) -> None:
        """Counts an attempt at a user whose work failed outside any session; others go on."""
        logger.warning("user %r: %s", lease.scope.user, error, extra={"event": "user_failed"})
        self.done.failures += 1
        live, *_ = await followed_generations(self.database)
        try:
            await fail(
                self.database, self._settings, lease, generation=live.id, session=None, error=error
            )
            await leases.release(lease)
        except (LeaseLost, LockTimeout, StatementTimeout) as still:
            logger.warning("user %r: %s", lease.scope.user, still)  # its lease runs out

    async def _extract_user(self, lease: Lease) -> None:
        live, *shadows = await followed_generations(self.database)
        # A throttled tenant would pay again for what it has paid for, each time the user gives way.
        ends = inf if lease.paid else monotonic() + USER_TURN_SECONDS

        async def between(_: int) -> None:
            if monotonic() > ends:
                raise Yielded

        await self.derivation(live, self.done).user(lease, between)
        for shadow in shadows:
            await self._follow_beside(lease, shadow)

    async def _follow_beside(self, lease: Lease, shadow: Generation) -> None:
        """Keeps a shadow up; a problem with its extractors must not stop the live generation."""
        try:
            derivation = self.derivation(shadow, self.beside)
            await derivation.user(lease)
            await derivation.note(lease)
        except ConfigurationError as error:
            if error.retriable:  # a refused login is no matter of the generation
                raise
            logger.warning("generation %r falls behind: %s", shadow.name, error)

    def derivation(self, generation: Generation, done: ExtractionReport) -> Derivation:
        """Returns the derivation of a generation with this worker's extractors.

        Raises:
            GenerationMismatch: other extractors make the generation.
        """
        return Derivation(
            self.database,
            self.long_term,
            generation,
            read_apart(self.extractors, self._processes),
            self._settings,
            done,
            lambda _: self._progress(self.done),
            self._resolver,
        )


def _server(error: ExperientialMemoryError) -> str:
    return "store" if isinstance(error, StoreUnavailable) else "model or embedder"
