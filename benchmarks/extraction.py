"""What sharing extraction costs: leases, wakening, the change stream, and several users at once.

    python -m benchmarks.extraction [--seconds 2] [--rounds 5] [--clients 8] [--only PART] [--json]

`leases`: users taken and given back a second by `--clients` loops at once, beside two bare updates
of a user's row by its key, and how often a user was held by two of them (never). `record`: calls a
second of `--clients` clients, each call the first of a new user, so that each turns somebody due:
without the triggers that notify, with them, and with one that always notifies; then of users that
are due already. `remember`: calls a second without the triggers of the change stream, with the
stream off, and with it on. `blocks`: milliseconds of a statement that inserts memories, and of it
those of the trigger that takes blocks away, for a user without blocks and one with, and to make a
block. `at once`: interactions a second of one process that extracts several users at once, with the
packaged extractors and a cheap embedder, and with a model that takes 0.2 s to answer.

Ways take turns, in another order each round, on a durable embedded server of its own; printed are
medians, and the median of each way's share of the first in the same round.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from benchmarks.chaos.extractors import DigestEmbedder, Digests
from benchmarks.speed_store import TENANT
from benchmarks.speed_writing import interactions
from consumers.demo import sample_path
from consumers.extraction import Worker, installed_extractors
from consumers.extraction.leases import Leases, UserFilter
from consumers.importing.importer import read_jsonl
from consumers.runtime.task_groups import together
from extractors.protocol import Extractor, LogSlice
from memory import embedded
from memory.client import AsyncMemoryClient
from memory.database import Database, DatabaseRole, queries
from memory.migrate import migrate
from memory.models import Candidate, Scope
from memory.settings import Settings

MODEL_SECONDS = 0.2
NOTIFYING = ("notify_due_on_insert", "notify_due_on_update")
KEEPING = ("changes_on_insert", "changes_on_update", "changes_on_delete")
ALWAYS = """
CREATE FUNCTION always() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_notify('memory_due', ''); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER always AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.due_at IS NOT NULL) EXECUTE FUNCTION always();
ALTER TABLE users DISABLE TRIGGER always;
"""

Once = Callable[[], Awaitable[object]]
Prepare = Callable[[], None]


@dataclass(frozen=True)
class Slow(Digests):
    """Waits for a model before it answers."""

    async def extract(self, log: LogSlice) -> list[Candidate]:
        """See `Extractor.extract`."""
        await anyio.sleep(MODEL_SECONDS)
        return await super().extract(log)


async def rate(once: Once, clients: int, seconds: float) -> float:
    """Calls a second of so many clients at once."""
    end, done = time.perf_counter() + seconds, 0

    async def client() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await once()
            done += 1

    began = time.perf_counter()
    await together(clients, client)
    return done / (time.perf_counter() - began)


async def alternated(
    ways: Mapping[str, tuple[Prepare, Once]], clients: int, args: Any
) -> dict[str, dict[str, float]]:
    """The median rate of each way, and its share of the first; the first round does not count."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(args.rounds + 1):
        for name in Random(number).sample(list(ways), len(ways)):
            prepare, once = ways[name]
            prepare()
            reached = await rate(once, clients, args.seconds)
            if number:
                found[name].append(reached)
    first = next(iter(found.values()))
    return {
        name: {
            "per_second": round(statistics.median(rates)),
            "of_first": round(
                statistics.median(a / b for a, b in zip(rates, first, strict=True)), 3
            ),
        }
        for name, rates in found.items()
    }


class Store:
    """The benchmark's database: its settings, and what an owner may do to it."""

    def __init__(self, url: str, args: Any) -> None:
        self.url, self.args = url, args
        self.settings = Settings(database_url=SecretStr(url), pool_max=2 * args.clients, debounce=0)

    def run(self, statement: str) -> None:
        """As the owner."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET search_path TO memory, public")
            connection.execute(statement.encode())

    def only(self, table: str, enabled: tuple[str, ...], known: tuple[str, ...]) -> None:
        """Of the known triggers of a table, only some."""
        for name in known:
            state = "ENABLE" if name in enabled else "DISABLE"
            self.run(f"ALTER TABLE {table} {state} TRIGGER {name}")

    @asynccontextmanager
    async def worker_side(self) -> AsyncIterator[Database]:
        """A pool in the worker's role."""
        async with Database(self.settings, self.url, DatabaseRole.WORKER) as database:
            yield database

    def client(self) -> AsyncMemoryClient:
        """A client of its own."""
        return AsyncMemoryClient(self.settings, embedder=DigestEmbedder())


