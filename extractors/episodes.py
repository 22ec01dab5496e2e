"""`episodes`: keeps what was said, verbatim, cut where the conversation turns.

No rule can lose anything that was said: every character of every message stands in an episode.
Conversations among people are cut into short runs of turns. With an assistant, a user's message
keeps the opening of its reply, and the whole reply is an episode by itself.

The start of an episode depends only on earlier messages, so the log gives the same episodes
whatever the batches. An episode that grows is proposed again under the same first evidence, and
replaces its beginning.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from extractors.protocol import LogSlice, Reading
from memory.language.turns import (
    INSTRUCTION,
    INSTRUCTION_REACH,
    PREFERENCE,
    STANDING_INSTRUCTION,
    STATED_PREFERENCE,
    TURNS,
    Turn,
    turns_payload,
)
from memory.models import Candidate, Evidence, Interaction, InteractionKind, MemoryKind, Role
from memory.settings import Settings

RUN_TURNS = 3
"""Turns between people that may share an episode; runs begin at every third place of a session."""

RUN_CHARACTERS = 480
"""The largest size of such a run: ten of these episodes are some 1,200 tokens."""

FOLLOW_UP_CHARACTERS = 160
EXCHANGE_MESSAGES = 6
REPLY_CHARACTERS = 200
"""The part of a reply that stands beside the message it answers."""

MESSAGE_CHARACTERS = 8_000
"""A longer message is cut at paragraphs: one vector cannot stand for more."""

_FOLLOW_UP = re.compile(
    r"^\W*(?:hmm+|yeah|yep|yes|ok(?:ay)?|sure|thanks|thank you|great|got it|right|no|and|but|so"
    r"|what about|how about|also|wait)\b",
    re.IGNORECASE,
)
_FILLER = re.compile(
    r"^\W*(?:hmm+|yeah|yep|yes|ok(?:ay)?|sure|thanks|thank you|great|got it|cool|nice|bye)\b",
    re.IGNORECASE,
)
_BLOCK = re.compile(r"```|\n#+ |\n\d+\. |\n[-*] ")
_SENTENCE_END = re.compile(r"[.!?:](?=\s|$)")
_PARAGRAPH = re.compile(r"\n\s*\n|(?<=[.!?])\s")


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a message: `content[start:end]`."""

    interaction: Interaction
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.interaction.content[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Episodes:
    """Cuts messages into episodes; see the module."""

    name: str = "episodes"
    version: str = "1"
    reading: Reading = Reading.SESSION
    reads: frozenset[InteractionKind] = frozenset({InteractionKind.MESSAGE})
    makes: frozenset[MemoryKind] = frozenset({MemoryKind.EPISODE})

    async def extract(self, log: LogSlice) -> list[Candidate]:
        """Returns the episodes that a new message belongs to, in the order of the log."""
        seen = [i for i in (*log.before, *log.interactions) if _spoken(i)]
        new = {i.id for i in log.interactions}
        cut = [spans for group in grouped(seen) for spans in pieces(group)]
        return [_candidate(s) for s in cut if any(p.interaction.id in new for p in s)]


def create(settings: Settings) -> Episodes:
    """Creates the extractor for the entry point; it needs no setting."""
    del settings
    return Episodes()


def _spoken(interaction: Interaction) -> bool:
    message = interaction.kind is InteractionKind.MESSAGE and interaction.role is not Role.SYSTEM
    return message and bool(interaction.content)


def grouped(messages: Sequence[Interaction]) -> list[list[Interaction]]:
    """Groups messages of one session in order, cut where the conversation turns."""
    groups: list[list[Interaction]] = []
    for message in messages:
        if groups and _continues(groups[-1], message):
            groups[-1].append(message)
        else:
            groups.append([message])
    return groups


def _continues(group: Sequence[Interaction], message: Interaction) -> bool:
    last = group[-1]
    if max(len(last.content), len(message.content)) > MESSAGE_CHARACTERS:
        return False
    # A private message joins nothing that others may see.
    if (last.private, last.scope.agent) != (message.private, message.scope.agent) and (
        last.private or message.private
    ):
        return False
    if message.role is Role.USER and last.role is Role.USER and message.actor and last.actor:
        same_run = (message.ordinal - 1) // RUN_TURNS == (group[0].ordinal - 1) // RUN_TURNS
        return same_run and _length([*group, message]) <= RUN_CHARACTERS
    if message.role is Role.ASSISTANT:
        return last.role is Role.USER and not last.actor
    return last.role is Role.ASSISTANT and _follows_up(group, message)


def _follows_up(group: Sequence[Interaction], message: Interaction) -> bool:
    short = len(message.content) <= FOLLOW_UP_CHARACTERS and len(group) < EXCHANGE_MESSAGES
    return (
        short
        and bool(_FOLLOW_UP.search(message.content))
        and not _instructs(message)
        and not _instructs(group[0])
    )


def _instructs(message: Interaction) -> bool:
    return bool(STANDING_INSTRUCTION.search(message.content[:INSTRUCTION_REACH]))


def _length(messages: Iterable[Interaction]) -> int:
    return sum(len(_line(_whole(m))) + 1 for m in messages)


def _whole(message: Interaction) -> Span:
    return Span(message, 0, len(message.content))


def pieces(group: Sequence[Interaction]) -> list[list[Span]]:
    """Returns the episodes of a group: itself, and each reply of which it holds the opening."""
    if len(group) == 1:
        return [[span] for span in _cut(group[0])]
    spans = [_opening(m) if m.role is Role.ASSISTANT else _whole(m) for m in group]
    replies = [s.interaction for s in spans if s.end < len(s.interaction.content)]
    return [spans, *([span] for reply in replies for span in _cut(reply))]


def _opening(reply: Interaction) -> Span:
    text = reply.content
    if len(text) <= REPLY_CHARACTERS:
        return _whole(reply)
    block = _BLOCK.search(text)
    head = text[: block.start() if block and block.start() else None][:REPLY_CHARACTERS]
    ends = [m.end() for m in _SENTENCE_END.finditer(head)]
    sentences = bool(ends) and ends[-1] > REPLY_CHARACTERS // 3
    return Span(reply, 0, ends[-1] if sentences else len(head.rstrip()))


def _cut(message: Interaction) -> list[Span]:
    text = message.content
    spans, start = [], 0
    while len(text) - start > MESSAGE_CHARACTERS:
        window = text[start : start + MESSAGE_CHARACTERS]
        ends = [m.end() for m in _PARAGRAPH.finditer(window)]
        length = ends[-1] if ends and ends[-1] > MESSAGE_CHARACTERS // 2 else len(window)
        spans.append(Span(message, start, start + length))
        start += length
    return [*spans, Span(message, start, len(text))]


def _line(span: Span) -> str:
    said = span.interaction
    cut = " …" if span.end < len(said.content) else ""
    caption = said.payload.get("caption")
    picture = f" [{caption}]" if isinstance(caption, str) and caption else ""
    return f"{_speaker(said)}: {span.text}{cut}{picture}"


def _speaker(said: Interaction) -> str:
    return said.actor or said.role.value.capitalize()


def _candidate(spans: Sequence[Span]) -> Candidate:
    first, last = spans[0].interaction, spans[-1].interaction
    lines = [_line(span) for span in spans]
    mine = [s for s in spans if s.interaction.role is Role.USER]
    payload: dict[str, object] = {TURNS: turns_payload(_turns(spans, lines))}
    if any(STANDING_INSTRUCTION.search(s.text[:INSTRUCTION_REACH]) for s in mine):
        payload[INSTRUCTION] = True
    if any(STATED_PREFERENCE.search(s.text[:1_600]) for s in mine):
        payload[PREFERENCE] = True
    filler = all(_FILLER.search(s.text) and len(s.text) < 40 for s in spans)  # noqa: PLR2004
    return Candidate(
        kind=MemoryKind.EPISODE,
        text="\n".join(lines),
        evidence=tuple(
            Evidence(s.interaction.id, s.text, s.start, s.end, s.interaction.occurred_at)
            for s in spans
        ),
        occurred_at=last.occurred_at,
        valid_from=first.occurred_at,
        importance=0.2 if filler else 0.5,
        search_text=f"{first.occurred_at:%d %B %Y %A}".lstrip("0"),
        payload=payload,
    )


def _turns(spans: Sequence[Span], lines: Sequence[str]) -> list[Turn]:
    turns, at = [], 0
    for span, line in zip(spans, lines, strict=True):
        start = at + len(_speaker(span.interaction)) + 2
        assistant = span.interaction.role is Role.ASSISTANT
        turns.append(Turn(_speaker(span.interaction), assistant, start, at + len(line)))
        at += len(line) + 1
    return turns
