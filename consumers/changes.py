"""Publishes the changes of memories, in the order of each user, at least once.

The database's triggers store every change in the transaction that makes it. A publisher sends the
waiting changes and deletes them once they are acknowledged. One publishes at a time, under a lease.
A publisher that takes over sends again what the first had not deleted, so a change may arrive
twice, with the same `seq`.
"""

import json
import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby
from time import monotonic
from typing import IO, TYPE_CHECKING, Any, Protocol
from uuid import UUID, uuid4

import anyio
from anyio import to_thread
from psycopg.rows import DictRow

from consumers.runtime import wakeups
from consumers.runtime.health import Health
from consumers.runtime.task_groups import beside
from consumers.runtime.tenants import NOBODY, tenants, users
from memory.backoff import backoff
from memory.bus.kafka import DELIVERY_SECONDS
from memory.bus.topics import changes as changes_topic
from memory.bus.topics import key_of
from memory.database import Database
from memory.errors import ConfigurationError, ExperientialMemoryError, StoreUnavailable
from memory.models import Scope
from memory.optional import extra
from memory.settings import Settings

if TYPE_CHECKING:
    from memory.bus.kafka_producer import Producer

logger = logging.getLogger(__name__)

SCHEMA = 1
"""The version of a change as JSON; docs/changes.md describes it."""

USERS_AT_ONCE = 200
CHANGES_OF_A_USER = 100
"""Changes of a user that are sent and deleted together; a user with more has another turn later."""

LEASE_SECONDS = 30.0
"""How long a publisher that crashed keeps others from publishing."""

FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0
"""Seconds between two tries while the store or the brokers are in trouble, doubling."""


REPORT_SECONDS = 60.0
"""Seconds between two log lines of normal work."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change, as it is published."""

    scope: Scope
    seq: int
    value: bytes
    headers: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def key(self) -> bytes:
        """The key of the user's messages; they share a partition."""
        return key_of(self.scope)


@dataclass(slots=True)
class Published:
    """The result of a run: changes sent, and the number of batches."""

    changes: int = 0
    batches: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class StreamState:
    """Whether changes are stored and published, and how many wait.

    enabled: changes are stored.
    published: a publisher is running, or was until half a minute ago.
    lag_seconds: how long the oldest change has waited.
    """

    enabled: bool
    published: bool
    users: int
    waiting: int
    lag_seconds: float


class Sink(Protocol):
    """A destination of changes."""

    async def send(self, changes: Sequence[Change]) -> None:
        """Returns once all changes are durable there, each user's in the order given.

        Raises:
            BusUnavailable: some may be there; they are sent again.
        """
        ...

    async def aclose(self) -> None:
        """Closes what it holds open."""
        ...


