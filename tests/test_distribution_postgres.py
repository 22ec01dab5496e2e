"""Other servers than the embedded 18, as they come: Debian's Postgres 17 with `jit = on`, and 16.

Stores get to the newest schema from wherever they are, and the walk works on them.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import psycopg
import pytest
from pydantic import SecretStr

from benchmarks import clusters
from benchmarks.clusters import Cluster, Installation
from memory.client import MemoryClient
from memory.migrate import check, migrate, migrations
from memory.models import Scope
from memory.settings import Settings
from tests import servers
from tests.conftest import WordEmbedder
from tests.test_fields import EVERY, over_the_bus
from tests.test_migrations import loaded
from tests.walking import extracted, walked

pytestmark = pytest.mark.slow

ANA = Scope("northwind", "ana")

EXPLAINING = {
    "shared_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_nested_statements": "on",
}
"""Writes the plan of every statement to the log, and whether it was compiled."""

COMPILED = "JIT:\n\t  Functions:"

_numbers = count(1)


def _running(installation: Installation, **options: str) -> Iterator[Cluster]:
    with Cluster.made(installation, {"jit": "on", **options}) as made:
        yield made


@pytest.fixture(scope="module")
def seventeen(distribution: Installation) -> Iterator[Cluster]:
    for made in _running(distribution, **EXPLAINING):
        with made.connect() as connection:
            row = connection.execute("SHOW server_version").fetchone()
        assert row is not None
        servers.used("Distribution", f"Postgres {row[0]}")
        yield made


@pytest.fixture(scope="module")
def sixteen() -> Iterator[Cluster]:
    yield from _running(clusters.packaged(16))


@pytest.fixture(params=["seventeen", "sixteen"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Cluster)
    return made


@pytest.fixture
def empty(cluster: Cluster) -> str:
    """The URL of an empty database."""
    return made_in(cluster)


def made_in(cluster: Cluster) -> str:
    name = f"store_{next(_numbers)}"
    with cluster.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return cluster.url(dbname=name)


def settings_of(url: str) -> Settings:
    return Settings(database_url=SecretStr(url), debounce=0.0)


def test_the_walk_on_a_new_store(empty: str, embedder: WordEmbedder) -> None:
    assert asyncio.run(migrate(empty)) == list(migrations())
    walked(settings_of(empty), embedder, ANA)


@pytest.mark.parametrize("known", [17, 21])
def test_the_walk_on_a_store_from_before_the_baseline(
    empty: str, embedder: WordEmbedder, known: int
) -> None:
    loaded(empty, known)
    assert asyncio.run(migrate(empty)) == list(migrations())
    asyncio.run(check(empty))
    walked(settings_of(empty), embedder, Scope("northwind", "new"))


def test_the_walk_on_a_filled_store_of_today(empty: str, embedder: WordEmbedder) -> None:
    asyncio.run(migrate(empty))
    settings = settings_of(empty)
    with MemoryClient(settings, embedder=embedder) as client:
        client.record(ANA.in_session("s1"), "I live in Berlin.")
        extracted(settings, embedder)
        assert asyncio.run(migrate(empty)) == []
        assert client.history(ANA)[0].value == "berlin"
    walked(settings, embedder, ANA)


def test_a_column_with_a_default_can_be_added_to_every_table(empty: str) -> None:
    """17.12 refuses that where a function with a SQL-standard body takes the table's rows."""
    asyncio.run(migrate(empty))
    with psycopg.connect(empty) as connection:
        found = connection.execute(
            "SELECT oid::regclass::text FROM pg_class"
            " WHERE relnamespace = 'memory'::regnamespace AND relkind = 'r'"
        ).fetchall()
        for (table,) in found:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN later int NOT NULL DEFAULT 0")
        connection.rollback()
    assert len(found) > 20


class TestCompiling:
    """Postgres up to 17 adds 10^10 to the cost of a disabled node, which has the plan compiled."""

    @pytest.fixture
    def url(self, seventeen: Cluster) -> str:
        url = made_in(seventeen)
        asyncio.run(migrate(url))
        return url

    def test_no_statement_is_compiled(
        self, seventeen: Cluster, url: str, embedder: WordEmbedder
    ) -> None:
        began = len(seventeen.log)
        settings = settings_of(url)
        over_the_bus(url, settings, replace(EVERY, content="I live in Berlin."))
        walked(settings, embedder, ANA)
        written = seventeen.log[began:]
        assert "INSERT INTO interactions" in written
        assert COMPILED not in written

    def test_the_server_would_compile(self, seventeen: Cluster, url: str) -> None:
        began = len(seventeen.log)
        with psycopg.connect(url) as connection:
            for kind in ("seqscan", "bitmapscan", "indexscan", "indexonlyscan"):
                connection.execute(f"SET enable_{kind} = off")
            connection.execute("SELECT count(*) FROM memory.users")
        assert COMPILED in seventeen.log[began:]
