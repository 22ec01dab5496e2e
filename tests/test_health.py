"""Health: a loop that hangs is seen, a server that is away is waited for."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from pydantic import SecretStr

from benchmarks.broker import free_port
from consumers.extraction import Worker
from consumers.extraction import worker as extraction
from consumers.ingest.options import IngestOptions
from consumers.ingest.reading import Reader
from consumers.ingest.running import Ingest
from consumers.runtime import health as rooms
from consumers.runtime.health import Health, HealthAddress, answering
from consumers.store import store_probe
from extractors.protocol import LogSlice
from memory.client import MemoryClient
from memory.database import Database, DatabaseRole
from memory.errors import BusUnavailable, ConfigurationError, StoreUnavailable
from memory.models import Candidate, Scope
from memory.settings import Settings
from tests.conftest import Verbatim, WordEmbedder
from tests.ingesting import DEADLINE, Stream, said, until
from tests.kafka_topics import kafka_settings
from tests.stopped import Stopped, own_server

ANA = Scope("northwind", "ana", "scout", "s1")
LATE = 0.3
"""Seconds that a loop may take for a step here."""


def asked(port: int, path: str) -> tuple[int, dict[str, Any]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def away() -> None:
    raise StoreUnavailable("connection refused")


class TestAnswers:
    def late(self, health: Health) -> None:
        health.beat("loop", within=-1.0)

    def test_a_loop_in_time_is_well(self) -> None:
        health = Health("ingest")
        health.beat()
        assert health.healthz()[0] == 200
        assert health.readyz() == (503, health.readyz()[1] | {"status": "starting"})
        health.works()
        assert health.readyz()[1]["status"] == "ready"

    def test_a_loop_that_is_late_hangs(self) -> None:
        health = Health("ingest", lambda: None)
        health.works()
        self.late(health)
        for status, body in (health.healthz(), health.readyz()):
            assert (status, body["status"], body["hung"]) == (503, "hung", ["loop"])
        health.beat()
        assert health.healthz()[0] == 200

    def test_a_loop_that_ended_is_not_expected(self) -> None:
        health = Health("ingest")
        self.late(health)
        health.end()
        assert health.healthz()[0] == 200

    def test_late_while_the_store_is_away_is_waiting(self) -> None:
        health = Health("ingest", away)
        health.works()
        self.late(health)
        assert health.healthz()[0] == 200
        status, body = health.readyz()
        assert (status, body["status"]) == (503, "waiting")
        assert body["waits"] == {"for": "store", "why": "connection refused"}

    def test_says_what_waits_and_why_until_it_works(self) -> None:
        health = Health("ingest")
        health.beat()
        health.waits("brokers", BusUnavailable("nobody at kafka:9092"))
        status, body = health.readyz()
        assert (status, body["waits"]["for"]) == (503, "brokers")
        assert body["waits"]["why"] == "nobody at kafka:9092"
        well, body = health.healthz()
        assert (well, body["waits"]["for"]) == (200, "brokers")
        health.works()
        assert health.readyz()[0] == 200

    def test_the_store_is_asked_seldom(self) -> None:
        asked_for = []
        health = Health("ingest", lambda: asked_for.append(1))
        for _ in range(20):
            health.readyz()
        assert asked_for == [1]


class TestServing:
    def test_answers_over_http_until_it_ends(self) -> None:
        health, port = Health("ingest"), free_port()
        with answering(health, HealthAddress(port=port)):
            assert asked(port, "/healthz?verbose") == health.healthz()
            assert asked(port, "/readyz")[0] == 503
            assert asked(port, "/metrics")[0] == 404
        with pytest.raises(ConnectionRefusedError):
            asked(port, "/healthz")

    def test_a_port_in_use_is_named(self) -> None:
        address = HealthAddress(port=free_port())
        refused = pytest.raises(ConfigurationError, match=str(address.port))
        with answering(Health("one"), address), refused, answering(Health("two"), address):
            pass

    def test_nobody_listens_unless_told_to(self) -> None:
        before = threading.active_count()
        with answering(Health("one"), HealthAddress()):
            assert threading.active_count() == before


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops may take no longer than a moment for a step, and the store is asked each time."""
    monkeypatch.setattr(rooms, "STEP_SECONDS", LATE)
    monkeypatch.setattr(rooms, "PROBE_SECONDS", 0.0)
    for name in ("LATE_SECONDS", "USER_SECONDS"):
        monkeypatch.setattr(extraction, name, LATE)
    monkeypatch.setattr(extraction, "TICK_SECONDS", LATE / 10)


@contextmanager
def ingesting(settings: Settings, url: str, health: Health) -> Iterator[None]:
    ingest = Ingest(settings, lambda: url, IngestOptions(group=settings.kafka_topic), health=health)
    thread = threading.Thread(target=ingest.run)
    thread.start()
    try:
        yield
    finally:
        ingest.stop()
        thread.join(DEADLINE)
        assert not thread.is_alive()


def of(answer: Callable[[], tuple[int, dict[str, Any]]], status: str) -> Callable[[], bool]:
    return lambda: answer()[1]["status"] == status


