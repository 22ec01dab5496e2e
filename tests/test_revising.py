"""Retraction and the two clocks on the command line, and a source distrusted over a tenant."""

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from consumers.operations.retracting import SourceRevised, SourceRevision
from memory.beliefs.retraction import AuditReason
from memory.client import MemoryClient
from memory.database import Database, DatabaseRole
from memory.embedding import Embedder
from memory.models import Scope
from memory.settings import Settings
from tests.conftest import Extraction
from tests.test_cli import MARCH, RunCommand, document, run  # noqa: F401 - a fixture

ANA = ("--user", "ana")


@pytest.fixture
def told(run: RunCommand) -> RunCommand:  # noqa: F811
    for number, place in enumerate(["Berlin", "Munich"]):
        said = ("record", f"I live in {place}.", *ANA, "--id", f"m{number}")
        assert run(*said, "--at", f"2026-03-0{number + 2}T08:00:00Z").exit_code == 0
    assert run("extract").exit_code == 0
    return run


def lives(told: RunCommand, *more: str) -> set[str]:
    found = document(told("history", *ANA, "--attribute", "lives_in", "--json", *more))
    return {memory["value"] for memory in found if memory["valid_to"] is None}


class TestRetract:
    def test_and_restore(self, told: RunCommand) -> None:
        before = datetime.now(UTC).isoformat()
        what = ("--interaction", "m1", *ANA)
        done = document(told("retract", *what, "--reason", "a slip", "--by", "desk", "--json"))
        assert (done["interactions"], done["unchanged"]) == (1, 0)
        assert lives(told) == {"berlin"}
        assert lives(told, "--believed-at", before) == {"munich"}
        assert "0 interactions" in told("retract", *what).stdout
        assert "restored 1 interaction" in told("restore", *what).stdout
        assert lives(told) == {"munich"}

    def test_history_and_explain_say_who_and_why(self, told: RunCommand) -> None:
        told("retract", "--interaction", "m1", *ANA, "--reason", "a slip", "--by", "desk")
        listed = told("history", *ANA, "--closed").stdout
        assert "by desk: a slip" in listed
        found = document(told("history", *ANA, "--closed", "--json"))
        ended = next(m for m in found if m["retraction"])
        assert ended["retraction"]["retracted_by"] == "desk"
        explained = told("explain", str(ended["id"]), *ANA).stdout
        assert "m1 retracted" in explained

    def test_asks_before_a_whole_source(self, told: RunCommand) -> None:
        whole = ("retract", "--source", "console", *ANA)
        refused = told(*whole, input="n\n")
        assert (refused.exit_code, "aborted" in refused.stderr) == (1, True)
        assert lives(told) == {"munich"}
        assert told(*whole, "--yes").exit_code == 0
        assert lives(told) == set()

    @pytest.mark.parametrize(
        ("words", "told_so"),
        [
            ((*ANA,), "either --interaction or --source"),
            (("--interaction", "m1", "--source", "x", *ANA), "either --interaction or --source"),
            (("--source", "x"), "either --user or --all-users"),
            (("--source", "x", "--all-users", *ANA), "either --user or --all-users"),
            (("--interaction", "m1", "--all-users"), "--all-users goes with --source"),
        ],
    )
    def test_says_how_it_is_used(
        self, told: RunCommand, words: tuple[str, ...], told_so: str
    ) -> None:
        refused = told("retract", *words)
        assert (refused.exit_code, told_so in refused.stderr) == (2, True)

    def test_an_unknown_id_is_named(self, told: RunCommand) -> None:
        refused = told("retract", "--interaction", "m404", *ANA, "--json")
        assert refused.exit_code == 1
        assert "UnknownInteraction" in refused.stdout
        assert "m404" in refused.stdout


