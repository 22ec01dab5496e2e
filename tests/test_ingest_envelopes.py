"""Envelopes of other producers: CloudEvents, mapped fields; and a process of its own."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from consumers.ingest.mapping import read_mapping
from consumers.ingest.store import Counts
from memory.errors import ConfigurationError
from tests.ingesting import (
    MAPPING,
    NOON,
    Stream,
    command,
    environment,
    numbered,
    raw,
    until,
    written,
)
from tests.kafka_topics import kafka_settings


@pytest.fixture
def stream(kafka: str, url: str) -> Stream:
    """A topic of one partition."""
    return Stream(kafka_settings(kafka, url, partitions=1), url)


def test_cloudevents_in_both_modes(stream: Stream) -> None:
    data = {"content": "I moved.", "user": "ana"}
    attributes = {
        "specversion": "1.0", "type": "said", "source": "/crm", "time": NOON.isoformat(),
        "tenant": "acme", "subject": "monday",
    }  # fmt: skip
    structured = {**attributes, "id": "1", "data": data}
    binary = [(f"ce_{k}", v.encode()) for k, v in {**attributes, "id": "2"}.items()]
    kind = ("content-type", b"application/cloudevents+json; charset=utf-8")
    stream.send(
        raw(json.dumps(structured).encode(), headers=[kind]),
        raw(json.dumps(data).encode(), headers=binary),
        raw(b"{}", headers=[("ce_specversion", b"2.0"), ("ce_id", b"3")]),
    )
    assert stream.drain() == Counts(appended=2, set_aside=1)
    rows = stream.rows("SELECT session_id, occurred_at, source, content FROM interactions")
    assert {(r["session_id"], r["occurred_at"], r["source"], r["content"]) for r in rows} == {
        ("monday", NOON, "/crm", "I moved.")
    }
    assert [name for name, _, _ in stream.log()] == ["/crm#1", "/crm#2"]
    assert [letter["reason"] for letter in stream.letters()] == ["unknown_version"]


def test_a_mapping_reads_messages_with_other_names(stream: Stream, tmp_path: Path) -> None:
    text = """
        [fields]
        id = "@place"
        tenant = { constant = "acme" }
        user = "customer.number"
        session = "@headers.conversation"
        role = { path = "sender", values = { customer = "user", bot = "assistant" } }
        content = "messages.0.text"
        occurred_at = { path = "at", time = "%d.%m.%Y %H:%M", zone = "Europe/Berlin" }
        [payload]
        channel = "channel"
        """
    told = {"customer": {"number": 7}, "sender": "bot", "messages": [{"text": "Hello."}],
            "at": "02.03.2026 13:00", "channel": "mail"}  # fmt: skip
    headers = [("conversation", b"c1")]
    stream.send(
        raw(json.dumps(told).encode(), None, headers=headers),
        raw(json.dumps({**told, "sender": "robot"}).encode(), None, headers=headers),
        raw(json.dumps({**told, "at": "yesterday"}).encode(), None, headers=headers),
    )
    mapping = read_mapping(written(tmp_path, text))
    assert stream.drain(mapping=mapping) == Counts(appended=1, set_aside=2)
    (row,) = stream.rows("SELECT * FROM interactions")
    assert (row["user_id"], row["session_id"], row["role"]) == ("7", "c1", "assistant")
    assert (row["content"], row["payload"]) == ("Hello.", {"channel": "mail"})
    assert row["occurred_at"] == NOON
    assert {(x["reason"], x["user_id"]) for x in stream.letters()} == {("invalid", "7")}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[fields]\nid = 'x'", "lacks tenant"),
        (MAPPING.replace('"event"', "{ path = 'a', constant = 'b' }"), "either a path"),
        (MAPPING.replace("epoch_ms", "lunar"), "must be iso"),
        (MAPPING.replace("content", "contents"), "contents"),
        ("[fields", "cannot be read"),
    ],
)
def test_a_mapping_that_is_none_is_refused_by_name(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"mapping\.toml.*{fault}"):
        read_mapping(written(tmp_path, text))


class TestProcess:
    def test_sigterm_ends_it_with_what_it_had_begun_committed(self, stream: Stream) -> None:
        stream.send(*numbered(50))
        process = subprocess.Popen(
            [sys.executable, "-m", "consumers", "ingest", "--json"],
            env=environment(stream),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        until(lambda: len(stream.log()) == 50, "all are applied")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert json.loads(out)["appended"] == 50
        assert stream.positions() == {0: 50}

    def test_it_waits_for_a_database_that_is_away_and_goes_on_alone(
        self, stream: Stream, server: str
    ) -> None:
        name = conninfo_to_dict(stream.url)["dbname"]
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        with stream.running() as ingest, psycopg.connect(server, autocommit=True) as elsewhere:
            stream.send(*numbered(5))
            until(lambda: ingest.done.appended == 5, "five are applied")
            elsewhere.execute(allow.format(sql.Identifier(str(name)), sql.SQL("false")))
            elsewhere.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                (name,),
            )
            stream.send(*numbered(5, start=6))
            sleep(1)  # it has tried in vain by then; what counts is that it goes on
            elsewhere.execute(allow.format(sql.Identifier(str(name)), sql.SQL("true")))
            until(lambda: ingest.done.appended == 10, "ten are applied")
        assert len(stream.log()) == 10

    def test_status_says_how_far_it_is_behind_and_fails_past_a_bound(self, stream: Stream) -> None:
        stream.send(*numbered(3), raw(b"hello"))
        stream.drain()
        bound = ("status", "--json", "--max-ingest-lag", "0")
        found = command(stream, *bound)["ingest"]
        assert (found["partitions"][0]["next_offset"], found["partitions"][0]["waiting"]) == (4, 0)
        assert found["dead_letters"] == {"not_json": 1}
        stream.send(*numbered(2, start=4))
        behind = command(stream, "status", "--json")["ingest"]["partitions"][0]
        assert behind["waiting"] == 2
        assert behind["seconds"] > 0
        with pytest.raises(subprocess.CalledProcessError) as failed:
            command(stream, *bound)
        assert failed.value.returncode == 1
        assert b"ingest lag" in failed.value.stderr
