"""Moving a store to another embedder while the old one serves."""

from collections.abc import Sequence

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray

from consumers.operations.reembedding import Reembedding
from memory.client import AsyncMemoryClient, MemoryClient
from memory.database import Database
from memory.errors import EmbedderMismatch, WrongDimension
from memory.models import Scope
from memory.settings import Settings
from tests.conftest import Extraction, WordEmbedder

ANA = Scope("acme", "ana", session="s1")
BEN = Scope("acme", "ben", session="s1")


class WiderEmbedder(WordEmbedder):
    """Another name and another dimension; `fails_after` texts it stops answering."""

    name = "words-128"
    dimensions = 128

    def __init__(self, fails_after: int | None = None) -> None:
        self.left = fails_after

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.left is not None:
            self.left -= len(texts)
            if self.left < 0:
                raise ConnectionError("no answer")
        return await super().embed(texts)


@pytest.fixture
def filled(client: MemoryClient, worker: Extraction) -> MemoryClient:
    for scope in (ANA, BEN):
        for n in range(5):
            client.record(scope, f"I speak language{n}, and my user is {scope.user}.")
    worker.drain()
    return client


def vectors(superuser: psycopg.Connection) -> dict[tuple[str, int], int]:
    rows = superuser.execute(
        "SELECT name, vector_dims(vector), count(*) FROM embeddings JOIN embedders"
        " USING (embedder_id) GROUP BY 1, 2"
    )
    return {(name, dimensions): n for name, dimensions, n in rows}


@pytest.mark.usefixtures("filled")
async def test_the_new_embedder_serves_once_its_vectors_are_complete(
    database: Database, settings: Settings, superuser: psycopg.Connection
) -> None:
    async with database:
        done = await Reembedding(database, WiderEmbedder(), batch=3).run()
    assert (done.memories, done.users, done.replaced) == (20, 4, "words-64")
    assert vectors(superuser) == {("words-64", 64): 20, ("words-128", 128): 20}
    async with AsyncMemoryClient(settings, embedder=WiderEmbedder()) as moved:
        found = await moved.recall(ANA, "language3", k=1)
        assert "language3" in found.items[0].memory.text
    with pytest.raises(EmbedderMismatch, match="words-128"):
        await AsyncMemoryClient(settings, embedder=WordEmbedder()).open()


async def test_the_old_one_serves_until_then_and_an_interrupted_run_goes_on(
    filled: MemoryClient, database: Database, settings: Settings, superuser: psycopg.Connection
) -> None:
    async with database:
        with pytest.raises(ConnectionError):
            await Reembedding(database, WiderEmbedder(fails_after=7), batch=3).run()
        assert vectors(superuser) == {("words-64", 64): 20, ("words-128", 128): 6}
        assert len(filled.recall(ANA, "language3")) > 0
        with pytest.raises(EmbedderMismatch):
            await AsyncMemoryClient(settings, embedder=WiderEmbedder()).open()
        done = await Reembedding(database, WiderEmbedder(), batch=3).run(drop_old=True)
    assert done.memories == 14
    assert vectors(superuser) == {("words-128", 128): 20}


async def test_an_embedder_does_not_change_its_dimension(database: Database) -> None:
    class Narrower(WiderEmbedder):
        dimensions = 32

    async with database:
        await Reembedding(database, WiderEmbedder()).run()
        with pytest.raises(WrongDimension, match="128 dimensions, configured are 32"):
            await Reembedding(database, Narrower()).run()


async def test_a_worker_of_the_old_embedder_is_turned_away_afterwards(
    filled: MemoryClient, worker: Extraction, database: Database, superuser: psycopg.Connection
) -> None:
    async with database:
        await Reembedding(database, WiderEmbedder()).run()
    filled.record(ANA, "I speak Basque.")
    with pytest.raises(EmbedderMismatch):
        worker.drain()
    assert vectors(superuser) == {("words-64", 64): 20, ("words-128", 128): 20}
