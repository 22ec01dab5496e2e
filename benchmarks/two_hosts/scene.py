"""What happens: one host is cut off with a batch in its hands, the other goes on, one returns.

What it then still has to say must be refused. In the end the store must hold what was recorded,
once and in order, each interaction extracted exactly once (`benchmarks.chaos.checks`).
"""

import asyncio
import contextlib
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import psycopg

from benchmarks.chaos.checks import Expected, judge
from benchmarks.chaos.load import Load
from benchmarks.chaos.snapshot import Snapshot, is_done
from benchmarks.chaos.stopping import NOTES, deaf, held_by
from benchmarks.chaos.supervision import is_stopped
from benchmarks.two_hosts.network import PORT, READY, Host, network, running
from memory import embedded
from memory.migrate import migrate

PARTS = 3
"""In which messages are let out: before the cut, into it, and after the return."""

USERS = 24
PATIENCE = 90.0
"""Seconds that anything that has to happen may take."""

ASKED_SECONDS = 0.5
"""Until a process has surely heard what it is to do at its next batch."""


@dataclass
class Outcome:
    """What was seen. `wrong` is empty where everything is as it must be.

    cut_off_with: what the host had in its hands when its link went down.
    taken_over_after: seconds from then until the other host had committed that.
    away: seconds that the link was down.
    refused: how often what came late was refused.
    """

    work: str
    messages: int
    cut_off_with: str = ""
    taken_over_after: float = 0.0
    away: float = 0.0
    refused: int = 0
    worked_again: bool = False
    seconds: float = 0.0
    wrong: dict[str, str] = field(default_factory=dict)


@dataclass
class Scene:
    """What the two hosts share, as the one who watches them reaches it."""

    url: str
    namespace: str
    hosts: Sequence[Host]
    load: Load
    lease: float
    directory: Path

    def row(self, statement: str, *values: object) -> tuple[Any, ...]:
        """One row, past row-level security."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET search_path TO memory, public")
            found = connection.execute(statement.encode(), values or None).fetchone()
        assert found is not None
        return found


class Work(Protocol):
    """What the hosts are at.

    producers: of the load.
    command: of each host, to `benchmarks.chaos.worker`.
    refusal: what a host says when what it did came too late.
    """

    name: str
    producers: int
    command: Sequence[str]
    refusal: str

    async def begin(self, scene: Scene, stack: contextlib.AsyncExitStack) -> None:
        """Starts what is needed beside the store, until the stack ends."""

    def environment(self, scene: Scene, host: Host) -> dict[str, str]:
        """Of the command on a host."""

    async def shared(self, scene: Scene) -> bool:
        """Whether both hosts have a share of the work, or wait for one."""

    async def let_out(self, scene: Scene, part: int) -> None:
        """Has one of `PARTS` parts of the messages recorded."""

    async def done(self, scene: Scene) -> bool:
        """Whether nothing is left to do."""

    async def end(self, scene: Scene) -> Snapshot:
        """The store, with everything in it extracted."""


async def until(what: str, holds: Callable[[], Awaitable[bool]]) -> None:
    """Waits for a condition.

    Raises:
        TimeoutError: it did not come about; the message says what was waited for.
    """
    end = time.monotonic() + PATIENCE
    while not await holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {PATIENCE:.0f} s: {what}")
        await asyncio.sleep(0.05)


async def two_hosts(
    work: Work, directory: Path, *, messages: int, lease: float, seed: int = 1
) -> Outcome:
    """Plays the scene in namespaces of its own and judges the store in the end.

    Raises:
        NotPossible: this machine cannot make network namespaces, or run what is needed in them.
    """
    began = time.monotonic()
    outcome = Outcome(work.name, messages)
    load = Load(messages, seed, producers=work.producers, users=USERS)
    deaf()  # inherited: a worker that has not come to its own handler yet must not die of it
    with network(directory) as (of_store, hosts):
        url = embedded.start(directory / "store", {"fsync": "off"})
        try:
            await migrate(url)
            scene = Scene(url, of_store, hosts, load, lease, directory)
            async with contextlib.AsyncExitStack() as stack:
                await _staged(work, scene, stack, outcome)
            verdict = judge(Expected(load.produced()), await work.end(scene))
            outcome.wrong.update(verdict.failures)
        finally:
            embedded.stop(directory / "store")
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


async def _staged(
    work: Work, scene: Scene, stack: contextlib.AsyncExitStack, outcome: Outcome
) -> None:
    await _reachable(scene, stack)
    await work.begin(scene, stack)
    processes = []
    for host in scene.hosts:
        environment = {NOTES: str(scene.directory), **work.environment(scene, host)}
        module = ("benchmarks.chaos.worker", *work.command)
        at_work = running(host.name, module, environment, host.log)
        processes.append(await stack.enter_async_context(at_work))
    try:
        await _played(work, scene, processes[0], outcome)
    except TimeoutError as error:
        outcome.wrong["waiting"] = str(error)


async def _reachable(scene: Scene, stack: contextlib.AsyncExitStack) -> None:
    """Lets the hosts reach the server's Unix socket over their links."""
    socket = scene.directory / "store" / "socket" / f".s.PGSQL.{PORT}"
    log = scene.directory / "forward.log"
    module = ("benchmarks.two_hosts", "--forward", str(socket))
    await stack.enter_async_context(running(scene.namespace, module, {}, log))

    async def ready() -> bool:
        return log.read_text() == READY

    await until("the store can be reached over the links", ready)


async def _played(work: Work, scene: Scene, process: Process, outcome: Outcome) -> None:
    """The first host's link goes down with a batch in its process's hands, and comes back."""
    first = scene.hosts[0]
    shared = partial(work.shared, scene)
    await until("both hosts share the work", shared)
    await work.let_out(scene, 0)
    letting_out = await _with_a_batch(work, scene, process, part=1)
    held = held_by(scene.directory, process.pid) or {}
    outcome.cut_off_with = ", ".join(f"{name} {value}" for name, value in held.items())
    first.set_link("down")
    down = time.monotonic()
    process.send_signal(signal.SIGCONT)
    await letting_out

    async def taken_over() -> bool:
        return await asyncio.to_thread(is_done, scene.url, held)

    await until(f"what the first host had is done by the other: {held}", taken_over)
    outcome.taken_over_after = round(time.monotonic() - down, 2)
    await asyncio.sleep(scene.lease)  # what comes back is late beyond doubt
    first.set_link("up")
    outcome.away = round(time.monotonic() - down, 2)

    async def refused() -> bool:
        outcome.refused = first.log.read_text(errors="replace").count(work.refusal)
        return outcome.refused > 0

    await until("what came late is refused", refused)
    await until("both hosts share the work again", shared)
    letting_out = await _with_a_batch(work, scene, process, part=2)
    outcome.worked_again = True
    process.send_signal(signal.SIGCONT)
    await letting_out
    await until("nothing is left to do", partial(work.done, scene))


async def _with_a_batch(
    work: Work, scene: Scene, process: Process, *, part: int
) -> asyncio.Task[None]:
    """Returns once the process stopped itself with a batch in its hands; letting out goes on."""
    process.send_signal(signal.SIGUSR1)
    await asyncio.sleep(ASKED_SECONDS)
    letting_out = asyncio.create_task(work.let_out(scene, part))

    async def stopped() -> bool:
        return is_stopped(process.pid)

    await until("the first host has a batch in its hands", stopped)
    return letting_out
