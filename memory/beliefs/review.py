"""Reviews proposals: what an origin that founds no belief asserts waits for a decision.

A proposal is an assertion that the fold leaves out (`memory.trust`). Assertions that propose the
same in the same words, from the same origin, are one proposal, however often and for whomever they
come. A decision holds for all of them, also for those that come later or that a replay makes.
Deciding folds the belief keys again, as a retraction does: history keeps its dates.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg.rows import DictRow

from memory.beliefs.assertions import Assertion
from memory.beliefs.long_term import Changes, LongTerm, Vectors, repeated
from memory.beliefs.planning import Plan, plan_standing
from memory.beliefs.retraction import AuditReason
from memory.beliefs.rows import assertion_of, candidate_of, stored_belief_of
from memory.database import Database, StatementRunner
from memory.errors import ConcurrentWrite, InvalidInput, UnknownProposal
from memory.language.escaping import INVISIBLE
from memory.models import Candidate, Evidence, MemoryKind, Origin, Scope, Trust, trust_of

REVIEW_DAYS = 30
"""After how many days a proposal expires, where the tenant's policy does not say."""

_ID = re.compile(r"[0-9a-f]{32}")
_ORDERS = re.compile(
    r"\b(?:always|never|ignore|must|from now on|do not|don't|make sure|instead of|pay|transfer"
    r"|system prompt|instructions?)\b",
    re.IGNORECASE,
)
_HIDDEN = re.compile(f"[{INVISIBLE}]")
_HINT_CHARACTERS = 4_000


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided on a proposal.

    tenant_wide: for every user of the tenant, not for one.
    """

    approved: bool
    at: datetime
    by: str
    reason: str = ""
    tenant_wide: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """One assertion of a proposal: for which user, in what words, and who said it."""

    user: str
    text: str
    evidence: tuple[Evidence, ...]
    source: str | None = None
    actor: str | None = None
    role: str | None = None
    tool: str | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an origin that founds no belief proposes, however often it came.

    id: 32 hexadecimal digits, the same for every repetition.
    seen, users: how many assertions propose it, and for how many users.
    origins: how many proposals of different origins say the same.
    examples: up to five, the newest first.
    hints: what makes it worth a second look: `order` (it is worded as one), `hidden` (it holds
        characters that nobody sees). They decide nothing.
    """

    id: str
    kind: MemoryKind
    text: str
    origin: Origin
    seen: int
    users: int
    first_seen: datetime
    last_seen: datetime
    attribute: str | None = None
    value: str | None = None
    subject: str | None = None
    context: str | None = None
    origins: int = 1
    examples: tuple[Example, ...] = ()
    hints: tuple[str, ...] = ()
    decision: Decision | None = None

    @property
    def trust(self) -> Trust | None:
        """How far its origin is trusted."""
        return trust_of(self.origin)

    def __str__(self) -> str:
        state = "waits"
        if self.decision is not None:
            state = "approved" if self.decision.approved else "declined"
        often = "once" if self.seen == 1 else f"{self.seen:,} times"
        notes = [f"from {self.origin}", f"seen {often}", *self.hints, state]
        return f"{self.id} {self.kind}: {' '.join(self.text.split())} ({'; '.join(notes)})"

    @property
    def cursor(self) -> str:
        """Where a list goes on after it; see `AsyncMemoryClient.proposals`."""
        return f"{self.last_seen.isoformat()} {self.id}"


