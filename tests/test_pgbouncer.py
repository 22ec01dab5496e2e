"""Behind a real PgBouncer: apps and workers share server connections and leave nothing there."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from anyio.from_thread import start_blocking_portal
from psycopg.rows import dict_row
from pydantic import SecretStr

from benchmarks.clusters import Cluster, Installation, Pooler
from consumers.extraction import Worker
from extractors.explicit import ExplicitExtractor
from extractors.protocol import Extractor
from memory.client import MemoryClient
from memory.database import Database, DatabaseRole, queries
from memory.errors import (
    ExperientialMemoryError,
    StoreUnavailable,
    UnsupportedPooler,
)
from memory.migrate import check, migrate
from memory.models import Scope
from memory.settings import Settings
from tests import servers
from tests.conftest import Residence, Verbatim, WordEmbedder
from tests.test_binding import state
from tests.test_fields import EVERY, over_the_bus
from tests.walking import walked

BOTH = "dual"
"""The one login of app and worker, granted both roles; no superuser."""

MODES = [("transaction", 1), ("transaction", 4), ("session", 4)]
TRANSACTION = MODES[:2]

_numbers = count(1)


@pytest.fixture(scope="module")
def cluster(distribution: Installation) -> Iterator[Cluster]:
    # PL/pgSQL loads when it is first called, and brings settings of its own.
    with Cluster.made(distribution, {"session_preload_libraries": "plpgsql"}) as made:
        with made.connect() as connection:
            connection.execute("CREATE DATABASE store")
            (version,) = connection.execute("SHOW server_version").fetchone() or ("?",)
        asyncio.run(migrate(made.url(dbname="store")))
        with made.connect() as connection:
            connection.execute(f"CREATE ROLE {BOTH} LOGIN IN ROLE memory_client, memory_worker")
        servers.used("Distribution", f"Postgres {version}, PgBouncer")
        yield made


Pooled = Callable[..., Pooler]


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    """The name of a migrated database of this test's own."""
    name = f"store_{next(_numbers)}"
    with cluster.connect() as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE store".encode())
        yield name
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def pooled(cluster: Cluster) -> Iterator[Pooled]:
    """Starts poolers, in a mode and with so many server connections."""
    made: list[Pooler] = []

    def make(mode: str, size: int, **options: object) -> Pooler:
        options = {"max_prepared_statements": 200, **options}
        made.append(Pooler.made(cluster, [BOTH], pool_mode=mode, default_pool_size=size, **options))
        return made[-1]

    yield make
    for pooler in made:
        pooler.stop()


def settings_of(pooler: Pooler, database: str, **more: Any) -> Settings:
    url = pooler.url(dbname=database, user=BOTH)
    return Settings(**{"database_url": SecretStr(url), "debounce": 0.0, "pool_max": 1, **more})


@contextmanager
def extracting(settings: Settings) -> Iterator[Callable[[], Any]]:
    """Drains what is due, as a worker behind the pooler."""
    assert settings.database_url is not None
    with start_blocking_portal() as portal:
        database = Database(settings, settings.database_url.get_secret_value(), DatabaseRole.WORKER)
        with portal.wrap_async_context_manager(database):
            extractors: list[Extractor] = [ExplicitExtractor(), Verbatim(), Residence()]
            worker = Worker(database, WordEmbedder(), extractors, settings)
            yield lambda: portal.call(worker.drain)


def persistent(drain: Callable[[], Any]) -> None:
    """Drains again where a connection broke, as a worker does that follows."""
    for _ in range(3):
        with suppress(StoreUnavailable):
            drain()
            return
    raise AssertionError("no connection of the worker was replaced")


@contextmanager
def opened(settings: Settings) -> Iterator[MemoryClient]:
    with MemoryClient(settings, embedder=WordEmbedder()) as client:
        yield client


def walk(client: MemoryClient, drain: Callable[[], Any], user: str) -> None:
    """Records, extracts and finds again."""
    ana = Scope("northwind", user)
    client.record(ana.in_session("s1"), "I live in Berlin.")
    client.record(ana.in_session("s1"), "I speak German.")
    drain()
    assert "Lives in Berlin" in [m.memory.text for m in client.recall(ana, "Berlin")]
    assert "Berlin" in client.context(ana.in_session("s2"), "Where does Ana live?").text


