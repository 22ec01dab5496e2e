"""Access to the log for callers without an event loop: they wait for the server themselves.

Handing a call to another thread and waiting for it costs a third of `record()` itself.
"""

from psycopg_pool import ConnectionPool

from memory.database.binding import DatabaseRole
from memory.database.pipeline import BlockingConnection, Calls, Rows
from memory.database.transactions import (
    StatementRunner,
    pool_options,
    translated,
)
from memory.settings import Settings


class BlockingDatabase(StatementRunner):
    """A pool for threads that wait themselves: a call has finished when it returns.

    Its coroutines never suspend, so `Portal.call_here` may run them in any thread. It connects at
    the first call, and reads no vectors.
    """

    def __init__(self, settings: Settings, url: str, role: DatabaseRole) -> None:
        super().__init__(settings, role)
        self._pool: ConnectionPool[BlockingConnection] = ConnectionPool(
            url,
            connection_class=BlockingConnection,
            kwargs=pool_options(settings, url, role),
            min_size=0,
            max_size=settings.pool_max,
            timeout=settings.connect_timeout,
            open=True,
            name=f"{role.value}, blocking",
            num_workers=1,
        )

    def close(self) -> None:
        """Closes the pool; running calls still end."""
        self._pool.close()

    async def _run(self, calls: Calls) -> list[Rows]:
        with translated(), self._pool.connection() as connection:
            return connection.run(calls)

    async def _check(self) -> None:
        self._pool.check()
