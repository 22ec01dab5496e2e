"""Which tenants a store serves, how much each may take, and what each has used."""

import inspect
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from consumers.cli.application import memory as command_line
from consumers.extraction.leases import Leases, UserFilter
from consumers.extraction.model_ledger import PostgresLedger
from consumers.operations import tenants, usage
from consumers.operations.dead_letters import redrive
from consumers.operations.tenants import Ended, Quota, Throttle
from consumers.operations.usage import DayUsed
from memory.client import AsyncMemoryClient
from memory.client.async_client import AsyncTaskState
from memory.database import Database, DatabaseRole
from memory.errors import (
    BudgetSpent,
    QuotaExceeded,
    TenantSuspended,
    UnlistedTenant,
)
from memory.models import Interaction, InteractionKind, Role, Scope
from memory.settings import Settings
from tests.ingesting import Stream
from tests.kafka_topics import kafka_settings

ACME = Scope("acme", "ana", "scout", "s1")
BIRCH = Scope("birch", "tom", "scout", "s1")
NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
async def store(settings: Settings, url: str) -> AsyncIterator[Database]:
    async with Database(settings, url, DatabaseRole.WORKER) as opened:
        yield opened


def said(scope: Scope, name: str, content: str = "Hi") -> Interaction:
    return Interaction(scope, name, InteractionKind.MESSAGE, Role.USER, content, NOW)


VERBS: dict[str, Callable[[AsyncMemoryClient, Scope], Coroutine[Any, Any, object]]] = {
    "record": lambda c, s: c.record(s, "Hi"),
    "record_many": lambda c, s: c.record_many([said(s, "r1")]),
    "remember": lambda c, s: c.remember(s, "Hi"),
    "recall": lambda c, s: c.recall(s, "Hi"),
    "context": lambda c, s: c.context(s, "Hi"),
    "history": lambda c, s: c.history(s),
    "explain": lambda c, s: c.explain(s, 1),
    "explain_collective": lambda c, s: c.explain_collective(s, 1),
    "interactions": lambda c, s: c.interactions(s),
    "position": lambda c, s: c.position(s),
    "retractions": lambda c, s: c.retractions(s),
    "retract": lambda c, s: c.retract(s, interactions=["m1"]),
    "restore": lambda c, s: c.restore(s, source="client"),
    "forget": lambda c, s: c.forget(s, user=True),
    "proposals": lambda c, s: c.proposals(s),
    "approve": lambda c, s: c.approve(s, "0" * 32),
    "decline": lambda c, s: c.decline(s, "0" * 32),
    "undecide": lambda c, s: c.undecide(s, "0" * 32),
    "state.set": lambda c, s: c.state.set(s, "k", 1),
    "state.get": lambda c, s: c.state.get(s),
    "state.delete": lambda c, s: c.state.delete(s, "k"),
}


