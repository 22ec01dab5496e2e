"""The long-term tier: plans the changes of new assertions, commits them, and reads memories.

A plan is made outside any transaction, so that embedding holds no connection and no lock. It
commits only if the user's change sequence has not moved since.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from memory.beliefs.assertions import Assertion, belief_key
from memory.beliefs.founding import TrustReader
from memory.beliefs.planning import (
    CompleteSet,
    Plan,
    by_belief,
    plan_key,
)
from memory.beliefs.rows import (
    assertion_of,
    evidence_of,
    iso,
    memory_of,
    retraction_of,
    stored_belief_of,
)
from memory.database import Database, StatementRunner, Transaction
from memory.embedding import Embedder
from memory.errors import (
    ConcurrentWrite,
    EmbedderMismatch,
    LeaseLost,
    UnknownMemory,
    WrongDimension,
)
from memory.language.turns import embedded_text
from memory.models import (
    Explanation,
    Memory,
    MemoryKind,
    Scope,
)
from memory.point_in_time import PointInTime

ATTEMPTS = 3
NOW = {"as_of": None, "believed_at": None}
NO_EMBEDDER = 0
"""What no vector is of: stands for an embedder that the store does not have yet."""

T = TypeVar("T")

Vectors = Mapping[int, NDArray[np.float32]]
"""A vector for each memory that a plan inserts, by memory id."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The user's sequences: how often memories changed, and how often something was forgotten.

    `as_seen` is false for a user without interactions.
    """

    change_seq: int = 0
    forget_seq: int = 0
    as_seen: bool = True


@dataclass(frozen=True, slots=True)
class Committed:
    """The effect of a commit: memories added, closed and reinforced."""

    added: int = 0
    closed: int = 0
    reinforced: int = 0


async def seal(database: Database, scope: Scope, generation: int | None = None) -> int:
    """Builds the recall blocks of the user's memories, and returns how many it built.

    Each block commits by itself. Without blocks, recall finds the same memories row by row.
    """
    made = 0
    while (await database.fetch(scope, "long_term.seal", {"generation": generation}))[0]["sealed"]:
        made += 1
    return made


class LongTermReader:
    """Reads the long-term memories of one store, over one database role and one embedder."""

    def __init__(self, database: StatementRunner, embedder: Embedder) -> None:
        self._database = database
        self._embedder = embedder
        self._embedder_id: int | None = None

    @property
    def embedder(self) -> Embedder:
        """The embedder that makes the vectors."""
        return self._embedder

    async def embedder_id(self) -> int:
        """Returns the id of this embedder's vectors, or NO_EMBEDDER in a store without any.

        Raises:
            EmbedderMismatch: another embedder made the store's vectors.
        """
        if self._embedder_id is None:
            self._embedder_id = await self._live()
        return NO_EMBEDDER if self._embedder_id is None else self._embedder_id

    async def _live(self) -> int | None:
        live = await self._database.fetch_system("embedders.live")
        if not live:
            return None
        row = live[0]
        if (row["name"], row["dimensions"]) != (self._embedder.name, self._embedder.dimensions):
            raise EmbedderMismatch(
                f"the store's vectors were made by {row['name']!r}, configured is"
                f" {self._embedder.name!r}; configure the former"
            )
        return int(row["embedder_id"])

    async def history(
        self,
        scope: Scope,
        *,
        kinds: Iterable[MemoryKind] | None = None,
        attribute: str | None = None,
        closed: bool = False,
        contested: bool = False,
        limit: int = 100,
        at: PointInTime | None = None,
    ) -> list[Memory]:
        """Lists the user's memories, newest belief first; see `AsyncMemoryClient.history`."""
        params = {
            **(at.params if at else NOW),
            "all": closed,
            "contested": contested,
            "kinds": [k.value for k in kinds] if kinds is not None else None,
            "attribute": attribute,
            "agent": scope.agent,
            "limit": limit,
        }
        rows = await self._database.fetch(scope, "long_term.history", params)
        found = [memory_of(row) for row in rows]
        return found if at is None else [at.as_seen(memory) for memory in found]

    async def explain(
        self, scope: Scope, memory: int, at: PointInTime | None = None
    ) -> Explanation:
        """Explains a memory; see `AsyncMemoryClient.explain`.

        Raises:
            UnknownMemory: the user has no such memory, it is private to another agent, or at that
                time it was not believed or did not hold.
        """
        params = {"memory": memory, "agent": scope.agent}
        found, evidence, versions, successor, retractions = await self._database.fetch_all(
            scope,
            [
                ("long_term.memory", params),
                ("long_term.evidence", params),
                ("long_term.versions", params),
                ("long_term.successor", params),
                ("retraction.of_memory", params),
            ],
        )
        if not found:
            raise UnknownMemory(f"user {scope.user!r} has no memory {memory!r}")
        by_id = {row["memory_id"]: memory_of(row) for row in versions}
        explained = memory_of(found[0])
        whole = Explanation(
            explained,
            tuple(evidence_of(row) for row in evidence if at is None or _spoke(row, at)),
            by_id.get(explained.supersedes or 0),
            memory_of(successor[0]) if successor else None,
            tuple(retraction_of(row) for row in retractions),
        )
        return whole if at is None else _as_seen(whole, at)


