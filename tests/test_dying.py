"""What ends the process that extracts it is set aside, and stops nobody for ever."""

import signal
import subprocess
import sys
from dataclasses import dataclass
from time import monotonic, sleep

import psycopg
import pytest

from benchmarks.chaos.extractors import DigestEmbedder
from extractors.protocol import Extractor, LogSlice, Reading
from memory.client import MemoryClient
from memory.models import Candidate, Scope
from memory.settings import Settings
from tests.conftest import Extraction, Verbatim
from tests.dying import ATTEMPTS, POISON

ANA = Scope("northwind", "ana", "scout")
SECONDS = 60


def test_a_session_that_ends_its_process_is_set_aside(
    settings: Settings, url: str, superuser: psycopg.Connection
) -> None:
    with MemoryClient(settings, embedder=DigestEmbedder()) as client:
        client.record(ANA.in_session("too-much"), POISON)
        client.record(ANA.in_session("next"), "Hello.")
        # Whose fault the first death was is not known; those that follow are counted.
        ends = [work(url, superuser) for _ in range(ATTEMPTS + 2)]
        assert ends == [*[-signal.SIGKILL] * (ATTEMPTS + 1), 0]
        assert client.position(ANA).extracted == 2
    rows = superuser.execute(
        "SELECT session_id, ordinal, attempts, error FROM session_progress ORDER BY 1"
    )
    (following, (poison, through, attempts, error)) = rows.fetchall()
    assert following == ("next", 1, 0, None)
    assert (poison, through, attempts) == ("too-much", 0, ATTEMPTS)
    assert error.startswith("WorkerVanished: ")


def work(url: str, superuser: psycopg.Connection) -> int:
    """What a worker ends with that finds no lease of another."""
    deadline = monotonic() + SECONDS
    leased = "SELECT FROM users WHERE leased_until > now()"
    while superuser.execute(leased).rowcount and monotonic() < deadline:
        sleep(0.05)
    command = [sys.executable, "-m", "tests.dying", url]
    return subprocess.run(command, check=False, timeout=SECONDS).returncode


@dataclass(frozen=True)
class Reader(Verbatim):
    """Reads all of a user, and keeps count."""

    name: str = "reader"
    reading: Reading = Reading.USER
    seen: tuple[list[int], ...] = ([],)

    async def extract(self, log: LogSlice) -> list[Candidate]:
        self.seen[0].append(len(log.interactions))
        return await super().extract(log)


class TestReadingAllOfAUser:
    @pytest.fixture
    def reader(self) -> Reader:
        return Reader(seen=([],))

    @pytest.fixture
    def extractors(self, reader: Reader) -> list[Extractor]:
        return [reader]

    def vanish(self, superuser: psycopg.Connection) -> None:
        """As a worker that took the user and was not heard of again."""
        superuser.execute(
            "UPDATE users SET lease_token = gen_random_uuid(), leased_until = now() - interval '1s'"
        )

    def test_is_noted_where_a_worker_vanished_and_forgotten_once_it_is_done(
        self, client: MemoryClient, worker: Extraction, reader: Reader,
        superuser: psycopg.Connection,
    ) -> None:  # fmt: skip
        client.record(ANA.in_session("s1"), "Hello.")
        self.vanish(superuser)
        worker.drain()
        assert reader.seen[0] == [1]
        rows = superuser.execute("SELECT session_id, crash_count FROM session_progress")
        assert rows.fetchall() == [("s1", 0)]

    def test_is_not_begun_again_once_it_ended_enough_processes(
        self, client: MemoryClient, worker: Extraction, reader: Reader, settings: Settings,
        superuser: psycopg.Connection,
    ) -> None:  # fmt: skip
        client.record(ANA.in_session("s1"), "Hello.")
        superuser.execute(
            "INSERT INTO session_progress (tenant_id, user_id, generation, session_id, crash_count)"
            " SELECT %s, %s, generation, '', %s FROM generations",
            (ANA.tenant, ANA.user, settings.max_attempts),
        )
        worker.drain()
        client.record(ANA.in_session("s1"), "Hello again.")
        worker.drain()
        assert reader.seen[0] == []
        aside = superuser.execute(
            "SELECT session_id, error FROM session_progress WHERE set_aside_at IS NOT NULL"
        )
        ((session, error),) = aside.fetchall()
        assert (session, error[:14]) == ("", "WorkerVanished")
        assert client.position(ANA).extracted == 2
