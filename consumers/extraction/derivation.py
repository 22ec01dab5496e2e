"""Derives memories: runs a leased user's new interactions through a generation's extractors.

Every commit checks the lease; a worker that was too slow commits nothing. An extractor's progress
commits with the memories it made.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from psycopg.rows import DictRow

from consumers.extraction.conflicts import verdicts
from consumers.extraction.leases import (
    Lease,
    begin,
    defer,
    fail,
    renewal,
)
from consumers.extraction.model_ledger import PostgresLedger, keeping
from consumers.generations.registry import Generation, State
from consumers.runtime import logs
from extractors.language_model.conflicts import ConflictResolver
from extractors.language_model.ledger import AsksModels, FallbackReading
from extractors.protocol import LOOK_BACK, MOST_BELIEVED, Extractor, LogSlice, Reading
from memory.beliefs.assertions import Assertion
from memory.beliefs.founding import Founding
from memory.beliefs.long_term import Committed, LongTerm, seal
from memory.beliefs.planning import CompleteSet, Plan
from memory.beliefs.rows import memory_of
from memory.database import Database, Transaction
from memory.database.pipeline import Params
from memory.errors import (
    ConcurrentWrite,
    ConfigurationError,
    ExperientialMemoryError,
    ExtractionWaits,
    LockTimeout,
    StatementTimeout,
)
from memory.explicit_memories import as_recorded
from memory.language.text import RollingSummary, spoken_lines
from memory.log.interactions import fallen_out
from memory.log.rows import interaction_of
from memory.log.tenant_policies import TenantPolicies
from memory.models import Candidate, Interaction, InteractionKind, Memory, Provenance, Scope
from memory.settings import Settings
from memory.trust.origins import TenantTrust

logger = logging.getLogger(__name__)

BATCH = 100
"""Interactions of one session that are extracted and committed together."""

LOCK_SECONDS = 1.0
"""How long a commit waits for a lock: whoever holds it must not stop the users that come next."""

SUMMARY_TOKENS = 200
"""The size of an open session's rolling summary."""

Between = Callable[[int], Awaitable[None]]
"""Called after each commit with the interactions it took; may raise Yielded."""


class Yielded(Exception):
    """Work with precedence is due; committed work stays, and the rest waits."""


async def at_once(_: int) -> None:
    """Continues without a pause."""


@dataclass(slots=True)
class ExtractionReport:
    """The result of a run.

    memories: how many were added, by extractor.
    waiting: how often a session was postponed because a model does not accept requests.
    fallbacks: sessions that were read, in part at least, without the model that is configured.
    """

    users: int = 0
    sessions: int = 0
    interactions: int = 0
    failures: int = 0
    waiting: int = 0
    fallbacks: int = 0
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
class Due:
    """The part of a session to read, and the part to read again.

    reread_through: the last ordinal to read again; 0 if there is none.
    reread_at: the memories from it are believed from then on; None: as if for the first time.
    fallback: what of it was read without the model that is configured, if any.
    """

    ordinal: int
    length: int
    reread_through: int
    reread_at: datetime | None
    fallback: FallbackReading | None = None

    @classmethod
    def of(cls, row: DictRow) -> "Due":
        again = row["reread_through"], row["reread_at"]
        return cls(row["ordinal"], row["length"], *again, _marked(row))


@dataclass(frozen=True, slots=True)
class Page:
    """Interactions to extract and commit together: the next ones of a session that count.

    through: the ordinal up to which the session is then read; interactions that do not count or
        were forgotten have ordinals too.
    again: whether it begins with interactions that were read before.
    after: the ordinal after which it begins.
    """

    before: Sequence[Interaction]
    interactions: Sequence[Interaction]
    through: int
    again: bool
    after: int


@dataclass(frozen=True, slots=True)
class _Read:
    """A session reader and what it is given of a page."""

    extractor: Extractor
    log: LogSlice

    @property
    def asks(self) -> bool:
        """Whether it may wait for a model."""
        return isinstance(self.extractor, AsksModels)


