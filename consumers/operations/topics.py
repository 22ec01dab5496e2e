"""Creates the planned topics of the bus, and reports how existing ones differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memory.bus.topics import Topic
from memory.errors import BusRefused
from memory.optional import extra
from memory.settings import Settings

CONNECT_SECONDS = 10.0

_MADE = 0
_ALREADY_THERE = 36


@dataclass(frozen=True, slots=True)
class TopicMade:
    """One topic after `create_topics`.

    differences: how an existing topic differs from the plan, one sentence each. Existing topics are
        not changed: that is the brokers' operator's decision.
    """

    name: str
    topic_id: str
    created: bool
    partitions: int
    differences: tuple[str, ...] = ()


def create_topics(settings: Settings, planned: Sequence[Topic]) -> list[TopicMade]:
    """Creates the missing topics; running it again changes nothing. Blocks.

    Raises:
        BusUnavailable: no broker answers within CONNECT_SECONDS.
        BusRefused: the brokers refuse this client, or cannot make such a topic, for example with
            more replicas than there are brokers.
    """
    with extra("kafka"):
        from memory.bus.kafka_connection import administration
    with administration(settings, CONNECT_SECONDS) as admin:
        made = {topic.name for topic in planned if _created(admin, topic)}
        names = [topic.name for topic in planned]
        admin.wait_for_topics(names)
        found = {topic["name"]: topic for topic in admin.describe_topics(names)}
        return [
            _compared(admin, topic, found[topic.name], created=topic.name in made)
            for topic in planned
        ]


def _created(admin: Any, topic: Topic) -> bool:
    """Creates a topic; returns False if it existed, perhaps made by another process just now."""
    wanted = {
        "num_partitions": topic.partitions,
        "replication_factor": topic.replication,
        "configs": dict(topic.configs),
    }
    answer = admin.create_topics({topic.name: wanted}, raise_errors=False)["topics"][0]
    if answer["error_code"] not in {_MADE, _ALREADY_THERE}:
        raise BusRefused(f"topic {topic.name!r} cannot be made: {answer['error_message']}")
    return bool(answer["error_code"] == _MADE)


def _compared(admin: Any, topic: Topic, found: Mapping[str, Any], *, created: bool) -> TopicMade:
    partitions = found["partitions"]
    replicas = min(len(partition["replica_nodes"]) for partition in partitions)
    pairs = [
        ("partitions", str(len(partitions)), str(topic.partitions)),
        ("replicas", str(replicas), str(topic.replication)),
        *((k, v, topic.configs[k]) for k, v in _configs(admin, topic).items()),
    ]
    return TopicMade(
        topic.name,
        str(found["topic_id"]),
        created,
        len(partitions),
        tuple(f"{what} is {has}, planned {want}" for what, has, want in pairs if has != want),
    )


def _configs(admin: Any, topic: Topic) -> dict[str, str]:
    """The topic's settings that were planned."""
    from kafka.admin import ConfigResource, ConfigResourceType

    asked = ConfigResource(ConfigResourceType.TOPIC, topic.name, list(topic.configs))
    answer = admin.describe_configs([asked], config_filter="all")
    found = answer.get("topic", {}).get(topic.name, {})
    return {name: str(config["value"]) for name, config in found.items()}
