"""`decay`: lowers the importance of unused memories and archives them; deletes nothing."""

from consumers.compaction.work import Work


async def decay(work: Work) -> None:
    """Lowers every memory's importance with time, and archives memories below the threshold.

    importance = its initial value x 0.5 ^ (days / (half-life x (1 + ln(supported + used)))), in
    days of the user's own event time since the memory was last supported or used: forgetting is
    exponential and slower for repeated items (Ebbinghaus 1885). A second run changes nothing. An
    archived memory that is supported or used again comes back.
    """
    policy = work.policy
    bounds = {
        "half_life": policy.half_life_days,
        "archive_below": policy.archive_below,
        "lasting": policy.lasting,
    }
    async for users in work.users():
        rows = await work.fetch("compaction.fading", {"users": users, **bounds})
        if rows and not work.dry_run:
            faded = {
                "users": [row["user_id"] for row in rows],
                "memories": [row["memory_id"] for row in rows],
                "strengths": [row["strength"] for row in rows],
                "archives": [row["archive"] for row in rows],
            }
            await work.fetch("compaction.fade", faded)
        work.report.count("importance changed", len(rows))
        work.report.count("archived", sum(r["archive"] and not r["archived"] for r in rows))
        work.report.count("brought back", sum(r["archived"] and not r["archive"] for r in rows))
