"""Every statement of `sql/queries`: it plans, it is used, it is scoped, and hot ones stay fast."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

from memory.database import queries
from memory.database.queries import numbered
from memory.log.envelope import incoming
from memory.log.fields import COLUMNS
from memory.log.rows import append_one_params, append_params
from memory.log.trace_context import NO_TRACE
from memory.models import Interaction, InteractionKind, Role, Scope
from tests.bindings import bind
from tests.plan_nodes import every_node

ROOT = Path(__file__).parent.parent
STATEMENTS = sorted(queries.load())
FILES = {name.split(".")[0] for name in STATEMENTS}


@cache
def used_in(*packages: str) -> frozenset[str]:
    """Names of statements that our code spells out, also where it puts them together.

    A module with an f-string such as `f"verification.{name}"` may mean any of its plain words.
    """
    found = set()
    for package in packages:
        for path in (ROOT / package).rglob("*.py"):
            nodes = list(ast.walk(ast.parse(path.read_text())))
            texts = {n.value for n in nodes if isinstance(n, ast.Constant)}
            words = {t for t in texts if isinstance(t, str) and re.fullmatch(r"\w+(\.\w+)?", t)}
            joined = [n.values[0] for n in nodes if isinstance(n, ast.JoinedStr) and n.values]
            prefixes = {n.value for n in joined if isinstance(n, ast.Constant)}
            files = {f for f in FILES if f"{f}." in prefixes}
            found |= {w for w in words if w.partition(".")[0] in FILES and "." in w}
            found |= {name for f in files for w in words if (name := f"{f}.{w}") in STATEMENTS}
    return frozenset(found)


def roles(name: str) -> list[str]:
    """Who runs a statement: modules of `memory` run as the client, those of `consumers` as worker.

    Workers reach the log and the long-term tier through the same modules as clients. Migrations
    and what makes logins run as the login role, and what compares backups as their own role.
    """
    if name.startswith(("migrations.", "roles.")):
        return []
    if name.startswith("backup."):
        return ["memory_backup"]
    found = ["memory_client"] if name in used_in("memory") else []
    if name in used_in("consumers") or name.startswith(("log.", "long_term.", "embedders.")):
        found.append("memory_worker")
    return found


def copies(name: str) -> bool:
    """Whether a statement takes rows from the client or drops a table: it is never planned."""
    return re.search("^(COPY|DROP TABLE) ", queries.statement(name), re.MULTILINE) is not None


def defines(name: str) -> bool:
    """Whether a statement makes a table, listens or sets: it is done rather than planned."""
    return (
        re.search(
            "^(CREATE|LISTEN|SET transaction_isolation) ",
            queries.statement(name),
            re.MULTILINE,
        )
        is not None
    )


def lasting(text: str) -> str:
    """A statement whose temporary table outlasts its transaction."""
    return text.replace("ON COMMIT DROP", "")


def calls(name: str) -> bool:
    """Whether a statement calls a procedure: it is checked, but never planned."""
    return re.search("^CALL ", queries.statement(name), re.MULTILINE) is not None


class TestNames:
    def test_every_name_that_is_used_exists(self) -> None:
        assert used_in("memory", "consumers") <= set(STATEMENTS)

    def test_every_name_that_exists_is_used(self) -> None:
        assert set(STATEMENTS) <= used_in("memory", "consumers")

    def test_a_name_stands_once_in_its_file(self) -> None:
        for path in (queries.sql_directory() / "queries").glob("*.sql"):
            names = re.findall(r"^-- (\w+) --$", path.read_text(), re.MULTILINE)
            assert len(names) == len(set(names)), path.name

    def test_a_variant_replaces_what_is_there_once(self) -> None:
        now = queries.statement("recall.scores")
        past = queries.statement("recall.scores_then")
        assert "believed_to IS NULL" in now
        assert "believed_to IS NULL" not in past
        assert "but for" not in past
        assert past.splitlines()[-1] == now.splitlines()[-1]

    def test_a_list_of_columns_stands_once_for_all_statements(self) -> None:
        assert queries.columns("sent") == COLUMNS
        for column in queries.columns("interaction"):
            assert re.search(rf"\bw\.{column}\b", queries.statement("log.window")), column
        assert "%{" not in "".join(queries.load().values())

    def test_no_statement_stands_outside_a_block(self) -> None:
        for path in (queries.sql_directory() / "queries").glob("*.sql"):
            assert path.read_text().startswith("-- "), path.name


@pytest.fixture
def user_tables(superuser: psycopg.Connection) -> set[str]:
    """Tables whose rows belong to a user of a tenant."""
    rows = superuser.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'memory'::regnamespace AND c.relkind = 'r'"
        " AND a.attname = 'user_id'"
    )
    return {name for (name,) in rows}


class TestStatements:
    @pytest.mark.parametrize("name", STATEMENTS)
    def test_says_what_it_is_for(self, name: str) -> None:
        first, *_ = queries.statement(name).splitlines()
        assert re.match(r"-- (?!unscoped)\w.{8,}", first), first

    def test_names_its_tenant_and_its_user_or_says_why_not(self, user_tables: set[str]) -> None:
        tables = re.compile(rf"\b(?:FROM|JOIN|INTO|UPDATE) (?:{'|'.join(sorted(user_tables))})\b")
        for name in STATEMENTS:
            text = queries.statement(name)
            body = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
            if re.search(r"^-- unscoped: \w.{8,}", text, re.MULTILINE):
                continue
            assert "%(tenant)s" in body, f"{name} names no tenant"
            if tables.search(body):
                assert "%(user)s" in body, f"{name} names no user"

    def test_plans_against_the_schema_as_the_role_that_runs_it(self, url: str) -> None:
        # EXPLAIN also checks the privileges, which PREPARE does not.
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET search_path TO memory, public")
            # Temporary tables come first, for the statements that use them.
            planned = (n for n in STATEMENTS if not copies(n))
            for name in sorted(planned, key=lambda n: not defines(n)):
                text, _ = numbered(name)
                for role in roles(name):
                    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
                    try:
                        if calls(name):
                            may_call(connection, text)
                        else:
                            explain = "" if defines(name) else "EXPLAIN (GENERIC_PLAN) "
                            connection.execute((explain + lasting(text)).encode())
                    except psycopg.Error as error:
                        pytest.fail(f"{name} as {role}: {error}")


def may_call(connection: psycopg.Connection, text: str) -> None:
    """Raises where the role may not call what the server takes the statement to call."""
    prepared = connection.pgconn.prepare(b"", text.encode())
    if prepared.status != ExecStatus.COMMAND_OK:
        raise error_from_result(prepared)
    called = re.search(r"^CALL (\w+)", text, re.MULTILINE)
    assert called is not None
    may = "SELECT has_function_privilege(%s::regproc, 'EXECUTE')"
    assert connection.execute(may, [called[1]]).fetchone() == (True,), called[1]


NOW = datetime(2026, 3, 2, tzinfo=UTC)
TENANT, USER, SESSION = "tenant-3", "user-7", "session-2"
KEY = b"\x01" * 16
SAID = Interaction(
    Scope(TENANT, USER, "scout", SESSION), "m1", InteractionKind.MESSAGE, Role.USER, "Hello.", NOW
)
HOT: dict[str, dict[str, Any]] = {
    "log.append": append_params(
        [incoming(replace(SAID, id=name, actor="Ana")) for name in ("new", "newer")],
        NO_TRACE, 3600.0,
    ),
    "log.window": {"session": SESSION, "agent": None, "tokens": 600, "limit": 200},
    "log.read_session": {"session": SESSION, "after": 3, "limit": 100},
    "log.read_seen": {"session": SESSION, "agent": "scout", "after": 3, "limit": 100},
    "log.read_before": {"session": SESSION, "through": 9, "limit": 6},
    "log.read_ids": {"ids": ["i-1", "i-2"]},
    "log.session": {"session": SESSION},
    "log.get_state": {"session": SESSION, "agent": None},
    "log.position": {},
    "log.settled": {
        "ids": ["i-1", "i-2"], "clusters": ["c", None], "topic_ids": ["t", None],
        "partitions": [0, None], "offsets": [7, None],
    },
    "leases.due_sessions": {"generation": 1},
    "long_term.assertions": {"generation": 1, "keys": [KEY]},
    "long_term.open_beliefs": {"generation": 1, "keys": [KEY]},
    "long_term.forgotten_beliefs": {"generation": 1, "keys": [KEY]},
    "long_term.memory": {"memory": 5, "agent": None},
    "long_term.evidence": {"memory": 5},
    "long_term.keys_of_interactions": {"ids": ["i-1"]},
    "retraction.by_ids": {"ids": ["i-1"], "agent": None, "operator": False},
    "retraction.by_source": {"source": "client", "agent": None, "operator": True},
    "retraction.retracted": {},
    "retraction.resting": {"ids": ["i-1"]},
    "retraction.standing": {"generation": 1, "keys": [KEY]},
    "retraction.of_memory": {"memory": 5},
    "long_term.history": {
        "all": True, "as_of": NOW, "believed_at": NOW, "kinds": None, "attribute": None,
        "contested": False, "agent": None, "limit": 100,
    },
    "past.details": {"memories": [1, 2, 3], "believed_at": NOW},
    "past.position": {"believed_at": NOW},
    "past.window": {
        "session": SESSION, "agent": None, "tokens": 600, "limit": 200, "as_of": NOW,
        "believed_at": NOW,
    },
    "past.session": {"session": SESSION, "as_of": NOW, "believed_at": NOW},
    "past.state": {"session": SESSION, "agent": None, "as_of": NOW, "believed_at": NOW},
    "recall.scores": {
        "text": "candidates who led a migration", "language": "english",
        "vector": "[" + ",".join(["0.125"] * 64) + "]", "embedder_id": 1, "agent": None,
        "only_agent": False, "kinds": None, "by_row": False, "names": True, "generation": None,
    },
    "recall.details": {"memories": [1, 2, 3], "lexemes": ["migrat"], "soon": None},
}  # fmt: skip

APPENDED = append_one_params(incoming(SAID), 3600.0)

FILL = """
INSERT INTO embedders (name, dimensions) VALUES ('words-64', 64);
INSERT INTO users (tenant_id, user_id, position)
SELECT 'tenant-' || t, 'user-' || u, 100 FROM generate_series(1, 5) t, generate_series(1, 40) u;
INSERT INTO sessions (tenant_id, user_id, session_id, length, started_at, last_at)
SELECT tenant_id, user_id, 'session-' || s, 20, now(), now() FROM users, generate_series(1, 5) s;
INSERT INTO interactions (tenant_id, user_id, session_id, ordinal, position, interaction_id,
    private, kind, role, content, payload, occurred_at, source, content_hash)
