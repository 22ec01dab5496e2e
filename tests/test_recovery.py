"""Physical copies: a standby answers, and a store restored to an earlier point catches up."""

import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner
from psycopg.conninfo import make_conninfo
from psycopg.errors import InsufficientPrivilege
from pydantic import SecretStr

from consumers.cli.application import memory as command_line
from consumers.extraction import Worker
from consumers.operations import backup
from consumers.operations.backup import NOT_FROM_THE_LOG, StoreContent
from extractors.explicit import ExplicitExtractor
from extractors.protocol import Extractor
from memory.client import MemoryClient
from memory.database import Database, DatabaseRole
from memory.migrate import migrate, migrations
from memory.models import Interaction, Recall, Scope
from tests.conftest import Residence, Verbatim, WordEmbedder
from tests.ingesting import NOON, Stream, raw, said, until
from tests.kafka_topics import kafka_settings
from tests.physical import Archived, archiving, execute, program, recovered, standby, started

pytestmark = [pytest.mark.slow, pytest.mark.postgres]

USERS = [Scope("acme", f"user-{n}", "scout") for n in range(10)]
CITIES = [
    "Berlin", "Munich", "Paris", "Rome", "Madrid", "Lisbon", "Vienna", "Prague", "Oslo", "Bern"
]  # fmt: skip
EARLIER, DAYS = 4, 7
A_DAY = 3 * len(USERS)


@pytest.fixture
def primary() -> Iterator[Archived]:
    """A server that archives its log, with a migrated store."""
    with tempfile.TemporaryDirectory(prefix="memory-recovery-") as name:
        Path(name).chmod(0o755)  # as root the server's own account must be able to enter
        with archiving(Path(name) / "primary") as server:
            anyio.run(migrate, server.url)
            yield server


def sentences(user: int, day: int) -> tuple[str, ...]:
    return (
        f"I live in {CITIES[(user + day) % 10]} now.",
        f"I speak Language{user * day % 7}.",
        f"On day {day} we talked about the weather in {CITIES[(user * 3 + day) % 10]}.",
    )


def messages(day: int, session: int) -> list[Interaction]:
    """What every user says on a day, in a session."""
    return [
        said(
            f"{scope.user}-{day}-{number}",
            scope.in_session(f"session-{session}"),
            content=text,
            occurred_at=NOON + timedelta(days=day, minutes=number),
        )
        for user, scope in enumerate(USERS)
        for number, text in enumerate(sentences(user, day))
    ]


def extract(stream: Stream) -> None:
    async def drain() -> None:
        extractors: list[Extractor] = [ExplicitExtractor(), Verbatim(), Residence()]
        async with Database(stream.settings, stream.url, DatabaseRole.WORKER) as database:
            await Worker(database, WordEmbedder(), extractors, stream.settings).drain()

    anyio.run(drain)


def live(stream: Stream, days: Iterable[int], session: Callable[[int], int]) -> None:
    """Lets days pass: each is sent, ingested and extracted before the next."""
    for day in days:
        stream.send(*messages(day, session(day)), raw(b"not JSON", USERS[0]))
        stream.drain()
        extract(stream)


def over(stream: Stream, url: str) -> Stream:
    """The same topic, over another store."""
    settings = stream.settings.model_copy(update={"database_url": SecretStr(url)})
    return Stream(settings, url)


