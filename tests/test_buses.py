"""Both buses keep the same promises: one class runs over Postgres, and over Kafka and ingestion."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from memory.client import MemoryClient
from memory.errors import ForgottenId, InteractionConflict, InvalidInput, InvalidInteraction
from memory.models import Interaction, InteractionKind, Receipt, Role, Scope
from memory.settings import Settings
from tests.conftest import Extraction, WordEmbedder
from tests.ingesting import Stream
from tests.kafka_topics import kafka_settings

ANA = Scope("acme", "ana", "scout", "monday")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SOON = 20.0
"""Seconds in which a busy machine gets everything done."""


def said(id: str, content: str, scope: Scope = ANA) -> Interaction:  # noqa: A002
    return Interaction(scope, id, InteractionKind.MESSAGE, Role.USER, content, NOON)


def contents(turns: Any) -> list[str]:
    return [turn.content for turn in turns]


@pytest.fixture(params=["postgres", pytest.param("kafka", marks=pytest.mark.kafka)])
def settings(request: pytest.FixtureRequest, url: str) -> Settings:
    """In place of the run's settings: the bus is what varies."""
    if request.param == "kafka":
        return kafka_settings(request.getfixturevalue("kafka"), url)
    return Settings(database_url=SecretStr(url), debounce=0.0, pool_max=4)


@pytest.fixture
def flow(settings: Settings, url: str) -> Iterator[None]:
    """What brings messages into the log, where something has to: `memory ingest`."""
    if not settings.kafka_servers:
        yield
        return
    with Stream(settings, url).running():
        yield


@pytest.fixture
def other(settings: Settings) -> Iterator[MemoryClient]:
    """Another client, as in another process."""
    with MemoryClient(settings, embedder=WordEmbedder()) as opened:
        yield opened


