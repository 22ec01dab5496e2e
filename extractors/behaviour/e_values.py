"""Tests that stay valid however often they are checked; `behaviour` decides with them.

Blocks. Within a block of n judged items, n₁ of which carry an attribute's value, let k be accepted.
If the value has no bearing on acceptance, every arrangement of the k acceptances over the n items
is equally likely, so X, the accepted items among the n₁, is hypergeometric, whatever the user's
rate of acceptance is and however it drifts between blocks. If it multiplies the odds of
acceptance by e^δ, X follows Fisher's noncentral hypergeometric distribution (Fisher 1935, J. Roy.
Stat. Soc. 98; with k = 1 this is McFadden's conditional logit, 1974). The ratio of the two has
expectation 1 under "no bearing": a conditional E-variable, whose product over blocks is a test
martingale (block-wise two-sample E-variables: Turner, Ly & Grünwald 2024, J. Stat. Plan. Infer.
230; conditional ones: Hao, Grünwald, Lardy, Long & Adams 2024, Sankhya A 86).

Mixture. Bets are spread over a grid of δ, and after every block the share `SWITCHING` of the wealth
is spread anew as at the start (fixed share: Herbster & Warmuth 1998, Machine Learning 32). Each bet
is placed before its block is seen, so the wealth stays a martingale, and by Ville's inequality
(1939) it ever reaches c with probability at most 1/c. Because bets switch, the weights are also a
filter: they give the probability of each δ *now*, and so show when the evidence turns.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import comb, exp, inf, log

GRID = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""Log odds ratios that are bet on; ±1 is about 62 % v 38 %, ±2 is 73 % v 27 %, ±3 82 % v 18 %."""

PRIOR = (2 / 13, 2 / 13, 2 / 13, 1 / 13, 2 / 13, 2 / 13, 2 / 13)
"""The first bet, spread over `GRID`; the effect 0 keeps some wealth out of the game."""

SWITCHING = 0.01
"""The share of the wealth that is spread again after each block: an effect is expected to last
about 100 blocks. A higher share notices a turn sooner, and withdraws true beliefs more often."""


class EffectProcess:
    """The wealth won so far by betting that one value of one attribute matters to one user.

    `log_e` is the natural logarithm of the e-value; it starts at 0 and may be read at any time.
    """

    __slots__ = ("log_e", "weights")

    def __init__(self) -> None:
        self.log_e = 0.0
        self.weights: tuple[float, ...] = PRIOR

    def update(self, size: int, carrying: int, accepted: int, both: int) -> None:
        """Settles the bet on one block: items, those with the value, those accepted, those both.

        A block in which all or none carry the value, or all or none are accepted, changes nothing.
        """
        if carrying in (0, size) or accepted in (0, size):
            return
        ratios = likelihood_ratios(size, carrying, accepted, both)
        won = [weight * ratio for weight, ratio in zip(self.weights, ratios, strict=True)]
        total = sum(won)
        self.log_e += log(total)
        kept = (1.0 - SWITCHING) / total
        self.weights = tuple(
            kept * share + SWITCHING * prior for share, prior in zip(won, PRIOR, strict=True)
        )

    @property
    def probability_positive(self) -> float:
        """The probability, by the filter, that the value raises acceptance now."""
        return sum(weight for weight, effect in zip(self.weights, GRID, strict=True) if effect > 0)

    @property
    def probability_negative(self) -> float:
        """The probability, by the filter, that the value lowers acceptance now."""
        return sum(weight for weight, effect in zip(self.weights, GRID, strict=True) if effect < 0)


@lru_cache(maxsize=65_536)
def likelihood_ratios(size: int, carrying: int, accepted: int, both: int) -> tuple[float, ...]:
    """Returns for each δ of `GRID` the noncentral over the central probability of X = `both`.

    The combinatorial factor of the observed arrangement cancels, so with w(x) the central
    probability of X = x the ratio is e^(δ·both) / Σ_x w(x)·e^(δ·x).
    """
    low, high = max(0, carrying + accepted - size), min(carrying, accepted)
    arrangements = comb(size, accepted)
    central = [
        comb(carrying, x) * comb(size - carrying, accepted - x) / arrangements
        for x in range(low, high + 1)
    ]
    return tuple(
        1.0 / sum(w * exp(effect * (x - both)) for x, w in enumerate(central, start=low))
        for effect in GRID
    )


def e_bh_log_threshold(log_e_values: Iterable[float], tested: int, level: float) -> float:
    """Returns the smallest log e-value that e-BH rejects at `level` of `tested` hypotheses, or ∞.

    e-BH (Wang & Ramdas 2022, J. Roy. Stat. Soc. B 84) rejects the r largest e-values for the
    largest r such that the r-th is at least tested/(r·level). Its false-discovery rate is at most
    `level` under any dependence; hypotheses left out of `log_e_values` count as not rejected.
    """
    threshold = inf
    for rank, log_e in enumerate(sorted(log_e_values, reverse=True), start=1):
        if log_e >= log(tested / (rank * level)):
            threshold = log_e
    return threshold


def pooled_difference(strata: Iterable[Sequence[int]]) -> float:
    """Returns the Mantel-Haenszel difference of two rates over strata; 0 if no stratum has both.

    Each stratum is (accepted with, judged with, accepted without, judged without); the weights are
    those of Greenland & Robins 1985, Biometrics 41.
    """
    difference = weight = 0.0
    for accepted_with, judged_with, accepted_without, judged_without in strata:
        judged = judged_with + judged_without
        if judged_with and judged_without:
            difference += (accepted_with * judged_without - accepted_without * judged_with) / judged
            weight += judged_with * judged_without / judged
    return difference / weight if weight else 0.0
