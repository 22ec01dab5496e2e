"""`memory review`: lists what waits for a decision, and decides."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import configured, example, json_option, run, tenant_option
from consumers.operations.reviewing import TenantReviewed, decide_for_all, find, proposals_of
from consumers.runtime.terminal import plain
from consumers.store import for_viewing, worker_database, worker_database_and_embedder
from memory.beliefs.retraction import AuditReason
from memory.beliefs.review import Page, Proposal, Reviewed, Verb
from memory.client import AsyncMemoryClient
from memory.models import Scope
from memory.settings import Settings

DECISIONS = {"approve": True, "decline": False, "undo": None}
PAST = {"approve": "approved", "decline": "declined", "undo": "taken back"}

one_user_option = click.option("--user", help="Only this user. Default: all users of the tenant.")
proposal_argument = click.argument("proposals", nargs=-1, required=True)


@click.group(
    "review",
    epilog=example(
        "memory review list",
        "memory review show 1f6c0e9a4be1c7d2a9f4d1b25d0c3e88",
        "memory review approve 1f6c0e9a4be1c7d2a9f4d1b25d0c3e88 --user ana",
        'memory review decline 1f6c0e9a4be1c7d2a9f4d1b25d0c3e88 --reason "spam" --yes',
    ),
)
def review_command() -> None:
    """Review what tools, documents and pasted text propose.

    Nothing of it is believed, and no context shows it, until somebody approves it.
    """


@review_command.command("list", epilog=example("memory review list --user ana"))
@tenant_option
@one_user_option
@click.option("--decided", is_flag=True, help="Also what was decided on.")
@click.option("--after", help="Go on after this cursor, printed below a full page.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(min=1), help="At most this many."
)
@json_option
def list_command(
    *, tenant: str, user: str | None, as_json: bool, decided: bool, after: str | None, limit: int
) -> None:
    """List proposals, newest first: one line each, however often they came."""
    page = Page(after, limit, decided)
    found = run(partial(_listed, page=page), for_viewing(configured()), tenant, user)
    document = [_document(proposal) for proposal in found]
    output.answer(document, as_json, lambda: _table(found))
    if not as_json and len(found) == limit:
        output.say(f"more: --after '{found[-1].cursor}'")


async def _listed(
    settings: Settings, tenant: str, user: str | None, *, page: Page
) -> list[Proposal]:
    if user is None:
        async with worker_database(settings) as database:
            return await proposals_of(database, tenant, page)
    async with AsyncMemoryClient(settings, reads_only=settings.only_reads) as client:
        scope = Scope(tenant, user)
        return await client.proposals(
            scope, decided=page.decided, after=page.after, limit=page.limit
        )


@review_command.command(
    "show", epilog=example("memory review show 1f6c0e9a4be1c7d2a9f4d1b25d0c3e88 --user ana")
)
@click.argument("proposal")
@tenant_option
@one_user_option
@json_option
def show_command(proposal: str, tenant: str, user: str | None, as_json: bool) -> None:
    """Show one proposal with examples of the words that it rests on."""
    found = run(_found, for_viewing(configured()), tenant, user, proposal)
    output.answer(_document(found), as_json, lambda: _shown(found))


async def _found(settings: Settings, tenant: str, user: str | None, proposal: str) -> Proposal:
    async with worker_database(settings) as database:
        return await find(database, tenant, user, proposal)


def decision_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of the commands that decide."""
    for option in (
        json_option,
        click.option("--yes", is_flag=True, help="Do not ask for confirmation."),
        click.option("--by", default="console", show_default=True, help="Who decides; kept."),
        click.option("--reason", default="", help="Reason; kept."),
        one_user_option,
        tenant_option,
        proposal_argument,
    ):
        command = option(command)
    return command


@review_command.command(
    "approve", epilog=example("memory review approve 1f6c0e9a4be1c7d2a9f4d1b25d0c3e88 --user ana")
)
@decision_options
def approve_command(**given: Any) -> None:
    """Approve PROPOSALS: they are believed from now on, and so are their repetitions.

    What is believed keeps its origin: approving raises no trust.
    """
    _decide("approve", **given)


@review_command.command(
    "decline", epilog=example("memory review decline 1f6c0e9a4be1c7d2a9f4d1b25d0c3e88 --yes")
)
@decision_options
def decline_command(**given: Any) -> None:
    """Decline PROPOSALS, with their repetitions; what was believed of them ends."""
    _decide("decline", **given)


@review_command.command(
    "undo", epilog=example("memory review undo 1f6c0e9a4be1c7d2a9f4d1b25d0c3e88 --user ana")
)
@decision_options
def undo_command(**given: Any) -> None:
    """Take a decision on PROPOSALS back: they wait again."""
    _decide("undo", **given)


