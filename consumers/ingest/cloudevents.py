"""Reads CloudEvents 1.0 over Kafka, in structured and binary mode, as fields of the envelope.

`data` is a JSON object with the envelope's own fields. The event supplies the missing ones: `time`
is when it occurred, `source` the sender, `subject` the session, and the extensions `tenant`,
`user`, `agent`, `session`, `kind` and `role` the fields of these names. Source and id together
identify an event, so both make the interaction id.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from consumers.ingest.records import Reason, Record, Unreadable, parsed
from memory.log.plain_json import sized
from memory.models import MAX_NAME_CHARACTERS

_PREFIX = "ce_"
_STRUCTURED = "application/cloudevents+json"
_BATCH = "application/cloudevents-batch"
_EXTENSIONS = ("tenant", "user", "agent", "session", "kind", "role")


def attributes_of(record: Record) -> dict[str, Any] | None:
    """Returns the event with its `data`, in either mode, or None if it is not a CloudEvent.

    Raises:
        Unreadable: the record claims to be one and cannot be read as one.
    """
    headers = dict(record.headers)
    kind = _text(headers.get("content-type")).partition(";")[0].strip().lower()
    if kind == _STRUCTURED:
        event = parsed(record.value or b"")
        if not isinstance(event, dict):
            raise Unreadable(Reason.INVALID, "a structured CloudEvent must be a JSON object")
    elif kind.startswith(_BATCH):
        raise Unreadable(Reason.INVALID, "a batch of CloudEvents in one record cannot be read")
    elif "ce_specversion" in headers:
        event = {
            name.removeprefix(_PREFIX): _text(value)
            for name, value in headers.items()
            if name.startswith(_PREFIX)
        }
        event["data"] = parsed(record.value or b"")
    else:
        return None
    if event.get("specversion") != "1.0":
        raise Unreadable(
            Reason.UNKNOWN_VERSION,
            f"specversion of a CloudEvent must be 1.0, got {sized(event.get('specversion'))}",
        )
    return event


def envelope_fields(event: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the envelope's fields that the event carries.

    Raises:
        Unreadable: `data` is not a JSON object, or the event has no id or source.
    """
    data = event.get("data")
    if not isinstance(data, dict):
        raise Unreadable(Reason.INVALID, "data of a CloudEvent must be a JSON object")
    for name in ("id", "source"):
        if not isinstance(event.get(name), str) or not event[name]:
            got = sized(event.get(name))
            raise Unreadable(Reason.INVALID, f"a CloudEvent needs {name}, got {got}")
    filled = {name: event[name] for name in _EXTENSIONS if name in event}
    if "session" not in filled and "subject" in event:
        filled["session"] = event["subject"]
    if "time" in event:
        filled["occurred_at"] = event["time"]
    filled["id"] = _known_by(event["source"], event["id"])
    filled["source"] = _short(event["source"])
    return {**filled, **data}


def _known_by(source: str, event_id: str) -> str:
    whole = f"{source}#{event_id}"
    return whole if len(whole) <= MAX_NAME_CHARACTERS else _digest(whole)


def _short(source: str) -> str:
    return source if len(source) <= MAX_NAME_CHARACTERS else _digest(source)


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode(errors='replace')).hexdigest()}"


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")
