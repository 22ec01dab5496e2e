"""Two clocks, on every tier: against a naive interpreter of what happened, and by example."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from extractors.protocol import Extractor
from memory.client import MemoryClient
from memory.errors import InvalidInput, NaiveTime, UnknownMemory
from memory.models import Memory, MemoryKind, Scope, Tier
from memory.point_in_time import point_in_time
from memory.settings import Settings
from tests.compacting import compactor, hold, named, set_policy
from tests.conftest import Extraction, Residence, Verbatim, WordEmbedder

ANA = Scope("northwind", "ana", "scout", "s1")
DAY_ZERO = datetime(2026, 1, 1, tzinfo=UTC)
Clock = Callable[[], datetime]


def day(number: float) -> datetime:
    return DAY_ZERO + timedelta(days=number)


@pytest.fixture
def now(superuser: psycopg.Connection) -> Clock:
    """The database's clock, by which beliefs are dated."""

    def read() -> datetime:
        row = superuser.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        moment: datetime = row[0]
        return moment

    return read


def values(found: Sequence[Memory]) -> set[tuple[str | None, int | None]]:
    """Each value with the day its time ended."""
    return {(m.value, (m.valid_to - DAY_ZERO).days if m.valid_to else None) for m in found}


@dataclass
class Told:
    """What was said, when each step was done, and what is known at each."""

    client: MemoryClient
    moments: dict[str, datetime] = field(default_factory=dict)


@pytest.fixture
def told(client: MemoryClient, worker: Extraction, now: Clock) -> Told:
    told = Told(client)
    told.moments["nothing"] = now()
    for id_, text, on in (
        ("berlin", "I live in Berlin.", 1),
        ("munich", "I live in Munich.", 9),
        ("oslo", "Before that I live in Oslo.", 5),
    ):
        client.record(ANA, text, id=id_, occurred_at=day(on))
        worker.drain()
        told.moments[id_] = now()
    client.retract(ANA, interactions=["munich"], reason="a slip", by="ana")
    worker.drain()
    told.moments["retracted"] = now()
    client.restore(ANA, interactions=["munich"])
    worker.drain()
    told.moments["restored"] = now()
    return told


PAST: dict[str, set[tuple[str | None, int | None]]] = {
    "nothing": set(),
    "berlin": {("berlin", None)},
    "munich": {("berlin", 9), ("munich", None)},
    "oslo": {("berlin", 5), ("oslo", 9), ("munich", None)},
    "retracted": {("berlin", 5), ("oslo", None)},
    "restored": {("berlin", 5), ("oslo", 9), ("munich", None)},
}
"""Where she was believed to live after each step, each place with the day its time ended."""


@pytest.mark.parametrize("step", PAST)
class TestWhatWasBelieved:
    def test_by_history(self, told: Told, step: str) -> None:
        found = told.client.history(ANA, attribute="lives_in", believed_at=told.moments[step])
        assert values(found) == PAST[step]
        assert all(m.believed_to is None for m in found)

    def test_by_recall(self, told: Told, step: str) -> None:
        found = told.client.recall(
            ANA, "Where does she live?", kinds=[MemoryKind.FACT], believed_at=told.moments[step]
        )
        assert values([i.memory for i in found]) == PAST[step]
        assert all(set(i.citations) <= {"berlin", "munich", "oslo"} for i in found)

    def test_by_explain(self, told: Told, step: str) -> None:
        moment = told.moments[step]
        for memory in told.client.history(ANA, closed=True):
            assert memory.believed_from is not None
            if memory.believed_from > moment:
                with pytest.raises(UnknownMemory, match="was not believed at"):
                    told.client.explain(ANA, memory.id, believed_at=moment)
                continue
            explained = told.client.explain(ANA, memory.id, believed_at=moment)
            assert explained.evidence
            ended = explained.memory.believed_to
            assert ended is None or ended <= moment
            later = explained.superseded_by
            assert later is None or (later.believed_from or moment) <= moment

    def test_by_context(self, told: Told, step: str) -> None:
        context = told.client.context(ANA, "Where does she live?", believed_at=told.moments[step])
        shown = {word for word in ("Berlin", "Munich", "Oslo") if word in context.text}
        assert shown == {(value or "").capitalize() for value, _ in PAST[step]}
        assert context.believed_at == told.moments[step]


