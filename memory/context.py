"""Context: what recall found and the session's working memory, packed into a token budget."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from memory.database import Database
from memory.errors import InvalidInput
from memory.log import WorkingMemory, position_of, working_calls, working_memory
from memory.models import Interaction, InteractionKind, MemoryKind, RecalledMemory, Scope, Tier
from memory.recall import Recaller
from memory.text import estimate_tokens

TokenEstimator = Callable[[str], int]

INSTRUCTION = "instruction"
"""The attribute of standing instructions."""

RECALLED = 40
"""Memories that packing chooses from."""

MINIMUM_BUDGET = 50


@dataclass(frozen=True, slots=True)
class Shares:
    """How a budget is divided; what a tier leaves unused goes to the others.

    Raises:
        InvalidInput: a share is negative or they add up to more than 1.
    """

    working: float = 0.4
    long_term: float = 0.5
    collective: float = 0.1

    def __post_init__(self) -> None:
        parts = (self.working, self.long_term, self.collective)
        if min(parts) < 0 or sum(parts) > 1 + 1e-9:
            raise InvalidInput(f"shares must be positive and add up to at most 1, got {self!r}")


@dataclass(frozen=True, slots=True)
class Citation:
    """A marker such as `[2]` in the rendered context, and the interactions behind it."""

    marker: int
    memory: int
    tier: Tier
    interaction_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of a context, one line an entry."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Context:
    """What the next model call should know, within `budget` tokens.

    tokens: of `text` by the estimator it was packed with; never above `budget`.
    position: the place in the user's log that it reflects.
    """

    query: str
    budget: int
    tokens: int
    position: int
    sections: tuple[Section, ...]
    turns: tuple[Interaction, ...]
    citations: tuple[Citation, ...]
    items: tuple[RecalledMemory, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The context as prompt text, recent turns included."""
        return _rendered(self.sections, self.turns)

    def messages(self) -> list[dict[str, str]]:
        """The context as chat messages: memory as a system message, then the recent turns."""
        head = _rendered(self.sections, ())
        system = [{"role": "system", "content": head}] if head else []
        return system + [_chat_message(turn) for turn in self.turns]

    def json(self) -> str:
        """The context as a JSON object: items with tier, kind, confidence, time and citations."""
        return json.dumps(
            {
                "query": self.query,
                "budget": self.budget,
                "tokens": self.tokens,
                "position": self.position,
                "items": [_item_json(c, i) for c, i in zip(self.citations, self.items, strict=True)],
                "state": dict(self.state),
                "turns": [_turn_json(turn) for turn in self.turns],
                "text": self.text,
            },
            ensure_ascii=False,
        )

    def __str__(self) -> str:
        return self.text


class Assembler:
    """Assembles contexts, over one database role."""

    def __init__(
        self,
        database: Database,
        recaller: Recaller,
        window_tokens: int,
        estimator: TokenEstimator = estimate_tokens,
    ) -> None:
        self._database = database
        self._recaller = recaller
        self._window_tokens = window_tokens
        self._estimate = estimator

    async def context(
        self, scope: Scope, query: str, *, budget: int = 2000, shares: Shares | None = None
    ) -> Context:
        """What is relevant to `query`, in at most `budget` tokens; two round trips to the store.

        Raises:
            InvalidInput: a budget under MINIMUM_BUDGET, or a query that recall refuses.
        """
        if budget < MINIMUM_BUDGET:
            raise InvalidInput(f"budget must be at least {MINIMUM_BUDGET} tokens, got {budget!r}")
        shares = shares or Shares()
        window_tokens = min(self._window_tokens, int(budget * shares.working))
        calls = [await self._recaller.call(scope, query), ("log.position", {})]
        if scope.session is not None:
            calls += working_calls(scope, window_tokens)
        rows, position, *working_rows = await self._database.fetch_all(scope, calls)
        working = WorkingMemory()
        if working_rows:
            session, window, state = working_rows
            working = working_memory(session, window, state, datetime.now(UTC))
        recalled = await self._recaller.rank(scope, rows, RECALLED)
        packed = _Packing(self._estimate, budget, working)
        packed.add_window(int(budget * shares.working))
        packed.add_memories(recalled)
        return packed.finished(query, position_of(position).recorded)


