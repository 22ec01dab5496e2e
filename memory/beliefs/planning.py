"""Plans the effect of new assertions on beliefs, before anything is written. Pure."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from memory.beliefs.assertions import (
    Assertion,
    Belief,
    StoredBelief,
    assertion_id,
    belief_key,
)
from memory.beliefs.consolidation import revise, timeline
from memory.beliefs.rows import (
    assertion_row,
    evidence_rows,
    iso,
    memory_of_row,
    memory_row,
)
from memory.models import Scope


@dataclass(frozen=True, slots=True)
class CompleteSet:
    """Says that some assertions are all that their extractors make of the log at a given time.

    interactions: the ids of the interactions they were made from; None stands for the whole log.
    """

    extractors: frozenset[str]
    learned_at: datetime
    interactions: frozenset[str] | None = None

    def covers(self, assertion: Assertion) -> bool:
        """Whether a valid assertion would have to be among them."""
        if assertion.provenance.extractor not in self.extractors:
            return False
        evidence = assertion.candidate.evidence
        return self.interactions is None or any(
            e.interaction_id in self.interactions for e in evidence
        )


@dataclass(slots=True)
class Plan:
    """The rows to write for one user, all or nothing.

    Ids are final: the plan commits only if no other change took them.
    """

    scope: Scope
    generation: int
    from_seq: int
    to_seq: int
    forget_seq: int | None = None
    memories: dict[int, dict[str, Any]] = field(default_factory=dict)
    closed: dict[int, datetime] = field(default_factory=dict)
    reinforced: dict[int, dict[str, Any]] = field(default_factory=dict)
    evidence: list[dict[str, Any]] = field(default_factory=list)
    assertions: list[dict[str, Any]] = field(default_factory=list)
    retracted: list[bytes] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The new value of the sequence, which moves even if the plan takes no id."""
        return max(self.to_seq, self.from_seq + 1)

    @property
    def empty(self) -> bool:
        """Whether committing the plan would change no belief and keep no proposal."""
        changes = self.memories or self.closed or self.reinforced or self.retracted
        return not (changes or self.assertions)


def planned_afresh(
    scope: Scope, generation: int, from_seq: int, assertions: Sequence[Assertion]
) -> Plan:
    """Plans the beliefs under the keys of `assertions` as if nothing were believed there yet."""
    plan = Plan(scope, generation, from_seq, from_seq + 1)
    for key, kept in by_belief(assertions).items():
        plan_key(plan, key, kept, [], [])
    return plan


def plan_key(
    plan: Plan,
    key: bytes,
    proposed: Sequence[Assertion],
    stored: Sequence[Assertion],
    believed: Sequence[StoredBelief],
    complete: CompleteSet | None = None,
) -> None:
    """Adds to the plan what the proposed assertions change under one belief key.

    Assertions are applied in the order in which the log learned of them, so that what was believed
    at any earlier time does not depend on how extraction was batched.
    """
    known = {assertion_id(a): a for a in stored}
    fresh = {assertion_id(a): a for a in proposed}
    gone = [
        identity
        for identity, assertion in known.items()
        if _gone(identity, assertion, fresh, complete)
    ]
    new = sorted(
        (a for identity, a in fresh.items() if identity not in known or identity in gone),
        key=lambda a: (a.recorded_at, a.position),
    )
    counting = [a for a in new if not a.waits]
    standing = [a for a in known.values() if not a.waits]
    if complete and not (counting or standing):
        # Free text has no assertions to take back; what its extractor no longer says is closed.
        made = [b for b in believed if b.memory.provenance.extractor in complete.extractors]
        _plan_step(plan, key, made, [], complete.learned_at)
        believed = [b for b in believed if b not in made]
    if not (new or gone):
        return
    plan.retracted += gone
    held = [a for identity, a in known.items() if identity not in gone and not a.waits]
    renewed = _orphaned(believed, [*held, *counting], complete)
    free_text = any(a.candidate.attribute is None for a in new)
    # Free text that counts by itself is no claim to be weighed, and not kept as an assertion.
    plan.assertions += [assertion_row(key, a) for a in new if a.proposal or not free_text]
    if free_text:
        # An episode that went on takes the place of its beginning, and the same words from the
        # same place change nothing.
        if counting:
            last = counting[-1]
            _plan_step(plan, key, believed, timeline([last]), last.recorded_at, renewed)
        return
    for learned_at, step in groupby(new, key=lambda a: a.recorded_at):
        held += [a for a in step if not a.waits]
        believed = _plan_step(plan, key, believed, timeline(held), learned_at, renewed)
    if complete and not new:
        _plan_step(plan, key, believed, timeline(held), complete.learned_at, renewed)