SELECT tenant_id, user_id, 'session-' || (n - 1) / 20 + 1, (n - 1) % 20 + 1, n, 'i-' || n, false,
    'message', 'user', 'Hello ' || n, '{}', now(), 'client', 'h'
FROM users, generate_series(1, 100) n;
INSERT INTO assertions (tenant_id, user_id, generation, belief_key, assertion_id, position,
    candidate, provenance, extractor, interaction_ids, recorded_at)
SELECT tenant_id, user_id, 1, substring(sha256(('k' || n)::bytea) FOR 16),
    substring(sha256(('a' || n)::bytea) FOR 16), n, '{}', '{}', 'test', ARRAY['i-' || n], now()
FROM users, generate_series(1, 30) n;
INSERT INTO memories (tenant_id, user_id, memory_id, generation, belief_key, kind, text,
    single_valued, session_id, ordinal, ordinal_to, confidence, importance, support, tokens,
    payload, lexemes, occurred_at, valid_from, believed_from, extractor, extractor_version)
SELECT tenant_id, user_id, n, 1, substring(sha256(('k' || n)::bytea) FOR 16), 'episode',
    'Candidate ' || n || ' led a migration', false, 'session-1', n, n, 1, 0.5, 1, 9, '{}',
    to_tsvector('english', 'Candidate ' || n || ' led a migration'), now(), now(), now(),
    'test', '1'
