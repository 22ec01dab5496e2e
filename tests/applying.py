"""Brings a topic's messages into the log, for tests of what comes before that: one at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from anyio.from_thread import start_blocking_portal
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from memory.database import Database, DatabaseRole
from memory.envelope import from_json
from memory.errors import ForgottenId, InteractionConflict
from memory.log import Log
from memory.settings import Settings


class Applying:
    """Applies while it is not held; `held` is an event that stops it where it stands."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._servers = list(settings.kafka_servers or ())
        self._stop = threading.Event()
        self.flowing = threading.Event()
        self.flowing.set()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self.flowing.set()
        self._thread.join()

    def _run(self) -> None:
        assert self._settings.database_url
        url = self._settings.database_url.get_secret_value()
        topic = self._settings.kafka_topic
        with KafkaAdminClient(bootstrap_servers=self._servers) as admin:
            cluster = admin.describe_cluster()["cluster_id"]
            topic_id = str(admin.describe_topics([topic])[0]["topic_id"])
        consumer = KafkaConsumer(bootstrap_servers=self._servers, auto_offset_reset="earliest")
        parts = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
        consumer.assign(parts)
        with (
            psycopg.connect(url, autocommit=True) as connection,
            start_blocking_portal() as portal,
        ):
            connection.execute("SET search_path TO memory, public")
            database = Database(self._settings, url, DatabaseRole.WORKER)
            with portal.wrap_async_context_manager(database):
                log = Log(database, self._settings)
                while not self._stop.is_set():
                    for records in consumer.poll(timeout_ms=100).values():
                        for record in records:
                            self.flowing.wait()
                            self._apply(portal, log, record)
                            self._moved(connection, (cluster, topic_id), record)
        consumer.close()

    def _apply(self, portal: Any, log: Log, record: Any) -> None:
        if self._stop.is_set():
            return
        with suppress(ForgottenId, InteractionConflict):
            portal.call(log.append, [from_json(record.value)])

    def _moved(self, connection: psycopg.Connection, topic: tuple[str, str], record: Any) -> None:
        connection.execute(
            "INSERT INTO positions (cluster_id, topic_id, partition, topic, owner, next_offset)"
            " VALUES (%s, %s, %s, %s, 'test', %s) ON CONFLICT (cluster_id, topic_id, partition)"
            " DO UPDATE SET next_offset = excluded.next_offset",
            (*topic, record.partition, record.topic, record.offset + 1),
        )


@contextmanager
def applying(settings: Settings) -> Iterator[Applying]:
    made = Applying(settings)
    made.start()
    try:
        yield made
    finally:
        made.stop()
