"""`memory trust`: shows and changes a tenant's rules on whose words an interaction is."""

from collections.abc import Awaitable, Callable
from functools import partial

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import configured, example, json_option, run, tenant_option
from consumers.compaction import trust_rules
from consumers.store import for_viewing, worker_database
from memory.database import Database
from memory.models import Origin, trust_of
from memory.settings import Settings
from memory.trust.rules import TrustRules

field_argument = click.argument("field", type=click.Choice(trust_rules.FIELDS))
name_argument = click.argument("name")


@click.group(
    "trust",
    epilog=example(
        "memory trust list",
        "memory trust set source crm record",
        "memory trust set tool web_search external",
        "memory trust remove source crm",
    ),
)
def trust_command() -> None:
    """Say whose words an interaction is, by its source, actor, tool, agent or role.

    Only the person, the app and systems of record found beliefs; what others say waits for
    `memory review`. Where several rules name one interaction, the least trusted origin counts.
    """


@trust_command.command("list", epilog=example("memory trust list --tenant acme"))
@tenant_option
@json_option
def list_command(tenant: str, as_json: bool) -> None:
    """List the rules of a tenant."""
    _answer(for_viewing(configured()), partial(trust_rules.rules, tenant=tenant), as_json)


@trust_command.command("set", epilog=example("memory trust set source crm record"))
@field_argument
@name_argument
@click.argument("origin", type=click.Choice([origin.value for origin in Origin]))
@tenant_option
@json_option
def set_command(field: str, name: str, origin: str, tenant: str, as_json: bool) -> None:
    """Give interactions whose FIELD is NAME the origin ORIGIN, from now on.

    What is believed already stays as it is; `memory replay` derives it again under the rules.
    """
    change = partial(
        trust_rules.set_rule, tenant=tenant, field=field, name=name, origin=Origin(origin)
    )
    _answer(configured(), change, as_json)


@trust_command.command("remove", epilog=example("memory trust remove source crm"))
@field_argument
@name_argument
@tenant_option
@json_option
def remove_command(field: str, name: str, tenant: str, as_json: bool) -> None:
    """Remove the rule for interactions whose FIELD is NAME."""
    change = partial(trust_rules.remove_rule, tenant=tenant, field=field, name=name)
    _answer(configured(), change, as_json)


def _answer(
    settings: Settings, work: Callable[[Database], Awaitable[TrustRules]], as_json: bool
) -> None:
    found = run(_with_database, settings, work)
    output.answer(found.model_dump(mode="json"), as_json, lambda: _table(found))


async def _with_database(
    settings: Settings, work: Callable[[Database], Awaitable[TrustRules]]
) -> TrustRules:
    async with worker_database(settings) as database:
        return await work(database)


def _table(found: TrustRules) -> RenderableType:
    rules = [
        (field, name, origin)
        for field in trust_rules.FIELDS
        for name, origin in sorted(getattr(found, field).items())
    ]
    if not rules:
        return Text("no rules: origins go by kind and role")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("by", "name", "origin", "trust"):
        table.add_column(title)
    for field, name, origin in rules:
        trust = trust_of(origin)
        table.add_row(
            field, output.label(name), origin.value, "" if trust is None else trust.name.lower()
        )
    return table