class Derivation:
    """Derives memories of one generation, for one leased user after another."""

    def __init__(
        self,
        database: Database,
        long_term: LongTerm,
        generation: Generation,
        installed: Sequence[Extractor],
        settings: Settings,
        done: ExtractionReport,
        progress: Callable[[ExtractionReport], None] = lambda _: None,
        resolver: ConflictResolver | None = None,
    ) -> None:
        """Chooses the generation's extractors from those installed; `resolver` decides conflicts.

        Raises:
            GenerationMismatch: they are not all installed, or in another version.
        """
        self._database = database
        self._sensitive = TenantPolicies(database)
        self._long_term = long_term
        self._generation = generation
        self._ledger = PostgresLedger(database, settings.model_daily_budget, generation.id)
        self._extractors = keeping(generation.chosen(installed), self._ledger)
        self._resolver = resolver.keeping(self._ledger) if resolver else None
        self._settings = settings
        self._done = done
        self._progress = progress

    async def user(self, lease: Lease, between: Between = at_once) -> float | None:
        """Derives the user's memories; returns the seconds to the next retry, None without one."""
        generation = {"generation": self._generation.id}
        due = await self._database.fetch(lease.scope, "leases.due_sessions", generation)
        # What ends its worker says nothing: who comes after one notes each thing before it begins.
        after_crash = lease.abandoned > 0 or any(row["crash_count"] for row in due)
        attempts = []
        for row in due:
            if row["session_id"]:
                session = lease.scope.in_session(row["session_id"])
                if after_crash and not await self._begun(lease, session):
                    continue
                work = self._extract_session(lease, session, Due.of(row), between)
                attempts.append(await self._attempt(lease, session, work))
        read = await self._read_users(lease, due, after_crash=after_crash)
        await seal(self._database, lease.scope, self._generation.id)
        return min((a.retry for a in attempts + read if a.retry is not None), default=None)

    async def _read_users(
        self, lease: Lease, due: Sequence[DictRow], *, after_crash: bool
    ) -> list["_Attempt"]:
        """Runs the extractors that read a whole user; after a crash, notes the start first."""
        readers = [e for e in self._extractors if e.reading is Reading.USER]
        noted = after_crash and bool(readers or self._resolver)
        if noted and not await self._begun(lease, lease.scope):
            return []
        read = [await self._attempt(lease, lease.scope, self._read_user(lease, e)) for e in readers]
        if self._resolver:
            resolving = self._resolve(lease, self._resolver)
            read.append(await self._attempt(lease, lease.scope, resolving))
        failed_before = bool(due) and not due[-1]["session_id"]
        if (noted or failed_before) and all(attempt.done for attempt in read):
            recovered = {"generation": self._generation.id, "lease": lease.token}
            await self._database.fetch(lease.scope, "leases.recover", recovered)
        return read

    async def _begun(self, lease: Lease, scope: Scope) -> bool:
        """Notes that work begins; returns False if it crashed too many workers and is set aside."""
        generation = self._generation.id
        begun = await begin(
            self._database, self._settings, lease, generation=generation, session=scope.session
        )
        if not begun:
            logger.warning(
                "session %r of user %r is set aside",
                scope.session,
                scope.user,
                extra={"event": "session_set_aside"},
            )
            self._done.failures += 1
        return begun

    async def note(self, lease: Lease) -> bool:
        """Notes that everything the lease saw is derived, for a generation beside the live one.

        It does nothing while failed work waits for a retry.
        """
        come_to = {
            "generation": self._generation.id,
            "position": lease.position,
            "forget_seq": lease.forget_seq,
            "lease": lease.token,
        }
        return bool(await self._database.fetch(lease.scope, "generations.derived", come_to))

    async def _plan(
        self, lease: Lease, assertions: Sequence[Assertion], complete: CompleteSet | None = None
    ) -> Plan:
        return await self._long_term.plan(
            lease.scope,
            assertions,
            complete,
            forget_seq=lease.forget_seq,
            generation=self._generation.id,
        )

    async def _attempt(self, lease: Lease, scope: Scope, work: Awaitable[None]) -> "_Attempt":
        """Runs `work`; a failure counts as one attempt, and does not stop other sessions."""
        try:
            await work
        except Yielded:
            raise
        except ExtractionWaits as wait:  # nobody's fault, and no attempt used up
            logger.warning(
                "extraction of user %r waits: %s",
                scope.user,
                wait,
                extra={"event": "session_waits"},
            )
            self._done.waiting += 1
            generation = self._generation.id
            await defer(
                self._database, lease, generation=generation, session=scope.session, wait=wait
            )
            return _Attempt(done=False, retry=wait.seconds)
        except Exception as error:
            if is_trouble(error):
                raise
            with logs.about(trace=await self._trace_id(scope)):
                logger.exception(
                    "session %r of user %r",
                    scope.session,
                    scope.user,
                    extra={"event": "session_failed"},
                )
            self._done.failures += 1
            generation = self._generation.id
            retry = await fail(
                self._database,
                self._settings,
                lease,
                generation=generation,
                session=scope.session,
                error=error,
            )
            return _Attempt(done=False, retry=retry)
        return _Attempt(done=True)

    async def _trace_id(self, scope: Scope) -> str | None:
        """The trace of the newest request that recorded into the session, if it named one."""
        session = {"session": scope.session or ""}
        rows = await self._database.fetch(scope, "log.newest_trace", session)
        return logs.trace_id(rows[0]["traceparent"]) if rows else None

    @asynccontextmanager
    async def _committing(self, lease: Lease) -> AsyncIterator[Transaction]:
        """A transaction for the leased user that waits for locks only briefly."""
        async with self._database.transaction(lease.scope) as transaction:
            await transaction.fetch("scope.bound_waiting", {"timeout": f"{LOCK_SECONDS}s"})
            yield transaction

    async def _extract_session(
        self, lease: Lease, scope: Scope, due: Due, between: Between
    ) -> None:
        policy = await self._sensitive.of(scope.tenant)
        session = {"session": scope.session}
        before = {**session, "through": due.ordinal, "limit": LOOK_BACK}
        rows = await self._database.fetch(scope, "log.read_before", before)
        trust = await self._long_term.trust.of(scope)

        def seen(row: DictRow) -> Interaction:
            return as_recorded(policy.to_derive(interaction_of(row)), trust.notes_since)

        look_back = [seen(row) for row in reversed(rows)]
        after, fallback = due.ordinal, due.fallback
        while after < due.length:
            more = {**session, "after": after, "limit": BATCH}
            rows = await self._database.fetch(scope, "log.read_session", more)
            read = [seen(row) for row in rows]
            through = read[-1].ordinal if len(read) == BATCH else due.length
            through = max(through, read[-1].ordinal if read else 0)
            page = Page(look_back, read, through, after < due.reread_through, after)
            fallback = await self._commit_page(lease, scope, page, due, fallback)
            look_back = [*look_back, *read][-LOOK_BACK:]
            after = through
            if after >= due.length:
                self._done.sessions += 1
                self._done.fallbacks += fallback is not None
            await between(len(read))

    async def _commit_page(
        self,
        lease: Lease,
        scope: Scope,
        page: Page,
        due: Due,
        fallback: FallbackReading | None,
    ) -> FallbackReading | None:
        """Reads and commits a page; returns what of the session was read without a model so far."""
        readers = [e for e in self._extractors if e.reading is not Reading.USER]
        reads = [await self._given(scope, page, e) for e in readers]
        at_once = await self._proposed(scope, page, [r for r in reads if not r.asks])
        asking = [r for r in reads if r.asks and r.log.interactions]
        if asking and at_once and not page.again:
            # What needs no model can be recalled while the model is waited for.
            await self._commit(lease, await self._plan(lease, at_once))
        self._ledger.take_fallbacks()
        assertions = [*at_once, *await self._proposed(scope, page, asking)]
        fallback = remaining(fallback, page, self._ledger.take_fallbacks())
        complete = None
        if page.again and page.interactions:
            assertions = learned_after(assertions, due.reread_at)
            learned_at = _latest(_learned(page.interactions), due.reread_at)
            names = _names(readers)
            complete = CompleteSet(names, learned_at, frozenset(i.id for i in page.interactions))
        plan = await self._plan(lease, assertions, complete)
        vectors = await self._long_term.embed(plan)
        await self._long_term.embedder_id()
        keys = {"tenant": scope.tenant, "user": scope.user}
        live = self._generation.state is State.LIVE
        rolled = await self._rolled(scope, page.through) if live else []
        async with self._committing(lease) as transaction:
            committed = await self._long_term.commit(transaction, plan, vectors, lease.token)
            await transaction.fetch_all(
                [
                    *(("log.set_summary", {**keys, **summary}) for summary in rolled),
                    (
                        "leases.advance",
                        {
                            **keys,
                            "generation": self._generation.id,
                            "session": scope.session,
                            "ordinal": page.through,
                            "fallback_from": fallback.first if fallback else None,
                            "fallback_through": fallback.last if fallback else None,
                            "fallback_reason": fallback.reason if fallback else None,
                        },
                    ),
                    ("leases.renew", {**keys, **renewal(lease, self._settings)}),
                ]
            )
        self._done.interactions += len(page.interactions)
        self._done.count(committed, [row["extractor"] for row in plan.memories.values()])
        self._progress(self._done)
        return fallback

    async def _given(self, scope: Scope, page: Page, extractor: Extractor) -> _Read:
        """What a session reader sees of a page."""
        seen = [i for i in page.interactions if i.kind in extractor.reads]
        known = await self._known(scope, extractor, seen)
        return _Read(extractor, LogSlice(scope, seen, page.before, known))

    async def _proposed(self, scope: Scope, page: Page, reads: Sequence[_Read]) -> list[Assertion]:
        """The assertions that session readers make of a page."""
        known = [*page.before, *page.interactions]
        trust = await self._long_term.trust.of(scope)
        assertions: list[Assertion] = []
        for read in reads:
            if read.log.interactions:
                candidates = await read.extractor.extract(read.log)
                assertions += asserted(read.extractor, candidates, known, scope, trust)
        return assertions

    async def _known(
        self, scope: Scope, extractor: Extractor, seen: Sequence[Interaction]
    ) -> list[Memory]:
        """The current memories that a KNOWING reader sees, as far as the session's agent may."""
        if extractor.reading is not Reading.KNOWING or not seen:
            return []
        params = {
            "generation": self._generation.id,
            "kinds": sorted(kind.value for kind in extractor.makes),
            "agent": seen[0].scope.agent,
            "limit": getattr(extractor, "most_believed", MOST_BELIEVED),
        }
        rows = await self._database.fetch(scope, "long_term.known", params)
        return sorted(map(memory_of, rows), key=lambda m: (m.occurred_at, m.text))

    async def _rolled(self, scope: Scope, through: int) -> list[Params]:
        """Moves the session's rolling summary to the start of its window; returns [] if it stays.

        The window ends at the ordinal `through`. Interactions that are private to an agent are left
        out: every agent sees a summary.
        """
        session = {"session": scope.session}
        found = await self._database.fetch(scope, "log.session", session)
        if not found:  # forgotten meanwhile, which the commit will notice
            return []
        policy = await self._sensitive.of(scope.tenant)
        after, moved = found[0]["summary_through"], False
        summary = RollingSummary(found[0]["summary"], tuple(found[0]["summary_sources"]))
        while after < through:
            page = {**session, "after": after, "limit": BATCH}
            rows = await self._database.fetch(scope, "log.read_session", page)
            counted = [interaction_of(r) for r in rows if r["ordinal"] <= through]
            read = [policy.to_derive(interaction) for interaction in counted]
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
        generation = {"generation": self._generation.id}
        rows, (newest,) = await self._database.fetch_all(
            lease.scope, [(query, kinds), ("leases.reread_at", generation)]
        )
        believed = await self._long_term.believed_by(
            lease.scope, extractor.name, self._generation.id
        )
        if not rows and not believed:
            return
        trust = await self._long_term.trust.of(lease.scope)
        policy = await self._sensitive.of(lease.scope.tenant)
        interactions = [
            as_recorded(policy.to_derive(interaction_of(row)), trust.notes_since) for row in rows
        ]
        candidates = await extractor.extract(
            LogSlice(lease.scope, interactions, believed=believed, rules=trust.rules)
        )
        learned_at = _latest(_learned(interactions, believed), newest["reread_at"])
        assertions = asserted(extractor, candidates, interactions, lease.scope, trust)
        plan = await self._plan(
            lease,
            learned_after(assertions, newest["reread_at"]),
            CompleteSet(frozenset({extractor.name}), learned_at),
        )
        if not plan.empty:
            await self._commit(lease, plan)

    async def _resolve(self, lease: Lease, resolver: ConflictResolver) -> None:
        """Asks about conflicts without a verdict, and commits the verdicts."""
        trust = await self._long_term.trust.of(lease.scope)
        found = await verdicts(self._database, resolver, lease.scope, self._generation.id, trust)
        if found:
            await self._commit(lease, await self._plan(lease, found))

    async def _commit(self, lease: Lease, plan: Plan) -> None:
        vectors = await self._long_term.embed(plan)
        await self._long_term.embedder_id()
        async with self._committing(lease) as transaction:
            committed = await self._long_term.commit(transaction, plan, vectors, lease.token)
        self._done.count(committed, [row["extractor"] for row in plan.memories.values()])


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Whether work was done; if not, the seconds until its retry, or None if it is set aside."""

    done: bool
    retry: float | None = None


def _names(readers: Sequence[Extractor]) -> frozenset[str]:
    """The readers' names, with those of the extractors that they replace."""
    names = frozenset(extractor.name for extractor in readers)
    return names.union(*(e.replaces for e in readers if isinstance(e, AsksModels)))


