"""Encodes what an app asks to remember: as an interaction, and as the candidate it means.

`remember()` writes an interaction that carries the memory in its payload, so the log stays the
truth and replay derives the same memory again.
"""

from collections.abc import Mapping
from typing import Any

from memory.errors import InvalidInput
from memory.models import Candidate, Evidence, Interaction, MemoryKind, Provenance

PAYLOAD_KEY = "remember"
PROVENANCE = Provenance(extractor="explicit", extractor_version="1")
SESSION = "remembered"
"""The session of `remember()` when its scope names none."""


def payload(
    kind: MemoryKind,
    *,
    attribute: str | None = None,
    value: str | None = None,
    context: str | None = None,
    single_valued: bool = False,
    importance: float = 0.8,
) -> dict[str, Any]:
    """Returns the payload of an interaction that asks for a memory.

    Raises:
        InvalidInput: a value without its attribute, or an importance outside 0 to 1.
    """
    if attribute is None and (value is not None or single_valued):
        raise InvalidInput(f"value {value!r} needs the attribute it belongs to")
    if not 0 <= importance <= 1:
        raise InvalidInput(f"importance must be 0 to 1, got {importance!r}")
    wanted = {
        "kind": kind.value,
        "attribute": attribute,
        "value": value,
        "context": context,
        "single_valued": single_valued,
        "importance": importance,
    }
    return {PAYLOAD_KEY: {k: v for k, v in wanted.items() if v is not None}}


def candidate_of(interaction: Interaction) -> Candidate | None:
    """Returns the memory that an interaction asks for, or None."""
    wanted = interaction.payload.get(PAYLOAD_KEY)
    if not isinstance(wanted, Mapping) or not interaction.content:
        return None
    text = interaction.content
    evidence = Evidence(interaction.id, text, 0, len(text), interaction.occurred_at)
    return Candidate(
        kind=MemoryKind(wanted.get("kind", MemoryKind.FACT)),
        text=text,
        evidence=(evidence,),
        occurred_at=interaction.occurred_at,
        attribute=wanted.get("attribute"),
        value=wanted.get("value"),
        context=wanted.get("context"),
        single_valued=bool(wanted.get("single_valued", False)),
        importance=float(wanted.get("importance", 0.8)),
    )
