"""Backups: which role dumps a whole store, and what tells that the restored one holds the same."""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import psycopg
import pytest
from anyio.from_thread import start_blocking_portal
from click.testing import CliRunner, Result
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr
from pydantic_core import to_jsonable_python

from consumers.cli.application import memory as command_line
from consumers.extraction import Worker
from consumers.operations import backup
from consumers.operations.backup import NOT_FROM_THE_LOG, StoreContent
from memory import embedded
from memory.client import MemoryClient
from memory.database import Database, DatabaseRole
from memory.errors import ConfigurationError, InvalidInput, MissingDependency, StoreError
from memory.migrate import migrate
from memory.settings import Settings
from tests.conftest import Databases, Extraction, Residence, Verbatim, WordEmbedder
from tests.pages import Page
from tests.physical import execute, program
from tests.test_isolation import SHARED_ROWS, fill

PASSWORD = "only-for-tests"  # noqa: S105
OWNER, BACKUP, WORKER = (f"memory_test_{os.getpid()}_{n}" for n in ("owner", "backup", "worker"))


def repairs() -> str:
    """What docs/operations.md has an owner run who is no superuser."""
    (found,) = (b for b in Page("docs/operations.md").blocks() if "withdraw_support" in b.text)
    return found.text


def held(url: str, *without: str) -> StoreContent:
    return anyio.run(backup.digests, url, 10.0, without)


def dumped(url: str, file: Path, by: str = "") -> StoreContent:
    return anyio.run(backup.dump, url, 10.0, file, by or program("pg_dump"))


def differing(url: str, other: str) -> set[str]:
    return {found.name for found in backup.differences(held(url), held(other))}


@dataclass(frozen=True)
class Store:
    """A store whose owner is no superuser, with rows in every table; tests leave it as it is."""

    url: str
    databases: Databases

    def by(self, login: str, url: str = "") -> str:
        """The store, or another database, as a login sees it; empty for the superuser."""
        said = {"user": login, "password": PASSWORD} if login else {}
        return make_conninfo(url or self.url, **said)

    @property
    def name(self) -> str:
        return str(conninfo_to_dict(self.url)["dbname"])


@pytest.fixture(scope="module")
def logins(server: str, databases: Databases) -> Iterator[None]:
    """An owner without superuser, a login for backups, and one for workers."""
    with psycopg.connect(server, autocommit=True) as connection:
        for name in (OWNER, BACKUP, WORKER):
            made = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            connection.execute(made.format(sql.Identifier(name), sql.Literal(PASSWORD)))
        connection.execute(sql.SQL("ALTER ROLE {} CREATEROLE").format(sql.Identifier(OWNER)))
    yield
    databases.drop()  # what the logins own
    execute(server, f"DROP ROLE {OWNER}, {BACKUP}, {WORKER}")


@pytest.fixture(scope="module")
def store(databases: Databases, template: str, logins: None) -> Iterator[Store]:
    with databases.making() as make:
        url = make("template1")
        owned_by_owner(url)
        made = Store(url, databases)
        execute(
            url,
            f"GRANT memory_client, memory_worker TO {OWNER};"
            f"GRANT memory_backup TO {OWNER} WITH INHERIT FALSE, SET TRUE;"
            f"GRANT memory_backup TO {BACKUP}; GRANT memory_worker TO {WORKER}",
        )
        anyio.run(migrate, made.by(OWNER))
        filled(url)
        yield made


def owned_by_owner(url: str) -> None:
    name = sql.Identifier(str(conninfo_to_dict(url)["dbname"]))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
        owner = sql.Identifier(OWNER)
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, owner))


def filled(url: str) -> None:
    settings = Settings(database_url=SecretStr(url))
    database = Database(settings, url, DatabaseRole.WORKER)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(database),
        MemoryClient(settings, embedder=WordEmbedder()) as client,
    ):
        worker = Worker(database, WordEmbedder(), [Verbatim(), Residence()], settings)
        fill(client, Extraction(portal, worker))
    execute(url, SHARED_ROWS)


@pytest.fixture
def copy(store: Store, make_database: Callable[[str], str]) -> str:
    """A copy of the store that a test may change."""
    return make_database(store.name)


@pytest.fixture
def empty(make_database: Callable[[str], str]) -> str:
    """A database to restore into."""
    return make_database("template0")


