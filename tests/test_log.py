"""The log: appended once each, without gaps, whoever writes at once and whatever is sent."""

from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from memory.client import MemoryClient
from memory.embedding import Embedder
from memory.errors import (
    ForgottenId,
    InteractionConflict,
    InteractionTooLarge,
    InvalidInput,
    InvalidInteraction,
    InvalidScope,
    NaiveTime,
)
from memory.log.interactions import Position
from memory.models import Interaction, InteractionKind, Receipt, Role, Scope
from memory.settings import Settings

ANA = Scope("northwind", "ana", "scout", "s1")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
_numbers = count(1000)  # tests name m1 and the next ones themselves


def a_message(name: str | None = None, **changes: Any) -> Interaction:
    plain = Interaction(
        ANA, name or f"m{next(_numbers)}", InteractionKind.MESSAGE, Role.USER, "Hello.", NOON
    )
    return replace(plain, **changes)


def places(receipts: list[Receipt]) -> list[tuple[str, int, int, bool]]:
    return [(r.session, r.ordinal, r.position, r.duplicate) for r in receipts]


class TestAppend:
    def test_what_went_in_comes_out(self, client: MemoryClient) -> None:
        sent = a_message(
            "m1",
            kind=InteractionKind.TOOL_RESULT,
            role=Role.TOOL,
            content="3 flats 🏠",
            payload={"flats": [{"rooms": 2, "warm": 1100.5}], "more": None},
            actor="Flat search",
            private=True,
            source="import",
        )
        client.record_many([sent])
        (read,) = client.interactions(ANA)
        assert read.recorded_at is not None
        assert replace(read, recorded_at=None) == replace(sent, ordinal=1, position=1)
        assert read.occurred_at.tzinfo == UTC

    def test_ordinals_count_a_session_and_positions_a_user(self, client: MemoryClient) -> None:
        other, tom = ANA.in_session("s2"), replace(ANA, user="tom")
        batch = [a_message(scope=scope) for scope in (ANA, other, ANA, tom, other, ANA)]
        assert places(client.record_many(batch)) == [
            ("s1", 1, 1, False),
            ("s2", 1, 2, False),
            ("s1", 2, 3, False),
            ("s1", 1, 1, False),
            ("s2", 2, 4, False),
            ("s1", 3, 5, False),
        ]
        assert client.position(ANA) == Position(recorded=5)

    def test_pages_of_a_session_follow_the_ordinals(self, client: MemoryClient) -> None:
        client.record_many([a_message() for _ in range(5)])
        pages = [client.interactions(ANA, after=after, limit=2) for after in (0, 2, 4)]
        assert [[i.ordinal for i in page] for page in pages] == [[1, 2], [3, 4], [5]]

    def test_nothing_to_append_is_no_error(self, client: MemoryClient) -> None:
        assert client.record_many([]) == []


