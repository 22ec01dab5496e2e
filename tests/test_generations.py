"""Generations: replayed beside the live one, shifted to by a hash of the user, and taken back."""

import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from anyio import fail_after

from consumers.compaction import compact
from consumers.extraction import Worker, installed_extractors
from consumers.generations.registry import (
    Retired,
    promote,
    retire,
    roll_back,
)
from consumers.importing.importer import read_jsonl
from consumers.replay.replay import (
    Pace,
    Replay,
    Replayed,
    ReplayFilter,
    begun,
)
from consumers.replay.rollout import take_back
from extractors.protocol import Extractor, LogSlice
from memory.client import MemoryClient
from memory.database import Database
from memory.errors import GenerationMismatch, IllegalMove, UnknownGeneration
from memory.models import MemoryKind, Scope
from memory.settings import Settings
from tests.conftest import Residence, WordEmbedder
from tests.replaying import ANA, EVE, TOM, WHOLE, House, content, day, moved, opened
from tests.test_extraction import Acting

SAMPLE = Path(__file__).parent.parent / "examples" / "recruiting.jsonl"


@pytest.fixture
def house(
    settings: Settings, url: str, embedder: WordEmbedder, extractors: list[Extractor]
) -> Iterator[House]:
    with opened(settings, url, embedder, extractors) as house:
        yield house


class TestTheSample:
    @pytest.fixture
    def extractors(self, settings: Settings) -> list[Extractor]:
        return installed_extractors(settings)

    def test_replay_under_the_same_extractors_gives_the_same(
        self, client: MemoryClient, house: House, superuser: psycopg.Connection
    ) -> None:
        said = [placed.interaction for placed in read_jsonl(SAMPLE)]
        for start in range(0, len(said), 37):  # live extraction saw it in pieces
            client.record_many(said[start : start + 37])
            house.drain()
        superuser.execute("UPDATE sessions SET expires_at = now()")
        house.portal.call(kept_in_order, house.settings, house.worker)
        done = house.replay()
        assert (done.left, done.failures, done.interactions) == (0, 0, len(said))
        live, derived = (content(superuser, g, whole=DATED_BY_RUN) for g in ("first", "next"))
        assert len(live) > 200
        assert {row[3] for row in live} == {kind.value for kind in MemoryKind}
        assert derived == live


DATED_BY_RUN = [*WHOLE, "summaries"]


async def kept_in_order(settings: Settings, worker: Worker) -> None:
    await compact(settings, ["sessions", "merge", "decay"], embedder=worker.long_term.embedder)


def believed(client: MemoryClient, scope: Scope = ANA) -> set[str]:
    return {m.text for m in client.history(scope) if m.valid_to is None}


def names(connection: psycopg.Connection[Any]) -> dict[str, tuple[str, int, bool]]:
    rows = connection.execute("SELECT name, state, percent, followed FROM generations").fetchall()
    return {name: (state, percent, followed) for name, state, percent, followed in rows}