class TestClocks:
    @pytest.mark.parametrize("clock", ["--as-of", "--believed-at"])
    @pytest.mark.parametrize(
        "words", [("recall", "x"), ("context", "x"), ("history",), ("explain", "1")]
    )
    def test_need_a_zone_and_a_time(
        self, told: RunCommand, words: tuple[str, ...], clock: str
    ) -> None:
        naive = told(*words, *ANA, clock, "2026-03-02T08:00:00", "--json")
        assert (naive.exit_code, "NaiveTime" in naive.stdout) == (1, True)
        nonsense = told(*words, *ANA, clock, "yesterday")
        assert (nonsense.exit_code, "'yesterday' is not like" in nonsense.stderr) == (2, True)

    def test_show_what_held_then(self, told: RunCommand) -> None:
        march = ("--as-of", "2026-03-02T20:00:00Z")
        assert "Berlin" in told("recall", "Where?", *ANA, "--kind", "fact", *march).stdout
        assert "Munich" not in told("context", "Where?", *ANA, *march).stdout
        assert document(told("history", *ANA, "--as-of", "2026-03-01T00:00:00Z", "--json")) == []

    def test_contested_alone(self, told: RunCommand) -> None:
        assert "no beliefs" in told("history", *ANA, "--contested").stdout
        told("record", "I live in Oslo.", *ANA, "--session", "s2", "--at", "2026-03-03T08:00:00Z")
        told("extract")
        assert "(disputed: munich)" in told("history", *ANA, "--contested").stdout
        assert "(disputed: munich)" in told("recall", "Where?", *ANA, "--kind", "fact").stdout


class TestASourceOverATenant:
    @pytest.fixture
    def users(self, client: MemoryClient, worker: Extraction) -> MemoryClient:
        for number in range(5):
            user = Scope("northwind", f"user-{number}", session="s")
            client.record(user, "I live in Berlin.", id="m1")
            if number % 2:
                client.record(user, "I live in Munich.", id="m2", source="feed")
        client.record(Scope("initech", "user-1", session="s"), "Hello.", id="m2", source="feed")
        worker.drain()
        return client

    async def over(self, settings: Settings, url: str, embedder: Embedder, **more: Any) -> Any:
        async with Database(settings, url, DatabaseRole.WORKER) as database:
            revision = SourceRevision(database, embedder, settings, **more)
            return await revision.run("northwind", "feed", AuditReason("operator", "a bad feed"))

    async def test_reaches_each_user_of_it_and_no_other(
        self, users: MemoryClient, settings: Settings, url: str, embedder: Embedder
    ) -> None:
        done: SourceRevised = await self.over(settings, url, embedder)
        assert (done.users, done.changed_users, done.interactions) == (5, 2, 2)
        for number in range(5):
            found = users.history(Scope("northwind", f"user-{number}"), attribute="lives_in")
            assert [m.value for m in found] == ["berlin"]
        assert users.retractions(Scope("initech", "user-1")) == []
        again: SourceRevised = await self.over(settings, url, embedder)
        assert (again.interactions, again.unchanged) == (0, 2)
        back: SourceRevised = await self.over(settings, url, embedder, restore=True)
        assert back.interactions == 2

    async def test_an_operator_reaches_what_is_private_to_an_agent(
        self, client: MemoryClient, settings: Settings, url: str, embedder: Embedder
    ) -> None:
        payroll = Scope("northwind", "ana", "payroll", "s")
        client.record(payroll, "The bank pays late.", id="m1", source="feed", private=True)
        assert client.retract(Scope("northwind", "ana"), source="feed").interactions == 0
        done: SourceRevised = await self.over(settings, url, embedder)
        assert done.interactions == 1

    async def test_goes_on_where_it_was_stopped_and_runs_once_at_a_time(
        self,
        users: MemoryClient,
        settings: Settings,
        url: str,
        embedder: Embedder,
        superuser: psycopg.Connection,
    ) -> None:
        superuser.execute(
            "INSERT INTO job_progress (tenant_id, job, cursor)"
            " VALUES ('northwind', 'retract feed', 'user-2')"
        )
        done: SourceRevised = await self.over(settings, url, embedder)
        assert (done.users, done.interactions) == (2, 1)
        superuser.execute("UPDATE job_progress SET leased_until = now() + interval '1 hour'")
        assert (await self.over(settings, url, embedder)).skipped

    def test_by_command(self, run: RunCommand) -> None:  # noqa: F811
        run("record", "I live in Berlin.", *ANA, "--at", MARCH)
        done = document(run("retract", "--source", "console", "--all-users", "--yes", "--json"))
        assert (done["users"], done["interactions"]) == (1, 1)
