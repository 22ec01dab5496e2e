"""Grounding: finds the words a model quotes in the text it was shown, or refuses what it proposed.

White space and case do not count, and typographic quotation marks and dashes are their plain
selves; the offsets found are those of the original text.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from extractors.prompts.answers import Quote
from extractors.reading.english.own_words import NOT_THEIRS, own_words
from memory import explicit_memories
from memory.language.text import content_words
from memory.models import Evidence, Interaction, InteractionKind, Role

_SPACE = re.compile(r"\s+")
_PLAIN = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-"}
)
_ASSENT = re.compile(
    r"\W*(?:yes|yeah|yep|yup|right|correct|exactly|indeed|sure|ok(?:ay)?|true|absolutely"
    r"|definitely|that(?:'|\u2019)?s (?:right|correct|true|it)|sounds (?:good|right)|of course"
    r"|i do|i am|please do|agreed?)\b",
    re.IGNORECASE,
)
STEM = 5
"""Letters by which words are taken for forms of one another."""

_ENDING = re.compile(r"(?:ings?|ed|es|er|e|s|ly)$")
_LEAST = 3  # letters that an ending leaves


class Refused(StrEnum):
    """Why a proposal is not believed.

    NO_QUOTE: it quotes nothing.
    UNKNOWN_TURN: it quotes a turn that was not shown.
    INVENTED: its words do not stand in the turn.
    NOT_THE_PERSON: no person said it: the words are an assistant's, a tool's or the system's, and
        nobody agreed to them.
    NOT_OWN_WORDS: a person pasted or quoted the words.
    UNRELATED: the words and what is read off them have nothing in common, or too little.
    UNSAID: it names a number, a date or a person that the words do not.
    REVERSED: it says "not" where the words do not, or leaves theirs out.
    ANOTHER_PERSON: the words are about somebody else.
    OLD: all its words were read before.
    UNKNOWN_MEMORY: it ends a memory that was not shown.
    UNKNOWN_VALUE: it decides for a value, or on a conflict, that was not shown.
    EMPTY: it says nothing, or in no form that could be kept.
    TOO_MUCH: a summary is as long as it may be without it.
    """

    NO_QUOTE = "no_quote"
    UNKNOWN_TURN = "unknown_turn"
    INVENTED = "invented"
    NOT_THE_PERSON = "not_the_person"
    NOT_OWN_WORDS = "not_own_words"
    UNRELATED = "unrelated"
    UNSAID = "unsaid"
    REVERSED = "reversed"
    ANOTHER_PERSON = "another_person"
    OLD = "old"
    UNKNOWN_MEMORY = "unknown_memory"
    UNKNOWN_VALUE = "unknown_value"
    EMPTY = "empty"
    TOO_MUCH = "too_much"


@dataclass(frozen=True, slots=True)
class ShownTurns:
    """The turns a model was shown, by number; those up to `old` were only to understand by."""

    turns: Mapping[int, Interaction]
    old: int = 0


def found_in(content: str, words: str) -> tuple[int, int] | None:
    """Where `words` stand in `content`, as (start, end) in characters; None if they do not."""
    wanted, _ = _folded(words)
    wanted = wanted.strip()
    text, offsets = _folded(content)
    at = text.find(wanted) if wanted else -1
    if at < 0:
        return None
    return offsets[at], offsets[at + len(wanted) - 1] + 1


def _folded(text: str) -> tuple[str, list[int]]:
    """`text` with case, white space and marks folded, and where each character came from."""
    folded: list[str] = []
    offsets: list[int] = []
    for at, character in enumerate(text.translate(_PLAIN)):
        if character.isspace():
            if folded and folded[-1] == " ":
                continue
            character = " "  # noqa: PLW2901 - one for any stretch of white space
        for part in character.casefold():
            folded.append(part)
            offsets.append(at)
    return "".join(folded), offsets


def grounded(
    shown: ShownTurns, text: str, quotes: Sequence[Quote]
) -> tuple[Evidence, ...] | Refused:
    """The evidence for a proposal about a person, or why it is refused.

    At least one quote has to be a person's own words in a new turn and have a word in common with
    `text`. An assistant's words count beside them where the person's next turn agrees to them.
    """
    if not quotes:
        return Refused.NO_QUOTE
    evidence: list[Evidence] = []
    agreed: list[str] = []
    for quote in quotes:
        found = _standing(shown, quote)
        if isinstance(found, Refused):
            return found
        turn = shown.turns[quote.turn]
        if turn.role is Role.ASSISTANT and _agreed(shown, quote.turn):
            agreed.append(quote.words)
        elif not by_person(turn):
            return Refused.NOT_THE_PERSON
        evidence.append(found)
    return _checked(shown, text, evidence, quotes, agreed)


def _checked(
    shown: ShownTurns,
    text: str,
    evidence: Sequence[Evidence],
    quotes: Sequence[Quote],
    agreed: Sequence[str],
) -> tuple[Evidence, ...] | Refused:
    own = [q for q in quotes if by_person(shown.turns[q.turn])]
    if not own:
        return Refused.NOT_THE_PERSON
    if all(q.turn <= shown.old for q in own):
        return Refused.OLD
    said = [*agreed, *(q.words for q in own)]
    if not related(text, " ".join(said)):
        return Refused.UNRELATED
    return tuple(evidence)


def summary_evidence(
    shown: ShownTurns, text: str, quotes: Sequence[Quote]
) -> tuple[Evidence, ...] | Refused:
    """The evidence for a sentence of a summary, or why it is refused.

    Whoever said it may be quoted, since a summary tells what was said; every quote has to stand in
    its turn, and all of them together to have a word in common with `text`.
    """
    if not text or "\x00" in text:
        return Refused.EMPTY
    if not quotes:
        return Refused.NO_QUOTE
    evidence: list[Evidence] = []
    for quote in quotes:
        found = _standing(shown, quote)
        if isinstance(found, Refused):
            return found
        evidence.append(found)
    if not related(text, " ".join(q.words for q in quotes)):
        return Refused.UNRELATED
    return tuple(evidence)


def verdict_evidence(
    shown: ShownTurns, text: str, quotes: Sequence[Quote]
) -> tuple[Evidence, ...] | Refused:
    """The evidence for deciding that one of several contested values holds, or why it is refused.

    As `grounded`, but an assistant's words never count: the turns are of different sessions, so
    that none answers the one before it.
    """
    turns = [shown.turns[quote.turn] for quote in quotes if quote.turn in shown.turns]
    if not all(by_person(turn) for turn in turns):
        return Refused.NOT_THE_PERSON
    return grounded(shown, text, quotes)


def _standing(shown: ShownTurns, quote: Quote) -> Evidence | Refused:
    """A quote where it stands: in a turn that was shown, and of a person's in their own words."""
    turn = shown.turns.get(quote.turn)
    if turn is None:
        return Refused.UNKNOWN_TURN
    span = found_in(turn.content, quote.words)
    if span is None:
        return Refused.INVENTED
    if by_person(turn) and not _own(turn.content, span):
        return Refused.NOT_OWN_WORDS
    return _cited(turn, span)


