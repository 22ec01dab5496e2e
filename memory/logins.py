"""Logins: the roles that processes log in as, each a member of one role of the store.

A process acts as `memory_client` or `memory_worker` in each transaction. What it can become with
RESET ROLE is its login, so that must not be the owner of the schema or a superuser.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from psycopg import errors

from memory.database import connect, queries, translated
from memory.database.pipeline import Connection
from memory.errors import AdministratorNeeded, InvalidInput

MAX_LOGIN_BYTES = 63
"""What Postgres keeps of a name; it would cut a longer one."""


class LoginKind(StrEnum):
    """What a login is for: an app, the workers and operators' commands, or backups."""

    APP = "app"
    WORKER = "worker"
    BACKUP = "backup"

    @property
    def role(self) -> str:
        """The role of the store that such a login is a member of."""
        return {"app": "memory_client", "worker": "memory_worker", "backup": "memory_backup"}[self]


EMBEDDED = {
    LoginKind.APP: "memory_app",
    LoginKind.WORKER: "memory_worker_login",
    LoginKind.BACKUP: "memory_backup_login",
}
"""The logins of an embedded server, which its owner makes."""


@dataclass(frozen=True, slots=True)
class StoreLogin:
    """A login that may act as a role of the store: which, and whether it is more than a login."""

    name: str
    acts_as: tuple[str, ...]
    superuser: bool
    owner: bool


async def create(
    url: str, kind: LoginKind, name: str, password: str | None = None, timeout: float = 10.0
) -> bool:
    """Makes the login and returns True, or brings an existing one to what is asked.

    An existing login keeps its password unless one is given.

    Raises:
        InvalidInput: the name is none, or belongs to a role that is more than such a login.
        AdministratorNeeded: the login role of `url` may not make logins.
    """
    async with await connect(url, timeout) as connection:
        with translated():
            async with connection.transaction():
                await _run(connection, queries.statement("migrations.lock"), name)
                new = not await _found(connection, kind, name)
                for statement in await _statements(connection, kind, name, password):
                    await _run(connection, statement, name)
                return new


async def statements(
    url: str, kind: LoginKind, name: str, password: str | None = None, timeout: float = 10.0
) -> list[str]:
    """Returns the SQL that `create` would run; it holds a verifier, not the password.

    Raises:
        InvalidInput: as `create`.
    """
    async with await connect(url, timeout) as connection:
        with translated():
            await _found(connection, kind, name)
            return list(await _statements(connection, kind, name, password))


async def exists(url: str, kind: LoginKind, name: str, timeout: float = 10.0) -> bool:
    """Returns whether there is such a login.

    Raises:
        InvalidInput: as `create`.
    """
    async with await connect(url, timeout) as connection:
        with translated():
            return await _found(connection, kind, name)


async def every(url: str, timeout: float = 10.0) -> list[StoreLogin]:
    """Returns every login that may act as a role of the store, by name."""
    async with await connect(url, timeout) as connection:
        with translated():
            (rows,) = await connection.run([("roles.list", {})])
    return [
        StoreLogin(row["name"], tuple(row["acts_as"]), row["superuser"], row["owner"])
        for row in rows
    ]


async def _found(connection: Connection, kind: LoginKind, name: str) -> bool:
    if not 0 < len(name.encode()) <= MAX_LOGIN_BYTES or "\x00" in name:
        raise InvalidInput(f"a login has 1 to {MAX_LOGIN_BYTES} bytes, got {name!r}")
    (rows,) = await connection.run([("roles.found", {"name": name})])
    if not rows:
        return False
    (row,) = rows
    others = sorted(set(row["acts_as"]) - {kind.role})
    why = (
        ("may do more than a login", row["privileged"]),
        ("owns the schema", row["owns"]),
        ("is no login", not row["logs_in"]),
        (f"may act as {', '.join(others)}", others),
    )
    for reason, holds in why:
        if holds:
            raise InvalidInput(f"role {name!r} exists and {reason}; choose another name")
    return True


async def _statements(
    connection: Connection, kind: LoginKind, name: str, password: str | None
) -> Sequence[str]:
    verifier = None if password is None else _verifier(connection, name, password)
    wanted = {"name": name, "role": kind.role, "password": verifier}
    (rows,) = await connection.run([("roles.statements", wanted)])
    return [row["statement"] for row in rows]


def _verifier(connection: Connection, name: str, password: str) -> str:
    made = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
    return made.decode()


async def _run(connection: Connection, statement: str, name: str) -> None:
    try:
        await connection.execute(statement.encode())
    except errors.InsufficientPrivilege as error:
        raise AdministratorNeeded(
            f"this login may not make {name!r} ({error.diag.message_primary}); an administrator has"
            " to run what --print-sql prints"
        ) from error
