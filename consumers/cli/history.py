"""`memory history`: lists the current or former beliefs about a user."""

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
from consumers.runtime.terminal import plain
from memory.client import AsyncMemoryClient
from memory.models import Memory, MemoryKind, Scope
from memory.settings import Settings


@click.command(
    "history",
    epilog=example(
        "memory history --user ana --closed",
        "memory history --user ana --attribute lives_in --believed-at 2026-03-01T00:00:00Z",
        "memory history --user ana --contested",
    ),
)
@click.option("--attribute", help="Only memories of this attribute, such as lives_in.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([kind.value for kind in MemoryKind]),
    help="Only this kind; may be repeated.",
)
@click.option("--closed", is_flag=True, help="Also former beliefs, and what ended them.")
@click.option("--contested", is_flag=True, help="Only memories in an open conflict.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(min=1), help="At most this many."
)
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
    """List a user's memories, newest belief first: now, or at a point in time."""
    asked["kinds"] = [MemoryKind(kind) for kind in kinds] or None
    found = run(partial(_history, **asked), configured(), Scope(tenant, user, agent))
    output.answer(found, as_json, lambda: _table(found))


async def _history(settings: Settings, scope: Scope, **asked: Any) -> list[Memory]:
    async with AsyncMemoryClient(settings) as client:
        return await client.history(scope, **asked)


def _table(found: list[Memory]) -> RenderableType:
    if not found:
        return Text("no beliefs")
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
            Text(plain(f"{text}{noted}{ended}")),
        )
    return table


def _span(start: datetime | None, end: datetime | None) -> str:
    return f"{start:%Y-%m-%d %H:%M}" + (f" to {end:%Y-%m-%d %H:%M}" if end else "")
