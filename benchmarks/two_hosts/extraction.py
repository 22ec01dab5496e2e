"""Extraction on two hosts: the user that one was at work on is taken over once its lease is out."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from benchmarks.chaos.extractors import DigestEmbedder
from benchmarks.chaos.snapshot import Snapshot, read_snapshot
from benchmarks.two_hosts.network import Host
from benchmarks.two_hosts.scene import PARTS, Scene
from memory.client import AsyncMemoryClient
from memory.settings import Settings


@dataclass(frozen=True)
class Extraction:
    """`memory extract --follow` over Postgres as the bus."""

    name: str = "extract"
    producers: int = PARTS
    command: Sequence[str] = ("extract", "--follow")
    refusal: str = "was taken over"

    async def begin(self, scene: Scene, stack: contextlib.AsyncExitStack) -> None:
        """See `Work`."""

    def environment(self, scene: Scene, host: Host) -> dict[str, str]:
        """See `Work`."""
        lease = str(scene.lease)
        return {"MEMORY_DATABASE_URL": host.url, "MEMORY_LEASE": lease, "MEMORY_DEBOUNCE": "0"}

    async def shared(self, scene: Scene) -> bool:
        """See `Work`."""
        listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%LISTEN memory_due'"
        return bool(scene.row(listening)[0] >= len(scene.hosts))

    async def let_out(self, scene: Scene, part: int) -> None:
        """See `Work`."""
        settings = Settings(database_url=SecretStr(scene.url))
        async with AsyncMemoryClient(settings, embedder=DigestEmbedder()) as client:
            for group in scene.load.groups(part):
                await client.record_many(group.messages)

    async def done(self, scene: Scene) -> bool:
        """See `Work`."""
        waiting, messages = scene.row(
            "SELECT count(*) FILTER (WHERE due_at IS NOT NULL OR lease_token IS NOT NULL),"
            " sum(position) FROM users"
        )
        return not waiting and bool(messages == scene.load.messages)

    async def end(self, scene: Scene) -> Snapshot:
        """See `Work`."""
        return read_snapshot(scene.url)
