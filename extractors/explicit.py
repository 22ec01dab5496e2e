"""`explicit`: derives the memories that apps asked for from their notes in the log."""

from dataclasses import dataclass

from extractors.protocol import LogSlice, Reading
from memory import explicit_memories
from memory.models import Candidate, InteractionKind, MemoryKind
from memory.settings import Settings


@dataclass(frozen=True, slots=True)
class ExplicitExtractor:
    """Makes the memory that a note describes, and what a message's payload proposes."""

    name: str = explicit_memories.PROVENANCE.extractor
    version: str = explicit_memories.PROVENANCE.extractor_version
    reading: Reading = Reading.SESSION
    reads: frozenset[InteractionKind] = frozenset({InteractionKind.NOTE, InteractionKind.MESSAGE})
    makes: frozenset[MemoryKind] = frozenset(MemoryKind)

    async def extract(self, log: LogSlice) -> list[Candidate]:
        """Returns one candidate for each interaction that asks for a memory or proposes one."""
        found = (explicit_memories.candidate_of(interaction) for interaction in log.interactions)
        return [candidate for candidate in found if candidate is not None]


def create(_settings: Settings) -> ExplicitExtractor:
    return ExplicitExtractor()
