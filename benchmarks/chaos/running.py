"""One chaos run: starts everything, lets it be broken, waits until all is worked off, judges."""

import asyncio
import os
import shutil
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
from uuid import uuid4

import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks.broker import KillableBroker, launch
from benchmarks.chaos.breaks import BREAKS
from benchmarks.chaos.checks import Expected, Verdict, first_of, judge
from benchmarks.chaos.faults import TRIES, Killer, System
from benchmarks.chaos.kafka import BROKER_PROPERTIES, make_topics, read_ends, read_topic
from benchmarks.chaos.load import Load
from benchmarks.chaos.postgres import KillablePostgres
from benchmarks.chaos.proxy import Proxy
from benchmarks.chaos.snapshot import is_done, read_positions, read_snapshot
from benchmarks.chaos.stopping import NOTES, Held, deaf, held_by
from benchmarks.chaos.supervision import Kept
from memory.bus.topics import changes
from memory.migrate import migrate

PARTITIONS = 12
STARTING_SECONDS = 180.0
GUEST_SECONDS = 8.0
LEAD = 3.0
"""How many kills' worth of messages producers may be ahead of the kills."""


KEEP_CHANGES = "UPDATE memory.change_stream SET enabled_at = now()"

WORKING = """
SELECT (SELECT COALESCE(sum(position + extracted), 0) FROM memory.users)::bigint
    + (SELECT COALESCE(sum(published_seq), 0) FROM memory.change_cursors)::bigint AS done,
    (SELECT COALESCE(sum(position), 0) FROM memory.users)::bigint AS logged,
    (SELECT COALESCE(sum(extracted), 0) FROM memory.users)::bigint AS extracted,
    (SELECT count(*) FROM memory.users
     WHERE due_at IS NOT NULL OR lease_token IS NOT NULL OR extracted < position)
    + (SELECT count(*) FROM memory.change_cursors WHERE last_seq > published_seq) AS busy
"""


