"""Reads the costs of model calls, tenant by tenant, from the ledger's sums."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date
from enum import StrEnum
from typing import Any

from consumers.runtime.tenants import NOBODY, tenants
from memory.database import Database
from memory.models import Scope


class By(StrEnum):
    """The grouping of sums."""

    MODEL = "model"
    PROMPT = "prompt"
    DAY = "day"
    TENANT = "tenant"
    GENERATION = "generation"


@dataclass(frozen=True, slots=True)
class Cost:
    """The sums over a group of calls.

    of: the model, the prompt with its version, the day, the tenant or the generation.
    calls: all calls; `cached` ones cost nothing, `failed` ones brought no usable answer.
    cost: in the currency of the price table.
    seconds: from the first request of a call to its end, waiting included.
    """

    of: str
    calls: int = 0
    cached: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0


_SUMMED = tuple(field.name for field in fields(Cost))[1:]


async def read_costs(
    database: Database, tenant: str | None = None, since: date | None = None, by: By = By.MODEL
) -> list[Cost]:
    """Reads the sums since the start of `since` (UTC), of one tenant or of all, highest cost first.

    Days come in their order.
    """
    sums: dict[str, Cost] = {}
    async for each in tenants(database, tenant):
        for row in await database.fetch(Scope(each, NOBODY), "models.costs", {"since": since}):
            of = _of(by, each, row)
            before = sums.get(of, Cost(of))
            sums[of] = Cost(of, *(getattr(before, name) + row[name] for name in _SUMMED))
    if by is By.DAY:
        return [sums[day] for day in sorted(sums)]
    return sorted(sums.values(), key=lambda cost: (-cost.cost, -cost.calls, cost.of))


def _of(by: By, tenant: str, row: dict[str, Any]) -> str:
    if by is By.TENANT:
        return tenant
    if by is By.PROMPT:
        return f"{row['prompt']} {row['prompt_version']}"
    return str(row[by.value])


@dataclass(frozen=True, slots=True)
class Called:
    """One call in the ledger; see `model_calls` in the migrations."""

    user_id: str
    call_id: str
    session_id: str | None
    called_at: str
    task: str
    prompt: str
    prompt_version: str
    model: str
    outcome: str
    cached: bool
    requests: int
    input_tokens: int
    output_tokens: int
    cost: float
    seconds: float
    kept: int | None
    refused: dict[str, int] | None
    answer: str | None
    reason: str | None
    detail: str | None


async def read_calls(
    database: Database, tenant: str, user: str | None, outcome: str | None, limit: int
) -> Sequence[Called]:
    """Reads the tenant's newest calls, newest first."""
    params = {"user": user or "", "outcome": outcome, "limit": limit}
    rows = await database.fetch(Scope(tenant, user or NOBODY), "models.calls", params)
    return [
        Called(
            **{
                **row,
                "call_id": str(row["call_id"]),
                "called_at": row["called_at"].isoformat(),
            }
        )
        for row in rows
    ]
