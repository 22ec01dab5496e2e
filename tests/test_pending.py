"""A client's own interactions on their way over Kafka, and how it waits for them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from pydantic import SecretStr

from memory.bus import pending as module
from memory.bus.pending import PendingInteractions
from memory.client import MemoryClient
from memory.errors import NotApplied
from memory.models import Interaction, InteractionKind, Place, Receipt, Role, Scope
from memory.settings import Settings
from tests.conftest import WordEmbedder
from tests.kafka_topics import kafka_settings

ANA = Scope("acme", "ana", "scout", "monday")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def said(n: int, content: str = "", scope: Scope = ANA) -> Interaction:
    text = content or f"Message {n}."
    return Interaction(scope, f"m{n}", InteractionKind.MESSAGE, Role.USER, text, NOON)


def sent(n: int) -> Receipt:
    return Receipt(f"m{n}", "monday", 0, 0, place=Place("c", "t", "topic", 0, n))


@pytest.fixture(scope="module")
def topic(kafka: str) -> Settings:
    return kafka_settings(kafka, partitions=1)


class TestWhileNothingIsApplied:
    """Over a topic that nobody ingests; what is applied is put into the log by hand."""

    @pytest.fixture
    def settings(self, topic: Settings, url: str) -> Settings:
        return topic.model_copy(update={"database_url": SecretStr(url)})

    @pytest.fixture
    def direct(self, settings: Settings) -> Iterator[MemoryClient]:
        """Writes into the log, as ingestion would."""
        plain = settings.model_copy(update={"kafka_servers": None})
        with MemoryClient(plain, embedder=WordEmbedder()) as opened:
            yield opened

    def shown(self, client: MemoryClient, scope: Scope = ANA) -> list[str]:
        return [turn.content for turn in client.context(scope, "What was said?").turns]

    def test_a_client_shows_its_own_and_no_other_does(
        self, client: MemoryClient, direct: MemoryClient
    ) -> None:
        direct.record_many([said(0)])
        client.record_many([said(1), said(2)])
        assert self.shown(client) == ["Message 0.", "Message 1.", "Message 2."]
        assert self.shown(direct) == ["Message 0."]
        assert self.shown(client, ANA.in_session("tuesday")) == []
        assert self.shown(client, replace(ANA, user="tom")) == []
        assert client.context(ANA, "What?").position == 1

    def test_what_the_log_has_is_shown_once_and_in_its_order(
        self, client: MemoryClient, direct: MemoryClient
    ) -> None:
        client.record_many([said(1), said(2), said(3)])
        direct.record_many([said(9, "Another's."), said(1)])
        assert self.shown(client) == ["Another's.", "Message 1.", "Message 2.", "Message 3."]
        direct.record_many([said(2), said(3)])
        assert self.shown(client) == self.shown(direct)
        assert len(self.shown(client)) == 4

    def test_what_is_not_coming_any_more_is_not_shown(
        self, client: MemoryClient, superuser: psycopg.Connection
    ) -> None:
        receipts = client.record_many([said(1), said(2)])
        place = receipts[0].place
        assert place
        superuser.execute(
            "INSERT INTO partition_offsets (cluster_id, topic_id, partition, topic, owner,"
            " next_offset)"
            " VALUES (%s, %s, %s, %s, 'test', %s)",
            (place.cluster_id, place.topic_id, place.partition, place.topic, place.offset + 1),
        )
        assert self.shown(client) == ["Message 2."]
        assert client.context(ANA, "What?", after=receipts[0], timeout=0).fresh
        assert client.recall(ANA, "What?", after=receipts[0], timeout=0).fresh
        assert not client.context(ANA, "What?", after=receipts[1], timeout=0).fresh

    def test_what_is_private_to_an_agent_is_shown_to_no_other(self, client: MemoryClient) -> None:
        client.record(ANA, "Between us.", private=True)
        assert self.shown(client) == ["Between us."]
        assert self.shown(client, replace(ANA, agent="clerk")) == []
        assert self.shown(client, replace(ANA, agent=None)) == []

    def test_what_falls_out_of_the_window_is_summarised(
        self, client: MemoryClient, direct: MemoryClient
    ) -> None:
        direct.record(ANA, "I was born in Lisbon. " + "Lisbon is by the sea. " * 20)
        client.record_many([said(n, f"Number {n}: " + "and so on " * 60) for n in range(8)])
        context = client.context(ANA, "What was said?", budget=1500)
        assert context.turns[-1].content.startswith("Number 7:")
        assert "Lisbon" in context.summary.text
        assert "Number 0" in context.summary.text  # this client's own, as yet
        assert context.tokens <= 1500

    def test_it_revives_a_session_whose_working_memory_expired(
        self, client: MemoryClient, direct: MemoryClient, superuser: psycopg.Connection
    ) -> None:
        direct.record_many([said(1)])
        superuser.execute("UPDATE sessions SET expires_at = now() - interval '1 hour'")
        assert self.shown(client) == []
        client.record_many([said(2)])
        assert self.shown(client) == ["Message 1.", "Message 2."]

    def test_the_past_shows_nothing_that_was_not_in_the_log(self, client: MemoryClient) -> None:
        client.record_many([said(1)])
        past = client.context(ANA, "What?", believed_at=datetime.now(UTC) + timedelta(hours=1))
        assert past.turns == ()

    def test_remember_and_forget_say_that_they_waited_in_vain(
        self, client: MemoryClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(NotApplied, match="memory ingest") as caught:
            client.remember(ANA, "Likes tea", id="m1", timeout=0.05)
        assert caught.value.retriable
        monkeypatch.setattr("memory.client.async_client.TIMEOUT", 0.05)
        with pytest.raises(NotApplied, match="'m1'"):
            client.forget(ANA, user=True)
        with pytest.raises(NotApplied, match="'m1'"):
            client.forget(ANA, session="monday")
        client.forget(ANA, session="tuesday")
        client.forget(replace(ANA, user="tom"), user=True)


class TestBounds:
    def test_the_oldest_are_given_up_past_the_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_PENDING_BYTES", 10_000)
        kept = PendingInteractions()
        for n in range(100):
            kept.add([said(n, "x" * 1000)], [sent(n)])
        left = [c.interaction.id for c in kept.pending(ANA)]
        assert left == ["m96", "m97", "m98", "m99"]
        assert len(kept.of_user(ANA)) == 4

    def test_an_id_recorded_again_is_kept_once_as_it_first_was(self) -> None:
        kept = PendingInteractions()
        kept.add([said(1, "First."), said(1, "Second.")], [sent(1), sent(2)])
        assert [c.interaction.content for c in kept.pending(ANA)] == ["First."]

    def test_what_the_log_already_has_is_not_kept(self) -> None:
        kept = PendingInteractions()
        kept.add([said(1)], [Receipt("m1", "monday", 1, 1)])
        assert kept.pending(ANA) == ()
        assert kept.pending(replace(ANA, session=None)) == ()

    def test_nothing_is_left_behind_of_what_is_settled(self) -> None:
        kept = PendingInteractions()
        kept.add([said(n) for n in range(3)], [sent(n) for n in range(3)])
        pending = kept.pending(ANA)
        left = kept.settle(ANA, pending, [{"nth": 1, "position": 1}, {"nth": 3, "position": None}])
        assert [i.id for i in left] == ["m1"]
        kept.settle(ANA, pending, [{"nth": 2, "position": 2}])
        assert (kept._pending, kept._sessions, kept._size) == ({}, {}, 0)
