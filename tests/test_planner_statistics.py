"""What the planner tells: EXPLAIN estimates alike whether another tenant has a value or not.

Columns are read from the catalogue, so that a new one is covered or fails here.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from benchmarks.clusters import Cluster, packaged
from memory.database import DatabaseRole, queries
from memory.migrate import migrations
from memory.models import Scope
from tests.bindings import bind
from tests.plan_nodes import every_node
from tests.test_queries import FILL, HOT

TELLS_NOBODY = ("int2", "int4", "int8", "float4", "float8", "bool", "date", "timestamptz")
"""Types of columns whose distribution over the whole store says no word and names nobody."""
GATHERED = """
SELECT c.relname::text, a.attname::text FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_index i ON i.indexrelid = c.oid
WHERE c.relnamespace = 'memory'::regnamespace
    AND (c.relkind IN ('r', 'p', 'm') OR i.indkey[a.attnum - 1] = 0)
    AND COALESCE(a.attstattarget, -1) <> 0
    AND a.atttypid NOT IN (TELLS_NOBODY)
"""
STORED = """
SELECT s.starelid::regclass::text, s.staattnum FROM pg_statistic s
JOIN pg_class c ON c.oid = s.starelid
JOIN pg_attribute a ON a.attrelid = s.starelid AND a.attnum = s.staattnum
WHERE c.relnamespace = 'memory'::regnamespace AND a.atttypid NOT IN (TELLS_NOBODY)
"""
SEVERAL = (
    "SELECT stxname FROM pg_statistic_ext e JOIN pg_class c ON c.oid = e.stxrelid"
    " WHERE c.relnamespace = 'memory'::regnamespace"
)
READABLE = """
SELECT c.relname::text, a.attname::text, t.typname::text FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relnamespace = 'memory'::regnamespace AND c.relkind = 'r' AND c.relrowsecurity
    AND has_column_privilege('memory_client', c.oid, a.attnum, 'SELECT')
    AND a.atttypid NOT IN (TELLS_NOBODY)
ORDER BY 1, 2
"""
ESTIMATED = ("Node Type", "Index Name", "Plan Rows", "Startup Cost", "Total Cost")
COMPARED = ("=", "<>", "<", "<=", ">", ">=")
OTHERS = {
    "text": ("LIKE", "~", "^@"),
    "jsonb": ("@>", "<@"),
    "tsvector": (),
    "_text": ("@>", "<@", "&&"),
}
EVERY_TABLE = """
UPDATE interactions SET agent_id = 'scout', actor = 'Ana Quill', source = 'src-' || tenant_id,
    payload = jsonb_build_object('tenant', tenant_id);
UPDATE sessions SET summary = 'About ' || tenant_id, summary_sources = ARRAY['i-1', tenant_id];
UPDATE memories SET attribute = 'lives_in', value = 'Zanzibar ' || tenant_id, subject = 'Tom',
    context = 'work', contested = ARRAY['a', tenant_id], payload = jsonb_build_object('t', value);
