"""The client: one set of verbs, async and not, that says plainly what went wrong."""

import asyncio
import inspect
import socket
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_type

import psycopg
import pytest
from pydantic import SecretStr

from memory.client import AsyncMemoryClient, AsyncTaskState, MemoryClient, TaskState
from memory.client.portal import Portal
from memory.database import Database, DatabaseRole
from memory.embedding import Embedder
from memory.errors import (
    ClientNotOpen,
    ConfigurationError,
    LockTimeout,
    NewerSchema,
    NotMigrated,
    StatementTimeout,
    StoreUnavailable,
)
from memory.models import Memory, Recall, Receipt, Scope
from memory.settings import Settings
from tests.conftest import Extraction

ANA = Scope("northwind", "ana", "scout", "s1")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def verbs(cls: type) -> dict[str, Callable[..., Any]]:
    """Its public methods, those of the `with` statement included, named as without async."""
    members = inspect.getmembers(cls, inspect.isfunction)
    renamed = {"__aenter__": "__enter__", "__aexit__": "__exit__"}
    return {
        renamed.get(name, name): method
        for name, method in members
        if not name.startswith("_") or name in {*renamed, *renamed.values(), "__init__"}
    }


@pytest.mark.parametrize(
    ("waited", "plain"),
    [(AsyncMemoryClient, MemoryClient), (AsyncTaskState, TaskState)],
    ids=["client", "state"],
)
class TestParity:
    def test_both_have_the_same_verbs(self, waited: type, plain: type) -> None:
        assert verbs(waited).keys() == verbs(plain).keys()

    def test_each_verb_takes_and_gives_the_same(self, waited: type, plain: type) -> None:
        for name, method in verbs(waited).items():
            if name == "__init__" and waited is AsyncTaskState:
                continue  # made by the client, each from what it has
            assert inspect.signature(method) == inspect.signature(verbs(plain)[name]), name

    def test_every_verb_waits_in_the_one_and_none_in_the_other(
        self, waited: type, plain: type
    ) -> None:
        for name, method in verbs(waited).items():
            if name != "__init__":
                assert inspect.iscoroutinefunction(method), name
            assert not inspect.iscoroutinefunction(verbs(plain)[name]), name

    def test_both_document_every_verb_in_full(self, waited: type, plain: type) -> None:
        for name, method in verbs(waited).items():
            if not name.startswith("_"):
                assert len(inspect.getdoc(method) or "") > 10, name
                assert inspect.getdoc(verbs(plain)[name]) == inspect.getdoc(method), name


class TestEquality:
    async def test_both_see_the_same_store(
        self, client: MemoryClient, async_client: AsyncMemoryClient, worker: Extraction
    ) -> None:
        plain = await asyncio.to_thread(
            client.record, ANA, "I live in Berlin.", id="m1", occurred_at=NOON
        )
        again = await async_client.record(ANA, "I live in Berlin.", id="m1", occurred_at=NOON)
        assert (again.ordinal, again.position, again.duplicate) == (1, 1, True)
        assert not plain.duplicate
        await asyncio.to_thread(worker.drain)
        await async_client.state.set(ANA, "task", 1)
        assert client.state.get(ANA) == await async_client.state.get(ANA) == {"task": 1}
        assert client.history(ANA) == await async_client.history(ANA)
        assert client.interactions(ANA) == await async_client.interactions(ANA)
        assert client.position(ANA) == await async_client.position(ANA)
        elsewhere = ANA.in_session("s2")
        assert client.recall(elsewhere, "Where?") == await async_client.recall(elsewhere, "Where?")
        assert (
            client.context(elsewhere, "Where?").json()
            == (await async_client.context(elsewhere, "Where?")).json()
        )
        memory = client.history(ANA)[0]
        assert client.explain(ANA, memory.id) == await async_client.explain(ANA, memory.id)

    async def test_the_plain_one_works_inside_a_running_loop(self, client: MemoryClient) -> None:
        assert asyncio.get_running_loop().is_running()
        client.record(ANA, "From a notebook.")
        assert len(client.context(ANA, "From where?").turns) == 1

    def test_the_plain_one_is_shared_by_threads(self, client: MemoryClient) -> None:
        def use(number: int) -> int:
            for n in range(10):
                client.record(ANA, f"{number} {n}", id=f"{number}-{n}")
                client.context(ANA, "What?")
            return len(client.interactions(ANA, limit=1000))

        with ThreadPoolExecutor(8) as pool:
            counts = list(pool.map(use, range(8)))
        assert max(counts) == 80
        assert [i.ordinal for i in client.interactions(ANA)] == list(range(1, 81))

    def test_one_after_the_other(self, settings: Settings, embedder: Embedder) -> None:
        for number in (1, 2):
            with MemoryClient(settings, embedder=embedder) as client:
                assert client.record(ANA, "Hello.").position == number

    def test_a_client_can_be_opened_again(self, settings: Settings, embedder: Embedder) -> None:
        client = MemoryClient(settings, embedder=embedder)
        for number in (1, 2):
            with client:
                assert client.record(ANA, "Hello.").position == number

    def test_a_client_that_is_not_open_says_so(
        self, settings: Settings, embedder: Embedder
    ) -> None:
        client = MemoryClient(settings, embedder=embedder)
        calls: list[Callable[[], object]] = [
            lambda: client.record(ANA, "Hello."),
            lambda: client.recall(ANA, "What?"),
            lambda: client.state.get(ANA),
        ]
        for call in calls:
            with pytest.raises(ClientNotOpen, match=r"never opened|is closed"):
                call()
        with client:
            assert client.state.get(ANA) == {}
        for call in calls:
            with pytest.raises(ClientNotOpen, match=r"never opened|is closed"):
                call()

    def test_callers_get_the_types_of_the_async_verbs(self, client: MemoryClient) -> None:
        receipt = assert_type(client.record(ANA, "Hello.", id="m1"), Receipt)
        assert_type(client.recall(ANA, "What?", k=3, after=receipt, timeout=0.0), Recall)
        assert_type(client.history(ANA, closed=True), list[Memory])
        assert_type(client.state.get(ANA), dict[str, Any])
        with pytest.raises(TypeError, match="unexpected"):
            client.recall(ANA, "What?", most=3)  # type: ignore[call-arg]


