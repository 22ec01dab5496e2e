"""A real Postgres that can be killed like a machine, and comes back on the same data."""

import contextlib
import os
import signal
from pathlib import Path
from random import Random

import psycopg
from psycopg.conninfo import make_conninfo

from memory import embedded

DATABASE = "chaos"
# Durable on purpose: what a commit promised must be there after the kill.
OPTIONS = {"fsync": "on", "synchronous_commit": "on", "shared_buffers": "256MB"}


class KillablePostgres:
    """The embedded server of a directory, with a database of its own for the run."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def start(self) -> str:
        """Starts the server, makes the database where it is not there, and returns its URL."""
        server = embedded.start(self._directory, OPTIONS)
        with psycopg.connect(server, autocommit=True) as connection:
            known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
            if known.rowcount == 0:
                connection.execute(f"CREATE DATABASE {DATABASE}".encode())
        return make_conninfo(server, dbname=DATABASE)

    @property
    def socket(self) -> str:
        """The Unix socket it listens on."""
        return str(self._directory / "socket" / ".s.PGSQL.5432")

    def kill(self) -> None:
        """Ends the server and all of its backends at once, as when the machine dies."""
        processes = [self._pid(), *_children(self._pid())]
        for pid in processes:
            _kill(pid)

    def kill_backend(self, rng: Random) -> bool:
        """Ends one backend; the server then ends all others and recovers. False: none is there."""
        backends = [pid for pid in _children(self._pid()) if _serves_a_client(pid)]
        if backends:
            _kill(rng.choice(backends))
        return bool(backends)

    def restart(self) -> None:
        """Starts it again after `kill`; returns once it has recovered."""
        embedded.stop(self._directory)  # forgets the dead one
        self.start()

    def stop(self) -> None:
        """Stops it in order."""
        embedded.stop(self._directory)

    def _pid(self) -> int:
        file = self._directory / "postgres" / "postmaster.pid"
        return int(file.read_text(encoding="utf-8").split("\n", 1)[0])


def _children(pid: int) -> list[int]:
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _serves_a_client(pid: int) -> bool:
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return title.startswith(b"postgres: postgres " + DATABASE.encode())


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
