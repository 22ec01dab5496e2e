"""One chaos run: starts everything, lets it be broken, waits until all is worked off, judges."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks.broker import KillableBroker, launch
from benchmarks.chaos.checks import Expected, Verdict, first_of, judge
from benchmarks.chaos.faults import Killer, System
from benchmarks.chaos.kafka import BROKER_PROPERTIES, make_topics, read_ends, read_topic
from benchmarks.chaos.load import Load
from benchmarks.chaos.postgres import KillablePostgres
from benchmarks.chaos.proxy import Proxy
from benchmarks.chaos.snapshot import read_positions, read_snapshot
from benchmarks.chaos.supervision import Kept
from memory.migrate import migrate

PRODUCERS = 4
INGESTING = 3
EXTRACTING = 3
LEASE = 4.0
PARTITIONS = 12
TOPIC = "chaos.interactions"
GUEST_SECONDS = 8.0
STANDSTILL_SECONDS = 60.0
"""Without any progress for so long, what is left will not be worked off."""

WORKING = """
SELECT (SELECT COALESCE(sum(position + extracted), 0) FROM memory.users)::bigint AS done,
    (SELECT COALESCE(sum(position), 0) FROM memory.users)::bigint AS logged,
    (SELECT COALESCE(sum(extracted), 0) FROM memory.users)::bigint AS extracted,
    (SELECT count(*) FROM memory.users
     WHERE due_at IS NOT NULL OR lease_token IS NOT NULL OR extracted < position) AS busy
