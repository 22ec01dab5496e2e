"""The embedded server: one a data directory, shared by processes, gone with the last of them."""

import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from memory import embedded
from memory.client import MemoryClient
from memory.embedding import Embedder
from memory.errors import EmbeddedServerFailed
from memory.settings import Settings
from tests.ingesting import ANA, until

pytestmark = pytest.mark.postgres

JOIN = (
    "import sys; from pathlib import Path; from memory import embedded;"
    "import psycopg; url = embedded.start(Path(sys.argv[1]));"
    "psycopg.connect(url).execute('SELECT 1'); print(url)"
)


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """A data directory of its own, below one that must be left as it is."""
    parent = Path(tempfile.mkdtemp(prefix="memory-embedded-"))
    parent.chmod(0o711)
    yield parent / "data"
    embedded.stop(parent / "data")
    shutil.rmtree(parent)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def setting(url: str, name: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    assert row is not None
    return str(row[0])


class TestSharing:
    def test_the_first_use_makes_a_server(self, directory: Path) -> None:
        url = embedded.start(directory, {"fsync": "off", "work_mem": "5MB"})
        assert setting(url, "work_mem") == "5MB"
        assert int(setting(url, "server_version_num")) >= 160000
        assert setting(url, "listen_addresses") == ""

    def test_again_in_this_process_is_the_same(self, directory: Path) -> None:
        url = embedded.start(directory, {"work_mem": "9MB"})
        assert url == embedded.start(directory)
        assert setting(url, "work_mem") == "5MB"

    def test_another_process_joins_and_leaves_it_running(self, directory: Path) -> None:
        joined = subprocess.run(
            [sys.executable, "-c", JOIN, str(directory)], capture_output=True, text=True, check=True
        )
        assert joined.stdout.strip() == embedded.start(directory)
        assert setting(embedded.start(directory), "work_mem") == "5MB"

    def test_only_its_own_directories_are_private_and_no_other_was_changed(
        self, directory: Path
    ) -> None:
        assert mode(directory.parent) == 0o711
        assert {mode(directory / name) for name in ("postgres", "socket")} == {0o700}

    def test_it_stops_with_the_last_process_and_keeps_its_data(self, directory: Path) -> None:
        url = embedded.start(directory)
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        embedded.stop(directory)
        with pytest.raises(psycopg.OperationalError, match=r"No such file|refused"):
            psycopg.connect(url)
        with psycopg.connect(embedded.start(directory)) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)

    def test_what_it_cannot_start_with_is_said_in_its_own_words(self, directory: Path) -> None:
        embedded.stop(directory)
        with pytest.raises(EmbeddedServerFailed, match="no_such_setting"):
            embedded.start(directory, {"no_such_setting": "1"})
        assert embedded.start(directory)  # the failure holds nothing

    def test_stopping_what_does_not_run_is_no_error(self, tmp_path: Path) -> None:
        embedded.stop(tmp_path)


class TestRefusals:
    def test_a_path_too_long_for_a_socket(self, tmp_path: Path) -> None:
        with pytest.raises(EmbeddedServerFailed, match="too long for a Unix socket"):
            embedded.start(tmp_path / ("x" * 100))
        assert not (tmp_path / ("x" * 100)).exists()

    def test_a_file_in_the_way(self) -> None:
        with (
            tempfile.NamedTemporaryFile() as file,
            pytest.raises(EmbeddedServerFailed, match="cannot use"),
        ):
            embedded.start(Path(file.name))

    @pytest.mark.root
    @pytest.mark.skipif(os.geteuid() != 0, reason="only root starts it under another account")
    def test_as_root_a_directory_that_the_servers_account_cannot_enter(self) -> None:
        with tempfile.TemporaryDirectory() as name:  # made with mode 0700
            with pytest.raises(EmbeddedServerFailed, match=r"cannot enter.*MEMORY_DATA_DIR"):
                embedded.start(Path(name) / "data")
            assert mode(Path(name)) == 0o700


PAUSE = JOIN.replace("print(url)", "print(url, flush=True); import time; time.sleep(600)")
SPAWN = (  # a process that shares its parent's lock, and outlives it
    JOIN.replace("print(url)", "import os, time; pid = os.fork()")
    + "\nif pid: print(url, flush=True); print(pid, flush=True)\ntime.sleep(600)"
)


LEAVE_PARENT = (
    JOIN.replace("print(url)", "import os, time; pid = os.fork()")
    + """
if pid:
    print(url, pid, sep="\\n", flush=True)
    embedded.stop(Path(sys.argv[1]))
    print("left", flush=True)
else:
    time.sleep(600)
"""
)
LEAVE_CHILD = (
    JOIN.replace("print(url)", "import os, time; pid = os.fork()")
    + """
if pid:
    os.waitpid(pid, 0)
    time.sleep(600)
else:
    print(url, os.getppid(), sep="\\n", flush=True)
    embedded.stop(Path(sys.argv[1]))
    print("left", flush=True)
"""
)


