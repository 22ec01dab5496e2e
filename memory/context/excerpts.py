"""Excerpts: cuts a long episode to the sentences that speak to a question.

Omissions are marked `…`. Every turn keeps at least one sentence, so that everything the episode
cites is still quoted. The citation leads to the whole text.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memory.language.text import (
    FIRST_PERSON,
    NAME,
    NUMBER,
    content_words,
    sentences,
)
from memory.language.turns import Said, Turn, said_text, turns_of

WORTHWHILE = 0.8
"""A shortened text longer than this share of the whole is not worth its gaps."""

MATCH, NUMBERS, NAMES, PERSONAL, OPENING = 2.0, 0.5, 0.3, 0.3, 0.5
"""The worth that a sentence gains by each word of the question, and by typical parts of answers."""

REPLY = 0.6
"""The worth of an assistant's sentence relative to a person's."""

STEM = 5
"""Letters by which words are taken as forms of one word."""


@dataclass(frozen=True, slots=True)
class _Sentence:
    turn: int
    start: int
    end: int
    worth: float


def stems(words: Iterable[str]) -> frozenset[str]:
    """Returns the beginnings by which words are compared."""
    return frozenset(word[:STEM] for word in words)


def excerpt(
    text: str, payload: Mapping[str, Any], question: frozenset[str], characters: int
) -> tuple[Said, ...] | None:
    """Returns turns of about `characters`, or None if there are none or little would be cut.

    `payload` is the episode's; `question` has the stems of the question's words. Sentences are
    taken by worth over the square root of length. One that is longer than all the room is cut.
    """
    turns = turns_of(payload)
    if not turns or len(text) <= characters:
        return None
    said = [_sentences_of(text, n, turn, question) for n, turn in enumerate(turns)]
    kept = _kept(said, characters)
    cut = tuple(
        Said(turn, _joined(text, all_of, kept, characters))
        for turn, all_of in zip(turns, said, strict=True)
        if all_of
    )
    return cut if len(said_text(cut)) <= WORTHWHILE * len(text) else None


def _sentences_of(text: str, n: int, turn: Turn, question: frozenset[str]) -> list[_Sentence]:
    found: list[_Sentence] = []
    spoken = text[turn.start : turn.end]
    for start, end in sentences(spoken):
        sentence = spoken[start:end]
        worth = (
            MATCH * len(stems(content_words(sentence)) & question)
            + NUMBERS * bool(NUMBER.search(sentence))
            + NAMES * bool(NAME.search(sentence))
            + PERSONAL * bool(FIRST_PERSON.search(sentence))
            + OPENING * (not found)
        )
        worth *= REPLY if turn.assistant else 1.0
        length = (end - start + 10) ** 0.5
        found.append(_Sentence(n, turn.start + start, turn.start + end, worth / length))
    return found


def _kept(said: Sequence[Sequence[_Sentence]], room: int) -> frozenset[_Sentence]:
    """The best sentence of every turn, then the best of the others while they fit."""
    kept = {max(of_turn, key=lambda s: s.worth) for of_turn in said if of_turn}
    left = room - sum(min(s.end - s.start, room) for s in kept)
    others = (s for of_turn in said for s in of_turn if s not in kept)
    for sentence in sorted(others, key=lambda s: (-s.worth, s.start)):
        if (length := sentence.end - sentence.start + 1) <= left:
            kept.add(sentence)
            left -= length
    return frozenset(kept)


def _joined(
    text: str, of_turn: Sequence[_Sentence], kept: frozenset[_Sentence], characters: int
) -> str:
    parts, gap = [], False
    for sentence in of_turn:
        if sentence not in kept:
            gap = True
            continue
        if gap:
            parts.append("…")
        words = text[sentence.start : sentence.end]
        gap = len(words) > characters
        parts.append(words[:characters])
    return " ".join([*parts, "…"] if gap else parts)
