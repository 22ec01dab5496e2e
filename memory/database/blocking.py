"""Access to the log for callers without an event loop: they wait for the server themselves.

Handing a call to another thread and waiting for it costs a third of `record()` itself.
"""

from functools import partial

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from memory.database.binding import DatabaseRole
from memory.database.pipeline import BlockingConnection, Calls, Rows
from memory.database.renewal import renewed
from memory.database.transactions import (
    WHY_SECONDS,
    StatementRunner,
    pool_options,
    raise_why_none_is_free,
)
from memory.database.translation import refused_or_unavailable, translated
from memory.errors import ExperientialMemoryError
from memory.settings import Settings


class BlockingDatabase(StatementRunner):
    """A pool for threads that wait themselves: a call has finished when it returns.

    Its coroutines never suspend, so `Portal.call_here` may run them in any thread. It connects at
    the first call, and reads no vectors.
    """

    def __init__(self, settings: Settings, url: str, role: DatabaseRole) -> None:
        super().__init__(settings, role)
        self._current = partial(renewed, settings, url)
        self._pool: ConnectionPool[BlockingConnection] = ConnectionPool(
            self._current,
            connection_class=BlockingConnection,
            kwargs=pool_options(settings, url, role),
            min_size=0,
            max_size=settings.pool_max,
            timeout=settings.connect_timeout,
            reconnect_timeout=settings.connect_timeout,
            open=True,
            name=f"{role.value}, blocking",
            num_workers=1,
        )

    def close(self) -> None:
        """Closes the pool; running calls still end."""
        self._pool.close()

    async def run(self, calls: Calls) -> list[Rows]:
        """Runs as `StatementRunner.run`."""
        with translated():
            try:
                with self._pool.connection() as connection:
                    return connection.run(calls)
            except PoolTimeout as error:
                self._raise_why(error)
            with self._pool.connection() as connection:
                return connection.run(calls)

    def _raise_why(self, timeout: PoolTimeout) -> None:
        """As `Database._raise_why`."""
        why: ExperientialMemoryError | None = None
        try:
            BlockingConnection.connect(self._current(), connect_timeout=int(WHY_SECONDS)).close()
        except psycopg.OperationalError as error:
            why = refused_or_unavailable(error)
        except ExperientialMemoryError as error:
            why = error
        raise_why_none_is_free(self._pool, timeout, why)

    async def check(self) -> None:
        """Replaces dead connections."""
        self._pool.check()
