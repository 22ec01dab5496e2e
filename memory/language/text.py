"""Splits text into sentences and tokens, and chooses what to keep when room is short.

The same text always gives the same answer, and no model is asked. Function words and cues are
English; in other languages sentences are chosen by their words alone.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from memory.language.labels import label_of, split_label
from memory.models import Interaction, InteractionKind, Role

# A sentence ends at its mark, closing quotes included, before white space or the end of the text;
# the full-width marks of Chinese and Japanese need no space. Line ends always end one.
_FULL_WIDTH = "\u3002\uff01\uff1f"
_END = re.compile(
    r"(?<![.!?\u2026])[.!?\u2026]++[\"'\u201d\u2019)\]]*+(?=\s|$)"
    rf"|[{_FULL_WIDTH}]+[\u300d\u300f\u201d]?|\n+"
)
_NEXT = re.compile(r"[ \t]*(\S?)")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"'\u201c\u2018])"
    r"(?:[A-Za-z]|(?:[A-Za-z]\.)+[A-Za-z]|mr|mrs|ms|dr|prof|st|sr|jr|vs|etc|approx|fig|dept|est)$",
    re.IGNORECASE,
)
_ABBREVIATION_REACH = 40  # characters
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_CONTRACTION = re.compile(r"['\u2019](?:s|m|re|ve|ll|d|t)$")
_FUNCTION_WORDS = """
a about after again all also always am an and any anyone anything are as at away back be because
been before being both but by can could did do does doing done down each else ever every for from
get gets getting give go goes going gone good got great had has have having he hello her here hers
hey hi him his how however i if in into is it its just know let like little lot lots made make
makes many may maybe me might mine more most much must my need never no not now of off oh ok okay
on once one only or other our ours out over own please pretty quite really right said same say see
she should so some someone something soon still such sure take tell than thank thanks that the
their them then there these they thing things think this those though through to too under until up
us use very was way we well were what when where which while who why will with would wow yeah yep
yes yet you your yours
"""
_STOPWORDS = frozenset(_FUNCTION_WORDS.split())

FIRST_PERSON = re.compile(
    r"\b(?:I|I['\u2019](?:m|ve|d|ll)|my|mine|we|we['\u2019](?:re|ve|ll)|our)\b", re.IGNORECASE
)
DECISION = re.compile(
    r"\b(?:decided?|agreed?|chose|chosen|booked|bought|moved|started|finished|joined|quit|signed"
    r"|prefers?|favou?rite|allerg\w+|deadline|plan(?:s|ned|ning)?|going to|want(?:s|ed)? to|hope to"
    r"|have to|must|always|never|from now on|instead|will)\b",
    re.IGNORECASE,
)
NUMBER = re.compile(r"\d")
NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]+")
"""A capital inside a sentence; `I` and what follows a full stop do not count."""

LENGTH_EXPONENT = 0.8
"""How strongly length counts against a line; 1 would choose by worth per character."""

MAX_READ_CHARACTERS = 20_000
"""Characters of one message that are read for statements and summaries; the rest stays in its
episodes."""

CHARACTERS_A_TOKEN = 4
"""The usual estimate for English, wherever tokens are converted to text."""

AGENT = Role.ASSISTANT.capitalize()
"""The printed name of an agent without a name."""


def estimate_tokens(text: str) -> int:
    """Estimates the tokens of `text`: a quarter of its characters, rounded up.

    It is additive enough to budget with: the estimate of a join is never more than the sum.
    """
    return -(-len(text) // CHARACTERS_A_TOKEN)


def turn_tokens(content: str) -> int:
    """Returns the tokens of a turn in a session's window: those of its content and one line end.

    `log.window` and `past.window` count the same in SQL.
    """
    return len(content) // CHARACTERS_A_TOKEN + 1


def folded(text: str) -> str:
    """Returns `text` for comparison: in lower case, with single spaces."""
    return " ".join(text.casefold().split())


def beginning(text: str) -> str:
    """Returns the part of a message that is read: all of it, or what ends a sentence in time."""
    if len(text) <= MAX_READ_CHARACTERS:
        return text
    half = MAX_READ_CHARACTERS // 2
    ends = (text.rfind(mark, half, MAX_READ_CHARACTERS) + 1 for mark in ("\n", ". ", "\u3002"))
    return text[: max(ends) or MAX_READ_CHARACTERS]


def sentences(text: str) -> list[tuple[int, int]]:
    """Returns the sentences of `text` as (start, end) in characters, end exclusive, in order.

    Spans do not overlap, start and end with no white space, and together hold every character that
    is not white space. Abbreviations, initials and marks before a small letter do not end a
    sentence.
    """
    spans, start = [], 0
    for mark in _END.finditer(text):
        if not _goes_on(text, start, mark):
            spans.append((start, mark.end()))
            start = mark.end()
    spans.append((start, len(text)))
    return [span for begin, end in spans if (span := _trimmed(text, begin, end))]


def _goes_on(text: str, start: int, mark: re.Match[str]) -> bool:
    if mark[0][0] in f"\n{_FULL_WIDTH}":
        return False
    following = _NEXT.match(text, mark.end())
    if following and following[1].islower():
        return True
    start = max(start, mark.start() - _ABBREVIATION_REACH)
    return mark[0] == "." and _ABBREVIATION.search(text, start, mark.start()) is not None


def _trimmed(text: str, start: int, end: int) -> tuple[int, int] | None:
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    end = start + len(piece.strip())
    return (start, end) if start < end else None


def content_words(text: str) -> list[str]:
    """Returns the words of `text` that carry meaning, in lower case and in order, with repeats.

    It leaves out English function words, fillers and greetings, and single letters.
    """
    found = (
        _known_word(word) if len(word) <= _LONGEST_KNOWN else _content_word(word)
        for word in _WORD.findall(text)
    )
    return [word for word in found if word]


_LONGEST_KNOWN = 40  # characters: longer words hardly come again, and fill the memory


def _content_word(word: str) -> str:
    """The word as `content_words` returns it; empty if it leaves it out."""
    plain = _CONTRACTION.sub("", word.casefold())
    return plain if len(plain) > 1 and plain not in _STOPWORDS else ""


_known_word = lru_cache(maxsize=50_000)(_content_word)  # most words of any text came up before


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence that a summary may keep, and its speaker's label."""

    speaker: str
    text: str
    from_user: bool = True

    def __str__(self) -> str:
        return f"{self.speaker}: {self.text}"


