"""Servers whose files are copied: those that archive their log, and standbys made from copies."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from memory import embedded
from tests.ingesting import until

QUICK = {"fsync": "off", "synchronous_commit": "off", "shared_buffers": "32MB"}


def program(name: str) -> str:
    """A program of the server that comes along, such as `pg_dump`."""
    return str(embedded.programs() / name)


def execute(url: str, text: str, *params: object) -> list[tuple[object, ...]]:
    """Runs statements as the superuser, past row-level security; one alone if it has params."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path TO memory, public")
        cursor = connection.execute(text.encode(), params or None)
        return cursor.fetchall() if cursor.description else []


def value(url: str, text: str, *params: object) -> object:
    """Returns the one value that a statement finds."""
    ((found,),) = execute(url, text, *params)
    return found


def base_backup(url: str, to: Path) -> None:
    """Copies the running server's files."""
    _folder(to)
    command = [program("pg_basebackup"), "--checkpoint=fast", "--dbname", url]
    subprocess.run([*command, "--pgdata", str(to / "postgres")], check=True, text=True)


@dataclass(frozen=True)
class Archived:
    """A server in `folder` that archives its write-ahead log to `folder/archive`."""

    folder: Path
    url: str

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    def base_backup(self, to: Path) -> None:
        """Copies the running server's files."""
        base_backup(self.url, to)

    def restore_point(self) -> dict[str, str]:
        """Names this point; returns the setting that recovers to it."""
        execute(self.url, "SELECT pg_create_restore_point('earlier')")
        return {"recovery_target_name": "earlier"}

    def moment(self) -> dict[str, str]:
        """Returns the setting that recovers to what is committed now."""
        now = value(self.url, "SELECT clock_timestamp()")
        return {"recovery_target_time": str(now)}

    def archive_all(self) -> None:
        """Returns once all that was written so far is in the archive."""
        name = value(self.url, "SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
        execute(self.url, "SELECT pg_switch_wal()")
        until((self.archive / str(name)).exists, f"{name} is archived")


@contextmanager
def archiving(folder: Path) -> Iterator[Archived]:
    """Starts a server that archives, and stops it in the end."""
    with started(folder, {"archive_mode": "on"}) as url:
        _folder(folder / "archive", folder / "postgres")
        command = (
            f"cp %p {folder}/archive/%f.part && mv {folder}/archive/%f.part {folder}/archive/%f"
        )
        execute(url, f"ALTER SYSTEM SET archive_command = '{command}'")
        execute(url, "SELECT pg_reload_conf()")
        yield Archived(folder, url)


@contextmanager
def standby(copy: Path, primary: str) -> Iterator[str]:
    """Starts a copy as a standby that follows the primary."""
    _follow(copy, primary)
    with started(copy, {}) as url:
        yield url


@contextmanager
def recovered(copy: Path, archive: Path, target: Mapping[str, str]) -> Iterator[str]:
    """Starts a copy, which recovers to a target and then takes writes."""
    settings = {
        **target,
        "restore_command": f"cp {archive}/%f %p",
        "recovery_target_action": "promote",
    }
    _configure(copy, "recovery.signal", settings)
    with started(copy, {}) as url:
        until(lambda: not value(url, "SELECT pg_is_in_recovery()"), "it is recovered")
        yield url


def _follow(copy: Path, primary: str) -> None:
    """Makes a copy a standby that follows the primary, once it is started."""
    _configure(copy, "standby.signal", {"primary_conninfo": primary})


def _configure(copy: Path, signal: str, settings: Mapping[str, str]) -> None:
    """Says how a copy recovers, and gives its files to the server's account."""
    cluster = copy / "postgres"
    (cluster / signal).touch()
    with (cluster / "postgresql.auto.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    if os.geteuid() == 0:
        account = embedded._system_account()
        for path in (cluster, *cluster.rglob("*")):
            os.lchown(path, account.pw_uid, account.pw_gid)


@contextmanager
def started(folder: Path, options: Mapping[str, str]) -> Iterator[str]:
    """Starts the server of a folder, and stops it in the end."""
    try:
        yield embedded.start(folder, {**QUICK, **options})
    finally:
        embedded.stop(folder)


def _folder(path: Path, like: Path | None = None) -> None:
    """Makes a folder that the server's account may enter, and own where it is `like` another."""
    path.mkdir(mode=0o755, parents=True)
    if like is not None:
        os.chown(path, like.stat().st_uid, like.stat().st_gid)


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
        execute(self._any_standby, "SELECT pg_wal_replay_pause()")
        state = "SELECT pg_get_wal_replay_pause_state() = 'paused'"
        until(lambda: value(self._any_standby, state), "replay is paused")
        try:
            yield
        finally:
            with suppress(psycopg.OperationalError):  # the test may have stopped it
                self.resume()

    def resume(self) -> None:
        execute(self._any_standby, "SELECT pg_wal_replay_resume()")

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """Has the standby cancel at once what keeps it from replaying."""
        delay = "max_standby_streaming_delay"
        self._set(f"ALTER SYSTEM SET {delay} = 0")
        until(lambda: value(self.standby, f"SHOW {delay}") == "0", "the standby is impatient")
        yield
        self._set(f"ALTER SYSTEM RESET {delay}")

    def _set(self, statement: str) -> None:
        execute(self._any_standby, statement)
        execute(self._any_standby, "SELECT pg_reload_conf()")

    def start_standby(self) -> None:
        embedded.start(self._copy, {**QUICK, "hot_standby_feedback": "on"})

    def stop_standby(self) -> None:
        embedded.stop(self._copy)

    def copy(self) -> None:
        """Copies the primary's files, to be started as a standby that follows it."""
        base_backup(self.primary, self._copy)
        _follow(self._copy, self.primary)


@contextmanager
def streaming() -> Iterator[Pair]:
    """Starts a primary and its standby, and stops both in the end."""
    with tempfile.TemporaryDirectory(prefix="replica-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root the servers' own account must be able to enter
        with started(folder / "primary", {}) as url:
            pair = Pair(folder, url)
            try:
                pair.copy()
                pair.start_standby()
                yield pair
            finally:
                pair.stop_standby()
