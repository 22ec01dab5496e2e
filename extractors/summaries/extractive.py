"""Summarises a session by its own sentences, chosen within a budget, each with its evidence.

A summary covers a whole session, so it is made when the session closes: this extractor does not run
on every batch. The rolling summary of an open session is `memory.language.text.rolling_summary`,
chosen in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from extractors.protocol import LogSlice, Reading
from memory.language.text import QuotedLine, extractive_summary, spoken_lines
from memory.language.turns import SPOKEN, Turn, turns_payload
from memory.models import Candidate, Evidence, Interaction, InteractionKind, MemoryKind, Role
from memory.settings import Settings

BUDGET_TOKENS = 200


@dataclass(frozen=True, slots=True)
class ExtractiveSummaries:
    """Summarises the session in its slice, which has to be a whole session."""

    name: str = "summaries"
    version: str = "1"
    reading: Reading = Reading.SESSION
    reads: frozenset[InteractionKind] = frozenset({InteractionKind.MESSAGE})
    makes: frozenset[MemoryKind] = frozenset({MemoryKind.SUMMARY})

    async def extract(self, log: LogSlice) -> list[Candidate]:
        """Returns the summary of the slice, or nothing if nothing was said."""
        summary = summarise(log.interactions)
        return [summary] if summary else []


def create(settings: Settings) -> ExtractiveSummaries:  # noqa: ARG001
    """Creates the extractor for the job that closes sessions."""
    return ExtractiveSummaries()


def summarise(
    interactions: Sequence[Interaction], budget_tokens: int = BUDGET_TOKENS
) -> Candidate | None:
    """Returns one session's summary within the budget, or None if no sentence is worth keeping.

    `interactions` are the whole session in order. The text has a paragraph for each stretch of one
    speaker; the evidence quotes every sentence of it, in the same order.
    """
    lines = spoken_lines(interactions)
    kept = [lines[i] for i in extractive_summary([one.line for one in lines], budget_tokens)]
    if not kept:
        return None
    return Candidate(
        kind=MemoryKind.SUMMARY,
        text=_written(kept),
        evidence=tuple(_quoted(one) for one in kept),
        occurred_at=max(interaction.occurred_at for interaction in interactions),
        importance=0.5,
        valid_from=min(interaction.occurred_at for interaction in interactions),
        payload={
            "sentences": len(kept),
            "of_sentences": len(lines),
            SPOKEN: turns_payload(_turns(kept)),
        },
    )


def _written(kept: Sequence[QuotedLine]) -> str:
    return "\n".join(f"{speaker}: {_words(said)}" for speaker, said in _paragraphs(kept))


def _turns(kept: Sequence[QuotedLine]) -> list[Turn]:
    turns, at = [], 0
    for speaker, said in _paragraphs(kept):
        start = at + len(speaker) + 2
        at = start + len(_words(said)) + 1
        by = said[0].interaction
        name = by.actor or by.role.value.capitalize()
        turns.append(Turn(name, by.role is Role.ASSISTANT, start, at - 1))
    return turns


def _paragraphs(kept: Sequence[QuotedLine]) -> list[tuple[str, list[QuotedLine]]]:
    groups = groupby(kept, key=lambda one: one.line.speaker)
    return [(speaker, list(said)) for speaker, said in groups]


def _words(said: Sequence[QuotedLine]) -> str:
    return " ".join(one.line.text for one in said)


def _quoted(one: QuotedLine) -> Evidence:
    return Evidence(
        interaction_id=one.interaction.id,
        quote=one.line.text,
        start=one.start,
        end=one.end,
        occurred_at=one.interaction.occurred_at,
    )
