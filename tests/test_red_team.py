"""An attacker tries to get one user's fact out of the collective tier.

The attacker is a client of the same tenant: the client API and any SQL that the client's role may
run, with the attacker's own user bound, and up to k - 1 further users that do what it says. What it
may not do is bind another user: whoever can is the app, which sees that user's memory anyway.
"""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from memory.beliefs.collective import Collective
from memory.client import MemoryClient
from memory.database import Database, DatabaseRole
from memory.errors import UnknownMemory
from memory.models import Scope
from memory.settings import Settings
from tests.compacting import (
    MARCH,
    TENANT,
    Compactor,
    Query,
    as_client,
    compactor,
    hold,
    named,
    set_policy,
    shared,
)
from tests.conftest import Extraction, WordEmbedder

VICTIM = Scope(TENANT, "victim", session="private")
ATTACKER = Scope(TENANT, "attacker", session="probe")
CANARY = "zanzibar"
SYBILS = [f"sybil-{letter}" for letter in "abcd"]  # k - 1 of them, where k is 5

HIDDEN = ("tenants", "collective_support", "collective_withdrawals", "job_progress")


@pytest.fixture
def run(settings: Settings, embedder: WordEmbedder) -> Compactor:
    return compactor(settings, embedder)


@pytest.fixture
def attack(url: str) -> Iterator[Query]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path TO memory, public")
        yield as_client(connection, TENANT, "attacker")


def everything(attack: Query) -> dict[str, list[tuple[object, ...]]]:
    """All that the attacker can read in any table, with the rows' versions and places."""
    tables = attack(
        "SELECT relname FROM pg_class WHERE relnamespace = 'memory'::regnamespace"
        " AND relkind = 'r' AND has_table_privilege(oid, 'SELECT') ORDER BY 1"
    )
    return {
        name: sorted(attack(f"SELECT t.xmin::text, t.ctid::text, t::text FROM {name} t"))
        for (name,) in tables
    }


def test_a_fact_that_one_user_has_is_nowhere(
    client: MemoryClient, run: Compactor, attack: Query, worker: Extraction,
    superuser: psycopg.Connection, settings: Settings, url: str,
) -> None:  # fmt: skip
    set_policy(superuser)
    client.record(VICTIM, f"I speak {CANARY}. I live in {CANARY}.")
    hold(client, ["victim"], attribute="prefers.place", value=CANARY)
    worker.drain()
    run()
    shown = [
        client.recall(ATTACKER, CANARY, k=100).items,
        client.context(ATTACKER, "Which place do they prefer?", budget=4000).json(),
        client.history(ATTACKER, closed=True),
        client.interactions(ATTACKER.in_session("private")),
        client.state.get(ATTACKER.in_session("private")),
        client.position(ATTACKER),
        everything(attack),
    ]
    assert CANARY not in repr(shown)
    stolen = client.history(VICTIM)[0].id
    for reach in (client.explain, lambda scope, memory: client.forget(scope, memory=memory)):
        with pytest.raises(UnknownMemory):
            reach(ATTACKER, stolen)

    async def collective() -> str:
        vector = (await WordEmbedder().embed([CANARY]))[0]
        async with Database(settings, url, DatabaseRole.CLIENT) as database:
            tier = Collective(database, "english")
            return repr(await tier.candidates(ATTACKER, vector, 1, CANARY))

    assert CANARY not in asyncio.run(collective())