def _decide(
    verb: str,
    *,
    proposals: tuple[str, ...],
    tenant: str,
    user: str | None,
    by: str,
    reason: str,
    yes: bool,
    as_json: bool,
) -> None:
    whose = f"all users of tenant {tenant!r}" if user is None else f"user {user!r}"
    if user is None and not yes:
        many = output.counted(len(proposals), "proposal")
        click.confirm(f"{verb.capitalize()} {many} for {whose}?", abort=True, err=True)
    decision = Verb(DECISIONS[verb], AuditReason(by, reason))
    done = run(_decided, configured(), tenant, user, proposals, decision)
    output.answer(done, as_json, lambda: _told(verb, whose, done))


async def _decided(
    settings: Settings, tenant: str, user: str | None, proposals: tuple[str, ...], verb: Verb
) -> list[Reviewed | TenantReviewed]:
    if user is None:
        async with worker_database_and_embedder(settings) as (database, embedder):
            return [
                await decide_for_all(database, embedder, settings, tenant, (proposal, verb))
                for proposal in proposals
            ]
    async with AsyncMemoryClient(settings) as client:
        scope = Scope(tenant, user)
        return [await _of_one(client, scope, proposal, verb) for proposal in proposals]


async def _of_one(client: AsyncMemoryClient, scope: Scope, proposal: str, verb: Verb) -> Reviewed:
    if verb.approved is None:
        return await client.undecide(scope, proposal)
    decide = client.approve if verb.approved else client.decline
    return await decide(scope, proposal, by=verb.why.by, reason=verb.why.reason)


def _told(verb: str, whose: str, done: list[Reviewed | TenantReviewed]) -> Text:
    closed, believed = sum(d.closed for d in done), sum(d.believed for d in done)
    many = output.counted(len(done), "proposal")
    return Text(
        f"{PAST[verb]}: {many} of {whose}; memories: {closed:,} closed, {believed:,} believed"
    )


def _document(proposal: Proposal) -> dict[str, Any]:
    return {**asdict(proposal), "trust": proposal.trust, "cursor": proposal.cursor}


def _whose(proposal: Proposal) -> str:
    first = proposal.examples[0]
    named = first.tool or first.actor or first.source or ""
    return f"{proposal.origin} {named}".strip()


def _table(found: list[Proposal]) -> RenderableType:
    if not found:
        return Text("nothing waits for review")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("proposal", no_wrap=True)
    for name in ("seen", "users"):
        table.add_column(name, no_wrap=True, justify="right")
    for name in ("last", "from", "proposes"):
        table.add_column(name)
    for proposal in found:
        noted = [*proposal.hints, *([_state(proposal)] if proposal.decision else [])]
        text = output.one_line(proposal.text, output.QUOTE_CHARACTERS)
        table.add_row(
            proposal.id,
            f"{proposal.seen:,}",
            f"{proposal.users:,}",
            output.day(proposal.last_seen),
            output.label(_whose(proposal)),
            Text(f"{text} ({', '.join(noted)})" if noted else text),
        )
    return table


def _state(proposal: Proposal) -> str:
    made = proposal.decision
    if made is None:
        return "waits"
    said = "approved" if made.approved else "declined"
    where = " for all users" if made.tenant_wide else ""
    reason = f": {output.one_line(made.reason)}" if made.reason else ""
    return f"{said}{where} {output.day(made.at)} by {output.label(made.by)}{reason}"


def _shown(proposal: Proposal) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    grid.add_row("proposal", proposal.id)
    grid.add_row("proposes", Text(plain(proposal.text), style="bold"))
    grid.add_row("kind", proposal.kind.value)
    if proposal.attribute:
        grid.add_row("attribute", output.label(f"{proposal.attribute} = {proposal.value or ''}"))
    grid.add_row("from", output.label(_whose(proposal)))
    grid.add_row("seen", f"{proposal.seen:,} times, for {output.counted(proposal.users, 'user')}")
    grid.add_row(
        "between", f"{output.day(proposal.first_seen)} and {output.day(proposal.last_seen)}"
    )
    if proposal.origins > 1:
        grid.add_row("also", f"{output.counted(proposal.origins, 'origin')} propose the same")
    if proposal.hints:
        grid.add_row("look at", ", ".join(proposal.hints))
    grid.add_row("state", _state(proposal))
    for one in proposal.examples:
        for evidence in one.evidence:
            grid.add_row(output.label(one.user), output.quoted(evidence))
    return grid
