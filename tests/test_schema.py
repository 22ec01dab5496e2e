"""The schema: written down as it is, free of what would hinder the next migration, read by name."""

import asyncio
import random
import re
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from memory.database import queries
from memory.migrate import migrate
from memory.models import Scope
from memory.settings import Settings
from tests.catalog import Schema, by_name, connected, read
from tests.conftest import WordEmbedder
from tests.schema import PAGE, page_parts, schema_sql, with_parts
from tests.walking import walked


@pytest.fixture(scope="module")
def migrated(server: str, template: str) -> Schema:
    with connected(psycopg.conninfo.make_conninfo(server, dbname=template)) as connection:
        return read(connection)


class TestWrittenDown:
    def test_schema_sql_is_what_the_catalog_holds(self, migrated: Schema) -> None:
        written = (queries.sql_directory() / "schema.sql").read_text(encoding="utf-8")
        assert written == schema_sql(migrated), "run `python -m tests.schema`"

    def test_the_page_has_every_table_and_function(self, migrated: Schema) -> None:
        page = PAGE.read_text(encoding="utf-8")
        assert page == with_parts(page, page_parts(migrated)), "run `python -m tests.schema`"
        assert "||--o{ evidence" in page
        assert "users |o..o{ sessions" in page

    def test_nothing_of_the_schema_is_left_out(self, migrated: Schema) -> None:
        listed = {name for names in migrated.nouns.values() for name in names}
        there = {*migrated.tables, *migrated.types, *migrated.functions}
        assert there - listed == set()

    def test_every_table_says_what_it_is_for(self, migrated: Schema) -> None:
        assert [t.name for t in migrated.tables.values() if not t.comment] == []
        assert [t.name for t in migrated.types.values() if not t.comment] == []

    def test_every_function_says_why_it_is_in_the_database(self, migrated: Schema) -> None:
        silent = [
            f.name
            for f in migrated.functions.values()
            if not re.search(r"\b[Ii]n the database (because|for the reason)\b", f.comment or "")
        ]
        assert silent == []


class TestNextMigration:
    def test_no_function_has_a_body_that_holds_on_to_tables(self, migrated: Schema) -> None:
        assert [f.name for f in migrated.functions.values() if f.standard_body] == []

    def test_every_table_takes_another_column_with_a_default(
        self, superuser: psycopg.Connection, migrated: Schema
    ) -> None:
        for name in migrated.tables:
            statement = f"ALTER TABLE {name} ADD COLUMN another int NOT NULL DEFAULT 0"
            superuser.execute(statement.encode())


# --- by name -------------------------------------------------------------------------------------

STAR = re.compile(r"\b(SELECT|,)\s+(\w+\.)?\*|\bSELECT DISTINCT \*", re.IGNORECASE)
NO_LIST = re.compile(
    r"\b(INSERT INTO|COPY) (?:memory\.|pg_temp\.)?(\w+)(?: AS \w+)?(?!\w| AS)", re.IGNORECASE
)
WHOLE_ROW = re.compile(r"\bROW\s*\([^;]*?\)::(?:memory\.)?(\w+)")
MOVED = re.compile(r"INSERT INTO (?:pg_temp\.)?(\w+) \(([^)]*)\)\s*SELECT (.*?)\s*FROM", re.DOTALL)


def code(text: str) -> str:
    """SQL without its comments."""
    return re.sub(r"--.*", "", text)


def sources(schema: Schema) -> dict[str, str]:
    """Every statement and every body of a function, by name."""
    statements = {name: code(text) for name, text in queries.load().items()}
    return statements | {f.name: code(f.body) for f in schema.functions.values()}


def positional(text: str, tables: set[str]) -> list[str]:
    """What in a statement depends on the order of a table's columns."""
    stars = [match[0] for match in STAR.finditer(text)]
    unlisted = [
        match[0]
        for match in NO_LIST.finditer(text)
        if not text[match.end() :].lstrip().startswith(("(", "DEFAULT VALUES"))
    ]
    rows = [match[0] for match in WHOLE_ROW.finditer(text) if match[1] in tables]
    return stars + unlisted + rows


