"""How long a loop waits before it tries again."""

from random import uniform


def backoff(attempt: int, *, first: float, longest: float) -> float:
    """Seconds before another try after `attempt` earlier ones: doubling, and never two alike.

    At most `longest`, at least half of what it would be without chance, so that many who lost the
    same server do not come back at once.
    """
    return min(longest, first * 2.0 ** min(attempt, 62)) * uniform(0.5, 1.0)  # noqa: S311


def spread(seconds: float) -> float:
    """A wait a little longer than `seconds`, so that many who began together do not stay so."""
    return seconds * uniform(1.0, 1.1)  # noqa: S311