@dataclass(frozen=True)
class Options:
    """What to run; see the command line.

    only: the kinds of faults, by name; none: all of them.
    resent: whether producers send some of it again of their own accord.
    servers: a broker that runs already, and is not broken.
    standstill: seconds without any progress after which what is left will not be worked off.
    producers, ingest, extract, publish: how many processes of each there are.
    lease: seconds a worker may hold a user without a sign of life.
    directed: one fault after another, each made ready before there is work for it to meet.
    """

    kills: int = 20
    messages: int = 5_000
    seed: int = 1
    users: int = 120
    pace: float = 2.0
    bus: str = "kafka"
    broken: str | None = None
    only: tuple[str, ...] = ()
    resent: bool = True
    servers: str | None = None
    standstill: float = 60.0
    producers: int = 4
    ingest: int = 3
    extract: int = 3
    publish: int = 2
    lease: float = 4.0
    directed: bool = False

    @property
    def load(self) -> Load:
        """What is produced."""
        poison = max(6, self.messages // 1000) if self.bus == "kafka" else 0
        resent = int(self.resent)
        return Load(self.messages, self.seed, self.producers, self.users, poison, resent)


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
        self.servers: str | None = None
        self.topic = f"chaos-{uuid4().hex[:8]}"
        self.broken = BREAKS[options.broken] if options.broken else None
        self.report = Report(options)
        self.kept: list[Kept] = []
        self.guests: list[Kept] = []
        self.unasked: list[str] = []
        self.url = ""
        self.began = self._killed_at = monotonic()
        self._killed = 0

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
            ends = await asyncio.gather(*(kept.let_go() for kept in self.kept))
            self.unasked += [line for line in ends if line is not None]
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
                workers = [*system.ingest, *system.extract, *system.publish]
                self.kept = [*workers, *system.producers]
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
        if self.broken and self.broken.store:
            await asyncio.to_thread(_execute, self.url, self.broken.store)
        if self.options.bus == "kafka":
            servers = self.options.servers
            if servers is None:
                servers = await asyncio.to_thread(self._start_broker)
            await asyncio.to_thread(make_topics, servers, self.topic, PARTITIONS)
            self.servers = servers
            if self.options.publish:
                await asyncio.to_thread(_execute, self.url, KEEP_CHANGES)

    def _start_broker(self) -> str:
        place = self.directory / "broker"
        place.mkdir()
        self.broker = launch(place, properties=BROKER_PROPERTIES)
        return self.broker.bootstrap

    def _processes(self, writing: str, extracting: str) -> System:
        ingesting = self.options.ingest if self.servers else 0
        ingest = [self._worker(f"ingest-{n}", writing, "ingest") for n in range(ingesting)]
        follow, publish = ("extract", "--follow"), ("changes", "publish", "--follow")
        publishing = self.options.publish if self.servers else 0
        return System(
            rng=Random(self.options.seed),
            postgres=self.postgres,
            broker=self.broker,
            ingest=ingest,
            extract=[
                self._worker(f"extract-{n}", extracting, *follow)
                for n in range(self.options.extract)
            ],
            publish=[self._worker(f"publish-{n}", extracting, *publish) for n in range(publishing)],
            producers=[self._producer(n, writing) for n in range(self.options.producers)],
            lease=self.options.lease,
            held=partial(held_by, self.directory),
            overtaken=self._overtaken,
            join=partial(self._join, writing) if self.servers else None,
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
            NOTES: str(self.directory),
            "MEMORY_DATABASE_URL": url,
            "MEMORY_LEASE": str(self.options.lease),
            "MEMORY_DEBOUNCE": "0.2",
            "MEMORY_POOL_MAX": "2",
            "MEMORY_CONNECT_TIMEOUT": "5",
            "MEMORY_STATEMENT_TIMEOUT": "15",
        }
        if self.servers is not None:
            ours |= {"MEMORY_KAFKA_SERVERS": self.servers, "MEMORY_KAFKA_TOPIC": self.topic}
            ours["CHAOS_SESSION_MS"] = "3000" if self.broker else "6000"  # what brokers allow
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
        self._allow(1 / (self.options.kills + TRIES + 1))
        for kept in self.kept:
            kept.keep()
        await self._at_work()
        step = self.options.messages / self.options.kills / 2
        killer = Killer(
            system,
            self.options.kills,
            self.options.pace,
            self._worked,
            step,
            self.tell,
            only=self.options.only,
        )
        began = monotonic()
        if self.options.directed:
            await killer.direct(self._let_out_part)
        else:
            self._note_kill(0)
            letting_out = asyncio.create_task(self._let_out())
            await killer.run(self._note_kill)
            letting_out.cancel()
        self._allow(1.0)
        self.report.kills, self.report.faults = killer.broken, dict(sorted(killer.done.items()))
        self.report.seconds_under_fire = round(monotonic() - began, 1)
        progress = await self._progress()
        self.report.applied_under_fire = progress["logged"]
        self.report.extracted_under_fire = progress["extracted"]

    async def _at_work(self) -> None:
        """Returns once something was produced, applied and extracted.

        Raises:
            RuntimeError: that takes too long.
        """
        deadline = monotonic() + STARTING_SECONDS
        while not (await self._progress())["extracted"]:
            if monotonic() > deadline:
                ended = [line for kept in self.kept for line in kept.ended]
                raise RuntimeError(f"nothing works, with nothing broken: {ended[:1]}")
            await asyncio.sleep(0.2)
        self.tell("at work")

    async def _worked(self) -> int | None:
        try:
            return (await self._progress())["done"]
        except psycopg.OperationalError:
            return None

    async def _overtaken(self, held: Held) -> bool | None:
        try:
            return await asyncio.to_thread(is_done, self.url, held)
        except psycopg.OperationalError:
            return None

    async def _let_out(self) -> None:
        """Lets producers go on as the breaking goes on, so that both end together.

        Between two kills a little more is let out, so that somebody works while another is held.
        """
        while True:
            kills, pace = self.options.kills, self.options.pace
            more = min(LEAD, (monotonic() - self._killed_at) / (2 * pace))
            self._allow((self._killed + 1 + more) / kills)
            await asyncio.sleep(0.2)

    def _let_out_part(self, number: int) -> None:
        self._allow((number + 1) / (self.options.kills + TRIES + 1))

    def _note_kill(self, killed: int) -> None:
        self._killed, self._killed_at = killed, monotonic()

    def _allow(self, share: float) -> None:
        allowed = int(min(1.0, share) * self.options.messages / self.options.producers) + 1
        fresh = self.directory / "allowance.new"
        fresh.write_text(str(allowed))
        fresh.replace(self.directory / "allowance")

    async def _worked_off(self) -> None:
        """Returns when nothing is left to do, or when nothing moves any more."""
        producers = [kept for kept in self.kept if kept.name.startswith("producer")]
        done, since = -1, monotonic()
        while monotonic() - since < self.options.standstill:
            progress = await self._progress()
            sent = all(kept.done.is_set() for kept in producers)
            if sent and not progress["busy"] and await self._read_to_the_end():
                return
            if progress["done"] != done:
                done, since = progress["done"], monotonic()
            await asyncio.sleep(0.5)
        self.tell("nothing moves any more, and not everything is worked off")

    async def _read_to_the_end(self) -> bool:
        if self.servers is None:
            return True
        ends = await asyncio.to_thread(read_ends, self.servers, self.topic)
        positions = await asyncio.to_thread(read_positions, self.url)
        return all(positions.get(partition, 0) == end for partition, end in ends.items())

    async def _progress(self) -> Mapping[str, int]:
        return await asyncio.to_thread(_progress, self.url)

    def _judge(self) -> None:
        load = self.options.load
        snapshot = read_snapshot(self.url)
        poison = None
        if self.servers is not None:
            snapshot.ends, snapshot.topic = read_topic(self.servers, self.topic)
            _, snapshot.changes = read_topic(self.servers, changes(self.topic))
            poison = Counter(load.poisoned())
        self.report.interactions = len(snapshot.interactions)
        self.report.memories = len(snapshot.memories)
        self.report.dead_letters = len(snapshot.dead)
        failures = dict(judge(Expected(load.produced(), poison), snapshot).failures)
        if self.report.kills < self.options.kills:
            failures["enough_was_broken"] = f"{self.report.kills} of {self.options.kills} kills"
        if self.unasked:
            failures["nobody_ends_unasked"] = first_of(self.unasked)
        self.report.verdict = Verdict(failures)


def _execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def _progress(url: str) -> Mapping[str, int]:
    with psycopg.connect(url, row_factory=psycopg.rows.dict_row) as connection:
        row = connection.execute(WORKING.encode()).fetchone()
    assert row is not None
    return row


async def run(
    options: Options,
    told: Callable[[str], None] = lambda _: None,
    within: Path = Path("/tmp"),  # noqa: S108 - the directory in it has a random name
) -> Report:
    """One run in a directory of its own below `within`, which is kept where a check fails."""
    directory = Path(tempfile.mkdtemp(prefix="memory-chaos-", dir=within))
    directory.chmod(0o755)  # as root the server's own account must be able to enter
    deaf()  # inherited: a worker that has not come to its own handler yet must not die of it
    report = await Run(options, directory, told).run()
    if report.verdict:
        shutil.rmtree(directory)
    else:
        told(f"logs and store are in {directory}")
    return report