@pytest.mark.parametrize(("mode", "size"), MODES)
def test_an_app_beside_a_worker(pooled: Pooled, database: str, mode: str, size: int) -> None:
    settings = settings_of(pooled(mode, size), database)
    with opened(settings) as client, extracting(settings) as drain:
        for user in ("ana", "bob"):
            walk(client, drain, user)


@pytest.mark.parametrize(("mode", "size"), MODES)
def test_ingestion_and_compaction(
    pooled: Pooled, database: str, embedder: WordEmbedder, mode: str, size: int
) -> None:
    settings = settings_of(pooled(mode, size), database)
    assert settings.database_url is not None
    over_the_bus(settings.database_url.get_secret_value(), settings, EVERY)
    with opened(settings) as client:
        assert client.interactions(EVERY.scope)[0].id == EVERY.id
    walked(settings, embedder, Scope("northwind", "ana"))


@pytest.mark.parametrize(("mode", "size"), TRANSACTION)
def test_many_at_once_each_transaction_on_a_new_server_connection(
    pooled: Pooled, database: str, mode: str, size: int
) -> None:
    pooler = pooled(mode, size, server_lifetime=0)
    settings = settings_of(pooler, database, pool_max=4)

    def work(user: str) -> None:
        scope = Scope("northwind", user, session="s1")
        for number in range(10):
            client.record(scope, f"I like place {number}.")
            client.recall(scope, "place")
            client.context(scope, "Which place?")

    with opened(settings) as client, extracting(settings) as drain, ThreadPoolExecutor(4) as run:
        for done in [run.submit(work, f"user-{n}") for n in range(4)]:
            done.result()
        assert drain().interactions == 40
    assert pooler.log.count("new connection to server") > 100


@pytest.mark.parametrize(("mode", "size"), MODES)
def test_a_pooler_that_is_killed_and_comes_back(
    pooled: Pooled, database: str, mode: str, size: int
) -> None:
    pooler = pooled(mode, size)
    settings = settings_of(pooler, database, connect_timeout=20.0)
    with opened(settings) as client, extracting(settings) as drain:
        walk(client, drain, "ana")
        pooler.stop(signal.SIGKILL)
        pooler.start()
        walk(client, lambda: persistent(drain), "bob")


@pytest.fixture
def shared(pooled: Pooled, database: str, cluster: Cluster) -> Iterator[Any]:
    """A pooler with one server connection, an app and a worker on it, and a look at it.

    The look is another client's, as the login: it finds what they left behind.
    """
    pooler = pooled("transaction", 1)
    settings = settings_of(pooler, database)
    url = pooler.url(dbname=database, user=BOTH, application_name="look")
    with (
        opened(settings) as client,
        extracting(settings) as drain,
        psycopg.connect(url, autocommit=True, row_factory=dict_row, prepare_threshold=None) as look,
        psycopg.connect(
            cluster.url(dbname=database, user=BOTH), autocommit=True, row_factory=dict_row
        ) as fresh,
    ):
        yield client, drain, lambda: state(look), state(fresh)


def test_a_server_connection_is_fresh_after_each_of_them(shared: Any) -> None:
    client, drain, left, fresh = shared
    ana = Scope("northwind", "ana", session="s1")
    assert left() == fresh
    for act in (
        lambda: client.record(ana, "I live in Berlin."),
        lambda: client.recall(ana, "Berlin"),
        drain,
        lambda: client.context(ana, "Berlin"),
        lambda: client.forget(ana, user=True),
    ):
        act()
        assert left() == fresh


