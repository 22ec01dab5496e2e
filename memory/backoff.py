"""Computes how long a loop waits before it tries again."""

from random import uniform


def backoff(attempt: int, *, first: float, longest: float) -> float:
    """Returns the seconds before another try after `attempt` earlier ones: doubling, with jitter.

    The wait is at most `longest`, and at least half of its value without jitter, so that many
    clients of a failed server do not return at once.
    """
    return min(longest, first * 2.0 ** min(attempt, 62)) * uniform(0.5, 1.0)  # noqa: S311


def spread(seconds: float) -> float:
    """Returns a little more than `seconds`, so that loops that began together drift apart."""
    return seconds * uniform(1.0, 1.1)  # noqa: S311
