"""Reads the operators' view of a store: positions, lag, sessions set aside, and the tiers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from psycopg.rows import DictRow

from consumers.generations.quality import Quality, sampled
from consumers.generations.registry import read_generations, shares_of
from consumers.ingest.lag import IngestState
from consumers.operations.tenants import TenantLag, what_waits
from consumers.runtime.tenants import NOBODY
from extractors.language_model.reasons import Reason
from memory.beliefs.review import review_days
from memory.database import Database
from memory.database.pipeline import Rows
from memory.errors import BudgetSpent, ExtractionWaits
from memory.log.interactions import Position, position_of
from memory.models import Scope

BUDGET, SERVER = BudgetSpent.__name__, ExtractionWaits.__name__
"""The errors that postpone sessions, as `progress` names them."""

MOST_TENANTS = 20
"""Tenants whose lag is shown, and tenants whose newest sessions set aside are looked for."""

MOST_SET_ASIDE = 100

MOST_PROPOSALS = 10_000
"""Proposals that are counted at most."""


@dataclass(frozen=True, slots=True)
class Count:
    """The number of current memories of a kind that an extractor made."""

    kind: str
    extractor: str
    memories: int


@dataclass(frozen=True, slots=True)
class SetAside:
    """A session that extraction set aside, at `ordinal`."""

    tenant: str
    user: str
    session: str
    ordinal: int
    attempts: int
    error: str
    at: datetime


@dataclass(frozen=True, slots=True)
class WaitingForReview:
    """The proposals that nobody decided on: at most `MOST_PROPOSALS`, and since when the oldest."""

    proposals: int = 0
    oldest: datetime | None = None


@dataclass(frozen=True, slots=True)
class ModelFailures:
    """Calls of a model in the last day that brought no usable answer, for one reason.

    meaning: the reason in words; advice: what an operator can do. A reason that only another
        release knows is its own meaning, and there is no advice.
    """

    model: str
    reason: str
    calls: int
    newest: datetime
    meaning: str
    advice: str


@dataclass(frozen=True, slots=True)
class Fallbacks:
    """Sessions of a generation that were read without the model that is configured."""

    generation: str
    reason: str
    sessions: int


@dataclass(frozen=True, slots=True)
class ModelDay:
    """The model costs of a tenant today (UTC), its calls that failed, and what they left.

    spent, budget: in the currency of the price table; a budget of None is no limit.
    waiting_for_budget: sessions postponed because the budget was spent.
    waiting_for_server: sessions postponed because the model's server refused requests.
    resumes_at: when the first of them is read again.
    failures: of the last day, by model and reason.
    fallbacks: by generation and reason, whenever they were read.
    """

    spent: float
    budget: float | None
    waiting_for_budget: int = 0
    waiting_for_server: int = 0
    resumes_at: datetime | None = None
    failures: tuple[ModelFailures, ...] = ()
    fallbacks: tuple[Fallbacks, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a store at one moment.

    Users, interactions, waiting, lag, leases and sessions set aside count every tenant; the rest is
    the tenant's.
    waiting: interactions recorded and not extracted.
    backfill_waiting: those of them that belong to users with only imported history waiting.
    lag_seconds: the longest wait of a user, without backfill and without tenants held back.
    held_back: interactions that wait in tenants that are suspended, paused or throttled.
    tenants: the tenants held back, then those with the longest waits.
    leased: users that a worker holds.
    leases_expired: users whose worker vanished.
    models: their costs today, and the sessions that wait for them.
    set_aside: the newest of `set_aside_total`.
    sessions_open: sessions whose working memory has not expired.
    ingest: of the configured topic; None if there is none.
    review: proposals of the tenant's users that wait for a decision.
    quality: of a sample of the tenant's memories, by maker; another sample each time.
    serves: the percentage of users that each serving generation serves.
    position: of the user asked for.
    """

    tenant: str
    server: str
    pgvector: str
    migration: int
    embedder: str | None
    dimensions: int | None
    serves: Mapping[str, int]
    users: int
    users_due: int
    interactions: int
    waiting: int
    lag_seconds: float
    backfill_users: int
    backfill_waiting: int
    backfill_lag_seconds: float
    held_back: int
    tenants: tuple[TenantLag, ...]
    leased: int
    leases_expired: int
    sessions: int
    sessions_open: int
    long_term: tuple[Count, ...]
    collective: tuple[Count, ...]
    set_aside: tuple[SetAside, ...]
    set_aside_total: int
    models: ModelDay
    review: WaitingForReview = WaitingForReview()
    quality: tuple[Quality, ...] = ()
    ingest: IngestState | None = None
    position: Position | None = None


