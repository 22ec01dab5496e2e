"""A login that is one tenant's: any SQL that it may run reaches that tenant alone."""

from collections.abc import Callable, Iterator
from itertools import count

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from consumers.cli.application import memory as command_line
from memory.client import MemoryClient
from memory.errors import WrongTenant
from memory.models import Scope
from memory.settings import Settings
from tests.bindings import bind
from tests.conftest import Extraction, WordEmbedder

ACME = Scope("acme", "ana", session="s1")
OTHER = Scope("birch", "bob", session="s1")
TOLD = "zanzibar"

_numbers = count(1)

Login = Callable[..., str]


@pytest.fixture
def login(url: str, superuser: psycopg.Connection) -> Iterator[Login]:
    """Makes a login, bound to a tenant if one is named, and returns its URL."""
    made: list[sql.Identifier] = []

    def make(tenant: str | None = None) -> str:
        name = f"login_{superuser.info.dbname}_{next(_numbers)}"
        made.append(sql.Identifier(name))
        superuser.execute(sql.SQL("CREATE ROLE {} LOGIN").format(made[-1]))
        if tenant is None:
            superuser.execute(sql.SQL("GRANT memory_client TO {}").format(made[-1]))
        else:
            superuser.execute("CALL memory.bind_login(%s::name, %s)", (name, tenant))
        return make_conninfo(url, user=name)

    yield make
    for name in made:
        superuser.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(name))


def opened(url: str) -> MemoryClient:
    settings = Settings(database_url=SecretStr(url), debounce=0.0)
    return MemoryClient(settings, embedder=WordEmbedder())


def walked(client: MemoryClient, worker: Extraction) -> None:
    client.record(ACME, "I live in Berlin.", id="said")
    worker.drain()
    assert "Berlin" in client.context(ACME.in_session("s2"), "Where does Ana live?").text
    kept = client.remember(ACME, "Likes dogs", attribute="likes", value="dogs")
    assert client.recall(ACME, "dogs").items
    client.state.set(ACME, "task", 1)
    client.state.delete(ACME, "task")
    client.retract(ACME, interactions=["said"], reason="a slip")
    client.forget(ACME, memory=kept.id)
    client.forget(ACME, user=True)


class TestClient:
    def test_works_unchanged(self, login: Login, client: MemoryClient, worker: Extraction) -> None:
        with opened(login("acme")) as own:
            walked(own, worker)

    @pytest.mark.parametrize(
        "call",
        [
            lambda c: c.record(OTHER, "Hello."),
            lambda c: c.recall(OTHER, "dogs"),
            lambda c: c.context(OTHER, "dogs"),
            lambda c: c.history(OTHER),
            lambda c: c.remember(OTHER, "Likes dogs"),
            lambda c: c.forget(OTHER, user=True),
            lambda c: c.state.get(OTHER),
        ],
    )
    def test_another_tenant_is_refused_in_words(
        self, login: Login, client: MemoryClient, call: Callable[[MemoryClient], object]
    ) -> None:
        client.record(OTHER, TOLD)
        with opened(login("acme")) as own, pytest.raises(WrongTenant) as refused:
            call(own)
        assert "bound to tenant 'acme', and the call names tenant 'birch'" in str(refused.value)

    def test_a_login_that_is_bound_no_more_sees_nothing(
        self, login: Login, client: MemoryClient, superuser: psycopg.Connection
    ) -> None:
        client.record(ACME, "Hello.")
        with opened(login("acme")) as own:
            superuser.execute("DELETE FROM tenant_logins")
            with pytest.raises(WrongTenant, match="no tenant"):
                own.recall(ACME, "hello")

    def test_other_logins_name_their_tenant(
        self, login: Login, client: MemoryClient, worker: Extraction
    ) -> None:
        with opened(login()) as shared:
            walked(shared, worker)
            assert shared.history(OTHER) == []


