"""The broker's side of a run: makes the topics, and reads in the end what stands in them."""

from contextlib import closing
from time import monotonic
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from benchmarks.chaos.snapshot import Message
from consumers.operations.topics import create_topics
from memory.bus import topics
from memory.settings import Settings

READING_SECONDS = 120.0

# Quick to see that somebody is gone, so that many may go in a short run.
BROKER_PROPERTIES = {"group.min.session.timeout.ms": "1000"}


def make_topics(bootstrap: str, interactions: str, partitions: int) -> None:
    """The product's topics, on one broker."""
    settings = Settings(kafka_servers=(bootstrap,), kafka_topic=interactions)
    create_topics(settings, topics.plan(interactions, partitions=partitions, replication=1))


def read_topic(bootstrap: str, topic: str) -> tuple[dict[int, int], list[Message]]:
    """Where each partition ends, and everything that stands in them.

    Raises:
        TimeoutError: it takes too long.
    """
    with closing(KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)) as consumer:
        numbers = sorted(consumer.partitions_for_topic(topic))
        partitions = [TopicPartition(topic, n) for n in numbers]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        found: list[Message] = []
        deadline = monotonic() + READING_SECONDS
        while any(consumer.position(p) < ends[p] for p in partitions):
            if monotonic() > deadline:
                raise TimeoutError(f"topic {topic!r} was not read in {READING_SECONDS:.0f} s")
            found += _polled(consumer)
    return {p.partition: ends[p] for p in partitions}, found


def read_ends(bootstrap: str, topic: str) -> dict[int, int]:
    """Where each partition ends."""
    with closing(KafkaConsumer(bootstrap_servers=bootstrap)) as consumer:
        partitions = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
        return {p.partition: end for p, end in consumer.end_offsets(partitions).items()}


def _polled(consumer: Any) -> list[Message]:
    batches = consumer.poll(timeout_ms=500).values()
    return [Message(r.partition, r.offset, r.value) for records in batches for r in records]
