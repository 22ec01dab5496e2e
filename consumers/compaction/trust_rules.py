"""Reads and changes a tenant's rules on whose words an interaction is."""

from typing import Any

from consumers.compaction.policy import change_policy, read_policy
from memory.database import Database
from memory.errors import InvalidInput
from memory.models import Origin, Role
from memory.trust.rules import KEY, TrustRules

FIELDS = tuple(TrustRules.model_fields)
"""What a rule may go by: source, actor, tool, agent, role."""


async def rules(database: Database, tenant: str) -> TrustRules:
    """Returns the tenant's rules.

    Raises:
        ConfigurationError: what is stored is no policy.
    """
    return (await read_policy(database, tenant)).trust


async def set_rule(
    database: Database, tenant: str, field: str, name: str, origin: Origin
) -> TrustRules:
    """Gives interactions whose `field` is `name` an origin, from now on.

    What is believed already stays as it is until it is derived again.

    Raises:
        InvalidInput: no interaction can have such a name.
        ConfigurationError: too many rules.
    """
    if not name or "\0" in name:
        raise InvalidInput(f"{field} must be text, not empty and without NUL, got {name!r}")
    if field == "role" and name not in set(Role):
        raise InvalidInput(f"role must be one of {', '.join(Role)}, got {name!r}")

    def change(policy: dict[str, Any]) -> dict[str, Any]:
        stored = dict(policy.get(KEY) or {})
        return {**policy, KEY: {**stored, field: {**stored.get(field, {}), name: origin.value}}}

    return (await change_policy(database, tenant, change)).trust


async def remove_rule(database: Database, tenant: str, field: str, name: str) -> TrustRules:
    """Removes one rule.

    Raises:
        InvalidInput: there is no such rule.
    """

    def change(policy: dict[str, Any]) -> dict[str, Any]:
        stored = dict(policy.get(KEY) or {})
        left = dict(stored.get(field, {}))
        if left.pop(name, None) is None:
            raise InvalidInput(f"tenant {tenant!r} has no rule for {field} {name!r}")
        return {**policy, KEY: {**stored, field: left}}

    return (await change_policy(database, tenant, change)).trust
