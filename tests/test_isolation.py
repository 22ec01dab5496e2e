"""Isolation: row-level security lets a connection see its own tenant and user, and nothing else.

What is checked is read from the catalogue, so that a new table or a new statement is covered, or
fails here until someone says which class it belongs to.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from anyio.from_thread import start_blocking_portal
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from consumers.extraction import Worker
from extractors.protocol import Extractor
from memory.client import MemoryClient
from memory.database import Database, DatabaseRole, queries
from memory.database.queries import numbered
from memory.errors import InvalidScope, StoreError
from memory.models import Scope
from memory.settings import Settings
from tests.bindings import bind
from tests.conftest import Databases, Extraction, Residence, Verbatim, WordEmbedder
from tests.test_queries import APPENDED, STATEMENTS, copies, defines, lasting, roles

ANA = Scope("northwind", "ana", session="s1")
TOM = Scope("northwind", "tom", session="s1")
EVE = Scope("initech", "ana", session="s1")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CLIENT, WORKER = DatabaseRole.CLIENT.value, DatabaseRole.WORKER.value

USER_TABLES = {
    "users", "sessions", "task_state", "interactions", "tombstones", "assertions", "memories",
    "evidence", "embeddings", "recall_blocks", "session_progress", "forgotten_beliefs",
    "memory_usage", "generation_progress", "retractions", "changes", "change_cursors",
    "model_calls", "model_answers", "review_decisions",
}  # fmt: skip
TENANT_TABLES = {
    "tenants", "collective_memories", "collective_embeddings", "collective_support",
    "collective_blocks", "collective_withdrawals", "job_progress", "model_spend",
    "extraction_limits", "notification_turns", "tenant_admissions", "tenant_usage",
}  # fmt: skip
SYSTEM_TABLES = {
    "schema_migrations", "store_identity", "embedders", "generations", "partition_offsets",
    "dead_letters", "prompts", "change_stream", "store_settings",
    "tenant_logins",
}  # fmt: skip
PARTLY_READ_BY_CLIENTS = {"tenants"}
"""Tenant tables of which a client of the tenant reads some columns; no secret is among them."""
KEPT_FROM_CLIENTS = {"dead_letters"}
"""System tables with rows of tenants: a worker that is bound to one sees none of another."""
SHARED_WITH_CLIENTS = {
    "collective_memories", "collective_embeddings", "collective_blocks", "tenant_admissions",
}  # fmt: skip
"""Tenant tables that every client of the tenant may read; none it may write."""


FOUND_FIRST = {
    "users", "change_cursors", "extraction_limits", "notification_turns", "tenant_admissions",
}  # fmt: skip


def acting(connection: psycopg.Connection[Any], role: str, scope: Scope | None) -> None:
    """Makes the connection act as a role, bound to a scope or to nothing."""
    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
    for name, value in (
        ("memory.tenant_id", scope.tenant if scope else ""),
        ("memory.user_id", scope.user if scope else ""),
    ):
        connection.execute("SELECT set_config(%s, %s, false)", (name, value))


def tables(connection: psycopg.Connection[Any]) -> set[str]:
    rows = connection.execute(
        "SELECT relname AS name FROM pg_class"
        " WHERE relnamespace = 'memory'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')"
    )
    return {row["name"] for row in rows}


def counted(connection: psycopg.Connection[Any], table: str) -> int:
    statement = sql.SQL("SELECT count(*) AS n FROM memory.{}").format(sql.Identifier(table))
    row = connection.execute(statement).fetchone()
    assert row is not None
    return int(row["n"])


@pytest.fixture(scope="module")
def filled_url(databases: Databases, template: str) -> Iterator[str]:
    """A store with rows of three users in every table; the tests here leave it as it is."""
    with databases.making() as make, start_blocking_portal() as portal:
        url = make(template)
        settings = Settings(database_url=SecretStr(url))
        database = Database(settings, url, DatabaseRole.WORKER)
        with (
            portal.wrap_async_context_manager(database),
            MemoryClient(settings, embedder=WordEmbedder()) as client,
        ):
            extractors: list[Extractor] = [Verbatim(), Residence()]
            fill(client, Extraction(portal, Worker(database, WordEmbedder(), extractors, settings)))
        with psycopg.connect(url) as connection:
            connection.execute("SET search_path TO memory, public")
            connection.execute(SHARED_ROWS)
        yield url


def fill(client: MemoryClient, worker: Extraction) -> None:
    for scope in (ANA, TOM, EVE):
        client.record(scope, "I live in Berlin.", id="m1", occurred_at=NOON)
        client.record(scope, "I live in Munich.", id="m2", occurred_at=NOON)
        client.record(scope, "Never mind.", id="m3", occurred_at=NOON)
        client.state.set(scope, "task", {"for": f"{scope.tenant} {scope.user}"})
        client.remember(scope, "Allergic to nuts", attribute="allergy", value="nuts", id="m4")
        client.remember(scope, "Likes dogs", attribute="likes", value="dogs", id="m5")
    worker.drain()
    for scope in (ANA, TOM, EVE):
        (dogs,) = client.history(scope, attribute="likes")
        client.forget(scope, memory=dogs.id, keep_sources=True)
        client.record(scope.in_session("s8"), "A slip.", id="slip", occurred_at=NOON)
        client.retract(scope, interactions=["slip"], reason="a slip")
        client.record(scope.in_session("s9"), "Gone.", id="gone", occurred_at=NOON)
        client.forget(scope, session="s9")


@pytest.fixture
def filled(filled_url: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A connection as superuser to the filled store."""
    with psycopg.connect(filled_url, autocommit=True, row_factory=dict_row) as connection:
        connection.execute("SET search_path TO memory, public")
        acting(connection, WORKER, None)
        for name in STATEMENTS:
            if defines(name) and WORKER in roles(name):  # tables that only a connection has
                connection.execute(lasting(queries.statement(name)).encode())
        connection.execute("RESET ROLE")
        yield connection


