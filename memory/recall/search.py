"""Recall: finds the memories near a question, reads the best in full, and ranks them.

It takes two statements: one scores all of the user's memories by meaning and by words, the other
reads the best. `memory.recall.ranking` then orders them by all signals.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import inf
from time import monotonic

import numpy as np
from pgvector import HalfVector
from psycopg.rows import DictRow

from memory.beliefs.collective import LIMIT as COLLECTIVE_LIMIT
from memory.beliefs.collective import Collective, recalled
from memory.beliefs.long_term import LongTermReader
from memory.beliefs.rows import memory_of
from memory.database import StatementRunner
from memory.database.pipeline import Params
from memory.embedding import Embedder, QueryCache
from memory.errors import InvalidInput
from memory.language.questions import Question, understood
from memory.language.turns import INSTRUCTION
from memory.log.interactions import position_of
from memory.models import Memory, MemoryKind, Recall, RecalledMemory, Scope
from memory.point_in_time import PointInTime
from memory.recall.ranking import (
    NEAREST,
    POOL,
    SIGNALS,
    Floats,
    Scores,
    pool,
    ranked,
    signals,
    totals,
)
from memory.recall.reranking import POOL as RERANKED_POOL
from memory.recall.reranking import Reranker, reranked

MAX_QUERY_CHARACTERS = 4_000
SHARED_FIT = 0.4
"""The least score, on its own scale, at which a collective memory is listed."""

SHARED_PART = 0.2
"""The largest share of collective memories in an answer."""

COLLECTIVE_THEN = 200
"""Collective memories that are searched for those that existed at a past time."""

AHEAD = timedelta(days=1)
"""How far the clock of an event may be ahead; what lies further has not happened yet."""

NOTHING: Params = {}

KNOWN_NAMES = 10_000
"""Users whose participants' names are cached."""

NAMES_SECONDS = 60.0
"""How long a user's names are cached; a new speaker counts after that."""


@dataclass(frozen=True, slots=True)
class Search:
    """A running search: the question as it was read, and its statements.

    call: scores the user's memories; `Recaller.rank` takes its rows.
    shared_call: finds collective memories; `shared` takes its rows.
    position_call: reads the position in the log that the answer reflects.
    then: the point in time that is searched, if any.
    """

    question: Question
    call: tuple[str, Params]
    shared_call: tuple[str, Params]
    position_call: tuple[str, Params] = ("log.position", NOTHING)
    at: PointInTime | None = None

    def shared(self, rows: Sequence[DictRow]) -> tuple[RecalledMemory, ...]:
        """Returns the collective memories in the rows of `shared_call`, best first."""
        found = recalled(rows)
        past = self.at
        return found if past is None else tuple(i for i in found if past.holds(i.memory))


