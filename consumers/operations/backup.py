"""Says what a store holds, in digests, and compares it with what its backup holds.

A store is read as the login role where row-level security does not bind it, and otherwise as
`memory_backup`, under one snapshot that writes nothing. A standby answers as well as a primary.
"""

import os
import subprocess
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from anyio import to_thread
from psycopg import IsolationLevel
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import TypeAdapter, ValidationError

from memory.database import connect, described, queries, translated
from memory.database.pipeline import Connection, Rows
from memory.errors import ConfigurationError, InvalidInput, MissingDependency, StoreError
from memory.migrate import check

NOT_FROM_THE_LOG = (
    # When a process worked.
    "applied_at", "believed_from", "believed_to", "called_at", "changed_at", "created_at",
    "derived_at", "expires_at", "finished_at", "first_used", "made_at", "recorded_at", "reread_at",
    "seconds", "sent_at", "set_aside_at", "updated_at", "waiting_since",
    # Which process worked, and how many before it.
    "epoch", "lease_token", "leased_until", "owner",
    # Random, or from a sequence, which leaves numbers out after a recovery.
    "call_id", "dead_letter_id", "secret", "transaction_id",
)  # fmt: skip
"""Columns that differ where a log is ingested again; all others follow from the messages."""


@dataclass(frozen=True, slots=True)
class Content:
    """The number of rows of a table, or of definitions of one kind, and a SHA-256 over them."""

    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class StoreContent:
    """What a store holds at one moment.

    without: the columns that the digests of the tables leave out.
    tables: every table's rows, by its name.
    definitions: what the schema consists of, by kind: columns, constraints, functions, grants,
        indexes, policies, row security, triggers.
    """

    taken_at: datetime
    standby: bool
    without: tuple[str, ...]
    tables: Mapping[str, Content]
    definitions: Mapping[str, Content]

    @classmethod
    def from_json(cls, text: str | bytes) -> "StoreContent":
        """Reads what `memory backup digests --json` prints.

        Raises:
            InvalidInput: it is something else.
        """
        try:
            return TypeAdapter(cls).validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise InvalidInput(
                f"these are not digests of a store: {first['msg']}, got {text[:40]!r}"
            ) from error


@dataclass(frozen=True, slots=True)
class Difference:
    """A table, or a kind of definition, of which two stores hold different things.

    expected, found: the number of rows; None where it is missing altogether. Equal numbers with
        other content are a difference as well.
    """

    name: str
    expected: int | None
    found: int | None


async def digests(url: str, timeout: float, without: Collection[str] = ()) -> StoreContent:
    """Reads what the store at `url` holds; memory does not grow with the store.

    The tables' digests leave out the columns of `without`. `timeout` is that of connecting, in
    seconds; reading takes as long as it takes.

    Raises:
        NotMigrated, NewerSchema, MigrationChanged: the store is not at this release.
        ConfigurationError: row-level security hides rows from the login role.
    """
    async with _snapshot(url, timeout) as connection:
        return await _content(connection, without)


async def dump(url: str, timeout: float, file: Path, program: str = "pg_dump") -> StoreContent:
    """Dumps the store to `file` with pg_dump, and returns what it holds in the same snapshot.

    Writers may go on meanwhile. The dump holds the schema `memory` and the extension, in
    pg_restore's custom format.

    Raises:
        MissingDependency: there is no such program.
        StoreError: pg_dump failed; the message has its last line.
        NotMigrated, NewerSchema, MigrationChanged, ConfigurationError: see `digests`.
    """
    async with _snapshot(url, timeout) as connection:
        (exported,) = await _rows(connection, "backup.export")
        flags = [f"--snapshot={exported['snapshot']}", f"--file={file}"]
        await to_thread.run_sync(_run, program, url, [*flags, *await _as_reader(connection)])
        return await _content(connection, ())


def differences(expected: StoreContent, found: StoreContent) -> list[Difference]:
    """Returns where two stores differ, tables first, in the order of the names."""
    return [
        *_differences(expected.tables, found.tables),
        *_differences(expected.definitions, found.definitions),
    ]


def hidden(expected: StoreContent, found: StoreContent) -> list[str]:
    """Returns the tables that came back empty: a dump that row-level security bound lacks them."""
    return [
        name
        for name, content in expected.tables.items()
        if content.rows and name in found.tables and not found.tables[name].rows
    ]


def _differences(expected: Mapping[str, Content], found: Mapping[str, Content]) -> list[Difference]:
    names = sorted(expected.keys() | found.keys())
    return [
        Difference(name, _count(expected.get(name)), _count(found.get(name)))
        for name in names
        if expected.get(name) != found.get(name)
    ]


def _count(content: Content | None) -> int | None:
    return None if content is None else content.rows


@asynccontextmanager
async def _snapshot(url: str, timeout: float) -> AsyncIterator[Connection]:
    """Opens a transaction that reads every row of the store, and writes nothing."""
    await check(url, timeout)
    async with await connect(url, timeout) as connection:
        await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        await connection.set_read_only(True)
        with translated():
            async with connection.transaction():
                await _rows(connection, "backup.settings")
                if await _as_reader(connection):
                    await _rows(connection, "backup.act")
                await _require_all(connection, url)
                yield connection


async def _as_reader(connection: Connection) -> list[str]:
    """The flags with which pg_dump sees every row; none where the current role does anyway."""
    (role,) = await _rows(connection, "backup.reader")
    acts = role["may_act"] and not role["sees_all"]
    return ["--role=memory_backup", "--enable-row-security"] if acts else []


async def _require_all(connection: Connection, url: str) -> None:
    tables = await _rows(connection, "backup.tables")
    if missing := [table["name"] for table in tables if table["hidden"]]:
        raise ConfigurationError(
            f"row-level security hides rows of {len(missing)} tables of {described(url)} from this"
            f" login, {missing[0]!r} among them; GRANT memory_backup TO it"
        )


async def _content(connection: Connection, without: Collection[str]) -> StoreContent:
    (role,) = await _rows(connection, "backup.reader")
    return StoreContent(
        datetime.now(UTC),
        role["standby"],
        tuple(sorted(without)),
        {
            table["name"]: await _digest(connection, table["name"], sorted(without))
            for table in await _rows(connection, "backup.tables")
        },
        {
            row["name"]: Content(row["rows"], row["digest"])
            for row in await _rows(connection, "backup.definitions")
        },
    )


async def _digest(connection: Connection, table: str, without: Sequence[str]) -> Content:
    params = {"table": table, "without": without}
    cursor = await connection.execute(queries.statement("backup.digest"), params)
    (row,) = await cursor.fetchall()
    return Content(row["rows"], row["digest"])


async def _rows(connection: Connection, name: str) -> Rows:
    cursor = await connection.execute(queries.statement(name))
    return await cursor.fetchall()


def _run(program: str, url: str, flags: Sequence[str]) -> None:
    """Runs pg_dump; the password is in its environment, where other accounts cannot read it."""
    parts = conninfo_to_dict(url)
    password = parts.pop("password", None)
    environment = {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}
    shown = make_conninfo("", **parts)
    store = ["--format=custom", "--schema=memory", "--extension=vector"]
    command = [program, f"--dbname={shown}", *store, *flags]
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own program, no shell
            command, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise MissingDependency(f"there is no program {program!r}; name pg_dump's path") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise StoreError(f"pg_dump ended with {done.returncode}: {said[-1] if said else ''}")
