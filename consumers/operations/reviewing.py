"""Reviews the proposals of a whole tenant: lists them, and decides for all of its users at once.

A decision is stored first and applied to one user after the other. What is derived from then on
finds it, and what was being derived is derived again. A run that was stopped is repeated from the
start: deciding the same again changes nothing.
"""

from contextlib import suppress
from dataclasses import dataclass

from consumers.runtime.tenants import NOBODY
from memory.beliefs.long_term import LongTerm
from memory.beliefs.review import (
    Page,
    Proposal,
    Reviewer,
    Verb,
    digest_of,
    proposal_of,
    review_days,
)
from memory.database import Database
from memory.embedding import Embedder
from memory.errors import UnknownProposal
from memory.models import Scope
from memory.settings import Settings

BATCH = 500
FOREVER_DAYS = 36_500


@dataclass(slots=True)
class TenantReviewed:
    """The result of a decision for a tenant: users it concerned, and what changed for them."""

    proposal: str
    users: int = 0
    closed: int = 0
    believed: int = 0


async def proposals_of(database: Database, tenant: str, page: Page) -> list[Proposal]:
    """Lists what waits for review in a tenant, the newest first; one line for all its users."""
    scope = Scope(tenant, NOBODY)
    days = await review_days(database, scope)
    params = {**page.params, "agent": None, "proposal": None, "days": days}
    rows = await database.fetch(scope, "review.waiting_in_tenant", params)
    return [proposal_of(row) for row in rows]


async def find(database: Database, tenant: str, user: str | None, proposal: str) -> Proposal:
    """Returns one proposal, decided or not, of one user or of all.

    Raises:
        UnknownProposal: there is none.
    """
    params = {**Page(None, 1, decided=True).params, "agent": None, "days": FOREVER_DAYS}
    statement = "review.waiting_in_tenant" if user is None else "review.waiting"
    scope, named = Scope(tenant, user or NOBODY), digest_of(proposal)
    rows = await database.fetch(scope, statement, {**params, "proposal": named})
    if not rows:
        whose = f"tenant {tenant!r}" if user is None else f"user {user!r}"
        raise UnknownProposal(f"{whose} has no proposal {proposal!r}")
    return proposal_of(rows[0])


async def decide_for_all(
    database: Database, embedder: Embedder, settings: Settings, tenant: str, what: tuple[str, Verb]
) -> TenantReviewed:
    """Decides on a proposal for every user of a tenant.

    Raises:
        UnknownProposal: nobody in the tenant has it.
    """
    proposal, verb = what
    named = digest_of(proposal)
    scope = Scope(tenant, NOBODY)
    reviewer = Reviewer(database, LongTerm(database, embedder, settings.language))
    done, after = TenantReviewed(proposal), ""
    if not await _users(database, scope, named, after):
        raise UnknownProposal(f"tenant {tenant!r} has no proposal {proposal!r}")
    await _store(database, scope, named, verb)
    await _invalidate_plans(database, scope)
    while users := await _users(database, scope, named, after):
        for user in users:
            with suppress(UnknownProposal):  # forgotten meanwhile
                revised = await reviewer.decide(Scope(tenant, user), proposal, verb, stored=False)
                done.users += 1
                done.closed += revised.closed
                done.believed += revised.believed
        after = users[-1]
    return done


async def _invalidate_plans(database: Database, scope: Scope) -> None:
    """Has workers plan again what they planned before the decision was stored.

    Such a plan would add the proposal undecided, and perhaps after its user's turn here.
    """
    for row in await database.fetch(scope, "review.leased_users"):
        user = Scope(scope.tenant, row["user_id"])
        keys = {"tenant": user.tenant, "user": user.user, "from_seq": None}
        async with database.transaction(user) as transaction:
            await transaction.fetch("log.fence", keys)


async def _users(database: Database, scope: Scope, proposal: bytes, after: str) -> list[str]:
    params = {"proposal": proposal, "after": after, "limit": BATCH}
    return [row["user_id"] for row in await database.fetch(scope, "review.users_of", params)]


async def _store(database: Database, scope: Scope, proposal: bytes, verb: Verb) -> None:
    keys = {"tenant": scope.tenant, "user": "", "proposal": proposal}
    (row,) = await database.fetch(scope, "retraction.now")
    async with database.transaction(scope) as transaction:
        if verb.approved is None:
            await transaction.fetch("review.take_back_for_all", keys)
        else:
            why = {"at": row["now"], "by": verb.why.by, "reason": verb.why.reason}
            await transaction.fetch("review.decide", {**keys, **why, "approved": verb.approved})
