"""A transaction brings what it is bound to: afterwards its connection is what a fresh one is."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import psycopg
import pytest
from psycopg.rows import dict_row

from consumers.cli.options import configured
from consumers.ingest.store import IngestStore
from memory.client import MemoryClient
from memory.database import Database, DatabaseRole, queries
from memory.database.blocking import BlockingDatabase
from memory.database.pipeline import Connection
from memory.database.queries import Numbered
from memory.errors import StoreError
from memory.models import Scope
from memory.settings import Settings
from tests.conftest import WordEmbedder

ANA = Scope("northwind", "ana")
STATE = {"tenant": "northwind", "user": "ana", "session": "s1", "agent": None, "key": "k",
    "value": "1"}  # fmt: skip

STATE_OF_A_SESSION = """
SELECT 'user' AS name, current_user AS setting
UNION ALL SELECT 'bound', COALESCE(current_setting('memory.tenant_id', true), '')
    || COALESCE(current_setting('memory.user_id', true), '')
UNION ALL SELECT 'temporary', count(*)::text FROM pg_class WHERE relpersistence = 't'
UNION ALL SELECT name, setting FROM pg_settings
    WHERE name NOT LIKE '%.%' AND name <> 'application_name'
"""
"""All that a session may have changed, as rows of `name` and `setting`."""

NAMED = "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE %s"


def state(connection: psycopg.Connection[Any]) -> dict[str, str]:
    rows = connection.execute(STATE_OF_A_SESSION.encode()).fetchall()
    return {row["name"]: row["setting"] for row in rows}


async def state_of(database: Database) -> dict[str, str]:
    async with database._pool.connection() as connection:
        cursor = await connection.execute(STATE_OF_A_SESSION.encode())
        return {row["name"]: row["setting"] for row in await cursor.fetchall()}


@pytest.fixture
def one(settings: Settings) -> Settings:
    """Settings under which all calls share a connection."""
    return settings.model_copy(update={"pool_min": 1, "pool_max": 1})


@pytest.fixture
def fresh(url: str) -> dict[str, str]:
    """The state of a connection that did nothing yet."""
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        return state(connection)


def default(url: str, setting: str) -> None:
    """Gives later connections to a test's database another default of a setting."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET {setting}".encode())


@pytest.fixture(params=list(DatabaseRole))
async def opened(
    one: Settings, url: str, request: pytest.FixtureRequest
) -> AsyncIterator[Database]:
    async with Database(one, url, request.param) as database:
        yield database


class TestNothingIsLeft:
    async def test_after_calls_of_each_kind(self, opened: Database, fresh: dict[str, str]) -> None:
        assert await state_of(opened) == fresh
        await opened.fetch(ANA, "log.set_state", STATE)
        assert await state_of(opened) == fresh
        await opened.fetch(ANA, "recall.details", {"memories": [], "lexemes": [], "soon": None})
        assert await state_of(opened) == fresh
        await opened.fetch_system("embedders.live")
        assert await state_of(opened) == fresh
        async with opened.transaction(ANA) as transaction:
            await transaction.fetch("log.set_state", STATE)
        assert await state_of(opened) == fresh

    async def test_after_calls_that_failed(self, opened: Database, fresh: dict[str, str]) -> None:
        with pytest.raises(StoreError):
            await opened.fetch(ANA, "log.set_state", {**STATE, "key": ""})
        assert await state_of(opened) == fresh
        with pytest.raises(StoreError):
            async with opened.transaction(ANA) as transaction:
                await transaction.fetch("log.set_state", {**STATE, "key": ""})
        assert await state_of(opened) == fresh

    def test_after_an_app_that_waits_itself(
        self, one: Settings, url: str, fresh: dict[str, str]
    ) -> None:
        with MemoryClient(one, embedder=WordEmbedder()) as client:
            client.record(ANA.in_session("s1"), "I live in Berlin.")
            appending = client._client.appending
            assert isinstance(appending, BlockingDatabase)
            with appending._pool.connection() as connection:
                assert state(connection) == fresh

    def test_after_ingestion(self, one: Settings, url: str, fresh: dict[str, str]) -> None:
        with IngestStore.open(url, one) as store:
            store.fetch("ingest.held", {"cluster": "c", "topic_id": "t", "partitions": [0]})
            with store._transaction():
                store._connection.run([("ingest.stage", {})])
            assert state(store._connection) == fresh


async def shown(connection: Connection, setting: str) -> str:
    cursor = await connection.execute("SELECT current_setting(%s) AS it", (setting,))
    return str((await cursor.fetchall())[0]["it"])