class LongTerm(LongTermReader):
    """The long-term memories of one store, over one database role and one embedder."""

    _database: Database

    def __init__(self, database: Database, embedder: Embedder, language: str) -> None:
        super().__init__(database, embedder)
        self._language = language
        self.trust = TrustReader(database)

    async def _live(self) -> int | None:
        """As for reading; registers this embedder in an empty store."""
        live = await super()._live()
        if live is not None:
            return live
        params = {"name": self._embedder.name, "dimensions": self._embedder.dimensions}
        await self._database.fetch_system("embedders.register", params)
        return await super()._live()  # perhaps another process's, which is then a mismatch

    async def plan(
        self,
        scope: Scope,
        assertions: Sequence[Assertion],
        complete: CompleteSet | None = None,
        *,
        forget_seq: int | None = None,
        generation: int | None = None,
        after: Plan | None = None,
    ) -> Plan:
        """Plans what `assertions` change in the beliefs about the user.

        With `complete`, earlier assertions of those extractors that are missing now are withdrawn.
        `forget_seq` is the user's value before the log was read: if anything was forgotten since,
        the plan may rest on it and will not commit. `generation` defaults to the one that serves
        the user. A plan `after` another one, of another generation, commits in the same
        transaction.
        """
        seq, serving = await self._foundations(scope)
        assertions = await self._decided(scope, assertions)  # or a decision meanwhile went unseen
        seq = seq if after is None else after.end
        generation = serving if generation is None else generation
        keyed = by_belief(assertions)
        if complete is not None:
            ids = None if complete.interactions is None else sorted(complete.interactions)
            made = {"generation": generation, "extractors": sorted(complete.extractors), "ids": ids}
            rows = await self._database.fetch(scope, "long_term.keys_made", made)
            for row in rows:
                keyed.setdefault(row["belief_key"], [])
        plan = Plan(scope, generation, seq, seq, forget_seq)
        params = {"generation": generation, "keys": list(keyed)}
        stored, believed, forgotten = await self._database.fetch_all(
            scope,
            [
                ("long_term.assertions", params),
                ("long_term.open_beliefs", params),
                ("long_term.forgotten_beliefs", params),
            ],
        )
        known, current = _by_key(stored), _by_key(believed)
        unwanted = {(row["belief_key"], row["value_digest"]) for row in forgotten}
        for key, proposed in keyed.items():
            plan_key(
                plan,
                key,
                [a for a in proposed if (key, value_digest(a.candidate.value)) not in unwanted],
                [assertion_of(row) for row in known.get(key, [])],
                [stored_belief_of(row) for row in current.get(key, [])],
                complete,
            )
        return plan

    async def _decided(self, scope: Scope, assertions: Sequence[Assertion]) -> Sequence[Assertion]:
        """The assertions, with what was decided on those that are proposals."""
        proposals = sorted({a.proposal for a in assertions if a.proposal is not None})
        if not proposals:
            return assertions
        params = {"proposals": proposals}
        rows = await self._database.fetch(scope, "long_term.decisions", params)
        approved = {row["proposal"] for row in rows if row["approved"]}
        return [replace(a, approved=a.proposal in approved) for a in assertions]

    async def embed(self, plan: Plan) -> Vectors:
        """Returns a vector for each memory that the plan inserts.

        Raises:
            WrongDimension: the embedder made other vectors than it declares.
        """
        rows = list(plan.memories.values())
        if not rows:
            return {}
        vectors = await self._embedder.embed(
            [embedded_text(row["text"], row["payload"]) for row in rows]
        )
        declared = self._embedder.dimensions
        if vectors.shape != (len(rows), declared):
            raise WrongDimension(
                f"embedder {self._embedder.name!r} declares {declared} dimensions and made"
                f" {vectors.shape!r} for {len(rows)} texts"
            )
        return {row["memory_id"]: vector for row, vector in zip(rows, vectors, strict=True)}

    async def commit(
        self,
        transaction: Transaction,
        plan: Plan,
        vectors: Vectors,
        lease: UUID | None = None,
    ) -> Committed:
        """Writes the plan within the caller's transaction.

        Raises:
            ConcurrentWrite: the user's memories changed since the plan was made; plan again.
            LeaseLost: `lease` is no longer the user's.
        """
        keys = {"tenant": plan.scope.tenant, "user": plan.scope.user}
        claim = {
            **keys,
            "from_seq": plan.from_seq,
            "to_seq": plan.end,
            "forget_seq": plan.forget_seq,
            "lease": lease,
        }
        if not await transaction.fetch("long_term.advance", claim):
            if lease is not None:
                raise LeaseLost(
                    f"lease {str(lease)!r} of user {plan.scope.user!r} was taken over,"
                    " or memories changed meanwhile"
                )
            raise ConcurrentWrite(f"memories of user {plan.scope.user!r} changed meanwhile")
        embedder_id = await self.embedder_id() if vectors else 0
        generation = {**keys, "generation": plan.generation}
        retracted = {**generation, "ids": plan.retracted}
        await transaction.fetch_all(
            [
                # It looks at all the user's assertions, and few plans retract any.
                *([("long_term.delete_assertions", retracted)] if plan.retracted else []),
                ("long_term.insert_assertions", {**generation, "rows": Jsonb(plan.assertions)}),
                ("long_term.close", {**keys, "rows": Jsonb(_closing(plan))}),
                (
                    "long_term.insert_memories",
                    {
                        **generation,
                        "language": self._language,
                        "rows": Jsonb(list(plan.memories.values())),
                    },
                ),
                ("long_term.reinforce", {**keys, "rows": Jsonb(list(plan.reinforced.values()))}),
                ("long_term.insert_evidence", {**keys, "rows": Jsonb(plan.evidence)}),
            ]
        )
        await transaction.execute_many(
            "long_term.insert_embedding",
            [
                {
                    **keys,
                    "embedder_id": embedder_id,
                    "generation": plan.generation,
                    "memory_id": memory,
                    "vector": HalfVector(vector),
                }
                for memory, vector in vectors.items()
            ],
        )
        return Committed(len(plan.memories), len(plan.closed), len(plan.reinforced))

    async def changes(self, scope: Scope) -> Changes:
        """Returns the user's current sequences."""
        rows = await self._database.fetch(scope, "long_term.changes")
        return Changes(**rows[0]) if rows else Changes(as_seen=False)

    async def apply(self, scope: Scope, propose: Callable[[], Awaitable[Assertion]]) -> Assertion:
        """Plans, embeds and commits one assertion; for callers that hold no lease.

        `propose` reads the log; it is called again if another writer won.

        Raises:
            ConcurrentWrite: another writer won three times in a row.
        """

        async def applied() -> Assertion:
            forget_seq = (await self.changes(scope)).forget_seq
            assertion = await propose()
            plan = await self.plan(scope, [assertion], forget_seq=forget_seq)
            vectors = await self.embed(plan)
            await self.embedder_id()
            async with self._database.transaction(scope) as transaction:
                await self.commit(transaction, plan, vectors)
            return assertion

        return await repeated(applied)

    async def believed(self, scope: Scope, assertion: Assertion) -> Memory:
        """Returns the current memory that rests on `assertion`.

        Raises:
            UnknownMemory: there is none: a newer event says otherwise, or it waits for review.
        """
        _, generation = await self._foundations(scope)
        key = belief_key(assertion.candidate, assertion.agent)
        params = {"generation": generation, "keys": [key]}
        rows = await self._database.fetch(scope, "long_term.open_beliefs", params)
        said = assertion.candidate
        for row in rows:
            if row["value"] == said.value and said.occurred_at >= row["valid_from"]:
                return memory_of(row)
        waits = assertion.proposal is not None
        why = "it waits for review" if waits else "a newer event says otherwise"
        raise UnknownMemory(f"{said.text!r} is not believed: {why}")

    async def believed_by(self, scope: Scope, extractor: str, generation: int) -> list[Memory]:
        """Returns the current memories that one extractor made for the user in a generation."""
        params = {"generation": generation, "extractor": extractor}
        rows = await self._database.fetch(scope, "long_term.believed_by", params)
        return [memory_of(row) for row in rows]

    async def used(self, scope: Scope, memories: Sequence[int]) -> None:
        """Notes that memories were used now, so that they decay more slowly."""
        await self._database.fetch(scope, "compaction.used", {"memories": list(memories)})

    async def _foundations(self, scope: Scope) -> tuple[int, int]:
        params = {"embedder": self._embedder.name}
        row = (await self._database.fetch(scope, "long_term.foundations", params))[0]
        if self._embedder_id is not None and row["embedder_id"] is None:
            raise EmbedderMismatch(
                f"the store moved on from {self._embedder.name!r} while this process ran;"
                " restart it with the embedder that serves now"
            )
        return row["change_seq"], row["generation"]


