"""Ingestion on two hosts: the partitions of one move to the other once its group misses it."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import SecretStr

from benchmarks.broker import Broker, NoBroker
from benchmarks.chaos.extractors import DigestEmbedder, extractors
from benchmarks.chaos.kafka import BROKER_PROPERTIES, read_ends
from benchmarks.chaos.snapshot import Snapshot, read_positions, read_snapshot
from benchmarks.two_hosts.network import READY, STORE, Host, NotPossible, running
from benchmarks.two_hosts.scene import PARTS, Scene, until
from consumers.extraction import Worker
from memory.database import Database, DatabaseRole
from memory.settings import Settings

PORT = 9092
SERVERS = f"{STORE}:{PORT}"
TOPIC = "two-hosts"
PARTITIONS = 6
LISTENING = {
    "listeners": f"PLAINTEXT://0.0.0.0:{PORT},CONTROLLER://127.0.0.1:{PORT + 1}",
    "advertised.listeners": f"PLAINTEXT://{SERVERS}",
    "controller.quorum.voters": f"1@127.0.0.1:{PORT + 1}",
}
KAFKA = {"MEMORY_KAFKA_SERVERS": SERVERS, "MEMORY_KAFKA_TOPIC": TOPIC}


@dataclass
class Ingestion:
    """`memory ingest` from a broker in the store's namespace, which both hosts reach."""

    name: str = "ingest"
    producers: int = 1
    command: Sequence[str] = ("ingest",)
    refusal: str = "nothing was committed"
    ends: dict[int, int] = field(default_factory=dict)

    async def begin(self, scene: Scene, stack: contextlib.AsyncExitStack) -> None:
        """See `Work`."""
        await self._start_broker(scene, stack)
        create = ("topics", "create", "--partitions", str(PARTITIONS), "--replication", "1")
        await self._ran(scene, "consumers", *create)
        (scene.directory / "allowance").write_text("0")
        sizes = {**{n: getattr(scene.load, n) for n in ("messages", "seed", "producers", "users")},
                 "poison": 0, "resent": 1, "directory": scene.directory}  # fmt: skip
        given = [f"--{name}={value}" for name, value in sizes.items()]
        log = scene.directory / "producer.log"
        module = ("benchmarks.chaos.producing", *given, "--producer=0")
        await stack.enter_async_context(running(scene.namespace, module, KAFKA, log))

    async def _start_broker(self, scene: Scene, stack: contextlib.AsyncExitStack) -> None:
        log = scene.directory / "broker.out"
        module = ("benchmarks.two_hosts", "--broker", str(scene.directory / "broker"))
        process = await stack.enter_async_context(running(scene.namespace, module, {}, log))

        async def ready() -> bool:
            if process.returncode is not None:
                raise NotPossible(f"no broker: {log.read_text()[-500:]}")
            return READY in log.read_text()

        await until("the broker answers", ready)

    async def _ran(self, scene: Scene, *module: str) -> str:
        """What a module says that runs to its end in the store's namespace."""
        log = scene.directory / f"{module[0]}.out"
        log.unlink(missing_ok=True)
        async with running(scene.namespace, module, KAFKA, log) as process:
            if await process.wait():
                raise NotPossible(f"{module}: {log.read_text()[-500:]}")
        return log.read_text()

    def environment(self, scene: Scene, host: Host) -> dict[str, str]:
        """See `Work`."""
        session = str(int(scene.lease * 1000))
        return {**KAFKA, "MEMORY_DATABASE_URL": host.url, "CHAOS_SESSION_MS": session}

    async def shared(self, scene: Scene) -> bool:
        """See `Work`."""
        partitions, owners = scene.row(
            "SELECT count(*), count(DISTINCT owner) FROM partition_offsets"
        )
        return bool(partitions == PARTITIONS and owners == len(scene.hosts))

    async def let_out(self, scene: Scene, part: int) -> None:
        """See `Work`."""
        share = scene.load.messages * (part + 1) // PARTS
        fresh = scene.directory / "allowance.new"
        fresh.write_text(str(share))
        fresh.replace(scene.directory / "allowance")

    async def done(self, scene: Scene) -> bool:
        """See `Work`."""
        (messages,) = scene.row("SELECT COALESCE(sum(position), 0) FROM users")
        if messages < scene.load.messages:
            return False
        said = await self._ran(scene, "benchmarks.two_hosts", "--ends")
        self.ends = {int(partition): end for partition, end in json.loads(said).items()}
        return await asyncio.to_thread(read_positions, scene.url) == self.ends

    async def end(self, scene: Scene) -> Snapshot:
        """See `Work`."""
        settings = Settings(database_url=SecretStr(scene.url), debounce=0.0)
        async with Database(settings, scene.url, DatabaseRole.WORKER) as database:
            await Worker(database, DigestEmbedder(), extractors(), settings).drain()
        return replace(read_snapshot(scene.url), ends=self.ends)


async def serve_broker(directory: Path) -> None:
    """A broker that namespaces with a route to it reach, until this process is told to stop."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    directory.mkdir()
    try:
        broker = Broker.start(directory, port=PORT, properties={**BROKER_PROPERTIES, **LISTENING})
    except NoBroker as error:
        sys.exit(str(error))
    try:
        sys.stdout.write(READY)
        sys.stdout.flush()
        await stopping.wait()
    finally:
        broker.stop()


def print_ends() -> None:
    """Where each partition ends, as JSON."""
    sys.stdout.write(json.dumps(read_ends(SERVERS, TOPIC)))
