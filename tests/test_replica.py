"""A client that reads from a streaming standby: what it shows, waits for, refuses and outlives."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

import memory.client.async_client
from consumers.cli.application import memory as command_line
from consumers.extraction import Worker
from memory import embedded
from memory.beliefs.long_term import seal
from memory.client import MemoryClient
from memory.database import Database, DatabaseRole, replica
from memory.errors import (
    ClientNotOpen,
    EmbedderMismatch,
    LoginRefused,
    NotMigrated,
    PoolExhausted,
    ReadOnlyStore,
    StoreUnavailable,
)
from memory.migrate import migrate, migrations
from memory.models import Scope
from memory.settings import Settings
from tests.conftest import Residence, Verbatim, WordEmbedder
from tests.ingesting import Stream, said, until
from tests.kafka_topics import kafka_settings
from tests.physical import Pair, execute, program, streaming, value

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

EMPTY = "empty"
NOBODY_LISTENS = "postgresql://postgres@127.0.0.1:1/postgres?connect_timeout=1"
SOON = 60.0
"""Seconds that a wait may take at most which ends by itself."""

_numbers = count(1)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with streaming() as found:
        anyio.run(migrate, found.primary)
        found.make_database(EMPTY)
        with MemoryClient(primary(found), embedder=WordEmbedder()):
            pass  # so that the store has an embedder
        found.caught_up()
        yield found


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "LONGEST_PAUSE", 0.2)


@pytest.fixture
def scope() -> Scope:
    return Scope("acme", f"user-{next(_numbers)}", "scout", "monday")


@pytest.fixture
def empty(pair: Pair) -> Pair:
    """A store that no client has opened."""
    return pair.make_database(f"empty_{next(_numbers)}", EMPTY)


def primary(pair: Pair, **more: Any) -> Settings:
    return Settings(database_url=SecretStr(pair.primary), pool_max=4, debounce=0.0, **more)


def standby(pair: Pair, **more: Any) -> Settings:
    return Settings(read_url=SecretStr(pair.standby), pool_max=4, **more)


def both(pair: Pair, **more: Any) -> Settings:
    return primary(pair, read_url=SecretStr(pair.standby), **more)


@contextmanager
def opened(settings: Settings, **options: Any) -> Iterator[MemoryClient]:
    with MemoryClient(settings, embedder=WordEmbedder(), **options) as client:
        yield client


def extract(pair: Pair, *sealed: Scope) -> None:
    async def drain() -> None:
        settings = primary(pair)
        async with Database(settings, pair.primary, DatabaseRole.WORKER) as database:
            await Worker(database, WordEmbedder(), [Verbatim(), Residence()], settings).drain()
            for scope in sealed:
                await seal(database, scope)

    anyio.run(drain)


def turns(client: MemoryClient, scope: Scope) -> list[str]:
    return [turn.content for turn in client.context(scope, "What was said?").turns]


def served_by_standby(pair: Pair, client: MemoryClient, scope: Scope) -> bool:
    """Whether the client does not see what only the primary has."""
    with pair.paused():
        with opened(primary(pair)) as writing:
            receipt = writing.record(scope, "Only the primary knows.")
        return client.position(scope).recorded < receipt.position


class TestReading:
    def test_every_reading_verb_answers_as_the_primary_does(self, pair: Pair, scope: Scope) -> None:
        with opened(primary(pair)) as client:
            client.record_many(
                [said(f"{scope.user}-{n}", scope, content=f"Note {n}.") for n in range(300)]
            )
            client.record(scope, "I live in Berlin.", id="berlin")
            client.record(scope, "I live in Oslo.", id="oslo")
            client.record(scope, "I speak Danish.", id="danish")
            client.state.set(scope, "step", 2)
            extract(pair, scope)
            client.retract(scope, interactions=["danish"], reason="a joke")
            pair.caught_up()
            blocks = "SELECT count(*) > 0 FROM recall_blocks WHERE user_id = %s"
            assert value(pair.standby, blocks, scope.user)
            with opened(standby(pair)) as reading:
                assert everything(reading, scope) == everything(client, scope)
                found = reading.recall(scope, "Where does the user live?")
                assert any("Oslo" in item.memory.text for item in found.items)
                stranger = Scope("other", scope.user, "scout", "monday")
                assert not reading.recall(stranger, "Where does the user live?").items
                assert reading.interactions(stranger) == []

    def test_opening_and_reading_write_nothing(self, empty: Pair, scope: Scope) -> None:
        settings = primary(empty)
        with opened(settings, reads_only=True) as client:
            assert client.context(scope, "Where?").turns == ()
            assert client.recall(scope, "Where?").items == ()
        assert execute(empty.primary, "SELECT * FROM embedders") == []

    def test_nor_does_it_into_the_embedded_store(self, pair: Pair, scope: Scope) -> None:
        settings = Settings(data_dir=pair.folder / "own")
        try:
            with opened(settings, reads_only=True) as client:
                assert client.recall(scope, "Where?").items == ()
                with pytest.raises(ReadOnlyStore, match="reads_only=True"):
                    client.record(scope, "Hello.")
            assert execute(embedded.start(settings.data_dir), "SELECT * FROM embedders") == []
        finally:
            embedded.stop(settings.data_dir)

    def test_a_store_that_gets_its_embedder_later(self, empty: Pair, scope: Scope) -> None:
        empty.caught_up()
        with opened(standby(empty)) as reading:
            assert reading.recall(scope, "Berlin").items == ()
            with opened(primary(empty)) as client:
                client.remember(scope, "Lives in Berlin")
                client.remember(scope, "Plays chess")
            empty.caught_up()
            best, other = reading.recall(scope, "chess").items
            assert best.memory.text == "Plays chess"
            assert best.signals["dense"] > other.signals["dense"]

    def test_another_embedder_is_refused(self, pair: Pair) -> None:
        class Other(WordEmbedder):
            name = "other-64"

        client = MemoryClient(standby(pair), embedder=Other())
        with pytest.raises(EmbedderMismatch, match="made by 'words-64', configured is 'other-64'"):
            client.open()

    def test_an_open_that_fails_leaves_nothing_open(
        self, pair: Pair, scope: Scope, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        closed = []

        class Other(WordEmbedder):
            name = "other-64"

            async def aclose(self) -> None:
                closed.append(self)

        monkeypatch.setattr(memory.client.async_client, "create_embedder", lambda _: Other())
        client = MemoryClient(both(pair, application_name="fails"))
        with pytest.raises(EmbedderMismatch):
            client.open()
        left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fails'"
        servers = (pair.primary, pair.standby)
        until(lambda: [value(url, left) for url in servers] == [0, 0], "all are closed")
        assert len(closed) == 1
        with pytest.raises(ClientNotOpen):
            client.recall(scope, "Where?")

    def test_only_a_writing_client_notes_what_was_of_use(
        self, pair: Pair, scope: Scope, caplog: pytest.LogCaptureFixture
    ) -> None:
        noted = "SELECT count(*) FROM memory_usage WHERE user_id = %s"
        with opened(primary(pair)) as client:
            client.remember(scope, "Lives in Berlin")
        pair.caught_up()
        later = scope.in_session("tuesday")
        at_standby = Settings(database_url=SecretStr(pair.standby))
        for settings in (standby(pair), at_standby):
            with opened(settings) as reading:
                assert reading.context(later, "Where?").items
        assert (value(pair.primary, noted, scope.user), caplog.text) == (0, "")
        with opened(both(pair)) as client:
            assert client.context(later, "Where?").items
        assert value(pair.primary, noted, scope.user) == 1


def everything(client: MemoryClient, scope: Scope) -> list[Any]:
    """What every reading verb returns."""
    believed = client.history(scope, limit=1000)
    recalled = client.recall(scope, "Where does the user live?", k=20)
    return [
        recalled,
        client.recall(scope, "Note 7", k=20, only_agent=False, as_of=believed[0].occurred_at),
        client.context(scope, "Where does the user live?", budget=1000),
        believed,
        client.history(scope, closed=True, attribute="lives_in"),
        [client.explain(scope, memory.id) for memory in believed[:3]],
        client.retractions(scope),
        client.interactions(scope),
        client.position(scope),
        client.state.get(scope),
    ]


class TestWaiting:
    """With replay paused, so that the standby really is behind."""

    def test_a_receipt_is_waited_for_on_the_standby(
        self, pair: Pair, scope: Scope, in_thread: Callable[..., Future[Any]]
    ) -> None:
        with opened(primary(pair)) as client, opened(standby(pair)) as reading:
            client.record(scope, "I live in Berlin.")
            extract(pair)
            with pair.paused():
                receipt = client.record(scope, "I live in Oslo.")
                extract(pair)
                for ask in (reading.recall, reading.context):
                    stale = ask(scope, "Where?", after=receipt, timeout=0.2)
                    assert (stale.fresh, stale.position, stale.extracted) == (False, 1, 1)
                    assert stale.waited >= 0.2
                asked = [
                    in_thread(ask, scope, "Where?", after=receipt, timeout=SOON)
                    for ask in (reading.recall, reading.context)
                ]
                assert not any(answer.done() for answer in asked)
            recalled, context = (answer.result(SOON) for answer in asked)
            assert (recalled.fresh, recalled.extracted) == (True, 2)
            assert any("Oslo" in item.memory.text for item in recalled.items)
            assert (context.fresh, context.position) == (True, 2)
            assert context.turns[-1].content == "I live in Oslo."

    def test_a_receipt_from_kafka_too(
        self, pair: Pair, kafka: str, scope: Scope, in_thread: Callable[..., Future[Any]]
    ) -> None:
        settings = kafka_settings(kafka, pair.primary, partitions=1)
        stream = Stream(settings, pair.primary)
        reading_too = settings.model_copy(update={"read_url": SecretStr(pair.standby)})
        with opened(reading_too) as client, opened(standby(pair)) as other, pair.paused():
            client.record(scope, "Hello.")
            receipt = client.record(scope, "I live in Oslo.")
            assert receipt.place
            assert receipt.position == 0
            stream.drain()
            extract(pair)
            assert not other.context(scope, "Where?", after=receipt, timeout=0.2).fresh
            assert turns(client, scope) == ["Hello.", "I live in Oslo."]
            assert turns(other, scope) == []
            asked = in_thread(other.recall, scope, "Where?", after=receipt, timeout=SOON)
            pair.resume()
            assert asked.result(SOON).fresh
            assert asked.result().extracted == 2
            assert turns(client, scope) == turns(other, scope) == ["Hello.", "I live in Oslo."]

    def test_a_message_that_never_comes_is_not_waited_for(
        self, pair: Pair, kafka: str, scope: Scope, in_thread: Callable[..., Future[Any]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        stream = Stream(kafka_settings(kafka, pair.primary, partitions=1), pair.primary)
        monkeypatch.setattr("memory.client.async_client.check_not_ahead", lambda _: None)
        far = datetime(2999, 1, 1, tzinfo=UTC)  # which ingestion refuses as well
        with opened(stream.settings) as client, opened(standby(pair)) as reading:
            with pair.paused():
                gone = client.record(scope, "Becomes a dead letter.", occurred_at=far)
                stream.drain()
                assert not reading.context(scope, "?", after=gone, timeout=0.2).fresh
                asked = in_thread(reading.context, scope, "?", after=gone, timeout=SOON)
                assert not asked.done()
            assert asked.result(SOON).fresh
            assert asked.result().position == 0


class TestOwnTurns:
    """What a client has just written, while the standby does not have it yet."""

    def test_a_context_shows_what_was_just_recorded(self, pair: Pair, scope: Scope) -> None:
        with opened(both(pair)) as client, opened(standby(pair)) as other:
            client.record(scope, "One.")
            with pair.paused():
                client.record(scope, "Two.")
                client.record(scope.in_session("tuesday"), "Elsewhere.")
                assert turns(client, scope) == ["One.", "Two."]
                assert turns(other, scope) == ["One."]
                assert [i.content for i in client.interactions(scope)] == ["One."]
                client.state.set(scope, "step", 2)
                assert client.state.get(scope) == {"step": 2}
            pair.caught_up()
            assert turns(client, scope) == ["One.", "Two."]
            assert turns(client, scope) == turns(other, scope)

    def test_but_not_what_was_forgotten_or_retracted_since(self, pair: Pair, scope: Scope) -> None:
        with opened(both(pair)) as client, pair.paused():
            client.record(scope, "A secret.")
            client.forget(scope, session=scope.session)
            assert turns(client, scope) == []
            client.record(scope, "A joke.", id="joke")
            client.retract(scope, interactions=["joke"])
            assert turns(client, scope) == []
            client.remember(scope, "Lives in Berlin")
            (memory,) = execute(
                pair.primary, "SELECT memory_id FROM memories WHERE user_id = %s", scope.user
            )
            client.forget(scope, memory=int(str(memory[0])))
            assert turns(client, scope) == []

    def test_threads_may_record_while_others_read(
        self, pair: Pair, scope: Scope, in_thread: Callable[..., Future[Any]]
    ) -> None:
        with opened(both(pair)) as client:
            sessions = [scope.in_session(f"s{n}") for n in range(3)]

            def talk(where: Scope) -> None:
                for n in range(20):
                    client.record(where, f"{n}")
                    assert turns(client, where)[-1] == f"{n}"

            for done in [in_thread(talk, where) for where in sessions]:
                done.result(SOON)


WRITES: dict[str, Callable[[MemoryClient, Scope], object]] = {
    "record": lambda client, scope: client.record(scope, "Hello."),
    "record_many": lambda client, scope: client.record_many([said("m1", scope)]),
    "remember": lambda client, scope: client.remember(scope, "Lives in Berlin"),
    "forget": lambda client, scope: client.forget(scope, user=True),
    "retract": lambda client, scope: client.retract(scope, interactions=["known"]),
    "restore": lambda client, scope: client.restore(scope, interactions=["retracted"]),
    "state.set": lambda client, scope: client.state.set(scope, "step", 1),
    "state.delete": lambda client, scope: client.state.delete(scope, "step"),
}


@pytest.fixture(scope="module")
def known(pair: Pair) -> Scope:
    scope = Scope("acme", "known", "scout", "monday")
    with opened(primary(pair)) as client:
        client.record(scope, "I live in Berlin.", id="known")
        client.record(scope, "I live in Oslo.", id="retracted")
        client.retract(scope, interactions=["retracted"])
    pair.caught_up()
    return scope


@pytest.fixture(scope="module", params=["told", "only a standby", "led to a standby"])
def refusing(request: pytest.FixtureRequest, pair: Pair) -> Iterator[tuple[Any, str]]:
    """A client that cannot write, and what its errors say about why."""
    settings, options, why = {
        "told": (both(pair), {"reads_only": True}, "reads_only=True"),
        "only a standby": (standby(pair), {}, "set MEMORY_DATABASE_URL to the primary"),
        "led to a standby": (
            Settings(database_url=SecretStr(pair.standby)),
            {},
            "MEMORY_DATABASE_URL takes no writes",
        ),
    }[request.param]
    with opened(settings, **options) as client:
        yield client, why


class TestWriting:
    @pytest.mark.parametrize("verb", WRITES)
    def test_is_refused_by_name(
        self, refusing: tuple[MemoryClient, str], known: Scope, verb: str
    ) -> None:
        client, why = refusing
        with pytest.raises(ReadOnlyStore) as refused:
            WRITES[verb](client, known)
        said = str(refused.value)
        assert said.startswith(f"{verb}() writes")
        assert why in said
        assert "\n" not in said


class TestAway:
    @pytest.fixture(autouse=True)
    def _there_again(self, pair: Pair) -> Iterator[None]:
        yield
        pair.start_standby()

    def test_the_primary_serves_until_the_standby_is_back(
        self, pair: Pair, scope: Scope, caplog: pytest.LogCaptureFixture
    ) -> None:
        with opened(both(pair)) as client:
            assert served_by_standby(pair, client, scope)
            pair.stop_standby()
            receipt = client.record(scope, "While it was away.")
            assert client.position(scope).recorded == receipt.position
            assert turns(client, scope)[-1] == "While it was away."
            until(lambda: "the primary serves reads" in caplog.text, "that is said")
            pair.start_standby()
            until(lambda: served_by_standby(pair, client, scope), "the standby serves again")
            assert "the standby serves reads again" in caplog.text

    def test_so_it_does_for_a_client_that_only_reads(self, pair: Pair, scope: Scope) -> None:
        with opened(both(pair), reads_only=True) as client:
            pair.stop_standby()
            with opened(primary(pair)) as writing:
                receipt = writing.record(scope, "Hello.")
            assert client.position(scope).recorded == receipt.position

    def test_a_client_opens_while_the_standby_is_away(self, pair: Pair, scope: Scope) -> None:
        pair.stop_standby()
        with opened(both(pair)) as client, opened(both(pair), reads_only=True) as reading:
            client.record(scope, "Hello.")
            assert turns(reading, scope) == turns(client, scope) == ["Hello."]
            pair.start_standby()
            until(lambda: served_by_standby(pair, reading, scope), "the standby serves")

    @pytest.mark.parametrize("only", [True, False])
    def test_without_a_primary_in_its_place_it_is_waited_for(
        self, pair: Pair, scope: Scope, only: bool
    ) -> None:
        short = {"connect_timeout": 1.0}
        settings = standby(pair, **short) if only else both(pair, read_fallback=False, **short)
        with opened(settings) as client:
            assert client.position(scope).recorded == 0
            pair.stop_standby()
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    client.recall(scope, "Where?")
            with pytest.raises(StoreUnavailable), opened(settings):
                pass
            pair.start_standby()
            until(lambda: answers(client, scope), "it answers again")

    def test_a_standby_serves_while_the_primary_is_away(self, pair: Pair, scope: Scope) -> None:
        with opened(primary(pair)) as client:
            client.record(scope, "Hello.")
        pair.caught_up()
        settings = standby(pair, database_url=SecretStr(NOBODY_LISTENS), connect_timeout=1.0)
        with opened(settings, reads_only=True) as client:
            assert turns(client, scope) == ["Hello."]

    def test_a_standby_without_the_newest_migration_is_away(
        self, empty: Pair, scope: Scope, caplog: pytest.LogCaptureFixture
    ) -> None:
        newest = len(migrations())
        execute(empty.primary, "CREATE TABLE hidden AS TABLE schema_migrations")
        execute(empty.primary, "DELETE FROM schema_migrations WHERE version = %s", newest)
        with empty.paused():
            missing = "SELECT * FROM hidden EXCEPT TABLE schema_migrations"
            execute(empty.primary, f"INSERT INTO schema_migrations {missing}")
            with pytest.raises(NotMigrated), opened(standby(empty)):
                pass
            with opened(both(empty)) as client:
                client.record(scope, "Hello.")
                assert turns(client, scope) == ["Hello."]
                until(lambda: "the primary serves reads" in caplog.text, "that is said")
                empty.resume()
                until(lambda: "serves reads again" in caplog.text, "the standby is migrated")


class TestRotation:
    """A login that is renamed, and the files with its URLs."""

    @pytest.fixture
    def login(self, pair: Pair) -> Iterator[str]:
        """A name, and the same with `_renamed`, for a login that may do what the client does."""
        name = f"login_{next(_numbers)}"
        execute(pair.primary, f"CREATE ROLE {name} LOGIN IN ROLE memory_client")
        pair.caught_up()
        yield name
        execute(pair.primary, f"DROP ROLE IF EXISTS {name}, {name}_renamed")

    @pytest.fixture
    def write(self, tmp_path: Path) -> Callable[[str, str, str], Path]:
        def write(name: str, url: str, user: str) -> Path:
            staged = tmp_path / f"{name}.new"
            staged.write_text(make_conninfo(url, user=user))
            return staged.rename(tmp_path / name)

        return write

    def rename(self, pair: Pair, login: str) -> None:
        execute(pair.primary, f"ALTER ROLE {login} RENAME TO {login}_renamed")
        pair.caught_up()
        ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid IN"
        of_it = "(SELECT pid FROM pg_stat_activity WHERE usename IN (%s, %s))"
        execute(pair.standby, f"{ended} {of_it}", login, f"{login}_renamed")

    @pytest.mark.parametrize("reads_only", [False, True])
    @pytest.mark.parametrize(
        "files", [("database_url",), ("read_url",), ("database_url", "read_url")]
    )
    def test_each_server_has_a_file_of_its_own(
        self,
        pair: Pair,
        scope: Scope,
        login: str,
        write: Any,
        files: Sequence[str],
        reads_only: bool,
    ) -> None:
        urls = {"database_url": pair.primary, "read_url": pair.standby}
        given: dict[str, Any] = {
            f"{name}_file" if name in files else name: write(name, url, login)
            if name in files
            else SecretStr(url)
            for name, url in urls.items()
        }
        with opened(Settings(**given, pool_max=4), reads_only=reads_only) as client:
            assert served_by_standby(pair, client, scope)
            if not reads_only:
                assert client.record(scope, "I live in Oslo.").position == 2

    def test_the_file_of_the_standby_is_read_again(
        self, pair: Pair, scope: Scope, login: str, write: Any
    ) -> None:
        file = write("read_url", pair.standby, login)
        with opened(Settings(read_url_file=file, connect_timeout=3.0)) as client:
            with pytest.raises(ReadOnlyStore, match="set MEMORY_DATABASE_URL to the primary"):
                client.record(scope, "Hello.")
            assert client.position(scope).recorded == 0
            self.rename(pair, login)
            with pytest.raises(LoginRefused, match=f'"{login}" does not exist'):
                client.position(scope)
            write("read_url", pair.standby, f"{login}_renamed")
            assert client.position(scope).recorded == 0

    def test_the_primary_serves_until_it_is_renewed(
        self, pair: Pair, scope: Scope, login: str, write: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        file = write("read_url", pair.standby, login)
        settings = primary(pair, read_url_file=file, connect_timeout=3.0)
        with opened(settings) as client:
            assert served_by_standby(pair, client, scope)
            self.rename(pair, login)
            receipt = client.record(scope, "While it was refused.")
            until(lambda: client.position(scope).recorded == receipt.position, "the primary serves")
            until(lambda: f'"{login}" does not exist' in caplog.text, "the reason is said")
            write("read_url", pair.standby, f"{login}_renamed")
            until(lambda: served_by_standby(pair, client, scope), "the standby serves again")

    def test_a_login_that_is_refused_from_the_start_is_not_hidden(self, pair: Pair) -> None:
        url = make_conninfo(pair.standby, user="nobody_here")
        with pytest.raises(LoginRefused, match="nobody_here"):
            MemoryClient(primary(pair, read_url=SecretStr(url)), embedder=WordEmbedder()).open()


class TestBusy:
    def test_a_standby_without_a_free_connection_is_not_away(
        self, pair: Pair, scope: Scope, in_thread: Callable[..., Future[Any]]
    ) -> None:
        settings = remembering(pair, scope).model_copy(
            update={"pool_max": 1, "connect_timeout": 2.0}
        )
        with opened(settings) as client, locking(pair) as lock:
            asked = held_up(pair, lock, lambda: in_thread(client.recall, scope, "Where?"))
            with pytest.raises(PoolExhausted, match="all 1 connections are in use"):
                client.recall(scope, "Where?")
            lock.release()
            assert asked.result(SOON).items
            assert served_by_standby(pair, client, scope)


def answers(client: MemoryClient, scope: Scope) -> bool:
    try:
        client.position(scope)
    except StoreUnavailable:
        return False
    return True


class TestConflicts:
    """Replay has to lock a table that a recall has read, while the recall waits for another one."""

    @pytest.fixture(autouse=True)
    def _impatient(self, pair: Pair) -> Iterator[None]:
        with pair.impatient():
            yield

    @pytest.mark.parametrize("fallback", [True, False])
    def test_an_ended_connection_is_replaced(
        self, pair: Pair, scope: Scope, caplog: pytest.LogCaptureFixture, fallback: bool
    ) -> None:
        with opened(remembering(pair, scope, read_fallback=fallback)) as client:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
            execute(pair.standby, f"{ended} AND pid <> pg_backend_pid()", "postgres")
            assert client.recall(scope, "Where?").items
            until(lambda: served_by_standby(pair, client, scope), "the standby serves")
        assert "the primary serves reads" not in caplog.text

    def test_a_cancelled_read_is_repeated(
        self, pair: Pair, scope: Scope, in_thread: Callable[..., Future[Any]]
    ) -> None:
        settings = remembering(pair, scope, read_fallback=False)
        with opened(settings) as client, locking(pair) as lock:
            asked = held_up(pair, lock, lambda: in_thread(client.recall, scope, "Where?"))
            lock("embeddings")  # which it has read
            wanted(pair, "embeddings")  # from its beginning
            lock.release()
            assert asked.result(SOON).items

    @pytest.mark.parametrize("fallback", [True, False])
    def test_and_then_the_primary_is_asked(
        self, pair: Pair, scope: Scope, in_thread: Callable[..., Future[Any]], fallback: bool
    ) -> None:
        settings = remembering(pair, scope, read_fallback=fallback)
        with opened(settings) as client, locking(pair) as lock:
            asked = held_up(pair, lock, lambda: in_thread(client.recall, scope, "Where?"))
            lock("embeddings")
            wanted(pair, "embeddings")
            lock("memories")
            until(lambda: not waiting(pair), "it is cancelled again")
            lock.release()
            if fallback:
                assert asked.result(SOON).items
            else:
                with pytest.raises(StoreUnavailable, match="cancelled a read twice"):
                    asked.result(SOON)
            assert served_by_standby(pair, client, scope)


def remembering(pair: Pair, scope: Scope, **more: Any) -> Settings:
    with opened(primary(pair)) as client:
        client.remember(scope, "Lives in Berlin")
    pair.caught_up()
    return both(pair, **more)


@dataclass(frozen=True)
class Locks:
    """Locks tables on the primary one after the other, and on the standby by replay."""

    pair: Pair
    connection: psycopg.Connection

    def __call__(self, table: str) -> None:
        self.connection.execute(f"LOCK TABLE memory.{table} IN ACCESS EXCLUSIVE MODE".encode())
        self.pair.write_out()

    def release(self) -> None:
        self.connection.rollback()
        self.pair.write_out()


@contextmanager
def locking(pair: Pair) -> Iterator[Locks]:
    with psycopg.connect(pair.primary) as connection:
        yield Locks(pair, connection)


def held_up(pair: Pair, lock: Locks, ask: Callable[[], Future[Any]]) -> Future[Any]:
    """Asks, and returns once the answer waits for what it reads last."""
    lock("users")
    pair.caught_up()
    asked = ask()
    wanted(pair, "users")
    return asked


def waiting(pair: Pair) -> list[Any]:
    """The tables that statements on the standby wait for."""
    return execute(pair.standby, "SELECT relation::regclass::text FROM pg_locks WHERE NOT granted")


def wanted(pair: Pair, table: str) -> None:
    until(lambda: waiting(pair) == [(table,)], f"a read waits for {table}")


@pytest.fixture
def in_thread() -> Iterator[Callable[..., Future[Any]]]:
    with ThreadPoolExecutor(4) as threads:
        yield threads.submit


READS = [
    ("recall", "Where?", "--user", "ana"),
    ("context", "Where?", "--user", "ana", "--session", "monday"),
    ("history", "--user", "ana"),
    ("explain", "1", "--user", "ana"),
    ("status",),
    ("costs",),
    ("calls",),
    ("generations",),
    ("diff", "first", "second"),
    ("prompts", "list"),
    ("changes", "status"),
    ("dead-letters", "list"),
    ("tenants", "list"),
    ("store", "identity"),
]
WRITE_COMMANDS = [
    ("record", "Hello.", "--user", "ana"),
    ("forget", "--user", "ana", "--user-all", "--yes"),
    ("extract",),
    ("migrate",),
    ("compact", "decay"),
    ("changes", "enable"),
    ("tenants", "pause", "acme"),
    ("store", "new-identity"),
]


class TestCommands:
    @pytest.fixture(params=["MEMORY_DATABASE_URL", "MEMORY_READ_URL"])
    def run(
        self,
        request: pytest.FixtureRequest,
        pair: Pair,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> Callable[..., Any]:
        """Runs `memory` on the standby, which either variable names, and no other."""
        with opened(primary(pair)) as client:
            client.remember(Scope("default", "ana"), "Lives in Berlin", id="berlin")
        made = "INSERT INTO generations (name, state) VALUES ('second', 'shadow')"
        execute(pair.primary, f"{made} ON CONFLICT DO NOTHING")
        pair.caught_up()
        monkeypatch.delenv("MEMORY_DATABASE_URL", raising=False)
        monkeypatch.setenv("MEMORY_DATA_DIR", str(tmp_path / "data"))
        monkeypatch.setenv(request.param, pair.standby)
        monkeypatch.setattr(memory.client.async_client, "create_embedder", lambda _: WordEmbedder())
        return lambda *words: CliRunner().invoke(command_line, words, prog_name="memory")

    def test_that_read_run_there(self, pair: Pair, run: Callable[..., Any], tmp_path: Path) -> None:
        backups = [
            ("backup", "check", "--against", pair.primary),
            ("backup", "dump", str(tmp_path / "dump"), "--pg-dump", program("pg_dump")),
        ]
        for words in [*READS, *backups]:
            done = run(*words, "--json")
            assert done.exit_code == 0, (words, done.output)
            json.loads(done.stdout)

    def test_that_write_say_what_to_set(self, run: Callable[..., Any], tmp_path: Path) -> None:
        for words in WRITE_COMMANDS:
            done = run(*words)
            assert done.exit_code == 3, (words, done.output)
            assert "set MEMORY_DATABASE_URL to the primary" in done.output, words
        assert not (tmp_path / "data").exists()
