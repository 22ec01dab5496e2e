"""What is believed, as a fold over what was asserted. Pure: values in, values out.

Assertions meet under a belief key: one attribute of one subject in one context, of the user or of
one agent's private view. Folding the assertions of a key in the order of event time gives its
timeline: which values held from when until when, and on what evidence. So adding, reinforcing,
superseding and retracting, a late arrival and a source that is taken away are one rule over
different sets of assertions, and replay gives the same answer as having been there.
"""

import hashlib
import math
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby

from memory.models import Candidate, Evidence, Memory, MemoryKind, Provenance, Stance

Stretch = tuple[datetime, datetime | None]
"""From when until when, end exclusive; None is open-ended."""

CONFIDENCE_CEILING = 0.99
"""However often it is repeated, a belief stays open to correction."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """A candidate once it is known who made it, who may see it and when the log learned of it.

    recorded_at: when the newest interaction it rests on was recorded.
    position: that interaction's place in the user's log; breaks ties of event time.
    ordinal, ordinal_to: first and last place of its evidence in its session.
    kept_as: the id it was first asserted under, which it keeps where its value was merged into
        another since; None until it is kept.
    """

    candidate: Candidate
    provenance: Provenance
    recorded_at: datetime
    position: int
    agent: str | None = None
    session: str | None = None
    ordinal: int | None = None
    ordinal_to: int | None = None
    kept_as: bytes | None = field(default=None, compare=False)

    @property
    def order(self) -> tuple[datetime, int, str]:
        """Event time first; what was recorded later wins a tie."""
        return (self.candidate.occurred_at, self.position, self.candidate.value or "")


@dataclass(frozen=True, slots=True)
class Belief:
    """One value of a belief key and the time it held, with the assertions it stands on.

    contested: other values of a single-valued attribute that nothing decides it against, in order;
        see `timeline`.
    """

    value: str | None
    valid_from: datetime
    valid_to: datetime | None
    support: tuple[Assertion, ...]
    against: tuple[Assertion, ...] = ()
    contested: tuple[str, ...] = ()

    @property
    def newest(self) -> Assertion:
        """The assertion whose wording the memory takes."""
        return self.support[-1]

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Everything that speaks for it, then what ended it; each span once."""
        found: dict[tuple[str, int, Stance], Evidence] = {}
        for assertion in self.support:
            for item in assertion.candidate.evidence:
                found.setdefault((item.interaction_id, item.start, item.stance), item)
        for assertion in self.against:
            for item in assertion.candidate.evidence:
                against = replace(item, stance=Stance.CONTRADICTS)
                found.setdefault((item.interaction_id, item.start, against.stance), against)
        return tuple(found.values())

    @property
    def confidence(self) -> float:
        """Noisy-or over the assertions: each is an independent chance to be right (Pearl 1988)."""
        doubt = math.prod(1.0 - a.candidate.confidence for a in self.support)
        return min(1.0 - doubt, max(CONFIDENCE_CEILING, self.newest.candidate.confidence))


@dataclass(frozen=True, slots=True)
class Change:
    """A belief to insert, and the memory whose place it takes."""

    belief: Belief
    supersedes: int | None = None


@dataclass(frozen=True, slots=True)
class Revision:
    """The difference between what is believed and what should be.

    close: memories no longer believed, by id.
    insert: beliefs to add; a closed memory lives on in one that supersedes it.
    reinforce: memories that stay as they are and gain evidence.
    """

    close: tuple[int, ...] = ()
    insert: tuple[Change, ...] = ()
    reinforce: tuple[tuple[int, Belief], ...] = ()


def belief_key(candidate: Candidate, agent: str | None) -> bytes:
    """What decides whether two candidates are about the same thing; 16 bytes.

    Free text (no attribute) is about itself and where it was said: its first evidence. Several
    facts may be read off the same words; an episode or a summary of them there is but one.
    """
    if candidate.attribute is not None:
        parts = ["attribute", agent, candidate.subject, candidate.attribute, candidate.context]
    else:
        first = candidate.evidence[0]
        parts = ["text", agent, candidate.kind, first.interaction_id, str(first.start)]
        if candidate.kind not in (MemoryKind.EPISODE, MemoryKind.SUMMARY):
            parts.append(candidate.text)
    return _digest(parts)[:16]


def assertion_id(assertion: Assertion) -> bytes:
    """The same extractor saying the same on the same grounds says it once; 16 bytes."""
    if assertion.kept_as is not None:
        return assertion.kept_as
    said = assertion.candidate
    spans = [f"{e.interaction_id}\x1f{e.start}" for e in said.evidence]
    made = assertion.provenance
    return _digest([made.extractor, said.value, said.text, said.stance, *sorted(spans)])[:16]


