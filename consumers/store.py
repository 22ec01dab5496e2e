"""Opens a store for a worker; commands and the demo use it."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from itertools import count
from typing import TypeVar

import anyio
import psycopg

from consumers.extraction import Worker, installed_extractors
from consumers.extraction.derivation import ExtractionReport
from consumers.runtime.health import Health, Probe
from extractors.language_model import conflicts
from extractors.language_model.conflicts import ConflictResolver
from extractors.language_model.ledger import AsksModels
from extractors.protocol import ENTRY_POINT_GROUP, Extractor
from memory import migrate, secret_files
from memory.backoff import backoff
from memory.database import Database, DatabaseRole, queries, refused_or_unavailable
from memory.embedding import Embedder, create_embedder
from memory.errors import ConfigurationError, StoreUnavailable
from memory.logins import LoginKind
from memory.settings import Settings

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds between two tries to reach a store that is away, doubling."""

PROBE_TIMEOUT = 3
"""Seconds in which a store has to let a probe in."""


def store_probe(settings: Settings) -> Probe | None:
    """Returns what finds out whether the store answers; None for the embedded one.

    It opens a connection of its own, so it also sees a server that stopped in the middle.
    """
    if not settings.names_primary:
        return None

    def probe() -> None:
        url = secret_files.database_url(settings) or ""
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=PROBE_TIMEOUT) as connection:
                connection.execute(queries.statement("connection.alive"))
        except psycopg.OperationalError as error:
            raise refused_or_unavailable(error) from error

    return probe


@asynccontextmanager
async def worker_database(settings: Settings) -> AsyncIterator[Database]:
    """Opens the store with the worker's role.

    Raises:
        StoreUnavailable, ReadOnlyStore, NotMigrated, NewerSchema, MigrationChanged: as
            `migrate.store_url`.
    """
    url = await migrate.store_url(settings, LoginKind.WORKER)
    async with Database(settings, url, DatabaseRole.WORKER) as database:
        yield database


def for_viewing(settings: Settings) -> Settings:
    """Returns the settings for what only reads: of the standby, if nothing else is named."""
    return (settings.at_standby() if settings.only_reads else None) or settings


@asynccontextmanager
async def operators_view(settings: Settings) -> AsyncIterator[Database]:
    """Opens the store as `worker_database` does, for what only reads: see `for_viewing`.

    Raises:
        StoreUnavailable, NotMigrated, NewerSchema, MigrationChanged: as `migrate.store_url`.
    """
    async with worker_database(for_viewing(settings)) as database:
        yield database


@asynccontextmanager
async def worker_database_and_embedder(
    settings: Settings,
) -> AsyncIterator[tuple[Database, Embedder]]:
    """Opens the store as `worker_database`, with the embedder for memories that a job inserts.

    Raises:
        MissingEmbeddingModel: the embedding model is not installed.
    """
    embedder = create_embedder(settings)
    try:
        async with worker_database(settings) as database:
            yield database, embedder
    finally:
        await embedder.aclose()


def extractors_for(settings: Settings) -> list[Extractor]:
    """Returns every installed extractor.

    Raises:
        ConfigurationError: there is none; progress would move on without making memories.
    """
    found = installed_extractors(settings)
    if not found:
        raise ConfigurationError(
            f"no extractor is installed under {ENTRY_POINT_GROUP!r}; install the package:"
            " pip install experiential-memory, or in a checkout pip install -e ."
        )
    return found


@asynccontextmanager
async def open_worker(
    settings: Settings, progress: Callable[[ExtractionReport], None] = lambda _: None
) -> AsyncIterator[Worker]:
    """Opens a worker with every installed extractor, and a conflict resolver if a model is set.

    Raises:
        ConfigurationError: no extractor is installed.
        MissingEmbeddingModel: the embedding model is not installed.
        StoreUnavailable, NotMigrated: as `worker_database`.
    """
    extractors = extractors_for(settings)
    resolver = conflicts.create(settings)
    try:
        async with worker_database_and_embedder(settings) as (database, embedder):
            yield Worker(database, embedder, extractors, settings, progress, resolver)
    finally:
        for asking in (*extractors, resolver):
            if isinstance(asking, AsksModels | ConflictResolver):
                await asking.aclose()


@asynccontextmanager
async def reached(
    opening: Callable[[], AbstractAsyncContextManager[T]],
    *,
    patient: bool,
    health: Health | None = None,
) -> AsyncIterator[T]:
    """Enters the context of `opening`; if `patient`, waits until the store can be reached.

    A process that follows has to start even while the database is away. Otherwise its supervisor
    gives it up after a few tries.

    Raises:
        StoreUnavailable: the store cannot be reached, and `patient` is false.
    """
    async with AsyncExitStack() as stack:
        yield await _entered(stack, opening, patient, health or Health("command"))


async def _entered(
    stack: AsyncExitStack,
    opening: Callable[[], AbstractAsyncContextManager[T]],
    patient: bool,
    health: Health,
) -> T:
    for attempt in count():
        try:
            health.beat("start")
            entered = await stack.enter_async_context(opening())
        except StoreUnavailable as error:
            if not patient:
                raise
            logger.warning("waiting for the store: %s", error, extra={"event": "store_away"})
            health.waits("store", error)
        else:
            health.end("start")
            return entered
        await anyio.sleep(backoff(attempt, first=FIRST_WAIT, longest=LONGEST_WAIT))
    raise AssertionError("unreachable")
