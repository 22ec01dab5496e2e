"""Whether users with poison delay others: a good user a second, alone and then among the poison.

    python -m benchmarks.fairness [--poison 1000] [--seconds 30] [--json]

A fifth of the poison users each have: a value too long for an index, text that is slow to read, a
flood of messages, a lock that somebody holds on their session, and an extractor that raises. They
belong to one tenant, and the good users to another. Half of them are there before, the others come
while good users do. A good user's delay is the time from `record()`
until extraction has come to it. The worker runs in a process of its own, as `memory extract
--follow` does. The program exits 1 if the median delay among the poison is over twice that without,
or if a good user is not extracted at all.
"""

import argparse
import asyncio
import json
import statistics
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from random import Random
from time import monotonic
from typing import Any

import psycopg
from anyio import to_thread
from pydantic import SecretStr

from benchmarks.chaos.extractors import DigestEmbedder
from benchmarks.store import fresh_store
from consumers.extraction import Worker, installed_extractors
from consumers.extraction.worker import AT_ONCE
from extractors.protocol import Extractor, LogSlice, Reading
from memory import embedded
from memory.client import AsyncMemoryClient
from memory.database import Database, DatabaseRole
from memory.models import Candidate, Interaction, InteractionKind, MemoryKind, Role, Scope
from memory.settings import Settings

POISONS = ("overflow", "slow", "flood", "lock", "raise")
FLOOD = 50
"""Messages of a user who floods."""

RAISES = "this makes an extractor raise"
SLOW = 16 * ("When i ask, " + 1_100 * "i ask, " + "no more. ")
"""Text that statements take longest to read, in sentences as long as they read."""

MOST_TIMES = 2.0
GIVEN_UP = 60.0
"""Seconds after which a good user counts as not extracted."""


@dataclass(frozen=True)
class Raising:
    """An extractor with a fault that some messages bring out."""

    name: str = "raising"
    version: str = "1"
    reading: Reading = Reading.SESSION
    reads: frozenset[InteractionKind] = frozenset({InteractionKind.MESSAGE})
    makes: frozenset[MemoryKind] = frozenset({MemoryKind.FACT})

    async def extract(self, log: LogSlice) -> list[Candidate]:
        """Returns nothing.

        Raises:
            ValueError: a message says so.
        """
        if any(i.content == RAISES for i in log.interactions):
            raise ValueError(RAISES)
        return []


@dataclass(frozen=True)
class Delays:
    """Seconds from recording to extraction of the good users of one phase."""

    median: float
    worst: float
    extracted: int
    lost: int

    @classmethod
    def of(cls, seconds: Sequence[float | None]) -> "Delays":
        """Sums up; None stands for a user who was not extracted."""
        done = [s for s in seconds if s is not None]
        median, worst = (statistics.median(done), max(done)) if done else (GIVEN_UP, GIVEN_UP)
        return cls(median, worst, len(done), len(seconds) - len(done))


def poison(number: int, random: Random) -> list[Interaction]:
    """Returns the messages of one poison user."""
    kind = POISONS[number % len(POISONS)]
    scope = Scope("poison", f"{kind}-{number}", session="s1")
    texts = {
        "overflow": [f"Always use {_unlike(900, random)}."],
        "slow": [SLOW],
        "flood": [f"I like number {n}." for n in range(FLOOD)],
        "lock": ["I live in Berlin."],
        "raise": [RAISES],
    }[kind]
    return [_message(scope, f"{number}-{n}", text) for n, text in enumerate(texts)]


def _unlike(characters: int, random: Random) -> str:
    """Characters that no index compresses."""
    return "".join(chr(random.randrange(0x4E00, 0x9FA5)) for _ in range(characters))


def _message(scope: Scope, name: str, text: str) -> Interaction:
    return Interaction(scope, name, InteractionKind.MESSAGE, Role.USER, text, datetime.now(UTC))


async def work(url: str) -> None:
    """Follows the store with a worker, for ever: the worker's process."""
    settings = Settings(database_url=SecretStr(url), debounce=0.0, max_attempts=3)
    chosen: list[Extractor] = [*installed_extractors(settings), Raising()]
    async with Database(settings, url, DatabaseRole.WORKER) as database:
        await Worker(database, DigestEmbedder(), chosen, settings).follow(at_once=AT_ONCE)


@asynccontextmanager
async def working(url: str) -> AsyncIterator[None]:
    """Runs the worker's process beside the block."""
    command = (sys.executable, "-m", "benchmarks.fairness", "--work", url)
    process = await asyncio.create_subprocess_exec(*command, stderr=DEVNULL)
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def good_users(client: AsyncMemoryClient, phase: str, seconds: int) -> Delays:
    """Records a good user a second, and waits for all of them."""

    async def one(number: int) -> float | None:
        await asyncio.sleep(number)
        scope = Scope("good", f"{phase}-{number}", session="s1")
        began = monotonic()
        receipt = await client.record(scope, "I live in Oslo and work at Siemens.")
        found = await client.recall(scope, "Where?", after=receipt, timeout=GIVEN_UP)
        return monotonic() - began if found.fresh else None

    return Delays.of(await asyncio.gather(*(one(number) for number in range(seconds))))


async def measure(poison_users: int, seconds: int) -> dict[str, Any]:
    """Returns the delays of both phases, and what became of the poison."""
    random = Random(1)
    async with fresh_store() as settings:
        url = await to_thread.run_sync(embedded.start, settings.data_dir)
        async with AsyncMemoryClient(settings, embedder=DigestEmbedder()) as client:
            async with working(url):
                await good_users(client, "warm", 2)
                alone = await good_users(client, "alone", seconds)
            first = poison_users // 2
            for number in range(first):
                await client.record_many(poison(number, random))
            async with _locked(url), working(url):
                await good_users(client, "beside", 1)  # until the worker has started

                async def more() -> None:
                    for number in range(first, poison_users):
                        await client.record_many(poison(number, random))
                        await asyncio.sleep(seconds / (poison_users - first))

                among, _ = await asyncio.gather(good_users(client, "among", seconds), more())
        aside = await _set_aside(url)
    return {
        "poison": poison_users,
        "alone": asdict(alone),
        "among": asdict(among),
        "times": among.median / alone.median,
        "set_aside": aside,
    }


@asynccontextmanager
async def _locked(url: str) -> AsyncIterator[None]:
    """Holds the rows of some sessions, as a client in a long transaction would."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute(
            "SELECT FROM memory.sessions WHERE starts_with(user_id, 'lock-') FOR UPDATE"
        )
        yield
        await connection.rollback()


async def _set_aside(url: str) -> int:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM memory.session_progress WHERE set_aside_at IS NOT NULL"
        )
        row = await cursor.fetchone()
        return int(row[0]) if row else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--poison", type=int, default=1000, help="users with poison")
    parser.add_argument("--seconds", type=int, default=30, help="good users, one a second")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        asyncio.run(work(options.work))
    found = asyncio.run(measure(options.poison, options.seconds))
    if options.json:
        print(json.dumps(found))
    else:
        for phase in ("alone", "among"):
            print(phase, *(f"{name} {value:.3g}" for name, value in found[phase].items()))
        print(f"{found['times']:.2f} times the delay; {found['set_aside']} sessions set aside")
    return int(found["times"] > MOST_TIMES or found["among"]["lost"] > 0)


if __name__ == "__main__":
    sys.exit(main())
