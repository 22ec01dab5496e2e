"""Defines claims: normalised statements, between reading a clause and proposing a candidate."""

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
    """How a claim stands in time, which decides the meaning of its dates."""

    STATE = "state"
    """Holds from when it was said, or since the date it names."""
    EVENT = "event"
    """Happened on the date it names."""
    PLAN = "plan"
    """Is meant for the date it names."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A normalised statement and its wording in the third person.

    A claim that can be denied and resumed has its own attribute with the values `yes` and `no`
    (`uses.slack`), so that a newer statement ends the older one either way. An attribute with one
    value at a time keeps it as its value (`lives_in`: `munich`). Both are single-valued. Events are
    not: their value is the day, and another occurrence ends nothing. `value_is_date` takes the
    named day as value. `times` is the text with its dates, if that is not its own text.
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
    """A claim and its span of the text, as offsets, end exclusive."""

    claim: Claim
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Said:
    """A clause as the patterns see it.

    rest: the words after the verb, with quotations masked.
    written: the same words as written.
    front: a time in front of the clause.
    actor: the display name of the speaker.
    core: the clause from its subject on.
    before: up to 120 characters in front of it.
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
        """The subject of the clause."""
        return self.group.subject

    @property
    def tense(self) -> Tense:
        return self.group.tense

    @property
    def text(self) -> str:
        """The whole clause in the third person."""
        return self.told(self.written)

    def told(self, rest: str) -> str:
        """Returns the clause in the third person with another ending."""
        text = told(self.group, trimmed(rest), self.actor)
        return f"{text} {self.front[0].lower()}{self.front[1:]}" if self.front else text

    @property
    def dated(self) -> bool:
        """Whether a time is named."""
        return bool(self.front) or without_dates(self.written) != self.written

    def about(self, predicate: str) -> str:
        """Returns `predicate` ("lives in Rome") with its subject in front."""
        relation = self.subject.text if self.subject.relation else ""
        whose = f"{self.actor}'s {relation}" if self.actor and relation else self.actor or relation
        return capitalised(f"{whose} {in_third_person(predicate)}".strip())

    def named(self, attribute: str) -> str:
        """Returns `attribute`, under whom it is about: `sister.lives_in`, `sister.anna.lives_in`."""
        relation, name = self.subject.relation, self.subject.name
        who = [slug(part) for part in (relation, name) if part]
        return ".".join([*who, attribute]) if relation else attribute


def either(said: Said, attribute: str, what: str, text: str) -> Claim:
    """Returns a claim that `what` holds or, if the clause is denied, that it does not."""
    name = said.named(f"{attribute}.{slug(what)}")
    return Claim(name, NO if _denied(said) else YES, text)


def valued(said: Said, attribute: str, value: str, text: str) -> Claim:
    """Returns a claim that the attribute has this value or, if denied, no longer has it."""
    stance = Stance.CONTRADICTS if _denied(said) else Stance.SUPPORTS
    return Claim(said.named(attribute), normal(value), text, stance=stance)


def _denied(said: Said) -> bool:
    return said.group.denied or said.tense is Tense.USED_TO
