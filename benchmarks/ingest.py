"""Messages a second from a real broker into Postgres, beside two floors measured in the same run.

    python -m benchmarks.ingest [--messages N] [--one] [--json]

`--one` leaves out all but one ingest process: for its memory over many messages.
The floors: kafka-python merely consuming such a topic, and the same rows staged and inserted by
hand. Every measurement has a topic of its own, written in one transaction that is committed once
all processes have their partitions: so none starts before another, and none has read anything.
Needs Java and Maven, or Docker, for the broker (`benchmarks.broker`).
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep, thread_time
from typing import Any
from unittest.mock import patch

import psycopg
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from benchmarks.broker import launch
from consumers.cli.ingest import settle_in
from consumers.ingest.options import IngestOptions
from consumers.ingest.reading import Reader
from consumers.ingest.records import Accepted
from consumers.ingest.running import Ingest
from consumers.ingest.session import MAX_RECORDS, ConsumerSession
from consumers.ingest.store import Counts, IngestStore
from consumers.operations.topics import create_topics
from memory import embedded
from memory.bus.topics import key_of, plan
from memory.log.envelope import Incoming, to_json
from memory.migrate import migrate
from memory.models import Interaction, InteractionKind, Role, Scope
from memory.settings import Settings

PARTITIONS = 4
USERS = 1_000
STEPS = 10
DAY_ZERO = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = (
    "I would rather take the train at {n} than fly, and I need the receipt by the end of the week."
)

FLOOR_COPY = """
COPY staged (nth, tenant_id, user_id, session_id, interaction_id, content, payload, source, private,
    kind, role, occurred_at, content_hash, agent_id, actor, traceparent, tracestate) FROM STDIN
"""
FLOOR_INSERT = """
INSERT INTO memory.interactions (tenant_id, user_id, session_id, ordinal, position, interaction_id,
    agent_id, private, kind, role, actor, content, payload, occurred_at, source, content_hash)
SELECT tenant_id, user_id, session_id, nth + 1, nth + 1, interaction_id, agent_id, private, kind,
    role, actor, content, payload, occurred_at, source, content_hash
