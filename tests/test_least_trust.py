"""Nothing that is made of words raises their trust: a brute-force minimum over random logs."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import psycopg
import pytest

from extractors.episodes import Episodes
from extractors.explicit import ExplicitExtractor
from extractors.protocol import Extractor, LogSlice, Reading
from memory.client import MemoryClient
from memory.embedding import Embedder
from memory.models import (
    TRUSTED_ORIGINS,
    Candidate,
    Evidence,
    Interaction,
    InteractionKind,
    MemoryKind,
    Origin,
    Role,
    Scope,
)
from memory.settings import Settings
from tests.compacting import compactor, set_policy
from tests.replaying import day, opened

RUNS = 200
TENANTS = ("north", "south", "east", "west")
TRUST = [
    {Origin.RECORD}, {Origin.PERSON, Origin.APP}, {Origin.AGENT, Origin.TOOL},
    {Origin.QUOTED, Origin.EXTERNAL, Origin.DOCUMENT, Origin.OTHER_AGENT},
]  # fmt: skip

VOICES: dict[Origin, dict[str, Any]] = {
    Origin.RECORD: {"source": "crm"},
    Origin.PERSON: {},
    Origin.APP: {"role": Role.SYSTEM},
    Origin.AGENT: {"role": Role.ASSISTANT},
    Origin.TOOL: {"role": Role.TOOL, "payload": {"tool": "pay"}},
    Origin.QUOTED: {"quoted": True},
    Origin.EXTERNAL: {"role": Role.TOOL, "payload": {"tool": "web_search"}},
    Origin.DOCUMENT: {"source": "wiki"},
    Origin.OTHER_AGENT: {"role": Role.ASSISTANT, "actor": "stranger"},
}  # fmt: skip


@dataclass(frozen=True)
class Rewriting:
    """A scripted model: makes claims in its own words of whatever turns it likes to cite."""

    name: str = "rewriting"
    version: str = "1"
    reading: Reading = Reading.SESSION
    reads: frozenset[InteractionKind] = frozenset({InteractionKind.MESSAGE})
    makes: frozenset[MemoryKind] = frozenset({MemoryKind.FACT, MemoryKind.SUMMARY})

    async def extract(self, log: LogSlice) -> list[Candidate]:
        return [made for turn in log.interactions for made in self._made(turn, log)]

    def _made(self, turn: Interaction, log: LogSlice) -> Iterator[Candidate]:
        random = Random(turn.id)
        turns = [*log.before, *log.interactions]
        cited = [turn, *random.sample(turns, random.randint(0, min(2, len(turns))))]
        evidence = tuple(
            Evidence(i.id, i.content, 0, len(i.content), i.occurred_at)
            for i in {i.id: i for i in cited}.values()
        )
        attribute = random.choice(["lives_in", "prefers.tea", "instruction", None])
        value = random.choice(["rome", "Rome", "oslo"])
        kind = MemoryKind.FACT if random.random() < 0.8 else MemoryKind.SUMMARY
        yield Candidate(
            kind,
            f"What is true, in other words: {value}",
            evidence,
            turn.occurred_at,
            attribute=attribute if kind is MemoryKind.FACT else None,
            value=value if attribute and kind is MemoryKind.FACT else None,
            single_valued=attribute == "lives_in",
        )


def rank(origin: str) -> int:
    """0 for what is trusted most."""
    return next(n for n, equals in enumerate(TRUST) if origin in equals)


class Log:
    """Random logs, and by whom each interaction was said: what the store is never asked."""

    def __init__(self, client: MemoryClient, random: Random) -> None:
        self.client = client
        self.random = random
        self.said_by: dict[str, Origin] = {}

    def goes_on(self, user: Scope) -> None:
        for _ in range(self.random.randint(1, 4)):
            number = len(self.said_by)
            origin = self.random.choice(list(Origin))
            voice = dict(VOICES[origin])
            text = f"I live in a town, I said for the {number}th time."
            if voice.pop("quoted", False):
                text = f"> {text}"
            self.client.record(
                user, text, id=f"i{number}", occurred_at=day(self.random.randint(0, 30)), **voice
            )
            self.said_by[f"i{number}"] = origin


MADE = """
SELECT m.tenant_id, m.user_id, m.memory_id, m.kind, m.origin,
    array_agg(e.interaction_id), array_agg(e.origin)
FROM memory.memories m JOIN memory.evidence e USING (tenant_id, user_id, memory_id)
WHERE e.stance = 'supports' GROUP BY 1, 2, 3
"""


def check(superuser: psycopg.Connection, said_by: dict[str, Origin]) -> int:
    """Holds every memory against the least trusted of what it cites; returns how many there are."""
    rows = superuser.execute(MADE).fetchall()
    for *_, kind, origin, cited, origins in rows:
        spoken = [said_by[interaction] for interaction in cited]
        assert sorted(origins) == sorted(spoken)
        assert rank(origin) == max(map(rank, spoken)), (kind, origin, spoken)
        if kind == "fact":
            assert set(spoken) <= set(TRUSTED_ORIGINS)
    published = superuser.execute(
        "SELECT m.origin FROM memory.collective_support s JOIN memory.memories m"
        " ON (m.tenant_id, m.user_id, m.memory_id) = (s.tenant_id, s.user_id, s.user_memory_id)"
    ).fetchall()
    assert {origin for (origin,) in published} <= set(TRUSTED_ORIGINS)
    return len(rows)


@pytest.mark.not_quick
def test_no_step_raises_trust(
    client: MemoryClient,
    settings: Settings,
    url: str,
    embedder: Embedder,
    superuser: psycopg.Connection,
) -> None:
    random = Random(22)
    rules = {"source": {"crm": "record", "wiki": "document"}}
    for tenant in TENANTS:
        set_policy(superuser, tenant, trust=rules, k=2)
    users = [Scope(random.choice(TENANTS), f"u{n}", "scout", "s1") for n in range(RUNS)]
    log, run = Log(client, random), compactor(settings, embedder)
    extractors: list[Extractor] = [Episodes(), ExplicitExtractor(), Rewriting()]
    with opened(settings, url, embedder, extractors) as house:
        for _ in range(3):
            for user in random.sample(users, RUNS * 2 // 3):
                log.goes_on(user)
            house.drain()
            check(superuser, log.said_by)
            run(*random.sample(["merge", "promote", "decay"], 2))
            check(superuser, log.said_by)
        superuser.execute("UPDATE memory.sessions SET expires_at = now() - interval '1 day'")
        run("sessions", "merge", "promote")
        assert check(superuser, log.said_by) > RUNS
        house.replay("again")
    assert check(superuser, log.said_by) > 2 * RUNS
    kinds = superuser.execute("SELECT DISTINCT origin FROM memory.memories").fetchall()
    assert {origin for (origin,) in kinds} == set(Origin)
    for there in (
        "memories WHERE kind = 'summary'",
        "collective_memories",
        "assertions WHERE proposal IS NOT NULL",
    ):
        assert superuser.execute(f"SELECT FROM memory.{there} LIMIT 1").fetchall()
