"""Extraction: leases a user, runs extractors over what is new, commits memories with progress.

A worker has users one after another, or several at once, and each whole, so that a user's sessions
never race. Every commit checks the lease; a worker that was too slow commits nothing.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import entry_points
from time import monotonic

import anyio

from consumers.extraction.derivation import Derivation, ExtractionReport
from consumers.extraction.leases import (
    FIRST_RETRY,
    Lease,
    Leases,
    UserFilter,
)
from consumers.generations.registry import Generation, followed_generations
from consumers.runtime import wakeups
from consumers.runtime.task_groups import together
from consumers.runtime.wakeups import Wakeups
from extractors.language_model.conflicts import ConflictResolver
from extractors.protocol import ENTRY_POINT_GROUP, Extractor
from memory.backoff import backoff
from memory.beliefs.long_term import LongTerm
from memory.database import Database
from memory.embedding import Embedder
from memory.errors import ConcurrentWrite, ConfigurationError, ExperientialMemoryError, LeaseLost
from memory.settings import Settings

logger = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0
"""Seconds between two tries while the store or the embedder is in trouble, doubling."""

AT_ONCE = 2
"""Users that a command extracts at once: one's texts are embedded while another's are read and
committed."""

LEAST_PAUSE = 0.05
"""Seconds between two looks for work: whose turn it is may be locked by its own writer."""


def installed_extractors(settings: Settings) -> list[Extractor]:
    """Every extractor that an installed package offers, in the order of their names.

    One to which these settings give nothing to work with, such as a model, is left out.
    """
    entries = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name)
    made = [entry.load()(settings) for entry in entries]
    return [extractor for extractor in made if extractor is not None]


class Worker:
    """Extracts for one user after another, over the worker's role.

    resolver: decides conflicts that the rules leave open; without one they stay open.
    done: of the live generation; beside: of shadows that are kept up with it.
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
        self.database = database
        self.long_term = LongTerm(database, embedder, settings.language)
        self.extractors = extractors
        self._resolver = resolver
        self._settings = settings
        self._progress = progress
        self.done = ExtractionReport()
        self.beside = ExtractionReport()

    async def drain(
        self, tenant: str | None = None, user: str | None = None, *, at_once: int = 1
    ) -> ExtractionReport:
        """Extracts until no user is due, without waiting for them to fall quiet.

        Raises:
            StoreUnavailable, EmbeddingFailed: trouble that is nobody's fault; run it again.
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
        """Extracts whoever falls quiet, for ever; trouble of the store or embedder is waited out.

        Stopped from outside, it gives its users back at once.
        """
        leases = Leases(self.database, self._settings, UserFilter(tenant, user))
        async with wakeups.listening(self.database, "leases.listen") as heard:
            await together(at_once, partial(self._follow, leases, heard))

    async def _follow(self, leases: Leases, heard: Wakeups) -> None:
        quiet, trouble, woken = self._settings.debounce, 0, False
        while True:
            expected = heard.expected()
            try:
                while lease := await leases.acquire(quiet):
                    await self._work(leases, lease)
                    trouble = 0
                longest = wakeups.SETTLE_SECONDS if woken else wakeups.POLL_SECONDS
                seconds_until_due = await leases.seconds_until_due(quiet, longest)
            except ExperientialMemoryError as error:
                if not error.retriable:
                    raise
                logger.warning("extraction waits: %s", error)
                await anyio.sleep(backoff(trouble, first=FIRST_WAIT, longest=LONGEST_WAIT))
                trouble += 1
            else:
                trouble = 0
                # Who turned due just now is not to be taken before the time of being quiet is up.
                woken = await wakeups.sleep(
                    expected, max(LEAST_PAUSE, seconds_until_due), after=quiet
                )

    async def _work(self, leases: Leases, lease: Lease) -> None:
        try:
            async with leases.renewing(lease):
                await self._extract_user(lease)
        except (LeaseLost, ConcurrentWrite) as error:
            # Nothing was committed that was not ours to commit; who holds the user now goes on.
            logger.info("user %r: %s", lease.scope.user, error)
            await leases.release(lease, 0.0)
        except ExperientialMemoryError:
            await leases.release(lease, FIRST_RETRY)
            raise
        except BaseException:  # this process is being stopped
            await leases.release_now(lease)
            raise
        else:
            await leases.release(lease)
        self.done.users += 1
        self._progress(self.done)

    async def _extract_user(self, lease: Lease) -> None:
        live, *shadows = await followed_generations(self.database)
        await self.derivation(live, self.done).user(lease)
        for shadow in shadows:
            await self._follow_beside(lease, shadow)

    async def _follow_beside(self, lease: Lease, shadow: Generation) -> None:
        """Keeps a shadow up; what is wrong with its extractors must not stop the live one."""
        try:
            derivation = self.derivation(shadow, self.beside)
            await derivation.user(lease)
            await derivation.note(lease)
        except ConfigurationError as error:
            logger.warning("generation %r falls behind: %s", shadow.name, error)

    def derivation(self, generation: Generation, done: ExtractionReport) -> Derivation:
        """What derives a generation with this worker's extractors.

        Raises:
            GenerationMismatch: the generation is made by others.
        """
        return Derivation(
            self.database,
            self.long_term,
            generation,
            self.extractors,
            self._settings,
            done,
            lambda _: self._progress(self.done),
            self._resolver,
        )
