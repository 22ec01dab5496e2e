"""Summarises a session with a language model; each sentence quotes its evidence.

A sentence whose quotes are not in the turns is dropped. If none is left, or no answer can be had,
the session's own sentences are kept as `extractive` chooses them, with the reason in the payload as
`instead_of_model`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from extractors.language_model.asking import (
    Asked,
    Asker,
    create_asker,
    shipped,
)
from extractors.language_model.extractor import talk, turn_line
from extractors.language_model.grounding import Refused, ShownTurns, summary_evidence
from extractors.language_model.ledger import Grounded, Ledger
from extractors.language_model.support import Quoted, adds
from extractors.prompts.answers import Summarised
from extractors.summaries.extractive import ExtractiveSummaries, summarise
from memory.errors import BudgetSpent, ExtractionWaits, ModelFailed, UnusableAnswer
from memory.language.text import estimate_tokens
from memory.models import Candidate, Evidence, Interaction, MemoryKind, ModelTask, Scope
from memory.settings import Settings

MOST_CHARACTERS = 60_000
"""The largest session that is shown to the model; a longer one is not shown at all."""


class FallbackReason(StrEnum):
    """Why a session's own sentences are kept although a model is configured.

    UNAVAILABLE: no model answered, or its server accepts no requests for now.
    UNUSABLE: its answer violated the schema twice.
    BUDGET_SPENT: the tenant's budget of the day is used up.
    UNGROUNDED: none of its sentences had sound evidence.
    TOO_LONG: the session is longer than the limit.
    PARTLY_PRIVATE: it holds turns that not every agent may see, and a model would mix them.
    """

    UNAVAILABLE = "unavailable"
    UNUSABLE = "unusable"
    BUDGET_SPENT = "budget_spent"
    UNGROUNDED = "ungrounded"
    TOO_LONG = "too_long"
    PARTLY_PRIVATE = "partly_private"


@dataclass(frozen=True, slots=True)
class AbstractiveSummaries:
    """Summarises whole sessions with the models of one asker."""

    asker: Asker

    def keeping(self, ledger: Ledger) -> Self:
        """Returns the same summariser with `ledger`."""
        return replace(self, asker=self.asker.keeping(ledger))

    async def aclose(self) -> None:
        await self.asker.aclose()

    async def summary(
        self, scope: Scope, interactions: Sequence[Interaction], budget_tokens: int
    ) -> Candidate | None:
        """Returns one session's summary within the budget, or None if no sentence is worth keeping.

        `interactions` are the whole session in order. A model's summary names its maker in
        `made_by`; the session's own sentences have none and give the reason.

        Raises:
            ConfigurationError: the installation has to change (a key, a prompt).
        """
        own = summarise(interactions, budget_tokens)
        if own is None:
            return None
        told = await self._told(scope, interactions, budget_tokens)
        if isinstance(told, FallbackReason):
            return replace(own, payload={**own.payload, "instead_of_model": told.value})
        return replace(told, occurred_at=own.occurred_at, valid_from=own.valid_from)

    async def _told(
        self, scope: Scope, interactions: Sequence[Interaction], budget_tokens: int
    ) -> Candidate | FallbackReason:
        shown = ShownTurns(dict(enumerate(filter(talk, interactions), 1)))
        text = render(shown, budget_tokens)
        if len(text) > MOST_CHARACTERS:
            return FallbackReason.TOO_LONG
        if len({t.scope.agent if t.private else None for t in shown.turns.values()}) > 1:
            return FallbackReason.PARTLY_PRIVATE
        try:
            asked = await self.asker.ask(scope, shipped("summarise"), Summarised, text)
        except UnusableAnswer:
            return FallbackReason.UNUSABLE
        except BudgetSpent:
            return FallbackReason.BUDGET_SPENT
        except (ModelFailed, ExtractionWaits):
            return FallbackReason.UNAVAILABLE
        return await self._checked(asked, shown, budget_tokens)

    async def _checked(
        self, asked: Asked[Summarised], shown: ShownTurns, budget_tokens: int
    ) -> Candidate | FallbackReason:
        kept: dict[str, tuple[Evidence, ...]] = {}
        refused: Counter[str] = Counter()
        for sentence in asked.answer.sentences:
            text = " ".join(sentence.text.split())
            found = summary_evidence(shown, text, sentence.quotes)
            if not isinstance(found, Refused) and adds(text, Quoted.of(shown, sentence.quotes)):
                found = Refused.UNSAID
            if not isinstance(found, Refused) and _tokens([*kept, text]) > budget_tokens:
                found = Refused.TOO_MUCH
            if isinstance(found, Refused):
                refused[found.value] += 1
            else:
                kept[text] = found
        await self.asker.ledger.ground(asked.call, Grounded(len(kept), dict(refused)))
        if not kept:
            return FallbackReason.UNGROUNDED
        itself = ExtractiveSummaries()
        return Candidate(
            kind=MemoryKind.SUMMARY,
            text=" ".join(kept),
            evidence=tuple(dict.fromkeys(e for found in kept.values() for e in found)),
            occurred_at=max(turn.occurred_at for turn in shown.turns.values()),
            importance=0.5,
            payload={"sentences": len(kept), "of_sentences": len(asked.answer.sentences)},
            made_by=asked.provenance(itself.name, itself.version),
        )


def create(settings: Settings) -> AbstractiveSummaries | None:
    """Creates the summariser, or returns None if no model is configured for summaries."""
    asker = create_asker(ModelTask.SUMMARISE, settings)
    return AbstractiveSummaries(asker) if asker else None


def render(shown: ShownTurns, budget_tokens: int) -> str:
    """Renders the session for a model: the words it may use, and one JSON object for each turn."""
    lines = [turn_line(n, turn) for n, turn in shown.turns.items()]
    return "\n".join([f"WORDS: {budget_tokens * 3 // 4}", "", "TURNS:", *lines])


def _tokens(sentences: Sequence[str]) -> int:
    return estimate_tokens(" ".join(sentences))