class TestReplay:
    def test_leaves_what_serves_alone(
        self, client: MemoryClient, house: House, superuser: psycopg.Connection
    ) -> None:
        moved(client)
        house.drain()
        before = client.history(ANA, closed=True), client.recall(ANA, "Where?").items
        house.replay(extractors=["residence"])
        assert (client.history(ANA, closed=True), client.recall(ANA, "Where?").items) == before
        assert {row[4] for row in content(superuser, "next")} == {
            "Lives in Berlin", "Speaks Czech", "Lives in Oslo",
        }  # fmt: skip

    def test_records_what_made_it(
        self, client: MemoryClient, house: House, superuser: psycopg.Connection
    ) -> None:
        house.replay(extractors=["residence"])
        row = superuser.execute("SELECT extractors FROM generations WHERE name = 'next'").fetchone()
        assert row == ({"explicit": "1", "residence": "1"},)

    def test_goes_on_where_a_budget_ended_it(
        self, client: MemoryClient, house: House, superuser: psycopg.Connection
    ) -> None:
        for scope in (ANA, TOM, EVE):
            moved(client, scope)
        house.drain()
        runs = [house.replay(pace=Pace(budget=1)) for _ in range(3)]
        assert [(r.spent, r.interactions) for r in runs] == [(True, 3)] * 3
        assert content(superuser, "next")[-1][1] == "tom"
        last = house.replay()
        assert (last.spent, last.interactions, last.left) == (False, 0, 0)
        assert content(superuser, "next") == content(superuser, "first")

    def test_derives_only_the_users_that_are_asked_for(
        self, client: MemoryClient, house: House, superuser: psycopg.Connection
    ) -> None:
        for scope in (ANA, TOM, EVE):
            moved(client, scope)
        superuser.execute("UPDATE users SET recorded_at = '2026-05-01Z' WHERE user_id <> 'tom'")
        house.replay(
            part=ReplayFilter(users=["ana", "tom"], since=datetime(2026, 6, 1, tzinfo=UTC))
        )
        assert {row[1] for row in content(superuser, "next")} == {"tom"}
        house.replay(part=ReplayFilter(tenant="elsewhere"))
        assert {row[1] for row in content(superuser, "next")} == {"tom"}
        house.replay(part=ReplayFilter(users=["ana", "tom"]))
        assert {row[1] for row in content(superuser, "next")} == {"ana", "tom"}

    def test_extracts_first_who_is_due(
        self, client: MemoryClient, house: House, superuser: psycopg.Connection
    ) -> None:
        moved(client)
        house.replay()
        assert client.position(ANA).extracted == 3
        assert content(superuser, "next") == content(superuser, "first")

    def test_gives_way_to_extraction_between_commits(
        self, client: MemoryClient, house: House, superuser: psycopg.Connection,
        extractors: list[Extractor],
    ) -> None:  # fmt: skip
        client.record(ANA, "I speak Czech.", id="a")
        client.record(ANA.in_session("s2"), "I speak Thai.", id="b")
        house.drain()
        order: list[tuple[str, int]] = []

        async def note(log: LogSlice) -> None:
            row = superuser.execute("SELECT max(generation) FROM session_progress").fetchone()
            order.append((log.interactions[-1].id, row[0] if row else 0))
            if log.interactions[-1].id == "a":
                await house.worker.database.fetch(ANA, "log.mark_due")
                client.record(ANA.in_session("s3"), "I speak Greek.", id="c")

        extractors[:] = [Acting(act=note)]
        house.replay(extractors=["verbatim"])
        # The live generation sees what came in between before the shadow sees its second session.
        assert [seen for seen, _ in order] == ["a", "c", "b", "c"]

    def test_leaves_who_is_held_and_goes_on_with_the_others(
        self, client: MemoryClient, house: House, superuser: psycopg.Connection,
        settings: Settings,
    ) -> None:  # fmt: skip
        for scope in (ANA, TOM):
            moved(client, scope)
        house.drain()
        superuser.execute(
            "UPDATE users SET lease_token = gen_random_uuid(),"
            " leased_until = now() + interval '1 hour' WHERE user_id = 'ana'"
        )
        house.settings = settings.model_copy(update={"max_attempts": 1})
        done = house.replay()
        assert (done.users, done.left) == (1, 1)
        superuser.execute("UPDATE users SET leased_until = NULL")
        assert house.replay().left == 0
        assert content(superuser, "next") == content(superuser, "first")

    def test_waits_while_extraction_is_behind(
        self, client: MemoryClient, house: House, superuser: psycopg.Connection
    ) -> None:
        for scope in (ANA, TOM):
            moved(client, scope)
        house.drain()
        # Somebody is at tom and has been for too long: nothing for replay to do but wait.
        superuser.execute(
            "UPDATE users SET lease_token = gen_random_uuid(), due_at = now() - interval '1 hour',"
            " leased_until = now() + interval '1 hour' WHERE user_id = 'tom'"
        )
        waited: list[float] = []

        def free(so_far: Replayed) -> None:
            waited.append(so_far.waited)
            superuser.execute("UPDATE users SET leased_until = NULL")

        async def run() -> Replayed:
            generation = await begun(house.worker, "next")
            replay = Replay(house.database, house.worker, generation, house.settings, progress=free)
            with fail_after(60):
                return await replay.run()

        done = house.portal.call(run)
        assert waited[0] > 0
        assert (done.users, done.left) == (2, 0)

    def test_keeps_to_its_rate(self, client: MemoryClient, house: House) -> None:
        for scope in (ANA, TOM):
            moved(client, scope)
        house.drain()
        done = house.replay(pace=Pace(rate=10.0))
        assert done.seconds >= 0.3  # what ana's three took, before tom's

    def test_leaves_the_live_generation_to_the_extractors_that_it_is_pinned_to(
        self, client: MemoryClient, house: House, superuser: psycopg.Connection
    ) -> None:
        moved(client)

        async def run(live: list[str]) -> None:
            await begun(house.worker, "next", ["residence"], live)

        house.portal.call(run, ["verbatim"])
        house.drain()
        assert {row[3] for row in content(superuser, "first")} == {"episode"}
        house.replay(extractors=["residence"])
        assert {row[3] for row in content(superuser, "next")} == {"fact"}
        with pytest.raises(IllegalMove, match="is not made by explicit 1, residence 1"):
            house.portal.call(run, ["residence"])

    def test_refuses_another_version_under_the_same_name(
        self, client: MemoryClient, house: House, extractors: list[Extractor]
    ) -> None:
        house.replay()
        extractors[-1] = Residence(version="2")
        with pytest.raises(GenerationMismatch, match=r"residence 1.*residence 2"):
            house.replay()
        with pytest.raises(GenerationMismatch, match="'nothing'"):
            house.replay(name="other", extractors=["nothing"])

    @pytest.mark.parametrize("name", ["first", "gone"])
    def test_refuses_what_is_no_shadow(self, house: House, name: str) -> None:
        house.replay(name="gone")
        house.portal.call(retire, house.database, "gone")
        with pytest.raises(IllegalMove, match=name):
            house.replay(name=name)

    def test_holds_what_an_app_asked_for_and_what_a_user_refused(
        self, client: MemoryClient, house: House, superuser: psycopg.Connection
    ) -> None:
        client.remember(ANA, "Allergic to nuts", attribute="allergy", value="nuts")
        moved(client)
        house.drain()
        (czech,) = client.history(ANA, attribute="speaks")
        client.forget(ANA, memory=czech.id, keep_sources=True)
        house.replay(extractors=["residence"])
        texts = {row[4] for row in content(superuser, "next")}
        assert texts == {"Allergic to nuts", "Lives in Berlin", "Lives in Oslo"}

    def test_summarises_sessions_that_were_closed_before(
        self, client: MemoryClient, house: House, superuser: psycopg.Connection
    ) -> None:
        moved(client)
        house.drain()
        superuser.execute("UPDATE sessions SET expires_at = now()")
        house.portal.call(closed, house.settings, house.worker)
        house.replay()
        kinds = [row[3] for row in content(superuser, "next")]
        assert kinds.count("summary") == 1
        assert content(superuser, "next", whole=["summaries"]) == content(
            superuser, "first", whole=["summaries"]
        )


