"""What an extractor is, and the slice of the log it is shown.

Third parties add extractors through the entry-point group `experiential_memory.extractors`; each
entry names a callable that takes the `Settings` and returns an `Extractor`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from memory.models import Candidate, Interaction, InteractionKind, Memory, MemoryKind, Scope

ENTRY_POINT_GROUP = "experiential_memory.extractors"


class Reading(StrEnum):
    """How much of the log an extractor is shown at a time.

    SESSION: the interactions of one session that it has not seen yet; its candidates add to what
        is believed.
    KNOWING: as SESSION, and beside them what is believed of the user already.
    USER: every interaction of the user of the kinds it reads; its candidates are its whole
        belief, so what it no longer proposes is withdrawn.
    """

    SESSION = "session"
    KNOWING = "knowing"
    USER = "user"


@dataclass(frozen=True, slots=True)
class LogSlice:
    """What one call of an extractor sees.

    scope: tenant and user, and for all but USER readers the session.
    interactions: what is new, in the order of the log; only kinds the extractor reads.
    before: up to `LOOK_BACK` interactions of the session just before the first new one, oldest
        first; already extracted, shown so that a reply can be read with its question.
    believed: for USER readers the user's current memories made by this extractor (any version);
        for KNOWING readers the `MOST_BELIEVED` newest of the kinds it makes, whoever made them,
        oldest first; else none.
    """

    scope: Scope
    interactions: Sequence[Interaction]
    before: Sequence[Interaction] = ()
    believed: Sequence[Memory] = ()


LOOK_BACK = 12

MOST_BELIEVED = 60


class Extractor(Protocol):
    """A pure step from a slice of the log to candidates.

    The same slice gives the same candidates: no clock, no store, no order of arrival beyond the
    slice. A new `version` is a new extractor to the log: replay derives its memories afresh.
    """

    @property
    def name(self) -> str:
        """What its memories name as their maker."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever its candidates would."""
        ...

    @property
    def reading(self) -> Reading:
        """How much of the log it is shown."""
        ...

    @property
    def reads(self) -> frozenset[InteractionKind]:
        """The kinds of interactions it is shown."""
        ...

    @property
    def makes(self) -> frozenset[MemoryKind]:
        """The kinds of memories it proposes."""
        ...

    async def extract(self, log: LogSlice) -> list[Candidate]:
        """Candidates for `log`, each with at least one piece of evidence from it.

        Raises:
            ExtractionFailed: the slice cannot be read; the session is retried, then set aside.
        """
        ...
