"""The envelope's JSON Schema against the reader, and a producer that was written from the page."""

import json
import math
import os
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from benchmarks.broker import NoBroker, class_path
from consumers.cli.application import memory
from consumers.ingest.reading import Reader
from consumers.ingest.records import Accepted, RecordCopy
from consumers.ingest.store import Counts
from memory.errors import InvalidInput
from memory.log.envelope import from_json, to_json
from memory.log.envelope_schema import DIALECT, envelope_schema
from memory.log.fields import FIELDS
from memory.models import Interaction, Scope
from tests.ingesting import Stream
from tests.kafka_topics import kafka_settings
from tests.pages import Page
from tests.test_envelope import FIELDS as SOUND
from tests.test_envelope import interactions, json_values

SCHEMA = Draft202012Validator(envelope_schema())
PRODUCER = Path("examples/java/EnvelopeProducer.java")
PAGE = Page("docs/kafka.md")
UTF_8 = ("-Dfile.encoding=UTF-8", "-Dsun.jnu.encoding=UTF-8")


def is_read(document: Any) -> bool:
    try:
        from_json(json.dumps(document))
    except InvalidInput:
        return False
    return True


@given(interactions)
def test_it_lets_every_envelope_of_ours_through(interaction: Interaction) -> None:
    SCHEMA.validate(json.loads(to_json(interaction)))


HARD: list[Any] = [
    *("", " ", "\x00", "x" * 201, "message", "tool", "2026-03-02", "2026-03-02T12:00:00"),
    *("2026-03-02T12:00:00Z", "2026-03-02T12:00:00.5+01:00", "1772452800", None, True, 1, 2),
    *({"a": ["\x00"]}, {"\x00": 1}, {"a": {"b": math.inf}}, {"a": 10**400}, {"a": 1}),
]
strange = st.one_of(json_values, st.text(max_size=5), st.sampled_from(HARD))
names = st.sampled_from([*(field.name for field in FIELDS), "v", "mood"])


@settings(max_examples=500)
@given(st.dictionaries(names, strange, max_size=3), st.sets(names, max_size=1))
def test_what_the_reader_refuses_it_refuses(changes: dict[str, Any], without: set[str]) -> None:
    changed = {**SOUND, **changes}
    document = {name: value for name, value in changed.items() if name not in without}
    assume(type(document.get("v")) is not float)  # 1.0 is 1 to JSON Schema, and not to the reader
    assume(not is_read(document))
    assert not SCHEMA.is_valid(document)


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"id": ""},
        {"id": "x" * 201},
        {"tenant": "a\x00b"},
        {"kind": "chat"},
        {"role": "boss"},
        {"content": " \n"},
        {"content": "nul \x00"},
        {"content": 5},
        {"payload": [1]},
        {"payload": {"a": {"b": ["\x00"]}}},
        {"occurred_at": "2026-03-02T12:00:00"},
        {"occurred_at": "yesterday"},
        {"private": True},
        {"private": True, "agent": None},
        {"mood": "good"},
    ],
)
def test_it_refuses_what_is_no_envelope(changes: dict[str, Any]) -> None:
    assert not SCHEMA.is_valid({**SOUND, **changes})
    assert not is_read({**SOUND, **changes})


def test_it_is_a_sound_schema_that_describes_every_field() -> None:
    schema = envelope_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == DIALECT
    assert schema["properties"].keys() == {"v", *(field.name for field in FIELDS)}
    assert all(field["description"] for field in schema["properties"].values())


def test_the_command_prints_it() -> None:
    for options in ([], ["--json"]):
        printed = CliRunner().invoke(memory, ["topics", "schema", *options])
        assert printed.exit_code == 0
        assert json.loads(printed.stdout) == envelope_schema()


def test_the_page_shows_an_envelope_with_every_field() -> None:
    shown = [json.loads(b.text) for b in PAGE.blocks() if b.language == "json" and '"v"' in b.text]
    (envelope,) = (one for one in shown if "specversion" not in one)
    assert envelope.keys() == {"v", *(field.name for field in FIELDS)}
    SCHEMA.validate(envelope)
    said_at = from_json(json.dumps(envelope)).occurred_at
    assert said_at.utcoffset() == datetime.fromisoformat(envelope["occurred_at"]).utcoffset()


def test_the_page_tells_every_field() -> None:
    assert [f.name for f in FIELDS if f"| `{f.name}` |" not in PAGE.text] == []


def test_the_events_of_the_page_are_read() -> None:
    (structured,) = (b.text for b in PAGE.blocks() if '"specversion"' in b.text)
    (binary,) = (b.text for b in PAGE.blocks() if "ce_specversion" in b.text)
    lines, value = binary.split("\n\n", 1)
    headers = [
        (name, said.encode()) for name, said in (x.split(": ", 1) for x in lines.split("\n"))
    ]
    of_structured = [("content-type", b"application/cloudevents+json")]
    read = [
        Reader("t").read(RecordCopy(0, 0, -1, b'["acme","ana"]', text.encode(), sent))
        for text, sent in ((structured, of_structured), (value, headers))
    ]
    accepted = [one.incoming.interaction for one in read if isinstance(one, Accepted)]
    assert [(i.id, i.session, i.content) for i in accepted] == [
        ("/crm#4711", "2026-03-02", "I moved to Munich.")
    ] * 2
    assert accepted[0] == accepted[1]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The class path with the compiled example."""
    try:
        jars = class_path()
    except NoBroker as error:
        pytest.skip(f"no Kafka client for Java: {error}")
    if shutil.which("javac") is None:
        pytest.skip("no Java compiler")
    folder = tmp_path_factory.mktemp("classes")
    subprocess.run(
        ["javac", "-Werror", "-Xlint:all", "-cp", jars, "-d", str(folder), str(PRODUCER)],
        check=True,
    )
    return f"{folder}{os.pathsep}{jars}"


@pytest.mark.parametrize("user", ["ana", 'Zoë "the\\ 猫"'])
def test_a_producer_in_java(kafka: str, url: str, compiled: str, user: str) -> None:
    stream = Stream(kafka_settings(kafka, url, partitions=3), url)
    spoken = ["I live in Berlin.", 'She said "no" \\ 語 🙂 \t\x01.', "I moved to Munich."]
    arguments = [kafka, stream.topic, "acme", user, "monday"]
    for _ in range(2):  # as after a failure: the same ids
        sent = subprocess.run(
            ["java", *UTF_8, "-cp", compiled, "EnvelopeProducer", *arguments],
            input="\n".join(spoken),
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        partitions = {place.split("@")[0] for place in sent.stdout.split()}
        assert len(partitions) == 1
    assert stream.drain() == Counts(appended=3, duplicates=3)
    rows = stream.rows("SELECT user_id, content, source FROM interactions ORDER BY position")
    assert [(r["user_id"], r["content"], r["source"]) for r in rows] == [
        (user, line, "java") for line in spoken
    ]
    assert [name for name, _, _ in stream.log(Scope("acme", user))] == [
        f"monday-{n}" for n in (1, 2, 3)
    ]
