"""Quality: memories held against what they quote, a few at every look, all of them in a diff.

The rule needs no model: a memory is sound where each of its quotes is still in the log at its
place, and where the words it quotes, if any, have one in common with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from psycopg.rows import DictRow

from consumers.runtime.tenants import NOBODY
from memory.database import Database
from memory.models import Scope

USERS_AT_ONCE = 20
"""Users of a tenant that one look takes a sample of; the next look takes the next ones."""

MEMORIES_EACH = 10
ROWS_EACH = 200
"""How far into one user's memories a look goes for them, in each direction."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How memories bear looking at.

    maker: extractor and version, and prompt and version where there is one.
    quotes: how often they quote the log; `standing` of those are in it at their place, `purged`
        ones went with retention.
    sound: memories whose quotes all stand and support them by the rule above.
    """

    maker: str
    memories: int = 0
    quotes: int = 0
    standing: int = 0
    purged: int = 0
    sound: int = 0

    @property
    def score(self) -> float:
        """The part of the memories that is sound; 1 where there are none."""
        return self.sound / self.memories if self.memories else 1.0

    def plus(self, other: "Quality") -> "Quality":
        """Both together, under this one's name."""
        return replace(
            self,
            memories=self.memories + other.memories,
            quotes=self.quotes + other.quotes,
            standing=self.standing + other.standing,
            purged=self.purged + other.purged,
            sound=self.sound + other.sound,
        )


async def sampled(database: Database, tenant: str, language: str) -> list[Quality]:
    """A sample of the tenant's memories, checked, by what made them; bounded, however many it has.

    Each call takes the users after those of the last one.
    """
    scope = Scope(tenant, NOBODY)
    turn = await database.fetch(scope, "quality.turn", {"limit": USERS_AT_ONCE})
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
    """Memories of a tenant, by user and id, checked: by generation and what made them."""
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