def test_an_app_never_acts_as_the_worker_beside_it(
    shared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, drain, _, _ = shared
    ana, eve = (Scope("northwind", user, session="s1") for user in ("ana", "eve"))
    client.record(eve, "I live in Rome.")
    acting = queries.Numbered("SELECT current_user AS key, current_user AS value", ())
    whole = queries.numbered
    client.record(ana, "I live in Berlin.")
    drain()
    found = {"log.get_state": acting}
    monkeypatch.setattr(queries, "numbered", lambda n: found.get(n) or whole(n))
    for _ in range(3):
        assert dict(client.state.get(ana)) == {"memory_client": "memory_client"}
        client.record(eve, "I live in Rome still.")
        drain()
    monkeypatch.undo()
    texts = [m.memory.text for m in client.recall(ana, "Where? Rome? Berlin?")]
    assert "Lives in Berlin" in texts
    assert "Rome" not in repr(texts)


@pytest.mark.parametrize("size", [1, 4])
def test_a_pooler_without_prepared_statements_is_refused(
    pooled: Pooled, database: str, size: int
) -> None:
    settings = settings_of(pooled("transaction", size, max_prepared_statements=0), database)
    with pytest.raises(UnsupportedPooler, match=r"PgBouncer 1\.21"), opened(settings):
        pass


def test_session_pooling_needs_none_of_that(pooled: Pooled, database: str) -> None:
    settings = settings_of(pooled("session", 6, max_prepared_statements=0), database)
    with opened(settings) as client, extracting(settings) as drain:
        walk(client, drain, "ana")


async def test_migrations_run_through_it(
    pooled: Pooled, cluster: Cluster, embedder: WordEmbedder
) -> None:
    name = f"empty_{next(_numbers)}"
    with cluster.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = pooled("transaction", 1).url(dbname=name)
    assert await migrate(url)
    await check(url)


class TestWaking:
    async def heard(self, settings: Settings, listening: Callable[[], bool]) -> int:
        """How often a listener wakes before it listens, until three times at most."""
        assert settings.database_url is not None
        url = settings.database_url.get_secret_value()
        database, times = Database(settings, url, DatabaseRole.WORKER), 0
        async with aclosing(database.listen("leases.listen", 3600.0)) as woken:
            async for _ in woken:
                times += 1
                if listening() or times == 3:
                    return times
        raise AssertionError("unreachable")

    @pytest.fixture
    def listening(self, cluster: Cluster, database: str) -> Iterator[Callable[[], bool]]:
        """Whether somebody listens in this test's database."""
        asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND query LIKE %s"
        with cluster.connect() as connection:

            def found() -> bool:
                row = connection.execute(asked, (database, "%LISTEN memory_due%")).fetchone()
                return row is not None and row[0] > 0

            yield found

    async def test_a_worker_looks_by_itself_behind_a_pooler(
        self, pooled: Pooled, database: str, listening: Callable[[], bool],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr("memory.database.transactions.POLLED_SECONDS", 0.01)
        with anyio.fail_after(60):
            settings = settings_of(pooled("transaction", 1), database)
            assert await self.heard(settings, listening) == 3

    async def test_a_direct_url_leads_past_the_pooler(
        self, pooled: Pooled, cluster: Cluster, database: str, listening: Callable[[], bool]
    ) -> None:
        direct = SecretStr(cluster.url(dbname=database, user=BOTH))
        settings = settings_of(pooled("transaction", 1), database, direct_url=direct)
        with anyio.fail_after(60):
            assert await self.heard(settings, listening) == 1

    @pytest.mark.parametrize("way", ["refused", "no such file"])
    async def test_a_direct_url_that_leads_nowhere_is_told_and_the_worker_looks(
        self, pooled: Pooled, cluster: Cluster, database: str, listening: Callable[[], bool],
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, way: str,
    ) -> None:  # fmt: skip
        monkeypatch.setattr("memory.database.transactions.POLLED_SECONDS", 0.01)
        gone = SecretStr(cluster.url(dbname=database, user="gone"))
        file = Path("/nowhere/url")
        direct = {"direct_url": gone} if way == "refused" else {"direct_url_file": file}
        with anyio.fail_after(60):
            settings = settings_of(pooled("transaction", 1), database, **direct)
            assert await self.heard(settings, listening) == 3
        assert "MEMORY_DIRECT_URL gives no notifications" in caplog.text


def test_what_a_pooler_refuses_is_said(pooled: Pooled, database: str) -> None:
    url = pooled("transaction", 1).url(dbname=database, user=BOTH, options="-c jit=off")
    settings = Settings(database_url=SecretStr(url))
    with pytest.raises(ExperientialMemoryError, match="startup parameter") as refused:
        MemoryClient(settings, embedder=WordEmbedder()).open()
    assert not refused.value.retriable


def test_statements_that_somebody_dropped_are_waited_out(pooled: Pooled, database: str) -> None:
    pooler = pooled("transaction", 1)
    ana = Scope("northwind", "ana", session="s1")
    with opened(settings_of(pooler, database)) as client:
        client.record(ana, "I live in Berlin.")
        with psycopg.connect(pooler.url(dbname=database, user=BOTH)) as other:
            for (name,) in other.execute("SELECT name FROM pg_prepared_statements").fetchall():
                other.execute(f'DEALLOCATE "{name}"'.encode())
        # PgBouncer ends its connection to the server when that lacks the statement once more.
        with pytest.raises(StoreUnavailable):
            client.recall(ana, "Where do I live?")
        persistent(lambda: client.recall(ana, "Where do I live?"))
