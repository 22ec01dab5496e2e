"""`memory explain`: shows the evidence behind a memory."""

from functools import partial
from typing import Any

import click

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
)
from memory.beliefs.collective import CollectiveExplanation
from memory.client import AsyncMemoryClient
from memory.models import Explanation, Scope
from memory.settings import Settings


@click.command(
    "explain", epilog=example("memory explain 12 --user ana", "memory explain 3 --collective")
)
@click.argument("memory", type=int)
@click.option("--collective", is_flag=True, help="MEMORY is a collective memory of the tenant.")
@tenant_option
@click.option("--user", help="Owner of the memory; not needed with --collective.")
@agent_option
@as_of_option
@believed_at_option
@json_option
def explain_command(
    memory: int,
    collective: bool,
    tenant: str,
    user: str | None,
    agent: str | None,
    as_json: bool,
    **past: Any,
) -> None:
    """Show the evidence of MEMORY: its quotes, what made it, and what it replaced.

    MEMORY is the id that `memory recall` shows. A collective memory shows no evidence, only a lower
    bound on the number of users who support it.
    """
    if collective:
        shared = run(_explain_collective, configured(), Scope(tenant, user or "-"), memory)
        output.answer(shared, as_json, lambda: str(shared))
        return
    if user is None:
        raise click.UsageError("Missing option '--user'.", click.get_current_context())
    found = run(partial(_explain, **past), configured(), Scope(tenant, user, agent), memory)
    output.answer(output.explanation_json(found), as_json, lambda: output.explained(found))


async def _explain(settings: Settings, scope: Scope, memory: int, **past: Any) -> Explanation:
    async with AsyncMemoryClient(settings) as client:
        return await client.explain(scope, memory, **past)


async def _explain_collective(
    settings: Settings, scope: Scope, memory: int
) -> CollectiveExplanation:
    async with AsyncMemoryClient(settings) as client:
        return await client.explain_collective(scope, memory)
