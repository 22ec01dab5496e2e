"""A test run's folder, the guard that cleans up after it, and what earlier runs left behind.

Everything a run starts or writes is found again by two marks. Each process it starts inherits an
environment variable that holds the path of the run's folder, and each temporary file is made in
that folder. A guard process (`tests/guard.py`) waits until the run has ended, in whichever way:
it then stops the processes that still carry the mark and removes the folder. Where the guard was
killed as well, the next run does its work (`sweep`).
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import IO

import psutil

VARIABLE = "EXPERIENTIAL_MEMORY_TEST_RUN"
"""Not MEMORY_…: tests keep variables of that name from the processes that they start."""

PREFIX = "memory-tests-"
ROOMY = 4 * 2**30
SECONDS = 10.0
ROOT = Path(__file__).parent.parent
PLACES = (Path("/dev/shm"), Path("/tmp"))  # noqa: S108 - what is made there has a random name


@dataclass(frozen=True)
class Run:
    """A run in progress, as the process that began it sees it."""

    folder: Path
    guard: subprocess.Popen[str]
    lock: IO[str]

    def end(self) -> list[str]:
        """Stops what still runs, removes the folder, and returns what had to be stopped."""
        said, _ = self.guard.communicate()
        self.lock.close()
        return said.splitlines()


def begin() -> Run:
    """Begins a run: its folder, which becomes the place of temporary files, and its guard."""
    sweep()
    folder, lock = _locked_folder()
    command = [sys.executable, "-m", "tests.guard", str(folder)]
    guard = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # it ends with this process
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,  # what interrupts the run does not interrupt its guard
        pass_fds=[lock.fileno()],
    )
    os.environ[VARIABLE] = os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None  # so that TMPDIR is read again
    join(folder)
    return Run(folder, guard, lock)


def current() -> Path:
    """The folder of the run that this process works for."""
    return Path(os.environ[VARIABLE])


def join(folder: Path) -> None:
    """Writes down that this process works for the run: network namespaces are named by it."""
    (folder / "processes").mkdir(exist_ok=True)
    (folder / "processes" / str(os.getpid())).touch()


def _locked_folder() -> tuple[Path, IO[str]]:
    """A new folder and the lock that says its run goes on; it gets its name once it is locked."""
    unnamed = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=_fast()))
    unnamed.chmod(0o755)  # as root a server's own account must be able to enter
    lock = (unnamed / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return unnamed.rename(unnamed.with_name(unnamed.name.removeprefix("."))), lock


def _fast() -> Path:
    """A folder in memory where there is room: the 400 files of a database are then copied at once.

    On a disk it takes as long as most of the tests do.
    """
    memory, disk = PLACES
    return memory if memory.is_mount() and shutil.disk_usage(memory).free >= ROOMY else disk


def sweep() -> None:
    """Cleans up after runs that were killed together with their guards."""
    for place in PLACES:
        for folder in place.glob(f"{PREFIX}*"):
            with suppress(OSError), (folder / "lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                clean(folder)


def clean(folder: Path) -> list[str]:
    """Stops the processes of a run that has ended, removes its folder, returns their commands."""
    left = list(processes(folder))
    said = [f"{process.pid} {_command(process)}" for process in left]
    _stop(left)
    _remove_namespaces(folder)
    for _ in range(3):  # a server on its way out may write once more
        shutil.rmtree(folder, ignore_errors=True)
    return said


def processes(folder: Path) -> Iterator[psutil.Process]:
    """The processes that inherited the run's mark; those of other users are not looked at."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(VARIABLE) == str(folder):
                yield process


def _command(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())[:200]
    return "?"


def _stop(left: list[psutil.Process]) -> None:
    """Kills them. A Postgres server is told to abort, so that it gives its shared memory back."""
    for process in left:
        with suppress(psutil.Error):
            if process.name() == "postgres":
                process.resume()
                process.send_signal(signal.SIGQUIT)
            else:
                process.kill()
    deadline = monotonic() + SECONDS
    while any(map(is_alive, left)) and monotonic() < deadline:
        sleep(0.02)
    for process in filter(is_alive, left):
        process.kill()


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs; one that has ended and waits for its parent does not."""
    try:
        return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _remove_namespaces(folder: Path) -> None:
    """Removes the network namespaces of the run's processes; see `benchmarks.two_hosts.network`."""
    for process in (folder / "processes").glob("*"):
        prefix = f"em{int(process.name) % 100_000}"
        for name in (f"{prefix}s", f"{prefix}1", f"{prefix}2"):
            if Path("/run/netns", name).exists():
                subprocess.run(["ip", "netns", "delete", name], check=False)
