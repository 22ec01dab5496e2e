"""Retrieval metrics over ranked items that each cite interactions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, slots=True)
class Ranked:
    """One question's evidence and its answer: for each item what it cites and its tokens.

    quoted: of what each item cites, what it quotes at least half of.
    """

    evidence: frozenset[str]
    cited: tuple[frozenset[str], ...]
    tokens: tuple[int, ...]
    seconds: float = 0.0
    quoted: tuple[frozenset[str], ...] = ()

    def strict(self) -> "Ranked":
        """The same answer, counted for what its items quote rather than cite."""
        return replace(self, cited=self.quoted)

    def found(self, k: int) -> frozenset[str]:
        """The evidence cited by the first `k` items."""
        return self.evidence & frozenset().union(*self.cited[:k])

    def recall(self, k: int) -> float:
        """Share of the evidence cited by the first `k` items."""
        return len(self.found(k)) / len(self.evidence)

    def complete(self, k: int) -> float:
        """1 if the first `k` items cite all the evidence."""
        return float(self.found(k) == self.evidence)

    def within(self, budget: int) -> int:
        """How many items from the top fit into `budget` tokens."""
        used = np.cumsum(self.tokens) if self.tokens else np.array([])
        return int(np.searchsorted(used, budget, side="right"))

    @property
    def reciprocal_rank(self) -> float:
        """1 / rank of the first item that cites evidence; 0 if none does."""
        ranks = [n for n, cited in enumerate(self.cited, 1) if cited & self.evidence]
        return 1 / ranks[0] if ranks else 0.0

    def ndcg(self, k: int) -> float:
        """nDCG@k (Järvelin & Kekäläinen 2002); an item is relevant if it cites new evidence."""
        seen: set[str] = set()
        gain = 0.0
        for n, cited in enumerate(self.cited[:k], 1):
            new = (cited & self.evidence) - seen
            seen |= new
            gain += bool(new) / math.log2(n + 1)
        ideal = sum(1 / math.log2(n + 1) for n in range(1, min(k, len(self.evidence)) + 1))
        return min(1.0, gain / ideal)


def interval(values: Sequence[float], seed: int = 0, rounds: int = 1000) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean (Efron 1979)."""
    sample = np.asarray(values, dtype=np.float64)
    picks = np.random.default_rng(seed).integers(0, len(sample), (rounds, len(sample)))
    low, high = np.percentile(sample[picks].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def proportion(successes: int, n: int) -> tuple[float, float]:
    """95 % interval of a share of independent trials (Wilson 1927); it holds at 0 and at all."""
    z = 1.959964
    share, spread = successes / n, z * z / n
    centre = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return (centre - half) / (1 + spread), (centre + half) / (1 + spread)
