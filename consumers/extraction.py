"""Extraction: leases a user, runs extractors over what is new, commits memories with progress.

A worker holds one user at a time, so that a user's sessions never race. Every commit checks the
lease; a worker that was too slow commits nothing.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import entry_points
from time import monotonic
from uuid import UUID

import anyio

from extractors.protocol import ENTRY_POINT_GROUP, LOOK_BACK, Extractor, LogSlice, Reading
from memory.consolidation import Assertion
from memory.database import Database, Params
from memory.embedding import Embedder
from memory.errors import ConcurrentWrite, ConfigurationError, ExperientialMemoryError, LeaseLost
from memory.log import fallen_out, interaction_of
from memory.long_term import Committed, LongTerm
from memory.models import Candidate, Interaction, InteractionKind, Memory, Provenance, Scope
from memory.planning import Complete
from memory.settings import Settings
from memory.text import RollingSummary, spoken_lines

logger = logging.getLogger(__name__)

BATCH = 500
"""Interactions of one session that are extracted and committed together."""

SUMMARY_TOKENS = 200
"""Of the rolling summary of an open session."""

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
    due_at: datetime
    forget_seq: int


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

    async def follow(
        self, poll: float = 1.0, *, tenant: str | None = None, user: str | None = None
    ) -> None:
        """Extracts whoever falls quiet, for ever; store trouble is waited out."""
        while True:
            try:
                while lease := await self._lease(self._settings.debounce, tenant, user):
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
        scope = Scope(row["tenant_id"], row["user_id"])
        return Lease(scope, row["lease_token"], row["position"], row["due_at"], row["forget_seq"])

    async def _work(self, lease: Lease) -> None:
        retry: float | None = None
        try:
            retry = await self._extract_user(lease)
        except (LeaseLost, ConcurrentWrite) as error:
            # Nothing was committed that was not ours to commit; who holds the user now goes on.
            logger.info("user %r: %s", lease.scope.user, error)
            retry = 0.0
        except ExperientialMemoryError:
            await self._release(lease, RETRY_SECONDS)
            raise
        await self._release(lease, retry)
        self.done.users += 1
        self._progress(self.done)

    async def _release(self, lease: Lease, retry: float | None) -> None:
        params = {
            "lease": lease.token,
            "position": lease.position,
            "due": lease.due_at,
            "retry": retry,
        }
        await self._database.fetch(lease.scope, "claims.release", params)

    async def _extract_user(self, lease: Lease) -> float | None:
        """Seconds after which to try again what failed; None where nothing is left to try."""
        retries = []
        for row in await self._database.fetch(lease.scope, "claims.due_sessions"):
            session = lease.scope.in_session(row["session_id"])
            work = self._extract_session(lease, session, row["generation"], row["ordinal"])
            retries.append(await self._attempt(session, work))
        readers = [e for e in self._extractors if e.reading is Reading.USER]
        retries += [await self._attempt(lease.scope, self._read_user(lease, e)) for e in readers]
        return min((r for r in retries if r is not None), default=None)

    async def _attempt(self, scope: Scope, work: Awaitable[None]) -> float | None:
        """Seconds after which to try again; None where it is done, or set aside."""
        try:
            await work
        except Exception as error:  # a poison session must not stop its neighbours
            if isinstance(error, ConfigurationError) or getattr(error, "retriable", False):
                raise  # not the session's fault
            logger.exception("session %r of user %r", scope.session, scope.user)
            params = {
                "session": scope.session or "",
                "error": f"{type(error).__name__}: {error}",
                "max_attempts": self._settings.max_attempts,
            }
            (row,) = await self._database.fetch(scope, "claims.fail", params)
            self.done.failures += 1
            return None if row["set_aside_at"] else RETRY_SECONDS
        return None

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
        self.done.sessions += 1

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
        plan = await self._long_term.plan(lease.scope, assertions, forget_seq=lease.forget_seq)
        vectors = await self._long_term.embed(plan)
        await self._long_term.embedder_id()
        keys = {"tenant": scope.tenant, "user": scope.user}
        rolled = await self._rolled(scope, interactions[-1].ordinal)
        async with self._database.transaction(lease.scope) as transaction:
            committed = await self._long_term.commit(transaction, plan, vectors, lease.token)
            await transaction.fetch_all(
                [
                    *(("log.set_summary", {**keys, **summary}) for summary in rolled),
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

    async def _rolled(self, scope: Scope, through: int) -> list[Params]:
        """The session's rolling summary moved forward to where its window begins; [] if it stays.

        The window ends at the ordinal `through`. What is private to an agent is left out: a summary
        is shown to every agent.
        """
        session = {"session": scope.session}
        found = await self._database.fetch(scope, "log.session", session)
        if not found:  # forgotten meanwhile, which the commit will notice
            return []
        after, moved = found[0]["summary_through"], False
        summary = RollingSummary(found[0]["summary"], tuple(found[0]["summary_sources"]))
        while after < through:
            page = {**session, "after": after, "limit": BATCH}
            rows = await self._database.fetch(scope, "log.read_session", page)
            read = [interaction_of(r) for r in rows if r["ordinal"] <= through]
            fallen = fallen_out(read, self._settings.window_tokens)
            if not fallen and read and read[-1].ordinal < through:
                fallen = read[:-1]  # more follows than a page of next to nothing
            if not fallen:
                break
            said = spoken_lines(i for i in fallen if not i.private)
            summary = summary.over(said, SUMMARY_TOKENS)
            after, moved = fallen[-1].ordinal, True
        if not moved:
            return []
        moved_to = {"summary": summary.text, "sources": list(summary.sources), "through": after}
        return [{**session, **moved_to}]

    async def _read_user(self, lease: Lease, extractor: Extractor) -> None:
        messages = InteractionKind.MESSAGE in extractor.reads
        query = "log.read_kinds" if messages else "log.read_acts"
        kinds = {"kinds": sorted(kind.value for kind in extractor.reads)}
        rows = await self._database.fetch(lease.scope, query, kinds)
        believed = await self._long_term.believed_by(lease.scope, extractor.name)
        if not rows and not believed:
            return
        interactions = [interaction_of(row) for row in rows]
        candidates = await extractor.extract(LogSlice(lease.scope, interactions, believed=believed))
        plan = await self._long_term.plan(
            lease.scope,
            asserted(extractor, candidates, interactions, lease.scope),
            Complete(extractor.name, _learned(interactions, believed)),
            forget_seq=lease.forget_seq,
        )
        if plan.empty:
            return
        vectors = await self._long_term.embed(plan)
        await self._long_term.embedder_id()
        async with self._database.transaction(lease.scope) as transaction:
            committed = await self._long_term.commit(transaction, plan, vectors, lease.token)
        self.done.count(committed, [row["extractor"] for row in plan.memories.values()])


def _learned(interactions: Sequence[Interaction], believed: Sequence[Memory]) -> datetime:
    """When the log last learned something that a reader of all of it can have drawn on."""
    times = [i.recorded_at for i in interactions] + [m.believed_from for m in believed]
    return max(at for at in times if at is not None)


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
