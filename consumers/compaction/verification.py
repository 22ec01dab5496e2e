"""`verify`: checks invariants, and repairs what it safely can."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pgvector import HalfVector
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from consumers.compaction.publishing import confidence
from consumers.compaction.report import Finding
from consumers.compaction.work import Work
from memory.database.pipeline import Rows

Repair = Callable[[Work, DictRow], Awaitable[None]]

WRONG_BLOCK = "a block that says other than its memories"


@dataclass(frozen=True, slots=True)
class Invariant:
    """One invariant: the statement that finds its breaches, their description, and a repair.

    repair: None if only people can say what is right.
    """

    name: str
    statement: str
    told: str
    repair: Repair | None = None


async def verify(work: Work) -> None:
    """Checks every invariant over all users, then the collective tier; with `repair`, repairs.

    Safe repairs are: closing a memory without evidence, ending the older of two overlapping values,
    moving a position or an extraction's progress to where the log is, removing and making vectors,
    removing blocks, and withdrawing collective support. Gaps in the log, evidence that does not
    match it, and interactions that came back are left to people.
    """
    embedder_id = await work.long_term.embedder_id()
    async for users in work.users():
        params = {"users": users, "embedder_id": embedder_id}
        for invariant in INVARIANTS:
            for row in await work.fetch(f"verification.{invariant.statement}", params):
                await _found(work, invariant, row)
        await _missing_vectors(work, params)
    await _collective(work, embedder_id)


async def _found(work: Work, invariant: Invariant, row: DictRow) -> None:
    mend = invariant.repair if work.repair and not work.dry_run else None
    if mend is not None:
        await mend(work, row)
    where = invariant.told.format(**row)
    work.report.find(Finding(invariant.name, row["user_id"], where, mend is not None))


def _by(statement: str, *columns: str, **renamed: str) -> Repair:
    """A repair that is one statement, with columns of the finding as its parameters."""

    async def repair(work: Work, row: DictRow) -> None:
        params = {name: row[name] for name in columns}
        params |= {name: row[column] for name, column in renamed.items()}
        await work.database.fetch(work.user(row["user_id"]), f"verification.{statement}", params)

    return repair


INVARIANTS = (
    Invariant(
        "a memory without evidence", "without_evidence", "memory {memory_id}",
        _by("close_memory", memory="memory_id"),
    ),
    Invariant(
        "a gap in the ordinals", "ordinal_gaps",
        "session {session_id!r} accounts for {accounted} of {length} places",
    ),
    Invariant(
        "an interaction beyond its session", "beyond_session",
        "session {session_id!r} has ordinal {ordinal} and length {length}",
    ),
    Invariant(
        "a position behind the log", "behind_log", "position {position}, newest {last}",
        _by("repair_position"),
    ),
    Invariant(
        "positions unaccounted for", "unaccounted",
        "{position} were given, {kept} are there and {forgotten} forgotten",
    ),
    Invariant(
        "overlapping beliefs", "overlapping",
        "memories {older} and {newer} are both believed of {attribute!r}",
        _by("end_older", memory="older", at="newer_from"),
    ),
    Invariant(
        "a vector without memory", "stray_vectors", "vector of memory {memory_id}",
        _by("delete_vector", memory="memory_id"),
    ),
    Invariant(
        "a quote that is not in its source", "wrong_quotes",
        "memory {memory_id} quotes {interaction_id!r} at {start_offset}",
    ),
    Invariant(
        "a forgotten interaction that came back", "returned", "interaction {interaction_id!r}",
    ),
    Invariant(
        "progress ahead of the log", "ahead",
        "session {session_id!r} of length {length} is extracted to {ordinal}",
        _by("step_back", "generation", session="session_id"),
    ),
    Invariant(
        WRONG_BLOCK, "wrong_blocks",
        "block {block} of generation {generation}, memories {first} to {last}",
        _by("delete_block", "generation", "block"),
    ),
)  # fmt: skip


async def _missing_vectors(work: Work, params: dict[str, Any]) -> None:
    rows = await work.fetch("verification.missing_vectors", params)
    mend = work.repair and not work.dry_run
    vectors = await _embedded(work, rows) if mend else []
    for row, vector in zip(rows, vectors, strict=False):
        restored = {"memory": row["memory_id"], "text": row["text"], "vector": vector}
        restored["embedder_id"] = params["embedder_id"]
        user = work.user(row["user_id"])
        await work.database.fetch(user, "verification.restore_vector", restored)
    for row in rows:
        where = f"memory {row['memory_id']}"
        work.report.find(Finding("a memory without vector", row["user_id"], where, mend))


async def _embedded(work: Work, rows: Rows) -> Sequence[HalfVector]:
    texts = [row["text"] for row in rows]
    return [HalfVector(v) for v in await work.embedder.embed(texts)] if texts else []


async def _collective(work: Work, embedder_id: int) -> None:
    mend = work.repair and not work.dry_run
    for row in await work.fetch("verification.unsupported"):
        if mend:
            await _recounted(work, row)
        where = (
            f"collective memory {row['memory_id']} says at least {row['published']},"
            f" lists {row['listed']} and is held by {row['supporters']}; k is {row['k']}"
        )
        work.report.find(Finding("support that does not add up", None, where, mend))
    for row in await work.fetch("verification.wrong_collective_blocks"):
        if mend:
            await work.fetch("verification.delete_collective_block", {"block": row["block"]})
        where = f"collective block {row['block']}, memories {row['first']} to {row['last']}"
        work.report.find(Finding(WRONG_BLOCK, None, where, mend))
    rows = await work.fetch("verification.collective_without_vector", {"embedder_id": embedder_id})
    vectors = await _embedded(work, rows) if mend else []
    for row, vector in zip(rows, vectors, strict=False):
        params = {"memory_id": row["memory_id"], "embedder_id": embedder_id, "vector": vector}
        await work.fetch("collective.publish_embedding", params)
    for row in rows:
        where = f"collective memory {row['memory_id']}"
        work.report.find(Finding("a memory without vector", None, where, mend))


async def _recounted(work: Work, row: DictRow) -> None:
    """Removes lost supporters of a collective memory, then withdraws it or corrects its count."""
    memory = {"memory": row["memory_id"]}
    if row["step"] is None:
        await work.fetch("collective.withdraw", {"memories": [row["memory_id"]]})
        return
    said = {
        "memory_id": row["memory_id"],
        "support": row["step"],
        "confidence": confidence(row["step"]),
        "people": row["people"],
        "evidence_kinds": row["evidence_kinds"],
    }
    await work.fetch("verification.drop_support", memory)
    if row["step"] != row["published"]:
        await work.fetch("collective.republish", {"rows": Jsonb([said])})
