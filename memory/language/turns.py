"""The turns of an episode: whose words stand where in its text.

An episode's payload carries its turns as spans of its text. So recall can separate the words from
the names in front of them, without a second copy of either.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TURNS = "turns"
SPOKEN = "spoken"
"""As TURNS, of a summary: whose sentences stand where. It is ranked and embedded as a whole."""

INSTRUCTION = "instruction"
PREFERENCE = "preference"

MAX_EMBEDDED = 1_600
"""Characters of one turn that are embedded; models read about that many at most."""

STANDING_INSTRUCTION = re.compile(
    r"^\W*(?:please\s+)?(?:always|never|from now on|going forward|make sure (?:to|you)|whenever"
    r"|don'?t ever|remember to|when(?:ever)? i ask)\b"
    r"|\bwhen(?:ever)? i ask\b|\bfrom now on\b"
    r"|\b(?:always|never) (?:use|include|provide|format|show|give|answer|reply|respond|write"
    r"|confirm|highlight|call)\b",
    re.IGNORECASE,
)
STATED_PREFERENCE = re.compile(
    r"\b(?:i|i['\u2019]d|we) (?:(?:really|always|usually|generally|much|would|strongly) )*"
    r"(?:prefer|rather|favou?r|love|like|enjoy|hate|dislike|want to (?:keep|avoid|use)"
    r"|try to avoid)\b"
    r"|\bmy (?:preference|favou?rite)\b|\bprefer(?:s|red|ence|ring)?\b|\brather than\b"
    r"|\binstead of\b",
    re.IGNORECASE,
)
INSTRUCTION_REACH = 300
"""Characters from the start of a message that are searched for a standing instruction."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One person's words in an episode: `text[start:end]`. `speaker` is a name or a role."""

    speaker: str
    assistant: bool
    start: int
    end: int


def turns_payload(turns: Sequence[Turn]) -> list[list[Any]]:
    """Returns turns as a payload holds them."""
    return [[t.speaker, t.assistant, t.start, t.end] for t in turns]


def turns_of(payload: Mapping[str, Any]) -> list[Turn]:
    """Returns the turns of an episode's payload; none for any other memory."""
    return [Turn(*turn) for turn in payload.get(TURNS, ())]


@dataclass(frozen=True, slots=True)
class Said:
    """The words of a turn that are shown, all of them or some."""

    turn: Turn
    words: str


def said_of(text: str, payload: Mapping[str, Any]) -> tuple[Said, ...]:
    """Returns the turns of an episode or a summary with their words; none for any other memory."""
    spans = payload.get(TURNS) or payload.get(SPOKEN) or ()
    return tuple(Said(turn, text[turn.start : turn.end]) for turn in (Turn(*s) for s in spans))


def said_text(said: Sequence[Said]) -> str:
    """Returns turns as text for people, one on a line."""
    return "\n".join(f"{one.turn.speaker}: {one.words}" for one in said)


def by_assistant(payload: Mapping[str, Any]) -> list[bool]:
    """Returns for each turn of an episode's payload whether an assistant said it."""
    return [assistant for _, assistant, _, _ in payload.get(TURNS, ())]


def embedded_text(text: str, payload: Mapping[str, Any]) -> str:
    """Returns the text from which a memory's vector is made.

    Names in front of turns pull a vector towards their owners, and an assistant's reply drowns the
    question it answers. So of an episode only the words count, and only the user's if there are
    any.
    """
    turns = turns_of(payload)
    mine = [turn for turn in turns if not turn.assistant] or turns
    spoken = "\n".join(text[t.start : t.end][:MAX_EMBEDDED] for t in mine)
    return spoken if spoken.strip() else text