class _Packing:
    """A context under construction; every step keeps the rendered text within the budget."""

    def __init__(self, estimate: TokenEstimator, budget: int, working: WorkingMemory) -> None:
        self._estimate = estimate
        self._budget = budget
        self._working = working
        self._turns: list[Interaction] = []
        self._items: list[RecalledMemory] = []

    def add_window(self, limit: int) -> None:
        """Adds recent turns, newest first, while they fit into `limit` tokens."""
        for turn in reversed(self._working.window):
            longer = [turn, *self._turns]
            if self._estimate(_rendered(self._sections((), longer), longer)) > limit:
                break
            self._turns = longer

    def add_memories(self, recalled: Sequence[RecalledMemory]) -> None:
        """Adds memories, best first, while they fit; skips what the recent turns already say."""
        shown = {turn.id for turn in self._turns}
        seen: set[str] = set()
        for item in recalled:
            if item.citations and shown.issuperset(item.citations):
                continue
            words = " ".join(item.memory.text.casefold().split())
            if words in seen:
                continue
            longer = [*self._items, item]
            text = _rendered(self._sections(longer, self._turns), self._turns)
            if self._estimate(text) <= self._budget:
                self._items = longer
                seen.add(words)

    def finished(self, query: str, position: int) -> Context:
        """The context as it stands."""
        items = tuple(_reading_order(self._items))
        sections = self._sections(self._items, self._turns)
        turns = tuple(self._turns)
        return Context(
            query=query,
            budget=self._budget,
            tokens=self._estimate(_rendered(sections, turns)),
            position=position,
            sections=sections,
            turns=turns,
            citations=tuple(
                Citation(n, item.memory.id, item.memory.tier, item.citations)
                for n, item in enumerate(items, 1)
            ),
            items=items,
            state=self._working.state or {},
        )

    def _sections(
        self, items: Sequence[RecalledMemory], turns: Sequence[Interaction]
    ) -> tuple[Section, ...]:
        ordered = list(enumerate(_reading_order(items), 1))
        sections = [
            Section(title, tuple(f"- {_line(i)} [{n}]" for n, i in ordered if _title(i) == title))
            for title in (INSTRUCTIONS, PROFILE, WORKFLOWS, EPISODES, COLLECTIVE)
        ]
        if self._working.state:
            state = json.dumps(dict(self._working.state), ensure_ascii=False)
            sections.append(Section("Task state", (state,)))
        if self._working.summary and turns:
            sections.append(Section("Earlier in this conversation", (self._working.summary,)))
        return tuple(section for section in sections if section.lines)


INSTRUCTIONS = "Standing instructions"
PROFILE = "What is known"
WORKFLOWS = "How it was done"
EPISODES = "From earlier conversations"
COLLECTIVE = "What worked for others"

_ORDER = (INSTRUCTIONS, PROFILE, WORKFLOWS, EPISODES, COLLECTIVE)


def _title(item: RecalledMemory) -> str:
    memory = item.memory
    if memory.tier is Tier.COLLECTIVE:
        return COLLECTIVE
    if memory.attribute == INSTRUCTION:
        return INSTRUCTIONS
    if memory.kind in (MemoryKind.EPISODE, MemoryKind.SUMMARY):
        return EPISODES
    return WORKFLOWS if memory.kind is MemoryKind.PROCEDURE else PROFILE


def _reading_order(items: Iterable[RecalledMemory]) -> list[RecalledMemory]:
    """Sections in their order, and within each the order in which things happened."""
    return sorted(
        items, key=lambda i: (_ORDER.index(_title(i)), i.memory.occurred_at, i.memory.id)
    )


def _line(item: RecalledMemory) -> str:
    memory = item.memory
    text = " ".join(memory.text.split())
    if memory.kind in (MemoryKind.EPISODE, MemoryKind.SUMMARY):
        return f"{memory.occurred_at:%Y-%m-%d} {text}"
    if memory.valid_to is not None:
        return f"{text} (until {memory.valid_to:%Y-%m-%d})"
    if memory.attribute == INSTRUCTION or memory.valid_from is None:
        return text
    return f"{text} (since {memory.valid_from:%Y-%m-%d})"


def _speaker(turn: Interaction) -> str:
    return turn.actor or turn.role.value.capitalize()


def _turn_text(turn: Interaction) -> str:
    if turn.kind is InteractionKind.MESSAGE:
        return turn.content
    said = turn.content or json.dumps(dict(turn.payload), ensure_ascii=False)
    return f"({turn.kind.value.replace('_', ' ')}) {said}"


def _rendered(sections: Sequence[Section], turns: Sequence[Interaction]) -> str:
    parts = [f"## {s.title}\n" + "\n".join(s.lines) for s in sections]
    if turns:
        lines = "\n".join(f"{_speaker(t)}: {_turn_text(t)}" for t in turns)
        parts.append(f"## Recent turns\n{lines}")
    return "\n\n".join(parts)


def _chat_message(turn: Interaction) -> dict[str, str]:
    # A tool's turn needs the id of its call, which chat APIs give out themselves.
    role = "assistant" if turn.role.value in ("assistant", "tool") else turn.role.value
    return {"role": role, "content": _turn_text(turn)}


def _item_json(citation: Citation, item: RecalledMemory) -> dict[str, Any]:
    memory = item.memory
    return {
        "marker": citation.marker,
        "memory": memory.id,
        "tier": memory.tier,
        "kind": memory.kind,
        "text": memory.text,
        "confidence": memory.confidence,
        "occurred_at": memory.occurred_at.isoformat(),
        "valid_from": memory.valid_from.isoformat() if memory.valid_from else None,
        "valid_to": memory.valid_to.isoformat() if memory.valid_to else None,
        "interactions": list(item.citations),
        "score": item.score,
    }


def _turn_json(turn: Interaction) -> dict[str, Any]:
    return {
        "id": turn.id,
        "role": turn.role,
        "actor": turn.actor,
        "kind": turn.kind,
        "content": turn.content,
        "occurred_at": turn.occurred_at.isoformat(),
    }