def _gone(
    identity: bytes,
    assertion: Assertion,
    fresh: Mapping[bytes, Assertion],
    complete: CompleteSet | None,
) -> bool:
    """Whether a stored assertion does not stand any more, or is now made by other words."""
    again = fresh.get(identity)
    if again is not None:
        return again.proposal != assertion.proposal
    return complete is not None and complete.covers(assertion)


def _orphaned(
    believed: Sequence[StoredBelief],
    standing: Sequence[Assertion],
    complete: CompleteSet | None,
) -> frozenset[int]:
    """Memories made by one of the extractors of `complete` that asserts nothing of them any more.

    They are made anew, so that each names the maker of what it rests on.
    """
    if complete is None:
        return frozenset()
    gone = complete.extractors - {assertion.provenance.extractor for assertion in standing}
    return frozenset(b.memory.id for b in believed if b.memory.provenance.extractor in gone)


def plan_standing(
    plan: Plan,
    key: bytes,
    standing: Sequence[Assertion],
    believed: Sequence[StoredBelief],
    resting: Container[int],
    at: datetime,
) -> None:
    """Adds to the plan what changes under one belief key if only `standing` still counts.

    History stays as it was. A memory is closed `at` that time if it no longer agrees, has other
    support, or is among those `resting` on what stopped counting. Its successor is believed from
    then on.
    """
    standing = [assertion for assertion in standing if not assertion.waits]
    target = timeline(standing)
    if not standing and all(b.memory.attribute is None for b in believed):
        # Free text is only taken back here; its extractor makes it anew of what is left.
        believed = [b for b in believed if b.memory.id in resting]
    otherwise = {memory for memory, _ in revise(believed, target).reinforce}
    ids = [b.memory.id for b in believed]
    renewed = {memory for memory in ids if memory in resting or memory in otherwise}
    _plan_step(plan, key, believed, target, at, renewed)


def _plan_step(
    plan: Plan,
    key: bytes,
    believed: Sequence[StoredBelief],
    target: Sequence[Belief],
    learned_at: datetime,
    renewed: Container[int] = (),
) -> list[StoredBelief]:
    revision = revise(believed, target, renewed)
    for memory in revision.close:
        plan.to_seq += 1
        if memory in plan.memories:
            plan.memories[memory]["believed_to"] = iso(learned_at)
        else:
            plan.closed[memory] = learned_at
    current = [b for b in believed if b.memory.id not in revision.close]
    for change in revision.insert:
        plan.to_seq += 1
        row = memory_row(plan.to_seq, key, change.belief, change.supersedes, learned_at)
        plan.memories[plan.to_seq] = row
        plan.evidence += evidence_rows(plan.to_seq, change.belief)
        current.append(StoredBelief(memory_of_row(row), change.belief.spans))
    for memory, belief in revision.reinforce:
        plan.evidence += evidence_rows(memory, belief)
        strength: dict[str, Any] = {
            "confidence": belief.confidence,
            "support": belief.independent,
            "origin": belief.origin,
        }
        if memory in plan.memories:
            plan.memories[memory].update(strength)
        else:
            plan.reinforced[memory] = {"memory_id": memory, **strength}
        current = [
            StoredBelief(replace(b.memory, **strength), belief.spans)
            if b.memory.id == memory
            else b
            for b in current
        ]
    return current


def by_belief(assertions: Sequence[Assertion]) -> dict[bytes, list[Assertion]]:
    groups: dict[bytes, list[Assertion]] = {}
    for assertion in assertions:
        groups.setdefault(belief_key(assertion.candidate, assertion.agent), []).append(assertion)
    return groups
