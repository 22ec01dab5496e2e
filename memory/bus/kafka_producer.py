"""One connection that writes to a topic until something fails on it."""

from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

from kafka import KafkaProducer
from kafka import errors as theirs
from kafka.admin import ConfigResource, ConfigResourceType

from memory.bus.kafka_connection import (
    administration,
    client_options,
    translated,
    unknown_topic,
)
from memory.bus.topics import KeyedMessage, Message
from memory.errors import InteractionTooLarge
from memory.models import Place
from memory.settings import Settings

FRAMING_BYTES = 200
"""Bytes of a batch with one message, beside its key and value."""

_LEAST_SECONDS = 0.001
_LEAST_CONNECT_SECONDS = 1.0
_UNKNOWN_TOPIC = 3
_LARGEST = "max.message.bytes"


class Producer:
    """A connected idempotent producer; it ends with the first message that fails.

    Everything it still holds then fails as well. Otherwise a message that waited behind the failed
    one would be written before it when its sender tries again.
    """

    def __init__(self, settings: Settings, delivery_seconds: float) -> None:
        """Connects to the brokers.

        Raises:
            BusUnavailable: no broker answers within `delivery_seconds`.
            UnknownTopic: the brokers have no such topic.
            BusRefused: they refuse this client, or do not let it write.
        """
        self.ended = False
        self._settings = settings
        self._topic = settings.kafka_topic
        deadline = monotonic() + delivery_seconds
        with translated(settings):
            # Before the other client, which leaves a thread behind where no broker answers it.
            self._kafka = _producer(settings, delivery_seconds)
        try:
            left = max(_LEAST_CONNECT_SECONDS, deadline - monotonic())
            with administration(settings, left) as admin:
                self._describe(admin)
            with translated(settings):
                self._kafka.partitions_for(self._topic)
        except BaseException:
            self._end()
            raise

    def _describe(self, admin: Any) -> None:
        self._cluster_id = str(admin.describe_cluster()["cluster_id"])
        found = admin.describe_topics([self._topic])[0]
        if found["error_code"] == _UNKNOWN_TOPIC:
            raise unknown_topic(self._settings, self._topic)
        if found["error_code"]:
            raise theirs.for_code(found["error_code"])(self._topic)
        self._topic_id = str(found["topic_id"])
        self._largest = _largest_message(admin, self._topic)

    def check_sizes(self, messages: Sequence[Message]) -> None:
        """Checks that the topic takes messages of these sizes.

        Raises:
            InteractionTooLarge: it does not take one of them.
        """
        for message in messages:
            size = message.size + FRAMING_BYTES
            if self._largest is not None and size > self._largest:
                raise InteractionTooLarge(
                    f"interaction {message.interaction.id!r} makes a message of {size:,} bytes,"
                    f" and topic {self._topic!r} takes {self._largest:,} (max.message.bytes)"
                )

    def deliver(self, messages: Sequence[KeyedMessage], deadline: float) -> list[Place]:
        """Sends messages in order and returns their places once all are acknowledged.

        Raises:
            BusUnavailable: not acknowledged before `deadline`; the first part of them may be.
            BusRefused: the brokers do not let this client write.
        """
        with translated(self._settings):
            try:
                acknowledged = [self._send(message) for message in messages]
                return [self._place(a.get(_seconds_until(deadline))) for a in acknowledged]
            except BaseException:
                self._end()
                raise

    def _send(self, message: KeyedMessage) -> Any:
        sent = self._kafka.send(
            self._topic, key=message.key, value=message.value, headers=message.headers
        )
        # Called in the producer's own thread, before it can go on to what waits behind.
        sent.add_errback(lambda _: self._end())
        return sent

    def _end(self) -> None:
        """Ends this producer from any thread: it sends no more, and everything it holds fails."""
        self.ended = True
        # Its own close() first waits for what it holds, and so would send it.
        self._kafka._sender.force_close()  # noqa: SLF001

    def _place(self, written: Any) -> Place:
        return Place(
            self._cluster_id, self._topic_id, self._topic, written.partition, written.offset
        )

    def end(self, seconds: float) -> None:
        """Waits at most `seconds` for messages in flight, and disconnects."""
        with suppress(theirs.KafkaError):
            self._kafka.close(timeout=0 if self.ended else seconds)
        self.ended = True


def _producer(settings: Settings, delivery_seconds: float) -> Any:
    delivery = int(delivery_seconds * 1000)
    return KafkaProducer(
        **client_options(settings),
        acks="all",
        enable_idempotence=True,
        allow_auto_create_topics=False,
        delivery_timeout_ms=delivery,
        request_timeout_ms=delivery // 2,
        max_block_ms=delivery,
        bootstrap_timeout_ms=delivery,
        max_request_size=16 * 1024 * 1024,  # what one message may have is the topic's to say
        batch_size=128 * 1024,
        metrics_enabled=False,
    )


def _largest_message(admin: Any, topic: str) -> int | None:
    """The topic's message limit in bytes, or None if this client may not read it."""
    asked = ConfigResource(ConfigResourceType.TOPIC, topic, [_LARGEST])
    try:
        answer = admin.describe_configs([asked], config_filter="all")
    except theirs.KafkaError:
        return None
    found = answer.get("topic", {}).get(topic, {}).get(_LARGEST)
    return int(found["value"]) if found else None


def _seconds_until(deadline: float) -> float:
    return max(_LEAST_SECONDS, deadline - monotonic())
