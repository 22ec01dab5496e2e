"""A managed Postgres: an owner who may make neither roles nor extensions, logins, SCRAM and TLS."""

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import quote
from pydantic import SecretStr

from benchmarks.clusters import Cluster, Installation
from memory.client import MemoryClient
from memory.errors import AdministratorNeeded, ConfigurationError, NotMigrated
from memory.migrate import administrators_part, check, migrate, migrations
from memory.models import Scope
from memory.settings import Settings
from tests import servers
from tests.conftest import WordEmbedder
from tests.walking import extracted

pytestmark = pytest.mark.slow

ANA = Scope("northwind", "ana")
PASSWORD = "a pass'word"  # noqa: S105 - of a server that ends with the test

LOGINS = f"""
CREATE ROLE keeper LOGIN PASSWORD {quote(PASSWORD)};
CREATE ROLE app LOGIN PASSWORD {quote(PASSWORD)};
CREATE ROLE worker LOGIN PASSWORD {quote(PASSWORD)};
"""

ASKED = """
CREATE ROLE memory_backup NOLOGIN;
CREATE ROLE memory_client NOLOGIN;
CREATE ROLE memory_tenant_login NOLOGIN;
CREATE ROLE memory_worker NOLOGIN;
GRANT memory_client TO keeper;
GRANT memory_worker TO keeper;
GRANT CREATE ON DATABASE {database} TO keeper;
"""

_numbers = count(1)


@pytest.fixture
def managed(distribution: Installation) -> Iterator[Cluster]:
    """A server without our roles, which takes passwords over TLS alone."""
    options = {"password_encryption": "scram-sha-256"}
    hba = "hostssl all all 127.0.0.1/32 scram-sha-256"
    with Cluster.made(distribution, options, hba=hba, tls=True) as made:
        with made.connect() as administrator:
            administrator.execute(LOGINS.encode())
            row = administrator.execute("SHOW server_version").fetchone()
        assert row is not None
        servers.used("Distribution", f"Postgres {row[0]}")
        yield made


@pytest.fixture
def database(managed: Cluster) -> str:
    name = f"store_{next(_numbers)}"
    with managed.connect() as administrator:
        administrator.execute(f"CREATE DATABASE {name}".encode())
    return name


def url_of(managed: Cluster, database: str, user: str, **more: Any) -> str:
    parts = {"password": PASSWORD, "sslmode": "verify-full"}
    parts |= {"sslrootcert": str(managed.folder / "server.crt"), **more}
    return make_conninfo(host="127.0.0.1", port=managed.port, dbname=database, user=user, **parts)


def administrate(managed: Cluster, database: str, *statements: str) -> None:
    with managed.connect(database) as administrator:
        for statement in statements:
            administrator.execute(statement.encode())


def test_what_an_administrator_has_to_run_is_said_and_is_enough(
    managed: Cluster, database: str, embedder: WordEmbedder
) -> None:
    keeper = url_of(managed, database, "keeper")
    with pytest.raises(AdministratorNeeded) as needed:
        asyncio.run(migrate(keeper))
    asked = asyncio.run(administrators_part(keeper))
    assert " ".join(asked) in str(needed.value)
    assert PASSWORD not in str(needed.value)
    wanted = ASKED.format(database=database).split("\n")
    assert [line for line in asked if "EXTENSION" not in line] == [w for w in wanted if w]

    administrate(managed, database, *asked)
    assert asyncio.run(administrators_part(keeper)) == []
    assert asyncio.run(migrate(keeper)) == list(migrations())
    assert asyncio.run(migrate(keeper)) == []
    administrate(managed, database, "GRANT memory_client TO app", "GRANT memory_worker TO worker")
    walked_by_two(managed, database, embedder)


