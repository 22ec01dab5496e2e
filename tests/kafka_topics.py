"""Topics of a test's own on the run's broker."""

from uuid import uuid4

from pydantic import SecretStr

from consumers.operations.topics import create_topics
from memory.bus.topics import plan
from memory.settings import Settings


def kafka_settings(kafka: str, url: str | None = None, *, partitions: int = 3) -> Settings:
    """Settings for topics that are made here, over the database at `url`."""
    settings = Settings(
        database_url=SecretStr(url) if url else None,
        debounce=0.0,
        pool_max=4,
        kafka_servers=(kafka,),
        kafka_topic=f"test.{uuid4().hex}",
    )
    create_topics(settings, plan(settings.kafka_topic, partitions=partitions, replication=1))
    return settings