async def leases(store: Store) -> dict[str, Any]:
    """Users taken and given back a second, beside updates of rows that need not be found."""
    users = 2_000
    async with store.client() as client:
        for user in range(users):
            await client.record(Scope("bench", f"due-{user}", session="s"), "Hello.")
    numbers, held, doubled = count(), set[str](), 0
    async with store.worker_side() as database:
        leases = Leases(database, store.settings, UserFilter("bench"))

        async def bare() -> None:
            scope = Scope("bench", f"due-{next(numbers) % users}")
            for _ in range(2):
                await database.fetch(scope, "log.mark_due")

        async def leased() -> None:
            nonlocal doubled
            if lease := await leases.acquire(0.0):
                doubled += lease.scope.user in held
                held.add(lease.scope.user)
                await anyio.lowlevel.checkpoint()
                held.discard(lease.scope.user)
                await leases.release(lease, 0.0)

        ways: dict[str, tuple[Prepare, Once]] = {
            "bare updates": (lambda: None, bare),
            "leases": (lambda: None, leased),
        }
        found = await alternated(ways, store.args.clients, store.args)
    return {**found, "held by two": doubled}


async def record(store: Store) -> dict[str, Any]:
    """`record()` with and without what wakes workers."""
    numbers = count()
    store.run(ALWAYS)
    known = (*NOTIFYING, "always")
    async with store.client() as client:

        async def new() -> None:
            await client.record(Scope("bench", f"new-{next(numbers)}", session="s"), "Hello.")

        async def due() -> None:
            user = f"due-{next(numbers) % 2_000}"
            await client.record(Scope("bench", user, session="s"), "Hello.")

        ways = {
            "new users, no triggers": (partial(store.only, "users", (), known), new),
            "new users, as it is": (partial(store.only, "users", NOTIFYING, known), new),
            "new users, always": (partial(store.only, "users", ("always",), known), new),
        }
        found = await alternated(ways, store.args.clients, store.args)
        known_users = {
            "due users, no triggers": (partial(store.only, "users", (), known), due),
            "due users, as it is": (partial(store.only, "users", NOTIFYING, known), due),
        }
        found |= await alternated(known_users, store.args.clients, store.args)
    store.only("users", NOTIFYING, known)
    return found


async def remember(store: Store) -> dict[str, Any]:
    """`remember()`, which writes memories, with and without the change stream."""
    numbers = count()
    async with store.client() as client:

        async def once() -> None:
            number = next(numbers)
            scope = Scope("bench", f"user-{number % 64}", session="s")
            await client.remember(scope, f"Fact {number}", attribute=f"a{number}", value="x")

        def way(triggers: tuple[str, ...], since: str) -> Prepare:
            def prepare() -> None:
                store.only("memories", triggers, KEEPING)
                store.run(f"UPDATE change_stream SET enabled_at = {since}")

            return prepare

        ways = {
            "no triggers": (way((), "NULL"), once),
            "off": (way(KEEPING, "NULL"), once),
            "on": (way(KEEPING, "now()"), once),
        }
        found = await alternated(ways, store.args.clients, store.args)
    store.run("UPDATE change_stream SET enabled_at = NULL")
    return found


async def blocks(store: Store) -> dict[str, Any]:
    """What blocks cost those who write memories: as EXPLAIN says, in statements rolled back."""
    async with store.client() as client:
        for user, said in (("unsealed", 40), ("sealed", 4_800)):
            await client.record_many(list(interactions(user, said, 1)))
    async with store.worker_side() as database:
        worker = Worker(
            database, DigestEmbedder(), installed_extractors(store.settings), store.settings
        )
        await worker.drain(TENANT)
    with psycopg.connect(store.url, options="-c search_path=memory,public") as connection:
        found = {
            f"{user}, {memories} at once": inserted(connection, user, memories, store.args.rounds)
            for user in ("unsealed", "sealed")
            for memories in (1, 20)
        }
        sealing = [sealed(connection, 50 * (n + 1)) for n in range(store.args.rounds)]
    return {**found, "to make a block, ms": round(statistics.median(sealing), 2)}


