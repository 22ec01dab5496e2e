"""Two hosts share the extraction of one store; one is cut off within a batch, and returns.

    python -m benchmarks.two_hosts [--messages 3000] [--lease 3] [--seed 1] [--json]

Each host is a network namespace with `memory extract --follow` in it, the product's own command,
and reaches Postgres over a link of its own. Once the first host is at work on a user, its link goes
down for longer than its lease; the other takes the user over. Then the link comes back, and what
the first host still had to say arrives late. In the end the store must hold what was recorded, each
interaction extracted exactly once (`benchmarks.chaos.checks`). Exits 1 where anything else is true.

Needs Linux, root and `ip` of iproute2. The addresses exist inside the namespaces alone, which are
removed in the end.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anyio
import psycopg
from pydantic import SecretStr

from benchmarks.chaos.checks import Expected, judge
from benchmarks.chaos.dying import die_with_parent
from benchmarks.chaos.extractors import DigestEmbedder, Digests, Statements
from benchmarks.chaos.load import Load
from benchmarks.chaos.snapshot import read_snapshot
from consumers import store
from consumers.__main__ import main as memory
from extractors.protocol import Extractor, LogSlice
from memory import embedded
from memory.client import AsyncMemoryClient
from memory.migrate import migrate
from memory.models import Candidate
from memory.settings import Settings

MARK = "TWO_HOSTS_MARK"
"""Environment variable: the file in which a host says whom it is at work on."""

SECONDS_A_BATCH = 0.25
PATIENCE = 90.0
"""Seconds that anything that has to happen may take."""

PORT = 5432
READY = "listening\n"


class NotPossible(Exception):
    """This machine cannot make network namespaces; the message says what it lacks."""


@dataclass(frozen=True)
class Marking(Digests):
    """Extracts as `Digests`, slowly, and says in a file of whom."""

    async def extract(self, log: LogSlice) -> list[Candidate]:
        """See `Extractor.extract`."""
        if path := os.environ.get(MARK):
            fresh = Path(path + ".new")
            fresh.write_text(json.dumps([log.scope.tenant, log.scope.user, time.monotonic()]))
            fresh.replace(path)
        await anyio.sleep(SECONDS_A_BATCH)
        return await super().extract(log)


@dataclass
class Outcome:
    """What was seen. `wrong` is empty where everything is as it must be."""

    messages: int = 0
    cut_off_with: str = ""
    taken_over_after: float = 0.0
    worked_again: bool = False
    leases_lost: int = 0
    seconds: float = 0.0
    wrong: dict[str, str] = field(default_factory=dict)


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

    def mark(self) -> tuple[str, str, float] | None:
        """Whom the host was last at work on, and when by this machine's monotonic clock."""
        try:
            tenant, user, at = json.loads((self.directory / self.name).read_text())
        except FileNotFoundError:
            return None
        return tenant, user, at

    def set_link(self, state: str) -> None:
        """Takes the link up or down."""
        ip("-n", self.name, "link", "set", self.link, state)

    @property
    def log(self) -> Path:
        """What the worker wrote."""
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
    namespace: str, arguments: Sequence[str], environment: dict[str, str], log: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """This module with `arguments` in a namespace, until the block ends."""
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            "ip", "netns", "exec", namespace, sys.executable, "-m", "benchmarks.two_hosts",
            *arguments, env={**os.environ, **environment}, stdin=asyncio.subprocess.DEVNULL,
            stdout=file, stderr=file,
        )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()
            await process.wait()


async def until(what: str, holds: Callable[[], Awaitable[bool]]) -> None:
    """Waits for a condition.

    Raises:
        TimeoutError: it did not come about; the message says what was waited for.
    """
    end = time.monotonic() + PATIENCE
    while not await holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {PATIENCE:.0f} s: {what}")
        await asyncio.sleep(0.05)


