"""Recall over the user's own memories and what others found, and what it notes of use."""

import psycopg
import pytest

from extractors import episodes
from extractors.protocol import Extractor
from memory.beliefs.long_term import LongTerm
from memory.client import MemoryClient
from memory.database import Database, DatabaseRole
from memory.embedding import Embedder
from memory.errors import InvalidInput
from memory.models import Scope, Tier
from memory.recall.search import Recaller
from memory.settings import Settings
from tests.compacting import TENANT, Compactor, compactor, hold, named, set_policy
from tests.conftest import Extraction, Residence

NEWCOMER = Scope(TENANT, "newcomer")
QUESTION = "Which outreach works: short or long?"


@pytest.fixture
def extractors(settings: Settings) -> list[Extractor]:
    """Episodes as they are kept, and statements read from them."""
    return [episodes.create(settings), Residence()]


@pytest.fixture
def jobs(settings: Settings, embedder: Embedder) -> Compactor:
    return compactor(settings, embedder)


@pytest.fixture
def informed(client: MemoryClient, jobs: Compactor, superuser: psycopg.Connection) -> MemoryClient:
    """A tenant of which six users prefer short outreach, promoted."""
    set_policy(superuser)
    hold(client, named(6))
    jobs("promote")
    return client


def tiers(client: MemoryClient, k: int = 10) -> list[Tier]:
    return [item.memory.tier for item in client.recall(NEWCOMER, QUESTION, k=k)]


class TestTiers:
    def test_a_newcomer_is_told_what_others_found(self, informed: MemoryClient) -> None:
        (item,) = informed.recall(NEWCOMER, QUESTION).items
        assert (item.memory.tier, item.citations) == (Tier.COLLECTIVE, ())
        assert "at least 5" in item.memory.text
        explained = informed.explain_collective(NEWCOMER, item.memory.id)
        assert explained.at_least == 5
        assert "What worked for others" in informed.context(NEWCOMER, QUESTION).text

    def test_it_stands_below_what_is_the_users_own(self, informed: MemoryClient) -> None:
        for n in range(3):
            informed.remember(NEWCOMER, f"Wrote short outreach number {n}")
        assert tiers(informed) == [*[Tier.LONG_TERM] * 3, Tier.COLLECTIVE]
        scores = [item.score for item in informed.recall(NEWCOMER, QUESTION)]
        assert scores == sorted(scores, reverse=True)
        assert tiers(informed, k=1) == [Tier.LONG_TERM]

    def test_it_is_silent_where_the_user_has_a_view(self, informed: MemoryClient) -> None:
        hold(informed, ["newcomer"], value="long")
        assert tiers(informed) == [Tier.LONG_TERM]

    def test_it_goes_with_its_support(self, informed: MemoryClient) -> None:
        assert tiers(informed) == [Tier.COLLECTIVE]
        for user in named(2):
            informed.forget(Scope(TENANT, user), user=True)
        assert tiers(informed) == []

    def test_another_tenant_is_told_nothing(self, informed: MemoryClient) -> None:
        assert informed.recall(Scope("elsewhere", "newcomer"), QUESTION).items == ()

    def test_what_is_private_to_an_agent_has_nothing_shared_in_it(
        self, informed: MemoryClient
    ) -> None:
        scout = Scope(TENANT, "newcomer", agent="scout")
        informed.remember(scout, "Writes short outreach", private=True)
        informed.remember(scout, "Writes long outreach")
        (only,) = informed.recall(scout, QUESTION, only_agent=True).items
        assert only.memory.text == "Writes short outreach"
        with pytest.raises(InvalidInput, match="only_agent needs an agent"):
            informed.recall(NEWCOMER, QUESTION, only_agent=True)


def test_what_contexts_showed_is_noted_when_the_client_closes(
    settings: Settings, embedder: Embedder, superuser: psycopg.Connection
) -> None:
    noted = "SELECT user_id, memory_id, uses FROM memory_usage ORDER BY memory_id"
    with MemoryClient(settings, embedder=embedder) as client:
        shown = client.remember(NEWCOMER, "Likes tea")
        client.context(NEWCOMER, "tea?")
        client.context(NEWCOMER, "tea?")
        assert superuser.execute(noted).fetchall() == []
    assert superuser.execute(noted).fetchall() == [("newcomer", shown.id, 1)]


async def test_scores_fall_from_first_to_last(
    client: MemoryClient, worker: Extraction, settings: Settings, embedder: Embedder, url: str
) -> None:
    """Also where an episode stands for a statement that was read from it."""
    scope = Scope(TENANT, "ana", session="s1")
    for text in ("I live in Munich.", "Good morning"):
        client.record(scope, text)
    worker.drain()
    async with Database(settings, url, DatabaseRole.CLIENT) as database:
        recaller = Recaller(
            database,
            LongTerm(database, embedder, settings.language),
            embedder,
            settings.language,
            weights={"dense": 0.1, "statement": 1.5},
        )
        found = await recaller.recall(scope, "Good morning")
    assert [item.memory.text for item in found] == ["User: I live in Munich.", "User: Good morning"]
    assert found.items[0].score > found.items[1].score
