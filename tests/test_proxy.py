"""The chaos proxy: it forwards, cuts where it was told to, and lets a held connection go on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from benchmarks.chaos.proxy import Proxy, Trap


@dataclass
class Echo:
    """A server that answers each line with itself and remembers what reached it."""

    received: bytearray = field(default_factory=bytearray)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.read(1 << 16):
            self.received += line
            writer.write(line)
        writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    echo.port = server.sockets[0].getsockname()[1]
    yield echo
    server.close()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    async with Proxy(lambda: asyncio.open_connection("127.0.0.1", echo.port)) as proxy:
        yield proxy


@dataclass(frozen=True)
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def close(self) -> None:
        self.writer.transport.abort()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answered(self, data: bytes) -> bool:
        """Whether the answer to `data` comes; False where the connection is cut."""
        try:
            await self.send(data)
            async with asyncio.timeout(20):
                return await self.reader.readexactly(len(data)) == data
        except (asyncio.IncompleteReadError, ConnectionError):
            return False


Connecting = Callable[[Proxy], Awaitable[Client]]


@pytest.fixture
async def connect() -> AsyncIterator[Connecting]:
    """Opens connections through a proxy, closed in the end."""
    async with AsyncExitStack() as stack:

        async def connect(proxy: Proxy) -> Client:
            client = Client(*await asyncio.open_connection("127.0.0.1", proxy.port))
            stack.push_async_callback(client.close)
            return client

        yield connect


class TestProxy:
    async def test_forwards_both_ways(self, proxy: Proxy, connect: Connecting) -> None:
        clients = [await connect(proxy) for _ in range(3)]
        assert all([await c.answered(b"x" * n) for n, c in enumerate(clients, 1)])
        assert proxy.connections == 3

    async def test_cuts_after_so_many_bytes_and_only_one_connection(
        self, proxy: Proxy, connect: Connecting
    ) -> None:
        client = await connect(proxy)
        assert await client.answered(b"0123456789")
        proxy.set_trap(trap := Trap(after=10))
        assert await client.answered(b"01234")
        assert not trap.sprung.is_set()
        assert not await client.answered(b"56789")
        assert trap.sprung.is_set()
        assert await (await connect(proxy)).answered(b"0123456789")

    @pytest.mark.parametrize("passed", [False, True])
    async def test_cuts_at_what_is_sent_before_or_after_it_arrives(
        self, proxy: Proxy, connect: Connecting, echo: Echo, passed: bool
    ) -> None:
        client = await connect(proxy)
        proxy.set_trap(Trap(needle=b"COMMIT", passed=passed))
        assert await client.answered(b"INSERT;COM")  # in two pieces
        assert not await client.answered(b"MIT;")
        await until(lambda: _closed(proxy))
        assert bytes(echo.received) == (b"INSERT;COMMIT;" if passed else b"INSERT;COM")

    async def test_holds_a_connection_and_lets_it_go_on(
        self, proxy: Proxy, connect: Connecting, echo: Echo
    ) -> None:
        client, other = await connect(proxy), await connect(proxy)
        proxy.set_trap(trap := Trap(needle=b"COMMIT", held=0.3))
        await client.send(b"COMMIT")
        await asyncio.wait_for(trap.sprung.wait(), 20)
        assert await other.answered(b"meanwhile")
        assert bytes(echo.received) == b"meanwhile"
        assert await client.reader.readexactly(6) == b"COMMIT"

    async def test_cuts_everything_on_command(self, proxy: Proxy, connect: Connecting) -> None:
        clients = [await connect(proxy) for _ in range(2)]
        assert all([await c.answered(b"hello") for c in clients])
        assert proxy.cut_all() == 2
        assert not any([await c.answered(b"hello") for c in clients])

    async def test_a_server_that_is_away_is_a_connection_refused(self, connect: Connecting) -> None:
        async with Proxy(lambda: asyncio.open_connection("127.0.0.1", 1)) as proxy:
            assert not await (await connect(proxy)).answered(b"hello")


class TestTransaction:
    """What psycopg makes of it, on a real server."""

    @pytest.fixture
    async def postgres(self, server: str) -> AsyncIterator[Proxy]:
        parts = conninfo_to_dict(server)
        if not str(parts["host"]).startswith("/"):
            pytest.skip("the server given is not reached through a socket file")
        path = f"{parts['host']}/.s.PGSQL.{parts.get('port', 5432)}"
        async with Proxy(lambda: asyncio.open_unix_connection(path)) as proxy:
            yield proxy

    @pytest.mark.parametrize("passed", [False, True])
    async def test_a_commit_that_is_cut_has_happened_or_not(
        self, postgres: Proxy, url: str, passed: bool
    ) -> None:
        through = make_conninfo(
            url, host="127.0.0.1", port=postgres.port, sslmode="disable", gssencmode="disable"
        )
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as direct:
            await direct.execute("CREATE TABLE marks (n int)")
            async with await psycopg.AsyncConnection.connect(through) as connection:
                await connection.execute("INSERT INTO marks VALUES (1)")
                postgres.set_trap(Trap(needle=b"COMMIT", passed=passed))
                with pytest.raises(psycopg.OperationalError):
                    await connection.commit()
            await until(lambda: _quiet(direct))
            counted = await (await direct.execute("SELECT count(*) FROM marks")).fetchone()
        assert counted == (1 if passed else 0,)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


async def _closed(proxy: Proxy) -> bool:
    return not proxy.connections


async def _quiet(connection: psycopg.AsyncConnection) -> bool:
    cursor = await connection.execute(
        "SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    return not await cursor.fetchall()