class Recaller:
    """Ranks memories for a query, over one database role and one embedder.

    `weights` overrides the shipped ones; `reranker` reorders the best.
    """

    def __init__(
        self,
        database: StatementRunner,
        long_term: LongTermReader,
        embedder: Embedder,
        language: str,
        weights: Mapping[str, float] | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        self._reranker = reranker
        self._database = database
        self._long_term = long_term
        self._queries = QueryCache(embedder)
        self._collective = Collective(database, language)
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
        at: PointInTime | None = None,
    ) -> Recall:
        """Returns the `k` best memories for `query`, best first; see `AsyncMemoryClient.recall`."""
        search = await self.search(scope, query, kinds=kinds, only_agent=only_agent, at=at)
        calls = [search.call, search.position_call]
        # What is private to an agent is never shared, so looking only there leaves nothing to add.
        calls += [] if only_agent else [search.shared_call]
        scored, position, *shared = await self._database.fetch_all(scope, calls)
        own = await self.rank(scope, search, scored, k)
        items = blended(own, search.shared(shared[0]) if shared else (), k)
        place = position_of(position)
        past = at.params if at else {}
        return Recall(query, items, place.recorded, extracted=place.extracted, **past)

    async def search(
        self,
        scope: Scope,
        query: str,
        *,
        kinds: Iterable[MemoryKind] | None = None,
        only_agent: bool = False,
        at: PointInTime | None = None,
    ) -> Search:
        """Reads and embeds a query; `rank` takes the rows of the search's statement.

        Raises:
            InvalidInput: an empty query, one over MAX_QUERY_CHARACTERS, or `only_agent` without an
                agent in the scope.
        """
        if not query.strip() or len(query) > MAX_QUERY_CHARACTERS or "\x00" in query:
            raise InvalidInput(
                f"a query has 1 to {MAX_QUERY_CHARACTERS:,} characters without NUL,"
                f" got {query[:60]!r} ({len(query):,})"
            )
        if only_agent and scope.agent is None:
            raise InvalidInput(f"only_agent needs an agent in the scope, got {scope!r}")
        names, recent = self._known_names(scope)
        question = understood(query, names)
        vector = await self._queries.embed_query(question.searched)
        embedder_id = await self._long_term.embedder_id()
        wanted = list(kinds) if kinds is not None else None
        params = {
            "vector": HalfVector(vector),
            "embedder_id": embedder_id,
            "text": question.searched,
            "language": self._language,
            "agent": scope.agent,
            "only_agent": only_agent,
            "kinds": [k.value for k in wanted] if wanted is not None else None,
            # Blocks hold what every question about the user looks at.
            "by_row": only_agent or wanted is not None or at is not None,
            "names": not recent,
            "generation": None,
        }
        most = COLLECTIVE_LIMIT if at is None else COLLECTIVE_THEN
        shared = self._collective.call(
            vector, embedder_id, question.searched, kinds=wanted, limit=most
        )
        if at is None:
            return Search(question, ("recall.scores", params), shared)
        call = ("recall.scores_then", {**params, **at.params})
        return Search(question, call, shared, ("past.position", at.params), at)

    async def within(
        self, scope: Scope, query: str, generation: int, *, k: int = 10
    ) -> tuple[RecalledMemory, ...]:
        """Returns the `k` best memories of a generation, whether or not it serves the user.

        Raises:
            InvalidInput: as `search`.
        """
        search = await self.search(scope, query)
        name, params = search.call
        search = replace(search, call=(name, {**params, "generation": generation}))
        return await self.rank(scope, search, await self._database.fetch(scope, *search.call), k)

    async def rank(
        self,
        scope: Scope,
        search: Search,
        scored: Sequence[DictRow],
        k: int,
        *,
        merged: bool = True,
    ) -> tuple[RecalledMemory, ...]:
        """Returns the `k` best memories, from the row of the search's statement.

        With `merged`, each has to cite something that better ones do not; see `ranking.ranked`.
        """
        search, scored = await self.reread(scope, search, scored)
        rows, table = await self.candidates(scope, search, scored)
        sessions = [row["session_id"] for row in rows]
        scores = totals(search.question, table, sessions, self._weights)
        if not merged:
            order = np.argsort(-scores, kind="stable").tolist()
        else:
            cited = [frozenset(row["interaction_ids"] or ()) for row in rows]
            order, scores = ranked(scores, cited, table)
        most = k if self._reranker is None else max(k, RERANKED_POOL)
        items = tuple(_recalled(rows[n], float(scores[n]), table[n]) for n in order[:most])
        if self._reranker is not None:
            items = await reranked(self._reranker, search.question.text, items)
        return items[:k]

    async def candidates(
        self,
        scope: Scope,
        search: Search,
        scored: Sequence[DictRow],
        sizes: tuple[int, int] = (POOL, NEAREST),
    ) -> tuple[list[DictRow], Floats]:
        """Returns the pool of the best memories in full, of the given sizes, and their signals."""
        scores = Scores.of(scored[0])
        chosen = pool(scores, search.question, *sizes)
        ids = scores.ids[chosen.at].tolist()
        soon = datetime.now(UTC) + AHEAD if search.at is None else None
        params = {"memories": ids, "lexemes": list(scores.rarity), "soon": soon}
        found = await self._database.fetch(scope, "recall.details", params) if ids else []
        by_id = {row["memory_id"]: _as_of_now(row) for row in found if not row["said_ahead"]}
        if search.at is not None and ids:
            stood = {"memories": ids, **search.at.params}
            for row in await self._database.fetch(scope, "past.details", stood):
                by_id[row["memory_id"]] |= row
        # What was forgotten between the two statements, or has not happened yet, is left out.
        kept = [n for n, memory in enumerate(ids) if memory in by_id]
        rows = [by_id[ids[n]] for n in kept]
        return rows, signals(search.question, scores, chosen.only(kept), rows)

    async def reread(
        self, scope: Scope, search: Search, scored: Sequence[DictRow]
    ) -> tuple[Search, Sequence[DictRow]]:
        """Repeats a search with the names that came with its rows, if they matter.

        So the first question about a user does not wait for the speakers' names.
        """
        names = scored[0]["names"]
        if names is None:
            return search, scored
        self._learn_names(scope, tuple(names))
        question = understood(search.question.text, names)
        if question.searched == search.question.searched:
            return replace(search, question=question), scored
        vector = HalfVector(await self._queries.embed_query(question.searched))
        name, params = search.call
        changed = {**params, "vector": vector, "text": question.searched, "names": False}
        again = replace(search, question=question, call=(name, changed))
        return again, await self._database.fetch(scope, *again.call)

    def _known_names(self, scope: Scope) -> tuple[tuple[str, ...], bool]:
        """The user's cached names, and whether they are recent."""
        read_at, names = self._names.get((scope.tenant, scope.user), (-inf, ()))
        return names, monotonic() - read_at <= NAMES_SECONDS

    def _learn_names(self, scope: Scope, names: tuple[str, ...]) -> None:
        key = (scope.tenant, scope.user)
        self._names[key] = (monotonic(), names)
        self._names.move_to_end(key)
        if len(self._names) > KNOWN_NAMES:
            self._names.popitem(last=False)


