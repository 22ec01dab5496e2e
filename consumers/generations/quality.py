"""Checks memories against the quotes they cite: a sample for a status, all of them for a diff.

The rule needs no model. A memory is sound if each of its quotes is still in the log at its place,
and if the quoted words, if any, share a word with it.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from psycopg.rows import DictRow

from consumers.runtime.tenants import NOBODY
from memory.database import Database
from memory.errors import ReadOnlyStore
from memory.models import Scope

USERS_AT_ONCE = 20
"""Users of a tenant that one sample covers; the next sample covers the next users."""

MEMORIES_EACH = 10
ROWS_EACH = 200
"""Rows of one user's memories that a sample reads, in each direction."""


@dataclass(frozen=True, slots=True)
class Quality:
    """The result of checking the memories of one maker.

    maker: extractor and version, and prompt and version if there is one.
    quotes: how often they quote the log. `standing` of those are in it at their place; `purged`
        ones went with retention.
    sound: memories whose quotes are all in place and support them by the rule above.
    """

    maker: str
    memories: int = 0
    quotes: int = 0
    standing: int = 0
    purged: int = 0
    sound: int = 0

    @property
    def score(self) -> float:
        """The share of sound memories; 1 if there are none."""
        return self.sound / self.memories if self.memories else 1.0

    def plus(self, other: "Quality") -> "Quality":
        """Returns the sum of both, under this one's name."""
        return replace(
            self,
            memories=self.memories + other.memories,
            quotes=self.quotes + other.quotes,
            standing=self.standing + other.standing,
            purged=self.purged + other.purged,
            sound=self.sound + other.sound,
        )


async def sampled(database: Database, tenant: str, language: str) -> list[Quality]:
    """Checks a bounded sample of the tenant's memories, grouped by what made them.

    Each call takes the users after those of the last call.
    """
    scope = Scope(tenant, NOBODY)
    turn = await database.fetch(scope, "quality.turn", {"limit": USERS_AT_ONCE})
    if turn:
        with suppress(ReadOnlyStore):  # a standby keeps no turn
            await database.fetch(scope, "quality.turned", {"last": turn[-1]["user_id"]})
    params = {
        "users": [row["user_id"] for row in turn],
        "limit": MEMORIES_EACH,
        "within": ROWS_EACH,
    }
    rows = await database.fetch(scope, "quality.sample", params) if turn else []
    pairs = [(row["user_id"], row["memory_id"]) for row in rows]
    return [quality for _, quality in await checked(database, tenant, pairs, language)]


async def checked(
    database: Database, tenant: str, memories: Sequence[tuple[str, int]], language: str
) -> list[tuple[int, Quality]]:
    """Checks memories of a tenant, named by user and id, grouped by generation and maker."""
    if not memories:
        return []
    params = {
        "users": [user for user, _ in memories],
        "memories": [memory for _, memory in memories],
        "language": language,
    }
    rows = await database.fetch(Scope(tenant, NOBODY), "quality.checked", params)
    return [(row["generation"], _quality(row)) for row in rows]


def _quality(row: DictRow) -> Quality:
    maker = f"{row['extractor']} {row['extractor_version']}"
    if row["prompt"]:
        maker += f", prompt {row['prompt']} {row['prompt_version']}"
    return Quality(
        maker, row["memories"], row["quotes"], row["standing"], row["purged"], row["sound"]
    )
