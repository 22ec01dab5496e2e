"""Folds assertions into beliefs. Pure: values in, values out.

Assertions meet under a belief key: one attribute of one subject in one context, of the user or of
one agent's private view. Folding the assertions of a key in the order of event time gives its
timeline: which values held from when until when, and on what evidence. So adding, reinforcing,
superseding, retracting and late arrival are one rule over different sets of assertions, and replay
gives the same result as live extraction.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from memory.beliefs.assertions import (
    Assertion,
    Belief,
    StoredBelief,
    assertion_id,
    digest,
)
from memory.models import DECISION, Candidate, Memory, Stance

Stretch = tuple[datetime, datetime | None]
"""A span of time, end exclusive; None is open-ended."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Beliefs of one key, each rivalled by another, between which the rules cannot decide."""

    beliefs: tuple[Belief, ...]

    @property
    def values(self) -> tuple[str, ...]:
        """The contested values, in order."""
        return tuple(sorted({b.value for b in self.beliefs if b.value is not None}))

    def claims(self, value: str | None = None) -> list[Assertion]:
        """The assertions of one of its values, or of all, in the order of events."""
        found = [b.support for b in self.beliefs if value in (None, b.value)]
        return sorted({id(a): a for s in found for a in s}.values(), key=lambda a: a.order)

    @property
    def digest(self) -> str:
        """A hexadecimal digest of the values and their evidence."""
        said = sorted(f"{a.candidate.value}\x1f{assertion_id(a).hex()}" for a in self.claims())
        return digest(said).hex()


@dataclass(frozen=True, slots=True)
class Change:
    """A belief to insert, and the memory that it supersedes."""

    belief: Belief
    supersedes: int | None = None


@dataclass(frozen=True, slots=True)
class Revision:
    """The changes that turn the current beliefs into the target.

    close: ids of memories that are no longer believed.
    insert: beliefs to add; a closed memory lives on in one that supersedes it.
    reinforce: memories that stay as they are and gain evidence.
    """

    close: tuple[int, ...] = ()
    insert: tuple[Change, ...] = ()
    reinforce: tuple[tuple[int, Belief], ...] = ()


def timeline(assertions: Iterable[Assertion]) -> tuple[Belief, ...]:
    """Folds the assertions of one belief key into beliefs, oldest first.

    In the order of event time, each assertion decides the stretch of time it speaks of: from its
    `valid_from` (or when it was said) to its `valid_to`, if it names one. A supporting assertion
    joins the belief in its value there; for a single-valued attribute it also takes the stretch
    from the other values. A contradicting one takes the stretch from the value it names, or from
    all values. A belief that keeps no time never held, and is left out. So one value holds at a
    time, the order of arrival does not matter, and a statement about the past does not change the
    present.

    There is one exception: a conflict, that is different values of a single-valued attribute with
    one event time in different sessions, so that neither followed the other. Neither takes time
    from the other; both are believed, and each is contested by the values that hold beside it to
    its end. The next newer event decides: the value it supports takes all the disputed time, and if
    it supports neither, both end.

    What a system of record says is another exception: talk neither ends nor bounds it, whenever it
    was said. Talk of another value stands beside it, contested by it where it holds to the talk's
    end; the record is contested by records alone. A newer record ends talk as it ends a record.

    A verdict decides only what the rules leave contested, and only for the very conflict it was
    given for: the values it confirms take the time from the others. So the time of the verdict does
    not matter either.
    """
    claims, verdicts = _parted(assertions)
    beliefs, disputed = _folded(claims)
    if disputed and verdicts:
        for conflict in _conflicts(b for b in beliefs if not b.of_record):
            if by := verdicts.get(conflict.digest):
                beliefs = _others(beliefs, conflict.beliefs) + _decided(conflict, by)
    beliefs.sort(key=_when)
    if not disputed:  # as almost always
        return tuple(beliefs)
    return tuple(replace(b, contested=_rivals(b, beliefs)) for b in beliefs)


