"""Two hosts and the store's, as network namespaces with links that can be taken down."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

PORT = 5432
READY = "listening\n"
STORE = "10.77.0.1"
"""An address of the store's namespace that both hosts reach, each over its own link."""


class NotPossible(Exception):
    """This machine cannot make network namespaces; the message says what it lacks."""


@dataclass(frozen=True)
class Host:
    """A namespace with one link to the store's; `number` is 1 or 2."""

    name: str
    number: int
    directory: Path

    @property
    def link(self) -> str:
        """The host's end of its link."""
        return f"{self.name}h"

    @property
    def url(self) -> str:
        """The store as this host reaches it."""
        return f"postgresql://postgres@10.77.{self.number}.1:{PORT}/postgres"

    def set_link(self, state: str) -> None:
        """Takes the link up or down."""
        ip("-n", self.name, "link", "set", self.link, state)
        if state == "up":  # a route goes down with its link, and does not come up with it
            ip("-n", self.name, "route", "replace", STORE, "via", f"10.77.{self.number}.1")

    @property
    def log(self) -> Path:
        """What its process wrote."""
        return self.directory / f"{self.name}.log"


def ip(*arguments: str) -> None:
    """Runs `ip` of iproute2.

    Raises:
        NotPossible: it refused.
    """
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    if done.returncode:
        raise NotPossible(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


@contextmanager
def network(directory: Path) -> Iterator[tuple[str, list[Host]]]:
    """The namespace of the store, and two hosts that are linked to it and not to each other.

    Raises:
        NotPossible: not Linux, not root, no `ip`, or no right to make namespaces.
    """
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        raise NotPossible("network namespaces need Linux, root and iproute2's `ip`")
    prefix = f"em{os.getpid() % 100_000}"
    of_store = f"{prefix}s"
    hosts = [Host(f"{prefix}{n}", n, directory) for n in (1, 2)]
    made: list[str] = []
    try:
        for name in (of_store, *(h.name for h in hosts)):
            ip("netns", "add", name)
            made.append(name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", of_store, "address", "add", f"{STORE}/32", "dev", "lo")
        for host in hosts:
            near = f"{host.name}s"
            ip("-n", of_store, "link", "add", near, "type", "veth", "peer", "name", host.link,
               "netns", host.name)  # fmt: skip
            ip("-n", of_store, "address", "add", f"10.77.{host.number}.1/30", "dev", near)
            ip("-n", host.name, "address", "add", f"10.77.{host.number}.2/30", "dev", host.link)
            ip("-n", of_store, "link", "set", near, "up")
            host.set_link("up")
        yield of_store, hosts
    finally:
        for name in made:
            with contextlib.suppress(NotPossible):
                ip("netns", "delete", name)


@asynccontextmanager
async def running(
    namespace: str, module: Sequence[str], environment: dict[str, str], log: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A module of Python with its arguments in a namespace, until the block ends."""
    theirs = {k: v for k, v in os.environ.items() if not k.startswith("MEMORY_")}
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            "ip", "netns", "exec", namespace, sys.executable, "-m", *module,
            env={**theirs, **environment}, stdin=asyncio.subprocess.DEVNULL,
            stdout=file, stderr=file,
        )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()
            await process.wait()


async def forward(socket: str) -> None:
    """Lets the links reach the server's Unix socket, which no namespace hides."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_unix_connection(socket)
        await asyncio.gather(pipe(reader, ours), pipe(theirs, writer))

    server = await asyncio.start_server(serve, "0.0.0.0", PORT)  # noqa: S104 - of its namespace
    sys.stdout.write(READY)
    sys.stdout.flush()
    await server.serve_forever()