"""
LARGE = """
UPDATE pg_class SET relpages = 1, reltuples = 1e9
WHERE relnamespace = 'memory'::regnamespace AND relkind = 'r'
"""  # as in a great store: where every estimate is one row, none tells anything
SAID_BY_AN_INDEX = ("interactions", "kind", "message")
"""The schema says which index serves this value, whatever rows there are."""


@contextmanager
def store(request: pytest.FixtureRequest, *rows: str) -> Iterator[psycopg.Connection]:
    """A connection as superuser to a database of its own with these rows."""
    template = request.getfixturevalue("template")
    with (
        request.getfixturevalue("databases").making() as make,
        psycopg.connect(make(template), autocommit=True) as connection,
    ):
        connection.execute("SET search_path TO memory, public")
        for statement in rows:
            connection.execute(statement.encode())
        yield connection


@pytest.fixture(scope="module")
def analyzed(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    """A store of five tenants, some 12,000 rows a table, all that ANALYZE can gather gathered."""
    with store(request, FILL, EVERY_TABLE, "ANALYZE", LARGE) as connection:
        yield connection


def all_of(connection: psycopg.Connection, query: str) -> list[Any]:
    types = ", ".join(f"'{name}'::regtype" for name in TELLS_NOBODY)
    return connection.execute(query.replace("TELLS_NOBODY", types).encode()).fetchall()


class TestCatalogue:
    def test_nothing_is_gathered_of_any_column_or_index_expression(
        self, analyzed: psycopg.Connection
    ) -> None:
        assert all_of(analyzed, GATHERED) == []
        assert all_of(analyzed, SEVERAL) == []
        assert all_of(analyzed, STORED) == []

    def test_what_comes_later_is_noticed_and_covered_by_the_procedure(
        self, superuser: psycopg.Connection
    ) -> None:
        superuser.execute("SET search_path TO memory, public")
        superuser.execute(
            "CREATE TABLE later (said text); CREATE INDEX later_low ON later (lower(said), said);"
            "INSERT INTO later SELECT 'said ' || n FROM generate_series(1, 500) n; ANALYZE later"
        )
        gathered = [("later", "said"), ("later_low", "lower")]
        assert sorted(all_of(superuser, GATHERED)) == gathered
        assert len(all_of(superuser, STORED)) == len(gathered)
        superuser.execute("CALL keep_no_statistics()")
        superuser.execute("ANALYZE later")
        assert all_of(superuser, GATHERED) == []
        assert all_of(superuser, STORED) == []

    @pytest.mark.slow
    def test_postgres_16_forgets_what_it_gathered(self) -> None:
        procedure = migration("statistics").partition("REVOKE")[0]
        with Cluster.made(packaged(16), {}) as made, made.connect() as administrator:
            administrator.execute("CREATE SCHEMA memory; SET search_path TO memory")
            administrator.execute("CREATE TABLE later AS SELECT 'x' || n AS said FROM"
                                  " generate_series(1, 500) n; ANALYZE later")  # fmt: skip
            administrator.execute(procedure.encode())
            assert len(all_of(administrator, STORED)) == 1
            administrator.execute("CALL keep_no_statistics(); ANALYZE later")
            assert all_of(administrator, STORED) == []


def migration(name: str) -> str:
    return next(m.sql for m in migrations() if m.name == name)


class TestEstimates:
    def test_are_the_same_for_what_another_tenant_has_and_what_nobody_has(
        self, analyzed: psycopg.Connection
    ) -> None:
        asked = 0
        for table, column, kind in all_of(analyzed, READABLE):
            for held, free in of_another(analyzed, table, column, kind):
                for operator in (*COMPARED, *OTHERS.get(kind, ())):
                    asked += 1
                    plans = [estimated(analyzed, table, column, operator, v) for v in (held, free)]
                    assert plans[0] == plans[1], f"{table}.{column} {operator} {held!r}"
        assert asked > 200

    def test_are_the_same_for_words(self, analyzed: psycopg.Connection) -> None:
        plans = [
            estimated(analyzed, "memories", "lexemes", "@@", sql.SQL("{}::tsquery").format(word))
            for word in (sql.Literal("migrat"), sql.Literal("qqqqqq"))
        ]
        assert plans[0] == plans[1]

    def test_would_differ_with_statistics(self, superuser: psycopg.Connection) -> None:
        superuser.execute("SET search_path TO memory, public")
        superuser.execute(FILL)
        superuser.execute(EVERY_TABLE)
        superuser.execute("ALTER TABLE interactions ALTER source SET STATISTICS 100; ANALYZE")
        superuser.execute(LARGE)
        plans = [
            estimated(superuser, "interactions", "source", "=", value)
            for value in ("src-tenant-1", "src-tenant-X")
        ]
        assert plans[0] != plans[1]


def of_another(
    connection: psycopg.Connection, table: str, column: str, kind: str
) -> list[tuple[Any, Any]]:
    """A common value of tenant-1 as a literal, with one like it that no row has."""
    name, of = sql.Identifier(column), sql.Identifier(table)
    row = connection.execute(
        sql.SQL(
            "SELECT {0}::text FROM {1} WHERE tenant_id = 'tenant-1' AND {0} IS NOT NULL"
            " GROUP BY {0} ORDER BY count(*) DESC LIMIT 1"
        ).format(name, of)
    ).fetchone()
    if row is None or row[0] == "" or (table, column, row[0]) == SAID_BY_AN_INDEX:
        return []
    return [(row[0], other)] if (other := like(row[0], kind)) else []


def like(text: str, kind: str) -> str | None:
    """Another text of the same type and length."""
    swaps = {"text": ("aeiou123", "yyyyy777"), "jsonb": ("1", "7"), "_text": ("1", "7")}
    if kind == "bytea":
        return text[:-2] + ("00" if text[-2:] != "00" else "01")
    if kind == "tsvector":
        return text.replace("1", "7")
    if kind not in swaps:
        return None
    return text.translate(str.maketrans(*swaps[kind]))


def estimated(
    connection: psycopg.Connection, table: str, column: str, operator: str, value: Any
) -> list[tuple[Any, ...]]:
    """What EXPLAIN estimates for a user of a third tenant: each node with rows and costs."""
    literal = value if isinstance(value, sql.Composable) else sql.Literal(value)
    statement = sql.SQL("SELECT FROM {} WHERE {} {} {}").format(
        sql.Identifier(table), sql.Identifier(column), sql.SQL(operator), literal
    )
    with connection.transaction():
        bind(connection, Scope("tenant-3", "user-7"))
        return [tuple(map(node.get, ESTIMATED)) for node in nodes_of(connection, statement)]


MANY_TENANTS = """
INSERT INTO users (tenant_id, user_id, position, due_at, recorded_at)
SELECT 'tenant-' || t, 'user-' || u, 9, CASE WHEN u = 1 AND t % 10 = 0 THEN now() END, now()
FROM generate_series(1, 400) t, generate_series(1, 75) u;
INSERT INTO session_progress (tenant_id, user_id, generation, session_id)
SELECT tenant_id, user_id, 1, 's' FROM users;
INSERT INTO interactions (tenant_id, user_id, session_id, ordinal, position, interaction_id,
    private, kind, role, content, payload, occurred_at, source, content_hash)
