"""Retracts a distrusted source for all users of a tenant, and restores it.

Each user is one transaction. The position is stored, so a stopped run continues there. Running it
again does no harm: what is retracted stays as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from consumers.runtime.tenants import NOBODY
from memory.beliefs.long_term import LongTerm
from memory.beliefs.retraction import AuditReason, InteractionSelector, Retractor
from memory.database import Database
from memory.embedding import Embedder
from memory.errors import LeaseLost
from memory.models import Scope
from memory.settings import Settings

BATCH = 500
LEASE_SECONDS = 900.0
"""How long one batch of users may take before another process may take over the run."""


@dataclass(slots=True)
class SourceRevised:
    """The result of a run over a tenant: users examined, and users changed.

    The counts are as in `memory.beliefs.retraction.Revised`. `skipped`: another process runs it.
    """

    source: str
    users: int = 0
    changed_users: int = 0
    interactions: int = 0
    unchanged: int = 0
    closed: int = 0
    believed: int = 0
    skipped: bool = False


class SourceRevision:
    """Retracts or restores one source in a tenant, with the worker's role."""

    def __init__(
        self,
        database: Database,
        embedder: Embedder,
        settings: Settings,
        *,
        restore: bool = False,
        progress: Callable[[SourceRevised], None] = lambda _: None,
    ) -> None:
        self._database = database
        long_term = LongTerm(database, embedder, settings.language)
        retractor = Retractor(database, long_term, operator=True)
        self._revise = retractor.restore if restore else retractor.retract
        self._verb = "restore" if restore else "retract"
        self._progress = progress

    async def run(self, tenant: str, source: str, why: AuditReason) -> SourceRevised:
        """Processes the tenant's users, from where a run was stopped.

        Raises:
            LeaseLost: a batch took so long that another process took over the run.
        """
        done = SourceRevised(source)
        scope = Scope(tenant, NOBODY)
        job: dict[str, Any] = {"job": f"{self._verb} {source}", "lease": LEASE_SECONDS}
        begun = await self._database.fetch(scope, "compaction.begin", job)
        if not begun:
            done.skipped = True
            return done
        job["token"], cursor, finished = begun[0]["lease_token"], begun[0]["cursor"], False
        try:
            while users := await self._users(scope, cursor):
                cursor = users[-1]
                await self._batch(Scope(tenant, NOBODY), users, source, why, done)
                if not await self._database.fetch(
                    scope, "compaction.advance", {**job, "cursor": cursor}
                ):
                    raise LeaseLost(f"job {job['job']!r} of tenant {tenant!r} was taken over")
                self._progress(done)
            finished = True
        finally:
            await self._database.fetch(scope, "compaction.finish", {**job, "done": finished})
        return done

    async def _users(self, scope: Scope, after: str) -> list[str]:
        page = {"after": after, "limit": BATCH}
        return [r["user_id"] for r in await self._database.fetch(scope, "compaction.users", page)]

    async def _batch(
        self, scope: Scope, users: list[str], source: str, why: AuditReason, done: SourceRevised
    ) -> None:
        done.users += len(users)
        rows = await self._database.fetch(
            scope, "retraction.users_of_source", {"users": users, "source": source}
        )
        for row in rows:
            user = Scope(scope.tenant, row["user_id"])
            revised = await self._revise(user, InteractionSelector(source=source), why)
            done.changed_users += bool(revised.interactions)
            done.interactions += revised.interactions
            done.unchanged += revised.unchanged
            done.closed += revised.closed
            done.believed += revised.believed
