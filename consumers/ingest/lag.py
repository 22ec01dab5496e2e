"""Measures how far ingestion is behind the topic: in messages, and in seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from anyio import to_thread

from consumers.ingest.group import group_of
from memory.database import Database
from memory.errors import BusUnavailable, ConfigurationError
from memory.optional import extra
from memory.settings import Settings

LOOK_SECONDS = 5.0
"""Time limit for brokers to say where a topic ends, and to return the first waiting records."""


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """The lag of one partition of the topic.

    waiting: messages from the position to the topic's end; offsets have holes, so it may be fewer.
    seconds: age of the oldest waiting message; 0 if none waits.
    Both are None if the brokers could not be asked.
    """

    partition: int
    next_offset: int | None
    waiting: int | None
    seconds: float | None
    owner: str
    appended: int
    duplicates: int
    forgotten: int
    set_aside: int


@dataclass(frozen=True, slots=True)
class IngestState:
    """The ingestion of the configured topic.

    group: the store's own consumer group.
    brokers: as configured, `host:port`.
    unknown: why the brokers could not be asked; None if they answered.
    passing: whether that may end without anybody changing the installation.
    """

    topic: str
    partitions: tuple[PartitionLag, ...]
    dead_letters: Mapping[str, int]
    group: str = ""
    brokers: tuple[str, ...] = ()
    unknown: str | None = None
    passing: bool = False

    @property
    def waiting(self) -> int | None:
        """Waiting messages of all partitions."""
        if self.unknown:
            return None
        return sum(p.waiting or 0 for p in self.partitions)

    @property
    def seconds(self) -> float | None:
        """The longest wait of all partitions."""
        if self.unknown:
            return None
        return max((p.seconds or 0.0 for p in self.partitions), default=0.0)


async def ingest_state(database: Database, settings: Settings) -> IngestState | None:
    """Reads the state of ingestion, or returns None if no brokers are configured."""
    if not settings.kafka_servers:
        return None
    rows = await database.fetch_system("ingest.positions", {"topic": settings.kafka_topic})
    letters = await database.fetch_system("dead_letters.waiting")
    counts = {row["reason"]: row["letters"] for row in letters}
    group = group_of((await database.fetch_system("identity.read"))[0])
    found = IngestState(settings.kafka_topic, (), counts, group, settings.kafka_servers)
    try:
        behind = await to_thread.run_sync(_behind, settings, rows)
    except (BusUnavailable, ConfigurationError) as error:
        lags = tuple(_lag(row["partition"], row, None, None) for row in rows)
        return replace(found, partitions=lags, unknown=str(error), passing=error.retriable)
    return replace(found, partitions=tuple(behind))


def _behind(settings: Settings, rows: Sequence[Mapping[str, Any]]) -> list[PartitionLag]:
    """Asks the brokers, as a consumer without a group."""
    with extra("kafka"):
        from kafka import KafkaConsumer, TopicPartition

        from memory.bus.kafka_connection import client_options, translated, unknown_topic
    topic, patience = settings.kafka_topic, int(LOOK_SECONDS * 1000)
    with translated(settings):
        consumer = KafkaConsumer(
            **client_options(settings),
            bootstrap_timeout_ms=patience,
            allow_auto_create_topics=False,
            isolation_level="read_committed",
            metrics_enabled=False,
        )
        try:
            numbers = consumer.partitions_for_topic(topic)
            if not numbers:
                raise unknown_topic(settings, topic)
            # kafka-python has no public name for the topic's id on a consumer.
            topic_id = str(consumer._cluster.topic_id(topic))  # noqa: SLF001
            known = {row["partition"]: row for row in rows if row["topic_id"] == topic_id}
            parts = [TopicPartition(topic, n) for n in sorted(numbers)]
            begins, ends = (
                consumer.beginning_offsets(parts, patience),
                consumer.end_offsets(parts, patience),
            )
            starts = {p: _start(known.get(p.partition), begins[p]) for p in parts}
            oldest = _oldest(consumer, {p: s for p, s in starts.items() if s < ends[p]})
            return [
                _lag(
                    p.partition, known.get(p.partition), max(0, ends[p] - starts[p]), oldest.get(p)
                )
                for p in parts
            ]
        finally:
            consumer.close(timeout_ms=patience)


def _start(row: Mapping[str, Any] | None, begin: int) -> int:
    if row is None or row["next_offset"] is None:
        return begin
    return max(int(row["next_offset"]), begin)


def _oldest(consumer: Any, starts: Mapping[Any, int]) -> dict[Any, float]:
    """The age of the first record from each start on, as far as seen."""
    consumer.assign(list(starts))
    for partition, offset in starts.items():
        consumer.seek(partition, offset)
    found: dict[Any, float] = {}
    deadline = monotonic() + LOOK_SECONDS
    while starts.keys() - found.keys() and monotonic() < deadline:
        for partition, records in consumer.poll(200).items():
            written = records[0].timestamp / 1000
            found.setdefault(partition, max(0.0, datetime.now(UTC).timestamp() - written))
            consumer.pause(partition)
    return found


def _lag(
    partition: int, row: Mapping[str, Any] | None, waiting: int | None, seconds: float | None
) -> PartitionLag:
    known = row or {}
    if waiting and seconds is None and row:  # not handed out in time: at most since then
        seconds = (datetime.now(UTC) - row["updated_at"]).total_seconds()
    return PartitionLag(
        partition,
        known.get("next_offset"),
        waiting,
        0.0 if waiting == 0 else None if seconds is None else round(seconds, 3),
        known.get("owner", ""),
        known.get("appended", 0),
        known.get("duplicates", 0),
        known.get("forgotten", 0),
        known.get("set_aside", 0),
    )
