"""Infers tacit preferences from what users accept, reject, edit and choose.

`feedback` defines the payload of a feedback interaction, `preferences` decides when a preference is
believed and withdrawn, and `e_values` holds the test. Here beliefs become candidates:

- `attribute` is `prefers.<attribute>` or `avoids.<attribute>`, `value` the attribute's value,
  `context` the payload's; the text gives the counts.
- The evidence is the latest feedback on items with the value: feedback that agrees supports,
  feedback that went the other way contradicts. The counts of other items are in the payload.
- The whole belief is proposed each time, so that a belief that has turned is missing and is
  withdrawn.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from extractors.behaviour.feedback import Offer, read_offers
from extractors.behaviour.preferences import Direction, InferredPreference, PreferenceFold
from extractors.protocol import LogSlice, Reading
from memory.models import Candidate, Evidence, Interaction, InteractionKind, MemoryKind, Stance
from memory.settings import Settings
from memory.trust.origins import EVERYBODY_TRUSTED, voices
from memory.trust.rules import NO_RULES, TrustRules

LONGEST_QUOTE = 200


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Infers tacit preferences from all of a user's feedback."""

    name: str = "behaviour"
    version: str = "1"
    reading: Reading = Reading.USER
    reads: frozenset[InteractionKind] = frozenset({InteractionKind.FEEDBACK})
    makes: frozenset[MemoryKind] = frozenset({MemoryKind.PREFERENCE})

    async def extract(self, log: LogSlice) -> list[Candidate]:
        """Returns every preference that the user's history shows; a missing one is withdrawn."""
        return infer(log.interactions, log.rules)


def create(settings: Settings) -> Behaviour:  # noqa: ARG001
    return Behaviour()


def infer(interactions: Sequence[Interaction], rules: TrustRules = NO_RULES) -> list[Candidate]:
    """Returns the preferences that one user's interactions, oldest first, show by now.

    Interactions without readable feedback are ignored. Feedback of tools, agents and others is
    weighed apart from the user's, each voice by itself, and what it repeats counts once.
    """
    found: list[Candidate] = []
    for voice, said in voices(interactions, rules).items():
        offers = list(read_offers(said))
        if voice != EVERYBODY_TRUSTED:
            offers = _each_once(offers)
        fold = PreferenceFold()
        for offer in offers:
            fold.add(offer)
        found += [_candidate(belief, offers) for belief in fold.beliefs()]
    return found


def _each_once(offers: Sequence[Offer]) -> list[Offer]:
    """The first of all offers that are alike but for their time."""
    first: dict[Hashable, Offer] = {}
    for offer in offers:
        items = tuple(frozenset(item.items()) for item in offer.items)
        first.setdefault((offer.context, items, offer.accepted), offer)
    return list(first.values())


def _candidate(belief: InferredPreference, offers: Sequence[Offer]) -> Candidate:
    evidence = _evidence(belief, offers)
    name, counts = _in_words(belief.attribute), belief.counts
    return Candidate(
        kind=MemoryKind.PREFERENCE,
        text=describe(belief),
        evidence=evidence,
        occurred_at=max(piece.occurred_at for piece in evidence),
        attribute=f"{belief.direction}.{belief.attribute}",
        value=belief.value,
        context=belief.context,
        confidence=round(belief.confidence, 3),
        importance=0.7,
        search_text=f"preference likes dislikes wants {name} {belief.value}",
        payload={
            "accepted_with": counts.accepted_with,
            "judged_with": counts.judged_with,
            "accepted_without": counts.accepted_without,
            "judged_without": counts.judged_without,
            "log_e_value": round(belief.log_e, 3),
            "values_tested": belief.tested,
        },
    )


def describe(belief: InferredPreference) -> str:
    """Describes the belief in one sentence with its counts."""
    name, counts = _in_words(belief.attribute), belief.counts
    what = name if belief.value == "yes" else f"{name} = {belief.value}"
    where = f" ({belief.context})" if belief.context else ""
    return (
        f"{belief.direction.capitalize()} {what}{where}: accepted"
        f" {counts.accepted_with} of {counts.judged_with} with {name} = {belief.value},"
        f" {counts.accepted_without} of {counts.judged_without} others."
    )


def _in_words(attribute: str) -> str:
    return attribute.replace("_", " ")


def _evidence(belief: InferredPreference, offers: Sequence[Offer]) -> tuple[Evidence, ...]:
    """One piece for each of the latest offers with the value, oldest first.

    If the user chose among several items with the value, one accepted item makes the offer
    accepted.
    """
    accepted: dict[int, bool] = {}
    for one in belief.judged:
        accepted[one.index] = accepted.get(one.index, False) or one.accepted
    liked = belief.direction is Direction.PREFERS
    return tuple(
        _piece(offers[index].interaction, supports=taken is liked)
        for index, taken in accepted.items()
    )


def _piece(interaction: Interaction, supports: bool) -> Evidence:
    end = min(len(interaction.content), LONGEST_QUOTE)
    return Evidence(
        interaction_id=interaction.id,
        quote=interaction.content[:end],
        start=0,
        end=end,
        occurred_at=interaction.occurred_at,
        stance=Stance.SUPPORTS if supports else Stance.CONTRADICTS,
    )