def inserted(
    connection: psycopg.Connection, user: str, memories: int, rounds: int
) -> dict[str, float]:
    """Milliseconds to insert so many memories that the user does not have."""
    query = "SELECT to_jsonb(m) FROM memories m WHERE user_id = 'unsealed' LIMIT %s"
    rows = [row for (row,) in connection.execute(query, [memories])]
    whole, triggers = [], []
    for number in range(rounds):
        for nth, row in enumerate(rows):
            row |= {"memory_id": 100_000 + nth, "belief_key": f"{number:016x}{nth:016x}"}
        said = explained(connection, "long_term.insert_memories", user, rows=Jsonb(rows))
        whole.append(said["Execution Time"])
        triggers.append(
            sum(t["Time"] for t in said["Triggers"] if "invalidate" in t["Trigger Name"])
        )
    return {
        "statement_ms": round(statistics.median(whole), 3),
        "of_it_trigger_ms": round(statistics.median(triggers), 3),
    }


def sealed(connection: psycopg.Connection, memory: int) -> float:
    """Milliseconds to make a block again after one of its memories was believed no longer."""
    closed = "UPDATE memories SET believed_to = now() WHERE user_id = 'sealed' AND memory_id = %s"
    connection.execute(closed, [memory])
    return float(explained(connection, "long_term.seal", "sealed")["Execution Time"])


def explained(
    connection: psycopg.Connection, name: str, user: str, **params: object
) -> dict[str, Any]:
    """What EXPLAIN ANALYZE says of a named statement; nothing of it stays."""
    keys = {"tenant": TENANT, "user": user, "generation": 1, "language": "english"}
    text = "EXPLAIN (ANALYZE, FORMAT JSON) " + queries.statement(name)
    row = connection.execute(text.encode(), {**keys, **params}).fetchone()
    connection.rollback()
    assert row is not None
    said: dict[str, Any] = row[0][0]
    return said


async def at_once(store: Store) -> dict[str, Any]:
    """Interactions a second of one process, by how many users it extracts at once."""
    makers: dict[str, Callable[[], list[Extractor]]] = {
        "packaged extractors": lambda: installed_extractors(store.settings),
        f"a model of {MODEL_SECONDS} s": lambda: [Slow()],
    }
    tenants = (f"crowd-{n}" for n in count())
    found: dict[str, Any] = {}
    for name, make in makers.items():
        rates: dict[int, list[float]] = {1: [], 2: [], 4: [], 8: []}
        for _ in range(store.args.rounds):
            for users, reached in rates.items():
                reached.append(await extracted(store, next(tenants), make(), users))
        found[name] = {
            f"{users} at once": {
                "per_second": round(statistics.median(reached)),
                "of_first": round(
                    statistics.median(a / b for a, b in zip(reached, rates[1], strict=True)), 2
                ),
            }
            for users, reached in rates.items()
        }
    return found


async def extracted(
    store: Store, tenant: str, extractors: list[Extractor], users_at_once: int
) -> float:
    """Interactions a second over four times the users of the sample, in a tenant of their own."""
    said = [placed.interaction for placed in read_jsonl(sample_path())]
    async with store.client() as client:
        for copy in range(4):
            scopes = [replace(i.scope, tenant=tenant, user=f"{i.scope.user}-{copy}") for i in said]
            again = [replace(i, scope=s) for i, s in zip(said, scopes, strict=True)]
            await client.record_many(again)
    async with store.worker_side() as database:
        worker = Worker(database, DigestEmbedder(), extractors, store.settings)
        done = await worker.drain(tenant, at_once=users_at_once)
    return done.interactions / done.seconds


PARTS: dict[str, Callable[[Store], Awaitable[dict[str, Any]]]] = {
    "leases": leases,
    "record": record,
    "remember": remember,
    "blocks": blocks,
    "at once": at_once,
}


async def run(server: str, args: Any) -> dict[str, Any]:
    """Every part, each on a database of its own."""
    found = {}
    for number, (name, part) in enumerate(PARTS.items()):
        if args.only and name not in args.only:
            continue
        database = f"bench_{number}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}".encode())
        url = make_conninfo(server, dbname=database)
        await migrate(url)
        found[name] = await part(Store(url, args))
    return found


def main() -> None:
    """Measures, and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--only", action="append", choices=list(PARTS), help="one part; repeatable")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memory-bench-", dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)  # as root the server's own account must be able to enter
        try:
            found = asyncio.run(run(embedded.start(directory, {"max_connections": "100"}), args))
        finally:
            embedded.stop(directory)
    sys.stdout.write(json.dumps(found, indent=None if args.json else 2) + "\n")


if __name__ == "__main__":
    main()
