"""The pipeline: sends several named statements and reads their rows in one round trip.

psycopg's own pipeline sends and waits at every statement and makes a cursor for each. Here all
statements are known beforehand, so they are sent together and waited for once. Each is prepared the
first time a connection sends it, with the parameter types that the server infers.
"""

from collections.abc import Generator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from struct import Struct
from typing import Any, NamedTuple

from pgvector import HalfVector
from psycopg import AsyncConnection, BaseConnection, DataError, abc
from psycopg import Connection as _BlockingConnection
from psycopg.abc import Buffer
from psycopg.adapt import Loader, PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.generators import fetch_many, send
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult
from psycopg.rows import DictRow

from memory.database import queries

Params = Mapping[str, Any]
Rows = list[DictRow]
Call = tuple[str, Params]
Calls = Sequence[Call]

_BINARY = frozenset((bytes, HalfVector))
"""Sent as they lie in memory. All other values go as text, which the server converts."""

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECONDS = Struct(">q")

_Waiting = Generator[Any, Any, list[PGresult]]
"""Yields what it waits for on the socket; see `psycopg.AsyncConnection.wait`."""


class _TimeLoader(Loader):
    """Reads a time as UTC. The driver's own reads it in the zone that the session began with."""

    def load(self, data: Buffer) -> datetime:
        """Returns the time; the server writes it in ISO 8601, with its distance from UTC."""
        text = bytes(data).decode()
        try:
            return datetime.fromisoformat(text).astimezone(UTC)
        except ValueError:
            raise DataError(f"Python has no time such as {text!r}") from None


class _BinaryTimeLoader(Loader):
    """As `_TimeLoader`, from the microseconds since 2000."""

    format = Format.BINARY

    def load(self, data: Buffer) -> datetime:
        """Returns the time."""
        (microseconds,) = _MICROSECONDS.unpack(data)
        try:
            return _EPOCH + timedelta(microseconds=microseconds)
        except OverflowError:
            raise DataError(f"Python has no time {microseconds} µs after 2000") from None


class _Sent(NamedTuple):
    """A statement with its encoded parameters."""

    name: str
    values: Sequence[Buffer | None]
    formats: Sequence[Format]


class _Exchange(BaseConnection[DictRow]):
    """The common part of both kinds of connection: everything but the waiting."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prepared_here: set[str] = set()
        self._columns: dict[str, tuple[str, ...]] = {}  # of each statement's rows
        for loader in (_TimeLoader, _BinaryTimeLoader):
            self.adapters.register_loader("timestamptz", loader)

    @cached_property
    def _transformer(self) -> abc.Transformer:
        # Made at the first call, when the adapters are registered; it remembers those it used.
        return Transformer(self)

    def _sent(self, calls: Calls) -> _Waiting:
        """Sends the statements and waits for the result of each."""
        return self._exchanged([self._dumped(name, params) for name, params in calls])

    def _read(self, calls: Calls, results: Sequence[PGresult]) -> list[Rows]:
        return [self._rows(name, r) for (name, _), r in zip(calls, results, strict=True)]

    def _dumped(self, name: str, params: Params) -> _Sent:
        values = [params[key] for key in queries.numbered(name).params]
        formats = [PyFormat.BINARY if type(v) in _BINARY else PyFormat.TEXT for v in values]
        dumped = self._transformer.dump_sequence(values, formats)
        return _Sent(name, dumped, self._transformer.formats or ())

    def _exchanged(self, sent: Sequence[_Sent]) -> _Waiting:
        """Sends all statements and a sync, and waits for the answer to each."""
        pgconn = self.pgconn
        prepares: dict[int, str] = {}  # by the place of their answers
        pgconn.enter_pipeline_mode()
        try:
            for place, (name, values, formats) in enumerate(sent):
                if name not in self._prepared_here and name not in prepares.values():
                    # Not before its turn: those before it set where its names are looked up.
                    prepares[place + len(prepares)] = name
                    pgconn.send_prepare(name.encode(), queries.numbered(name).text.encode())
                answer = Format.BINARY if queries.has_one_plan(name) else Format.TEXT
                pgconn.send_query_prepared(name.encode(), values, formats, answer)
            pgconn.pipeline_sync()
            yield from send(pgconn)
            results = yield from _answers(pgconn)
        finally:
            if pgconn.status != ConnStatus.BAD:
                pgconn.exit_pipeline_mode()
        for place, result in enumerate(results):
            if place in prepares and result.status == ExecStatus.COMMAND_OK:
                self._prepared_here.add(prepares[place])
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise error_from_result(result, self.info.encoding)
        return [result for place, result in enumerate(results) if place not in prepares]

    def _rows(self, name: str, result: PGresult) -> Rows:
        if not result.nfields:
            return []
        if name not in self._columns:
            found = [result.fname(n) or b"" for n in range(result.nfields)]
            self._columns[name] = tuple(column.decode() for column in found)
        names = self._columns[name]
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(
            0, result.ntuples, lambda values: dict(zip(names, values, strict=True))
        )


class Connection(_Exchange, AsyncConnection[DictRow]):
    """A connection that runs named statements; see `memory.database.queries`."""

    async def run(self, calls: Calls) -> list[Rows]:
        """Returns the rows of each statement, [] if it has none; one transaction if none is open.

        Raises:
            psycopg.Error: of the first statement that failed; those after it did not run.
        """
        async with self.lock:
            results = await self.wait(self._sent(calls))
        return self._read(calls, results)


class BlockingConnection(_Exchange, _BlockingConnection[DictRow]):
    """A `Connection` whose caller waits for the server itself, without an event loop."""

    def run(self, calls: Calls) -> list[Rows]:
        """See `Connection.run`."""
        with self.lock:
            results = self.wait(self._sent(calls))
        return self._read(calls, results)


def _answers(pgconn: PGconn) -> _Waiting:
    """The results up to that of the sync, or until the connection broke."""
    results: list[PGresult] = []
    while found := (yield from fetch_many(pgconn)):
        if found[-1].status == ExecStatus.PIPELINE_SYNC:
            return results
        results += found
    return results