FROM users, generate_series(1, 60) n;
INSERT INTO evidence (tenant_id, user_id, memory_id, interaction_id, start_offset, end_offset,
    quote, stance, occurred_at, recorded_at)
SELECT tenant_id, user_id, memory_id, 'i-' || memory_id, 0, 5, 'Hello', 'supports', now(), now()
FROM memories;
INSERT INTO embeddings (tenant_id, user_id, embedder_id, generation, memory_id, vector)
SELECT tenant_id, user_id, (SELECT embedder_id FROM embedders), generation, memory_id,
    array_fill(0.125::real, ARRAY[64])::vector::halfvec
FROM memories;
INSERT INTO tombstones (tenant_id, user_id, id_digest)
SELECT tenant_id, user_id, sha256(('t' || n)::bytea) FROM users, generate_series(1, 20) n;
"""


def prepared(name: str) -> str:
    return "hot_" + name.replace(".", "_")


@pytest.fixture(scope="class")
def grown(
    server: str, template: str, request: pytest.FixtureRequest
) -> Iterator[psycopg.Connection]:
    """As the client, with every hot statement prepared and run while all tables were empty."""
    # A database for the class: filling it once is enough.
    make = request.getfixturevalue("make_class_database")
    with psycopg.connect(make(template), autocommit=True) as connection:
        connection.execute("SET search_path TO memory, public")
        connection.execute("SET ROLE memory_client")
        for name in HOT:
            text, _ = numbered(name)
            connection.execute(f"PREPARE {prepared(name)} AS {text}".encode())
        for name in HOT:
            for _ in range(6):  # after five a plan without the values is considered
                plan_of(connection, name)
        for _ in range(6):
            appending(connection, user="somebody", session="somewhere")
        connection.execute("RESET ROLE")
        connection.execute(FILL)
        yield connection


def plan_of(connection: psycopg.Connection, name: str) -> list[dict[str, Any]]:
    """The nodes of the plan for a hot statement, under the settings it really runs with."""
    _, names = numbered(name)
    values = {"tenant": TENANT, "user": USER, **HOT[name]}
    literals = sql.SQL(", ").join(sql.Literal(values[n]) for n in names)
    with connection.transaction():
        bind(connection, Scope(TENANT, USER))
        execute = sql.SQL("EXECUTE {}({})").format(sql.Identifier(prepared(name)), literals)
        return nodes_of(connection, execute)


def appending(connection: psycopg.Connection, **changes: str) -> dict[str, tuple[int, int, int]]:
    """What `log.append_one` reads of each table: scans, looks into an index, rows they brought.

    Its plans are inside a procedure, where EXPLAIN does not look.
    """
    values = {"tenant": TENANT, "user": USER, **APPENDED, "id": uuid4().hex, **changes}
    connection.execute("SELECT pg_stat_force_next_flush()")  # of what was counted before
    with connection.transaction():
        connection.execute("SET LOCAL ROLE memory_client")
        connection.execute("SET LOCAL plan_cache_mode TO force_custom_plan")
        rows = connection.execute(queries.statement("log.append_one"), values)
        ((ordinal, position),) = rows.fetchall()
        assert ordinal
        assert position
        found = connection.execute(
            "SELECT relname, seq_scan, idx_scan, idx_tup_fetch FROM pg_stat_xact_user_tables"
            " WHERE schemaname = 'memory' AND seq_scan + idx_scan > 0"
        ).fetchall()
    return {name: (scans, looks, rows) for name, scans, looks, rows in found}


def nodes_of(connection: psycopg.Connection, statement: sql.Composable) -> list[dict[str, Any]]:
    row = connection.execute(sql.SQL("EXPLAIN (FORMAT JSON) ") + statement).fetchone()
    return every_node(row)


def scanned(nodes: list[dict[str, Any]]) -> set[str]:
    """The tables that grow with use and are read whole."""
    return GROWING & {n["Relation Name"] for n in nodes if n["Node Type"] == "Seq Scan"}


GROWING = {"interactions", "tombstones", "assertions", "memories", "evidence", "embeddings"}


class TestHotPlans:
    @pytest.mark.parametrize("name", HOT)
    def test_never_scans_before_statistics_were_gathered(
        self, grown: psycopg.Connection, name: str
    ) -> None:
        assert not scanned(plan_of(grown, name))

    def test_looks_for_a_known_id_by_the_whole_key(self, grown: psycopg.Connection) -> None:
        looks = [
            node["Index Cond"]
            for node in plan_of(grown, "log.append")
            if node.get("Relation Name") in ("interactions", "tombstones") and "Index Cond" in node
        ]
        assert len(looks) == 2
        assert all(re.search(r"interaction_id =|id_digest =", look) for look in looks)

    def test_appending_looks_once_into_each_table_by_its_whole_key(
        self, grown: psycopg.Connection
    ) -> None:
        expected = {
            "interactions": (0, 1, 0),
            "tombstones": (0, 1, 0),
            "users": (0, 1, 1),
            "sessions": (0, 1, 1),
            "tenant_admissions": (0, 1, 0),
            "store_settings": (1, 0, 0),  # which has one row
        }
        assert appending(grown) == expected
        grown.execute("ANALYZE")
        assert appending(grown) == expected

    @pytest.mark.parametrize("name", HOT)
    def test_never_scans_with_statistics(self, grown: psycopg.Connection, name: str) -> None:
        grown.execute("ANALYZE")
        assert not scanned(plan_of(grown, name))

    def test_a_scan_would_be_noticed(self, grown: psycopg.Connection) -> None:
        whole = nodes_of(grown, sql.SQL("SELECT content FROM interactions"))
        assert scanned(whole) == {"interactions"}
