"""The walk of one session, for tests of stores that are not made by migrating an empty one."""

import asyncio
from datetime import UTC, datetime

from consumers.compaction import compact
from consumers.extraction import Worker
from extractors.explicit import ExplicitExtractor
from extractors.protocol import Extractor
from memory.client import MemoryClient
from memory.database import Database, DatabaseRole
from memory.models import MemoryKind, Scope
from memory.settings import Settings
from tests.conftest import Residence, Verbatim, WordEmbedder

MARCH = datetime(2026, 3, 2, 9, tzinfo=UTC)


def extracted(settings: Settings, embedder: WordEmbedder) -> None:
    """Extracts all that is due in a store with the tests' extractors."""

    async def drain() -> None:
        assert settings.database_url is not None
        url = settings.database_url.get_secret_value()
        async with Database(settings, url, DatabaseRole.WORKER) as database:
            extractors: list[Extractor] = [ExplicitExtractor(), Verbatim(), Residence()]
            done = await Worker(database, embedder, extractors, settings).drain()
            assert done.failures == 0

    asyncio.run(drain())


def walked(settings: Settings, embedder: WordEmbedder, scope: Scope) -> None:
    """The walk of a new session: record, extract, recall, context, compact, retract, forget."""
    session = scope.in_session("walk")
    with MemoryClient(settings, embedder=embedder) as client:
        client.record(session, "I live in Lima now.", id="walk-1", occurred_at=MARCH)
        client.record(session, "I speak Quechua.", id="walk-2", occurred_at=MARCH)
        extracted(settings, embedder)
        found = client.recall(scope, "Where does the user live?", kinds=[MemoryKind.FACT])
        assert "lima" in {item.memory.value for item in found}
        assert "Lima" in client.context(session, "Where does the user live?", budget=400).text
        reports = asyncio.run(compact(settings, embedder=embedder))
        assert {report.job: report.findings for report in reports if report.findings} == {}
        client.retract(session, interactions=["walk-2"], by="ana", reason="a joke")
        extracted(settings, embedder)
        assert "quechua" not in {m.value for m in client.history(scope)}
        client.forget(scope, session="walk")
        assert {m.value for m in client.history(scope)}.isdisjoint({"lima", "quechua"})
        client.forget(scope, user=True)
        assert client.history(scope) == []
