"""Extracts facts, preferences and procedures with a language model, and checks them.

Nothing is believed that does not quote a person's own words. If MEMORY_MODEL names a model, it
replaces `statements`, and falls back on it while no model answers; such memories name `statements`
as their maker.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from typing import Any, Self, TypeVar

import anyio

from extractors.language_model.asking import Asker, create_asker, shipped
from extractors.language_model.grounding import (
    Refused,
    ShownTurns,
    by_person,
    found_in,
    grounded,
)
from extractors.language_model.ledger import FallbackReading, Grounded, Ledger
from extractors.language_model.reasons import Reason
from extractors.language_model.support import Quoted, bears_out, unsupported
from extractors.prompts.answers import Extracted, Proposal, Steps
from extractors.protocol import Extractor, LogSlice, Reading, ending
from extractors.reading.dated_text import when_payload, with_dates
from extractors.reading.dates import (
    Grain,
    Leaning,
    Mention,
    day_in_words,
    resolve,
    weekday_in_words,
)
from extractors.statements import Statements
from memory.errors import ModelFailed, UnusableAnswer
from memory.language.text import folded
from memory.language.turns import INSTRUCTION
from memory.models import (
    Candidate,
    Evidence,
    Interaction,
    InteractionKind,
    Memory,
    MemoryKind,
    ModelTask,
    Provenance,
    Role,
    Scope,
)
from memory.settings import Settings

CHUNK = 24
"""Turns read at a time. Chunks begin at fixed places of a session, so that reading it as it grew
and replaying it as a whole ask the same questions, except for the last chunk."""

LOOK_BACK = 6
"""Earlier turns that are shown with a chunk, to understand it."""

ASSISTANT_CHARACTERS = 700
"""The part of an assistant's turn that is shown."""

TURN_CHARACTERS = 6_000
"""The part of a person's turn that is shown."""

CONFIDENCE = 0.85
_NAME = re.compile(r"[^a-z0-9_.]+")
_LONGEST_ATTRIBUTE = 80
_LONGEST_VALUE = 120
_LONGEST_TEXT = 500

