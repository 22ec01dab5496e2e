"""Extracts facts, preferences, plans and standing instructions that people state about themselves.

It needs no model: English patterns (`reading.english`) that would rather miss a statement than
invent one. Each candidate quotes the clause it rests on; dates count from the moment it was said.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from extractors.protocol import LOOK_BACK, LogSlice, Reading, ending
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
from extractors.reading.english.frames import begins_play, ends_play
from extractors.reading.english.later import (
    Corrected,
    Known,
    alike,
    corrected,
    ended_by,
    takes_back,
    to_forget,
    withdrawn,
)
from extractors.reading.english.messages import read_sentences
from extractors.reading.english.own_words import Sentence
from extractors.reading.english.remarks import REMARK
from memory.language.text import beginning
from memory.models import (
    Candidate,
    Evidence,
    Interaction,
    InteractionKind,
    Memory,
    MemoryKind,
    Role,
    Stance,
)
from memory.settings import Settings

MOST_KNOWN = 2_000
"""How many of the newest memories later words are compared with."""


PLAYED = LOOK_BACK
"""Interactions for which a role play goes on after it was set up, if nothing ends it."""


@dataclass(frozen=True, slots=True)
class Statements:
    """Reads people's own words; an assistant's words and pasted text are nobody's statement."""

    name: str = "statements"
    version: str = "2"
    reading: Reading = Reading.KNOWING
    reads: frozenset[InteractionKind] = frozenset({InteractionKind.MESSAGE})
    makes: frozenset[MemoryKind] = frozenset({MemoryKind.FACT, MemoryKind.PREFERENCE})
    most_believed: int = MOST_KNOWN

    async def extract(self, log: LogSlice) -> list[Candidate]:
        """Returns the candidates of each message, in the order of the log.

        Later words are compared with what is believed and with what was said before in the slice.
        """
        spoken = {interaction.occurred_at for interaction in log.before}
        held = [
            _known(memory, log.scope.session if memory.occurred_at in spoken else None)
            for memory in log.believed
            if memory.attribute
        ]
        found: list[Candidate] = []
        playing = 0
        for interaction in (*log.before, *log.interactions):
            content = beginning(interaction.content)
            playing = 0 if ends_play(content) else max(0, playing - 1)
            made = [] if playing or interaction in log.before else list(stated(interaction, held))
            playing = PLAYED if interaction.role is Role.USER and begins_play(content) else playing
            held = _after(held, made, interaction.session)
            found += made
        return found


def create(settings: Settings) -> Statements:
    """Creates the extractor for the entry point; it needs no setting."""
    del settings
    return Statements()


def stated(interaction: Interaction, held: Sequence[Known] = ()) -> Iterator[Candidate]:
    """Yields what a person states in one message, and what that ends of `held`.

    It reads the first `MAX_READ_CHARACTERS`, up to the last sentence that ends there.
    """
    if interaction.kind is not InteractionKind.MESSAGE or interaction.role is not Role.USER:
        return
    earlier = [
        k for k in held if k.subject == interaction.actor and k.said_at <= interaction.occurred_at
    ]
    content = beginning(interaction.content)
    if unsaid := takes_back(content, earlier):
        begin, end, memories = unsaid
        said = _Place(interaction, begin, end)
        yield from (_against(known, said, known.valid_from) for known in memories)
    here: list[Known] = []
    for sentence, found in read_sentences(content, interaction.actor):
        made = list(_of_sentence(sentence, found, interaction, earlier, here))
        earlier, here = (
            _after(earlier, made, None, add=False),
            _after(here, made, interaction.session),
        )
        yield from made


# Later words --------------------------------------------------------------------------------------


