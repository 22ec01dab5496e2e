"""Deliberate faults in the product, one at a time: what the checks must be able to see.

Each replaces a statement or a method of the running process; the product has no switch for it.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import anyio

from memory import queries
from memory.database import Database, Transaction, translated
from memory.models import Scope
from memory.wire import Params, Rows

if TYPE_CHECKING:
    from consumers.ingest.assignment import Assignment
    from consumers.ingest.store import Counts, Store, Stretch, Topic

BETWEEN_SECONDS = 0.05
"""Between two halves of what should be one commit, so that a fault finds its way in."""

NO_UNIQUE_IDS = """
ALTER TABLE memory.interactions
    DROP CONSTRAINT interactions_tenant_id_user_id_interaction_id_key
"""


@dataclass(frozen=True)
class Break:
    """A fault in the product.

    apply: breaks this process.
    store: what breaks the store, if that has to be broken as well.
    seen_by: the check that must see it.
    """

    what: str
    apply: Callable[[], None]
    seen_by: str
    store: str | None = None


def replace_in(name: str, old: str, new: str = "") -> None:
    """Replaces part of a named statement.

    Raises:
        ValueError: the statement does not hold `old` exactly once, so nothing would be broken.
    """
    text = queries.statement(name)
    if text.count(old) != 1:
        raise ValueError(f"{name!r} holds {old!r} {text.count(old)} times, not once")
    broken = dict(queries.load()) | {name: text.replace(old, new)}
    patch.object(queries, "load", lambda: broken).start()


def no_lease_token() -> None:
    """Neither a commit of memories nor its renewal asks whether the lease is still its own."""
    replace_in("long_term.advance", "AND (%(lease)s::uuid IS NULL OR lease_token = %(lease)s)")
    replace_in("claims.renew", "AND lease_token = %(lease)s")


class _Slow(Transaction):
    """Takes its time before progress is written."""

    async def fetch_all(self, calls: Sequence[tuple[str, Params]]) -> list[Rows]:
        if any(name == "claims.advance" for name, _ in calls):
            await anyio.sleep(BETWEEN_SECONDS)
        return await super().fetch_all(calls)


def memories_before_progress() -> None:
    """Memories commit on their own, and the progress that goes with them after."""

    @asynccontextmanager
    async def transaction(self: Database, scope: Scope) -> AsyncIterator[Transaction]:
        bind = "SELECT set_config('memory.tenant_id', %s, false), "
        bind += "set_config('memory.user_id', %s, false)"
        with translated():
            async with self._pool.connection() as connection:
                await connection.execute(bind.encode(), (scope.tenant, scope.user))
                try:
                    yield _Slow(connection)
                finally:
                    await connection.execute(bind.encode(), ("", ""))

    patch.object(Database, "transaction", transaction).start()


def position_before_rows() -> None:
    """The position of a batch commits on its own, and its rows after."""
    from consumers.ingest import store

    def apply(self: "Store", topic: "Topic", stretches: "Sequence[Stretch]") -> "dict[int, Counts]":
        with translated():
            with self._connection.transaction():
                self._advance(topic, stretches, {s.partition: store.Counts() for s in stretches})
            time.sleep(BETWEEN_SECONDS)
            with self._connection.transaction():
                return self._append(topic, stretches)

    patch.object(store.Store, "apply", apply).start()


def broker_offsets() -> None:
    """Reads on from where the broker says, and leaves it to kafka-python to tell the broker."""
    import kafka

    from consumers.ingest import assignment

    replace_in("ingest.advance", "AND p.next_offset = t.start_offset")

    def stand(self: "Assignment", partition: Any, epoch: int, _: int) -> None:
        self.owned[partition] = assignment.Owned(partition, epoch, 0)

    def consumer(kind: Any, **options: Any) -> Any:
        own = {"enable_auto_commit": True, "auto_commit_interval_ms": 50}
        return kind(**{**options, **own, "auto_offset_reset": "earliest"})

    patch.object(assignment.Assignment, "_stand", stand).start()
    patch.object(kafka, "KafkaConsumer", partial(consumer, kafka.KafkaConsumer)).start()


def no_id_check() -> None:
    """An interaction is appended whether its id is known or not."""
    from consumers.ingest import store

    replace_in("ingest.append", "WHERE i.known_hash IS NULL AND NOT i.forgotten")
    broken = {"append": queries.statement("ingest.append")}
    patch.dict(store._STATEMENTS, broken).start()


def no_fence() -> None:
    """As `no_id_check`, and neither epoch nor start of a batch are compared."""
    no_id_check()
    replace_in("ingest.advance", "AND p.epoch = t.epoch AND p.next_offset = t.start_offset")


BREAKS: Mapping[str, Break] = {
    name.replace("_", "-"): Break((apply.__doc__ or "").strip(), apply, seen_by, store)
    for name, apply, seen_by, store in (
        ("no_lease_token", no_lease_token, "each_interaction_is_extracted_once", None),
        (
            "memories_before_progress",
            memories_before_progress,
            "each_interaction_is_extracted_once",
            None,
        ),
        ("position_before_rows", position_before_rows, "every_id_is_there_once", None),
        ("broker_offsets", broker_offsets, "every_id_is_there_once", None),
        ("no_fence", no_fence, "every_id_is_there_once", NO_UNIQUE_IDS),
        ("no_id_check", no_id_check, "every_id_is_there_once", NO_UNIQUE_IDS),
    )
}