async def closed(settings: Settings, worker: Worker) -> None:
    await compact(settings, ["sessions"], embedder=worker.long_term.embedder)


PLAIN = ["residence"]
"""Makes a shadow without the episodes that the live generation of these tests has."""


@pytest.fixture
def replayed(client: MemoryClient, house: House) -> House:
    """Ten users, replayed without their episodes."""
    for number in range(10):
        moved(client, replace(ANA, user=f"user-{number}"))
    house.drain()
    house.replay(extractors=PLAIN)
    return house


def served(client: MemoryClient, connection: psycopg.Connection[Any], number: int) -> str:
    """Which generation answers for one of the ten, however it is asked."""
    scope = replace(ANA, user=f"user-{number}")
    answers = [
        [m.id for m in client.history(scope)],
        [item.memory.id for item in client.recall(scope, "I live in Oslo", k=20)],
        [item.memory.id for item in client.context(scope.in_session("s9"), "I live in Oslo").items],
    ]
    assert all(answers)
    ((name,),) = connection.execute(
        "SELECT DISTINCT g.name FROM memories m JOIN generations g USING (generation)"
        " WHERE m.user_id = %s AND m.memory_id = ANY(%s)",
        (scope.user, [memory for answer in answers for memory in answer]),
    ).fetchall()
    return str(name)


def hundredths(connection: psycopg.Connection[Any]) -> list[int]:
    rows = connection.execute(
        "SELECT rollout_bucket('northwind', 'user-' || n) FROM generate_series(0, 9) n ORDER BY n"
    ).fetchall()
    return [number for (number,) in rows]


