"""`retain`: purges what is older than the tenant's policy allows."""

from consumers.compaction.policy import Derived
from consumers.compaction.work import Work
from memory.beliefs.erasure import Eraser
from memory.models import VERBATIM_KINDS

FOREVER_DAYS = 365_000

AT_ONCE = 1_000
"""Interactions of one user that are purged in one transaction."""


async def retain(work: Work) -> None:
    """Purges old interactions, which leave tombstones, and beliefs that ended long ago.

    Proposals that nobody decided on in time are deleted as well.

    Age counts from when the log recorded an interaction. Episodes and summaries derived from purged
    interactions go, since they hold their words. Other memories stay without their quotes if the
    policy keeps derived knowledge; otherwise they go as if their sources were forgotten.
    """
    policy = work.policy
    days = {
        "interaction_days": policy.retain_interactions_days or FOREVER_DAYS,
        "memory_days": policy.retain_closed_days or FOREVER_DAYS,
    }
    eraser = Eraser(work.database, work.long_term)
    async for users in work.users():
        if not work.dry_run:
            waited = {"users": users, "days": policy.review_days}
            gone = await work.fetch("review.drop_expired", waited)
            if gone:
                work.report.count("proposals expired", len(gone))
        if policy.retain_interactions_days is None and policy.retain_closed_days is None:
            continue
        for row in await work.fetch("compaction.expired", {"users": users, **days}):
            if work.dry_run:
                work.report.count("interactions purged", row["interactions"])
                work.report.count("closed memories purged", row["memories"])
                continue
            if row["memories"]:
                await _purge_closed(work, row["user_id"], days["memory_days"])
            if row["interactions"]:
                await _purge_interactions(work, eraser, row["user_id"], days["interaction_days"])


async def _purge_closed(work: Work, user: str, days: int) -> None:
    gone = await work.database.fetch(
        work.user(user), "compaction.purge_closed", {"memory_days": days}
    )
    work.report.count("closed memories purged", len(gone))


async def _purge_interactions(work: Work, eraser: Eraser, user: str, days: int) -> None:
    scope = work.user(user)
    params = {"interaction_days": days, "limit": AT_ONCE}
    while True:
        rows = await work.database.fetch(scope, "compaction.expired_ids", params)
        ids = [row["interaction_id"] for row in rows]
        if not ids:
            return
        # Of what was retracted nothing is knowledge to keep.
        drop = work.policy.retain_derived is Derived.DROP
        dropped = [row["interaction_id"] for row in rows if drop or row["retracted"]]
        if dropped:
            forgotten = await eraser.interactions(scope, dropped)
            work.report.count("memories dropped", forgotten.memories)
        if len(dropped) < len(ids):
            await _purge_keeping(work, user, [i for i in ids if i not in set(dropped)])
        work.report.count("interactions purged", len(ids))


async def _purge_keeping(work: Work, user: str, ids: list[str]) -> None:
    params = {**work.keys(user), "ids": ids, "kinds": list(VERBATIM_KINDS)}
    async with work.database.transaction(work.user(user)) as transaction:
        # Turns away plans that were made with the quotes still in them.
        await transaction.fetch("log.fence", {**params, "from_seq": None})
        dropped = await transaction.fetch("compaction.drop_verbatim", params)
        await transaction.fetch("compaction.strip_evidence", params)
        await transaction.fetch("models.forget_answers", params)
        await transaction.fetch("log.tombstone", params)
        await transaction.fetch("collective.withdraw_support", {})
    work.report.count("memories dropped", len(dropped))
