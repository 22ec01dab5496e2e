"""Explains why a topic does not continue at the log's position, and how to continue anyway."""

import logging
from collections.abc import Mapping
from typing import Any

from kafka import TopicPartition
from kafka import errors as theirs

from consumers.ingest.assignment import OwnedPartition
from consumers.ingest.store import IngestStore, OffsetRange, TopicId
from memory.errors import BrokenStream, LogTruncated, RetentionGap, TopicRecreated

logger = logging.getLogger(__name__)

OUT_OF_RANGE = (theirs.OffsetOutOfRangeError, theirs.LogTruncationError)
"""kafka-python's errors for a partition that has nothing at the requested offset."""

ADVICE = "to go on without them run once: memory ingest --accept-loss"


def refuse_recreated(store: IngestStore, topic: TopicId, *, accept: bool) -> None:
    """Refuses a recreated topic or, if accepted, forgets the positions of the earlier one.

    Raises:
        TopicRecreated: there was an earlier topic of this name, and that was not accepted.
    """
    earlier = store.fetch("ingest.earlier_topics", topic.key)
    if not earlier:
        return
    read = sum(row["records"] or 0 for row in earlier)
    said = recreated(topic, f"positions of the earlier one had come to {read:,} records")
    if not accept:
        raise said
    store.fetch("ingest.drop_earlier_topics", topic.key)
    logger.warning("%s; accepted", said)


def recreated(topic: TopicId, what: str) -> TopicRecreated:
    """Returns the error for a name that now belongs to another topic."""
    return TopicRecreated(
        f"topic {topic.name!r} was deleted and made again: {what}. What was in the earlier one and"
        f" not applied is lost; {ADVICE}"
    )


def out_of_range(
    consumer: Any,
    topic: TopicId,
    owned: Mapping[TopicPartition, OwnedPartition],
    error: theirs.KafkaError,
) -> tuple[BrokenStream, list[OffsetRange]]:
    """Returns the error for the partitions that `error` is about, and the moves that would go on.

    `error` is one of OUT_OF_RANGE.
    """
    if isinstance(error, theirs.LogTruncationError):
        stood = {p: owned[p].next_offset for p in error.divergent_offsets if p in owned}
    else:
        stood = {p: offset for p, offset in error.args[0].items() if p in owned}
    begins, ends = consumer.beginning_offsets(list(stood)), consumer.end_offsets(list(stood))
    moves, gaps, cuts = [], [], []
    for partition, offset in sorted(stood.items()):
        number, epoch = partition.partition, owned[partition].epoch
        begin, end = begins[partition], ends[partition]
        if offset < begin:
            gaps.append(f"{number} begins at {begin} and was read up to {offset}")
        else:
            cuts.append(f"{number} ends at {end} and was read up to {offset}")
        moves.append(
            OffsetRange(number, epoch, offset, begin if offset < begin else min(offset, end))
        )
    if cuts:
        return _truncated(topic, cuts), moves
    lost = sum(move.end - move.start for move in moves)
    return _gap(topic, gaps, lost), moves


def _gap(topic: TopicId, gaps: list[str], lost: int) -> RetentionGap:
    return RetentionGap(
        f"topic {topic.name!r}: partition {'; '.join(gaps)}: up to {lost:,} records were deleted"
        f" before they were applied. Give the topic a longer retention; {ADVICE}"
    )


def _truncated(topic: TopicId, cuts: list[str]) -> LogTruncated:
    return LogTruncated(
        f"topic {topic.name!r}: partition {'; '.join(cuts)}: the brokers lost records that they had"
        f" acknowledged, such as by an unclean leader election; {ADVICE}"
    )