class LineSink:
    """Writes one JSON document per line to an open file; syncs a disk file for each batch."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    async def send(self, changes: Sequence[Change]) -> None:
        await to_thread.run_sync(self._write, b"".join(c.value + b"\n" for c in changes))

    def _write(self, lines: bytes) -> None:
        self._file.write(lines)
        self._file.flush()
        if self._file.seekable():
            os.fsync(self._file.fileno())

    async def aclose(self) -> None:
        """Does nothing: the file belongs to the caller."""


class KafkaSink:
    """Writes to the topic of changes with an idempotent producer; every replica acknowledges."""

    def __init__(self, settings: Settings) -> None:
        """Connects with the first change, not before.

        Raises:
            ConfigurationError: no brokers are configured.
        """
        if not settings.kafka_servers:
            raise ConfigurationError(
                "MEMORY_KAFKA_SERVERS names no brokers; to publish elsewhere give --to a file, or -"
            )
        topic = changes_topic(settings.kafka_topic)
        self._settings = settings.model_copy(update={"kafka_topic": topic})
        self._producer: Producer | None = None

    async def send(self, changes: Sequence[Change]) -> None:
        await to_thread.run_sync(self._deliver, changes)

    def _deliver(self, changes: Sequence[Change]) -> None:
        if self._producer is None or self._producer.ended:
            with extra("kafka"):
                from memory.bus.kafka_producer import Producer
            self._producer = Producer(self._settings, DELIVERY_SECONDS)
        self._producer.deliver(changes, monotonic() + DELIVERY_SECONDS)

    async def aclose(self) -> None:
        if self._producer is not None:
            await to_thread.run_sync(self._producer.end, DELIVERY_SECONDS)


class Publisher:
    """Sends waiting changes to a sink, while no other publisher does."""

    def __init__(self, database: Database, sink: Sink) -> None:
        self._database = database
        self._sink = sink
        self._token: UUID = uuid4()
        self.done = Published()
        self.health = Health("changes publish")

    async def drain(self) -> Published:
        """Publishes until no changes wait; does nothing if another publisher is running.

        Raises:
            StoreUnavailable, BusUnavailable: changes that were sent and not deleted are sent again.
        """
        async with self._leading():
            while await self._batch():
                pass
        return self.done

    async def follow(self) -> None:
        """Publishes for ever; waits while the store or the brokers are away."""
        async with (
            wakeups.listening(self._database, "changes.listen") as heard,
            beside(self._report),
            self._leading(),
        ):
            trouble, woken = 0, False
            while True:
                self.health.beat()
                expected = heard.expected()
                try:
                    while await self._batch():
                        self.health.beat()
                        trouble = 0
                except ExperientialMemoryError as error:
                    if not error.retriable:
                        raise
                    logger.warning(
                        "publishing waits: %s", error, extra={"event": "publishing_waits"}
                    )
                    server = "store" if isinstance(error, StoreUnavailable) else "brokers"
                    self.health.waits(server, error)
                    await anyio.sleep(backoff(trouble, first=FIRST_WAIT, longest=LONGEST_WAIT))
                    trouble += 1
                    continue
                self.health.works()
                # Also to keep the lease, or to notice that its holder has gone.
                longest = wakeups.SETTLE_SECONDS if woken else LEASE_SECONDS / 3
                woken = await wakeups.sleep(expected, longest)

    async def _report(self) -> None:
        """Logs once a minute what was published since."""
        before = self.done.changes
        while True:
            await anyio.sleep(REPORT_SECONDS)
            figures = {"changes": self.done.changes - before}
            before = self.done.changes
            logger.info(
                "published %(changes)d changes",
                figures,
                extra={"event": "publishing", "figures": figures},
            )

    @asynccontextmanager
    async def _leading(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            # Where the store is away, the lease runs out by itself.
            with anyio.move_on_after(5.0, shield=True), suppress(StoreUnavailable):
                await self._database.fetch_system("changes.step_down", {"token": self._token})

    async def _batch(self) -> bool:
        """Publishes one batch; returns whether there may be more."""
        lease = {"token": self._token, "lease": LEASE_SECONDS}
        if not await self._database.fetch_system("changes.lead", lease):
            return False
        limit = {"limit": USERS_AT_ONCE}
        waiting = await self._database.fetch_system("changes.waiting", limit)
        waiting.sort(key=lambda row: row["tenant_id"])
        for tenant, rows in groupby(waiting, key=lambda row: str(row["tenant_id"])):
            await self._publish(Scope(tenant, NOBODY), [row["user_id"] for row in rows])
        return bool(waiting)

    async def _publish(self, tenant: Scope, of_users: Sequence[str]) -> None:
        params = {"users": of_users, "limit": CHANGES_OF_A_USER}
        found = [change_of(r) for r in await self._database.fetch(tenant, "changes.read", params)]
        if not found:  # another publisher was quicker
            return
        await self._sink.send(found)
        last = {change.scope.user: change.seq for change in found}
        up_to = {"token": self._token, "users": list(last), "seqs": list(last.values())}
        await self._database.fetch(tenant, "changes.published", up_to)
        self.done.changes += len(found)
        self.done.batches += 1


def change_of(row: DictRow) -> Change:
    """Makes a change of one row of `changes`."""
    told: dict[str, Any] = {
        "schema": SCHEMA,
        "tenant": row["tenant_id"],
        "user": row["user_id"],
        "seq": row["seq"],
        "change": row["change"],
        "at": row["changed_at"].isoformat(),
        "generation": row["generation"],
        "memory_id": row["memory_id"],
        "successor": row["successor"],
        "memory": row["memory"],
    }
    value = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    return Change(Scope(row["tenant_id"], row["user_id"]), row["seq"], value)


async def stream_state(database: Database) -> StreamState:
    """Reads the state of the stream, over every tenant."""
    (row,) = await database.fetch_system("changes.state")
    return StreamState(
        enabled=row["enabled_at"] is not None,
        published=bool(row["published"]),
        users=row["users"],
        waiting=row["waiting"],
        lag_seconds=round(row["oldest_seconds"], 3),
    )


async def snapshot(database: Database, tenant: str | None = None) -> int:
    """Adds all current beliefs to the stream, for a new listener; returns the number of users.

    Each user's part begins with a `reset`: what follows is everything. It adds nothing if changes
    are not stored.
    """
    told = 0
    async for name in tenants(database, tenant):
        async for scope in users(database, name):
            await tell(database, scope)
            told += 1
    return told


async def tell(database: Database, scope: Scope) -> None:
    """Adds the current beliefs of one user to the stream, as `snapshot` does for all."""
    keys = {"tenant": scope.tenant, "user": scope.user}
    async with database.transaction(scope) as transaction:
        await transaction.fetch("changes.hold", keys)
        await transaction.fetch("changes.snapshot", keys)


async def drop(database: Database) -> None:
    """Deletes all waiting changes without publishing them."""
    async for tenant in tenants(database):
        await database.fetch(Scope(tenant, NOBODY), "changes.drop")
