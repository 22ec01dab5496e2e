"""Connections, transactions bound to a scope, and the one place where driver errors become ours."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum
from typing import Any, Self

import psycopg
from anyio import to_thread
from pgvector.psycopg import register_vector_async
from psycopg import AsyncConnection, errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from memory import queries
from memory.errors import (
    ConcurrentWrite,
    ConfigurationError,
    ExperientialMemoryError,
    LockTimeout,
    NotMigrated,
    StoreError,
    StoreUnavailable,
    WrongDimension,
)
from memory.models import Scope
from memory.settings import Settings

Connection = AsyncConnection[DictRow]
Params = Mapping[str, Any]
Rows = list[DictRow]

_TRANSLATIONS: tuple[tuple[type[psycopg.Error], type[ExperientialMemoryError]], ...] = (
    # First match wins, so the narrow classes stand before those they derive from.
    (errors.LockNotAvailable, LockTimeout),
    (errors.QueryCanceled, LockTimeout),
    (errors.SerializationFailure, ConcurrentWrite),
    (errors.DeadlockDetected, ConcurrentWrite),
    (errors.UniqueViolation, ConcurrentWrite),
    (errors.InvalidSchemaName, NotMigrated),
    (errors.UndefinedTable, NotMigrated),
    (errors.UndefinedFunction, NotMigrated),
    (errors.InsufficientPrivilege, ConfigurationError),
    (errors.InvalidPassword, ConfigurationError),
    (errors.InvalidCatalogName, ConfigurationError),
    (psycopg.OperationalError, StoreUnavailable),
    (psycopg.InterfaceError, StoreUnavailable),
)


class DatabaseRole(StrEnum):
    """What a process acts as: an app's client, or a worker that runs the loops and jobs."""

    CLIENT = "memory_client"
    WORKER = "memory_worker"


@contextmanager
def translated() -> Iterator[None]:
    """Turns psycopg's errors into ours, with the driver's as the cause."""
    try:
        yield
    except psycopg.Error as error:
        raise _translate(error) from error


def _translate(error: psycopg.Error) -> ExperientialMemoryError:
    message = str(error).strip() or type(error).__name__
    if isinstance(error, errors.DataException) and "different halfvec dimensions" in message:
        return WrongDimension(message)
    for theirs, ours in _TRANSLATIONS:
        if isinstance(error, theirs):
            return ours(message)
    return StoreError(message)


async def connect(url: str, timeout: float) -> Connection:
    """One plain connection as the login role, in autocommit, outside any pool."""
    with translated():
        return await AsyncConnection.connect(
            url, autocommit=True, connect_timeout=max(1, int(timeout)), row_factory=dict_row
        )


async def resolve_url(settings: Settings) -> str:
    """The configured URL, or that of the embedded server, which is started if need be."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    # fcntl and pwd, which the embedded server needs, do not exist everywhere.
    from memory import embedded

    return await to_thread.run_sync(embedded.start, settings.data_dir)


def described(url: str) -> str:
    """The URL's host, port and database: fit for a message, without its password."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "the configured MEMORY_DATABASE_URL"
    return " ".join(f"{k}={parts[k]}" for k in ("host", "port", "dbname") if parts.get(k))


class Transaction:
    """Statements that commit together, under one binding of tenant and user."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch(self, name: str, params: Params) -> Rows:
        """Runs one named statement and returns its rows; [] where it has none."""
        cursor = await self._connection.execute(queries.statement(name), params)
        return await cursor.fetchall() if cursor.description else []

    async def fetch_all(self, calls: Sequence[tuple[str, Params]]) -> list[Rows]:
        """Runs named statements in one round trip."""
        return await _pipelined(self._connection, calls)

    async def execute_many(self, name: str, rows: Sequence[Params]) -> None:
        """Runs one named statement for each row, in one round trip; nothing for no rows."""
        if rows:
            async with self._connection.cursor() as cursor:
                await cursor.executemany(queries.statement(name), rows)


async def _pipelined(connection: Connection, calls: Sequence[tuple[str, Params]]) -> list[Rows]:
    async with connection.pipeline():
        cursors = [
            await connection.execute(queries.statement(name), params) for name, params in calls
        ]
    return [await c.fetchall() if c.description else [] for c in cursors]


class Database:
    """A pool of connections that act as one role.

    Every statement runs with the tenant and user of its scope bound; row-level security lets
    nothing else through.
    """

    def __init__(self, settings: Settings, url: str, role: DatabaseRole) -> None:
        self._settings = settings
        self._role = role
        self._url = url
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            connection_class=AsyncConnection[DictRow],
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "prepare_threshold": 1,
                "connect_timeout": max(1, int(settings.connect_timeout)),
            },
            min_size=settings.pool_min,
            max_size=settings.pool_max,
            timeout=settings.connect_timeout,
            configure=self._configure,
            open=False,
            name=role.value,
        )

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Opens the pool.

        Raises:
            StoreUnavailable: no connection within `connect_timeout`.
            ConfigurationError: the login role may not act as this role.
        """
        # One plain try first: a pool would report every cause as a timeout.
        async with await connect(self._url, self._settings.connect_timeout) as connection:
            with translated():
                await self._configure(connection)
        await self._pool.open()

    async def close(self) -> None:
        """Closes the pool; calls under way end first."""
        await self._pool.close()

    async def _configure(self, connection: Connection) -> None:
        timeout = f"{int(self._settings.statement_timeout * 1000)}ms"
        params = {"role": self._role.value, "statement_timeout": timeout}
        await connection.execute(queries.statement("connection.settings"), params)
        await register_vector_async(connection)

    async def fetch(self, scope: Scope, name: str, params: Params | None = None) -> Rows:
        """Runs one named statement for `scope` in one round trip and returns its rows.

        `tenant` and `user` are added to the parameters. The statement must be safe to repeat:
        it is sent again, once, where the connection turned out to be dead.
        """
        return (await self.fetch_all(scope, [(name, params or {})]))[0]

    async def fetch_all(self, scope: Scope, calls: Sequence[tuple[str, Params]]) -> list[Rows]:
        """Runs named statements as one transaction in one round trip; see `fetch`."""
        keys = {"tenant": scope.tenant, "user": scope.user}
        bound = [("scope.bind", keys), *((name, {**keys, **params}) for name, params in calls)]
        try:
            return (await self._run(bound))[1:]
        except StoreUnavailable as error:
            if isinstance(error.__cause__, PoolTimeout):
                raise
            await self._pool.check()
            return (await self._run(bound))[1:]

    async def _run(self, calls: Sequence[tuple[str, Params]]) -> list[Rows]:
        with translated():
            async with self._pool.connection() as connection:
                # In autocommit a pipeline up to its sync is one implicit transaction, so the
                # binding, which is local to the transaction, covers exactly these statements.
                return await _pipelined(connection, calls)

    @asynccontextmanager
    async def transaction(self, scope: Scope) -> AsyncIterator[Transaction]:
        """Statements that commit together for `scope`; rolled back if the block raises."""
        keys = {"tenant": scope.tenant, "user": scope.user}
        with translated():
            async with self._pool.connection() as connection, connection.transaction():
                await connection.execute(queries.statement("scope.bind"), keys)
                yield Transaction(connection)

    async def fetch_system(self, name: str, params: Params | None = None) -> Rows:
        """Runs a statement on tables that belong to no tenant; no user's rows are visible to it
        beyond what the role may always see."""
        return (await self._run([(name, params or {})]))[0]
