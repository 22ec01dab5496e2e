"""What was said, word for word, so that nothing is lost to a statement no pattern knows.

One episode is one message; a very long one is cut at its paragraphs. An episode looks back, never
ahead, so it does not matter in how many pieces the log is read.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from extractors.dates import day_in_words, weekday_in_words
from extractors.protocol import LOOK_BACK, LogSlice, Reading
from memory.models import Candidate, Evidence, Interaction, InteractionKind, MemoryKind
from memory.settings import Settings

MAX_CHARACTERS = 8_000
"""Longer messages are cut. Cutting shorter ones makes recall worse: a long answer gets many chances
to outrank the short message that states the fact."""
SHORT_QUESTION = 200
"""A question up to this many characters helps to find its answer."""


@dataclass(frozen=True, slots=True)
class Episodes:
    """Keeps messages; tool results and retrieved content stay in the log alone."""

    name: str = "episodes"
    version: str = "1"
    reading: Reading = Reading.SESSION
    reads: frozenset[InteractionKind] = frozenset({InteractionKind.MESSAGE})
    makes: frozenset[MemoryKind] = frozenset({MemoryKind.EPISODE})

    async def extract(self, log: LogSlice) -> list[Candidate]:
        """An episode for each message, more than one only for a very long message."""
        return list(episodes(log.before, log.interactions))


def create(settings: Settings) -> Episodes:
    """The extractor as the entry point makes it; no setting concerns it."""
    del settings
    return Episodes()


def episodes(before: Sequence[Interaction], new: Sequence[Interaction]) -> Iterator[Candidate]:
    """The episodes of `new`, in order; together they quote every character of it once."""
    messages = [i for i in before if i.kind is InteractionKind.MESSAGE]
    previous = messages[-1] if messages else None
    for interaction in new:
        if interaction.kind is InteractionKind.MESSAGE:
            yield from _episodes(interaction, previous)
            previous = interaction


def _episodes(message: Interaction, previous: Interaction | None) -> Iterator[Candidate]:
    content, search_text = message.content, _search_text(message, previous)
    spans = list(pieces(content))
    for number, (start, end) in enumerate(spans, 1):
        quote = content[start:end]
        yield Candidate(
            kind=MemoryKind.EPISODE,
            text=f"{message.actor or message.role.capitalize()}: {quote.strip()}",
            evidence=(Evidence(message.id, quote, start, end, message.occurred_at),),
            occurred_at=message.occurred_at,
            subject=message.actor,
            importance=_importance(message),
            search_text=search_text,
            payload=_payload(message) | ({"part": number} if len(spans) > 1 else {}),
        )


# Cutting ------------------------------------------------------------------------------------------


def pieces(content: str) -> Iterator[tuple[int, int]]:
    """Spans of at most MAX_CHARACTERS that cover `content` without a gap.

    The cut is behind the last paragraph that fits, or else the last line, sentence or word; only a
    text without any of them is cut inside a word.
    """
    start = 0
    while len(content) - start > MAX_CHARACTERS:
        end = _cut(content, start, start + MAX_CHARACTERS)
        yield start, end
        start = end
    if start < len(content):
        yield start, len(content)


def _cut(content: str, start: int, limit: int) -> int:
    for mark in ("\n\n", "\n", ". ", " "):
        found = content.rfind(mark, start, limit)
        if found > start:
            return found + len(mark)
    return limit


# What helps to find it ----------------------------------------------------------------------------

_ASKS = re.compile(r"\?\W*\Z")
_SENTENCE = re.compile(r"[.!?\n]")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_FILLER = frozenset(
    """
    a absolutely again all alright amazing and awesome bye care congrats congratulations cool course
    day definitely do exactly for glad good goodbye got great haha happy hello hey hi hmm i it job
    later lol lot luck makes me morning much nice night no np of oh ok okay perfect please right
    same see sense so soon sounds sure take talk thank thanks that that's the to too totally true
    very welcome well will wonderful wow yeah yep yes yup you you're your
    """.split()  # noqa: SIM905 - a list of words reads better as words
)
_FILLER_WORDS = 8  # a longer message says something even if its words are common
_FILLER_IMPORTANCE, _QUESTION_IMPORTANCE, _IMPORTANCE = 0.1, 0.3, 0.5


def _search_text(message: Interaction, previous: Interaction | None) -> str:
    """The day in words, captions of pictures, and the question this message answers."""
    day = message.occurred_at.date()
    parts = [f"{day_in_words(day)} {weekday_in_words(day)}", *_captions(message)]
    if previous is not None and _answers(message, previous):
        asked = _question(previous.content)
        parts += [asked] if asked and len(asked) <= SHORT_QUESTION else []
    return "\n".join(parts)


def _answers(message: Interaction, previous: Interaction) -> bool:
    """Whether `previous` is by somebody else, and near enough to be seen however the log is cut."""
    near = message.ordinal - previous.ordinal <= LOOK_BACK
    return near and (previous.role, previous.actor) != (message.role, message.actor)


def _question(content: str) -> str:
    """The question a text ends with, or nothing."""
    tail = content.rstrip()[-SHORT_QUESTION - 1 :]
    asks = _ASKS.search(tail)
    if not asks:
        return ""
    asked = tail[: asks.start()]
    starts = [found.end() for found in _SENTENCE.finditer(asked)]
    return f"{asked[starts[-1] if starts else 0 :].strip()}?"


def _captions(message: Interaction) -> list[str]:
    caption = message.payload.get("caption")
    captions = caption if isinstance(caption, list) else [caption]
    return [c for c in captions if isinstance(c, str) and c]


def _importance(message: Interaction) -> float:
    words = [word.lower() for word in _WORD.findall(message.content[:SHORT_QUESTION])]
    if len(words) <= _FILLER_WORDS and _FILLER.issuperset(words):
        return _FILLER_IMPORTANCE
    return _QUESTION_IMPORTANCE if _question(message.content) else _IMPORTANCE


def _payload(message: Interaction) -> dict[str, object]:
    return {
        "role": message.role.value,
        "actor": message.actor,
        "question": bool(_question(message.content)),
        "ordinal": message.ordinal,
    }
