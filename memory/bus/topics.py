"""The topics of the bus: their names, message keys and planned configuration.

A topic of interactions has two companions: one for dead letters, and one for changes of memories.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from memory.log.envelope import MAX_ENVELOPE_BYTES
from memory.models import Interaction, Scope

PARTITIONS = 12
"""Partitions of the topics of interactions and of changes: how many processes can share a topic.
Adding partitions later moves users to other partitions, and their order is lost."""

ENVELOPE_ROOM = 65_536
"""Bytes of a message beside its value: key, headers, the framing of a batch."""

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """The planned configuration of a topic, for `memory topics create` to make or to compare."""

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str] = field(default_factory=dict)


class KeyedMessage(Protocol):
    """A message of a topic: bytes under a key."""

    @property
    def key(self) -> bytes: ...

    @property
    def value(self) -> bytes: ...

    @property
    def headers(self) -> list[tuple[str, bytes]]: ...


@dataclass(frozen=True, slots=True)
class Message:
    """An interaction as a message."""

    interaction: Interaction
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]

    @property
    def size(self) -> int:
        """Bytes of key and value."""
        return len(self.key) + len(self.value)


def dead_letters(interactions: str) -> str:
    """Returns the name of the dead-letter topic beside `interactions`."""
    return f"{interactions}.dead-letters"


def changes(interactions: str) -> str:
    """Returns the name of the topic of changes beside `interactions`."""
    return f"{interactions}.changes"


def plan(
    interactions: str,
    *,
    partitions: int = PARTITIONS,
    replication: int = 3,
    retention_days: float = 7,
    dead_letter_days: float = 30,
) -> tuple[Topic, ...]:
    """Plans the three topics; with three or more replicas, two must acknowledge a message."""
    durable = {"min.insync.replicas": str(min(2, max(1, replication - 1)))}
    largest = MAX_ENVELOPE_BYTES + ENVELOPE_ROOM
    kept = {**durable, "cleanup.policy": "delete", "retention.ms": _ms(retention_days)}
    letters = {**kept, "retention.ms": _ms(dead_letter_days)}
    return (
        Topic(interactions, partitions, replication, {**kept, "max.message.bytes": str(largest)}),
        # A dead letter is larger than what it holds: it says why, and where it stood.
        Topic(
            dead_letters(interactions),
            1,
            replication,
            {**letters, "max.message.bytes": str(2 * largest)},
        ),
        Topic(changes(interactions), partitions, replication, kept),
    )


def key_of(scope: Scope) -> bytes:
    """Returns the key of a user's messages, which keeps them in one partition.

    It is a JSON array of tenant and user, in UTF-8, without spaces.
    """
    parts = [scope.tenant, scope.user]
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()


def _ms(days: float) -> str:
    return str(int(days * DAY_MS)) if days >= 0 else "-1"
