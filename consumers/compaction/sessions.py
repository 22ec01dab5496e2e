"""`sessions`: closes sessions whose working memory has expired, and keeps a summary of each."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from consumers.compaction.work import Work
from consumers.extraction.derivation import asserted, learned_after
from consumers.extraction.model_ledger import PostgresLedger
from consumers.generations.registry import followed_generations
from extractors.summaries.abstractive import AbstractiveSummaries, create
from extractors.summaries.extractive import ExtractiveSummaries, summarise
from memory.beliefs.assertions import Assertion
from memory.beliefs.founding import TrustReader
from memory.beliefs.long_term import Vectors
from memory.beliefs.planning import Plan
from memory.database import Database, Transaction
from memory.database.pipeline import Params
from memory.errors import ConcurrentWrite
from memory.log.rows import interaction_of
from memory.log.tenant_policies import TenantPolicies
from memory.models import Scope
from memory.settings import Settings

LONGEST = 5_000
"""Interactions of a session that its summary is chosen from: the first ones, in order."""


async def close_sessions(work: Work) -> None:
    """Writes a summary of every idle session, and clears its rolling summary and task state.

    A session that continues while it is being closed stays open until it is idle again. One that
    continues after it was closed gets a new summary in place of the old one.
    """
    async with create_abstractive(work.settings, work.database) as abstractive:
        await _close_idle(work, abstractive)


async def _close_idle(work: Work, abstractive: AbstractiveSummaries | None) -> None:
    async for users in work.users():
        for row in await work.fetch("compaction.idle_sessions", {"users": users}):
            if work.dry_run:
                work.report.count("sessions closed")
                continue
            scope = Scope(work.report.tenant, row["user_id"], session=row["session_id"])
            try:
                summarised = await _close(work, abstractive, scope, row["length"])
            except ConcurrentWrite:
                work.report.count("left open")
                continue
            work.report.count("sessions closed")
            work.report.count("summaries", summarised)


async def _close(
    work: Work, abstractive: AbstractiveSummaries | None, scope: Scope, length: int
) -> int:
    user = work.user(scope.user)
    session = {**work.keys(scope.user), "session": scope.session}
    if abstractive:
        await work.renew()  # a model may take minutes, and the lease is for the whole batch
    planned = await _planned(work, abstractive, scope)
    async with work.database.transaction(user) as transaction:
        for plan, vectors in planned:
            await work.long_term.commit(transaction, plan, vectors)
        if not await transaction.fetch("compaction.close_session", {**session, "length": length}):
            raise ConcurrentWrite(f"session {scope.session!r} of user {scope.user!r} went on")
        for plan, _ in planned:
            await replace_summaries(transaction, session, plan)
    return len(planned[0][0].memories)


async def _planned(
    work: Work, abstractive: AbstractiveSummaries | None, scope: Scope
) -> list[tuple[Plan, Vectors]]:
    """Plans the summary in every generation that is kept up, the live one first."""
    user = work.user(scope.user)
    changes = await work.long_term.changes(user)
    summary = await summary_of(work.database, scope, work.policy.summary_tokens, abstractive)
    planned: list[tuple[Plan, Vectors]] = []
    for generation in await followed_generations(work.database):
        again = {"generation": generation.id}
        (newest,) = await work.database.fetch(user, "leases.reread_at", again)
        plan = await work.long_term.plan(
            user,
            learned_after(summary, newest["reread_at"]),
            forget_seq=changes.forget_seq,
            generation=generation.id,
            after=planned[-1][0] if planned else None,
        )
        planned.append((plan, await work.long_term.embed(plan)))
    await work.long_term.embedder_id()
    return planned


async def replace_summaries(transaction: Transaction, session: Params, plan: Plan) -> None:
    """Ends the session's earlier summary in the plan's generation, if the plan has a new one."""
    if plan.memories:
        kept = {
            "generation": plan.generation,
            "extractor": ExtractiveSummaries().name,
            "kept": list(plan.memories),
        }
        await transaction.fetch("compaction.replace_summaries", {**session, **kept})


@asynccontextmanager
async def create_abstractive(
    settings: Settings, database: Database, generation: int | None = None
) -> AsyncIterator[AbstractiveSummaries | None]:
    """Yields the model that summarises for a generation (None: the serving one), or None."""
    made = create(settings)
    if made is None:
        yield None
        return
    try:
        yield made.keeping(PostgresLedger(database, settings.model_daily_budget, generation))
    finally:
        await made.aclose()


async def summary_of(
    database: Database, scope: Scope, tokens: int, abstractive: AbstractiveSummaries | None
) -> list[Assertion]:
    """Returns the summary to keep of a closed session; [] if there is nothing to say."""
    params = {"session": scope.session, "after": 0, "limit": LONGEST}
    rows = await database.fetch(scope, "log.read_session", params)
    policy = await TenantPolicies(database).of(scope.tenant)
    interactions = [policy.to_derive(interaction_of(row)) for row in rows]
    if not interactions:
        return []
    if abstractive:
        summary = await abstractive.summary(scope, interactions, tokens)
    else:
        summary = summarise(interactions, tokens)
    made = [summary] if summary else []
    trust = await TrustReader(database).of(scope)
    return asserted(ExtractiveSummaries(), made, interactions, scope, trust)