class TestIdempotency:
    def test_the_same_again_is_answered_with_its_place(self, client: MemoryClient) -> None:
        first = client.record_many([a_message("m1"), a_message("m2")])
        again = client.record_many([a_message("m2"), a_message("m1"), a_message("m3")])
        assert [r.duplicate for r in first] == [False, False]
        assert places(again) == [("s1", 2, 2, True), ("s1", 1, 1, True), ("s1", 3, 3, False)]

    def test_who_delivered_it_and_in_which_zone_is_not_content(self, client: MemoryClient) -> None:
        client.record_many([a_message("m1", payload={"a": 1, "b": 2})])
        (again,) = client.record_many(
            [a_message("m1", payload={"b": 2, "a": 1.0}, source="replay")]
        )
        assert again.duplicate

    def test_a_duplicate_inside_a_batch_counts_once(self, client: MemoryClient) -> None:
        receipts = client.record_many([a_message("m1"), a_message("m2"), a_message("m1")])
        assert places(receipts) == [("s1", 1, 1, False), ("s1", 2, 2, False), ("s1", 1, 1, True)]
        assert len(client.interactions(ANA)) == 2

    def test_ids_belong_to_a_user(self, client: MemoryClient) -> None:
        client.record_many([a_message("m1")])
        (tom,) = client.record_many(
            [a_message("m1", scope=replace(ANA, user="tom"), content="Other.")]
        )
        assert (tom.position, tom.duplicate) == (1, False)

    def test_other_content_under_a_known_id_is_refused_by_name(self, client: MemoryClient) -> None:
        client.record_many([a_message("m1")])
        batch = [a_message("m2"), a_message("m1", content="Bye."), a_message("m3")]
        with pytest.raises(InteractionConflict, match=r"'m1'.* 2 other interactions were accepted"):
            client.record_many(batch)
        assert [i.id for i in client.interactions(ANA)] == ["m1", "m2", "m3"]
        assert client.interactions(ANA)[0].content == "Hello."

    def test_two_contents_under_one_id_in_a_batch_keep_the_first(
        self, client: MemoryClient
    ) -> None:
        tom = replace(ANA, user="tom")
        batch = [
            a_message("m1"),
            a_message("m1", content="Bye."),
            a_message("m2"),
            a_message("m3", scope=tom),
        ]
        with pytest.raises(InteractionConflict, match="'m1'"):
            client.record_many(batch)
        assert [(i.id, i.content) for i in client.interactions(ANA)] == [
            ("m1", "Hello."),
            ("m2", "Hello."),
        ]
        assert len(client.interactions(tom)) == 1

    def test_each_of_a_repeated_id_is_judged_by_what_the_log_holds(
        self, client: MemoryClient
    ) -> None:
        client.record_many([a_message("m1"), a_message("m2", scope=ANA.in_session("s2"))])
        batch = [a_message("m1", content="Bye."), a_message("m1"), a_message("m3")]
        with pytest.raises(InteractionConflict, match=r"interaction 'm1' is .* 2 other"):
            client.record_many(batch)
        client.forget(ANA, session="s2")
        with pytest.raises(ForgottenId, match=r"'m2', 'm2' was forgotten"):
            client.record_many([a_message("m2"), a_message("m2", content="Bye.")])
        assert [i.id for i in client.interactions(ANA)] == ["m1", "m3"]

    def test_a_retry_without_a_time_repeats_the_event(self, client: MemoryClient) -> None:
        first = client.record(ANA, "Hello.", id="m1")
        again = client.record(ANA, "Hello.", id="m1")
        assert (again.position, again.duplicate) == (first.position, True)
        with pytest.raises(InteractionConflict, match="'m1'"):
            client.record(ANA, "Bye.", id="m1")
        assert client.record(ANA, "Hello.", id="m1", occurred_at=NOON).duplicate
        (kept,) = client.interactions(ANA)
        assert kept.occurred_at != NOON

    def test_a_forgotten_id_stays_forgotten(self, client: MemoryClient) -> None:
        client.record_many([a_message("m1"), a_message("m2")])
        client.forget(ANA, session="s1")
        for content in ("Hello.", "Something else."):
            with pytest.raises(ForgottenId, match=r"'m1'.* 1 other interactions were accepted"):
                client.record_many([a_message("m1", content=content), a_message()])
        assert [i.ordinal for i in client.interactions(ANA)] == [1, 2]
        assert "m1" not in {i.id for i in client.interactions(ANA)}

    def test_conflicts_and_forgotten_ids_together_lose_nothing(self, client: MemoryClient) -> None:
        client.record_many([a_message("m1"), a_message("m2", scope=ANA.in_session("s2"))])
        client.forget(ANA, session="s2")
        batch = [a_message("m1", content="Bye."), a_message("m2"), a_message("m3")]
        with pytest.raises(InteractionConflict, match="'m1'"):
            client.record_many(batch)
        assert [i.id for i in client.interactions(ANA)] == ["m1", "m3"]


