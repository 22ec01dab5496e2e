"""Reads the schema of a migrated database from Postgres' catalog, by name and in reading order.

Which noun a table or function belongs to, and in which order they are read, is not in the catalog:
the migration that makes it says so.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import psycopg
from psycopg.rows import class_row

from memory.migrate import migrations

T = TypeVar("T")

_MAKES = re.compile(r"^CREATE (?:OR REPLACE )?(TABLE|TYPE|FUNCTION|PROCEDURE) (\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Column:
    """A column; `default` is what follows its type in CREATE TABLE, `statistics` -1 if usual."""

    name: str
    type: str
    required: bool
    default: str
    statistics: int
    comment: str | None


@dataclass(frozen=True)
class Named:
    """Anything that belongs to a table, as a statement or a part of one."""

    name: str
    definition: str
    comment: str | None = None


@dataclass(frozen=True)
class Key:
    """A primary or unique key, or a foreign key with the table it leads to."""

    kind: str
    columns: tuple[str, ...]
    target: str | None = None


@dataclass(frozen=True)
class Table:
    """A table with all that belongs to it; `columns` in the order of the table."""

    name: str
    comment: str | None
    options: str
    secured: str
    columns: tuple[Column, ...]
    constraints: tuple[Named, ...]
    indexes: tuple[Named, ...]
    policies: tuple[Named, ...]
    triggers: tuple[Named, ...]
    grants: tuple[str, ...]
    keys: tuple[Key, ...]


@dataclass(frozen=True)
class Function:
    """A function or procedure: its definition, its comment, and who may execute it."""

    name: str
    definition: str
    comment: str | None
    owner: str | None
    public: bool
    grants: tuple[str, ...]
    standard_body: bool
    body: str


@dataclass(frozen=True)
class Schema:
    """Everything in the schema `memory`; `nouns` has the names that each migration makes."""

    comment: str | None
    grants: tuple[str, ...]
    roles: tuple[str, ...]
    tables: Mapping[str, Table]
    types: Mapping[str, Named]
    functions: Mapping[str, Function]
    sequences: tuple[str, ...]
    not_nulls: tuple[str, ...]
    nouns: Mapping[str, tuple[str, ...]]


def connected(url: str) -> psycopg.Connection:
    """A connection whose search path begins with the schema, as `read` needs it."""
    return psycopg.connect(url, autocommit=True, options="-c search_path=memory,public")


def read(connection: psycopg.Connection) -> Schema:
    """The schema as it is in this database, whose search path must begin with it."""
    (comment, grants), *_ = connection.execute(_SCHEMA).fetchall()
    return Schema(
        comment=comment,
        grants=tuple(grants),
        roles=_texts(connection, _ROLES),
        tables={name: _table(connection, name) for name in _texts(connection, _TABLES)},
        types={n.name: n for n in _rows(connection, Named, _TYPES)},
        functions={f.name: f for f in _rows(connection, Function, _FUNCTIONS)},
        sequences=_texts(connection, _SEQUENCES),
        not_nulls=_texts(connection, _NOT_NULLS),
        nouns=nouns(),
    )


def nouns() -> dict[str, tuple[str, ...]]:
    """What each migration makes first, by the migration's name, in the order of its file."""
    made: dict[str, tuple[str, ...]] = {}
    for migration in migrations():
        earlier = {name for names in made.values() for name in names}
        names = [match[2] for match in _MAKES.finditer(migration.sql)]
        made[migration.name] = tuple(name for name in names if name not in earlier)
    return {"ledger": ("schema_migrations",), **made}


def _texts(connection: psycopg.Connection, query: str, *params: object) -> tuple[str, ...]:
    return tuple(text for (text,) in connection.execute(query.encode(), params or None))


def _rows(
    connection: psycopg.Connection, kind: type[T], query: str, *params: object
) -> tuple[T, ...]:
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        return tuple(cursor.execute(query.encode(), params or None))


