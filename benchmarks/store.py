"""A fresh store for one measurement: its own embedded server, gone afterwards."""

import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from anyio import to_thread

from consumers.extraction import Worker, installed_extractors
from consumers.extraction.derivation import ExtractionReport
from consumers.importing.files import Located
from consumers.importing.importer import import_interactions
from extractors.protocol import Extractor
from memory import embedded, migrate
from memory.client import AsyncMemoryClient
from memory.database import Database, DatabaseRole
from memory.embedding import create_embedder
from memory.settings import Settings


@asynccontextmanager
async def fresh_store(**changes: object) -> AsyncIterator[Settings]:
    """Settings of an empty, migrated store in a temporary directory.

    The directory is entered by the server's own account when run as root, so it is made open.
    """
    with tempfile.TemporaryDirectory(prefix="memory-benchmark-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        url = await to_thread.run_sync(embedded.start, directory)
        try:
            await migrate.migrate(url)
            yield Settings.model_validate({"data_dir": directory, **changes})
        finally:
            await to_thread.run_sync(embedded.stop, directory)


async def fill(
    settings: Settings,
    placed: Iterable[Located],
    extractors: Sequence[Extractor] | None = None,
) -> ExtractionReport:
    """Imports interactions through the client and runs the extractors over them."""
    embedder = create_embedder(settings)
    async with AsyncMemoryClient(settings, embedder=embedder) as client:
        await import_interactions(client, placed)
    url = await to_thread.run_sync(embedded.start, settings.data_dir)
    async with Database(settings, url, DatabaseRole.WORKER) as database:
        chosen = installed_extractors(settings) if extractors is None else extractors
        worker = Worker(database, embedder, chosen, settings)
        extracted = await worker.drain()
    await embedder.aclose()
    return extracted
