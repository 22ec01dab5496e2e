"""Folds one user's offers, in the order of the log, into tacit preferences.

For each attribute value the question is whether this user accepts items with it at another rate
than items with another value of the attribute: the user's own baseline, in the same context. Every
`BLOCK` judgements of single items make a block, as does every choice and every edit, and each
block settles the bets of the values in it (`e_values`). What is believed depends on
the history alone, not on when or how often it is looked at.

A preference is believed once all of this holds:

- e-BH at `LEVEL` over all values tested for this user rejects "has no bearing";
- the value was judged at least `MINIMUM_COUNT` times, and so were others;
- the rates differ by at least `MINIMUM_EFFECT` over the last `WINDOW` judgements of either;
- it is at least `SURE` that the effect has this direction now;

and withdrawn once one of these holds, after which the test starts from nothing:

- it is less than `TURNED` that the effect has this direction now;
- the rates differ by less than half of `MINIMUM_EFFECT`.

Two guards keep one preference from being reported as several. Once a value is believed, the other
values of its attribute start anew and are compared among items without it. And among items alike
in any value with more evidence, the effect has to be at least `MINIMUM_EFFECT` too (half of it to
go on being reported).

The guarantee. Under "has no bearing" each value's e-process ever reaches c with probability at most
1/c, however many events and looks there are. With m values tested, a user without preferences is
therefore ever credited with one with probability at most `LEVEL`, and among the preferences of any
user the expected share of false ones is at most `LEVEL`. A value counts as tested from the time it
has enough judgements; m can grow, so thresholds met before it grew were lower. The sizes of blocks
are fixed and what is offered must not react to acceptance within one (`benchmarks.behaviour`
measures what happens if it does).
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp, inf

from extractors.behaviour.e_values import EffectProcess, e_bh_log_threshold, pooled_difference
from extractors.behaviour.feedback import Item, Offer

LEVEL = 0.05
BLOCK = 10
MINIMUM_COUNT = 5
MINIMUM_EFFECT = 0.15
SURE = 0.9
TURNED = 0.5
WINDOW = 50


class Direction(StrEnum):
    """Whether a value raises or lowers acceptance; the first half of the memory's attribute."""

    PREFERS = "prefers"
    AVOIDS = "avoids"

    def along(self, effect: float) -> float:
        """`effect`, positive if it has this direction."""
        return effect if self is Direction.PREFERS else -effect


