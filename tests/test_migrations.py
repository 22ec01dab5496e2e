"""Migrations: applied once each, in order, whoever starts first, and frozen once applied."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from anyio import create_task_group

from memory import migrate
from memory.database import queries
from memory.errors import (
    MigrationChanged,
    NewerSchema,
    NotMigrated,
    StoreError,
    UnsupportedDatabase,
)
from memory.migrate import check, migrations


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
        with pytest.raises(MigrationChanged, match=r"0001_foundations .* restore the file"):
            await check(url)
        with pytest.raises(MigrationChanged):
            await migrate.migrate(url)


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