async def repeated(attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeats an attempt while another writer wins; for callers that hold no lease.

    Raises:
        ConcurrentWrite: another writer won three times in a row.
    """
    for _ in range(ATTEMPTS - 1):
        with suppress(ConcurrentWrite):
            return await attempt()
    return await attempt()


def _spoke(row: DictRow, at: PointInTime) -> bool:
    """Whether a row of evidence existed at that time."""
    return at.was_known(row["recorded_at"]) and (
        at.as_of is None or bool(row["occurred_at"] <= at.as_of)
    )


def _as_seen(whole: Explanation, at: PointInTime) -> Explanation:
    memory, successor = whole.memory, whole.superseded_by
    if not at.holds(memory):
        raise UnknownMemory(
            f"memory {memory.id!r} was not believed at {at.believed_at or 'any time'} to hold at"
            f" {at.as_of or 'any time'}"
        )
    retractions = (at.seen_retraction(retraction) for retraction in whole.retractions)
    return replace(
        whole,
        memory=at.as_seen(memory),
        supersedes=whole.supersedes and at.as_seen(whole.supersedes),
        superseded_by=at.as_seen(successor)
        if successor and at.was_known(successor.believed_from)
        else None,
        retractions=tuple(r for r in retractions if r is not None),
    )


def _closing(plan: Plan) -> list[dict[str, Any]]:
    return [{"memory_id": m, "believed_to": iso(at)} for m, at in plan.closed.items()]


def value_digest(value: str | None) -> bytes:
    """Returns the digest that is kept of a value that must not be believed again."""
    return hashlib.sha256((value or "").encode()).digest()


def _by_key(rows: Iterable[DictRow]) -> dict[bytes, list[DictRow]]:
    groups: dict[bytes, list[DictRow]] = {}
    for row in rows:
        groups.setdefault(row["belief_key"], []).append(row)
    return groups
