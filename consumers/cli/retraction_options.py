"""Defines the options and the work that `memory retract` and `memory restore` share."""

from collections.abc import Callable
from typing import Any

import click
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import (
    agent_option,
    configured,
    json_option,
    run,
    tenant_option,
)
from consumers.operations.retracting import SourceRevised, SourceRevision
from consumers.store import worker_database_and_embedder
from memory.beliefs.retraction import AuditReason, Revised
from memory.client import AsyncMemoryClient
from memory.models import Scope
from memory.settings import Settings


def revision_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that `retract` and `restore` share."""
    for option in (
        json_option,
        click.option("--all-users", is_flag=True, help="With --source: in the whole tenant."),
        agent_option,
        click.option("--user", help="User."),
        tenant_option,
        click.option("--yes", is_flag=True, help="Do not ask for confirmation."),
        click.option(
            "--by",
            default="console",
            show_default=True,
            help="Person who decides; kept in the log.",
        ),
        click.option("--reason", default="", help="Reason; kept in the log."),
        click.option("--source", help="All interactions of this source."),
        click.option(
            "--interaction", "interactions", multiple=True, help="Interaction id; may be repeated."
        ),
    ):
        command = option(command)
    return command


def revise(
    verb: str,
    *,
    interactions: tuple[str, ...],
    source: str | None,
    user: str | None,
    agent: str | None,
    all_users: bool,
    tenant: str,
    reason: str,
    by: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Retracts or restores, as `verb` says, and prints the result."""
    if bool(interactions) == (source is not None):
        raise click.UsageError("give either --interaction or --source")
    if (user is not None) == all_users:
        raise click.UsageError("give either --user or --all-users")
    if all_users and source is None:
        raise click.UsageError("--all-users goes with --source")
    whose = f"all users of tenant {tenant!r}" if user is None else f"user {user!r}"
    if source is not None and not yes:
        question = f"{verb.capitalize()} all interactions of source {source!r} of {whose}?"
        click.confirm(question, abort=True, err=True)
    done: Revised | SourceRevised
    if user is None:
        why = AuditReason(by, reason)
        done = run(_over_all, configured(), tenant, source or "", why, verb == "restore")
    else:
        what = {"interactions": interactions, "source": source, "reason": reason, "by": by}
        done = run(_of_one, configured(), verb, Scope(tenant, user, agent), what)
    output.answer(done, as_json, lambda: _told(verb, whose, done))


async def _of_one(settings: Settings, verb: str, scope: Scope, what: dict[str, Any]) -> Revised:
    async with AsyncMemoryClient(settings) as client:
        call = client.retract if verb == "retract" else client.restore
        return await call(scope, **what)


async def _over_all(
    settings: Settings, tenant: str, source: str, why: AuditReason, restore: bool
) -> SourceRevised:
    with output.progress(f"going through tenant {tenant!r}", "users") as bar:
        async with worker_database_and_embedder(settings) as (database, embedder):
            revision = SourceRevision(
                database, embedder, settings, restore=restore, progress=lambda d: bar(d.users)
            )
            return await revision.run(tenant, source, why)


def _told(verb: str, whose: str, done: Revised | SourceRevised) -> Text:
    if isinstance(done, SourceRevised) and done.skipped:
        return Text("skipped: another process is already doing this")
    said = "retracted" if verb == "retract" else "restored"
    return Text(
        f"{said} {output.counted(done.interactions, 'interaction')} of {whose},"
        f" {done.unchanged:,} already were; memories: {done.closed:,} closed,"
        f" {done.believed:,} believed instead\n"
        "run `memory extract` for memories derived from several interactions"
    )
