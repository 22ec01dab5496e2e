"""Renders a context: titled sections of marked lines, then the recent turns.

Sections stand in the order in which a reader needs them: standing instructions, facts, procedures,
episodes, collective memories, and the conversation itself.

One rule keeps the parts apart: structure begins at the start of a line, and what others wrote never
does. `memory.context.parsing` reads a rendered context back.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from memory.language.escaping import blocked, escaped, escaped_in_line, folded_line, unified
from memory.language.labels import (
    OTHER_AGENT,
    UNTRUSTED,
    Label,
    episode_label,
    label_of,
    looks_like_role,
    named,
    read_label,
    split_label,
)
from memory.language.turns import INSTRUCTION, Said, said_of, said_text
from memory.models import (
    KIND_TRAITS,
    Interaction,
    InteractionKind,
    Memory,
    Origin,
    RecalledMemory,
    Role,
    Tier,
    Trust,
    trust_of,
)
from memory.trust.origins import origin_of
from memory.trust.rules import NO_RULES, TrustRules, tool_or_actor

INSTRUCTIONS = "Standing instructions"
PROFILE = "What is known"
WORKFLOWS = "How it was done"
EPISODES = "From earlier conversations"
COLLECTIVE = "What worked for others"
STATE = "Task state"
EARLIER = "Earlier in this conversation"
TURNS = "Recent turns"
BETWEEN = "Between the turns"

OF_MEMORIES = (INSTRUCTIONS, PROFILE, WORKFLOWS, EPISODES, COLLECTIVE)
TITLES = (*OF_MEMORIES, STATE, EARLIER, TURNS, BETWEEN)
"""Every heading, in the order of sections; BETWEEN stands in `messages` in the place of TURNS."""

_OF_SECTION = {"profile": PROFILE, "workflows": WORKFLOWS, "episodes": EPISODES}

WHOSE: Mapping[Origin, str] = {
    Origin.AGENT: "the agent",
    Origin.TOOL: "a tool",
    Origin.QUOTED: "quoted text",
    Origin.EXTERNAL: "an external source",
    Origin.DOCUMENT: "a document",
    Origin.OTHER_AGENT: "another agent",
}
"""How a note names an origin that is not the person's or the app's."""

API_NAME_CHARACTERS = 64


@dataclass(frozen=True)
class Entry:
    """A memory and its text in the context.

    text: the memory's own text, or its chosen sentences if `excerpt`; both quote every interaction
        that the memory cites.
    said: the turns that the text consists of, if it is of a conversation.
    """

    item: RecalledMemory
    text: str
    excerpt: bool = False
    said: tuple[Said, ...] = ()

    @classmethod
    def whole(cls, item: RecalledMemory) -> "Entry":
        """Returns an entry with the memory's full text."""
        memory = item.memory
        return cls(item, memory.text, said=said_of(memory.text, memory.payload))

    @classmethod
    def shortened(cls, item: RecalledMemory, said: tuple[Said, ...]) -> "Entry":
        """Returns an entry with a part of what was said."""
        return cls(item, said_text(said), excerpt=True, said=said)

    @cached_property
    def rendered(self) -> str:
        """Its line without the marker."""
        return _rendered(self)


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of a context, with one line for each entry.

    An entry that quotes several turns has a line break before each further turn.
    """

    title: str
    lines: tuple[str, ...]


def reading_order(entries: Iterable[Entry]) -> list[Entry]:
    """Sorts entries by section, and within a section by time."""

    def key(entry: Entry) -> tuple[Any, ...]:
        memory = entry.item.memory
        return (OF_MEMORIES.index(title_of(entry.item)), memory.occurred_at, memory.id)

    return sorted(entries, key=key)


def title_of(item: RecalledMemory) -> str:
    """Returns the title of a memory's section.

    Only what is trusted or approved stands under INSTRUCTIONS. What was made before origins were
    kept counts as it did then.
    """
    memory = item.memory
    if memory.tier is Tier.COLLECTIVE:
        return COLLECTIVE
    if memory.attribute == INSTRUCTION and trusted(memory):
        return INSTRUCTIONS
    return _OF_SECTION[KIND_TRAITS[memory.kind].section]


def trusted(memory: Memory) -> bool:
    """Whether a memory may govern: trusted, approved, or made before origins were kept."""
    return memory.trust is None or memory.trust >= Trust.TRUSTED or memory.approved


def sections(
    entries: Iterable[Entry], state: Mapping[str, Any], summary: str
) -> tuple[Section, ...]:
    """Returns the non-empty sections, with markers counted through all of them."""
    lines: dict[str, list[str]] = {title: [] for title in OF_MEMORIES}
    for marker, entry in enumerate(reading_order(entries), 1):
        lines[title_of(entry.item)].append(line(entry, marker))
    found = [Section(title, tuple(said)) for title, said in lines.items()]
    if state:
        found.append(Section(STATE, (escaped_in_line(as_json(state)),)))
    if summary:
        found.append(Section(EARLIER, tuple(map(_summary_line, summary.splitlines()))))
    return tuple(section for section in found if section.lines)


def as_json(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), ensure_ascii=False)


def _summary_line(stored: str) -> str:
    """A line of a rolling summary; older ones may name a speaker by what is no label."""
    label, words = split_label(stored) or (None, stored)
    if label is None:
        name, _, words = stored.partition(": ")
        label = named(name)
    return f"{label}: {folded_line(words)}"


def line(entry: Entry, marker: int) -> str:
    """Returns one memory with its marker and, if it matters, its time and its origin."""
    return f"- {entry.rendered} [{marker}]"


def _rendered(entry: Entry) -> str:
    memory = entry.item.memory
    title = title_of(entry.item)
    dated = f"{_day(memory.occurred_at)} " if title == EPISODES else ""
    text, counted = _parted(entry, title)
    notes = [note for note in (counted, *_notes(entry, title)) if note]
    noted = f" ({'; '.join(notes)})" if notes else ""
    return f"{dated}{text}{noted}"


def _parted(entry: Entry, title: str) -> tuple[str, str]:
    """The words of an entry, and the note on supporters at the end of a collective memory's."""
    if entry.said and title == EPISODES:
        return "\n".join(_said(one) for one in entry.said), ""
    text, _, counted = entry.text.rpartition(" (") if title == COLLECTIVE else (entry.text, "", "")
    if title == COLLECTIVE and not (counted.startswith("at least ") and counted.endswith(")")):
        text, counted = entry.text, ""
    text = folded_line(text)
    # No label of a turn stands before what nobody is known to have said.
    labelled = looks_like_role(text) or (title == EPISODES and read_label(text.lstrip("\\")))
    return ("\\" if labelled else "") + text, folded_line(counted.removesuffix(")"))


