"""Forgetting: takes interactions away, and with them whatever stood only on them.

One transaction removes the interactions, every version of every belief they touched, its
evidence and vectors, and puts back what the remaining evidence still says.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from memory.consolidation import Assertion
from memory.database import Database, Transaction
from memory.errors import ConcurrentWrite, UnknownMemory
from memory.long_term import LongTerm, Plan, assertion_of, planned_afresh
from memory.models import Scope, Stance

ATTEMPTS = 3

Also = Callable[[Transaction], Awaitable[None]]
Survivor = Callable[[Assertion], Assertion | None]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a `forget()` took away: interactions for good, and memories that stood on them."""

    interactions: int
    memories: int


class Eraser:
    """Forgets a memory, a session or a user, over one database role."""

    def __init__(self, database: Database, long_term: LongTerm) -> None:
        self._database = database
        self._long_term = long_term

    async def memory(self, scope: Scope, memory: int, *, keep_sources: bool) -> Forgotten:
        """Forgets one memory, and the interactions that speak for it unless they are kept.

        Raises:
            UnknownMemory: the user has no such memory.
        """
        params = {"memory": memory}
        found, evidence = await self._database.fetch_all(
            scope, [("long_term.memory", params), ("long_term.evidence", params)]
        )
        if not found:
            raise UnknownMemory(f"user {scope.user!r} has no memory {memory!r}")
        row = found[0]
        if not keep_sources:
            ids = [e["interaction_id"] for e in evidence if e["stance"] == Stance.SUPPORTS]
            return await self.interactions(scope, ids)
        value = row["value"] or ""

        async def refuse(transaction: Transaction) -> None:
            params = {"belief_key": row["belief_key"], "value": value}
            await transaction.fetch("long_term.forget_belief", params)

        removed = await self._rebuild(
            scope,
            [(row["generation"], row["belief_key"])],
            lambda a: None if (a.candidate.value or "") == value else a,
            refuse,
        )
        return Forgotten(0, removed)

    async def session(self, scope: Scope) -> Forgotten:
        """Forgets the scope's session: its interactions, state, and what stood only on them."""
        session = {"session": scope.require_session()}
        rows = await self._database.fetch(scope, "log.session_ids", session)
        forgotten = await self.interactions(scope, [row["interaction_id"] for row in rows])
        await self._database.fetch(scope, "log.forget_session", session)
        return forgotten

    async def user(self, scope: Scope) -> Forgotten:
        """Forgets all of a user but the digests that keep forgotten ids forgotten."""
        whole = {"session": None}
        async with self._database.transaction(scope) as transaction:
            keys = {"tenant": scope.tenant, "user": scope.user}
            # The user's row is taken first, as every writer does: nothing arrives in between.
            await transaction.fetch("log.fence", keys)
            ids = await transaction.fetch("log.session_ids", {**keys, **whole})
            await transaction.fetch(
                "log.tombstone", {**keys, "ids": [row["interaction_id"] for row in ids]}
            )
            memories = await transaction.fetch("long_term.forget_all", keys)
            await transaction.fetch("log.forget_session", {**keys, **whole})
        return Forgotten(len(ids), len(memories))

    async def interactions(self, scope: Scope, ids: Sequence[str]) -> Forgotten:
        """Forgets interactions by id; unknown ids are passed over."""
        gone = set(ids)
        rows = await self._database.fetch(
            scope, "long_term.keys_of_interactions", {"ids": list(ids)}
        )

        async def remove(transaction: Transaction) -> None:
            params = {"tenant": scope.tenant, "user": scope.user, "ids": list(ids)}
            await transaction.fetch("log.rewind", params)
            await transaction.fetch("log.tombstone", params)
            await transaction.fetch("log.mark_due", params)

        keys = [(row["generation"], row["belief_key"]) for row in rows]
        removed = await self._rebuild(scope, keys, lambda a: without(a, gone), remove)
        return Forgotten(len(gone), removed)

    async def _rebuild(
        self,
        scope: Scope,
        keys: Sequence[tuple[int, bytes]],
        survivor: Survivor,
        also: Also,
    ) -> int:
        for attempt in range(ATTEMPTS):
            try:
                return await self._rebuild_once(scope, keys, survivor, also)
            except ConcurrentWrite:
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def _rebuild_once(
        self, scope: Scope, keys: Sequence[tuple[int, bytes]], survivor: Survivor, also: Also
    ) -> int:
        seq = await self._database.fetch(scope, "long_term.change_seq")
        at = seq[0]["change_seq"] if seq else 0
        plans = []
        for generation in sorted({g for g, _ in keys}):
            wanted = [key for g, key in keys if g == generation]
            rows = await self._database.fetch(
                scope, "long_term.assertions", {"generation": generation, "keys": wanted}
            )
            surviving = (survivor(assertion_of(row)) for row in rows)
            kept = [assertion for assertion in surviving if assertion is not None]
            plans.append((wanted, planned_afresh(scope, generation, at, kept)))
            at = plans[-1][1].to_seq
        vectors = [await self._long_term.embed(plan) for _, plan in plans]
        async with self._database.transaction(scope) as transaction:
            await also(transaction)
            removed = 0
            for (wanted, plan), made in zip(plans, vectors, strict=True):
                removed += await _replaced(transaction, plan, wanted)
                await self._long_term.commit(transaction, plan, made)
        return removed


async def _replaced(transaction: Transaction, plan: Plan, keys: Sequence[bytes]) -> int:
    params = {
        "tenant": plan.scope.tenant,
        "user": plan.scope.user,
        "generation": plan.generation,
        "keys": list(keys),
    }
    await transaction.fetch("long_term.delete_assertion_keys", params)
    return len(await transaction.fetch("long_term.delete_keys", params))


def without(assertion: Assertion, gone: set[str]) -> Assertion | None:
    """The assertion on what evidence remains; None where nothing does.

    What was worded from a source that is gone cannot keep its wording, so a candidate whose own
    words rest on it goes as a whole unless other evidence carries it.
    """
    remaining = tuple(
        e for e in assertion.candidate.evidence if e.interaction_id not in gone
    )
    if len(remaining) == len(assertion.candidate.evidence):
        return assertion
    if not any(e.stance is Stance.SUPPORTS for e in remaining):
        return None
    return replace(assertion, candidate=replace(assertion.candidate, evidence=remaining))
