"""A tenant's policy for the jobs: stored in `tenants.policy`, read at the start of each job."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Literal

from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from consumers.runtime.tenants import NOBODY
from memory.database import Database
from memory.errors import ConfigurationError
from memory.models import Scope
from memory.privacy.findings import Sensitive
from memory.privacy.policy import Action
from memory.trust.rules import KEY, NO_RULES, TrustRules

FAMILIES = (
    "avoids",
    "interested_in",
    "learning",
    "prefers",
    "procedure",
    "taste",
    "uses",
)


GUARDS = (KEY, "sensitive", "recognisers")
"""What protects people, and is never lost because somebody sets another part of a policy."""


class Derived(StrEnum):
    """What stays when retention purges interactions: knowledge without quotes, or nothing."""

    KEEP = "keep"
    DROP = "drop"


class Policy(BaseModel):
    """One tenant's policy; unset fields have their default.

    k, jitter: supporters that the collective tier requires, and how far a secret draw may raise
        that number; jitter 0 makes promotion predictable.
    families: attributes (up to the first dot) that may be promoted.
    people: the word for supporters ("recruiters").
    untrusted_sources: interaction sources whose evidence does not count in promotion.
    cooldown_days: how long a withdrawn memory stays away.
    half_life_days, archive_below, lasting: how importance decays; from `lasting` on it never does.
    retain_interactions_days, retain_derived: after how long interactions are purged, and what then
        stays of the memories derived from them. None: never.
    retain_closed_days: after how long former beliefs are purged. None: never.
    summary_tokens: the length of a closed session's summary.
    trust: whose words are trusted how far; see `memory.trust.rules`.
    review_days: after how long a proposal expires that nobody decided on.
    sensitive: what becomes of secrets and personal data, by class (docs/privacy.md). A class that
        it does not name is kept.
    recognisers: other packages' recognisers to ask as well; every process needs their extra.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: int = Field(default=5, ge=2)
    jitter: int = Field(default=2, ge=0, le=1000)
    families: tuple[str, ...] = FAMILIES
    people: str = Field(default="users", pattern=r"^[a-z][a-z -]{0,39}$")
    untrusted_sources: tuple[str, ...] = ()
    cooldown_days: int = Field(default=7, ge=0)
    half_life_days: PositiveFloat = 180.0
    archive_below: float = Field(default=0.05, ge=0, le=1)
    lasting: float = Field(default=0.9, ge=0, le=1)
    retain_interactions_days: PositiveInt | None = None
    retain_derived: Derived = Derived.KEEP
    retain_closed_days: PositiveInt | None = None
    summary_tokens: PositiveInt = 200
    trust: TrustRules = NO_RULES
    review_days: PositiveInt = 30
    sensitive: dict[Sensitive, Action] = Field(default_factory=dict)
    recognisers: tuple[Literal["presidio"], ...] = ()


async def read_policy(database: Database, tenant: str) -> Policy:
    """Returns the tenant's policy, or the default one.

    Raises:
        ConfigurationError: the stored value is not a policy.
    """
    rows = await database.fetch(Scope(tenant, NOBODY), "compaction.policy")
    return _checked(tenant, rows[0]["policy"] if rows else {})


async def write_policy(database: Database, tenant: str, **wanted: Any) -> Policy:
    """Replaces the tenant's policy by `wanted`; its GUARDS stay unless they are named.

    Raises:
        ConfigurationError: an unknown name, or a value that it cannot have.
    """

    def change(policy: dict[str, Any]) -> dict[str, Any]:
        return {**{name: policy[name] for name in GUARDS if name in policy}, **wanted}

    return await change_policy(database, tenant, change)


async def change_policy(
    database: Database, tenant: str, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> Policy:
    """Replaces the tenant's policy by what `change` makes of what is set in it, all or nothing.

    Raises:
        ConfigurationError: the result is no policy; nothing is changed.
    """
    scope = Scope(tenant, NOBODY)
    async with database.transaction(scope) as transaction:
        rows = await transaction.fetch("compaction.lock_policy", {"tenant": tenant})
        policy = _checked(tenant, change(dict(rows[0]["policy"])))
        changed = {"policy": Jsonb(policy.model_dump(mode="json", exclude_unset=True))}
        await transaction.fetch("compaction.set_policy", {"tenant": tenant, **changed})
    return policy


def _checked(tenant: str, said: Any) -> Policy:
    try:
        return Policy.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise ConfigurationError(
            f"policy of tenant {tenant!r}: {where}: {first['msg']}, got {first['input']!r}"
        ) from error
