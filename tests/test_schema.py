"""The schema: written down as it is, and free of what would hinder the next migration."""

import re

import psycopg
import pytest

from memory.database import queries
from tests.catalog import Schema, connected, read
from tests.schema import PAGE, page_parts, schema_sql, with_parts


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
        assert "users ||..o{ sessions" in page

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
