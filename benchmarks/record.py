"""How many interactions `record()` appends a second, beside a bare INSERT of the same row.

    python -m benchmarks.record [--seconds 1.0] [--rounds 5] [--rows 100000] [--json]

One client writes one interaction at a time, each durable before the next. The bare INSERT puts the
same columns into the same table, as the same role, with the same binding of tenant and user in the
same round trip, and does nothing else: no idempotency, no session, no order. It waits on an event
loop; a second one waits without, as `MemoryClient` does. Both run on an empty
table, then on one of `--rows` rows that the same clients go on writing to (so that plans made on
the empty table would show), in alternating rounds. Printed are medians over the rounds, and the
share of each bare INSERT's rate that `record()` reaches.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from pydantic import SecretStr

from memory import embedded
from memory.client import AsyncMemoryClient, MemoryClient
from memory.embedding import Vectors
from memory.migrate import migrate
from memory.models import Scope
from memory.settings import Settings

TURN = (
    "I would rather see candidates who have led a migration off a monolith; years in the role say"
    " little to me, and a degree even less."
)
SESSION = (
    "SET ROLE memory_client; SET search_path TO memory, public;"
    " SET plan_cache_mode TO force_custom_plan"
)
BIND = "SELECT set_config('memory.tenant_id', %s, true), set_config('memory.user_id', %s, true)"
INSERT = """
INSERT INTO interactions (tenant_id, user_id, session_id, ordinal, position, interaction_id,
    agent_id, private, kind, role, actor, content, payload, occurred_at, source, content_hash)
VALUES (%(tenant)s, %(user)s, %(session)s, %(ordinal)s, %(ordinal)s, %(id)s, %(agent)s, false,
    'message', 'user', NULL, %(content)s, '{}', %(at)s, 'client', %(hash)s)
"""
FILL = """
INSERT INTO interactions (tenant_id, user_id, session_id, ordinal, position, interaction_id,
    agent_id, private, kind, role, actor, content, payload, occurred_at, source, content_hash)
SELECT 'tenant-' || n %% 5, 'user-' || n %% 100, 'session-' || n / 5000, n, n, 'old-' || n,
    'scout', false, 'message', 'user', NULL, %(content)s, '{}', now(), 'client',
    sha256(n::text::bytea)
FROM generate_series(1, %(rows)s) AS n
"""

One = Callable[[int], Awaitable[object]]


@dataclass(frozen=True)
class Rate:
    """Calls a second in each round, and the median call in milliseconds."""

    per_second: Sequence[float]
    milliseconds: float

    @property
    def median(self) -> float:
        """Calls a second in the middle round."""
        return statistics.median(self.per_second)


class NoVectors:
    """`record()` makes no vectors; an embedder is only registered."""

    name = "none"
    dimensions = 1

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.embed`; never asked."""
        return np.ones((len(texts), 1), dtype=np.float32)

    async def aclose(self) -> None:
        """See `Embedder.aclose`."""


async def round_of(one: One, seconds: float, numbers: "count[int]") -> tuple[int, list[float]]:
    """Calls `one` again and again for `seconds`; how often, and how long each took."""
    taken = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        await one(next(numbers))
        taken.append(time.perf_counter() - began)
    return len(taken), taken


async def measured(ways: dict[str, One], seconds: float, rounds: int) -> dict[str, Rate]:
    """The rate of each way, in alternating rounds, after one that does not count."""
    numbers = {name: count(1) for name in ways}
    found: dict[str, list[float]] = {name: [] for name in ways}
    calls: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, one in ways.items():
            done, taken = await round_of(one, seconds, numbers[name])
            if number:
                found[name].append(done / sum(taken))
                calls[name] += taken
    return {name: Rate(found[name], statistics.median(calls[name]) * 1e3) for name in ways}


async def bare(url: str, stack: AsyncExitStack, prefix: str) -> One:
    """A bare INSERT through psycopg, set up as the client sets its connections up."""
    connection = await stack.enter_async_context(
        await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=1)
    )
    await connection.execute(SESSION)

    async def one(number: int) -> None:
        async with connection.pipeline():
            await connection.execute(BIND, ("bench", "bare"))
            await connection.execute(INSERT, row("bare", prefix, number))

    return one


