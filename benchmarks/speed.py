"""Recall, context and record against hand-written SQL over the same tables, in one run.

    python -m benchmarks.speed [--users N] [--giant N] [--collective N] [--quick] [--json]

builds a store of users of 1,000 memories each, one of `--giant`, and a tenant with a collective
tier, with made-up texts and random unit vectors, and measures each path beside a floor: the
statement that somebody who knows the tables would write by hand (`benchmarks.speed_floor`), under
the same role, binding and security. Rounds alternate and ratios are of medians, which is what
counts on a machine that is shared.

The JSON holds `memory_settings`, `growth` (p50 and pages of one recall at each size of the store),
`recall` → `users`, `giant` and `sharing` (users of a tenant with a collective tier, beside a floor
that reads it too), each with `floor`, `dense_floor`, `recall` and `context` in milliseconds and
`ratio_p50`, `ratio_p95` of recall to floor; `exact` (share of the giant's nearest that recall's
scores agree on), `round_trips`, `concurrent`, `embedding`, `record`, `importing`, `extraction`.
"""

import argparse
import json
import statistics
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from time import perf_counter
from typing import Any, Self

import anyio
import numpy as np
import psycopg
from anyio import to_thread
from numpy.typing import NDArray

from benchmarks import record, speed_writing
from benchmarks.speed_clients import together
from benchmarks.speed_floor import COLLECTIVE, DENSE, HYBRID, Floor
from benchmarks.speed_pages import exact_nearest, pages
from benchmarks.speed_store import (
    DIMENSIONS,
    EMBEDDER,
    SHARING,
    TENANT,
    RandomEmbedder,
    Words,
    grow,
    grow_collective,
)
from benchmarks.store import fresh_store
from memory import embedded
from memory.beliefs.long_term import LongTerm
from memory.client import AsyncMemoryClient
from memory.database import Database, DatabaseRole
from memory.embedding import Embedder, create_embedder
from memory.models import Scope
from memory.recall.search import Recaller, Search
from memory.settings import Settings

GIANT = "giant"
MEMORIES = 1_000  # of every other user
CLIENTS = 8
BUDGET = 2_000
SETTINGS = ("shared_buffers", "effective_cache_size", "work_mem", "max_wal_size", "jit", "fsync")

Call = Callable[[int], Awaitable[object]]


class Renamed:
    """The packaged embedder under the name of the store's vectors, which are as long."""

    name = EMBEDDER
    dimensions = DIMENSIONS

    def __init__(self, settings: Settings) -> None:
        self._packaged = create_embedder(settings)

    async def embed(self, texts: Sequence[str]) -> NDArray[Any]:
        """As the packaged embedder."""
        return await self._packaged.embed(texts)

    async def aclose(self) -> None:
        """As the packaged embedder."""
        await self._packaged.aclose()


class Bench:
    """The store under measurement: a client, a floor, and questions nobody asked before."""

    def __init__(self, settings: Settings, url: str, users: Sequence[str]) -> None:
        self.settings = settings
        self.url = url
        self.users = users
        self.words = Words(seed=99)
        self.random = RandomEmbedder()

    async def __aenter__(self) -> Self:
        self.client = AsyncMemoryClient(self.settings, embedder=self.random)
        await self.client.open()
        self.floor = Floor(self.url, CLIENTS)
        await self.floor.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.floor.__aexit__()
        await self.client.close()

    def ways(self, users: Sequence[str], tenant: str = TENANT) -> dict[str, Call]:
        """The calls to compare, each for the nth of the users."""
        statements = (HYBRID, COLLECTIVE) if tenant == SHARING else (HYBRID,)

        def scope(n: int) -> Scope:
            return Scope(tenant, users[n % len(users)], session="session")

        async def floor(n: int) -> None:
            vector = (await self.random.embed([""]))[0]
            await self.floor.ask(
                users[n % len(users)], self.words.question(), vector, statements, tenant
            )

        async def dense_floor(n: int) -> None:
            vector = (await self.random.embed([""]))[0]
            await self.floor.ask(users[n % len(users)], "", vector, (DENSE,), tenant)

        async def recall(n: int) -> None:
            await self.client.recall(scope(n), self.words.question())

        async def context(n: int) -> None:
            await self.client.context(scope(n), self.words.question(), budget=BUDGET)

        return {"floor": floor, "dense_floor": dense_floor, "recall": recall, "context": context}


async def alternating(
    ways: Mapping[str, Call], rounds: int, warm_up: int = 5
) -> dict[str, list[float]]:
    """Seconds of each way's calls, one of each in turn."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for n in range(-warm_up, rounds):
        for name, call in ways.items():
            began = perf_counter()
            await call(n)
            if n >= 0:
                taken[name].append(perf_counter() - began)
    return taken


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile in milliseconds."""
    return {
        "p50_ms": round(statistics.median(seconds) * 1e3, 3),
        "p95_ms": round(float(np.percentile(seconds, 95)) * 1e3, 3),
    }


