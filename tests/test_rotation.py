"""Passwords that change while processes run: a server with SCRAM, and secrets in files."""

import asyncio
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from benchmarks.chaos.extractors import DigestEmbedder
from consumers.cli.backup import _program
from consumers.ingest.store import IngestStore
from consumers.store import store_probe
from memory import embedded
from memory.bus.kafka_connection import client_options
from memory.client import AsyncMemoryClient, MemoryClient
from memory.database import Database, DatabaseRole
from memory.embedding.openai import OpenAIEmbedder
from memory.errors import (
    BusLoginRefused,
    ConfigurationError,
    LoginRefused,
    PoolExhausted,
    StoreUnavailable,
)
from memory.migrate import migrate
from memory.models import Scope
from memory.settings import KafkaOptions, Settings
from tests.chat import Fault, serving
from tests.ingesting import ANA, Stream, numbered, until
from tests.kafka_topics import kafka_settings
from tests.test_away import killed, said

pytestmark = [pytest.mark.postgres, pytest.mark.not_quick]
EVE = Scope("acme", "eve", "scout", "monday")
LOGIN = "rotating"
SECONDS = 60
FIRST, SECOND = "first-word", "second-word"


@dataclass
class Guarded:
    """A database whose login needs a password, and the file that tells it."""

    owner: str
    file: Path

    @property
    def url(self) -> str:
        return self.file.read_text().strip()

    def write(self, password: str) -> None:
        """Renews the file as an operator's tools do: at once and as a whole."""
        staged = self.file.with_suffix(".new")
        staged.write_text(make_conninfo(self.owner, user=LOGIN, password=password) + "\n")
        staged.rename(self.file)

    def change(self, password: str) -> None:
        """Gives the login another password on the server, and ends its connections."""
        with psycopg.connect(self.owner, autocommit=True) as connection:
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
            connection.execute(statement.format(sql.Identifier(LOGIN), sql.Literal(password)))
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s",
                [LOGIN],
            )

    def settings(self, **more: Any) -> Settings:
        plain: dict[str, Any] = {"database_url_file": self.file, "debounce": 0.0, "pool_max": 4}
        return Settings(**(plain | {"connect_timeout": 3.0} | more))


@pytest.fixture(scope="module")
def owner() -> Iterator[str]:
    """A server of its own, which asks every login but the owner's for a password."""
    directory = Path(tempfile.mkdtemp(prefix="scram-"))
    directory.chmod(0o755)
    try:
        url = embedded.start(directory, {"fsync": "off"})
        with psycopg.connect(url, autocommit=True) as connection:
            (hba,) = connection.execute("SHOW hba_file").fetchone() or ()
            Path(hba).write_text("local all postgres trust\nlocal all all scram-sha-256\n")
            connection.execute("SELECT pg_reload_conf()")
            asyncio.run(migrate(url))
            connection.execute("CREATE ROLE rotating LOGIN IN ROLE memory_client, memory_worker")
        yield url
    finally:
        embedded.stop(directory)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def guarded(owner: str, tmp_path: Path) -> Guarded:
    made = Guarded(owner, tmp_path / "url")
    made.change(FIRST)
    made.write(FIRST)
    return made


async def test_a_pool_connects_with_the_password_that_holds_now(guarded: Guarded) -> None:
    async with Database(guarded.settings(), guarded.url, DatabaseRole.WORKER) as database:
        guarded.change(SECOND)
        guarded.write(SECOND)
        assert await database.fetch(ANA, "log.position") is not None


async def test_a_refused_password_is_said_and_the_renewed_file_ends_it(guarded: Guarded) -> None:
    async with Database(guarded.settings(), guarded.url, DatabaseRole.WORKER) as database:
        guarded.change(SECOND)
        with pytest.raises(LoginRefused, match="password authentication failed"):
            await database.fetch(ANA, "log.position")
        guarded.write(SECOND)
        assert await database.fetch(ANA, "log.position") is not None


