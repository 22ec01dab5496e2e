"""Contradictions that the rules leave open, judged by a language model: which values hold.

The model proposes; a verdict whose words do not stand in a person's own turn, and speak of what it
says holds, decides nothing. What it is shown is bounded, and what it said of a conflict is kept by
that conflict alone, so that the same one is judged once whatever it was asked about beside.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from extractors.language_model.asking import (
    Asked,
    Asker,
    create_asker,
    shipped,
)
from extractors.language_model.extractor import turn_line
from extractors.language_model.grounding import (
    Refused,
    ShownTurns,
    stems,
    verdict_evidence,
)
from extractors.language_model.ledger import Grounded, Ledger, ModelCall
from extractors.prompts.answers import Consolidated, Judged
from memory.errors import ExtractionWaits, ModelFailed, UnusableAnswer
from memory.language.text import content_words
from memory.models import Evidence, Interaction, ModelTask, Provenance, Scope
from memory.settings import Settings

MAX_CONFLICTS = 8
"""Judged in one request."""

MOST_VALUES = 4
"""Of a conflict; one of more values is not judged."""

MOST_QUOTES = 3
"""Shown for each value: the newest."""

AROUND = 400
"""Characters of a turn that are shown before and after its quotes."""

TURN_CHARACTERS = 1_500
"""Of a turn that are shown at most."""

QUOTE_CHARACTERS = 300
"""Of a quote that is shown with its value."""


@dataclass(frozen=True, slots=True)
class ConflictOption:
    """One of the values that contradict each other, with what its newest claims quote."""

    value: str
    text: str
    quotes: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class ConflictQuestion:
    """A conflict as it is put to a model: its values in order, and the turns they quote.

    about: the attribute, and whose and under which condition it is, where that is said.
    turns: of any session, in the order of events; each is quoted.
    """

    about: Mapping[str, str]
    options: tuple[ConflictOption, ...]
    turns: tuple[Interaction, ...]

    @property
    def shown(self) -> ShownTurns:
        """The turns by their numbers, from 1."""
        return ShownTurns(dict(enumerate(self.turns, 1)))


@dataclass(frozen=True, slots=True)
class Resolution:
    """Which values of a question hold, on whose words; none where it could not be told."""

    made_by: Provenance
    holds: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class ConflictResolver:
    """Judges conflicts with the models of one asker."""

    asker: Asker
    name: str = "consolidation"
    version: str = "1"

    def keeping(self, ledger: Ledger) -> Self:
        """The same over `ledger`."""
        return replace(self, asker=self.asker.keeping(ledger))

    async def aclose(self) -> None:
        """Closes the connections."""
        await self.asker.aclose()

    async def resolve(
        self, scope: Scope, questions: Sequence[ConflictQuestion]
    ) -> list[Resolution | None]:
        """A ruling for each question; None where no answer is to be had now.

        Raises:
            ConfigurationError: the installation has to change (a key, a prompt).
        """
        found: dict[int, Resolution] = {}
        new: list[tuple[int, ConflictQuestion]] = []
        for n, question in enumerate(questions):
            kept = await self.asker.kept(scope, shipped("consolidate"), Judged, render(question))
            if kept is None:
                new.append((n, question))
            else:
                (found[n],) = await self._ruled(kept.call, [(question, kept.answer)])
        for start in range(0, len(new), MAX_CONFLICTS):
            batch = new[start : start + MAX_CONFLICTS]
            resolutions = await self._asked(scope, [question for _, question in batch])
            found.update(zip((n for n, _ in batch), resolutions, strict=False))
        return [found.get(n) for n in range(len(questions))]

    async def _asked(self, scope: Scope, questions: Sequence[ConflictQuestion]) -> list[Resolution]:
        """A ruling for each, of one request; [] where there is no answer."""
        prompt, shown = shipped("consolidate"), "\n\n".join(_numbered(questions))
        try:
            asked = await self.asker.ask(scope, prompt, Consolidated, shown)
        except UnusableAnswer:  # it would only be paid to say so again
            made = Provenance(self.name, self.version, prompt.name, prompt.version, prompt.hash)
            return [Resolution(made) for _ in questions]
        except (ModelFailed, ExtractionWaits):
            return []
        answers = _by_contest(asked, len(questions))
        for question, answer in zip(questions, answers, strict=True):
            await self.asker.keep(asked.call, render(question), answer)
        unknown = len(asked.answer.contests) - sum(answer.contest > 0 for answer in answers)
        return await self._ruled(asked.call, list(zip(questions, answers, strict=True)), unknown)

    async def _ruled(
        self, call: ModelCall, judged: Iterable[tuple[ConflictQuestion, Judged]], unknown: int = 0
    ) -> list[Resolution]:
        """What can be made of answers of one call; `unknown` of it are about nothing shown."""
        made = call.provenance(self.name, self.version)
        refused = Counter({Refused.UNKNOWN_VALUE.value: unknown})
        resolutions = []
        for question, answer in judged:
            found = checked(question, answer)
            if isinstance(found, Refused):
                refused[found.value] += 1
                found = ((), ())
            resolutions.append(Resolution(made, *found))
        decided = sum(bool(resolution.holds) for resolution in resolutions)
        await self.asker.ledger.ground(call, Grounded(decided, dict(+refused)))
        return resolutions


def checked(
    question: ConflictQuestion, answer: Judged
) -> tuple[tuple[str, ...], tuple[Evidence, ...]] | Refused:
    """The values that hold by an answer, and the words it rests on; or why it is refused."""
    numbers = sorted(set(answer.holds))
    if not numbers:
        return (), ()
    if numbers[0] < 1 or numbers[-1] > len(question.options):
        return Refused.UNKNOWN_VALUE
    options = [question.options[n - 1] for n in numbers]
    evidence: tuple[Evidence, ...] = ()
    for option in options:
        found = verdict_evidence(question.shown, _telling(option, question.options), answer.quotes)
        if isinstance(found, Refused):
            return found
        evidence = found
    return tuple(option.value for option in options), tuple(dict.fromkeys(evidence))


def _telling(option: ConflictOption, options: Sequence[ConflictOption]) -> str:
    """The words by which a value is told from the others; all of its own where there are none."""
    own = f"{option.value} {option.text}"
    others = stems(" ".join(f"{other.value} {other.text}" for other in options if other != option))
    return " ".join(w for w in content_words(own) if stems(w).isdisjoint(others)) or own


def _by_contest(asked: Asked[Consolidated], count: int) -> list[Judged]:
    """The first answer about each conflict, in order; an undecided one where there is none."""
    first: dict[int, Judged] = {}
    for judged in asked.answer.contests:
        first.setdefault(judged.contest, judged)
    silent = Judged(contest=0, holds=[], quotes=[])
    return [first.get(n, silent) for n in range(1, count + 1)]


def create(settings: Settings) -> ConflictResolver | None:
    """Who judges, or None where no model is configured for consolidation."""
    asker = create_asker(ModelTask.CONSOLIDATE, settings)
    return ConflictResolver(asker) if asker else None


# What the model is shown --------------------------------------------------------------------------


def _numbered(questions: Sequence[ConflictQuestion]) -> Iterator[str]:
    for n, question in enumerate(questions, 1):
        yield f"CONTEST {n}: {render(question)}"


def render(question: ConflictQuestion) -> str:
    """One conflict as a model sees it, but for its number: one JSON object a line."""
    places = {turn.id: n for n, turn in enumerate(question.turns, 1)}
    values = [
        _json(
            {"n": n, "value": option.value, "text": option.text, "quotes": _quotes(option, places)}
        )
        for n, option in enumerate(question.options, 1)
    ]
    turns = [turn_line(n, _excerpt(turn, question)) for n, turn in enumerate(question.turns, 1)]
    return "\n".join([_json(dict(question.about)), "VALUES:", *values, "TURNS:", *turns])


def _quotes(option: ConflictOption, places: Mapping[str, int]) -> list[dict[str, Any]]:
    return [
        {
            "turn": places[e.interaction_id],
            "words": e.quote[:QUOTE_CHARACTERS],
            "at": e.occurred_at.isoformat(),
        }
        for e in option.quotes
    ]


def _excerpt(turn: Interaction, question: ConflictQuestion) -> Interaction:
    """A turn with what stands around its quotes."""
    quotes = [
        e for option in question.options for e in option.quotes if e.interaction_id == turn.id
    ]
    spans = [(quote.start, quote.end) for quote in quotes]
    start = max(0, min(start for start, _ in spans) - AROUND)
    end = min(max(end for _, end in spans) + AROUND, start + TURN_CHARACTERS)
    return replace(turn, content=turn.content[start:end])


def _json(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False)
