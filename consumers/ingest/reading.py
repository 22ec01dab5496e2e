"""Reads a record: its envelope, its owner, and whether it may enter the log."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from consumers.ingest import cloudevents
from consumers.ingest.mapping import FieldMapping
from consumers.ingest.records import (
    Accepted,
    Reason,
    Record,
    RecordOwner,
    Rejected,
    Unreadable,
    parsed,
)
from consumers.ingest.staging import staged_row
from memory.bus.topics import key_of
from memory.errors import InteractionTooLarge, InvalidInteraction
from memory.log.envelope import (
    MAX_AHEAD,
    MAX_ENVELOPE_BYTES,
    Incoming,
    incoming_from_json,
)
from memory.log.fields import VERSION
from memory.log.plain_json import sized
from memory.log.trace_context import NO_TRACE, Trace, is_traceparent
from memory.models import MAX_NAME_CHARACTERS, Interaction, Scope

MAX_TRACESTATE = 512
"""Characters of `tracestate` that every system must pass on, as W3C recommends."""

_NAMES = ("tenant", "user", "session", "id")


def _now() -> datetime:
    return datetime.now(UTC)


class Reader:
    """Turns records of a topic into interactions, or into dead letters with a reason.

    Unless the mapping says otherwise, a record must have the key of its tenant and user: nothing
    else keeps a user's messages in one partition, and so in order.
    """

    def __init__(
        self,
        topic: str,
        mapping: FieldMapping | None = None,
        *,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._topic = topic
        self._mapping = mapping
        self._any_key = mapping is not None and mapping.keys == "any"
        self._now = now

    def read(self, record: Record) -> Accepted | Rejected:
        """Returns the record as accepted, or as a dead letter."""
        try:
            incoming, trace = self._incoming(record)
            self._check(record, incoming.interaction)
        except Unreadable as fault:
            return Rejected(record, fault.reason, _storable(str(fault)), self._whose(record))
        traced = _trace_context(record, trace) if record.headers or trace else NO_TRACE
        return Accepted(record, incoming, traced, staged_row(incoming, traced))

    def _incoming(self, record: Record) -> tuple[Incoming, Mapping[str, Any]]:
        """The record's interaction, and the attributes beside it that may hold a trace context."""
        if record.value is None:
            raise Unreadable(Reason.NO_VALUE, "the record has no value: it deletes nothing here")
        if len(record.value) > MAX_ENVELOPE_BYTES:
            raise Unreadable(
                Reason.OVERSIZE,
                f"the value has {len(record.value):,} bytes, the limit is {MAX_ENVELOPE_BYTES:,}",
            )
        event = cloudevents.attributes_of(record) if record.headers else None
        if self._mapping is None and event is None:
            return _refusing(record.value), {}
        if event is None:
            event = _json_object(record.value)
        fields = (
            cloudevents.envelope_fields(event)
            if self._mapping is None
            else self._mapping.fields_of(event, record, self._topic)
        )
        return _refusing(json.dumps({"v": VERSION, **fields})), event

    def _check(self, record: Record, interaction: Interaction) -> None:
        if interaction.occurred_at > self._now() + MAX_AHEAD:
            raise Unreadable(
                Reason.FUTURE,
                f"occurred_at {interaction.occurred_at.isoformat()} is more than {MAX_AHEAD} ahead"
                " of the clock",
            )
        if self._any_key:
            return
        scope = interaction.scope
        if record.key != _key(scope.tenant, scope.user):
            raise Unreadable(
                Reason.WRONG_KEY,
                f"the key is {sized(record.key)}, and for tenant {scope.tenant!r} and user"
                f" {scope.user!r} it must be {_key(scope.tenant, scope.user)!r}",
            )

    def _whose(self, record: Record) -> RecordOwner:
        """The owner, from the message or its key, so that forgetting can reach a dead letter."""
        found: dict[str, str] = {}
        with suppress(Unreadable, RecursionError):
            event = cloudevents.attributes_of(record) if record.headers else None
            event = _json_object(record.value or b"") if event is None else event
            fields = event
            if self._mapping is not None:
                fields = self._mapping.names_of(event, record, self._topic)
            elif event.get("specversion"):
                fields = cloudevents.envelope_fields(event)
            found = {name: fields[name] for name in _NAMES if _is_name(fields.get(name))}
        if "tenant" not in found or "user" not in found:
            found |= _named_by(record.key)
        return RecordOwner(**{name: _storable(value) for name, value in found.items()})


def _refusing(value: str | bytes) -> Incoming:
    try:
        return incoming_from_json(value)
    except InteractionTooLarge as error:
        raise Unreadable(Reason.OVERSIZE, error.fault) from error
    except InvalidInteraction as error:
        raise Unreadable(_reason(error), error.fault) from error
    except RecursionError as error:
        raise Unreadable(Reason.INVALID, "it is nested too deeply to be read") from error


def _reason(error: InvalidInteraction) -> Reason:
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        faults = cause.errors(include_url=False)
        if any(fault["type"] == "json_invalid" for fault in faults):
            return Reason.NOT_JSON
        if any(fault["loc"] == ("v",) for fault in faults):
            return Reason.UNKNOWN_VERSION
    return Reason.INVALID


def _json_object(value: bytes) -> dict[str, Any]:
    found = parsed(value)
    if not isinstance(found, dict):
        raise Unreadable(Reason.INVALID, f"must be a JSON object, got {sized(found)}")
    return found


@lru_cache(maxsize=10_000)
def _key(tenant: str, user: str) -> bytes:
    return key_of(Scope(tenant, user))


def _named_by(key: bytes | None) -> dict[str, str]:
    """Tenant and user of a key, if it is one of ours."""
    with suppress(ValueError, RecursionError):
        match json.loads(key or b""):
            case [tenant, user] if _is_name(tenant) and _is_name(user):
                return {"tenant": tenant, "user": user}
    return {}


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME_CHARACTERS


def _trace_context(record: Record, event: Mapping[str, Any]) -> Trace:
    """The trace context, from the headers or an event's extension of that name."""
    found = {name: event.get(name) for name in ("traceparent", "tracestate")}
    for name, value in record.headers:
        if name in found and value is not None:
            found[name] = value.decode("ascii", errors="replace")
    parent, state = found["traceparent"], found["tracestate"]
    if not is_traceparent(parent):
        return NO_TRACE
    sound = isinstance(state, str) and state.isprintable() and state.isascii()
    return Trace(parent, state if sound and len(state or "") <= MAX_TRACESTATE else None)


def _storable(text: str) -> str:
    """The text without characters that Postgres cannot store."""
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()
