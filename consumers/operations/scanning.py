"""Counts what of secrets and personal data a tenant's log holds, without saying it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from consumers.runtime.tenants import users
from memory.database import Database
from memory.log.rows import interaction_of
from memory.models import Interaction
from memory.privacy.interactions import found
from memory.privacy.scanning import ALL

PAGE = 500


@dataclass(slots=True)
class Scanned:
    """How many interactions were read, and by class how many hold it and how often.

    interactions: what was read, whatever counts in it.
    holding: interactions that hold a class. values: how often they hold it in all.
    """

    tenant: str
    interactions: int = 0
    holding: dict[str, int] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=dict)

    def add(self, interaction: Interaction) -> None:
        """Counts one interaction."""
        self.interactions += 1
        classes = [f.finding.sensitive.value for f in found(interaction, ALL)]
        for name in classes:
            self.values[name] = self.values.get(name, 0) + 1
        for name in set(classes):
            self.holding[name] = self.holding.get(name, 0) + 1


async def scan_log(
    database: Database, tenant: str, progress: Callable[[Scanned], None] = lambda _: None
) -> Scanned:
    """Reads the whole log of a tenant; calls `progress` after every page."""
    scanned = Scanned(tenant)
    async for scope in users(database, tenant):
        after = 0
        while rows := await database.fetch(scope, "log.read_all", {"after": after, "limit": PAGE}):
            for row in rows:
                scanned.add(interaction_of(row))
            after = rows[-1]["position"]
            progress(scanned)
    return scanned