def test_tables_that_could_tell_are_closed(attack: Query, superuser: psycopg.Connection) -> None:
    set_policy(superuser)
    for table in HIDDEN:
        with pytest.raises(errors.InsufficientPrivilege):
            attack(f"SELECT * FROM {table}")
        with pytest.raises(errors.InsufficientPrivilege):
            attack(f"SELECT FROM {table} WHERE tenant_id = 'x' FOR UPDATE")
    for statement in (
        "INSERT INTO collective_memories (tenant_id, memory_id) VALUES ('northwind', 1)",
        "UPDATE collective_memories SET support = 1000",
        "DELETE FROM collective_memories",
        "DELETE FROM collective_embeddings",
        "TRUNCATE memories",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            attack(statement)


def test_functions_that_could_tell_are_closed(attack: Query, superuser: psycopg.Connection) -> None:
    may = superuser.execute(
        "SELECT p.oid::regprocedure::text FROM pg_proc p"
        " WHERE pronamespace = 'memory'::regnamespace"
        " AND has_function_privilege('memory_client', p.oid, 'EXECUTE') ORDER BY 1"
    ).fetchall()
    assert [name.partition("(")[0] for (name,) in may] == [
        "append_changes", "append_interaction", "block_contents", "bound_tenant", "bound_user",
        "build_block", "build_change", "changes_enabled", "check_append", "check_tenant",
        "collective_key", "collective_value", "delete_assertions", "delete_blocks",
        "delete_derived", "delete_interactions", "delete_memories", "delete_model_answers",
        "delete_model_calls", "delete_review_decision", "delete_sessions", "delete_task_state",
        "encode_member", "forget_dead_letters", "interaction_bytes", "interaction_counted_at",
        "invalidate_block", "invalidate_blocks", "inverted_index", "leasable_at", "memory_as_json",
        "memory_held_at", "quota_exceeded", "record_deleted_memories", "record_inserted_memories",
        "record_updated_memories", "recount_stored", "refuse_tenant", "register_embedder",
        "repeats", "rollout_bucket", "serving_generation", "session_seen_by", "store_place",
        "tenant_of_login", "text_digest", "withdraw_support",
    ]  # fmt: skip
    assert attack("SELECT withdraw_support()::text") == [("",)]  # says nothing of what it did


def test_blocks_are_made_of_ones_own_memories_alone(
    client: MemoryClient, attack: Query, superuser: psycopg.Connection
) -> None:
    hold(client, ["victim", "attacker"])
    # Ids up to the sequence are given out: with this, the first block of both can be made.
    superuser.execute("UPDATE users SET change_seq = 1000")
    made = "SELECT count(*) FROM recall_blocks"
    assert attack(f"SELECT build_block('{TENANT}', 'victim', 1::smallint)") == [(False,)]
    assert superuser.execute(made).fetchone() == (0,)
    assert attack(f"SELECT build_block('{TENANT}', 'attacker', 1::smallint)") == [(True,)]
    superuser.execute("UPDATE recall_blocks SET user_id = 'victim'")
    assert attack(made) == [(0,)]


def test_taking_back_support_reaches_no_one_else(
    client: MemoryClient, run: Compactor, attack: Query, superuser: psycopg.Connection
) -> None:
    set_policy(superuser)
    hold(client, [*SYBILS, "victim"])
    hold(client, ["attacker"], value="long")
    run("promote")
    before = superuser.execute("SELECT * FROM collective_support ORDER BY user_id").fetchall()
    attack("SELECT withdraw_support()")
    after = superuser.execute("SELECT * FROM collective_support ORDER BY user_id").fetchall()
    assert after == before
    assert len(shared(superuser)) == 1


def test_a_stolen_search_path_changes_nothing(
    client: MemoryClient, run: Compactor, url: str, superuser: psycopg.Connection
) -> None:
    set_policy(superuser)
    hold(client, [*SYBILS, "victim"])
    run("promote")
    with psycopg.connect(url, autocommit=True) as connection, connection.transaction():
        connection.execute("SET LOCAL ROLE memory_client")
        connection.execute(
            "SELECT set_config('memory.tenant_id', %s, true),"
            " set_config('memory.user_id', 'attacker', true)",
            (TENANT,),
        )
        connection.execute("CREATE TEMP TABLE memories (tenant_id text, user_id text)")
        connection.execute("CREATE TEMP TABLE users AS SELECT %s tenant_id, 'attacker' user_id",
                           (TENANT,))  # fmt: skip
        connection.execute("SET LOCAL search_path TO pg_temp, memory")
        connection.execute("SELECT memory.withdraw_support()")
    assert len(shared(superuser)) == 1


def test_another_tenant_sees_and_moves_nothing(
    client: MemoryClient, run: Compactor, url: str, superuser: psycopg.Connection
) -> None:
    set_policy(superuser, k=2)
    set_policy(superuser, "southwind", k=2)
    hold(client, ["victim", "user-1"], value=CANARY)
    hold(client, ["eve"], value=CANARY, tenant="southwind")
    run("promote")
    assert shared(superuser, "southwind") == []  # users of two tenants are never added up
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path TO memory, public")
        eve = as_client(connection, "southwind", "eve")
        assert CANARY not in repr({k: v for k, v in everything(eve).items() if "collective" in k})
        eve("SELECT withdraw_support()")
    client.forget(Scope("southwind", "eve"), user=True)
    assert len(shared(superuser)) == 1


def test_guessing_with_sybils_is_held_to_one_in_jitter_plus_one(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    # k - 1 sybils repeat a guess: if the victim holds it as well, that makes k. A promotion then
    # proves the guess; the secret margin lets that happen for one belief in three (jitter 2).
    set_policy(superuser, jitter=2)
    guesses = [f"uses.{a}{b}" for a in "abcde" for b in "abcdefghijkl"]
    held, not_held = guesses[::2], guesses[1::2]
    for sybil in SYBILS:
        for guess in guesses:
            hold(client, [sybil], attribute=guess, value="yes")
    for guess in held:
        hold(client, ["victim"], attribute=guess, value="yes")
    run("promote")
    promoted = {row[0] for row in superuser.execute("SELECT attribute FROM collective_memories")}
    assert promoted.isdisjoint(not_held)  # k - 1 users alone publish nothing, ever
    proved = len(promoted & set(held)) / len(held)
    assert 0 < proved < 0.7  # 1/3 expected; 30 draws leave this range once in 10,000


def test_sybils_fed_from_one_source_are_one(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    set_policy(superuser)
    for user in [*SYBILS, "sybil-e", "sybil-f"]:
        client.remember(
            Scope(TENANT, user, session="s"), f"I prefer {CANARY}", id="copied",
            attribute="prefers.place", value=CANARY,
            occurred_at=MARCH,
        )  # fmt: skip
    run("promote")
    assert shared(superuser) == []


def test_a_user_who_comes_or_goes_changes_nothing_that_can_be_read(
    client: MemoryClient, run: Compactor, attack: Query, superuser: psycopg.Connection
) -> None:
    set_policy(superuser, jitter=2)
    hold(client, [*SYBILS, *named(11)])
    hold(client, ["attacker"], value="long")
    run("promote")
    assert shared(superuser) == [("Often preferred: outreach short", 10)]
    seen = everything(attack)
    hold(client, ["victim"])
    run("promote", "verify")
    assert everything(attack) == seen
    client.forget(VICTIM, user=True)
    assert everything(attack) == seen
    run("promote", "verify")
    assert everything(attack) == seen


@pytest.mark.parametrize("supporters", [5, 6])
def test_who_leaves_looks_the_same_whether_they_supported_it_or_not(
    supporters: int, client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    # Two worlds with the same count: in one the victim is among the supporters, in the other not.
    published = []
    for world, holders in (
        ("with", [*named(supporters - 1), "victim"]),
        ("without", named(supporters)),
    ):
        set_policy(superuser, world)
        hold(client, holders, tenant=world)
        hold(client, ["victim"], tenant=world, attribute="uses.other", value="yes")
        run("promote", tenant=world)
        client.forget(Scope(world, "victim"), user=True)
        published.append(shared(superuser, world))
    assert published[0] == published[1]
    assert len(published[0]) == (supporters > 5)


def test_watching_the_brink_is_held_to_one_in_jitter_plus_one(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    # A bystander leaves: what stands at the brink goes with them, up to a secret margin each, so
    # that a belief which goes with its supporter does not tell that they were one.
    set_policy(superuser, jitter=2)
    guesses = [f"uses.{a}{b}" for a in "abcd" for b in "abcdefghij"]
    for guess in guesses:
        hold(client, named(7), attribute=guess, value="yes")
    hold(client, ["bystander"], value="long")
    run("promote")
    before = len(shared(superuser))
    assert before == len(guesses)
    client.forget(Scope(TENANT, "bystander"), user=True)
    assert 0 < len(shared(superuser)) < before


def test_the_planner_tells_nothing_of_what_others_said(
    client: MemoryClient, attack: Query, superuser: psycopg.Connection
) -> None:
    hold(client, named(30), value=CANARY)
    hold(client, ["attacker"], value="long")
    superuser.execute("ANALYZE")

    def plan(condition: str) -> str:
        return repr(attack(f"EXPLAIN SELECT FROM memories WHERE {condition}"))

    for column in ("value", "text", "attribute", "context", "subject"):
        for operator in ("=", "<"):
            held = plan(f"{column} {operator} '{CANARY}'")
            free = plan(f"{column} {operator} 'zanzibax'")
            assert held.replace(CANARY, "zanzibax") == free
    assert attack("SELECT * FROM pg_stats WHERE schemaname = 'memory' AND tablename = 'memories'"
                  " AND attname = 'value'") == []  # fmt: skip


@pytest.mark.parametrize(
    "probe",
    [
        "SELECT FROM memories WHERE value = '{}' OR text LIKE '%{}%'",
        "SELECT FROM evidence WHERE quote LIKE '%{}%'",
        "SELECT FROM interactions WHERE content LIKE '%{}%'",
        "SELECT FROM collective_memories WHERE value = '{}' OR text LIKE '%{}%'",
    ],
)
def test_a_probe_takes_as_long_whether_it_is_right_or_wrong(
    client: MemoryClient, attack: Query, run: Compactor, superuser: psycopg.Connection, probe: str
) -> None:
    """Time is measured in the work done: the same rows looked at, on the same pages."""
    set_policy(superuser)
    hold(client, ["attacker"])
    hold(client, ["victim", *named(3)], value=CANARY)
    run("promote")

    def work(word: str) -> str:
        told = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "
        statement = told + probe.replace("{}", word)
        attack(statement)  # the first run warms the caches
        return repr(attack(statement)[0][0][0]["Plan"]).replace(word, "")

    assert work(CANARY) == work("zanzibax")


def test_writing_tells_nothing_of_what_is_there(
    client: MemoryClient, attack: Query, superuser: psycopg.Connection
) -> None:
    client.record(VICTIM, "Hello", id="m1")
    hold(client, ["attacker"])
    said = set()
    for user, ordinal in (("victim", 1), ("victim", 2), ("nobody", 1)):
        with pytest.raises(errors.InsufficientPrivilege) as refused:
            attack(
                "INSERT INTO interactions (tenant_id, user_id, session_id, ordinal, position,"
                " interaction_id, private, kind, role, content, payload, occurred_at, source,"
                f" content_hash) VALUES ('northwind', '{user}', 'private', {ordinal}, {ordinal},"
                " 'm1', false, 'message', 'user', '', '{}', now(), '', '')"
            )
        said.add(str(refused.value))
        with pytest.raises(errors.InsufficientPrivilege) as refused:
            attack(
                "INSERT INTO evidence (tenant_id, user_id, memory_id, interaction_id, start_offset,"
                " end_offset, quote, stance, occurred_at, recorded_at) VALUES ('northwind',"
                f" '{user}', 1, 'm1', 0, 1, '', 'supports', now(), now())"
            )
        said.add(str(refused.value))
    assert len(said) == 2  # one answer a table, whatever is there


def test_a_published_count_is_a_step_and_dated_by_the_day(
    client: MemoryClient, run: Compactor, attack: Query, superuser: psycopg.Connection
) -> None:
    set_policy(superuser)
    hold(client, named(8))
    run("promote")
    ((support, confidence, clock),) = attack(
        "SELECT support, confidence, GREATEST(believed_from - date_trunc('day', believed_from),"
        " valid_from - date_trunc('day', valid_from))::text FROM collective_memories"
    )
    assert support == 5
    assert confidence == pytest.approx(6 / 7)
    assert clock == "00:00:00"
