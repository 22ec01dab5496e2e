"""A Postgres server whose processes can be stopped: it accepts, and answers nothing."""

import asyncio
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from memory import embedded
from memory.migrate import migrate


@dataclass(frozen=True)
class Stopped:
    """A server of its own whose processes can be stopped and let go on."""

    url: str

    def processes(self) -> list[psutil.Process]:
        postmaster = psutil.Process(self.postmaster())
        return [postmaster, *postmaster.children(recursive=True)]

    def postmaster(self) -> int:
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
        assert row is not None
        return int(str(row[0]).split()[0])

    @contextmanager
    def paused(self) -> Iterator[None]:
        stopped = self.processes()
        self.send(stopped, signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(stopped, signal.SIGCONT)

    def send(self, processes: Sequence[psutil.Process], number: int) -> None:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


@contextmanager
def own_server() -> Iterator[Stopped]:
    """A migrated server that nobody else uses."""
    directory = Path(tempfile.mkdtemp(prefix="stopped-"))
    directory.chmod(0o755)
    url = embedded.start(directory, {"fsync": "off"})
    try:
        asyncio.run(migrate(url))
        yield Stopped(url)
    finally:
        embedded.stop(directory)
