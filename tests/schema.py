"""Writes `sql/schema.sql` and the generated parts of `docs/schema.md`: `python -m tests.schema`.

Both are made from the catalog of a migrated database, and `tests/test_schema.py` compares them with
it.
"""

import asyncio
import re
import shutil
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from memory import embedded
from memory.database import queries
from memory.migrate import migrate
from tests.catalog import Column, Function, Named, Schema, Table, connected, read, table_names

WIDTH = 100
PAGE = Path("docs/schema.md")

HEAD = """\
-- The whole schema, as `memory migrate` leaves it: to be read, not to be run. Generated from the
-- catalog of a migrated database by `python -m tests.schema`. What makes it is in sql/migrations.
"""

ENTITIES = ("tenants", "generations", "users", "sessions", "interactions")
"""Tables whose key stands in others without a foreign key."""


def schema_sql(schema: Schema) -> str:
    """The text of `sql/schema.sql`."""
    blocks = [HEAD, _roles(schema)]
    for noun in schema.nouns:
        if names := table_names(schema, noun):
            blocks.append(f"-- {'=' * 8} {_title(noun)}\n")
            blocks += [_table(schema.tables[name]) for name in names]
    for noun, names in schema.nouns.items():
        made = [n for n in names if n in schema.functions or n in schema.types]
        if made:
            blocks.append(f"-- {'=' * 8} {_title(noun)}\n")
            blocks += [_routine(schema, name) for name in made]
    return "\n".join(blocks)


def _title(noun: str) -> str:
    return noun.replace("_", " ")


def _roles(schema: Schema) -> str:
    lines = [*_remark(schema.comment), "CREATE SCHEMA memory;"]
    lines += [f"CREATE ROLE {role};" for role in schema.roles]
    lines += [f"GRANT {_on('SCHEMA memory', grant)};" for grant in schema.grants]
    return "\n".join(lines) + "\n"


def _on(what: str, grant: str) -> str:
    privileges, grantee = grant.split(" TO ")
    return f"{privileges} ON {what} TO {grantee}"


MEASURED = {"smallint", "integer", "bigint", "real", "double precision", "boolean", "date",
            "timestamptz"}  # fmt: skip
"""Types that the planner gathers statistics of; of all others `keep_no_statistics` keeps none."""


def _remark(comment: str | None, indent: str = "") -> list[str]:
    if comment is None:
        return []
    return textwrap.wrap(
        comment, WIDTH, initial_indent=f"{indent}-- ", subsequent_indent=f"{indent}-- "
    )


def _table(table: Table) -> str:
    lines = [*_remark(table.comment), f"CREATE TABLE {table.name} ("]
    parts = [[*_remark(c.comment, "    "), f"    {_column(c)}"] for c in table.columns]
    parts += [[f"    CONSTRAINT {c.name} {c.definition}"] for c in table.constraints]
    for part in parts[:-1]:
        part[-1] += ","
    lines += [line for part in parts for line in part]
    lines.append(f") WITH ({table.options});" if table.options else ");")
    lines += _settings(table)
    lines += [line for i in table.indexes for line in _with_remark(i, f"{i.definition};")]
    if table.secured:
        lines.append(f"ALTER TABLE {table.name} {table.secured};")
    for p in table.policies:
        lines += _with_remark(p, f"CREATE POLICY {p.name} ON {table.name} {p.definition};")
    lines += [f"GRANT {_on(table.name, grant)};" for grant in table.grants]
    lines += [line for t in table.triggers for line in _with_remark(t, f"{t.definition};")]
    return "\n".join(lines) + "\n"


def _column(column: Column) -> str:
    words = [column.name, column.type, "NOT NULL" if column.required else "", column.default]
    return " ".join(word for word in words if word)


def _settings(table: Table) -> list[str]:
    return [
        f"ALTER TABLE {table.name} ALTER COLUMN {column.name} SET STATISTICS {column.statistics};"
        for column in table.columns
        if column.statistics != (-1 if column.type in MEASURED else 0)
    ]


def _with_remark(named: Named, statement: str) -> list[str]:
    return [*_remark(named.comment), statement]


def _routine(schema: Schema, name: str) -> str:
    if name in schema.types:
        made = schema.types[name]
        fields = made.definition.replace(", ", ",\n    ")
        return "\n".join([*_remark(made.comment), f"CREATE TYPE {name} AS (\n    {fields}\n);", ""])
    return _function(schema.functions[name])


