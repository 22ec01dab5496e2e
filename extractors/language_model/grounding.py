"""Grounding: finds a model's quotes in the text it was shown, or refuses its proposal.

Matching ignores case and white space, and treats typographic quotation marks and dashes as plain
ones; offsets are those of the original text.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from extractors.prompts.answers import Quote
from extractors.reading.english.own_words import NOT_THEIRS, own_words
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
"""Letters by which words are taken as forms of one word."""

_ENDING = re.compile(r"(?:ings?|ed|es|er|e|s|ly)$")
_LEAST = 3  # letters that an ending leaves


class Refused(StrEnum):
    """Why a proposal is not believed.

    NO_QUOTE: it quotes nothing.
    UNKNOWN_TURN: it quotes a turn that was not shown.
    INVENTED: its quote is not in the turn.
    NOT_THE_PERSON: no person said it: the words are an assistant's, a tool's or the system's, and
        nobody agreed to them.
    NOT_OWN_WORDS: a person pasted or quoted the words.
    UNRELATED: the quote and the proposal have nothing in common, or too little.
    UNSAID: it names a number, a date or a person that the quote does not.
    REVERSED: it adds or drops a "not".
    ANOTHER_PERSON: the quote is about somebody else.
    OLD: all its words were read before.
    UNKNOWN_MEMORY: it ends a memory that was not shown.
    UNKNOWN_VALUE: it decides for a value, or on a conflict, that was not shown.
    EMPTY: it says nothing, or in a form that cannot be kept.
    TOO_MUCH: the summary has reached its limit without it.
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
    """The turns a model was shown, by number; those up to `old` are only context."""

    turns: Mapping[int, Interaction]
    old: int = 0


def found_in(content: str, words: str) -> tuple[int, int] | None:
    """Returns the place of `words` in `content` as (start, end) in characters, or None."""
    wanted, _ = _folded(words)
    wanted = wanted.strip()
    text, offsets = _folded(content)
    at = text.find(wanted) if wanted else -1
    if at < 0:
        return None
    return offsets[at], offsets[at + len(wanted) - 1] + 1


def _folded(text: str) -> tuple[str, list[int]]:
    """`text` with case, white space and marks folded, and the origin of each character."""
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
    """Returns the evidence for a proposal about a person, or why it is refused.

    At least one quote has to be a person's own words in a new turn and have a word in common with
    `text`. An assistant's words count beside them if the person's next turn agrees to them.
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
    """Returns the evidence for a sentence of a summary, or why it is refused.

    Any speaker may be quoted, since a summary covers all that was said. Every quote has to be in
    its turn, and all of them together must have a word in common with `text`.
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
    """Returns the evidence for deciding that one of several contested values holds, or why not.

    As `grounded`, but an assistant's words never count: the turns are of different sessions, so
    none answers the one before it.
    """
    turns = [shown.turns[quote.turn] for quote in quotes if quote.turn in shown.turns]
    if not all(by_person(turn) for turn in turns):
        return Refused.NOT_THE_PERSON
    return grounded(shown, text, quotes)


def _standing(shown: ShownTurns, quote: Quote) -> Evidence | Refused:
    """The evidence of a quote: in a turn that was shown, and a person's own words."""
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
    """Returns whether a person said it in a message."""
    return turn.kind is InteractionKind.MESSAGE and turn.role is Role.USER


def related(text: str, words: str) -> bool:
    """Returns whether two texts share a content word, by its first letters."""
    return not stems(text).isdisjoint(stems(words))


def stems(text: str) -> frozenset[str]:
    """Returns the beginnings of the content words in `text`, without common endings."""
    return frozenset(_stem(word) for word in content_words(text))


def _stem(word: str) -> str:
    short = _ENDING.sub("", word)
    if len(short) < _LEAST:
        return word[:STEM]
    doubled = len(short) > _LEAST and short[-1] == short[-2] and short[-1] not in "aeiou"
    return short[: -1 if doubled else None][:STEM]


def _agreed(shown: ShownTurns, number: int) -> bool:
    """Whether the turn after an assistant's is a person's agreement."""
    following = shown.turns.get(number + 1)
    return following is not None and by_person(following) and bool(_ASSENT.match(following.content))


def _own(content: str, span: tuple[int, int]) -> bool:
    """Whether at least half of the words are the author's: not pasted, quoted or code."""
    left = own_words(content)[span[0] : span[1]].replace(NOT_THEIRS, " ")
    return 2 * len("".join(left.split())) >= len("".join(content[span[0] : span[1]].split()))


def _cited(turn: Interaction, span: tuple[int, int]) -> Evidence:
    start, end = span
    return Evidence(turn.id, turn.content[start:end], start, end, turn.occurred_at)