@dataclass(frozen=True, slots=True)
class Reviewed:
    """The result of a decision: memories that it ended, and memories that are believed now."""

    closed: int = 0
    believed: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Which proposals to list: those after a cursor, at most `limit`, with decided ones or not."""

    after: str | None = None
    limit: int = 100
    decided: bool = False

    @property
    def params(self) -> dict[str, Any]:
        """Returns the page as the statements take it.

        Raises:
            InvalidInput: the cursor is none of ours.
        """
        at, last = _cursor(self.after) if self.after else (None, None)
        return {"seen_before": at, "after": last, "limit": self.limit, "decided": self.decided}


def _cursor(text: str) -> tuple[datetime, bytes]:
    moment, _, proposal = text.partition(" ")
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        raise InvalidInput(f"not a cursor of proposals: {text[:80]!r}") from None
    if at.tzinfo is None:
        raise InvalidInput(f"not a cursor of proposals: {text[:80]!r}")
    return at, digest_of(proposal)


def digest_of(proposal: str) -> bytes:
    """Returns the digest behind a proposal's id.

    Raises:
        InvalidInput: it is no id of a proposal.
    """
    if not _ID.fullmatch(proposal):
        raise InvalidInput(f"a proposal is named by 32 hexadecimal digits, got {proposal!r:.80}")
    return bytes.fromhex(proposal)


async def proposals(database: StatementRunner, scope: Scope, page: Page) -> list[Proposal]:
    """Lists what waits for review of one user, the newest first."""
    days = await review_days(database, scope)
    params = {**page.params, "agent": scope.agent, "proposal": None, "days": days}
    rows = await database.fetch(scope, "review.waiting", params)
    return [proposal_of(row) for row in rows]


async def review_days(database: StatementRunner, scope: Scope) -> int:
    """Returns after how many days a proposal of the tenant expires."""
    rows = await database.fetch(scope, "review.days")
    return int(rows[0]["days"]) if rows else REVIEW_DAYS


def proposal_of(row: DictRow) -> Proposal:
    """Makes a proposal of a row of `review.waiting`."""
    examples = [(_example(each), candidate_of(each["said"])) for each in row["examples"]]
    said = examples[0][1]
    decision = None
    if row["approved"] is not None:
        decided = (row["decided_at"], row["decided_by"], row["reason"], row["tenant_wide"])
        decision = Decision(row["approved"], *decided)
    return Proposal(
        id=row["proposal"].hex(),
        kind=said.kind,
        text=said.text,
        origin=Origin(row["origin"]),
        seen=row["seen"],
        users=row["users"],
        first_seen=row["first_seen"],
        last_seen=row["last_seen"],
        attribute=said.attribute,
        value=said.value,
        subject=said.subject,
        context=said.context,
        origins=row["origins"],
        examples=tuple(example for example, _ in examples),
        hints=hints(said),
        decision=decision,
    )


def _example(row: Mapping[str, Any]) -> Example:
    said = candidate_of(row["said"])
    who = {name: row[name] for name in ("source", "actor", "role", "tool")}
    return Example(row["user"], said.text, said.evidence, **who)


def hints(said: Candidate) -> tuple[str, ...]:
    """Returns what makes a proposal worth a second look; it decides nothing."""
    text = f"{said.text}\n{said.value or ''}"[:_HINT_CHARACTERS]
    found = {"order": _ORDERS.search(text), "hidden": _HIDDEN.search(text)}
    return tuple(name for name, match in found.items() if match)


@dataclass(frozen=True, slots=True)
class Verb:
    """A decision to make: `approved`, or None to take an earlier one back."""

    approved: bool | None
    why: AuditReason


class Reviewer:
    """Decides on the proposals of one user at a time, over one database role."""

    def __init__(self, database: Database, long_term: LongTerm) -> None:
        self._database = database
        self._long_term = long_term

    async def decide(
        self, scope: Scope, proposal: str, verb: Verb, *, stored: bool = True
    ) -> Reviewed:
        """Decides on a proposal of one user, and folds the beliefs that it touches again.

        With `stored` False the decision stands already, for the whole tenant, and is only applied.

        Raises:
            UnknownProposal: nothing of the user's proposes this.
            InvalidInput: it is no id of a proposal.
        """
        named = digest_of(proposal)
        return await repeated(lambda: self._once(scope, named, verb, stored=stored))

    async def _once(self, scope: Scope, proposal: bytes, verb: Verb, *, stored: bool) -> Reviewed:
        changes = await self._long_term.changes(scope)
        params = {"proposal": proposal}
        seen = {**params, "agent": scope.agent, "every": not stored}
        claims = await self._database.fetch(scope, "review.claims", seen)
        if not claims:
            raise UnknownProposal(f"user {scope.user!r} has no proposal {proposal.hex()!r}")
        (row,) = await self._database.fetch(scope, "retraction.now")
        counts = await self._counts(scope, proposal, verb) if stored else None
        plan = _Refold(scope, proposal, counts, row["now"])
        planned = await self._planned(plan, changes, claims)
        keys = {"tenant": scope.tenant, "user": scope.user, **params}
        async with self._database.transaction(scope) as transaction:
            if not await transaction.fetch("log.fence", {**keys, "from_seq": changes.change_seq}):
                raise ConcurrentWrite(f"memories of user {scope.user!r} changed meanwhile")
            if stored and verb.approved is None:
                await transaction.fetch("review.take_back", keys)
            elif stored:
                why = {"at": row["now"], "by": verb.why.by, "reason": verb.why.reason}
                decided = {**keys, **why, "approved": verb.approved}
                await transaction.fetch("review.decide", decided)
            done = [await self._long_term.commit(transaction, p, made) for p, made in planned]
            await transaction.fetch("collective.withdraw_support", {})
        return Reviewed(sum(d.closed for d in done), sum(d.added for d in done))

    async def _counts(self, scope: Scope, proposal: bytes, verb: Verb) -> bool:
        """Whether a proposal counts for a user after a decision on that user's."""
        if verb.approved is not None:
            return verb.approved
        rows = await self._database.fetch(scope, "review.of_tenant", {"proposal": proposal})
        return bool(rows and rows[0]["approved"])

    async def _planned(
        self, refold: "_Refold", changes: Changes, claims: Sequence[DictRow]
    ) -> list[tuple[Plan, Vectors]]:
        """Plans each generation's changes; each plan follows the one before it."""
        planned: list[tuple[Plan, Vectors]] = []
        seq = changes.change_seq + 1
        for generation in sorted({row["generation"] for row in claims}):
            plan = Plan(refold.scope, generation, seq, seq)
            keys = [row["belief_key"] for row in claims if row["generation"] == generation]
            await self._plan(plan, keys, refold)
            planned.append((plan, await self._long_term.embed(plan)))
            seq = plan.end
        await self._long_term.embedder_id()
        return planned

    async def _plan(self, plan: Plan, keys: Sequence[bytes], refold: "_Refold") -> None:
        params = {"generation": plan.generation, "keys": list(keys)}
        asserted, believed = await self._database.fetch_all(
            plan.scope, [("long_term.assertions", params), ("long_term.open_beliefs", params)]
        )
        for key in keys:
            rows = [row for row in asserted if row["belief_key"] == key]
            standing = [refold.decided(assertion_of(row)) for row in rows]
            current = [stored_belief_of(row) for row in believed if row["belief_key"] == key]
            # Free text has no belief under its key but its own.
            ending = {b.memory.id for b in current if b.memory.attribute is None}
            plan_standing(plan, key, standing, current, ending, refold.at)


@dataclass(frozen=True, slots=True)
class _Refold:
    """What a decision makes of the assertions of one proposal.

    counts: whether they count; None if the store says so already.
    """

    scope: Scope
    proposal: bytes
    counts: bool | None
    at: datetime

    def decided(self, assertion: Assertion) -> Assertion:
        if self.counts is None or assertion.proposal != self.proposal:
            return assertion
        return replace(assertion, approved=self.counts)
