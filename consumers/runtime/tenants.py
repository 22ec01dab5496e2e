"""Lists the tenants in the log, and the users of a tenant, a page at a time."""

from collections.abc import AsyncIterator

from memory.database import Database
from memory.models import Scope

PAGE = 500
NOBODY = "-"
"""The user of a scope that needs one where only the tenant counts."""


async def tenants(database: Database, tenant: str | None = None) -> AsyncIterator[str]:
    """Yields every tenant in the log, in order; or only the one given."""
    if tenant is not None:
        yield Scope(tenant, NOBODY).tenant
        return
    after = ""
    while rows := await database.fetch_system(
        "compaction.tenants", {"after": after, "limit": PAGE}
    ):
        for row in rows:
            yield row["tenant_id"]
        after = rows[-1]["tenant_id"]


async def users(database: Database, tenant: str) -> AsyncIterator[Scope]:
    """Yields every user of a tenant, in order."""
    scope, after = Scope(tenant, NOBODY), ""
    while rows := await database.fetch(scope, "compaction.users", {"after": after, "limit": PAGE}):
        for row in rows:
            yield Scope(tenant, row["user_id"])
        after = rows[-1]["user_id"]
