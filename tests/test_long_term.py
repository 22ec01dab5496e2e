"""The long-term tier on a real store: superseding, reviving, explaining, remembering at once."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest
from anyio import create_task_group

from memory.client import AsyncMemoryClient, MemoryClient
from memory.embedding import Embedder, Vectors
from memory.errors import EmbedderMismatch, InvalidInput, UnknownMemory, WrongDimension
from memory.models import Memory, MemoryKind, Scope, Stance
from memory.settings import Settings
from tests.conftest import Extraction, WordEmbedder

ANA = Scope("northwind", "ana", session="s1")
DAY_ZERO = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return DAY_ZERO + timedelta(days=number)


def lives(
    client: MemoryClient, *, closed: bool = False
) -> list[tuple[str | None, int, int | None]]:
    """Value and days of validity of what is believed of Ana's residence, oldest first."""
    found = client.history(ANA, attribute="lives_in", closed=closed)
    return sorted((m.value, since(m), until(m)) for m in found)


def since(memory: Memory) -> int:
    assert memory.valid_from is not None
    return (memory.valid_from - DAY_ZERO).days


def until(memory: Memory) -> int | None:
    return None if memory.valid_to is None else (memory.valid_to - DAY_ZERO).days


def say(client: MemoryClient, text: str, on: int, session: str = "s1") -> None:
    client.record(ANA.in_session(session), text, id=f"{session}-{on}", occurred_at=day(on))


class TestSuperseding:
    def test_a_newer_value_takes_the_place_of_the_older(
        self, client: MemoryClient, worker: Extraction
    ) -> None:
        say(client, "I live in Berlin.", 1)
        worker.drain()
        say(client, "I live in Munich.", 9)
        worker.drain()
        assert lives(client) == [("berlin", 1, 9), ("munich", 9, None)]

    def test_an_older_event_that_arrives_late_does_not_override(
        self, client: MemoryClient, worker: Extraction
    ) -> None:
        say(client, "I live in Munich.", 9)
        worker.drain()
        say(client, "I live in Berlin.", 1, "s2")
        worker.drain()
        assert lives(client) == [("berlin", 1, 9), ("munich", 9, None)]

    def test_in_one_batch_or_one_by_one_is_the_same(
        self, client: MemoryClient, worker: Extraction
    ) -> None:
        for on, city in ((1, "Berlin"), (5, "Oslo"), (9, "Munich"), (12, "Berlin")):
            say(client, f"I live in {city}.", on)
        worker.drain()
        assert lives(client) == [
            ("berlin", 1, 5), ("berlin", 12, None), ("munich", 9, 12), ("oslo", 5, 9)
        ]  # fmt: skip

    def test_saying_it_again_adds_evidence_and_no_memory(
        self, client: MemoryClient, worker: Extraction
    ) -> None:
        for on in (1, 2, 3):
            say(client, "I live in Berlin.", on)
            worker.drain()
        (home,) = client.history(ANA, attribute="lives_in", closed=True)
        assert home.support == 3
        assert home.confidence == pytest.approx(0.99)
        assert len(client.explain(ANA, home.id).evidence) == 3

    def test_leaving_ends_it_and_says_by_what(
        self, client: MemoryClient, worker: Extraction
    ) -> None:
        say(client, "I live in Berlin.", 1)
        say(client, "I left Berlin.", 4)
        worker.drain()
        assert lives(client) == [("berlin", 1, 4)]
        (home,) = client.history(ANA, attribute="lives_in")
        evidence = client.explain(ANA, home.id).evidence
        assert [(e.stance, e.quote) for e in evidence] == [
            (Stance.SUPPORTS, "I live in Berlin"),
            (Stance.CONTRADICTS, "I left Berlin"),
        ]

    def test_many_values_hold_side_by_side(self, client: MemoryClient, worker: Extraction) -> None:
        say(client, "I speak German. I speak English.", 1)
        worker.drain()
        spoken = client.history(ANA, attribute="speaks")
        assert {m.value for m in spoken if m.valid_to is None} == {"german", "english"}

    def test_what_was_believed_when_can_be_read_back(
        self, client: MemoryClient, worker: Extraction, superuser: psycopg.Connection
    ) -> None:
        say(client, "I live in Berlin.", 1)
        say(client, "I live in Munich.", 9)
        worker.drain()
        rows = superuser.execute("SELECT interaction_id, recorded_at FROM interactions")
        recorded: dict[str, datetime] = dict(rows.fetchall())
        told = client.history(ANA, attribute="lives_in", closed=True)
        believed = {(m.value, until(m)): (m.believed_from, m.believed_to) for m in told}
        assert believed == {
            ("berlin", None): (recorded["s1-1"], recorded["s1-9"]),
            ("berlin", 9): (recorded["s1-9"], None),
            ("munich", None): (recorded["s1-9"], None),
        }


