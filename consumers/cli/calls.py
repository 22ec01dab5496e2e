"""`memory calls`: lists model calls, with the text of unusable answers."""

from collections.abc import Sequence

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import (
    configured,
    example,
    json_option,
    run,
    tenant_option,
)
from consumers.operations.costs import (
    Called,
    read_calls,
)
from consumers.store import operators_view
from extractors.language_model.ledger import Outcome
from memory.settings import Settings


@click.command(
    "calls",
    epilog=example("memory calls --outcome unusable", "memory calls --user ana --limit 5 --json"),
)
@click.option("--user", help="Only calls for this user.")
@click.option(
    "--outcome", type=click.Choice([o.value for o in Outcome]), help="Only calls with this outcome."
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most this many."
)
@tenant_option
@json_option
def calls_command(
    user: str | None, outcome: str | None, limit: int, tenant: str, as_json: bool
) -> None:
    """List the newest model calls, with the reasons of failures and the text of such answers."""
    found = run(_calls, configured(), tenant, user, outcome, limit)
    output.answer(found, as_json, lambda: _calls_table(found))


async def _calls(
    settings: Settings, tenant: str, user: str | None, outcome: str | None, limit: int
) -> Sequence[Called]:
    async with operators_view(settings) as database:
        return await read_calls(database, tenant, user, outcome, limit)


def _calls_table(found: Sequence[Called]) -> RenderableType:
    if not found:
        return Text("no model was called")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("when", "user", "session", "task", "model", "outcome"):
        table.add_column(name)
    table.add_column("kept", justify="right")
    table.add_column("reason")
    table.add_column("refused, the answer, or what the server said", ratio=1)
    for call in found:
        refused = ", ".join(f"{n} {why}" for why, n in sorted((call.refused or {}).items()))
        table.add_row(
            call.called_at[:19].replace("T", " "),
            output.label(call.user_id),
            output.label(call.session_id or ""),
            call.task,
            call.model,
            f"{call.outcome}{' (cached)' if call.cached else ''}",
            "" if call.kept is None else str(call.kept),
            call.reason or "",
            Text(output.one_line(refused or call.answer or call.detail or "", 300)),
        )
    return table