@contextmanager
def using(directory: Path, program: str = PAUSE) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A plain script that uses the server of a directory; with the URL it connected to."""
    command = [sys.executable, "-c", program, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as script:
        assert script.stdout is not None
        try:
            yield script, script.stdout.readline().strip()
        finally:
            script.kill()


def answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def postmaster(directory: Path) -> int:
    return int((directory / "postgres" / "postmaster.pid").read_text().split()[0])


@pytest.fixture
def fresh() -> Iterator[Path]:
    """A data directory that no process of this test uses yet."""
    made = Path(tempfile.mkdtemp(prefix="memory-embedded-"))
    made.chmod(0o755)
    yield made
    embedded.stop(made)
    with (made / "in-use.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the watching process has stopped the server
    shutil.rmtree(made, ignore_errors=True)


class TestWatching:
    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
    def test_it_stops_with_a_script_that_is_ended_by_a_signal(
        self, fresh: Path, how: signal.Signals
    ) -> None:
        with using(fresh) as (script, url):
            assert answers(url)
            script.send_signal(how)
        until(lambda: not answers(url), "the server has stopped")
        until(lambda: not (fresh / "postgres" / "postmaster.pid").exists(), "all of it")
        assert embedded.start(fresh) == url  # and is started again by whoever comes next
        assert answers(url)

    def test_it_outlives_a_killed_process_while_another_uses_it(self, fresh: Path) -> None:
        with using(fresh) as (first, url), using(fresh) as (second, _):
            number = postmaster(fresh)
            first.kill()
            first.wait()
            assert answers(url)
            assert postmaster(fresh) == number
            second.kill()
        until(lambda: not answers(url), "the server has stopped")

    def test_a_forked_child_keeps_it(self, fresh: Path) -> None:
        with using(fresh, SPAWN) as (parent, url):
            assert parent.stdout is not None
            child = int(parent.stdout.readline())
            parent.kill()
            parent.wait()
            assert answers(url)
            os.kill(child, signal.SIGKILL)
        until(lambda: not answers(url), "the server has stopped")

    @pytest.mark.parametrize("way", [LEAVE_PARENT, LEAVE_CHILD], ids=["parent", "child"])
    def test_of_two_processes_of_a_fork_either_may_leave(self, fresh: Path, way: str) -> None:
        with using(fresh, way) as (parent, url):
            assert parent.stdout is not None
            number = int(parent.stdout.readline())  # of the process that stays
            assert parent.stdout.readline() == "left\n"
            assert answers(url)
            os.kill(number, signal.SIGKILL)
        until(lambda: not answers(url), "the server has stopped")

    def test_leaving_returns_once_it_has_stopped(self, fresh: Path) -> None:
        for _ in range(5):
            url = embedded.start(fresh)
            embedded.stop(fresh)
            assert not answers(url)


class TestReviving:
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
    def test_a_server_that_was_killed_is_started_again_with_its_options(
        self, fresh: Path, how: signal.Signals
    ) -> None:
        url = embedded.start(fresh, {"work_mem": "7MB"})
        os.kill(postmaster(fresh), how)
        until(lambda: not answers(url), "the server is gone")
        assert embedded.start(fresh) == url
        assert setting(url, "work_mem") == "7MB"

    def test_an_open_client_and_a_new_one_go_on(self, fresh: Path, embedder: Embedder) -> None:
        settings = Settings(data_dir=fresh, database_url=None, connect_timeout=20.0)
        with MemoryClient(settings, embedder=embedder) as old:
            old.record(ANA, "I live in Berlin.")
            os.kill(postmaster(fresh), signal.SIGINT)
            until(lambda: not answers(embedded_url(fresh)), "the server is gone")
            with MemoryClient(settings, embedder=embedder) as new:
                assert new.position(ANA).recorded == 1
            assert old.record(ANA, "I work at Siemens.").position == 2

    def test_an_open_client_alone_goes_on(self, fresh: Path, embedder: Embedder) -> None:
        settings = Settings(data_dir=fresh, database_url=None, connect_timeout=20.0)
        with MemoryClient(settings, embedder=embedder) as client:
            client.record(ANA, "I live in Berlin.")
            os.kill(postmaster(fresh), signal.SIGINT)
            until(lambda: not answers(embedded_url(fresh)), "the server is gone")
            assert client.record(ANA, "I work at Siemens.").position == 2
            assert client.position(ANA).recorded == 2


def embedded_url(directory: Path) -> str:
    return f"postgresql://postgres@/postgres?host={directory / 'socket'}"
