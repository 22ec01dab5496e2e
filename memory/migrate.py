"""Applies `sql/migrations` once each, in order, under a lock; refuses changed migrations.

The first `BASELINE` migrations are the whole schema, squashed from 21 earlier ones. `sql/upgrades`
bring an older store up to it; its ledger then equals that of a new store.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow

from memory import logins
from memory.database import connect, described, queries, resolve_url, translated
from memory.database.pipeline import Connection
from memory.errors import (
    AdministratorNeeded,
    LoginRefused,
    MigrationChanged,
    NewerSchema,
    NotMigrated,
    UnsupportedDatabase,
    UnsupportedSchema,
)
from memory.logins import LoginKind
from memory.settings import Settings

MINIMUM_SERVER = 160000
MINIMUM_VECTOR = (0, 8)

BASELINE = 15
"""The number of migrations that make the schema of a new store; later ones change it."""

UPGRADES = {17: ("from_17", "from_21"), 21: ("from_21",)}
"""The files of `sql/upgrades` to run, by the number of earlier migrations that a store has."""

_FIRST_OF_OLD = "foundations"
"""The name of the first of the earlier migrations, which distinguishes an old ledger from a new
one."""

_FILE = re.compile(r"(\d{4})_(\w+)\.sql")
_COMMENT = re.compile(r"^COMMENT ON .+?';$", re.MULTILINE | re.DOTALL)

_CREATES_ROLE = re.compile(
    r"^DO \$\$ BEGIN\n    CREATE ROLE (\w+) .+?^END \$\$;$", re.MULTILINE | re.DOTALL
)

Applied = tuple[int, str, str]
"""A row of the ledger: version, name and sha256 of a migration."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of `sql/migrations`; once it is applied anywhere, `sha256` freezes its text."""

    version: int
    name: str
    sql: LiteralString
    sha256: str