LEANINGS: Mapping[str, Leaning] = {
    "past": Leaning.PAST,
    "present": Leaning.NEAREST,
    "future": Leaning.FUTURE,
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """Reads a session's new turns with a model, or with `otherwise` while no model answers."""

    asker: Asker
    otherwise: Extractor = field(default_factory=Statements)
    name: str = "language_model"
    version: str = "1"
    reading: Reading = Reading.KNOWING
    reads: frozenset[InteractionKind] = frozenset({InteractionKind.MESSAGE})
    makes: frozenset[MemoryKind] = frozenset(
        {MemoryKind.FACT, MemoryKind.PREFERENCE, MemoryKind.PROCEDURE}
    )

    replaces: frozenset[str] = frozenset({"statements"})

    @property
    def ledger(self) -> Ledger:
        """The ledger of its calls."""
        return self.asker.ledger

    def keeping(self, ledger: Ledger) -> Self:
        """Returns the same extractor with `ledger`."""
        return replace(self, asker=self.asker.keeping(ledger))

    async def aclose(self) -> None:
        await self.asker.aclose()

    async def extract(self, log: LogSlice) -> list[Candidate]:
        """Returns the candidates of each chunk, in the order of the log.

        What no model reads in time, `otherwise` reads; the ledger is told.

        Raises:
            ExtractionWaits: the tenant's budget is spent, or the server said when it serves again.
        """
        until = self.asker.until()
        found = await gathered([self._read(log.scope, c, until) for c in _chunks(log)])
        return [candidate for of_chunk in found for candidate in of_chunk]

    async def _read(self, scope: Scope, chunk: "Chunk", until: float) -> list[Candidate]:
        if not any(by_person(turn) for turn in chunk.new):
            return []
        shown, prompt = render(chunk), shipped("extract")
        try:
            asked = await self.asker.ask(scope, prompt, Extracted, shown, until)
        except (ModelFailed, UnusableAnswer) as failure:
            if failure.reason == Reason.TOO_LONG and len(chunk.new) > 1:
                halves = [await self._read(scope, half, until) for half in chunk.halves()]
                return [candidate for of_half in halves for candidate in of_half]
            return await self._otherwise(scope, chunk, failure.reason)
        made = asked.provenance(self.name, self.version)
        found = Reader(chunk.numbered, chunk.believed, made)
        candidates = list(found.candidates(asked.answer))
        await self.ledger.ground(asked.call, Grounded(len(candidates), dict(found.refused)))
        return candidates

    async def _otherwise(self, scope: Scope, chunk: "Chunk", reason: str) -> list[Candidate]:
        self.ledger.fell_back(FallbackReading(chunk.new[0].ordinal, chunk.new[-1].ordinal, reason))
        made = Provenance(self.otherwise.name, self.otherwise.version)
        part = LogSlice(scope, chunk.new, chunk.before, chunk.believed)
        return [replace(c, made_by=made) for c in await self.otherwise.extract(part)]


def create(settings: Settings) -> LanguageModel | None:
    """Creates the extractor, or returns None if no model is configured for extraction."""
    asker = create_asker(ModelTask.EXTRACT, settings)
    return LanguageModel(asker) if asker else None


async def gathered(work: Sequence[Any]) -> list[Any]:
    """Runs coroutines concurrently and returns their results in order.

    All run to their end, so that paid answers are kept; then the first failure is raised.
    """
    results: dict[int, Any] = {}
    failures: list[Exception] = []

    async def one(n: int) -> None:
        try:
            results[n] = await work[n]
        except Exception as failure:  # noqa: BLE001 - raised below, after its neighbours
            failures.append(failure)

    async with anyio.create_task_group() as group:
        for n in range(len(work)):
            group.start_soon(one, n)
    if failures:
        raise failures[0]
    return [results[n] for n in range(len(work))]


# What the model is shown --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chunk:
    """Turns to read, the ones before them, and what is believed."""

    before: Sequence[Interaction]
    new: Sequence[Interaction]
    believed: Sequence[Memory] = ()

    @property
    def numbered(self) -> ShownTurns:
        """The turns by the numbers under which they are shown, from 1."""
        return ShownTurns(dict(enumerate([*self.before, *self.new], 1)), len(self.before))

    def halves(self) -> "tuple[Chunk, Chunk]":
        """Returns the chunk in two parts, each with the newer half of what is believed."""
        middle = len(self.new) // 2
        first, second = self.new[:middle], self.new[middle:]
        believed = self.believed[(len(self.believed) + 1) // 2 :]
        look_back = self.before[(len(self.before) + 1) // 2 :]
        return Chunk(look_back, first, believed), Chunk(first[-1:], second, believed)


def _chunks(log: LogSlice) -> Iterator[Chunk]:
    said = [i for i in log.interactions if talk(i)]
    earlier = [i for i in log.before if talk(i)]
    for _, part in groupby(said, key=lambda i: (i.ordinal - 1) // CHUNK):
        new = list(part)
        yield Chunk(earlier[-LOOK_BACK:], new, log.believed)
        earlier = new


def talk(turn: Interaction) -> bool:
    """Returns whether a turn is shown: messages of systems and tools are not conversation."""
    return turn.kind is InteractionKind.MESSAGE and turn.role in (Role.USER, Role.ASSISTANT)


def render(chunk: Chunk) -> str:
    """Renders the slice for a model: one JSON object a line, so that no text can imitate a turn."""
    shown = chunk.numbered
    known = [_line(n, _known(memory)) for n, memory in enumerate(chunk.believed, 1)]
    turns = [turn_line(n, turn) for n, turn in shown.turns.items()]
    before, new = turns[: shown.old], turns[shown.old :]
    parts = [("KNOWN", known), ("BEFORE", before), ("NEW", new)]
    return "\n\n".join("\n".join([f"{name}:", *(lines or ["(none)"])]) for name, lines in parts)


def turn_line(number: int, turn: Interaction) -> str:
    """Renders one turn under its number, as every prompt shows it."""
    return _line(number, _turn(turn))


def _line(number: int, fields: Mapping[str, Any]) -> str:
    return json.dumps({"n": number, **fields}, ensure_ascii=False)


def _known(memory: Memory) -> dict[str, Any]:
    about = {"attribute": memory.attribute, "value": memory.value} if memory.attribute else {}
    whose = {"of": memory.subject} if memory.subject else {}
    return {**whose, **about, "text": memory.text[:_LONGEST_TEXT]}


def _turn(turn: Interaction) -> dict[str, Any]:
    most = ASSISTANT_CHARACTERS if turn.role is Role.ASSISTANT else TURN_CHARACTERS
    day = turn.occurred_at.date()
    name = {"name": turn.actor} if turn.actor else {}
    at = f"{weekday_in_words(day)} {day_in_words(day)}"
    return {"role": turn.role.value, **name, "date": at, "text": turn.content[:most]}


# What becomes of the answer -----------------------------------------------------------------------


class Reader:
    """Turns an answer into candidates, and counts refused proposals by reason."""

    def __init__(self, shown: ShownTurns, believed: Sequence[Memory], made: Provenance) -> None:
        self._shown = shown
        self._believed = believed
        self._made = made
        self.refused: Counter[str] = Counter()

    def candidates(self, answer: Extracted) -> Iterator[Candidate]:
        """Yields the sound candidates of an answer, in its order."""
        for kind, proposals in (
            (MemoryKind.FACT, answer.facts),
            (MemoryKind.PREFERENCE, answer.preferences),
        ):
            for proposal in proposals:
                yield from self._proposed(kind, proposal)
        for steps in answer.procedures:
            yield from self._procedure(steps)

    def _evidence(self, text: str, said: Proposal | Steps) -> tuple[Evidence, ...]:
        if not text.strip() or len(text) > _LONGEST_TEXT or "\x00" in text:
            found: tuple[Evidence, ...] | Refused = Refused.EMPTY
        else:
            found = grounded(self._shown, text, said.quotes)
        if not isinstance(found, Refused):
            steps = isinstance(said, Steps)
            found = unsupported(text, self._quoted(said), steps=steps) or found
        if isinstance(found, Refused):
            self.refused[found.value] += 1
            return ()
        return found

    def _quoted(self, said: Proposal | Steps) -> Quoted:
        return Quoted.of(self._shown, said.quotes, self._believed)

    def _proposed(self, kind: MemoryKind, proposal: Proposal) -> Iterator[Candidate]:
        evidence = self._evidence(proposal.text, proposal)
        if not evidence:
            return
        said = self._newest(evidence)
        attribute, value = normalised(proposal.attribute, proposal.value)
        if value and not bears_out(value, proposal.text, self._quoted(proposal)):
            attribute, value = None, None
        leaning = LEANINGS[proposal.tense]
        mentions = _times(proposal, evidence, leaning)
        yield Candidate(
            kind=kind,
            text=_dated(proposal.text.strip(), said.occurred_at, leaning, mentions),
            evidence=evidence,
            occurred_at=said.occurred_at,
            attribute=attribute,
            value=value,
            subject=said.actor,
            single_valued=bool(attribute and proposal.single_valued and attribute != INSTRUCTION),
            confidence=CONFIDENCE,
            valid_from=_valid_from(proposal.tense, mentions, said.wall_clock),
            search_text=" ".join(str(m) for m in mentions),
            payload=when_payload(mentions),
            made_by=self._made,
        )
        yield from self._ended(proposal.ends, evidence, said)

    def _ended(
        self, numbers: Iterable[int], evidence: tuple[Evidence, ...], said: Interaction
    ) -> Iterator[Candidate]:
        """Contradictions of known memories: only those shown, and of the same person."""
        for number in numbers:
            known = self._believed[number - 1] if 0 < number <= len(self._believed) else None
            if known is None or known.attribute is None or known.subject != said.actor:
                self.refused[Refused.UNKNOWN_MEMORY.value] += 1
                continue
            against = ending(known, evidence, said.occurred_at, confidence=CONFIDENCE)
            yield replace(against, made_by=self._made)

    def _procedure(self, told: Steps) -> Iterator[Candidate]:
        steps = [" ".join(step.split()) for step in told.steps if step.strip()]
        task = " ".join(told.task.split())
        text = f"How to {task.removeprefix('to ')}: {', then '.join(steps)}"
        evidence = self._evidence(text if steps and task else "", told)
        if evidence:
            said = self._newest(evidence)
            yield Candidate(
                kind=MemoryKind.PROCEDURE,
                text=text,
                evidence=evidence,
                occurred_at=said.occurred_at,
                subject=said.actor,
                confidence=CONFIDENCE,
                made_by=self._made,
            )

    def _newest(self, evidence: Sequence[Evidence]) -> Interaction:
        """The newest turn of a person that is cited."""
        cited = {e.interaction_id for e in evidence}
        turns = [t for t in self._shown.turns.values() if t.id in cited and by_person(t)]
        return max(turns, key=lambda t: (t.occurred_at, t.ordinal))


def normalised(attribute: str | None, value: str | None) -> tuple[str | None, str | None]:
    """Returns an attribute and value by which beliefs meet; neither if one is unusable."""
    name = _NAME.sub("_", (attribute or "").casefold()).strip("_.")
    said = folded(value or "")
    if not name or not said or len(name) > _LONGEST_ATTRIBUTE or len(said) > _LONGEST_VALUE:
        return None, None
    return name, said


def _times(proposal: Proposal, evidence: Sequence[Evidence], leaning: Leaning) -> list[Mention]:
    """The times named as `when`; none if nobody said them."""
    if not proposal.when:
        return []
    for quote in evidence:
        if found_in(quote.quote, proposal.when):
            return resolve(proposal.when, quote.occurred_at, leaning)
    return []


def _dated(text: str, said_at: datetime, leaning: Leaning, mentions: Sequence[Mention]) -> str:
    """`text` with dates beside its relative times, or at its end if it names no time itself."""
    own = resolve(text, said_at, leaning)
    if own or not mentions or mentions[0].grain is Grain.SPAN:
        return with_dates(text, own)
    return f"{text.rstrip('.')} ({mentions[0]})"


def _valid_from(tense: str, mentions: Sequence[Mention], said_at: datetime) -> datetime | None:
    """When it began to hold, if its words say so; None means when it was said."""
    if not mentions:
        return None
    began = mentions[0].begins
    if tense == "future":
        return began if began > said_at else None
    return began if began <= said_at else None