def by_person(turn: Interaction) -> bool:
    """Whether a person said it by a message, and not for `remember()`, which spells itself out."""
    return (
        turn.kind is InteractionKind.MESSAGE
        and turn.role is Role.USER
        and explicit_memories.PAYLOAD_KEY not in turn.payload
    )


def related(text: str, words: str) -> bool:
    """Whether two texts have a word of meaning in common, by its first letters."""
    return not stems(text).isdisjoint(stems(words))


def stems(text: str) -> frozenset[str]:
    """The beginnings of the words of meaning in `text`, without their commonest endings."""
    return frozenset(_stem(word) for word in content_words(text))


def _stem(word: str) -> str:
    short = _ENDING.sub("", word)
    if len(short) < _LEAST:
        return word[:STEM]
    doubled = len(short) > _LEAST and short[-1] == short[-2] and short[-1] not in "aeiou"
    return short[: -1 if doubled else None][:STEM]


def _agreed(shown: ShownTurns, number: int) -> bool:
    """Whether the turn after an assistant's is a person's who agrees."""
    following = shown.turns.get(number + 1)
    return following is not None and by_person(following) and bool(_ASSENT.match(following.content))


def _own(content: str, span: tuple[int, int]) -> bool:
    """Whether at least half of the words are the author's: not pasted, quoted or code."""
    left = own_words(content)[span[0] : span[1]].replace(NOT_THEIRS, " ")
    return 2 * len("".join(left.split())) >= len("".join(content[span[0] : span[1]].split()))


def _cited(turn: Interaction, span: tuple[int, int]) -> Evidence:
    start, end = span
    return Evidence(turn.id, turn.content[start:end], start, end, turn.occurred_at)