def test_an_app_goes_on_with_the_renewed_file(guarded: Guarded) -> None:
    with MemoryClient(guarded.settings(), embedder=DigestEmbedder()) as client:
        client.record(ANA, "I live in Berlin.")
        guarded.change(SECOND)
        with pytest.raises(LoginRefused, match="password authentication failed"):
            client.record(ANA, "I work at Siemens.", id="second")
        guarded.write(SECOND)
        assert client.record(ANA, "I work at Siemens.", id="second").position == 2


def test_a_file_that_is_not_written_as_a_url_shows_its_password_nowhere(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    settings = guarded.settings(connect_timeout=1.0)
    with MemoryClient(settings, embedder=DigestEmbedder()) as client:
        guarded.change(FIRST)
        guarded.file.write_text(f"postgres//{LOGIN}:{FIRST}@db.example/memory")
        for call in (lambda: client.record(ANA, "Hello."), lambda: client.recall(ANA, "Hello?")):
            with pytest.raises(LoginRefused, match="holds no connection string"):
                call()
    with pytest.raises(LoginRefused, match="holds no connection string"):
        IngestStore.open(guarded.owner, settings)
    assert FIRST not in caplog.text


def test_ingestion_reconnects_with_the_renewed_file(guarded: Guarded) -> None:
    began_with, settings = guarded.url, guarded.settings()
    guarded.change(SECOND)
    with pytest.raises(LoginRefused):
        IngestStore.open(began_with, settings)
    guarded.write(SECOND)
    with IngestStore.open(began_with, settings) as store:
        assert store.fetch("dead_letters.waiting", {}) == []


def test_ingestion_waits_for_the_renewed_file_and_says_for_what(
    guarded: Guarded, kafka: str, caplog: pytest.LogCaptureFixture
) -> None:
    bus = kafka_settings(kafka, partitions=1)
    settings = guarded.settings(kafka_servers=bus.kafka_servers, kafka_topic=bus.kafka_topic)
    stream = Stream(settings, guarded.url)
    with stream.running() as ingest:
        stream.send(*numbered(2, EVE))
        until(lambda: ingest.done.appended == 2, "two are applied")
        guarded.change(SECOND)
        stream.send(*numbered(2, EVE, start=3))
        until(lambda: "password authentication failed" in caplog.text, "it says why it waits")
        assert "ingest waits" in caplog.text
        guarded.write(SECOND)
        until(lambda: ingest.done.appended == 4, "four are applied")


def test_a_drain_does_not_wait_for_a_refused_login(guarded: Guarded, kafka: str) -> None:
    bus = kafka_settings(kafka, partitions=1)
    settings = guarded.settings(kafka_servers=bus.kafka_servers, kafka_topic=bus.kafka_topic)
    guarded.change(SECOND)
    with pytest.raises(LoginRefused):
        Stream(settings, guarded.url).drain()


def test_a_health_check_connects_with_the_password_that_holds_now(guarded: Guarded) -> None:
    probe = store_probe(guarded.settings())
    assert probe is not None
    guarded.change(SECOND)
    with pytest.raises(LoginRefused, match="password authentication failed"):
        probe()
    guarded.write(SECOND)
    probe()


def test_a_server_that_a_file_names_is_dumped_by_the_installed_program(tmp_path: Path) -> None:
    assert _program(Settings(database_url_file=tmp_path / "url")) == "pg_dump"


def test_a_refused_login_is_retriable_and_yet_a_fault_of_the_installation() -> None:
    assert LoginRefused.retriable
    assert BusLoginRefused.retriable
    assert issubclass(LoginRefused, ConfigurationError)
    assert issubclass(LoginRefused, StoreUnavailable)


@asynccontextmanager
async def running(guarded: Guarded, *command: str) -> AsyncIterator[Process]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MEMORY_")}
    environment |= {
        "MEMORY_DATABASE_URL_FILE": str(guarded.file),
        "MEMORY_DEBOUNCE": "0",
        "MEMORY_CONNECT_TIMEOUT": "2",
    }
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command, env=environment, stderr=PIPE
    )
    try:
        yield started
    finally:
        await killed(started)


