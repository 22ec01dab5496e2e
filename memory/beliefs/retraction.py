"""Retracts and restores interactions: a retracted one stays in the log and stops counting.

One transaction marks the interactions, closes the beliefs that rested on them, revives the ones
that those had replaced, and makes extraction read their sessions again for memories derived from
several interactions at once. History is not rewritten: earlier beliefs keep their dates, and the
new state is believed from the retraction on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg.rows import DictRow

from memory.beliefs.long_term import (
    Changes,
    LongTerm,
    Vectors,
    repeated,
)
from memory.beliefs.planning import Plan, plan_standing
from memory.beliefs.rows import assertion_of, retraction_of, stored_belief_of
from memory.database import Database, StatementRunner
from memory.errors import ConcurrentWrite, InvalidInput, UnknownInteraction
from memory.models import MAX_NAME_CHARACTERS, Retraction, Scope

MAX_REASON_CHARACTERS = 1_000


@dataclass(frozen=True, slots=True)
class InteractionSelector:
    """Selects interactions by their ids or by their source: exactly one of the two.

    Raises:
        InvalidInput: none, both, or an empty list.
    """

    ids: Sequence[str] = ()
    source: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.ids, str) or bool(self.ids) == (self.source is not None):
            raise InvalidInput(
                "name either interactions, by a list of ids, or a source, got"
                f" interactions={self.ids!r}, source={self.source!r}"
            )


@dataclass(frozen=True, slots=True)
class AuditReason:
    """The person or process that retracts or restores, and the reason; both are kept.

    Raises:
        InvalidInput: no name, or text that is too long.
    """

    by: str
    reason: str = ""

    def __post_init__(self) -> None:
        if not 0 < len(self.by) <= MAX_NAME_CHARACTERS or "\x00" in self.by + self.reason:
            raise InvalidInput(
                f"by must be 1 to {MAX_NAME_CHARACTERS} characters, without NUL, got {self.by!r}"
            )
        if len(self.reason) > MAX_REASON_CHARACTERS:
            raise InvalidInput(
                f"a reason has at most {MAX_REASON_CHARACTERS:,} characters,"
                f" got {len(self.reason):,}"
            )


@dataclass(frozen=True, slots=True)
class Revised:
    """The result of a retraction or a restoration.

    interactions: how many it marked.
    unchanged: how many already were in the requested state.
    closed, believed: memories that it ended, and memories that took their place, over every
        generation. Extraction adds those that are derived from several interactions at once.
    """

    interactions: int = 0
    unchanged: int = 0
    closed: int = 0
    believed: int = 0


async def retractions(database: StatementRunner, scope: Scope, limit: int) -> list[Retraction]:
    """Lists the user's retractions, newest first, including restored ones."""
    params = {"agent": scope.agent, "limit": limit}
    rows = await database.fetch(scope, "retraction.listed", params)
    return [retraction_of(row) for row in rows]