def restored(url: str, file: Path) -> list[str]:
    """Restores a dump and returns the errors.

    Servers before 17 do not know a setting of newer programs, which changes nothing.
    """
    command = [program("pg_restore"), "--dbname", url, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    return [line for line in errors if "transaction_timeout" not in line]


def plain_dump(url: str, file: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [program("pg_dump"), "--format=custom", *flags, f"--file={file}", url]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class TestDigests:
    def test_every_row_of_every_table_is_counted(self, store: Store) -> None:
        tables = execute(
            store.url,
            "SELECT relname FROM pg_class WHERE relnamespace = 'memory'::regnamespace"
            " AND relkind = 'r'",
        )
        content = held(store.url)
        assert {name for (name,) in tables} == set(content.tables)
        for name, table in content.tables.items():
            assert execute(store.url, f"SELECT count(*) FROM {name}") == [(table.rows,)]
            assert table.rows > 0

    @pytest.mark.parametrize("login", [OWNER, BACKUP], ids=["owner", "backup"])
    def test_the_role_of_backups_sees_what_a_superuser_sees(self, store: Store, login: str) -> None:
        seen = held(store.by(login))
        assert seen.tables == held(store.url).tables
        assert seen.definitions == held(store.url).definitions

    def test_a_login_that_sees_a_part_is_refused(self, store: Store) -> None:
        with pytest.raises(ConfigurationError, match=r"hides rows of \d\d tables .*memory_backup"):
            held(store.by(WORKER))

    def test_a_table_that_its_migration_forgot_is_not_taken_for_empty(
        self, store: Store, copy: str
    ) -> None:
        execute(copy, "DROP POLICY backup ON retractions")
        with pytest.raises(ConfigurationError, match=r"1 tables .*'retractions'"):
            held(store.by(BACKUP, copy))

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ("UPDATE memories SET text = text || '.' WHERE memory_id = 1", "memories"),
            ("DELETE FROM tombstones", "tombstones"),
            ("UPDATE embeddings SET vector = vector + vector WHERE memory_id = 1", "embeddings"),
            ("UPDATE users SET position = position + 1 WHERE user_id = 'tom'", "users"),
            (
                "UPDATE interactions i SET content = o.content FROM interactions o"
                " WHERE (i.interaction_id, o.interaction_id) IN (('m1', 'm2'), ('m2', 'm1'))"
                " AND (i.tenant_id, i.user_id) = (o.tenant_id, o.user_id)",
                "interactions",
            ),
            ("DROP POLICY client ON evidence", "policies"),
            ("REVOKE SELECT ON memories FROM memory_client", "grants"),
            ("ALTER TABLE users NO FORCE ROW LEVEL SECURITY", "row security"),
            ("ALTER FUNCTION withdraw_support OWNER TO CURRENT_USER", "functions"),
            ("DROP TRIGGER changes_on_delete ON memories", "triggers"),
            ("DROP INDEX memories_one_belief", "indexes"),
            ("ALTER TABLE memories DROP CONSTRAINT memories_kind_check", "constraints"),
            ("ALTER TABLE memories ALTER COLUMN contested DROP DEFAULT", "columns"),
        ],
    )
    def test_what_differs_is_named(self, store: Store, copy: str, change: str, name: str) -> None:
        assert differing(store.url, copy) == set()
        execute(copy, change)
        assert name in differing(store.url, copy)

    def test_the_order_of_the_rows_does_not_count(self, store: Store, copy: str) -> None:
        before = execute(copy, "SELECT interaction_id FROM interactions")
        execute(copy, "UPDATE interactions SET content = content WHERE interaction_id = 'm1'")
        assert execute(copy, "SELECT interaction_id FROM interactions") != before
        assert differing(store.url, copy) == set()

    def test_what_a_session_sets_does_not_count(self, store: Store, copy: str) -> None:
        for setting in (
            "timezone = 'Asia/Tokyo'",
            "extra_float_digits = 0",
            "bytea_output = escape",
        ):
            execute(copy, f"ALTER DATABASE {conninfo_to_dict(copy)['dbname']} SET {setting}")
        assert differing(store.url, copy) == set()

    def test_columns_can_be_left_out(self, store: Store, copy: str) -> None:
        execute(copy, "UPDATE interactions SET recorded_at = recorded_at + interval '1 day'")
        assert differing(store.url, copy) == {"interactions"}
        assert held(copy, *NOT_FROM_THE_LOG).tables == held(store.url, *NOT_FROM_THE_LOG).tables

    def test_columns_to_leave_out_exist(self, store: Store) -> None:
        columns = execute(
            store.url,
            "SELECT attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid"
            " WHERE relnamespace = 'memory'::regnamespace",
        )
        assert set(NOT_FROM_THE_LOG) <= {name for (name,) in columns}

    def test_what_is_written_is_read_again(self, store: Store) -> None:
        content = held(store.url)
        written = json.dumps(to_jsonable_python(content))
        assert StoreContent.from_json(written) == content
        with pytest.raises(InvalidInput, match="not digests of a store"):
            StoreContent.from_json('{"error": {}}')


