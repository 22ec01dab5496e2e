"""The topics of the bus: their names, what a message's key is, and how they are meant to be made.

A topic of interactions has two beside it: what of it could not be applied, and the changes that
memories go through.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from memory.log.envelope import MAX_ENVELOPE_BYTES
from memory.models import Interaction, Scope

PARTITIONS = 12
"""Of interactions and of changes: how many processes can share a topic. Adding some later moves
users to other partitions, and then nothing orders what a user did before and after.
"""

ENVELOPE_ROOM = 65_536
"""What a message may have beside its value: key, headers, the framing of a batch."""

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """How one topic is meant to be: what `memory topics create` makes, or compares with."""

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str] = field(default_factory=dict)


class KeyedMessage(Protocol):
    """What a topic holds: bytes under a key."""

    @property
    def key(self) -> bytes: ...

    @property
    def value(self) -> bytes: ...

    @property
    def headers(self) -> list[tuple[str, bytes]]: ...


@dataclass(frozen=True, slots=True)
class Message:
    """One interaction as it travels."""

    interaction: Interaction
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]

    @property
    def size(self) -> int:
        """Bytes of key and value."""
        return len(self.key) + len(self.value)


def dead_letters(interactions: str) -> str:
    """The topic beside `interactions` for what could not be applied."""
    return f"{interactions}.dead-letters"


def changes(interactions: str) -> str:
    """The topic beside `interactions` for what became of memories."""
    return f"{interactions}.changes"


def plan(
    interactions: str,
    *,
    partitions: int = PARTITIONS,
    replication: int = 3,
    retention_days: float = 7,
    dead_letter_days: float = 30,
) -> tuple[Topic, ...]:
    """The three topics; with three replicas or more, two must have a message to acknowledge it."""
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
    """The key of a user's messages: one partition for all of them, and no two users' keys alike.

    A JSON array of tenant and user, in UTF-8, without spaces.
    """
    parts = [scope.tenant, scope.user]
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()


def _ms(days: float) -> str:
    return str(int(days * DAY_MS)) if days >= 0 else "-1"
