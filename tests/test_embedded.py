"""The embedded server: one a data directory, shared by processes, gone with the last of them."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from memory import embedded
from memory.errors import EmbeddedServerFailed

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
