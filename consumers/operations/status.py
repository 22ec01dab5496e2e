"""Reads the operators' view of a store: positions, lag, sessions set aside, and the tiers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from consumers.generations.quality import Quality, sampled
from consumers.generations.registry import read_generations, shares_of
from consumers.ingest.lag import IngestState
from memory.database import Database
from memory.database.pipeline import Rows
from memory.errors import BudgetSpent, ExtractionWaits
from memory.log.interactions import Position, position_of
from memory.models import Scope

BUDGET, SERVER = BudgetSpent.__name__, ExtractionWaits.__name__
"""The errors that postpone sessions, as `progress` names them."""


@dataclass(frozen=True, slots=True)
class Count:
    """The number of current memories of a kind that an extractor made."""

    kind: str
    extractor: str
    memories: int


@dataclass(frozen=True, slots=True)
class SetAside:
    """A session that extraction set aside, at `ordinal`."""

    user: str
    session: str
    ordinal: int
    attempts: int
    error: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ModelDay:
    """The model costs of a tenant today (UTC), and its sessions that wait for a model.

    spent, budget: in the currency of the price table; a budget of None is no limit.
    waiting_for_budget: sessions postponed because the budget was spent.
    waiting_for_server: sessions postponed because the model's server refused requests.
    resumes_at: when the first of them is read again.
    """

    spent: float
    budget: float | None
    waiting_for_budget: int = 0
    waiting_for_server: int = 0
    resumes_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a store at one moment.

    Users, interactions, waiting, lag and leases count every tenant; the rest is the tenant's.
    waiting: interactions recorded and not extracted.
    backfill_waiting: those of them that belong to users with only imported history waiting.
    lag_seconds: the longest wait of a user, without backfill.
    leased: users that a worker holds.
    leases_expired: users whose worker vanished.
    models: their costs today, and the sessions that wait for them.
    set_aside: the newest of `set_aside_total`.
    sessions_open: sessions whose working memory has not expired.
    ingest: of the configured topic; None if there is none.
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
    leased: int
    leases_expired: int
    sessions: int
    sessions_open: int
    long_term: tuple[Count, ...]
    collective: tuple[Count, ...]
    set_aside: tuple[SetAside, ...]
    set_aside_total: int
    models: ModelDay
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
    (
        sessions,
        long_term,
        collective,
        set_aside,
        spent,
        deferred,
        position,
    ) = await database.fetch_all(
        scope,
        [
            ("status.sessions", whose),
            ("status.long_term", whose),
            ("status.collective", {}),
            ("leases.set_aside", whose),
            ("models.spent_today", {}),
            ("models.deferred", {**whose, "reasons": [BUDGET, SERVER]}),
            ("log.position", {}),
        ],
    )
    lag = (await database.fetch_system("leases.lag"))[0]
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
        lag_seconds=round(lag["oldest_seconds"], 3),
        backfill_users=lag["backfill_users"],
        backfill_waiting=lag["backfill_waiting"],
        backfill_lag_seconds=round(lag["backfill_seconds"], 3),
        leased=lag["leased"],
        leases_expired=lag["leases_expired"],
        sessions=sessions[0]["sessions"],
        sessions_open=sessions[0]["open"],
        long_term=_counts(long_term),
        collective=_counts(collective),
        set_aside=tuple(
            SetAside(
                row["user_id"],
                row["session_id"],
                row["ordinal"],
                row["attempts"],
                row["error"] or "",
                row["set_aside_at"],
            )
            for row in set_aside
        ),
        set_aside_total=set_aside[0]["total"] if set_aside else 0,
        models=_models(spent[0]["spent"], daily_budget, deferred),
        quality=tuple(await sampled(database, tenant, language)),
        position=position_of(position) if user else None,
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


def _counts(rows: Rows) -> tuple[Count, ...]:
    return tuple(Count(row["kind"], row["extractor"], row["memories"]) for row in rows)
