"""Reads tenants' policies on secrets and personal data, and applies them to what is written."""

from collections.abc import Sequence

from memory.database.transactions import StatementRunner
from memory.errors import StoreUnavailable, TenantRefused
from memory.models import Interaction, Scope
from memory.privacy.policy import KEEPS_ALL, SensitivePolicy
from memory.tenant_cache import TenantCache

_NOBODY = "-"


class TenantPolicies:
    """The policies of one store's tenants, each kept for a while.

    passes: whether what is written is looked at once more before it enters the log. Then messages
        go out as they are while a tenant's policy was never read and cannot be read.
    """

    def __init__(self, database: StatementRunner, *, passes: bool = False) -> None:
        self._database = database
        self._passes = passes
        self._known: TenantCache[SensitivePolicy] = TenantCache()

    async def of(self, tenant: str) -> SensitivePolicy:
        """Returns the policy of a tenant; the last one known while the store is away.

        Raises:
            StoreUnavailable: none is known yet.
        """
        if (fresh := self._known.fresh(tenant)) is not None:
            return fresh
        last = self._known.last(tenant)
        if last is not None:  # who comes meanwhile need not wait
            self._known.keep(tenant, last)
        policy = await self._read(tenant, last)
        if policy is None:
            return last or KEEPS_ALL
        self._known.keep(tenant, policy)
        return policy

    async def to_write(self, interactions: Sequence[Interaction]) -> Sequence[Interaction]:
        """Returns what may be written of interactions of any tenants.

        Raises:
            SensitiveContent: one holds what its tenant refuses.
            StoreUnavailable: as `of`.
        """
        policies = [await self.of(interaction.scope.tenant) for interaction in interactions]
        if not any(policies):
            return interactions
        pairs = zip(policies, interactions, strict=True)
        return [policy.to_write(interaction) for policy, interaction in pairs]

    async def _read(self, tenant: str, last: SensitivePolicy | None) -> SensitivePolicy | None:
        """The policy; None for a tenant that the store does not serve."""
        try:
            rows = await self._database.fetch(Scope(tenant, _NOBODY), "log.sensitive_policy")
        except TenantRefused:  # so does the log, but a topic takes what the bus is given
            return None
        except StoreUnavailable:
            if last is None and not self._passes:
                raise
            return last or KEEPS_ALL
        return SensitivePolicy.of(**rows[0]) if rows else KEEPS_ALL
