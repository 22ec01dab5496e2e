"""What follows the store starts while it is away, works once it is there, ends when told to."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from benchmarks.broker import free_port
from benchmarks.chaos.extractors import DigestEmbedder
from benchmarks.chaos.proxy import Proxy
from memory.client import AsyncMemoryClient
from memory.database import Database, DatabaseRole
from memory.errors import StoreUnavailable
from memory.models import Scope
from memory.settings import Settings

ANA = Scope("northwind", "ana", "scout", "monday")
SECONDS = 60


async def start(url: str, *command: str) -> Process:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MEMORY_")}
    environment |= {"MEMORY_DATABASE_URL": url, "MEMORY_DEBOUNCE": "0", "COLUMNS": "500"}
    # As a shell starts what it leaves in the background: only SIGTERM can end it then.
    deaf = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command, env=environment, stderr=PIPE, preexec_fn=deaf
    )


async def killed(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def said(process: Process, words: str) -> str:
    """Returns what the process said, once it says these words."""
    assert process.stderr is not None
    heard = ""
    async with asyncio.timeout(SECONDS):
        while words not in heard:
            line = await process.stderr.readline()
            assert line, f"ended: {heard}"
            heard += line.decode()
    return heard


@pytest.fixture
def far(url: str) -> tuple[str, str, int]:
    """The database through a port that nobody listens on yet: its URL, the socket, the port."""
    parts = conninfo_to_dict(url)
    if not str(parts["host"]).startswith("/"):
        pytest.skip("the server given is not reached through a socket file")
    port = free_port()
    through = make_conninfo(
        url, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable"
    )
    return through, f"{parts['host']}/.s.PGSQL.{parts.get('port', 5432)}", port


async def test_extraction(far: tuple[str, str, int], settings: Settings) -> None:
    through, socket, port = far
    async with AsyncMemoryClient(settings, embedder=DigestEmbedder()) as client:
        await client.record(ANA, "I live in Berlin.")
        command = ("benchmarks.chaos.worker", "extract", "--follow")
        async with reached_late(through, socket, port, *command):
            await until(lambda: _extracted(client))


async def test_publishing(far: tuple[str, str, int], url: str, tmp_path: Path) -> None:
    publish = ("changes", "publish", "--follow", "--to", str(tmp_path / "changes"))
    connecting = psycopg.AsyncConnection.connect(url, autocommit=True)
    async with await connecting as connection, reached_late(*far, "consumers", *publish):
        await until(lambda: _led(connection))


async def test_a_server_that_only_reads_is_waited_out(
    url: str, settings: Settings, superuser: psycopg.Connection
) -> None:
    name = str(conninfo_to_dict(url)["dbname"])
    async with AsyncExitStack() as stack:
        client = AsyncMemoryClient(settings, embedder=DigestEmbedder())
        await stack.enter_async_context(client)
        await client.record(ANA, "I live in Berlin.")
        superuser.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
        process = await start(url, "benchmarks.chaos.worker", "extract", "--follow")
        stack.push_async_callback(killed, process)
        await said(process, "read-only transaction")
        superuser.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())
        superuser.execute(  # as a failover does
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> pg_backend_pid()",
            (name,),
        )
        await until(lambda: _extracted(client))


async def test_what_waits_is_told_the_servers_reason(far: tuple[str, str, int]) -> None:
    through, socket, port = far
    settings = Settings(database_url=SecretStr(through), connect_timeout=2.0)
    async with AsyncExitStack() as stack:
        async with Proxy(lambda: asyncio.open_unix_connection(socket), port) as proxy:
            database = Database(settings, through, DatabaseRole.WORKER)
            await stack.enter_async_context(database)
            proxy.cut_all()
        with pytest.raises(StoreUnavailable):  # of the connection that broke
            await database.fetch_system("leases.lag")
        with pytest.raises(StoreUnavailable, match="Connection refused"):  # of the pool without one
            await database.fetch_system("leases.lag")


@asynccontextmanager
async def reached_late(url: str, socket: str, port: int, *command: str) -> AsyncIterator[None]:
    """The command, started while nobody listens; the block runs once somebody does."""
    async with AsyncExitStack() as stack:
        process = await start(url, *command)
        stack.push_async_callback(killed, process)
        await said(process, "waiting for the store")
        await stack.enter_async_context(Proxy(lambda: asyncio.open_unix_connection(socket), port))
        yield
        process.terminate()
        assert await asyncio.wait_for(process.wait(), SECONDS) == 0


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.05)


async def _extracted(client: AsyncMemoryClient) -> bool:
    return (await client.position(ANA)).extracted == 1


async def _led(connection: psycopg.AsyncConnection) -> bool:
    cursor = await connection.execute(
        "SELECT FROM memory.change_stream WHERE lease_token IS NOT NULL"
    )
    return bool(cursor.rowcount)