async def read_status(
    database: Database,
    tenant: str,
    user: str | None = None,
    *,
    language: str,
    daily_budget: float | None = None,
) -> Status:
    """Reads the state of the store, with the worker's role; two round trips and a few.

    `language` is the store's, for the quality of a sample of its memories; `daily_budget` is the
    tenant's limit for model costs.

    Raises:
        InvalidScope: an empty tenant or user.
    """
    scope = Scope(tenant, user or "-")
    whose = {"user": user or ""}
    days = await review_days(database, scope)
    (
        sessions,
        long_term,
        collective,
        spent,
        deferred,
        failures,
        fallbacks,
        review,
        position,
    ) = await database.fetch_all(
        scope,
        [
            ("status.sessions", whose),
            ("status.long_term", whose),
            ("status.collective", {}),
            ("models.spent_today", {}),
            ("models.deferred", {**whose, "reasons": [BUDGET, SERVER]}),
            ("models.failures", whose),
            ("models.fallbacks", whose),
            ("review.count_waiting", {**whose, "days": days, "limit": MOST_PROPOSALS}),
            ("log.position", {}),
        ],
    )
    lag = (await database.fetch_system("leases.lag"))[0]
    waiting = await what_waits(database, MOST_TENANTS)
    set_aside, set_aside_total = await _set_aside(database, tenant, user)
    server = (await database.fetch_system("migrations.server"))[0]
    applied = await database.fetch_system("migrations.applied")
    embedders = await database.fetch_system("embedders.live")
    shares = shares_of(await read_generations(database))
    return Status(
        tenant=tenant,
        server=f"{server['version'] // 10_000}.{server['version'] % 10_000}",
        pgvector=server["vector"],
        migration=applied[-1]["version"],
        embedder=embedders[0]["name"] if embedders else None,
        dimensions=embedders[0]["dimensions"] if embedders else None,
        serves=shares,
        users=lag["users"],
        users_due=lag["users_due"],
        interactions=lag["interactions"],
        waiting=lag["waiting"],
        lag_seconds=waiting.lag_seconds,
        backfill_users=lag["backfill_users"],
        backfill_waiting=lag["backfill_waiting"],
        backfill_lag_seconds=waiting.backfill_seconds,
        held_back=waiting.held_back,
        tenants=tuple(row for row in waiting.tenants if row.users_due or row.held_back),
        leased=lag["leased"],
        leases_expired=lag["leases_expired"],
        sessions=sessions[0]["sessions"],
        sessions_open=sessions[0]["open"],
        long_term=_counts(long_term),
        collective=_counts(collective),
        set_aside=set_aside,
        set_aside_total=set_aside_total,
        models=replace(
            _models(spent[0]["spent"], daily_budget, deferred),
            failures=tuple(map(_failures, failures)),
            fallbacks=tuple(Fallbacks(**row) for row in fallbacks),
        ),
        review=WaitingForReview(**review[0]),
        quality=tuple(await sampled(database, tenant, language)),
        position=position_of(position) if user else None,
    )


async def _set_aside(
    database: Database, tenant: str, user: str | None
) -> tuple[tuple[SetAside, ...], int]:
    """The newest sessions set aside, of a few tenants or of the user; and how many there are."""
    counted = await database.fetch_system("leases.set_aside_by_tenant", {"limit": MOST_TENANTS})
    found: list[SetAside] = []
    for name in [row["tenant_id"] for row in counted] if user is None else [tenant]:
        rows = await database.fetch(Scope(name, NOBODY), "leases.set_aside", {"user": user or ""})
        found += [_session_set_aside(name, row) for row in rows]
    found.sort(key=lambda session: session.at, reverse=True)
    return tuple(found[:MOST_SET_ASIDE]), counted[0]["total"] if counted else 0


def _session_set_aside(tenant: str, row: DictRow) -> SetAside:
    return SetAside(
        tenant,
        row["user_id"],
        row["session_id"],
        row["ordinal"],
        row["attempts"],
        row["error"] or "",
        row["set_aside_at"],
    )


def _models(spent: float, budget: float | None, deferred: Rows) -> ModelDay:
    waiting = {row["reason"]: row["sessions"] for row in deferred}
    resumes = min((row["resumes"] for row in deferred), default=None)
    return ModelDay(
        spent,
        budget,
        waiting.get(BUDGET, 0),
        waiting.get(SERVER, 0),
        resumes.astimezone(UTC) if resumes else None,
    )


def _failures(row: DictRow) -> ModelFailures:
    if row["reason"] not in set(Reason):  # of another release
        return ModelFailures(**row, meaning=row["reason"], advice="")
    reason = Reason(row["reason"])
    return ModelFailures(**row, meaning=reason.meaning, advice=reason.advice)


def _counts(rows: Rows) -> tuple[Count, ...]:
    return tuple(Count(row["kind"], row["extractor"], row["memories"]) for row in rows)
