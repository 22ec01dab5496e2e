"""Interactions as the log's statements take them, and as its rows give them back."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from memory.log.envelope import Incoming
from memory.log.fields import FIELDS, OPTIONAL, TEXTS, values_of
from memory.log.trace_context import Trace
from memory.models import (
    Interaction,
    InteractionKind,
    Role,
    Scope,
    at_offset,
    offset_minutes,
)

_texts_of = values_of((*TEXTS, *OPTIONAL))
_TEXT_NAMES = tuple(field.name for field in (*TEXTS, *OPTIONAL))
_TEXT_COLUMNS = tuple(field.column for field in (*TEXTS, *OPTIONAL))


def append_one_params(item: Incoming, session_ttl: float) -> dict[str, Any]:
    """The parameters of `log.append_one`, but for tenant and user."""
    interaction = item.interaction
    params: dict[str, Any] = dict(zip(_TEXT_NAMES, _texts_of(interaction), strict=True))
    params["private"] = interaction.private
    params["payload"] = item.payload
    params["occurred_at"] = interaction.occurred_at
    params["utc_offset"] = offset_minutes(interaction.occurred_at)
    params["hash"] = item.content_hash
    params["digest"] = id_digest(interaction.id)
    params["session_ttl"] = session_ttl
    return params


def append_params(incoming: Sequence[Incoming], trace: Trace, session_ttl: float) -> dict[str, Any]:
    """The parameters of `log.append` for interactions of one user."""
    # One JSON text, because psycopg writes an array element by element.
    rows = [_incoming_row(item.interaction, item.content_hash) for item in incoming]
    return {
        "incoming": json.dumps(rows, ensure_ascii=False),
        "traceparent": trace.parent,
        "tracestate": trace.state,
        "session_ttl": session_ttl,
    }


def _incoming_row(interaction: Interaction, content_hash: bytes) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(_TEXT_COLUMNS, _texts_of(interaction), strict=True))
    row["private"] = interaction.private
    row["payload"] = dict(interaction.payload)
    row["occurred_at"] = interaction.occurred_at.isoformat()
    row["utc_offset"] = offset_minutes(interaction.occurred_at)
    row["content_hash"] = f"\\x{content_hash.hex()}"
    return row


def id_digest(interaction_id: str) -> bytes:
    """What a tombstone keeps of a forgotten id."""
    return hashlib.sha256(interaction_id.encode()).digest()


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


_, *_ATTRIBUTES = (field.name for field in fields(Interaction))  # all but the scope
_COLUMN_OF = {field.attribute: field.column for field in FIELDS}
_columns_of = itemgetter(*(_COLUMN_OF.get(name, name) for name in _ATTRIBUTES))
_OCCURRED_AT = _ATTRIBUTES.index("occurred_at")
_CONVERTED: tuple[tuple[int, Callable[[Any], Any]], ...] = (
    (_ATTRIBUTES.index("kind"), InteractionKind),
    (_ATTRIBUTES.index("role"), Role),
    (_ATTRIBUTES.index("recorded_at"), _in_utc),
)


def interaction_of(row: Mapping[str, Any]) -> Interaction:
    """One row of `interactions` as a value."""
    values = [*_columns_of(row)]
    for n, made in _CONVERTED:
        values[n] = made(values[n])
    values[_OCCURRED_AT] = at_offset(values[_OCCURRED_AT], row["utc_offset"] or 0)
    scope = Scope(row["tenant_id"], row["user_id"], row["agent_id"], row["session_id"])
    return Interaction(scope, *values)
