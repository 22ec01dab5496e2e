"""The run of a job: a tenant under its lease, its users in batches, and a report."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from consumers.compaction.policy import Policy, read_policy
from consumers.compaction.report import JobReport
from consumers.runtime.tenants import NOBODY
from memory.beliefs.long_term import LongTerm
from memory.database import Database, Transaction
from memory.database.pipeline import Rows
from memory.embedding import Embedder
from memory.errors import LeaseLost
from memory.models import Scope
from memory.settings import Settings

Progress = Callable[[JobReport], None]
LEASE_SECONDS = 900.0
"""How long one batch may take before another process may take over the job."""


@dataclass(slots=True)
class Work:
    """One run of one job in one tenant.

    token: proves that this process runs the job; None in a dry run, which keeps nobody away.
    cursor: where the last run was stopped; '' at the beginning.
    """

    database: Database
    embedder: Embedder
    settings: Settings
    policy: Policy
    long_term: LongTerm
    report: JobReport
    repair: bool
    batch: int
    progress: Progress
    token: UUID | None = None
    cursor: str = ""

    @classmethod
    async def begun(
        cls,
        database: Database,
        embedder: Embedder,
        settings: Settings,
        *,
        job: str,
        tenant: str,
        dry_run: bool,
        repair: bool,
        batch: int,
        progress: Progress,
    ) -> Self:
        """Takes the tenant's job, or notes in its report that another process has it."""
        policy = await read_policy(database, tenant)
        long_term = LongTerm(database, embedder, settings.language)
        report = JobReport(job, tenant, dry_run=dry_run)
        work = cls(database, embedder, settings, policy, long_term, report, repair, batch, progress)
        if dry_run:
            return work
        rows = await work.fetch("compaction.begin", {"job": job, "lease": LEASE_SECONDS})
        if rows:
            work.token, work.cursor = rows[0]["lease_token"], rows[0]["cursor"]
        else:
            report.skipped = "another process runs it"
        return work

    @property
    def dry_run(self) -> bool:
        """Whether nothing may be written."""
        return self.report.dry_run

    @property
    def tenant(self) -> Scope:
        """The tenant, as a scope without a user."""
        return Scope(self.report.tenant, NOBODY)

    def user(self, user: str) -> Scope:
        return Scope(self.report.tenant, user)

    def keys(self, user: str = NOBODY) -> dict[str, Any]:
        """Returns the parameters that `Transaction.fetch` does not add."""
        return {"tenant": self.report.tenant, "user": user}

    async def fetch(self, name: str, params: Mapping[str, Any] | None = None) -> Rows:
        return await self.database.fetch(self.tenant, name, params)

    async def users(self, *, at_most: int | None = None) -> AsyncIterator[list[str]]:
        """Yields the tenant's users in batches after the cursor; moves it after each batch."""
        limit = min(self.batch, at_most or self.batch)
        while True:
            params = {"after": self.cursor, "limit": limit}
            rows = await self.fetch("compaction.users", params)
            if not rows:
                return
            users = [row["user_id"] for row in rows]
            yield users
            self.report.examined += len(users)
            await self.advance(users[-1])

    async def advance(self, cursor: str, transaction: Transaction | None = None) -> None:
        """Stores the position up to which the job is done, within `transaction` if one is given.

        Raises:
            LeaseLost: another process runs the job now.
        """
        self.report.batches += 1
        if self.token is not None:
            await self._hold(cursor, transaction)
        self.cursor = cursor
        self.progress(self.report)

    async def renew(self) -> None:
        """Extends the lease within a batch that takes long.

        Raises:
            LeaseLost: another process runs the job now.
        """
        if self.token is not None:
            await self._hold(self.cursor, None)

    async def _hold(self, cursor: str, transaction: Transaction | None) -> None:
        params = {
            "job": self.report.job,
            "token": self.token,
            "cursor": cursor,
            "lease": LEASE_SECONDS,
        }
        if transaction is None:
            kept = await self.fetch("compaction.advance", params)
        else:
            kept = await transaction.fetch("compaction.advance", {**self.keys(), **params})
        if not kept:
            raise LeaseLost(
                f"job {self.report.job!r} of tenant {self.report.tenant!r} was taken over"
            )

    async def finish(self, *, done: bool) -> None:
        """Releases the job; the next run starts at the beginning if this one came to its end."""
        if self.token is not None:
            params = {"job": self.report.job, "token": self.token, "done": done}
            await self.fetch("compaction.finish", params)


Job = Callable[[Work], Awaitable[None]]
