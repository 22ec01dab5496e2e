"""Renders a context: titled sections of marked lines, then the recent turns.

Sections stand in the order in which a reader needs them: standing instructions, facts, procedures,
episodes, collective memories, and the conversation itself.
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
    """A memory and its text in the context.

    text: the memory's own text, or its chosen sentences if `abridged`; both quote every interaction
        that the memory cites.
    """

    item: RecalledMemory
    text: str
    excerpt: bool = False

    @classmethod
    def whole(cls, item: RecalledMemory) -> "Entry":
        """Returns an entry with the memory's full text."""
        return cls(item, item.memory.text)


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of a context, with one line for each entry."""

    title: str
    lines: tuple[str, ...]


def reading_order(entries: Iterable[Entry]) -> list[Entry]:
    """Sorts entries by section, and within a section by time."""

    def key(entry: Entry) -> tuple[Any, ...]:
        memory = entry.item.memory
        return (_OF_MEMORIES.index(title_of(entry.item)), memory.occurred_at, memory.id)

    return sorted(entries, key=key)


def title_of(item: RecalledMemory) -> str:
    """Returns the title of a memory's section."""
    memory = item.memory
    if memory.tier is Tier.COLLECTIVE:
        return COLLECTIVE
    if memory.attribute == INSTRUCTION:
        return INSTRUCTIONS
    return _TITLES[KIND_TRAITS[memory.kind].section]


def sections(
    entries: Iterable[Entry], state: Mapping[str, Any], summary: str
) -> tuple[Section, ...]:
    """Returns the non-empty sections, with markers counted through all of them."""
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
    """Returns one memory with its marker and, if it matters, its time."""
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
    """Returns sections, and turns under their own heading, as prompt text."""
    texts = [f"{heading(s.title)}{chr(10).join(s.lines)}" for s in parts]
    if turns:
        texts.append(heading(TURNS) + "\n".join(f"{speaker(t)}: {turn_text(t)}" for t in turns))
    return "\n\n".join(texts)


def heading(title: str) -> str:
    return f"## {title}\n"


def speaker(turn: Interaction) -> str:
    """Returns the speaker's name, or the role if there is no name."""
    return turn.actor or turn.role.value.capitalize()


def turn_text(turn: Interaction) -> str:
    """Returns what was said; for anything but a message, also its kind."""
    if turn.kind is InteractionKind.MESSAGE:
        return turn.content
    said = turn.content or json.dumps(dict(turn.payload), ensure_ascii=False)
    return f"({turn.kind.value.replace('_', ' ')}) {said}"


def chat_message(turn: Interaction) -> dict[str, str]:
    # A tool's turn needs the id of its call, which chat APIs give out themselves.
    role = "assistant" if turn.role.value in ("assistant", "tool") else turn.role.value
    return {"role": role, "content": turn_text(turn)}


def turn_json(turn: Interaction) -> dict[str, Any]:
    return {
        "id": turn.id,
        "role": turn.role,
        "actor": turn.actor,
        "kind": turn.kind,
        "content": turn.content,
        "occurred_at": turn.occurred_at.isoformat(),
    }


def entry_json(entry: Entry, marker: int) -> dict[str, Any]:
    """Returns a memory as plain JSON values: its origin, its confidence and its evidence."""
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
