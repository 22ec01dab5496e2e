"""A run that is killed leaves no process and no folder behind."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import psutil
import psycopg
import pytest
from psycopg import sql

from tests import runs
from tests.conftest import TEST, Databases

SECONDS = 120.0


@dataclass(frozen=True)
class Started:
    """A run of `left_behind.py` that has started all it starts."""

    pytest: subprocess.Popen[bytes]
    processes: Sequence[psutil.Process]
    folder: Path

    @property
    def run(self) -> Path:
        """The run's own folder."""
        return self.folder.parent

    @property
    def guard(self) -> psutil.Process:
        (guard,) = [p for p in psutil.Process(self.pytest.pid).children() if _guards(p)]
        return guard

    def gone(self) -> bool:
        return not self.run.exists() and not any(runs.is_alive(p) for p in self.processes)


def _guards(process: psutil.Process) -> bool:
    return bool("tests.guard" in process.cmdline())


def until(condition: Callable[[], object], what: str) -> None:
    deadline = monotonic() + SECONDS
    while not condition():
        assert monotonic() < deadline, f"still waiting until {what}"
        sleep(0.05)


@contextmanager
def started(told: Path, *options: str) -> Iterator[Started]:
    ours = {runs.VARIABLE, "TMPDIR", "MEMORY_TEST_DATABASE_URL"}
    environment = {
        k: v for k, v in os.environ.items() if k not in ours and not k.startswith("PYTEST_")
    }
    command = [sys.executable, "-m", "pytest", *options, "tests/left_behind.py"]
    with subprocess.Popen(
        command,
        cwd=runs.ROOT,
        env={**environment, "LEFT_BEHIND": str(told)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            until(lambda: told.exists() or process.poll() is not None, "all is started")
            made = json.loads(told.read_text())
            processes = [psutil.Process(pid) for pid in made["processes"]]
            yield Started(process, processes, Path(made["folder"]))
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["one process", "a worker"])
def test_a_killed_run_leaves_nothing_behind(tmp_path: Path, options: Sequence[str]) -> None:
    with started(tmp_path / "told", *options) as run:
        assert not run.gone()
        run.pytest.kill()
        until(run.gone, "the guard has cleaned up")


@pytest.mark.slow
@pytest.mark.postgres
def test_where_the_guard_was_killed_as_well_the_next_run_cleans_up(tmp_path: Path) -> None:
    with started(tmp_path / "told") as run:
        run.guard.kill()
        runs.sweep()
        assert all(map(runs.is_alive, run.processes))  # it still runs
        run.pytest.kill()
        run.pytest.wait()
        runs.sweep()
        assert run.gone()


def test_databases_of_a_killed_run_are_dropped_and_those_of_others_stay(
    databases: Databases, server: str
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    abandoned, owned, foreign = f"{TEST}_{ended.pid}_1", f"{TEST}_1_1", f"{TEST}_of_somebody"
    for name in (abandoned, owned, foreign):
        databases.connection.execute(f"CREATE DATABASE {name}".encode())
    try:
        with psycopg.connect(server) as other:
            other.execute("SELECT pg_advisory_lock(hashtext('memory tests'), 1)")
            databases.drop_abandoned()
            rows = other.execute("SELECT datname FROM pg_database").fetchall()
    finally:
        databases.left.extend(sql.Identifier(name) for name in (owned, foreign))
    found = {name for (name,) in rows}
    assert found & {abandoned, owned, foreign} == {owned, foreign}


def test_what_a_test_leaves_running_is_stopped_and_named() -> None:
    begun = [sys.executable, "-c", _FORGETFUL]
    environment = {k: v for k, v in os.environ.items() if k not in {runs.VARIABLE, "TMPDIR"}}
    done = subprocess.run(
        begun, cwd=runs.ROOT, env=environment, capture_output=True, text=True, check=True
    )
    pid, folder, *said = done.stdout.splitlines()
    assert [line.split()[0] for line in said] == [pid]
    assert not psutil.pid_exists(int(pid))
    assert not Path(folder).exists()


_FORGETFUL = """
import os, subprocess, sys
from tests import runs
run = runs.begin()
left = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(left.pid, run.folder, *run.end(), sep="\\n")
left.wait()
"""
