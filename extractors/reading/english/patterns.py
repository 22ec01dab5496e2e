"""Reads relations that people state about themselves, by verb: "I live in …".

Each relation is a line of the table: verbs, the words after them, the attribute, and its kind. An
attribute that ends in `.*` is denied and resumed for each value (`uses.slack` is `yes` or `no`);
any other has one value at a time.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from extractors.reading.english.claims import (
    Claim,
    Said,
    either,
    valued,
)
from extractors.reading.english.grammar import Tense
from extractors.reading.english.lexicon import any_of
from extractors.reading.english.places import is_place
from extractors.reading.english.wording import slug, stands_alone, without_dates
from memory.models import MemoryKind

_FACT, _PREFERENCE = MemoryKind.FACT, MemoryKind.PREFERENCE
_UNDER_WAY = frozenset({Tense.ONGOING, Tense.PERFECT_ONGOING})
_STATES = frozenset({Tense.PRESENT, Tense.USED_TO}) | _UNDER_WAY
_LASTING = _STATES | {Tense.PERFECT}

# Values: each captures `v` ------------------------------------------------------------------------

_NOT_A_DATE = (
    r"(?!(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|"
    + any_of(
        "January February March April May June July August September October November December"
    )
    + r")\b)"
)
PLACE = (
    rf"(?P<v>(?:the\s)?{_NOT_A_DATE}[A-ZÀ-Þ][\w'.-]*"
    rf"(?:(?:,\s|\s|\sof\s|\sde\s|\sdel\s|\sthe\s|-){_NOT_A_DATE}[A-ZÀ-Þ][\w'.-]*)*)"
)
NAME = r"(?P<v>[A-ZÀ-Þ][\w'-]+(?:\s[A-ZÀ-Þ][\w'-]+){0,2})"
ORG = (
    r"(?P<v>(?!\d|"
    + any_of(
        "home night nights it this that them him her you the_moment first least all my myself times"
        " work me us now free hours a_living about over almost getting making"
    )
    + r"\b)(?:(?:an?|the)\s)?[\w&'.-]+(?:\s(?!\d{1,2}\b|"
    + any_of(
        "as and in on with for where to since until at but from last this next now by while because"
        " or so right currently part full every most after before all"
    )
    + r"\b)[\w&'.-]+){0,4})"
)
JOB = (
    r"(?:an?|the|head|chief)\s(?P<v>[\w/ -]+?)"
    rf"(?=\s{any_of('at for in with on from based by who since and now here of')}\b|,|$)"
)
_LOWER_PLACE = (
    r"(?P<v>(?!"
    + any_of("fear hope peace love debt bed person town the a an my denial a hurry luxury")
    + r"\b)[a-z]+(?:\s(?:city|town|york|francisco|angeles))?)$"
)
_THING = r"(?P<v>\S.*)"
_FIELD = r"(?P<v>(?!\d|(?:an?|the|my|this|that)\b)[a-z][\w &-]+?)(?=\sat\b|\sfor\b|,|$)"
_TOOL = (
    r"(?P<v>(?!(?:my|our|all)\b)\S.*?)(?=\s(?:and\s(?:\w+ing|want|need|have|would|am)|"
    + any_of(
        "for as to with by on in at from of because instead throughout across during daily every"
        " when"
    )
    + r")\b|,?$)"
)
_SUBJECT_OF_STUDY = rf"(?P<v>(?!{any_of('for in at with on hard by from to about how as')}\b)\S.*)"
_GAME = r"(?:the\s)?(?P<v>(?!\w+ly\b|(?:with|ever|in|at|for|on|around)\b|\w+\srole\b)\w.*)"
_CONDITION = (
    r"(?P<v>(?:lactose|gluten)[\s-]intolerant|(?:gluten|dairy)[\s-]free|colou?r[\s-]blind"
    r"|(?:left|right)[\s-]handed|self[\s-]employed|an?\s(?:citizen|member|beginner)\b.*|"
    + any_of(
        "vegetarian vegan pescatarian celiac coeliac diabetic dyslexic autistic asthmatic deaf blind"
        " transgender trans gay lesbian bisexual pregnant unemployed retired adopted bilingual"
        " trilingual"
    )
    + r"|an?\s"
    + any_of(
        "vegetarian vegan pescatarian veteran introvert extrovert single_mom single_mum single_dad"
        " single_father single_mother single_parent morning_person night_owl perfectionist"
        " only_child freelancer homeowner refugee immigrant cat_person dog_person people_person"
        " visual_person visual_learner"
    )
    + r")\b"
)
_LANGUAGES = r"(?P<v>[A-Z][a-z]+(?:(?:,\s|\sand\s|,\sand\s)[A-Z][a-z]+)*)(?!\w)"
_VERY = r"(?:(?:\w+ly|so|very|super|pretty|quite)\s)?"


# The table ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Relation:
    """A line of the table; `pattern` captures the value as `v`, matched where the verb ends."""

    verbs: str
    pattern: str
    attribute: str
    kind: MemoryKind = _FACT
    tenses: frozenset[Tense] = _STATES
    importance: float = 0.6
    confidence: float = 0.9
    lowercase: bool = False
    """Only if the author writes no capitals at all."""


_RELATIONS = (
    Relation("live reside", rf"in\s{PLACE}", "lives_in", tenses=_LASTING, importance=0.9),
    Relation("live", rf"in\s{_LOWER_PLACE}", "lives_in", importance=0.9, lowercase=True),
    Relation("be", rf"(?:currently\s)?based\s(?:out\sof|in)\s{PLACE}", "lives_in", importance=0.9),
    Relation("live", rf"with\s{_THING}", "lives_with.*", tenses=_LASTING),
    Relation("be come hail", rf"(?:originally\s)?from\s{PLACE}", "from", importance=0.8),
    Relation("be", rf"(?:originally\s)?from\s{_LOWER_PLACE}", "from", lowercase=True),
    Relation("work", rf"(?:as\s.*?\s)?(?:at|for)\s{ORG}", "works_at", _FACT, _LASTING, 0.9),
    Relation("work", rf"as\s{JOB}", "job_title", _FACT, _LASTING, 0.9),
    Relation("work", rf"in\s{_FIELD}", "works_in", importance=0.8),
    Relation("be", rf"allergic\sto\s{_THING}", "allergic_to.*", importance=0.95),
    Relation("be", _CONDITION, "is.*", importance=0.85),
    Relation("identify", rf"as\s{_THING}", "is.*", importance=0.8),
    Relation("be", r"(?P<v>single|married|divorced|engaged|widowed|separated)\b(?!\s(?:in|with))",
             "relationship_status", importance=0.8),
    Relation("be", rf"{_VERY}(?:afraid|scared|terrified)\sof\s{_THING}", "fears.*"),
    Relation("be", rf"{_VERY}(?:interested|keen)\s(?:in|on)\s{_THING}", "interested_in.*",
             _PREFERENCE),
    Relation("be", rf"{_VERY}passionate\sabout\s{_THING}", "passionate_about.*", _PREFERENCE,
             importance=0.7),
    Relation("be", rf"{_VERY}fluent\sin\s{_THING}", "speaks.*"),
    Relation("be", r"(?:the\s)?(?P<v>(?:oldest|youngest|middle|only)\s(?:child|sibling|of\s\w+))",
             "birth_order"),
    Relation("be", r"on\san?\s(?P<v>[\w-]+\s(?:diet|visa|scholarship))", "is_on.*"),
    Relation("be", r"on\s(?P<v>(?:(?:parental|maternity|sick)\s)?(?:leave|vacation|holiday|sabbatical))\b",
             "is_on.*"),
    Relation("speak", _LANGUAGES, "speaks.*"),
    Relation("learn study", _SUBJECT_OF_STUDY, "learning.*", tenses=_UNDER_WAY),
    Relation("drive own", rf"(?:an?|my|two|three)\s{_THING}", "has.*"),
    Relation("play", _GAME, "plays.*"),
    Relation("use", _TOOL, "uses.*"),
    Relation("take", r"(?P<v>(?:medication|insulin|antidepressants|supplements|vitamins).*)",
             "takes.*"),
    Relation("major", rf"in\s{_THING}", "major"),
)  # fmt: skip
_BY_VERB: dict[str, list[tuple[Relation, re.Pattern[str]]]] = {}
for _line in _RELATIONS:
    for _verb in _line.verbs.split():
        _BY_VERB.setdefault(_verb, []).append((_line, re.compile(_line.pattern)))
_VAGUE = re.compile(
    r"(?:a lot|a ton|tons|the following|following|so much|more|new things|things|some stuff)\b"
)
_GOES_ON = re.compile(r"\band (?:want|need|have|would|am)\b")
_LIST = re.compile(r",\s(?:and\s|or\s)?|\s(?:and|or|&)\s")
_LISTED_WORDS = 2


def related(said: Said) -> Iterator[Claim]:
    """Yields the claims of the lines of the table that read the clause."""
    for relation, pattern in _BY_VERB.get(said.group.verb, ()):
        found = pattern.match(said.rest) if _applies(relation, said) else None
        if found is None:
            continue
        start, end = found.span("v")
        value = without_dates(said.written[start:end])
        if relation.attribute == "works_at" and _NO_ORG.match(value):
            continue
        if relation.attribute in _PLACES and not _placed(said, start, end):
            continue
        if not slug(value) or not stands_alone(value, words=0) or _VAGUE.match(value):
            continue
        for claim in _claims(said, relation, value, said.written[:start]):
            yield replace(
                claim,
                kind=relation.kind,
                importance=relation.importance,
                confidence=relation.confidence,
            )


_PLACES = frozenset({"lives_in", "from"})
_NO_ORG = re.compile(
    r"(?:peanuts|scale|nothing|fun|money|food|noon|midnight|dawn|dusk|present)\Z", re.IGNORECASE
)


def _placed(said: Said, start: int, end: int) -> bool:
    """Whether the words from `start` to `end` after the verb name a place."""
    before = said.core[: said.group.rest_start]
    return is_place(said.written[start:end], said.rest[end:], before)


def _applies(relation: Relation, said: Said) -> bool:
    if said.group.never or said.tense not in relation.tenses:
        return False
    if relation.verbs == "use" and said.subject.plural:
        return False  # "we use the complement": how something is done
    return not relation.lowercase or said.core == said.core.lower()


def _claims(said: Said, relation: Relation, value: str, before: str) -> Iterator[Claim]:
    if not relation.attribute.endswith(".*"):
        yield valued(said, relation.attribute, value, said.text)
        return
    items = listed(value)
    whole = len(items) == 1 and stands_alone(said.rest, words=0) and not _GOES_ON.search(said.rest)
    for item in items:
        text = said.text if whole else said.told(before + item)
        yield either(said, relation.attribute.removesuffix(".*"), item, text)


def listed(value: str) -> list[str]:
    """Returns the items of a plain list ("German, French and Dutch"), or the value alone."""
    items = [item.strip() for item in _LIST.split(value) if item.strip()]
    return items if all(len(i.split()) <= _LISTED_WORDS for i in items) else [value]