class TestByName:
    def test_no_statement_depends_on_the_order_of_columns(self, migrated: Schema) -> None:
        found = {
            name: positional(text, set(migrated.tables)) for name, text in sources(migrated).items()
        }
        assert {name: what for name, what in found.items() if what} == {}

    @pytest.mark.parametrize(
        "statement",
        [
            "SELECT * FROM users",
            "SELECT u.*, 1 FROM users u",
            "SELECT 1, u.* FROM users u",
            "INSERT INTO users SELECT 1",
            "INSERT INTO users AS u SELECT 1",
            "INSERT INTO users VALUES (1)",
            "COPY users FROM STDIN",
            "SELECT ROW(1, 2)::users",
            "SELECT ROW(1, (2))::memory.users",
        ],
    )
    def test_one_that_did_would_be_found(self, statement: str) -> None:
        assert positional(statement, {"users"})

    @pytest.mark.parametrize(
        "statement",
        [
            "SELECT count(*) FROM users",
            "INSERT INTO users AS u (tenant_id) SELECT 1",
            "INSERT INTO change_stream DEFAULT VALUES",
            "COPY users (tenant_id) FROM STDIN",
            "SELECT 2 * 3, ROW(1)::memory_change",
        ],
    )
    def test_one_that_does_not_passes(self, statement: str) -> None:
        assert positional(statement, {"users"}) == []

    @pytest.mark.parametrize(
        ("name", "table"),
        [
            ("lift_memories", "memories"),
            ("lay_memories", "memories"),
            ("lay_embeddings", "embeddings"),
            ("lay_evidence", "evidence"),
            ("lay_uses", "memory_usage"),
        ],
    )
    def test_rows_that_are_moved_keep_every_column(
        self, migrated: Schema, name: str, table: str
    ) -> None:
        match = MOVED.search(queries.statement(f"compaction.{name}"))
        assert match is not None
        columns = {column.name for column in migrated.tables[table].columns}
        assert set(re.split(r",\s+", match[2])) == columns
        assert re.split(r",\s+", match[2]) == re.split(r",\s+", match[3])

    def test_children_that_are_moved_keep_every_column(self, migrated: Schema) -> None:
        moved = MOVED.findall(queries.statement("compaction.lift_children"))
        tables = {"moved_embeddings": "embeddings", "moved_evidence": "evidence"}
        tables["moved_uses"] = "memory_usage"
        assert {staged for staged, _, _ in moved} == set(tables)
        for staged, into, out in moved:
            columns = {column.name for column in migrated.tables[tables[staged]].columns}
            assert set(re.split(r",\s+", into)) == columns
            assert re.split(r",\s+", into) == re.split(r",\s+", out)


# --- with the columns of every table in another order --------------------------------------------

TABLE = re.compile(r"(?<=^CREATE TABLE )(\w+) \(\n(.*?)\n(?=\))", re.MULTILINE | re.DOTALL)


def shuffled(sql: str, seed: int) -> str:
    """A migration that makes the same tables with their columns in another order."""
    return TABLE.sub(lambda match: f"{match[1]} (\n{_mixed(match[2], seed)}\n", sql)


def _mixed(body: str, seed: int) -> str:
    lines = [re.sub(r"\s+--.*", "", line) for line in body.split("\n")]
    items = [item.strip() for item in re.split(r",\n(?=    \S)", "\n".join(lines))]
    constraints = [i for i in items if re.match(r"(PRIMARY KEY|UNIQUE|FOREIGN|CONSTRAINT)\b", i)]
    columns = [item for item in items if item not in constraints]
    random.Random(seed).shuffle(columns)
    return ",\n".join([*columns, *constraints])


@pytest.fixture
def mixed_sql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = queries.sql_directory()
    folder = tmp_path / "migrations"
    folder.mkdir()
    for path in (original / "migrations").glob("*.sql"):
        (folder / path.name).write_text(shuffled(path.read_text(), seed=7))
    for name in ("queries", "upgrades"):
        (tmp_path / name).symlink_to(original / name)
    monkeypatch.setattr(queries, "sql_directory", lambda: tmp_path)


@pytest.fixture
def mixed(mixed_sql: None, make_database: Callable[[str], str]) -> str:
    """A database whose tables have their columns in another order."""
    url = make_database("template1")
    asyncio.run(migrate(url))
    return url


class TestMixedColumns:
    def test_it_differs_by_nothing_but_the_order(self, mixed: str, migrated: Schema) -> None:
        with connected(mixed) as connection:
            schema = read(connection)
        assert schema != migrated
        assert by_name(schema) == by_name(migrated)

    def test_everything_works_on_it(self, mixed: str, embedder: WordEmbedder) -> None:
        settings = Settings(database_url=SecretStr(mixed), debounce=0.0, pool_max=4)
        walked(settings, embedder, Scope("northwind", "ana"))