def count(stream: Stream, table: str) -> int:
    return int(stream.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"])


def held(url: str, without: Sequence[str] = NOT_FROM_THE_LOG) -> StoreContent:
    return anyio.run(backup.digests, url, 10.0, without)


def recalls(stream: Stream, shown: Callable[[Recall], Any]) -> list[Any]:
    """What 100 recalls return."""
    with MemoryClient(stream.settings, embedder=WordEmbedder()) as client:
        return [
            shown(client.recall(scope, f"Talked about weather in {city}?", k=50))
            for scope in USERS
            for city in CITIES
        ]


def ids_and_scores(found: Recall) -> list[tuple[int, float]]:
    return [(item.memory.id, item.score) for item in found]


def texts_and_scores(found: Recall) -> list[tuple[str, float]]:
    """Without the last bits, which come from the order in which memories are added up."""
    return sorted((item.memory.text, round(item.score, 9)) for item in found)


BELIEVED = """
SELECT to_jsonb(m) - 'memory_id' - 'supersedes' - %s::text[] AS memory,
    (SELECT jsonb_agg(to_jsonb(e) - 'memory_id' - %s::text[]
        ORDER BY e.interaction_id, e.start_offset, e.stance)
     FROM evidence e WHERE e.memory_id = m.memory_id AND e.user_id = m.user_id) AS evidence
FROM memories m WHERE believed_to IS NULL
"""
"""What is believed now, with its evidence, without the numbers of the versions."""


def believed(stream: Stream) -> list[str]:
    left_out = list(NOT_FROM_THE_LOG)
    return sorted(str(row) for row in stream.rows(BELIEVED, left_out, left_out))


def a_session_a_day(day: int) -> int:
    return day


def a_session_for_all_days(_: int) -> int:
    return 0


@pytest.fixture
def living(primary: Archived, kafka: str) -> Stream:
    """A store that will be copied, and ingests from a topic of its own."""
    return Stream(kafka_settings(kafka, primary.url), primary.url)


Point = Callable[[Archived], Mapping[str, str]]
Restoring = Callable[[Callable[[int], int], Point], Stream]


@pytest.fixture
def restoring(primary: Archived, living: Stream) -> Iterator[Restoring]:
    """Lets the store live for seven days, and restores it to what it was after four."""
    copy = primary.folder.parent / "copy"
    with ExitStack() as stack:

        def restore(session: Callable[[int], int], point: Point) -> Stream:
            live(living, range(EARLIER - 2), session)
            primary.base_backup(copy)
            live(living, range(EARLIER - 2, EARLIER), session)
            target = point(primary)
            live(living, range(EARLIER, DAYS), session)
            primary.archive_all()
            return over(living, stack.enter_context(recovered(copy, primary.archive, target)))

        yield restore


def catch_up(restored: Stream) -> None:
    """Ingests from the store's own positions, and extracts."""
    restored.drain(group=f"{restored.topic}.restored")
    extract(restored)


@pytest.mark.kafka
class TestRecovery:
    def test_a_restored_store_catches_up_and_equals_the_one_never_restored(
        self, living: Stream, restoring: Restoring
    ) -> None:
        restored = restoring(a_session_a_day, Archived.restore_point)
        assert count(restored, "interactions") == EARLIER * A_DAY
        assert count(restored, "dead_letters") == EARLIER
        assert backup.differences(held(living.url), held(restored.url)) != []

        catch_up(restored)
        assert count(restored, "interactions") == DAYS * A_DAY
        assert backup.differences(held(living.url), held(restored.url)) == []
        found = recalls(living, ids_and_scores)
        assert recalls(restored, ids_and_scores) == found
        assert len(found) == 100
        assert all(found)

    def test_where_a_session_comes_in_other_pieces_the_same_is_believed(
        self, living: Stream, restoring: Restoring
    ) -> None:
        """The versions of a belief follow the times at which the log learned of it."""
        restored = restoring(a_session_for_all_days, Archived.moment)
        assert count(restored, "interactions") == EARLIER * A_DAY
        catch_up(restored)
        differing = {d.name for d in backup.differences(held(living.url), held(restored.url))}
        assert differing == {"embeddings", "evidence", "memories", "users"}
        assert believed(restored) == believed(living)
        assert recalls(restored, texts_and_scores) == recalls(living, texts_and_scores)


class TestStandby:
    def test_a_standby_is_checked_and_dumped(
        self, primary: Archived, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        copy = primary.folder.parent / "copy"
        primary.base_backup(copy)
        file = str(tmp_path / "store.dump")
        with standby(copy, primary.url) as url:
            monkeypatch.setenv("MEMORY_DATABASE_URL", url)
            execute(primary.url, "INSERT INTO prompts VALUES ('p', '1', 'h', 't', '{}')")
            until(lambda: execute(url, "SELECT name FROM prompts") != [], "the standby follows")
            dumped = run("dump", file, "--pg-dump", program("pg_dump"), "--json")
            assert dumped.exit_code == 0, dumped.output
            assert '"standby": true' in dumped.stdout
            for arguments in (["--against", primary.url], [f"{file}.json"]):
                assert run("check", *arguments).exit_code == 0


class TestAnotherServer:
    def test_roles_come_first(self, primary: Archived, tmp_path: Path) -> None:
        """Without its roles a restored store has its rows, and nobody may read them."""
        file, roles = tmp_path / "store.dump", tmp_path / "roles.sql"
        content = anyio.run(backup.dump, primary.url, 10.0, file, program("pg_dump"))
        call("pg_dumpall", "--roles-only", f"--dbname={primary.url}", f"--file={roles}")
        with started(primary.folder.parent / "another", {}) as url:
            for database in ("without", "roles"):
                execute(url, f"CREATE DATABASE {database}")
            without, with_roles = (make_conninfo(url, dbname=d) for d in ("without", "roles"))
            assert call("pg_restore", f"--dbname={without}", str(file)) == 1
            assert {d.name for d in backup.differences(content, held(without, ()))} == {
                "functions", "grants", "policies"
            }  # fmt: skip
            assert call("psql", url, f"--file={roles}") == 0
            assert call("pg_restore", f"--dbname={with_roles}", str(file)) == 0
            assert backup.differences(content, held(with_roles, ())) == []

    def test_who_may_not_make_the_role_is_told_what_to_ask_for(self, primary: Archived) -> None:
        (migration,) = (m for m in migrations() if m.name == "backup")
        making, *_ = migration.sql.partition("GRANT USAGE")
        with started(primary.folder.parent / "managed", {}) as url:
            execute(url, "CREATE ROLE app LOGIN")
            login = make_conninfo(url, user="app")
            with pytest.raises(InsufficientPrivilege, match="run: CREATE ROLE memory_backup"):
                execute(login, making)
            execute(url, "CREATE ROLE memory_backup NOLOGIN")
            execute(login, making)


def call(name: str, *arguments: str) -> int:
    """Runs a program of Postgres and returns its exit code."""
    done = subprocess.run([program(name), *arguments], capture_output=True, check=False)
    return done.returncode


def run(*words: str) -> Any:
    return CliRunner().invoke(command_line, ["backup", *words], prog_name="memory")