def unused_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def opened(url: str, embedder: Embedder, **changes: Any) -> None:
    settings = Settings(database_url=SecretStr(url), connect_timeout=2.0, **changes)
    with MemoryClient(settings, embedder=embedder) as client:
        client.record(ANA, "Hello.")


class TestPortal:
    def test_what_is_raised_inside_comes_out(self) -> None:
        async def fails() -> None:
            raise LockTimeout("too long")

        with Portal() as portal, pytest.raises(LockTimeout, match="too long"):
            portal.call(fails)

    def test_does_not_wait_for_itself(self) -> None:
        with Portal() as portal:

            async def again() -> None:
                portal.call(asyncio.sleep, 0)

            with pytest.raises(RuntimeError, match="own thread"):
                portal.call(again)

    def test_takes_no_call_once_closed(self) -> None:
        with Portal() as portal:
            portal.call(asyncio.sleep, 0)
        with pytest.raises(RuntimeError, match=r"never opened|is closed"):
            portal.call(asyncio.sleep, 0)

    def test_what_never_suspends_is_run_by_the_thread_that_calls(self) -> None:
        async def which() -> int:
            return threading.get_ident()

        async def fails() -> None:
            raise LockTimeout("too long")

        with Portal() as portal:
            assert portal.call_here(which) == threading.get_ident() != portal.call(which)
            with pytest.raises(LockTimeout, match="too long"):
                portal.call_here(fails)
            with pytest.raises(RuntimeError, match="suspends"):
                portal.call_here(asyncio.sleep, 0)
        with pytest.raises(RuntimeError, match=r"never opened|is closed"):
            portal.call_here(which)

    def test_closing_cancels_what_is_under_way(self) -> None:
        begun = threading.Event()

        async def waits() -> None:
            begun.set()
            await asyncio.sleep(3600)

        with ThreadPoolExecutor(1) as pool:
            with Portal() as portal:
                call = pool.submit(portal.call, waits)
                assert begun.wait(60)
            with pytest.raises(CancelledError):
                call.result(60)


