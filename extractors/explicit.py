"""`explicit`: what apps asked to be remembered, derived from the log like everything else."""

from dataclasses import dataclass

from extractors.protocol import LogSlice, Reading
from memory import explicit_memories
from memory.models import Candidate, InteractionKind, MemoryKind
from memory.settings import Settings


@dataclass(frozen=True, slots=True)
class ExplicitExtractor:
    """Makes the memory that an interaction's payload spells out."""

    name: str = explicit_memories.PROVENANCE.extractor
    version: str = explicit_memories.PROVENANCE.extractor_version
    reading: Reading = Reading.SESSION
    reads: frozenset[InteractionKind] = frozenset({InteractionKind.MESSAGE})
    makes: frozenset[MemoryKind] = frozenset(MemoryKind)

    async def extract(self, log: LogSlice) -> list[Candidate]:
        """One candidate for each interaction that asks for one."""
        found = (explicit_memories.candidate_of(interaction) for interaction in log.interactions)
        return [candidate for candidate in found if candidate is not None]


def create(_settings: Settings) -> ExplicitExtractor:
    """The extractor, for the entry point."""
    return ExplicitExtractor()
