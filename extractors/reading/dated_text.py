"""Writes out dates in memories, beside words that only the moment of speaking explains."""

from collections.abc import Sequence
from datetime import timedelta

from extractors.reading.dates import Grain, Mention


def with_dates(text: str, mentions: Sequence[Mention]) -> str:
    """Returns `text` with the date after each time that only the moment of speaking explains."""
    parts, done = [], 0
    for mention in mentions:
        if mention.relative and mention.grain is not Grain.SPAN:
            parts += [text[done : mention.end], f" ({mention})"]
            done = mention.end
    return "".join([*parts, text[done:]])


def when_payload(mentions: Sequence[Mention]) -> dict[str, object]:
    """Returns the first and last day of the first named time, as a memory's payload holds it."""
    if not mentions:
        return {}
    first, last = mentions[0].begins.date(), mentions[0].ends.date() - timedelta(days=1)
    return {"when": {"from": first.isoformat(), "to": last.isoformat()}}
