"""Defines assertions, and the beliefs that `consolidation` folds from them."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from memory.models import (
    KIND_TRAITS,
    Candidate,
    Evidence,
    Memory,
    Origin,
    Provenance,
    Stance,
    least_trusted,
)

CONFIDENCE_CEILING = 0.99
"""The highest confidence by repetition: every belief stays open to correction."""

Span = tuple[str, int, int, Stance]
"""A piece of evidence by its place: interaction, first character, first one after, stance."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The values of one conflict that hold, decided by a reader of the evidence.

    conflict: the digest of the `Conflict` that was decided. The verdict says nothing about any
        other, so an assertion that is added, arrives late or is removed reopens the matter.
    holds: in order. Several values hold side by side; none means that it could not be decided.
    rests_on: the interactions of everything that was considered.
    """

    conflict: str
    holds: tuple[str, ...] = ()
    rests_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assertion:
    """A candidate with its maker, its visibility, and the time when the log learned of it.

    recorded_at: when the newest interaction it rests on was recorded.
    position: that interaction's position in the user's log; breaks ties of event time.
    ordinal, ordinal_to: first and last ordinal of its evidence in its session.
    kept_as: the id under which it was first stored; it keeps that id if its value was merged into
        another one. None until it is stored.
    words: a digest of what was said, where saying the same again is no further word: copies of long
        texts, and an agent's echoes of itself.
    verdict: set if it decides between the claims of others and claims nothing itself.
    proposal: a digest of what it proposes and whose words do so (`Founding.proposal`), if its
        origin founds no belief by itself.
    approved: whether somebody approved that proposal.
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
    words: str | None = None
    verdict: Verdict | None = None
    proposal: bytes | None = None
    approved: bool = field(default=False, compare=False)

    @property
    def waits(self) -> bool:
        """Whether the fold leaves it out: a proposal that nobody approved."""
        return self.proposal is not None and not self.approved

    @property
    def interactions(self) -> frozenset[str]:
        """Every interaction it depends on."""
        rests_on = self.verdict.rests_on if self.verdict else ()
        return frozenset([*rests_on, *(e.interaction_id for e in self.candidate.evidence)])

    @property
    def origin(self) -> Origin | None:
        """The origin of its least trusted evidence."""
        return least_trusted(e.origin for e in self.candidate.evidence)

    @property
    def of_record(self) -> bool:
        """Whether a system of record says it."""
        return self.origin is Origin.RECORD

    @property
    def order(self) -> tuple[object, ...]:
        """Event time first; of two equal times, the later recording wins.

        The order is total: different assertions of one belief key are never equal in it. So the
        fold does not depend on the order in which the store reads them.
        """
        said = self.candidate
        places = tuple((e.start, e.interaction_id) for e in said.evidence)
        made = (self.provenance.extractor, said.text, said.stance)
        return (said.occurred_at, self.position, said.value or "", places, made)


