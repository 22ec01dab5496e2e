"""One Postgres server a run, one migrated template, and one database a test, made from it.

MEMORY_TEST_DATABASE_URL points to another server to run against; its login role must be a
superuser. Otherwise the embedded server is started in a directory of its own and removed after.

MEMORY_TEST_KAFKA points to a broker in the same way (`host:port`). Otherwise one is started through
Docker, or through Maven and Java. Without either its tests are skipped, and fail in the full run.

With several processes each has a server, a template and a broker of its own. `run_plugin.py` says
what happens around the tests, `servers.py` lists the servers.
"""

import asyncio
import hashlib
import os
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np
import psycopg
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis
from numpy.typing import NDArray
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from benchmarks import clusters
from benchmarks.broker import NoBroker, launch
from consumers.extraction import Worker
from consumers.extraction.derivation import ExtractionReport
from extractors.explicit import ExplicitExtractor
from extractors.protocol import Extractor, LogSlice, Reading
from memory import embedded
from memory.client import AsyncMemoryClient, MemoryClient
from memory.database import Database, DatabaseRole
from memory.migrate import migrate
from memory.models import Candidate, Evidence, InteractionKind, MemoryKind, Stance
from memory.settings import Settings
from tests import servers
from tests.run_plugin import FULL, RunPlugin

# No test may fail because the machine is busy: neither an example nor drawing one has a time limit.
hypothesis.register_profile(
    "unhurried", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis.load_profile("unhurried")

TEMPLATE, TEST = "memory_template", "memory_test"
_numbers = count(1)


class WordEmbedder:
    """Counts words into the dimensions their digests name: texts that share words are near."""

    name = "words-64"
    dimensions = 64

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()) or [""]:
                vectors[row, hashlib.sha256(word.encode()).digest()[0] % self.dimensions] += 1
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    async def aclose(self) -> None:
        pass


@dataclass(frozen=True)
class Verbatim:
    """Keeps every message as an episode."""

    name: str = "verbatim"
    version: str = "1"
    reading: Reading = Reading.SESSION
    reads: frozenset[InteractionKind] = frozenset({InteractionKind.MESSAGE})
    makes: frozenset[MemoryKind] = frozenset({MemoryKind.EPISODE})

    async def extract(self, log: LogSlice) -> list[Candidate]:
        return [
            Candidate(
                MemoryKind.EPISODE,
                f"{i.role.capitalize()}: {i.content}",
                (Evidence(i.id, i.content, 0, len(i.content), i.occurred_at),),
                i.occurred_at,
            )
            for i in log.interactions
        ]


def interrupted(act: Callable[[], Awaitable[object]]) -> Extractor:
    """Keeps every message as an episode; during its first run something else happens."""
    waiting = [act]

    class Slow(Verbatim):
        async def extract(self, log: LogSlice) -> list[Candidate]:
            found = await super().extract(log)
            if waiting:
                await waiting.pop()()
            return found

    return Slow()