class TestWorkers:
    """What a login writes into its own rows keeps no worker from other tenants."""

    @pytest.mark.parametrize(
        "row",
        [
            "due_at = '-infinity'",
            "due_at = 'infinity'",
            "due_at = '0044-03-15 BC'",
            "recorded_at = '294276-12-31 23:59:59+00'",
            "leased_until = 'infinity'",
            "position = 9223372036854775807, extracted = -9223372036854775807",
            "change_seq = 9223372036854775807",
            "abandoned_leases = 2147483647, lease_token = gen_random_uuid(), leased_until = now()",
        ],
    )
    def test_rows_that_they_cannot_read_are_refused(
        self, login: Login, client: MemoryClient, worker: Extraction, row: str
    ) -> None:
        client.record(ACME, "Hello.")
        url = login("acme")
        with psycopg.connect(url, autocommit=True) as own:
            own.execute("SELECT set_config('memory.user_id', 'ana', false)")
            with pytest.raises(errors.CheckViolation):
                own.execute(f"UPDATE memory.users SET {row}".encode())
            own.execute("SELECT set_config('memory.user_id', repeat('u', 201), false)")
            with pytest.raises(errors.CheckViolation):
                own.execute(
                    "INSERT INTO memory.users (tenant_id, user_id, position, due_at)"
                    " VALUES ('acme', repeat('u', 201), 1, now())"
                )
        client.record(OTHER, "I live in Berlin.")
        worker.drain()
        assert [m.value for m in client.history(OTHER) if m.attribute] == ["berlin"]

    @pytest.mark.parametrize(
        "row",
        [
            "session_progress (tenant_id, user_id, session_id, generation, retry_at)"
            " VALUES ('acme', 'ana', 's1', 1, 'infinity')",
            "change_cursors (tenant_id, user_id, waiting_since)"
            " VALUES ('acme', 'ana', '-infinity')",
        ],
    )
    def test_times_that_nobody_can_wait_for_are_refused(
        self, login: Login, client: MemoryClient, row: str
    ) -> None:
        client.record(ACME, "Hello.")
        with psycopg.connect(login("acme"), autocommit=True) as own:
            own.execute("SELECT set_config('memory.user_id', 'ana', false)")
            with pytest.raises(errors.CheckViolation):
                own.execute(f"INSERT INTO memory.{row}".encode())


@pytest.fixture
def attack(
    login: Login, client: MemoryClient, superuser: psycopg.Connection
) -> Iterator[psycopg.Connection]:
    """Any SQL of a login of acme's, which may make functions in a schema; birch has a secret."""
    superuser.execute("CREATE SCHEMA evil; GRANT ALL ON SCHEMA evil TO PUBLIC")
    client.record(OTHER, f"I live in {TOLD}.", id="m1")
    client.remember(OTHER, f"Lives in {TOLD}", attribute="lives_in", value=TOLD)
    client.record(ACME, "Hello.")
    with psycopg.connect(login("acme"), autocommit=True) as connection:
        yield connection


def seen(attack: psycopg.Connection) -> str:
    """All rows that the session sees in tables with a tenant."""
    found = []
    for (name,) in attack.execute(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'memory')"
        " AND c.relkind = 'r' AND a.attname = 'tenant_id' AND has_table_privilege(c.oid, 'SELECT')"
    ).fetchall():
        found += attack.execute(f"SELECT t::text FROM {name} t".encode()).fetchall()
    return repr(found)


NAMED = (
    "SELECT set_config('memory.tenant_id', 'birch', false),"
    " set_config('memory.user_id', 'bob', false)"
)
MOVES = [
    NAMED,
    f"SET ROLE memory_client; {NAMED}",
    f"SET ROLE memory_tenant_login; {NAMED}",
    "SET memory.tenant_id = 'birch'; SET memory.user_id = 'bob'",
    f"SET search_path TO pg_temp, memory; CREATE FUNCTION pg_temp.pg_has_role(name, name, text)"
    f" RETURNS bool LANGUAGE sql AS 'SELECT false'; CREATE FUNCTION pg_temp.tenant_of_login()"
    f" RETURNS text LANGUAGE sql AS $$ SELECT 'birch' $$; {NAMED}",
    f"CREATE TEMP TABLE tenant_logins AS SELECT session_user AS login, 'birch' AS tenant_id;"
    f" SET search_path TO pg_temp, memory; {NAMED}",
    f"""CREATE FUNCTION evil.pg_has_role(name, name, text) RETURNS bool LANGUAGE sql
            AS 'SELECT false';
        CREATE FUNCTION evil.never(text, text) RETURNS bool LANGUAGE sql AS 'SELECT false';
        CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.never);
        CREATE FUNCTION evil.tenant_of_login() RETURNS text LANGUAGE sql AS $$ SELECT 'birch' $$;
        SET search_path TO evil, pg_catalog, memory; {NAMED}""",
    f"SET row_security TO on; SET plan_cache_mode TO force_generic_plan; {NAMED}",
    f"CREATE TEMP VIEW all_of WITH (security_invoker = false) AS SELECT * FROM memory.interactions;"
    f" {NAMED}",
]