def test_every_verb_is_here() -> None:
    found = {
        prefix + name
        for of, prefix in ((AsyncMemoryClient, ""), (AsyncTaskState, "state."))
        for name, _ in inspect.getmembers(of, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    assert found - {"open", "close"} == VERBS.keys()


def rows_of(connection: psycopg.Connection, tenant: str) -> dict[str, int]:
    """How many rows each table has of a tenant."""
    names = connection.execute(
        "SELECT relname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relnamespace = 'memory'::regnamespace AND relkind = 'r' AND attname = 'tenant_id'"
    ).fetchall()
    found = {}
    for (name,) in names:
        query = f"SELECT count(*) FROM memory.{name} WHERE tenant_id = %s"
        row = connection.execute(query.encode(), (tenant,)).fetchone()
        assert row is not None
        found[name] = row[0]
    return found


class TestListed:
    @pytest.mark.parametrize("verb", VERBS)
    async def test_one_that_is_not_is_refused_and_nothing_is_created(
        self,
        async_client: AsyncMemoryClient,
        store: Database,
        superuser: psycopg.Connection,
        verb: str,
    ) -> None:
        await tenants.require_listed(store, on=True)
        with pytest.raises(UnlistedTenant, match=r"^this store .* tenant 'acme' is not listed$"):
            await VERBS[verb](async_client, ACME)
        assert set(rows_of(superuser, "acme").values()) == {0}

    async def test_one_that_is_is_served(
        self, async_client: AsyncMemoryClient, store: Database
    ) -> None:
        await async_client.record(BIRCH, "Hi")
        assert await tenants.require_listed(store, on=True) == 1
        assert await tenants.create(store, "acme")
        assert not await tenants.create(store, "acme")
        await async_client.record(ACME, "Hi")
        assert (await tenants.show(store, "acme")).served
        assert not (await tenants.show(store, "birch")).served
        assert await tenants.create_known(store) == 1
        await async_client.record(BIRCH, "Hi")

    async def test_all_are_served_by_default(
        self, async_client: AsyncMemoryClient, store: Database
    ) -> None:
        await async_client.record(ACME, "Hi")
        assert (await tenants.show(store, "acme")).served
        await tenants.require_listed(store, on=True)
        await tenants.require_listed(store, on=False)
        await async_client.record(ACME, "Hi")

    async def test_it_keeps_no_other_from_a_batch(
        self, async_client: AsyncMemoryClient, store: Database
    ) -> None:
        await tenants.create(store, "birch")
        await tenants.require_listed(store, on=True)
        with pytest.raises(UnlistedTenant, match="'acme'"):
            await async_client.record_many([said(ACME, "m1"), said(BIRCH, "m2")])
        assert [i.id for i in await async_client.interactions(BIRCH)] == ["m2"]


class TestSuspended:
    @pytest.mark.parametrize("verb", VERBS)
    async def test_nothing_is_read_or_written(
        self,
        async_client: AsyncMemoryClient,
        store: Database,
        superuser: psycopg.Connection,
        verb: str,
    ) -> None:
        await async_client.record(ACME, "Hi", id="m1")
        assert await tenants.suspend(store, "acme")
        before = rows_of(superuser, "acme")
        with pytest.raises(TenantSuspended, match=r"^tenant 'acme' is suspended since 2"):
            await VERBS[verb](async_client, ACME)
        assert rows_of(superuser, "acme") == before

    async def test_another_tenant_goes_on_and_it_does_once_it_is_resumed(
        self, async_client: AsyncMemoryClient, store: Database
    ) -> None:
        await async_client.record(ACME, "Hi", id="m1")
        await tenants.suspend(store, "acme")
        await async_client.record(BIRCH, "Hi")
        assert await tenants.resume(store, "acme") is Ended.SUSPENSION
        assert [i.id for i in await async_client.interactions(ACME)] == ["m1"]

    async def test_extraction_leaves_it(
        self, async_client: AsyncMemoryClient, store: Database, settings: Settings
    ) -> None:
        leases = Leases(store, settings, UserFilter())
        await async_client.record(ACME, "Hi")
        await tenants.suspend(store, "acme")
        assert await leases.acquire(0.0) is None
        assert await leases.seconds_until_due(0.0, 30.0) == 30.0
        waits = await tenants.what_waits(store)
        assert (waits.held_back, waits.lag_seconds) == (1, 0.0)
        await tenants.resume(store, "acme")
        assert await leases.acquire(0.0) is not None

    async def test_a_throttle_outlasts_it(self, store: Database) -> None:
        await tenants.throttle(store, "acme", Throttle(users=7))
        await tenants.suspend(store, "acme")
        assert not await tenants.suspend(store, "acme")
        assert await tenants.resume(store, "acme") is Ended.SUSPENSION
        assert (await tenants.show(store, "acme")).throttle == Throttle(users=7)
        assert await tenants.resume(store, "acme") is Ended.HOLD
        assert await tenants.resume(store, "acme") is None


def count_again(connection: psycopg.Connection, tenant: str = "acme") -> None:
    """Makes the tenant's last count old enough for another."""
    connection.execute(
        "UPDATE tenant_usage SET counted_at = now() - interval '1 minute' WHERE tenant_id = %s",
        (tenant,),
    )
    connection.execute("UPDATE tenant_admissions SET checked_until = NULL")


def yesterday(connection: psycopg.Connection) -> None:
    """Lets a day go by since all that was counted."""
    connection.execute(
        "UPDATE tenant_usage SET day = day - 1, counted_at = counted_at - '1 d'::interval"
    )
    connection.execute("UPDATE model_spend SET day = day - 1")
    connection.execute("UPDATE tenant_admissions SET checked_until = NULL")


class TestQuota:
    async def test_of_interactions_a_day(
        self, async_client: AsyncMemoryClient, store: Database, superuser: psycopg.Connection
    ) -> None:
        await async_client.record_many([said(ACME, "m1"), said(ACME, "m2")])
        await tenants.set_quota(store, "acme", Quota(interactions_a_day=3))
        tom = replace(ACME, user="tom")
        await async_client.record(tom, "Hi", id="t1")
        count_again(superuser)
        await async_client.record(tom, "Hi", id="t2")  # counts, and is let through
        with pytest.raises(QuotaExceeded, match="'acme' has recorded 3 of 3 interactions today"):
            await async_client.record(tom, "Hi", id="t3")
        with pytest.raises(QuotaExceeded):
            await async_client.record_many([said(tom, "t4"), said(tom, "t5")])
        assert (await async_client.record(tom, "Hi", id="t2")).duplicate
        assert len(await async_client.interactions(tom)) == 2
        yesterday(superuser)
        await async_client.record(tom, "Hi", id="t3")

    async def test_of_bytes_which_forgetting_frees(
        self, async_client: AsyncMemoryClient, store: Database
    ) -> None:
        await async_client.record(ACME, "x" * 98)  # and {} as its payload
        await tenants.set_quota(store, "acme", Quota(bytes_stored=100))
        with pytest.raises(QuotaExceeded, match="'acme' stores 100 of 100 bytes"):
            await async_client.record(ACME, "Hi")
        await async_client.forget(ACME, session="s1")
        await async_client.record(ACME, "Hi")

    async def test_of_model_tokens_a_day(
        self, store: Database, superuser: psycopg.Connection
    ) -> None:
        superuser.execute(
            "INSERT INTO model_spend SELECT 'acme', (now() AT TIME ZONE 'UTC')::date, 1, 'extract',"
            " 'p', '1', 'h', 'm', 1, 0, 0, 60, 40, 0, 1"
        )
        ledger = PostgresLedger(store)
        await tenants.set_quota(store, "acme", Quota(model_tokens_a_day=101))
        await ledger.admit(ACME)
        await tenants.set_quota(store, "acme", Quota(model_tokens_a_day=100))
        with pytest.raises(BudgetSpent, match="'acme' used 100 of 100 tokens of models today"):
            await ledger.admit(ACME)
        await ledger.admit(BIRCH)

    async def test_keeps_no_other_tenant_waiting(
        self, async_client: AsyncMemoryClient, store: Database
    ) -> None:
        await tenants.set_quota(store, "acme", Quota(interactions_a_day=0))
        with pytest.raises(QuotaExceeded):
            await async_client.record_many([said(ACME, "m1"), said(BIRCH, "m2")])
        await async_client.record(BIRCH, "Hi", id="m3")
        assert [i.id for i in await async_client.interactions(BIRCH)] == ["m2", "m3"]

    async def test_a_client_counts_for_its_own_tenant_alone(
        self, async_client: AsyncMemoryClient, store: Database, superuser: psycopg.Connection
    ) -> None:
        await tenants.set_quota(store, "acme", Quota(interactions_a_day=5))
        await async_client.record(ACME, "Hi")
        with superuser.transaction(force_rollback=True):
            superuser.execute("SET LOCAL ROLE memory_client")
            superuser.execute("SELECT set_config('memory.tenant_id', 'birch', true)")
            assert superuser.execute("SELECT quota_exceeded('acme')").fetchone() == (None,)
            for statement in (
                "SELECT * FROM tenant_usage",
                "SELECT count_usage('birch', false)",
            ):
                with (
                    pytest.raises(psycopg.errors.InsufficientPrivilege),
                    superuser.transaction(),
                ):
                    superuser.execute(statement.encode())

    async def test_ends(self, async_client: AsyncMemoryClient, store: Database) -> None:
        await tenants.set_quota(store, "acme", Quota(interactions_a_day=0))
        await tenants.set_quota(store, "acme", Quota())
        await async_client.record(ACME, "Hi")


class TestUsage:
    async def test_is_by_day(
        self, async_client: AsyncMemoryClient, store: Database, superuser: psycopg.Connection
    ) -> None:
        await async_client.remember(ACME, "Likes dogs")
        await async_client.record(ACME, "x" * 10, payload={"a": 1})
        await usage.count(store, "acme")
        (first,) = (await usage.read(store, "acme", None, None)).days
        assert (first.interactions, first.memories) == (2, 1)
        yesterday(superuser)
        await async_client.record(ACME, "x" * 10)
        await usage.count(store, "acme")
        used = await usage.read(store, "acme", None, None)
        assert [day.interactions for day in used.days] == [2, 1]
        assert used.days[1].bytes == (first.bytes or 0) + 12
        assert (used.interactions, used.bytes, used.memories) == (3, used.days[1].bytes, 1)
        today = used.days[1].day
        assert (await usage.read(store, "acme", today, today)).days == used.days[1:]
        before = today - timedelta(days=1)
        assert (await usage.read(store, "acme", None, before)).days == used.days[:1]

    async def test_what_was_recorded_before_it_was_counted_is_measured(
        self, async_client: AsyncMemoryClient, store: Database, superuser: psycopg.Connection
    ) -> None:
        await async_client.record(ACME, "x" * 10)
        await async_client.record(ACME, "x" * 10)
        superuser.execute("UPDATE users SET bytes = NULL")
        superuser.execute(
            "UPDATE interactions SET recorded_at = now() - '3 d'::interval WHERE position = 1"
        )
        await async_client.record(ACME, "x" * 10)
        await usage.count(store, "acme")
        (today,) = (await usage.read(store, "acme", None, None)).days
        assert today == DayUsed(today.day, 2, 36, 0, 0)

    async def test_an_interaction_that_is_forgotten_was_recorded(
        self, async_client: AsyncMemoryClient, store: Database
    ) -> None:
        await async_client.record(ACME, "Hi")
        await usage.count(store, "acme")
        await async_client.forget(ACME, user=True)
        await usage.count(store, "acme")
        used = await usage.read(store, "acme", None, None)
        assert (used.interactions, used.bytes) == (1, 0)

    async def test_model_tokens_of_days_that_nobody_counted(
        self, store: Database, superuser: psycopg.Connection
    ) -> None:
        superuser.execute(
            "INSERT INTO model_spend SELECT 'acme', '2026-03-01', 1, 'extract', 'p', '1', 'h', 'm',"
            " 1, 0, 0, 60, 40, 0, 1"
        )
        used = await usage.read(store, "acme", None, None)
        assert used.days == (DayUsed(used.days[0].day, 0, None, None, 100),)
        assert used.model_tokens == 100

    async def test_every_tenant_is_counted_and_not_again_at_once(
        self, async_client: AsyncMemoryClient, store: Database
    ) -> None:
        await async_client.record_many([said(ACME, "m1"), said(BIRCH, "m2")])
        await usage.count_all(store)
        await async_client.record(ACME, "Hi")
        await usage.count_all(store)
        for tenant in ("acme", "birch"):
            assert (await usage.read(store, tenant, None, None)).interactions == 1


class TestCommands:
    @pytest.fixture
    def run(self, url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
        monkeypatch.setenv("MEMORY_DATABASE_URL", url)

        def call(*words: str) -> Any:
            done = CliRunner().invoke(command_line, ["tenants", *words], prog_name="memory")
            assert done.exit_code == 0, done.output
            return done

        return call

    def test_resume_says_what_it_ended(self, run: Callable[..., Any]) -> None:
        assert "nothing to resume" in run("resume", "acme").stderr
        run("pause", "acme")
        run("suspend", "acme")
        assert "ended its suspension" in run("resume", "acme").stderr
        assert "ended its pause" in run("resume", "acme").stderr

    def test_show_and_list_tell_what_is_set(self, run: Callable[..., Any]) -> None:
        run("create", "acme")
        run("quota", "acme", "--interactions-a-day", "9", "--bytes-stored", "10")
        run("suspend", "acme")
        shown = json.loads(run("show", "acme", "--json").stdout)
        assert shown["quota"] == {
            "interactions_a_day": 9, "bytes_stored": 10, "model_tokens_a_day": None,
        }  # fmt: skip
        assert not shown["served"]
        (listed,) = json.loads(run("list", "--json").stdout)["tenants"]
        assert (listed["tenant"], listed["suspended_at"] is None) == ("acme", False)
        assert "suspended since" in run("show", "acme").stdout

    def test_listing_can_be_required(self, run: Callable[..., Any]) -> None:
        done = json.loads(run("require-listed", "on", "--list-known", "--json").stdout)
        assert done == {"require_listed": True, "unlisted_tenants_with_users": 0}
        assert "listed tenants only" in run("require-listed", "on").stdout
        assert "every tenant" in run("require-listed", "off").stdout

    def test_usage_is_a_bill(self, run: Callable[..., Any]) -> None:
        used = json.loads(run("usage", "acme", "--from", "2026-01-01", "--json").stdout)
        assert {"tenant", "interactions", "bytes", "memories", "model_tokens"} < used.keys()
        assert "interactions" in run("usage", "acme").stdout


class TestMessages:
    """What is on the bus for a tenant that is not served becomes dead letters, and comes back."""

    @pytest.fixture
    def stream(self, kafka: str, url: str) -> Stream:
        """One partition, so that a tenant that waited would keep the others waiting."""
        return Stream(kafka_settings(kafka, url, partitions=1), url)

    async def check(self, stream: Stream, store: Database, reason: str, again: Any) -> None:
        stream.send(said(ACME, "m1"), said(BIRCH, "m2"), said(ACME, "m1"), said(BIRCH, "m3"))
        done = stream.drain()
        assert (done.appended, done.set_aside) == (2, 2)
        assert [letter["reason"] for letter in stream.letters()] == [reason, reason]
        assert "'acme'" in stream.letters()[0]["detail"]
        assert stream.log(ACME) == []
        assert len(stream.log(BIRCH)) == 2
        refused = await redrive(store, stream.settings, None)
        assert [f": {reason}: " in line for line in refused.refused] == [True, True]
        await again
        back = await redrive(store, stream.settings, None)
        assert (back.appended, back.already_there, back.refused) == (1, 1, [])
        assert [name for name, _, _ in stream.log(ACME)] == ["m1"]

    async def test_of_one_that_is_not_listed(self, stream: Stream, store: Database) -> None:
        await tenants.create(store, "birch")
        await tenants.require_listed(store, on=True)
        await self.check(stream, store, "unlisted_tenant", tenants.create(store, "acme"))

    async def test_of_one_that_is_suspended(self, stream: Stream, store: Database) -> None:
        await tenants.suspend(store, "acme")
        await self.check(stream, store, "suspended_tenant", tenants.resume(store, "acme"))

    async def test_of_one_over_its_quota(self, stream: Stream, store: Database) -> None:
        await tenants.set_quota(store, "acme", Quota(interactions_a_day=0))
        again = tenants.set_quota(store, "acme", Quota(interactions_a_day=5))
        await self.check(stream, store, "over_quota", again)
