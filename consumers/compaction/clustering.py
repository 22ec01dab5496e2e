"""`cluster`: stores one user's rows together on disk, so that recall reads few pages."""

from collections.abc import Iterator, Sequence

from psycopg.rows import DictRow

from consumers.compaction.work import Work
from memory.beliefs.long_term import seal
from memory.models import Scope

SCATTERED = 2.0
"""A user's rows are moved if they lie on more than this many times the pages they would fill."""

FEWEST_PAGES = 8
"""Rows on fewer pages than this count as together."""

ROWS_AT_ONCE = 20_000
USERS_AT_ONCE = 200

STAGES = ("stage_memories", "stage_embeddings", "stage_evidence", "stage_uses")
MOVES = (
    "lift_children", "lift_memories", "lay_memories", "lay_embeddings", "lay_evidence", "lay_uses",
)  # fmt: skip


async def cluster(work: Work) -> None:
    """Rewrites the memories, vectors and evidence of users whose rows are scattered.

    Then it builds recall blocks for all users. A batch of moves is one transaction that keeps
    writers, not readers, away from its users. Autovacuum frees the pages left behind. Measured:
    pages of memories and vectors per moved user, before and after.
    """
    moved: list[DictRow] = []
    after: list[DictRow] = []
    async for users in work.users():
        scattered = [r for r in await work.fetch("compaction.pages", {"users": users}) if _bad(r)]
        work.report.count("users moved", len(scattered))
        work.report.count("rows moved", sum(row["rows"] for row in scattered))
        moved += scattered
        if work.dry_run:
            continue
        for group in _groups(scattered):
            await _move(work, group)
            after += await work.fetch("compaction.pages", {"users": group})
        made = sum([await seal(work.database, Scope(work.report.tenant, u)) for u in users])
        if made:
            work.report.count("blocks made", made)
    if moved:
        work.report.measured["pages per user before"] = _mean(moved, "pages")
        work.report.measured["pages per user at best"] = _mean(moved, "fitting")
    if after:
        work.report.measured["pages per user after"] = _mean(after, "pages")


def _bad(row: DictRow) -> bool:
    return bool(row["pages"] > max(FEWEST_PAGES, SCATTERED * row["fitting"]))


def _mean(rows: Sequence[DictRow], name: str) -> float:
    return float(sum(row[name] for row in rows)) / len(rows)


def _groups(rows: Sequence[DictRow]) -> Iterator[list[str]]:
    group: list[str] = []
    size = 0
    for row in rows:
        if group and (size + row["rows"] > ROWS_AT_ONCE or len(group) == USERS_AT_ONCE):
            yield group
            group, size = [], 0
        group.append(row["user_id"])
        size += row["rows"]
    if group:
        yield group


async def _move(work: Work, users: Sequence[str]) -> None:
    params = {**work.keys(), "users": list(users)}
    async with work.database.transaction(work.tenant) as transaction:
        await transaction.fetch("compaction.lock_users", params)
        await transaction.fetch("changes.silence", {})
        for name in STAGES:
            await transaction.fetch(f"compaction.{name}", {})
        for name in MOVES:
            await transaction.fetch(f"compaction.{name}", params)
