"""From a topic into the log: each record once, in order, whoever dies or takes over."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from consumers.ingest import session as sessions
from consumers.ingest import store as stores
from consumers.ingest.options import IngestOptions
from consumers.ingest.reading import Reader
from consumers.ingest.running import Ingest
from consumers.ingest.session import ConsumerSession, open_session
from consumers.ingest.store import Batch, Counts, IngestStore, OffsetRange, TopicId
from consumers.operations.topics import create_topics
from memory.bus.topics import key_of, plan
from memory.client import MemoryClient
from memory.embedding import Embedder
from memory.errors import (
    BusRefused,
    ConcurrentWrite,
    ForgottenId,
    InteractionConflict,
    PositionLost,
    RetentionGap,
    StoreUnavailable,
    TopicRecreated,
    UnknownTopic,
)
from memory.log.envelope import MAX_AHEAD, MAX_CONTENT_BYTES, to_json
from memory.models import Interaction, Scope
from tests.ingesting import (
    ANA,
    DEADLINE,
    NOON,
    TOM,
    Stream,
    message,
    numbered,
    raw,
    said,
    until,
)
from tests.kafka_topics import kafka_settings


@pytest.fixture
def stream(kafka: str, url: str) -> Stream:
    """A topic of one partition."""
    return Stream(kafka_settings(kafka, url, partitions=1), url)


@pytest.fixture
def wide(kafka: str, url: str) -> Stream:
    """A topic of three partitions."""
    return Stream(kafka_settings(kafka, url, partitions=3), url)


@pytest.fixture
def store(stream: Stream) -> Iterator[IngestStore]:
    with IngestStore.open(stream.url, stream.settings) as opened:
        yield opened


class TestOrder:
    def test_each_once_in_order_of_its_user_with_the_position(self, wide: Stream) -> None:
        users = [Scope("acme", f"user-{n}", "scout", "s") for n in range(6)]
        wide.send(*[said(f"{u.user}-{n}", u) for n in range(20) for u in users])
        assert wide.drain() == Counts(appended=120)
        for user in users:
            assert wide.log(user) == [(f"{user.user}-{n}", n + 1, n + 1) for n in range(20)]
        assert sum(offset or 0 for offset in wide.positions().values()) == 120
        assert wide.drain() == Counts()

    def test_users_and_sessions_are_as_the_log_itself_would_have_them(
        self, stream: Stream, embedder: Embedder
    ) -> None:
        random = Random(5)
        sent = [
            said(
                f"m{random.randrange(60)}",
                Scope("acme", random.choice(["ana", "tom"]), "scout", f"s{random.randrange(3)}"),
                content=random.choice(["yes", "no"]),
                occurred_at=NOON + timedelta(minutes=random.randrange(90)),
                source=random.choice(["client", "import:chat"]),
            )
            for _ in range(150)
        ]
        direct = replace(
            stream, settings=stream.settings.model_copy(update={"kafka_servers": None})
        )
        known = sent[:50]
        with MemoryClient(direct.settings, embedder=embedder) as client:
            for interaction in known:
                record_as_it_can(client, interaction)
            client.forget(Scope("acme", "tom", session="s1"), session="s1")
            stream.send(*sent)
            first = stream.drain()
            by_topic = everything(stream)
            # The same again through the log's own door: into the same users under another tenant.
            twins = [replace(i, scope=replace(i.scope, tenant="twin")) for i in sent]
            for interaction in twins[:50]:
                record_as_it_can(client, interaction)
            client.forget(Scope("twin", "tom", session="s1"), session="s1")
            fates = [record_as_it_can(client, interaction) for interaction in twins]
        by_log = everything(stream, tenant="twin")
        assert by_topic == by_log
        assert first == Counts(
            fates.count("appended"),
            fates.count("duplicate"),
            fates.count("forgotten"),
            fates.count("conflict"),
        )
        assert first.forgotten
        assert first.set_aside
        assert first.duplicates


def record_as_it_can(client: MemoryClient, interaction: Interaction) -> str:
    try:
        (receipt,) = client.record_many([interaction])
    except InteractionConflict:
        return "conflict"
    except ForgottenId:
        return "forgotten"
    return "duplicate" if receipt.duplicate else "appended"


def everything(stream: Stream, tenant: str = "acme") -> list[list[tuple[Any, ...]]]:
    """A tenant's users, sessions and interactions, without the times of the recording."""
    found = []
    for table, left_out in (
        ("users", {"recorded_at", "due_at", "change_seq", "forget_seq"}),
        ("sessions", {"expires_at"}),
        ("interactions", {"recorded_at"}),
    ):
        rows = stream.rows(f"SELECT * FROM {table} WHERE tenant_id = %s", tenant)
        out = {"tenant_id", *left_out}
        found.append(sorted(tuple(str(v) for k, v in r.items() if k not in out) for r in rows))
    return found


