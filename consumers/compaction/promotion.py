"""`promote`: publishes what k users support in the collective tier, and withdraws the rest.

Supporters are counted by independent sources (`collective.groups`). A published memory is worded
from a template, and held back if it could identify a person (`publishing`). The published count
moves in coarse steps, each passed only by a secret margin (`collective_step` in SQL).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from consumers.compaction import publishing
from consumers.compaction.work import Work
from memory.beliefs.collective import counted
from memory.database import Transaction
from memory.language.text import estimate_tokens
from memory.models import PUBLISHABLE_KINDS, TRUSTED_ORIGINS

NAME_ATTRIBUTES = [
    "called", "name",
    *(f"{who}.name" for who in (
        "boss", "brother", "cat", "colleague", "cousin", "dad", "daughter", "dog", "father",
        "friend", "girlfriend", "boyfriend", "husband", "manager", "mom", "mother", "partner",
        "sister", "son", "wife",
    )),
]  # fmt: skip
ATTRIBUTES_AT_ONCE = 200
EXTRACTOR = "promotion"


@dataclass(frozen=True, slots=True)
class Batch:
    """The target state of the tier for a range of attributes.

    groups: beliefs that may be published, with their supporters; step None: not now.
    gone: ids of published memories that nothing supports any more.
    """

    generation: int
    k: int
    groups: Sequence[DictRow]
    gone: Sequence[int]


async def promote(work: Work) -> None:
    """Updates the collective tier to what the tenant's users support now.

    Each batch of attributes commits in one transaction. It locks supporters and counts them again,
    so that nobody who is forgotten meanwhile is counted. Finally it builds recall blocks; without
    them recall finds the same, row by row.
    """
    if not work.dry_run:
        await work.fetch("compaction.set_policy", {"policy": None})
    await work.long_term.embedder_id()
    end = False
    while not end:
        after = work.cursor
        live = (await work.fetch("collective.generation"))[0]
        limit = min(work.batch, ATTRIBUTES_AT_ONCE)
        found = await work.fetch(
            "collective.attributes",
            {"after": after, "limit": limit},
        )
        attributes = [row["attribute"] for row in found]
        end = len(attributes) < limit
        upto = None if end else attributes[-1]
        batch = await _wanted(work, live, attributes, after, upto)
        work.report.examined += len(attributes)
        if work.dry_run:
            _foretold(work, batch)
            await work.advance(upto or "")
        else:
            await _written(work, batch, upto or "")
    while not work.dry_run and (await work.fetch("collective.seal"))[0]["sealed"]:
        work.report.count("blocks made")


async def _wanted(
    work: Work, live: DictRow, attributes: Sequence[str], after: str, upto: str | None
) -> Batch:
    allowed = [a for a in attributes if publishing.family(a) in work.policy.families]
    params = {
        "attributes": allowed,
        "kinds": list(PUBLISHABLE_KINDS),
        "k": live["k"],
        "untrusted": list(work.policy.untrusted_sources),
        "trusted": list(TRUSTED_ORIGINS),
        "cooldown": work.policy.cooldown_days,
    }
    groups = await work.fetch("collective.groups", params) if allowed else []
    named = await _names(work, live, groups)
    shared = []
    for row in groups:
        reason = publishing.revealing(row["attribute"], row["value"], row["context"], named)
        if reason is None:
            shared.append(row)
        else:
            work.report.count("held back")
    published = await work.fetch("collective.published", {"after": after, "upto": upto})
    kept = {row["memory_id"] for row in shared if row["step"] is not None}
    gone = [row["memory_id"] for row in published if row["memory_id"] not in kept]
    return Batch(live["generation"], live["k"], shared, gone)


async def _names(work: Work, live: DictRow, groups: Sequence[DictRow]) -> set[str]:
    said = {
        word
        for row in groups
        for word in publishing.words(row["attribute"], row["value"], row["context"])
    }
    if not said:
        return set()
    params = {
        # However a name is written: the server may know no case beyond ASCII.
        "words": sorted(said | {w.capitalize() for w in said} | {w.upper() for w in said}),
        "name_attributes": NAME_ATTRIBUTES,
        "k": live["k"],
    }
    rows = await work.fetch("collective.named_words", params)
    return {row["word"].casefold() for row in rows}


def _foretold(work: Work, batch: Batch) -> None:
    for row in batch.groups:
        _count(work, row)
    work.report.count("withdrawn", len(batch.gone))


def _count(work: Work, row: DictRow) -> None:
    if row["memory_id"] is None:
        work.report.count("promoted" if row["step"] is not None else "waiting")
    elif row["step"] is not None and row["step"] != row["published"]:
        work.report.count("count moved")


async def _written(work: Work, batch: Batch, cursor: str) -> None:
    fresh = [row for row in batch.groups if row["memory_id"] is None and row["step"] is not None]
    texts = [publishing.worded(r["attribute"], r["value"], r["context"]) for r in fresh]
    vectors = list(await work.embedder.embed(texts)) if texts else []
    async with work.database.transaction(work.tenant) as transaction:
        held = await _held(work, transaction, batch)
        turn = {**work.keys(), "ids": len(fresh)}
        first = (await transaction.fetch("collective.lock_tenant", turn))[0]["change_seq"] + 1
        new = [
            (row, _row(work, row, text, first + n), vector)
            for n, (row, text, vector) in enumerate(zip(fresh, texts, vectors, strict=True))
            if len(held[row["belief_key"]]) == row["supporters"]
        ]
        lost = await _restate(work, transaction, batch, held)
        await _publish(work, transaction, batch, new)
        await _support(work, transaction, held, batch, {id(r): d["memory_id"] for r, d, _ in new})
        gone = {**work.keys(), "memories": [*batch.gone, *lost]}
        withdrawn = (await transaction.fetch("collective.withdraw", gone))[0]["withdrawn"]
        await work.advance(cursor, transaction)
    for row, _, _ in new:
        _count(work, row)
    for row in batch.groups:
        if row["memory_id"] is not None or row["step"] is None:
            _count(work, row)
    work.report.count("withdrawn", withdrawn)


async def _held(
    work: Work, transaction: Transaction, batch: Batch
) -> dict[bytes, list[tuple[str, int]]]:
    """The remaining supporters of each belief, locked until the batch commits."""
    pairs = sorted(
        {
            pair
            for row in batch.groups
            if row["step"] is not None
            for pair in zip(row["users"], row["memories"], strict=True)
        }
    )
    params = {"users": [u for u, _ in pairs], "memories": [m for _, m in pairs]}
    rows = await transaction.fetch("collective.lock_supporters", {**work.keys(), **params})
    there = {(row["user_id"], row["memory_id"]) for row in rows}
    return {
        row["belief_key"]: [
            pair for pair in zip(row["users"], row["memories"], strict=True) if pair in there
        ]
        for row in batch.groups
    }


async def _restate(
    work: Work, transaction: Transaction, batch: Batch, held: dict[bytes, list[tuple[str, int]]]
) -> list[int]:
    """Writes changed counts; returns the memories that lost their support meanwhile."""
    standing = [r for r in batch.groups if r["memory_id"] is not None and r["step"] is not None]
    lost = [r["memory_id"] for r in standing if len(held[r["belief_key"]]) < batch.k]
    people = work.policy.people
    moved = [
        {
            "memory_id": row["memory_id"],
            "support": row["step"],
            "confidence": publishing.confidence(row["step"]),
            "people": people,
            "evidence_kinds": row["evidence_kinds"] or [],
        }
        for row in standing
        if len(held[row["belief_key"]]) == row["supporters"]
        if (row["step"], people, row["evidence_kinds"] or [])
        != (row["published"], row["people"], row["shown_kinds"])
    ]
    if moved:
        # A row that says the same is not written again: its version would show that someone came.
        await transaction.fetch("collective.republish", {**work.keys(), "rows": Jsonb(moved)})
    return lost


def _row(work: Work, row: DictRow, text: str, memory_id: int) -> dict[str, Any]:
    return {
        "memory_id": memory_id,
        "belief_key": row["belief_key"].hex(),
        "kind": row["kind"],
        "text": text,
        "attribute": row["attribute"],
        "value": row["value"],
        "context": row["context"],
        "confidence": publishing.confidence(row["step"]),
        "support": row["step"],
        "tokens": estimate_tokens(counted(text, row["step"], work.policy.people)),
        "extractor": EXTRACTOR,
        "extractor_version": publishing.TEMPLATE_VERSION,
        "people": work.policy.people,
        "evidence_kinds": row["evidence_kinds"] or [],
    }


async def _publish(
    work: Work,
    transaction: Transaction,
    batch: Batch,
    new: Sequence[tuple[DictRow, dict[str, Any], NDArray[np.float32]]],
) -> None:
    if not new:
        return
    rows = {
        **work.keys(),
        "generation": batch.generation,
        "language": work.settings.language,
        "rows": Jsonb([row for _, row, _ in new]),
    }
    await transaction.fetch("collective.publish", rows)
    embedder_id = await work.long_term.embedder_id()
    await transaction.execute_many(
        "collective.publish_embedding",
        [
            {
                **work.keys(),
                "embedder_id": embedder_id,
                "memory_id": row["memory_id"],
                "vector": HalfVector(vector),
            }
            for _, row, vector in new
        ],
    )


async def _support(
    work: Work,
    transaction: Transaction,
    held: dict[bytes, list[tuple[str, int]]],
    batch: Batch,
    fresh: dict[int, int],
) -> None:
    supported = [
        (memory_id, user, memory)
        for row in batch.groups
        if row["step"] is not None
        if (memory_id := row["memory_id"] or fresh.get(id(row))) is not None
        for user, memory in held[row["belief_key"]]
    ]
    if supported:
        params = {
            "supported": [s for s, _, _ in supported],
            "users": [u for _, u, _ in supported],
            "memories": [m for _, _, m in supported],
        }
        await transaction.fetch("collective.support", {**work.keys(), **params})
