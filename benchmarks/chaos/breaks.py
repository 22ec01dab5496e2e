"""Deliberate faults in the product, one at a time: what the checks must be able to see.

Each replaces a statement or a method of the running process; the product has no switch for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from memory import queries


@dataclass(frozen=True)
class Break:
    """A fault, and the checks of which at least one must see it."""

    what: str
    apply: Callable[[], None]
    seen_by: frozenset[str]


def replace_in(name: str, old: str, new: str) -> None:
    """Replaces part of a named statement.

    Raises:
        ValueError: the statement does not hold `old` exactly once, so nothing would be broken.
    """
    text = queries.statement(name)
    if text.count(old) != 1:
        raise ValueError(f"{name!r} holds {old!r} {text.count(old)} times, not once")
    broken = dict(queries.load()) | {name: text.replace(old, new)}
    queries.load = lambda: broken  # type: ignore[assignment]


def _no_lease_token() -> None:
    replace_in("long_term.advance", "AND (%(lease)s::uuid IS NULL OR lease_token = %(lease)s)", "")


BREAKS: Mapping[str, Break] = {
    "no-lease-token": Break(
        "a commit of memories does not ask whether the lease is still its own",
        _no_lease_token,
        frozenset({"each_interaction_is_extracted_once"}),
    ),
}