def open_conflicts(assertions: Iterable[Assertion]) -> list[Conflict]:
    """Returns the conflicts that have no verdict yet, in the order of their values."""
    claims, verdicts = _parted(assertions)
    beliefs, disputed = _folded(claims)
    found = _conflicts(b for b in beliefs if not b.of_record) if disputed else []
    return sorted((c for c in found if c.digest not in verdicts), key=lambda c: c.values)


def _parted(assertions: Iterable[Assertion]) -> tuple[list[Assertion], dict[str, Assertion]]:
    """Splits assertions into claims, and verdicts by the conflict they decide."""
    claims: list[Assertion] = []
    verdicts: list[Assertion] = []
    for assertion in assertions:
        (verdicts if assertion.verdict else claims).append(assertion)
    return claims, {a.verdict.conflict: a for a in sorted(verdicts, key=assertion_id) if a.verdict}


def _folded(claims: Iterable[Assertion]) -> tuple[list[Belief], bool]:
    """Folds claims by the rules alone; also returns whether any belief can be contested."""
    beliefs: list[Belief] = []
    ordered = sorted(claims, key=lambda a: a.order)
    disputed = len({a.of_record for a in ordered}) > 1
    for _, moment in groupby(ordered, key=lambda a: a.candidate.occurred_at):
        # A record comes before what is said at the same time, which so is said beside it.
        said_at_once = sorted(moment, key=lambda a: not a.of_record)
        disputed = disputed or len({a.session for a in said_at_once}) > 1
        for assertion in said_at_once:
            beliefs = _after(beliefs, assertion, said_at_once)
    return beliefs, disputed


def _conflicts(beliefs: Iterable[Belief]) -> list[Conflict]:
    """Groups the beliefs that rival one another, directly or through others."""
    groups: list[tuple[Belief, ...]] = []
    for belief in beliefs:
        near = [g for g in groups if any(_rival(belief, b) or _rival(b, belief) for b in g)]
        groups = [g for g in groups if all(g is not one for one in near)]
        groups.append((*(b for group in near for b in group), belief))
    return [Conflict(group) for group in groups if len(group) > 1]


def _decided(conflict: Conflict, by: Assertion) -> list[Belief]:
    """A conflict's beliefs after a verdict: the confirmed values took the time of the others."""
    holds = by.verdict.holds if by.verdict else ()
    holding = [b for b in conflict.beliefs if b.value in holds]
    left = _others(conflict.beliefs, holding)
    for belief in holding:
        left = _cut(left, (belief.valid_from, belief.valid_to), by)
    untouched = [b for b in left if any(b is old for old in conflict.beliefs)]
    changed = [*holding, *_others(left, untouched)]
    return [*untouched, *(replace(b, decided_by=by) for b in changed)]


def _after(
    beliefs: list[Belief], assertion: Assertion, said_at_once: Sequence[Assertion]
) -> list[Belief]:
    """The beliefs after one more assertion; `said_at_once` has all assertions of its event time."""
    said = assertion.candidate
    stretch = _stretch(said)
    if said.stance is Stance.CONTRADICTS:
        struck = [b for b in beliefs if said.value in (None, b.value) and _yields(b, assertion)]
        return _others(beliefs, struck) + _cut(struck, stretch, assertion)
    backed = [] if assertion.of_record else _of_record(_joined(beliefs, said.value, stretch))
    if backed:
        beliefs = _others(beliefs, backed) + [
            _backing(record, stretch, assertion) for record in backed
        ]
        stretch = _beyond(backed, stretch)
    mine = [
        b
        for b in _joined(beliefs, said.value, stretch)
        if _yields(b, assertion) and _joins(_by_record(b), stretch)
    ]
    held = [] if backed and stretch[0] == stretch[1] else [_united(mine, stretch, assertion)]
    beliefs = _others(beliefs, mine)
    if said.single_valued:
        beliefs = _yielding(beliefs, assertion, held[0] if held else None, said_at_once)
    return [*beliefs, *held]


