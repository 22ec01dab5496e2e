"""`memory tenants`: lists tenants, and sets which are served, how much each may take, and when."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import configured, example, json_option, run
from consumers.cli.tenant_logins import login_command, logins_command
from consumers.cli.tenant_policy import policy_command
from consumers.operations import tenants, usage
from consumers.operations.tenants import Quota, Tenant, TenantLag, Throttle, Waiting
from consumers.operations.usage import DayUsed, Used
from consumers.store import for_viewing, worker_database
from memory.database import Database
from memory.settings import Settings

T = TypeVar("T")

named = click.argument("tenant")


@click.group(
    "tenants",
    epilog=example(
        "memory tenants list",
        "memory tenants create acme",
        "memory tenants quota acme --interactions-a-day 10000",
        "memory tenants usage acme --from 2026-03-01 --json",
        "memory tenants suspend acme",
        "memory tenants pause acme",
        "memory tenants throttle acme --interactions 600",
        "memory tenants resume acme",
        "memory tenants login acme --login acme_app",
        "memory tenants policy acme --sensitive payment_card=mask",
    ),
)
def tenants_command() -> None:
    """Say which tenants are served, how much each may take, and what waits in each.

    Without `require-listed on`, every tenant is served as soon as something is recorded for it.
    """


@tenants_command.command("list", epilog=example("memory tenants list"))
@json_option
def list_command(as_json: bool) -> None:
    """List the tenants that were created or held back, and those with users to extract.

    The suspended, the paused and the throttled come first, then those whose users have waited
    longest.
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
    """End the suspension of TENANT, or else its pause and throttle.

    A pause or throttle from before the suspension holds until it is resumed once more.
    """
    ended = _change(partial(tenants.resume, tenant=tenant))
    nothing = f"{tenant!r} is not suspended, paused or throttled: nothing to resume"
    _say(as_json, f"resumed {tenant!r}: ended its {ended}" if ended else nothing)
    _answer(tenants.what_waits, as_json)


@tenants_command.command("create", epilog=example("memory tenants create acme"))
@named
@json_option
def create_command(tenant: str, as_json: bool) -> None:
    """List TENANT among those that are served where listing is required."""
    new = _change(partial(tenants.create, tenant=tenant))
    _say(as_json, f"created {tenant!r}" if new else f"{tenant!r} is there already")
    _show(tenant, as_json)


@tenants_command.command("show", epilog=example("memory tenants show acme"))
@named
@json_option
def show_command(tenant: str, as_json: bool) -> None:
    """Show whether TENANT is served, its quotas, and what holds its extraction back."""
    _show(tenant, as_json)


@tenants_command.command("suspend", epilog=example("memory tenants suspend acme"))
@named
@json_option
def suspend_command(tenant: str, as_json: bool) -> None:
    """Let nothing of TENANT be read or written until it is resumed.

    Clients get TenantSuspended, extraction leaves its users, and messages from Kafka become dead
    letters, to be redriven later. The jobs of `memory compact`, retention among them, go on.
    """
    new = _change(partial(tenants.suspend, tenant=tenant))
    _say(as_json, f"suspended {tenant!r}" if new else f"{tenant!r} is suspended already")
    _show(tenant, as_json)


@tenants_command.command("require-listed", epilog=example("memory tenants require-listed on"))
@click.argument("state", type=click.Choice(["on", "off"]))
@click.option(
    "--list-known", is_flag=True, help="With on: create every tenant that has users, first."
)
@json_option
def require_listed_command(state: str, list_known: bool, as_json: bool) -> None:
    """Serve only tenants that were created, or all: the default.

    A tenant that is not listed is refused, and nothing is created for it: clients get
    UnlistedTenant, and messages from Kafka become dead letters.
    """
    if list_known:
        listed = _change(tenants.create_known)
        _say(as_json, f"created {output.counted(listed, 'tenant')}")
    unlisted = _change(partial(tenants.require_listed, on=state == "on"))
    document = {"require_listed": state == "on", "unlisted_tenants_with_users": unlisted}
    which = "listed tenants only" if state == "on" else "every tenant"
    there = f"; {output.counted(unlisted, 'tenant')} with users not listed" if unlisted else ""
    output.answer(document, as_json, lambda: Text(f"the store serves {which}{there}"))