class TestServing:
    def test_a_hash_that_never_changes_decides(self, superuser: psycopg.Connection) -> None:
        row = superuser.execute(
            "SELECT rollout_bucket('northwind', 'ana'), rollout_bucket('northwin', 'dana'),"
            " rollout_bucket('', ''), rollout_bucket('テナント', 'アナ')"
        ).fetchone()

        def expected(tenant: str, user: str) -> int:
            digest = hashlib.sha256(f"{len(tenant)}:{tenant}{user}".encode()).digest()
            return int.from_bytes(digest[:4]) % 100

        pairs = (("northwind", "ana"), ("northwin", "dana"), ("", ""), ("テナント", "アナ"))
        assert row == tuple(expected(*pair) for pair in pairs)

    def test_users_fall_evenly(self, superuser: psycopg.Connection) -> None:
        rows = superuser.execute(
            "SELECT rollout_bucket('t' || n % 7, 'u' || n), count(*)"
            " FROM generate_series(1, 20000) n GROUP BY 1"
        ).fetchall()
        counts = [n for _, n in rows]
        # 200 each on average; by chance six standard deviations off in one of 10 million runs.
        assert len(counts) == 100
        assert 200 - 6 * 200**0.5 < min(counts) <= max(counts) < 200 + 6 * 200**0.5

    def test_a_shift_serves_its_share_and_raising_it_moves_nobody_back(
        self, client: MemoryClient, replayed: House, superuser: psycopg.Connection
    ) -> None:
        places = hundredths(superuser)
        for percent in (1, 30, 60, 100):
            replayed.shift(percent)
            answers = [served(client, superuser, number) for number in range(10)]
            assert answers == ["next" if place < percent else "first" for place in places]
        assert 0 < sum(place < 60 for place in places) < 10

    def test_rolling_back_restores_every_answer(
        self, client: MemoryClient, replayed: House, superuser: psycopg.Connection
    ) -> None:
        def answers() -> list[Any]:
            scopes = [replace(ANA, user=f"user-{number}") for number in range(10)]
            return [
                (client.history(s, closed=True), client.recall(s, "Where?").items,
                 client.context(s, "Where?").text)
                for s in scopes
            ]  # fmt: skip

        before = answers()
        replayed.shift(70)
        assert answers() != before
        replayed.portal.call(roll_back, replayed.database)
        assert answers() == before
        assert names(superuser)["next"] == ("shadow", 0, False)

    def test_new_interactions_go_through_both_while_a_shift_is_on(
        self, client: MemoryClient, replayed: House, superuser: psycopg.Connection
    ) -> None:
        scope = replace(ANA, user="user-0")
        replayed.shift(1)
        client.record(scope, "I speak Thai.", occurred_at=day(9))
        client.remember(scope, "Allergic to nuts", attribute="allergy", value="nuts")
        client.record(replace(ANA, user="newcomer"), "I speak Greek.", occurred_at=day(9))
        replayed.drain()
        for name in ("first", "next"):
            texts = [row[4] for row in content(superuser, name)]
            assert {"Speaks Thai", "Allergic to nuts", "Speaks Greek"} <= set(texts), name
        replayed.portal.call(roll_back, replayed.database)
        client.record(scope, "I speak Dutch.", occurred_at=day(10))
        replayed.drain()
        assert "Speaks Dutch" not in {row[4] for row in content(superuser, "next")}
        replayed.shift(1)  # which catches up
        assert "Speaks Dutch" in {row[4] for row in content(superuser, "next")}

    def test_what_is_remembered_is_there_at_once_in_the_generation_that_serves(
        self, client: MemoryClient, replayed: House, superuser: psycopg.Connection
    ) -> None:
        replayed.shift(100)
        scope = replace(ANA, user="user-0")
        memory = client.remember(scope, "Allergic to nuts", attribute="allergy", value="nuts")
        assert memory in client.history(scope)
        assert client.explain(scope, memory.id).evidence[0].quote == "Allergic to nuts"
        replayed.portal.call(roll_back, replayed.database)
        replayed.drain()
        assert "Allergic to nuts" in believed(client, scope)

    @pytest.mark.parametrize("keep_sources", [True, False])
    def test_what_is_forgotten_is_gone_from_every_generation(
        self, client: MemoryClient, replayed: House, superuser: psycopg.Connection,
        keep_sources: bool,
    ) -> None:  # fmt: skip
        scope = replace(ANA, user="user-0")
        (czech,) = client.history(scope, attribute="speaks")
        client.forget(scope, memory=czech.id, keep_sources=keep_sources)
        replayed.drain()
        replayed.replay(extractors=PLAIN)
        rows = superuser.execute(
            "SELECT generation FROM memories WHERE user_id = 'user-0' AND attribute = 'speaks'"
            " UNION ALL SELECT generation FROM assertions WHERE user_id = 'user-0'"
            " AND candidate #>> '{said,attribute}' = 'speaks'"
        ).fetchall()
        assert rows == []

    def test_a_session_is_summarised_in_both_while_a_shift_is_on(
        self, client: MemoryClient, replayed: House, superuser: psycopg.Connection
    ) -> None:
        replayed.shift(1)
        superuser.execute("UPDATE sessions SET expires_at = now()")
        replayed.portal.call(closed, replayed.settings, replayed.worker)
        for name in ("first", "next"):
            assert [r[3] for r in content(superuser, name)].count("summary") == 10, name

    def test_who_follows_the_change_stream_is_told_of_those_who_moved(
        self, replayed: House, superuser: psycopg.Connection
    ) -> None:
        superuser.execute("UPDATE change_stream SET enabled_at = now()")
        places = hundredths(superuser)

        def reset() -> set[tuple[int, int]]:
            rows = superuser.execute(
                "DELETE FROM changes RETURNING user_id, generation, change"
            ).fetchall()
            assert {user for user, _, _ in rows} == {u for u, _, c in rows if c == "reset"}
            return {(int(user.removeprefix("user-")), generation) for user, generation, _ in rows}

        for low, high in ((0, 40), (40, 70)):
            replayed.shift(high)
            assert reset() == {(n, 2) for n, place in enumerate(places) if low <= place < high}
        replayed.portal.call(take_back, replayed.database)
        assert reset() >= {(n, 1) for n, place in enumerate(places) if place < 70}

    def test_the_collective_tier_counts_what_serves(
        self, client: MemoryClient, replayed: House, superuser: psycopg.Connection
    ) -> None:
        superuser.execute("UPDATE memories SET attribute = 'uses', valid_to = NULL, kind = 'fact',"
                          " value = 'tool ' || generation WHERE attribute = 'speaks'")  # fmt: skip
        superuser.execute("UPDATE interactions SET content_hash = sha256(interaction_id::bytea)")
        places = hundredths(superuser)
        percent = sorted(places)[6] + 1  # seven users, and three are left to the live one
        superuser.execute("INSERT INTO tenants (tenant_id, policy) VALUES ('northwind',"
                          " '{\"k\": 2, \"jitter\": 0, \"cooldown_days\": 0}')")  # fmt: skip

        def shared() -> dict[str, int]:
            replayed.portal.call(promoted, replayed.settings, replayed.worker)
            rows = superuser.execute("SELECT value, support FROM collective_memories").fetchall()
            return dict(rows)

        assert shared() == {"tool 1": 10}
        replayed.shift(percent)
        assert shared() == {"tool 1": 2, "tool 2": 2}
        supporters = superuser.execute("SELECT count(*) FROM collective_support").fetchone()
        assert supporters == (10,)


