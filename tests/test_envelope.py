"""The gate into the log: what the envelope lets through, what it refuses, and how it says so."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.errors import (
    InteractionTooLarge,
    InvalidInput,
    InvalidInteraction,
    InvalidScope,
    NaiveTime,
)
from memory.log.envelope import (
    MAX_CONTENT_BYTES,
    MAX_ENVELOPE_BYTES,
    content_hash,
    from_json,
    incoming,
    incoming_from_json,
    to_json,
    validated,
)
from memory.log.plain_json import MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH
from memory.models import Interaction, InteractionKind, Role, Scope, name_fault

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CET = timezone(timedelta(hours=1))
FIELDS: dict[str, Any] = {
    "v": 1,
    "id": "m1",
    "tenant": "northwind",
    "user": "ana",
    "session": "s1",
    "content": "I moved to Munich.",
    "occurred_at": "2026-03-02T12:00:00Z",
}

text = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda name: name_fault(name) is None
)
numbers = st.integers(-(2**1000), 2**1000) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
moments = st.datetimes(
    datetime(1, 1, 2),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.timezones() | st.just(UTC),
)
interactions = st.builds(
    Interaction,
    scope=st.builds(Scope, names, names, st.none() | names, names),
    id=names,
    kind=st.sampled_from(InteractionKind),
    role=st.sampled_from(Role),
    content=text.filter(str.strip),
    occurred_at=moments,
    payload=st.dictionaries(text, json_values, max_size=3),
    actor=st.none() | names,
    private=st.booleans(),
    source=names,
).filter(lambda interaction: interaction.scope.agent is not None or not interaction.private)
quick = settings(max_examples=150)


def an_interaction(**changes: Any) -> Interaction:
    plain = Interaction(
        Scope("northwind", "ana", "scout", "s1"),
        "m1",
        InteractionKind.MESSAGE,
        Role.USER,
        "I moved to Munich.",
        NOON,
    )
    return replace(plain, **changes)


def envelope(**changes: Any) -> str:
    return json.dumps(FIELDS | changes)


@quick
@given(interactions)
def test_an_interaction_survives_the_bus(interaction: Interaction) -> None:
    sound = validated(interaction)
    travelled = from_json(to_json(interaction).encode())
    assert travelled == sound == validated(sound)
    assert content_hash(interaction) == content_hash(sound) == content_hash(travelled)
    # In UTC: a time that a zone has twice equals no time of another zone (PEP 495).
    assert sound.occurred_at.astimezone(UTC) == interaction.occurred_at.astimezone(UTC)
    assert travelled.occurred_at.utcoffset() == sound.occurred_at.utcoffset()
    assert sound.occurred_at.timestamp() == interaction.occurred_at.timestamp()


@quick
@given(st.text() | json_values.map(json.dumps) | json_values.map(lambda v: envelope(payload=v)))
def test_any_text_is_read_or_refused_with_a_typed_error(raw: str) -> None:
    try:
        assert from_json(raw).id == "m1"
    except InvalidInput as error:
        assert len(str(error)) < 400  # noqa: PT017 - the length matters only when it is refused


def test_the_shortest_envelope_takes_its_defaults() -> None:
    read = from_json(envelope())
    assert read == an_interaction(scope=Scope("northwind", "ana", None, "s1"))
    assert (read.kind, read.role, read.source) == ("message", "user", "client")
    assert not read.private


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"v": 2}, "v: must be 1, the version this release reads, got 2"),
        ({"v": True}, "v: must be 1"),
        ({"v": 1.0}, "v: must be 1"),
        ({"id": ""}, "id: "),
        ({"id": 17}, "id: Input should be a valid string, got 17"),
        ({"id": "x" * 201}, "id: "),
        ({"tenant": "a\x00b"}, "tenant: holds a NUL character at 1"),
        ({"user": None}, "user: "),
        ({"session": None}, "session: "),
        ({"kind": "chat"}, "kind: "),
        ({"role": "boss"}, "role: "),
        ({"content": 5}, "content: Input should be a valid string, got 5"),
        ({"content": ""}, "content is empty and so is payload"),
        ({"content": " \n"}, r"payload, got ' \n'"),
        ({"content": "half \ud800"}, "Invalid JSON"),
        ({"content": "nul \x00"}, "content holds a NUL character at 4"),
        ({"payload": [1]}, "payload: "),
        ({"payload": {"a": {"b": ["\x00"]}}}, "payload.a.b[0] holds a NUL"),
        ({"payload": {"\x00": 1}}, "a key of payload holds a NUL"),
        ({"payload": {"rate": math.nan}}, "payload.rate must be a finite number, got nan"),
        ({"payload": {"n": 10**400}}, "payload.n must fit a double"),
        ({"occurred_at": 1772452800}, "occurred_at: must be an ISO 8601 date and time"),
        ({"occurred_at": "1772452800"}, "got '1772452800'"),
        ({"occurred_at": "yesterday"}, "got 'yesterday'"),
        ({"occurred_at": "9999-12-31T23:00:00-05:00"}, "years 1 to 9999"),
        ({"private": "yes"}, "private: "),
        ({"private": 1}, "private: "),
        ({"mood": "good"}, "mood: Extra inputs are not permitted, got 'good'"),
    ],
)
def test_a_malformed_envelope_is_refused_by_field_and_value(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidInteraction) as refused:
        from_json(envelope(**changes))
    assert says in str(refused.value)


@pytest.mark.parametrize("raw", ["", "[]", "null", envelope()[:-1], b"\xff\xfe", '{"a":' * 5000])
def test_what_is_no_envelope_is_refused(raw: str | bytes) -> None:
    with pytest.raises(InvalidInteraction, match="envelope"):
        from_json(raw)


@pytest.mark.parametrize("written", ["2026-03-02T12:00:00", "2026-03-02"])
def test_a_naive_time_is_refused_on_the_bus(written: str) -> None:
    with pytest.raises(NaiveTime, match=f"occurred_at needs a time zone, got '{written}'"):
        from_json(envelope(occurred_at=written))


def test_a_naive_time_is_refused_from_code() -> None:
    with pytest.raises(NaiveTime, match="2026-03-02T12:00:00"):
        validated(an_interaction(occurred_at=NOON.replace(tzinfo=None)))


class Remote(str, Enum):  # noqa: UP042 - the older kind, whose str() is not its value
    YES = "yes"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id": 17}, "id must be 1 to 200 characters, got 17"),
        ({"id": "\udc00"}, "id holds half of a surrogate pair at 0"),
        ({"actor": ""}, "actor must be 1 to 200 characters, got ''"),
        ({"source": "x\x00"}, "source holds a NUL"),
        ({"content": b"bytes"}, "content must be text, got b'bytes'"),
        ({"content": "\ud83d"}, "content holds half of a surrogate pair"),
        ({"kind": "chat"}, "kind must be one of message, tool_call"),
        ({"role": 3}, "role must be one of user"),
        ({"payload": [1]}, "payload must be a JSON object, got [1]"),
        ({"payload": {1: "a"}}, "payload must have text keys, got 1"),
        ({"payload": {"at": NOON}}, "payload.at must be a JSON value, got datetime"),
        ({"payload": {"a": "\ud800"}}, "payload.a holds half of a surrogate pair"),
        ({"payload": {"a": math.inf}}, "payload.a must be a finite number, got inf"),
        ({"occurred_at": "2026-03-02T12:00:00Z"}, "occurred_at must be a datetime"),
        ({"private": 1}, "private must be true or false, got 1"),
        (
            {"scope": Scope("acme", "ana", None, "s1"), "private": True},
            "private needs an agent; interaction 'm1'",
        ),
    ],
)
def test_a_wrong_value_from_code_is_refused_by_field_and_value(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidInteraction) as refused:
        validated(an_interaction(**changes))
    assert says in str(refused.value)


@pytest.mark.parametrize("part", ["tenant", "user", "agent", "session"])
def test_a_scope_postgres_could_not_store_is_refused(part: str) -> None:
    names = {"tenant": "t", "user": "u", "agent": "a", "session": "s"} | {part: "\ud800"}
    with pytest.raises(InvalidScope, match=f"{part} .*half a surrogate pair"):
        Scope(**names)


@pytest.mark.parametrize("letter", ["a", "é", "語", "🙂"])
def test_content_is_measured_in_bytes_and_refused_just_over_the_limit(letter: str) -> None:
    size = len(letter.encode())
    most = letter * (MAX_CONTENT_BYTES // size)
    assert from_json(to_json(an_interaction(content=most))).content == most
    with pytest.raises(InteractionTooLarge) as refused:
        validated(an_interaction(content=most + letter * 4))
    assert "content has 262,1" in str(refused.value)
    assert "the limit is 262,144" in str(refused.value)


def test_a_payload_is_refused_just_over_the_limit() -> None:
    most = {"a": "é" * ((MAX_PAYLOAD_BYTES - len('{"a":""}')) // 2)}
    assert validated(an_interaction(payload=most)).payload == most
    with pytest.raises(InteractionTooLarge, match="payload has 262,145 bytes"):
        validated(an_interaction(payload={"a": most["a"] + "."}))


def test_the_longest_envelope_within_the_limits_is_read() -> None:
    full = an_interaction(
        content="\x01" * MAX_CONTENT_BYTES, payload={"a": "\x7f" * (MAX_PAYLOAD_BYTES - 8)}
    )
    escaped = json.dumps(json.loads(to_json(full)), ensure_ascii=True)
    assert from_json(escaped) == full
    with pytest.raises(InteractionTooLarge, match="envelope has 4,194,305 bytes"):
        from_json(b" " * (MAX_ENVELOPE_BYTES + 1))


def test_a_payload_may_be_so_deep_and_no_deeper() -> None:
    def nested(levels: int) -> dict[str, Any]:
        value: Any = 1
        for _ in range(levels):
            value = {"a": value}
        return {"top": value}

    deepest = an_interaction(payload=nested(MAX_PAYLOAD_DEPTH - 1))
    assert from_json(to_json(deepest)) == deepest
    for levels in (MAX_PAYLOAD_DEPTH, 100_000):
        with pytest.raises(InvalidInteraction, match="deeper than 64 levels"):
            validated(an_interaction(payload=nested(levels)))


@pytest.mark.parametrize(
    ("given_payload", "held"),
    [
        ({"a": (1, 2)}, {"a": [1, 2]}),
        (MappingProxyType({"a": MappingProxyType({"b": 1})}), {"a": {"b": 1}}),
        ({"a": 4.0, "b": -0.0, "c": 0.5}, {"a": 4, "b": 0, "c": 0.5}),
        ({"a": 1.5e300}, {"a": 15 * 10**299}),
        ({"a": Remote.YES}, {"a": "yes"}),
        ({"a": True, "b": None}, {"a": True, "b": None}),
    ],
)
def test_a_payload_is_held_as_plain_json(
    given_payload: Mapping[str, Any], held: dict[str, Any]
) -> None:
    payload = validated(an_interaction(payload=given_payload)).payload
    assert json.dumps(payload) == json.dumps(held)


def test_a_payload_changed_later_does_not_change_what_was_validated() -> None:
    payload: dict[str, Any] = {"item": {"remote": "yes"}}
    sound = validated(an_interaction(payload=payload))
    payload["item"]["remote"] = "no"
    assert sound.payload == {"item": {"remote": "yes"}}


def test_kind_and_role_may_be_given_by_their_names() -> None:
    sound = validated(an_interaction(kind="feedback", role="tool"))
    assert (sound.kind, sound.role) == (InteractionKind.FEEDBACK, Role.TOOL)


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "another"},
        {"ordinal": 7, "position": 9, "recorded_at": NOON},
        {"occurred_at": NOON + timedelta(seconds=1)},
        {"payload": {"b": [1.0, {"y": 2, "x": 1}], "a": "é"}},
        {"id": "m2"},
    ],
)
def test_the_hash_does_not_see_how_an_event_was_delivered(changes: dict[str, Any]) -> None:
    event = an_interaction(payload={"a": "é", "b": [1, {"x": 1, "y": 2}]})
    assert content_hash(replace(event, **changes)) == content_hash(event)
    assert len(content_hash(event)) == 32


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": Scope("northwind", "ana", "scout", "s2")},
        {"scope": Scope("northwind", "ana", None, "s1")},
        {"kind": InteractionKind.FEEDBACK},
        {"role": Role.ASSISTANT},
        {"actor": "Ana"},
        {"content": "I moved to Munich"},
        {"payload": {"a": 1}},
        {"payload": {"a": True}},
        {"payload": {"a": "1"}},
        {"private": True},
    ],
)
def test_the_hash_sees_every_part_of_the_event(changes: dict[str, Any]) -> None:
    event = an_interaction(payload={"a": 2})
    assert content_hash(replace(event, **changes)) != content_hash(event)


def plainly(value: Any) -> Any:
    """As Postgres' jsonb hands it back."""
    if isinstance(value, float) and value.is_integer():
        return int(Decimal(repr(value)))
    if isinstance(value, dict):
        return {key: plainly(item) for key, item in value.items()}
    return [plainly(item) for item in value] if isinstance(value, list) else value


