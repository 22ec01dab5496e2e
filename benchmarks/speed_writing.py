"""The writing side of `benchmarks.speed`: import beside COPY, extraction beside the embedder.

    python -m benchmarks.speed_writing [--rows 20000] [--rounds 3]

measures it without the rest, in stores of its own, and prints the same JSON.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import psycopg
from anyio import to_thread
from numpy.typing import NDArray

from benchmarks.speed_floor import BIND
from benchmarks.speed_store import TENANT, Words
from benchmarks.store import fresh_store
from consumers.extraction import Worker, installed_extractors
from consumers.extraction.worker import AT_ONCE
from consumers.importing.files import Located
from consumers.importing.importer import import_interactions
from memory import embedded
from memory.client import AsyncMemoryClient
from memory.database import Database, DatabaseRole
from memory.embedding import Embedder, create_embedder
from memory.models import Interaction, InteractionKind, Role, Scope
from memory.settings import Settings

SESSION = 40  # interactions of one session
USERS = 8  # whose interactions are extracted in a round
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
            await import_interactions(client, (Located(i, Path("made-up"), "") for i in made))
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


async def extraction(rows: int, rounds: int) -> dict[str, float]:
    """Interactions a second with the offline extractors, and the share of it that is embedding.

    As many users at once as the command takes, and one at a time, in turn, each of its own users;
    the embedder is then asked the same again alone.
    """
    shares: dict[int, list[float]] = {AT_ONCE: [], 1: []}
    rates: list[tuple[float, float, float]] = []
    async with fresh_store(debounce=0.0) as settings:
        packaged = create_embedder(settings)
        await packaged.embed(["warm up"])
        for n in range(rounds):
            for at_once, found in shares.items():
                users = [f"user-{at_once}-{n}-{u}" for u in range(USERS)]
                texts, seconds, alone = await _extracted(settings, packaged, users, rows, at_once)
                found.append(alone / seconds)
                if at_once == AT_ONCE:
                    rates.append((rows / seconds, texts / seconds, texts / alone))
        await packaged.aclose()
    interactions_, texts_, alone_ = map(statistics.median, zip(*rates, strict=True))
    return {
        "interactions_per_second": round(interactions_, 1),
        "texts_per_second": round(texts_, 1),
        "embedder_alone_texts_per_second": round(alone_, 1),
        "of_embedder": round(statistics.median(shares[AT_ONCE]), 3),
        "of_embedder_one_user_at_a_time": round(statistics.median(shares[1]), 3),
    }


async def _extracted(
    settings: Settings, packaged: Embedder, users: Sequence[str], rows: int, at_once: int
) -> tuple[int, float, float]:
    """Texts embedded, the seconds extraction took, and those the embedder takes alone."""
    listening = Listening(packaged)
    async with AsyncMemoryClient(settings, embedder=listening) as client:
        for seed, user in enumerate(users):
            await client.record_many(list(interactions(user, rows // len(users), seed)))
    seconds = await _drained(settings, listening, at_once)
    began = perf_counter()
    for asked in listening.asked:
        await packaged.embed(asked)
    return sum(map(len, listening.asked)), seconds, perf_counter() - began


async def _drained(settings: Settings, embedder: Embedder, at_once: int) -> float:
    url = await to_thread.run_sync(embedded.start, settings.data_dir)
    async with Database(settings, url, DatabaseRole.WORKER) as database:
        worker = Worker(database, embedder, installed_extractors(settings), settings)
        began = perf_counter()
        await worker.drain(at_once=at_once)
        return perf_counter() - began


async def writing(rows: int, rounds: int) -> dict[str, dict[str, float]]:
    """Both, of so many interactions a round; extraction, which is slow, of a tenth."""
    return {
        "importing": await importing(rows, rounds),
        "extraction": await extraction(rows // 10, rounds),
    }


def main() -> None:
    """Measures, and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=20_000, help="interactions written in a round")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    sys.stdout.write(json.dumps(anyio.run(writing, args.rows, args.rounds), indent=2) + "\n")


if __name__ == "__main__":
    main()
