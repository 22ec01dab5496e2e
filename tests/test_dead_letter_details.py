"""What the detail of a dead letter says: the field and the fault, and no word of the message."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from consumers.ingest.mapping import read_mapping
from consumers.ingest.reading import Reader
from consumers.ingest.records import Reason, RecordCopy, Rejected
from consumers.ingest.store import RowRefused, _rows_told_apart
from memory.bus.topics import key_of
from memory.log.envelope import MAX_CONTENT_BYTES
from memory.migrate import migrations
from tests.ingesting import ANA, MAPPING, written

QUOTED = "pin-4711"
SOUND: dict[str, Any] = {
    "v": 1,
    "id": "m1",
    "tenant": ANA.tenant,
    "user": ANA.user,
    "session": "monday",
    "content": QUOTED,
    "occurred_at": "2026-03-02T12:00:00Z",
}


def record(
    value: str, key: bytes | None = None, headers: Sequence[tuple[str, bytes | None]] = ()
) -> RecordCopy:
    return RecordCopy(0, 0, -1, key or key_of(ANA), value.encode(), headers)


def refused(read: object) -> Rejected:
    assert isinstance(read, Rejected)
    return read


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in SOUND.items() if name not in names}


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (without("id"), "id: Field required, got an object of 6 fields"),
        ({**without("id"), "interaction_id": QUOTED}, "id: "),
        ({**SOUND, "mood": QUOTED}, "mood: Extra inputs are not permitted, got text of 8 char"),
        ({**SOUND, f"my {QUOTED}": 1}, "a field of 11 characters: Extra inputs"),
        ({**SOUND, "content": [QUOTED]}, "content: Input should be a valid string, got an array"),
        ({**SOUND, "content": f"{QUOTED}\x00"}, "content holds a NUL character at 8"),
        ({**SOUND, "content": QUOTED * MAX_CONTENT_BYTES}, "content has 2,097,152 bytes"),
        ({**SOUND, "kind": QUOTED}, "kind: Input should be 'message'"),
        ({**SOUND, "role": QUOTED}, "role: Input should be 'user'"),
        ({**SOUND, "occurred_at": QUOTED}, "occurred_at: "),
        ({**SOUND, "occurred_at": f"2026-{QUOTED}"}, "occurred_at: "),
        ({**SOUND, "payload": {QUOTED: {"a": "\x00"}}}, "payload, 2 levels down, holds a NUL"),
        ({**SOUND, "payload": {f"{QUOTED}\x00": 1}}, "a key of payload holds a NUL"),
        ({**SOUND, "payload": QUOTED}, "payload: "),
        ({**SOUND, "private": QUOTED}, "private: "),
        ({**SOUND, "private": True}, "private needs an agent; interaction 'm1' has none"),
        ({**SOUND, "session": QUOTED * 30}, "session: String should have at most 200"),
        ([QUOTED], "envelope: Input should be an object, got an array of 1"),
        (QUOTED, "envelope: "),
    ],
)
def test_an_envelope_is_refused_by_field_without_its_words(value: object, names: str) -> None:
    letter = refused(Reader("t").read(record(json.dumps(value))))
    assert names in letter.detail
    assert QUOTED not in letter.detail


@pytest.mark.parametrize("value", [QUOTED, f'{{"content": "{QUOTED}', f'{{"{QUOTED}\\x"'])
def test_what_is_no_json_is_not_quoted(value: str) -> None:
    letter = refused(Reader("t").read(record(value)))
    assert letter.reason is Reason.NOT_JSON
    assert QUOTED not in letter.detail


def test_a_wrong_key_is_not_quoted_and_the_right_one_is_named() -> None:
    letter = refused(Reader("t").read(record(json.dumps(SOUND), key=QUOTED.encode())))
    assert letter.reason is Reason.WRONG_KEY
    assert "the key is 8 bytes" in letter.detail
    assert key_of(ANA).decode() in letter.detail
    assert QUOTED not in letter.detail


@pytest.mark.parametrize(
    "event",
    [
        {"specversion": QUOTED},
        {"specversion": "1.0", "id": [QUOTED], "source": "/crm"},
        {"specversion": "1.0", "id": "1", "source": "/crm", "data": QUOTED},
        {"specversion": "1.0", "id": "1", "source": "/crm", "data": {"content": [QUOTED]}},
    ],
)
def test_a_cloudevent_is_refused_without_its_words(event: dict[str, Any]) -> None:
    kind: list[tuple[str, bytes | None]] = [("content-type", b"application/cloudevents+json")]
    letter = refused(Reader("t").read(record(json.dumps(event), headers=kind)))
    assert QUOTED not in letter.detail


@pytest.mark.parametrize("changes", [{"ts": QUOTED}, {"side": QUOTED}])
def test_a_mapped_message_is_refused_without_its_words(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    text = MAPPING + 'role = { path = "side", values = { us = "assistant" } }\n'
    mapping = read_mapping(written(tmp_path, text))
    event = {"event": "1", "who": "ana", "text": "x", "ts": 1, "side": "us", **changes}
    letter = refused(Reader("t", mapping).read(record(json.dumps(event))))
    (path,) = changes
    assert letter.detail.startswith(f"{path} must be")
    assert QUOTED not in letter.detail


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"v": "1"},
        {"v": 2, "mood": QUOTED, "content": [QUOTED]},
        {"v": None, "id": None},
    ],
)
def test_another_version_is_named_whatever_else_differs(changes: dict[str, Any]) -> None:
    letter = refused(Reader("t").read(record(json.dumps({**without("id"), **changes}))))
    assert letter.reason is Reason.UNKNOWN_VERSION
    assert letter.detail.startswith("v: must be 1")
    assert QUOTED not in letter.detail


def test_a_message_without_v_is_of_this_version() -> None:
    value = json.dumps({**without("v", "id"), "version": 2})
    assert refused(Reader("t").read(record(value))).reason is Reason.INVALID


@pytest.mark.postgres
def test_a_row_that_the_database_refuses_is_not_quoted(url: str) -> None:
    refusing = pytest.raises(RowRefused)
    with psycopg.connect(url) as connection, refusing as found, _rows_told_apart():
        connection.execute("SELECT %s::text::jsonb", [f"{QUOTED} {{"])
    assert re.search("InvalidTextRepresentation .22P02.", str(found.value))
    assert QUOTED not in str(found.value)


def test_the_details_of_an_earlier_release_lose_what_they_quoted(
    superuser: psycopg.Connection,
) -> None:
    superuser.execute("SET search_path TO memory, public")
    superuser.execute(
        "INSERT INTO dead_letters (cluster_id, topic_id, partition, record_offset, topic, reason,"
        " detail) VALUES ('c', 't', 0, 1, 'topic', 'invalid', 'content: got pin-4711'),"
        " ('c', 't', 0, 2, 'topic', 'future', 'occurred_at is 3 days ahead')"
    )
    (migration,) = (one for one in migrations() if one.name == "dead_letter_details")
    superuser.execute(migration.sql)
    details = superuser.execute("SELECT detail FROM dead_letters ORDER BY record_offset").fetchall()
    assert details[0][0].startswith("an earlier release set it aside")
    assert details[1][0] == "occurred_at is 3 days ahead"
