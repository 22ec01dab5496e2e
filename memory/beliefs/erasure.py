"""Forgetting: removes interactions and every memory that rests on them.

One transaction removes the interactions, every version of every belief they touched, and its
evidence and vectors. Then it rebuilds what the remaining evidence supports. A memory that rests
only partly on a forgotten interaction goes too, since its words may be the forgotten ones;
extraction reads its sessions again and derives it from what is left. The same transaction withdraws
the user's support for collective memories.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from psycopg.rows import DictRow

from memory.beliefs.assertions import Assertion
from memory.beliefs.long_term import LongTerm, repeated, value_digest
from memory.beliefs.planning import Plan, planned_afresh
from memory.beliefs.rows import assertion_of
from memory.database import Database, Transaction
from memory.database.pipeline import Params
from memory.errors import ConcurrentWrite, UnknownMemory
from memory.models import Scope, Stance


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The result of `forget()`: how many interactions and memories were removed."""

    interactions: int
    memories: int


@dataclass(frozen=True, slots=True)
class Removal:
    """The belief keys to fold again, each with its generation, and the assertions that survive."""

    keys: Sequence[tuple[int, bytes]]
    survives: Callable[[Assertion], bool]


Find = Callable[[], Awaitable[Removal]]
Remove = Callable[[Transaction], Awaitable[int]]


