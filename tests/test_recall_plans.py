"""The statements that recall reads with keep one plan for all values; it has to be the right one.

The plan is made while the tables are empty, as in a new store, and kept as they grow.
"""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from memory.database import queries
from memory.database.queries import numbered
from memory.models import Scope
from tests.bindings import bind
from tests.plan_nodes import every_node
from tests.test_queries import FILL, HOT, TENANT, USER, prepared

ONE_PLAN = sorted(name for name in queries.load() if queries.has_one_plan(name))
READING = ["recall.scores", "recall.details"]
MEMORIES = 60  # of each user that FILL makes
COLLECTIVE = {
    "language": "english", "text": "candidates", "vector": HOT["recall.scores"]["vector"],
    "embedder_id": 1, "kinds": None, "nearest": 0.3, "limit": 20,
}  # fmt: skip
THEN = {**HOT["recall.scores"], "as_of": "2026-03-02", "believed_at": "2026-03-03"}
VALUES = {**HOT, "collective.candidates": COLLECTIVE, "recall.scores_then": THEN}


def explained(connection: psycopg.Connection, name: str, **changes: object) -> list[dict[str, Any]]:
    """The nodes of a prepared statement's plan as it runs, with the pages that each touched."""
    _, names = numbered(name)
    values = {"tenant": TENANT, "user": USER, **VALUES[name], **changes}
    literals = sql.SQL(", ").join(sql.Literal(values[n]) for n in names)
    explain = sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {}({})")
    with connection.transaction():
        bind(connection, Scope(TENANT, USER), "scope.bind_read")
        row = connection.execute(
            explain.format(sql.Identifier(prepared(name)), literals)
        ).fetchone()
    return every_node(row)


def touched(nodes: list[dict[str, Any]]) -> int:
    return int(nodes[0]["Shared Hit Blocks"] + nodes[0]["Shared Read Blocks"])


@pytest.fixture(scope="class")
def grown(template: str, request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    """Every statement of one plan was planned while all tables were empty; nothing was analyzed."""
    make = request.getfixturevalue("make_class_database")
    with psycopg.connect(make(template), autocommit=True) as connection:
        connection.execute("SET search_path TO memory, public")
        for table in ("memories", "embeddings", "evidence", "sessions", "interactions"):
            # Statistics would have the plans made anew, as sooner or later they are.
            connection.execute(
                sql.SQL("ALTER TABLE {} SET (autovacuum_enabled = off)").format(
                    sql.Identifier(table)
                )
            )
        connection.execute("SET ROLE memory_client")
        for name in ONE_PLAN:
            text, _ = numbered(name)
            connection.execute(f"PREPARE {prepared(name)} AS {text}")
            explained(connection, name)
        connection.execute("RESET ROLE")
        connection.execute(FILL)
        yield connection


class TestOnePlan:
    def test_is_what_recall_reads_with(self) -> None:
        assert set(READING) <= set(ONE_PLAN) <= set(VALUES)

    @pytest.mark.parametrize("name", ONE_PLAN)
    def test_scans_no_table(self, grown: psycopg.Connection, name: str) -> None:
        scans = [n["Relation Name"] for n in explained(grown, name) if n["Node Type"] == "Seq Scan"]
        assert not scans

    @pytest.mark.parametrize("name", [*READING, "recall.scores_then"])
    def test_looks_by_tenant_and_user(self, grown: psycopg.Connection, name: str) -> None:
        conditions = [
            n["Index Cond"]
            for n in explained(grown, name)
            if "Index Cond" in n and n.get("Relation Name") != "generations"
        ]
        assert conditions
        assert all("tenant_id =" in c and "user_id =" in c for c in conditions)

    @pytest.mark.parametrize("name", READING)
    def test_throws_no_row_of_an_index_away(self, grown: psycopg.Connection, name: str) -> None:
        rows = {
            n.get("Relation Name"): n["Rows Removed by Filter"]
            for n in explained(grown, name, lexemes=["led"])
            if n.get("Rows Removed by Filter") and n.get("Relation Name")
        }
        assert not rows

    def test_touches_few_pages_beside_those_of_the_user(self, grown: psycopg.Connection) -> None:
        own = grown.execute(
            "SELECT count(DISTINCT (m.ctid::text::point)[0])"
            " + count(DISTINCT (e.ctid::text::point)[0])"
            " FROM memories m JOIN embeddings e USING (tenant_id, user_id, memory_id)"
            " WHERE tenant_id = %s AND user_id = %s",
            (TENANT, USER),
        ).fetchone()
        assert own is not None
        assert own[0] <= touched(explained(grown, "recall.scores", names=False)) <= own[0] + 20

    def test_reads_details_by_the_whole_key(self, grown: psycopg.Connection) -> None:
        # A look for each of three memories and its evidence: at most three pages down, one across.
        assert touched(explained(grown, "recall.details", memories=[3, 4, 5])) <= 3 * 2 * 4

    def test_pages_do_not_grow_with_other_users(self, grown: psycopg.Connection) -> None:
        before = {name: touched(explained(grown, name)) for name in READING}
        grown.execute(
            "INSERT INTO memories SELECT (jsonb_populate_record(m,"
            " jsonb_build_object('user_id', m.user_id || '-other'))).* FROM memories m"
        )
        for name in READING:
            assert touched(explained(grown, name)) <= before[name] + 4

    def test_a_shadow_beside_what_serves_costs_no_page(self, grown: psycopg.Connection) -> None:
        before = {name: touched(explained(grown, name)) for name in READING}
        grown.execute(
            "INSERT INTO generations (name, state, followed) VALUES ('next', 'shadow', true)"
        )
        for table in ("memories", "embeddings"):
            grown.execute(
                sql.SQL(
                    "INSERT INTO {} SELECT (jsonb_populate_record(t, jsonb_build_object("
                    "'generation', 2, 'memory_id', t.memory_id + 1000))).* FROM {} t"
                ).format(sql.Identifier(table), sql.Identifier(table))
            )
        for percent in (0, 1):  # of whom none is the user that is asked about
            grown.execute("UPDATE generations SET percent = %s WHERE name = 'next'", (percent,))
            for name in READING:
                assert touched(explained(grown, name)) <= before[name] + 4, (name, percent)

    def test_finds_the_same_with_statistics(self, grown: psycopg.Connection) -> None:
        before = touched(explained(grown, "recall.scores"))
        grown.execute("ANALYZE")
        assert touched(explained(grown, "recall.scores")) <= before + 4

    def test_reads_no_row_that_a_block_holds(self, grown: psycopg.Connection) -> None:
        before = touched(explained(grown, "recall.scores", names=False))
        key = (TENANT, USER)
        given_out = "UPDATE users SET change_seq = 255 WHERE (tenant_id, user_id) = (%s, %s)"
        grown.execute(given_out, key)
        sealed = grown.execute("SELECT build_block(%s, %s, 1::smallint)", key).fetchone()
        assert sealed == (True,)
        nodes = explained(grown, "recall.scores", names=False)
        read = {n["Relation Name"]: n["Actual Rows"] for n in nodes if "Relation Name" in n}
        assert (read["recall_blocks"], read["memories"]) == (1, 0)
        assert touched(nodes) <= before + 4

    def test_a_statement_without_the_remark_has_none(self) -> None:
        assert not queries.has_one_plan("log.append")