class TestTrouble:
    def test_a_server_that_cannot_be_reached(self, embedder: Embedder) -> None:
        port = unused_port()
        with pytest.raises(StoreUnavailable, match=str(port)) as raised:
            opened(f"postgresql://postgres@127.0.0.1:{port}/postgres", embedder)
        assert raised.value.retriable
        assert isinstance(raised.value.__cause__, psycopg.OperationalError)

    def test_a_database_that_does_not_exist(self, server: str, embedder: Embedder) -> None:
        with pytest.raises(ConfigurationError, match="no_such_database"):
            opened(psycopg.conninfo.make_conninfo(server, dbname="no_such_database"), embedder)

    def test_a_url_that_is_none(self, embedder: Embedder) -> None:
        with pytest.raises(ConfigurationError) as raised:
            opened("postgresql//me:secret@db", embedder)
        assert "secret" not in str(raised.value)

    def test_a_database_that_was_not_migrated(
        self, make_database: Callable[[str], str], embedder: Embedder
    ) -> None:
        with pytest.raises(NotMigrated, match="run `memory migrate`"):
            opened(make_database("template1"), embedder)

    def test_a_database_of_a_newer_release(
        self, url: str, superuser: psycopg.Connection, embedder: Embedder
    ) -> None:
        superuser.execute(
            "INSERT INTO schema_migrations (version, name, sha256) VALUES (900, 'later', 'x')"
        )
        with pytest.raises(NewerSchema, match="update experiential-memory"):
            opened(url, embedder)

    def test_a_login_that_may_not_act_as_a_client(
        self, url: str, superuser: psycopg.Connection, embedder: Embedder
    ) -> None:
        superuser.execute("CREATE ROLE memory_test_stranger LOGIN")
        try:
            superuser.execute("GRANT USAGE ON SCHEMA memory TO memory_test_stranger")
            superuser.execute("GRANT SELECT ON schema_migrations TO memory_test_stranger")
            with pytest.raises(ConfigurationError, match="memory_client"):
                opened(psycopg.conninfo.make_conninfo(url, user="memory_test_stranger"), embedder)
        finally:
            superuser.execute("DROP OWNED BY memory_test_stranger")
            superuser.execute("DROP ROLE memory_test_stranger")

    def test_connections_killed_under_the_client_are_replaced(
        self, client: MemoryClient, superuser: psycopg.Connection
    ) -> None:
        client.record(ANA, "Hello.", id="m1")
        for number in range(3):
            killed = superuser.execute(
                "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
            assert killed is not None
            assert killed[0] >= 1
            client.record(ANA, f"Again {number}.")
        assert [i.ordinal for i in client.interactions(ANA)] == [1, 2, 3, 4]
        assert client.remember(ANA, "Likes dogs").id

    def test_a_statement_that_takes_too_long_is_given_up_once(
        self, settings: Settings, embedder: Embedder, superuser: psycopg.Connection
    ) -> None:
        short = settings.model_copy(update={"statement_timeout": 0.2})
        with MemoryClient(short, embedder=embedder) as client:
            client.record(ANA, "Hello.")
            with superuser.transaction():
                superuser.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
                with pytest.raises(StatementTimeout, match="statement timeout"):
                    client.position(ANA)
            assert client.position(ANA).recorded == 1

    def test_a_failed_opening_leaves_nothing_open(
        self, make_database: Callable[[str], str], embedder: Embedder
    ) -> None:
        url = make_database("template1")
        for _ in range(3):
            with pytest.raises(NotMigrated):
                opened(url, embedder)
        with psycopg.connect(url, autocommit=True) as connection:
            # A server process ends a moment after its client has left.
            still_there = (
                "SELECT count(*), pg_sleep(0.05) FROM pg_stat_activity"
                " WHERE datname = current_database() AND backend_type = 'client backend'"
                " AND pid <> pg_backend_pid()"
            )
            counts = (connection.execute(still_there).fetchone() for _ in range(200))
            assert any(row is not None and row[0] == 0 for row in counts)


class TestDefault:
    def test_without_a_url_the_embedded_server_is_made_and_migrated(
        self, embedder: Embedder, monkeypatch: pytest.MonkeyPatch, server: str
    ) -> None:
        """The default path, with the run's own server standing in for a second one."""
        import memory.embedded

        asked: list[Path] = []

        def start(data_dir: Path) -> str:
            asked.append(data_dir)
            return url

        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("CREATE DATABASE memory_default")
            url = psycopg.conninfo.make_conninfo(server, dbname="memory_default")
            monkeypatch.setattr(memory.embedded, "start", start)
            try:
                settings = Settings(data_dir=Path("/tmp/nowhere"))  # noqa: S108
                with MemoryClient(settings, embedder=embedder) as client:
                    assert client.record(ANA, "Hello.").position == 1
            finally:
                connection.execute("DROP DATABASE memory_default WITH (FORCE)")
        assert asked == [Path("/tmp/nowhere")]  # noqa: S108


async def test_who_calls_alone_keeps_one_connection_warm(settings: Settings, url: str) -> None:
    async with Database(settings, url, DatabaseRole.CLIENT) as database:
        for _ in range(3):
            await database.fetch(ANA, "log.position")
        assert database._pool.get_stats()["pool_size"] == 1