class TestDump:
    @pytest.mark.parametrize("login", ["", BACKUP, OWNER], ids=["superuser", "backup", "owner"])
    def test_a_restored_store_equals_the_dumped_one(
        self, store: Store, empty: str, tmp_path: Path, login: str
    ) -> None:
        content = dumped(store.by(login), tmp_path / "dump")
        assert content.tables == held(store.url).tables
        assert restored(empty, tmp_path / "dump") == []
        assert differing(store.url, empty) == set()

    @pytest.mark.parametrize(
        ("login", "flags"),
        [("", ()), (BACKUP, ("--role=memory_backup", "--enable-row-security"))],
        ids=["superuser", "backup"],
    )
    def test_pg_dump_by_hand(
        self, store: Store, empty: str, tmp_path: Path, login: str, flags: tuple[str, ...]
    ) -> None:
        assert plain_dump(store.by(login), tmp_path / "dump", *flags).stderr == ""
        assert restored(empty, tmp_path / "dump") == []
        assert differing(store.url, empty) == set()

    def test_with_bypassrls_pg_dump_needs_no_flag(
        self, store: Store, empty: str, tmp_path: Path
    ) -> None:
        execute(store.url, f"ALTER ROLE {BACKUP} BYPASSRLS")
        try:
            assert plain_dump(store.by(BACKUP), tmp_path / "dump").stderr == ""
        finally:
            execute(store.url, f"ALTER ROLE {BACKUP} NOBYPASSRLS")
        assert restored(empty, tmp_path / "dump") == []
        assert differing(store.url, empty) == set()

    def test_an_owner_that_restores_repairs_what_it_was_refused(
        self, store: Store, empty: str, tmp_path: Path
    ) -> None:
        dumped(store.by(BACKUP), tmp_path / "dump")
        owned_by_owner(empty)
        owner = store.by(OWNER, empty)
        refused = restored(owner, tmp_path / "dump")
        assert len(refused) == 1 + repairs().count("ALTER FUNCTION")  # and the extension's comment
        assert differing(store.url, empty) == {"functions", "grants"}
        execute(owner, repairs())
        assert differing(store.url, empty) == set()

    def test_writers_may_go_on(self, store: Store, copy: str, empty: str, tmp_path: Path) -> None:
        # The program writes to the store before it dumps it, as an app does in that time.
        writing = tmp_path / "pg_dump"
        change = "UPDATE memory.users SET position = 99"
        writing.write_text(
            f'#!/bin/sh -e\n{program("psql")} -q "{copy}" -c "{change}"\n'
            f'exec {program("pg_dump")} "$@"\n'
        )
        writing.chmod(0o755)
        content = dumped(copy, tmp_path / "dump", str(writing))
        assert content.tables == held(store.url).tables
        assert restored(empty, tmp_path / "dump") == []
        assert held(empty).tables == content.tables
        assert differing(copy, empty) == {"users"}

    def test_the_password_is_no_argument(self, store: Store, tmp_path: Path) -> None:
        listing = tmp_path / "pg_dump"
        listing.write_text(f'#!/bin/sh\necho "$@" $PGPASSWORD > {tmp_path}/said\n')
        listing.chmod(0o755)
        dumped(store.by(BACKUP), tmp_path / "dump", str(listing))
        *arguments, password = (tmp_path / "said").read_text().split()
        assert password == PASSWORD
        assert PASSWORD not in " ".join(arguments)
        assert f"user={BACKUP}" in " ".join(arguments)

    def test_a_dump_that_fails_says_why(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(MissingDependency, match="no program 'no-such-program'"):
            dumped(store.url, tmp_path / "dump", "no-such-program")
        with pytest.raises(StoreError, match=r"pg_dump ended with 1: .*No such file"):
            dumped(store.url, tmp_path / "no" / "such" / "folder")


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(url: str, *words: str) -> Result:
        if url:
            monkeypatch.setenv("MEMORY_DATABASE_URL", url)
        else:
            monkeypatch.delenv("MEMORY_DATABASE_URL", raising=False)
        return CliRunner().invoke(command_line, ["backup", *words], prog_name="memory")

    return call


class TestCommand:
    def test_a_dump_is_checked_after_it_was_restored(
        self, store: Store, empty: str, tmp_path: Path, run: Run
    ) -> None:
        file = str(tmp_path / "store.dump")
        made = run(store.by(BACKUP), "dump", file, "--pg-dump", program("pg_dump"))
        assert made.exit_code == 0, made.output
        restored(empty, Path(file))
        done = run(store.by(BACKUP, empty), "check", f"{file}.json")
        assert (done.exit_code, done.stdout[:6]) == (0, "equal:")

    def test_the_embedded_server_brings_its_own_program(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="memory-backup-") as name:
            folder = Path(name)
            folder.chmod(0o755)  # as root the server's own account must be able to enter
            monkeypatch.setenv("MEMORY_DATA_DIR", name)
            monkeypatch.setenv("PATH", "/nowhere")
            try:
                made = run("", "dump", str(folder / "store.dump"))
                assert made.exit_code == 0, made.output
                assert run("", "check", str(folder / "store.dump.json")).exit_code == 0
            finally:
                embedded.stop(folder)

    def test_a_store_whose_url_is_in_a_file_takes_pg_dump_of_the_path(
        self, store: Store, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "url"
        file.write_text(store.by(BACKUP))
        monkeypatch.setenv("MEMORY_DATABASE_URL_FILE", str(file))
        monkeypatch.setenv("PATH", "/nowhere")
        made = run("", "dump", str(tmp_path / "store.dump"))
        assert (made.exit_code, "no program 'pg_dump'" in made.output) == (3, True)

    def test_what_row_level_security_hid_is_told(
        self, store: Store, empty: str, tmp_path: Path, run: Run
    ) -> None:
        # By the owner pg_dump fails, and with the flag that it suggests it dumps no row.
        assert "row-level security" in plain_dump(store.by(OWNER), tmp_path / "dump").stderr
        flagged = plain_dump(store.by(OWNER), tmp_path / "dump", "--enable-row-security")
        assert flagged.stderr == ""
        restored(empty, tmp_path / "dump")
        digests = tmp_path / "store.json"
        digests.write_text(run(store.by(OWNER), "digests", "--json").stdout)

        told = run(empty, "check", str(digests))
        assert told.exit_code == 1
        assert re.search(r"^interactions: \d+ expected, 0 found$", told.stdout, re.MULTILINE)
        assert "27 tables came back empty" in told.stdout
        assert "--role=memory_backup" in told.stdout
        document = json.loads(run(empty, "check", str(digests), "--json").stdout)
        assert not document["equal"]
        assert {"interactions", "memories", "sessions"} <= set(document["hidden"])

    def test_two_stores_are_compared(self, store: Store, copy: str, run: Run) -> None:
        assert run(copy, "check", "--against", store.by(BACKUP)).exit_code == 0
        execute(copy, "UPDATE users SET recorded_at = now()")
        assert run(copy, "check", "--against", store.by(BACKUP), "--reingested").exit_code == 0
        told = run(copy, "check", "--against", store.by(BACKUP))
        assert (told.exit_code, told.stdout) == (1, "users: 3 expected, 3 found\n")

    def test_digests_that_leave_columns_out_are_compared_without_them(
        self, store: Store, copy: str, run: Run, tmp_path: Path
    ) -> None:
        digests = tmp_path / "store.json"
        digests.write_text(run(store.url, "digests", "--json", "--reingested").stdout)
        execute(copy, "UPDATE users SET recorded_at = now()")
        assert run(copy, "check", str(digests)).exit_code == 0

    def test_codes(self, store: Store, run: Run, tmp_path: Path, empty: str) -> None:
        (tmp_path / "other.json").write_text("[]")
        assert run(store.url, "check").exit_code == 2
        assert run(store.url, "check", "x.json", "--against", store.url).exit_code == 2
        assert run(store.url, "check", str(tmp_path / "none.json")).exit_code == 2
        assert run(store.url, "check", str(tmp_path / "other.json")).exit_code == 1
        assert run(store.by(WORKER), "digests").exit_code == 3
        assert run(empty, "digests").exit_code == 3
        nobody = make_conninfo(store.url, host="127.0.0.1", port="1")
        assert run(nobody, "digests").exit_code == 4

    def test_tables_are_listed(self, store: Store, run: Run) -> None:
        lines = run(store.url, "digests").stdout.splitlines()
        assert [line.split()[0] for line in lines if line.startswith(("users", "grants"))] == [
            "users", "grants"
        ]  # fmt: skip
        assert len(lines) == 1 + len(held(store.url).tables) + 8
