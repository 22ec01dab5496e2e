"""How long each process takes to end after SIGTERM while all of them work.

    python -m benchmarks.stopping [--rounds 3] [--json]

A broker and a Postgres server of its own; messages keep coming. In each round an ingesting, a
publishing and two extracting processes start; once all of them work, they are told to end, one
after the other. The packaged embedder is used.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import monotonic, sleep

import psycopg
from kafka import KafkaProducer
from pydantic import SecretStr

from benchmarks.broker import launch
from benchmarks.ingest import database
from consumers.operations.topics import create_topics
from memory import embedded
from memory.bus.topics import key_of, plan
from memory.log.envelope import to_json
from memory.models import Interaction, InteractionKind, Role, Scope
from memory.settings import Settings

USERS = 2_000
BACKLOG = 20_000
"""Messages that are there before anything starts, so that a drain does not end by itself."""

PROCESSES = {
    "ingest": ["ingest", "--json"],
    "extract --follow": ["extract", "--follow", "--json"],
    "extract": ["extract", "--json"],
    "changes publish --follow": ["changes", "publish", "--follow", "--json"],
}
LEASES = "SELECT count(*) FROM memory.users WHERE lease_token IS NOT NULL"
DONE = {
    "ingest": "SELECT coalesce(sum(appended), 0) FROM memory.partition_offsets",
    "extract": "SELECT coalesce(sum(extracted), 0) FROM memory.users",
}


def message(number: int) -> tuple[bytes, bytes]:
    scope = Scope("acme", f"user-{number % USERS}", "scout", f"s-{number // USERS}")
    content = f"I moved to Berlin in March and I prefer window seats, number {number}."
    said = Interaction(
        scope, f"m{number}", InteractionKind.MESSAGE, Role.USER, content, datetime.now(UTC)
    )
    return key_of(scope), to_json(said).encode()


@contextmanager
def producing(settings: Settings) -> Iterator[None]:
    """Keeps sending about 200 messages a second, after a backlog."""
    producer = KafkaProducer(bootstrap_servers=list(settings.kafka_servers or ()))
    ended, numbers = Event(), count()

    def send() -> None:
        key, value = message(next(numbers))
        producer.send(settings.kafka_topic, key=key, value=value)

    def go_on() -> None:
        while not ended.wait(0.1):
            for _ in range(20):
                send()

    for _ in range(BACKLOG):
        send()
    producer.flush(timeout=60)
    sending = Thread(target=go_on)
    sending.start()
    try:
        yield
    finally:
        ended.set()
        sending.join()
        producer.close()


def started(settings: Settings, words: list[str]) -> subprocess.Popen[bytes]:
    assert settings.database_url is not None
    environment = {
        **os.environ,
        "MEMORY_DATABASE_URL": settings.database_url.get_secret_value(),
        "MEMORY_KAFKA_SERVERS": ",".join(settings.kafka_servers or ()),
        "MEMORY_KAFKA_TOPIC": settings.kafka_topic,
    }
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "consumers", *words],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def value(connection: psycopg.Connection, statement: str) -> int:
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return int(row[0])


def round_of(settings: Settings, connection: psycopg.Connection) -> dict[str, tuple[float, int]]:
    """The seconds until each process ended, and the number of leases that it left."""
    before = {name: value(connection, statement) for name, statement in DONE.items()}
    running: dict[str, subprocess.Popen[bytes]] = {}

    def wait_until_done(what: str) -> None:
        while value(connection, DONE[what]) <= before[what] + 200:
            ended = [name for name, process in running.items() if process.poll() is not None]
            if ended:
                raise RuntimeError(f"ended by themselves: {ended!r}")
            sleep(0.05)

    try:
        for name, words in PROCESSES.items():
            running[name] = started(settings, words)
            if name == "ingest":  # there has to be something to extract
                wait_until_done("ingest")
        wait_until_done("extract")
        # The lease of one extracting process is told from another's once that other has ended.
        return {name: stopped(connection, process) for name, process in running.items()}
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def stopped(connection: psycopg.Connection, process: subprocess.Popen[bytes]) -> tuple[float, int]:
    began = monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(120)
    return monotonic() - began, value(connection, LEASES)


def measure(rounds: int) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        folder = Path(directory)
        folder.chmod(0o755)
        url = database(embedded.start(folder / "store"), "stopping")
        broker = launch(folder / "broker")
        try:
            settings = Settings(
                database_url=SecretStr(url),
                kafka_servers=(broker.bootstrap,),
                kafka_topic="bench.stopping",
            )
            create_topics(settings, plan(settings.kafka_topic, partitions=6, replication=1))
            started(settings, ["changes", "enable"]).wait(60)
            with producing(settings), psycopg.connect(url, autocommit=True) as connection:
                found = [round_of(settings, connection) for _ in range(rounds)]
        finally:
            broker.stop()
            embedded.stop(folder / "store")
    left = found[-1]["changes publish --follow"][1]
    seconds = {name: [one[name][0] for one in found] for name in PROCESSES}
    return {
        name: {"median": round(median(all_), 2), "longest": round(max(all_), 2)}
        for name, all_ in seconds.items()
    } | {"leases left": {"median": left, "longest": max(o["extract"][1] for o in found)}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.rounds)
    if given.json:
        print(json.dumps(found))
        return
    for name, of_it in found.items():
        print(f"{name:26} median {of_it['median']:6.2f}   longest {of_it['longest']:6.2f}")


if __name__ == "__main__":
    main()
