"""A TCP proxy that breaks connections where it hurts: in the middle of a transaction."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Self

CHUNK = 1 << 16

Connect = Callable[[], Coroutine[Any, Any, tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@dataclass(eq=False)
class Trap:
    """What breaks the next connection that runs into it; one connection only.

    after: springs once the client has sent this many bytes since the trap was set.
    needle: or springs when the client sends these bytes.
    passed: whether what sprang it still reaches the server. The client cannot know: with `passed`
        a COMMIT has happened and its answer never comes, without it never has.
    held: seconds to hold the connection, in both directions, in place of cutting it.
    """

    after: int | None = None
    needle: bytes | None = None
    passed: bool = False
    held: float = 0.0
    sprung: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class _Connection:
    """Both ends, and what the client has sent while a trap was set."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    tail: bytes = b""
    sent: int = 0
    trap: Trap | None = None

    def cut(self) -> None:
        for end in (self.client, self.server):
            end.transport.abort()


class Proxy:
    """Forwards every connection to `127.0.0.1:port` to where `connect` leads.

    `port` 0 takes any that is free.
    """

    def __init__(self, connect: Connect, port: int = 0) -> None:
        self._connect = connect
        self._port = port
        self._connections: set[_Connection] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._trap: Trap | None = None
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.cut_all()
        await asyncio.gather(*self._serving)

    @property
    def port(self) -> int:
        """Where clients connect."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    def set_trap(self, trap: Trap | None) -> None:
        """Waits for one connection to run into `trap`; None takes the trap away."""
        self._trap = trap

    def cut_all(self) -> int:
        """Cuts every open connection now; how many there were."""
        cut = list(self._connections)
        for connection in cut:
            connection.cut()
        return len(cut)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await self._connect()
        except OSError:
            writer.transport.abort()  # as a server that is away: refused
            return
        connection = _Connection(writer, server_writer)
        connection.flowing.set()
        self._connections.add(connection)
        try:
            # Whichever end closes first takes the other with it.
            up = asyncio.create_task(self._up(reader, connection))
            down = asyncio.create_task(_down(server_reader, connection))
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
        finally:
            self._connections.discard(connection)
            connection.cut()

    async def _up(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                trap = self._trap
                if trap is not None and _runs_into(trap, connection, data):
                    self._trap = None
                    await _spring(trap, connection, data)
                    if not trap.held:
                        return
                connection.server.write(data)
                await connection.server.drain()


async def _down(reader: asyncio.StreamReader, connection: _Connection) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            await connection.flowing.wait()
            connection.client.write(data)
            await connection.client.drain()


async def _spring(trap: Trap, connection: _Connection, data: bytes) -> None:
    """Holds the connection, or lets through what it should before it is cut."""
    connection.flowing.clear()
    trap.sprung.set()
    if trap.held:
        await asyncio.sleep(trap.held)
        connection.flowing.set()
    elif trap.passed:
        connection.server.write(data)
        await connection.server.drain()
        # An abort could overtake what was written; closing in good order does not.
        connection.server.close()
        with contextlib.suppress(OSError):
            await connection.server.wait_closed()


def _runs_into(trap: Trap, connection: _Connection, data: bytes) -> bool:
    if connection.trap is not trap:
        connection.trap, connection.sent, connection.tail = trap, 0, b""
    connection.sent += len(data)
    if trap.needle is None:
        return trap.after is not None and connection.sent >= trap.after
    seen = connection.tail + data
    connection.tail = seen[max(0, len(seen) - len(trap.needle) + 1) :]
    return trap.needle in seen
