"""Every field of the envelope goes all the way: over the bus, into the log and back out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from consumers.ingest.reading import Reader
from consumers.ingest.records import Accepted
from consumers.ingest.store import Batch, IngestStore, OffsetRange, TopicId
from memory.bus.topics import key_of
from memory.client import MemoryClient
from memory.log.envelope import content_hash, from_json, to_json
from memory.log.fields import COLUMNS, FIELDS, EnvelopeFields, values_of
from memory.models import Interaction, InteractionKind, Role, Scope
from memory.settings import Settings

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SCOPE = Scope("northwind", "ana", "scout", "s1")

EVERY = Interaction(
    scope=SCOPE,
    id="m1",
    kind=InteractionKind.TOOL_RESULT,
    role=Role.TOOL,
    content="3 flats 🏠\tand a\\tower",
    occurred_at=NOON,
    payload={"flats": [{"rooms": 2, "warm": 1100.5}], "more": None},
    actor="Flat search",
    private=True,
    source="import",
)
"""Every field has a value, and none of them its default: a new field is to be given one here."""

OTHERWISE: dict[str, Any] = {
    "kind": InteractionKind.RETRIEVAL,
    "role": Role.SYSTEM,
    "content": "4 flats",
    "payload": {"flats": []},
    "occurred_at": NOON.replace(hour=13),
    "private": False,
}
"""Another value of each field that is not a plain text."""

NOT_SENT = {
    "ordinal", "position", "recorded_at", "content_hash", "traceparent", "tracestate",
    "retracted_at",
}  # fmt: skip
"""Columns of `interactions` that the log fills in, or that travel beside the envelope."""


def changed(name: str) -> Interaction:
    """EVERY with another value of one field."""
    (attribute,) = (field.attribute for field in FIELDS if field.name == name)
    part, _, of_scope = attribute.partition(".")
    value = OTHERWISE.get(name, f"another {name}")
    if of_scope:
        return replace(EVERY, scope=replace(SCOPE, **{of_scope: value}))
    return replace(EVERY, **{part: value})


def test_every_field_has_a_value_to_be_told_by() -> None:
    values = dict(zip((f.name for f in FIELDS), values_of(FIELDS)(EVERY), strict=True))
    for name, declared in EnvelopeFields.model_fields.items():
        if name != "v":
            assert values[name] not in (declared.get_default(call_default_factory=True), None), name


def test_the_fields_are_the_columns_that_a_sender_fills(superuser: psycopg.Connection) -> None:
    rows = superuser.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = 'memory' AND table_name = 'interactions'"
    )
    filled = {*(field.column for field in FIELDS), "utc_offset"}  # which occurred_at carries
    assert {name for (name,) in rows} - NOT_SENT == filled
    assert sorted(("tenant_id", "user_id", *COLUMNS)) == sorted(filled)


@pytest.mark.parametrize("name", [field.name for field in FIELDS])
def test_what_is_of_the_event_counts_in_its_hash(name: str) -> None:
    (identity,) = (field.identity for field in FIELDS if field.name == name)
    assert (content_hash(changed(name)) != content_hash(EVERY)) is identity


@dataclass(frozen=True)
class Message:
    """A record of a topic, with nothing beside its envelope."""

    key: bytes
    value: bytes
    partition: int = 0
    offset: int = 0
    timestamp: int = -1
    headers: Sequence[tuple[str, bytes | None]] = ()


def over_the_bus(url: str, settings: Settings, sent: Interaction) -> None:
    """Applies it as the message of a topic that it would be."""
    message = Message(key_of(sent.scope), to_json(sent).encode())
    accepted = Reader("interactions", now=lambda: NOON).read(message)
    assert isinstance(accepted, Accepted)
    topic = TopicId("cluster", "topic", "interactions")
    with IngestStore.open(url, settings) as store:
        epoch = store.take(topic, [0], "test")[0].epoch
        store.begin(topic, {0: epoch}, {0: 0})
        store.apply(topic, Batch.of([OffsetRange(0, epoch, 0, 1, [accepted])]))


@pytest.mark.parametrize("way", ["alone", "among others", "over the bus"])
def test_every_field_reaches_the_log(
    way: str, client: MemoryClient, url: str, settings: Settings
) -> None:
    if way == "over the bus":
        over_the_bus(url, settings, EVERY)
    else:
        others = [replace(EVERY, id="m2")] if way == "among others" else []
        client.record_many([EVERY, *others])
    read = client.interactions(SCOPE)[0]
    assert replace(read, ordinal=0, position=0, recorded_at=None) == EVERY


def test_a_table_of_somebody_else_named_as_ours_gets_no_message(
    client: MemoryClient, url: str, settings: Settings
) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.staged AS SELECT * FROM memory.interactions")
        connection.execute("GRANT ALL ON public.staged TO PUBLIC")
        over_the_bus(url, settings, EVERY)
        assert connection.execute("SELECT count(*) FROM public.staged").fetchone() == (0,)
    assert client.interactions(SCOPE)[0].id == EVERY.id


def test_every_field_travels() -> None:
    assert from_json(to_json(EVERY)) == EVERY
