"""Defines the `Extractor` protocol, and the slice of the log that an extractor sees.

Third parties add extractors through the entry-point group `experiential_memory.extractors`; each
entry names a callable that takes the `Settings` and returns an `Extractor`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from memory.models import (
    Candidate,
    Evidence,
    Interaction,
    InteractionKind,
    Memory,
    MemoryKind,
    Scope,
    Stance,
)
from memory.trust.rules import NO_RULES, TrustRules

ENTRY_POINT_GROUP = "experiential_memory.extractors"


class Reading(StrEnum):
    """How much of the log an extractor sees at a time.

    SESSION: the interactions of one session that it has not seen yet. Its candidates add to what is
        believed.
    KNOWING: as SESSION, together with what is already believed of the user.
    USER: all interactions of the user, of the kinds it reads. Its candidates replace its earlier
        ones: a belief that it no longer proposes is withdrawn.
    """

    SESSION = "session"
    KNOWING = "knowing"
    USER = "user"


@dataclass(frozen=True, slots=True)
class LogSlice:
    """The input of one call of an extractor.

    scope: tenant and user, and for all but USER readers the session.
    interactions: the new ones, in the order of the log; only kinds that the extractor reads.
    before: up to `LOOK_BACK` interactions of the session just before the first new one, oldest
        first. They were extracted already; they let a reply be read with its question.
    believed: current memories of the user. For USER readers: those that this extractor made, in any
        version. For KNOWING readers: the `MOST_BELIEVED` newest (or as many as the extractor's
        `most_believed` says) of the kinds it makes, from any extractor, oldest first. For SESSION
        readers: none.
    rules: the tenant's rules of trust, for readers that weigh words by whose they are.
    """

    scope: Scope
    interactions: Sequence[Interaction]
    before: Sequence[Interaction] = ()
    believed: Sequence[Memory] = ()
    rules: TrustRules = NO_RULES


LOOK_BACK = 12

MOST_BELIEVED = 60


class Claimed(Protocol):
    """What is believed, as far as evidence against it has to name it."""

    @property
    def kind(self) -> MemoryKind: ...
    @property
    def text(self) -> str: ...
    @property
    def attribute(self) -> str | None: ...
    @property
    def value(self) -> str | None: ...
    @property
    def subject(self) -> str | None: ...
    @property
    def context(self) -> str | None: ...
    @property
    def single_valued(self) -> bool: ...


def ending(
    known: Claimed,
    evidence: tuple[Evidence, ...],
    occurred_at: datetime,
    *,
    confidence: float,
    since: datetime | None = None,
) -> Candidate:
    """Returns what ends a belief: contradicting evidence under its own key and value.

    since: from when on it no longer holds; None means from `occurred_at`.
    """
    return Candidate(
        kind=known.kind,
        text=known.text,
        evidence=tuple(replace(piece, stance=Stance.CONTRADICTS) for piece in evidence),
        occurred_at=occurred_at,
        attribute=known.attribute,
        value=known.value,
        subject=known.subject,
        context=known.context,
        single_valued=known.single_valued,
        stance=Stance.CONTRADICTS,
        confidence=confidence,
        valid_from=since,
    )


class Extractor(Protocol):
    """A pure function from a slice of the log to candidates.

    The same slice gives the same candidates: an extractor reads no clock and no store. A new
    `version` counts as a new extractor, and replay derives its memories again.
    """

    @property
    def name(self) -> str:
        """Its name in the provenance of its memories."""
        ...

    @property
    def version(self) -> str:
        """Its version, which changes whenever its candidates would."""
        ...

    @property
    def reading(self) -> Reading:
        """How much of the log it sees at a time."""
        ...

    @property
    def reads(self) -> frozenset[InteractionKind]:
        """The kinds of interactions that it sees."""
        ...

    @property
    def makes(self) -> frozenset[MemoryKind]:
        """The kinds of memories that it proposes."""
        ...

    async def extract(self, log: LogSlice) -> list[Candidate]:
        """Returns candidates for `log`, each with at least one piece of evidence from it.

        Raises:
            ExtractionFailed: the slice cannot be read; the session is retried, then set aside.
        """
        ...