def _yielding(
    beliefs: list[Belief],
    assertion: Assertion,
    belief: Belief | None,
    said_at_once: Sequence[Assertion],
) -> list[Belief]:
    """The beliefs after other values made room for a single-valued one, held in `belief`."""
    stretch = _stretch(assertion.candidate)
    equals = [a for a in said_at_once if _undecided(a, assertion)]
    rivals = [
        b
        for b in beliefs
        if b.value != assertion.candidate.value
        and _yields(b, assertion)
        and not _rests_on(b, equals)
    ]
    records = _of_record(rivals)
    taken = stretch
    if belief is not None:
        # What nothing said at the same time gainsays has the word on an older dispute as well.
        taken = (stretch[0] if equals else belief.valid_from, belief.valid_to)
    left = _cut(_others(rivals, records), taken, assertion) + _cut(records, stretch, assertion)
    return _others(beliefs, rivals) + left


def _joined(beliefs: Iterable[Belief], value: str | None, stretch: Stretch) -> list[Belief]:
    return [b for b in beliefs if b.value == value and _joins(b, stretch)]


def _by_record(belief: Belief) -> Belief:
    """A belief without the time before its records, which only talk gives it."""
    said = [_stretch(a.candidate)[0] for a in belief.support if a.of_record]
    if not said:
        return belief
    return replace(belief, valid_from=max(belief.valid_from, min(said)))


def _backing(record: Belief, stretch: Stretch, by: Assertion) -> Belief:
    """A belief of record that talk bears out: it may have begun before, and ends as it did."""
    support = sorted((*record.support, by), key=lambda a: a.order)
    return replace(record, valid_from=min(record.valid_from, stretch[0]), support=tuple(support))


def _beyond(records: Sequence[Belief], stretch: Stretch) -> Stretch:
    """What talk says beyond the records that it bears out; empty if that is nothing."""
    start, end = stretch
    for record in records:
        bounded = end is None and not record.against
        if record.valid_to is None or bounded or (end is not None and end <= record.valid_to):
            return (start, start)
        start = max(start, record.valid_to)
    return (start, end)


def _yields(belief: Belief, assertion: Assertion) -> bool:
    """Whether an assertion can end a belief: talk ends no record."""
    return assertion.of_record or not belief.of_record


def _undecided(one: Assertion, other: Assertion) -> bool:
    """Whether two assertions of one event time rival each other, and neither followed the other."""
    said, rival = one.candidate, other.candidate
    supports = said.stance is rival.stance is Stance.SUPPORTS
    if one.of_record != other.of_record:
        return False
    return supports and said.value != rival.value and one.session != other.session


def _rests_on(belief: Belief, assertions: Sequence[Assertion]) -> bool:
    return any(a is one for a in belief.support for one in assertions)


def _rivals(belief: Belief, beliefs: Iterable[Belief]) -> tuple[str, ...]:
    others = (b for b in beliefs if b.of_record or not belief.of_record)
    beside = {other.value for other in others if _rival(belief, other)}
    return tuple(sorted(value for value in beside if value is not None))


def _rival(belief: Belief, other: Belief) -> bool:
    """Whether another value holds beside a belief to its end, although only one can hold."""
    if belief.value == other.value or belief.valid_to == belief.valid_from:
        return False
    single = belief.newest.candidate.single_valued and other.newest.candidate.single_valued
    if not single or _side_by_side(belief, other):
        return False
    if belief.valid_to is None:
        return other.valid_to is None
    return other.valid_from < belief.valid_to and (
        other.valid_to is None or belief.valid_to <= other.valid_to
    )


def _side_by_side(belief: Belief, other: Belief) -> bool:
    by = belief.decided_by
    if by is None or by is not other.decided_by or by.verdict is None:
        return False
    return belief.value in by.verdict.holds and other.value in by.verdict.holds


def _when(belief: Belief) -> tuple[datetime, bool, datetime, str]:
    end = belief.valid_to
    return (belief.valid_from, end is None, end or belief.valid_from, belief.value or "")


def _stretch(said: Candidate) -> Stretch:
    start = said.valid_from or said.occurred_at
    return (start if said.valid_to is None else min(start, said.valid_to), said.valid_to)


