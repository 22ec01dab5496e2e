"""Leases: acquires, renews and releases a worker's exclusive right to write to a user.

There is one lease for each user, in the user's own row. Every write of a worker checks the token of
its lease in the same statement or transaction. So a worker whose lease was taken over changes
nothing, however slow it is.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import cast
from uuid import UUID

import anyio
from psycopg.rows import DictRow

from consumers.runtime.task_groups import beside
from consumers.runtime.tenants import NOBODY, tenants
from memory.backoff import backoff
from memory.database import Database
from memory.database.pipeline import Params
from memory.errors import (
    ExperientialMemoryError,
    ExtractionWaits,
    LeaseLost,
    StoreUnavailable,
    UnusableAnswer,
)
from memory.models import Scope
from memory.settings import Settings

FULL_BATCH = 100
"""A user with this many new interactions is extracted without waiting to fall quiet."""

BACKFILL_EVERY = 8
"""Every Nth lease goes to backfill, so that a steady live load cannot starve it."""

FIRST_RETRY, LONGEST_RETRY = 5.0, 300.0
"""Seconds between a session's attempts: doubling from the first to the second."""

MIN_RETRY = 1.0
"""Seconds before a user is leased again if a retry was due and did not happen."""

RELEASE_SECONDS = 5.0
"""How long a stopping worker tries to release its user."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to one user, until another worker takes over `token`.

    abandoned: how many leases of this user in a row ended without a release before this one.
    paid: whether a throttled tenant has paid for all that the user has waiting.
    """

    scope: Scope
    token: UUID
    position: int
    due_at: datetime
    forget_seq: int
    abandoned: int
    paid: bool = False


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Selects the users to extract: all, those of one tenant, or one user."""

    tenant: str | None = None
    user: str | None = None


class Leases:
    """Acquires, renews and releases leases on users, for the loops of one process."""

    def __init__(self, database: Database, settings: Settings, users: UserFilter) -> None:
        self._database = database
        self._settings = settings
        self._users = users
        self._acquired = 0
        self._served = {False: "", True: ""}  # the tenant whose turn was last, live and backfill
        self._unsent_releases: list[tuple[Scope, Params]] = []

    async def acquire(self, quiet: float, passed_over: Sequence[str] = ()) -> Lease | None:
        """Leases the next due user that was quiet for `quiet` seconds; None if there is none.

        Live users come before backfill, except for every `BACKFILL_EVERY`th lease, so that neither
        waits for ever. Tenants take turns, so that none waits for all users of another.

        `passed_over`: tenants whose turn it is not; if there are any, backfill waits as well.
        """
        await self._settle()
        self._acquired += 1
        backfill_first = self._acquired % BACKFILL_EVERY == 0
        for backfill in (False,) if passed_over else (backfill_first, not backfill_first):
            params = {
                **self._turns(quiet, passed_over),
                "backfill": backfill,
                "after": self._served[backfill],
                "lease": self._settings.lease,
            }
            for row in await self._database.fetch_system("leases.acquire", params):
                self._served[backfill] = row["tenant_id"]
                return lease_of(Scope(row["tenant_id"], row["user_id"]), row)
        return None

    async def seconds_until_due(
        self, quiet: float, longest: float, passed_over: Sequence[str] = ()
    ) -> float:
        """Returns the seconds until a user can be leased, as far as known, up to `longest`."""
        turns = self._turns(quiet, passed_over)
        (row,) = await self._database.fetch_system("leases.next", turns)
        return longest if row["seconds"] is None else min(longest, row["seconds"])

    async def lag_seconds(self) -> float | None:
        """Returns how long the live user has waited who waits longest; None if nobody can say now.

        Tenants that are paused or throttled do not count.
        """
        try:
            rows = await self._database.fetch_system("leases.oldest")
        except ExperientialMemoryError as error:
            if not error.retriable:
                raise
            return None
        return round(rows[0]["seconds"], 1) if rows else 0.0

    def _turns(self, quiet: float, passed_over: Sequence[str]) -> dict[str, object]:
        users = {"tenant": self._users.tenant, "user": self._users.user}
        turns = {"passed_over": list(passed_over), "quiet": quiet, "full": FULL_BATCH}
        return {**users, **turns}

    @asynccontextmanager
    async def renewing(self, lease: Lease) -> AsyncIterator[None]:
        """Renews the lease while the block runs, and ends the block if the lease is taken over.

        Raises:
            LeaseLost: another worker holds the user now.
        """
        async with beside(partial(self._keep, lease)):
            yield

    async def _keep(self, lease: Lease) -> None:
        while True:
            await anyio.sleep(self._settings.lease / 3)
            try:
                params = renewal(lease, self._settings)
                renewed = await self._database.fetch(lease.scope, "leases.renew", params)
            except ExperientialMemoryError as error:
                if not error.retriable:
                    raise
                continue  # whether it is still ours is for the next commit to find out
            if not renewed:
                raise lease_lost(lease)

    async def release(self, lease: Lease, retry: float | None = None) -> None:
        """Releases the user; does nothing if another worker holds it.

        `retry`: the work was interrupted, and is retried after this many seconds. Failed sessions
            have their own time for a retry.
        """
        params = {
            "lease": lease.token,
            "position": lease.position,
            "due": lease.due_at,
            "retry": retry,
            "least": MIN_RETRY,
        }
        await self._released(lease.scope, params)

    async def _released(self, scope: Scope, params: Params) -> None:
        try:
            await self._database.fetch(scope, "leases.release", params)
        except StoreUnavailable:
            self._unsent_releases.append((scope, params))  # rather than let the lease run out
            raise

    async def _settle(self) -> None:
        while self._unsent_releases:
            await self._released(*self._unsent_releases.pop())

    async def release_now(self, lease: Lease) -> None:
        """Releases the user at once, because this process is being stopped."""
        with anyio.move_on_after(RELEASE_SECONDS, shield=True):
            await self.release(lease, 0.0)


def lease_of(scope: Scope, row: DictRow) -> Lease:
    """Makes a lease of a row of `leases.acquire` or `generations.hold`."""
    return Lease(
        scope,
        token=row["lease_token"],
        position=row["position"],
        due_at=row["due_at"],
        forget_seq=row["forget_seq"],
        abandoned=row["abandoned_leases"],
        paid=row.get("paid", False),
    )


def renewal(lease: Lease, settings: Settings) -> Params:
    """Returns the parameters of `leases.renew`, which a commit also runs."""
    return {"lease": lease.token, "seconds": settings.lease}


async def fail(
    database: Database,
    settings: Settings,
    lease: Lease,
    *,
    generation: int,
    session: str | None,
    error: Exception,
) -> float | None:
    """Counts a failed attempt at a session, or at the whole user; returns the seconds to the next.

    None: it was the last attempt, and the session is set aside.

    Raises:
        LeaseLost: another worker holds the user now; nothing was counted.
    """
    params = {
        "lease": lease.token,
        "generation": generation,
        "session": session or "",
        "error": f"{type(error).__name__}: {error}",
        # A model that broke its schema twice would only be paid to do it again.
        "max_attempts": 1 if isinstance(error, UnusableAnswer) else settings.max_attempts,
        "first": backoff(0, first=FIRST_RETRY, longest=LONGEST_RETRY),
        "longest": LONGEST_RETRY,
    }
    for row in await database.fetch(lease.scope, "leases.fail", params):
        return cast("float | None", row["retry"])
    raise lease_lost(lease)


async def begin(
    database: Database, settings: Settings, lease: Lease, *, generation: int, session: str | None
) -> bool:
    """Notes that work on a session, or on the whole user, begins, in case it crashes this process.

    False: it began too often without finishing, and is set aside.

    Raises:
        LeaseLost: another worker holds the user now; nothing was noted.
    """
    params = {
        "lease": lease.token,
        "generation": generation,
        "session": session or "",
        "max_attempts": settings.max_attempts,
        "error": f"WorkerVanished: began {settings.max_attempts} times after a worker crash without"
        " finishing; does it exhaust the worker's memory?",
    }
    for row in await database.fetch(lease.scope, "leases.begin", params):
        return bool(row["begun"])
    raise lease_lost(lease)


async def defer(
    database: Database, lease: Lease, *, generation: int, session: str | None, wait: ExtractionWaits
) -> None:
    """Postpones a session without counting an attempt.

    Raises:
        LeaseLost: another worker holds the user now; nothing was changed.
    """
    params = {
        "lease": lease.token,
        "generation": generation,
        "session": session or "",
        "error": f"{type(wait).__name__}: {wait}",
        "seconds": wait.seconds,
    }
    if not await database.fetch(lease.scope, "leases.defer", params):
        raise lease_lost(lease)


def lease_lost(lease: Lease) -> LeaseLost:
    """Returns the error for a lease that another worker took over."""
    return LeaseLost(f"lease {str(lease.token)!r} of user {lease.scope.user!r} was taken over")


async def retry_set_aside(database: Database, users: UserFilter) -> int:
    """Makes sessions due that were set aside or wait for a budget; returns how many."""
    taken = 0
    async for tenant in tenants(database, users.tenant):
        params = {"user": users.user}
        taken += len(await database.fetch(Scope(tenant, NOBODY), "leases.retry_set_aside", params))
    return taken


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What is to be read again with a model: sessions, and the summaries of closed ones."""

    sessions: int = 0
    summaries: int = 0


async def upgrade(database: Database, chosen: UserFilter) -> Upgraded:
    """Makes sessions due that were read without the model that is configured.

    Closed sessions whose summary was written without it are opened; `memory compact sessions`
    writes the summary again. In generations that are not kept up, `memory replay` reads on.
    """
    done = Upgraded()
    async for tenant in tenants(database, chosen.tenant):
        params = {"user": chosen.user}
        rows = await database.fetch(Scope(tenant, NOBODY), "leases.fallback_users", params)
        for row in rows:
            one = await _upgrade(database, Scope(tenant, row["user_id"]))
            done = Upgraded(done.sessions + one.sessions, done.summaries + one.summaries)
    return done


async def _upgrade(database: Database, scope: Scope) -> Upgraded:
    keys = {"tenant": scope.tenant, "user": scope.user}
    async with database.transaction(scope) as transaction:
        # Who extracts the user now must not commit over it.
        await transaction.fetch("log.fence", {**keys, "from_seq": None})
        sessions = await transaction.fetch("leases.upgrade", keys)
        summaries = await transaction.fetch("leases.reopen", keys)
        await transaction.fetch("log.mark_due", keys)
    return Upgraded(len(sessions), len(summaries))
