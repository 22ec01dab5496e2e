"""What a clause claims: the value between reading a sentence and proposing a candidate."""

from dataclasses import dataclass
from enum import StrEnum

from extractors.reading.english.grammar import (
    Subject,
    Tense,
    VerbGroup,
    capitalised,
    in_third_person,
    told,
)
from extractors.reading.english.wording import (
    normal,
    slug,
    trimmed,
    without_dates,
)
from memory.models import MemoryKind, Stance

YES, NO = "yes", "no"


class Aspect(StrEnum):
    """How a claim stands in time, which decides what a date in it means."""

    STATE = "state"
    """Holds from when it was said, or since the date it names."""
    EVENT = "event"
    """Happened on the date it names."""
    PLAN = "plan"
    """Is meant for the date it names."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A normalised statement and its wording in the third person.

    What can be denied and taken up again has an attribute of its own with the values `yes` and
    `no` (`uses.slack`), so that the newer statement ends the older one, whichever it was; what has
    one value at a time keeps it as value (`lives_in`: `munich`). Both are single-valued. Events are
    not: their value is the day, and happening again ends nothing. `value_is_date` asks for the day
    that the words name as value. `times` is where its dates are named, if not in its text.
    """

    attribute: str
    value: str
    text: str
    kind: MemoryKind = MemoryKind.FACT
    aspect: Aspect = Aspect.STATE
    single_valued: bool = True
    stance: Stance = Stance.SUPPORTS
    context: str | None = None
    confidence: float = 0.85
    importance: float = 0.6
    value_is_date: bool = False
    times: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A claim and the span of the text that makes it, as offsets, end exclusive."""

    claim: Claim
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Said:
    """A clause as the patterns see it.

    rest: what follows the verb, with quotations masked; written: the same as it was written.
    front: a time in front of the clause. actor: the display name of who says it.
    core: the clause from its subject on. before: what stands before it in the sentence.
    """

    group: VerbGroup
    rest: str
    written: str
    front: str
    actor: str | None
    core: str = ""
    before: str = ""

    @property
    def subject(self) -> Subject:
        """Whose doings."""
        return self.group.subject

    @property
    def tense(self) -> Tense:
        """The tense of the clause."""
        return self.group.tense

    @property
    def text(self) -> str:
        """The whole clause in the third person."""
        return self.told(self.written)

    def told(self, rest: str) -> str:
        """The clause in the third person with another ending."""
        text = told(self.group, trimmed(rest), self.actor)
        return f"{text} {self.front[0].lower()}{self.front[1:]}" if self.front else text

    @property
    def dated(self) -> bool:
        """Whether a time is named."""
        return bool(self.front) or without_dates(self.written) != self.written

    def about(self, predicate: str) -> str:
        """`predicate` ("lives in Rome") with its subject in front."""
        relation = self.subject.text if self.subject.relation else ""
        whose = f"{self.actor}'s {relation}" if self.actor and relation else self.actor or relation
        return capitalised(f"{whose} {in_third_person(predicate)}".strip())

    def named(self, attribute: str) -> str:
        """`attribute`, under the person it is about: `sister.lives_in`."""
        relation = self.subject.relation
        return f"{slug(relation)}.{attribute}" if relation else attribute


def either(said: Said, attribute: str, what: str, text: str) -> Claim:
    """A claim that `what` holds or, if the clause is denied, that it does not."""
    name = said.named(f"{attribute}.{slug(what)}")
    return Claim(name, NO if _denied(said) else YES, text)


def valued(said: Said, attribute: str, value: str, text: str) -> Claim:
    """A claim that the attribute has this value or, if the clause is denied, no longer has."""
    stance = Stance.CONTRADICTS if _denied(said) else Stance.SUPPORTS
    return Claim(said.named(attribute), normal(value), text, stance=stance)


def _denied(said: Said) -> bool:
    return said.group.denied or said.tense is Tense.USED_TO
