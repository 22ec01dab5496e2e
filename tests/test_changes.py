"""The change stream: every change once in the log of changes, at least once on the other side."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest

from consumers import changes as changes_module
from consumers.changes import (
    Change,
    KafkaSink,
    LineSink,
    Publisher,
    drop,
    snapshot,
    stream_state,
)
from consumers.compaction import compact
from memory.bus.topics import changes as changes_topic
from memory.bus.topics import key_of
from memory.client import AsyncMemoryClient, MemoryClient
from memory.database import Database, DatabaseRole
from memory.errors import BusUnavailable
from memory.models import Scope
from memory.settings import Settings
from tests.conftest import Extraction, WordEmbedder
from tests.kafka_topics import kafka_settings

ANA = Scope("northwind", "ana", "scout", "s1")
TOM = Scope("northwind", "tom", "scout", "s1")
EVE = Scope("initech", "ana", "scout", "s1")
DAY_ZERO = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return DAY_ZERO + timedelta(days=number)


class Mirror:
    """What a listener makes of the stream; the other side of the contract in docs/changes.md."""

    def __init__(self) -> None:
        self.seqs: dict[tuple[str, str], int] = {}
        self.held: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
        self.told: list[dict[str, Any]] = []
        self.repeats = 0
        self.broken: BaseException | None = None

    async def send(self, changes: Sequence[Change]) -> None:
        if self.broken is not None:
            raise self.broken
        for change in changes:
            self.hear(json.loads(change.value))

    async def aclose(self) -> None:
        pass

    def hear(self, told: dict[str, Any]) -> None:
        user = (told["tenant"], told["user"])
        if told["seq"] <= self.seqs.get(user, 0):
            self.repeats += 1
            return
        assert told["seq"] == self.seqs.get(user, 0) + 1, "a gap"
        self.seqs[user] = told["seq"]
        self.told.append(told)
        held = self.held.setdefault(user, {})
        match told["change"]:
            case "reset":
                held.clear()
            case "added" | "reinforced":
                if told["memory"] is not None:
                    held[told["memory_id"]] = told["memory"]
            case _:
                held.pop(told["memory_id"], None)

    def kinds(self, scope: Scope = ANA) -> list[str]:
        return [t["change"] for t in self.told if (t["tenant"], t["user"]) == scope_key(scope)]


def scope_key(scope: Scope) -> tuple[str, str]:
    return scope.tenant, scope.user


def believed(superuser: psycopg.Connection) -> dict[tuple[str, str], dict[int, dict[str, Any]]]:
    """What is really served, by user and number, as the stream would tell it."""
    rows = superuser.execute(
        "SELECT tenant_id, user_id, memory_id, memory_as_json(m) - 'importance' FROM memories m"
        " WHERE believed_to IS NULL AND archived_at IS NULL"
        " AND generation = (SELECT generation FROM serving_generation(tenant_id, user_id))"
    ).fetchall()
    found: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for tenant, user, memory, told in rows:
        found.setdefault((tenant, user), {})[memory] = told
    return found


@pytest.fixture
async def store(settings: Settings, url: str) -> AsyncIterator[Database]:
    async with Database(settings, url, DatabaseRole.WORKER) as opened:
        yield opened


@pytest.fixture
def enabled(superuser: psycopg.Connection) -> None:
    superuser.execute("UPDATE change_stream SET enabled_at = now()")


@pytest.fixture
def mirror(enabled: None, settings: Settings, url: str, client: MemoryClient) -> "Listening":
    return Listening(settings, url, client)


class Listening(Mirror):
    """A mirror that publishes to itself what waits."""

    def __init__(self, settings: Settings, url: str, client: MemoryClient) -> None:
        super().__init__()
        self._settings, self._url, self._client = settings, url, client

    def listen(self) -> None:
        async def publish() -> None:
            async with Database(self._settings, self._url, DatabaseRole.WORKER) as database:
                await Publisher(database, self).drain()

        self._client._portal.call(publish)

    def agrees(self, superuser: psycopg.Connection) -> None:
        """Asserts that the mirror holds what is served, and nothing else."""
        self.listen()
        held = {
            user: {m: {k: v for k, v in one.items() if k != "importance"} for m, one in of.items()}
            for user, of in self.held.items()
            if of
        }
        assert held == believed(superuser)


class TestWhatIsKept:
    """Whatever path writes memories."""

    def test_nothing_until_it_is_enabled(
        self, client: MemoryClient, worker: Extraction, superuser: psycopg.Connection
    ) -> None:
        client.record(ANA, "I live in Berlin.")
        worker.drain()
        assert superuser.execute("SELECT count(*) FROM changes").fetchone() == (0,)
        assert superuser.execute("SELECT count(*) FROM change_cursors").fetchone() == (0,)

    def test_what_extraction_adds_reinforces_and_supersedes(
        self, mirror: Listening, client: MemoryClient, worker: Extraction,
        superuser: psycopg.Connection,
    ) -> None:  # fmt: skip
        client.record(ANA, "I live in Berlin.", occurred_at=day(1))
        worker.drain()
        mirror.agrees(superuser)
        assert mirror.kinds() == ["added", "added"]
        client.record(ANA, "I live in Berlin.", occurred_at=day(2))
        worker.drain()
        mirror.agrees(superuser)
        assert sorted(mirror.kinds()[2:]) == ["added", "reinforced"]
        client.record(ANA, "I live in Oslo.", occurred_at=day(3))
        worker.drain()
        mirror.agrees(superuser)
        (superseded,) = [t for t in mirror.told if t["change"] == "superseded"]
        successor = mirror.held[scope_key(ANA)][superseded["successor"]]
        assert successor["supersedes"] == superseded["memory_id"]
        assert successor["value"] == "oslo"
        assert superseded["memory"] is None

    def test_what_a_whole_history_supersedes_at_once(
        self, mirror: Listening, client: MemoryClient, worker: Extraction,
        superuser: psycopg.Connection,
    ) -> None:  # fmt: skip
        client.record(ANA, "I live in Berlin.", occurred_at=day(1))
        worker.drain()
        for number, city in enumerate(["Oslo", "Rome", "Paris"], start=2):
            client.record(ANA, f"I live in {city}.", occurred_at=day(number))
        worker.drain()
        mirror.agrees(superuser)
        closed = [t for t in mirror.told if t["change"] in ("superseded", "withdrawn")]
        assert [t["change"] for t in closed] == ["superseded"]
        assert closed[0]["successor"] in mirror.held[scope_key(ANA)]

    def test_what_an_app_asks_to_remember_and_what_ends(
        self, mirror: Listening, client: MemoryClient, worker: Extraction,
        superuser: psycopg.Connection,
    ) -> None:  # fmt: skip
        client.remember(ANA, "Allergic to nuts", attribute="allergy", value="nuts")
        client.record(ANA, "I live in Berlin.", occurred_at=day(1))
        client.record(ANA, "I left Berlin.", occurred_at=day(5))
        worker.drain()
        mirror.agrees(superuser)

    @pytest.mark.parametrize("how", ["memory", "kept sources", "session", "user"])
    def test_what_is_forgotten_and_revived(
        self, mirror: Listening, client: MemoryClient, worker: Extraction,
        superuser: psycopg.Connection, how: str,
    ) -> None:  # fmt: skip
        client.record(ANA, "I live in Berlin.", occurred_at=day(1))
        client.record(ANA.in_session("s2"), "I live in Oslo.", occurred_at=day(2))
        client.record(TOM, "I live in Oslo.", occurred_at=day(2))
        worker.drain()
        mirror.agrees(superuser)
        (oslo,) = [m for m in client.history(ANA, attribute="lives_in") if m.value == "oslo"]
        match how:
            case "memory":
                client.forget(ANA, memory=oslo.id)
            case "kept sources":
                client.forget(ANA, memory=oslo.id, keep_sources=True)
            case "session":
                client.forget(ANA, session="s2")
            case _:
                client.forget(ANA, user=True)
        mirror.agrees(superuser)
        forgotten = [t for t in mirror.told if t["change"] == "forgotten"]
        assert oslo.id in {t["memory_id"] for t in forgotten}
        assert all(t["memory"] is None for t in forgotten)
        worker.drain()
        mirror.agrees(superuser)

    def test_what_is_retracted_is_withdrawn_and_what_it_replaced_comes_back(
        self, mirror: Listening, client: MemoryClient, worker: Extraction,
        superuser: psycopg.Connection,
    ) -> None:  # fmt: skip
        client.record(ANA, "I live in Berlin.", id="m1", occurred_at=day(1))
        client.record(ANA, "I live in Oslo.", id="m2", occurred_at=day(2))
        worker.drain()
        mirror.agrees(superuser)
        client.retract(ANA, interactions=["m2"], reason="misheard")
        mirror.agrees(superuser)
        worker.drain()
        mirror.agrees(superuser)
        held = mirror.held[scope_key(ANA)].values()
        assert [(m["value"], m["valid_to"]) for m in held if m["value"]] == [("berlin", None)]
        assert "forgotten" not in mirror.kinds()

    def test_a_generation_that_serves_nobody_is_not_told_of(
        self, mirror: Listening, client: MemoryClient, worker: Extraction,
        superuser: psycopg.Connection,
    ) -> None:  # fmt: skip
        superuser.execute("INSERT INTO generations (name, state) VALUES ('next', 'shadow')")
        client.record(ANA, "I live in Berlin.")
        worker.drain()
        mirror.agrees(superuser)
        told = len(mirror.told)
        columns = superuser.execute(
            "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute"
            " WHERE attrelid = 'memories'::regclass AND attnum > 0 AND NOT attisdropped"
            " AND attname NOT IN ('generation', 'memory_id')"
        ).fetchone()
        assert columns is not None
        copy = f"INSERT INTO memories (generation, memory_id, {columns[0]})"
        copy += f" SELECT 2, memory_id + 100, {columns[0]} FROM memories"
        superuser.execute(copy.encode())
        superuser.execute("UPDATE memories SET support = 9 WHERE generation = 2")
        superuser.execute("DELETE FROM memories WHERE generation = 2")
        mirror.agrees(superuser)
        assert len(mirror.told) == told

    def test_what_the_operators_jobs_change(
        self, mirror: Listening, client: MemoryClient, worker: Extraction, settings: Settings,
        superuser: psycopg.Connection,
    ) -> None:  # fmt: skip
        for number in range(12):
            scope = ANA.in_session(f"s{number}")
            then = day(number - 2000)
            client.record(scope, f"I speak German{'!' * (number % 2)}.", occurred_at=then)
            client.record(scope, f"On day {number} I saw a film.", occurred_at=then)
        client.record(TOM, "I live in Oslo.", occurred_at=day(-2000))
        worker.drain()
        mirror.agrees(superuser)
        client.record(ANA, "It has been a long time.", occurred_at=day(0))
        worker.drain()

        async def jobs() -> None:
            await compact(settings, tenant="northwind", embedder=WordEmbedder())

        client._portal.call(jobs)
        mirror.agrees(superuser)
        assert "withdrawn" in mirror.kinds()  # archived by decay

    def test_rows_that_are_moved_together_are_no_change(
        self, mirror: Listening, client: MemoryClient, worker: Extraction,
        superuser: psycopg.Connection, settings: Settings, url: str,
    ) -> None:  # fmt: skip
        from consumers.compaction.clustering import MOVES, STAGES

        client.record(ANA, "I live in Berlin.")
        worker.drain()
        mirror.agrees(superuser)
        told = len(mirror.told)
        keys = {"tenant": "northwind", "user": "-", "users": ["ana"]}

        async def move() -> None:
            async with (
                Database(settings, url, DatabaseRole.WORKER) as database,
                database.transaction(Scope("northwind", "-")) as transaction,
            ):
                await transaction.fetch("changes.silence", {})
                for name in (*STAGES, *MOVES):
                    await transaction.fetch(f"compaction.{name}", keys)

        client._portal.call(move)
        mirror.agrees(superuser)
        assert len(mirror.told) == told

    def test_words_that_wait_go_with_what_is_forgotten(
        self, enabled: None, client: MemoryClient, worker: Extraction,
        superuser: psycopg.Connection,
    ) -> None:  # fmt: skip
        client.record(ANA, "I live in Berlin.")
        client.record(TOM, "I live in Oslo.")
        worker.drain()
        client.forget(ANA, user=True)
        waiting = superuser.execute("SELECT user_id, memory::text FROM changes").fetchall()
        assert [text for user, text in waiting if user == "ana" and text] == []
        assert any("Oslo" in text for user, text in waiting if user == "tom" and text)
        whole = superuser.execute("SELECT string_agg(changes::text, ' ') FROM changes").fetchone()
        assert whole is not None
        assert "Berlin" not in whole[0]

    def test_a_change_that_was_not_committed_was_none(
        self, mirror: Listening, client: MemoryClient, worker: Extraction,
        superuser: psycopg.Connection,
    ) -> None:  # fmt: skip
        client.record(ANA, "I live in Berlin.")
        worker.drain()
        with superuser.transaction(force_rollback=True):
            superuser.execute("UPDATE memories SET support = support + 1")
        superuser.execute("UPDATE memories SET support = support + 1")
        mirror.agrees(superuser)
        assert mirror.kinds() == ["added", "added", "reinforced", "reinforced"]


async def told(settings: Settings, url: str, tenant: str | None = None) -> int:
    async with Database(settings, url, DatabaseRole.WORKER) as database:
        return await snapshot(database, tenant)


class TestSnapshot:
    def test_tells_who_begins_to_listen_everything(
        self, client: MemoryClient, worker: Extraction, superuser: psycopg.Connection,
        settings: Settings, url: str,
    ) -> None:  # fmt: skip
        for scope in (ANA, TOM, EVE):
            client.record(scope, "I live in Berlin.")
        worker.drain()
        superuser.execute("UPDATE change_stream SET enabled_at = now()")
        mirror = Listening(settings, url, client)

        assert client._portal.call(told, settings, url, "initech") == 1
        mirror.listen()
        assert set(mirror.held) == {scope_key(EVE)}
        assert client._portal.call(told, settings, url) == 3
        mirror.agrees(superuser)
        assert mirror.kinds() == ["reset", "added", "added"]

    def test_takes_away_what_is_served_no_more(
        self, mirror: Listening, client: MemoryClient, worker: Extraction,
        superuser: psycopg.Connection, settings: Settings, url: str,
    ) -> None:  # fmt: skip
        client.record(ANA, "I live in Berlin.")
        worker.drain()
        mirror.agrees(superuser)
        superuser.execute("UPDATE generations SET state = 'retired', percent = 0, followed = false")
        superuser.execute(
            "INSERT INTO generations (name, state, percent, followed)"
            " VALUES ('next', 'live', 100, true)"
        )
        client._portal.call(told, settings, url)
        mirror.agrees(superuser)
        assert mirror.held[scope_key(ANA)] == {}


class TestPublishing:
    @pytest.fixture
    def three(self, enabled: None, client: MemoryClient, worker: Extraction) -> None:
        for scope in (ANA, TOM, EVE):
            for city in ("Berlin", "Oslo", "Rome"):
                client.record(scope, f"I live in {city}.")
        worker.drain()

    async def test_what_is_acknowledged_is_let_go_of(
        self, three: None, store: Database, superuser: psycopg.Connection
    ) -> None:
        mirror = Mirror()
        done = await Publisher(store, mirror).drain()
        assert done.changes == len(mirror.told) > 0
        state = await stream_state(store)
        assert (state.enabled, state.waiting, state.users, state.lag_seconds) == (True, 0, 0, 0.0)
        assert superuser.execute("SELECT count(*) FROM changes").fetchone() == (0,)
        assert (await Publisher(store, mirror).drain()).changes == 0

    async def test_what_is_not_acknowledged_waits(self, three: None, store: Database) -> None:
        mirror = Mirror()
        before = (await stream_state(store)).waiting
        mirror.broken = BusUnavailable("no answer")
        with pytest.raises(BusUnavailable):
            await Publisher(store, mirror).drain()
        state = await stream_state(store)
        assert state.waiting == before
        assert state.lag_seconds > 0
        mirror.broken = None
        await Publisher(store, mirror).drain()
        assert len(mirror.told) == before

    async def test_a_publisher_that_died_before_it_let_go_causes_repeats(
        self, three: None, store: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Dying(Mirror):
            async def send(self, changes: Sequence[Change]) -> None:
                await super().send(changes)
                raise BusUnavailable("the answer was lost")

        mirror = Dying()
        with pytest.raises(BusUnavailable):
            await Publisher(store, mirror).drain()
        other = Mirror()
        other.seqs, other.told, other.held = mirror.seqs, mirror.told, mirror.held
        await Publisher(store, other).drain()
        assert other.repeats > 0
        assert (await stream_state(store)).waiting == 0

    async def test_one_publishes_at_a_time_and_another_takes_over(
        self, three: None, store: Database, superuser: psycopg.Connection
    ) -> None:
        began, go_on = anyio.Event(), anyio.Event()

        class Slow(Mirror):
            async def send(self, changes: Sequence[Change]) -> None:
                began.set()
                await go_on.wait()
                await super().send(changes)

        slow, mirror = Slow(), Mirror()
        async with anyio.create_task_group() as group:
            group.start_soon(Publisher(store, slow).drain)
            await began.wait()
            assert (await Publisher(store, mirror).drain()).changes == 0
            superuser.execute("UPDATE change_stream SET leased_until = now() - interval '1 second'")
            waiting = (await stream_state(store)).waiting
            assert (await Publisher(store, mirror).drain()).changes == waiting
            go_on.set()
        mirror.told += slow.told
        for told in slow.told:  # what the slow one sent late are repeats
            mirror.hear(told)
        assert mirror.repeats == len(slow.told)
        assert (await stream_state(store)).waiting == 0

    async def test_a_publisher_that_was_replaced_lets_go_of_nothing(
        self, three: None, store: Database, superuser: psycopg.Connection
    ) -> None:
        class Replaced(Mirror):
            async def send(self, changes: Sequence[Change]) -> None:
                superuser.execute("UPDATE change_stream SET lease_token = gen_random_uuid()")
                await super().send(changes)

        before = (await stream_state(store)).waiting
        await Publisher(store, Replaced()).drain()
        assert (await stream_state(store)).waiting == before

    async def test_a_user_with_many_changes_keeps_its_order(
        self, enabled: None, async_client: AsyncMemoryClient, store: Database,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(changes_module, "CHANGES_OF_A_USER", 3)
        for number in range(10):
            await async_client.remember(ANA, f"Number {number}", attribute=f"n{number}", value="x")
        mirror = Mirror()  # asserts that there is no gap
        await Publisher(store, mirror).drain()
        assert mirror.kinds() == ["added"] * 10

    async def test_following_publishes_what_comes(
        self, enabled: None, async_client: AsyncMemoryClient, store: Database,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(changes_module, "FIRST_WAIT", 0.05)
        heard = anyio.Event()

        class Ringing(Mirror):
            async def send(self, changes: Sequence[Change]) -> None:
                if not self.told and self.broken is None:
                    self.broken = BusUnavailable("no answer yet")
                    raise self.broken
                self.broken = None
                await super().send(changes)
                heard.set()

        mirror = Ringing()
        async with anyio.create_task_group() as group:
            group.start_soon(Publisher(store, mirror).follow)
            await async_client.remember(ANA, "Allergic to nuts", attribute="allergy", value="nuts")
            with anyio.fail_after(60):
                await heard.wait()
            group.cancel_scope.cancel()
        assert mirror.kinds() == ["added"]
        assert not (await stream_state(store)).published  # stepped down

    async def test_dropping_lets_go_of_all_and_leaves_the_numbers(
        self, three: None, store: Database, async_client: AsyncMemoryClient
    ) -> None:
        mirror = Mirror()
        before = (await stream_state(store)).waiting
        assert before > 0
        await drop(store)
        assert (await stream_state(store)).waiting == 0
        await async_client.remember(ANA, "Allergic to nuts", attribute="allergy", value="nuts")
        rows = await store.fetch(ANA, "changes.read", {"users": ["ana"], "limit": 10})
        (seq,) = {row["seq"] for row in rows}
        assert seq > 1
        mirror.seqs[scope_key(ANA)] = seq - 1
        await Publisher(store, mirror).drain()
        assert mirror.kinds() == ["added"]

    async def test_lines_of_json(self, three: None, store: Database, tmp_path: Path) -> None:
        path = tmp_path / "changes.jsonl"
        with path.open("ab") as file:
            done = await Publisher(store, LineSink(file)).drain()
        mirror = Mirror()
        for line in path.read_text().splitlines():
            mirror.hear(json.loads(line))
        assert len(mirror.told) == done.changes
        assert set(mirror.held) == {scope_key(s) for s in (ANA, TOM, EVE)}


async def test_changes_reach_kafka_under_their_users_key(
    kafka: str, url: str, embedder: WordEmbedder, superuser: psycopg.Connection
) -> None:
    from kafka import KafkaConsumer

    settings = kafka_settings(kafka, url)
    plain = settings.model_copy(update={"kafka_servers": None})
    superuser.execute("UPDATE change_stream SET enabled_at = now()")
    async with (
        AsyncMemoryClient(plain, embedder=embedder) as client,
        Database(plain, url, DatabaseRole.WORKER) as database,
    ):
        for scope in (ANA, TOM, EVE):
            for n in range(5):
                await client.remember(scope, f"Number {n}", attribute=f"n{n}", value="x")
        sink = KafkaSink(settings)
        done = await Publisher(database, sink).drain()
        await sink.aclose()
    assert done.changes == 15

    def heard() -> list[Any]:
        topic = changes_topic(settings.kafka_topic)
        consumer = KafkaConsumer(
            topic, bootstrap_servers=[kafka], auto_offset_reset="earliest", group_id=None
        )
        found: list[Any] = []
        while len(found) < done.changes:
            for records in consumer.poll(timeout_ms=500).values():
                found += records
        consumer.close()
        return found

    mirror = Mirror()
    with anyio.fail_after(60):
        records = await anyio.to_thread.run_sync(heard, abandon_on_cancel=True)
    for record in records:
        told = json.loads(record.value)
        assert record.key == key_of(Scope(told["tenant"], told["user"]))
        mirror.hear(told)
    assert {len(of) for of in mirror.held.values()} == {5}
    assert len({(r.partition, r.key) for r in records}) == 3
