"""The same work on other servers: Debian's Postgres 17 with jit on, and through its PgBouncer.

    python -m benchmarks.servers [--rounds 9] [--json]

Four ways to a store of the same content take turns in one run: Postgres 18 as it comes along, with
jit off as the embedded server has it; Debian's 17 with its own default, jit on; and 17 through
PgBouncer in transaction mode, beside 17 without it. A ratio is how often as many calls were made in
the same time as on the server it is compared with: the median over rounds. Needs `make servers`.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter

import anyio
from pydantic import SecretStr

from benchmarks.clusters import Cluster, Pooler, distribution, packaged
from benchmarks.ingest import said
from benchmarks.speed_store import RandomEmbedder
from consumers.extraction import Worker, installed_extractors
from consumers.ingest.reading import Reader
from consumers.ingest.records import Accepted
from consumers.ingest.store import Batch, IngestStore, OffsetRange, TopicId
from memory import migrate
from memory.bus.topics import key_of
from memory.client import MemoryClient
from memory.database import Database, DatabaseRole
from memory.log.envelope import to_json
from memory.models import Scope
from memory.settings import Settings

ANA = Scope("northwind", "ana", session="monday")
TURNS = 300
COMPARED = {
    "Debian 17, jit on": "packaged 18",
    "Debian 17 through PgBouncer": "Debian 17, jit on",
}
"""The side of each ratio, and what it is compared with."""


@dataclass(frozen=True)
class Message:
    """A record of a topic, with nothing beside its envelope."""

    key: bytes
    value: bytes
    offset: int
    partition: int = 0
    timestamp: int = -1
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass
class Side:
    """A client and an ingesting connection, by one way to one store."""

    client: MemoryClient
    store: IngestStore
    topic: TopicId
    epoch: int = 0
    ingested: int = 0
    recorded: int = 0
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def record(self) -> None:
        """Records one message."""
        self.recorded += 1
        self.client.record(ANA, f"I take the train number {self.recorded} to work.")

    def recall(self) -> None:
        """Asks for ten memories."""
        self.client.recall(ANA, "Where do I like to sit when I travel?")

    def context(self) -> None:
        """Asks for a context of 2,000 tokens."""
        self.client.context(ANA, "Where do I like to sit when I travel?")

    def batch(self, size: int) -> Callable[[], object]:
        """Reads `size` messages, and returns what applies them."""
        start, self.ingested = self.ingested, self.ingested + size
        accepted = [self._read(offset) for offset in range(start, self.ingested)]
        ranges = [OffsetRange(0, self.epoch, start, self.ingested, accepted)]
        made = Batch.of(ranges)
        return lambda: self.store.apply(self.topic, made)

    def _read(self, offset: int) -> Accepted:
        sent = said(offset)
        read = Reader(self.topic.name).read(
            Message(key_of(sent.scope), to_json(sent).encode(), offset)
        )
        assert isinstance(read, Accepted)
        return read


@contextmanager
def side(url: str, name: str) -> Iterator[Side]:
    """Opens a way to the store at `url`, with a topic of its own."""
    settings = Settings(database_url=SecretStr(url))
    topic = TopicId("benchmark", name, name)
    with (
        MemoryClient(settings, embedder=RandomEmbedder()) as client,
        IngestStore.open(url, settings) as store,
    ):
        epoch = store.take(topic, [0], "benchmark")[0].epoch
        store.begin(topic, {0: epoch}, {0: 0})
        yield Side(client, store, topic, epoch)


def filled(cluster: Cluster, database: str) -> None:
    """Makes a store in which a user said TURNS things, and extracts memories of them."""
    with cluster.connect() as connection:
        connection.execute(f"CREATE DATABASE {database}".encode())
    url = cluster.url(dbname=database)
    settings = Settings(database_url=SecretStr(url), debounce=0.0)
    anyio.run(migrate.migrate, url)
    with MemoryClient(settings, embedder=RandomEmbedder()) as client:
        for n in range(TURNS):
            client.record(ANA, f"I like seat {n} by the window, and I visited town {n % 50}.")
    anyio.run(_extracted, settings, url)


async def _extracted(settings: Settings, url: str) -> None:
    async with Database(settings, url, DatabaseRole.WORKER) as database:
        await Worker(database, RandomEmbedder(), installed_extractors(settings), settings).drain()


WORK: dict[str, tuple[int, Callable[[Side], Callable[[], object]]]] = {
    "record": (100, lambda one: one.record),
    "recall": (40, lambda one: one.recall),
    "context": (10, lambda one: one.context),
    "ingest, batches of 50": (10, lambda one: one.batch(50)),
    "ingest, batches of 500": (4, lambda one: one.batch(500)),
}
"""What is measured: how often a round, and what gives the call whose time counts."""


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Median milliseconds a call by work and side; the ratios go by their two sides."""
    with ExitStack() as stack:
        sides = {name: stack.enter_context(made) for name, made in _ways(stack).items()}
        for turn in range(rounds + 1):
            for what, (calls, prepared) in WORK.items():
                for one in list(sides.values())[:: 1 if turn % 2 else -1]:
                    spent = _spent(calls, one, prepared)
                    if turn:  # the first one warms up
                        one.seconds.setdefault(what, []).append(spent / calls)
        return {what: _found(what, sides) for what in WORK}


def _ways(stack: ExitStack) -> dict[str, AbstractContextManager[Side]]:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="memory-benchmark-"))
    Path(folder).chmod(0o755)
    tempfile.tempdir = folder
    stack.callback(setattr, tempfile, "tempdir", None)
    newest = stack.enter_context(Cluster.made(packaged(18), {"jit": "off"}))
    debian = stack.enter_context(Cluster.made(distribution(), {"jit": "on"}))
    pooler = stack.enter_context(
        Pooler.made(debian, (), pool_mode="transaction", max_prepared_statements=200)
    )
    for cluster, database in ((newest, "store"), (debian, "store"), (debian, "pooled")):
        filled(cluster, database)
    return {
        "packaged 18": side(newest.url(dbname="store"), "newest"),
        "Debian 17, jit on": side(debian.url(dbname="store"), "debian"),
        "Debian 17 through PgBouncer": side(pooler.url(dbname="pooled"), "pooled"),
    }


def _spent(calls: int, one: Side, prepared: Callable[[Side], Callable[[], object]]) -> float:
    spent = 0.0
    for _ in range(calls):
        call = prepared(one)
        began = perf_counter()
        call()
        spent += perf_counter() - began
    return spent


def _found(what: str, sides: dict[str, Side]) -> dict[str, float]:
    found = {name: 1000 * median(one.seconds[what]) for name, one in sides.items()}
    for name, other in COMPARED.items():
        pairs = zip(sides[other].seconds[what], sides[name].seconds[what], strict=True)
        found[f"{name} / {other}"] = median(theirs / ours for theirs, ours in pairs)
    return found


def report(found: dict[str, dict[str, float]]) -> None:
    """Prints a Markdown table: milliseconds a call, then the ratios."""
    columns = list(next(iter(found.values())))
    print("| |", " | ".join(columns), "|\n|---|", "---:|" * len(columns), sep="")
    for what, figures in found.items():
        print(f"| {what} |", " | ".join(f"{figure:.2f}" for figure in figures.values()), "|")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.rounds)
    print(json.dumps(found)) if options.json else report(found)


if __name__ == "__main__":
    main()
