"""Connections, and transactions bound to a scope."""

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, Self

import numpy as np
import psycopg
from anyio import fail_after, sleep, to_thread
from numpy.typing import NDArray
from pgvector.psycopg import register_vector_async
from psycopg import IsolationLevel
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Format
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from psycopg_pool.base import BasePool

from memory import secret_files
from memory.database import queries
from memory.database.binding import Binding, DatabaseRole
from memory.database.pipeline import Call, Calls, Connection, Params, Rows
from memory.database.renewal import renewing
from memory.database.translation import refused_or_unavailable, translated
from memory.errors import (
    ConcurrentWrite,
    ConfigurationError,
    ExperientialMemoryError,
    LockTimeout,
    PoolExhausted,
    PreparedStatementLost,
    ReadOnlyStore,
    StatementTimeout,
    StoreUnavailable,
    UnsupportedPooler,
)
from memory.models import Scope
from memory.settings import APP_NAME, Settings

logger = logging.getLogger(__name__)

POLLED_SECONDS = 2.0
"""Seconds between two looks where a pooler would keep notifications back."""

POLLS = 15
"""How often it looks before it tries a direct URL again that led nowhere."""

_NUMBERS = {1005: ">i2", 1007: ">i4", 1016: ">i8", 1021: ">f4", 1022: ">f8"}
"""The encoding of array elements, by the oid of their array type in Postgres."""

_ARRAY_HEADER = 20


WHY_SECONDS = 2.0
"""Time limit for the one try that finds out why a pool has no connection."""


class _NumberArrayLoader(Loader):
    """Reads binary arrays of numbers without an object for each; none of them may be NULL."""

    format = Format.BINARY

    def load(self, data: Buffer) -> NDArray[Any]:
        """Returns the array's elements, in one dimension."""
        sent = np.dtype(_NUMBERS[self.oid])
        element = np.dtype([("size", ">i4"), ("value", sent)])
        offset = min(len(data), _ARRAY_HEADER)  # the header of an empty array is shorter
        return np.frombuffer(data, element, offset=offset)["value"].astype(sent.newbyteorder("="))


_decoded = json.JSONDecoder().raw_decode


def _read_json(sent: str | bytes) -> Any:
    """Decodes a jsonb value faster than `json.loads`: every row of a recall has one.

    The server writes it without space around it, and in the connection's encoding, UTF-8.
    """
    return _decoded(sent if isinstance(sent, str) else sent.decode())[0]


def connection_options(url: str, application_name: str = APP_NAME) -> dict[str, Any]:
    """Returns options by which a connection notices within half a minute that the peer is gone.

    The system's own defaults are hours. The server shows the connection under `application_name`,
    and all text passes in UTF-8. Options in the URL take precedence.
    """
    ours: dict[str, Any] = {
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 4,
        "tcp_user_timeout": 30_000,
        "fallback_application_name": application_name,
        "client_encoding": "UTF8",
    }
    try:
        said = conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # which connecting will say
        return {}
    return {name: value for name, value in ours.items() if name not in said}


async def connect(url: str, timeout: float, application_name: str = APP_NAME) -> Connection:
    """Opens one plain connection as the login role, in autocommit, outside any pool.

    Raises:
        StoreUnavailable: the server does not answer, or not now.
        LoginRefused: the server refuses the login.
        ConfigurationError: there is no such database, or the URL is not valid.
    """
    try:
        return await Connection.connect(
            url,
            autocommit=True,
            connect_timeout=max(1, int(timeout)),
            row_factory=dict_row,
            prepare_threshold=None,
            **connection_options(url, application_name),
        )
    except psycopg.ProgrammingError:
        # The driver's message repeats the URL, and its password with it.
        raise ConfigurationError(
            "MEMORY_DATABASE_URL and MEMORY_READ_URL must be connection strings such as"
            " 'postgresql://user@host:5432/database'"
        ) from None
    except psycopg.OperationalError as error:
        raise refused_or_unavailable(error) from error


