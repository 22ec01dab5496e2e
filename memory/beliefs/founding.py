"""The gate between what is said and what is believed: origins, and who may found what.

Only what the person, the app or a system of record says founds facts, preferences and instructions;
an agent's own acts found procedures. Everything else is a proposal: an assertion that waits until
somebody approves it. Episodes and summaries repeat what was said, and are kept whoever said it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from memory import explicit_memories
from memory.beliefs.assertions import digest
from memory.database import StatementRunner
from memory.errors import ConfigurationError, StoreError
from memory.models import (
    KIND_TRAITS,
    Candidate,
    Evidence,
    Interaction,
    InteractionKind,
    Origin,
    Provenance,
    Scope,
    Trust,
    least_trusted,
    trust_of,
)
from memory.tenant_cache import TenantCache
from memory.trust.origins import SpanOrigins, TenantTrust, origin_of_request, voice_of
from memory.trust.rules import rules_of

_WORKED = ". Worked "
_ASKED_FOR = re.compile(r" \(asked for: [^()]*\)")

LONG = 60
"""Characters from which on the same text again is a copy."""


class TrustReader:
    """Reads what decides on origins in each tenant, and remembers it for a moment."""

    def __init__(self, database: StatementRunner) -> None:
        self._database = database
        self._known: TenantCache[TenantTrust] = TenantCache()

    async def of(self, scope: Scope) -> TenantTrust:
        """Returns what decides on origins in the tenant of `scope`.

        Raises:
            StoreError: the tenant's rules cannot be read.
        """
        if (trust := self._known.fresh(scope.tenant)) is not None:
            return trust
        (row,) = await self._database.fetch(scope, "trust.of_tenant")
        try:
            trust = TenantTrust(rules_of(scope.tenant, row["policy"] or {}), row["notes_since"])
        except ConfigurationError as error:  # of one tenant, and no reason to stop for all
            raise StoreError(str(error)) from error
        self._known.keep(scope.tenant, trust)
        return trust


class Founding:
    """Gives candidates their origins, and says which of them only propose.

    It reads each interaction once, so one of these serves all candidates of a batch.
    """

    def __init__(self, trust: TenantTrust, interactions: Mapping[str, Interaction]) -> None:
        self._rules = trust.rules
        self._interactions = interactions
        self._spans: dict[str, SpanOrigins] = {}
        self._texts: dict[str, tuple[int, str]] = {}

    def with_origins(self, candidate: Candidate, made: Provenance) -> Candidate:
        """Returns the candidate with the origin of each piece of its evidence."""
        evidence = tuple(
            replace(piece, origin=self._origin(piece, made)) for piece in candidate.evidence
        )
        return replace(candidate, evidence=evidence)

    def proposal(self, candidate: Candidate, made: Provenance) -> bytes | None:
        """Returns a digest of what a candidate proposes, 16 bytes; None if its origin founds it.

        `candidate` has its origins. Repetitions by the same voice have one digest, whoever's
        memory they are for: neither user nor interaction counts. Everything counts that a reader
        would see of it, and what it would end: or who was approved once could say something else
        next time under the same decision.
        """
        origin = least_trusted(piece.origin for piece in candidate.evidence)
        if origin is None or self._founds(candidate, origin, made):
            return None
        said = next(piece for piece in candidate.evidence if piece.origin is origin)
        return digest(
            [
                origin,
                voice_of(self._interactions[said.interaction_id], origin),
                candidate.kind,
                candidate.stance,
                candidate.attribute,
                candidate.subject,
                candidate.context,
                candidate.value,
                str(candidate.single_valued),
                self._wording(candidate, made),
            ]
        )[:16]

    def _wording(self, candidate: Candidate, made: Provenance) -> str | None:
        """The text that approving would show, whatever the value says, but for what it counts.

        We word what is inferred ourselves: a preference of attribute, value and context, and a
        procedure of its steps and how often they worked.
        """
        if made.extractor == explicit_memories.PROVENANCE.extractor:
            return candidate.text
        if KIND_TRAITS[candidate.kind].of_acts:
            return _ASKED_FOR.sub("", candidate.text.rpartition(_WORKED)[0] or candidate.text)
        kinds = {self._interactions[piece.interaction_id].kind for piece in candidate.evidence}
        return None if kinds == {InteractionKind.FEEDBACK} else candidate.text

    def words(self, candidate: Candidate) -> str | None:
        """Returns a digest of the texts behind a candidate, if another copy adds nothing to them.

        So it is with long texts, which nobody says twice in the same words, and with agents, which
        repeat themselves. Spacing does not count.
        """
        texts = set()
        for piece in candidate.evidence:
            length, text = self._text(piece.interaction_id)
            if length < LONG and piece.origin not in (Origin.AGENT, Origin.OTHER_AGENT):
                return None
            texts.add(text)
        return digest(sorted(texts)).hex()[:32]

    def _text(self, interaction: str) -> tuple[int, str]:
        """The length of an interaction's content without surplus space, and a digest of it."""
        if interaction not in self._texts:
            text = " ".join(self._interactions[interaction].content.split())
            self._texts[interaction] = len(text), digest([text]).hex()
        return self._texts[interaction]

    def _origin(self, piece: Evidence, made: Provenance) -> Origin:
        interaction = self._interactions[piece.interaction_id]
        requested = made.extractor == explicit_memories.PROVENANCE.extractor
        if requested and interaction.kind is not InteractionKind.NOTE:
            return origin_of_request(interaction, self._rules)
        read = self._spans.get(interaction.id)
        if read is None:
            read = self._spans[interaction.id] = SpanOrigins.of(interaction, self._rules)
        return read.between(piece.start, piece.end)

    def _founds(self, candidate: Candidate, origin: Origin, made: Provenance) -> bool:
        trust = trust_of(origin)
        if trust is not None and trust >= Trust.TRUSTED:
            return True
        if KIND_TRAITS[candidate.kind].verbatim:
            # What an app asks to remember is a claim, whatever its kind.
            return made.extractor != explicit_memories.PROVENANCE.extractor
        acts = origin is Origin.AGENT and KIND_TRAITS[candidate.kind].of_acts
        return acts and self._only_acts(candidate.evidence)

    def _only_acts(self, evidence: Iterable[Evidence]) -> bool:
        kinds = (self._interactions[piece.interaction_id].kind for piece in evidence)
        return all(kind is InteractionKind.TOOL_CALL for kind in kinds)
