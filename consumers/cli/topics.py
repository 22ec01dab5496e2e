"""`memory topics`: creates the topics of the bus."""

import json

import click
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import configured, example, json_option
from consumers.operations.topics import TopicMade, create_topics
from memory.bus.topics import PARTITIONS, plan
from memory.errors import ConfigurationError
from memory.log.envelope_schema import envelope_schema


@click.group("topics", epilog=example("memory topics create --replication 1"))
def topics_command() -> None:
    """Create the topics of the bus, or print the schema of their messages (docs/kafka.md)."""


@topics_command.command(
    "create",
    epilog=example(
        "MEMORY_KAFKA_SERVERS=kafka.example:9092 memory topics create",
        "memory topics create --replication 1",
    ),
)
@click.option(
    "--partitions",
    type=click.IntRange(min=1),
    default=PARTITIONS,
    show_default=True,
    help="Number of partitions; do not change it later.",
)
@click.option(
    "--replication",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Number of replicas.",
)
@click.option(
    "--retention-days",
    type=float,
    default=7.0,
    show_default=True,
    help="How long interactions and changes are kept, in days; -1: for ever.",
)
@click.option(
    "--dead-letter-days",
    type=float,
    default=30.0,
    show_default=True,
    help="How long dead letters are kept, in days.",
)
@json_option
def create_command(
    partitions: int,
    replication: int,
    retention_days: float,
    dead_letter_days: float,
    as_json: bool,
) -> None:
    """Create the topics that are missing.

    There are three: interactions, dead letters and changes.

    Running it again changes nothing, and reports where a topic differs from these options.
    """
    settings = configured()
    if not settings.kafka_servers:
        raise ConfigurationError("MEMORY_KAFKA_SERVERS names no broker, such as 'kafka:9092'")
    planned = plan(
        settings.kafka_topic,
        partitions=partitions,
        replication=replication,
        retention_days=retention_days,
        dead_letter_days=dead_letter_days,
    )
    made = create_topics(settings, planned)
    output.answer(made, as_json, lambda: Text("\n".join(map(_line, made))))


@topics_command.command("schema", epilog=example("memory topics schema > envelope.schema.json"))
@json_option
def schema_command(as_json: bool) -> None:
    """Print the JSON Schema of the envelope, which is the value of a message.

    It is JSON Schema 2020-12. What it lets through is read, within the limits it describes. With
    --json it is on one line.
    """
    click.echo(json.dumps(envelope_schema(), indent=None if as_json else 2, ensure_ascii=False))


def _line(topic: TopicMade) -> str:
    done = "made" if topic.created else "there"
    differs = f"; differs: {', '.join(topic.differences)}" if topic.differences else ""
    return f"{done:5}  {topic.name}, {output.counted(topic.partitions, 'partition')}{differs}"
