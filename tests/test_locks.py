"""No lock that a client can take in one tenant stops another tenant."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors, sql

from memory.client import MemoryClient
from memory.models import Scope
from memory.settings import Settings
from tests.bindings import bind
from tests.conftest import Extraction, WordEmbedder

ANA = Scope("northwind", "ana", session="s1")
EVE = Scope("attacker", "eve", session="s1")
WAITS = "2s"
"""How long a statement of the other tenant may wait for a lock before it counts as stopped."""

STRONGER_THAN_READING = (
    "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE", "ACCESS EXCLUSIVE",
)  # fmt: skip
MODES = ("ACCESS SHARE", *STRONGER_THAN_READING)
ROW_LOCKS = ("UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE")


@pytest.fixture
def attacker(url: str, client: MemoryClient) -> Iterator[psycopg.Connection]:
    """An open transaction as the client role, bound to a user with rows of every kind."""
    client.record(EVE, "I live in Berlin.")
    client.remember(EVE, "Allergic to nuts", attribute="allergy", value="nuts")
    client.state.set(EVE, "task", {"step": 1})
    with psycopg.connect(url) as connection:
        connection.execute("SET search_path TO memory, public")
        bind(connection, EVE)
        yield connection
        connection.rollback()


@pytest.fixture
def hurried(settings: Settings, superuser: psycopg.Connection) -> Settings:
    """Settings of the tenant that goes on: a lock that does not come soon is an error."""
    name = sql.Identifier(superuser.info.dbname)
    superuser.execute(
        sql.SQL("ALTER DATABASE {} SET lock_timeout = {}").format(name, sql.Literal(WAITS))
    )
    return settings


def tables(connection: psycopg.Connection) -> list[str]:
    rows = connection.execute(
        "SELECT relname::text FROM pg_class"
        " WHERE relnamespace = 'memory'::regnamespace AND relkind = 'r' ORDER BY 1"
    )
    return [name for (name,) in rows]


def taken(connection: psycopg.Connection, statement: sql.Composed | sql.SQL) -> bool:
    """Whether the open transaction got what it asked for; it stays open."""
    try:
        with connection.transaction():
            connection.execute(statement)
    except errors.InsufficientPrivilege:
        return False
    return True


def all_locks(connection: psycopg.Connection) -> list[str]:
    """Takes every lock on tables and rows that the client can, and returns which."""
    found = []
    for table in tables(connection):
        name = sql.Identifier("memory", table)
        for mode in MODES:
            asked = sql.SQL("LOCK TABLE {} IN {} MODE").format(name, sql.SQL(mode))
            if taken(connection, asked):
                found.append(f"{table} {mode}")
        for mode in ROW_LOCKS:
            asked = sql.SQL("SELECT FROM {} FOR {}").format(name, sql.SQL(mode))
            if taken(connection, asked):
                found.append(f"{table} row {mode}")
    return found


def advisory(connection: psycopg.Connection, superuser: psycopg.Connection) -> None:
    """Takes every advisory lock that a program could be meant to meet by, in both forms of key."""
    connection.execute("SELECT pg_advisory_lock(hashtextextended(name, 0))"
                       " FROM unnest(ARRAY['memory_due', 'memory_changes']) name")  # fmt: skip
    connection.execute("SELECT pg_advisory_lock(0), pg_advisory_lock(7331, 1)")
    connection.execute(
        "SELECT pg_advisory_lock(c.oid::int, slot) FROM pg_class c, generate_series(0, 63) slot"
        " WHERE relnamespace = 'memory'::regnamespace AND relname = 'recall_blocks'"
    )


def goes_on(client: MemoryClient, worker: Extraction) -> None:
    """All that a tenant does: recording, recall, contexts, remembering, forgetting, extraction."""
    client.record(ANA, "I live in Berlin.", id="said")
    client.record(ANA.in_session("s2"), "I speak French.")
    kept = client.remember(ANA, "Likes dogs", attribute="likes", value="dogs")
    client.state.set(ANA, "task", {"step": 1})
    client.state.delete(ANA, "task")
    worker.drain()
    assert "berlin" in [m.value for m in client.history(ANA)]
    assert client.recall(ANA, "Where does Ana live?").items
    assert "Berlin" in client.context(ANA, "Where does Ana live?").text
    client.retract(ANA, interactions=["said"], reason="a slip")
    client.forget(ANA, memory=kept.id)
    client.forget(ANA, session="s2")
    client.forget(ANA, user=True)
    assert client.history(ANA) == []


@pytest.fixture
def other(hurried: Settings, embedder: WordEmbedder) -> Iterator[MemoryClient]:
    with MemoryClient(hurried, embedder=embedder) as opened:
        yield opened


def test_a_client_locks_no_table_against_more_than_its_shape(attacker: psycopg.Connection) -> None:
    got = all_locks(attacker)
    strong = [f"{t} {m}" for t in tables(attacker) for m in STRONGER_THAN_READING]
    # What an INSERT takes stops no reader and no writer.
    weak = {f"{t} {m}" for t in tables(attacker) for m in ("ROW SHARE", "ROW EXCLUSIVE")}
    assert set(got) & set(strong) <= weak
    assert "interactions row UPDATE" in got


def test_a_client_may_empty_no_table_and_say_no_other_owner(attacker: psycopg.Connection) -> None:
    for table in tables(attacker):
        name = sql.Identifier("memory", table)
        for asked in ("TRUNCATE {}", "DELETE FROM {}", "ALTER TABLE {} ADD COLUMN x int"):
            assert not taken(attacker, sql.SQL(asked).format(name)), (table, asked)
    assert not taken(attacker, sql.SQL("UPDATE memory.users SET tenant_id = 'northwind'"))


def test_every_column_that_a_client_writes_can_be_updated(attacker: psycopg.Connection) -> None:
    closed = attacker.execute(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'memory'::regnamespace AND c.relkind = 'r' AND a.attnum > 0"
        " AND NOT a.attisdropped AND a.attname NOT IN ('tenant_id', 'user_id')"
        " AND has_table_privilege('memory_client', c.oid, 'INSERT')"
        " AND NOT has_column_privilege('memory_client', c.oid, a.attnum, 'UPDATE')"
    ).fetchall()
    assert closed == []


def test_another_tenant_goes_on_beside_every_lock(
    attacker: psycopg.Connection, other: MemoryClient, worker: Extraction,
    superuser: psycopg.Connection,
) -> None:  # fmt: skip
    assert all_locks(attacker)
    advisory(attacker, superuser)
    goes_on(other, worker)


def test_nobody_keeps_another_tenant_from_notifying(
    attacker: psycopg.Connection, other: MemoryClient, url: str
) -> None:
    attacker.execute("UPDATE users SET due_at = NULL")
    attacker.execute("UPDATE users SET due_at = now()")
    attacker.execute("SET CONSTRAINTS ALL IMMEDIATE")  # its turn to notify begins, and does not end
    advisory(attacker, attacker)
    with psycopg.connect(url, autocommit=True) as ear:
        ear.execute("LISTEN memory_due")
        other.record(ANA, "Hello.")
        ear.execute("SELECT 1")
        assert [n.channel for n in ear.notifies(timeout=0)] == ["memory_due"]


class TestDeleting:
    """What deletes for a client deletes of the bound user alone."""

    CALLS = (
        "delete_task_state('s1', 'task')", "delete_sessions(NULL)",
        "delete_interactions(ARRAY['m1'])", "delete_assertions(1::smallint, ids, keys)",
        "delete_memories(1::smallint, keys)", "delete_derived()", "delete_model_answers()",
        "delete_model_calls()", "delete_review_decision('p')",
        "delete_blocks('{1,1}', '{0,1}')",
    )  # fmt: skip

    @pytest.mark.parametrize("bound", [EVE, Scope("northwind", "tom"), None])
    def test_reaches_no_other_user(
        self, bound: Scope | None, client: MemoryClient, url: str, superuser: psycopg.Connection
    ) -> None:
        client.record(ANA, "Hello.", id="m1")
        client.remember(ANA, "Likes dogs", attribute="likes", value="dogs")
        client.state.set(ANA, "task", {"step": 1})
        superuser.execute(MORE_ROWS)
        before = everything(superuser)
        keys = superuser.execute(
            "SELECT array_agg(assertion_id), array_agg(belief_key) FROM assertions"
        ).fetchone()
        assert keys is not None
        with psycopg.connect(url) as connection:
            if bound is None:
                connection.execute("SET ROLE memory_client; SET search_path TO memory, public")
            else:
                bind(connection, bound)
            for call in self.CALLS:
                statement = f"SELECT {call} FROM (SELECT %s::bytea[] AS ids, %s::bytea[] AS keys) k"
                connection.execute(statement.encode(), keys)
        assert everything(superuser) == before

    def test_every_function_that_runs_as_the_worker_is_tried(
        self, superuser: psycopg.Connection
    ) -> None:
        names = {
            name
            for (name,) in superuser.execute(
                "SELECT proname FROM pg_proc WHERE pronamespace = 'memory'::regnamespace"
                " AND prosecdef AND proname LIKE 'delete%%'"
            )
        }
        assert names == {call.partition("(")[0] for call in self.CALLS}


MORE_ROWS = """
INSERT INTO model_answers (tenant_id, user_id, answer_key, answer)
SELECT tenant_id, user_id, 'k', 'a' FROM users;
INSERT INTO review_decisions (tenant_id, user_id, proposal, approved, decided_by)
SELECT tenant_id, user_id, 'p', true, 'sam' FROM users;
INSERT INTO recall_blocks (tenant_id, user_id, generation, block)
SELECT tenant_id, user_id, 1, 0 FROM users;
"""


def everything(superuser: psycopg.Connection) -> dict[str, list[str]]:
    return {
        table: sorted(
            text
            for (text,) in superuser.execute(
                sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier("memory", table))
            )
        )
        for table in tables(superuser)
    }