@dataclass(frozen=True, slots=True)
class QuotedLine:
    """A line with its place: `line.text` is `interaction.content[start:end]`."""

    line: Line
    interaction: Interaction
    start: int
    end: int


def spoken_lines(interactions: Iterable[Interaction]) -> list[QuotedLine]:
    """Returns the sentences that user and assistant said to each other, in order."""
    return [
        QuotedLine(
            Line(
                speaker=str(label_of(interaction.role, interaction.actor)),
                text=interaction.content[start:end],
                from_user=interaction.role is Role.USER,
            ),
            interaction,
            start,
            end,
        )
        for interaction in interactions
        if interaction.kind is InteractionKind.MESSAGE
        and interaction.role in (Role.USER, Role.ASSISTANT)
        for start, end in sentences(beginning(interaction.content))
    ]


def rolling_summary(summary: str, lines: Sequence[Line], budget_tokens: int) -> str:
    """Moves `summary` (an earlier result of this function, or "") forward over `lines`.

    It has one sentence on a line, in the order they were said, within the budget.
    """
    agents = {line.speaker for line in lines if not line.from_user} | {AGENT}
    kept = [
        Line(speaker, text, from_user=speaker not in agents)
        for speaker, text in map(_parted, summary.splitlines())
        if speaker
    ]
    every = [*kept, *lines]
    return "\n".join(_in_one_line(every[i]) for i in extractive_summary(every, budget_tokens))


def _parted(line: str) -> tuple[str, str]:
    """A summary's line as its label and its words; in old ones any name stands for a label."""
    speaker, _, text = line.partition(": ")
    return split_label(line) or (speaker, text)


@dataclass(frozen=True, slots=True)
class RollingSummary:
    """A rolling summary and, for each of its lines, the id of the interaction it quotes."""

    text: str = ""
    sources: tuple[str, ...] = ()

    def over(self, said: Sequence[QuotedLine], budget_tokens: int) -> "RollingSummary":
        """Moves this summary forward over `said`; see `rolling_summary`."""
        source = dict(zip(self.text.splitlines(), self.sources, strict=False))
        source |= {_in_one_line(quoted.line): quoted.interaction.id for quoted in said}
        text = rolling_summary(self.text, [quoted.line for quoted in said], budget_tokens)
        return RollingSummary(text, tuple(source.get(line, "") for line in text.splitlines()))


NO_SUMMARY = RollingSummary()


def _in_one_line(line: Line) -> str:
    return " ".join(str(line).split())


def extractive_summary(lines: Sequence[Line], budget_tokens: int) -> list[int]:
    """Returns the indices of the `lines` to keep, in order; one on a line, they fit the budget.

    Budgeted maximum coverage (Khuller, Moss & Naor 1999, Inf. Process. Lett. 70; for summaries
    Takamura & Okumura 2009, EACL): every content word is worth the square root of its count in the
    text, once, so that a line is worth what it adds and nothing is said twice. The greedy choice is
    by worth over a power of length (Lin & Bilmes 2010, NAACL), weighted by cues (Edmundson 1969, J.
    ACM 16): up for statements of the user in the first person, decisions, numbers and names; down
    for questions, short replies and the assistant's words. Lines longer than the remaining room are
    skipped; ties go to the earlier line.
    """
    words = [list(dict.fromkeys(content_words(line.text))) for line in lines]
    lengths = [len(str(line)) + 1 for line in lines]
    weights = [
        _cues(line, len(said)) / length**LENGTH_EXPONENT
        for line, said, length in zip(lines, words, lengths, strict=True)
    ]
    return sorted(_cover(words, weights, lengths, CHARACTERS_A_TOKEN * budget_tokens + 1))


def _cover(
    words: Sequence[Sequence[str]],
    weights: Sequence[float],
    lengths: Sequence[int],
    room: int,
) -> Iterator[int]:
    """Yields greedily the lines that add most, until none that fits into `room` adds a word."""
    holders: dict[str, list[int]] = {}
    for index, line in enumerate(words):
        for word in line:
            holders.setdefault(word, []).append(index)
    unsaid = [len(line) for line in words]
    gain = [sum(math.sqrt(len(holders[word])) for word in line) for line in words]
    left = list(range(len(words)))
    while left := [index for index in left if lengths[index] <= room and unsaid[index]]:
        best = max(left, key=lambda index: (weights[index] * gain[index], -index))
        yield best
        room -= lengths[best]
        for word in words[best]:
            worth = math.sqrt(len(holders.get(word, ())))
            for index in holders.pop(word, ()):
                unsaid[index] -= 1
                gain[index] -= worth


def _cues(line: Line, words: int) -> float:
    """The factor on a line's worth; fitted by hand to the turns that annotators took notes from."""
    factor = 1.0 if line.from_user else 0.6
    if line.from_user and FIRST_PERSON.search(line.text):
        factor *= 1.5
    for cue in (DECISION, NUMBER, NAME):
        if cue.search(line.text):
            factor *= 1.25
    if line.text.endswith("?"):
        factor *= 0.4
    return factor * min(1.0, words / 4)
