"""Tracks the partitions of this process, their epochs, and their positions."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener

from consumers.ingest.store import IngestStore, TopicId
from memory.errors import PositionLost

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class OwnedPartition:
    """One partition under one epoch; a later ownership is another object.

    The log holds everything before `applied`. Records before `next_offset` were read, and are in
    the log or on their way there.
    """

    partition: TopicPartition
    epoch: int
    next_offset: int
    applied: int


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]
    """Takes over partitions in Postgres as the group assigns them, and seeks to their positions.

    kafka-python calls it in its own thread while `poll()` waits for it. `quiet` returns once no
    batch is in progress on the store's connection. A failure here must end the consumer, which
    would otherwise continue from the broker's offsets; `failure` holds the error.
    """

    def __init__(
        self,
        consumer: Any,
        store: IngestStore,
        topic: TopicId,
        owner: str,
        quiet: Callable[[], None] = lambda: None,
    ) -> None:
        self.owned: dict[TopicPartition, OwnedPartition] = {}
        self.failure: Exception | None = None
        self._consumer = consumer
        self._store = store
        self._topic = topic
        self._owner = owner
        self._quiet = quiet
        self._unbegun: dict[TopicPartition, int] = {}

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Raises the epoch of each partition, and reads on from its position in Postgres."""
        try:
            self._quiet()
            numbers = [p.partition for p in assigned]
            taken = self._store.take(self._topic, numbers, self._owner) if numbers else {}
            for partition in assigned:
                standing = taken[partition.partition]
                if standing.next_offset is None:
                    self._wait(partition, standing.epoch)
                else:
                    self._stand(partition, standing.epoch, standing.next_offset)
        except Exception as error:
            self.failure = error
            raise
        logger.info("took over %s of %s", sorted(numbers), self._topic.name)

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Releases them: their next owner reads what was read and not committed."""
        self._quiet()
        for partition in revoked:
            self.owned.pop(partition, None)
            self._unbegun.pop(partition, None)
        logger.info("gave up %s of %s", sorted(p.partition for p in revoked), self._topic.name)

    def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        """Releases them as when revoked; the epoch fences off an owner that has them already."""
        self.on_partitions_revoked(lost)

    def begin(self) -> None:
        """Notes the start of partitions that nobody had read, and starts reading them.

        Raises:
            PositionLost: one was taken over meanwhile.
        """
        if not self._unbegun:
            return
        self._quiet()
        unbegun = self._unbegun
        starts = self._consumer.beginning_offsets(list(unbegun))
        epochs = {p.partition: epoch for p, epoch in unbegun.items()}
        self._store.begin(self._topic, epochs, {p.partition: starts[p] for p in unbegun})
        for partition, epoch in unbegun.items():
            self._stand(partition, epoch, starts[partition])
            self._consumer.resume(partition)
        self._unbegun = {}

    def stand_where_committed(self, store: IngestStore) -> None:
        """Returns to the log's position, on a new connection, after a commit of unknown outcome.

        Raises:
            PositionLost: a partition was taken over meanwhile.
        """
        self._store = store
        held = store.held(self._topic, [p.partition for p in self.owned])
        for partition, owned in self.owned.items():
            standing = held.get(partition.partition)
            if standing is None or standing.epoch != owned.epoch or standing.next_offset is None:
                raise PositionLost(
                    f"partition {partition.partition} of topic {self._topic.name!r} was taken over"
                    " by another process"
                )
            self._stand(partition, owned.epoch, standing.next_offset)

    def _stand(self, partition: TopicPartition, epoch: int, next_offset: int) -> None:
        self.owned[partition] = OwnedPartition(partition, epoch, next_offset, next_offset)
        self._consumer.seek(partition, next_offset)

    def _wait(self, partition: TopicPartition, epoch: int) -> None:
        """Postpones a partition without a position: the broker cannot be asked here."""
        self._unbegun[partition] = epoch
        self._consumer.seek(partition, 0)
        self._consumer.pause(partition)