@dataclass(frozen=True, slots=True)
class Belief:
    """One value of a belief key, the time it held, and the assertions that support it.

    contested: rival values of a single-valued attribute, in order, if nothing decides between them;
        see `timeline`.
    decided_by: the verdict that ended such a conflict.
    """

    value: str | None
    valid_from: datetime
    valid_to: datetime | None
    support: tuple[Assertion, ...]
    against: tuple[Assertion, ...] = ()
    contested: tuple[str, ...] = ()
    decided_by: Assertion | None = None

    @property
    def newest(self) -> Assertion:
        """The assertion that gives the memory its wording: the newest, of a record if any."""
        return next((a for a in reversed(self.support) if a.of_record), self.support[-1])

    @property
    def of_record(self) -> bool:
        """Whether a system of record is among its support."""
        return any(assertion.of_record for assertion in self.support)

    @property
    def independent(self) -> int:
        """How many of its assertions are words of their own, and no copies."""
        return len(self._independent)

    @property
    def _independent(self) -> list[Assertion]:
        """The newest of its assertions in each set of words, in order."""
        found = {a.words or assertion_id(a): a for a in self.support}
        return sorted(found.values(), key=lambda a: a.order)

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """All supporting evidence, then the evidence that ended it; each span once."""
        found: dict[tuple[str, int, Stance], Evidence] = {}
        for assertion in self.support:
            for item in assertion.candidate.evidence:
                found.setdefault((item.interaction_id, item.start, item.stance), item)
        for item in self._deciding:
            place = (item.interaction_id, item.start, item.stance)
            if place not in found or found[place].end < item.end:  # what decides may come after
                found[place] = item
        for assertion in self.against:
            for item in assertion.candidate.evidence:
                against = replace(item, stance=Stance.CONTRADICTS)
                found.setdefault((item.interaction_id, item.start, against.stance), against)
        return tuple(found.values())

    @property
    def origin(self) -> Origin | None:
        """The origin of the least trusted evidence that supports it."""
        return least_trusted(a.origin for a in self.support)

    @property
    def spans(self) -> frozenset[Span]:
        """The places of its evidence."""
        return frozenset((e.interaction_id, e.start, e.end, e.stance) for e in self.evidence)

    @property
    def _deciding(self) -> tuple[Evidence, ...]:
        """The words on which a verdict confirmed it."""
        by = self.decided_by
        if by is None or by.verdict is None or self.value not in by.verdict.holds:
            return ()
        return by.candidate.evidence

    @property
    def sources(self) -> tuple[Assertion, ...]:
        """The assertions its evidence is from; claims last."""
        decided = (self.decided_by,) if self.decided_by else ()
        return (*decided, *self.support, *(a for a in self.against if not a.verdict))

    @property
    def decision(self) -> Mapping[str, Any] | None:
        """The values that a verdict confirmed, and its maker; None without one."""
        if self.decided_by is None or self.decided_by.verdict is None:
            return None
        made = self.decided_by.provenance
        return {
            "contest": self.decided_by.verdict.conflict,
            "holds": list(self.decided_by.verdict.holds),
            "by": made.extractor,
            "prompt": made.prompt,
            "prompt_version": made.prompt_version,
            "prompt_hash": made.prompt_hash,
            "model": made.model,
        }

    @property
    def confidence(self) -> float:
        """The joint confidence of its assertions."""
        each = (a.candidate.confidence for a in self._independent)
        return noisy_or(each, self.newest.candidate.confidence)


@dataclass(frozen=True, slots=True)
class StoredBelief:
    """A belief as the memory it is stored as, with the places of the evidence stored beside it."""

    memory: Memory
    spans: frozenset[Span]


def noisy_or(confidences: Iterable[float], newest: float) -> float:
    """Joins several confidences: each is an independent chance to be right (Pearl 1988).

    The result is at most `CONFIDENCE_CEILING`, or the newest confidence if that is higher.
    `compaction.unite` does the same in SQL.
    """
    doubt = math.prod(1.0 - confidence for confidence in confidences)
    return min(1.0 - doubt, max(CONFIDENCE_CEILING, newest))


def belief_key(candidate: Candidate, agent: str | None) -> bytes:
    """Returns the key under which candidates about the same thing meet; 16 bytes.

    Free text (no attribute) is identified by its first evidence, that is by where it was said. The
    same words may give several facts, but only one episode or summary.
    """
    if candidate.attribute is not None:
        parts = ["attribute", agent, candidate.subject, candidate.attribute, candidate.context]
    else:
        first = candidate.evidence[0]
        parts = ["text", agent, candidate.kind, first.interaction_id, str(first.start)]
        if not KIND_TRAITS[candidate.kind].verbatim:
            parts.append(candidate.text)
    return digest(parts)[:16]


def assertion_id(assertion: Assertion) -> bytes:
    """Returns the id of an assertion: one per extractor, statement and evidence; 16 bytes."""
    if assertion.kept_as is not None:
        return assertion.kept_as
    said = assertion.candidate
    spans = [f"{e.interaction_id}\x1f{e.start}" for e in said.evidence]
    made = assertion.provenance
    judged = [assertion.verdict.conflict, *assertion.verdict.holds] if assertion.verdict else []
    parts = [made.extractor, said.value, said.text, said.stance, *sorted(spans), *judged]
    return digest(parts)[:16]


def digest(parts: Sequence[str | None]) -> bytes:
    """Returns the SHA-256 of a list of texts, different for every different list; 32 bytes."""
    # None and '' must differ, and no separator may occur inside a part.
    packed = b"".join(
        b"\x00" if part is None else b"\x01%d:%s" % (len(part.encode()), part.encode())
        for part in parts
    )
    return hashlib.sha256(packed).digest()
