"""Defines the results of reading a record: an accepted interaction, or a reason against it.

A reason's detail names the field, the kind of fault, types and lengths, and the ids of tenant, user
and interaction. It never quotes what a message holds: details stand in lists, logs and headers.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from memory.log.envelope import Incoming
from memory.log.trace_context import Trace


class Record(Protocol):
    """A record as kafka-python returns it; `timestamp` in milliseconds since 1970, or -1."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


@dataclass(frozen=True, slots=True)
class RecordCopy:
    """A record of our own making: a dead letter as it came, or one that is masked."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class Reason(StrEnum):
    """The reason why a message is a dead letter."""

    OVERSIZE = "oversize"
    NOT_JSON = "not_json"
    UNKNOWN_VERSION = "unknown_version"
    INVALID = "invalid"
    WRONG_KEY = "wrong_key"
    FUTURE = "future"
    CONFLICT = "conflict"
    NO_VALUE = "no_value"
    REFUSED = "refused"
    UNLISTED_TENANT = "unlisted_tenant"
    SUSPENDED_TENANT = "suspended_tenant"
    OVER_QUOTA = "over_quota"
    SENSITIVE = "sensitive"


@dataclass(frozen=True, slots=True)
class RecordOwner:
    """The owner and the id of a rejected message, as far as they could be read."""

    tenant: str | None = None
    user: str | None = None
    session: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that cannot be applied, to be kept as it is."""

    record: Record
    reason: Reason
    detail: str
    whose: RecordOwner = RecordOwner()


class Accepted(NamedTuple):
    """A message that can be applied, with the W3C trace context it came with.

    row: its staged row, without its number in the batch.
    """

    record: Record
    incoming: Incoming
    trace: Trace
    row: bytes

    def rejected(self, reason: Reason, detail: str) -> Rejected:
        interaction = self.incoming.interaction
        scope = interaction.scope
        whose = RecordOwner(scope.tenant, scope.user, scope.session, interaction.id)
        return Rejected(self.record, reason, detail, whose)


def record_time(record: Record) -> datetime | None:
    """Returns when the broker or producer says the record was written; None if neither does."""
    if record.timestamp < 0:
        return None
    return datetime.fromtimestamp(record.timestamp / 1000, UTC)


class Unreadable(Exception):
    """A record cannot be applied, for the given reason."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def parsed(value: bytes) -> Any:
    """Returns what a record's value says as JSON.

    Raises:
        Unreadable: it is not JSON in UTF-8, or nested too deeply.
    """
    try:
        return json.loads(value)
    except RecursionError as error:
        raise Unreadable(Reason.INVALID, "it is nested too deeply to be read") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Unreadable(Reason.NOT_JSON, f"not JSON from {place} on") from error
    except UnicodeDecodeError as error:
        raise Unreadable(Reason.NOT_JSON, f"not UTF-8 from byte {error.start} on") from error
    except ValueError as error:  # an integer of more digits than Python converts
        raise Unreadable(Reason.NOT_JSON, "it holds a number that is too long") from error