"""


@dataclass(frozen=True)
class Options:
    """What to run; see the command line. `poison` messages come on top of `messages`."""

    kills: int = 20
    messages: int = 5_000
    seed: int = 1
    users: int = 120
    pace: float = 2.0
    bus: str = "kafka"
    broken: str | None = None

    @property
    def load(self) -> Load:
        """What is produced."""
        poison = max(6, self.messages // 1000) if self.bus == "kafka" else 0
        return Load(self.messages, self.seed, PRODUCERS, self.users, poison)


@dataclass
class Report:
    """What was run, what was broken and what the checks say of the store in the end.

    applied_under_fire, extracted_under_fire: messages in the log, and those of them extracted,
        when the last fault was over.
    """

    options: Options
    kills: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    starts: Mapping[str, int] = field(default_factory=dict)
    applied_under_fire: int = 0
    extracted_under_fire: int = 0
    interactions: int = 0
    memories: int = 0
    dead_letters: int = 0
    seconds_under_fire: float = 0.0
    seconds: float = 0.0
    verdict: Verdict = field(default_factory=Verdict)

    def as_json(self) -> dict[str, Any]:
        """The report without what a reader of JSON can derive."""
        found = {**asdict(self.options), **asdict(self)}
        del found["options"], found["verdict"]
        found["failures"] = dict(self.verdict.failures)
        return found


class Run:
    """The processes and servers of one run."""

    def __init__(self, options: Options, directory: Path, told: Callable[[str], None]) -> None:
        self.options = options
        self.directory = directory
        self.told = told
        self.postgres = KillablePostgres(directory / "store")
        self.broker: KillableBroker | None = None
        self.report = Report(options)
        self.kept: list[Kept] = []
        self.guests: list[Kept] = []
        self.unasked: list[str] = []
        self.url = ""
        self.began = monotonic()

    def tell(self, line: str) -> None:
        """Says a line, with how long it has been."""
        self.told(f"{monotonic() - self.began:7.1f} {line}")

    async def run(self) -> Report:
        """All of it; servers and processes are gone in the end."""
        async with AsyncExitStack() as stack:
            system = await stack.enter_async_context(self._system())
            await self._under_fire(system)
            await self._worked_off()
            self.unasked += [line for k in [*self.kept, *self.guests] for line in k.ended]
            self.unasked += [line for kept in self.kept if (line := await kept.let_go())]
            self.report.starts = {kept.name: kept.starts for kept in self.kept}
            await asyncio.to_thread(self._judge)
        self.report.seconds = round(monotonic() - self.began, 1)
        return self.report

    @asynccontextmanager
    async def _system(self) -> AsyncIterator[System]:
        await self._start_servers()
        connect = self._to_postgres
        try:
            async with Proxy(connect) as writing, Proxy(connect) as extracting:
                system = self._processes(self._through(writing), self._through(extracting))
                system.proxies = [writing, extracting]
                self.kept = [*system.ingest, *system.extract, *system.producers]
                yield system
        finally:
            for kept in self.kept:
                kept.kill()
            await asyncio.to_thread(self.postgres.stop)
            if self.broker is not None:
                await asyncio.to_thread(self.broker.kill)

    async def _start_servers(self) -> None:
        self.url = await asyncio.to_thread(self.postgres.start)
        await migrate(self.url)
        if self.options.bus == "kafka":
            place = self.directory / "broker"
            place.mkdir()
            self.broker = await asyncio.to_thread(launch, place, properties=BROKER_PROPERTIES)
            await asyncio.to_thread(make_topics, self.broker.bootstrap, TOPIC, PARTITIONS)

    def _processes(self, writing: str, extracting: str) -> System:
        ingesting = INGESTING if self.broker else 0
        ingest = [self._worker(f"ingest-{n}", writing, "ingest") for n in range(ingesting)]
        follow = ("extract", "--follow")
        return System(
            rng=Random(self.options.seed),
            postgres=self.postgres,
            broker=self.broker,
            ingest=ingest,
            extract=[self._worker(f"extract-{n}", extracting, *follow) for n in range(EXTRACTING)],
            producers=[self._producer(n, writing) for n in range(PRODUCERS)],
            lease=LEASE,
            join=partial(self._join, writing) if self.broker else None,
        )

    async def _join(self, url: str) -> None:
        """One more ingest process, for long enough to be given partitions and to lose them."""
        guest = self._worker(f"ingest-guest-{len(self.guests)}", url, "ingest")
        self.guests.append(guest)
        guest.keep()
        await asyncio.sleep(GUEST_SECONDS)
        if said := await guest.let_go():
            self.unasked.append(said)

    async def _to_postgres(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self.postgres.socket)

    def _through(self, proxy: Proxy) -> str:
        return make_conninfo(
            self.url, host="127.0.0.1", port=proxy.port, sslmode="disable", gssencmode="disable"
        )

    def _environment(self, url: str) -> dict[str, str]:
        ours = {
            "MEMORY_DATABASE_URL": url,
            "MEMORY_LEASE": str(LEASE),
            "MEMORY_DEBOUNCE": "0.2",
            "MEMORY_POOL_MAX": "2",
            "MEMORY_CONNECT_TIMEOUT": "5",
            "MEMORY_STATEMENT_TIMEOUT": "15",
        }
        if self.broker is not None:
            ours |= {"MEMORY_KAFKA_SERVERS": self.broker.bootstrap, "MEMORY_KAFKA_TOPIC": TOPIC}
        theirs = {k: v for k, v in os.environ.items() if not k.startswith("MEMORY_")}
        return {**theirs, **ours}

    def _worker(self, name: str, url: str, *verb: str) -> Kept:
        broken = ["--break", self.options.broken] if self.options.broken else []
        command = [sys.executable, "-m", "benchmarks.chaos.worker", *broken, *verb]
        return Kept(name, command, self._environment(url), self.directory / f"{name}.log")

    def _producer(self, number: int, url: str) -> Kept:
        load = self.options.load
        sizes = {**asdict(load), "producer": number, "directory": self.directory}
        given = [f"--{name}={value}" for name, value in sizes.items()]
        command = [sys.executable, "-m", "benchmarks.chaos.producing", *given]
        name = f"producer-{number}"
        return Kept(name, command, self._environment(url), self.directory / f"{name}.log")

    async def _under_fire(self, system: System) -> None:
        self._allow(0)
        for kept in self.kept:
            kept.keep()
        await self._at_work()
        step = self.options.messages / self.options.kills / 2
        killer = Killer(
            system, self.options.kills, self.options.pace, self._worked, step, self.tell
        )
        began = monotonic()
        await killer.run(self._allow)
        self.report.kills, self.report.faults = killer.killed, dict(sorted(killer.done.items()))
        self.report.seconds_under_fire = round(monotonic() - began, 1)
        progress = await self._progress()
        self.report.applied_under_fire = progress["logged"]
        self.report.extracted_under_fire = progress["extracted"]

    async def _at_work(self) -> None:
        """Returns once something was produced, applied and extracted."""
        deadline = monotonic() + STANDSTILL_SECONDS
        while not (await self._progress())["extracted"] and monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        self.tell("at work")

    async def _worked(self) -> int | None:
        try:
            return (await self._progress())["done"]
        except psycopg.OperationalError:
            return None

    def _allow(self, kills: int) -> None:
        """Lets producers go on with their work as kills go on, so that both end together."""
        share = self.options.messages / PRODUCERS
        allowed = share if kills >= self.options.kills else share * (kills + 1) / self.options.kills
        fresh = self.directory / "allowance.new"
        fresh.write_text(str(int(allowed) + 1))
        fresh.replace(self.directory / "allowance")

    async def _worked_off(self) -> None:
        """Returns when nothing is left to do, or when nothing moves any more."""
        producers = [kept for kept in self.kept if kept.name.startswith("producer")]
        done, since = -1, monotonic()
        while monotonic() - since < STANDSTILL_SECONDS:
            progress = await self._progress()
            sent = all(kept.done.is_set() for kept in producers)
            if sent and not progress["busy"] and await self._read_to_the_end():
                return
            if progress["done"] != done:
                done, since = progress["done"], monotonic()
            await asyncio.sleep(0.5)
        self.tell("nothing moves any more, and not everything is worked off")

    async def _read_to_the_end(self) -> bool:
        if self.broker is None:
            return True
        ends = await asyncio.to_thread(read_ends, self.broker.bootstrap, TOPIC)
        positions = await asyncio.to_thread(read_positions, self.url)
        return all(positions.get(partition, 0) == end for partition, end in ends.items())

    async def _progress(self) -> Mapping[str, int]:
        return await asyncio.to_thread(_progress, self.url)

    def _judge(self) -> None:
        load = self.options.load
        snapshot = read_snapshot(self.url)
        poison = None
        if self.broker is not None:
            snapshot.ends, snapshot.topic = read_topic(self.broker.bootstrap, TOPIC)
            poison = Counter(load.poisoned())
        self.report.interactions = len(snapshot.interactions)
        self.report.memories = len(snapshot.memories)
        self.report.dead_letters = len(snapshot.dead)
        failures = dict(judge(Expected(load.produced(), poison), snapshot).failures)
        if self.unasked:
            failures["nobody_ends_unasked"] = first_of(self.unasked)
        self.report.verdict = Verdict(failures)


def _progress(url: str) -> Mapping[str, int]:
    with psycopg.connect(url, row_factory=psycopg.rows.dict_row) as connection:
        row = connection.execute(WORKING.encode()).fetchone()
    assert row is not None
    return row


async def run(options: Options, told: Callable[[str], None] = lambda _: None) -> Report:
    """One run in a directory of its own, which is kept where a check fails."""
    directory = Path(tempfile.mkdtemp(prefix="memory-chaos-", dir="/tmp"))
    directory.chmod(0o755)  # as root the server's own account must be able to enter
    # Inherited: a worker that has not come to its own handler yet must not die of it.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    report = await Run(options, directory, told).run()
    if report.verdict:
        shutil.rmtree(directory)
    else:
        told(f"logs and store are in {directory}")
    return report