WRONG: dict[str, tuple[dict[str, Any], type[InvalidInput], str]] = {
    "naive time": ({"occurred_at": NOON.replace(tzinfo=None)}, NaiveTime, "2026-03-02T12:00:00"),
    "no time": ({"occurred_at": "yesterday"}, InvalidInteraction, "'yesterday'"),
    "empty": ({"content": " \n"}, InvalidInteraction, "content"),
    "too large": ({"content": "x" * 1_000_000}, InteractionTooLarge, "1,000,000"),
    "payload too large": (
        {"payload": {"x": "y" * 300_000}},
        InteractionTooLarge,
        "payload",
    ),
    "NUL": ({"content": "a\x00b"}, InvalidInteraction, "NUL"),
    "NUL in payload": ({"payload": {"a": ["b\x00"]}}, InvalidInteraction, "NUL"),
    "half a character": ({"content": "a\ud800"}, InvalidInteraction, "surrogate"),
    "not JSON": ({"payload": {"a": {1, 2}}}, InvalidInteraction, "payload.a"),
    "not a number": ({"payload": {"a": float("nan")}}, InvalidInteraction, "nan"),
    "no text": ({"content": b"bytes"}, InvalidInteraction, "content"),
    "no id": ({"id": ""}, InvalidInteraction, "id"),
    "long id": ({"id": "m" * 201}, InvalidInteraction, "id"),
    "unknown kind": ({"kind": "rumour"}, InvalidInteraction, "'rumour'"),
    "unknown role": ({"role": "oracle"}, InvalidInteraction, "'oracle'"),
    "no session": ({"scope": Scope("northwind", "ana")}, InvalidScope, "session"),
}


class TestBadInput:
    @pytest.mark.parametrize(("changes", "error", "named"), WRONG.values(), ids=WRONG)
    def test_is_refused_by_name_and_loses_nothing(
        self,
        shared_client: MemoryClient,
        request: pytest.FixtureRequest,
        changes: dict[str, Any],
        error: type[InvalidInput],
        named: str,
    ) -> None:
        scope = replace(ANA, user=request.node.name)
        shared_client.record_many([a_message("m1", scope=scope)])
        bad = a_message("bad", scope=scope)
        for field, value in changes.items():
            object.__setattr__(bad, field, value)  # past the type's own checks
        with pytest.raises(error, match=named):
            shared_client.record_many(
                [a_message("m2", scope=scope), bad, a_message("m3", scope=scope)]
            )
        assert [i.id for i in shared_client.interactions(scope)] == ["m1"]
        shared_client.record_many([a_message("m2", scope=scope)])
        assert [i.ordinal for i in shared_client.interactions(scope)] == [1, 2]

    @pytest.mark.parametrize("name", ["", "x" * 201, "a\x00", None, 7])
    def test_a_scope_names_whom_it_means(self, name: Any) -> None:
        with pytest.raises(InvalidScope, match="tenant must be"):
            Scope(name, "ana")
        with pytest.raises(InvalidScope, match="user must be"):
            Scope("northwind", name)


