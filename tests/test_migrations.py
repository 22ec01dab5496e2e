"""Migrations: applied once each, in order, whoever starts first, and frozen once applied."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from anyio import create_task_group, to_thread
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from memory import migrate
from memory.client import MemoryClient
from memory.database import queries
from memory.errors import (
    ForgottenId,
    MigrationChanged,
    NewerSchema,
    NotMigrated,
    StoreError,
    UnsupportedDatabase,
    UnsupportedSchema,
)
from memory.migrate import UPGRADES, check, migrations
from memory.models import Scope
from memory.settings import Settings
from tests.catalog import by_name, connected, read
from tests.conftest import WordEmbedder
from tests.walking import walked

STORES = Path(__file__).parent / "stores"
ANA = Scope("northwind-talent", "ana", "scout")
BEN = Scope("northwind-talent", "ben")


@pytest.fixture
def empty(make_database: Callable[[str], str]) -> str:
    """The URL of a database with nothing in it."""
    return make_database("template1")


def ledger(url: str) -> list[tuple[int, str, str]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT version, name, sha256 FROM memory.schema_migrations"
            " ORDER BY applied_at, version"
        ).fetchall()


def altered(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode())


def elsewhere(url: str) -> subprocess.Popen[bytes]:
    """A process that migrates the database and prints how many it applied."""
    program = (
        "import asyncio, sys; from memory.migrate import migrate;"
        "print(len(asyncio.run(migrate(sys.argv[1]))))"
    )
    return subprocess.Popen([sys.executable, "-c", program, url], stdout=subprocess.PIPE)


def files(folder: Path) -> list[Path]:
    return list(folder.glob("*.sql"))


@pytest.fixture
def sql_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the migrations that a test may change."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    for path in (queries.sql_directory() / "migrations").glob("*.sql"):
        (folder / path.name).write_text(path.read_text())
    (tmp_path / "upgrades").symlink_to(queries.sql_directory() / "upgrades")
    monkeypatch.setattr(queries, "sql_directory", lambda: tmp_path)
    return folder


class TestFiles:
    def test_numbers_run_without_gaps(self) -> None:
        assert [m.version for m in migrations()] == list(range(1, len(migrations()) + 1))

    @pytest.mark.parametrize("name", ["0999_late.sql", "9_short.sql", "0001_twice.sql", "x.sql"])
    def test_a_misnamed_file_is_refused(self, sql_in: Path, name: str) -> None:
        (sql_in / name).write_text("SELECT 1;")
        with pytest.raises(ValueError, match="migration '"):
            migrations()


class TestMigrate:
    async def test_applies_each_once_and_records_its_hash(self, empty: str) -> None:
        applied = await migrate.migrate(empty)
        assert applied == list(migrations())
        assert ledger(empty) == [(m.version, m.name, m.sha256) for m in migrations()]
        assert await migrate.migrate(empty) == []
        await check(empty)

    async def test_goes_on_where_an_older_release_stopped(self, empty: str, sql_in: Path) -> None:
        newest = max(files(sql_in))
        text = newest.read_text()
        newest.unlink()
        await migrate.migrate(empty)
        newest.write_text(text)
        with pytest.raises(NotMigrated, match=r"has \d+ of \d+ migrations; run `memory migrate`"):
            await check(empty)
        assert [m.name for m in await migrate.migrate(empty)] == [newest.stem[5:]]

    async def test_one_that_fails_leaves_the_earlier_ones(self, empty: str, sql_in: Path) -> None:
        number = len(migrations()) + 1
        (sql_in / f"{number:04d}_broken.sql").write_text("CREATE TABLE t (a int); SELECT 1 / 0;")
        with pytest.raises(StoreError, match="division by zero"):
            await migrate.migrate(empty)
        assert [version for version, _, _ in ledger(empty)] == list(range(1, number))
        with psycopg.connect(empty) as connection:
            row = connection.execute("SELECT to_regclass('memory.t')").fetchone()
            assert row == (None,)

    async def test_first_uses_at_once_take_turns(self, empty: str) -> None:
        processes = [elsewhere(empty) for _ in range(2)]
        applied: list[int] = []

        async def here() -> None:
            applied.append(len(await migrate.migrate(empty)))

        async with create_task_group() as group:
            group.start_soon(here)
            group.start_soon(here)
        for process in processes:
            out, _ = process.communicate(timeout=60)
            assert process.returncode == 0
            applied.append(int(out))
        assert sum(applied) == len(migrations())
        assert [version for version, _, _ in ledger(empty)] == [m.version for m in migrations()]

    async def test_leaves_what_others_keep_in_the_database_alone(self, empty: str) -> None:
        altered(empty, "CREATE TABLE users (mine text)")
        await migrate.migrate(empty)
        with psycopg.connect(empty) as connection:
            assert connection.execute("SELECT mine FROM public.users").fetchall() == []


class TestCheck:
    async def test_a_database_never_migrated(self, empty: str) -> None:
        with pytest.raises(NotMigrated, match=r"has 0 of \d+ migrations"):
            await check(empty)

    async def test_a_database_of_a_newer_release(self, url: str) -> None:
        altered(
            url,
            "INSERT INTO memory.schema_migrations (version, name, sha256)"
            " VALUES (9000, 'from_the_future', 'x')",
        )
        with pytest.raises(NewerSchema, match=r"9000_from_the_future.*update experiential-memory"):
            await check(url)
        with pytest.raises(NewerSchema):
            await migrate.migrate(url)

    async def test_an_applied_migration_that_reads_differently(
        self, url: str, sql_in: Path
    ) -> None:
        first = min(files(sql_in))
        first.write_text(first.read_text() + "\n-- A harmless remark.\n")
        with pytest.raises(MigrationChanged, match=r"0001_roles .* restore the file"):
            await check(url)
        with pytest.raises(MigrationChanged):
            await migrate.migrate(url)


@pytest.fixture(params=sorted(UPGRADES))
def old(request: pytest.FixtureRequest, empty: str) -> str:
    """A store that the code of before the baseline made, with 17 or all 21 of its migrations."""
    loaded(empty, request.param)
    return empty


def loaded(url: str, migrations: int) -> None:
    altered(url, (STORES / f"at_{migrations}.sql").read_text(encoding="utf-8"))


RENAMED = {
    "positions": "partition_offsets",
    "derivations": "generation_progress",
    "progress": "session_progress",
    "recall_uses": "memory_usage",
    "change_places": "change_cursors",
}


def rows(url: str) -> dict[str, list[list[str]]]:
    """The values of every row but NULLs, whatever the columns are called, by table."""
    with connected(url) as connection:
        names = connection.execute(
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'memory'::regnamespace"
            " AND relkind = 'r'"
            " AND relname NOT IN ('schema_migrations', 'store_identity', 'collective_blocks')"
        ).fetchall()
        return {
            RENAMED.get(str(name), str(name)): sorted(
                sorted(str(value) for value in row if value is not None)
                for row in connection.execute(f"SELECT * FROM {name}".encode())
            )
            for (name,) in names
        }


class TestBeforeTheBaseline:
    async def test_comes_up_equal_to_a_new_store(
        self, old: str, server: str, template: str
    ) -> None:
        with pytest.raises(NotMigrated, match=r"from before the baseline; run `memory migrate`"):
            await check(old)
        assert await migrate.migrate(old) == list(migrations())
        assert ledger(old) == [(m.version, m.name, m.sha256) for m in migrations()]
        await check(old)
        assert await migrate.migrate(old) == []
        with (
            connected(old) as brought_up,
            connected(make_conninfo(server, dbname=template)) as new,
        ):
            assert by_name(read(brought_up)) == by_name(read(new))

    async def test_keeps_every_row(self, old: str) -> None:
        before = rows(old)
        await migrate.migrate(old)
        after = rows(old)
        at_17 = {"users", "session_progress"}  # have a column more, with 0 in it
        for name in before:
            if before[name] == after[name]:
                continue
            if name == "dead_letters":  # says less, see below
                assert len(before[name]) == len(after[name])
                continue
            assert name in at_17
            assert after[name] == sorted(sorted([*row, "0"]) for row in before[name])
        assert sum(len(found) for found in after.values()) > 100

    async def test_details_of_dead_letters_quote_messages_no_longer(self, old: str) -> None:
        quoting = (
            "INSERT INTO memory.dead_letters (cluster_id, topic_id, partition, record_offset,"
            " topic, reason, detail) VALUES ('c', 't', 0, 7, 't', %s, %s)"
        )
        with connected(old) as connection:
            connection.execute(quoting, ["invalid", "content: must be text, got ['a secret']"])
            connection.commit()
        await migrate.migrate(old)
        told = sorted(value for row in rows(old)["dead_letters"] for value in row)
        assert not any("secret" in value for value in told)
        assert any("`memory dead-letters redrive` says why" in value for value in told)

    def test_goes_on_with_what_it_knows(
        self, old: str, client_of: Callable[[str], MemoryClient]
    ) -> None:
        asyncio.run(migrate.migrate(old))
        client = client_of(old)
        home, *_ = client.history(ANA, attribute="lives_in")
        assert (home.value, home.valid_to) == ("munich", None)
        assert client.explain(ANA, home.id).evidence[0].quote == "I live in Munich now"
        assert "Munich" in client.context(ANA, "Where does the user live?", budget=300).text
        assert client.interactions(ANA.in_session("ana-0316"))[0].id == "ana-0316-01"
        again = client.record(
            ANA.in_session("ana-0316"), "I live in Munich now.", id="ana-0316-01",
            occurred_at=datetime(2026, 3, 16, 9, tzinfo=UTC),
        )  # fmt: skip
        assert again.duplicate
        with pytest.raises(ForgottenId):
            client.record(ANA.in_session("ana-0317"), "I live in Rome.", id="ana-0317-01")

    def test_the_walk_works_on_it(self, old: str, embedder: WordEmbedder) -> None:
        asyncio.run(migrate.migrate(old))
        walked(Settings(database_url=SecretStr(old), debounce=0.0), embedder, BEN)

    async def test_first_uses_at_once_take_turns(self, old: str) -> None:
        processes = [elsewhere(old) for _ in range(2)]
        applied = [len(await migrate.migrate(old))]
        for process in processes:
            out, _ = await to_thread.run_sync(process.communicate)
            assert process.returncode == 0
            applied.append(int(out))
        assert sum(applied) == len(migrations())
        await check(old)

    async def test_one_that_fails_leaves_the_store_as_it_was(self, old: str) -> None:
        before = ledger(old)
        altered(old, "ALTER TABLE memory.users ADD COLUMN abandoned_leases int")
        with pytest.raises(StoreError, match="abandoned_leases"):
            await migrate.migrate(old)
        assert ledger(old) == before
        altered(old, "ALTER TABLE memory.users DROP COLUMN abandoned_leases")
        assert await migrate.migrate(old) == list(migrations())

    @pytest.mark.parametrize("count", [1, 12, 16, 18])
    async def test_no_way_leads_up_from_other_places(self, empty: str, count: int) -> None:
        loaded(empty, 21)
        altered(empty, f"DELETE FROM memory.schema_migrations WHERE version > {count}")
        said = rf"has {count} of the 21 migrations .* from 17 or 21 .* of the version that made"
        for brought_up in (migrate.migrate, check):
            with pytest.raises(UnsupportedSchema, match=said):
                await brought_up(empty)
        assert len(ledger(empty)) == count

    async def test_nor_from_migrations_that_read_otherwise(self, old: str) -> None:
        altered(old, "UPDATE memory.schema_migrations SET sha256 = 'feedbeef' WHERE version = 5")
        said = r"0005_isolation with sha256 feedbeef where 0005_isolation with \w{12} is known"
        for brought_up in (migrate.migrate, check):
            with pytest.raises(UnsupportedSchema, match=said):
                await brought_up(old)

    async def test_nor_from_one_more_than_there_were(self, empty: str) -> None:
        loaded(empty, 21)
        altered(
            empty,
            "INSERT INTO memory.schema_migrations (version, name, sha256)"
            " VALUES (22, 'from_the_future', 'x')",
        )
        with pytest.raises(UnsupportedSchema, match="has 22 of the 21"):
            await migrate.migrate(empty)


@pytest.fixture
def client_of(embedder: WordEmbedder) -> Iterator[Callable[[str], MemoryClient]]:
    """Opens clients that are closed when the test ends."""
    with ExitStack() as opened:
        yield lambda url: opened.enter_context(
            MemoryClient(Settings(database_url=SecretStr(url)), embedder=embedder)
        )


class TestServer:
    @pytest.mark.parametrize(
        ("version", "vector", "available", "said"),
        [
            (150008, "0.8.1", "0.8.1", "is Postgres 15; 16 or newer"),
            (160000, None, None, "offers pgvector None"),
            (170000, "0.7.4", "0.8.0", "offers pgvector '0.7.4'"),
            (180000, None, "0.5.0", "offers pgvector '0.5.0'"),
        ],
    )
    def test_one_that_lacks_something_is_refused_by_name(
        self, version: int, vector: str | None, available: str | None, said: str
    ) -> None:
        row = {"version": version, "vector": vector, "vector_available": available}
        with pytest.raises(UnsupportedDatabase, match=f"host=db dbname=m {said}"):
            migrate.require_supported(row, "postgresql://me:secret@db/m")

    @pytest.mark.parametrize(
        ("vector", "available"), [("0.8.0", None), (None, "0.8.2"), ("0.10.0", "1.0")]
    )
    def test_one_that_has_it_or_could_have_it_is_taken(
        self, vector: str | None, available: str | None
    ) -> None:
        row = {"version": 160004, "vector": vector, "vector_available": available}
        migrate.require_supported(row, "postgresql://db/m")