def bare_sync(url: str, stack: AsyncExitStack, prefix: str) -> One:
    """As `bare`, waiting without an event loop."""
    connect = psycopg.connect(url, autocommit=True, prepare_threshold=1)
    connection = stack.enter_context(connect)
    connection.execute(SESSION)

    async def one(number: int) -> None:
        with connection.pipeline():
            connection.execute(BIND, ("bench", "bare-sync"))
            connection.execute(INSERT, row("bare-sync", prefix, number))

    return one


async def bares(url: str, stack: AsyncExitStack, prefix: str) -> dict[str, One]:
    """Both kinds of bare INSERT, under the names of the result."""
    return {
        "bare": await bare(url, stack, prefix),
        "bare_sync": bare_sync(url, stack, prefix),
    }


def row(user: str, prefix: str, number: int) -> dict[str, object]:
    """The row that a bare INSERT makes."""
    return {
        "tenant": "bench",
        "user": user,
        "session": prefix,
        "ordinal": number,
        "id": f"{prefix}-{number}",
        "agent": "scout",
        "content": f"{number}: {TURN}",
        "at": datetime.now(UTC),
        "hash": number.to_bytes(32, "big"),
    }


async def compared(
    client: AsyncMemoryClient, sync: MemoryClient, inserts: dict[str, One], prefix: str, args: Any
) -> dict[str, Any]:
    """All ways at one size of the table, as JSON."""
    scope = Scope("bench", "async", "scout", prefix)
    sync_scope = Scope("bench", "sync", "scout", prefix)

    async def record(number: int) -> None:
        await client.record(scope, f"{number}: {TURN}", id=f"{prefix}-{number}")

    async def record_sync(number: int) -> None:
        # Blocks this loop, as it blocks any caller.
        sync.record(sync_scope, f"{number}: {TURN}", id=f"{prefix}-{number}")

    ways = {**inserts, "record": record, "record_sync": record_sync}
    rates = await measured(ways, args.seconds, args.rounds)
    return {
        name: {
            "per_second": round(rate.median),
            "median_ms": round(rate.milliseconds, 3),
            **{f"of_{bare}": round(share(rate, rates[bare]), 3) for bare in inserts},
        }
        for name, rate in rates.items()
    }


def share(mine: Rate, theirs: Rate) -> float:
    """Of their rate, in the middle of the rounds."""
    return statistics.median(a / b for a, b in zip(mine.per_second, theirs.per_second, strict=True))


async def run(url: str, args: Any) -> dict[str, Any]:
    """Both sizes, through the same connections."""
    await migrate(url)
    settings = Settings(database_url=SecretStr(url))
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(AsyncMemoryClient(settings, embedder=NoVectors()))
        sync = stack.enter_context(MemoryClient(settings, embedder=NoVectors()))
        empty = await compared(client, sync, await bares(url, stack, "empty"), "empty", args)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute("SET search_path TO memory, public")
            await connection.execute(FILL, {"content": TURN, "rows": args.rows})
            await connection.execute("ANALYZE interactions")
        grown = await compared(client, sync, await bares(url, stack, "grown"), "grown", args)
    return {"empty": empty, f"{args.rows} rows": grown}


def shown(found: dict[str, Any]) -> str:
    """The result as a table."""
    lines = [f"{'':14}{'way':12}{'a second':>10}{'median ms':>11}{'of bare':>9}{'of sync':>9}"]
    for size, ways in found.items():
        lines += [
            f"{size:14}{name:12}{w['per_second']:>10,}{w['median_ms']:>11.3f}{w['of_bare']:>9.0%}"
            f"{w['of_bare_sync']:>9.0%}"
            for name, w in ways.items()
        ]
    return "\n".join(lines)


def main() -> None:
    """Measures, and prints a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--url", help="an empty database; default: an embedded server of its own")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memory-bench-", dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)  # as root the server's own account must be able to enter
        try:
            found = asyncio.run(run(args.url or embedded.start(directory), args))
        finally:
            embedded.stop(directory)
    sys.stdout.write((json.dumps(found, indent=2) if args.json else shown(found)) + "\n")


if __name__ == "__main__":
    main()