async def test_a_worker_waits_for_the_renewed_file_and_says_for_what(guarded: Guarded) -> None:
    async with running(guarded, "benchmarks.chaos.worker", "extract", "--follow") as worker:
        await said(worker, "following")
        guarded.change(SECOND)
        heard = await said(worker, "extraction waits: ")
        if "password authentication failed" not in heard:  # it was cut off in the middle of a call
            heard += await said(worker, "password authentication failed")
        assert "extraction waits" in heard
        assert "couldn't get a connection" not in heard
        assert "error connecting in" not in heard
        guarded.write(SECOND)
        async with AsyncMemoryClient(guarded.settings(), embedder=DigestEmbedder()) as client:
            receipt = await client.record(ANA, "I moved to Lisbon.")
            found = await client.recall(ANA, "Where?", after=receipt, timeout=SECONDS)
        assert found.fresh
        worker.terminate()
        assert await asyncio.wait_for(worker.wait(), SECONDS) == 0


async def test_a_worker_starts_while_its_password_is_refused(guarded: Guarded) -> None:
    guarded.change(SECOND)
    async with running(guarded, "benchmarks.chaos.worker", "extract", "--follow") as worker:
        heard = await said(worker, "waiting for the store")
        assert "password authentication failed" in heard
        guarded.write(SECOND)
        await said(worker, "following")


async def test_a_command_that_runs_once_ends_with_the_code_of_configuration(
    guarded: Guarded,
) -> None:
    guarded.change(SECOND)
    async with running(guarded, "consumers", "generations") as command:
        assert "password authentication failed" in await said(command, "error: ")
        assert await asyncio.wait_for(command.wait(), SECONDS) == 3


@pytest.mark.parametrize("contents", [None, "", "\n", b"\xff\xfe"])
def test_a_file_without_a_secret_is_named(tmp_path: Path, contents: str | bytes | None) -> None:
    path = tmp_path / "url"
    if contents is not None:
        path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    settings = Settings(database_url_file=path)
    with pytest.raises(ConfigurationError, match=f"no secret can be read from '{path}'"):
        MemoryClient(settings, embedder=DigestEmbedder()).open()


@pytest.mark.parametrize("name", ["database_url", "read_url", "openai_api_key"])
def test_a_secret_is_given_in_one_way(tmp_path: Path, name: str) -> None:
    both: dict[str, Any] = {name: SecretStr("x"), f"{name}_file": tmp_path / "x"}
    with pytest.raises(ConfigurationError, match=f"set one of MEMORY_{name.upper()} and"):
        Settings(**both)


async def test_the_key_of_a_model_is_read_for_each_request(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(FIRST)
    with serving(lambda _: "") as chat:
        settings = Settings(openai_api_key_file=path, openai_base_url=chat.url)
        embedder = OpenAIEmbedder("small@3", settings)
        for key in (FIRST, SECOND):
            path.write_text(key)
            chat.faults.append(Fault(status=401))
            with pytest.raises(ConfigurationError, match="refuses"):
                await embedder.embed(["x"])
        await embedder.aclose()
    assert chat.keys == [FIRST, SECOND]


def test_a_password_of_the_brokers_is_read_for_each_client(tmp_path: Path) -> None:
    path = tmp_path / "password"
    options = KafkaOptions(sasl_plain_username="memory", sasl_plain_password_file=path)
    settings = Settings(kafka_servers=("b:9092",), kafka_options=options)
    for password in (FIRST, SECOND):
        path.write_text(f"{password}\n")
        given = client_options(settings)
        assert given["sasl_plain_password"] == password
        assert "sasl_plain_password_file" not in given
    path.unlink()
    with pytest.raises(BusLoginRefused, match="no secret can be read"):
        client_options(settings)


async def test_a_pool_whose_connections_are_all_in_use_says_so(guarded: Guarded) -> None:
    settings = guarded.settings(pool_max=1, connect_timeout=1.0)
    opening = Database(settings, guarded.url, DatabaseRole.WORKER)
    async with opening as database, database.transaction(ANA):
        with pytest.raises(PoolExhausted, match="all 1 connections are in use"):
            await database.fetch(ANA, "log.position")
