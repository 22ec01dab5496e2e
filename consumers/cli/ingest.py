"""`memory ingest`: writes a Kafka topic to the log."""

import gc
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import click
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import (
    configured,
    example,
    health_option,
    json_option,
)
from consumers.ingest.mapping import read_mapping
from consumers.ingest.options import IngestOptions
from consumers.runtime import logs
from consumers.runtime.health import Health, HealthAddress, answering
from consumers.store import store_probe
from memory.errors import ConfigurationError
from memory.logins import LoginKind
from memory.migrate import store_url
from memory.optional import extra

if TYPE_CHECKING:
    from consumers.ingest.running import Ingest
    from consumers.ingest.store import Counts

SWITCH_SECONDS = 0.001
"""How long a reading thread may hold up a thread that has an answer from Postgres; Python's default
is 5 ms."""

COLLECT_AFTER = 20_000
"""New objects after which the interpreter looks for cycles among them; Python's default is 700."""


@click.command(
    "ingest",
    epilog=example(
        "memory ingest",
        "memory ingest --instance-id ingest-1",
        "MEMORY_KAFKA_TOPIC=crm.messages memory ingest --mapping crm.toml",
    ),
)
@click.option(
    "--group",
    help="Consumer group; its processes share the partitions. Default: the store's own group.",
)
@click.option("--instance-id", help="Static member name: its partitions wait while it restarts.")
@click.option(
    "--mapping",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A TOML or JSON file that maps other messages to the envelope.",
)
@click.option(
    "--drain", is_flag=True, help="Stop once the messages that are there now are in the log."
)
@click.option(
    "--accept-loss", is_flag=True, help="Continue after a gap, a truncation, or a recreated topic."
)
@health_option
@json_option
def ingest_command(
    group: str | None,
    instance_id: str | None,
    mapping: Path | None,
    drain: bool,
    accept_loss: bool,
    health: HealthAddress,
    as_json: bool,
) -> None:
    """Write the topic of MEMORY_KAFKA_TOPIC to the log, until stopped.

    Any number of these may run at once, on any number of hosts: they share the partitions. Messages
    that cannot be applied become dead letters (`memory dead-letters`). Passing failures are waited
    out.
    """
    settings = configured()
    if not settings.kafka_servers:
        raise ConfigurationError(
            "MEMORY_KAFKA_SERVERS is not set; without Kafka, Postgres is the bus"
        )
    options = IngestOptions(
        group=group,
        instance_id=instance_id,
        mapping=read_mapping(mapping) if mapping else None,
        drain=drain,
        accept_loss=accept_loss,
    )
    with extra("kafka"):
        from consumers.ingest.running import Ingest
    settle_in()
    logs.inform()
    told = Health("ingest", store_probe(settings))
    with answering(told, health), output.progress("ingesting", "records") as advance:
        ingest = Ingest(
            settings,
            # Under our own handlers of signals.
            lambda: anyio.run(store_url, settings, LoginKind.WORKER),
            options,
            lambda so_far: advance(so_far.records),
            told,
        )
        output.say("ingesting; press Ctrl-C to stop")
        with _stopping(ingest):
            done = ingest.run()
    output.answer(done, as_json, lambda: _ingested(done))


def settle_in() -> None:
    """Tunes the interpreter for one thread that reads while another waits for Postgres."""
    sys.setswitchinterval(SWITCH_SECONDS)
    # A batch is many objects without a cycle: looking for some took a quarter of the reading.
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


@contextmanager
def _stopping(ingest: "Ingest") -> Iterator[None]:
    """Lets SIGTERM and SIGINT finish the current batch; a second signal ends the process."""
    signals = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in signals]

    def restore() -> None:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)

    def stop(*_: object) -> None:
        restore()
        ingest.stop()

    for number in signals:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()


def _ingested(done: "Counts") -> Text:
    return Text(
        f"{output.counted(done.records, 'record')}: {done.appended:,} appended,"
        f" {done.duplicates:,} already there, {done.forgotten:,} of forgotten ids,"
        f" {done.set_aside:,} set aside"
    )