@dataclass(frozen=True, slots=True, eq=False)
class JudgedItem:
    """One item the user judged; `index` is the place of the offer in the user's history."""

    index: int
    item: Item
    accepted: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of items judged and accepted, with a value and without it."""

    accepted_with: int
    judged_with: int
    accepted_without: int
    judged_without: int

    @property
    def enough(self) -> bool:
        """Whether both sides were judged often enough to compare the rates."""
        return min(self.judged_with, self.judged_without) >= MINIMUM_COUNT

    @property
    def effect(self) -> float:
        """The difference of the two acceptance rates; both sides must have been judged."""
        with_it = self.accepted_with / self.judged_with
        return with_it - self.accepted_without / self.judged_without


@dataclass(frozen=True, slots=True)
class InferredPreference:
    """One tacit preference with its evidence.

    judged: its latest items with the value, oldest first, at most `WINDOW`.
    confidence: e / (e + tested), the posterior probability of an effect at prior odds of 1 to the
        number of values tested, times the probability that its direction holds now.
    log_e: natural logarithm of the e-value since the test last started.
    """

    direction: Direction
    attribute: str
    value: str
    context: str | None
    counts: Counts
    confidence: float
    log_e: float
    tested: int
    judged: tuple[JudgedItem, ...]


class ValueTest:
    """The test of one value of one attribute in one context, for one user."""

    __slots__ = ("believed", "process", "recent", "seen", "since", "value")

    def __init__(self, value: str) -> None:
        self.value = value
        self.seen = 0
        self.since = 0
        self.recent: deque[JudgedItem] = deque(maxlen=WINDOW)
        self.process = EffectProcess()
        self.believed: Direction | None = None

    def direction(self, at_least: float) -> Direction | None:
        """The direction that holds now with at least this probability, if one does."""
        if self.process.probability_positive >= at_least:
            return Direction.PREFERS
        if self.process.probability_negative >= at_least:
            return Direction.AVOIDS
        return None

    def restart(self, index: int) -> None:
        """Forgets the evidence so far; the next belief needs new evidence from here on."""
        self.process, self.since, self.believed = EffectProcess(), index, None


class AttributeTest:
    """The values of one attribute in one context, and the feedback that compares them."""

    def __init__(self, attribute: str, context: str | None) -> None:
        self.attribute = attribute
        self.context = context
        self.values: dict[str, ValueTest] = {}
        self.eligible: dict[str, ValueTest] = {}
        self.pending: list[JudgedItem] = []
        self.judged = 0
        self.one_value_each = True

    def add(self, judged: Sequence[JudgedItem], compared: bool) -> bool:
        """Adds one offer's items that carry the attribute; returns True if a block was settled."""
        self.judged += len(judged)
        for one in judged:
            self._count(one)
        if compared:
            self._settle(judged)
            return True
        self.pending.extend(judged)
        if len(self.pending) < BLOCK:
            return False
        self._settle(self.pending)
        self.pending = []
        return True

    def _count(self, one: JudgedItem) -> None:
        carried = one.item[self.attribute]
        self.one_value_each &= len(carried) == 1
        for value in sorted(carried):
            trial = self.values.setdefault(value, ValueTest(value))
            trial.seen += 1
            trial.recent.append(one)

    def _settle(self, block: Sequence[JudgedItem]) -> None:
        believed = {value for value, trial in self.eligible.items() if trial.believed}
        for value in sorted({value for one in block for value in one.item[self.attribute]}):
            trial = self.values[value]
            set_aside = believed - {value}
            self._settle_value(
                trial, [one for one in block if set_aside.isdisjoint(one.item[self.attribute])]
            )
            if trial.seen >= MINIMUM_COUNT and self.judged - trial.seen >= MINIMUM_COUNT:
                self.eligible[value] = trial

    def _settle_value(self, trial: ValueTest, items: Sequence[JudgedItem]) -> None:
        carrying = [one for one in items if trial.value in one.item[self.attribute]]
        trial.process.update(
            size=len(items),
            carrying=len(carrying),
            accepted=sum(one.accepted for one in items),
            both=sum(one.accepted for one in carrying),
        )

    @property
    def two_valued(self) -> bool:
        """Whether each item has one of two values, so that both test the same question."""
        return self.one_value_each and len(self.values) == 2  # noqa: PLR2004

    def tested(self) -> list[ValueTest]:
        """The values that are hypotheses of their own, in alphabetical order."""
        trials = [self.eligible[value] for value in sorted(self.eligible)]
        return trials[:1] if self.two_valued else trials

    def withdraw(self, trial: ValueTest, index: int) -> None:
        """Restarts `trial`, and its mirror image if the attribute has two values."""
        for one in self.values.values() if self.two_valued else [trial]:
            one.restart(index)

    def restart_others(self, index: int) -> None:
        """Restarts the values that are not believed: their comparison has changed."""
        for trial in self.values.values():
            if not trial.believed:
                trial.restart(index)

    def counts(self, value: str, since: int) -> Counts:
        """Counts over the latest `WINDOW` items with the value, and as many others."""
        carrying = [one for one in self.values[value].recent if one.index >= since]
        others = {
            one: None
            for other in self.values.values()
            if other.value != value
            for one in other.recent
            if one.index >= since and value not in one.item[self.attribute]
        }
        latest = sorted(others, key=lambda one: one.index)[-WINDOW:]
        return Counts(
            sum(one.accepted for one in carrying),
            len(carrying),
            sum(one.accepted for one in latest),
            len(latest),
        )


Tested = tuple[AttributeTest, ValueTest]