def _said(one: Said) -> str:
    return f"{episode_label(one.turn.speaker, one.turn.assistant)}: {folded_line(one.words)}"


def _notes(entry: Entry, title: str) -> tuple[str, ...]:
    memory = entry.item.memory
    rivals = ", ".join(named(rival) for rival in memory.contested)
    disputed = f"disputed: {rivals}" if rivals else ""
    dates = "" if title == EPISODES else _validity(entry)
    return (dates, "" if title == EPISODES else disputed, _origin_note(memory, title))


def _origin_note(memory: Memory, title: str) -> str:
    origin = memory.origin
    if origin is None or title == COLLECTIVE:
        return ""
    if origin is Origin.RECORD:
        return "of record"
    if origin not in WHOSE or (title == WORKFLOWS and origin is Origin.AGENT):
        return ""
    if title == EPISODES:  # whose turns have labels, but a tool's looks like a person's name
        return "" if origin is Origin.AGENT else f"partly from {WHOSE[origin]}"
    return f"from {WHOSE[origin]}, {'approved' if memory.approved else 'unconfirmed'}"


def _validity(entry: Entry) -> str:
    memory = entry.item.memory
    if memory.valid_to is not None:
        return f"until {_day(memory.valid_to)}"
    if memory.valid_from is None or title_of(entry.item) not in (PROFILE, WORKFLOWS):
        return ""
    return f"since {_day(memory.valid_from)}"


