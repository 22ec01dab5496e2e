"""W3C trace context: which request an interaction came with. It is no part of the event."""

import re
from typing import NamedTuple

from memory.errors import InvalidInput

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Trace(NamedTuple):
    """`traceparent` and `tracestate` as the headers of these names have them."""

    parent: str | None = None
    state: str | None = None


NO_TRACE = Trace()


def is_traceparent(value: object) -> bool:
    """Whether it is one, of any version that reads like the first."""
    return isinstance(value, str) and _TRACEPARENT.fullmatch(value) is not None


def given(traceparent: str | None) -> Trace:
    """The trace that an app named.

    Raises:
        InvalidInput: it is no `traceparent`.
    """
    if traceparent is None:
        return NO_TRACE
    if not is_traceparent(traceparent):
        raise InvalidInput(f"not a W3C traceparent: {str(traceparent)[:80]!r}")
    return Trace(traceparent)
