"""A primary and its streaming standby, both with the embedded server."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from memory import embedded
from tests.ingesting import until

QUICK = {"fsync": "off", "synchronous_commit": "off", "shared_buffers": "32MB"}


def rows(url: str, statement: str, *params: object) -> list[tuple[object, ...]]:
    """Runs a statement as the superuser, past row-level security."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path TO memory, public")
        cursor = connection.execute(statement.encode(), params or None)
        return cursor.fetchall() if cursor.description else []


def value(url: str, statement: str, *params: object) -> object:
    ((found,),) = rows(url, statement, *params)
    return found


@dataclass(frozen=True)
class Pair:
    """A primary and its standby, each in a folder of its own."""

    folder: Path
    primary: str

    @property
    def standby(self) -> str:
        return make_conninfo(self.primary, host=str(self._copy / "socket"))

    @property
    def _any_standby(self) -> str:
        """The standby by a database that it always has."""
        return make_conninfo(self.standby, dbname="template1")

    @property
    def _copy(self) -> Path:
        return self.folder / "standby"

    def make_database(self, name: str, template: str = "postgres") -> "Pair":
        """Returns the same servers with another database, a copy of one that nobody uses now."""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(self.primary, dbname="template1", autocommit=True) as connection:
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return Pair(self.folder, make_conninfo(self.primary, dbname=name))

    def write_out(self) -> None:
        """Has the primary send all that it wrote so far."""
        with psycopg.connect(self.primary, autocommit=True) as connection:
            connection.execute("SET synchronous_commit = on")
            connection.execute("SELECT pg_logical_emit_message(true, 'tests', '')")

    def caught_up(self) -> None:
        """Returns once the standby has replayed all that the primary wrote so far."""
        self.write_out()
        end = value(self.primary, "SELECT pg_current_wal_flush_lsn()::text")
        reached = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        until(lambda: value(self._any_standby, reached, end), "the standby has caught up")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Holds the standby where it is."""
        self.caught_up()
        rows(self._any_standby, "SELECT pg_wal_replay_pause()")
        state = "SELECT pg_get_wal_replay_pause_state() = 'paused'"
        until(lambda: value(self._any_standby, state), "replay is paused")
        try:
            yield
        finally:
            with suppress(psycopg.OperationalError):  # the test may have stopped it
                self.resume()

    def resume(self) -> None:
        rows(self._any_standby, "SELECT pg_wal_replay_resume()")

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """Has the standby cancel at once what keeps it from replaying."""
        delay = "max_standby_streaming_delay"
        self._set(f"ALTER SYSTEM SET {delay} = 0")
        until(lambda: value(self.standby, f"SHOW {delay}") == "0", "the standby is impatient")
        yield
        self._set(f"ALTER SYSTEM RESET {delay}")

    def _set(self, statement: str) -> None:
        rows(self._any_standby, statement)
        rows(self._any_standby, "SELECT pg_reload_conf()")

    def start_standby(self) -> None:
        embedded.start(self._copy, {**QUICK, "hot_standby_feedback": "on"})

    def stop_standby(self) -> None:
        embedded.stop(self._copy)

    def copy(self) -> None:
        """Copies the primary's files, to be started as a standby that follows it."""
        self._copy.mkdir(mode=0o755)
        program = embedded._installed_binaries() / "pg_basebackup"
        cluster = self._copy / "postgres"
        options = ["--checkpoint=fast", "--write-recovery-conf", "--dbname", self.primary]
        subprocess.run([str(program), *options, "--pgdata", str(cluster)], check=True)
        if os.geteuid() == 0:
            account = embedded._system_account()
            for path in (cluster, *cluster.rglob("*")):
                os.lchown(path, account.pw_uid, account.pw_gid)


@contextmanager
def streaming() -> Iterator[Pair]:
    """Starts a primary and its standby, and stops both in the end."""
    with tempfile.TemporaryDirectory(prefix="replica-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root the servers' own account must be able to enter
        try:
            pair = Pair(folder, embedded.start(folder / "primary", QUICK))
            pair.copy()
            pair.start_standby()
            yield pair
        finally:
            embedded.stop(folder / "standby")
            embedded.stop(folder / "primary")
