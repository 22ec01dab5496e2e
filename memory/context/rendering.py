"""How a context reads: titled sections of marked lines, then the recent turns.

Sections stand in the order in which a reader needs them: what always holds, what is known, how
things were done, what was said when, what worked for others, and the conversation itself.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memory.language.turns import INSTRUCTION
from memory.models import KIND_TRAITS, Interaction, InteractionKind, RecalledMemory, Tier

INSTRUCTIONS = "Standing instructions"
PROFILE = "What is known"
WORKFLOWS = "How it was done"
EPISODES = "From earlier conversations"
COLLECTIVE = "What worked for others"
STATE = "Task state"
EARLIER = "Earlier in this conversation"
TURNS = "Recent turns"

_OF_MEMORIES = (INSTRUCTIONS, PROFILE, WORKFLOWS, EPISODES, COLLECTIVE)
_TITLES = {"profile": PROFILE, "workflows": WORKFLOWS, "episodes": EPISODES}


@dataclass(frozen=True, slots=True)
class Entry:
    """A memory and the words that stand for it.

    text: the memory's own, or the sentences of it that were chosen where `abridged`; every
        interaction that the memory cites is quoted in either.
    """

    item: RecalledMemory
    text: str
    excerpt: bool = False

    @classmethod
    def whole(cls, item: RecalledMemory) -> "Entry":
        """The memory in its own words."""
        return cls(item, item.memory.text)


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of a context, one line an entry."""

    title: str
    lines: tuple[str, ...]


def reading_order(entries: Iterable[Entry]) -> list[Entry]:
    """Sections in their order, and within each the order in which things happened."""

    def key(entry: Entry) -> tuple[Any, ...]:
        memory = entry.item.memory
        return (_OF_MEMORIES.index(title_of(entry.item)), memory.occurred_at, memory.id)

    return sorted(entries, key=key)


def title_of(item: RecalledMemory) -> str:
    """The section a memory belongs to."""
    memory = item.memory
    if memory.tier is Tier.COLLECTIVE:
        return COLLECTIVE
    if memory.attribute == INSTRUCTION:
        return INSTRUCTIONS
    return _TITLES[KIND_TRAITS[memory.kind].section]


def sections(
    entries: Iterable[Entry], state: Mapping[str, Any], summary: str
) -> tuple[Section, ...]:
    """The sections that have something to say, with markers counted through all of them."""
    lines: dict[str, list[str]] = {title: [] for title in _OF_MEMORIES}
    for marker, entry in enumerate(reading_order(entries), 1):
        lines[title_of(entry.item)].append(line(entry, marker))
    found = [Section(title, tuple(said)) for title, said in lines.items()]
    if state:
        found.append(Section(STATE, (json.dumps(dict(state), ensure_ascii=False),)))
    if summary:
        found.append(Section(EARLIER, tuple(summary.splitlines())))
    return tuple(section for section in found if section.lines)


def line(entry: Entry, marker: int) -> str:
    """One memory with its time, as far as that matters, and its marker."""
    memory = entry.item.memory
    text = " ".join(entry.text.split())
    if title_of(entry.item) == EPISODES:
        return f"- {memory.occurred_at:%Y-%m-%d} {text} [{marker}]"
    notes = [note for note in (_validity(entry), memory.disputed) if note]
    noted = f" ({'; '.join(notes)})" if notes else ""
    return f"- {text}{noted} [{marker}]"


def _validity(entry: Entry) -> str:
    memory = entry.item.memory
    if memory.valid_to is not None:
        return f"until {memory.valid_to:%Y-%m-%d}"
    dated = title_of(entry.item) in (PROFILE, WORKFLOWS) and memory.valid_from is not None
    return f"since {memory.valid_from:%Y-%m-%d}" if dated else ""


def rendered(parts: Sequence[Section], turns: Sequence[Interaction]) -> str:
    """Sections, and turns under a heading of their own, as prompt text."""
    texts = [f"{heading(s.title)}{chr(10).join(s.lines)}" for s in parts]
    if turns:
        texts.append(heading(TURNS) + "\n".join(f"{speaker(t)}: {turn_text(t)}" for t in turns))
    return "\n\n".join(texts)


def heading(title: str) -> str:
    """A section's first line."""
    return f"## {title}\n"


def speaker(turn: Interaction) -> str:
    """The name of who acted, or the role where there is none."""
    return turn.actor or turn.role.value.capitalize()


def turn_text(turn: Interaction) -> str:
    """What was said; of anything but a message also what it was."""
    if turn.kind is InteractionKind.MESSAGE:
        return turn.content
    said = turn.content or json.dumps(dict(turn.payload), ensure_ascii=False)
    return f"({turn.kind.value.replace('_', ' ')}) {said}"


def chat_message(turn: Interaction) -> dict[str, str]:
    """A turn as chat APIs take it."""
    # A tool's turn needs the id of its call, which chat APIs give out themselves.
    role = "assistant" if turn.role.value in ("assistant", "tool") else turn.role.value
    return {"role": role, "content": turn_text(turn)}


def turn_json(turn: Interaction) -> dict[str, Any]:
    """A turn as plain JSON values."""
    return {
        "id": turn.id,
        "role": turn.role,
        "actor": turn.actor,
        "kind": turn.kind,
        "content": turn.content,
        "occurred_at": turn.occurred_at.isoformat(),
    }


def entry_json(entry: Entry, marker: int) -> dict[str, Any]:
    """A memory as plain JSON values: where it comes from, how sure it is, and what it rests on."""
    memory = entry.item.memory
    return {
        "marker": marker,
        "memory": memory.id,
        "tier": memory.tier,
        "kind": memory.kind,
        "text": entry.text,
        "abridged": entry.excerpt,
        "confidence": memory.confidence,
        "occurred_at": memory.occurred_at.isoformat(),
        "valid_from": memory.valid_from.isoformat() if memory.valid_from else None,
        "valid_to": memory.valid_to.isoformat() if memory.valid_to else None,
        "contested": list(memory.contested),
        "interactions": list(entry.item.citations),
        "score": entry.item.score,
    }
