"""Asks a language model which values hold, when the rules leave a conflict open.

A verdict decides nothing unless its quotes stand in a person's own turn and support the values it
confirms. The request is bounded in size. The answer on a conflict is kept for that conflict alone,
so the same one is asked about once, whatever else was in the request.
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
"""Conflicts in one request."""

MOST_VALUES = 4
"""Values of a conflict; one with more is not asked about."""

MOST_QUOTES = 3
"""Quotes that are shown for each value: the newest."""

AROUND = 400
"""Characters of a turn that are shown before and after its quotes."""

TURN_CHARACTERS = 1_500
"""The largest part of a turn that is shown."""

QUOTE_CHARACTERS = 300
"""The part of a quote that is shown with its value."""


@dataclass(frozen=True, slots=True)
class ConflictOption:
    """One of the rival values, with the quotes of its newest claims."""

    value: str
    text: str
    quotes: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class ConflictQuestion:
    """A conflict as it is shown to a model: its values in order, and the turns they quote.

    about: the attribute, with its subject and condition if there are any.
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
    """The values of a question that hold, with quotes; none if it could not be decided."""

    made_by: Provenance
    holds: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class ConflictResolver:
    """Decides conflicts with the models of one asker."""

    asker: Asker
    name: str = "consolidation"
    version: str = "1"

    def keeping(self, ledger: Ledger) -> Self:
        """Returns the same resolver with `ledger`."""
        return replace(self, asker=self.asker.keeping(ledger))

    async def aclose(self) -> None:
        await self.asker.aclose()

    async def resolve(
        self, scope: Scope, questions: Sequence[ConflictQuestion]
    ) -> list[Resolution | None]:
        """Returns a resolution for each question, or None if no answer can be had now.

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
        """The resolutions of one request; [] if there is no answer."""
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
        """The resolutions in one call's answers; `unknown` counts parts about nothing shown."""
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
    """Returns the values that hold by an answer, and its quotes; or why it is refused."""
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
    """The words that distinguish a value from the others; all of its words if there are none."""
    own = f"{option.value} {option.text}"
    others = stems(" ".join(f"{other.value} {other.text}" for other in options if other != option))
    return " ".join(w for w in content_words(own) if stems(w).isdisjoint(others)) or own


def _by_contest(asked: Asked[Consolidated], count: int) -> list[Judged]:
    """The first answer about each conflict, in order; an undecided one if there is none."""
    first: dict[int, Judged] = {}
    for judged in asked.answer.contests:
        first.setdefault(judged.contest, judged)
    silent = Judged(contest=0, holds=[], quotes=[])
    return [first.get(n, silent) for n in range(1, count + 1)]


def create(settings: Settings) -> ConflictResolver | None:
    """Creates the resolver, or returns None if no model is configured for consolidation."""
    asker = create_asker(ModelTask.CONSOLIDATE, settings)
    return ConflictResolver(asker) if asker else None


# What the model is shown --------------------------------------------------------------------------


def _numbered(questions: Sequence[ConflictQuestion]) -> Iterator[str]:
    for n, question in enumerate(questions, 1):
        yield f"CONTEST {n}: {render(question)}"


def render(question: ConflictQuestion) -> str:
    """Renders one conflict for a model, without its number: one JSON object a line."""
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
    """A turn cut to the surroundings of its quotes."""
    quotes = [
        e for option in question.options for e in option.quotes if e.interaction_id == turn.id
    ]
    spans = [(quote.start, quote.end) for quote in quotes]
    start = max(0, min(start for start, _ in spans) - AROUND)
    end = min(max(end for _, end in spans) + AROUND, start + TURN_CHARACTERS)
    return replace(turn, content=turn.content[start:end])


def _json(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False)
