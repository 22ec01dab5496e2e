"""Pauses, throttles and resumes the extraction of a tenant, and lists what waits in each."""

from dataclasses import dataclass
from datetime import datetime

from consumers.runtime.tenants import NOBODY
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
    """

    tenant: str
    users_due: int
    waiting: int
    lag_seconds: float
    paused_at: datetime | None
    throttle: Throttle

    @property
    def held_back(self) -> bool:
        """Whether an operator paused or throttled the tenant."""
        return self.paused_at is not None or self.throttle != Throttle()


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in all tenants.

    tenants: at most `MOST_TENANTS` of them.
    held_back: interactions that wait in tenants that are paused or throttled.
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


async def resume(database: Database, tenant: str) -> bool:
    """Ends the pause and the throttle of the tenant; returns whether there was one."""
    freed = await database.fetch(Scope(tenant, NOBODY), "leases.free")
    await database.fetch_system("leases.wake")
    return bool(freed)