class TestReviving:
    def test_forgetting_what_superseded_brings_back_what_it_ended(
        self, client: MemoryClient, worker: Extraction
    ) -> None:
        say(client, "I live in Berlin.", 1)
        say(client, "I live in Munich.", 9)
        worker.drain()
        munich = client.history(ANA, attribute="lives_in")[0]
        client.forget(ANA, memory=munich.id)
        assert lives(client) == [("berlin", 1, None)]
        worker.drain()
        assert lives(client, closed=True) == [("berlin", 1, None)]

    def test_keeping_the_sources_only_that_value_is_never_believed_again(
        self, client: MemoryClient, worker: Extraction
    ) -> None:
        say(client, "I live in Berlin.", 1)
        say(client, "I live in Munich.", 9)
        worker.drain()
        munich = client.history(ANA, attribute="lives_in")[0]
        forgotten = client.forget(ANA, memory=munich.id, keep_sources=True)
        assert forgotten.interactions == 0
        say(client, "I live in Munich.", 12)
        worker.drain()
        assert lives(client, closed=True) == [("berlin", 1, None)]
        assert len(client.interactions(ANA)) == 3


class TestRemember:
    def test_is_there_at_once_and_the_log_knows_why(self, client: MemoryClient) -> None:
        memory = client.remember(ANA, "Allergic to nuts", attribute="allergy", value="nuts")
        assert client.history(ANA) == [memory]
        (evidence,) = client.explain(ANA, memory.id).evidence
        (asked,) = client.interactions(ANA)
        assert (evidence.interaction_id, evidence.quote) == (asked.id, "Allergic to nuts")
        assert memory.provenance.extractor == "explicit"

    def test_without_a_session_it_has_one_of_its_own(self, client: MemoryClient) -> None:
        user = Scope("northwind", "ana")
        client.remember(user, "Likes dogs")
        assert len(client.interactions(user.in_session("remembered"))) == 1

    def test_extraction_derives_the_same_and_no_second(
        self, client: MemoryClient, worker: Extraction
    ) -> None:
        free = client.remember(ANA, "Likes dogs", id="m1")
        named = client.remember(ANA, "Allergic to nuts", attribute="allergy", value="nuts")
        worker.drain()
        mine = [m for m in client.history(ANA, closed=True) if m.provenance.extractor == "explicit"]
        assert sorted(mine, key=lambda m: m.id) == [free, named]
        assert client.remember(ANA, "Likes dogs", id="m1") == free

    def test_a_newer_value_of_a_single_valued_attribute_supersedes(
        self, client: MemoryClient
    ) -> None:
        def remember(name: str, on: int) -> Memory:
            return client.remember(
                ANA, f"Call me {name}", attribute="name", value=name, single_valued=True,
                occurred_at=day(on),
            )  # fmt: skip

        remember("Anna", 1)
        remember("Ana", 5)
        names = {(m.value, until(m)) for m in client.history(ANA, attribute="name")}
        assert names == {("Anna", 5), ("Ana", None)}
        late = remember("Annie", 3)
        assert (since(late), until(late)) == (3, 5)

    @pytest.mark.parametrize(
        ("wrong", "named"),
        [
            ({"value": "nuts"}, "needs the attribute"),
            ({"single_valued": True}, "needs the attribute"),
            ({"importance": 1.5}, "1.5"),
            ({"kind": "rumour"}, "'rumour'"),
        ],
    )
    def test_what_makes_no_sense_is_refused_before_anything_is_written(
        self, client: MemoryClient, wrong: dict[str, object], named: str
    ) -> None:
        with pytest.raises(InvalidInput, match=named):
            client.remember(ANA, "x", **wrong)  # type: ignore[arg-type]
        assert client.interactions(ANA) == []

    async def test_many_at_once_all_hold(self, async_client: AsyncMemoryClient) -> None:
        done: list[Memory] = []

        async def remember(number: int) -> None:
            done.append(
                await async_client.remember(
                    ANA, f"Number {number}", attribute="number", value=str(number)
                )
            )

        async with create_task_group() as group:
            for number in range(3):
                group.start_soon(remember, number)
        held = await async_client.history(ANA)
        assert {m.value for m in held} == {"0", "1", "2"} == {m.value for m in done}


