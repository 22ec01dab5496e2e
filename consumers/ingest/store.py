"""The Postgres side of ingestion: rows, dead letters and position of a batch commit together.

It is synchronous, as kafka-python's loop is: one connection in the worker's role for one process.
"""

from base64 import b64encode
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self, assert_never

import psycopg
from psycopg import IsolationLevel, errors
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from consumers.ingest.group import group_of
from consumers.ingest.records import Accepted, Reason, Record, Rejected, record_time
from memory.database import (
    Binding,
    DatabaseRole,
    queries,
    refused_or_unavailable,
    translated,
)
from memory.database.pipeline import BlockingConnection, Call
from memory.database.renewal import renewed
from memory.database.transactions import pool_options
from memory.errors import PositionLost, StoreError
from memory.log.interactions import judged
from memory.privacy.policy import KEEPS_ALL, SensitivePolicy
from memory.settings import Settings

Outcome = Literal["duplicate", "forgotten", "conflict"]

IDLE_IN_TRANSACTION_SECONDS = 15
"""After this time the server ends the transaction of a process that stopped in the middle of it."""

LOCK_SECONDS = 10

_BAD_ROW = (psycopg.DataError, psycopg.IntegrityError, errors.ProgramLimitExceeded)
"""The database's errors that a row causes, rather than the database's own state."""


class RowRefused(StoreError):
    """The database refused a row of the batch; the caller has to find which one."""


@dataclass(frozen=True, slots=True)
class TopicId:
    """One topic of one cluster, identified by ids, which the name may outlive."""

    cluster_id: str
    topic_id: str
    name: str

    @property
    def key(self) -> dict[str, str]:
        """Returns the parameters of the statements on positions."""
        return {"cluster": self.cluster_id, "topic_id": self.topic_id, "topic": self.name}


@dataclass(frozen=True, slots=True)
class PartitionState:
    """The position of a partition, under the epoch it was taken over with; None: not started."""

    epoch: int
    next_offset: int | None


@dataclass(slots=True)
class Counts:
    """Counts of records by their outcome."""

    appended: int = 0
    duplicates: int = 0
    forgotten: int = 0
    set_aside: int = 0

    def add(self, other: "Counts") -> None:
        self.appended += other.appended
        self.duplicates += other.duplicates
        self.forgotten += other.forgotten
        self.set_aside += other.set_aside

    @property
    def records(self) -> int:
        """The sum of all counts."""
        return self.appended + self.duplicates + self.forgotten + self.set_aside