def _others(beliefs: Sequence[Belief], some: Sequence[Belief]) -> list[Belief]:
    return [b for b in beliefs if all(b is not other for other in some)]


def _joins(belief: Belief, stretch: Stretch) -> bool:
    start, end = stretch
    reaches = belief.valid_to is None or start <= belief.valid_to
    return reaches and (end is None or belief.valid_from < end or belief.valid_from == start)


def _united(joined: Sequence[Belief], stretch: Stretch, by: Assertion) -> Belief:
    start, end = stretch
    bounding = _of_record(joined) if by.of_record else joined
    if bounding and end is None and not bounding[-1].against:
        end = bounding[-1].valid_to  # said once, and saying it again without takes nothing back
    support = {id(a): a for belief in joined for a in belief.support}
    return Belief(
        by.candidate.value,
        min([start, *(b.valid_from for b in joined)]),
        end,
        (*sorted(support.values(), key=lambda a: a.order), by),
    )


def _of_record(beliefs: Sequence[Belief]) -> list[Belief]:
    return [belief for belief in beliefs if belief.of_record]


def _cut(beliefs: Sequence[Belief], stretch: Stretch, by: Assertion) -> list[Belief]:
    """The parts of each belief outside the stretch; a new end is attributed to `by`."""
    start, end = stretch
    left = []
    for belief in beliefs:
        began_after = end is not None and end <= belief.valid_from
        if began_after or end == start or (belief.valid_to and belief.valid_to <= start):
            left.append(belief)
            continue
        if belief.valid_from < start:
            left.append(replace(belief, valid_to=start, against=(*belief.against, by)))
        if end is not None and (belief.valid_to is None or end < belief.valid_to):
            left.append(replace(belief, valid_from=end))
    return left


def revise(
    believed: Sequence[StoredBelief], target: Sequence[Belief], renewed: Container[int] = ()
) -> Revision:
    """Computes the changes that make the memories of one belief key say `target`.

    A memory and a belief are the same if value, validity, text, rivals and verdict agree, and the
    memory is not to be `renewed`. Evidence that the memory lacks is added to it. A memory that
    cites more than the belief rests on is closed instead, since history keeps what it cited. So
    the evidence is the fold's as well, whatever happened before. A closed memory is superseded by
    the belief that continues its value, or else by the newest one.
    """
    stored = {_identity_of_memory(s.memory): s for s in believed if s.memory.id not in renewed}
    wanted = {_identity_of_belief(b): b for b in target}
    kept = {
        identity: (stored[identity], belief)
        for identity, belief in wanted.items()
        if identity in stored and stored[identity].spans <= belief.spans
    }
    staying = {s.memory.id for s, _ in kept.values()}
    closed = [s.memory for s in believed if s.memory.id not in staying]
    fresh = [b for identity, b in wanted.items() if identity not in kept]
    return Revision(
        close=tuple(m.id for m in closed),
        insert=tuple(Change(b, _superseded(b, closed)) for b in fresh),
        reinforce=tuple((s.memory.id, b) for s, b in kept.values() if _gains(s, b)),
    )


def _gains(stored: StoredBelief, belief: Belief) -> bool:
    kept = stored.memory
    same = (kept.support, kept.origin) == (belief.independent, belief.origin)
    return not same or stored.spans != belief.spans


def _superseded(belief: Belief, closed: Sequence[Memory]) -> int | None:
    same = [m.id for m in closed if m.value == belief.value]
    if same:
        return same[-1]
    return closed[-1].id if closed else None


def _identity_of_memory(memory: Memory) -> tuple[object, ...]:
    decision = memory.payload.get(DECISION, {}).get("contest")
    stretch = (memory.valid_from, memory.valid_to)
    return (memory.value, *stretch, memory.text, memory.contested, decision)


def _identity_of_belief(belief: Belief) -> tuple[object, ...]:
    decision = belief.decision and belief.decision["contest"]
    stretch = (belief.valid_from, belief.valid_to)
    return (belief.value, *stretch, belief.newest.candidate.text, belief.contested, decision)