SHARED_ROWS = """
INSERT INTO tenants (tenant_id) VALUES ('northwind'), ('initech');
INSERT INTO collective_memories (tenant_id, memory_id, generation, belief_key, kind, text,
    attribute, value, confidence, support, tokens, lexemes, valid_from, believed_from, extractor,
    extractor_version)
SELECT tenant_id, 1, 1, 'k', 'fact', 'Many say ' || tenant_id, 'a', 'v', 1, 5, 5,
    to_tsvector('english', 'Many say ' || tenant_id), now(), now(), 'test', '1' FROM tenants;
INSERT INTO collective_embeddings (tenant_id, embedder_id, memory_id, vector)
SELECT tenant_id, (SELECT embedder_id FROM embedders), 1,
    array_fill(0.125::real, ARRAY[64])::vector::halfvec FROM tenants;
INSERT INTO collective_blocks (tenant_id, block, member_count, word_total, word_counts)
SELECT tenant_id, 0, 0, 0, '{}' FROM tenants;
INSERT INTO collective_support (tenant_id, memory_id, user_id, user_memory_id)
SELECT tenant_id, 1, 'ana', 1 FROM tenants;
INSERT INTO collective_withdrawals (tenant_id, belief_digest) SELECT tenant_id, 'd' FROM tenants;
INSERT INTO job_progress (tenant_id, job) SELECT tenant_id, 'j' FROM tenants;
INSERT INTO extraction_limits (tenant_id, users_a_minute) SELECT tenant_id, 60 FROM tenants;
INSERT INTO tenant_admissions (tenant_id, listed_at) SELECT tenant_id, now() FROM tenants;
INSERT INTO tenant_usage SELECT tenant_id, now()::date, now(), 1, 1, 1, 1 FROM tenants;
INSERT INTO partition_offsets (cluster_id, topic_id, partition, topic, owner)
VALUES ('c', 't', 0, 't', 'o');
INSERT INTO dead_letters (cluster_id, topic_id, partition, record_offset, topic, reason, detail,
    tenant_id, user_id, session_id, interaction_id)
SELECT 'c', 't', 0, row_number() OVER (), 't', 'future', 'ahead', tenant_id, user_id, 's1', 'm9'
FROM users;
INSERT INTO tenant_logins (login, tenant_id) VALUES ('of_initech', 'initech');
INSERT INTO prompts (name, version, hash, text, response) VALUES ('p', '1', 'h', 't', '{}');
INSERT INTO model_calls (tenant_id, user_id, generation, task, prompt, prompt_version, prompt_hash,
    model, outcome, cached, requests, input_tokens, output_tokens, cost, seconds, answer)
SELECT tenant_id, user_id, 1, 'extract', 'p', '1', 'h', 'm', 'unusable', false, 1, 1, 1, 1, 1, 'a'
FROM users;
INSERT INTO model_answers (tenant_id, user_id, answer_key, answer)
SELECT tenant_id, user_id, 'k', 'a' FROM users;
INSERT INTO model_spend SELECT tenant_id, now()::date, generation, task, prompt, prompt_version,
    prompt_hash, model, 1, 1, 1, 1, 1, 1, 1 FROM model_calls WHERE user_id = 'ana';
INSERT INTO recall_blocks SELECT tenant_id, user_id, 1, 0 FROM users;
INSERT INTO memory_usage (tenant_id, user_id, memory_id)
SELECT tenant_id, user_id, min(memory_id) FROM memories GROUP BY tenant_id, user_id;
INSERT INTO generation_progress (tenant_id, user_id, generation, position, forget_seq)
SELECT tenant_id, user_id, 1, position, forget_seq FROM users;
INSERT INTO review_decisions (tenant_id, user_id, proposal, approved, decided_by)
SELECT tenant_id, user_id, 'p', true, 'sam' FROM users;
UPDATE change_stream SET enabled_at = now();
SELECT append_changes(array_agg(build_change(m, 'added', NULL))) FROM memories m;
"""

