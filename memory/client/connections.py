"""Connects a client to its store: to the database that it writes to, and to the one it reads."""

from dataclasses import dataclass
from functools import partial

from memory import migrate
from memory.database import Database, DatabaseRole, ReadDatabase, StatementRunner, resolve_url
from memory.logins import LoginKind
from memory.settings import Settings


@dataclass(frozen=True, slots=True)
class Connections:
    """The open databases of a client.

    url: of the database that it writes to.
    writing: that database; the client that only reads uses it in place of its standby.
    reading: the same database, or a standby of it.
    """

    url: str
    writing: Database
    reading: StatementRunner

    @property
    def apart(self) -> bool:
        """Whether it reads elsewhere than it writes, so that what it wrote may not be there yet."""
        return self.reading is not self.writing

    async def aclose(self) -> None:
        """Disconnects."""
        try:
            if isinstance(self.reading, ReadDatabase):
                await self.reading.close()
        finally:
            await self.writing.close()


async def connected(settings: Settings, *, reads_only: bool) -> Connections:
    """Connects to the store, and checks that it is at this release; migrates an embedded one.

    A client that only reads needs no more than one server to read from, and writes to none.

    Raises:
        StoreUnavailable: the server cannot be reached.
        NotMigrated, NewerSchema, MigrationChanged: the database does not match this release.
    """
    standby = settings.at_standby()
    reads = standby or (settings if reads_only and settings.names_primary else None)
    if reads is None or not reads_only:
        url, writing = await _checked(settings)
    else:
        url, writing = await _on_demand(reads if settings.only_reads else settings)
    if reads is None:
        return Connections(url, writing, writing)
    stands_in = standby is not None and settings.read_fallback and not settings.only_reads
    reading = ReadDatabase(
        settings,
        DatabaseRole.CLIENT,
        partial(_standby, reads),
        primary=writing if stands_in else None,
    )
    try:
        await reading.open()
    except BaseException:
        await writing.close()
        raise
    return Connections(url, writing, reading)


async def _on_demand(settings: Settings) -> tuple[str, Database]:
    url = await resolve_url(settings)  # of no embedded server: that is no standby
    database = Database(settings, url, DatabaseRole.CLIENT, on_demand=True)
    await database.open()
    return url, database


async def _checked(settings: Settings) -> tuple[str, Database]:
    url = await migrate.store_url(settings, LoginKind.APP)
    database = Database(settings, url, DatabaseRole.CLIENT)
    await database.open()
    return url, database


async def _standby(settings: Settings) -> Database:
    return (await _checked(settings))[1]