FATES: dict[str, tuple[dict[str, Any], str]] = {
    "no JSON": (raw(b"hello"), "not_json"),
    "wrong encoding": (raw('{"id": "é"}'.encode("latin-1")), "not_json"),
    "a list": (raw(b"[]"), "invalid"),
    "a field is missing": (raw(b'{"v": 1, "id": "m1"}'), "invalid"),
    "a later version": (
        raw(json.dumps({**json.loads(to_json(said("m1"))), "v": 2, "new": 1}).encode()),
        "unknown_version",
    ),
    "content over its limit": (
        raw(
            json.dumps(
                {**json.loads(to_json(said("m1"))), "content": "x" * (MAX_CONTENT_BYTES + 1)}
            ).encode()
        ),
        "oversize",
    ),
    "no value": (raw(None), "no_value"),
    "no key": ({**message(said("m1")), "key": None}, "wrong_key"),
    "another user's key": ({**message(said("m1")), "key": key_of(TOM)}, "wrong_key"),
    "nested without end": (raw(b'{"v": 1, "payload": ' + b"[" * 100_000), "not_json"),
}


class TestFates:
    def test_what_cannot_be_applied_is_set_aside_and_the_flow_goes_on(self, stream: Stream) -> None:
        ahead = said("m-ahead", occurred_at=datetime.now(UTC) + MAX_AHEAD + timedelta(hours=1))
        records = [record for record, _ in FATES.values()]
        stream.send(said("m-first"), *records, ahead, said("m-last"))
        assert stream.drain() == Counts(appended=2, set_aside=len(FATES) + 1)
        letters = stream.letters()
        assert [letter["reason"] for letter in letters] == [
            *(reason for _, reason in FATES.values()),
            "future",
        ]
        assert [letter["record_offset"] for letter in letters] == list(range(1, len(FATES) + 2))
        assert [letter["value"] for letter in letters[:-1]] == [r["value"] for r in records]
        assert [letter["key"] for letter in letters[:-1]] == [r["key"] for r in records]
        assert letters[-1]["interaction_id"] == "m-ahead"
        assert all(letter["detail"] for letter in letters)
        assert [entry[0] for entry in stream.log()] == ["m-first", "m-last"]

    def test_whose_a_letter_is_comes_from_its_key_or_what_can_be_read_of_it(
        self, stream: Stream
    ) -> None:
        stream.send(raw(b"{broken", ANA), raw(b'{"tenant": "acme", "user": "tom", "v": 9}', None))
        stream.drain()
        assert [(x["tenant_id"], x["user_id"]) for x in stream.letters()] == [
            ("acme", "ana"),
            ("acme", "tom"),
        ]

    def test_a_known_id_with_other_content_is_a_conflict(self, stream: Stream) -> None:
        stream.send(said("m1"))
        stream.drain()
        changed = said("m1", content="Something else.")
        stream.send(changed, said("m1"), said("m2"), replace(said("m2"), content="Twice."))
        assert stream.drain() == Counts(appended=1, duplicates=1, set_aside=2)
        assert {(x["reason"], x["interaction_id"]) for x in stream.letters()} == {
            ("conflict", "m1"),
            ("conflict", "m2"),
        }

    def test_nothing_is_kept_of_an_id_that_was_forgotten(
        self, stream: Stream, embedder: Embedder
    ) -> None:
        stream.send(said("m1"), said("m2", TOM))
        stream.drain()
        with MemoryClient(stream.settings, embedder=embedder) as client:
            client.forget(ANA, session="monday")
        wrong = json.loads(to_json(said("m1")))
        stream.send(
            said("m1"),
            replace(said("m1"), content="In other words."),
            {**message(said("m1")), "key": key_of(TOM)},
            raw(json.dumps({**wrong, "kind": "shout"}).encode()),
        )
        assert stream.drain().forgotten == 2
        assert stream.letters() == []
        assert stream.log() == []

    def test_one_row_the_database_refuses_is_set_aside_alone(
        self, stream: Stream, superuser: psycopg.Connection
    ) -> None:
        superuser.execute("ALTER TABLE interactions ADD CHECK (content <> 'poison')")
        sent = numbered(20)
        stream.send(*sent[:13], said("bad", content="poison"), raw(b"worse"), *sent[13:])
        assert stream.drain() == Counts(appended=20, set_aside=2)
        assert [x["reason"] for x in stream.letters()] == ["refused", "not_json"]
        assert [name for name, _, _ in stream.log()] == [i.id for i in sent]

    def test_the_trace_context_is_kept_beside_the_event(self, stream: Stream) -> None:
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        traced = [("traceparent", parent.encode()), ("tracestate", b"vendor=x")]
        stream.send(
            {**message(said("m1")), "headers": traced},
            {**message(said("m2")), "headers": [("traceparent", b"nonsense")]},
            message(said("m1")),
        )
        assert stream.drain() == Counts(appended=2, duplicates=1)
        rows = stream.rows(
            "SELECT traceparent, tracestate FROM interactions ORDER BY interaction_id"
        )
        assert rows == [
            {"traceparent": parent, "tracestate": "vendor=x"},
            {"traceparent": None, "tracestate": None},
        ]