class TestWhateverTheServersDefault:
    @pytest.mark.parametrize(
        ("setting", "bound"),
        [
            ("jit = on", "off"),
            ("statement_timeout = '1h'", "30s"),
            ("idle_in_transaction_session_timeout = '1h'", "30s"),
            ("timezone = 'Asia/Tokyo'", "UTC"),
            ("datestyle = 'SQL, DMY'", "ISO, DMY"),
            ("client_encoding = LATIN1", "UTF8"),
            ("plan_cache_mode = force_generic_plan", "force_custom_plan"),
            ("search_path = public", "memory, public, pg_temp"),
            ("row_security = off", "on"),
            ("default_transaction_isolation = serializable", ""),
        ],
    )
    async def test_a_transaction_has_ours(
        self, one: Settings, url: str, setting: str, bound: str
    ) -> None:
        default(url, setting)
        opened = Database(one, url, DatabaseRole.CLIENT)
        async with opened as database, database.transaction(ANA) as transaction:
            if bound:
                name = setting.partition(" ")[0]
                assert await shown(transaction._connection, name) == bound
            assert await shown(transaction._connection, "role") == "memory_client"
            level = await shown(transaction._connection, "transaction_isolation")
            assert level == "read committed"

    async def test_a_lone_call_sees_what_was_committed_before_each_statement(
        self, one: Settings, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        default(url, "default_transaction_isolation = serializable")
        whole = queries.numbered
        level = Numbered("SELECT current_setting('transaction_isolation') AS level", ())
        monkeypatch.setattr(
            queries, "numbered", lambda n: level if n == "log.position" else whole(n)
        )
        async with Database(one, url, DatabaseRole.CLIENT) as database:
            assert await database.fetch(ANA, "log.position") == [{"level": "read committed"}]

    def test_text_and_times_are_read_as_they_were_written(self, one: Settings, url: str) -> None:
        default(url, "timezone = 'Asia/Tokyo'")
        default(url, "datestyle = 'SQL, DMY'")
        default(url, "client_encoding = LATIN1")
        noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
        with MemoryClient(one, embedder=WordEmbedder()) as client:
            client.record(ANA.in_session("s1"), "I live in 東京.", occurred_at=noon)
            (turn,) = client.context(ANA.in_session("s1"), "Where?").turns
        assert (turn.content, turn.occurred_at) == ("I live in 東京.", noon)
        assert turn.occurred_at.utcoffset() == timedelta(0)

    async def test_a_temporary_table_stands_behind_ours(self, one: Settings, url: str) -> None:
        async with Database(one, url, DatabaseRole.CLIENT) as database:
            async with database._pool.connection() as connection:
                await connection.execute("CREATE TEMPORARY TABLE task_state (key text, value text)")
                await connection.execute("GRANT ALL ON task_state TO PUBLIC")
            await database.fetch(ANA, "log.set_state", STATE)
            found = await database.fetch(ANA, "log.get_state", {"session": "s1", "agent": None})
        assert found == [{"key": "k", "value": 1}]


class TestApplicationName:
    @pytest.fixture
    def names(self, url: str) -> Iterator[Any]:
        with psycopg.connect(url, autocommit=True) as connection:
            yield lambda like: [n for (n,) in connection.execute(NAMED, (like,)).fetchall()]

    @pytest.mark.parametrize("role", list(DatabaseRole))
    async def test_tells_the_role(
        self, one: Settings, url: str, names: Any, role: DatabaseRole
    ) -> None:
        async with Database(one, url, role):
            name = role.value.replace("memory_", "experiential-memory/")
            assert names("experiential-memory/%") == [name]

    async def test_is_a_setting(self, one: Settings, url: str, names: Any) -> None:
        named = one.model_copy(update={"application_name": "shop/checkout"})
        async with Database(named, url, DatabaseRole.CLIENT):
            assert names("shop/%") == ["shop/checkout"]

    def test_tells_the_command(self) -> None:
        program = click.Context(click.Group(), info_name="python -m consumers")
        group = click.Context(click.Group(), program, info_name="dead-letters")
        with click.Context(click.Command("list"), group, info_name="list"):
            assert configured().application_name == "experiential-memory/dead-letters/list"

    async def test_of_the_url_goes_first(self, one: Settings, url: str, names: Any) -> None:
        async with Database(one, f"{url} application_name=mine", DatabaseRole.CLIENT):
            assert names("mine") == ["mine"]
