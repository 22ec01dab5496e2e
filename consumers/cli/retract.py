"""`memory retract`, `memory restore` and `memory history`: what counts, and what was believed."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import (
    agent_option,
    as_of_option,
    believed_at_option,
    configured,
    example,
    json_option,
    run,
    tenant_option,
    user_option,
)
from consumers.operations.retracting import SourceRevised, SourceRevision
from consumers.store import worker_database_and_embedder
from memory.beliefs.retraction import AuditReason, Revised
from memory.client import AsyncMemoryClient
from memory.models import Memory, MemoryKind, Scope
from memory.settings import Settings


def _revising(command: Callable[..., None]) -> Callable[..., None]:
    """The options that `retract` and `restore` share."""
    for option in (
        json_option,
        click.option("--all-users", is_flag=True, help="With --source: of the whole tenant."),
        click.option("--user", help="Whose interactions."),
        tenant_option,
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--by", default="console", show_default=True, help="Who says so; is kept."),
        click.option("--reason", default="", help="Why; is kept."),
        click.option("--source", help="All interactions that came from this source."),
        click.option("--interaction", "interactions", multiple=True, help="An id; repeatable."),
    ):
        command = option(command)
    return command


@click.command(
    "retract",
    epilog=example(
        'memory retract --interaction m-17 --user ana --reason "wrong account"',
        'memory retract --source crm-import --all-users --reason "bad export" --yes',
    ),
)
@_revising
def retract_command(**given: Any) -> None:
    """Let interactions count for nothing: they stay in the log, marked, and can be restored.

    What stood only on them is believed no more, and what it had replaced is believed again, from
    now on; what was believed before can be looked at with --believed-at. To have nothing left of
    them, use `memory forget`. A source may go on sending.
    """
    _revise("retract", **given)


@click.command("restore", epilog=example("memory restore --interaction m-17 --user ana"))
@_revising
def restore_command(**given: Any) -> None:
    """Let retracted interactions count again: the reverse of `memory retract`."""
    _revise("restore", **given)


def _revise(
    verb: str,
    *,
    interactions: tuple[str, ...],
    source: str | None,
    user: str | None,
    all_users: bool,
    tenant: str,
    reason: str,
    by: str,
    yes: bool,
    as_json: bool,
) -> None:
    if bool(interactions) == (source is not None):
        raise click.UsageError("give either --interaction or --source")
    if (user is not None) == all_users:
        raise click.UsageError("give either --user or --all-users")
    if all_users and source is None:
        raise click.UsageError("--all-users goes with --source")
    whose = f"all users of tenant {tenant!r}" if user is None else f"user {user!r}"
    if source is not None and not yes:
        question = f"{verb.capitalize()} everything of source {source!r} of {whose}?"
        click.confirm(question, abort=True, err=True)
    done: Revised | SourceRevised
    if user is None:
        why = AuditReason(by, reason)
        done = run(_over_all, configured(), tenant, source or "", why, verb == "restore")
    else:
        what = {"interactions": interactions, "source": source, "reason": reason, "by": by}
        done = run(_of_one, configured(), verb, Scope(tenant, user), what)
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
        return Text("another process is at it")
    said = "retracted" if verb == "retract" else "restored"
    return Text(
        f"{said} {output.counted(done.interactions, 'interaction')} of {whose},"
        f" {done.unchanged:,} already were; memories: {done.closed:,} closed,"
        f" {done.believed:,} believed instead\n"
        "what is made of several interactions at once follows with `memory extract`"
    )


@click.command(
    "history",
    epilog=example(
        "memory history --user ana --closed",
        "memory history --user ana --attribute lives_in --believed-at 2026-03-01T00:00:00Z",
        "memory history --user ana --contested",
    ),
)
@click.option("--attribute", help="Only of this attribute, such as lives_in.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([kind.value for kind in MemoryKind]),
    help="Only this kind; may be repeated.",
)
@click.option("--closed", is_flag=True, help="Also what is believed no more, and what ended it.")
@click.option("--contested", is_flag=True, help="Only what contradicts another, undecided.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1))
@as_of_option
@believed_at_option
@tenant_option
@user_option
@agent_option
@json_option
def history_command(
    *,
    kinds: tuple[str, ...],
    tenant: str,
    user: str,
    agent: str | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """List a user's memories, newest belief first: what is believed now, or was then."""
    asked["kinds"] = [MemoryKind(kind) for kind in kinds] or None
    found = run(partial(_history, **asked), configured(), Scope(tenant, user, agent))
    output.answer(found, as_json, lambda: _table(found))


async def _history(settings: Settings, scope: Scope, **asked: Any) -> list[Memory]:
    async with AsyncMemoryClient(settings) as client:
        return await client.history(scope, **asked)


def _table(found: list[Memory]) -> RenderableType:
    if not found:
        return Text("nothing is believed, or was")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("id", "kind", "holds", "believed"):
        table.add_column(name, no_wrap=True, justify="right" if name == "id" else "left")
    table.add_column("memory", ratio=1)
    for memory in found:
        text = output.one_line(memory.text, output.QUOTE_CHARACTERS)
        ended = f"\n{memory.retraction}" if memory.retraction else ""
        noted = f" ({memory.disputed})" if memory.contested else ""
        table.add_row(
            str(memory.id),
            memory.kind.value,
            output.held(memory),
            _span(memory.believed_from, memory.believed_to),
            Text(output.plain(f"{text}{noted}{ended}")),
        )
    return table


def _span(start: datetime | None, end: datetime | None) -> str:
    return f"{start:%Y-%m-%d %H:%M}" + (f" to {end:%Y-%m-%d %H:%M}" if end else "")
