"""Recall: scores one user's memories by many signals, fuses them, and ranks."""

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg.rows import DictRow

from memory.database import Database, Params
from memory.embedding import Embedder
from memory.errors import InvalidInput
from memory.log import position_of
from memory.long_term import LongTerm, memory_of
from memory.models import MemoryKind, Recall, RecalledMemory, Scope

POOL = 100
"""Candidates taken from each of the two rankings before fusion."""

MAX_QUERY_CHARACTERS = 4_000
NEIGHBOUR_WEIGHT = 0.2
NAME_CACHE = 10_000


@dataclass(frozen=True, slots=True)
class Question:
    """A query as recall reads it: the words, and the text that is embedded."""

    text: str
    embedded: str


class Recaller:
    """Ranks memories for a query, over one database role and one embedder."""

    def __init__(
        self, database: Database, long_term: LongTerm, embedder: Embedder, language: str
    ) -> None:
        self._database = database
        self._long_term = long_term
        self._embedder = embedder
        self._language = language
        self._names: OrderedDict[tuple[str, str], tuple[str, ...]] = OrderedDict()

    async def recall(
        self,
        scope: Scope,
        query: str,
        *,
        k: int = 10,
        kinds: Iterable[MemoryKind] | None = None,
        only_agent: bool = False,
    ) -> Recall:
        """The `k` best memories for `query`, best first; see `MemoryClient.recall`."""
        call = await self.call(scope, query, kinds=kinds, only_agent=only_agent)
        rows, position = await self._database.fetch_all(scope, [call, ("log.position", {})])
        items = await self.rank(scope, rows, k)
        return Recall(query, items, position_of(position).recorded)

    async def call(
        self,
        scope: Scope,
        query: str,
        *,
        kinds: Iterable[MemoryKind] | None = None,
        only_agent: bool = False,
    ) -> tuple[str, Params]:
        """The statement that finds candidates; `rank` reads its rows.

        Raises:
            InvalidInput: an empty query, one over MAX_QUERY_CHARACTERS, or `only_agent` without
                an agent in the scope.
        """
        if not query.strip() or len(query) > MAX_QUERY_CHARACTERS or "\x00" in query:
            raise InvalidInput(
                f"a query has 1 to {MAX_QUERY_CHARACTERS:,} characters without NUL,"
                f" got {query[:60]!r} ({len(query):,})"
            )
        if only_agent and scope.agent is None:
            raise InvalidInput(f"only_agent needs an agent in the scope, got {scope!r}")
        question = understood(query, await self._known_names(scope))
        vector = (await self._embedder.embed([question.embedded]))[0]
        return "recall.candidates", {
            "vector": HalfVector(vector),
            "embedder_id": await self._long_term.embedder_id(),
            "text": question.text,
            "language": self._language,
            "agent": scope.agent,
            "only_agent": only_agent,
            "kinds": [k.value for k in kinds] if kinds is not None else None,
            "pool": POOL,
        }

    async def rank(
        self, scope: Scope, rows: Sequence[DictRow], k: int
    ) -> tuple[RecalledMemory, ...]:
        """The `k` best of the candidates, with the interactions they cite."""
        if not rows:
            return ()
        scores = fused(rows)
        best = sorted(range(len(rows)), key=lambda n: (-scores[n], rows[n]["memory_id"]))[:k]
        params = {"memories": [rows[n]["memory_id"] for n in best]}
        cited = {
            row["memory_id"]: tuple(row["interaction_ids"])
            for row in await self._database.fetch(scope, "recall.citations", params)
        }
        return tuple(
            RecalledMemory(
                memory_of(rows[n]),
                float(scores[n]),
                cited.get(rows[n]["memory_id"], ()),
                rows[n]["tokens"],
                {"dense": rows[n]["dense"], "bm25": rows[n]["bm25"]},
            )
            for n in best
        )

    async def _known_names(self, scope: Scope) -> tuple[str, ...]:
        key = (scope.tenant, scope.user)
        if key not in self._names:
            rows = await self._database.fetch(scope, "recall.names")
            self._names[key] = tuple(row["name"] for row in rows)
            if len(self._names) > NAME_CACHE:
                self._names.popitem(last=False)
        return self._names[key]


def understood(query: str, names: Sequence[str]) -> Question:
    """Reads a query: names of participants stay in the words and leave what is embedded.

    A name says little about meaning and pulls the vector towards every turn of that speaker.
    """
    embedded = query
    for name in names:
        embedded = re.sub(rf"\b{re.escape(name)}(?:'s|’s)?\b", " ", embedded, flags=re.IGNORECASE)
    embedded = " ".join(embedded.split())
    return Question(query, embedded if re.search(r"\w", embedded) else query)


def fused(rows: Sequence[DictRow]) -> NDArray[np.float64]:
    """One score a candidate: the sum of both z-scores, and a share of its neighbours'.

    z-scores are taken over all of the user's memories, not over the pool, so that a word match
    that is rare among them counts for what it is.
    """
    dense = _z(rows, "dense")
    bm25 = _z(rows, "bm25")
    own = dense + bm25
    places = {(row["session_id"], row["ordinal"]): n for n, row in enumerate(rows)}
    beside = np.zeros(len(rows))
    for n, row in enumerate(rows):
        if row["ordinal"] is None:
            continue
        for step in (-1, 1):
            other = places.get((row["session_id"], row["ordinal"] + step))
            if other is not None:
                beside[n] += max(0.0, own[other])
    return own + NEIGHBOUR_WEIGHT * beside


def _z(rows: Sequence[DictRow], name: str) -> NDArray[np.float64]:
    deviation = rows[0][f"{name}_deviation"] or 1.0
    values = np.array([row[name] for row in rows], dtype=np.float64)
    return np.asarray((values - rows[0][f"{name}_mean"]) / deviation)
