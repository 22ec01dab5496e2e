"""Extraction: leases a user, runs extractors over what is new, commits memories with progress.

A worker holds one user at a time, so that a user's sessions never race. Every commit checks the
lease; a worker that was too slow commits nothing.
"""

import logging
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from time import monotonic

import anyio

from consumers.derivation import RETRY_SECONDS, Derivation, Extracted, Lease
from consumers.generations import Generation, followed_generations
from extractors.protocol import ENTRY_POINT_GROUP, Extractor
from memory.database import Database
from memory.embedding import Embedder
from memory.errors import ConcurrentWrite, ConfigurationError, ExperientialMemoryError, LeaseLost
from memory.long_term import LongTerm
from memory.models import Scope
from memory.settings import Settings

logger = logging.getLogger(__name__)


def installed_extractors(settings: Settings) -> list[Extractor]:
    """Every extractor that an installed package offers, in the order of their names."""
    found = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name)
    return [entry.load()(settings) for entry in found]


class Worker:
    """Extracts for one user after another, over the worker's role.

    done: of the live generation; beside: of shadows that are kept up with it.
    """

    def __init__(
        self,
        database: Database,
        embedder: Embedder,
        extractors: Sequence[Extractor],
        settings: Settings,
        progress: Callable[[Extracted], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._long_term = LongTerm(database, embedder, settings.language)
        self._extractors = extractors
        self._settings = settings
        self._progress = progress
        self.done = Extracted()
        self.beside = Extracted()

    async def drain(self, tenant: str | None = None, user: str | None = None) -> Extracted:
        """Extracts until no user is due, without waiting for them to fall quiet."""
        began = monotonic()
        while lease := await self._lease(0.0, tenant, user):
            await self._work(lease)
        self.done.seconds = monotonic() - began
        return self.done

    async def follow(
        self, poll: float = 1.0, *, tenant: str | None = None, user: str | None = None
    ) -> None:
        """Extracts whoever falls quiet, for ever; store trouble is waited out."""
        while True:
            try:
                while lease := await self._lease(self._settings.debounce, tenant, user):
                    await self._work(lease)
            except ExperientialMemoryError as error:
                if not error.retriable:
                    raise
                logger.warning("extraction waits: %s", error)
            await anyio.sleep(poll)

    async def _lease(
        self, quiet: float, tenant: str | None = None, user: str | None = None
    ) -> Lease | None:
        params = {"lease": self._settings.lease, "quiet": quiet, "tenant": tenant, "user": user}
        rows = await self._database.fetch_system("claims.lease", params)
        if not rows:
            return None
        row = rows[0]
        scope = Scope(row["tenant_id"], row["user_id"])
        return Lease(scope, row["lease_token"], row["position"], row["due_at"], row["forget_seq"])

    async def _work(self, lease: Lease) -> None:
        retry: float | None = None
        try:
            retry = await self._extract_user(lease)
        except (LeaseLost, ConcurrentWrite) as error:
            # Nothing was committed that was not ours to commit; who holds the user now goes on.
            logger.info("user %r: %s", lease.scope.user, error)
            retry = 0.0
        except ExperientialMemoryError:
            await self._release(lease, RETRY_SECONDS)
            raise
        await self._release(lease, retry)
        self.done.users += 1
        self._progress(self.done)

    async def _release(self, lease: Lease, retry: float | None) -> None:
        params = {
            "lease": lease.token,
            "position": lease.position,
            "due": lease.due_at,
            "retry": retry,
        }
        await self._database.fetch(lease.scope, "claims.release", params)

    async def _extract_user(self, lease: Lease) -> float | None:
        """Seconds after which to try again what failed; None where nothing is left to try."""
        live, *shadows = await followed_generations(self._database)
        retries = [await self._derivation(live, self.done).user(lease)]
        retries += [await self._follow_beside(lease, shadow) for shadow in shadows]
        return min((r for r in retries if r is not None), default=None)

    async def _follow_beside(self, lease: Lease, shadow: Generation) -> float | None:
        """Keeps a shadow up; what is wrong with its extractors must not stop the live one."""
        try:
            derivation = self._derivation(shadow, self.beside)
            retry = await derivation.user(lease)
        except ConfigurationError as error:
            logger.warning("generation %r falls behind: %s", shadow.name, error)
            return None
        if retry is None:
            await derivation.note(lease)
        return retry

    def _derivation(self, generation: Generation, done: Extracted) -> Derivation:
        return Derivation(
            self._database,
            self._long_term,
            generation,
            self._extractors,
            self._settings,
            done,
            lambda _: self._progress(self.done),
        )