async def compared(ways: Mapping[str, Call], rounds: int) -> dict[str, Any]:
    """Quantiles of each way and the ratios of recall to the floor."""
    found = {name: quantiles(s) for name, s in (await alternating(ways, rounds)).items()}
    ratios = {
        f"ratio_{q}": round(found["recall"][f"{q}_ms"] / found["floor"][f"{q}_ms"], 3)
        for q in ("p50", "p95")
    }
    return {**found, **ratios}


async def concurrent(bench: Bench, calls: int, rounds: int) -> dict[str, Any]:
    """Calls a second of CLIENTS clients, floor and recall in turn: processes, then tasks of one."""
    ways = bench.ways(bench.users)
    rates: dict[str, list[float]] = {"floor": [], "recall": []}
    for n in range(rounds + 1):
        for name, found in rates.items():
            rate = await _rate(ways[name], calls)
            if n:
                found.append(rate)
    processes = await to_thread.run_sync(
        together, bench.url, bench.users, CLIENTS, calls // CLIENTS
    )
    return {
        "clients": CLIENTS,
        "processes": _shares({name: [rate] for name, rate in processes.items()}),
        "tasks": _shares(rates),
    }


def _shares(rates: Mapping[str, Sequence[float]]) -> dict[str, float]:
    medians = {f"{name}_per_second": round(statistics.median(r), 1) for name, r in rates.items()}
    shares = [mine / floor for mine, floor in zip(rates["recall"], rates["floor"], strict=True)]
    return {**medians, "of_floor": round(statistics.median(shares), 3)}


async def _rate(call: Call, calls: int) -> float:
    numbers = count()

    async def client() -> None:
        while (n := next(numbers)) < calls:
            await call(n)

    began = perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(CLIENTS):
            group.start_soon(client)
    return calls / (perf_counter() - began)


async def embedding(bench: Bench, rounds: int) -> dict[str, Any]:
    """Recall with the packaged embedder beside embedding alone and recall alone."""
    packaged: Embedder = Renamed(bench.settings)
    async with AsyncMemoryClient(bench.settings, embedder=packaged) as client:

        async def embed(n: int) -> None:
            await packaged.embed([f"{n} {bench.words.question()}"])

        async def both(n: int) -> None:
            user = bench.users[n % len(bench.users)]
            await client.recall(Scope(TENANT, user), f"{n} {bench.words.question()}")

        ways = {"embedding": embed, "recall": bench.ways(bench.users)["recall"], "both": both}
        found = {name: quantiles(s) for name, s in (await alternating(ways, rounds)).items()}
    await packaged.aclose()
    apart = found["embedding"]["p50_ms"] + found["recall"]["p50_ms"]
    return {**found, "ratio": round(found["both"]["p50_ms"] / apart, 3)}


@contextmanager
def round_trips() -> Iterator[list[str]]:
    """Notes every round trip of the client while it is open."""
    made: list[str] = []
    run = Database.run

    async def noted(self: Database, calls: Sequence[tuple[str, Any]]) -> Any:
        made.append(", ".join(name for name, _ in calls))
        return await run(self, calls)

    Database.run = noted  # type: ignore[method-assign]
    try:
        yield made
    finally:
        Database.run = run  # type: ignore[method-assign]


async def trips(bench: Bench) -> dict[str, Any]:
    """Round trips of recall and context: of the first about a user, and of those that follow."""
    user = bench.users[-1]
    scope = Scope(TENANT, user, session="session")
    for n in range(20):
        await bench.client.record(scope, f"{n}: {bench.words.question()}", actor="Ana")
    found = {}
    async with AsyncMemoryClient(bench.settings, embedder=bench.random) as client:
        for name in ("context_first", "context_next", "recall"):
            with round_trips() as made:
                if name == "recall":
                    await client.recall(scope, bench.words.question())
                else:
                    await client.context(scope, bench.words.question(), budget=BUDGET)
            found[name] = len(made)
    return found


async def exact(bench: Bench, questions: int) -> float:
    """Share of the giant's 60 nearest, by meaning and by words, that recall's scores agree on."""
    scope = Scope(TENANT, GIANT)
    agreed = [
        await exact_nearest(bench.url, scope, *await scored(bench, scope)) for _ in range(questions)
    ]
    return float(np.mean(agreed))


async def scored(bench: Bench, scope: Scope) -> tuple[Search, Mapping[str, Any]]:
    """A question about a user, and the row of scores that recall chooses by."""
    async with Database(bench.settings, bench.url, DatabaseRole.CLIENT) as database:
        long_term = LongTerm(database, bench.random, bench.settings.language)
        recaller = Recaller(database, long_term, bench.random, bench.settings.language)
        search = await recaller.search(scope, bench.words.question())
        return search, (await database.fetch(scope, *search.call))[0]


