"""What an operator sets for a tenant, and for which tenants the store is there at all.

Lists, suspends and resumes tenants, gives them quotas, pauses and throttles their extraction, and
lists what waits in each.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from consumers.operations import usage
from consumers.runtime.tenants import NOBODY
from consumers.runtime.tenants import tenants as every
from memory.database import Database
from memory.models import Scope

MOST_TENANTS = 1000
"""Tenants that are listed at most: the paused, the throttled, then those who wait longest."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """The most that extraction may take of a tenant in a minute; None: any number."""

    users: int | None = None
    interactions: int | None = None


@dataclass(frozen=True, slots=True)
class TenantLag:
    """What waits for extraction in a tenant.

    lag_seconds: how long the user has waited who waits longest, history included.
    paused_at: none of its users is extracted since then.
    listed_at, suspended_at: see `Tenant`.
    """

    tenant: str
    users_due: int
    waiting: int
    lag_seconds: float
    paused_at: datetime | None
    throttle: Throttle
    listed_at: datetime | None = None
    suspended_at: datetime | None = None

    @property
    def held_back(self) -> bool:
        """Whether an operator suspended, paused or throttled the tenant."""
        held = self.suspended_at is not None or self.paused_at is not None
        return held or self.throttle != Throttle()


@dataclass(frozen=True, slots=True)
class Quota:
    """The most that a tenant may have; None: any number.

    interactions_a_day, model_tokens_a_day: in a day in UTC.
    bytes_stored: of content and payload of the interactions in its log.
    """

    interactions_a_day: int | None = None
    bytes_stored: int | None = None
    model_tokens_a_day: int | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """What an operator has set for a tenant.

    served: whether the store reads and writes for it now.
    listed_at: when it was listed; None: refused where only listed tenants are served.
    suspended_at: nothing of it is read or written since then.
    users: how many users of it the store knows.
    """

    tenant: str
    served: bool
    users: int
    listed_at: datetime | None
    suspended_at: datetime | None
    quota: Quota
    paused_at: datetime | None
    throttle: Throttle


class Ended(StrEnum):
    """What resuming a tenant ended."""

    SUSPENSION = "suspension"
    HOLD = "pause and throttle"


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in all tenants.

    tenants: at most `MOST_TENANTS` of them.
    held_back: interactions that wait in tenants that are suspended, paused or throttled.
    lag_seconds, backfill_seconds: the longest wait of a user in the other tenants, live and in
        backfill.
    """

    tenants: tuple[TenantLag, ...] = ()
    held_back: int = 0
    lag_seconds: float = 0.0
    backfill_seconds: float = 0.0


async def what_waits(database: Database, limit: int = MOST_TENANTS) -> Waiting:
    """Reads what waits for extraction, by tenant: the held back first, then by their wait."""
    rows = await database.fetch_system("leases.by_tenant", {"limit": limit})
    if not rows:
        return Waiting()
    return Waiting(
        tuple(
            TenantLag(
                row["tenant_id"],
                row["users_due"],
                row["waiting"],
                round(row["lag_seconds"], 3),
                row["paused_at"],
                Throttle(row["users_a_minute"], row["interactions_a_minute"]),
                row["listed_at"],
                row["suspended_at"],
            )
            for row in rows
        ),
        rows[0]["held_back"],
        round(rows[0]["live_seconds"], 3),
        round(rows[0]["backfill_seconds"], 3),
    )


async def pause(database: Database, tenant: str) -> None:
    """Lets no worker lease another user of the tenant; users that are leased are finished."""
    limits = {"paused": True, "users": None, "interactions": None}
    await database.fetch(Scope(tenant, NOBODY), "leases.limit", limits)


async def throttle(database: Database, tenant: str, most: Throttle) -> None:
    """Bounds what extraction takes of the tenant in a minute; a pause stays."""
    limits = {"paused": False, "users": most.users, "interactions": most.interactions}
    await database.fetch(Scope(tenant, NOBODY), "leases.limit", limits)
    await database.fetch_system("leases.wake")


async def resume(database: Database, tenant: str) -> Ended | None:
    """Ends the tenant's suspension or else its pause and throttle; returns what it ended.

    A tenant that was throttled before it was suspended is throttled after it.
    """
    scope = Scope(tenant, NOBODY)
    ended = None
    if await database.fetch(scope, "tenants.serve"):
        ended = Ended.SUSPENSION
    elif await database.fetch(scope, "leases.free"):
        ended = Ended.HOLD
    await database.fetch_system("leases.wake")
    return ended


async def create(database: Database, tenant: str) -> bool:
    """Lists the tenant; returns whether it was not listed."""
    return bool(await database.fetch(Scope(tenant, NOBODY), "tenants.list"))


async def create_known(database: Database) -> int:
    """Lists every tenant that has users; returns how many were not listed."""
    return sum([await create(database, tenant) async for tenant in every(database)])


async def suspend(database: Database, tenant: str) -> bool:
    """Lets nothing of the tenant be read or written; returns whether it was not suspended."""
    return bool(await database.fetch(Scope(tenant, NOBODY), "tenants.suspend"))


async def require_listed(database: Database, on: bool) -> int:
    """Serves listed tenants only, or all; returns how many with users are not listed."""
    await database.fetch_system("tenants.require_listed", {"on": on})
    return int((await database.fetch_system("tenants.unlisted"))[0]["tenants"])


async def set_quota(database: Database, tenant: str, quota: Quota) -> None:
    """Replaces the quotas of the tenant, and counts what it has used of them."""
    params = {
        "interactions": quota.interactions_a_day,
        "bytes": quota.bytes_stored,
        "tokens": quota.model_tokens_a_day,
    }
    await usage.count(database, tenant)
    await database.fetch(Scope(tenant, NOBODY), "tenants.set_quota", params)


async def show(database: Database, tenant: str) -> Tenant:
    """Reads what is set for the tenant; an unknown one has no users, and nothing set."""
    (row,) = await database.fetch(Scope(tenant, NOBODY), "tenants.show")
    refused = row["listed_only"] and row["listed_at"] is None
    return Tenant(
        tenant,
        not refused and row["suspended_at"] is None,
        row["users"],
        row["listed_at"],
        row["suspended_at"],
        Quota(row["interactions_a_day"], row["bytes_stored"], row["model_tokens_a_day"]),
        row["paused_at"],
        Throttle(row["users_a_minute"], row["interactions_a_minute"]),
    )
