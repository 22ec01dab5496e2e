"""The broker the tests run on: what is written to it outlives its death."""

from pathlib import Path
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from benchmarks.broker import Broker, NoBroker


def test_it_creates_no_topic_by_accident(kafka: str) -> None:
    topic = f"topic-{uuid4().hex}"
    with KafkaAdminClient(bootstrap_servers=kafka) as admin:
        assert admin.describe_topics([topic])[0]["error_code"] == 3  # unknown topic
        assert topic not in admin.list_topics()


def test_what_it_acknowledged_survives_its_death(tmp_path: Path) -> None:
    try:
        broker = Broker.start(tmp_path)
    except NoBroker as error:
        pytest.skip(str(error))
    try:
        with KafkaAdminClient(bootstrap_servers=broker.bootstrap) as admin:
            admin.create_topics({"t": {"num_partitions": 1}}, wait_for_metadata=True)
            before = admin.describe_topics(["t"])[0]["topic_id"]
        producer = KafkaProducer(bootstrap_servers=broker.bootstrap, acks="all")
        producer.send("t", b"first").get(timeout=30)
        broker.kill()
        broker.restart()
        producer.send("t", b"second").get(timeout=60)
        producer.close()
        consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
        consumer.assign([TopicPartition("t", 0)])
        values: list[bytes] = []
        while len(values) < 2:
            for records in consumer.poll(timeout_ms=1000).values():
                values += [record.value for record in records]
        consumer.close()
        with KafkaAdminClient(bootstrap_servers=broker.bootstrap) as admin:
            assert admin.describe_topics(["t"])[0]["topic_id"] == before
        assert values == [b"first", b"second"]
    finally:
        broker.stop()
