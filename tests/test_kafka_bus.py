"""The producer's side of Kafka: what is acknowledged, in which order, and what a failure leaves."""

import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest
from kafka import KafkaConsumer, TopicPartition

from benchmarks.broker import Broker, NoBroker, free_port
from consumers.operations.topics import create_topics
from memory.bus.kafka import KafkaBus
from memory.bus.topics import (
    Topic,
    changes,
    dead_letters,
    key_of,
    plan,
)
from memory.errors import (
    BusRefused,
    BusUnavailable,
    InteractionTooLarge,
    InvalidInput,
    InvalidInteraction,
    UnknownTopic,
)
from memory.log.envelope import MAX_CONTENT_BYTES, from_json
from memory.models import Interaction, InteractionKind, Place, Receipt, Role, Scope
from memory.settings import KafkaOptions, Settings
from tests.ingesting import Stream
from tests.kafka_topics import kafka_settings

ANA = Scope("acme", "ana", "scout", "monday")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def said(n: int, scope: Scope = ANA, content: str = "") -> Interaction:
    text = content or f"message {n}"
    return Interaction(scope, f"m{n}", InteractionKind.MESSAGE, Role.USER, text, NOON)


def written(settings: Settings) -> list[Any]:
    """All of the topic's messages, in the order of each partition."""
    consumer = KafkaConsumer(bootstrap_servers=list(settings.kafka_servers or ()))
    parts = [
        TopicPartition(settings.kafka_topic, p)
        for p in sorted(consumer.partitions_for_topic(settings.kafka_topic))
    ]
    ends = consumer.end_offsets(parts)
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    found: list[Any] = []
    while any(consumer.position(part) < ends[part] for part in parts):
        for records in consumer.poll(timeout_ms=500).values():
            found += records
    consumer.close()
    return found


@pytest.fixture(scope="module")
def settings(kafka: str) -> Settings:
    return kafka_settings(kafka)


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[KafkaBus]:
    made = KafkaBus(settings)
    yield made
    await made.aclose()