class TestConcurrentWriters:
    WRITERS = 8
    EACH = 25

    def write(self, settings: Settings, embedder: Embedder, sessions: int) -> None:
        """Eight writers, each with a client of its own, all for one user."""

        def one(writer: int) -> None:
            scope = ANA.in_session(f"s{writer % sessions}")
            with MemoryClient(settings, embedder=embedder) as client:
                for n in range(self.EACH):
                    client.record(scope, f"{writer} {n}", id=f"{writer}-{n}")

        with ThreadPoolExecutor(self.WRITERS) as pool:
            list(pool.map(one, range(self.WRITERS)))

    @pytest.mark.parametrize("sessions", [1, 4])
    def test_leave_no_gap(
        self,
        settings: Settings,
        embedder: Embedder,
        superuser: psycopg.Connection,
        sessions: int,
    ) -> None:
        self.write(settings, embedder, sessions)
        rows = superuser.execute(
            "SELECT session_id, ordinal, position, interaction_id FROM interactions"
            " ORDER BY position"
        ).fetchall()
        total = self.WRITERS * self.EACH
        assert [position for _, _, position, _ in rows] == list(range(1, total + 1))
        ordinals, said = defaultdict(list), defaultdict(list)
        for session, ordinal, _, name in rows:
            ordinals[session].append(ordinal)
            writer, n = name.split("-")
            said[writer].append(int(n))
        assert all(found == list(range(1, len(found) + 1)) for found in ordinals.values())
        assert len(ordinals) == sessions
        assert all(found == list(range(self.EACH)) for found in said.values())

    def test_bringing_the_same_ids_append_each_once(
        self, settings: Settings, embedder: Embedder, superuser: psycopg.Connection
    ) -> None:
        batch = [a_message(f"m{n}") for n in range(20)]

        def deliver(_: int) -> list[Receipt]:
            with MemoryClient(settings, embedder=embedder) as client:
                return [r for i in batch for r in client.record_many([i])]

        with ThreadPoolExecutor(4) as pool:
            receipts = list(pool.map(deliver, range(4)))
        assert sum(not r.duplicate for deliveries in receipts for r in deliveries) == 20
        rows = superuser.execute("SELECT ordinal FROM interactions ORDER BY ordinal").fetchall()
        assert [ordinal for (ordinal,) in rows] == list(range(1, 21))
        assert len({tuple(r.position for r in deliveries) for deliveries in receipts}) == 1


class TestState:
    def test_is_kept_by_key_until_deleted(self, client: MemoryClient) -> None:
        client.state.set(ANA, "task", {"step": 1, "open": [True, None, 2.5]})
        client.state.set(ANA, "draft", "Dear …")
        client.state.set(ANA, "task", {"step": 2})
        assert client.state.get(ANA) == {"task": {"step": 2}, "draft": "Dear …"}
        assert client.state.get(ANA.in_session("s2")) == {}
        client.state.delete(ANA, "draft")
        client.state.delete(ANA, "never there")
        assert client.state.get(ANA) == {"task": {"step": 2}}

    def test_set_before_anything_is_recorded_is_in_the_context(self, client: MemoryClient) -> None:
        client.state.set(ANA, "task", "shortlist")
        assert client.context(ANA, "What now?").state == {"task": "shortlist"}

    @pytest.mark.parametrize(
        ("key", "value"),
        [("", 1), ("a\x00", 1), ("a", "\x00"), ("a", object()), ("a", float("inf"))],
    )
    def test_what_is_not_json_is_refused(
        self, shared_client: MemoryClient, key: str, value: object
    ) -> None:
        with pytest.raises(InvalidInput, match="state"):
            shared_client.state.set(ANA, key, value)
        assert shared_client.state.get(ANA) == {}

    def test_needs_a_session(self, client: MemoryClient) -> None:
        with pytest.raises(InvalidScope, match="needs a session"):
            client.state.get(Scope("northwind", "ana"))


class TestExpiry:
    @pytest.fixture
    def expired(
        self, make_database: Callable[[str], str], template: str, embedder: Embedder
    ) -> MemoryClient:
        settings = Settings(database_url=SecretStr(make_database(template)), session_ttl=0.000_001)
        return MemoryClient(settings, embedder=embedder)

    def test_empties_working_memory_and_keeps_the_log(self, expired: MemoryClient) -> None:
        with expired as client:
            client.record(ANA, "Hello.", occurred_at=NOON)
            client.state.set(ANA, "task", 1)
            context = client.context(ANA, "What was said?")
            assert (context.turns, context.state) == ((), {})
            assert len(client.interactions(ANA)) == 1

    def test_an_old_event_recorded_now_has_not_expired(self, client: MemoryClient) -> None:
        client.record(ANA, "Long ago.", occurred_at=NOON - timedelta(days=3650))
        assert len(client.context(ANA, "What was said?").turns) == 1