Look = psycopg.Connection[dict[str, Any]]


class TestTables:
    def test_every_table_belongs_to_one_class(self, filled: Look) -> None:
        classes = [USER_TABLES, TENANT_TABLES, SYSTEM_TABLES]
        assert tables(filled) == set().union(*classes)
        assert len(tables(filled)) == sum(map(len, classes))

    def test_every_table_holds_something_to_leak(self, filled: Look) -> None:
        assert [t for t in sorted(tables(filled)) if counted(filled, t) == 0] == []

    def test_row_level_security_is_on_and_forced(self, filled: Look) -> None:
        rows = filled.execute(
            "SELECT relname AS name FROM pg_class WHERE relnamespace = 'memory'::regnamespace"
            " AND relkind = 'r' AND relrowsecurity AND relforcerowsecurity"
        )
        assert {row["name"] for row in rows} == USER_TABLES | TENANT_TABLES | KEPT_FROM_CLIENTS

    def test_keys_of_user_tables_lead_with_tenant_and_user(self, filled: Look) -> None:
        rows = filled.execute(
            "SELECT conrelid::regclass::text AS name,"
            " array_agg(attname::text ORDER BY place) AS key"
            " FROM pg_constraint, unnest(conkey) WITH ORDINALITY AS k(number, place)"
            " JOIN pg_attribute a ON a.attnum = number"
            " WHERE contype = 'p' AND connamespace = 'memory'::regnamespace AND attrelid = conrelid"
            " GROUP BY conrelid"
        )
        keys = {row["name"]: row["key"] for row in rows}
        assert {t for t in keys if keys[t][:2] == ["tenant_id", "user_id"]} == USER_TABLES
        assert {t for t in keys if keys[t][0] == "tenant_id"} == USER_TABLES | TENANT_TABLES


