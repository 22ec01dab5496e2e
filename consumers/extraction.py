"""Extraction: leases a user, runs the extractors over what is new, and commits memories with progress.

A worker holds one user at a time, so that a user's sessions never race. Every commit checks the
lease; a worker that was too slow commits nothing.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from time import monotonic
from uuid import UUID

import anyio

from extractors.protocol import ENTRY_POINT_GROUP, LOOK_BACK, Extractor, LogSlice, Reading
from memory.consolidation import Assertion
from memory.database import Database
from memory.embedding import Embedder
from memory.errors import ConcurrentWrite, ExperientialMemoryError, LeaseLost
from memory.log import interaction_of
from memory.long_term import Committed, Complete, LongTerm
from memory.models import Candidate, Interaction, InteractionKind, Provenance, Scope
from memory.settings import Settings

logger = logging.getLogger(__name__)

BATCH = 500
"""Interactions of one session that are extracted and committed together."""

RETRY_SECONDS = 5.0


@dataclass(slots=True)
class Extracted:
    """What a run did. `memories` counts those added, by extractor."""

    users: int = 0
    sessions: int = 0
    interactions: int = 0
    failures: int = 0
    closed: int = 0
    reinforced: int = 0
    seconds: float = 0.0
    memories: dict[str, int] = field(default_factory=dict)

    def count(self, committed: Committed, made: Sequence[str]) -> None:
        """Adds one commit."""
        self.closed += committed.closed
        self.reinforced += committed.reinforced
        for extractor in made:
            self.memories[extractor] = self.memories.get(extractor, 0) + 1


@dataclass(frozen=True, slots=True)
class Lease:
    """A user this worker may write to, until `token` is taken over."""

    scope: Scope
    token: UUID
    position: int


def installed_extractors(settings: Settings) -> list[Extractor]:
    """Every extractor that an installed package offers, in the order of their names."""
    found = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name)
    return [entry.load()(settings) for entry in found]


class Worker:
    """Extracts for one user after another, over the worker's role."""

    def __init__(
        self,
        database: Database,
        embedder: Embedder,
        extractors: Sequence[Extractor],
        settings: Settings,
        progress: Callable[[Extracted], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._long_term = LongTerm(database, embedder, settings.language)
        self._extractors = extractors
        self._settings = settings
        self._progress = progress
        self.done = Extracted()

    async def drain(self, tenant: str | None = None, user: str | None = None) -> Extracted:
        """Extracts until no user is due, without waiting for them to fall quiet."""
        began = monotonic()
        while lease := await self._lease(0.0, tenant, user):
            await self._work(lease)
        self.done.seconds = monotonic() - began
        return self.done

    async def follow(self, poll: float = 1.0) -> None:
        """Extracts whoever falls quiet, for ever; store trouble is waited out."""
        while True:
            try:
                while lease := await self._lease(self._settings.debounce):
                    await self._work(lease)
            except ExperientialMemoryError as error:
                if not error.retriable:
                    raise
                logger.warning("extraction waits: %s", error)
            await anyio.sleep(poll)

    async def _lease(
        self, quiet: float, tenant: str | None = None, user: str | None = None
    ) -> Lease | None:
        params = {"lease": self._settings.lease, "quiet": quiet, "tenant": tenant, "user": user}
        rows = await self._database.fetch_system("claims.lease", params)
        if not rows:
            return None
        row = rows[0]
        return Lease(Scope(row["tenant_id"], row["user_id"]), row["lease_token"], row["position"])

    async def _work(self, lease: Lease) -> None:
        retry: float | None = None
        try:
            sessions = await self._database.fetch(lease.scope, "claims.due_sessions")
            for row in sessions:
                scope = lease.scope.in_session(row["session_id"])
                if not await self._attempt_session(lease, scope, row["generation"], row["ordinal"]):
                    retry = RETRY_SECONDS
            await self._read_users(lease)
        except (LeaseLost, ConcurrentWrite) as error:
            # Nothing was committed that was not ours to commit; who holds the user now goes on.
            logger.info("user %r: %s", lease.scope.user, error)
            retry = 0.0
        params = {"lease": lease.token, "position": lease.position, "retry": retry}
        await self._database.fetch(lease.scope, "claims.release", params)
        self.done.users += 1
        self._progress(self.done)

    async def _attempt_session(
        self, lease: Lease, scope: Scope, generation: int, ordinal: int
    ) -> bool:
        try:
            await self._extract_session(lease, scope, generation, ordinal)
        except (LeaseLost, ConcurrentWrite):
            raise
        except Exception as error:  # noqa: BLE001 - a poison session must not stop its neighbours
            if isinstance(error, ExperientialMemoryError) and error.retriable:
                raise
            logger.exception("session %r of user %r", scope.session, scope.user)
            params = {
                "generation": generation,
                "session": scope.session,
                "error": f"{type(error).__name__}: {error}",
                "max_attempts": self._settings.max_attempts,
            }
            await self._database.fetch(scope, "claims.fail", params)
            self.done.failures += 1
            return False
        self.done.sessions += 1
        return True

    async def _extract_session(
        self, lease: Lease, scope: Scope, generation: int, ordinal: int
    ) -> None:
        session = {"session": scope.session}
        calls = [
            ("log.read_session", {**session, "after": ordinal, "limit": BATCH}),
            ("log.read_before", {**session, "through": ordinal, "limit": LOOK_BACK}),
        ]
        new, before = await self._database.fetch_all(scope, calls)
        interactions = [interaction_of(row) for row in new]
        look_back = [interaction_of(row) for row in reversed(before)]
        while interactions:
            await self._commit_batch(lease, scope, generation, look_back, interactions)
            look_back = [*look_back, *interactions][-LOOK_BACK:]
            more = {**session, "after": interactions[-1].ordinal, "limit": BATCH}
            rows = await self._database.fetch(scope, "log.read_session", more)
            interactions = [interaction_of(row) for row in rows]

    async def _commit_batch(
        self,
        lease: Lease,
        scope: Scope,
        generation: int,
        before: Sequence[Interaction],
        interactions: Sequence[Interaction],
    ) -> None:
        assertions: list[Assertion] = []
        for extractor in self._extractors:
            if extractor.reading is Reading.SESSION:
                seen = [i for i in interactions if i.kind in extractor.reads]
                log = LogSlice(scope, seen, before)
                candidates = await extractor.extract(log) if seen else []
                assertions += asserted(extractor, candidates, [*before, *interactions], scope)
        plan = await self._long_term.plan(lease.scope, assertions)
        vectors = await self._long_term.embed(plan)
        await self._long_term.embedder_id()
        async with self._database.transaction(lease.scope) as transaction:
            committed = await self._long_term.commit(transaction, plan, vectors, lease.token)
            keys = {"tenant": scope.tenant, "user": scope.user}
            await transaction.fetch_all(
                [
                    (
                        "claims.advance",
                        {
                            **keys,
                            "generation": generation,
                            "session": scope.session,
                            "ordinal": interactions[-1].ordinal,
                        },
                    ),
                    (
                        "claims.renew",
                        {**keys, "lease": lease.token, "seconds": self._settings.lease},
                    ),
                ]
            )
        self.done.interactions += len(interactions)
        self.done.count(committed, [row["extractor"] for row in plan.memories.values()])
        self._progress(self.done)

    async def _read_users(self, lease: Lease) -> None:
        for extractor in self._extractors:
            if extractor.reading is not Reading.USER:
                continue
            messages = InteractionKind.MESSAGE in extractor.reads
            query = "log.read_kinds" if messages else "log.read_acts"
            kinds = {"kinds": sorted(kind.value for kind in extractor.reads)}
            rows = await self._database.fetch(lease.scope, query, kinds)
            believed = await self._long_term.believed_by(lease.scope, extractor.name)
            if not rows and not believed:
                continue
            interactions = [interaction_of(row) for row in rows]
            log = LogSlice(lease.scope, interactions, believed=believed)
            candidates = await extractor.extract(log)
            assertions = asserted(extractor, candidates, interactions, lease.scope)
            learned = [row["recorded_at"] for row in rows]
            learned += [memory.believed_from for memory in believed]
            complete = Complete(extractor.name, max(learned))
            plan = await self._long_term.plan(lease.scope, assertions, complete)
            if plan.empty:
                continue
            vectors = await self._long_term.embed(plan)
            async with self._database.transaction(lease.scope) as transaction:
                committed = await self._long_term.commit(transaction, plan, vectors, lease.token)
            self.done.count(committed, [row["extractor"] for row in plan.memories.values()])


def asserted(
    extractor: Extractor,
    candidates: Sequence[Candidate],
    interactions: Sequence[Interaction],
    scope: Scope,
) -> list[Assertion]:
    """Candidates with what the log knows about their evidence.

    A candidate that rests on anything private to an agent is private to that agent.
    """
    by_id = {i.id: i for i in interactions}
    made = Provenance(extractor.name, extractor.version)
    found = []
    for candidate in candidates:
        sources = [by_id[e.interaction_id] for e in candidate.evidence]
        recorded = [i.recorded_at for i in sources if i.recorded_at is not None]
        private = [i.scope.agent for i in sources if i.private]
        here = [i.ordinal for i in sources if i.session == scope.session]
        found.append(
            Assertion(
                candidate,
                made,
                max(recorded),
                max(i.position for i in sources),
                agent=private[0] if private else None,
                session=scope.session,
                ordinal=min(here, default=None),
                ordinal_to=max(here, default=None),
            )
        )
    return found