class Retractor:
    """Retracts and restores interactions of one user at a time, over one database role.

    What is private to another agent than the scope's is not there, except for an operator.
    """

    def __init__(self, database: Database, long_term: LongTerm, *, operator: bool = False) -> None:
        self._database = database
        self._long_term = long_term
        self._operator = operator

    async def retract(self, scope: Scope, which: InteractionSelector, why: AuditReason) -> Revised:
        """Retracts interactions; those already retracted stay as they are.

        Raises:
            UnknownInteraction: an id is not in the user's log; nothing was changed.
        """
        return await repeated(lambda: self._once("retract", scope, which, why))

    async def restore(self, scope: Scope, which: InteractionSelector, why: AuditReason) -> Revised:
        """Undoes a retraction; see `retract`."""
        return await repeated(lambda: self._once("restore", scope, which, why))

    async def _once(
        self,
        what: Literal["retract", "restore"],
        scope: Scope,
        which: InteractionSelector,
        why: AuditReason,
    ) -> Revised:
        changes = await self._long_term.changes(scope)
        named = await self._named(scope, which)
        retracting = what == "retract"
        ids = [r["interaction_id"] for r in named if (r["retracted_at"] is None) is retracting]
        if not ids:
            return Revised(unchanged=len(named))
        (row,) = await self._database.fetch(scope, "retraction.now")
        gone = await self._gone(scope, ids, retracting=retracting)
        planned = await self._planned(scope, changes, ids, gone, row["now"])
        keys = {"tenant": scope.tenant, "user": scope.user, "ids": ids, "at": row["now"]}
        async with self._database.transaction(scope) as transaction:
            # First of all, as every writer does: so locks are always taken in one order.
            fence = {**keys, "from_seq": changes.change_seq}
            if not await transaction.fetch("log.fence", fence):
                raise ConcurrentWrite(f"memories of user {scope.user!r} changed meanwhile")
            mark = {**keys, "by": why.by, "reason": why.reason}
            marked = await transaction.fetch(f"retraction.{what}", mark)
            await transaction.fetch("log.rewind", keys)
            await transaction.fetch("log.mark_due", keys)
            done = [await self._long_term.commit(transaction, p, made) for p, made in planned]
            await transaction.fetch("collective.withdraw_support", {})
        return Revised(
            len(marked),
            len(named) - len(ids),
            sum(d.closed for d in done),
            sum(d.added for d in done),
        )

    async def _named(self, scope: Scope, which: InteractionSelector) -> list[DictRow]:
        sees = {"agent": scope.agent, "operator": self._operator}
        if which.source is not None:
            source = {**sees, "source": which.source}
            return await self._database.fetch(scope, "retraction.by_source", source)
        ids = {**sees, "ids": list(which.ids)}
        rows = await self._database.fetch(scope, "retraction.by_ids", ids)
        unknown = sorted(set(which.ids) - {row["interaction_id"] for row in rows})
        if unknown:
            raise UnknownInteraction(
                f"user {scope.user!r} has no interaction {', '.join(map(repr, unknown[:5]))}"
            )
        return rows

    async def _gone(self, scope: Scope, ids: Sequence[str], *, retracting: bool) -> frozenset[str]:
        """The interactions that do not count once this is done."""
        rows = await self._database.fetch(scope, "retraction.retracted")
        before = {row["interaction_id"] for row in rows}
        return frozenset(before | set(ids) if retracting else before - set(ids))

    async def _planned(
        self,
        scope: Scope,
        changes: Changes,
        ids: Sequence[str],
        gone: frozenset[str],
        at: datetime,
    ) -> list[tuple[Plan, Vectors]]:
        """Plans each generation's changes; each plan follows the one before it."""
        named = {"ids": list(ids)}
        keys, resting = await self._database.fetch_all(
            scope, [("long_term.keys_of_interactions", named), ("retraction.resting", named)]
        )
        # What still counts after a restoration rests on nothing that does not.
        ending = {row["memory_id"] for row in resting} if gone.issuperset(ids) else set[int]()
        planned: list[tuple[Plan, Vectors]] = []
        seq = changes.change_seq + 1
        for generation in sorted({row["generation"] for row in keys}):
            plan = Plan(scope, generation, seq, seq)
            of_it = [row["belief_key"] for row in keys if row["generation"] == generation]
            await self._plan(plan, of_it, gone, ending, at)
            planned.append((plan, await self._long_term.embed(plan)))
            seq = plan.end
        await self._long_term.embedder_id()
        return planned

    async def _plan(
        self,
        plan: Plan,
        keys: Sequence[bytes],
        gone: frozenset[str],
        ending: set[int],
        at: datetime,
    ) -> None:
        params = {"generation": plan.generation, "keys": list(keys)}
        asserted, believed = await self._database.fetch_all(
            plan.scope,
            [("retraction.standing", params), ("long_term.open_beliefs", params)],
        )
        for key in keys:
            standing = [
                assertion
                for assertion in (assertion_of(r) for r in asserted if r["belief_key"] == key)
                if gone.isdisjoint(assertion.interactions)
            ]
            current = [stored_belief_of(r) for r in believed if r["belief_key"] == key]
            plan_standing(plan, key, standing, current, ending, at)
