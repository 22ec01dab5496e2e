"""The writing side of `benchmarks.speed`: import beside COPY, extraction beside the embedder."""

import statistics
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

import psycopg
from anyio import to_thread
from numpy.typing import NDArray

from benchmarks.speed_floor import BIND
from benchmarks.speed_store import TENANT, Words
from benchmarks.store import fresh_store
from consumers.extraction import Worker, installed_extractors
from consumers.files import Placed
from consumers.importing import import_interactions
from memory import embedded
from memory.client import AsyncMemoryClient
from memory.database import Database, DatabaseRole
from memory.embedding import Embedder, create_embedder
from memory.models import Interaction, InteractionKind, Role, Scope
from memory.settings import Settings

SESSION = 40  # interactions of one session
START = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = (
    "tenant_id, user_id, session_id, ordinal, position, interaction_id, agent_id, private, kind,"
    " role, actor, content, payload, occurred_at, source, content_hash"
)


def interactions(user: str, count: int, seed: int) -> Iterator[Interaction]:
    """One user's made-up messages, by the user and an assistant in turn."""
    for n, text in enumerate(Words(seed).texts(count)):
        yield Interaction(
            scope=Scope(TENANT, user, session=f"{user}-{n // SESSION}"),
            id=f"{user}-{n}",
            kind=InteractionKind.MESSAGE,
            role=Role.ASSISTANT if n % 2 else Role.USER,
            content=text,
            occurred_at=START + timedelta(minutes=n),
        )


async def importing(rows: int, rounds: int) -> dict[str, float]:
    """Interactions a second: the client's import, and COPY into a staging table, then INSERT."""
    imported, copied = [], []
    async with fresh_store() as settings, AsyncMemoryClient(settings) as client:
        url = await to_thread.run_sync(embedded.start, settings.data_dir)
        for n in range(rounds + 1):
            made = list(interactions(f"import-{n}", rows, n))
            began = perf_counter()
            await import_interactions(client, (Placed(i, Path("made-up"), "") for i in made))
            imported.append(rows / (perf_counter() - began))
            made = list(interactions(f"copy-{n}", rows, n))
            began = perf_counter()
            await to_thread.run_sync(_staged, url, made)
            copied.append(rows / (perf_counter() - began))
    ratios = [mine / floor for mine, floor in zip(imported[1:], copied[1:], strict=True)]
    return {
        "import_per_second": round(statistics.median(imported[1:])),
        "copy_per_second": round(statistics.median(copied[1:])),
        "of_copy": round(statistics.median(ratios), 3),
    }


def _staged(url: str, made: Sequence[Interaction]) -> None:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL search_path TO memory, public")
        cursor.execute("SET LOCAL ROLE memory_client")
        cursor.execute(BIND, (TENANT, made[0].scope.user))
        cursor.execute(
            "CREATE TEMPORARY TABLE stage (LIKE interactions INCLUDING DEFAULTS) ON COMMIT DROP"
        )
        with cursor.copy(f"COPY stage ({COLUMNS}) FROM STDIN") as copy:
            for n, i in enumerate(made):
                place = (i.session, n % SESSION + 1, n + 1, i.id, None, False, i.kind.value)
                said = (i.role.value, i.actor, i.content, "{}", i.occurred_at, "client", b"h" * 32)
                copy.write_row((TENANT, i.scope.user, *place, *said))
        cursor.execute(f"INSERT INTO interactions ({COLUMNS}) SELECT {COLUMNS} FROM stage")


class Listening:
    """An embedder that keeps what it was asked, to ask it again alone."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.asked: list[Sequence[str]] = []

    @property
    def name(self) -> str:
        """As the embedder's own."""
        return self._embedder.name

    @property
    def dimensions(self) -> int:
        """As the embedder's own."""
        return self._embedder.dimensions

    async def embed(self, texts: Sequence[str]) -> NDArray[Any]:
        """As the embedder's own."""
        self.asked.append(texts)
        return await self._embedder.embed(texts)

    async def aclose(self) -> None:
        """As the embedder's own."""
        await self._embedder.aclose()


async def extraction(rows: int, users: int = 8) -> dict[str, float]:
    """Interactions a second with the offline extractors, and the share of it that is embedding."""
    async with fresh_store(debounce=0.0) as settings:
        packaged = create_embedder(settings)
        listening = Listening(packaged)
        async with AsyncMemoryClient(settings, embedder=listening) as client:
            for n in range(users):
                await client.record_many(list(interactions(f"user-{n}", rows // users, n)))
        await packaged.embed(["warm up"])
        seconds = await _drained(settings, listening)
        texts = [text for asked in listening.asked for text in asked]
        began = perf_counter()
        for asked in listening.asked:
            await packaged.embed(asked)
        alone = perf_counter() - began
        await packaged.aclose()
    return {
        "interactions_per_second": round(rows / seconds, 1),
        "texts_per_second": round(len(texts) / seconds, 1),
        "embedder_alone_texts_per_second": round(len(texts) / alone, 1),
        "of_embedder": round(alone / seconds, 3),
    }


async def _drained(settings: Settings, embedder: Embedder) -> float:
    url = await to_thread.run_sync(embedded.start, settings.data_dir)
    async with Database(settings, url, DatabaseRole.WORKER) as database:
        worker = Worker(database, embedder, installed_extractors(settings), settings)
        began = perf_counter()
        await worker.drain()
        return perf_counter() - began