async def test_a_receipt_says_where_the_message_stands(kafka: str) -> None:
    settings = kafka_settings(kafka)
    bus = KafkaBus(settings)
    first, second = await bus.publish([said(1), said(2)])
    (third,) = await bus.publish([said(3)], traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    await bus.aclose()
    assert (first.interaction_id, first.session) == ("m1", "monday")
    assert (first.position, first.ordinal, first.duplicate) == (0, 0, False)
    places = [r.place for r in (first, second, third) if r.place]
    assert [p.offset for p in places] == [0, 1, 2]
    assert {(p.topic, p.partition) for p in places} == {(settings.kafka_topic, places[0].partition)}
    messages = written(settings)
    assert [from_json(m.value) for m in messages] == [said(1), said(2), said(3)]
    assert {m.key for m in messages} == {b'["acme","ana"]'}
    assert messages[2].headers == [("traceparent", f"00-{'a' * 32}-{'b' * 16}-01".encode())]
    assert not messages[0].headers


async def test_each_user_has_one_partition_and_keeps_the_order_given(kafka: str) -> None:
    settings = kafka_settings(kafka, partitions=4)
    users = [replace(ANA, user=f"u{n}") for n in range(8)]
    sent = [said(n, users[n % 8], "x" * 2000) for n in range(1500)]  # windows enough to overtake
    bus = KafkaBus(settings)
    receipts = await bus.publish(sent)
    await bus.aclose()
    assert [r.interaction_id for r in receipts] == [i.id for i in sent]
    by_user: dict[str, list[Any]] = {}
    for message in written(settings):
        by_user.setdefault(from_json(message.value).scope.user, []).append(message)
    for user in users:
        messages = by_user[user.user]
        assert len({m.partition for m in messages}) == 1
        assert [from_json(m.value) for m in messages] == [i for i in sent if i.scope == user]
    places = Counter(r.place.partition for r in receipts if r.place)
    assert len(places) > 1


async def test_nothing_is_sent_of_a_call_with_one_bad_interaction(kafka: str) -> None:
    settings = kafka_settings(kafka)
    bus = KafkaBus(settings)
    with pytest.raises(InvalidInteraction):
        await bus.publish([said(1), said(2, content="\x00")])
    with pytest.raises(InvalidInput, match="traceparent"):
        await bus.publish([said(1)], traceparent="yesterday")
    assert await bus.publish([]) == []
    await bus.aclose()
    assert written(settings) == []


async def test_the_largest_interaction_fits_the_planned_topic(bus: KafkaBus) -> None:
    # Each character is written as six, which is the most that an envelope makes of one byte.
    payload = {"k": "\x01" * (MAX_CONTENT_BYTES // 6 - 20)}
    largest = replace(said(1, content="\x01" * MAX_CONTENT_BYTES), payload=payload)
    (receipt,) = await bus.publish([largest])
    assert receipt.place


async def test_what_the_topic_does_not_take_is_refused_before_anything_is_sent(kafka: str) -> None:
    settings = Settings(kafka_servers=(kafka,), kafka_topic=f"small-{id(kafka)}")
    small = Topic(settings.kafka_topic, 1, 1, {"max.message.bytes": "20000"})
    create_topics(settings, [small])
    bus = KafkaBus(settings)
    with pytest.raises(InteractionTooLarge, match=r"'m2'.*20,000"):
        await bus.publish([said(1), said(2, content="x" * 20_000)])
    assert written(settings) == []
    await bus.publish([said(3, content="x" * 18_000)])
    await bus.aclose()


async def test_a_topic_nobody_made_is_named(kafka: str) -> None:
    bus = KafkaBus(Settings(kafka_servers=(kafka,), kafka_topic="nobody.made.this"))
    with pytest.raises(UnknownTopic, match=r"'nobody\.made\.this'.*memory topics create"):
        await bus.publish([said(1)])
    await bus.aclose()


async def test_calls_at_once_all_get_their_own_receipts(bus: KafkaBus) -> None:
    receipts: dict[int, Receipt] = {}

    async def one(n: int) -> None:
        (receipts[n],) = await bus.publish([said(n, replace(ANA, user=f"v{n}"))])

    async with anyio.create_task_group() as tasks:
        for n in range(100):
            tasks.start_soon(one, n)
    assert {n: r.interaction_id for n, r in receipts.items()} == {n: f"m{n}" for n in range(100)}
    assert len({r.place for r in receipts.values()}) == 100


async def test_a_closed_bus_says_so(settings: Settings) -> None:
    bus = KafkaBus(settings)
    await bus.publish([said(1)])
    await bus.aclose()
    with pytest.raises(InvalidInput, match="closed"):
        await bus.publish([said(2)])


async def test_without_a_broker_it_says_so_in_time_and_leaves_nothing_behind() -> None:
    settings = Settings(kafka_servers=("127.0.0.1:1",))
    bus = KafkaBus(settings, delivery_seconds=0.3)
    threads = threading.active_count()
    for _ in range(3):
        with pytest.raises(BusUnavailable, match=r"127\.0\.0\.1:1") as caught:
            await bus.publish([said(1)])
        assert caught.value.retriable
    assert threading.active_count() <= threads + 1  # the one its calls run in
    await bus.aclose()


async def test_many_calls_at_once_are_not_kept_longer_than_one(settings: Settings) -> None:
    bus = KafkaBus(Settings(kafka_servers=("127.0.0.1:1",)), delivery_seconds=0.5)
    failures: list[str] = []

    async def one(n: int) -> None:
        with pytest.raises(BusUnavailable) as caught:
            await bus.publish([said(n)])
        failures.append(str(caught.value))

    with anyio.fail_after(30):  # one after the other they would take 100 seconds
        async with anyio.create_task_group() as tasks:
            for n in range(200):
                tasks.start_soon(one, n)
    await bus.aclose()
    assert len(failures) == 200


@dataclass(frozen=True)
class Guarded:
    """A broker of a test's own with doors that ask for a password, speak TLS, or both.

    doors: the address of each, by protocol; certificate: the broker's own, as PEM.
    """

    broker: Broker
    doors: Mapping[str, str]
    certificate: Path

    def settings(self, protocol: str, **options: str) -> Settings:
        """Of one who comes to a door with what it asks for, unless told otherwise."""
        given = {"security_protocol": protocol}
        if "SASL" in protocol:
            given |= {"sasl_mechanism": "PLAIN", "sasl_plain_username": "app"}
            given |= {"sasl_plain_password": "hush"}
        if "SSL" in protocol:
            given |= {"ssl_cafile": str(self.certificate)}
        servers, topic = (self.doors[protocol],), f"test.{uuid4().hex}"
        options_given = KafkaOptions.model_validate(given | options)
        return Settings(kafka_servers=servers, kafka_topic=topic, kafka_options=options_given)


DOORS = ("SASL_PLAINTEXT", "SSL", "SASL_SSL")


def certified(directory: Path) -> tuple[Path, Path]:
    """A key store with a certificate for 127.0.0.1, and the certificate by itself."""
    store, certificate = directory / "broker.p12", directory / "broker.pem"
    keytool = ("keytool", "-alias", "broker", "-keystore", str(store), "-storepass", "secret")
    named = ("-dname", "CN=127.0.0.1", "-ext", "san=ip:127.0.0.1", "-validity", "2")
    kind = ("-genkeypair", "-keyalg", "EC", "-storetype", "PKCS12")
    subprocess.run([*keytool, *kind, *named], check=True, capture_output=True)
    exporting = [*keytool, "-exportcert", "-rfc", "-file", str(certificate)]
    subprocess.run(exporting, check=True, capture_output=True)
    return store, certificate


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    open_port, controller = free_port(), free_port()
    doors = {protocol: f"127.0.0.1:{free_port()}" for protocol in DOORS}
    listeners = ",".join(f"{p}://{at}" for p, at in doors.items())
    listeners += f",PLAINTEXT://127.0.0.1:{open_port}"
    directory = tmp_path_factory.mktemp("broker")
    if shutil.which("keytool") is None:
        pytest.skip("no keytool")
    store, certificate = certified(directory)
    login = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_app="hush";'
    properties = {
        "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": listeners,
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listener.security.protocol.map": ",".join(f"{p}:{p}" for p in (*DOORS, "PLAINTEXT"))
        + ",CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": login,
        "listener.name.sasl_ssl.plain.sasl.jaas.config": login,
        "ssl.keystore.type": "PKCS12",
        "ssl.keystore.location": str(store),
        "ssl.keystore.password": "secret",
    }
    try:
        broker = Broker.start(directory, port=open_port, properties=properties)
    except NoBroker as error:
        pytest.skip(str(error))
    yield Guarded(broker, doors, certificate)
    broker.stop()


@pytest.mark.parametrize("protocol", DOORS)
async def test_options_open_a_door(guarded: Guarded, protocol: str, url: str) -> None:
    settings = guarded.settings(protocol)
    create_topics(settings, plan(settings.kafka_topic, partitions=1, replication=1))
    bus = KafkaBus(settings)
    (receipt,) = await bus.publish([said(1)])
    assert receipt.place
    await bus.aclose()
    counts = await anyio.to_thread.run_sync(Stream(settings, url).drain)
    assert counts.appended == 1


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
async def test_a_wrong_password_opens_no_door(guarded: Guarded, protocol: str) -> None:
    settings = guarded.settings(protocol, sasl_plain_password="guess")
    stranger = KafkaBus(settings, delivery_seconds=1.0)
    with pytest.raises(BusUnavailable) as caught:
        await stranger.publish([said(2)])
    assert "guess" not in str(caught.value)
    await stranger.aclose()


PUBLISHING = """
import asyncio, logging
from memory.bus.kafka import KafkaBus
from memory.settings import Settings
from tests.test_kafka_bus import said
logging.basicConfig(level=logging.DEBUG)
asyncio.run(KafkaBus(Settings(), delivery_seconds=1.0).publish([said(1)]))
"""


def test_a_broker_whose_certificate_nobody_vouches_for_is_told_nothing(guarded: Guarded) -> None:
    # In a process of its own: kafka-python leaves the socket of such a handshake to the collector.
    options = {"security_protocol": "SSL", "ssl_cafile": ssl.get_default_verify_paths().cafile}
    ours = {"MEMORY_KAFKA_OPTIONS": json.dumps(options)}
    ours |= {"MEMORY_KAFKA_SERVERS": guarded.doors["SSL"]}
    command = [sys.executable, "-c", PUBLISHING]
    done = subprocess.run(command, env=os.environ | ours, capture_output=True, check=False)
    assert b"BusUnavailable" in done.stderr
    assert b"CERTIFICATE_VERIFY_FAILED" in done.stderr


async def test_order_outlives_a_broker_that_goes_away_and_comes_back(guarded: Guarded) -> None:
    broker = guarded.broker
    settings = kafka_settings(broker.bootstrap, partitions=1)
    bus = KafkaBus(settings, delivery_seconds=1.0)
    calls = [[said(n) for n in range(start, start + 20)] for start in range(0, 400, 20)]
    failed = anyio.Event()
    topic_ids: set[str] = set()

    async def send() -> None:
        for n, call in enumerate(calls):
            if n == 5:
                await anyio.to_thread.run_sync(broker.kill)
            while True:
                try:
                    topic_ids.update(r.place.topic_id for r in await bus.publish(call) if r.place)
                    break
                except BusUnavailable:
                    failed.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await failed.wait()
        await anyio.to_thread.run_sync(broker.restart)
    await bus.aclose()
    assert len(topic_ids) == 1  # its data outlived it
    first: dict[str, int] = {}
    for n, message in enumerate(written(settings)):
        first.setdefault(from_json(message.value).id, n)
    assert sorted(first, key=lambda known: first[known]) == [f"m{n}" for n in range(400)]


# --- names, keys and receipts ---


def test_keys_tell_users_apart_that_run_together() -> None:
    scopes = [Scope("a", "b"), Scope('a","b', "c"), Scope("a", '","c'), Scope('a"', "b")]
    assert len({key_of(scope) for scope in scopes}) == 4
    assert key_of(ANA) == key_of(replace(ANA, session="other", agent=None))
    assert key_of(Scope("größe", "ü")).decode() == '["größe","ü"]'


def test_a_receipt_reads_back_equal_from_its_text() -> None:
    place = Place("cluster", "topic-id", "t", 3, 17)
    for receipt in (Receipt("i", "s", 1, 2, True), Receipt("i", "ß", 0, 0, place=place)):
        assert Receipt.from_json(receipt.json()) == receipt
    for text in ("", "{}", "[]", '{"interaction_id": 5}', "x" * 1000):
        with pytest.raises(InvalidInput, match="not a receipt"):
            Receipt.from_json(text)


# --- making topics ---


def test_topics_are_made_once_and_differences_are_told(kafka: str) -> None:
    settings = kafka_settings(kafka)
    topic = settings.kafka_topic
    again = create_topics(settings, plan(topic, partitions=3, replication=1))
    assert [made.name for made in again] == [topic, dead_letters(topic), changes(topic)]
    assert not any(made.created or made.differences for made in again)
    other = create_topics(settings, plan(topic, partitions=5, replication=1, retention_days=1))
    assert other[0].differences == (
        "partitions is 3, planned 5",
        "retention.ms is 604800000, planned 86400000",
    )
    assert other[0].topic_id == again[0].topic_id


def test_a_topic_the_brokers_cannot_make_says_why(kafka: str) -> None:
    settings = Settings(kafka_servers=(kafka,), kafka_topic="too.many.replicas")
    with pytest.raises(BusRefused, match=r"'too\.many\.replicas' cannot be made: .*replica"):
        create_topics(settings, plan(settings.kafka_topic, replication=30))


# --- settings ---


def test_options_for_kafka_are_checked_and_kept_out_of_sight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MEMORY_KAFKA_SERVERS", "one:9092, two:9093")
    monkeypatch.setenv(
        "MEMORY_KAFKA_OPTIONS",
        '{"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN",'
        ' "sasl_plain_username": "app", "sasl_plain_password": "hush"}',
    )
    settings = Settings()
    assert settings.kafka_servers == ("one:9092", "two:9093")
    assert "hush" not in repr(settings)
    assert settings.kafka_options.plain() == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "app",
        "sasl_plain_password": "hush",
    }


@pytest.mark.parametrize(
    "options", ["{", '{"acks": "all"}', '{"sasl_plain_password": ["hush"]}', "[]"]
)
def test_options_that_are_none_are_named_without_their_values(
    options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from consumers.cli.options import configured
    from memory.errors import ConfigurationError

    monkeypatch.setenv("MEMORY_KAFKA_OPTIONS", options)
    with pytest.raises(ConfigurationError, match="MEMORY_KAFKA_OPTIONS") as caught:
        configured()
    assert "hush" not in str(caught.value)