def migrations() -> tuple[Migration, ...]:
    """Returns every migration, in order.

    Raises:
        ValueError: a file is misnamed, or the numbers do not run 1, 2, 3 ….
    """
    found: list[Migration] = []
    for path in sorted((queries.sql_directory() / "migrations").glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None or int(match[1]) != len(found) + 1:
            raise ValueError(f"migration {path.name!r} should start with {len(found) + 1:04d}_")
        text = path.read_text(encoding="utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()
        found.append(Migration(int(match[1]), match[2], text, digest))
    return tuple(found)


async def migrate(url: str, timeout: float = 10.0) -> list[Migration]:
    """Migrates the database to this release and returns the migrations it applied.

    Each migration commits with its own record, so one that fails leaves the earlier ones. Processes
    that start at once take turns. A store older than the baseline is brought up to it in one
    transaction.

    Raises:
        UnsupportedDatabase: the server is older than 16 or lacks pgvector 0.8.
        AdministratorNeeded: the login role lacks privileges; nothing was changed.
        UnsupportedSchema, NewerSchema, MigrationChanged: see `check`.
    """
    async with await connect(url, timeout) as connection:
        with translated():
            await _prepare(connection, url)
            brought_up = await _bring_up(connection, url)
            applied = [m for m in migrations() if await _apply(connection, m)]
            _compare(await _ledger(connection), migrations())
            return brought_up + applied


async def administrators_part(url: str, timeout: float = 10.0) -> list[str]:
    """Returns the SQL that an administrator has to run before this login role can migrate."""
    async with await connect(url, timeout) as connection:
        with translated():
            return await _administrators_part(connection)


async def store_url(settings: Settings, kind: LoginKind = LoginKind.APP) -> str:
    """Returns the URL of the store, checked to be at this release; an embedded store is migrated.

    The login of an embedded store is the one of that kind. Its superuser only makes the store and
    its logins, and migrates it.

    Raises:
        StoreUnavailable: the server cannot be reached.
        ReadOnlyStore: only a standby is configured.
        NotMigrated, NewerSchema, MigrationChanged: the database does not match this release.
    """
    owner = await resolve_url(settings)
    if not settings.embedded:
        await check(owner, settings.connect_timeout)
        return owner
    url = make_conninfo(owner, user=logins.EMBEDDED[kind])
    try:
        await check(url, settings.connect_timeout)
    except (LoginRefused, NotMigrated):
        await migrate_embedded(owner, settings.connect_timeout)
    return url


async def migrate_embedded(owner: str, timeout: float = 10.0) -> list[Migration]:
    """Migrates an embedded store as its superuser, and makes its logins; see `migrate`."""
    applied = await migrate(owner, timeout)
    for kind, name in logins.EMBEDDED.items():
        await logins.create(owner, kind, name, timeout=timeout)
    return applied


async def check(url: str, timeout: float = 10.0) -> None:
    """Passes if the database is exactly at this release.

    Raises:
        NotMigrated: migrations are missing, or the store is older than the baseline.
        UnsupportedSchema: the store is older than the baseline, and no upgrade exists for it.
        NewerSchema: it has migrations this release does not know.
        MigrationChanged: the text of an applied migration has changed.
    """
    async with await connect(url, timeout) as connection:
        with translated():
            row = await _one(connection, "migrations.ledger_exists")
            applied = await _ledger(connection) if row["present"] else []
        if _upgrades(applied, url):
            raise NotMigrated(
                f"{described(url)} has the {len(applied)} migrations from before the baseline;"
                " run `memory migrate`"
            )
        _compare(applied, migrations())
        if len(applied) < len(migrations()):
            raise NotMigrated(
                f"{described(url)} has {len(applied)} of {len(migrations())} migrations;"
                " run `memory migrate`"
            )


async def _prepare(connection: Connection, url: str) -> None:
    server = await _one(connection, "migrations.server")
    require_supported(server, url)
    if needed := await _administrators_part(connection):
        raise AdministratorNeeded(
            f"the login role may not do all that migrating {described(url)} takes;"
            f" an administrator has to run in that database: {' '.join(needed)}"
        )
    if (await _one(connection, "migrations.ledger_exists"))["present"]:
        return
    async with connection.transaction():
        await _execute(connection, "migrations.first_lock")
        if server["vector"] is None:
            await _execute(connection, "migrations.create_vector")
        await _execute(connection, "migrations.create_schema")
        await _execute(connection, "migrations.create_ledger")


async def _administrators_part(connection: Connection) -> list[str]:
    """The statements that are left to an administrator; none for a store at this release."""
    if (await _one(connection, "migrations.ledger_exists"))["present"]:
        applied = {name for _, name, _ in await _ledger(connection)}
        if all(migration.name in applied for migration in migrations()):
            return []
    (rows,) = await connection.run([("migrations.administrators_part", {})])
    return [row["statement"] for row in rows]


def require_supported(server: Mapping[str, Any], url: str) -> None:
    """Checks a row of `migrations.server`.

    Raises:
        UnsupportedDatabase: the server is older than 16, or does not offer pgvector 0.8.
    """
    if server["version"] < MINIMUM_SERVER:
        raise UnsupportedDatabase(
            f"{described(url)} is Postgres {server['version'] // 10000}; 16 or newer is needed"
        )
    vector = server["vector"] or server["vector_available"]
    if vector is None or tuple(int(n) for n in vector.split(".")[:2]) < MINIMUM_VECTOR:
        raise UnsupportedDatabase(
            f"{described(url)} offers pgvector {vector!r}; install pgvector 0.8 or newer"
        )


async def _bring_up(connection: Connection, url: str) -> list[Migration]:
    """Gives a store older than the baseline the schema and the ledger of a new one.

    `sql/upgrades` changes only tables. Functions and comments come from the baseline.
    """
    baseline = migrations()[:BASELINE]
    async with connection.transaction():
        await _execute(connection, "migrations.lock")
        upgrades = _upgrades(await _ledger(connection), url)
        if not upgrades:
            return []
        await _execute(connection, "migrations.search_path")
        for name in upgrades:
            await connection.execute(_upgrade_file(f"{name}.sql"))
        for migration in baseline:
            await connection.execute(_functions_and_comments(migration))
        await _execute(connection, "migrations.clear")
        for migration in baseline:
            await _record(connection, migration)
    return list(baseline)


def _upgrades(applied: Sequence[Applied], url: str) -> tuple[str, ...]:
    """Returns the files of `sql/upgrades` for a store with this ledger; none for a new store.

    Raises:
        UnsupportedSchema: the store is older than the baseline, and no upgrade exists for it.
    """
    if not applied or applied[0][1] != _FIRST_OF_OLD:
        return ()
    old = _old_ledger()
    for (version, name, sha256), expected in zip(applied, old, strict=False):
        if (version, name, sha256) != expected:
            raise UnsupportedSchema(
                f"{described(url)} has migration {version:04d}_{name} with sha256 {sha256[:12]}"
                f" where {expected[0]:04d}_{expected[1]} with {expected[2][:12]} is known, so no"
                " way leads up to the baseline; make a new store and import the interactions there"
            )
    if len(applied) not in UPGRADES:
        ways = " or ".join(str(count) for count in UPGRADES)
        raise UnsupportedSchema(
            f"{described(url)} has {len(applied)} of the {len(old)} migrations from before the"
            f" baseline; a way leads up from {ways} of them. Run `memory migrate` of the version"
            " that made the store first, and then this one"
        )
    return UPGRADES[len(applied)]


def _old_ledger() -> tuple[Applied, ...]:
    """The ledger of a store with all migrations from before the baseline."""
    rows = (line.split() for line in _upgrade_file("ledger.txt").splitlines())
    return tuple((int(version), name, sha256) for version, name, sha256 in rows)


def _upgrade_file(name: str) -> LiteralString:
    text: LiteralString = (queries.sql_directory() / "upgrades" / name).read_text(encoding="utf-8")
    return text


def _functions_and_comments(migration: Migration) -> LiteralString:
    """A migration of functions as a whole, or only the comments of one that holds tables."""
    if migration.name.endswith("_functions"):
        return migration.sql
    return "\n".join(_COMMENT.findall(migration.sql))


async def _apply(connection: Connection, migration: Migration) -> bool:
    async with connection.transaction():
        await _execute(connection, "migrations.lock")
        applied = await _ledger(connection)
        _compare(applied, migrations())
        if any(version == migration.version for version, _, _ in applied):
            return False
        await _execute(connection, "migrations.search_path")
        # Without parameters the simple protocol takes a file of many statements.
        await connection.execute(await _without_roles_it_has(connection, migration.sql))
        await _record(connection, migration)
        return True


async def _without_roles_it_has(connection: Connection, text: LiteralString) -> LiteralString:
    """Leaves out making roles that exist: it is refused to who may make none, before it is seen."""
    if not _CREATES_ROLE.search(text):
        return text
    (rows,) = await connection.run([("migrations.roles", {})])
    existing = {row["name"] for row in rows}
    left: LiteralString = _CREATES_ROLE.sub(lambda m: "" if m[1] in existing else m[0], text)
    return left


async def _record(connection: Connection, migration: Migration) -> None:
    await connection.execute(
        queries.statement("migrations.record"),
        {"version": migration.version, "name": migration.name, "sha256": migration.sha256},
    )


async def _execute(connection: Connection, name: str) -> None:
    await connection.execute(queries.statement(name))


async def _one(connection: Connection, name: str) -> DictRow:
    cursor = await connection.execute(queries.statement(name))
    return (await cursor.fetchall())[0]


async def _ledger(connection: Connection) -> list[Applied]:
    cursor = await connection.execute(queries.statement("migrations.applied"))
    return [(row["version"], row["name"], row["sha256"]) for row in await cursor.fetchall()]


def _compare(applied: Sequence[Applied], known: Sequence[Migration]) -> None:
    by_version = {migration.version: migration for migration in known}
    for version, name, sha256 in applied:
        migration = by_version.get(version)
        if migration is None:
            raise NewerSchema(
                f"the database has migration {version:04d}_{name}, which this release does not"
                " know; update experiential-memory"
            )
        if migration.sha256 != sha256:
            raise MigrationChanged(
                f"migration {version:04d}_{name} was applied with sha256 {sha256[:12]} and now"
                f" reads {migration.sha256[:12]}; restore the file, add a new migration instead"
            )