def _day(moment: datetime) -> str:
    return moment.date().isoformat()


def rendered(
    parts: Sequence[Section],
    turns: Sequence[Interaction],
    rules: TrustRules = NO_RULES,
    lines: "TurnLines | None" = None,
) -> str:
    """Returns sections, and turns under their own heading, as prompt text.

    `lines` keeps the lines of turns for whoever renders the same turns again and again.
    """
    texts = [f"{heading(s.title)}{chr(10).join(s.lines)}" for s in parts]
    if turns:
        known = TurnLines(rules) if lines is None else lines
        texts.append(heading(TURNS) + "\n".join(map(known.of, turns)))
    return "\n\n".join(texts)


class TurnLines:
    """The lines of turns under a tenant's rules, each made once; a turn that is cut is another."""

    def __init__(self, rules: TrustRules) -> None:
        self._rules = rules
        self._made: dict[tuple[str, str], str] = {}

    def of(self, turn: Interaction) -> str:
        key = (turn.id, turn.content)
        if (line := self._made.get(key)) is None:
            line = self._made[key] = turn_line(turn, self._rules)
        return line


def heading(title: str) -> str:
    return f"## {title}\n"


def turn_line(turn: Interaction, rules: TrustRules = NO_RULES) -> str:
    """Returns a turn with its label; its further lines are indented."""
    return f"{turn_label(turn, rules)}: {kind_note(turn)}{blocked(turn_text(turn))}"


def turn_label(turn: Interaction, rules: TrustRules = NO_RULES) -> Label:
    """Returns whose turn it is, and what it is worth where that is not the person's or agent's."""
    origin = origin_of(turn, rules)
    note = UNTRUSTED if trust_of(origin) is Trust.UNTRUSTED else ""
    note = OTHER_AGENT if origin is Origin.OTHER_AGENT else note
    return replace(_unnoted(turn), note=note)


def _unnoted(turn: Interaction) -> Label:
    role = {
        InteractionKind.RETRIEVAL: "Document",
        InteractionKind.NOTE: "Note",
        InteractionKind.TOOL_RESULT: "Tool",
    }.get(turn.kind)
    if role is None:
        return label_of(turn.role, tool_or_actor(turn) if turn.role is Role.TOOL else turn.actor)
    return Label(role, (tool_or_actor(turn) if role == "Tool" else turn.actor) or None)


def kind_note(turn: Interaction) -> str:
    """Returns the kind of a turn that is no message, before its words."""
    message = turn.kind is InteractionKind.MESSAGE
    return "" if message else f"({turn.kind.value.replace('_', ' ')}) "


def turn_text(turn: Interaction) -> str:
    """Returns what was said, or the payload of a turn without words that is no message."""
    if turn.kind is InteractionKind.MESSAGE:
        return turn.content
    return turn.content or as_json(turn.payload)


def chat_messages(
    parts: Sequence[Section], turns: Sequence[Interaction], rules: TrustRules = NO_RULES
) -> list[dict[str, str]]:
    """Returns one system message, then what user and assistant themselves said, in order.

    All other turns stand in the system message, each with the number of chat messages before it.
    """
    spoken = [turn for turn in turns if is_spoken(turn, rules)]
    aside = _between(turns, rules)
    head = rendered((*parts, Section(BETWEEN, aside)) if aside else parts, ())
    system = [{"role": "system", "content": head}] if head else []
    return system + _chat(spoken, rules)