async def resolve_url(settings: Settings) -> str:
    """Returns the configured URL, or that of the embedded server, which it starts if necessary.

    Raises:
        ReadOnlyStore: only a standby is configured.
        ConfigurationError: the file that has to hold the URL cannot be read.
    """
    url = await to_thread.run_sync(secret_files.database_url, settings)
    if url is not None:
        return url
    if settings.only_reads:
        raise ReadOnlyStore(
            "only a standby is named, and this writes; set MEMORY_DATABASE_URL to the primary"
        )
    # fcntl and pwd, which the embedded server needs, do not exist everywhere.
    from memory import embedded

    return await to_thread.run_sync(embedded.start, settings.data_dir)


def described(url: str) -> str:
    """Returns the URL's host, port and database for a message, without its password."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "the configured MEMORY_DATABASE_URL"
    return " ".join(f"{k}={parts[k]}" for k in ("host", "port", "dbname") if parts.get(k))


class Transaction:
    """Statements that commit together, bound to one tenant and user."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch(self, name: str, params: Params) -> Rows:
        """Runs one named statement and returns its rows; [] if it has none."""
        return (await self._connection.run([(name, params)]))[0]

    async def fetch_all(self, calls: Calls) -> list[Rows]:
        """Runs named statements in one round trip."""
        return await self._connection.run(calls)

    async def execute_many(self, name: str, rows: Sequence[Params]) -> None:
        """Runs one named statement for each row, in one round trip; nothing for no rows."""
        if rows:
            await self._connection.run([(name, row) for row in rows])


async def _notified(
    connection: Connection, name: str, beat: float, timeout: float
) -> AsyncGenerator[None]:
    """Yields once the connection listens, then at each notification, until it breaks."""
    await connection.execute(queries.statement(name))
    yield
    while True:
        if [n async for n in connection.notifies(timeout=beat, stop_after=1)]:
            yield
        else:
            await _tried(connection, timeout)


async def _tried(connection: Connection, timeout: float) -> None:
    try:
        with fail_after(timeout):
            await connection.execute(queries.statement("connection.alive"))
    except TimeoutError:
        raise StoreUnavailable("the connection is open, and no server answers on it") from None


def _of_a_connection(error: StoreUnavailable) -> bool:
    """Whether a connection broke, rather than something not being free or done in time."""
    in_time = isinstance(error, LockTimeout | StatementTimeout)
    return not (in_time or isinstance(error.__cause__, PoolTimeout | ConcurrentWrite))


async def _pooled(connection: Connection) -> bool:
    """Whether a pooler stands in between: it gives its clients process numbers of its own."""
    ((row,),) = await connection.run([("connection.backend", {})])
    return bool(row["pid"] != connection.info.backend_pid)


def raise_why_none_is_free(
    pool: BasePool, timeout: PoolTimeout, why: ExperientialMemoryError | None
) -> None:
    """Raises the error for a pool that had no connection in time, with the server's own reason.

    `why` is what one more try to connect raised; None if it succeeded. It returns if the server
    answers and the pool has room: the pool was pausing between two tries.
    """
    if why is not None:
        known = why if isinstance(why, StoreUnavailable) else StoreUnavailable(str(why))
        raise known from timeout
    size, most = pool.get_stats()["pool_size"], pool.max_size
    if size >= most:
        raise PoolExhausted(f"all {most} connections are in use: {timeout}") from timeout


def pool_options(settings: Settings, url: str, role: DatabaseRole) -> dict[str, Any]:
    """Returns the options of every pooled connection."""
    return {
        **connection_options(url, application_name(settings, role)),
        "autocommit": True,
        "row_factory": dict_row,
        "prepare_threshold": None,  # `Connection.run` prepares
        "connect_timeout": max(1, int(settings.connect_timeout)),
    }


def application_name(settings: Settings, role: DatabaseRole) -> str:
    """Returns the name under which the server shows the connections of a process."""
    return settings.application_name or f"{APP_NAME}/{role.value.removeprefix('memory_')}"


