"""`sessions`: closes sessions whose working memory has expired, and keeps a summary of each."""

from consumers.compaction.work import Work
from consumers.extraction import asserted
from extractors.summaries import Summaries, summarise
from memory.consolidation import Assertion
from memory.database import Rows
from memory.errors import ConcurrentWrite
from memory.log import interaction_of
from memory.models import Scope

LONGEST = 5_000
"""Interactions of a session that its summary is chosen from: its first ones, in order."""


async def close_sessions(work: Work) -> None:
    """Writes a summary of every idle session, and clears its rolling summary and task state.

    A session that goes on while it is being closed stays open until it is idle again. One that
    goes on after it was closed is summarised anew, in place of its old summary.
    """
    async for users in work.users():
        for row in await work.fetch("compaction.idle_sessions", {"users": users}):
            if work.dry_run:
                work.report.count("sessions closed")
                continue
            scope = Scope(work.report.tenant, row["user_id"], session=row["session_id"])
            try:
                summarised = await _close(work, scope, row["length"])
            except ConcurrentWrite:
                work.report.count("left open")
                continue
            work.report.count("sessions closed")
            work.report.count("summaries", summarised)


async def _close(work: Work, scope: Scope, length: int) -> int:
    user = work.user(scope.user)
    forget_seq = (await work.long_term.changes(user)).forget_seq
    params = {"session": scope.session, "after": 0, "limit": LONGEST}
    rows = await work.database.fetch(scope, "log.read_session", params)
    plan = await work.long_term.plan(user, _summary(work, scope, rows), forget_seq=forget_seq)
    vectors = await work.long_term.embed(plan)
    await work.long_term.embedder_id()
    async with work.database.transaction(user) as transaction:
        await work.long_term.commit(transaction, plan, vectors)
        session = {**work.keys(scope.user), "session": scope.session}
        if not await transaction.fetch("compaction.close_session", {**session, "length": length}):
            raise ConcurrentWrite(f"session {scope.session!r} of user {scope.user!r} went on")
        kept = {
            "generation": plan.generation,
            "extractor": Summaries().name,
            "kept": list(plan.memories),
        }
        if plan.memories:
            await transaction.fetch("compaction.replace_summaries", {**session, **kept})
    return len(plan.memories)


def _summary(work: Work, scope: Scope, rows: Rows) -> list[Assertion]:
    interactions = [interaction_of(row) for row in rows]
    summary = summarise(interactions, work.policy.summary_tokens) if interactions else None
    return asserted(Summaries(), [summary] if summary else [], interactions, scope)