def _chat(spoken: Sequence[Interaction], rules: TrustRules) -> list[dict[str, str]]:
    if not all(turn.actor is None or _is_api_name(turn.actor) for turn in spoken):
        # Then all have labels, so that none can be forged.
        return [{"role": t.role.value, "content": turn_line(t, rules)} for t in spoken]
    messages = [_chat_message(turn) for turn in spoken]
    if labelled(unmarked(messages)):
        messages[0]["content"] = "\\" + messages[0]["content"]
    return messages


def labelled(messages: Sequence[Mapping[str, str]]) -> bool:
    """Whether chat messages all begin with labels, one of which names whom no API can name."""
    read = [read_label(m["content"]) for m in messages if "name" not in m]
    labels = [label for label, _ in filter(None, read)]
    named_so = any(label.name and not _is_api_name(label.name) for label in labels)
    return named_so and len(labels) == len(messages)


def unmarked(messages: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Returns chat messages without backslashes before the first."""
    return [{**m, "content": m["content"].lstrip("\\")} if n == 0 else m
            for n, m in enumerate(messages)]  # fmt: skip


def is_spoken(turn: Interaction, rules: TrustRules = NO_RULES) -> bool:
    """Whether a turn is a message that the person or the agent of the conversation said."""
    if turn.kind is not InteractionKind.MESSAGE:
        return False
    return origin_of(turn, rules) in _SPEAKING.get(turn.role, ())


_SPEAKING: Mapping[Role, tuple[Origin, ...]] = {
    Role.USER: (Origin.PERSON, Origin.QUOTED, Origin.RECORD),
    Role.ASSISTANT: (Origin.AGENT,),
}
"""The origins of turns that have their role's place in a chat."""


def _between(turns: Sequence[Interaction], rules: TrustRules) -> tuple[str, ...]:
    lines, spoken = [], 0
    for turn in turns:
        if is_spoken(turn, rules):
            spoken += 1
        else:
            lines.append(f"After turn {spoken}: {turn_line(turn, rules)}")
    return tuple(lines)


def _is_api_name(name: str) -> bool:
    """Whether a name is plain, and chat APIs take it as the `name` of a message."""
    letters = name.replace("_", "").replace("-", "")
    short = len(name) <= API_NAME_CHARACTERS and letters.isascii() and letters.isalnum()
    return short and named(name) == name


def _chat_message(turn: Interaction) -> dict[str, str]:
    said = {"role": turn.role.value, "content": escaped(unified(turn.content))}
    return {**said, "name": turn.actor} if turn.actor else said


def turn_json(turn: Interaction, rules: TrustRules = NO_RULES) -> dict[str, Any]:
    return {
        "id": turn.id,
        "label": str(turn_label(turn, rules)),
        "role": turn.role,
        "actor": turn.actor,
        "kind": turn.kind,
        **origin_json(origin_of(turn, rules)),
        "source": turn.source,
        "content": turn.content,
        "occurred_at": turn.occurred_at.isoformat(),
    }


def origin_json(origin: Origin | None) -> dict[str, Any]:
    """Returns an origin and how far it is trusted, in lower case; None where it is not known."""
    trust = trust_of(origin)
    return {"origin": origin, "trust": None if trust is None else trust.name.lower()}


def entry_json(entry: Entry, marker: int) -> dict[str, Any]:
    """Returns a memory as plain JSON values: its origin, its confidence and its evidence."""
    memory = entry.item.memory
    return {
        "marker": marker,
        "memory": memory.id,
        "tier": memory.tier,
        "kind": memory.kind,
        "section": title_of(entry.item),
        "text": entry.text,
        "abridged": entry.excerpt,
        "confidence": memory.confidence,
        **origin_json(memory.origin),
        "approved": memory.approved,
        "sources": list(entry.item.sources),
        "occurred_at": memory.occurred_at.isoformat(),
        "valid_from": memory.valid_from.isoformat() if memory.valid_from else None,
        "valid_to": memory.valid_to.isoformat() if memory.valid_to else None,
        "contested": list(memory.contested),
        "interactions": list(entry.item.citations),
        "score": entry.item.score,
    }
