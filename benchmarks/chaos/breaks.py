"""Deliberate faults in the product, one at a time: what the checks must be able to see.

Each replaces a statement or a method of the running process; the product has no switch for it.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from benchmarks.chaos.stopping import Point, stop_if_asked, stop_only_at
from memory.database import Database, Transaction, queries, translated
from memory.database.pipeline import Params, Rows
from memory.models import Scope

if TYPE_CHECKING:
    from consumers.ingest.assignment import Assignment
    from consumers.ingest.session import ConsumerSession
    from consumers.ingest.store import Batch, Counts, IngestStore, TopicId

NO_UNIQUE_IDS = """
ALTER TABLE memory.interactions
    DROP CONSTRAINT interactions_tenant_id_user_id_interaction_id_key
"""


@dataclass(frozen=True)
class Break:
    """A fault in the product.

    apply: breaks this process.
    seen_by: the check that must see it.
    fault: what has to happen to show it, as `benchmarks.chaos.faults` names it.
    resent: whether it takes messages that are sent twice.
    store: what breaks the store, if that has to be broken as well.
    """

    what: str
    apply: Callable[[], None]
    seen_by: str
    fault: str
    resent: bool = False
    store: str | None = None

    @property
    def bus(self) -> str:
        """The one that has to be there for the fault."""
        return "postgres" if self.fault.endswith("extraction") else "kafka"


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
    """Nothing asks whether a lease is still its own: no commit of memories, and no renewal.

    Both have to go: where the renewal alone asks, it ends the work of a process that comes back, as
    a rule before the commit.
    """
    replace_in("long_term.advance", "AND (%(lease)s::uuid IS NULL OR lease_token = %(lease)s)")
    replace_in("leases.renew", "AND lease_token = %(lease)s")


class _InHalves(Transaction):
    """Can be stopped before progress is written."""

    async def fetch_all(self, calls: Sequence[tuple[str, Params]]) -> list[Rows]:
        if any(name == "leases.advance" for name, _ in calls):
            stop_if_asked(Point.SEAM, {})
        return await super().fetch_all(calls)


def memories_before_progress() -> None:
    """Memories commit on their own, and the progress that goes with them after."""

    @asynccontextmanager
    async def transaction(self: Database, scope: Scope) -> AsyncIterator[Transaction]:
        bind = queries.statement("scope.bind").replace(", true)", ", false)")
        with translated():
            async with self._pool.connection() as connection:
                _, params = self._binding.bind(scope.tenant, scope.user)
                await connection.execute(bind, params)
                try:
                    yield _InHalves(connection)
                finally:
                    await connection.execute("RESET ALL")

    patch.object(Database, "transaction", transaction).start()
    stop_only_at(Point.SEAM)


def position_before_rows() -> None:
    """The position of a batch commits on its own, and its rows after."""
    from consumers.ingest import store

    def apply(self: "IngestStore", topic: "TopicId", batch: "Batch") -> "dict[int, Counts]":
        ranges = batch.ranges
        with translated():
            with self._transaction():
                self._advance(topic, ranges, {s.partition: store.Counts() for s in ranges})
            if batch.accepted:
                stop_if_asked(Point.SEAM, {})
            with self._transaction():
                return self._append(topic, batch)

    patch.object(store.IngestStore, "apply", apply).start()
    stop_only_at(Point.SEAM)


def broker_offsets() -> None:
    """Tells the broker how far it has read, before the rows commit, and reads on from there.

    Where Postgres has the partition is not compared, which would refuse the next batch.
    """
    import kafka

    from consumers.ingest import assignment, session

    replace_in("ingest.advance", "AND p.next_offset = t.start_offset")
    gather = session.ConsumerSession._gather

    def stand(self: "Assignment", partition: Any, epoch: int, _: int = 0) -> None:
        self.owned[partition] = assignment.OwnedPartition(partition, epoch, 0, 0)

    def gather_and_tell(self: "ConsumerSession") -> Any:
        parts = gather(self)
        if parts:
            self._consumer.commit()
        return parts

    def consumer(kind: Any, **options: Any) -> Any:
        return kind(**{**options, "auto_offset_reset": "earliest"})

    for method in ("_stand", "_wait"):
        patch.object(assignment.Assignment, method, stand).start()
    patch.object(session.ConsumerSession, "_gather", gather_and_tell).start()
    patch.object(session.ConsumerSession, "_tell_broker", lambda *_, **__: None).start()
    patch.object(kafka, "KafkaConsumer", partial(consumer, kafka.KafkaConsumer)).start()


def no_id_check() -> None:
    """An interaction is appended whether its id is known or not."""
    replace_in("ingest.append", "WHERE i.known_hash IS NULL AND NOT i.forgotten")


def no_fence() -> None:
    """As `no_id_check`, and neither epoch nor start of a batch are compared."""
    no_id_check()
    replace_in("ingest.advance", "AND p.epoch = t.epoch AND p.next_offset = t.start_offset")


ONCE, EXTRACTED_ONCE = "every_id_is_there_once", "each_interaction_is_extracted_once"

BREAKS: Mapping[str, Break] = {
    apply.__name__.replace("_", "-"): Break((apply.__doc__ or "").strip(), apply, *rest)
    for apply, *rest in (
        (no_lease_token, EXTRACTED_ONCE, "pause_within_extraction"),
        (memories_before_progress, EXTRACTED_ONCE, "kill_within_extraction"),
        (position_before_rows, ONCE, "kill_within_ingest"),
        (broker_offsets, ONCE, "kill_within_ingest"),
        (no_fence, ONCE, "pause_within_ingest", False, NO_UNIQUE_IDS),
        (no_id_check, ONCE, "kill_ingest", True, NO_UNIQUE_IDS),
    )
}