async def promoted(settings: Settings, worker: Worker) -> None:
    await compact(settings, ["promote"], embedder=worker.long_term.embedder)


class TestMoves:
    def test_from_shadow_to_live_to_retired(
        self, client: MemoryClient, replayed: House, superuser: psycopg.Connection
    ) -> None:
        replayed.shift(100)
        replayed.portal.call(promote, replayed.database, "next")
        assert names(superuser) == {"first": ("shadow", 0, True), "next": ("live", 100, True)}
        client.record(replace(ANA, user="user-0"), "I speak Thai.", occurred_at=day(9))
        replayed.drain()
        # Nothing is deleted, and the one before is kept up: going back is a shift.
        assert "Speaks Thai" in {row[4] for row in content(superuser, "first")}
        replayed.shift(100, "first")
        assert served(client, superuser, 0) == "first"
        replayed.portal.call(roll_back, replayed.database)
        assert served(client, superuser, 0) == "next"
        kept = content(superuser, "next")
        done = replayed.portal.call(retire, replayed.database, "first")
        assert done.memories > 0
        assert content(superuser, "next") == kept
        for table in ("memories", "assertions", "session_progress", "embeddings"):
            rows = superuser.execute(f"SELECT DISTINCT generation FROM {table}").fetchall()
            assert rows == [(2,)], table
        assert served(client, superuser, 0) == "next"

    def test_retiring_goes_on_where_it_was_stopped(
        self, replayed: House, superuser: psycopg.Connection
    ) -> None:
        class Stopped(Exception):
            pass

        def stop(_: Retired) -> None:
            raise Stopped

        with pytest.raises(Stopped):
            replayed.portal.call(retire, replayed.database, "next", stop)
        left = len(content(superuser, "next"))
        assert left > 0
        done = replayed.portal.call(retire, replayed.database, "next")
        assert (done.users, content(superuser, "next")) == (10, [])

    def test_retiring_finds_what_a_slow_worker_still_wrote(
        self, replayed: House, superuser: psycopg.Connection
    ) -> None:
        late = ["INSERT INTO memories SELECT (jsonb_populate_record(m, jsonb_build_object("
                "'generation', 2, 'memory_id', 999, 'belief_key', m.belief_key))).*"
                " FROM memories m WHERE user_id = 'user-0' AND generation = 1 LIMIT 1"]  # fmt: skip

        def write(so_far: Retired) -> None:
            if so_far.users == 10 and late:
                superuser.execute(late.pop())

        replayed.portal.call(retire, replayed.database, "next", write)
        assert (late, content(superuser, "next")) == ([], [])

    @pytest.mark.parametrize(
        ("state", "move", "says"),
        [
            ("begun", lambda h: h.shift(10), "has derived 0 of 30 users"),
            ("begun", lambda h: h.portal.call(promote, h.database, "next"), "serves 0 %"),
            ("begun", lambda h: h.portal.call(roll_back, h.database), "no shift is active"),
            ("begun", lambda h: h.portal.call(retire, h.database, "first"), "is live"),
            ("begun", lambda h: h.shift(10, "first"), "is live, not a shadow"),
            ("begun", lambda h: h.shift(0), "percent must be 1 to 100, got 0"),
            ("begun", lambda h: h.shift(101), "percent must be 1 to 100, got 101"),
            ("shifted", lambda h: h.portal.call(promote, h.database, "next"), "serves 10 %"),
            ("shifted", lambda h: h.portal.call(retire, h.database, "next"), "serves 10 %"),
            ("shifted", lambda h: h.shift(10, "other"), "'next' serves 10 %"),
            ("retired", lambda h: h.shift(10), "is retired, not a shadow"),
            ("retired", lambda h: h.replay(), "is retired"),
        ],
    )
    def test_that_cannot_be_made_are_refused(
        self, client: MemoryClient, house: House, superuser: psycopg.Connection, state: str,
        move: Callable[[House], object], says: str,
    ) -> None:  # fmt: skip
        for number in range(30 if state == "begun" else 1):
            client.record(replace(ANA, user=f"user-{number}"), "I speak Thai.")
        house.drain()
        nobody = ReplayFilter(users=[])
        for name in ("next", "other"):
            house.replay(name=name, part=nobody if state == "begun" else None)
        if state == "shifted":
            house.shift(10)
        elif state == "retired":
            house.portal.call(retire, house.database, "next")
        before = names(superuser)
        with pytest.raises(IllegalMove, match=says):
            move(house)
        assert names(superuser) == before

    def test_a_shadow_that_cannot_catch_up_is_not_shifted_to(
        self, client: MemoryClient, replayed: House, superuser: psycopg.Connection
    ) -> None:
        client.record(replace(ANA, user="user-0"), "I speak Thai.")
        superuser.execute(
            "UPDATE users SET lease_token = gen_random_uuid(),"
            " leased_until = now() + interval '1 hour' WHERE user_id = 'user-0'"
        )
        replayed.settings = replayed.settings.model_copy(update={"max_attempts": 1})
        with pytest.raises(IllegalMove, match="cannot catch up with 1 users"):
            replayed.shift(10)
        assert names(superuser)["next"] == ("shadow", 0, False)

    @pytest.mark.parametrize("move", [promote, retire])
    def test_of_a_generation_there_is_none_of(
        self, house: House, move: Callable[[Database, str], Awaitable[object]]
    ) -> None:
        with pytest.raises(UnknownGeneration, match="'nothing'; generations: 'first'"):
            house.portal.call(move, house.database, "nothing")

    def test_a_shadow_whose_extractors_are_missing_stops_nobody(
        self, client: MemoryClient, replayed: House, extractors: list[Extractor],
        superuser: psycopg.Connection, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        replayed.shift(1)
        extractors[-1] = Residence(version="2")
        client.record(replace(ANA, user="user-0"), "I speak Thai.", occurred_at=day(9))
        with caplog.at_level(logging.WARNING):
            replayed.drain()
        assert "generation 'next' falls behind" in caplog.text
        assert "Speaks Thai" in {row[4] for row in content(superuser, "first")}
        assert "Speaks Thai" not in {row[4] for row in content(superuser, "next")}
