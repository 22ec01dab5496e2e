"""Which memories were of use: noted as contexts are assembled, written in batches.

Compaction lets fade what is never of use. A note lost with its process lets a memory fade a little
sooner, so notes wait in the process and cost a context no statement of its own.
"""

from memory.long_term import LongTerm
from memory.models import RecalledMemory, Scope, Tier

WAITING = 500
"""Notes that wait before they are written together."""


class Uses:
    """Collects notes over one `LongTerm`."""

    def __init__(self, long_term: LongTerm) -> None:
        self._long_term = long_term
        self._noted: dict[Scope, set[int]] = {}
        self._waiting = 0

    async def note(self, scope: Scope, items: tuple[RecalledMemory, ...]) -> None:
        """Notes that a context showed `items`; writes what waits once it is enough."""
        ids = {item.memory.id for item in items if item.memory.tier is Tier.LONG_TERM}
        noted = self._noted.setdefault(Scope(scope.tenant, scope.user), set())
        self._waiting += len(ids - noted)
        noted |= ids
        if self._waiting >= WAITING:
            await self.flush()

    async def flush(self) -> None:
        """Writes what waits, a statement a user."""
        noted, self._noted, self._waiting = self._noted, {}, 0
        for scope, ids in noted.items():
            if ids:
                await self._long_term.used(scope, sorted(ids))
