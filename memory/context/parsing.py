"""Reads a rendered context back: the inverse of `memory.context.rendering`.

What others wrote comes back as it was, but for two things that rendering drops: the line ends of a
turn are all newlines, and the words of a memory have single spaces.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memory.context.rendering import (
    BETWEEN,
    EARLIER,
    EPISODES,
    OF_MEMORIES,
    STATE,
    TITLES,
    TURNS,
    labelled,
    unmarked,
)
from memory.errors import InvalidInput
from memory.language.escaping import INDENT, NOTE, restored, unblocked
from memory.language.labels import Label, label_of, looks_like_role, read_label
from memory.models import InteractionKind, Role

_HEADING = re.compile(rf"## ({'|'.join(map(re.escape, TITLES))})")
_ITEM = re.compile(r"- (?:(\d{4}-\d\d-\d\d) )?(.*) \[(\d+)\]", re.DOTALL)
_NOTES = re.compile(rf" \((?={NOTE})([^\n]*)\)\Z")
_ITEM_ENDS = re.compile(r" \[\d+\]\Z")
_KINDS = {
    f"({kind.value.replace('_', ' ')}) ": kind
    for kind in InteractionKind
    if kind is not InteractionKind.MESSAGE
}
_AFTER = re.compile(r"After turn (\d+): ")


@dataclass(frozen=True, slots=True)
class ParsedTurn:
    """One turn as a context shows it.

    after: of a turn in the system message, the number of chat messages before it.
    """

    label: Label
    text: str
    kind: InteractionKind = InteractionKind.MESSAGE
    after: int | None = None


@dataclass(frozen=True, slots=True)
class ParsedItem:
    """One memory as a context shows it.

    text: of a memory that is no conversation. turns: of one that is.
    date: the day of an episode, as `2026-03-02`.
    notes: what stands in the parentheses at the end, as it is printed; '' without.
    """

    marker: int
    section: str
    text: str = ""
    turns: tuple[ParsedTurn, ...] = ()
    date: str = ""
    notes: str = ""


@dataclass(frozen=True, slots=True)
class ParsedContext:
    """A context read back from its text or its messages."""

    items: tuple[ParsedItem, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict)
    summary: tuple[ParsedTurn, ...] = ()
    turns: tuple[ParsedTurn, ...] = ()
    aside: tuple[ParsedTurn, ...] = ()


def parsed(text: str) -> ParsedContext:
    """Reads the text of a context, or the content of its system message.

    Raises:
        InvalidInput: it is no context; the message names the line.
    """
    found: dict[str, list[str]] = {}
    for title, blocks in _sections(text):
        if title in found:
            raise InvalidInput(f"no context: two sections {title!r}")
        found[title] = blocks
    state = _state(found.get(STATE, []))
    return ParsedContext(
        tuple(_item(title, b) for title in OF_MEMORIES for b in found.get(title, ())),
        state,
        tuple(_said(block) for block in found.get(EARLIER, ())),
        tuple(_turn(block) for block in found.get(TURNS, ())),
        tuple(_aside(block) for block in found.get(BETWEEN, ())),
    )


def headings(text: str) -> list[int]:
    """Returns where in `text` a line is exactly one of a context's headings, in order.

    Such lines are how a context looks that somebody pasted: no context holds them but its own.
    """
    found = re.finditer(rf"^{_HEADING.pattern}[ \t]*$", text, re.MULTILINE)
    return [match.start() for match in found]


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    """The sections of a context, each with its entries, which may have several lines."""
    if not text:
        return
    for part in re.split(r"\n\n(?=## )", text):
        first, _, rest = part.partition("\n")
        heading = _HEADING.fullmatch(first)
        if heading is None:
            raise InvalidInput(f"no context: {first[:80]!r} is no heading of one")
        yield heading[1], list(_blocks(heading[1], rest.split("\n")))


def _blocks(title: str, lines: Sequence[str]) -> Iterator[str]:
    block: list[str] = []
    for line in lines:
        if block and not _goes_on(title, block, line):
            yield "\n".join(block)
            block = []
        block.append(line)
    yield "\n".join(block)


def _goes_on(title: str, block: Sequence[str], line: str) -> bool:
    """Whether a line belongs to the block: an indented one, or a further turn of an episode."""
    if title == EPISODES:
        return not _ITEM_ENDS.search(block[-1])
    return line.startswith(INDENT)


def _item(title: str, block: str) -> ParsedItem:
    found = _ITEM.fullmatch(block)
    if found is None or bool(found[1]) < (title == EPISODES):
        raise InvalidInput(f"no context: {block[:80]!r} is no memory of {title!r}")
    date, body, marker = found.groups()
    if title != EPISODES and date:
        date, body = "", f"{date} {body}"
    noted = _NOTES.search(body)
    body, notes = (body[: noted.start()], noted[1]) if noted else (body, "")
    said = tuple(map(_said, body.split("\n"))) if title == EPISODES and read_label(body) else ()
    text = "" if said else restored(_unmarked(title, body))
    return ParsedItem(int(marker), title, text, said, date or "", notes)


def _unmarked(title: str, body: str) -> str:
    """The words of a memory without the backslash before what looks like a label."""
    marked = body.startswith("\\") and (
        looks_like_role(body) or (title == EPISODES and read_label(body.lstrip("\\")))
    )
    return body[1:] if marked else body


def _said(line: str) -> ParsedTurn:
    label, words = _labelled(line)
    return ParsedTurn(label, restored(words))


def _turn(block: str, after: int | None = None) -> ParsedTurn:
    label, words = _labelled(block)
    for note, kind in _KINDS.items():
        if words.startswith(note):
            return ParsedTurn(label, unblocked(words[len(note) :]), kind, after)
    return ParsedTurn(label, unblocked(words), after=after)


def _aside(block: str) -> ParsedTurn:
    found = _AFTER.match(block)
    if found is None:
        raise InvalidInput(f"no context: {block[:80]!r} does not say after which turn")
    return _turn(block[found.end() :], int(found[1]))


def _labelled(line: str) -> tuple[Label, str]:
    found = read_label(line)
    if found is None:
        raise InvalidInput(f"no context: {line[:80]!r} has no label")
    return found


def _state(blocks: Sequence[str]) -> dict[str, Any]:
    try:
        state = json.loads(restored(blocks[0])) if blocks else {}
    except ValueError as error:
        raise InvalidInput(f"no context: {blocks[0][:80]!r} is no task state") from error
    if not isinstance(state, dict):
        raise InvalidInput(f"no context: {blocks[0][:80]!r} is no task state")
    return state


def parsed_messages(messages: Sequence[Mapping[str, str]]) -> ParsedContext:
    """Reads the chat messages of a context.

    Raises:
        InvalidInput: they are no context's.
    """
    system = [m["content"] for m in messages if m["role"] == "system"]
    if len(system) > 1:
        raise InvalidInput(f"no context: {len(system)} system messages")
    spoken = [m for m in messages if m["role"] != "system"]
    head = parsed(system[0]) if system else ParsedContext()
    return ParsedContext(head.items, head.state, head.summary, _chat(spoken), head.aside)


def _chat(spoken: Sequence[Mapping[str, str]]) -> tuple[ParsedTurn, ...]:
    if labelled(spoken):
        return tuple(_turn(message["content"]) for message in spoken)
    bare = unmarked(spoken)
    if bare and bare[0] != spoken[0] and labelled(bare):
        spoken = [{**spoken[0], "content": spoken[0]["content"][1:]}, *spoken[1:]]
    return tuple(
        ParsedTurn(label_of(Role(m["role"]), m.get("name")), restored(m["content"])) for m in spoken
    )
