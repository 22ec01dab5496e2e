"""Counts what each tenant uses, by day, and reads it: what bills go by.

The counters are kept by whoever records: each user's row says how many interactions and bytes came
in. Counting adds them up over a tenant's users.
"""

from dataclasses import dataclass
from datetime import date

from consumers.runtime.tenants import NOBODY, tenants
from memory.database import Database
from memory.models import Scope

BATCH = 20
"""Users whose interactions are measured in one transaction, which locks them."""

FRESH_SECONDS = 300.0
"""A count that is younger is not repeated for a tenant that nobody asked for."""


@dataclass(frozen=True, slots=True)
class DayUsed:
    """What a tenant used on one day in UTC.

    interactions: recorded on it, also those that were forgotten since the tenant's first count. One
        from around midnight may count for the day after: a day ends with its last count.
    bytes, memories: what the log held, and how many memories were believed, at its last count.
        None: not counted on that day.
    model_tokens: read and written by language models.
    """

    day: date
    interactions: int
    bytes: int | None
    memories: int | None
    model_tokens: int


@dataclass(frozen=True, slots=True)
class Used:
    """What a tenant used over some days: sums, and for bytes and memories the newest count."""

    tenant: str
    interactions: int
    bytes: int
    memories: int
    model_tokens: int
    days: tuple[DayUsed, ...]


async def count(database: Database, tenant: str, *, fresh: float = 0.0) -> None:
    """Counts the tenant, unless that was done within `fresh` seconds."""
    await _measure(database, tenant)
    await database.fetch(Scope(tenant, NOBODY), "tenants.count", {"fresh": fresh})


async def count_all(database: Database) -> None:
    """Counts every tenant that was not counted lately."""
    async for tenant in tenants(database):
        await count(database, tenant, fresh=FRESH_SECONDS)


async def read(database: Database, tenant: str, first: date | None, last: date | None) -> Used:
    """Returns what the tenant used from `first` to `last`, both included; None: all days."""
    params = {"first": first, "last": last}
    rows = await database.fetch(Scope(tenant, NOBODY), "tenants.usage", params)
    days = tuple(DayUsed(**row) for row in rows)
    return Used(
        tenant,
        sum(day.interactions for day in days),
        next((day.bytes for day in reversed(days) if day.bytes is not None), 0),
        next((day.memories for day in reversed(days) if day.memories is not None), 0),
        sum(day.model_tokens for day in days),
        days,
    )


async def _measure(database: Database, tenant: str) -> None:
    """Measures users whose interactions were recorded before anybody counted their bytes."""
    scope, left = Scope(tenant, NOBODY), True
    while left:
        async with database.transaction(scope) as transaction:
            page = {"tenant": tenant, "limit": BATCH}
            rows = await transaction.fetch("tenants.unmeasured", page)
            users = [row["user_id"] for row in rows]
            if left := bool(users):
                await transaction.fetch("tenants.measure", {"tenant": tenant, "users": users})
