"""Notes which memories contexts used, and writes the notes in batches in the background.

Compaction lets unused memories decay. A lost note only lets a memory decay a little sooner. So
notes wait in the process, and no context waits for them or fails with them.
"""

import asyncio
import logging

from memory.beliefs.long_term import LongTerm
from memory.errors import ExperientialMemoryError, ReadOnlyStore
from memory.models import RecalledMemory, Scope, Tier

logger = logging.getLogger(__name__)

WAITING = 500
"""Notes that are collected before they are written together."""


class UsageRecorder:
    """Collects notes over one `LongTerm`."""

    def __init__(self, long_term: LongTerm) -> None:
        self._long_term = long_term
        self._noted: dict[Scope, set[int]] = {}
        self._waiting = 0
        self._writing: asyncio.Task[None] | None = None

    def note(self, scope: Scope, items: tuple[RecalledMemory, ...]) -> None:
        """Notes that a context showed `items`, and starts writing once enough notes wait."""
        ids = {item.memory.id for item in items if item.memory.tier is Tier.LONG_TERM}
        noted = self._noted.setdefault(Scope(scope.tenant, scope.user), set())
        self._waiting += len(ids - noted)
        noted |= ids
        if self._waiting >= WAITING and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write())

    async def flush(self) -> None:
        """Writes the waiting notes."""
        if self._writing is not None:
            await self._writing
            self._writing = None
        await self._write()

    async def _write(self) -> None:
        """Runs one statement for each user."""
        noted, self._noted, self._waiting = self._noted, {}, 0
        try:
            for scope, ids in noted.items():
                if ids:
                    await self._long_term.used(scope, sorted(ids))
        except ReadOnlyStore:
            pass  # a standby keeps no notes
        except ExperientialMemoryError as error:
            logger.warning("which memories were of use lately is not noted: %s", error)
