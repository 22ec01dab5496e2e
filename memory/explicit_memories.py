"""Encodes what an app asks to remember: as an interaction, and as the candidate it means.

`remember()` writes a note that carries the memory in its payload, so the log stays the truth and
replay derives the same memory again.
"""

import reprlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from memory.errors import InvalidInput
from memory.models import (
    Candidate,
    Evidence,
    Interaction,
    InteractionKind,
    MemoryKind,
    Provenance,
    Role,
)

PAYLOAD_KEY = "remember"
PROVENANCE = Provenance(extractor="explicit", extractor_version="1")
SESSION = "remembered"
"""The session of `remember()` when its scope names none."""

MAX_ATTRIBUTE_CHARACTERS = 200
MAX_VALUE_CHARACTERS = 2_000
MAX_CONTEXT_CHARACTERS = 1_000
LIMITS = {
    "attribute": MAX_ATTRIBUTE_CHARACTERS,
    "value": MAX_VALUE_CHARACTERS,
    "context": MAX_CONTEXT_CHARACTERS,
}
"""The most characters of each text of `remember()`, besides the memory's own text."""

REQUEST = (*LIMITS, "single_valued", "importance")
"""The arguments of `remember()` that `payload` checks."""

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = _brief.maxlong = 80


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
        InvalidInput: a value without its attribute, a text over its limit, an importance outside 0
            to 1, or an argument of another type.
    """
    wanted = {
        "kind": kind.value,
        "attribute": attribute,
        "value": value,
        "context": context,
        "single_valued": single_valued,
        "importance": importance,
    }
    if fault := _fault(wanted):
        raise InvalidInput(fault)
    return {PAYLOAD_KEY: {k: v for k, v in wanted.items() if v is not None}}


def _fault(wanted: Mapping[str, Any]) -> str | None:
    """What keeps a memory from being asked for in these words; None if nothing does."""
    for name, most in LIMITS.items():
        text = wanted.get(name)
        if text is not None and not isinstance(text, str):
            return f"{name} must be text, got {_brief.repr(text)}"
        if text is not None and len(text) > most:
            return f"{name} has {len(text):,} characters, the limit is {most:,}"
    single_valued, importance = wanted.get("single_valued", False), wanted.get("importance", 0.8)
    if not isinstance(single_valued, bool):
        return f"single_valued must be true or false, got {_brief.repr(single_valued)}"
    number = isinstance(importance, int | float) and not isinstance(importance, bool)
    if not number or not 0 <= importance <= 1:
        return f"importance must be 0 to 1, got {_brief.repr(importance)}"
    value = wanted.get("value")
    if wanted.get("attribute") is None and (value is not None or single_valued):
        return f"value {_brief.repr(value)} needs the attribute it belongs to"
    return None


def request_of(interaction: Interaction) -> Mapping[str, Any] | None:
    """Returns what an interaction says to remember; None if it says nothing, or says it wrongly."""
    wanted = interaction.payload.get(PAYLOAD_KEY)
    if not isinstance(wanted, Mapping) or not interaction.content:
        return None
    known = isinstance(kind := wanted.get("kind", MemoryKind.FACT), str) and kind in set(MemoryKind)
    return wanted if known and _fault(wanted) is None else None


def as_recorded(interaction: Interaction, notes_since: datetime | None) -> Interaction:
    """Returns what was recorded before there were notes as the note that it was meant as.

    Until then `remember()` wrote a message of the user's role with a request in its payload.
    """
    if interaction.kind is not InteractionKind.MESSAGE or interaction.role is not Role.USER:
        return interaction
    recorded = interaction.recorded_at
    old = notes_since is not None and recorded is not None and recorded < notes_since
    if not old or request_of(interaction) is None:
        return interaction
    return replace(interaction, kind=InteractionKind.NOTE)


def candidate_of(interaction: Interaction) -> Candidate | None:
    """Returns the memory that an interaction asks for, or None.

    A note asks for its text as a fact where its payload says nothing sound. A message with a
    request in its payload proposes a memory, and stays a message.
    """
    wanted, text = request_of(interaction), interaction.content
    if wanted is None and (interaction.kind is not InteractionKind.NOTE or not text):
        return None
    wanted = wanted or {}
    evidence = Evidence(interaction.id, text, 0, len(text), interaction.occurred_at)
    return Candidate(
        kind=MemoryKind(wanted.get("kind", MemoryKind.FACT)),
        text=text,
        evidence=(evidence,),
        occurred_at=interaction.occurred_at,
        attribute=wanted.get("attribute"),
        value=wanted.get("value"),
        context=wanted.get("context"),
        single_valued=wanted.get("single_valued", False),
        importance=float(wanted.get("importance", 0.8)),
    )