FROM staged
"""


@dataclass
class Measured:
    """Messages a second; `rss_mb` of the one process after each tenth of the topic.

    profile: microseconds of CPU for each message, and of the clock, in one process.
    """

    messages: int
    bytes_each: int
    consume_only: float = 0.0
    rows_by_hand: float = 0.0
    one: float = 0.0
    two: float = 0.0
    rss_mb: list[float] = field(default_factory=list)
    profile: dict[str, float] = field(default_factory=dict)

    @property
    def share_of_floor(self) -> float:
        """Of the slower floor, what one process reaches; 0 where no floor was measured."""
        floor = min(self.consume_only, self.rows_by_hand)
        return self.one / floor if floor else 0.0


def said(n: int) -> Interaction:
    scope = Scope("acme", f"user-{n % USERS}", "scout", f"session-{n % USERS}-{n // USERS // 50}")
    return Interaction(
        scope,
        f"message-{n}",
        InteractionKind.MESSAGE,
        Role.USER,
        TEXT.format(n=n),
        DAY_ZERO + timedelta(seconds=n),
    )


def produce(settings: Settings, messages: int) -> tuple[int, Any]:
    """Bytes a message, and a producer whose transaction is to be committed."""
    producer = KafkaProducer(
        bootstrap_servers=list(settings.kafka_servers or ()), linger_ms=20, batch_size=256 * 1024,
        transactional_id=settings.kafka_topic, transaction_timeout_ms=900_000,
        metrics_enabled=False,
    )  # fmt: skip
    producer.init_transactions()
    producer.begin_transaction()
    size = 0
    for n in range(messages):
        interaction = said(n)
        value = to_json(interaction).encode()
        size += len(value)
        producer.send(settings.kafka_topic, key=key_of(interaction.scope), value=value)
    producer.flush()
    return size // messages, producer


def produced(settings: Settings, messages: int) -> int:
    """Bytes a message, of a topic that can be read."""
    size, producer = produce(settings, messages)
    producer.commit_transaction()
    producer.close()
    return size


def staged(n: int, incoming: Incoming) -> tuple[Any, ...]:
    interaction = incoming.interaction
    scope = interaction.scope
    return (
        n, scope.tenant, scope.user, scope.session, interaction.id, interaction.content,
        incoming.payload, interaction.source, interaction.private, interaction.kind.value,
        interaction.role.value, str(interaction.occurred_at), incoming.content_hash,
        scope.agent, interaction.actor, None, None,
    )  # fmt: skip


@contextmanager
def consuming(settings: Settings) -> Iterator[Any]:
    consumer = KafkaConsumer(
        bootstrap_servers=list(settings.kafka_servers or ()), metrics_enabled=False
    )
    parts = [TopicPartition(settings.kafka_topic, p) for p in range(PARTITIONS)]
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    yield consumer
    consumer.close()


def consume_only(settings: Settings, messages: int) -> float:
    with consuming(settings) as consumer:
        seen, began = 0, monotonic()
        while seen < messages:
            found = consumer.poll(500, max_records=MAX_RECORDS)
            seen += sum(len(records) for records in found.values())
        return messages / (monotonic() - began)


def rows_by_hand(settings: Settings, url: str, messages: int) -> float:
    """The same rows, read beforehand: staged by COPY, then one plain INSERT … SELECT."""
    reader = Reader(settings.kafka_topic)
    spent, done = 0.0, 0
    with consuming(settings) as consumer, IngestStore.open(url, settings) as opened:
        connection = opened._connection
        while done < messages:
            found = consumer.poll(500, max_records=MAX_RECORDS)
            read = [reader.read(record) for records in found.values() for record in records]
            rows = [
                staged(done + n, a.incoming) for n, a in enumerate(read) if isinstance(a, Accepted)
            ]
            began = monotonic()
            with connection.transaction(), connection.cursor() as cursor:
                cursor.execute("SELECT set_config('memory.tenant_id', 'acme', true)")
                with cursor.copy(FLOOR_COPY) as copy:
                    for row in rows:
                        copy.write_row(row)
                cursor.execute(FLOOR_INSERT)
            spent += monotonic() - began
            done += len(rows)
    return messages / spent


def processes(
    settings: Settings, url: str, messages: int, number: int
) -> tuple[float, list[float]]:
    """Messages a second from the first batch on, and the first process's RSS by steps."""
    environment = {
        **os.environ,
        "MEMORY_DATABASE_URL": url,
        "MEMORY_KAFKA_SERVERS": ",".join(settings.kafka_servers or ()),
        "MEMORY_KAFKA_TOPIC": settings.kafka_topic,
    }
    command = [sys.executable, "-m", "consumers", "ingest", "--group", f"bench-{number}"]
    running = [
        subprocess.Popen(  # noqa: S603 - our own command
            command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        for _ in range(number)
    ]
    rss: list[float] = []
    _, producer = produce(settings, messages)
    try:
        with psycopg.connect(url, autocommit=True) as connection:

            def state() -> tuple[int, int]:
                row = connection.execute(
                    "SELECT coalesce(sum(appended), 0)::bigint, count(DISTINCT owner)"
                    " FROM memory.partition_offsets"
                ).fetchone()
                assert row is not None
                if any(p.poll() is not None for p in running):
                    raise RuntimeError("an ingest process ended")
                return row[0], row[1]

            while state()[1] < number:
                sleep(0.1)
            producer.commit_transaction()
            while not (first := state()[0]):
                sleep(0.005)
            began = monotonic()  # as the floors' own begin once they are connected
            while (done := state()[0]) < messages:
                if done >= (len(rss) + 1) * messages // STEPS:
                    rss.append(rss_mb(running[0].pid))
                sleep(0.02)
            return (messages - first) / (monotonic() - began), [*rss, rss_mb(running[0].pid)]
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(60)
        producer.close()


def rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1024, 1)


