"""Completes `remember()`: waits until the log holds the interaction, then derives the memory."""

from memory import explicit_memories
from memory.beliefs.assertions import Assertion
from memory.beliefs.founding import Founding
from memory.beliefs.long_term import LongTerm
from memory.bus.freshness import Freshness
from memory.errors import ForgottenId, InteractionConflict, InvalidInput
from memory.log import envelope
from memory.log.interactions import Log
from memory.log.tenant_policies import TenantPolicies
from memory.models import Interaction, Memory, Receipt, Scope


class Remembering:
    """Derives the memories that interactions ask for, in one store."""

    def __init__(
        self, log: Log, long_term: LongTerm, freshness: Freshness, policies: TenantPolicies
    ) -> None:
        self._log = log
        self._policies = policies
        self._long_term = long_term
        self._freshness = freshness

    async def memory(self, sent: Interaction, receipt: Receipt, timeout: float) -> Memory:
        """Returns the memory that `sent` asks for, once the log holds it.

        Raises:
            NotApplied: the log does not hold it after `timeout` seconds.
            InteractionConflict: its id is in the log with different content.
            ForgottenId: its id was forgotten, or its message became a dead letter.
        """
        if receipt.place is not None:
            await self._in_log(sent, receipt, timeout)

        async def propose() -> Assertion:
            return await self._asked_for(sent.scope, sent.id)

        changed = await self._long_term.apply(sent.scope, propose)
        return await self._long_term.believed(sent.scope, changed)

    async def _in_log(self, sent: Interaction, receipt: Receipt, timeout: float) -> None:
        await self._freshness.require(sent.scope, receipt, timeout)
        found = await self._log.read_ids(sent.scope, [sent.id])
        if not found:
            raise ForgottenId(
                f"interaction {sent.id!r} was forgotten or is a dead letter;"
                " see `memory dead-letters`"
            )
        if envelope.content_hash(found[0]) != envelope.content_hash(sent):
            raise InteractionConflict(
                f"interaction {sent.id!r} is in the log with different content"
            )

    async def _asked_for(self, scope: Scope, interaction_id: str) -> Assertion:
        found = await self._log.read_ids(scope, [interaction_id])
        policy = await self._policies.of(scope.tenant)
        interaction = policy.to_derive(found[0]) if found else None
        candidate = explicit_memories.candidate_of(interaction) if interaction else None
        if interaction is None or candidate is None or interaction.recorded_at is None:
            raise InvalidInput(
                f"interaction {interaction_id!r} does not ask for a memory, or no longer"
            )
        made = explicit_memories.PROVENANCE
        founding = Founding(await self._long_term.trust.of(scope), {interaction.id: interaction})
        candidate = founding.with_origins(candidate, made)
        return Assertion(
            candidate,
            made,
            interaction.recorded_at,
            interaction.position,
            agent=scope.agent if interaction.private else None,
            session=scope.session,
            ordinal=interaction.ordinal,
            ordinal_to=interaction.ordinal,
            words=founding.words(candidate),
            proposal=founding.proposal(candidate, made),
        )
