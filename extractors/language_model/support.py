"""Support: checks by rules whether quotes say what a proposal says.

A quote that is in the text may still be about something else. The rules check what is easily
distorted: numbers and dates, names, negation, and the subject. They are for English, and object to
nothing in texts they do not know.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter

from extractors.language_model.grounding import (
    STEM,
    Refused,
    ShownTurns,
    by_person,
    stems,
)
from extractors.prompts.answers import Quote
from extractors.reading.date_rules import MONTHS, NUMBERS, WEEKDAYS
from extractors.reading.dates import Leaning, Mention, resolve
from extractors.reading.english.lexicon import KIN, any_of
from memory.models import Memory

LONGEST_CHECKED = 2_000
"""Characters of a proposal whose numbers and dates are checked; a longer one is refused."""

FEW, SHARE = 4, 0.3
"""The least share of content words that has to be said, there or beside, in a text with more than
these few."""


_FREQUENT = """
the i to and is you my that it of have for with this are be not your but what how do does did had
has she he they we our his her their who when from at been would could will just about or if there
"""
_ENGLISH = frozenset(_FREQUENT.split())
"""Frequent words that are rare in related languages."""


@dataclass(frozen=True, slots=True)
class Quoted:
    """The evidence of a proposal.

    words: the quotes, and when each was said, newest last.
    around: the quoted turns in full, and the turns beside them.
    shown: all that could be read, for the names in it.
    speakers: the names of the quotes' speakers.
    people: the names of all speakers.
    """

    words: Sequence[tuple[str, datetime]]
    around: str
    shown: str
    speakers: frozenset[str] = frozenset()
    people: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, shown: ShownTurns, quotes: Iterable[Quote], believed: Iterable[Memory] = ()
    ) -> "Quoted":
        """Makes a value of quotes of shown turns, beside shown memories."""
        quotes = sorted(quotes, key=lambda quote: quote.turn)
        cited = [shown.turns[quote.turn] for quote in quotes]
        beside = {quote.turn + step for quote in quotes for step in (-3, -2, -1, 0, 1)}
        known = [f"{memory.subject or ''} {memory.text}" for memory in believed]
        spoken = [turn for turn in shown.turns.values() if by_person(turn) and turn.actor]
        return cls(
            [(q.words, turn.occurred_at) for q, turn in zip(quotes, cited, strict=True)],
            "\n".join(shown.turns[n].content for n in sorted(beside) if n in shown.turns),
            "\n".join([*(turn.content for turn in shown.turns.values()), *known]),
            frozenset(turn.actor for turn in cited if turn.actor and by_person(turn)),
            frozenset(turn.actor for turn in spoken if turn.actor),
        )

    @property
    def text(self) -> str:
        """All quotes as one text."""
        return "\n".join(words for words, _ in self.words)

    @property
    def english(self) -> bool:
        """Whether every eighth word is one that English sentences are made with."""
        words = _WORDS.findall(self.around.lower())
        return 8 * sum(word in _ENGLISH for word in words) >= len(words)


def unsupported(text: str, quoted: Quoted, *, steps: bool = False) -> Refused | None:
    """Returns what the quotes do not support in `text`, or None if nothing speaks against it.

    With `steps` it is a way of doing something: the subject and each negation are not checked.
    """
    if not related(text, quoted):
        return Refused.UNRELATED
    if adds(text, quoted):
        return Refused.UNSAID
    if steps or not quoted.english:
        return None
    if not upright(text, quoted):
        return Refused.REVERSED
    return None if own(text, quoted) else Refused.ANOTHER_PERSON


def adds(text: str, quoted: Quoted) -> bool:
    """Returns whether `text` names a number, a date or a person that was not said."""
    return not counted(text, quoted) or not named(text, quoted)


def bears_out(value: str, text: str, quoted: Quoted) -> bool:
    """Returns whether a value was said: its numbers, dates and a word, there or in `text`."""
    topic = _topic(value, quoted) - _PLAIN_VALUES
    heard = stems(text) | stems(quoted.around)
    return counted(value, quoted) and (not topic or not topic.isdisjoint(heard))


_PLAIN_VALUES = stems("true false")


# Words --------------------------------------------------------------------------------------------


def _topic(text: str, quoted: Quoted) -> frozenset[str]:
    """The stems of a proposal's topic: no speaker's name, no number, no date."""
    people = stems(" ".join(quoted.people | {"user", "person", "speaker"}))
    return frozenset(s for s in stems(_DATES.sub(" ", text)) - people if not s[0].isdigit())


def related(text: str, quoted: Quoted) -> bool:
    """Returns whether the quotes share a content word with `text`, and enough of it is said there.

    The speaker's name is no such word.
    """
    topic = _topic(text, quoted)
    if not topic:
        return bool(stems(text))
    if topic.isdisjoint(stems(quoted.text)):
        return False
    few = len(topic) <= FEW or not quoted.english
    return few or len(topic & stems(quoted.around)) >= SHARE * len(topic)


# Numbers and dates --------------------------------------------------------------------------------

_DATES = re.compile(rf"\b(?:{'|'.join([*MONTHS, *WEEKDAYS])})\b", re.IGNORECASE)
_DIGITS = re.compile(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?|\d+")
_TENS = {"sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100, "thousand": 1000}
_WRITTEN = {w: n for w, n in NUMBERS.items() if w not in {"a", "an", "a couple"}} | _TENS
_LOOSE = _WRITTEN | {
    "a": 1, "an": 1, "once": 1, "single": 1, "first": 1, "twice": 2, "both": 2, "pair": 2,
    "double": 2, "twin": 2, "twins": 2, "second": 2, "third": 3, "fourth": 4, "fifth": 5,
    "half": 2, "dozen": 12, "decade": 10, "century": 100, "million": 1_000_000,
}  # fmt: skip
_WORDS = re.compile(r"[^\W\d_]+")


def _numbers(text: str, words: dict[str, int]) -> set[float]:
    found = {float(m[0].replace(",", "").rstrip(".") or 0) for m in _DIGITS.finditer(text)}
    return found | {float(words[w]) for w in _WORDS.findall(text.lower()) if w in words}


def counted(text: str, quoted: Quoted) -> bool:
    """Returns whether every number and date of `text` was said, or follows from a date that was.

    A text over `LONGEST_CHECKED` characters is not read: it is no one claim.
    """
    if len(text) > LONGEST_CHECKED:
        return False
    said_at = quoted.words[-1][1]
    heard = [*quoted.words, (quoted.around, said_at)]
    meant = _stretches(mention for words, at in heard for mention in _mentions(words, at))
    spoken = {name.lower() for name in _DATES.findall(quoted.around)}
    left = text
    for mention in _mentions(text, said_at):
        written = text[mention.start : mention.end]
        named = {name.lower() for name in _DATES.findall(written)}
        if not (
            mention.begins <= said_at < mention.ends
            or (mention.relative and named & spoken)
            or _overlaps(mention, meant)
        ):
            return False
        left = left.replace(written, " ")
    return _numbers(left, _WRITTEN) - {1.0} <= _numbers(quoted.text, _LOOSE)


def _stretches(mentions: Iterable[Mention]) -> list[tuple[datetime, datetime]]:
    """The times that mentions cover, in order, without overlaps."""
    covered: list[tuple[datetime, datetime]] = []
    for begins, ends in sorted({(m.begins, m.ends) for m in mentions}):
        if covered and begins <= covered[-1][1]:
            covered[-1] = covered[-1][0], max(ends, covered[-1][1])
        else:
            covered.append((begins, ends))
    return covered


def _overlaps(mention: Mention, covered: Sequence[tuple[datetime, datetime]]) -> bool:
    last = bisect_left(covered, mention.ends, key=itemgetter(0))  # the first that begins later
    return last > 0 and mention.begins < covered[last - 1][1]


def _mentions(text: str, said_at: datetime) -> list[Mention]:
    """The times that `text` may name."""
    return [m for leaning in Leaning for m in resolve(text, said_at, leaning)]


# Names --------------------------------------------------------------------------------------------

_NAMED = re.compile(r"(?<=[\w,;)] )[A-Z][^\W\d_]+")
"""A capital inside a sentence."""


def named(text: str, quoted: Quoted) -> bool:
    """Returns whether every name in `text` was said there or beside it.

    It cannot tell in languages that capitalise other words too.
    """
    if not quoted.english:
        return True
    names = {n.casefold()[:STEM] for n in _NAMED.findall(text) if not _DATES.fullmatch(n)}
    known = {w.casefold()[:STEM] for w in _WORDS.findall(" ".join([quoted.shown, *quoted.people]))}
    return names <= known


# Who and whether ----------------------------------------------------------------------------------


def _any_of(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b{any_of(words)}\b", re.IGNORECASE)


_CLAUSE = re.compile(
    r"[.;!?\n\u2026]+|,?\s(?:but|because|although|though|while|whereas|so)\s|,\s", re.IGNORECASE
)
_SENTENCE = re.compile(r"[.!?\n\u2026]+\s")
_AFFIRMED = _any_of(r"""
    ca(?:n|nno)(?:'?t|t)_(?:wait|believe|stop) couldn't_be_(?:more|\w+er) couldn't_agree_more
    no_(?:doubt|problem|wonder|matter) not_(?:only|just|that|alone|to_mention) why_not nothing_like
    never_been_\w+er never_forget won't_believe wouldn't_trade don't_worry
    (?:is|are|was|do|does|did)n't_(?:it|you|they|he|she)
    (?:have|has)n't(?:_\w+){1,2}_(?:since|in|for)
""")
"""Phrases that look like a negation and are none."""

_NOT = _any_of(r"""
    not no never none nobody nothing neither nor without cannot hardly barely \w+n't dont doesnt
    didnt cant wont isnt wasnt havent hat(?:e|es|ed|ing) dislik\w+ detest\w* despis\w+ loath\w+
""")
_CEASED = _any_of(r"""
    stop\w* quit\w* avoid\w* refus\w+ g(?:ive|ives|ave|iven|iving)_up cancel\w* declin\w+
    reject\w* former\w* used_to
""")
_LACKING = _any_of(r"""
    lack\w* allerg\w+ intoleran\w+ fail\w* anymore any_more lost los(?:e|es|ing) \w+-free vegan
    un(?:able|willing|likely|employed|married|interested|available|comfortable)
""")
"""Negations in other words: for what is over, declined or missing."""

_DOUBTED = _any_of(r"""
    instead rather except against only miss\w* wish\w* hard difficult\w* struggl\w+ tough
    un\w+ \w+less vegetarian out_of away left end\w*
""")
"""Words that another text may express as a negation."""


def upright(text: str, quoted: Quoted) -> bool:
    """Returns whether `text` has a negation if and only if its quotes do."""
    topic = _topic(text, quoted)
    if _NOT.search(_affirmed(text)):
        said = _SENTENCE.split(_affirmed(quoted.text))
        near = [sentence for sentence in said if not topic.isdisjoint(stems(sentence))]
        return any(p.search(s) for s in near or said for p in (_NOT, _CEASED, _LACKING, _DOUBTED))
    if _CEASED.search(text) or _LACKING.search(text):
        return True
    nearest = _nearest(text, quoted)
    return not nearest or not all(_denies(clause, topic) for clause in nearest)


def _denies(clause: str, topic: frozenset[str]) -> bool:
    """Whether exactly one negation stands before a clause's words about `topic`."""
    about = [m.start() for m in _WORDS.finditer(clause) if not topic.isdisjoint(stems(m[0]))]
    found = sorted(m.start() for pattern in (_NOT, _CEASED) for m in pattern.finditer(clause))
    once = (len(found) + len(_LACKING.findall(clause))) % 2 == 1
    return bool(found and about and found[0] <= about[-1] and once)


def _affirmed(text: str) -> str:
    return _AFFIRMED.sub(" ", text.replace("\u2019", "'"))


def _nearest(text: str, quoted: Quoted) -> list[str]:
    """The clauses of the quotes that share most with `text`; none if none shares a third."""
    topic = _topic(text, quoted)
    clauses = [clause for clause in _CLAUSE.split(_affirmed(quoted.text)) if clause.strip()]
    shared = [len(topic & stems(clause)) for clause in clauses]
    least = max([1, len(topic) / 3, *shared])
    return [clause for clause, common in zip(clauses, shared, strict=True) if common >= least]


_OTHER = re.compile(
    r"\W*(?:(?:and|well|oh|yeah|yes|so|also|plus|then|now|actually|honestly)\W+)*"
    r"(?:(?:my|our|his|her|their)\s(?:\w+\s){0,2}?(?P<kin>" + "|".join(sorted(KIN)) + r")s?\b(?!')"
    r"|(?:he|she)\b)",
    re.IGNORECASE,
)
_SELF = re.compile(r"\b(?:i|we|me|us|i'm|i've|my|our|mine)\b", re.IGNORECASE)


def own(text: str, quoted: Quoted) -> bool:
    """Returns whether `text` is about its quotes' subject: the speaker, or a person it names."""
    first = _WORDS.match(text)
    others = {name.split()[0].casefold() for name in quoted.people - quoted.speakers}
    nearest = _nearest(text, quoted)
    if first and first[0].casefold() in others:
        return not nearest or any(_of_another(clause, first[0]) for clause in nearest)
    about = [_OTHER.match(clause) for clause in nearest]
    if not about or not all(about):
        return True
    return any(_same(text, match, quoted) for match in about if match)


def _of_another(clause: str, name: str) -> bool:
    """Whether a clause may be about the person of that name, who does not speak it."""
    another = rf"\b(?:{re.escape(name)}|you|your|he|she|they|his|her)\b"
    return bool(re.search(another, clause, re.IGNORECASE)) or not _SELF.search(clause)


def _same(text: str, other: re.Match[str], quoted: Quoted) -> bool:
    """Whether `text` is about the person of a clause, or the clause is about its speaker too."""
    if _SELF.search(other.string, other.end()):
        return True
    if other["kin"]:
        return other["kin"].casefold()[:STEM] in {w.casefold()[:STEM] for w in _WORDS.findall(text)}
    return not _of_speaker(text, quoted)


def _of_speaker(text: str, quoted: Quoted) -> bool:
    """Whether `text` is plainly about the speaker: it begins with the name, or with a verb."""
    names = "|".join(re.escape(name) for name in quoted.speakers) or "user"
    return bool(re.match(rf"(?:(?:{names}|the user|user)\b(?!')|[A-Z]\w+s\b(?!'))", text))