class TestVisibility:
    def test_without_a_binding_nothing_is_seen(self, filled: Look) -> None:
        for role in (CLIENT, WORKER):
            acting(filled, role, None)
            for table in sorted(USER_TABLES | TENANT_TABLES):
                # A worker finds out who is due, and whose changes wait, before it binds anybody.
                # And which tenants are held back.
                found_first = role == WORKER and table in FOUND_FIRST
                if found_first or hidden(role, table):
                    continue
                assert counted(filled, table) == 0, f"{role} sees {table}"

    def test_with_a_binding_only_what_is_bound_is_seen(self, filled: Look) -> None:
        acting(filled, CLIENT, ANA)
        for table in sorted(USER_TABLES):
            rows = everything(filled, table)
            assert rows, table
            assert {(r["tenant_id"], r["user_id"]) for r in rows} == {("northwind", "ana")}, table
        for table in sorted(SHARED_WITH_CLIENTS):
            assert {r["tenant_id"] for r in everything(filled, table)} == {"northwind"}, table

    def test_a_worker_sees_the_users_of_its_tenant(self, filled: Look) -> None:
        acting(filled, WORKER, ANA)
        for table in sorted((USER_TABLES | TENANT_TABLES | KEPT_FROM_CLIENTS) - {"users"}):
            rows = everything(filled, table)
            assert {r["tenant_id"] for r in rows} == {"northwind"}, table

    def test_a_tenant_without_a_user_shows_a_client_no_user(self, filled: Look) -> None:
        acting(filled, CLIENT, ANA)
        filled.execute("SELECT set_config('memory.user_id', '', false)")
        assert [t for t in sorted(USER_TABLES) if counted(filled, t)] == []

    def test_a_binding_ends_with_its_transaction(self, filled: Look) -> None:
        filled.execute("SET ROLE memory_client")
        with filled.transaction():
            bind(filled, ANA)
            assert counted(filled, "interactions") > 0
        assert counted(filled, "interactions") == 0

    @pytest.mark.parametrize(
        "table",
        sorted((TENANT_TABLES - SHARED_WITH_CLIENTS - PARTLY_READ_BY_CLIENTS) | KEPT_FROM_CLIENTS),
    )
    def test_a_client_cannot_read_what_only_the_worker_counts(
        self, filled: Look, table: str
    ) -> None:
        acting(filled, CLIENT, ANA)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            counted(filled, table)

    def test_a_client_reads_its_own_tenants_policy_and_no_secret(self, filled: Look) -> None:
        acting(filled, CLIENT, ANA)
        rows = filled.execute("SELECT tenant_id, policy FROM tenants").fetchall()
        assert [row["tenant_id"] for row in rows] == [ANA.tenant]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            filled.execute("SELECT secret FROM tenants")

    @pytest.mark.parametrize("table", sorted(TENANT_TABLES | SYSTEM_TABLES))
    def test_a_client_writes_only_tables_of_users(self, filled: Look, table: str) -> None:
        acting(filled, CLIENT, ANA)
        for text in ("DELETE FROM {}", "INSERT INTO {} DEFAULT VALUES"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                filled.execute(sql.SQL(text).format(sql.Identifier(table)))

    @pytest.mark.parametrize("role", [CLIENT, WORKER])
    def test_a_role_cannot_bring_rows_into_another_tenant(self, filled: Look, role: str) -> None:
        acting(filled, role, EVE)
        for table in sorted(USER_TABLES):
            names = columns(filled, table)
            copy = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, names)),
                sql.SQL(", ").join(
                    sql.Literal("northwind") if n == "tenant_id" else sql.Identifier(n)
                    for n in names
                ),
                sql.Identifier(table),
            )
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                filled.execute(copy)

    def test_an_empty_tenant_is_refused_everywhere(self, filled: Look) -> None:
        with pytest.raises(InvalidScope):
            Scope("", "ana")
        with pytest.raises(psycopg.errors.CheckViolation):
            filled.execute("INSERT INTO users (tenant_id, user_id) VALUES ('', 'ana')")
        with pytest.raises(psycopg.errors.CheckViolation):
            filled.execute("INSERT INTO tenants (tenant_id) VALUES ('')")

    def test_functions_that_act_for_a_client_are_few_and_known(self, filled: Look) -> None:
        rows = filled.execute(
            "SELECT proname AS name FROM pg_proc"
            " WHERE pronamespace = 'memory'::regnamespace AND prosecdef"
        )
        assert {r["name"] for r in rows} == {
            "register_embedder", "withdraw_support", "forget_dead_letters", "notify_channel",
            "delete_task_state", "delete_sessions", "delete_interactions", "delete_assertions",
            "delete_memories", "delete_derived", "delete_review_decision", "delete_model_answers",
            "delete_model_calls", "delete_blocks", "quota_exceeded", "recount_stored",
            "tenant_of_login",
        }  # fmt: skip


def hidden(role: str, table: str) -> bool:
    return role == CLIENT and table in TENANT_TABLES - SHARED_WITH_CLIENTS


def everything(connection: Look, table: str) -> list[dict[str, Any]]:
    return connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))).fetchall()


def columns(connection: Look, table: str) -> list[str]:
    rows = connection.execute(
        "SELECT attname AS name FROM pg_attribute WHERE attrelid = ('memory.' || %s)::regclass"
        " AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
        (table,),
    )
    return [row["name"] for row in rows]