class TestIngest:
    @pytest.fixture
    def stream(self, kafka: str, url: str) -> Stream:
        return Stream(kafka_settings(kafka, url, partitions=1), url)

    def test_a_loop_that_blocks_is_not_healthy(
        self, stream: Stream, monkeypatch: pytest.MonkeyPatch, hasty: None
    ) -> None:
        blocked, read = threading.Event(), Reader.read

        def blocking(self: Reader, record: Any) -> Any:
            blocked.wait(DEADLINE)
            return read(self, record)

        health = Health("ingest", store_probe(stream.settings))
        with ingesting(stream.settings, stream.url, health):
            monkeypatch.setattr(rooms, "STEP_SECONDS", DEADLINE)  # joining a group takes longer
            until(of(health.readyz, "ready"), "it works")
            assert health.readyz()[1]["partitions"] in ([], [0])
            until(lambda: health.about["partitions"] == [0], "it has its partition")
            monkeypatch.setattr(rooms, "STEP_SECONDS", 2.0)
            until(lambda: health._beats["loop"].limit == 2.0, "the new limit holds")
            monkeypatch.setattr(Reader, "read", blocking)
            stream.send(said("m1"))
            until(of(health.healthz, "hung"), "it is seen to hang")
            assert health.healthz()[0] == health.readyz()[0] == 503
            blocked.set()
            until(of(health.healthz, "ok"), "it goes on")
            until(lambda: len(stream.log()) == 1, "the message is in the log")

    @pytest.mark.slow
    def test_brokers_that_are_away_are_waited_for(self, url: str) -> None:
        nobody = (f"127.0.0.1:{free_port()}",)
        settings = Settings(database_url=SecretStr(url), kafka_servers=nobody)
        health = Health("ingest", store_probe(settings))
        with ingesting(settings, url, health):
            until(of(health.readyz, "waiting"), "it says that it waits")
            waits = health.readyz()[1]["waits"]
            assert (waits["for"], nobody[0] in waits["why"]) == ("brokers", True)
            assert health.healthz()[0] == 200


@pytest.fixture
def server_to_stop() -> Iterator[Stopped]:
    with own_server() as server:
        yield server


@dataclass(frozen=True)
class Blocking(Verbatim):
    """Holds up the event loop until it is told to go on."""

    go_on: threading.Event = field(default_factory=threading.Event)

    async def extract(self, log: LogSlice) -> list[Candidate]:
        self.go_on.wait(DEADLINE)
        return await super().extract(log)


@contextmanager
def extracting(settings: Settings, url: str, extractor: Any, health: Health) -> Iterator[None]:
    with start_blocking_portal() as portal:
        database = Database(settings, url, DatabaseRole.WORKER)
        with portal.wrap_async_context_manager(database):
            worker = Worker(database, WordEmbedder(), [extractor], settings)
            worker.health = health
            following = portal.start_task_soon(worker.follow)
            try:
                yield
            finally:
                following.cancel()


class TestExtraction:
    def test_an_event_loop_that_blocks_is_not_healthy(
        self, client: MemoryClient, settings: Settings, url: str, hasty: None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(extraction, "USER_SECONDS", DEADLINE)
        monkeypatch.setattr(extraction, "LATE_SECONDS", 2.0)
        extractor, health = Blocking(), Health("x", store_probe(settings))
        with extracting(settings, url, extractor, health):
            until(of(health.readyz, "ready"), "it works")
            client.record(ANA, "Hello.")
            until(of(health.healthz, "hung"), "it is seen to hang")
            assert health.healthz()[1]["hung"] == ["event loop"]
            extractor.go_on.set()
            until(of(health.healthz, "ok"), "it goes on")

    @pytest.mark.slow
    def test_a_server_that_stopped_is_waited_for(
        self, server_to_stop: Stopped, hasty: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("consumers.runtime.wakeups.POLL_SECONDS", LATE / 3)
        monkeypatch.setattr(extraction, "USER_SECONDS", 3.0)
        settings = Settings(database_url=SecretStr(server_to_stop.url), debounce=0.0)
        health = Health("extract", store_probe(settings))
        with extracting(settings, server_to_stop.url, Verbatim(), health):
            until(of(health.readyz, "ready"), "it works")
            with server_to_stop.paused():
                until(lambda: bool(health._late()), "a loop is late")
                status, body = health.readyz()
                assert (status, body["status"], body["waits"]["for"]) == (503, "waiting", "store")
                assert health.healthz()[0] == 200
            until(of(health.readyz, "ready"), "it works again")


def test_the_command_answers_on_the_port_that_is_set(url: str) -> None:
    port = free_port()
    given = {"MEMORY_DATABASE_URL": url, "MEMORY_HEALTH_PORT": str(port)}
    command = [sys.executable, "-m", "consumers", "changes", "publish", "--follow", "--to", "-"]
    process = subprocess.Popen(command, env={**os.environ, **given}, stderr=subprocess.DEVNULL)
    try:
        until(lambda: answered(port) == 200, "it is ready")
        assert asked(port, "/healthz")[1]["process"] == "changes publish"
    finally:
        process.terminate()
        assert process.wait(DEADLINE) == 0


def answered(port: int) -> int | None:
    try:
        return asked(port, "/readyz")[0]
    except ConnectionRefusedError:
        return None
