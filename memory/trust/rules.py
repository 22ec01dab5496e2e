"""What a tenant says about the origin of its interactions: stored in `tenants.policy`, `trust`."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memory.errors import ConfigurationError
from memory.models import Interaction, Origin, least_trusted

KEY = "trust"
"""The key of the rules in a tenant's policy."""

MOST_RULES = 1_000

Named = Mapping[str, Origin]


class TrustRules(BaseModel):
    """Origins by name; what no rule names has the origin of its kind and role.

    Where several rules name one interaction, the least trusted of their origins counts.

    source: by the system that recorded it; `{"crm": "record"}` makes a system of record.
    actor: by the speaker's name.
    tool: by the name in a tool's payload; `{"web_search": "external"}`.
    agent: by the agent in the scope.
    role: by the role; at most four.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Named = Field(default={}, max_length=MOST_RULES)
    actor: Named = Field(default={}, max_length=MOST_RULES)
    tool: Named = Field(default={}, max_length=MOST_RULES)
    agent: Named = Field(default={}, max_length=MOST_RULES)
    role: Named = Field(default={}, max_length=4)

    def origin(self, interaction: Interaction) -> Origin | None:
        """Returns the origin that the rules give an interaction; None where they name none."""
        return least_trusted(self._named(interaction))

    def _named(self, interaction: Interaction) -> Iterator[Origin]:
        by_name = (
            (self.source, interaction.source),
            (self.actor, interaction.actor),
            (self.tool, tool_of(interaction)),
            (self.agent, interaction.scope.agent),
            (self.role, interaction.role.value),
        )
        for rules, name in by_name:
            if name is not None and name in rules:
                yield rules[name]


NO_RULES = TrustRules()


def rules_of(tenant: str, policy: Mapping[str, Any]) -> TrustRules:
    """Returns the rules in a tenant's policy.

    Raises:
        ConfigurationError: they are not rules.
    """
    if KEY not in policy:
        return NO_RULES
    try:
        return TrustRules.model_validate(policy[KEY])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise ConfigurationError(
            f"trust rules of tenant {tenant!r}: {where}: {first['msg']}, got {first['input']!r}"
        ) from error


def tool_of(interaction: Interaction) -> str | None:
    """Returns the tool's name in the payload, or None."""
    tool = interaction.payload.get("tool")
    return tool if isinstance(tool, str) else None


def tool_or_actor(interaction: Interaction) -> str | None:
    """Returns by what name a tool goes: the one in its payload, or its actor's."""
    return tool_of(interaction) or interaction.actor