def _table(connection: psycopg.Connection, name: str) -> Table:
    (comment, options, secured, grants), *_ = connection.execute(_TABLE, [name]).fetchall()

    def named(query: str) -> tuple[Named, ...]:
        return _rows(connection, Named, query, name)

    return Table(
        name,
        comment,
        options,
        secured,
        _rows(connection, Column, _COLUMNS, name),
        named(_CONSTRAINTS),
        named(_INDEXES),
        named(_POLICIES),
        named(_TRIGGERS),
        tuple(grants),
        tuple(Key(k, tuple(c), t) for k, c, t in connection.execute(_KEYS, [name])),
    )


def _granted(acl: str, owner: str, kind: str) -> str:
    """SQL for an array of grants as GRANT says them, without the owner's own and PUBLIC's."""
    return f"""ARRAY(
        SELECT string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type)
            || ' TO ' || a.grantee::regrole
        FROM aclexplode(COALESCE({acl}, acldefault('{kind}', {owner}))) a
        WHERE a.grantee NOT IN (0, {owner})
        GROUP BY a.grantee ORDER BY a.grantee::regrole::text)"""


_SCHEMA = f"""
SELECT obj_description(oid, 'pg_namespace'), {_granted("nspacl", "nspowner", "n")}
FROM pg_namespace WHERE nspname = 'memory'
"""

_ROLES = """
SELECT rolname || CASE WHEN rolcanlogin THEN ' LOGIN' ELSE ' NOLOGIN' END
    || CASE WHEN rolbypassrls OR rolsuper THEN ' BYPASSRLS' ELSE '' END
FROM pg_roles
WHERE rolname IN ('memory_backup', 'memory_client', 'memory_tenant_login', 'memory_worker')
ORDER BY rolname
"""

_TABLES = """
SELECT relname::text FROM pg_class
WHERE relnamespace = 'memory'::regnamespace AND relkind NOT IN ('i', 'S', 'c') ORDER BY relname
"""

_TABLE = f"""
SELECT obj_description(oid, 'pg_class'),
    CASE relpersistence WHEN 'p' THEN '' ELSE 'UNLOGGED ' END
        || COALESCE(array_to_string(reloptions, ', '), ''),
    CASE WHEN relrowsecurity THEN 'ENABLE ROW LEVEL SECURITY' ELSE '' END
        || CASE WHEN relforcerowsecurity THEN ', FORCE ROW LEVEL SECURITY' ELSE '' END,
    {_granted("relacl", "relowner", "r")}
FROM pg_class WHERE oid = %s::regclass
"""

_COLUMNS = """
SELECT a.attname AS name,
    CASE format_type(a.atttypid, a.atttypmod)
        WHEN 'timestamp with time zone' THEN 'timestamptz'
        ELSE format_type(a.atttypid, a.atttypmod) END
        || CASE WHEN a.attstorage <> t.typstorage
           THEN ' STORAGE ' || CASE a.attstorage WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN'
               WHEN 'x' THEN 'EXTENDED' ELSE 'PLAIN' END ELSE '' END
        || CASE a.attcompression WHEN '' THEN '' ELSE ' COMPRESSION ' || a.attcompression::text END
        || CASE WHEN a.attcollation <> t.typcollation
           THEN ' COLLATE ' || a.attcollation::regcollation::text ELSE '' END AS type,
    a.attnotnull AS required,
    COALESCE(CASE WHEN a.attgenerated <> '' THEN 'GENERATED ALWAYS AS '
        ELSE 'DEFAULT ' END || pg_get_expr(d.adbin, d.adrelid, true),
        CASE a.attidentity WHEN 'a' THEN 'GENERATED ALWAYS AS IDENTITY'
            WHEN 'd' THEN 'GENERATED BY DEFAULT AS IDENTITY' END, '') AS default,
    COALESCE(a.attstattarget, -1)::int AS statistics,
    col_description(a.attrelid, a.attnum) AS comment
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""

_CONSTRAINTS = """
SELECT conname AS name, pg_get_constraintdef(oid, true) AS definition,
    obj_description(oid, 'pg_constraint') AS comment
FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('p', 'u', 'f', 'c', 'x')
ORDER BY strpos('puxfc', contype::text), conname
"""

_KEYS = """
SELECT contype::text, ARRAY(
        SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k(n, nth)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY k.nth),
    CASE WHEN confrelid <> 0 THEN confrelid::regclass::text END
FROM pg_constraint c WHERE conrelid = %s::regclass AND contype IN ('p', 'u', 'f')
ORDER BY strpos('puf', contype::text), conname
"""

_INDEXES = """
SELECT c.relname AS name, replace(pg_get_indexdef(c.oid), ' ON memory.', ' ON ') AS definition,
    obj_description(c.oid, 'pg_class') AS comment
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = %s::regclass
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = c.oid AND contype IN ('p', 'u', 'x'))
ORDER BY c.relname
"""

_POLICIES = """
SELECT polname AS name, concat(
    CASE WHEN polpermissive THEN '' ELSE 'AS RESTRICTIVE ' END,
    CASE polcmd WHEN '*' THEN '' WHEN 'r' THEN 'FOR SELECT ' WHEN 'w' THEN 'FOR UPDATE '
        WHEN 'a' THEN 'FOR INSERT ' ELSE 'FOR DELETE ' END,
    'TO ' || (SELECT string_agg(r::regrole::text, ', ' ORDER BY r::regrole::text)
              FROM unnest(polroles) r),
    ' USING (' || pg_get_expr(polqual, polrelid, true) || ')',
    ' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid, true) || ')') AS definition,
    obj_description(oid, 'pg_policy') AS comment
FROM pg_policy WHERE polrelid = %s::regclass ORDER BY polname
"""

_TRIGGERS = """
SELECT tgname AS name, pg_get_triggerdef(oid, true) AS definition,
    obj_description(oid, 'pg_trigger') AS comment
FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal ORDER BY tgname
"""

_TYPES = """
SELECT t.typname AS name, string_agg(
        a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
        AS definition, obj_description(t.oid, 'pg_type') AS comment
FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid JOIN pg_attribute a ON a.attrelid = c.oid
WHERE t.typnamespace = 'memory'::regnamespace AND c.relkind = 'c' AND a.attnum > 0
GROUP BY t.oid, t.typname ORDER BY t.typname
"""

_FUNCTIONS = f"""
SELECT p.proname AS name, pg_get_functiondef(p.oid) AS definition,
    obj_description(p.oid, 'pg_proc') AS comment,
    CASE WHEN p.proowner <> n.nspowner THEN p.proowner::regrole::text END AS owner,
    p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) WHERE grantee = 0) AS public,
    {_granted("p.proacl", "p.proowner", "f")} AS grants,
    p.prosqlbody IS NOT NULL AS standard_body, p.prosrc AS body
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = 'memory' ORDER BY p.proname
"""

_SEQUENCES = """
SELECT relname::text FROM pg_class
WHERE relnamespace = 'memory'::regnamespace AND relkind = 'S' ORDER BY relname
"""


_NOT_NULLS = """
SELECT conname::text FROM pg_constraint
WHERE connamespace = 'memory'::regnamespace AND contype = 'n' ORDER BY conname
"""


def by_name(schema: Schema) -> Schema:
    """The same schema with the columns of each table in the order of their names."""
    tables = {
        name: replace(table, columns=tuple(sorted(table.columns, key=lambda c: c.name)))
        for name, table in schema.tables.items()
    }
    return replace(schema, tables=tables)


def table_names(schema: Schema, noun: str) -> Sequence[str]:
    """The tables that a migration makes and that are there."""
    return [name for name in schema.nouns[noun] if name in schema.tables]
