"""Replay: derives a generation from the log beside the live one, and continues after a stop.

It works user by user, under the user's lease, so it never races with extraction. Extraction takes
precedence: a due user is extracted before being replayed, and between two commits replay yields to
waiting users. Progress commits with the memories.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic

import anyio

from consumers.compaction.policy import read_policy
from consumers.compaction.sessions import create_abstractive, replace_summaries, summary_of
from consumers.extraction import Worker
from consumers.extraction.derivation import Between, ExtractionReport, Yielded
from consumers.extraction.leases import (
    RELEASE_SECONDS,
    Lease,
    Leases,
    UserFilter,
    lease_of,
)
from consumers.generations.registry import (
    Generation,
    begin,
    named,
    pin,
    unreplaced,
)
from consumers.runtime.tenants import NOBODY, PAGE, tenants
from memory.beliefs.assertions import Assertion
from memory.beliefs.long_term import LongTerm
from memory.database import Database
from memory.errors import ConcurrentWrite, InvalidInput, LeaseLost
from memory.explicit_memories import PROVENANCE
from memory.models import Scope, aware
from memory.settings import Settings

ROUND_SECONDS = 5.0
"""Seconds before unfinished users are tried once more."""

CALM_SECONDS = 0.5
"""Seconds between two checks of whether extraction has caught up."""


@dataclass(frozen=True, slots=True)
class ReplayFilter:
    """Selects the part of the log to replay.

    users: only these, of each tenant.
    since: only users with interactions recorded since. Their whole log is derived, because a belief
        is a fold over all of it.
    """

    tenant: str | None = None
    users: Sequence[str] | None = None
    since: datetime | None = None

    def __post_init__(self) -> None:
        if self.since is not None:
            aware(self.since, "since")


@dataclass(frozen=True, slots=True)
class Pace:
    """Limits the speed of a replay.

    rate: most interactions per second.
    budget: most interactions in this run; the next run continues.
    max_lag: seconds that extraction may be behind before replay pauses.
    """

    rate: float | None = None
    budget: int | None = None
    max_lag: float = 30.0

    def __post_init__(self) -> None:
        for name in ("rate", "budget"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise InvalidInput(f"{name} must be over 0, got {value!r}")


@dataclass(slots=True)
class Replayed:
    """The result of a run.

    users: derived to the end of their log.
    memories: added, by extractor.
    left: users it could not finish, because others held them, sessions failed, or the budget ended.
    failures: failed attempts at a session, whose progress was not moved.
    fallbacks: sessions that were read, in part at least, without the model that is configured.
    waited: seconds in which extraction took precedence, or the rate held it back.
    """

    generation: str
    users: int = 0
    left: int = 0
    interactions: int = 0
    failures: int = 0
    fallbacks: int = 0
    spent: bool = False
    waited: float = 0.0
    seconds: float = 0.0
    memories: dict[str, int] = field(default_factory=dict)


class Replay:
    """Derives one generation from the log, with the worker's role."""

    def __init__(
        self,
        database: Database,
        worker: Worker,
        generation: Generation,
        settings: Settings,
        *,
        pace: Pace | None = None,
        progress: Callable[[Replayed], None] = lambda _: None,
    ) -> None:
        """Takes the worker's extractors and embedder.

        Raises:
            GenerationMismatch: other extractors make the generation.
        """
        self._database = database
        self._worker = worker
        self._generation = generation
        self._settings = settings
        self._pace = pace or Pace()
        self._claims = Leases(database, settings, UserFilter())
        self._progress = progress
        self._derived = ExtractionReport()
        self._derivation = worker.derivation(generation, self._derived)
        self._long_term: LongTerm = worker.long_term
        self._began = monotonic()
        self._acquired = 0
        self.done = Replayed(generation.name, memories=self._derived.memories)

    async def run(self, part: ReplayFilter | None = None) -> Replayed:
        """Derives every user who is behind, up to the present end of the log.

        Raises:
            ConfigurationError: an extractor cannot work here.
            StoreUnavailable: and other errors after which the same run may succeed later.
        """
        self._began = monotonic()
        part = part or ReplayFilter()
        for attempt in range(self._settings.max_attempts):
            if attempt:
                await self._wait(ROUND_SECONDS)
            self.done.left = 0
            async for tenant in tenants(self._database, part.tenant):
                await self._tenant(Scope(tenant, NOBODY), part)
            if not self.done.left or self.done.spent:
                break
        self.done.failures = self._derived.failures
        self.done.fallbacks = self._derived.fallbacks
        self.done.seconds = monotonic() - self._began
        return self.done

    async def _tenant(self, tenant: Scope, part: ReplayFilter) -> None:
        after = ""
        behind = {
            "generation": self._generation.id,
            "users": list(part.users) if part.users is not None else None,
            "since": part.since,
            "limit": PAGE,
        }
        while rows := await self._database.fetch(
            tenant, "generations.behind", {**behind, "after": after}
        ):
            for row in rows:
                finished = await self._user(Scope(tenant.tenant, row["user_id"]))
                self.done.users += finished
                self.done.left += not finished
                self._progress(self.done)
            after = rows[-1]["user_id"]

    async def _user(self, scope: Scope) -> bool:
        """Derives one user; returns whether the end of the log was reached."""
        while not self.done.spent:
            await self._calm(scope)
            await self._worker.drain(scope.tenant, scope.user)
            lease = await self._hold(scope)
            if lease is None:
                return False
            try:
                async with self._claims.renewing(lease):
                    await self._derivation.user(lease, self._between(scope))
                    await self._summaries(lease)
                    return await self._derivation.note(lease)
            except Yielded:
                continue
            except (LeaseLost, ConcurrentWrite):
                return False  # somebody wrote for the user meanwhile; the next round goes on
            finally:
                await self._let_go(lease)
        return False

    async def _hold(self, scope: Scope) -> Lease | None:
        params = {"lease": self._settings.lease}
        rows = await self._database.fetch(scope, "generations.hold", params)
        if not rows:
            return None
        return lease_of(scope, rows[0])

    async def _let_go(self, lease: Lease) -> None:
        with anyio.move_on_after(RELEASE_SECONDS, shield=True):  # also where we are being stopped
            await self._database.fetch(lease.scope, "generations.let_go", {"lease": lease.token})

    def _between(self, scope: Scope) -> Between:
        async def between(interactions: int) -> None:
            self._acquired += interactions
            self.done.interactions += interactions
            self._progress(self.done)
            budget = self._pace.budget
            self.done.spent = budget is not None and self._acquired >= budget
            due, lag = await self._pressure(scope)
            if self.done.spent or due or lag > self._pace.max_lag or self._ahead() > 0:
                raise Yielded

        return between

    def _ahead(self) -> float:
        """Seconds by which replay is ahead of its rate."""
        if self._pace.rate is None:
            return 0.0
        return self._acquired / self._pace.rate - (monotonic() - self._began)

    async def _pressure(self, scope: Scope) -> tuple[bool, float]:
        params = {"tenant": scope.tenant, "user": scope.user, "quiet": self._settings.debounce}
        row = (await self._database.fetch_system("generations.pressure", params))[0]
        return row["due"], row["lag"]

    async def _calm(self, scope: Scope) -> None:
        """Waits until the rate allows more and extraction is no longer behind.

        A user who has waited too long is extracted here: no other worker may be running.
        """
        if (ahead := self._ahead()) > 0:
            await self._wait(ahead)
        while (await self._pressure(scope))[1] > self._pace.max_lag:
            before = self._worker.done.users
            await self._worker.drain()
            if self._worker.done.users == before:
                await self._wait(CALM_SECONDS)

    async def _wait(self, seconds: float) -> None:
        await anyio.sleep(seconds)
        self.done.waited += seconds
        self._progress(self.done)

    async def _summaries(self, lease: Lease) -> None:
        """Adds summaries of sessions that were closed before the generation reached them."""
        scope, generation = lease.scope, self._generation.id
        rows = await self._database.fetch(
            scope, "generations.unsummarised", {"generation": generation}
        )
        if not rows:
            return
        policy = await read_policy(self._database, scope.tenant)
        async with create_abstractive(self._settings, self._database, generation) as abstractive:
            for row in rows:
                session = scope.in_session(row["session_id"])
                said = await summary_of(self._database, session, policy.summary_tokens, abstractive)
                await self._summary(lease, session, said)

    async def _summary(self, lease: Lease, session: Scope, summary: Sequence[Assertion]) -> None:
        scope, generation = lease.scope, self._generation.id
        plan = await self._long_term.plan(
            scope, summary, forget_seq=lease.forget_seq, generation=generation
        )
        if plan.empty:
            return
        vectors = await self._long_term.embed(plan)
        await self._long_term.embedder_id()
        keys = {"tenant": scope.tenant, "user": scope.user, "session": session.session}
        async with self._database.transaction(scope) as transaction:
            committed = await self._long_term.commit(transaction, plan, vectors, lease.token)
            await replace_summaries(transaction, keys, plan)
        self._derived.count(committed, [m["extractor"] for m in plan.memories.values()])


async def begun(
    worker: Worker,
    name: str,
    extractors: Sequence[str] | None = None,
    live: Sequence[str] | None = None,
) -> Generation:
    """Returns the shadow of this name, made by the worker's extractors of these names, or by all.

    Memories that an app asked for are part of every generation. `live` fixes the live generation's
    extractors, if it is made by all installed ones.

    Raises:
        GenerationMismatch: an extractor is not installed here, or the shadow has other extractors.
        IllegalMove: the name belongs to the live generation, or to a retired one.
    """
    if live is not None:
        await pin(worker.database, _made_by(worker, live, "the live generation"))
    return await begin(worker.database, name, _made_by(worker, extractors, f"generation {name!r}"))


def _made_by(worker: Worker, names: Sequence[str] | None, users: str) -> dict[str, str]:
    chosen = unreplaced(worker.extractors)
    if names is not None:
        renewing = [e.name for e in chosen if e.name == PROVENANCE.extractor]
        chosen = named(worker.extractors, [*names, *renewing], users)
    return {e.name: e.version for e in chosen}
