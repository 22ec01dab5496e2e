"""A worker over a database that one session ends: `python -m tests.dying URL`."""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass

from pydantic import SecretStr

from benchmarks.chaos.extractors import DigestEmbedder, Digests
from consumers.extraction import Worker
from extractors.protocol import LogSlice
from memory.database import Database, DatabaseRole
from memory.models import Candidate
from memory.settings import Settings

POISON = "This is too much."
LEASE = 0.5
ATTEMPTS = 2


@dataclass(frozen=True)
class Mortal(Digests):
    """What it cannot bear ends its process at once."""

    async def extract(self, log: LogSlice) -> list[Candidate]:
        if any(said.content == POISON for said in log.interactions):
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().extract(log)


async def drain(url: str) -> None:
    settings = Settings(
        database_url=SecretStr(url), debounce=0.0, lease=LEASE, max_attempts=ATTEMPTS
    )
    async with Database(settings, url, DatabaseRole.WORKER) as database:
        await Worker(database, DigestEmbedder(), [Mortal()], settings).drain()


if __name__ == "__main__":
    asyncio.run(drain(sys.argv[1]))