@dataclass
class Scene:
    """What the two hosts share, as the one who watches them reaches it."""

    url: str
    hosts: Sequence[Host]
    load: Load
    lease: float
    outcome: Outcome = field(default_factory=Outcome)

    def row(self, statement: str, *values: object) -> tuple[Any, ...]:
        """One row, past row-level security."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET search_path TO memory, public")
            found = connection.execute(statement.encode(), values or None).fetchone()
        assert found is not None
        return found

    async def record(self, producer: int) -> None:
        """Records one producer's half of the load."""
        settings = Settings(database_url=SecretStr(self.url))
        async with AsyncMemoryClient(settings, embedder=DigestEmbedder()) as client:
            for group in self.load.groups(producer):
                await client.record_many(group.messages)

    async def play(self) -> None:
        """The link goes down while the first host is at work, and comes back."""
        first, second = self.hosts
        await until("both hosts listen", self._both_listen)
        await self.record(0)

        async def both_work() -> bool:
            return all(host.mark() is not None for host in self.hosts)

        await until("both hosts are at work", both_work)
        user = await self._cut(first)
        began = time.monotonic()

        async def taken_over() -> bool:
            mark = second.mark()
            return mark is not None and mark[:2] == user and mark[2] > began

        await until(f"user {user[1]!r} is taken over", taken_over)
        self.outcome.taken_over_after = round(time.monotonic() - began, 2)
        await asyncio.sleep(self.lease)  # what comes back is late beyond doubt
        first.set_link("up")
        back = time.monotonic()
        await self.record(1)

        async def works_again() -> bool:
            mark = first.mark()
            return mark is not None and mark[2] > back

        await until("the host that was cut off works again", works_again)
        self.outcome.worked_again = True
        await until("nothing is left to do", self._all_done)

    async def _cut(self, host: Host) -> tuple[str, str]:
        """Takes the link down while the host has a user under its lease and a batch in hand."""
        seen = host.mark()

        async def begins() -> bool:
            return host.mark() != seen

        await until("the first host begins another batch", begins)
        host.set_link("down")
        tenant, user, _ = host.mark() or ("", "", 0.0)
        leased = self.row(
            "SELECT COALESCE(leased_until > now(), false) FROM users"
            " WHERE tenant_id = %s AND user_id = %s", tenant, user,
        )  # fmt: skip
        if not leased[0]:
            self.outcome.wrong["cut"] = f"user {user!r} was not leased when the link went down"
        self.outcome.cut_off_with = user
        return tenant, user

    async def _both_listen(self) -> bool:
        listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%LISTEN memory_due'"
        return bool(self.row(listening)[0] == len(self.hosts))

    async def _all_done(self) -> bool:
        waiting, messages = self.row(
            "SELECT count(*) FILTER (WHERE due_at IS NOT NULL), sum(position) FROM users"
        )
        return not waiting and messages == self.load.messages


async def two_hosts(directory: Path, *, messages: int, lease: float, seed: int = 1) -> Outcome:
    """Plays the scene in namespaces of its own and judges the store in the end.

    Raises:
        NotPossible: this machine cannot make network namespaces.
    """
    began = time.monotonic()
    load = Load(messages, seed, producers=2, users=24)
    with network(directory) as (of_store, hosts):
        url = embedded.start(directory / "store", {"fsync": "off"})
        try:
            await migrate(url)
            scene = Scene(url, hosts, load, lease)
            await _played(scene, of_store)
        finally:
            embedded.stop(directory / "store")
    outcome = scene.outcome
    outcome.messages = messages
    outcome.leases_lost = hosts[0].log.read_text(errors="replace").count("was taken over")
    if outcome.leases_lost == 0 and not outcome.wrong:
        outcome.wrong["late"] = "nothing came late from the host that was cut off: nothing is shown"
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


async def _played(scene: Scene, of_store: str) -> None:
    socket = scene.hosts[0].directory / "store" / "socket" / f".s.PGSQL.{PORT}"
    async with contextlib.AsyncExitStack() as stack:
        log = scene.hosts[0].directory / "forward.log"
        await stack.enter_async_context(running(of_store, ["--forward", str(socket)], {}, log))

        async def ready() -> bool:
            return log.read_text() == READY

        await until("the store can be reached over the links", ready)
        for host in scene.hosts:
            environment = {
                "MEMORY_DATABASE_URL": host.url,
                "MEMORY_LEASE": str(scene.lease),
                "MEMORY_DEBOUNCE": "0",
                MARK: str(host.directory / host.name),
            }
            at_work = running(host.name, ["--extract"], environment, host.log)
            await stack.enter_async_context(at_work)
        try:
            await scene.play()
        except TimeoutError as error:
            scene.outcome.wrong["waiting"] = str(error)
    verdict = judge(Expected(scene.load.produced()), read_snapshot(scene.url))
    scene.outcome.wrong.update(verdict.failures)


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


def extract() -> None:
    """`memory extract --follow`, with extractors that say what they are at."""
    logging.getLogger("consumers.extraction").setLevel(logging.INFO)  # says which leases were lost
    made: list[Extractor] = [Marking(), Statements()]
    sys.argv = ["memory", "extract", "--follow"]
    with (
        patch.object(store, "installed_extractors", lambda _: made),
        patch.object(store, "create_embedder", lambda _: DigestEmbedder()),
    ):
        memory()


def main() -> None:
    """Plays the scene and prints what was seen; exits 1 where it is wrong, 2 where impossible."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=3_000)
    parser.add_argument("--lease", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--forward", metavar="SOCKET", help=argparse.SUPPRESS)
    parser.add_argument("--extract", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.forward or args.extract:
        die_with_parent()
        if args.forward:
            asyncio.run(forward(args.forward))
        else:
            extract()
        return
    with tempfile.TemporaryDirectory(prefix="memory-hosts-", dir="/tmp") as name:
        Path(name).chmod(0o755)  # as root the server's own account must be able to enter
        try:
            found = asyncio.run(
                two_hosts(Path(name), messages=args.messages, lease=args.lease, seed=args.seed)
            )
        except NotPossible as error:
            parser.exit(2, f"{error}\n")
    sys.stdout.write(json.dumps(asdict(found), indent=None if args.json else 2) + "\n")
    sys.exit(1 if found.wrong else 0)


if __name__ == "__main__":
    main()