IDS = ["m1", "m2", "m3", "m4", "gone"]
VALUES: dict[str, Any] = {
    "incoming": Jsonb([{
        "interaction_id": name, "session_id": "s1", "private": False, "kind": "message",
        "role": "user", "content": "x", "payload": {}, "occurred_at": NOON.isoformat(),
        "source": "client", "content_hash": "00",
    } for name in IDS]),
    "ids": IDS, "session": "s1", "agent": None, "kind": "message", "role": "user",
    "actor": None, "payload": Jsonb({}), "through": 99, "limit": 1000,
    "tokens": 10_000, "key": "task", "extractor": "residence", "from_seq": None,
    "to_seq": 10_000, "forget_seq": None, "lease": None, "language": "english", "all": True,
    "attribute": None, "embedder": "words-64", "name": "words-64", "dimensions": 64,
    "vector": "[" + ",".join(["0.125"] * 64) + "]", "only_agent": False,
    "lexemes": ["berlin"], "retry": None, "max_attempts": 1, "contested": False,
    "as_of": None, "believed_at": None,
}  # fmt: skip
BY_TYPE: dict[str, Any] = {
    "text": "m1", "text[]": IDS, "smallint": 1, "integer": 1, "bigint": 1, "real": 0.5,
    "double precision": 1.0, "boolean": True, "bytea": b"k", "jsonb": Jsonb([]), "uuid": None,
    "bigint[]": list(range(1, 40)), "integer[]": list(range(1, 40)), "interval": "1 day",
    "smallint[]": [1], "timestamp with time zone": NOON, "real[]": [0.5] * 5,
    "double precision[]": [0.5] * 5, "boolean[]": [True] * 5, "halfvec": VALUES["vector"],
    "timestamp with time zone[]": [NOON] * 5, "regconfig": "english", "date": NOON.date(),
}  # fmt: skip
"""For parameters that `VALUES` does not name; whatever they mean, ids that somebody has."""


def statements_of(role: str) -> list[str]:
    """The statements that a role runs on tables."""
    own = ("connection.", "scope.")
    return [
        n
        for n in STATEMENTS
        if role in roles(n) and not (defines(n) or copies(n) or n.startswith(own))
    ]


def everyones(connection: Look, name: str) -> dict[str, Any]:
    """Parameters of a statement that name rows of every user."""
    text, names = numbered(name)
    connection.pgconn.prepare(b"typed", text.encode())  # PREPARE takes no CALL
    row = connection.execute(
        "SELECT parameter_types::text[] AS types FROM pg_prepared_statements WHERE name = 'typed'"
    ).fetchone()
    connection.execute("DEALLOCATE typed")
    keys = connection.execute("SELECT DISTINCT belief_key FROM memories").fetchall()
    assert row is not None
    by_type = {**BY_TYPE, "bytea[]": [bytes(k["belief_key"]) for k in keys]}
    known = {**VALUES, "kinds": ["message"] * 5 if name.startswith("log.") else None}
    return {
        n: known[n] if n in known and fits(known[n], typed) else by_type[typed]
        for n, typed in zip(names, row["types"], strict=True)
    }


def fits(value: Any, typed: str) -> bool:
    """Whether a value that a name stands for in one statement can stand there in another."""
    sample = value[0] if isinstance(value, list) else value
    plain = typed.removesuffix("[]")
    return value is None or (
        isinstance(value, list) == typed.endswith("[]")
        and isinstance(sample, str) == (plain in ("text", "halfvec", "regconfig"))
    )


def snapshot(connection: Look, tenant: str, user: str | None = None) -> str:
    """All rows of a tenant, or of one user of it, as text; as the superuser sees them."""
    connection.execute("RESET ROLE")
    found = []
    for table in sorted(USER_TABLES | TENANT_TABLES | KEPT_FROM_CLIENTS):
        rows = everything(connection, table)
        mine = [r for r in rows if r["tenant_id"] == tenant]
        if user is not None and table in USER_TABLES | KEPT_FROM_CLIENTS:
            mine = [r for r in mine if r["user_id"] == user]
        found += sorted(f"{table} {sorted((k, str(v)) for k, v in r.items())}" for r in mine)
    return "\n".join(found)


def attempt(
    connection: Look, name: str, role: str, bound: Scope, named: Scope
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """What a statement returned and what it would leave behind, had it not been rolled back.

    Runs it bound to one scope with parameters that name another; nothing where it is refused.
    """
    connection.execute("RESET ROLE")
    values = {**everyones(connection, name), "tenant": named.tenant, "user": named.user}
    rows: list[dict[str, Any]] = []
    with connection.transaction(force_rollback=True):
        try:
            with connection.transaction():
                acting(connection, role, bound)
                cursor = connection.execute(queries.statement(name), values)
                rows = cursor.fetchall() if cursor.description else []
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.IntegrityError):
            pass
        left = {
            "neighbour": snapshot(connection, "northwind"),
            "other user": snapshot(connection, "northwind", "tom"),
            "other tenant": snapshot(connection, "initech"),
        }
    return rows, left