def timeline(assertions: Iterable[Assertion]) -> tuple[Belief, ...]:
    """Folds the assertions of one belief key into beliefs, oldest first.

    In the order of event time, each assertion has the last word on the stretch of time it speaks
    of: from its `valid_from` (or when it was said) to its `valid_to`, if it names one. Supporting
    its value joins what is believed of that value there; of a single-valued attribute it also
    takes the stretch from the other values. Contradicting takes it from the value it names, or
    from all. What keeps no time at all never held, and is left out. So one value holds at a time,
    the order of arrival does not matter, and what was said of the past leaves the present alone.

    The exception is a contradiction that nothing decides: different values of a single-valued
    attribute said of one event time in different sessions, so that neither followed the other.
    Neither takes time from the other; both are believed, and each is contested by what holds
    beside it to its end. The next newer event decides: what it supports takes all the time that
    was disputed, and where it supports neither, both end.
    """
    beliefs: list[Belief] = []
    disputed = False
    ordered = sorted(assertions, key=lambda a: a.order)
    for _, moment in groupby(ordered, key=lambda a: a.candidate.occurred_at):
        said_at_once = list(moment)
        disputed = disputed or len({a.session for a in said_at_once}) > 1
        for assertion in said_at_once:
            beliefs = _after(beliefs, assertion, said_at_once)
    beliefs.sort(key=_when)
    if not disputed:  # as almost always
        return tuple(beliefs)
    return tuple(replace(b, contested=_rivals(b, beliefs)) for b in beliefs)


def _after(
    beliefs: list[Belief], assertion: Assertion, said_at_once: Sequence[Assertion]
) -> list[Belief]:
    """The beliefs once an assertion had its say; `said_at_once`: all of its event time."""
    said = assertion.candidate
    stretch = _stretch(said)
    if said.stance is Stance.CONTRADICTS:
        struck = [b for b in beliefs if said.value in (None, b.value)]
        return _others(beliefs, struck) + _cut(struck, stretch, assertion)
    joined = [b for b in beliefs if b.value == said.value and _joins(b, stretch)]
    belief = _united(joined, stretch, assertion)
    beliefs = _others(beliefs, joined)
    if said.single_valued:
        equals = [a for a in said_at_once if _undecided(a, assertion)]
        rivals = [b for b in beliefs if b.value != said.value and not _rests_on(b, equals)]
        # What nothing said at the same time gainsays has the word on an older dispute as well.
        taken = (stretch[0] if equals else belief.valid_from, belief.valid_to)
        beliefs = _others(beliefs, rivals) + _cut(rivals, taken, assertion)
    return [*beliefs, belief]


def _undecided(one: Assertion, other: Assertion) -> bool:
    """Whether two assertions of one event time rival each other, and neither followed the other."""
    said, rival = one.candidate, other.candidate
    supports = said.stance is rival.stance is Stance.SUPPORTS
    return supports and said.value != rival.value and one.session != other.session


def _rests_on(belief: Belief, assertions: Sequence[Assertion]) -> bool:
    return any(a is one for a in belief.support for one in assertions)


def _rivals(belief: Belief, beliefs: Iterable[Belief]) -> tuple[str, ...]:
    if belief.valid_to == belief.valid_from or not belief.newest.candidate.single_valued:
        return ()
    beside = [
        other.value
        for other in beliefs
        if other.value != belief.value
        and other.newest.candidate.single_valued
        and (belief.valid_to is None or other.valid_from < belief.valid_to)
        and (
            other.valid_to is None
            or (belief.valid_to is not None and belief.valid_to <= other.valid_to)
        )
    ]
    return tuple(sorted({value for value in beside if value is not None}))


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
    if joined and end is None and not joined[-1].against:
        end = joined[-1].valid_to  # said once, and saying it again without takes nothing back
    support = {id(a): a for belief in joined for a in belief.support}
    return Belief(
        by.candidate.value,
        min([start, *(b.valid_from for b in joined)]),
        end,
        (*sorted(support.values(), key=lambda a: a.order), by),
    )


def _cut(beliefs: Sequence[Belief], stretch: Stretch, by: Assertion) -> list[Belief]:
    """What is left of each belief outside the stretch; its end, if that is new, is laid to `by`."""
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
    believed: Sequence[Memory], target: Sequence[Belief], renewed: Container[int] = ()
) -> Revision:
    """What has to change for the memories of one belief key to say `target`.

    A memory and a belief are the same if value, validity, text and rivals agree, and the memory is
    not to be `renewed`. A closed memory is superseded by the belief that took its value on, or else
    by the newest one.
    """
    open_memories = {
        _identity(m.value, m.valid_from, m.valid_to, m.text, m.contested): m
        for m in believed
        if m.id not in renewed
    }
    wanted = {
        _identity(b.value, b.valid_from, b.valid_to, b.newest.candidate.text, b.contested): b
        for b in target
    }
    kept = [(open_memories[key], b) for key, b in wanted.items() if key in open_memories]
    staying = {m.id for m, _ in kept}
    closed = [m for m in believed if m.id not in staying]
    fresh = [b for key, b in wanted.items() if key not in open_memories]
    return Revision(
        close=tuple(m.id for m in closed),
        insert=tuple(Change(b, _superseded(b, closed)) for b in fresh),
        reinforce=tuple((m.id, b) for m, b in kept if m.support != len(b.support)),
    )


def _superseded(belief: Belief, closed: Sequence[Memory]) -> int | None:
    same = [m.id for m in closed if m.value == belief.value]
    if same:
        return same[-1]
    return closed[-1].id if closed else None


def _identity(*parts: object) -> tuple[object, ...]:
    return parts


def _digest(parts: Sequence[str | None]) -> bytes:
    # None and '' must differ, and no separator may occur inside a part.
    packed = b"".join(
        b"\x00" if part is None else b"\x01%d:%s" % (len(part.encode()), part.encode())
        for part in parts
    )
    return hashlib.sha256(packed).digest()
