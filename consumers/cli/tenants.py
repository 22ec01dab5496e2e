"""`memory tenants`: lists what waits in each tenant; pauses, throttles and resumes extraction."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import click
from rich.table import Table

from consumers.cli import output
from consumers.cli.options import configured, example, json_option, run
from consumers.operations import tenants
from consumers.operations.tenants import TenantLag, Throttle, Waiting
from consumers.store import for_viewing, worker_database
from memory.database import Database
from memory.settings import Settings

T = TypeVar("T")

named = click.argument("tenant")


@click.group(
    "tenants",
    epilog=example(
        "memory tenants list",
        "memory tenants pause acme",
        "memory tenants throttle acme --interactions 600",
        "memory tenants resume acme",
    ),
)
def tenants_command() -> None:
    """Show what waits in each tenant, and pause or throttle the extraction of one."""


@tenants_command.command("list", epilog=example("memory tenants list"))
@json_option
def list_command(as_json: bool) -> None:
    """List the tenants with users to extract, and those paused or throttled.

    The paused and the throttled come first, then those whose users have waited longest.
    """
    _answer(tenants.what_waits, as_json)


@tenants_command.command("pause", epilog=example("memory tenants pause acme"))
@named
@json_option
def pause_command(tenant: str, as_json: bool) -> None:
    """Extract no more users of TENANT until it is resumed.

    Recording, recall and contexts go on; what is recorded meanwhile waits. Users who are being
    extracted are finished.
    """
    _changed(partial(tenants.pause, tenant=tenant), as_json, f"paused {tenant!r}")


@tenants_command.command(
    "throttle", epilog=example("memory tenants throttle acme --interactions 600")
)
@named
@click.option("--users", type=click.IntRange(min=1), help="Most users to extract in a minute.")
@click.option(
    "--interactions",
    type=click.IntRange(min=1),
    help="Most interactions to extract in a minute, on average; a user is extracted as a whole.",
)
@json_option
def throttle_command(
    tenant: str, users: int | None, interactions: int | None, as_json: bool
) -> None:
    """Bound how much of TENANT all workers together extract in a minute.

    It replaces an earlier throttle; a pause stays.
    """
    most = Throttle(users, interactions)
    if most == Throttle():
        raise click.UsageError("give --users, --interactions or both; to end a throttle, resume")
    _changed(partial(tenants.throttle, tenant=tenant, most=most), as_json, f"throttled {tenant!r}")


@tenants_command.command("resume", epilog=example("memory tenants resume acme"))
@named
@json_option
def resume_command(tenant: str, as_json: bool) -> None:
    """End the pause and the throttle of TENANT."""
    _changed(partial(tenants.resume, tenant=tenant), as_json, f"resumed {tenant!r}")


def _changed(change: Callable[[Database], Awaitable[object]], as_json: bool, done: str) -> None:
    run(_with_database, configured(), change)
    if not as_json:
        output.say(done)
    _answer(tenants.what_waits, as_json)


def _answer(read: Callable[[Database], Awaitable[Waiting]], as_json: bool) -> None:
    found = run(_with_database, for_viewing(configured()), read)
    output.answer(found, as_json, lambda: _table(found))


async def _with_database(settings: Settings, work: Callable[[Database], Awaitable[T]]) -> T:
    async with worker_database(settings) as database:
        return await work(database)


def _table(found: Waiting) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("tenant")
    for name in ("users due", "interactions", "waited"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("extraction")
    for row in found.tenants:
        table.add_row(
            output.label(row.tenant),
            f"{row.users_due:,}",
            f"{row.waiting:,}",
            f"{row.lag_seconds:,.1f} s",
            held(row),
        )
    return table


def held(row: TenantLag) -> str:
    """Returns how the extraction of a tenant is held back; an empty text if it is not."""
    said = [f"paused since {row.paused_at:%Y-%m-%d %H:%M} UTC"] if row.paused_at else []
    said += [
        f"at most {output.counted(most, what)} a minute"
        for most, what in ((row.throttle.users, "user"), (row.throttle.interactions, "interaction"))
        if most is not None
    ]
    return ", ".join(said)
