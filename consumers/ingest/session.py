"""One membership in the consumer group, on one connection to Postgres."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from time import monotonic
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as theirs
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import OffsetAndMetadata

from consumers.ingest.assignment import Assignment, OwnedPartition
from consumers.ingest.committing import Committing
from consumers.ingest.identity import TopicGuard, identity
from consumers.ingest.options import IngestOptions
from consumers.ingest.reading import Reader
from consumers.ingest.records import Accepted, Reason, Record, record_time
from consumers.ingest.screening import Screening
from consumers.ingest.sending import Sender
from consumers.ingest.store import Batch, Counts, IngestStore, OffsetRange, RowRefused
from consumers.ingest.stream import OUT_OF_RANGE, out_of_range, recreated, refuse_recreated
from consumers.runtime import logs
from memory.bus.kafka_connection import client_options, described, translated
from memory.errors import BusRefused, ConcurrentWrite, ExperientialMemoryError, StoreUnavailable
from memory.settings import Settings

logger = logging.getLogger(__name__)

Applied = Callable[[Counts], None]
"""Called with the counts of a batch's records."""

MAX_RECORDS = 5_000
MIN_RECORDS = 100
MAX_BYTES = 16 * 1024 * 1024
"""The values in one batch; a single fetch may exceed it."""

FETCH_BYTES = 8 * 1024 * 1024
TARGET_SECONDS = 1.0
"""Batches get smaller if a commit takes longer than this."""

POLL_MS = 500
GATHER_SECONDS = 0.25
"""How long a batch collects records while more are there."""

STOP_SECONDS, LOOK_SECONDS = 5.0, 0.2
"""How long a session that stops waits for the batch in progress, and how often it looks."""

TELL_SECONDS = 1.0
ANSWER_MS = 10_000
APPLY_ATTEMPTS = 3

_MISUSE = (
    theirs.FencedInstanceIdError,
    theirs.InconsistentGroupProtocolError,
    theirs.InvalidGroupIdError,
    theirs.InvalidSessionTimeoutError,
    theirs.GroupMaxSizeReachedError,
    theirs.KafkaConfigurationError,
    theirs.UnsupportedCodecError,
)
"""Errors of how this process or its group is set up, which waiting does not cure."""


@dataclass(slots=True)
class PartitionRecords:
    """Records of one ownership of a partition, in the order of the log."""

    owned: OwnedPartition
    records: list[Record] = field(default_factory=list)