class Eraser:
    """Forgets a memory, a session or a user, over one database role."""

    def __init__(self, database: Database, long_term: LongTerm) -> None:
        self._database = database
        self._long_term = long_term

    async def memory(self, scope: Scope, memory: int, *, keep_sources: bool) -> Forgotten:
        """Forgets one memory and, unless they are kept, the interactions that support it.

        Raises:
            UnknownMemory: the user has no such memory, or it is private to another agent.
        """
        params = {"memory": memory, "agent": scope.agent}
        found, evidence = await self._database.fetch_all(
            scope, [("long_term.memory", params), ("long_term.evidence", params)]
        )
        if not found:
            raise UnknownMemory(f"user {scope.user!r} has no memory {memory!r}")
        row = found[0]
        if not keep_sources:
            ids = [e["interaction_id"] for e in evidence if e["stance"] == Stance.SUPPORTS]
            return await self.interactions(scope, ids)
        refused = value_digest(row["value"])

        async def find() -> Removal:
            # What is refused here is refused in every generation.
            params = {"belief_key": row["belief_key"]}
            rows = await self._database.fetch(scope, "long_term.generations_of_key", params)
            keys = [(r["generation"], row["belief_key"]) for r in rows]
            return Removal(
                keys,
                # A verdict may name the value, and what it judged is no more.
                lambda a: not a.verdict and value_digest(a.candidate.value) != refused,
            )

        async def remove(transaction: Transaction) -> int:
            params = {"belief_key": row["belief_key"], "value_digest": refused}
            await transaction.fetch("long_term.forget_belief", {**_keys(scope), **params})
            return 0

        return await self._rebuild(scope, find, remove)

    async def interactions(self, scope: Scope, ids: Sequence[str]) -> Forgotten:
        """Forgets interactions by id; unknown ids are ignored."""

        async def find() -> Removal:
            return await self._standing_on(scope, ids)

        async def remove(transaction: Transaction) -> int:
            return await _removed(transaction, _keys(scope), ids)

        return await self._rebuild(scope, find, remove)

    async def session(self, scope: Scope) -> Forgotten:
        """Forgets the scope's session: its interactions, its state, and its memories.

        What is private to another agent than the scope's stays, and keeps the session.
        """
        params = {**_keys(scope), "session": scope.require_session(), "agent": scope.agent}

        async def find() -> Removal:
            rows = await self._database.fetch(scope, "log.ids_of_session", params)
            return await self._standing_on(scope, _seen(rows))

        async def remove(transaction: Transaction) -> int:
            # Under the user's lock, so that what was recorded since we looked goes too.
            rows = await transaction.fetch("log.ids_of_session", params)
            ids = _seen(rows)
            if len(ids) < len(rows):
                return await _removed(transaction, params, ids)
            removed = await _tombstoned(transaction, {**params, "ids": ids})
            await transaction.fetch("log.forget_session", params)
            await transaction.fetch("log.forget_letters", {**params, "ids": None})
            return removed

        return await self._rebuild(scope, find, remove)

    async def user(self, scope: Scope) -> Forgotten:
        """Forgets everything of a user, except the digests that keep forgotten ids refused."""
        params = {**_keys(scope), "session": None, "from_seq": None}
        async with self._database.transaction(scope) as transaction:
            # Locks the user's row: nothing arrives from here on.
            await transaction.fetch("log.fence", params)
            rows = await transaction.fetch("log.ids_of_user", params)
            ids = [row["interaction_id"] for row in rows]
            removed = await _tombstoned(transaction, {**params, "ids": ids})
            memories = await transaction.fetch("long_term.forget_all", params)
            await transaction.fetch("models.forget_answers", params)
            await transaction.fetch("models.forget_calls", params)
            await transaction.fetch("log.forget_session", params)
            await transaction.fetch("log.forget_letters", {**params, "ids": None})
            await transaction.fetch("collective.withdraw_support", {})
        return Forgotten(removed, len(memories))

    async def _standing_on(self, scope: Scope, ids: Sequence[str]) -> Removal:
        params = {"ids": list(ids)}
        rows = await self._database.fetch(scope, "long_term.keys_of_interactions", params)
        gone = frozenset(ids)
        return Removal(
            [(row["generation"], row["belief_key"]) for row in rows],
            lambda a: gone.isdisjoint(a.interactions),
        )

    async def _rebuild(self, scope: Scope, find: Find, remove: Remove) -> Forgotten:
        return await repeated(lambda: self._rebuild_once(scope, find, remove))

    async def _rebuild_once(self, scope: Scope, find: Find, remove: Remove) -> Forgotten:
        changes = await self._long_term.changes(scope)
        plans = await self._plans(scope, changes.change_seq + 1, await find())
        vectors = [await self._long_term.embed(plan) for _, plan in plans]
        async with self._database.transaction(scope) as transaction:
            # First of all, as every writer does: so locks are always taken in one order.
            fence = {**_keys(scope), "from_seq": changes.change_seq}
            if not await transaction.fetch("log.fence", fence) and changes.as_seen:
                raise ConcurrentWrite(f"memories of user {scope.user!r} changed meanwhile")
            interactions = await remove(transaction)
            await transaction.fetch("models.forget_answers", _keys(scope))
            memories = 0
            for (keys, plan), made in zip(plans, vectors, strict=True):
                memories += await _cleared(transaction, plan, keys)
                await self._long_term.commit(transaction, plan, made)
            await transaction.fetch("collective.withdraw_support", {})
        return Forgotten(interactions, memories)

    async def _plans(self, scope: Scope, at: int, loss: Removal) -> list[tuple[list[bytes], Plan]]:
        """Plans for each generation the keys to clear and the memories to write in their place."""
        plans: list[tuple[list[bytes], Plan]] = []
        for generation in sorted({g for g, _ in loss.keys}):
            keys = [key for g, key in loss.keys if g == generation]
            params = {"generation": generation, "keys": keys}
            rows = await self._database.fetch(scope, "long_term.assertions", params)
            kept = [a for a in map(assertion_of, rows) if loss.survives(a)]
            plan = planned_afresh(scope, generation, at, kept)
            plans.append((keys, plan))
            at = plan.to_seq
        return plans


def _keys(scope: Scope) -> dict[str, str]:
    return {"tenant": scope.tenant, "user": scope.user}


def _seen(rows: Sequence[DictRow]) -> list[str]:
    return [row["interaction_id"] for row in rows if row["seen"]]


async def _removed(transaction: Transaction, params: Params, ids: Sequence[str]) -> int:
    """Removes some of a session's or of several sessions' interactions; the sessions stay."""
    named = {**params, "ids": list(ids)}
    await transaction.fetch("log.rewind", {**named, "at": None})
    await transaction.fetch("log.forget_letters", {"session": None, "ids": list(ids)})
    return await _tombstoned(transaction, named)


async def _tombstoned(transaction: Transaction, params: Params) -> int:
    removed = await transaction.fetch("log.tombstone", params)
    await transaction.fetch("log.recount", params)
    await transaction.fetch("log.mark_due", params)
    return len(removed)


async def _cleared(transaction: Transaction, plan: Plan, keys: Sequence[bytes]) -> int:
    params = {**_keys(plan.scope), "generation": plan.generation, "keys": list(keys)}
    await transaction.fetch("long_term.delete_assertion_keys", params)
    return len(await transaction.fetch("long_term.delete_keys", params))