@pytest.mark.parametrize("role", [CLIENT, WORKER])
class TestStatements:
    def test_naming_a_neighbour_reaches_nothing_of_the_neighbours(
        self, filled: Look, role: str
    ) -> None:
        """Bound to one tenant, every statement is run with the names and ids of another."""
        before = snapshot(filled, "northwind")
        for name in statements_of(role):
            rows, left = attempt(filled, name, role, bound=EVE, named=ANA)
            assert "northwind" not in str(rows), f"{name} read a neighbour"
            assert left["neighbour"] == before, f"{name} changed a neighbour"

    def test_no_statement_goes_beyond_the_scope_it_names(self, filled: Look, role: str) -> None:
        """Bound to a user and naming that user, with ids that others have too."""
        tom, eve = snapshot(filled, "northwind", "tom"), snapshot(filled, "initech")
        for name in statements_of(role):
            rows, left = attempt(filled, name, role, bound=ANA, named=ANA)
            assert "initech" not in str(rows), f"{name} read another tenant"
            assert left["other tenant"] == eve, f"{name} changed another tenant"
            if "-- unscoped:" not in queries.statement(name):
                assert {r.get("user_id", "ana") for r in rows} <= {"ana"}, name
                assert left["other user"] == tom, f"{name} changed another user"

    def test_the_statements_do_reach_what_they_are_for(self, filled: Look, role: str) -> None:
        """The same calls with the right binding find and change things: the tests above bite."""
        before = snapshot(filled, "northwind")
        found, changed = set(), set()
        for name in statements_of(role):
            rows, left = attempt(filled, name, role, bound=ANA, named=ANA)
            found |= {name} if rows else set()
            changed |= {name} if left["neighbour"] != before else set()
        assert {"log.read_ids", "long_term.history", "long_term.evidence"} <= found
        assert {"log.tombstone", "long_term.delete_keys", "long_term.forget_all"} <= changed


Call = Callable[[Database, str], Awaitable[object]]


async def reading(database: Database, _: str) -> None:
    await database.fetch(ANA, "log.position")


async def appending(database: Database, id: str) -> None:  # noqa: A002 - its own name
    await database.fetch(ANA, "log.append_one", {**APPENDED, "id": id})


class TestBinding:
    @pytest.mark.parametrize(("call", "statements"), [(reading, 4), (appending, 3)])
    async def test_binding_and_statement_travel_in_one_round_trip(
        self, settings: Settings, url: str, tmp_path: Path, call: Call, statements: int
    ) -> None:
        one = settings.model_copy(update={"pool_max": 1})
        async with Database(one, url, DatabaseRole.CLIENT) as database:
            await call(database, "m6")  # prepared from here on
            await call(database, "m7")
            trace = tmp_path / "trace"
            with trace.open("wb") as file:
                async with database._pool.connection() as connection:
                    connection.pgconn.trace(file.fileno())
                await call(database, "m8")
                async with database._pool.connection() as connection:
                    connection.pgconn.untrace()
        sent = re.findall(r"\tF\t\d+\t(\w+)", trace.read_text())
        assert sent.count("Sync") == 1
        assert sent.count("Execute") == statements
        answers = re.findall(r"\tB\t\d+\t(\w+)", trace.read_text())
        assert answers.count("ReadyForQuery") == 1

    @pytest.mark.parametrize("bound", [EVE, TOM])
    def test_what_binds_itself_moves_no_binding(self, filled: Look, bound: Scope) -> None:
        keys = {"tenant": ANA.tenant, "user": ANA.user}
        acting(filled, CLIENT, bound)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"bound to .*{bound.user}"):
            filled.execute(queries.statement("log.append_one"), {**keys, **APPENDED, "id": "m6"})

    async def test_pooled_connections_stay_unbound(self, settings: Settings, url: str) -> None:
        one = settings.model_copy(update={"pool_max": 1})
        async with Database(one, url, DatabaseRole.CLIENT) as database:
            await reading(database, "")
            await appending(database, "m6")
            with pytest.raises(StoreError):
                await database.fetch(
                    ANA, "log.set_state", {"session": "s", "agent": None, "key": "", "value": None}
                )
            async with database._pool.connection() as connection:
                cursor = await connection.execute(
                    "SELECT memory.bound_tenant() AS tenant, memory.bound_user() AS user"
                )
                assert await cursor.fetchall() == [{"tenant": None, "user": None}]
