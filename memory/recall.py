"""Recall: finds the memories that a question is near to, reads the best in full, and ranks them.

Two statements: one scores all of the user's memories by meaning and by words, the other reads the
pool of the best, which `memory.ranking` then orders by all its signals.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

import numpy as np
from pgvector import HalfVector
from psycopg.rows import DictRow

from memory.database import Database, Params
from memory.embedding import Embedder, QueryCache
from memory.errors import InvalidInput
from memory.log import position_of
from memory.long_term import LongTerm, memory_of
from memory.models import MemoryKind, Recall, RecalledMemory, Scope
from memory.questions import Question, understood
from memory.ranking import SIGNALS, Floats, Scores, pool, ranked, signals, totals

MAX_QUERY_CHARACTERS = 4_000
KNOWN_NAMES = 10_000
"""Users whose participants' names are kept in mind."""

NAMES_SECONDS = 60.0
"""How long a user's names are taken as known; a new speaker counts from then on."""


@dataclass(frozen=True, slots=True)
class Search:
    """A question under way: how it was read, and the statement that scores memories for it."""

    question: Question
    call: tuple[str, Params]


class Recaller:
    """Ranks memories for a query, over one database role and one embedder.

    `weights` overrides those that are shipped.
    """

    def __init__(
        self,
        database: Database,
        long_term: LongTerm,
        embedder: Embedder,
        language: str,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self._database = database
        self._long_term = long_term
        self._queries = QueryCache(embedder)
        self._language = language
        self._weights = weights
        self._names: OrderedDict[tuple[str, str], tuple[float, tuple[str, ...]]] = OrderedDict()

    async def recall(
        self,
        scope: Scope,
        query: str,
        *,
        k: int = 10,
        kinds: Iterable[MemoryKind] | None = None,
        only_agent: bool = False,
    ) -> Recall:
        """The `k` best memories for `query`, best first; see `AsyncMemoryClient.recall`."""
        search = await self.search(scope, query, kinds=kinds, only_agent=only_agent)
        scored, position = await self._database.fetch_all(
            scope, [search.call, ("log.position", {})]
        )
        items = await self.rank(scope, search, scored, k)
        return Recall(query, items, position_of(position).recorded)

    async def search(
        self,
        scope: Scope,
        query: str,
        *,
        kinds: Iterable[MemoryKind] | None = None,
        only_agent: bool = False,
    ) -> Search:
        """Reads and embeds a query; `rank` takes the rows of the search's statement.

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
        params = {
            "vector": HalfVector(await self._queries.embed_query(question.searched)),
            "embedder_id": await self._long_term.embedder_id(),
            "text": question.searched,
            "language": self._language,
            "agent": scope.agent,
            "only_agent": only_agent,
            "kinds": [k.value for k in kinds] if kinds is not None else None,
        }
        return Search(question, ("recall.scores", params))

    async def rank(
        self,
        scope: Scope,
        search: Search,
        scored: Sequence[DictRow],
        k: int,
        *,
        merged: bool = True,
    ) -> tuple[RecalledMemory, ...]:
        """The `k` best memories, from the row of the search's statement.

        With `merged`, each has to cite something that better ones do not; see `ranking.ranked`.
        """
        rows, table = await self.candidates(scope, search, scored)
        sessions = [row["session_id"] for row in rows]
        scores = totals(search.question, table, sessions, self._weights)
        if not merged:
            order = np.argsort(-scores, kind="stable").tolist()
        else:
            cited = [frozenset(row["interaction_ids"] or ()) for row in rows]
            order = ranked(scores, cited, table)
        return tuple(_recalled(rows[n], float(scores[n]), table[n]) for n in order[:k])

    async def candidates(
        self, scope: Scope, search: Search, scored: Sequence[DictRow]
    ) -> tuple[list[DictRow], Floats]:
        """The pool of the best memories in full, and their signals."""
        scores = Scores.of(scored[0])
        chosen = pool(scores, search.question)
        ids = scores.ids[chosen].tolist()
        params = {"memories": ids, "lexemes": list(scores.rarity)}
        found = await self._database.fetch(scope, "recall.details", params) if ids else []
        by_id = {row["memory_id"]: row for row in found}
        # A memory forgotten between the two statements is left out.
        kept = [n for n, memory in enumerate(ids) if memory in by_id]
        rows = [by_id[ids[n]] for n in kept]
        return rows, signals(search.question, scores, chosen[kept], rows)

    async def _known_names(self, scope: Scope) -> tuple[str, ...]:
        key = (scope.tenant, scope.user)
        known = self._names.get(key)
        if known is None or monotonic() - known[0] > NAMES_SECONDS:
            rows = await self._database.fetch(scope, "recall.names")
            known = (monotonic(), tuple(row["name"] for row in rows))
            self._names[key] = known
            if len(self._names) > KNOWN_NAMES:
                self._names.popitem(last=False)
        return known[1]


def _recalled(row: DictRow, score: float, values: Floats) -> RecalledMemory:
    return RecalledMemory(
        memory_of(row),
        score,
        tuple(row["interaction_ids"] or ()),
        row["tokens"],
        dict(zip(SIGNALS, values.tolist(), strict=True)),
    )