class TestExplain:
    def test_leads_from_each_version_to_the_next(
        self, client: MemoryClient, worker: Extraction
    ) -> None:
        say(client, "I live in Berlin.", 1)
        worker.drain()
        (before,) = client.history(ANA, attribute="lives_in")
        say(client, "I live in Munich.", 9)
        worker.drain()
        now = {m.value: m for m in client.history(ANA, attribute="lives_in")}
        explained = client.explain(ANA, now["berlin"].id)
        assert explained.supersedes is not None
        assert explained.supersedes.id == before.id
        old = client.explain(ANA, before.id)
        assert old.superseded_by is not None
        assert old.superseded_by.id in {m.id for m in now.values()}
        assert "replaced by" in str(old)

    def test_an_unknown_memory_is_refused_by_name(self, client: MemoryClient) -> None:
        with pytest.raises(UnknownMemory, match="'ana' has no memory 404"):
            client.explain(ANA, 404)


class TestHistory:
    def test_narrows_by_kind_and_number(self, client: MemoryClient, worker: Extraction) -> None:
        say(client, "I live in Berlin. I speak German.", 1)
        worker.drain()
        facts = client.history(ANA, kinds=[MemoryKind.FACT])
        assert {m.kind for m in facts} == {MemoryKind.FACT}
        assert len(facts) == 2
        assert len(client.history(ANA, limit=1)) == 1
        assert client.history(ANA, kinds=[]) == []


class TestPrivacy:
    SCOUT = Scope("northwind", "ana", "scout", "s1")
    BUTLER = Scope("northwind", "ana", "butler", "s2")

    def test_memories_serve_every_agent_unless_they_are_private(
        self, client: MemoryClient, worker: Extraction
    ) -> None:
        client.record(self.SCOUT, "I live in Berlin.", occurred_at=day(1))
        client.record(self.SCOUT, "I speak German.", private=True, occurred_at=day(1))
        worker.drain()

        def seen(scope: Scope) -> set[str | None]:
            return {m.value for m in client.history(scope, kinds=[MemoryKind.FACT])}

        assert seen(self.SCOUT) == {"berlin", "german"}
        assert seen(self.BUTLER) == {"berlin"}
        assert seen(ANA) == {"berlin"}

    def test_a_private_belief_and_a_shared_one_do_not_meet(
        self, client: MemoryClient, worker: Extraction
    ) -> None:
        client.record(self.SCOUT, "I live in Berlin.", private=True, occurred_at=day(1))
        client.record(self.SCOUT, "I live in Munich.", occurred_at=day(5))
        worker.drain()
        homes = client.history(self.SCOUT, attribute="lives_in")
        assert {(m.value, m.agent, m.valid_to) for m in homes} == {
            ("berlin", "scout", None),
            ("munich", None, None),
        }


class TestEmbedder:
    class Other(WordEmbedder):
        name = "other-64"

    class Wide(WordEmbedder):
        """Says 64 and makes 65."""

        async def embed(self, texts: Sequence[str]) -> Vectors:
            return np.pad(await super().embed(texts), ((0, 0), (0, 1)))

    def test_another_than_the_stores_is_refused(
        self, client: MemoryClient, settings: Settings
    ) -> None:
        with (
            pytest.raises(EmbedderMismatch, match="'words-64', configured is 'other-64'"),
            MemoryClient(settings, embedder=self.Other()),
        ):
            pass

    def test_a_vector_of_another_dimension_is_refused_and_loses_nothing(
        self, client: MemoryClient, settings: Settings, embedder: Embedder
    ) -> None:
        with MemoryClient(settings, embedder=self.Wide()) as wide:
            with pytest.raises(WrongDimension, match="65"):
                wide.remember(ANA, "Likes dogs", id="m1")
            assert [i.id for i in wide.interactions(ANA)] == ["m1"]
        assert client.history(ANA) == []
        assert client.remember(ANA, "Likes dogs", id="m1").text == "Likes dogs"
