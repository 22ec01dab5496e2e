"""Dates in what is remembered: written out beside the words that only their moment explains."""

from collections.abc import Sequence
from datetime import timedelta

from extractors.reading.dates import Grain, Mention


def with_dates(text: str, mentions: Sequence[Mention]) -> str:
    """`text` with the date behind each time that only the moment it was said explains."""
    for mention in reversed(mentions):
        if mention.relative and mention.grain is not Grain.SPAN:
            text = f"{text[: mention.end]} ({mention}){text[mention.end :]}"
    return text


def when_payload(mentions: Sequence[Mention]) -> dict[str, object]:
    """The first and last day of the first time that is named, as a memory's payload holds it."""
    if not mentions:
        return {}
    first, last = mentions[0].begins.date(), mentions[0].ends.date() - timedelta(days=1)
    return {"when": {"from": first.isoformat(), "to": last.isoformat()}}
