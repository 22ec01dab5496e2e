"""What is asserted, and the beliefs that are folded from it, as values; see `consolidation`."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from memory.models import KIND_TRAITS, Candidate, Evidence, Provenance, Stance

CONFIDENCE_CEILING = 0.99
"""However often it is repeated, a belief stays open to correction."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which values of one conflict hold, as somebody judged who read what they rest on.

    conflict: the digest of the `Conflict` that was judged; about any other it says nothing, so what
        is said later, comes late or is taken away reopens the matter.
    holds: in order; several hold side by side, none means that it could not be told.
    rests_on: the interactions of all that was judged.
    """

    conflict: str
    holds: tuple[str, ...] = ()
    rests_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assertion:
    """A candidate once it is known who made it, who may see it and when the log learned of it.

    recorded_at: when the newest interaction it rests on was recorded.
    position: that interaction's place in the user's log; breaks ties of event time.
    ordinal, ordinal_to: first and last place of its evidence in its session.
    kept_as: the id it was first asserted under, which it keeps where its value was merged into
        another since; None until it is kept.
    verdict: of one that claims nothing itself, but decides between what others claim.
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
    verdict: Verdict | None = None

    @property
    def interactions(self) -> frozenset[str]:
        """Every interaction it stands or falls with."""
        rests_on = self.verdict.rests_on if self.verdict else ()
        return frozenset([*rests_on, *(e.interaction_id for e in self.candidate.evidence)])

    @property
    def order(self) -> tuple[datetime, int, str]:
        """Event time first; what was recorded later wins a tie."""
        return (self.candidate.occurred_at, self.position, self.candidate.value or "")


@dataclass(frozen=True, slots=True)
class Belief:
    """One value of a belief key and the time it held, with the assertions it stands on.

    contested: other values of a single-valued attribute that nothing decides it against, in order;
        see `timeline`.
    decided_by: the verdict that put an end to such a conflict.
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
        """The assertion whose wording the memory takes."""
        return self.support[-1]

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Everything that speaks for it, then what ended it; each span once."""
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
    def _deciding(self) -> tuple[Evidence, ...]:
        """The words by which a verdict found that it holds."""
        by = self.decided_by
        if by is None or by.verdict is None or self.value not in by.verdict.holds:
            return ()
        return by.candidate.evidence

    @property
    def sources(self) -> tuple[Assertion, ...]:
        """Whatever its evidence is from; claims last."""
        decided = (self.decided_by,) if self.decided_by else ()
        return (*decided, *self.support, *(a for a in self.against if not a.verdict))

    @property
    def decision(self) -> Mapping[str, Any] | None:
        """Which values a verdict found to hold, and what made it; None without one."""
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
        """What its assertions give together."""
        each = (a.candidate.confidence for a in self.support)
        return noisy_or(each, self.newest.candidate.confidence)


def noisy_or(confidences: Iterable[float], newest: float) -> float:
    """What several grounds give together: each is an independent chance to be right (Pearl 1988).

    At most `CONFIDENCE_CEILING`, or what the newest alone gives where that is more.
    `compaction.unite` does the same in SQL.
    """
    doubt = math.prod(1.0 - confidence for confidence in confidences)
    return min(1.0 - doubt, max(CONFIDENCE_CEILING, newest))


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
        if not KIND_TRAITS[candidate.kind].verbatim:
            parts.append(candidate.text)
    return digest(parts)[:16]


def assertion_id(assertion: Assertion) -> bytes:
    """The same extractor saying the same on the same grounds says it once; 16 bytes."""
    if assertion.kept_as is not None:
        return assertion.kept_as
    said = assertion.candidate
    spans = [f"{e.interaction_id}\x1f{e.start}" for e in said.evidence]
    made = assertion.provenance
    judged = [assertion.verdict.conflict, *assertion.verdict.holds] if assertion.verdict else []
    parts = [made.extractor, said.value, said.text, said.stance, *sorted(spans), *judged]
    return digest(parts)[:16]


def digest(parts: Sequence[str | None]) -> bytes:
    """SHA-256 of a list of texts, each told from any other list; 32 bytes."""
    # None and '' must differ, and no separator may occur inside a part.
    packed = b"".join(
        b"\x00" if part is None else b"\x01%d:%s" % (len(part.encode()), part.encode())
        for part in parts
    )
    return hashlib.sha256(packed).digest()
