"""Clients of `benchmarks.speed` that ask at once, each in a process of its own."""

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import anyio
from pydantic import SecretStr

from benchmarks.speed_floor import Floor
from benchmarks.speed_store import TENANT, RandomEmbedder, Words
from memory.client import AsyncMemoryClient
from memory.models import Scope
from memory.settings import Settings

WARM_UP = 20
STARTING = 8.0  # seconds that every process has for starting and warming up


def together(url: str, users: Sequence[str], clients: int, calls: int) -> dict[str, float]:
    """Calls a second of so many processes, each asking `calls` times: the floor, then recall."""
    context = multiprocessing.get_context("spawn")
    found = {}
    with ProcessPoolExecutor(clients, mp_context=context) as pool:
        for way in ("floor", "recall"):
            start = time.time() + STARTING
            jobs = [pool.submit(_client, url, users, way, n, calls, start) for n in range(clients)]
            slowest = max(job.result() for job in jobs)
            found[way] = clients * calls / (slowest - start)
    return found


def _client(url: str, users: Sequence[str], way: str, seed: int, calls: int, start: float) -> float:
    return anyio.run(_asking, url, users, way, seed, calls, start)


async def _asking(
    url: str, users: Sequence[str], way: str, seed: int, calls: int, start: float
) -> float:
    """When the last call was answered, by the clock that all processes share."""
    words, embedder = Words(seed), RandomEmbedder()
    settings = Settings.model_validate({"database_url": SecretStr(url), "pool_max": 1})
    async with AsyncMemoryClient(settings, embedder=embedder) as client, Floor(url) as floor:

        async def ask(n: int) -> None:
            user = users[(seed + n) % len(users)]
            if way == "recall":
                await client.recall(Scope(TENANT, user), words.question())
            else:
                await floor.ask(user, words.question(), (await embedder.embed([""]))[0])

        for n in range(WARM_UP):
            await ask(n)
        await anyio.sleep(max(0.0, start - time.time()))
        for n in range(calls):
            await ask(n)
    return time.time()