class TestOwnership:
    def test_a_fenced_owner_commits_nothing(self, stream: Stream, store: IngestStore) -> None:
        topic = TopicId("cluster", "topic", stream.topic)
        old = store.take(topic, [0], "old")[0]
        store.begin(topic, {0: old.epoch}, {0: 5})
        assert store.apply(topic, Batch.of([OffsetRange(0, old.epoch, 5, 7)])) == {0: Counts()}
        with IngestStore.open(stream.url, stream.settings) as other:
            new = other.take(topic, [0], "new")[0]
            assert new.next_offset == 7
            with pytest.raises(PositionLost, match=r"partitions \[0\]"):
                store.apply(topic, Batch.of([OffsetRange(0, old.epoch, 7, 9)]))
            with pytest.raises(PositionLost):  # where it stands counts as well as whose it is
                other.apply(topic, Batch.of([OffsetRange(0, new.epoch, 5, 9)]))
            other.apply(topic, Batch.of([OffsetRange(0, new.epoch, 7, 9)]))
        assert stream.positions() == {0: 9}

    def test_a_process_that_lost_its_partition_goes_on_where_the_other_stopped(
        self, stream: Stream, superuser: psycopg.Connection
    ) -> None:
        stream.send(*numbered(3))
        with stream.running() as ingest:
            until(lambda: ingest.done.appended == 3, "three are applied")
            superuser.execute("UPDATE partition_offsets SET epoch = epoch + 1")
            stream.send(*numbered(3, start=4))
            until(lambda: ingest.done.appended == 6, "six are applied")
        assert [name for name, _, _ in stream.log()] == [f"ana-{n}" for n in range(1, 7)]

    def test_two_processes_share_the_partitions_and_one_takes_over(self, wide: Stream) -> None:
        users = [Scope("acme", f"user-{n}", "scout", "s") for n in range(12)]

        def owners() -> set[str]:
            return {row["owner"] for row in wide.rows("SELECT owner FROM partition_offsets")}

        with wide.running(owner="one") as one:
            wide.send(*[said(f"{u.user}-1", u) for u in users])
            until(lambda: one.done.appended == 12, "the first round is applied")
            with wide.running(owner="two"):
                until(lambda: owners() == {"one", "two"}, "both have partitions")
                wide.send(*[said(f"{u.user}-2", u) for u in users])
                until(lambda: all(len(wide.log(u)) == 2 for u in users), "the second round is")
            until(lambda: owners() == {"one"}, "the first has all of them again")
            wide.send(*[said(f"{u.user}-3", u) for u in users])
            until(lambda: all(len(wide.log(u)) == 3 for u in users), "the third round is")
        for user in users:
            assert wide.log(user) == [(f"{user.user}-{n}", n, n) for n in (1, 2, 3)]

    def test_a_static_member_finds_its_partitions_again_and_the_others_keep_theirs(
        self, wide: Stream
    ) -> None:
        """Known by name, it comes back before the group misses it."""
        users = [Scope("acme", f"user-{n}", "scout", "s") for n in range(12)]

        def held() -> list[Any]:
            return wide.rows(
                "SELECT partition, epoch, owner FROM partition_offsets ORDER BY partition"
            )

        def patient(**options: Any) -> Any:
            return KafkaConsumer(**{**options, "session_timeout_ms": 120_000})

        with (
            patch.object(sessions, "KafkaConsumer", patient),
            wide.running(owner="one", instance_id="first"),
        ):
            with wide.running(owner="two", instance_id="second"):
                until(lambda: len({row["owner"] for row in held()}) == 2, "both have partitions")
            before = held()
            wide.send(*[said(f"{u.user}-1", u) for u in users])
            with wide.running(owner="two, again", instance_id="second"):
                until(lambda: all(wide.log(u) for u in users), "all is applied")
                after = held()
        for old, new in zip(before, after, strict=True):
            kept = old["owner"] == "one"
            assert new["owner"] == ("one" if kept else "two, again")
            assert new["epoch"] == (old["epoch"] if kept else old["epoch"] + 1)

    def test_of_two_processes_of_one_static_name_one_ends_and_says_so(self, stream: Stream) -> None:
        refused: list[BusRefused] = []

        def run(ingest: Ingest) -> None:
            try:
                ingest.run()
            except BusRefused as error:
                refused.append(error)

        both = [stream.ingest(owner=owner, instance_id="same") for owner in ("one", "two")]
        threads = [threading.Thread(target=run, args=(ingest,)) for ingest in both]
        for thread in threads:
            thread.start()
        until(lambda: refused, "one is refused")
        stream.send(said("m1"))
        until(lambda: stream.log() == [("m1", 1, 1)], "the other goes on")
        for ingest, thread in zip(both, threads, strict=True):
            ingest.stop()
            thread.join(DEADLINE)
        (said_of_one,) = refused
        assert "FencedInstanceId" in str(said_of_one)

    def test_a_lock_that_somebody_holds_is_waited_out_and_told(
        self, stream: Stream, caplog: pytest.LogCaptureFixture
    ) -> None:
        stream.send(*numbered(2))
        stream.drain()
        with (
            patch.object(stores, "LOCK_SECONDS", 1),
            psycopg.connect(stream.url) as other,
            stream.running() as ingest,
        ):
            other.execute("SELECT FROM memory.users FOR UPDATE")
            stream.send(*numbered(3, start=3))
            until(lambda: caplog.text.count("ingest waits") >= 2, "it tried twice")
            assert "lock timeout" in caplog.text
            assert 'relation "users"' in caplog.text
            assert ingest.done == Counts()
            other.rollback()
            until(lambda: ingest.done.appended == 3, "they are applied")
        assert "ingest goes on" in caplog.text
        assert stream.log() == [(f"ana-{n}", n, n) for n in range(1, 6)]

    def test_postgres_position_counts_and_the_brokers_does_not(self, stream: Stream) -> None:
        stream.send(*numbered(10))
        stream.drain()
        consumer = KafkaConsumer(
            bootstrap_servers=list(stream.settings.kafka_servers or ()), group_id=stream.topic
        )
        part = TopicPartition(stream.topic, 0)
        consumer.assign([part])
        assert consumer.committed(part) == 10  # for tools that show lag
        consumer.seek(part, 4)
        consumer.commit()
        consumer.close()
        stream.rows("UPDATE partition_offsets SET next_offset = 8")
        stream.send(*numbered(2, start=11))
        assert stream.drain() == Counts(appended=2, duplicates=2)
        assert stream.positions() == {0: 12}


