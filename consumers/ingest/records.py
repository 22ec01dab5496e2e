"""What a record of the topic turns into: an interaction on its way, or a reason why not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from memory.log.envelope import Incoming
from memory.log.trace_context import Trace


class Record(Protocol):
    """A record as kafka-python hands it over; `timestamp` in milliseconds since 1970, or -1."""

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


class Reason(StrEnum):
    """Why a message is a dead letter."""

    OVERSIZE = "oversize"
    NOT_JSON = "not_json"
    UNKNOWN_VERSION = "unknown_version"
    INVALID = "invalid"
    WRONG_KEY = "wrong_key"
    FUTURE = "future"
    CONFLICT = "conflict"
    NO_VALUE = "no_value"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class RecordOwner:
    """What could be told of a message that was not accepted: whose it is, and its id."""

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

    row: how it is staged, but for its number in the batch.
    """

    record: Record
    incoming: Incoming
    trace: Trace
    row: bytes

    def rejected(self, reason: Reason, detail: str) -> Rejected:
        """The same message as a dead letter."""
        interaction = self.incoming.interaction
        scope = interaction.scope
        whose = RecordOwner(scope.tenant, scope.user, scope.session, interaction.id)
        return Rejected(self.record, reason, detail, whose)


def record_time(record: Record) -> datetime | None:
    """When the broker, or the producer, says the record was written; None where nobody did."""
    if record.timestamp < 0:
        return None
    return datetime.fromtimestamp(record.timestamp / 1000, UTC)


class Unreadable(Exception):
    """A record cannot be applied, and why."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
