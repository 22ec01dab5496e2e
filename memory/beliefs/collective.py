"""Reads the collective tier: what many users of a tenant support, and a lower bound on how many.

Nothing here names a user, quotes one, or gives an exact count. The operators' jobs publish and
withdraw collective memories; forgetting a user withdraws that user's support in the same
transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg.rows import DictRow

from memory.database import StatementRunner
from memory.database.pipeline import Params
from memory.errors import UnknownMemory
from memory.models import Memory, MemoryKind, Provenance, RecalledMemory, Scope, Tier

LIMIT = 20
NEAREST = 0.3
"""The least cosine for a collective memory that shares no word with the question."""

BM25_SCALE = 2.0


@dataclass(frozen=True, slots=True)
class CollectiveExplanation:
    """The origin of a collective memory, without anything that identifies a user.

    at_least: how many users support it, in coarse steps and never above the true number.
    evidence_kinds: the kinds of interactions it rests on, each shared by at least k supporters.
    """

    memory: Memory
    at_least: int
    evidence_kinds: tuple[str, ...]

    def __str__(self) -> str:
        made = self.memory.provenance
        kinds = ", ".join(self.evidence_kinds) or "of mixed kinds"
        return (
            f"{self.memory}\n  supported by at least {self.at_least} users; evidence: {kinds}\n"
            f"  made by {made.extractor} {made.extractor_version}"
        )


class Collective:
    """Reads a tenant's collective tier, over one database role."""

    def __init__(self, database: StatementRunner, language: str) -> None:
        self._database = database
        self._language = language

    def call(
        self,
        vector: NDArray[np.float32],
        embedder_id: int,
        text: str,
        *,
        kinds: Iterable[MemoryKind] | None = None,
        limit: int = LIMIT,
    ) -> tuple[str, Params]:
        """Returns the statement that finds candidates for a question; `recalled` reads its rows."""
        return "collective.candidates", {
            "vector": HalfVector(vector),
            "embedder_id": embedder_id,
            "text": text,
            "language": self._language,
            "kinds": [k.value for k in kinds] if kinds is not None else None,
            "nearest": NEAREST,
            "limit": limit,
        }

    async def candidates(
        self,
        scope: Scope,
        vector: NDArray[np.float32],
        embedder_id: int,
        text: str,
        *,
        kinds: Iterable[MemoryKind] | None = None,
        limit: int = LIMIT,
    ) -> tuple[RecalledMemory, ...]:
        """Returns the collective memories of the scope's tenant that match a question, best first.

        `vector` is the question's embedding by the embedder `embedder_id`. The whole tier is
        scanned, without an index. Its scores have their own scale (`recalled`), not that of
        long-term memories.
        """
        name, params = self.call(vector, embedder_id, text, kinds=kinds, limit=limit)
        return recalled(await self._database.fetch(scope, name, params))

    async def explain(self, scope: Scope, memory: int) -> CollectiveExplanation:
        """Returns at least how many users support a collective memory, and the kinds of evidence.

        Raises:
            UnknownMemory: the tenant has no such collective memory, or no longer.
        """
        rows = await self._database.fetch(scope, "collective.memory", {"memory": memory})
        if not rows:
            raise UnknownMemory(f"tenant {scope.tenant!r} has no collective memory {memory!r}")
        row = rows[0]
        return CollectiveExplanation(
            collective_memory_of(row), row["support"], tuple(row["evidence_kinds"])
        )


def recalled(rows: Sequence[DictRow]) -> tuple[RecalledMemory, ...]:
    """Makes values of the rows of `collective.candidates`, best first.

    The score is the cosine plus BM25 / (BM25 + 2), between -1 and 2. Long-term memories are ranked
    by z-scores, which mean little for the few collective memories of a tenant.
    """
    items = (
        RecalledMemory(
            collective_memory_of(row),
            float(row["dense"] + row["bm25"] / (row["bm25"] + BM25_SCALE)),
            (),
            row["tokens"],
            {"dense": row["dense"], "bm25": row["bm25"]},
        )
        for row in rows
    )
    return tuple(sorted(items, key=lambda item: (-item.score, item.memory.id)))


def collective_memory_of(row: Mapping[str, Any]) -> Memory:
    """Makes a value of one row of `collective_memories`; its text ends with the published count."""
    return Memory(
        id=row["memory_id"],
        tier=Tier.COLLECTIVE,
        kind=MemoryKind(row["kind"]),
        text=counted(row["text"], row["support"], row["people"]),
        occurred_at=row["believed_from"],
        provenance=Provenance(row["extractor"], row["extractor_version"]),
        attribute=row["attribute"],
        value=row["value"],
        context=row["context"],
        confidence=row["confidence"],
        support=row["support"],
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        believed_from=row["believed_from"],
        believed_to=row["believed_to"],
    )


def counted(text: str, support: int, people: str) -> str:
    """Returns `text` with the published lower bound on its supporters."""
    return f"{text} (at least {support} {people})"