@dataclass(slots=True)
class OffsetRange:
    """The records of one partition from `start` up to `end`; there may be holes between them."""

    partition: int
    epoch: int
    start: int
    end: int
    accepted: list[Accepted] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    newest: datetime | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Ranges that commit together, and their staged rows.

    rows: encoded for COPY, numbered by their place among the interactions of all ranges.
    again: for each interaction whose id came before in the batch, the number of the first. It is
        not staged; its outcome follows from what the log then holds.
    """

    ranges: Sequence[OffsetRange]
    accepted: Sequence[Accepted]
    again: Mapping[int, int]
    tenants: Sequence[str]
    rows: bytes

    @classmethod
    def of(cls, ranges: Sequence[OffsetRange]) -> Self:
        """Prepares a batch as far as possible without the database."""
        accepted = [a for s in ranges for a in s.accepted]
        first: dict[tuple[str, str, str], int] = {}
        again, rows = {}, []
        for n, entry in enumerate(accepted):
            original = first.setdefault(entry.incoming.key, n)
            if original == n:
                rows.append(b"%d\t%b" % (n, entry.row))
            else:
                again[n] = original
        tenants = sorted({tenant for tenant, _, _ in first})
        return cls(ranges, accepted, again, tenants, b"".join(rows))


class IngestStore:
    """One connection that applies batches of one topic."""

    def __init__(self, connection: BlockingConnection, url: str, settings: Settings) -> None:
        self.url = url
        self._connection = connection
        self._binding = Binding(settings, DatabaseRole.WORKER, IDLE_IN_TRANSACTION_SECONDS)
        self._session_ttl = settings.session_ttl

    @classmethod
    def open(cls, url: str, settings: Settings) -> Self:
        """Opens a connection in the worker's role.

        Raises:
            StoreUnavailable: the server does not answer, or not now.
            LoginRefused: the server refuses the login.
            ConfigurationError: there is no such database, or the login may not act as a worker.
        """
        current = renewed(settings, url)
        try:
            options = pool_options(settings, current, DatabaseRole.WORKER)
            connection = BlockingConnection.connect(current, **options)
        except psycopg.OperationalError as error:
            raise refused_or_unavailable(error) from error
        opened = cls(connection, url, settings)
        try:
            connection.isolation_level = IsolationLevel.READ_COMMITTED
            opened.fetch("connection.alive", {})
        except BaseException:
            opened.close()
            raise
        return opened

    def group(self) -> str:
        """Returns the name of the store's own consumer group."""
        return group_of(self.fetch("identity.read", {})[0])

    def close(self) -> None:
        """Closes the connection; a running transaction is rolled back."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(
        self, topic: TopicId, partitions: Iterable[int], owner: str
    ) -> dict[int, PartitionState]:
        """Takes over partitions from their former owners; returns their positions."""
        params = {**topic.key, "partitions": sorted(partitions), "owner": owner}
        return _places(self.fetch("ingest.take", params))

    def begin(self, topic: TopicId, epochs: Mapping[int, int], starts: Mapping[int, int]) -> None:
        """Notes the start of partitions that nobody had read.

        Raises:
            PositionLost: one was taken over meanwhile.
        """
        partitions = sorted(starts)
        params = {
            **topic.key,
            "partitions": partitions,
            "epochs": [epochs[p] for p in partitions],
            "starts": [starts[p] for p in partitions],
        }
        begun = {row["partition"] for row in self.fetch("ingest.begin", params)}
        _refuse_lost(topic, set(partitions) - begun)

    def held(self, topic: TopicId, partitions: Iterable[int]) -> dict[int, PartitionState]:
        """Returns the positions of partitions, whoever owns them now."""
        params = {**topic.key, "partitions": sorted(partitions)}
        return _places(self.fetch("ingest.held", params))

    def fetch(self, name: str, params: Mapping[str, Any]) -> list[DictRow]:
        """Runs one statement on tables of no tenant, as its own transaction."""
        with translated():
            calls = self._binding.alone(self._binding.bind(), [(name, params)])
            return Binding.of(self._connection.run(calls))[0]

    def apply(self, topic: TopicId, batch: Batch) -> dict[int, Counts]:
        """Commits a whole batch with its positions, or nothing; returns the counts by partition.

        Raises:
            PositionLost: a partition was taken over, or its position is not the start of its range.
            RowRefused: the database refuses one of the rows.
            StoreUnavailable, ConcurrentWrite: retriable. It is not known whether it committed.
        """
        ranges = batch.ranges
        with translated(), _rows_told_apart(), self._transaction():
            counts = self._append(topic, batch)
            moved = self._advance(topic, ranges, counts)
            _refuse_lost(topic, {s.partition for s in ranges} - moved)
        return counts

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._connection.transaction():
            self._connection.run([self._binding.bind(), _BOUND_WAITING])
            yield

    def _append(self, topic: TopicId, batch: Batch) -> dict[int, Counts]:
        counts = {s.partition: Counts(appended=len(s.accepted)) for s in batch.ranges}
        rejected = [r for s in batch.ranges for r in s.rejected]
        refusals = self._refusals(batch)
        for entry in batch.accepted if refusals else ():
            if refusal := refusals.get(entry.incoming.interaction.scope.tenant):
                counts[entry.record.partition].appended -= 1
                rejected.append(entry.rejected(*refusal))
        for n, outcome in self._not_appended(batch, refusals.keys()):
            entry = batch.accepted[n]
            counted = counts[entry.record.partition]
            counted.appended -= 1
            match outcome:
                case "duplicate":
                    counted.duplicates += 1
                case "forgotten":
                    counted.forgotten += 1
                case "conflict":
                    rejected.append(entry.rejected(Reason.CONFLICT, _conflict(entry)))
                case _:
                    assert_never(outcome)
        rejected.sort(key=lambda letter: (letter.record.partition, letter.record.offset))
        for letter in rejected:
            counts[letter.record.partition].set_aside += 1
        self._set_aside(topic, rejected)
        return counts

    def _refusals(self, batch: Batch) -> dict[str, tuple[Reason, str]]:
        """Why messages of some tenants become dead letters: a partition waits for no tenant."""
        if not batch.tenants:
            return {}
        asked: Call = ("ingest.not_admitted", {"tenants": batch.tenants})
        states = {r["tenant_id"]: r["state"] for r in self._connection.run([asked])[0]}
        limited = [tenant for tenant, state in states.items() if state == "limited"]
        return {
            tenant: (reason, f"{_NOT_SERVED[reason]}: {tenant!r}")
            for tenant, state in states.items()
            if state != "limited" and (reason := Reason(state))
        } | self._over_quota(limited)

    def _over_quota(self, tenants: Sequence[str]) -> dict[str, tuple[Reason, str]]:
        calls: list[Call] = []
        for tenant in tenants:
            calls += [self._binding.bind(tenant), ("ingest.over_quota", {"tenant": tenant})]
        said = [rows[0]["said"] for rows in self._connection.run(calls)[1::2]]
        found = zip(tenants, said, strict=True)
        return {tenant: (Reason.OVER_QUOTA, text) for tenant, text in found if text is not None}

    def _not_appended(self, batch: Batch, refused: Collection[str]) -> list[tuple[int, Outcome]]:
        """The numbers of those that were not appended, and the outcome of each."""
        known = self._append_staged(batch, [t for t in batch.tenants if t not in refused])
        hashes = {n: batch.accepted[n].incoming.content_hash for n in batch.again.values()} | known
        held = known | {
            n: hashes[first]
            for n, first in batch.again.items()
            if batch.accepted[n].incoming.interaction.scope.tenant not in refused
        }
        return [(n, judged(batch.accepted[n].incoming, held[n])) for n in sorted(held)]

    def _append_staged(self, batch: Batch, tenants: Iterable[str]) -> dict[int, bytes | None]:
        """The content that the log already had under the ids it did not append; None: forgotten."""
        if not batch.rows:
            return {}
        self._connection.run([("ingest.unstage", {}), ("ingest.stage", {})])
        with self._connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.write(batch.rows)
        calls: list[Call] = []
        for tenant in tenants:
            params = {"tenant": tenant, "session_ttl": self._session_ttl}
            calls += [
                self._binding.bind(tenant, name="scope.bind_batch"),
                ("ingest.append", params),
            ]
        rows = self._connection.run(calls)[1::2]
        return {row["nth"]: row["known_hash"] for of_tenant in rows for row in of_tenant}

    def sensitive(self, tenants: Sequence[str]) -> dict[str, SensitivePolicy]:
        """Returns what tenants want done with secrets and personal data."""
        calls: list[Call] = []
        for tenant in tenants:
            calls += [
                self._binding.bind(tenant, name="scope.bind_batch"),
                ("log.sensitive_policy", {"tenant": tenant}),
            ]
        with translated(), self._transaction():
            read = self._connection.run(calls)[1::2]
        return {
            tenant: SensitivePolicy.of(**rows[0]) if rows else KEEPS_ALL
            for tenant, rows in zip(tenants, read, strict=True)
        }

    def _set_aside(self, topic: TopicId, rejected: Sequence[Rejected]) -> None:
        by_tenant: dict[str | None, list[dict[str, Any]]] = {}
        for letter in rejected:
            by_tenant.setdefault(letter.whose.tenant, []).append(_letter_row(topic, letter))
        for tenant, rows in sorted(by_tenant.items(), key=lambda item: item[0] or ""):
            letters = [("ingest.set_aside", row) for row in rows]
            self._connection.run([self._binding.bind(tenant or ""), *letters])

    def _advance(
        self, topic: TopicId, ranges: Sequence[OffsetRange], counts: Mapping[int, Counts]
    ) -> set[int]:
        ordered = sorted(ranges, key=lambda s: s.partition)
        counted = [counts[s.partition] for s in ordered]
        params = {
            **topic.key,
            "partitions": [s.partition for s in ordered],
            "epochs": [s.epoch for s in ordered],
            "starts": [s.start for s in ordered],
            "ends": [s.end for s in ordered],
            "record_times": [s.newest for s in ordered],
            "appended": [c.appended for c in counted],
            "duplicates": [c.duplicates for c in counted],
            "forgotten": [c.forgotten for c in counted],
            "set_aside": [c.set_aside for c in counted],
        }
        (rows,) = self._connection.run([("ingest.advance", params)])
        return {row["partition"] for row in rows}


_NOT_SERVED = {
    Reason.UNLISTED_TENANT: "this store serves listed tenants only, and this one is not listed",
    Reason.SUSPENDED_TENANT: "the tenant is suspended",
}

_COPY = queries.statement("ingest.copy")

_BOUND_WAITING: Call = ("scope.bound_waiting", {"timeout": f"{LOCK_SECONDS}s"})


@contextmanager
def _rows_told_apart() -> Iterator[None]:
    """Separates errors of a row from errors of the server."""
    try:
        yield
    except _BAD_ROW as error:
        if isinstance(error, errors.UniqueViolation):
            raise
        raise RowRefused(_without_row(error)) from error


def _without_row(error: psycopg.Error) -> str:
    """The server's error without its text, which may quote the row."""
    about = error.diag
    names = (about.table_name, about.column_name, about.constraint_name)
    where = ".".join(name for name in names if name)
    return f"{type(error).__name__} ({error.sqlstate})" + (f" at {where}" if where else "")