def _function(function: Function) -> str:
    kind = "PROCEDURE" if " PROCEDURE " in function.definition.partition("\n")[0] else "FUNCTION"
    text = re.sub(r"^CREATE OR REPLACE (\w+) memory\.", r"CREATE \1 ", function.definition)
    text = "\n".join(line.rstrip() for line in text.splitlines())
    lines = [*_remark(function.comment), f"{text};"]
    if function.owner:
        lines.append(f"ALTER {kind} {function.name} OWNER TO {function.owner};")
    if not function.public:
        lines.append(f"REVOKE EXECUTE ON {kind} {function.name} FROM PUBLIC;")
    lines += [f"GRANT {_on(f'{kind} {function.name}', grant)};" for grant in function.grants]
    return "\n".join(lines) + "\n"


def page_parts(schema: Schema) -> dict[str, str]:
    """The generated parts of `docs/schema.md`, by the name between their markers."""
    nouns = [noun for noun in schema.nouns if noun != "ledger" and table_names(schema, noun)]
    tables = "\n".join(_noun_section(schema, noun) for noun in nouns)
    functions = "\n".join(_functions_section(schema))
    return {"tables": tables, "functions": functions}


def _noun_section(schema: Schema, noun: str) -> str:
    names = table_names(schema, noun)
    rows = [f"| `{n}` | {schema.tables[n].comment} |" for n in names]
    head = [f"### {_title(noun).capitalize()}", "", "| table | one row is, or says |", "|---|---|"]
    diagram = ["", "```mermaid", "erDiagram", *_entities(schema, names), "```", ""]
    return "\n".join([*head, *rows, *diagram])


def _entities(schema: Schema, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        table = schema.tables[name]
        yield f"    {name} {{"
        types = {c.name: c.type.partition(" ")[0] for c in table.columns}
        yield from (f"        {types[column]} {column} {marks}" for column, marks in _marks(table))
        yield "    }"
        yield from (f"    {line}" for line in _relations(schema, table))


def _marks(table: Table) -> Iterator[tuple[str, str]]:
    primary = next((key.columns for key in table.keys if key.kind == "p"), ())
    foreign = {column for key in table.keys if key.kind == "f" for column in key.columns}
    for column in table.columns:
        marks = ["PK"] * (column.name in primary) + ["FK"] * (column.name in foreign)
        if marks:
            yield column.name, ", ".join(marks)


def _relations(schema: Schema, table: Table) -> Iterator[str]:
    """A line for each table this one belongs to: solid for a foreign key, else dotted.

    A dotted line is not enforced, so that what it leads to may be gone.
    """
    targets = {key.target: key.columns for key in table.keys if key.kind == "f" and key.target}
    for target, columns in targets.items():
        yield f'{target} ||--o{{ {table.name} : "{", ".join(columns)}"'
    its_own = {column.name for column in table.columns}
    found = {
        name: key.columns
        for name in ENTITIES
        for key in schema.tables[name].keys
        if name != table.name and name not in targets and its_own.issuperset(key.columns)
        if "name" not in key.columns  # names of other things as well
    }
    for name, key_columns in found.items():
        others = [c for n, c in [*found.items(), *targets.items()] if n != name]
        if not any(set(key_columns) < set(other) for other in others):
            yield f'{name} |o..o{{ {table.name} : "{", ".join(key_columns)}"'


def _functions_section(schema: Schema) -> Iterator[str]:
    yield from ("| function | what it does, and why in the database |", "|---|---|")
    for names in schema.nouns.values():
        for name in names:
            if name in schema.functions:
                comment = (schema.functions[name].comment or "").replace("|", "\\|")
                yield f"| `{name}` | {comment} |"


def with_parts(page: str, parts: dict[str, str]) -> str:
    """The page with what stands between its markers replaced."""
    for name, text in parts.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        head, _, rest = page.partition(start)
        _, _, tail = rest.partition(end)
        page = f"{head}{start}{text}\n{end}{tail}"
    return page


def main() -> None:
    """Migrates an empty database of its own and writes both files."""
    directory = Path(tempfile.mkdtemp(prefix="memory-schema-"))
    directory.chmod(0o755)  # as root the server's own account must be able to enter
    try:
        url = embedded.start(directory, {"fsync": "off"})
        asyncio.run(migrate(url))
        with connected(url) as connection:
            schema = read(connection)
    finally:
        embedded.stop(directory)
        shutil.rmtree(directory)
    (queries.sql_directory() / "schema.sql").write_text(schema_sql(schema), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_parts(page, page_parts(schema)), encoding="utf-8")


if __name__ == "__main__":
    main()