class TestWhatHeld:
    @pytest.mark.parametrize(
        ("at", "place"), [(0, None), (1, "berlin"), (4, "berlin"), (5, "oslo"), (20, "munich")]
    )
    def test_one_value_at_a_time(self, told: Told, at: int, place: str | None) -> None:
        facts: dict[str, Any] = {"kinds": [MemoryKind.FACT], "as_of": day(at)}
        expected = {place} - {None}
        assert {m.value for m in told.client.history(ANA, **facts)} == expected
        found = told.client.recall(ANA, "Where does she live?", **facts)
        assert {i.memory.value for i in found} == expected

    def test_both_clocks_at_once(self, told: Told) -> None:
        def held(at: int, step: str) -> set[str | None]:
            clocks: dict[str, Any] = {"as_of": day(at), "believed_at": told.moments[step]}
            by_history = told.client.history(ANA, attribute="lives_in", **clocks)
            found = told.client.recall(ANA, "Where?", kinds=[MemoryKind.FACT], **clocks)
            assert {i.memory.value for i in found} == {m.value for m in by_history}
            return {m.value for m in by_history}

        assert held(6, "munich") == {"berlin"}  # Oslo was not known of yet
        assert held(6, "oslo") == {"oslo"}
        assert held(10, "retracted") == {"oslo"}
        assert held(10, "restored") == {"munich"}

    def test_what_is_yet_to_happen_is_not_shown(self, told: Told) -> None:
        context = told.client.context(ANA, "Where does she live?", as_of=day(6))
        assert [turn.id for turn in context.turns] == ["berlin", "oslo"]
        assert "Munich" not in context.text
        assert context.as_of == day(6)

    def test_explain_leaves_out_later_evidence(
        self, client: MemoryClient, worker: Extraction
    ) -> None:
        for number in (1, 5):
            client.record(ANA, "I live in Berlin.", id=f"m{number}", occurred_at=day(number))
        worker.drain()
        (berlin,) = client.history(ANA, attribute="lives_in")
        explained = client.explain(ANA, berlin.id, as_of=day(3))
        assert [e.interaction_id for e in explained.evidence] == ["m1"]
        with pytest.raises(UnknownMemory, match="to hold at 2025-12-31"):
            client.explain(ANA, berlin.id, as_of=day(-1))


class TestWorkingTier:
    def test_a_summary_that_quotes_what_came_later_is_made_anew(
        self, told: Told, superuser: psycopg.Connection
    ) -> None:
        superuser.execute(
            "UPDATE sessions SET summary_through = 2,"
            " summary = E'User: I live in Berlin.\nUser: I live in Munich.',"
            " summary_sources = '{berlin,munich}'"
        )
        late = told.client.context(ANA, "?", believed_at=told.moments["berlin"])
        assert late.summary.text == ""
        assert [t.id for t in late.turns] == ["berlin"]
        known = told.client.context(ANA, "?", believed_at=told.moments["munich"])
        assert "Munich" in known.summary.text

    def test_task_state_is_shown_as_far_as_it_was_set_by_then(
        self, client: MemoryClient, now: Clock
    ) -> None:
        client.record(ANA, "Hello.", id="m1")
        client.state.set(ANA, "step", 1)
        before = now()
        client.state.set(ANA, "late", 2)
        assert client.context(ANA, "?", believed_at=before).state == {"step": 1}
        assert client.context(ANA, "?").state == {"step": 1, "late": 2}

    def test_what_is_private_stays_private(self, client: MemoryClient, now: Clock) -> None:
        client.record(ANA, "Between us.", id="m1", private=True)
        client.record(ANA, "Hello.", id="m2")
        other = Scope("northwind", "ana", "rival", "s1")
        assert [t.id for t in client.context(other, "?", believed_at=now()).turns] == ["m2"]

    def test_position_is_that_of_then(self, told: Told) -> None:
        for number, step in enumerate(("nothing", "berlin", "munich", "oslo")):
            found = told.client.recall(ANA, "?", believed_at=told.moments[step])
            assert found.position == number