class Limit:
    """The size limit of a batch: lower while commits are slow, higher while they are quick."""

    def __init__(self) -> None:
        self.records = MAX_RECORDS // 4

    def learn(self, records: int, seconds: float) -> None:
        """Adjusts the limit after a commit."""
        if seconds > TARGET_SECONDS:
            self.records = max(MIN_RECORDS, self.records // 2)
        elif records >= self.records and seconds < TARGET_SECONDS / 2:
            self.records = min(MAX_RECORDS, self.records * 2)


class ConsumerSession:
    """A consumer, its assignment, and the connection on which its batches commit.

    While one batch is applied, the next is read. `applied` is called for each applied batch, once.
    """

    def __init__(
        self,
        consumer: Any,
        store: IngestStore,
        guard: TopicGuard,
        settings: Settings,
        options: IngestOptions,
        applied: Applied,
    ) -> None:
        topic = guard.topic
        self._consumer = consumer
        self._guard = guard
        self._store = store
        self._topic = topic
        self._settings = settings
        self._options = options
        self._reader = Reader(topic.name, options.mapping)
        self._screening = Screening()
        self._limit = Limit()
        self._told_at = monotonic()
        self._letters = Sender(settings, topic, guard.knows)
        self._applied = applied
        self._under_way: Committing | None = None
        self._give_up_at = inf
        self._gave_up = False
        self._assignment = Assignment(consumer, store, topic, options.owner, self._quiet)
        consumer.subscribe([topic.name], listener=self._assignment)

    @property
    def failed(self) -> bool:
        """Whether an assignment failed: this session has no valid position, and ends."""
        return self._assignment.failure is not None

    @property
    def partitions(self) -> list[int]:
        """The partitions of this process, in order."""
        return sorted(p.partition for p in self._assignment.owned)

    def behind(self) -> int:
        """How many messages wait in them, as the brokers said with the last records they sent."""
        ends = {owned: self._consumer.highwater(p) for p, owned in self._assignment.owned.items()}
        return sum(max(0, end - owned.applied) for owned, end in ends.items() if end is not None)

    def step(self) -> bool:
        """Reads and starts the next batch; returns whether the previous one is applied now.

        It returns False if there was none before, so that only the batch read here is in progress.

        Raises:
            PositionLost: another process took over a partition.
            StoreUnavailable, ConcurrentWrite, BusUnavailable: retriable.
            BrokenStream: the topic does not continue at the log's position.
            BusRefused: the brokers do not let this process continue as it is set up.
        """
        with self._kafka():
            parts = self._gather()
            moved = self._moved()
            check = self._guard.ask(moved)
        ranges = [
            self._stretch(self._assignment.owned[p], parts.get(p), end) for p, end in moved.items()
        ]
        batch = Batch.of(ranges)
        if ranges:
            with self._kafka():
                check.confirm()
        counts = self._settled()
        if counts:
            self._tell_broker()
        self._letters.send(
            self._store,
            [p.partition for p in self._assignment.owned],
            new=counts is not None and counts.set_aside > 0,
        )
        if ranges:
            self._begin(batch)
        return counts is not None

    def _begin(self, batch: Batch) -> None:
        """Starts applying a batch while the next one is read."""
        ends = {}
        for range_ in batch.ranges:
            owned = self._assignment.owned[TopicPartition(self._topic.name, range_.partition)]
            owned.next_offset = ends[owned] = range_.end
        self._under_way = Committing(partial(self._apply, batch), ends)

    def _settled(self) -> Counts | None:
        """The counts of the batch in progress, once it is over; None if there is none.

        If it failed, records that were read after it must be read again: the session ends, or
        continues from the log's position (`reconnect`).
        """
        self._quiet()
        under_way, self._under_way = self._under_way, None
        if under_way is None:
            return None
        if self._gave_up:
            raise StoreUnavailable("stopping: the store has not answered to the batch in progress")
        counts = under_way.result()
        self._applied(counts)
        return counts

    def _quiet(self) -> None:
        """Waits until the batch in progress has succeeded or failed, or is given up."""
        while self._under_way is not None and not self._under_way.wait(LOOK_SECONDS):
            if monotonic() > self._give_up_at:
                self._gave_up = True
                self._under_way.then(self._store.close)  # until then its thread has the connection
                return

    def _gather(self) -> dict[TopicPartition, PartitionRecords]:
        """Reads records up to the limits of a batch; waits only for the first of them."""
        parts: dict[TopicPartition, PartitionRecords] = {}
        records = size = 0
        enough = monotonic() + GATHER_SECONDS
        while records < self._limit.records and size < MAX_BYTES:
            wait = 0 if parts or self._under_way else POLL_MS
            found = self._consumer.poll(wait, max_records=self._limit.records - records)
            self._check()
            self._assignment.begin()
            # What was read under an ownership that ended is read again by the next one.
            parts = {p: part for p, part in parts.items() if self._owns(part)}
            for partition, new in found.items():
                part = parts.setdefault(
                    partition, PartitionRecords(self._assignment.owned[partition])
                )
                part.records += new
                records += len(new)
                size += sum(record.serialized_value_size for record in new)
            if not found or monotonic() > enough:
                break
        return parts

    def _moved(self) -> dict[TopicPartition, int]:
        """The end of what was read in each partition, if it is past what is applied."""
        ends = {p: self._consumer.position(p, ANSWER_MS) for p in self._assignment.owned}
        owned = self._assignment.owned
        return {p: e for p, e in ends.items() if e is not None and e > owned[p].next_offset}

    def _owns(self, part: PartitionRecords) -> bool:
        return self._assignment.owned.get(part.owned.partition) is part.owned

    def _check(self) -> None:
        if self._assignment.failure is not None:
            raise self._assignment.failure
        # What a topic of that name has come to since kafka-python last looked; `TopicGuard` asks.
        topic_id = self._consumer._cluster.topic_id(self._topic.name)  # noqa: SLF001
        if topic_id is not None and str(topic_id) != self._topic.topic_id:
            raise recreated(self._topic, f"it has another id, {topic_id}")

    def _stretch(
        self, owned: OwnedPartition, part: PartitionRecords | None, end: int
    ) -> OffsetRange:
        number = owned.partition.partition
        range_ = OffsetRange(number, owned.epoch, owned.next_offset, end)
        for record in part.records if part else ():
            read = self._reader.read(record)
            if isinstance(read, Accepted):
                range_.accepted.append(read)
            else:
                range_.rejected.append(read)
        if part and part.records:
            range_.newest = record_time(part.records[-1])
        return range_

    def _apply(self, batch: Batch) -> Counts:
        began = monotonic()
        batch = self._screening.screened(self._store, batch)
        try:
            counts = self._commit(batch)
        except RowRefused as error:
            return self._apply_in_parts(batch.ranges, error)
        self._limit.learn(counts.records, monotonic() - began)
        return counts

    def _apply_in_parts(self, ranges: Sequence[OffsetRange], error: RowRefused) -> Counts:
        """Commits the rows that the database takes, and sets aside the row that it refuses."""
        if sum(len(s.accepted) for s in ranges) == 1:
            (range_,) = (s for s in ranges if s.accepted)
            refused = range_.accepted.pop()
            tenant = refused.incoming.interaction.scope.tenant
            with logs.about(tenant=tenant, trace=logs.trace_id(refused.trace.parent)):
                logger.warning(
                    "the database refuses offset %d: %s",
                    refused.record.offset,
                    error,
                    extra={"event": "row_refused"},
                )
            range_.rejected.append(refused.rejected(Reason.REFUSED, str(error)))
            return self._commit(Batch.of(ranges))
        counts = Counts()
        for half in halves(ranges):
            counts.add(self._apply(Batch.of(half)))
        return counts

    def _commit(self, batch: Batch) -> Counts:
        total = Counts()
        for counts in self._committed(batch).values():
            total.add(counts)
        return total

    def _committed(self, batch: Batch) -> dict[int, Counts]:
        for attempt in range(APPLY_ATTEMPTS):
            try:
                return self._store.apply(self._topic, batch)
            except ConcurrentWrite:  # rolled back as a whole
                if attempt == APPLY_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def drained(self) -> bool:
        """Whether this process has partitions, and has applied everything in them."""
        owned = self._assignment.owned
        if not owned or self._under_way:
            return False
        with self._kafka():
            ends = self._consumer.end_offsets(list(owned), ANSWER_MS)
        return all(o.applied >= ends[p] for p, o in owned.items())

    def pause(self) -> None:
        """Stops reading, and stays in the group."""
        self._consumer.pause(*self._assignment.owned)

    def stay(self, seconds: float) -> None:
        """Tells the group that this process is alive; waits at most `seconds`."""
        with self._kafka():
            # Partitions that are assigned meanwhile are read again from where Postgres says.
            self._consumer.poll(int(1000 * min(seconds, POLL_MS / 1000)))
            self._check()

    def reconnect(self) -> None:
        """Continues on a new connection, from the log's position.

        Raises:
            StoreUnavailable: not yet.
            PositionLost: another process took over a partition meanwhile.
        """
        self._store.close()
        self._store = IngestStore.open(self._store.url, self._settings)
        self._assignment.stand_where_committed(self._store)
        self._consumer.resume(*self._assignment.owned)

    def close(self) -> None:
        """Leaves the group once the batch in progress is over.

        The next owner reads again what was read and not committed.
        """
        try:
            try:
                self._settled()
            except ExperientialMemoryError as error:
                logger.warning("the last batch will be read again: %s", error)
            self._letters.close()
            with suppress(theirs.KafkaError):
                self._tell_broker(at_last=True)
            _closed(self._consumer)
            self._guard.close()
        finally:
            if not self._gave_up:
                self._store.close()

    def stop(self) -> None:
        """Gives up the batch in progress if the store does not answer soon; it is read again."""
        self._give_up_at = monotonic() + STOP_SECONDS

    def _tell_broker(self, *, at_last: bool = False) -> None:
        """Commits offsets to the broker as well: only tools that show lag read them."""
        if not at_last and monotonic() - self._told_at < TELL_SECONDS:
            return
        self._told_at = monotonic()
        offsets = {
            partition: OffsetAndMetadata(owned.applied, "", -1)
            for partition, owned in self._assignment.owned.items()
        }
        if at_last and offsets:
            self._consumer.commit(offsets, timeout_ms=1000)
        elif offsets:
            self._consumer.commit_async(offsets)

    @contextmanager
    def _kafka(self) -> Iterator[None]:
        """Translates kafka-python's errors into ours."""
        try:
            with consuming(self._settings):
                yield
        except BaseException as error:
            if self._assignment.failure is not None and error is not self._assignment.failure:
                raise self._assignment.failure from error
            cause = error.__cause__
            if isinstance(cause, theirs.KafkaError):
                self._go_on_after(cause)
            raise

    def _go_on_after(self, error: theirs.KafkaError) -> None:
        """Raises the broken stream behind an error, if any; moves on first if loss is accepted."""
        if not isinstance(error, OUT_OF_RANGE):
            return
        self._quiet()
        owned = self._assignment.owned
        with consuming(self._settings):
            self._guard.ask(owned).confirm()
            broken, moves = out_of_range(self._consumer, self._topic, owned, error)
        if not self._options.accept_loss:
            raise broken from error
        logger.warning("%s; accepted", broken)
        self._commit(Batch.of(moves))


def open_session(
    settings: Settings, url: str, options: IngestOptions, applied: Applied = lambda _: None
) -> ConsumerSession:
    """Joins the group.

    Raises:
        StoreUnavailable, BusUnavailable: retriable.
        UnknownTopic, BusRefused: the brokers have no such topic, or refuse.
        TopicRecreated: the positions are of an earlier topic of this name.
    """
    with ExitStack() as opened:
        store = opened.enter_context(IngestStore.open(url, settings))
        with consuming(settings):
            consumer = _consumer(settings, options, options.group or store.group())
            opened.callback(_closed, consumer)
            topic = identity(consumer, settings)
            guard = TopicGuard(consumer, topic, settings)
            opened.callback(guard.close)
        refuse_recreated(store, topic, accept=options.accept_loss)
        session = ConsumerSession(consumer, store, guard, settings, options, applied)
        opened.pop_all()  # the session's own from here on
        return session


def _closed(consumer: Any) -> None:
    with suppress(theirs.KafkaError):
        consumer.close(timeout_ms=ANSWER_MS)


@contextmanager
def consuming(settings: Settings) -> Iterator[None]:
    """Translates errors as `translated`, but reports a wrong group setup as BusRefused."""
    with translated(settings):
        try:
            yield
        except _MISUSE as error:
            where = described(settings)
            raise BusRefused(f"{where}: {type(error).__name__}: {error}") from error


def halves(ranges: Sequence[OffsetRange]) -> tuple[list[OffsetRange], list[OffsetRange]]:
    """Splits the ranges into two parts with half of the interactions each."""
    left = sum(len(s.accepted) for s in ranges) // 2
    first: list[OffsetRange] = []
    second: list[OffsetRange] = []
    for range_ in ranges:
        if len(range_.accepted) <= left:
            first.append(range_)
        elif not left:
            second.append(range_)
        else:
            before, after = _cut(range_, left)
            first.append(before)
            second.append(after)
        left = max(0, left - len(range_.accepted))
    return first, second


def _cut(range_: OffsetRange, accepted: int) -> tuple[OffsetRange, OffsetRange]:
    at = range_.accepted[accepted].record.offset
    before = OffsetRange(
        range_.partition,
        range_.epoch,
        range_.start,
        at,
        range_.accepted[:accepted],
        [r for r in range_.rejected if r.record.offset < at],
        record_time(range_.accepted[accepted - 1].record),
    )
    after = OffsetRange(
        range_.partition,
        range_.epoch,
        at,
        range_.end,
        range_.accepted[accepted:],
        [r for r in range_.rejected if r.record.offset >= at],
        range_.newest,
    )
    return before, after


def _consumer(settings: Settings, options: IngestOptions, group: str) -> Any:
    """A consumer that neither commits nor chooses where to read: Postgres decides both."""
    return KafkaConsumer(
        **{
            "metadata_max_age_ms": 30_000,  # how long a topic made again goes unnoticed while idle
            **client_options(settings),
        },
        group_id=group,
        group_instance_id=options.instance_id,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        allow_auto_create_topics=False,
        partition_assignment_strategy=[CooperativeStickyAssignor],
        fetch_max_bytes=FETCH_BYTES,
        session_timeout_ms=10_000,
        bootstrap_timeout_ms=ANSWER_MS,
        metrics_enabled=False,
    )