class StatementRunner(ABC):
    """Runs named statements, each call as one transaction in one round trip.

    Every statement runs bound to the tenant and user of its scope; row-level security hides all
    other rows.
    """

    def __init__(self, settings: Settings, role: DatabaseRole) -> None:
        self._binding = Binding(settings, role)

    @abstractmethod
    async def run(self, calls: Calls) -> list[Rows]:
        """Runs the statements, the binding among them, as one transaction."""

    @abstractmethod
    async def check(self) -> None:
        """Replaces dead connections."""

    async def fetch(self, scope: Scope, name: str, params: Params | None = None) -> Rows:
        """Runs one named statement for `scope` in one round trip and returns its rows.

        `tenant` and `user` are added to the parameters. The statement must be safe to repeat: it is
        sent again, once, if the connection was dead.
        """
        return (await self.fetch_all(scope, [(name, params or {})]))[0]

    async def fetch_all(self, scope: Scope, calls: Calls) -> list[Rows]:
        """Runs named statements as one transaction in one round trip; see `fetch`.

        If a statement says `-- one plan: why`, all of them run under plans without values. Arrays
        of numbers in their rows arrive as numpy arrays.
        """
        one_plan = any(queries.has_one_plan(name) for name, _ in calls)
        bind = "scope.bind_read" if one_plan else "scope.bind"
        keys = {"tenant": scope.tenant, "user": scope.user}
        bound = [(name, {**keys, **params}) for name, params in calls]
        admission = self._binding.admission(scope.tenant, calls)
        rows = await self._retried(self._binding.bind(**keys, name=bind), [*admission, *bound])
        return rows[len(admission) :]

    async def _retried(self, bind: Call, calls: Calls) -> list[Rows]:
        """Runs `_run_bound`, and once more if the connection was dead."""
        try:
            return await self._run_bound(bind, calls)
        except StoreUnavailable as error:
            if not _of_a_connection(error):
                raise
            await self.check()
            return await self._run_bound(bind, calls)

    async def _run_bound(self, bind: Call, calls: Calls) -> list[Rows]:
        return Binding.of(await self.run(self._binding.alone(bind, calls)))

    async def fetch_system(self, name: str, params: Params | None = None) -> Rows:
        """Runs a statement on tables that belong to no tenant.

        It sees no user's rows beyond those the role may always see. It is not sent again, since it
        may acquire a lease; but dead connections are replaced before the next call.
        """
        try:
            return (await self._run_bound(self._binding.bind(), [(name, params or {})]))[0]
        except StoreUnavailable as error:
            if _of_a_connection(error):
                await self.check()
            raise