class TestWhatWasChangedSince:
    def test_what_was_archived_since_is_there(
        self, told: Told, superuser: psycopg.Connection
    ) -> None:
        superuser.execute(
            "UPDATE memories SET archived_at = now(), importance = 0.01, initial_importance = 0.5"
        )
        assert len(told.client.recall(ANA, "Where?", kinds=[MemoryKind.FACT])) == 0
        found = told.client.recall(
            ANA, "Where?", kinds=[MemoryKind.FACT], believed_at=told.moments["oslo"]
        )
        assert values([i.memory for i in found]) == PAST["oslo"]
        assert {i.memory.importance for i in found} == {0.5}

    def test_what_was_merged_since_is_apart(
        self, client: MemoryClient, settings: Settings, now: Clock
    ) -> None:
        for number, value in enumerate(("Nuts!", "nuts")):
            hold(client, ["ana"], attribute="allergic_to", value=value, days=number)
        before = now()
        compactor(settings, WordEmbedder())("merge")
        allergies: dict[str, Any] = {"attribute": "allergic_to"}
        assert {m.value for m in client.history(ANA, **allergies)} == {"nuts"}
        was = client.history(ANA, believed_at=before, **allergies)
        assert {m.value for m in was} == {"nuts", "Nuts!"}

    def test_the_collective_tier_shows_what_is_left_of_it(
        self,
        client: MemoryClient,
        settings: Settings,
        superuser: psycopg.Connection,
        now: Clock,
    ) -> None:
        set_policy(superuser, k=5)
        hold(client, named(5))
        compactor(settings, WordEmbedder())("promote")
        reader = Scope("northwind", "reader")

        def shown(**clocks: Any) -> int:
            found = client.recall(reader, "short outreach", **clocks)
            return sum(i.memory.tier is Tier.COLLECTIVE for i in found)

        assert shown() == shown(believed_at=now()) == shown(as_of=now()) == 1
        assert shown(believed_at=now() - timedelta(days=2)) == 0
        assert shown(as_of=now() - timedelta(days=2)) == 0


class TestTimes:
    @pytest.mark.parametrize("clock", ["as_of", "believed_at"])
    @pytest.mark.parametrize("verb", ["recall", "context", "history", "explain"])
    def test_need_a_zone_and_to_be_times(self, client: MemoryClient, verb: str, clock: str) -> None:
        asked: dict[str, tuple[Any, ...]] = {"history": (), "explain": (1,)}
        call = getattr(client, verb)
        with pytest.raises(NaiveTime, match=clock):
            call(ANA, *asked.get(verb, ("?",)), **{clock: datetime(2026, 1, 1)})  # noqa: DTZ001
        with pytest.raises(InvalidInput, match=f"{clock} must be a datetime.*'yesterday'"):
            call(ANA, *asked.get(verb, ("?",)), **{clock: "yesterday"})

    def test_neither_is_no_past(self) -> None:
        assert point_in_time(None, None) is None

    def test_a_time_to_come_is_as_good_as_now(self, told: Told) -> None:
        ahead = datetime.now(UTC) + timedelta(days=400)
        now = told.client.history(ANA)
        assert told.client.history(ANA, believed_at=ahead) == now


# --- against a naive interpreter -----------------------------------------------------------------

EMPTIED = (
    "users", "sessions", "interactions", "retractions", "session_progress", "assertions",
    "evidence", "memories", "embeddings", "memory_usage",
)  # fmt: skip
PLACES = ("berlin", "munich", "oslo")