def profiled(settings: Settings, url: str, messages: int) -> dict[str, float]:
    """Microseconds a message in one process: of CPU by part, Postgres' own beside it, and of clock.

    From the first batch's end on, as connecting is no part of it.
    """
    spent = dict.fromkeys(("kafka-python", "reading", "staging"), 0.0)
    backends: list[int] = []
    seen: list[tuple[int, float, float, dict[str, float]]] = []

    def timed(owner: type, method: str, name: str) -> Any:
        original = getattr(owner, method)

        def call(*arguments: Any) -> Any:
            began = thread_time()
            try:
                return original(*arguments)
            finally:
                spent[name] += thread_time() - began

        return patch.object(owner, method, call)

    def opened(self: IngestStore, connection: Any, *arguments: Any) -> None:
        backends.append(connection.info.backend_pid)
        make(self, connection, *arguments)

    def note(counts: Counts) -> None:
        seen.append((counts.records, monotonic(), cpu_seconds(backends[-1]), dict(spent)))

    make = IngestStore.__init__
    settle_in()
    with (
        timed(ConsumerSession, "_gather", "kafka-python"),
        timed(ConsumerSession, "_stretch", "reading"),
        timed(IngestStore, "apply", "staging"),
        patch.object(IngestStore, "__init__", opened),
    ):
        Ingest(settings, lambda: url, IngestOptions(group="bench-profile", drain=True), note).run()
    (start, *_), end = seen, next(at for at in seen if at[0] >= messages)
    parts = {name: end[3][name] - start[3][name] for name in spent}
    parts |= {"Postgres": end[2] - start[2], "the clock": end[1] - start[1]}
    return {name: round(1e6 * s / (end[0] - start[0]), 1) for name, s in parts.items()}


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(messages: int, *, only_one: bool) -> Measured:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        folder = Path(directory)
        folder.chmod(0o755)
        server = embedded.start(folder / "store")
        broker = launch(folder / "broker")
        try:
            return measured(server, broker.bootstrap, messages, only_one=only_one)
        finally:
            broker.stop()
            embedded.stop(folder / "store")


def measured(server: str, bootstrap: str, messages: int, *, only_one: bool) -> Measured:
    def topic(name: str) -> Settings:
        servers = (bootstrap,)
        settings = Settings(
            database_url=SecretStr(server), kafka_servers=servers, kafka_topic=f"bench.{name}"
        )
        create_topics(settings, plan(settings.kafka_topic, partitions=PARTITIONS, replication=1))
        return settings

    read = topic("read")
    found = Measured(messages, produced(read, 1_000 if only_one else messages))
    found.one, found.rss_mb = processes(topic("one"), database(server, "one"), messages, 1)
    if only_one:
        return found
    found.consume_only = consume_only(read, messages)
    found.rows_by_hand = rows_by_hand(read, database(server, "by_hand"), messages)
    found.two, _ = processes(topic("two"), database(server, "two"), messages, 2)
    found.profile = profiled(read, database(server, "profile"), messages)
    return found


def database(server: str, name: str) -> str:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = make_conninfo(server, dbname=name)
    asyncio.run(migrate(url))
    return url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--one", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.messages, only_one=given.one)
    if given.json:
        print(json.dumps({**asdict(found), "share_of_floor": found.share_of_floor}))
        return
    print(f"{found.messages:,} messages of {found.bytes_each} bytes")
    print("RSS in MB by tenths      " + ", ".join(f"{mb:.0f}" for mb in found.rss_mb))
    if given.one:
        print(f"one ingest process       {found.one:10,.0f}/s")
        return
    print(f"kafka-python consuming   {found.consume_only:10,.0f}/s")
    print(f"rows by hand             {found.rows_by_hand:10,.0f}/s")
    print(
        f"one ingest process       {found.one:10,.0f}/s, {found.share_of_floor:.0%} of the slower"
    )
    print(f"two ingest processes     {found.two:10,.0f}/s, {found.two / found.one:.2f} times one")
    parts = (f"{name} {us:.1f}" for name, us in found.profile.items())
    print("microseconds a message   " + ", ".join(parts))


if __name__ == "__main__":
    main()