class Database(StatementRunner):
    """A pool of connections that act as one role.

    With `on_demand` it connects at the first call, and keeps no connection open without calls.
    """

    def __init__(
        self, settings: Settings, url: str, role: DatabaseRole, *, on_demand: bool = False
    ) -> None:
        super().__init__(settings, role)
        self._on_demand = on_demand
        self._timeout = settings.connect_timeout
        self._name = application_name(settings, role)
        self._settings = settings
        self._current = renewing(settings, url)
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            self._current,
            connection_class=Connection,
            kwargs=pool_options(settings, url, role),
            min_size=0 if on_demand else settings.pool_min,
            max_size=settings.pool_max,
            timeout=settings.connect_timeout,
            # A pool's pauses between tries double up to this, and a renewed password waits as long.
            reconnect_timeout=settings.connect_timeout,
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
            UnsupportedPooler: a pooler mixes up the prepared statements of its clients.
        """
        # Plain tries first: a pool would report every cause as a timeout. Behind a pooler the
        # second one meets what the first has prepared, unless the pooler keeps them apart.
        if not self._on_demand and await self._tried_out():
            await self._tried_out()
        # A pool that is asked before it has a connection opens another, and goes round both from
        # then on: a lone caller would keep two of the server's processes warm instead of one.
        with translated():
            await self._pool.open(wait=not self._on_demand, timeout=self._timeout)

    async def _tried_out(self) -> bool:
        """Opens and configures a connection, and returns whether a pooler stands in between."""
        url = await self._current()
        async with await connect(url, self._timeout, self._name) as connection:
            try:
                with translated():
                    await self._configure(connection)
                    return await _pooled(connection)
            except PreparedStatementLost as error:
                raise UnsupportedPooler(str(error)) from error

    async def close(self) -> None:
        """Closes the pool; running calls end first."""
        await self._pool.close()

    async def _configure(self, connection: Connection) -> None:
        await connection.set_isolation_level(IsolationLevel.READ_COMMITTED)
        async with connection.transaction():
            await connection.run([self._binding.bind()])
            await register_vector_async(connection)
        set_json_loads(_read_json, connection)
        for oid in _NUMBERS:
            connection.adapters.register_loader(oid, _NumberArrayLoader)

    async def run(self, calls: Calls) -> list[Rows]:
        """Runs as `StatementRunner.run`."""
        with translated():
            try:
                async with self._pool.connection() as connection:
                    # In autocommit this is one implicit transaction, so the binding, which is local
                    # to the transaction, covers exactly these statements.
                    return await connection.run(calls)
            except PoolTimeout as error:
                await self._raise_why(error)
            async with self._pool.connection() as connection:
                return await connection.run(calls)

    async def _raise_why(self, timeout: PoolTimeout) -> None:
        """Raises the reason for a timeout, which a pool does not name; returns if it has passed."""
        why: ExperientialMemoryError | None = None
        try:
            seconds = min(WHY_SECONDS, self._timeout)
            async with await connect(await self._current(), seconds) as connection:
                await _tried(connection, seconds)  # a pooler may let in and have no server for it
        except ExperientialMemoryError as error:
            why = error
        raise_why_none_is_free(self._pool, timeout, why)

    async def check(self) -> None:
        """Replaces dead connections."""
        await self._pool.check()

    @asynccontextmanager
    async def transaction(self, scope: Scope) -> AsyncIterator[Transaction]:
        """Runs statements that commit together for `scope`; rolls back if the block raises."""
        with translated():
            async with self._connection() as connection, connection.transaction():
                bind = self._binding.bind(scope.tenant, scope.user)
                await connection.run([bind, *self._binding.admission(scope.tenant)])
                yield Transaction(connection)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """A connection of the pool; a statement of its own needs less, see `run`."""
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(self._pool.connection())
            except PoolTimeout as error:
                await self._raise_why(error)
                connection = await stack.enter_async_context(self._pool.connection())
            yield connection

    async def listen(self, name: str, beat: float) -> AsyncGenerator[None]:
        """Runs a LISTEN on its own connection: yields once it listens, then at each notification.

        After `beat` seconds of silence it checks the connection, since a broken one stays silent.
        It connects past a pooler by `direct_url`. Without one no notification would pass a pooler,
        so it yields every `POLLED_SECONDS` instead; also while that URL leads nowhere, for a while.

        Raises:
            StoreUnavailable: the connection could not be made, or broke; notifications since are
                lost.
        """
        try:
            connection, direct = await self._past_a_pooler()
        except (StoreUnavailable, ConfigurationError) as error:
            if self._settings.direct_url is None and self._settings.direct_url_file is None:
                raise
            logger.warning("MEMORY_DIRECT_URL gives no notifications: %s", error)
            for _ in range(POLLS):
                yield
                await sleep(POLLED_SECONDS)
            raise StoreUnavailable(str(error)) from error
        async with connection:
            with translated():
                if direct or not await _pooled(connection):
                    async with aclosing(_notified(connection, name, beat, self._timeout)) as heard:
                        async for _ in heard:
                            yield
        while True:
            yield
            await sleep(POLLED_SECONDS)

    async def _past_a_pooler(self) -> tuple[Connection, bool]:
        """A connection that may listen, and whether it goes by `direct_url`."""
        direct = await to_thread.run_sync(secret_files.direct_url, self._settings)
        url = direct or await self._current()
        return await connect(url, self._timeout, self._name), direct is not None
