"""Clients that are not open, that a fork took from their process, and that nobody closed."""

import os
import subprocess
import sys
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from memory.client import AsyncMemoryClient, MemoryClient
from memory.embedding import Embedder
from memory.errors import ClientNotOpen
from memory.settings import Settings
from tests.ingesting import ANA, until

pytestmark = pytest.mark.postgres

VERBS: list[Callable[[Any], Any]] = [
    lambda client: client.record(ANA, "Hello."),
    lambda client: client.context(ANA, "What?"),
    lambda client: client.recall(ANA, "What?"),
    lambda client: client.remember(ANA, "Likes tea."),
    lambda client: client.forget(ANA, user=True),
    lambda client: client.history(ANA),
    lambda client: client.position(ANA),
    lambda client: client.state.get(ANA),
]

NEVER_CLOSED = """
import asyncio, sys
from pydantic import SecretStr
from memory.client import AsyncMemoryClient, MemoryClient
from memory.settings import Settings
from tests.conftest import WordEmbedder

settings = Settings(database_url=sys.argv[2])
nobody_listens = "postgresql://postgres@127.0.0.1:1/postgres"

async def opened():
    client = AsyncMemoryClient(settings, embedder=WordEmbedder())
    await client.open()
    return client

def on_a_loop_of_its_own():
    loop = asyncio.new_event_loop()
    loop.run_until_complete(opened())
    loop.close()

def with_its_standby_away():
    global settings
    settings = settings.model_copy(update={"read_url": SecretStr(nobody_listens)})
    on_a_loop_of_its_own()

def blocking():
    client = MemoryClient(settings, embedder=WordEmbedder())
    client.open()

def kept():
    global client
    client = MemoryClient(settings, embedder=WordEmbedder())
    client.open()

{"async": lambda: asyncio.run(opened()), "loop": on_a_loop_of_its_own,
 "away": with_its_standby_away, "blocking": blocking, "kept": kept}[sys.argv[1]]()
"""


async def raised(call: Callable[[], Awaitable[object]]) -> str:
    with pytest.raises(ClientNotOpen) as found:
        await call()
    return str(found.value)


NAMED = "SELECT pid FROM pg_stat_activity WHERE application_name = 'opened twice'"


def named(settings: Settings) -> Settings:
    return settings.model_copy(update={"application_name": "opened twice"})


async def test_an_async_client_that_is_opened_twice_leaves_no_connection(
    settings: Settings, embedder: Embedder, superuser: psycopg.Connection
) -> None:
    client = AsyncMemoryClient(named(settings), embedder=embedder)
    await client.open()
    async with client:
        await client.position(ANA)
    until(lambda: not superuser.execute(NAMED).fetchall(), "its connections are closed")


def test_a_client_that_is_opened_twice_leaves_no_connection(
    settings: Settings, embedder: Embedder, superuser: psycopg.Connection
) -> None:
    client = MemoryClient(named(settings), embedder=embedder)
    client.open()
    with client:
        client.position(ANA)
    until(lambda: not superuser.execute(NAMED).fetchall(), "its connections are closed")


@pytest.mark.parametrize("verb", VERBS)
async def test_an_async_client_says_why_it_takes_no_call(
    settings: Settings, embedder: Embedder, verb: Callable[[Any], Awaitable[object]]
) -> None:
    client = AsyncMemoryClient(settings, embedder=embedder)
    assert "was never opened" in await raised(lambda: verb(client))
    async with client:
        pass
    assert "is closed" in await raised(lambda: verb(client))


@pytest.mark.parametrize("verb", VERBS)
def test_a_blocking_client_says_why_it_takes_no_call(
    settings: Settings, embedder: Embedder, verb: Callable[[Any], object]
) -> None:
    client = MemoryClient(settings, embedder=embedder)
    with pytest.raises(ClientNotOpen, match="was never opened"):
        verb(client)
    with client:
        pass
    with pytest.raises(ClientNotOpen, match="is closed"):
        verb(client)


async def test_closing_again_does_nothing(settings: Settings, embedder: Embedder) -> None:
    client = AsyncMemoryClient(settings, embedder=embedder)
    await client.close()
    await client.open()
    await client.close()
    await client.close()


def in_a_child(work: Callable[[], object]) -> str:
    """What `work` raises in a forked process; the test's own process stays as it is."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads run: that is the point
        child = os.fork()
    if child == 0:
        said = "nothing"
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the parent looks at it
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


@pytest.mark.parametrize("verb", VERBS)
def test_a_blocking_client_of_the_parent_says_so_in_the_child(
    client: MemoryClient, verb: Callable[[Any], object]
) -> None:
    said = in_a_child(lambda: verb(client))
    assert said.startswith("ClientNotOpen: the client was opened before this process was forked")
    assert in_a_child(client.close) == "nothing"
    assert client.record(ANA, "Still there.").position == 1


async def test_an_async_client_of_the_parent_says_so_in_the_child(
    settings: Settings, embedder: Embedder
) -> None:
    def call(client: AsyncMemoryClient) -> None:
        client.record(ANA, "Hello.").send(None)

    async with AsyncMemoryClient(settings, embedder=embedder) as client:
        said = in_a_child(lambda: call(client))
        assert said.startswith("ClientNotOpen: the client was opened before this process was fork")
        assert (await client.record(ANA, "Still there.")).position == 1


def test_a_child_opens_a_client_of_its_own(settings: Settings, embedder: Embedder) -> None:
    def work() -> None:
        with MemoryClient(settings, embedder=embedder) as own:
            own.record(ANA, "From the child.")

    with MemoryClient(settings, embedder=embedder) as client:
        assert in_a_child(work) == "nothing"
        assert client.record(ANA, "From the parent.").position == 2


@pytest.mark.parametrize("how", ["async", "loop", "away", "blocking", "kept"])
def test_a_client_that_nobody_closes_gives_one_warning(url: str, how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "default::ResourceWarning", "-c", NEVER_CLOSED, how, url],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Task was destroyed" not in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("MemoryClient open> was never closed") == 1
