"""Converts memories, evidence and assertions to rows and back."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from memory.beliefs.assertions import (
    Assertion,
    Belief,
    StoredBelief,
    Verdict,
    assertion_id,
)
from memory.language.text import estimate_tokens
from memory.models import (
    APPROVED,
    DECISION,
    Candidate,
    Evidence,
    Memory,
    MemoryKind,
    Origin,
    Provenance,
    Retraction,
    Stance,
    Tier,
)

_CANDIDATE = TypeAdapter(Candidate)
_OF_THE_LOG: dict[str, Any] = {"evidence": {"__all__": {"source"}}}
_PROVENANCE = TypeAdapter(Provenance)
_VERDICT = TypeAdapter(Verdict | None)
_RETRACTION = TypeAdapter(Retraction)


def memory_of(row: Mapping[str, Any]) -> Memory:
    return Memory(
        id=row["memory_id"],
        tier=Tier.LONG_TERM,
        kind=MemoryKind(row["kind"]),
        text=row["text"],
        occurred_at=row["occurred_at"],
        provenance=Provenance(
            row["extractor"],
            row["extractor_version"],
            row["prompt"],
            row["prompt_version"],
            row["prompt_hash"],
            row["model"],
        ),
        attribute=row["attribute"],
        value=row["value"],
        subject=row["subject"],
        context=row["context"],
        single_valued=row["single_valued"],
        agent=row["agent_id"],
        session=row["session_id"],
        confidence=row["confidence"],
        importance=row["importance"],
        support=row["support"],
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        believed_from=row["believed_from"],
        believed_to=row["believed_to"],
        supersedes=row["supersedes"],
        contested=tuple(row["contested"]),
        retraction=_RETRACTION.validate_python(row["retraction"])
        if row.get("retraction")
        else None,
        payload=row["payload"],
        origin=origin_of(row),
    )


def origin_of(row: Mapping[str, Any]) -> Origin | None:
    return Origin(row["origin"]) if row.get("origin") else None


def stored_belief_of(row: Mapping[str, Any]) -> StoredBelief:
    """One row of `long_term.open_beliefs` as a value."""
    spans = (
        (interaction, start, end, Stance(stance))
        for interaction, start, end, stance in row["spans"]
    )
    return StoredBelief(memory_of(row), frozenset(spans))


def evidence_of(row: Mapping[str, Any]) -> Evidence:
    return Evidence(
        row["interaction_id"],
        row["quote"],
        row["start_offset"],
        row["end_offset"],
        row["occurred_at"],
        Stance(row["stance"]),
        origin_of(row),
        row.get("source"),
    )


def candidate_of(said: object) -> Candidate:
    """Makes a value of the `said` of a stored assertion."""
    return _CANDIDATE.validate_python(said)


def retraction_of(row: Mapping[str, Any]) -> Retraction:
    """Makes a value of a row of `retractions`, or of the same row from JSON."""
    return _RETRACTION.validate_python(row)


def assertion_of(row: Mapping[str, Any]) -> Assertion:
    return Assertion(
        candidate=candidate_of(row["candidate"]["said"]),
        provenance=_PROVENANCE.validate_python(row["provenance"]),
        recorded_at=row["recorded_at"],
        position=row["position"],
        agent=row["candidate"]["agent"],
        session=row["candidate"]["session"],
        ordinal=row["candidate"]["ordinal"],
        ordinal_to=row["candidate"]["ordinal_to"],
        kept_as=row.get("assertion_id"),
        words=row["candidate"].get("words"),
        verdict=_VERDICT.validate_python(row["candidate"].get("verdict")),
        proposal=row["proposal"],
        approved=bool(row["approved"]),
    )


def memory_row(
    memory_id: int,
    key: bytes,
    belief: Belief,
    supersedes: int | None,
    learned_at: datetime,
) -> dict[str, Any]:
    """Returns a belief as the row that `long_term.insert_memories` takes."""
    newest = belief.newest
    said = newest.candidate
    made = newest.provenance
    return {
        "memory_id": memory_id,
        "belief_key": key.hex(),
        "kind": said.kind.value,
        "text": said.text,
        "attribute": said.attribute,
        "value": said.value,
        "subject": said.subject,
        "context": said.context,
        "single_valued": said.single_valued,
        "agent_id": newest.agent,
        "session_id": newest.session,
        "ordinal": newest.ordinal,
        "ordinal_to": newest.ordinal_to,
        "confidence": belief.confidence,
        "importance": said.importance,
        "support": belief.independent,
        "tokens": estimate_tokens(said.text),
        "payload": _payload(belief),
        "search_text": said.search_text,
        "occurred_at": iso(said.occurred_at),
        "valid_from": iso(belief.valid_from),
        "valid_to": iso(belief.valid_to),
        "believed_from": iso(learned_at),
        "believed_to": None,
        "supersedes": supersedes,
        "contested": list(belief.contested),
        "extractor": made.extractor,
        "extractor_version": made.extractor_version,
        "prompt": made.prompt,
        "prompt_version": made.prompt_version,
        "prompt_hash": made.prompt_hash,
        "model": made.model,
        "origin": belief.origin,
    }


def _payload(belief: Belief) -> dict[str, Any]:
    """The payload of its newest claim, with the verdict and the approval under their own keys."""
    said = belief.newest.candidate.payload.items()
    brought = {k: v for k, v in said if k not in (DECISION, APPROVED)}
    if any(assertion.approved for assertion in belief.support):
        brought[APPROVED] = True
    return {**brought, DECISION: belief.decision} if belief.decision else brought


def memory_of_row(row: Mapping[str, Any]) -> Memory:
    """Makes a value of a row of `memory_row`, whose times are text."""
    times = ("occurred_at", "valid_from", "valid_to", "believed_from", "believed_to")
    moments = {name: datetime.fromisoformat(row[name]) if row[name] else None for name in times}
    return memory_of({**row, **moments})


def evidence_rows(memory_id: int, belief: Belief) -> list[dict[str, Any]]:
    learned = {
        e.interaction_id: a.recorded_at for a in belief.sources for e in a.candidate.evidence
    }
    return [
        {
            "memory_id": memory_id,
            "interaction_id": e.interaction_id,
            "start_offset": e.start,
            "end_offset": e.end,
            "quote": e.quote,
            "stance": e.stance.value,
            "occurred_at": iso(e.occurred_at),
            "recorded_at": iso(learned[e.interaction_id]),
            "origin": e.origin,
        }
        for e in belief.evidence
    ]


def assertion_row(key: bytes, assertion: Assertion) -> dict[str, Any]:
    said = _CANDIDATE.dump_python(assertion.candidate, mode="json", exclude=_OF_THE_LOG)
    return {
        "belief_key": key.hex(),
        "assertion_id": assertion_id(assertion).hex(),
        "position": assertion.position,
        "candidate": {
            "said": said,
            "agent": assertion.agent,
            "session": assertion.session,
            "ordinal": assertion.ordinal,
            "ordinal_to": assertion.ordinal_to,
            "words": assertion.words,
            "verdict": _VERDICT.dump_python(assertion.verdict, mode="json"),
        },
        "provenance": _PROVENANCE.dump_python(assertion.provenance, mode="json"),
        "extractor": assertion.provenance.extractor,
        "interaction_ids": sorted(assertion.interactions),
        "recorded_at": iso(assertion.recorded_at),
        "origin": assertion.origin,
        "proposal": assertion.proposal.hex() if assertion.proposal else None,
    }


def iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