def canonical(value: Any) -> str:
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    )


@quick
@given(interactions)
def test_the_hash_is_that_of_a_canonical_array_however_the_event_came(i: Interaction) -> None:
    scope, payload = i.scope, plainly(i.payload)
    parts = [scope.session, scope.agent, i.kind, i.role, i.actor, i.content, payload, i.private]
    expected = hashlib.sha256(canonical(parts).encode()).digest()
    assert content_hash(i) == expected
    for came in (
        incoming(i),
        incoming_from_json(to_json(i)),
        incoming_from_json(to_json(i).encode()),
    ):
        assert came.content_hash == expected
        assert came.payload == canonical(payload)
        assert came.interaction == validated(i)


@pytest.mark.parametrize(
    ("changes", "digest"),
    [
        ({}, "d7deb083705f49cd0256aadf739307c7aeb9db0cf558b44c4b3ea4c04245d10a"),
        (
            {"payload": {"b": [1.0, 2.5, 1e22, None, True], "a": {"ü": '\t"\\ \u2028'}}},
            "98a18d39e02ab22e3bd07d2338a5893904123b6065b20baf87b8ed20a839a365",
        ),
        (
            {
                "scope": Scope("t", "u", None, "s/\\u0000"),
                "kind": InteractionKind.TOOL_RESULT,
                "role": Role.TOOL,
                "actor": "Zoë",
                "content": "\U0001f600\x7f",
            },
            "b12dc76fc1f8d999f412844a980204f0608a788049368de8a9edcbf71485c655",
        ),
    ],
)
def test_a_hash_in_the_log_stays_that_of_its_event(changes: dict[str, Any], digest: str) -> None:
    assert content_hash(an_interaction(**changes)).hex() == digest


