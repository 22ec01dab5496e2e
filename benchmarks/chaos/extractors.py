"""Extractors for the purpose: cheap, deterministic, and revealing when anything is applied twice.

`Digests` depends on how the work was batched, and is never twice the same, on purpose: it says
which interactions one commit took, so that a second commit of any of them shows, also one of the
very same. `Statements` must not: its beliefs are compared with a fold from scratch.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from secrets import token_hex

import anyio
import numpy as np

from benchmarks.chaos.stopping import Point, stop_if_asked
from extractors.protocol import Extractor, LogSlice, Reading
from memory.embedding import Vectors
from memory.models import Candidate, Evidence, Interaction, InteractionKind, MemoryKind

DIMENSIONS = 8
SECONDS_A_BATCH = 0.01
"""What a small model would take; a pause that hits a worker hits it here often enough."""


class DigestEmbedder:
    """The first bytes of a text's digest: the same text, the same vector."""

    name = "digest-8"
    dimensions = DIMENSIONS

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.embed`."""
        digests = [hashlib.sha256(text.encode()).digest()[:DIMENSIONS] for text in texts]
        return np.array([list(d) for d in digests], dtype=np.float32).reshape(-1, DIMENSIONS) + 1

    async def aclose(self) -> None:
        """See `Embedder.aclose`."""


@dataclass(frozen=True)
class Digests:
    """One episode a batch, whose evidence is every interaction of the batch."""

    name: str = "digests"
    version: str = "1"
    reading: Reading = Reading.SESSION
    reads: frozenset[InteractionKind] = frozenset({InteractionKind.MESSAGE})
    makes: frozenset[MemoryKind] = frozenset({MemoryKind.EPISODE})

    async def extract(self, log: LogSlice) -> list[Candidate]:
        """See `Extractor.extract`."""
        first, last = log.interactions[0], log.interactions[-1]
        session = (first.scope.tenant, first.scope.user, first.session)
        stop_if_asked(Point.BATCH, {"session": session, "ordinal": last.ordinal})
        await anyio.sleep(SECONDS_A_BATCH)
        return [
            Candidate(
                MemoryKind.EPISODE,
                f"{first.session}: {first.ordinal} to {last.ordinal} #{token_hex(4)}",
                tuple(_quoted(i, 0, 12) for i in log.interactions),
                last.occurred_at,
            )
        ]


@dataclass(frozen=True)
class Statements:
    """“I live in X”, one value at a time, and “I speak X”, many."""

    name: str = "statements"
    version: str = "1"
    reading: Reading = Reading.SESSION
    reads: frozenset[InteractionKind] = frozenset({InteractionKind.MESSAGE})
    makes: frozenset[MemoryKind] = frozenset({MemoryKind.FACT})
    pattern: re.Pattern[str] = field(default=re.compile(r"I (live in|speak) (\w+)"))

    async def extract(self, log: LogSlice) -> list[Candidate]:
        """See `Extractor.extract`."""
        return self.read(log.interactions)

    def read(self, interactions: Sequence[Interaction]) -> list[Candidate]:
        """What these interactions say, whatever they are batched with."""
        return [
            Candidate(
                MemoryKind.FACT,
                match[0],
                (_quoted(i, match.start(), match.end()),),
                i.occurred_at,
                attribute="speaks" if match[1] == "speak" else "lives_in",
                value=match[2].casefold(),
                single_valued=match[1] != "speak",
                confidence=0.6,
            )
            for i in interactions
            for match in self.pattern.finditer(i.content)
        ]


def _quoted(interaction: Interaction, start: int, end: int) -> Evidence:
    quote = interaction.content[start:end]
    return Evidence(interaction.id, quote, start, end, interaction.occurred_at)


def extractors() -> list[Extractor]:
    """Both, in the order they run."""
    return [Digests(), Statements()]