def _as_of_now(row: DictRow) -> DictRow:
    """A memory's row without an end that only what has not happened yet gave it."""
    return {**row, "valid_to": None} if row["ended_ahead"] else row


def blended(
    own: Sequence[RecalledMemory], shared: Sequence[RecalledMemory], k: int
) -> tuple[RecalledMemory, ...]:
    """Returns the user's own memories, then collective memories in at most a share of `k`.

    The two have different scales, so a collective memory's score is put below the last of the
    user's.
    """
    room = min(max(1, int(k * SHARED_PART)), k - 1 if own else k)
    fit = fitting(own, shared)[:room]
    kept = own[: k - len(fit)]
    floor = min((item.score for item in kept), default=0.0)
    return (*kept, *(replace(item, score=floor - n / 1000) for n, item in enumerate(fit, 1)))


def fitting(
    own: Sequence[RecalledMemory], shared: Sequence[RecalledMemory]
) -> list[RecalledMemory]:
    """Returns the collective memories that match the question well enough to be listed.

    It leaves out subjects on which the user has a memory of their own.
    """
    spoken_for = {_subject(item.memory) for item in own if item.memory.attribute}
    return [
        item
        for item in shared
        if item.score >= SHARED_FIT and _subject(item.memory) not in spoken_for
    ]


def _subject(memory: Memory) -> tuple[str | None, ...]:
    """The subject of a memory; instructions share an attribute, so each is its own subject."""
    value = memory.value if memory.attribute == INSTRUCTION else None
    return (memory.attribute, memory.context, value)


def _recalled(row: DictRow, score: float, values: Floats) -> RecalledMemory:
    return RecalledMemory(
        memory_of(row),
        score,
        tuple(row["interaction_ids"] or ()),
        row["tokens"],
        dict(zip(SIGNALS, values.tolist(), strict=True)),
        tuple(source for source in row["sources"] or () if source is not None),
    )
