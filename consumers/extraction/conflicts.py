"""Asks a language model about conflicts that the rules leave open, and asserts its verdicts.

A verdict is one more assertion under the belief key of the conflict, so the fold decides with it:
on that conflict only, and only while its evidence is unchanged.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from extractors.language_model.conflicts import (
    MOST_QUOTES,
    MOST_VALUES,
    ConflictOption,
    ConflictQuestion,
    ConflictResolver,
    Resolution,
)
from extractors.language_model.grounding import by_person
from memory.beliefs.assertions import Assertion, Verdict
from memory.beliefs.consolidation import Conflict, open_conflicts
from memory.beliefs.founding import Founding
from memory.beliefs.rows import assertion_of
from memory.database import Database
from memory.log.rows import interaction_of
from memory.log.tenant_policies import TenantPolicies
from memory.models import Candidate, Evidence, Interaction, Scope, Stance
from memory.trust.origins import TenantTrust

MOST_KEYS = 100
"""Belief keys read at a time: those with the newest conflicts."""


@dataclass(frozen=True, slots=True)
class _OpenConflict:
    """A conflict without a verdict, and the time since which it has been unchanged."""

    conflict: Conflict
    since: datetime

    @property
    def agent(self) -> str | None:
        """The agent to which the conflict is private, if any; part of the belief key."""
        return self.conflict.beliefs[0].newest.agent


async def verdicts(
    database: Database,
    resolver: ConflictResolver,
    scope: Scope,
    generation: int,
    trust: TenantTrust,
) -> list[Assertion]:
    """Returns a verdict on each open conflict of the user that can be decided now.

    Private and shared conflicts, and those of different agents, are never shown together.
    """
    found = sorted(await _opened(database, scope, generation), key=lambda o: o.agent or "")
    made: list[Assertion] = []
    for _, conflicts in groupby(found, key=lambda o: o.agent):
        asked = await _questions(database, scope, list(conflicts))
        resolutions = await resolver.resolve(scope, [question for _, question in asked])
        for (opened, question), resolution in zip(asked, resolutions, strict=True):
            if resolution:
                founding = Founding(trust, {turn.id: turn for turn in question.turns})
                made.append(_asserted(opened, resolution, founding))
    return made


async def _opened(database: Database, scope: Scope, generation: int) -> list[_OpenConflict]:
    within = {"generation": generation}
    rows = await database.fetch(scope, "long_term.contested", {**within, "limit": MOST_KEYS})
    if not rows:
        return []
    since = {row["belief_key"]: row["since"] for row in rows}
    asserted: dict[bytes, list[Assertion]] = {key: [] for key in since}
    for row in await database.fetch(scope, "long_term.assertions", {**within, "keys": list(since)}):
        assertion = assertion_of(row)
        if assertion.verdict or not assertion.waits:  # what was asked is not asked again
            asserted[row["belief_key"]].append(assertion)
    return [
        _OpenConflict(conflict, max(since[key], *(a.recorded_at for a in under)))
        for key, under in asserted.items()
        for conflict in open_conflicts(under)
        if len(conflict.values) <= MOST_VALUES
    ]


async def _questions(
    database: Database, scope: Scope, found: Sequence[_OpenConflict]
) -> list[tuple[_OpenConflict, ConflictQuestion]]:
    """The conflicts that can be asked about: the log still holds a turn for each value."""
    ids = sorted({e.interaction_id for o in found for e in _newest(o.conflict.claims())})
    rows = await database.fetch(scope, "log.read_ids", {"ids": ids}) if ids else []
    policy = await TenantPolicies(database).of(scope.tenant)
    turns = {row["interaction_id"]: policy.to_derive(interaction_of(row)) for row in rows}
    asked = [(opened, _question(opened.conflict, turns)) for opened in found]
    return [(opened, question) for opened, question in asked if question]


def _question(conflict: Conflict, turns: Mapping[str, Interaction]) -> ConflictQuestion | None:
    options = []
    for value in conflict.values:
        claims = conflict.claims(value)
        quotes = [e for e in _newest(claims) if e.interaction_id in turns]
        if not quotes:
            return None
        options.append(ConflictOption(value, claims[-1].candidate.text, tuple(quotes)))
    cited = {e.interaction_id for option in options for e in option.quotes}
    shown = sorted((turns[i] for i in cited), key=lambda t: (t.occurred_at, t.id))
    if not any(map(by_person, shown)):  # no verdict could stand on them
        return None
    said = conflict.claims()[-1].candidate
    about = {"attribute": said.attribute, "of": said.subject, "context": said.context}
    return ConflictQuestion({k: v for k, v in about.items() if v}, tuple(options), tuple(shown))


def _newest(claims: Iterable[Assertion]) -> list[Evidence]:
    """The newest quotes for each value, newest first."""
    found: dict[str | None, list[Evidence]] = {}
    for claim in reversed(list(claims)):
        said = claim.candidate
        found.setdefault(said.value, []).extend(said.evidence)
    return [e for quotes in found.values() for e in quotes[:MOST_QUOTES]]


def _asserted(opened: _OpenConflict, resolution: Resolution, founding: Founding) -> Assertion:
    claims = opened.conflict.claims()
    newest = claims[-1]
    said = newest.candidate
    rests_on = sorted({i for claim in claims for i in claim.interactions})
    decides = Candidate(
        said.kind,
        "",
        resolution.evidence,
        said.occurred_at,
        attribute=said.attribute,
        subject=said.subject,
        context=said.context,
        single_valued=said.single_valued,
        stance=Stance.SUPPORTS,
    )
    decides = founding.with_origins(decides, resolution.made_by)
    return Assertion(
        decides,
        resolution.made_by,
        recorded_at=opened.since,
        position=max(claim.position for claim in claims),
        agent=newest.agent,
        proposal=founding.proposal(decides, resolution.made_by),
        verdict=Verdict(opened.conflict.digest, resolution.holds, tuple(rests_on)),
    )
