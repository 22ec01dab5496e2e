"""`memory tenants policy`: shows a tenant's policy, and sets what becomes of sensitive content."""

from collections.abc import Sequence
from typing import Any

import click
from rich.table import Table

from consumers.cli import output
from consumers.cli.options import configured, example, json_option, run
from consumers.compaction.policy import Policy, change_policy, read_policy
from consumers.store import worker_database
from memory.privacy.findings import Sensitive
from memory.privacy.policy import Action
from memory.settings import Settings

EVERY = "all"


def _actions(
    _: click.Context, param: click.Parameter, given: Sequence[str]
) -> dict[Sensitive, Action]:
    """Reads `class=action` pairs, the later ones over the earlier ones."""
    actions: dict[Sensitive, Action] = {}
    for pair in given:
        name, _sign, action = pair.partition("=")
        if name not in {EVERY, *Sensitive} or action not in set(Action):
            raise click.BadParameter(
                f"{pair!r}: give CLASS=ACTION, of the classes {', '.join([EVERY, *Sensitive])} and"
                f" the actions {', '.join(Action)}",
                param=param,
            )
        named = list(Sensitive) if name == EVERY else [Sensitive(name)]
        actions |= dict.fromkeys(named, Action(action))
    return actions


@click.command(
    "policy",
    epilog=example(
        "memory tenants policy acme",
        "memory tenants policy acme --sensitive all=mask --sensitive payment_card=refuse",
    ),
)
@click.argument("tenant")
@click.option(
    "--sensitive",
    "actions",
    multiple=True,
    metavar="CLASS=ACTION",
    callback=_actions,
    help="What becomes of a class of secrets or personal data: keep, mask, mask_in_log or refuse."
    " The class `all` means each. May be repeated; other classes stay as they are.",
)
@json_option
def policy_command(tenant: str, actions: dict[Sensitive, Action], as_json: bool) -> None:
    """Show the policy of TENANT, after changing what is given.

    A change takes effect in every process within ten seconds. It changes nothing that is stored:
    `memory replay` derives the memories of the past again.
    """
    policy = run(_policy, configured(), tenant, actions)
    output.answer(policy.model_dump(mode="json"), as_json, lambda: _table(policy))


async def _policy(settings: Settings, tenant: str, actions: dict[Sensitive, Action]) -> Policy:
    def change(policy: dict[str, Any]) -> dict[str, Any]:
        return {**policy, "sensitive": {**policy.get("sensitive", {}), **actions}}

    async with worker_database(settings) as database:
        if not actions:
            return await read_policy(database, tenant)
        return await change_policy(database, tenant, change)


def _table(policy: Policy) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("policy")
    table.add_column("value")
    for name, value in policy.model_dump(mode="json").items():
        if name != "sensitive":
            shown = ", ".join(value) if isinstance(value, list) else str(value)
            table.add_row(name, output.label(shown))
    for sensitive in Sensitive:
        table.add_row(f"sensitive: {sensitive}", policy.sensitive.get(sensitive, Action.KEEP))
    return table