class PreferenceFold:
    """Folds one user's offers, in the order of the log, into tacit preferences."""

    def __init__(self) -> None:
        self._attributes: dict[tuple[str | None, str], AttributeTest] = {}
        self._recent: dict[str | None, deque[JudgedItem]] = {}
        self._index = 0

    def add(self, offer: Offer) -> None:
        """Adds one offer; beliefs change only when it settles a block."""
        judged = [
            JudgedItem(self._index, item, accepted)
            for item, accepted in zip(offer.items, offer.accepted, strict=True)
        ]
        self._recent.setdefault(offer.context, deque(maxlen=4 * WINDOW)).extend(judged)
        settled = False
        for attribute in sorted({name for one in judged for name in one.item}):
            key = (offer.context, attribute)
            if key not in self._attributes:
                self._attributes[key] = AttributeTest(attribute, offer.context)
            carrying = [one for one in judged if attribute in one.item]
            settled |= self._attributes[key].add(carrying, offer.compared)
        self._index += 1
        if settled:
            self._review()

    def beliefs(self) -> list[InferredPreference]:
        """The current beliefs, the strongest evidence first."""
        tested = self._tested()
        held = [
            _belief(attribute, trial, trial.believed, len(tested))
            for attribute, trial in tested
            if trial.believed
            and self._own_effect(attribute, trial, trial.believed) >= MINIMUM_EFFECT / 2
        ]
        return sorted(held, key=lambda belief: (-belief.log_e, belief.attribute, belief.value))

    def _tested(self) -> list[Tested]:
        return [
            (attribute, trial)
            for attribute in self._attributes.values()
            for trial in attribute.tested()
        ]

    def _review(self) -> None:
        tested = self._tested()
        log_e_values = [trial.process.log_e for _, trial in tested]
        threshold = e_bh_log_threshold(log_e_values, len(tested), LEVEL)
        for attribute, trial in tested:
            if trial.believed and _has_turned(attribute, trial, trial.believed):
                attribute.withdraw(trial, self._index)
        shown = [
            (attribute, trial, direction)
            for attribute, trial in tested
            if not trial.believed
            and trial.process.log_e >= threshold
            and (direction := _shown(attribute, trial))
            and self._own_effect(attribute, trial, direction) >= MINIMUM_EFFECT
        ]
        for _, trial, direction in shown:
            trial.believed = direction
        for attribute, _, _ in shown:
            attribute.restart_others(self._index)

    def _own_effect(
        self, attribute: AttributeTest, trial: ValueTest, direction: Direction
    ) -> float:
        """The least effect in `direction` among items alike in a value with more evidence."""
        recent = self._recent[attribute.context]
        within = (
            _effect_within(recent, (attribute, trial), (where, other))
            for where, other in self._tested()
            if other.process.log_e > trial.process.log_e and where.context == attribute.context
        )
        return min(
            (direction.along(effect) for effect in within if effect is not None), default=inf
        )


def _shown(attribute: AttributeTest, trial: ValueTest) -> Direction | None:
    direction, counts = trial.direction(SURE), attribute.counts(trial.value, trial.since)
    if direction is None or not counts.enough:
        return None
    return direction if direction.along(counts.effect) >= MINIMUM_EFFECT else None


def _has_turned(attribute: AttributeTest, trial: ValueTest, believed: Direction) -> bool:
    counts = attribute.counts(trial.value, trial.since)
    return trial.direction(TURNED) is not believed or (
        counts.enough and believed.along(counts.effect) < MINIMUM_EFFECT / 2
    )


def _effect_within(recent: Iterable[JudgedItem], tested: Tested, given: Tested) -> float | None:
    """The effect of `tested` among items alike in `given`; None if it did not vary at all."""
    (attribute, trial), (where, other) = tested, given
    strata = {True: [0, 0, 0, 0], False: [0, 0, 0, 0]}
    for one in recent:
        if attribute.attribute in one.item:
            stratum = strata[other.value in one.item.get(where.attribute, ())]
            side = 0 if trial.value in one.item[attribute.attribute] else 2
            stratum[side] += one.accepted
            stratum[side + 1] += 1
    varied = all(strata[True][side] + strata[False][side] for side in (1, 3))
    return pooled_difference(strata.values()) if varied else None


def _belief(
    attribute: AttributeTest, trial: ValueTest, believed: Direction, tested: int
) -> InferredPreference:
    direction, shown, process = believed, trial, trial.process
    probability = (
        process.probability_positive
        if believed is Direction.PREFERS
        else process.probability_negative
    )
    if attribute.two_valued and believed is Direction.AVOIDS:
        # "avoids remote = no" is the same claim as "prefers remote = yes", and harder to read.
        direction = Direction.PREFERS
        shown = next(one for one in attribute.values.values() if one is not trial)
    return InferredPreference(
        direction=direction,
        attribute=attribute.attribute,
        value=shown.value,
        context=attribute.context,
        counts=attribute.counts(shown.value, trial.since),
        confidence=probability / (1 + tested * exp(-process.log_e)),
        log_e=process.log_e,
        tested=tested,
        judged=tuple(one for one in shown.recent if one.index >= trial.since),
    )