def _places(rows: Iterable[DictRow]) -> dict[int, PartitionState]:
    return {row["partition"]: PartitionState(row["epoch"], row["next_offset"]) for row in rows}


def _refuse_lost(topic: TopicId, lost: set[int]) -> None:
    if lost:
        raise PositionLost(
            f"partitions {sorted(lost)!r} of topic {topic.name!r} were taken over by another"
            " process; nothing was committed"
        )


def _conflict(entry: Accepted) -> str:
    return f"interaction {entry.incoming.interaction.id!r} is in the log with other content"


def _letter_row(topic: TopicId, letter: Rejected) -> dict[str, Any]:
    record, whose = letter.record, letter.whose
    return {
        **topic.key,
        "partition": record.partition,
        "record_offset": record.offset,
        "reason": letter.reason.value,
        "detail": letter.detail,
        "key": record.key,
        "value": record.value,
        "headers": Jsonb(_kept_headers(record)),
        "tenant": whose.tenant,
        "user": whose.user,
        "session": whose.session,
        "id": whose.id,
        "record_time": record_time(record),
    }


def _kept_headers(record: Record) -> list[list[str | None]]:
    # jsonb holds no NUL; a header's value may be any bytes.
    return [
        [name.replace("\x00", "\ufffd"), None if value is None else b64encode(value).decode()]
        for name, value in record.headers
    ]