@dataclass
class Model:
    """Everything that happened, by when the log learned of it; asked by going through all of it."""

    said: list[tuple[datetime, int, str, str, str]] = field(default_factory=list)
    retracted: list[tuple[datetime, str, bool]] = field(default_factory=list)

    def counted(self, believed_at: datetime) -> list[tuple[int, str, str]]:
        """What counted: the day, the verb and the place, in the order it happened."""
        gone = {id_: away for at, id_, away in self.retracted if at <= believed_at}
        known = [
            (on, number, verb, place)
            for number, (at, on, verb, place, id_) in enumerate(self.said)
            if at <= believed_at and not gone.get(id_)
        ]
        return [(on, verb, place) for on, _, verb, place in sorted(known)]

    def held(self, as_of: float, believed_at: datetime) -> set[str]:
        """Where she lived on a day, as was believed: the last word of all that was said by then."""
        here: set[str] = set()
        for on, verb, place in self.counted(believed_at):
            if on <= as_of:
                here = {place} if verb == "live in" else here - {place}
        return here


STEP = st.one_of(
    st.tuples(
        st.just("say"), st.sampled_from(["live in", "live in", "left"]), st.sampled_from(PLACES),
        st.integers(0, 9),
    ),
    st.tuples(st.sampled_from(["retract", "restore"]), st.integers(0, 7)),
)  # fmt: skip


class TestAgainstANaiveInterpreter:
    @pytest.fixture
    def extractors(self) -> list[Extractor]:
        return [Verbatim(), Residence()]

    def test_any_past_of_any_history(
        self, client: MemoryClient, worker: Extraction, superuser: psycopg.Connection, now: Clock
    ) -> None:
        @hypothesis_settings(deadline=None, database=None, max_examples=10, derandomize=True)
        @given(st.lists(STEP, min_size=3, max_size=9), st.data())
        def checked(steps: list[tuple[Any, ...]], data: st.DataObject) -> None:
            superuser.execute(f"TRUNCATE {', '.join(EMPTIED)}")
            model, moments = Model(), [now()]
            for step in steps:
                perform(client, worker, model, step)
                moments.append(now())
            for _ in range(6):
                at = data.draw(st.sampled_from(moments))
                on = data.draw(st.sampled_from([-0.5, *(n + 0.5 for n in range(10))]))
                same_as_model(client, model, on, at)

        checked()


def perform(client: MemoryClient, worker: Extraction, model: Model, step: tuple[Any, ...]) -> None:
    match step:
        case ("say", verb, place, on):
            id_ = f"m{len(model.said)}"
            client.record(ANA, f"I {verb} {place}.", id=id_, occurred_at=day(on))
            (said,) = [i for i in client.interactions(ANA) if i.id == id_]
            assert said.recorded_at is not None
            model.said.append((said.recorded_at, on, verb, place, id_))
        case (verb, number) if number < len(model.said):
            revised = getattr(client, verb)(ANA, interactions=[f"m{number}"])
            if revised.interactions:
                (newest, *_) = sorted(
                    client.retractions(ANA), key=lambda r: r.restored_at or r.retracted_at
                )[::-1]
                moment = newest.restored_at or newest.retracted_at
                model.retracted.append((moment, f"m{number}", verb == "retract"))
    worker.drain()


def same_as_model(client: MemoryClient, model: Model, on: float, at: datetime) -> None:
    clocks: dict[str, Any] = {"as_of": day(on), "believed_at": at}
    facts = client.history(ANA, attribute="lives_in", **clocks)
    assert {m.value for m in facts} == model.held(on, at)
    recalled = client.recall(ANA, "Where does she live?", kinds=[MemoryKind.FACT], **clocks)
    assert {i.memory.value for i in recalled} == model.held(on, at)
    counted = model.counted(at)
    episodes = client.history(ANA, kinds=[MemoryKind.EPISODE], believed_at=at)
    assert sorted(m.text for m in episodes) == sorted(f"User: I {v} {p}." for _, v, p in counted)
    turns = client.context(ANA, "Where does she live?", **clocks).turns
    assert sorted(t.content for t in turns) == sorted(
        f"I {verb} {place}." for day_, verb, place in counted if day_ <= on
    )
