"""Judging: what the rules leave contested of a user goes to a model, and comes back asserted.

A verdict is one more assertion under the key of what it judges, so the fold decides with it: on
that very contest, for as long as it stands as it was judged, and on nothing else.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from extractors.language_model.conflicts import (
    MOST_QUOTES,
    MOST_VALUES,
    Arbiter,
    Question,
    Ruling,
    Side,
)
from extractors.language_model.grounding import by_person
from memory.beliefs.assertions import Assertion, Verdict
from memory.beliefs.consolidation import Contest, open_contests
from memory.beliefs.rows import assertion_of
from memory.database import Database
from memory.log.interactions import interaction_of
from memory.models import Candidate, Evidence, Interaction, Scope, Stance

MOST_KEYS = 100
"""Belief keys looked at in one go: those with the newest contests."""


@dataclass(frozen=True, slots=True)
class _Open:
    """A contest that nobody has judged, and since when it stands as it does."""

    contest: Contest
    since: datetime

    @property
    def agent(self) -> str | None:
        """Whose private matter it is, if any one's: that is part of its key."""
        return self.contest.beliefs[0].newest.agent


async def verdicts(
    database: Database, arbiter: Arbiter, scope: Scope, generation: int
) -> list[Assertion]:
    """A verdict on each of the user's contests that can be judged now and was not before.

    Private and shared matters, and those of several agents, are never shown together.
    """
    found = sorted(await _opened(database, scope, generation), key=lambda o: o.agent or "")
    made: list[Assertion] = []
    for _, matters in groupby(found, key=lambda o: o.agent):
        asked = await _questions(database, scope, list(matters))
        rulings = await arbiter.judge(scope, [question for _, question in asked])
        for (matter, _), ruling in zip(asked, rulings, strict=True):
            if ruling:
                made.append(_asserted(matter, ruling))
    return made


async def _opened(database: Database, scope: Scope, generation: int) -> list[_Open]:
    within = {"generation": generation}
    rows = await database.fetch(scope, "long_term.contested", {**within, "limit": MOST_KEYS})
    if not rows:
        return []
    since = {row["belief_key"]: row["since"] for row in rows}
    asserted: dict[bytes, list[Assertion]] = {key: [] for key in since}
    for row in await database.fetch(scope, "long_term.assertions", {**within, "keys": list(since)}):
        asserted[row["belief_key"]].append(assertion_of(row))
    return [
        _Open(contest, max(since[key], *(a.recorded_at for a in under)))
        for key, under in asserted.items()
        for contest in open_contests(under)
        if len(contest.values) <= MOST_VALUES
    ]


async def _questions(
    database: Database, scope: Scope, found: Sequence[_Open]
) -> list[tuple[_Open, Question]]:
    """What can be asked: contests that people spoke of, each value in a turn still to be read."""
    ids = sorted({e.interaction_id for o in found for e in _newest(o.contest.claims())})
    rows = await database.fetch(scope, "log.read_ids", {"ids": ids}) if ids else []
    turns = {row["interaction_id"]: interaction_of(row) for row in rows}
    asked = [(matter, _question(matter.contest, turns)) for matter in found]
    return [(matter, question) for matter, question in asked if question]


def _question(contest: Contest, turns: Mapping[str, Interaction]) -> Question | None:
    sides = []
    for value in contest.values:
        claims = contest.claims(value)
        quotes = [e for e in _newest(claims) if e.interaction_id in turns]
        if not quotes:
            return None
        sides.append(Side(value, claims[-1].candidate.text, tuple(quotes)))
    cited = {e.interaction_id for side in sides for e in side.quotes}
    shown = sorted((turns[i] for i in cited), key=lambda t: (t.occurred_at, t.id))
    if not any(map(by_person, shown)):  # no verdict could stand on them
        return None
    said = contest.claims()[-1].candidate
    about = {"attribute": said.attribute, "of": said.subject, "context": said.context}
    return Question({k: v for k, v in about.items() if v}, tuple(sides), tuple(shown))


def _newest(claims: Iterable[Assertion]) -> list[Evidence]:
    """The newest quotes for each value, newest first."""
    found: dict[str | None, list[Evidence]] = {}
    for claim in reversed(list(claims)):
        said = claim.candidate
        found.setdefault(said.value, []).extend(said.evidence)
    return [e for quotes in found.values() for e in quotes[:MOST_QUOTES]]


def _asserted(matter: _Open, ruling: Ruling) -> Assertion:
    claims = matter.contest.claims()
    newest = claims[-1]
    said = newest.candidate
    rests_on = sorted({i for claim in claims for i in claim.interactions})
    return Assertion(
        Candidate(
            said.kind,
            "",
            ruling.evidence,
            said.occurred_at,
            attribute=said.attribute,
            subject=said.subject,
            context=said.context,
            single_valued=said.single_valued,
            stance=Stance.SUPPORTS,
        ),
        ruling.made_by,
        recorded_at=matter.since,
        position=max(claim.position for claim in claims),
        agent=newest.agent,
        verdict=Verdict(matter.contest.digest, ruling.holds, tuple(rests_on)),
    )
