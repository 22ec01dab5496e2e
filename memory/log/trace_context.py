"""W3C trace context: the request that an interaction came with. It is not part of the event."""

import re
from typing import NamedTuple

from memory.errors import InvalidInput

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Trace(NamedTuple):
    """`traceparent` and `tracestate`, as in the headers of these names."""

    parent: str | None = None
    state: str | None = None


NO_TRACE = Trace()


def is_traceparent(value: object) -> bool:
    """Returns whether `value` is one, of any version that reads like the first."""
    return isinstance(value, str) and _TRACEPARENT.fullmatch(value) is not None


def given(traceparent: str | None) -> Trace:
    """Returns the trace that an app named.

    Raises:
        InvalidInput: it is not a `traceparent`.
    """
    if traceparent is None:
        return NO_TRACE
    if not is_traceparent(traceparent):
        raise InvalidInput(f"not a W3C traceparent: {str(traceparent)[:80]!r}")
    return Trace(traceparent)
