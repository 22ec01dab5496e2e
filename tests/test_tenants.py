"""Tenants share the workers: turns, pauses, throttles, and what an operator sees of each."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest

from consumers.extraction.leases import BACKFILL_EVERY, Leases, UserFilter
from consumers.operations import tenants
from consumers.operations.status import read_status
from consumers.operations.tenants import Throttle, what_waits
from memory.client import AsyncMemoryClient
from memory.database import Database, DatabaseRole, queries
from memory.models import Interaction, InteractionKind, Role, Scope
from memory.settings import Settings

NOW = datetime(2026, 3, 2, tzinfo=UTC)
QUIET = 0.0


@pytest.fixture
async def store(settings: Settings, url: str) -> AsyncIterator[Database]:
    async with Database(settings, url, DatabaseRole.WORKER) as opened:
        yield opened


def said(scope: Scope, number: int, source: str = "client") -> Interaction:
    name = f"{scope.tenant}-{scope.user}-{number}"
    message = Interaction(scope, name, InteractionKind.MESSAGE, Role.USER, "Hi", NOW)
    return replace(message, source=source)


def people(tenant: str, number: int) -> list[Scope]:
    return [Scope(tenant, f"{tenant}-{n}", "scout", "s1") for n in range(number)]


async def recorded(client: AsyncMemoryClient, scopes: Sequence[Scope]) -> None:
    for scope in scopes:
        await client.record_many([said(scope, 1)])


async def turns(leases: Leases, number: int) -> list[str]:
    found = [await leases.acquire(QUIET) for _ in range(number)]
    return [lease.scope.tenant if lease else "" for lease in found]


@pytest.fixture
def leases(store: Database, settings: Settings) -> Leases:
    return Leases(store, settings, UserFilter())


class TestTurns:
    async def test_a_burst_of_one_tenant_makes_no_other_wait(
        self, async_client: AsyncMemoryClient, leases: Leases
    ) -> None:
        await recorded(async_client, people("acme", 20))
        await recorded(async_client, people("birch", 2))
        await recorded(async_client, people("cedar", 1))
        assert await turns(leases, 5) == ["acme", "birch", "cedar", "acme", "birch"]

    async def test_each_tenant_extracts_who_waited_longest(
        self, async_client: AsyncMemoryClient, leases: Leases
    ) -> None:
        await recorded(async_client, people("acme", 3))
        found = [await leases.acquire(QUIET) for _ in range(3)]
        users = [lease.scope.user for lease in found if lease]
        assert users == ["acme-0", "acme-1", "acme-2"]

    async def test_history_of_a_tenant_has_its_turn_too(
        self, async_client: AsyncMemoryClient, leases: Leases
    ) -> None:
        for scope in (*people("acme", 3), *people("birch", 1)):
            await async_client.record_many([said(scope, 1, "import:beam")])
        assert await turns(leases, 5) == ["acme", "birch", "acme", "acme", ""]

    async def test_one_tenant_alone_can_be_extracted(
        self, async_client: AsyncMemoryClient, store: Database, settings: Settings
    ) -> None:
        await recorded(async_client, [*people("acme", 2), *people("birch", 2)])
        only = Leases(store, settings, UserFilter("birch"))
        assert await turns(only, 3) == ["birch", "birch", ""]

    @pytest.mark.parametrize("others", [1, 5000])
    async def test_passes_over_a_tenant_without_reading_its_users(
        self, store: Database, superuser: psycopg.Connection, others: int
    ) -> None:
        """However many users of it are due, and however few of each other tenant."""
        superuser.execute(
            "INSERT INTO users (tenant_id, user_id, position, recorded_at, due_at)"
            " SELECT 'acme', 'user-' || n, 1, now() - interval '1 hour', now() - interval '1 hour'"
            " FROM generate_series(1, 5000) n"
        )
        superuser.execute(
            "INSERT INTO users (tenant_id, user_id, position, recorded_at, due_at)"
            " SELECT 'birch-' || n, 'ana', 1, now(), now() FROM generate_series(1, %s) n",
            (others,),
        )
        superuser.execute("ANALYZE users")
        assert leased_by(superuser) == ("acme", True)
        await tenants.pause(store, "acme")
        assert leased_by(superuser) == ("birch-1", True)

    async def test_can_pass_over_tenants_which_have_users_that_wait(
        self, async_client: AsyncMemoryClient, leases: Leases
    ) -> None:
        await recorded(async_client, [*people("acme", 2), *people("birch", 1)])
        lease = await leases.acquire(QUIET, ["acme"])
        assert lease is not None
        assert lease.scope.tenant == "birch"
        assert await leases.acquire(QUIET, ["acme"]) is None
        assert await leases.seconds_until_due(QUIET, 30.0, ["acme", "birch"]) == 30.0
        assert await turns(leases, 2) == ["acme", "acme"]


def leased_by(connection: psycopg.Connection) -> tuple[str, bool]:
    """The tenant whose user a worker leases, and whether it read fewer than 50 rows for it."""
    turns = {"tenant": None, "user": None, "after": "", "backfill": False}
    params = {**turns, "passed_over": list[str](), "quiet": QUIET, "full": 100, "lease": 60.0}
    with connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL ROLE memory_worker")
        connection.execute("SET LOCAL plan_cache_mode TO force_custom_plan")
        found = connection.execute(queries.statement("leases.acquire"), params).fetchone()
        read = connection.execute(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables"
            " WHERE relname = 'users'"
        ).fetchone()
    assert found is not None
    assert read is not None
    return str(found[0]), int(read[0]) < 50


class TestPause:
    async def test_leases_none_of_its_users_until_it_is_resumed(
        self, async_client: AsyncMemoryClient, store: Database, leases: Leases
    ) -> None:
        await recorded(async_client, [*people("acme", 2), *people("birch", 1)])
        await tenants.pause(store, "acme")
        assert await turns(leases, 2 * BACKFILL_EVERY) == [
            "birch",
            *[""] * (2 * BACKFILL_EVERY - 1),
        ]
        assert await tenants.resume(store, "acme")
        assert await turns(leases, 3) == ["acme", "acme", ""]

    async def test_a_worker_sleeps_rather_than_look_again_and_again(
        self, async_client: AsyncMemoryClient, store: Database, leases: Leases
    ) -> None:
        await recorded(async_client, people("acme", 1))
        assert await leases.seconds_until_due(QUIET, 30.0) <= 0
        await tenants.pause(store, "acme")
        assert await leases.seconds_until_due(QUIET, 30.0) == 30.0

    async def test_what_is_leased_is_finished_and_what_is_recorded_waits(
        self, async_client: AsyncMemoryClient, store: Database, leases: Leases
    ) -> None:
        (ana,) = people("acme", 1)
        await async_client.record(ana, "Hello.")
        lease = await leases.acquire(QUIET)
        assert lease is not None
        await tenants.pause(store, "acme")
        await async_client.record(ana, "Hello again.")
        await leases.release(lease)
        assert (await async_client.position(ana)).extracted == 1
        assert await leases.acquire(QUIET) is None

    async def test_resuming_what_is_not_held_back_changes_nothing(self, store: Database) -> None:
        assert not await tenants.resume(store, "acme")


class TestThrottle:
    async def test_spaces_users(
        self, async_client: AsyncMemoryClient, store: Database, leases: Leases
    ) -> None:
        await recorded(async_client, [*people("acme", 3), *people("birch", 2)])
        await tenants.throttle(store, "acme", Throttle(users=1))
        assert await turns(leases, 4) == ["acme", "birch", "birch", ""]
        assert 30 < await leases.seconds_until_due(QUIET, 120.0) <= 60

    async def test_counts_the_interactions_that_wait(
        self, async_client: AsyncMemoryClient, store: Database, leases: Leases
    ) -> None:
        ana, tom = people("acme", 2)
        await async_client.record_many([said(ana, n) for n in range(50)])
        await recorded(async_client, [tom])
        await tenants.throttle(store, "acme", Throttle(interactions=10))
        assert await turns(leases, 2) == ["acme", ""]
        assert 240 < await leases.seconds_until_due(QUIET, 1e6) <= 300

    async def test_goes_on_once_the_time_has_come(
        self, async_client: AsyncMemoryClient, store: Database, leases: Leases,
        superuser: psycopg.Connection,
    ) -> None:  # fmt: skip
        await recorded(async_client, people("acme", 2))
        await tenants.throttle(store, "acme", Throttle(users=1))
        assert await turns(leases, 2) == ["acme", ""]
        superuser.execute("UPDATE extraction_limits SET free_at = now()")
        assert await turns(leases, 2) == ["acme", ""]

    async def test_a_pause_keeps_it_and_it_keeps_a_pause(self, store: Database) -> None:
        await tenants.throttle(store, "acme", Throttle(users=7))
        await tenants.pause(store, "acme")
        await tenants.throttle(store, "acme", Throttle(interactions=9))
        (acme,) = (await what_waits(store)).tenants
        assert acme.paused_at is not None
        assert acme.throttle == Throttle(interactions=9)

    async def test_nothing_a_minute_is_refused(self, store: Database) -> None:
        with pytest.raises(Exception, match="extraction_limits_users_a_minute_check"):
            await tenants.throttle(store, "acme", Throttle(users=0))


class TestWhatAnOperatorSees:
    async def test_lag_by_tenant_and_what_is_held_back(
        self, async_client: AsyncMemoryClient, store: Database, superuser: psycopg.Connection
    ) -> None:
        await recorded(async_client, [*people("acme", 3), *people("birch", 2)])
        superuser.execute(
            "UPDATE users SET due_at = now() - interval '1 hour' WHERE tenant_id = 'acme'"
        )
        found = await what_waits(store)
        assert [(t.tenant, t.users_due, t.waiting) for t in found.tenants] == [
            ("acme", 3, 3),
            ("birch", 2, 2),
        ]
        assert found.held_back == 0
        assert found.lag_seconds >= 3600
        await tenants.pause(store, "acme")
        found = await what_waits(store)
        assert (found.held_back, found.lag_seconds < 3600) == (3, True)
        assert found.tenants[0].held_back

    async def test_sessions_set_aside_are_counted_in_every_tenant_and_name_it(
        self, store: Database, superuser: psycopg.Connection, async_client: AsyncMemoryClient
    ) -> None:
        await recorded(async_client, [*people("acme", 1), *people("birch", 1)])
        superuser.execute(
            "INSERT INTO session_progress (tenant_id, user_id, generation, session_id, attempts,"
            " error, set_aside_at)"
            " SELECT tenant_id, user_id, 1, 's1', 5, 'ExtractionFailed: no', now() FROM users"
        )
        found = await read_status(store, "default", language="english")
        assert found.set_aside_total == 2
        assert {row.tenant for row in found.set_aside} == {"acme", "birch"}

    async def test_what_a_retired_generation_set_aside_is_history(
        self, store: Database, superuser: psycopg.Connection, async_client: AsyncMemoryClient
    ) -> None:
        await recorded(async_client, people("acme", 1))
        superuser.execute(
            "INSERT INTO generations (name, state) VALUES ('former', 'retired');"
            "INSERT INTO session_progress (tenant_id, user_id, generation, session_id, attempts,"
            " error, set_aside_at)"
            " SELECT tenant_id, user_id, 2, 's1', 5, 'ExtractionFailed: no', now() FROM users"
        )
        found = await read_status(store, "acme", language="english")
        assert (found.set_aside_total, found.set_aside) == (0, ())
