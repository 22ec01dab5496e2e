"""`sql/distribute.sql` against the published rules of Citus, by the catalog and by plans.

The rules: https://docs.citusdata.com/en/stable/develop/reference_workarounds.html and
https://docs.citusdata.com/en/stable/develop/reference_ddl.html. Citus itself is not run.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from memory.database import queries
from memory.database.queries import numbered
from tests.test_queries import STATEMENTS, calls, copies, defines

ROOT = Path(__file__).parent.parent
TEXT = (queries.sql_directory() / "distribute.sql").read_text()
DISTRIBUTED = tuple(re.findall(r"create_distributed_table\('(\w+)', 'tenant_id'", TEXT))
REFERENCE = tuple(re.findall(r"create_reference_table\('(\w+)'\)", TEXT))
LOCAL = tuple(re.findall(r"\w+", TEXT.rpartition("-- Local tables")[2].split(":")[1]))
PAGE = ROOT / "docs" / "scale.md"


class TestTables:
    def test_every_table_is_named_once(self, superuser: psycopg.Connection) -> None:
        named = sorted((*DISTRIBUTED, *REFERENCE, *LOCAL))
        assert named == sorted(
            name
            for (name,) in superuser.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r'"
                " AND relnamespace = 'memory'::regnamespace"
            )
        )

    def test_every_key_holds_the_distribution_column(self, superuser: psycopg.Connection) -> None:
        keys = superuser.execute(
            "SELECT i.indrelid::regclass::text, i.indexrelid::regclass::text, EXISTS ("
            "     SELECT FROM pg_attribute a WHERE a.attrelid = i.indrelid"
            "         AND a.attname = 'tenant_id' AND a.attnum = ANY(i.indkey))"
            " FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
            " WHERE c.relnamespace = 'memory'::regnamespace AND i.indisunique"
        ).fetchall()
        distributed = [key for key in keys if bare(key[0]) in DISTRIBUTED]
        assert len(distributed) >= len(DISTRIBUTED)
        assert [index for _, index, held in distributed if not held] == []

    def test_foreign_keys_stay_on_a_shard_or_lead_to_a_reference_table(
        self, superuser: psycopg.Connection
    ) -> None:
        keys = superuser.execute(
            "SELECT conrelid::regclass::text, confrelid::regclass::text,"
            " pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE contype = 'f' AND connamespace = 'memory'::regnamespace"
        ).fetchall()
        assert keys
        for ours, theirs, definition in keys:
            assert bare(ours) in DISTRIBUTED, definition
            if bare(theirs) not in REFERENCE:
                assert bare(theirs) in DISTRIBUTED, definition
                assert re.search(r"\(tenant_id\b.*REFERENCES .*\(tenant_id\b", definition)

    def test_what_a_foreign_key_names_is_distributed_first(
        self, superuser: psycopg.Connection
    ) -> None:
        order = {name: place for place, name in enumerate((*REFERENCE, *DISTRIBUTED))}
        for ours, theirs in superuser.execute(
            "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint"
            " WHERE contype = 'f' AND connamespace = 'memory'::regnamespace"
        ):
            assert order[bare(theirs)] < order[bare(ours)], (ours, theirs)

    def test_the_triggers_are_on_the_tables_that_the_file_names(
        self, superuser: psycopg.Connection
    ) -> None:
        said = re.search(r"-- The triggers of (.*?) read and write", TEXT)
        assert said is not None
        assert set(re.findall(r"`(\w+)`", said[1])) == {
            bare(name)
            for (name,) in superuser.execute(
                "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger t"
                " JOIN pg_class c ON c.oid = t.tgrelid"
                " WHERE NOT tgisinternal AND c.relnamespace = 'memory'::regnamespace"
            )
        }

    def test_distribution_columns_are_of_one_type_and_collation(
        self, superuser: psycopg.Connection
    ) -> None:
        kinds = superuser.execute(
            "SELECT DISTINCT atttypid::regtype::text, attcollation FROM pg_attribute a"
            " JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'"
            " WHERE a.attname = 'tenant_id' AND c.relname = ANY(%s)",
            [list(DISTRIBUTED)],
        ).fetchall()
        assert len(kinds) == 1


def bare(name: str) -> str:
    return name.rpartition(".")[2]


class TestStatements:
    def test_the_page_lists_those_that_read_more_than_one_tenant(
        self, superuser: psycopg.Connection
    ) -> None:
        superuser.execute("SET search_path TO memory, public")
        planned = [n for n in STATEMENTS if not (n.startswith("migrations.") or copies(n))]
        with superuser.transaction():
            for name in filter(defines, planned):  # temporary tables, which others use
                superuser.execute(numbered(name).text.encode())
            plans = {
                name: plan(superuser, name)
                for name in planned
                if not (defines(name) or calls(name))
            }
        found = {name: kind(nodes) for name, nodes in plans.items() if not of_one_tenant(nodes)}
        listed = re.findall(r"^\| `(\w+\.\w+)` \| (\w+) \|", PAGE.read_text(), re.MULTILINE)
        assert dict(listed) == found
        assert len(plans) > 100  # and the walk saw the others


Node = dict[str, Any]


def plan(connection: psycopg.Connection, name: str) -> list[tuple[Node, tuple[Node, ...]]]:
    """Every node of a statement's plan, each with those above it."""
    explain = "EXPLAIN (GENERIC_PLAN, FORMAT JSON) " + numbered(name).text
    row = connection.execute(explain.encode()).fetchone()
    assert row is not None
    return list(below(row[0][0]["Plan"], ()))


def below(node: Node, above: tuple[Node, ...]) -> Iterator[tuple[Node, tuple[Node, ...]]]:
    yield node, above
    for child in node.get("Plans", ()):
        yield from below(child, (*above, node))


def of_one_tenant(nodes: list[tuple[Node, tuple[Node, ...]]]) -> bool:
    scans = [(node, above) for node, above in nodes if "Scan" in node["Node Type"]]
    return all(
        names_tenant(node, above)
        for node, above in scans
        if node.get("Relation Name") in DISTRIBUTED
    )


def names_tenant(scan: Node, above: tuple[Node, ...]) -> bool:
    """Whether a scan is of one tenant: by its own conditions, or by those of a join above it."""
    own = [scan.get(key, "") for key in ("Index Cond", "Filter", "Recheck Cond")]
    joined = [
        join.get(key, "") for join in above for key in ("Hash Cond", "Merge Cond", "Join Filter")
    ]
    return any(map(holds_always, (*own, *joined)))


def holds_always(condition: str) -> bool:
    """Whether it says which tenant; "no tenant given, or this one" does not."""
    return bool(re.search(r"\btenant_id\b.* = ", condition)) and " IS NULL) OR " not in condition


def kind(nodes: list[tuple[Node, tuple[Node, ...]]]) -> str:
    types = {node["Node Type"] for node, _ in nodes}
    if "LockRows" in types:
        return "locks"
    return "writes" if "ModifyTable" in types else "reads"
