"""Reads what a server's error says: which reason it stands for.

Statuses alone do not tell: 429 is both a rate and an empty account, 503 both loading and overload.
"""

import re
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
_FILTERED = frozenset(("content_filter", "content_policy_violation"))
_TOO_MANY, _NOT_SERVING, _SERVER_ERROR = 429, 503, 500
_REFUSING = frozenset((400, 413, 422, _SERVER_ERROR))
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
    return f"{error.status_code}: {error.message}"[:LONGEST]


def reason_of(error: "APIStatusError") -> Reason:
    """Returns the reason that an error stands for."""
    status = error.status_code
    said = f"{error.code or ''} {error.type or ''} {error.message}"[:_READ]
    if error.code in _FILTERED:
        return Reason.FILTERED
    if status in _REFUSING and _TOO_LONG.search(said):
        return Reason.UNSUPPORTED if _LIMIT_TOO_LARGE.search(said) else Reason.TOO_LONG
    if status == _TOO_MANY and _QUOTA.search(said):
        return Reason.QUOTA_SPENT
    if status == _NOT_SERVING and _LOADING.search(said):
        return Reason.LOADING
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return Reason.OVERLOADED if status >= _SERVER_ERROR else Reason.UNSUPPORTED