def _of_sentence(
    sentence: Sentence,
    found: Sequence[Found],
    interaction: Interaction,
    earlier: Sequence[Known],
    here: Sequence[Known],
) -> Iterator[Candidate]:
    """The claims of a sentence, after what it forgets, corrects or ends."""
    text, start = sentence.text.lstrip(), sentence.start
    start += len(sentence.text) - len(text)
    if sentence.asks:
        yield from (_candidate(f, interaction) for f in found)
        return
    held = [*earlier, *here]
    if forgotten := to_forget(text, held):
        begin, end, memories = forgotten
        said = _Place(interaction, start + begin, start + end)
        yield from (_against(known, said, known.valid_from) for known in memories)
        return
    said = _Place(interaction, start, start + len(text.rstrip()))
    beliefs = any(not f.claim.attribute.startswith(f"{REMARK}.") for f in found)
    before = list(here) or _just_before(earlier, interaction) or alike(text, earlier)
    correction = None if beliefs else corrected(text, before)
    if correction:
        yield from _set_right(correction, said)
        return
    told = {f.claim.attribute for f in found}
    for known in withdrawn(text, before, held):
        if not (known.single_valued and known.attribute in told):
            yield _against(known, said, known.valid_from)
    for known in ended_by(text, held):
        yield _against(known, said, _ended_at(text, interaction))
    yield from (_candidate(f, interaction) for f in found)


@dataclass(frozen=True, slots=True)
class _Place:
    """A stretch of a message, which is evidence."""

    interaction: Interaction
    start: int
    end: int

    @property
    def evidence(self) -> Evidence:
        said = self.interaction
        quote = said.content[self.start : self.end]
        return Evidence(said.id, quote, self.start, self.end, said.occurred_at)


def _against(known: Known, said: _Place, since: datetime | None) -> Candidate:
    """Evidence that a memory no longer holds; from its beginning on if it never did."""
    evidence, at = said.evidence, said.interaction.occurred_at
    against = ending(known, (evidence,), at, confidence=0.85, since=since)
    return replace(against, text=f"No longer: {known.text}")


def _set_right(correction: Corrected, said: _Place) -> Iterator[Candidate]:
    wrong = correction.wrong
    yield _against(wrong, said, wrong.valid_from)
    if correction.text:
        mentions = resolve(
            correction.text, said.interaction.wall_clock, _tense_leaning(correction.text)
        )
        yield Candidate(
            kind=wrong.kind,
            text=with_dates(correction.text, mentions),
            evidence=(said.evidence,),
            occurred_at=said.interaction.occurred_at,
            attribute=correction.attribute,
            value=correction.value,
            subject=wrong.subject,
            context=wrong.context,
            single_valued=wrong.single_valued,
            confidence=0.8,
            payload=when_payload(mentions),
        )


def _tense_leaning(text: str) -> Leaning:
    return Leaning.PAST if _TOLD.search(text) else Leaning.FUTURE


_TOLD = re.compile(r"\b(?:was|were|had|did|got|went|\w+ed)\b", re.IGNORECASE)


def _just_before(held: Sequence[Known], interaction: Interaction) -> list[Known]:
    """What was said last in the session, shortly before."""
    said = [k for k in held if k.session == interaction.session]
    last = max((k.said_at for k in said), default=interaction.occurred_at)
    return [k for k in said if k.said_at == last]


def _ended_at(text: str, interaction: Interaction) -> datetime | None:
    """When something ended, if the words that end it say so."""
    now = interaction.wall_clock
    past = [m for m in resolve(text, now, Leaning.PAST) if m.ends <= now]
    return past[0].begins if len(past) == 1 else None


def _known(said: Memory | Candidate, session: str | None) -> Known:
    return Known(
        attribute=said.attribute or "",
        value=said.value,
        text=said.text,
        session=session,
        said_at=said.occurred_at,
        support=said.support if isinstance(said, Memory) else 1,
        kind=said.kind,
        subject=said.subject,
        context=said.context,
        single_valued=said.single_valued,
        valid_from=said.valid_from or said.occurred_at,
    )


def _after(
    held: Sequence[Known], made: Sequence[Candidate], session: str | None, *, add: bool = True
) -> list[Known]:
    """What is held after more was said."""
    against = {_key(c) for c in made if c.stance is Stance.CONTRADICTS}
    replaced = {_key(c)[:3] for c in made if c.single_valued and c.stance is Stance.SUPPORTS}
    left = [
        k
        for k in held
        if _key(k) not in against and not (k.single_valued and _key(k)[:3] in replaced)
    ]
    new = [_known(c, session) for c in made if add and c.attribute and c.stance is Stance.SUPPORTS]
    return [*left, *new]


def _key(said: Known | Candidate) -> tuple[str | None, ...]:
    return (said.attribute, said.subject, said.context, said.value)


# Claims -------------------------------------------------------------------------------------------


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
