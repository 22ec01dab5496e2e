"""Sends dead letters to the dead-letter topic, at least once each."""

import logging
from base64 import b64decode
from collections.abc import Callable, Collection
from contextlib import suppress
from time import monotonic
from typing import Any

from kafka import KafkaProducer
from kafka import errors as theirs

from consumers.ingest.store import IngestStore, TopicId
from memory.bus.kafka_connection import client_options, unknown_topic
from memory.bus.topics import dead_letters
from memory.errors import UnknownTopic
from memory.settings import Settings

logger = logging.getLogger(__name__)

LETTERS_AT_ONCE = 100
LOOK_SECONDS = 30.0
"""Seconds between two looks for dead letters that an earlier process left unsent."""

AGAIN_SECONDS = 60.0
SEND_SECONDS = 5.0


class Sender:
    """Sends the dead letters that the topic lacks; the table stays the source of truth.

    A failure here never stops ingestion: it is logged, and retried later. `known` says whether a
    topic exists; without that check, a producer would hold up ingestion until it gave up.
    """

    def __init__(self, settings: Settings, topic: TopicId, known: Callable[[str], bool]) -> None:
        self._settings = settings
        self._topic = topic
        self._name = dead_letters(topic.name)
        self._known = known
        self._next_look = 0.0
        self._producer: Any = None
        self._failing = False

    def send(self, store: IngestStore, partitions: Collection[int], *, new: bool) -> None:
        """Sends the unsent dead letters of these partitions; `new`: some have just been added.

        Raises:
            StoreUnavailable: retriable.
        """
        if monotonic() < self._next_look and (self._failing or not new):
            return
        self._next_look = monotonic() + LOOK_SECONDS
        params = {**self._topic.key, "partitions": sorted(partitions), "limit": LETTERS_AT_ONCE}
        while rows := store.fetch("dead_letters.unsent", params):
            try:
                self._deliver(rows)
            except (theirs.KafkaError, OSError, UnknownTopic) as error:
                self._failing = True
                self._next_look = monotonic() + AGAIN_SECONDS
                logger.warning("dead letters wait in the table: %s: %r", self._name, error)
                return
            self._failing = False
            store.fetch("dead_letters.sent", {"letters": [row["dead_letter_id"] for row in rows]})

    def close(self) -> None:
        if self._producer is not None:
            with suppress(theirs.KafkaError):
                self._producer.close(timeout=SEND_SECONDS)

    def _deliver(self, rows: list[dict[str, Any]]) -> None:
        if not self._known(self._name):
            raise unknown_topic(self._settings, self._name)
        if self._producer is None:
            self._producer = KafkaProducer(
                **client_options(self._settings),
                acks="all",
                enable_idempotence=True,
                allow_auto_create_topics=False,
                max_block_ms=int(SEND_SECONDS * 1000),
                bootstrap_timeout_ms=int(SEND_SECONDS * 1000),
                max_request_size=16 * 1024 * 1024,
                metrics_enabled=False,
            )
        sent = [(row, self._producer.send(self._name, **_message(row))) for row in rows]
        for row, acknowledged in sent:
            try:
                acknowledged.get(SEND_SECONDS)
            except (theirs.MessageSizeTooLargeError, theirs.RecordListTooLargeError) as error:
                logger.warning(
                    "dead letter %d is in the table only: %r", row["dead_letter_id"], error
                )


def _message(row: dict[str, Any]) -> dict[str, Any]:
    """The original message, with headers for its reason and its place."""
    place = f"{row['topic']}/{row['partition']}@{row['record_offset']}"
    said = {"reason": row["reason"], "detail": row["detail"], "place": place}
    headers = [
        *((name, None if value is None else b64decode(value)) for name, value in row["headers"]),
        *((f"dead-letter-{name}", text.encode()) for name, text in said.items()),
    ]
    return {"key": row["key"], "value": row["value"], "headers": headers}
