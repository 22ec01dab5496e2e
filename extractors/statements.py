"""Extracts facts, preferences, plans and standing instructions that people state about themselves.

It needs no model: English patterns (`reading.english`) that would rather miss a statement than
invent one. Each candidate quotes the clause it rests on; dates count from the moment it was said.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from extractors.protocol import LogSlice, Reading
from extractors.reading.dated_text import when_payload, with_dates
from extractors.reading.dates import (
    Leaning,
    Mention,
    lasting_since,
    resolve,
)
from extractors.reading.english.claims import (
    YES,
    Aspect,
    Claim,
    Found,
)
from extractors.reading.english.messages import read
from memory.language.text import beginning
from memory.models import (
    Candidate,
    Evidence,
    Interaction,
    InteractionKind,
    MemoryKind,
    Role,
)
from memory.settings import Settings


@dataclass(frozen=True, slots=True)
class Statements:
    """Reads people's own words; an assistant's words and pasted text are nobody's statement."""

    name: str = "statements"
    version: str = "2"
    reading: Reading = Reading.SESSION
    reads: frozenset[InteractionKind] = frozenset({InteractionKind.MESSAGE})
    makes: frozenset[MemoryKind] = frozenset({MemoryKind.FACT, MemoryKind.PREFERENCE})

    async def extract(self, log: LogSlice) -> list[Candidate]:
        """Returns the candidates of each message by itself, in the order of the log."""
        return [c for interaction in log.interactions for c in stated(interaction)]


def create(settings: Settings) -> Statements:
    """Creates the extractor for the entry point; it needs no setting."""
    del settings
    return Statements()


def stated(interaction: Interaction) -> Iterator[Candidate]:
    """Yields the statements of one message; none unless a person said it.

    It reads the first `MAX_READ_CHARACTERS`, up to the last sentence that ends there.
    """
    if interaction.kind is not InteractionKind.MESSAGE or interaction.role is not Role.USER:
        return
    for found in read(beginning(interaction.content), interaction.actor):
        yield _candidate(found, interaction)


def _candidate(found: Found, interaction: Interaction) -> Candidate:
    claim, said_at = found.claim, interaction.wall_clock
    leaning = _leaning(claim)
    mentions = _own_times(claim, resolve(claim.times or claim.text, said_at, leaning))
    quote = interaction.content[found.start : found.end]
    stance = claim.stance
    at = interaction.occurred_at
    evidence = Evidence(interaction.id, quote, found.start, found.end, at, stance)
    return Candidate(
        kind=claim.kind,
        text=with_dates(claim.text, resolve(claim.text, said_at, leaning)),
        evidence=(evidence,),
        occurred_at=at,
        attribute=claim.attribute,
        value=_value(claim, mentions, said_at),
        subject=interaction.actor,
        context=claim.context,
        single_valued=claim.single_valued,
        stance=stance,
        confidence=claim.confidence,
        importance=claim.importance,
        valid_from=_valid_from(claim, mentions, said_at),
        search_text=" ".join(str(m) for m in mentions),
        payload=when_payload(mentions),
    )


def _own_times(claim: Claim, mentions: list[Mention]) -> list[Mention]:
    """The times of the claim itself, without times in its object ("the 8 May workshop")."""
    if claim.aspect is not Aspect.EVENT:
        return mentions
    text = claim.times or claim.text
    return [m for m in mentions if m.relative or not _of_something(text, m.start)]


def _of_something(text: str, at: int) -> bool:
    return bool(_OF_SOMETHING.search(text, max(0, at - _OF_SOMETHING_REACH), at))


_OF_SOMETHING_REACH = 100  # characters


_OF_SOMETHING = re.compile(
    r"\b(?:an?|the|my|our|their|\w+'s)\s\Z|\b(?:about|that|who|dated|following|after)\s.{0,60}\Z",
    re.IGNORECASE,
)


def _leaning(claim: Claim) -> Leaning:
    if claim.aspect is Aspect.PLAN:
        return Leaning.FUTURE
    return Leaning.PAST if claim.aspect is Aspect.EVENT else Leaning.NEAREST


def _value(claim: Claim, mentions: list[Mention], said_at: datetime) -> str | None:
    named = mentions[0] if mentions else None
    if claim.value_is_date:
        return named.begins.date().isoformat() if named else None
    happened = claim.aspect is Aspect.EVENT and not claim.single_valued and claim.value == YES
    if happened and named and named.begins <= said_at:
        return named.begins.date().isoformat()  # on another day it is another event
    return claim.value or None


def _valid_from(claim: Claim, mentions: list[Mention], said_at: datetime) -> datetime | None:
    """When the claim began to hold, if its words say so; None means when it was said."""
    if claim.value_is_date:
        return None
    if claim.aspect is Aspect.STATE:
        since = next((m for m in mentions if _since(claim.text, m)), None)
        began = since.begins if since else lasting_since(claim.text, said_at)
        return began if began and began <= said_at else None
    if not mentions or _BY.search(claim.text, 0, mentions[0].start):
        return None
    mention = mentions[0]
    if claim.aspect is Aspect.PLAN:
        return mention.begins if mention.begins > said_at else None
    return mention.begins if mention.ends <= said_at else None


def _since(text: str, mention: Mention) -> bool:
    return bool(_SINCE.search(text, max(0, mention.start - 12), mention.start + 6))


_SINCE = re.compile(r"\b(?:since|from)\b", re.IGNORECASE)
_BY = re.compile(r"\b(?:by|until|till|before)\s+(?:the\s+)?(?:end\s+of\s+)?\Z", re.IGNORECASE)