SELECT tenant_id, user_id, 's', n, n, 'i-' || n, false, 'message', 'user', 'Hello', '{}', now(),
    'client', 'h' FROM users, generate_series(1, 2) n;
"""
LEASING: dict[str, dict[str, Any]] = {
    "leases.acquire": {"tenant": None, "passed_over": [], "after": "tenant-2", "backfill": False,
                       "quiet": 0.0, "full": 100, "user": None, "lease": 60.0},
    "leases.next": {"tenant": None, "passed_over": [], "quiet": 0.0, "full": 100, "user": None},
    "leases.oldest": {},
    "leases.by_tenant": {"limit": 100},
}  # fmt: skip


@pytest.fixture(scope="module")
def crowded(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    """30,000 users of 400 tenants, of whom 40 are due, after ANALYZE."""
    with store(request, MANY_TENANTS, "VACUUM ANALYZE") as connection:
        yield connection


class TestPlans:
    @pytest.mark.parametrize("name", LEASING)
    def test_workers_find_who_is_due_by_the_index_of_those_who_are(
        self, crowded: psycopg.Connection, name: str
    ) -> None:
        with crowded.transaction(force_rollback=True):
            bind(crowded, Scope("tenant-3", "user-7"), role=DatabaseRole.WORKER)
            crowded.execute("SELECT set_config('memory.tenant_id', '', true)")
            nodes = nodes_of(crowded, filled(name, LEASING[name]), "ANALYZE, FORMAT JSON")
        scans = [
            n
            for n in nodes
            if n.get("Relation Name") == "users" and n["Node Type"] != "ModifyTable"
        ]
        found = [n for n in scans if n.get("Index Name") != "users_pkey"]
        assert found
        assert all(n.get("Index Name") in ("users_due", "users_turns") for n in found), found
        assert sum(n["Actual Rows"] * n["Actual Loops"] for n in scans) < 1_000

    @pytest.mark.parametrize("name", ["leases.due_sessions", "log.read_session", "log.settled"])
    def test_a_user_is_read_by_the_key(self, crowded: psycopg.Connection, name: str) -> None:
        with crowded.transaction(force_rollback=True):
            bind(crowded, Scope("tenant-3", "user-7"), role=DatabaseRole.WORKER)
            nodes = nodes_of(
                crowded, filled(name, {**HOT[name], "tenant": "tenant-3", "user": "user-7"})
            )
        looks = [n for n in nodes if n.get("Relation Name") in ("interactions", "session_progress")]
        assert all("tenant_id =" in n.get("Index Cond", "") for n in looks), looks


def filled(name: str, values: dict[str, Any]) -> sql.Composed:
    """A statement with its values in it."""
    parts = re.split(r"%\((\w+)\)s", queries.statement(name))
    return sql.SQL("").join(
        sql.Literal(values[p]) if n % 2 else sql.SQL(p.replace("%%", "%"))
        for n, p in enumerate(parts)
    )


def nodes_of(
    connection: psycopg.Connection, statement: sql.Composed, how: str = "FORMAT JSON"
) -> list[dict[str, Any]]:
    row = connection.execute(sql.SQL("EXPLAIN ({}) {}").format(sql.SQL(how), statement)).fetchone()
    return every_node(row)
