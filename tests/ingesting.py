"""What tests of ingestion share: a topic of their own, what is written to it, and who reads it."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psycopg
from kafka import KafkaProducer
from psycopg.rows import dict_row

from consumers.ingest.options import IngestOptions
from consumers.ingest.running import Ingest
from consumers.ingest.store import Counts
from memory.bus.topics import key_of
from memory.log.envelope import to_json
from memory.models import Interaction, InteractionKind, Role, Scope
from memory.settings import Settings

ANA = Scope("acme", "ana", "scout", "monday")
TOM = Scope("acme", "tom", "scout", "monday")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DEADLINE = 60.0


def said(name: str, scope: Scope = ANA, **changes: Any) -> Interaction:
    plain = Interaction(scope, name, InteractionKind.MESSAGE, Role.USER, f"This is {name}.", NOON)
    return replace(plain, **changes)


def until(condition: Callable[[], Any], what: str) -> None:
    """Returns once the condition holds; fails long after it should have."""
    deadline = monotonic() + DEADLINE
    while not condition():
        assert monotonic() < deadline, f"still waiting until {what}"
        sleep(0.02)


@dataclass(frozen=True)
class Stream:
    """One topic, and the database that it is brought into."""

    settings: Settings
    url: str

    @property
    def topic(self) -> str:
        return self.settings.kafka_topic

    def send(self, *sent: Interaction | dict[str, Any]) -> None:
        """Writes interactions, or records as given, one after the other."""
        producer = KafkaProducer(bootstrap_servers=list(self.settings.kafka_servers or ()))
        for item in sent:
            record = item if isinstance(item, dict) else message(item)
            producer.send(self.topic, **record).get(timeout=DEADLINE)
        producer.close()

    def drain(self, **options: Any) -> Counts:
        """Applies all that is there, as a process of its own would."""
        return self.ingest(drain=True, **options).run()

    def ingest(self, **options: Any) -> Ingest:
        given = IngestOptions(**{"group": self.topic, **options})
        return Ingest(self.settings, lambda: self.url, given)

    @contextmanager
    def running(self, **options: Any) -> Iterator[Ingest]:
        """One that runs beside the test until the block ends; its error is the test's."""
        ingest = self.ingest(**options)
        failed: list[BaseException] = []

        def run() -> None:
            try:
                ingest.run()
            except BaseException as error:  # noqa: BLE001 - raised by the test
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield ingest
        finally:
            ingest.stop()
            thread.join(DEADLINE)
            assert not thread.is_alive()
        if failed:
            raise failed[0]

    def rows(self, statement: str, *values: Any) -> list[Any]:
        """Looks past row-level security, at what is really there."""
        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            connection.execute("SET search_path TO memory, public")
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def log(self, scope: Scope = ANA) -> list[tuple[str, int, int]]:
        """The user's interactions: id, ordinal, position."""
        rows = self.rows(
            "SELECT interaction_id, ordinal, position FROM interactions"
            " WHERE tenant_id = %s AND user_id = %s ORDER BY position",
            scope.tenant,
            scope.user,
        )
        return [(r["interaction_id"], r["ordinal"], r["position"]) for r in rows]

    def letters(self) -> list[Any]:
        return self.rows("SELECT * FROM dead_letters ORDER BY dead_letter_id")

    def positions(self) -> dict[int, int | None]:
        rows = self.rows("SELECT partition, next_offset FROM partition_offsets ORDER BY partition")
        return {row["partition"]: row["next_offset"] for row in rows}


def message(interaction: Interaction) -> dict[str, Any]:
    """An interaction as the bus writes it."""
    return {"key": key_of(interaction.scope), "value": to_json(interaction).encode()}


def raw(value: bytes | None, scope: Scope | None = ANA, **more: Any) -> dict[str, Any]:
    """A record with this value and a user's key."""
    return {"key": key_of(scope) if scope else None, "value": value, **more}


def numbered(count: int, scope: Scope = ANA, start: int = 1) -> Sequence[Interaction]:
    return [said(f"{scope.user}-{n}", scope) for n in range(start, start + count)]


MAPPING = """
[fields]
id = "event"
tenant = { constant = "acme" }
user = "who"
session = { constant = "crm" }
content = "text"
occurred_at = { path = "ts", time = "epoch_ms" }
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mapping.toml"
    path.write_text(text)
    return path


def environment(stream: Stream) -> dict[str, str]:
    return {
        **os.environ,
        "MEMORY_DATABASE_URL": stream.url,
        "MEMORY_KAFKA_SERVERS": ",".join(stream.settings.kafka_servers or ()),
        "MEMORY_KAFKA_TOPIC": stream.topic,
    }


def command(stream: Stream, *arguments: str) -> Any:
    """What a `memory` command prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "consumers", *arguments],
        env=environment(stream),
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout)
