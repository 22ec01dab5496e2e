"""The worker's side of a store, as commands and the demo open it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from consumers.derivation import Extracted
from consumers.extraction import Worker, installed_extractors
from extractors.protocol import ENTRY_POINT_GROUP, Extractor
from memory import migrate
from memory.database import Database, DatabaseRole, resolve_url
from memory.embedding import create_embedder
from memory.errors import ConfigurationError
from memory.settings import Settings


@asynccontextmanager
async def worker_database(settings: Settings) -> AsyncIterator[Database]:
    """The store as the worker's role sees it; an embedded one is brought up to date.

    Raises:
        StoreUnavailable: the server cannot be reached.
        NotMigrated, NewerSchema, MigrationChanged: the database is not at this release.
    """
    url = await resolve_url(settings)
    if settings.database_url is None:
        await migrate.migrate(url, settings.connect_timeout)
    else:
        await migrate.check(url, settings.connect_timeout)
    async with Database(settings, url, DatabaseRole.WORKER) as database:
        yield database


def extractors_for(settings: Settings) -> list[Extractor]:
    """Every installed extractor.

    Raises:
        ConfigurationError: there is none; progress would move on and leave no memories.
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
    settings: Settings, progress: Callable[[Extracted], None] = lambda _: None
) -> AsyncIterator[Worker]:
    """A worker with every installed extractor.

    Raises:
        ConfigurationError: no extractor is installed.
        MissingEmbeddingModel: memories could not be given vectors.
        StoreUnavailable, NotMigrated: as `worker_database`.
    """
    extractors = extractors_for(settings)
    embedder = create_embedder(settings)
    try:
        async with worker_database(settings) as database:
            yield Worker(database, embedder, extractors, settings, progress)
    finally:
        await embedder.aclose()
