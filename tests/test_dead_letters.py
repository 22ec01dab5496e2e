"""Dead letters: sent on, looked at, redriven, dropped; and gone where their id was forgotten."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from consumers.ingest.mapping import read_mapping
from consumers.ingest.store import Counts
from consumers.operations.dead_letters import redrive
from consumers.operations.topics import create_topics
from memory.bus.topics import dead_letters, key_of, plan
from memory.client import MemoryClient
from memory.database import Database, DatabaseRole
from memory.embedding import Embedder
from memory.log.envelope import MAX_AHEAD, to_json
from tests.ingesting import ANA, MAPPING, NOON, Stream, command, raw, said, until, written
from tests.kafka_topics import kafka_settings


@pytest.fixture
def stream(kafka: str, url: str) -> Stream:
    """A topic of one partition."""
    return Stream(kafka_settings(kafka, url, partitions=1), url)


def letters_sent(stream: Stream) -> list[Any]:
    """All of the dead-letter topic."""
    consumer = KafkaConsumer(bootstrap_servers=list(stream.settings.kafka_servers or ()))
    part = TopicPartition(dead_letters(stream.topic), 0)
    consumer.assign([part])
    consumer.seek_to_beginning(part)
    found: list[Any] = []
    while consumer.position(part) < consumer.end_offsets([part])[part]:
        for records in consumer.poll(timeout_ms=500).values():
            found += records
    consumer.close()
    return found


class TestTopic:
    def test_they_go_to_a_topic_of_their_own_with_why_and_where(self, stream: Stream) -> None:
        stream.send(said("m1"), raw(b"hello", headers=[("from", b"crm")]), raw(None))
        stream.drain()
        sent = letters_sent(stream)
        assert [(m.key, m.value) for m in sent] == [(key_of(ANA), b"hello"), (key_of(ANA), None)]
        headers = dict(sent[0].headers)
        assert headers["from"] == b"crm"
        assert headers["dead-letter-reason"] == b"not_json"
        assert b"hello" not in headers["dead-letter-detail"]
        assert headers["dead-letter-place"] == f"{stream.topic}/0@1".encode()
        assert all(letter["sent_at"] for letter in stream.letters())

    def test_what_an_earlier_process_left_unsent_is_sent_by_the_next(self, stream: Stream) -> None:
        stream.send(raw(b"hello"))
        stream.drain()
        stream.rows("UPDATE dead_letters SET sent_at = NULL")
        stream.send(said("m1"))
        stream.drain()
        assert [m.value for m in letters_sent(stream)] == [b"hello", b"hello"]

    def test_without_the_topic_they_stay_in_the_table_and_the_flow_goes_on(
        self, stream: Stream, caplog: pytest.LogCaptureFixture
    ) -> None:
        name = dead_letters(stream.topic)
        with KafkaAdminClient(bootstrap_servers=list(stream.settings.kafka_servers or ())) as admin:
            admin.delete_topics([name])
            until(lambda: name not in admin.list_topics(), "the topic is gone")
            stream.send(raw(b"hello"), said("m1"))
            assert stream.drain() == Counts(appended=1, set_aside=1)
            assert f"no topic '{name}'" in caplog.text
            assert "run: memory topics create" in caplog.text
            assert name not in admin.list_topics()
        (letter,) = stream.letters()
        assert (letter["value"], letter["sent_at"]) == (b"hello", None)
        create_topics(stream.settings, plan(stream.topic, partitions=1, replication=1))
        stream.drain()
        assert [m.value for m in letters_sent(stream)] == [b"hello"]


class TestRedrive:
    async def test_a_letter_that_can_be_applied_by_now_is_applied_once(
        self, stream: Stream, tmp_path: Path
    ) -> None:
        foreign = {"event": "e1", "who": "ana", "text": "I moved.", "ts": 1_770_000_000_000}
        parent = f"00-{'a' * 32}-{'b' * 16}-01"
        headers = [("traceparent", parent.encode()), ("tracestate", b"vendor=x")]
        traced = raw(json.dumps(foreign).encode(), headers=headers)
        stream.send(traced, raw(b"never"), said("m1"))
        assert stream.drain() == Counts(appended=1, set_aside=2)
        mapping = read_mapping(written(tmp_path, MAPPING))
        async with Database(stream.settings, stream.url, DatabaseRole.WORKER) as database:
            done = await redrive(database, stream.settings, None, mapping=mapping)
            again = await redrive(database, stream.settings, None, mapping=mapping)
        assert (done.appended, len(done.refused)) == (1, 1)
        assert "not_json" in done.refused[0]
        assert (again.appended, len(again.refused)) == (0, 1)
        assert [name for name, _, _ in stream.log()] == ["m1", "e1"]
        traces = "SELECT traceparent, tracestate FROM interactions WHERE interaction_id = 'e1'"
        assert stream.rows(traces) == [{"traceparent": parent, "tracestate": "vendor=x"}]
        redriven, refused = stream.letters()
        assert redriven["redriven_at"]
        assert redriven["value"] is None
        assert refused["value"] == b"never"

    async def test_a_letter_of_a_forgotten_id_goes_without_a_trace(
        self, stream: Stream, embedder: Embedder
    ) -> None:
        late = datetime.now(UTC) + MAX_AHEAD + timedelta(hours=1)
        stream.send(said("m1", occurred_at=late))
        stream.drain()
        direct = stream.settings.model_copy(update={"kafka_servers": None})
        stream.rows("UPDATE dead_letters SET session_id = NULL, interaction_id = NULL")
        with MemoryClient(direct, embedder=embedder) as client:
            client.record_many([said("m1")])
            client.forget(ANA, session="monday")
        sound = to_json(replace(said("m1"), occurred_at=NOON)).encode()
        stream.rows("UPDATE dead_letters SET value = %s", sound)
        async with Database(stream.settings, stream.url, DatabaseRole.WORKER) as database:
            assert (await redrive(database, stream.settings, None)).forgotten == 1
        assert stream.letters() == []


def test_the_command_lists_shows_and_drops(stream: Stream) -> None:
    stream.send(raw(b"hello"), raw(b"world"))
    stream.drain()
    first, second = (letter["dead_letter_id"] for letter in stream.letters())
    listed = command(stream, "dead-letters", "list", "--json")
    assert [(row["letter_id"], row["reason"]) for row in listed] == [
        (second, "not_json"),
        (first, "not_json"),
    ]
    assert command(stream, "dead-letters", "show", str(first), "--json")["value"] == "hello"
    dropped = command(stream, "dead-letters", "drop", str(first), "--json")
    assert dropped == {"dropped": [first]}
    assert [letter["dead_letter_id"] for letter in stream.letters()] == [second]