async def growth(bench: Bench, rounds: int) -> dict[str, Any]:
    """p50 of recall and the pages it reads, of users of constant size: medians of questions."""
    ways = bench.ways(bench.users[:10])
    found = await alternating({"recall": ways["recall"], "floor": ways["floor"]}, rounds)
    scope = Scope(TENANT, bench.users[3])
    read = [await pages(bench.url, scope, *await scored(bench, scope)) for _ in range(7)]
    return {
        "p50_ms": quantiles(found["recall"])["p50_ms"],
        "floor_p50_ms": quantiles(found["floor"])["p50_ms"],
        **{name: round(statistics.median(row[name] for row in read)) for name in read[0]},
    }


@asynccontextmanager
async def opened(settings: Settings, users: Sequence[str]) -> AsyncIterator[Bench]:
    """The bench over what the store holds by now."""
    url = await to_thread.run_sync(embedded.start, settings.data_dir)
    async with Bench(settings, url, users) as bench:
        yield bench


async def measured(args: Namespace) -> dict[str, Any]:
    """The report described above."""
    report: dict[str, Any] = {"growth": {}}
    async with fresh_store(pool_max=CLIENTS) as settings:
        url = await to_thread.run_sync(embedded.start, settings.data_dir)
        report["memory_settings"] = await to_thread.run_sync(memory_settings, url)
        users: list[str] = []
        for size in sorted({min(args.users, s) for s in (10, 100, 1_000)}):
            fresh = {f"user-{n}": MEMORIES for n in range(len(users), size)}
            await to_thread.run_sync(grow, url, fresh, size)
            users += fresh
            async with opened(settings, users) as bench:
                report["growth"][f"{size * MEMORIES}"] = await growth(bench, args.rounds)
        sharing = {f"sharing-{n}": MEMORIES for n in range(10)}
        await to_thread.run_sync(grow, url, {GIANT: args.giant}, 2)
        await to_thread.run_sync(grow, url, sharing, 3, SHARING)
        await to_thread.run_sync(grow_collective, url, args.collective, 4)
        async with opened(settings, users) as bench:
            report |= await reading(bench, list(sharing), args)
    rounds = max(3, args.rounds // 40)
    report |= await speed_writing.writing(args.rows, rounds)
    report["record"] = await recording(args, rounds)
    return report


async def reading(bench: Bench, sharing: Sequence[str], args: Namespace) -> dict[str, Any]:
    """All that reads from the full store."""
    few = max(10, args.rounds // 4)
    return {
        "recall": {
            "users": await compared(bench.ways(bench.users), args.rounds),
            "giant": await compared(bench.ways([GIANT]), few),
            "sharing": await compared(bench.ways(sharing, SHARING), few),
        },
        "exact": await exact(bench, 5),
        "round_trips": await trips(bench),
        "concurrent": await concurrent(bench, args.rounds * 2, 3),
        "embedding": await embedding(bench, args.rounds),
    }


async def recording(args: Namespace, rounds: int) -> dict[str, Any]:
    """As `benchmarks.record`, on a store of its own."""
    given = Namespace(seconds=0.5, rounds=rounds, rows=args.rows)
    async with fresh_store() as settings:
        url = await to_thread.run_sync(embedded.start, settings.data_dir)
        return await record.run(url, given)


def memory_settings(url: str) -> dict[str, str]:
    """What the server may use."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)",
            (list(SETTINGS),),
        )
        return dict(rows.fetchall())


def shown(report: Mapping[str, Any]) -> str:
    """The report as a table."""
    lines = [", ".join(f"{name} {value}" for name, value in report["memory_settings"].items())]
    lines.append(f"\n{'memories':>10}{'p50 ms':>10}{'floor ms':>10}{'pages':>8}")
    lines += [
        f"{int(size):>10,}{g['p50_ms']:>10.2f}{g['floor_p50_ms']:>10.2f}{g['pages']:>8}"
        for size, g in report["growth"].items()
    ]
    lines.append(f"\n{'':10}{'':12}{'p50 ms':>10}{'p95 ms':>10}")
    for group, ways in report["recall"].items():
        lines += [
            f"{group:10}{name:12}{way['p50_ms']:>10.2f}{way['p95_ms']:>10.2f}"
            for name, way in ways.items()
            if isinstance(way, dict)
        ]
        lines.append(f"{group:10}{'recall/floor':12}{ways['ratio_p50']:>10}{ways['ratio_p95']:>10}")
    lines.append("")
    rest = set(report) - {"memory_settings", "growth", "recall"}
    lines += [f"{name}: {json.dumps(report[name])}" for name in report if name in rest]
    return "\n".join(lines)


def main() -> None:
    """Parses the command line and prints the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--giant", type=int, default=20_000)
    parser.add_argument("--collective", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=200, help="calls of each way")
    parser.add_argument("--rows", type=int, default=20_000, help="interactions written")
    parser.add_argument("--quick", action="store_true", help="a tenth of the users and rounds")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.users, args.rounds, args.rows = args.users // 10, args.rounds // 4, args.rows // 4
    report = anyio.run(measured, args)
    print(json.dumps(report, indent=2) if args.json else shown(report))


if __name__ == "__main__":
    main()