@pytest.mark.usefixtures("flow")
class TestBothBuses:
    def test_what_was_recorded_is_in_the_next_context(self, client: MemoryClient) -> None:
        for n in range(5):
            client.record(ANA, f"Message {n}.")
            context = client.context(ANA, "What was said?")
            assert contents(context.turns) == [f"Message {m}." for m in range(n + 1)]
            assert context.fresh

    def test_another_client_sees_what_a_receipt_names(
        self, client: MemoryClient, other: MemoryClient
    ) -> None:
        for n in range(3):
            receipt = client.record(ANA, f"Message {n}.")
            context = other.context(ANA, "What?", after=receipt, timeout=SOON)
            assert context.fresh
            assert contents(context.turns) == [f"Message {m}." for m in range(n + 1)]
            assert context.position == n + 1

    def test_a_receipt_may_travel_as_text(self, client: MemoryClient, other: MemoryClient) -> None:
        text = client.record(ANA, "Message.").json()
        after = Receipt.from_json(text)
        assert other.context(ANA, "What?", after=after, timeout=SOON).fresh

    def test_recall_waits_for_extraction(
        self, client: MemoryClient, other: MemoryClient, worker: Extraction
    ) -> None:
        receipt = client.record(ANA, "I live in Munich.")
        early = other.recall(ANA, "Where?", after=receipt, timeout=0.05)
        assert not early.fresh
        assert early.waited >= 0.05
        assert (len(early), early.extracted) == (0, 0)
        client.context(ANA, "Where?", after=receipt, timeout=SOON)
        extraction = threading.Timer(0.2, worker.drain)
        extraction.start()
        found = other.recall(ANA, "Where does she live?", after=receipt, timeout=SOON)
        extraction.join()
        assert found.fresh
        assert found.extracted == 1
        assert [item.citations for item in found] == [(receipt.interaction_id,)]

    def test_an_id_counts_once_however_often_it_is_recorded(
        self, client: MemoryClient, other: MemoryClient
    ) -> None:
        client.record_many([said("m1", "Once."), said("m2", "Twice."), said("m1", "Once.")])
        receipts = client.record_many([said("m2", "Twice."), said("m3", "Last.")])
        other.context(ANA, "What?", after=receipts[-1], timeout=SOON)
        assert [(i.id, i.content, i.ordinal, i.position) for i in other.interactions(ANA)] == [
            ("m1", "Once.", 1, 1),
            ("m2", "Twice.", 2, 2),
            ("m3", "Last.", 3, 3),
        ]
        assert contents(client.context(ANA, "What?").turns) == ["Once.", "Twice.", "Last."]

    def test_one_users_order_is_kept_over_sessions(
        self, client: MemoryClient, other: MemoryClient
    ) -> None:
        scopes = [ANA, ANA.in_session("tuesday"), replace(ANA, user="tom")]
        sent = [said(f"m{n}", f"Message {n}.", scopes[n % 3]) for n in range(60)]
        receipts = client.record_many(sent)
        assert [r.interaction_id for r in receipts] == [i.id for i in sent]
        for scope in scopes:
            last = max(n for n in range(60) if scopes[n % 3] == scope)
            other.context(scope, "What?", after=receipts[last], timeout=SOON)
            read = other.interactions(scope)
            assert [i.id for i in read] == [i.id for i in sent if i.scope == scope]
            assert [i.ordinal for i in read] == list(range(1, 21))
        assert other.position(ANA).recorded == 40

    def test_the_trace_it_came_with_is_kept_beside_it(
        self, client: MemoryClient, settings: Settings, url: str
    ) -> None:
        parent = f"00-{'a' * 32}-{'b' * 16}-01"
        with pytest.raises(InvalidInput, match="traceparent"):
            client.record(ANA, "Never.", traceparent="yesterday")
        client.record(ANA, "One.", id="m1", traceparent=parent)
        client.record_many([said("m2", "Two."), said("m3", "Three.")], traceparent=parent)
        receipt = client.record(ANA, "Four.", id="m4")
        assert client.context(ANA, "?", after=receipt, timeout=SOON).fresh
        client.record(ANA, "One.", id="m1", traceparent=parent.replace("a", "c"))
        found = Stream(settings, url).rows(
            "SELECT interaction_id, traceparent FROM interactions ORDER BY position"
        )
        kept = {row["interaction_id"]: row["traceparent"] for row in found}
        assert kept == {"m1": parent, "m2": parent, "m3": parent, "m4": None}

    def test_a_known_id_keeps_its_first_content(
        self, client: MemoryClient, other: MemoryClient, settings: Settings
    ) -> None:
        client.record_many([said("m1", "First.")])
        try:
            receipts = client.record_many([said("m1", "Second."), said("m2", "Next.")])
        except InteractionConflict:
            assert not settings.kafka_servers
        else:  # the bus carries it, and ingestion sets it aside
            assert settings.kafka_servers
            assert other.context(ANA, "What?", after=receipts[0], timeout=SOON).fresh
            assert other.context(ANA, "What?", after=receipts[1], timeout=SOON).fresh
        assert contents(other.interactions(ANA)) == ["First.", "Next."]
        assert contents(client.context(ANA, "What?").turns) == ["First.", "Next."]

    def test_a_forgotten_id_stays_forgotten(
        self, client: MemoryClient, other: MemoryClient, settings: Settings
    ) -> None:
        client.record_many([said("m1", "A secret.")])
        client.forget(ANA, session="monday")
        try:
            (receipt,) = client.record_many([said("m1", "A secret.")])
        except ForgottenId:
            assert not settings.kafka_servers
        else:
            assert settings.kafka_servers
            assert other.context(ANA, "What?", after=receipt, timeout=SOON).fresh
        assert not other.interactions(ANA)
        assert not client.context(ANA, "What?").turns

    def test_what_is_on_its_way_is_forgotten_with_its_user(
        self, client: MemoryClient, other: MemoryClient
    ) -> None:
        receipts = client.record_many([said(f"m{n}", f"Secret {n}.") for n in range(20)])
        assert client.forget(ANA, user=True).interactions == 20
        assert other.context(ANA, "What?", after=receipts[-1], timeout=SOON).turns == ()
        assert not client.context(ANA, "What?").turns

    def test_nothing_is_accepted_of_a_call_with_one_bad_interaction(
        self, client: MemoryClient, other: MemoryClient
    ) -> None:
        with pytest.raises(InvalidInteraction):
            client.record_many([said("m1", "Good."), said("m2", "\x00")])
        receipt = client.record(ANA, "After.")
        context = other.context(ANA, "What?", after=receipt, timeout=SOON)
        assert contents(context.turns) == ["After."]

    def test_remember_answers_with_the_memory(self, client: MemoryClient) -> None:
        first = client.remember(
            ANA,
            "Lives in Berlin",
            attribute="lives_in",
            value="berlin",
            single_valued=True,
            timeout=SOON,
        )
        second = client.remember(
            ANA,
            "Lives in Munich",
            attribute="lives_in",
            value="munich",
            single_valued=True,
            timeout=SOON,
        )
        assert second.supersedes == first.id

    def test_remember_refuses_an_id_that_is_known_otherwise(self, client: MemoryClient) -> None:
        client.remember(ANA, "Likes tea", id="m1", timeout=SOON)
        with pytest.raises(InteractionConflict, match="'m1'"):
            client.remember(ANA, "Likes coffee", id="m1", timeout=SOON)
        client.forget(ANA, user=True)
        with pytest.raises(ForgottenId, match="'m1'"):
            client.remember(ANA, "Likes tea", id="m1", timeout=SOON)

    def test_a_receipt_nobody_gave_is_waited_for_in_vain(self, client: MemoryClient) -> None:
        known = client.record(ANA, "Message.")
        place = known.place and replace(known.place, offset=10**9)
        unknown = replace(known, interaction_id=uuid4().hex, place=place)
        unknown = unknown if place else replace(unknown, position=10**9)
        context = client.context(ANA, "What?", after=unknown, timeout=0.2)
        assert not context.fresh
        assert 0.2 <= context.waited < SOON
        assert contents(context.turns) == ["Message."]
        assert '"fresh": false' in context.json()