def _marked(row: DictRow) -> FallbackReading | None:
    if row["fallback_from"] is None:
        return None
    return FallbackReading(row["fallback_from"], row["fallback_through"], row["fallback_reason"])


def remaining(
    before: FallbackReading | None, page: Page, found: Sequence[FallbackReading]
) -> FallbackReading | None:
    """Returns what of a session was read without a model, once `page` was read anew.

    before: what had been so far; found: what of the page was. The result spans both.
    """
    kept = list(found)
    if before and before.first <= page.after:
        kept.append(replace(before, last=min(before.last, page.after)))
    if before and before.last > page.through:
        kept.append(replace(before, first=max(before.first, page.through + 1)))
    if not kept:
        return None
    first, last = min(part.first for part in kept), max(part.last for part in kept)
    return FallbackReading(first, last, kept[0].reason)


def is_trouble(error: Exception) -> bool:
    """Whether an error means that a server is away or this installation has to change.

    Everything else is the fault of what was being read, and uses up its attempts: also what the
    store refuses or does not finish in time under the user's own lock.
    """
    if isinstance(error, ConfigurationError):
        return True
    ours = isinstance(error, ExperientialMemoryError) and error.retriable
    return ours and not isinstance(error, ConcurrentWrite | LockTimeout | StatementTimeout)


