"""`memory recall`: ranks a user's memories for a question."""

from functools import partial
from typing import Any

import click

from consumers.cli import output
from consumers.cli.options import (
    after_option,
    agent_option,
    as_of_option,
    believed_at_option,
    configured,
    example,
    json_option,
    receipt_of,
    run,
    tenant_option,
    user_option,
    wait_option,
)
from memory.client import AsyncMemoryClient
from memory.models import MemoryKind, Recall, Scope
from memory.settings import Settings


@click.command(
    "recall",
    epilog=example(
        'memory recall "Where does she live?" --user ana', "memory recall salary --user ana --json"
    ),
)
@click.argument("query")
@click.option(
    "-k", default=10, show_default=True, type=click.IntRange(min=1), help="Number of memories."
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([kind.value for kind in MemoryKind]),
    help="Only this kind; may be repeated.",
)
@click.option("--only-agent", is_flag=True, help="Only memories that are private to --agent.")
@after_option
@wait_option
@as_of_option
@believed_at_option
@tenant_option
@user_option
@agent_option
@json_option
def recall_command(
    *,
    query: str,
    k: int,
    kinds: tuple[str, ...],
    only_agent: bool,
    after: str | None,
    wait: float,
    tenant: str,
    user: str,
    agent: str | None,
    as_json: bool,
    **past: Any,
) -> None:
    """Rank a user's memories for QUERY, best first, with their citations."""
    wanted = [MemoryKind(kind) for kind in kinds] or None
    scope = Scope(tenant, user, agent)
    ask = partial(
        _recall,
        k=k,
        kinds=wanted,
        only_agent=only_agent,
        after=receipt_of(after),
        timeout=wait,
        **past,
    )
    found = run(ask, configured(), scope, query)
    output.warn_of_stale(found.fresh, found.waited, "memory extract")
    output.answer(output.recall_json(found), as_json, lambda: output.recalled(found))


async def _recall(settings: Settings, scope: Scope, query: str, **asked: Any) -> Recall:
    async with AsyncMemoryClient(settings) as client:
        return await client.recall(scope, query, **asked)