@dataclass(frozen=True)
class Residence:
    """Reads “I live in X”, “I left X” and “I speak X”: one value at a time, its end, and many."""

    name: str = "residence"
    version: str = "1"
    reading: Reading = Reading.SESSION
    reads: frozenset[InteractionKind] = frozenset({InteractionKind.MESSAGE})
    makes: frozenset[MemoryKind] = frozenset({MemoryKind.FACT})
    pattern: re.Pattern[str] = field(default=re.compile(r"\bI (live in|left|speak) (\w+)"))

    async def extract(self, log: LogSlice) -> list[Candidate]:
        return [
            Candidate(
                MemoryKind.FACT,
                f"{'Speaks' if match[1] == 'speak' else 'Lives in'} {match[2]}",
                (Evidence(i.id, match[0], match.start(), match.end(), i.occurred_at),),
                i.occurred_at,
                attribute="speaks" if match[1] == "speak" else "lives_in",
                value=match[2].casefold(),
                single_valued=match[1] != "speak",
                stance=Stance.CONTRADICTS if match[1] == "left" else Stance.SUPPORTS,
                confidence=0.9,
            )
            for i in log.interactions
            for match in self.pattern.finditer(i.content)
        ]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(FULL, action="store_true", help="fail where a server is missing; skip nothing")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(RunPlugin(config))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a server with nothing of ours in it but what this run makes."""
    given = os.environ.get("MEMORY_TEST_DATABASE_URL")
    if given:
        servers.used("Postgres", servers.describe_postgres(given, embedded=False))
        yield given
        return
    directory = Path(tempfile.mkdtemp(prefix="postgres-"))
    directory.chmod(0o755)  # as root the server's own account must be able to enter
    options = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    sizes = {"shared_buffers": "128MB", "max_wal_size": "256MB"}
    try:
        url = embedded.start(directory, {**options, **sizes})
        servers.used("Postgres", servers.describe_postgres(url, embedded=True))
        yield url
    finally:
        embedded.stop(directory)


@pytest.fixture(scope="session")
def distribution() -> clusters.Installation:
    """Debian's Postgres 17 and PgBouncer, for clusters that a test makes."""
    try:
        return clusters.distribution()
    except clusters.Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of a broker that all tests of a run share: each names topics of its own."""
    given = os.environ.get("MEMORY_TEST_KAFKA")
    if given:
        servers.used("Kafka", f"at {given} (given)")
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="kafka-") as directory:
        try:
            broker = launch(Path(directory))
        except NoBroker as error:
            pytest.skip(f"no Kafka broker: {error}")
        try:
            servers.used("Kafka", servers.describe_broker(broker))
            yield broker.bootstrap
        finally:
            broker.stop()


def _at(server: str, database: str) -> str:
    return make_conninfo(server, dbname=database)


@pytest.fixture(scope="session")
def template(server: str, databases: "Databases") -> Iterator[str]:
    """The name of a database that is migrated once and copied for each test."""
    name = f"{TEMPLATE}_{os.getpid()}_0"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        asyncio.run(migrate(_at(server, name)))
        yield name
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@dataclass(frozen=True)
class Databases:
    """Makes databases, and drops those that are done with when the next one is made.

    Dropped at once, each would have the server wait 100 ms for clients that have just left.
    """

    server: str
    connection: psycopg.Connection
    left: list[sql.Identifier] = field(default_factory=list)

    @contextmanager
    def making(self) -> Iterator[Callable[[str], str]]:
        """Hands out databases made from a template, done with in the end."""
        made: list[sql.Identifier] = []

        def make(source: str) -> str:
            self.drop()
            name = f"{TEST}_{os.getpid()}_{next(_numbers)}"
            made.append(sql.Identifier(name))
            self.connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                    made[-1], sql.Identifier(source)
                )
            )
            return _at(self.server, name)

        yield make
        self.left.extend(made)

    def drop(self) -> None:
        while self.left:
            name = self.left.pop()
            self.connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    def drop_abandoned(self) -> None:
        """Drops what killed runs left on a server that outlives them.

        A process holds an advisory lock on its own number, which stands in its databases' names.
        """
        self._lock("pg_advisory_lock", os.getpid())
        for (name,) in self.connection.execute("SELECT datname FROM pg_database").fetchall():
            found = re.fullmatch(rf"(?:{TEMPLATE}|{TEST})_(\d+)_\d+", name)
            owner = int(found[1]) if found else os.getpid()
            if owner != os.getpid() and self._lock("pg_try_advisory_lock", owner):
                self.left.append(sql.Identifier(name))
                self.drop()
                self._lock("pg_advisory_unlock", owner)

    def _lock(self, function: str, process: int) -> object:
        statement = sql.SQL("SELECT {}(hashtext('memory tests'), %s)")
        row = self.connection.execute(
            statement.format(sql.Identifier(function)), (process,)
        ).fetchone()
        return row and row[0]


@pytest.fixture(scope="session")
def databases(server: str) -> Iterator[Databases]:
    with psycopg.connect(server, autocommit=True) as connection:
        found = Databases(server, connection)
        found.drop_abandoned()
        yield found
        found.drop()


@pytest.fixture
def make_database(databases: Databases) -> Iterator[Callable[[str], str]]:
    """Makes a database from a template (`template1` is an empty one) and returns its URL."""
    with databases.making() as make:
        yield make


@pytest.fixture(scope="class")
def make_class_database(databases: Databases) -> Iterator[Callable[[str], str]]:
    """As `make_database`, for a class whose tests leave nothing behind for each other."""
    with databases.making() as make:
        yield make


@pytest.fixture
def url(make_database: Callable[[str], str], template: str) -> str:
    """A migrated database of this test's own."""
    return make_database(template)


@pytest.fixture
def settings(url: str) -> Settings:
    return Settings(database_url=SecretStr(url), debounce=0.0, pool_max=4)


@pytest.fixture
def embedder() -> WordEmbedder:
    return WordEmbedder()


@pytest.fixture
def client(settings: Settings, embedder: WordEmbedder) -> Iterator[MemoryClient]:
    with MemoryClient(settings, embedder=embedder) as opened:
        yield opened


@pytest.fixture(scope="class")
def shared_client(
    make_class_database: Callable[[str], str], template: str
) -> Iterator[MemoryClient]:
    """One client for a class whose tests each name a user of their own, or change nothing."""
    settings = Settings(database_url=SecretStr(make_class_database(template)))
    with MemoryClient(settings, embedder=WordEmbedder()) as opened:
        yield opened


@pytest.fixture
async def async_client(
    settings: Settings, embedder: WordEmbedder
) -> AsyncIterator[AsyncMemoryClient]:
    async with AsyncMemoryClient(settings, embedder=embedder) as opened:
        yield opened


@pytest.fixture
def database(settings: Settings, url: str) -> Database:
    """The worker's side of the store; open it with `async with`."""
    return Database(settings, url, DatabaseRole.WORKER)


@pytest.fixture
def extractors() -> list[Extractor]:
    return [ExplicitExtractor(), Verbatim(), Residence()]


@dataclass(frozen=True)
class Extraction:
    """A worker for tests that are not async."""

    portal: BlockingPortal
    worker: Worker

    def drain(self) -> ExtractionReport:
        return self.portal.call(self.worker.drain)


@pytest.fixture
def worker(
    settings: Settings, url: str, embedder: WordEmbedder, extractors: list[Extractor]
) -> Iterator[Extraction]:
    """Drains what is due with the test's extractors: `worker.drain()`."""
    with start_blocking_portal() as portal:
        database = Database(settings, url, DatabaseRole.WORKER)
        with portal.wrap_async_context_manager(database):
            yield Extraction(portal, Worker(database, embedder, extractors, settings))


@pytest.fixture
def superuser(url: str) -> Iterator[psycopg.Connection]:
    """Looks past row-level security, to see what is really there."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path TO memory, public")
        yield connection