class TestAnySql:
    @pytest.mark.parametrize("move", MOVES)
    def test_shows_no_other_tenant(self, attack: psycopg.Connection, move: str) -> None:
        attack.execute(move.encode())
        assert TOLD not in seen(attack)
        assert "birch" not in seen(attack)
        attack.execute("SELECT set_config('memory.user_id', 'ana', false)")
        assert "Hello" in seen(attack)  # and its own is there

    def test_shows_none_to_whoever_plays_the_superuser_or_the_worker(
        self, attack: psycopg.Connection
    ) -> None:
        for statement in (
            "SET ROLE memory_worker", "SET ROLE memory_backup",
            "SET SESSION AUTHORIZATION postgres",
            "RESET SESSION AUTHORIZATION; SET ROLE postgres", "GRANT memory_worker TO session_user",
            "UPDATE memory.tenant_logins SET tenant_id = 'birch'",
            "SELECT FROM memory.tenant_logins", "CALL memory.bind_login(session_user, 'birch')",
            "CREATE OR REPLACE FUNCTION memory.bound_tenant() RETURNS text LANGUAGE sql AS ''",
            "ALTER TABLE memory.interactions DISABLE ROW LEVEL SECURITY",
        ):  # fmt: skip
            with pytest.raises((errors.InsufficientPrivilege, errors.UndefinedObject)):
                attack.execute(statement.encode())

    def test_our_functions_reach_no_other_tenant(
        self, attack: psycopg.Connection, superuser: psycopg.Connection
    ) -> None:
        count = "SELECT (SELECT count(*) FROM interactions), (SELECT count(*) FROM memories)"
        before = superuser.execute(count).fetchone()
        attack.execute(f"{NAMED}; SET search_path TO memory".encode())
        for call in (
            "delete_interactions(ARRAY['m1'])", "delete_derived()", "delete_sessions(NULL)",
            "forget_dead_letters(NULL, NULL)", "withdraw_support()",
            "build_block('birch', 'bob', 1::smallint)",
        ):  # fmt: skip
            attack.execute(f"SELECT {call}".encode())
        assert superuser.execute(count).fetchone() == before
        assert attack.execute("SELECT tenant_of_login()").fetchone() == ("acme",)

    def test_writes_into_no_other_tenant(self, attack: psycopg.Connection) -> None:
        attack.execute(f"{NAMED}; SET search_path TO memory".encode())
        with pytest.raises(errors.InsufficientPrivilege):
            attack.execute("INSERT INTO memory.users (tenant_id, user_id) VALUES ('birch', 'eve')")
        with pytest.raises(errors.InsufficientPrivilege):
            attack.execute(
                "CALL memory.append_interaction('birch', 'bob', 's', NULL, false, 'i', 'd',"
                " 'message', 'user', NULL, 'x', '{}', now(), 0, 'client', 'h', 60, NULL, NULL)"
            )

    def test_plans_tell_no_other_tenant(self, attack: psycopg.Connection) -> None:
        attack.execute(NAMED.encode())
        plans = []
        for word in (TOLD, "qqqqqqqq"):
            rows = attack.execute(
                "EXPLAIN (ANALYZE, TIMING OFF, BUFFERS OFF, SUMMARY OFF)"
                f" SELECT FROM memory.memories WHERE value = '{word}'".encode()
            ).fetchall()
            plans.append(repr(rows).replace(word, ""))
        assert plans[0] == plans[1]


class TestBinding:
    def test_a_superuser_is_nobodys(self, superuser: psycopg.Connection) -> None:
        superuser.execute(
            "INSERT INTO tenant_logins (login, tenant_id) VALUES (session_user, 'acme')"
        )
        with superuser.transaction():
            bind(superuser, OTHER)
            assert superuser.execute("SELECT memory.bound_tenant()").fetchone() == ("birch",)

    @pytest.mark.parametrize("role", ["memory_worker", "memory_backup"])
    def test_a_login_that_sees_every_tenant_is_refused(
        self, login: Login, role: str, superuser: psycopg.Connection
    ) -> None:
        name = psycopg.conninfo.conninfo_to_dict(login())["user"]
        superuser.execute(
            sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(str(name)))
        )
        with pytest.raises(errors.InsufficientPrivilege, match="which see every tenant"):
            superuser.execute("CALL memory.bind_login(%s::name, 'acme')", (name,))
        with pytest.raises(errors.InsufficientPrivilege, match="which see every tenant"):
            superuser.execute("CALL memory.bind_login(session_user, 'acme')")

    def test_by_the_command_line(
        self, login: Login, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MEMORY_DATABASE_URL", url)
        name = str(psycopg.conninfo.conninfo_to_dict(login())["user"])

        def ran(*arguments: str) -> tuple[int, str]:
            done = CliRunner().invoke(command_line, ["tenants", *arguments])
            return done.exit_code, done.output

        assert ran("login", "acme", "--login", name, "--json")[0] == 0
        assert f'"login": "{name}"' in ran("logins", "--json")[1]
        assert ran("login", "birch", "--login", name, "--remove")[0] != 0
        assert ran("login", "acme", "--login", name, "--remove")[0] == 0
        assert name not in ran("logins")[1]
        assert ran("login", "acme", "--login", "nobody_of_this_name")[0] != 0