@tenants_command.command(
    "quota", epilog=example("memory tenants quota acme --interactions-a-day 10000")
)
@named
@click.option("--interactions-a-day", type=click.IntRange(min=0), help="Most in a day in UTC.")
@click.option(
    "--bytes-stored", type=click.IntRange(min=0), help="Most in its log: contents and payloads."
)
@click.option(
    "--model-tokens-a-day",
    type=click.IntRange(min=0),
    help="Most that models read and write in a day in UTC.",
)
@click.option("--none", "unlimited", is_flag=True, help="End all quotas of TENANT.")
@json_option
def quota_command(tenant: str, unlimited: bool, as_json: bool, **most: int | None) -> None:
    """Bound how much of TENANT is recorded and extracted.

    It replaces earlier quotas. Over a quota clients get QuotaExceeded when they record, and can
    still read; messages from Kafka become dead letters; extraction waits for midnight UTC. A tenant
    may go over for up to a minute: counts are taken twice a minute.
    """
    quota = Quota(**most)
    if (quota == Quota()) is not unlimited:
        raise click.UsageError("give at least one quota, or --none")
    _change(partial(tenants.set_quota, tenant=tenant, quota=quota))
    _say(as_json, f"set the quotas of {tenant!r}")
    _show(tenant, as_json)


@tenants_command.command(
    "usage", epilog=example("memory tenants usage acme --from 2026-03-01 --to 2026-03-31 --json")
)
@named
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="First day, in UTC.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="Last day, included.")
@json_option
def usage_command(
    tenant: str, first: datetime | None, last: datetime | None, as_json: bool
) -> None:
    """Show what TENANT used, by day: interactions, bytes, memories and model tokens.

    It counts up to now first.
    """

    async def used(database: Database) -> Used:
        await usage.count(database, tenant)
        return await usage.read(
            database, tenant, first.date() if first else None, last.date() if last else None
        )

    found = _change(used)
    output.answer(found, as_json, lambda: _used(found))


for command in (login_command, logins_command, policy_command):
    tenants_command.add_command(command)


def _changed(change: Callable[[Database], Awaitable[object]], as_json: bool, done: str) -> None:
    _change(change)
    _say(as_json, done)
    _answer(tenants.what_waits, as_json)


def _change(change: Callable[[Database], Awaitable[T]]) -> T:
    return run(_with_database, configured(), change)


def _say(as_json: bool, done: str) -> None:
    if not as_json:
        output.say(done)


def _show(tenant: str, as_json: bool) -> None:
    found = run(_with_database, for_viewing(configured()), partial(tenants.show, tenant=tenant))
    output.answer(found, as_json, lambda: _shown(found))


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
    table.add_column("held back")
    for row in found.tenants:
        table.add_row(
            output.label(row.tenant),
            f"{row.users_due:,}",
            f"{row.waiting:,}",
            f"{row.lag_seconds:,.1f} s",
            held(row),
        )
    return table


def _shown(found: Tenant) -> RenderableType:
    quotas = [
        f"{most:,} {what}"
        for most, what in (
            (found.quota.interactions_a_day, "interactions a day"),
            (found.quota.bytes_stored, "bytes"),
            (found.quota.model_tokens_a_day, "model tokens a day"),
        )
        if most is not None
    ]
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, text in (
        ("tenant", output.label(found.tenant)),
        ("served", "yes" if found.served else "no"),
        ("listed", f"{found.listed_at:%Y-%m-%d %H:%M} UTC" if found.listed_at else "no"),
        ("users", f"{found.users:,}"),
        ("quotas", "at most " + ", ".join(quotas) if quotas else "none"),
        ("held back", held(found) or "no"),
    ):
        table.add_row(name, text)
    return table


def _used(found: Used) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("day", "interactions", "bytes", "memories", "model tokens"):
        table.add_column(name, no_wrap=True, justify="left" if name == "day" else "right")
    rows: list[tuple[str, DayUsed | Used]] = [(f"{row.day}", row) for row in found.days]
    for name, row in (*rows, ("all", found)):
        figures = (row.interactions, row.bytes, row.memories, row.model_tokens)
        table.add_row(name, *("" if figure is None else f"{figure:,}" for figure in figures))
    return table


def held(row: TenantLag | Tenant) -> str:
    """Returns how a tenant is held back; an empty text if it is not."""
    said = [
        f"{how} since {at:%Y-%m-%d %H:%M} UTC"
        for how, at in (("suspended", row.suspended_at), ("paused", row.paused_at))
        if at
    ]
    said += [
        f"at most {output.counted(most, what)} a minute"
        for most, what in ((row.throttle.users, "user"), (row.throttle.interactions, "interaction"))
        if most is not None
    ]
    return ", ".join(said)