def learned_after(assertions: Sequence[Assertion], moment: datetime | None) -> list[Assertion]:
    """Dates assertions not before the retraction that made their sources be read again, if any."""
    return [replace(a, recorded_at=_latest(a.recorded_at, moment)) for a in assertions]


def _latest(moment: datetime, other: datetime | None) -> datetime:
    return moment if other is None else max(moment, other)


def _learned(interactions: Sequence[Interaction], believed: Sequence[Memory] = ()) -> datetime:
    """When the log last learned something that a reader of it can have used."""
    times = [i.recorded_at for i in interactions] + [m.believed_from for m in believed]
    return max(at for at in times if at is not None)


def asserted(
    extractor: Extractor,
    candidates: Sequence[Candidate],
    interactions: Sequence[Interaction],
    scope: Scope,
    trust: TenantTrust,
) -> list[Assertion]:
    """Adds to candidates what the log knows about their evidence.

    A candidate that rests on anything private to an agent is private to that agent. One whose
    origin founds no belief is a proposal.
    """
    by_id = {i.id: i for i in interactions}
    founding = Founding(trust, by_id)
    itself = Provenance(extractor.name, extractor.version)
    found = []
    for proposed in candidates:
        made = proposed.made_by or itself
        candidate = founding.with_origins(replace(proposed, made_by=None), made)
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
                words=founding.words(candidate),
                proposal=founding.proposal(candidate, made),
            )
        )
    return found