def walked_by_two(managed: Cluster, database: str, embedder: WordEmbedder) -> None:
    app, worker = (
        Settings(database_url=SecretStr(url_of(managed, database, user)), debounce=0.0)
        for user in ("app", "worker")
    )
    with MemoryClient(app, embedder=embedder) as client:
        client.record(ANA.in_session("s1"), "I live in Berlin.")
        extracted(worker, embedder)
        assert client.history(ANA)[0].value == "berlin"
        assert "Berlin" in client.context(ANA.in_session("s2"), "Where does Ana live?").text
        client.forget(ANA, user=True)
    with pytest.raises(ConfigurationError, match="memory_worker"):
        extracted(app, embedder)


def test_another_database_of_the_server_needs_less(managed: Cluster, database: str) -> None:
    administrate(
        managed, database, "CREATE ROLE memory_backup", "CREATE ROLE memory_client",
        "CREATE ROLE memory_tenant_login", "CREATE ROLE memory_worker",
        "GRANT memory_client, memory_worker TO keeper", "CREATE EXTENSION vector",
    )  # fmt: skip
    keeper = url_of(managed, database, "keeper")
    asked = [f"GRANT CREATE ON DATABASE {database} TO keeper;"]
    assert asyncio.run(administrators_part(keeper)) == asked
    administrate(managed, database, *asked)
    asyncio.run(migrate(keeper))
    asyncio.run(check(keeper))


def test_an_owner_who_does_not_inherit_from_the_roles_is_granted_that(
    managed: Cluster, database: str
) -> None:
    administrate(
        managed, database, "CREATE ROLE memory_backup", "CREATE ROLE memory_client",
        "CREATE ROLE memory_tenant_login", "CREATE ROLE memory_worker", "CREATE EXTENSION vector",
        "GRANT memory_client, memory_worker TO keeper WITH INHERIT FALSE",
        f"ALTER DATABASE {database} OWNER TO keeper",
    )  # fmt: skip
    keeper = url_of(managed, database, "keeper")
    asked = asyncio.run(administrators_part(keeper))
    assert asked == [
        "GRANT memory_client TO keeper WITH INHERIT TRUE;",
        "GRANT memory_worker TO keeper WITH INHERIT TRUE;",
    ]
    administrate(managed, database, *asked)
    asyncio.run(migrate(keeper))
    asyncio.run(check(keeper))


def test_a_role_that_a_later_release_makes_is_asked_for_before_anything_changes(
    managed: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = url_of(managed, database, "keeper")
    administrate(managed, database, *asyncio.run(administrators_part(keeper)))
    known = migrations()
    earlier = next(m.version for m in known if m.name == "backup") - 1
    with monkeypatch.context() as release:
        release.setattr("memory.migrate.migrations", lambda: known[:earlier])
        asyncio.run(migrate(keeper))
    administrate(managed, database, "DROP ROLE memory_backup")
    role = "CREATE ROLE memory_backup NOLOGIN;"
    assert asyncio.run(administrators_part(keeper)) == [role]
    with pytest.raises(AdministratorNeeded, match=role):
        asyncio.run(migrate(keeper))
    with pytest.raises(NotMigrated, match=f"has {earlier} of"):
        asyncio.run(check(keeper))
    administrate(managed, database, role)
    assert asyncio.run(migrate(keeper)) == list(known[earlier:])


def test_an_owner_of_the_database_who_may_make_roles_needs_nobody(
    managed: Cluster, database: str
) -> None:
    administrate(
        managed, database, "ALTER ROLE keeper CREATEROLE", "CREATE EXTENSION vector",
        f"ALTER DATABASE {database} OWNER TO keeper",
    )  # fmt: skip
    keeper = url_of(managed, database, "keeper")
    assert asyncio.run(administrators_part(keeper)) == []
    asyncio.run(migrate(keeper))
    asyncio.run(check(keeper))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"password": "another"}, "password authentication failed"),
        ({"sslmode": "disable"}, "no encryption"),
        ({"sslrootcert": "system"}, "certificate verify failed"),
    ],
)
def test_who_comes_otherwise_is_refused(
    managed: Cluster, database: str, wrong: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        asyncio.run(check(url_of(managed, database, "keeper", **wrong)))
