"""Every process logs in with as little as it needs: nothing that RESET ROLE gives it is more."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from consumers.cli.application import memory as command_line
from consumers.operations import backup
from consumers.operations import logins as tenant_logins
from consumers.store import worker_database
from memory import embedded, logins
from memory.client import AsyncMemoryClient, MemoryClient
from memory.database import Database
from memory.embedding import Embedder
from memory.errors import AdministratorNeeded, ConfigurationError, InvalidInput
from memory.logins import LoginKind
from memory.migrate import migrate, store_url
from memory.models import Scope
from memory.settings import Settings

pytestmark = pytest.mark.postgres

ANA = Scope("acme", "ana", "scout", "s1")

ESCAPES = (
    "SET SESSION AUTHORIZATION postgres",
    "SET ROLE postgres",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY (SELECT 1) TO '/tmp/out'",
    "SELECT pg_read_file('/etc/passwd')",
    "CREATE ROLE somebody SUPERUSER",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "CREATE EXTENSION dblink",
    "ALTER TABLE memory.interactions DISABLE ROW LEVEL SECURITY",
    "DROP TABLE memory.interactions CASCADE",
    "CREATE TABLE memory.mine ()",
)


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """An embedded store that an earlier release made: its superuser is its one login."""
    parent = Path(tempfile.mkdtemp(prefix="memory-logins-"))
    parent.chmod(0o711)
    asyncio.run(migrate(embedded.start(parent / "data", {"fsync": "off"})))
    yield parent / "data"
    embedded.stop(parent / "data")
    shutil.rmtree(parent)


@pytest.fixture
def own(directory: Path) -> Settings:
    return Settings(data_dir=directory)


@pytest.fixture
def owner(directory: Path) -> Iterator[psycopg.Connection]:
    with psycopg.connect(embedded.start(directory), autocommit=True) as connection:
        yield connection


def connected_as(owner: psycopg.Connection) -> set[tuple[str, bool]]:
    """Every login that is connected now beside this one, and whether it is a superuser."""
    rows = owner.execute(
        "SELECT usename::text, usesuper FROM pg_stat_activity JOIN pg_user USING (usename)"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    return set(rows.fetchall())


class TestEmbedded:
    def test_an_older_store_serves_clients_and_workers_that_are_no_superusers(
        self, own: Settings, owner: psycopg.Connection, embedder: Embedder
    ) -> None:
        with MemoryClient(own, embedder=embedder) as client:
            client.record(ANA, "I live in Berlin.")
            client.remember(ANA, "Likes dogs")
            assert client.context(ANA, "dogs").text
            assert connected_as(owner) == {("memory_app", False)}

    async def test_a_worker_has_a_login_of_its_own(
        self, own: Settings, owner: psycopg.Connection
    ) -> None:
        async with worker_database(own) as database:
            await database.fetch_system("leases.lag")
            assert connected_as(owner) == {("memory_worker_login", False)}

    @pytest.mark.parametrize("kind", [LoginKind.APP, LoginKind.WORKER])
    async def test_what_a_session_resets_to_is_no_more_than_its_login(
        self, own: Settings, embedder: Embedder, kind: LoginKind
    ) -> None:
        async with AsyncMemoryClient(own, embedder=embedder) as client, worker_database(own) as w:
            database = client._connections.writing if kind is LoginKind.APP else w
            for statement in ("RESET ROLE", "RESET SESSION AUTHORIZATION", "SET ROLE NONE"):
                assert await acts(database, statement) == (logins.EMBEDDED[kind], False)

    @pytest.mark.parametrize("statement", ESCAPES)
    @pytest.mark.parametrize("kind", LoginKind)
    async def test_it_gets_no_further(self, own: Settings, kind: LoginKind, statement: str) -> None:
        url = await store_url(own, kind)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("RESET ROLE")
            refused = (psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported)
            with pytest.raises(refused):
                connection.execute(statement.encode())

    async def test_a_tenant_gets_a_login_of_its_own(
        self, own: Settings, owner: psycopg.Connection
    ) -> None:
        owner.execute("CREATE ROLE acme_app LOGIN")
        try:
            (found,) = await tenant_logins.bind(own, "acme", "acme_app")
            assert (found.login, found.tenant) == ("acme_app", "acme")
            assert await tenant_logins.remove(own, "acme", "acme_app") == ()
            with pytest.raises(ConfigurationError) as refused:
                await tenant_logins.bind(own, "acme", "nobody")
            assert str(refused.value) == "the server has no login nobody"
        finally:
            owner.execute("DROP OWNED BY acme_app; DROP ROLE acme_app")

    async def test_an_app_may_not_act_as_a_worker(self, own: Settings) -> None:
        url = await store_url(own, LoginKind.APP)
        with (
            psycopg.connect(url) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute("SET ROLE memory_worker")

    async def test_a_backup_reads_every_row_and_writes_none(
        self, own: Settings, tmp_path: Path
    ) -> None:
        url = await store_url(own, LoginKind.BACKUP)
        program = str(embedded.programs() / "pg_dump")
        content = await backup.dump(url, 10.0, tmp_path / "dump", program)
        assert content.tables["schema_migrations"].rows
        with psycopg.connect(url) as connection:
            connection.execute("SET ROLE memory_backup")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("DELETE FROM memory.users")

    def test_a_server_that_ended_is_started_again_for_them(
        self, own: Settings, directory: Path, embedder: Embedder
    ) -> None:
        with MemoryClient(own, embedder=embedder) as client:
            client.record(ANA, "Hello.")
            running = embedded._running[directory.resolve()]
            embedded._run(running, "pg_ctl", "-m", "immediate", "-D", str(running.cluster), "stop")
            client.record(ANA, "Hello again.")


async def acts(database: Database, statement: str) -> tuple[str, bool]:
    """The role of a session after a statement that goes back to its login; is it a superuser?"""
    async with database._pool.connection() as connection:
        await connection.execute(statement.encode())
        cursor = await connection.execute(
            "SELECT session_user::text AS name, rolsuper AS super, current_user::text AS acts"
            " FROM pg_roles WHERE rolname = current_user"
        )
        (row,) = await cursor.fetchall()
    assert row["name"] == row["acts"]
    return row["name"], row["super"]


@pytest.fixture
def name(superuser: psycopg.Connection) -> Iterator[str]:
    """A login that no other test makes: logins belong to the whole server."""
    made = f"login_{uuid4().hex[:12]}"
    yield made
    superuser.execute(f"DROP OWNED BY {made}; DROP ROLE {made}" if there(superuser, made) else b"")


def there(connection: psycopg.Connection, name: str) -> bool:
    found = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,))
    return found.fetchone() is not None


class TestCommand:
    @pytest.fixture
    def run(self, url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
        monkeypatch.setenv("MEMORY_DATABASE_URL", url)

        def call(*words: str, **more: Any) -> Any:
            words = ("roles", *words)
            return CliRunner().invoke(command_line, words, prog_name="memory", **more)

        return call

    @pytest.mark.parametrize("kind", LoginKind)
    def test_makes_a_login_that_acts_as_one_role(
        self, run: Callable[..., Any], url: str, name: str, kind: LoginKind
    ) -> None:
        done = run("create", kind.value, name, "--json")
        assert done.exit_code == 0, done.output
        made = json.loads(done.stdout)
        assert made["created"]
        assert len(made["password"]) >= 24
        (listed,) = [r for r in json.loads(run("list", "--json").stdout) if r["name"] == name]
        assert listed == {
            "name": name, "acts_as": [kind.role], "superuser": False, "owner": False
        }  # fmt: skip
        with psycopg.connect(make_conninfo(url, user=name, password=made["password"])) as login:
            login.execute(f"SET ROLE {kind.role}".encode())

    def test_serves_a_client(
        self, run: Callable[..., Any], url: str, name: str, embedder: Embedder
    ) -> None:
        run("create", "app", name)
        settings = Settings(database_url=SecretStr(make_conninfo(url, user=name)))
        with MemoryClient(settings, embedder=embedder) as client:
            assert client.remember(ANA, "Likes dogs").text == "Likes dogs"

    def test_again_changes_nothing_and_a_new_password_is_set(
        self,
        run: Callable[..., Any],
        superuser: psycopg.Connection,
        name: str,
        tmp_path: Path,
    ) -> None:
        run("create", "worker", name)
        first = verifier(superuser, name)
        again = json.loads(run("create", "worker", name, "--json").stdout)
        assert (again["created"], again["password"]) == (False, None)
        assert verifier(superuser, name) == first
        secret = tmp_path / "secret"
        secret.write_text("correct horse\n")
        done = run("create", "worker", name, "--password-file", str(secret))
        assert "horse" not in done.output
        assert verifier(superuser, name) not in (first, None)
        assert verifier(superuser, name).startswith("SCRAM-SHA-256$")

    def test_prints_sql_that_an_administrator_can_run(
        self, run: Callable[..., Any], superuser: psycopg.Connection, name: str
    ) -> None:
        made = run("create", "app", name, "--print-sql", "--json")
        found = json.loads(made.stdout)
        assert not there(superuser, name)
        assert found["password"] not in " ".join(found["statements"])
        for statement in found["statements"]:
            superuser.execute(statement.encode())
        assert run("create", "app", name, "--print-sql", "--json").exit_code == 0
        assert json.loads(run("create", "app", name, "--json").stdout)["created"] is False

    @pytest.mark.parametrize(
        "what", ["SUPERUSER", "LOGIN CREATEROLE", "NOLOGIN", "LOGIN IN ROLE memory_worker"]
    )
    def test_refuses_a_role_that_is_something_else(
        self, run: Callable[..., Any], superuser: psycopg.Connection, name: str, what: str
    ) -> None:
        superuser.execute(f"CREATE ROLE {name} {what}".encode())
        done = run("create", "app", name)
        assert done.exit_code == 1
        assert "choose another name" in done.stderr

    @pytest.mark.parametrize("bad", ["", "x" * 64])
    def test_refuses_what_is_no_name(self, run: Callable[..., Any], bad: str) -> None:
        assert run("create", "app", bad).exit_code == 1

    def test_a_name_is_a_name_whatever_it_holds(
        self, run: Callable[..., Any], superuser: psycopg.Connection
    ) -> None:
        odd = 'x"; DROP SCHEMA memory; --' + uuid4().hex[:8]
        assert run("create", "app", odd).exit_code == 0
        assert there(superuser, odd)
        superuser.execute(psycopg.sql.SQL("DROP ROLE {}").format(psycopg.sql.Identifier(odd)))

    def test_says_what_to_do_where_this_login_may_make_none(
        self, run: Callable[..., Any], url: str, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run("create", "worker", name)
        monkeypatch.setenv("MEMORY_DATABASE_URL", make_conninfo(url, user=name))
        done = run("create", "app", f"{name}_2")
        assert done.exit_code == 3
        assert "--print-sql" in done.stderr


def verifier(connection: psycopg.Connection, name: str) -> str:
    row = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (name,))
    return str((row.fetchone() or ("",))[0])


async def test_a_login_that_may_not_be_made_is_an_administrators(url: str, name: str) -> None:
    await logins.create(url, LoginKind.APP, name)
    weak = make_conninfo(url, user=name)
    with pytest.raises(AdministratorNeeded, match=f"{name}_2"):
        await logins.create(weak, LoginKind.APP, f"{name}_2")
    with pytest.raises(InvalidInput, match="memory_client"):
        await logins.create(url, LoginKind.WORKER, name)
