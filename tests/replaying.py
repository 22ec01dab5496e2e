"""Stores with more than one generation: what operators do to them, and what each holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from anyio.from_thread import BlockingPortal, start_blocking_portal

from consumers.extraction import Worker
from consumers.replay.replay import (
    Pace,
    Replay,
    Replayed,
    ReplayFilter,
    begun,
)
from consumers.replay.rollout import shift
from extractors.protocol import Extractor
from memory.client import MemoryClient
from memory.database import Database, DatabaseRole
from memory.embedding import Embedder
from memory.models import Scope
from memory.settings import Settings

ANA = Scope("northwind", "ana", "scout", "s1")
TOM = replace(ANA, user="tom")
EVE = replace(ANA, user="eve")


def day(number: int) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)


def moved(client: MemoryClient, scope: Scope = ANA) -> None:
    """Three messages that make five memories, one of them believed no more."""
    for number, said in enumerate(("I live in Berlin.", "I speak Czech.", "I live in Oslo.")):
        client.record(scope, said, id=f"{scope.user}-{number}", occurred_at=day(number))


@dataclass
class House:
    """A worker's side of a store with what operators do to it."""

    portal: BlockingPortal
    database: Database
    worker: Worker
    settings: Settings

    def drain(self) -> None:
        self.portal.call(self.worker.drain)

    def replay(
        self,
        name: str = "next",
        extractors: list[str] | None = None,
        part: ReplayFilter | None = None,
        pace: Pace | None = None,
    ) -> Replayed:
        async def run() -> Replayed:
            generation = await begun(self.worker, name, extractors)
            return await Replay(
                self.database, self.worker, generation, self.settings, pace=pace
            ).run(part)

        return self.portal.call(run)

    def shift(self, percent: int, name: str = "next") -> None:
        self.portal.call(shift, self.worker, self.settings, name, percent)


@contextmanager
def opened(
    settings: Settings, url: str, embedder: Embedder, extractors: list[Extractor]
) -> Iterator[House]:
    """A house over a store, with these extractors installed."""
    with start_blocking_portal() as portal:
        database = Database(settings, url, DatabaseRole.WORKER)
        with portal.wrap_async_context_manager(database):
            worker = Worker(database, embedder, extractors, settings)
            yield House(portal, database, worker, settings)


CONTENT = """
SELECT m.tenant_id, m.user_id, m.belief_key, m.kind, m.text, m.attribute, m.value, m.subject,
    m.context, m.single_valued, m.agent_id, m.session_id, m.ordinal, m.ordinal_to, m.confidence,
    m.support, m.tokens, m.payload, m.lexemes, m.occurred_at, m.valid_from, m.valid_to,
    m.extractor, m.extractor_version,
    CASE WHEN NOT m.extractor = ANY(%(whole)s) THEN m.believed_from END AS believed_from,
    (SELECT array_agg((e.interaction_id, e.start_offset, e.end_offset, e.quote, e.stance)::text
            ORDER BY e.interaction_id, e.start_offset, e.stance)
     FROM evidence e WHERE (e.tenant_id, e.user_id, e.memory_id)
        = (m.tenant_id, m.user_id, m.memory_id)) AS evidence,
    (SELECT v.vector::text FROM embeddings v WHERE (v.tenant_id, v.user_id, v.memory_id)
        = (m.tenant_id, m.user_id, m.memory_id)) AS vector
FROM memories m JOIN generations g USING (generation)
WHERE g.name = %(generation)s AND m.believed_to IS NULL
ORDER BY m.tenant_id, m.user_id, m.belief_key, m.valid_from, m.value, m.text
"""
WHOLE = ["behaviour", "procedures"]
"""They read all of a user each time: since when they believe depends on when they ran."""


def content(
    connection: psycopg.Connection[Any], generation: str, *, whole: list[str] = WHOLE
) -> list[Any]:
    """All that a generation believes now, with its evidence and vectors, and nothing of its ids."""
    params = {"generation": generation, "whole": whole}
    return connection.execute(CONTENT, params).fetchall()
