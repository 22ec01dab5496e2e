"""`memory costs`: shows the costs of model calls."""

from collections.abc import Sequence
from datetime import datetime

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import (
    any_tenant_option,
    configured,
    example,
    json_option,
    run,
)
from consumers.operations.costs import (
    By,
    Cost,
    read_costs,
)
from consumers.store import operators_view
from memory.settings import Settings


@click.command(
    "costs",
    epilog=example("memory costs", "memory costs --by day --since 2026-11-01 --tenant acme --json"),
)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day to count (UTC).")
@click.option(
    "--by",
    type=click.Choice([by.value for by in By]),
    default="model",
    show_default=True,
    help="Group by this.",
)
@any_tenant_option
@json_option
def costs_command(since: datetime | None, by: str, tenant: str | None, as_json: bool) -> None:
    """Show the costs of model calls, in the currency of MEMORY_MODEL_PRICES.

    Calls answered from the cache cost nothing; failed calls may cost something. The sums remain
    when users are forgotten.
    """
    found = run(_costs, configured(), tenant, since, By(by))
    output.answer(found, as_json, lambda: _costs_table(by, found))


async def _costs(
    settings: Settings, tenant: str | None, since: datetime | None, by: By
) -> list[Cost]:
    async with operators_view(settings) as database:
        return await read_costs(database, tenant, since.date() if since else None, by)


def _costs_table(by: str, found: Sequence[Cost]) -> RenderableType:
    if not found:
        return Text("no model was called")
    table = _table(by, "calls", "cached", "failed", "tokens in", "out", "cost", "seconds a call")
    for cost in found:
        asked = max(1, cost.calls - cost.cached)
        table.add_row(
            output.label(cost.of),
            *(f"{n:,}" for n in (cost.calls, cost.cached, cost.failed)),
            *(f"{n:,}" for n in (cost.input_tokens, cost.output_tokens)),
            f"{cost.cost:,.4f}",
            f"{cost.seconds / asked:.2f}",
        )
    return table


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for name in numbers:
        table.add_column(name, no_wrap=True, justify="right")
    return table