def bushy(levels: int) -> Any:
    return {letter: bushy(levels - 1) for letter in "abcd"} if levels else "leaf" * 20


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "k" * 100_000},
        {"kind": bushy(5)},
        {"mood" * 10_000: 1},
        {"payload": {"k" * 10_000: "\x00"}},
        {"payload": {"k" * 10_000 + "\x00": 1}},
    ],
)
def test_a_refusal_shows_only_the_start_of_a_long_value(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInteraction) as refused:
        from_json(envelope(**changes))
    assert len(str(refused.value)) < 300


class TestNames:
    """Names stand in logs, lists and terminals: they hold nothing that steers these."""

    @pytest.mark.parametrize(
        "field", ["id", "tenant", "user", "agent", "session", "actor", "source"]
    )
    @pytest.mark.parametrize(
        "hidden",
        ["\x1b", "\n", "\x7f", "\x9b", "\u2028", "\u202e", "\u2066", "\U000e0041", "\U000e0001"],
    )
    def test_hold_no_control_characters(self, field: str, hidden: str) -> None:
        name = f"ab{hidden}c"
        says = re.escape(f"{field} holds the control character U+{ord(hidden):04X} at 2")
        for ascii_only in (True, False):
            with pytest.raises(InvalidInteraction, match=says):
                from_json(json.dumps({**FIELDS, field: name}, ensure_ascii=ascii_only))
        sound = from_json(json.dumps(FIELDS))
        scope = field in ("tenant", "user", "agent", "session")
        named: dict[str, Any] = {field: name}
        changed = {"scope": replace(sound.scope, **named)} if scope else named
        with pytest.raises(InvalidInteraction, match=says):
            validated(replace(sound, **changed))

    @pytest.mark.parametrize(
        "name", ["a b", "\u6771\u4eac", "\u0639\u0631\u200f", "\U0001f468\u200d\U0001f469", "\xa0x"]
    )
    def test_of_all_scripts_are_taken(self, name: str) -> None:
        assert from_json(json.dumps({**FIELDS, "user": name})).scope.user == name

    def test_of_old_rows_can_still_be_asked_for(self) -> None:
        assert Scope("acme", "a\x1bb").user == "a\x1bb"
