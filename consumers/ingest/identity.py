"""Identifies the topic of records: a name can be given to another topic while it is read.

kafka-python fetches by name, so records do not tell their topic. But a topic id is never used
again: if brokers still give the name the old id after they returned records, the records are of the
old topic.
"""

from collections.abc import Collection
from time import monotonic, sleep
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka import errors as theirs
from kafka.protocol.metadata import MetadataRequest

from consumers.ingest.store import TopicId
from consumers.ingest.stream import recreated
from memory.bus.kafka_connection import client_options, unknown_topic
from memory.settings import Settings

ANSWER_MS = 10_000
AGAIN_SECONDS = 0.1
_FIRST_WITH_IDS = 10
"""The version of a metadata answer that has ids (Kafka 2.8); older brokers cannot be asked."""


def identity(consumer: Any, settings: Settings) -> TopicId:
    """Returns the topic that has the name now.

    Raises:
        UnknownTopic: there is none.
    """
    name = settings.kafka_topic
    if not consumer.partitions_for_topic(name):
        raise unknown_topic(settings, name)
    # kafka-python keeps it with the topic's other metadata and has no public name for it.
    cluster = consumer._cluster  # noqa: SLF001
    return TopicId(str(cluster.cluster_id), str(cluster.topic_id(name)), name)


class TopicGuard:
    """Asks brokers on its own connections: one with a waiting fetch answers nothing else."""

    def __init__(self, consumer: Any, topic: TopicId, settings: Settings) -> None:
        self.topic = topic
        self.consumer = consumer
        self.client = KafkaAdminClient(
            **client_options(settings),
            bootstrap_timeout_ms=ANSWER_MS,
            request_timeout_ms=ANSWER_MS,
        )

    def ask(self, partitions: Collection[TopicPartition]) -> "TopicCheck":
        """Starts a check that what was read of these partitions before is of the topic."""
        return TopicCheck(self, partitions)

    def knows(self, name: str) -> bool:
        """Returns whether a topic of this name exists; raises KafkaError if no broker answers."""
        (found,) = self.client.describe_topics([name])
        return not found["error_code"]

    def close(self) -> None:
        self.client.close()


class TopicCheck:
    """Asks the brokers which topic has the name now; `confirm` evaluates their answers.

    It asks the leaders of `partitions`, since their own view decided the answers to fetches;
    another broker's view may be older. So if it is confirmed, everything read before the check is
    of the topic.
    """

    def __init__(self, guard: TopicGuard, partitions: Collection[TopicPartition]) -> None:
        self._topic = guard.topic
        self._leaders_in = guard.consumer._cluster  # noqa: SLF001 - no public name
        self._manager = guard.client._manager  # noqa: SLF001 - no public name
        self._partitions = partitions
        self._asked = self._ask()

    def confirm(self) -> None:
        """Waits for the answers; asks a broker that is away again for a while.

        Raises:
            TopicRecreated: another topic has the name now.
            KafkaError: the topic is gone, or no broker answers.
        """
        for answer in self._answers():
            self._confirm(answer)

    def _answers(self) -> Any:
        deadline = monotonic() + ANSWER_MS / 1000
        while True:
            left = max(0.0, deadline - monotonic())
            try:
                return self._manager.run(self._manager.wait_for, self._asked, left * 1000)
            except (theirs.RetriableError, theirs.UnknownBrokerIdError):
                if not left:
                    raise
            for cluster in (self._leaders_in, self._manager.cluster):
                cluster.request_update()
            sleep(AGAIN_SECONDS)
            self._asked = self._ask()

    def _ask(self) -> Any:
        return self._manager.call_soon(self._sent)

    async def _sent(self) -> list[Any]:
        """Runs in the client's own thread: sends to all at once, then waits for each."""
        leaders = {self._leaders_in.leader_for_partition(p) for p in self._partitions}
        if leaders & {None, -1}:
            raise theirs.LeaderNotAvailableError(self._topic.name)
        sent = [self._manager.send(self._request(), node_id=leader) for leader in leaders]
        return [await answer for answer in sent]

    def _request(self) -> Any:
        return MetadataRequest(
            topics=[MetadataRequest.MetadataRequestTopic(name=self._topic.name)],
            allow_auto_topic_creation=False,
            include_cluster_authorized_operations=False,
            include_topic_authorized_operations=False,
        )

    def _confirm(self, answer: Any) -> None:
        (found,) = answer.topics
        if found.error_code:
            raise theirs.for_code(found.error_code)(self._topic.name)
        if answer.API_VERSION >= _FIRST_WITH_IDS and str(found.topic_id) != self._topic.topic_id:
            raise recreated(self._topic, f"it has another id, {found.topic_id}")
