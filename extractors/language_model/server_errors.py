"""Reads what a server's error says: which reason it stands for.

Statuses alone do not tell: 429 is both a rate and an empty account, 503 both loading and overload.
"""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from extractors.language_model.reasons import Reason

if TYPE_CHECKING:
    from openai import APIStatusError

LONGEST = 500
"""Characters of a server's error that are kept."""

_READ = 2_000
"""Characters of a server's error that are read."""

_TOO_LONG = re.compile(
    r"context.?(?:length|size|window)|exceed\w* .{0,40}context|too many (?:input )?tokens"
    r"|(?:prompt|input) (?:is|was) too (?:long|large)|maximum (?:context|input)",
    re.IGNORECASE,
)
_LIMIT_TOO_LARGE = re.compile(r"max_(?:completion_)?tokens\W.{0,40}too large", re.IGNORECASE)
_QUOTA = re.compile(
    r"insufficient.{0,3}(?:quota|balance|credit|funds)|billing|payment required"
    r"|exceeded your current quota",
    re.IGNORECASE,
)
_LOADING = re.compile(r"\bloading\b|not.{0,3}ready|warming", re.IGNORECASE)
_NOT_READ = re.compile(r"output that does not match|failed to parse (?:output|the model)")
_FILTERED = frozenset(("content_filter", "content_policy_violation"))
_SERVER_ERROR = 500
_REFUSING = frozenset((400, 413, 422, _SERVER_ERROR))
_BY_WORDS = (
    (429, _QUOTA, Reason.QUOTA_SPENT),
    (500, _NOT_READ, Reason.UNREADABLE),
    (503, _LOADING, Reason.LOADING),
)
_BY_STATUS = {
    401: Reason.KEY_REFUSED,
    402: Reason.QUOTA_SPENT,
    403: Reason.KEY_REFUSED,
    404: Reason.UNKNOWN_MODEL,
    408: Reason.TIMED_OUT,
    413: Reason.TOO_LONG,
    429: Reason.RATE_LIMITED,
    504: Reason.TIMED_OUT,
}


def told(error: "APIStatusError") -> str:
    """Returns the status and the beginning of a server's words."""
    return f"{error.status_code}: {words(error)}"[:LONGEST]


def words(error: "APIStatusError") -> str:
    """Returns what a server says: the error's message, and all that it sent where none is in it.

    Some servers send `{"error": "…"}` or `{"detail": …}`, of which the SDK makes no message.
    """
    sent = error.body
    if not sent or (isinstance(sent, Mapping) and sent.get("message")):
        return error.message
    return f"{error.message} - {sent if isinstance(sent, str) else json.dumps(sent)}"


def limit_too_large(error: "APIStatusError") -> bool:
    """Whether the limit for the answer is too large for what is asked, though not for all else."""
    return _LIMIT_TOO_LARGE.search(words(error)[:_READ]) is not None


def reason_of(error: "APIStatusError") -> Reason:
    """Returns the reason that an error stands for."""
    status = error.status_code
    said = f"{error.code or ''} {error.type or ''} {words(error)}"[:_READ]
    if error.code in _FILTERED:
        return Reason.FILTERED
    if status in _REFUSING and _TOO_LONG.search(said):
        return Reason.UNSUPPORTED if limit_too_large(error) else Reason.TOO_LONG
    for named, pattern, reason in _BY_WORDS:
        if status == named and pattern.search(said):
            return reason
    other = Reason.OVERLOADED if status >= _SERVER_ERROR else Reason.UNSUPPORTED
    return _BY_STATUS.get(status, other)