class TestOverlap:
    """The next batch is read while one is applied."""

    def test_a_batch_is_read_while_the_one_before_is_applied(self, stream: Stream) -> None:
        stream.send(*numbered(8))
        read, apply = threading.Event(), IngestStore.apply

        def applied(store: IngestStore, topic: TopicId, ranges: Any) -> Any:
            assert read.wait(DEADLINE), "nothing was read meanwhile"
            return apply(store, topic, ranges)

        class Watched(Reader):
            def read(self, record: Any) -> Any:
                if record.offset >= 4:
                    read.set()
                return super().read(record)

        with (
            few_at_once(4),
            patch.object(IngestStore, "apply", applied),
            patch.object(sessions, "Reader", Watched),
        ):
            assert stream.drain() == Counts(appended=8)

    def test_each_is_applied_once_whatever_a_commit_ends_with_while_the_next_is_read(
        self, stream: Stream
    ) -> None:
        stream.send(*numbered(24))
        apply, ends = IngestStore.apply, iter(["after", None, "before", None, "conflict", "after"])

        def applied(store: IngestStore, topic: TopicId, ranges: Any) -> Any:
            how = next(ends, None)
            if how == "conflict":
                raise ConcurrentWrite("another writer won")
            if how == "before":
                store.close()
            counts = apply(store, topic, ranges)
            if how == "after":
                raise StoreUnavailable("the answer to COMMIT was lost")
            return counts

        with few_at_once(4), patch.object(IngestStore, "apply", applied):
            stream.drain()
        assert next(ends, "all of them happened") == "all of them happened"
        assert stream.log() == [(f"ana-{n}", n, n) for n in range(1, 25)]
        assert stream.positions() == {0: 24}

    def test_what_is_under_way_at_the_end_is_waited_for_and_counted(self, stream: Stream) -> None:
        stream.send(*numbered(3))
        apply = IngestStore.apply

        with stream.running() as ingest:

            def applied(store: IngestStore, topic: TopicId, ranges: Any) -> Any:
                ingest.stop()
                return apply(store, topic, ranges)

            with patch.object(IngestStore, "apply", applied):
                until(lambda: ingest.done.appended, "the batch is applied")
        assert ingest.done == Counts(appended=3)
        assert len(stream.log()) == 3

    def test_a_table_left_on_a_shared_connection_stops_nothing(
        self, stream: Stream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As by another client of a pooler."""
        stream.send(*numbered(3))
        opened = IngestStore.open

        def shared(*given: Any) -> IngestStore:
            store = opened(*given)
            store._connection.execute("SET ROLE memory_worker")
            store._connection.execute("CREATE TEMPORARY TABLE staged (unlike int)")
            store._connection.execute("RESET ROLE")
            return store

        monkeypatch.setattr(IngestStore, "open", shared)
        stream.drain()
        assert len(stream.log()) == 3

    def test_a_name_with_control_characters_is_a_dead_letter(self, stream: Stream) -> None:
        odd = {**json.loads(to_json(said("odd"))), "session": "mon\u202eday"}
        stream.send({"value": json.dumps(odd).encode(), "key": key_of(ANA)}, said("sound"))
        stream.drain()
        assert [name for name, *_ in stream.log()] == ["sound"]
        (letter,) = stream.rows("SELECT reason, detail FROM dead_letters")
        assert letter["reason"] == "invalid"
        assert "session holds the control character U+202E at 3" in letter["detail"]


@contextmanager
def few_at_once(records: int) -> Iterator[None]:
    """Batches of so many records."""
    with (
        patch.object(sessions, "MAX_RECORDS", 4 * records),
        patch.object(sessions.Limit, "learn", lambda *_: None),
    ):
        yield


class TestBrokenStreams:
    def test_offsets_that_no_record_has_are_passed_over(self, stream: Stream) -> None:
        producer = KafkaProducer(
            bootstrap_servers=list(stream.settings.kafka_servers or ()),
            transactional_id=stream.topic,
        )
        producer.init_transactions()
        for number, kept in ((1, True), (2, False), (3, True), (4, False)):
            producer.begin_transaction()
            producer.send(stream.topic, **message(said(f"m{number}")))
            producer.flush()
            (producer.commit_transaction if kept else producer.abort_transaction)()
        producer.close()
        assert stream.drain() == Counts(appended=2)
        assert [name for name, _, _ in stream.log()] == ["m1", "m3"]
        assert stream.positions() == {0: 8}  # each transaction ends with a marker

    def test_a_retention_gap_is_named_and_may_be_accepted(self, stream: Stream) -> None:
        stream.send(*numbered(2))
        stream.drain()
        stream.send(*numbered(8, start=3))
        with KafkaAdminClient(bootstrap_servers=list(stream.settings.kafka_servers or ())) as admin:
            admin.delete_records({TopicPartition(stream.topic, 0): 7})
        with pytest.raises(
            RetentionGap, match=r"begins at 7 and was read up to 2: up to 5 records"
        ):
            stream.drain()
        assert stream.positions() == {0: 2}
        assert stream.drain(accept_loss=True) == Counts(appended=3)
        assert stream.positions() == {0: 10}

    def test_a_topic_that_was_made_again_is_named_and_may_be_accepted(self, stream: Stream) -> None:
        stream.send(*numbered(5))
        stream.drain()
        make_again(stream)
        stream.send(*numbered(2, start=6))
        with pytest.raises(TopicRecreated, match="had come to 5 records"):
            stream.drain()
        assert stream.drain(accept_loss=True) == Counts(appended=2)
        assert stream.drain() == Counts()

    def test_records_of_a_topic_made_again_while_it_is_read_are_not_applied(
        self, stream: Stream
    ) -> None:
        """Fetched by name from where the earlier one was, before anybody said that it is gone."""
        stream.send(*numbered(5))
        with session_of(stream) as session:
            until(session.step, "the first five are applied")
            fetcher = session._consumer._fetcher
            until(lambda: not fetcher.in_flight_fetches(), "no fetch is under way")
            make_again(stream)
            stream.send(*numbered(8, start=101))
            gather = session._gather

            def gathered() -> Any:
                parts = gather()
                assert not parts or [r.offset for p in parts.values() for r in p.records] == [
                    5,
                    6,
                    7,
                ]
                return parts

            with (
                patch.object(session, "_gather", gathered),
                patch.object(session, "_check"),  # what kafka-python knows by chance
                pytest.raises(TopicRecreated, match="it has another id"),
            ):
                until(session.step, "records of the new topic are read")
        assert [name for name, _, _ in stream.log()] == [f"ana-{n}" for n in range(1, 6)]
        assert stream.positions() == {0: 5}

    def test_asking_which_topic_it_is_does_not_wait_for_a_fetch(self, stream: Stream) -> None:
        stream.send(*numbered(3))
        patient = partial(KafkaConsumer, fetch_max_wait_ms=25_000)
        with patch.object(sessions, "KafkaConsumer", patient), session_of(stream) as session:
            until(session.step, "they are applied")
        assert len(stream.log()) == 3

    def test_a_topic_deleted_while_it_is_read_is_named_and_nothing_applied(
        self, stream: Stream
    ) -> None:
        stream.send(*numbered(5))
        with session_of(stream) as session:
            gather = session._gather

            def gathered() -> Any:
                if parts := gather():
                    delete(stream)
                return parts

            with (
                patch.object(session, "_gather", gathered),
                pytest.raises(UnknownTopic, match="memory topics create"),
            ):
                until(session.step, "records are read")
        assert stream.log() == []

    def test_a_topic_that_does_not_exist_is_named(self, stream: Stream) -> None:
        other = stream.settings.model_copy(update={"kafka_topic": "no.such.topic"})
        with pytest.raises(UnknownTopic, match=r"no\.such\.topic.*memory topics create"):
            Stream(other, stream.url).drain()

    def test_a_topic_that_never_was_read_is_read_from_its_beginning(self, stream: Stream) -> None:
        stream.send(*numbered(4))
        with KafkaAdminClient(bootstrap_servers=list(stream.settings.kafka_servers or ())) as admin:
            admin.delete_records({TopicPartition(stream.topic, 0): 2})
        assert stream.drain() == Counts(appended=2)


@contextmanager
def session_of(stream: Stream) -> Iterator[ConsumerSession]:
    session = open_session(stream.settings, stream.url, IngestOptions(group=stream.topic))
    try:
        yield session
    finally:
        session.close()


def delete(stream: Stream) -> None:
    with KafkaAdminClient(bootstrap_servers=list(stream.settings.kafka_servers or ())) as admin:
        admin.delete_topics([stream.topic])
        until(lambda: stream.topic not in admin.list_topics(), "the topic is gone")


def make_again(stream: Stream) -> None:
    delete(stream)
    create_topics(stream.settings, plan(stream.topic, partitions=1, replication=1))
