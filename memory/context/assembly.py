"""Assembles contexts: packs recalled memories and working memory into a token budget."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from memory.bus.pending import PendingInteractions
from memory.context.packing import Packing, TokenEstimator, only_repeats
from memory.context.rendering import (
    Entry,
    Section,
    TurnLines,
    chat_messages,
    entry_json,
    reading_order,
    rendered,
    sections,
    turn_json,
)
from memory.context.working_memory import Conversation, fitted
from memory.database import StatementRunner
from memory.errors import InvalidInput
from memory.language.questions import Question
from memory.language.text import NO_SUMMARY, RollingSummary, estimate_tokens
from memory.language.turns import INSTRUCTION
from memory.log.interactions import (
    Position,
    WorkingMemory,
    position_of,
    settled_call,
    working_calls,
    working_memory,
)
from memory.log.plain_json import shown
from memory.models import (
    Interaction,
    Memory,
    MemoryKind,
    Origin,
    RecalledMemory,
    Scope,
    Tier,
    Trust,
)
from memory.point_in_time import PointInTime
from memory.recall.search import Recaller, fitting
from memory.trust.rules import NO_RULES, TrustRules, rules_of

__all__ = ["Assembler", "Citation", "Context", "Section", "Shares", "TokenEstimator"]

RECALLED = 150
"""Memories that packing chooses from."""

MINIMUM_BUDGET = 50


@dataclass(frozen=True, slots=True)
class Shares:
    """The parts of a budget that each tier may use; what one leaves unused goes to the others.

    Raises:
        InvalidInput: a share is negative, or they add up to more than 1.
    """

    working: float = 0.4
    long_term: float = 0.5
    collective: float = 0.1

    def __post_init__(self) -> None:
        parts: tuple[Any, ...] = (self.working, self.long_term, self.collective)
        shares = all(isinstance(part, int | float) and 0 <= part <= 1 for part in parts)
        if not shares or sum(parts) > 1 + 1e-9:
            said = "shares must be positive and add up to at most 1"
            raise InvalidInput(f"{said}, got {shown(parts)}")


@dataclass(frozen=True, slots=True)
class Citation:
    """A marker in the rendered context, such as `[2]`, and the memory it cites.

    interaction_ids: the evidence, in the order it happened; empty for a collective memory, whose
        evidence belongs to other users.
    text: the memory's text as quoted in the context; `excerpt` if that is not all of it.
    origin, trust: whose words the memory rests on; None for what was made before origins were kept.
    sources: the systems that recorded the evidence.
    """

    marker: int
    memory: int
    tier: Tier
    interaction_ids: tuple[str, ...]
    kind: MemoryKind
    confidence: float
    occurred_at: datetime
    text: str
    excerpt: bool = False
    origin: Origin | None = None
    trust: Trust | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """What the next model call should know, within `budget` tokens.

    tokens: the size of `text` by the estimator it was packed with; never above `budget`.
    entries: the memories, in the order in which they are read.
    turns: the newest turns of the session, oldest first; the last is cut (`…`) if it is too long by
        itself.
    state: the session's task state, as far as it fits.
    summary: a summary of what was said before the turns; each line comes with the interaction it
        quotes.
    position: the end of the user's log that it reflects.
    extracted: the position up to which its memories reflect the log.
    fresh: False if it does not reflect the interaction given as `after`.
    waited: seconds spent waiting for it.
    rules: what the tenant says about the origin of turns.
    as_of, believed_at: the point in time that was asked for, if any.
    """

    query: str
    budget: int
    tokens: int
    position: int
    sections: tuple[Section, ...]
    turns: tuple[Interaction, ...]
    entries: tuple[Entry, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict)
    summary: RollingSummary = NO_SUMMARY
    as_of: datetime | None = None
    believed_at: datetime | None = None
    extracted: int = 0
    fresh: bool = True
    waited: float = 0.0
    rules: TrustRules = NO_RULES

    @property
    def text(self) -> str:
        """The context as prompt text, recent turns included."""
        return rendered(self.sections, self.turns, self.rules)

    @property
    def items(self) -> tuple[RecalledMemory, ...]:
        """The memories behind the citations, in the order of their markers."""
        return tuple(entry.item for entry in self.entries)

    @property
    def citations(self) -> tuple[Citation, ...]:
        """The citation of each marker, in order."""
        return tuple(_citation(n, entry) for n, entry in enumerate(self.entries, 1))

    def messages(self) -> list[dict[str, str]]:
        """Returns the context as chat messages: one of the system, then what was said.

        Only what the user and the agent themselves said has their roles. Memories, results of
        tools, documents and all else stand in the system message, as data. A speaker's name is the
        `name` of the message; if one is no name for a chat API, all contents begin with a label.
        """
        return chat_messages(self.sections, self.turns, self.rules)

    def json(self) -> str:
        """Returns a JSON object of the context: items and turns with their origins and sources."""
        return json.dumps(
            {
                "query": self.query,
                "budget": self.budget,
                "tokens": self.tokens,
                "position": self.position,
                "as_of": self.as_of.isoformat() if self.as_of else None,
                "believed_at": self.believed_at.isoformat() if self.believed_at else None,
                "extracted": self.extracted,
                "fresh": self.fresh,
                "waited": round(self.waited, 3),
                "items": [entry_json(entry, n) for n, entry in enumerate(self.entries, 1)],
                "state": dict(self.state),
                "summary": [
                    {"text": line, "interaction": source}
                    for line, source in zip(
                        self.summary.text.splitlines(), self.summary.sources, strict=False
                    )
                ],
                "turns": [turn_json(turn, self.rules) for turn in self.turns],
                "text": self.text,
            },
            ensure_ascii=False,
        )

    def __str__(self) -> str:
        return self.text


class Assembler:
    """Assembles contexts, over one database role.

    `pending` holds the interactions of a session that are not in the log yet.
    """

    def __init__(
        self,
        database: StatementRunner,
        recaller: Recaller,
        window_tokens: int,
        estimator: TokenEstimator = estimate_tokens,
        pending: PendingInteractions | None = None,
    ) -> None:
        self._database = database
        self._pending = pending or PendingInteractions()
        self._recaller = recaller
        self._window_tokens = window_tokens
        self._estimate = estimator

    async def context(
        self,
        scope: Scope,
        query: str,
        *,
        budget: int = 2000,
        shares: Shares | None = None,
        at: PointInTime | None = None,
    ) -> Context:
        """Assembles what is relevant to `query`, in at most `budget` tokens and two round trips.

        Raises:
            InvalidInput: the budget is under MINIMUM_BUDGET, or recall refuses the query.
            ConfigurationError: the tenant's trust rules are none.
        """
        if budget < MINIMUM_BUDGET:
            raise InvalidInput(f"budget must be at least {MINIMUM_BUDGET} tokens, got {budget!r}")
        now = datetime.now(UTC) if at is None else at.moment
        search = await self._recaller.search(scope, query, at=at)
        calls = [search.call, search.shared_call, search.position_call, ("trust.of_tenant", {})]
        window_tokens = min(self._window_tokens, budget)
        pending = self._pending.pending(scope) if at is None else ()
        if scope.session is not None:
            # First what is on its way: what comes in between is then in the window, at the latest.
            calls += [settled_call([c.receipt for c in pending])] if pending else []
            calls += working_calls(scope, window_tokens, at)
        found = iter(await self._database.fetch_all(scope, calls))
        scored, shared, position = next(found), next(found), position_of(next(found))
        rules = rules_of(scope.tenant, next(found)[0]["policy"] or {})
        working = WorkingMemory()
        if scope.session is not None:
            left = self._pending.settle(scope, pending, next(found)) if pending else []
            working = working_memory(
                next(found), next(found), next(found), now, left, window_tokens
            )
        ranked = await self._recaller.rank(scope, search, scored, RECALLED, merged=False)
        own = [item for item in ranked if not _lapsed(item.memory, now)]
        draft = Draft(search.question, self._estimate, budget, shares or Shares(), rules)
        draft.fill(working, own, fitting(own, search.shared(shared)))
        finished = draft.finished(query, position)
        return replace(finished, **at.params) if at else finished


class Draft:
    """A context under construction: each tier gets its share first, then what is left over."""

    def __init__(
        self,
        question: Question,
        estimate: TokenEstimator,
        budget: int,
        shares: Shares,
        rules: TrustRules = NO_RULES,
    ) -> None:
        self._question = question
        self._estimate = estimate
        self._budget = budget
        self._shares = shares
        self._rules = rules
        self._lines = TurnLines(rules)
        self._entries: list[Entry] = []
        self._conversation = Conversation()

    def fill(
        self,
        working: WorkingMemory,
        recalled: Sequence[RecalledMemory],
        collective: Sequence[RecalledMemory],
    ) -> None:
        """Chooses what goes in, best first, and leaves out what the estimator says does not fit."""
        share = int(self._budget * self._shares.working)
        self._conversation = fitted(working, share, self._tokens)
        self._pack(self._said(working), recalled, collective)
        if self._tokens() < self._budget and len(self._conversation.turns) < len(working.window):
            self._conversation = fitted(working, self._budget, self._tokens)
            shown = self._said(working)
            self._entries = [e for e in self._entries if not only_repeats(e.item, shown)]
        # Entries stand in the order they were chosen in.
        while self._entries and self._tokens() > self._budget:
            self._entries.pop()

    def _pack(
        self,
        shown: frozenset[str],
        recalled: Sequence[RecalledMemory],
        collective: Sequence[RecalledMemory],
    ) -> None:
        packing = Packing(self._question, self._estimate, self._budget - self._tokens(), shown)
        packing.add_shared(collective, int(self._budget * self._shares.collective))
        packing.add(recalled)
        self._entries = packing.entries
        # Lines are counted one by one and each rounded up: print them and use what that left.
        packing.widen(self._budget - self._tokens())
        packing.add(recalled)
        packing.add_shared(collective, self._budget)

    def _said(self, working: WorkingMemory) -> frozenset[str]:
        """The interactions shown in full; a cut one may lack what a memory of it says."""
        return frozenset(t.id for t in self._conversation.turns if t in working.window)

    def finished(self, query: str, position: Position) -> Context:
        shown = self._conversation
        return Context(
            query=query,
            budget=self._budget,
            tokens=self._tokens(),
            position=position.recorded,
            extracted=position.extracted,
            sections=sections(self._entries, shown.state, shown.summary.text),
            turns=shown.turns,
            entries=tuple(reading_order(self._entries)),
            state=shown.state,
            summary=shown.summary,
            rules=self._rules,
        )

    def _tokens(self, conversation: Conversation | None = None) -> int:
        shown = conversation or self._conversation
        parts = sections(self._entries, shown.state, shown.summary.text)
        return self._estimate(rendered(parts, shown.turns, self._rules, self._lines))


def _lapsed(memory: Memory, now: datetime) -> bool:
    """Whether a memory is an instruction that is no longer valid, and so must not be shown."""
    ended = memory.valid_to is not None and memory.valid_to <= now
    return ended and memory.attribute == INSTRUCTION


def _citation(marker: int, entry: Entry) -> Citation:
    memory = entry.item.memory
    return Citation(
        marker,
        memory.id,
        memory.tier,
        entry.item.citations,
        memory.kind,
        memory.confidence,
        memory.occurred_at,
        entry.text,
        entry.excerpt,
        memory.origin,
        memory.trust,
        entry.item.sources,
    )
