"""Servers whose files are copied: one that archives its log, and those made from a copy of it."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from memory import embedded
from tests.ingesting import until

QUICK = {"fsync": "off", "synchronous_commit": "off", "shared_buffers": "32MB"}


def program(name: str) -> str:
    """A program of the server that comes along, such as `pg_dump`."""
    return str(embedded.programs() / name)


def execute(url: str, text: str) -> list[tuple[object, ...]]:
    """Runs statements as the superuser, past row-level security."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path TO memory, public")
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


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
        _folder(to)
        command = [program("pg_basebackup"), "--checkpoint=fast", "--dbname", self.url]
        subprocess.run([*command, "--pgdata", str(to / "postgres")], check=True, text=True)

    def restore_point(self) -> dict[str, str]:
        """Names this point; returns the setting that recovers to it."""
        execute(self.url, "SELECT pg_create_restore_point('earlier')")
        return {"recovery_target_name": "earlier"}

    def moment(self) -> dict[str, str]:
        """Returns the setting that recovers to what is committed now."""
        ((now,),) = execute(self.url, "SELECT clock_timestamp()")
        return {"recovery_target_time": str(now)}

    def archive_all(self) -> None:
        """Returns once all that was written so far is in the archive."""
        ((name,),) = execute(self.url, "SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
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
    settings = {"primary_conninfo": primary}
    with _from_copy(copy, "standby.signal", settings) as url:
        yield url


@contextmanager
def recovered(copy: Path, archive: Path, target: Mapping[str, str]) -> Iterator[str]:
    """Starts a copy, which recovers to a target and then takes writes."""
    settings = {
        **target,
        "restore_command": f"cp {archive}/%f %p",
        "recovery_target_action": "promote",
    }
    with _from_copy(copy, "recovery.signal", settings) as url:
        until(lambda: execute(url, "SELECT pg_is_in_recovery()") == [(False,)], "it is recovered")
        yield url


@contextmanager
def _from_copy(copy: Path, signal: str, settings: Mapping[str, str]) -> Iterator[str]:
    cluster = copy / "postgres"
    (cluster / signal).touch()
    with (cluster / "postgresql.auto.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    if os.geteuid() == 0:
        account = embedded._system_account()
        for path in (cluster, *cluster.rglob("*")):
            os.lchown(path, account.pw_uid, account.pw_gid)
    with started(copy, {}) as url:
        yield url


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
