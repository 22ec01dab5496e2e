"""`memory context`: assembles what the next model call should know."""

import json
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
from memory.context.assembly import Context
from memory.models import Scope
from memory.settings import Settings


@click.command(
    "context",
    epilog=example(
        'memory context "Plan her next call" --user ana --session s-12 --budget 800',
        'memory context "Plan her next call" --user ana --format messages > messages.json',
    ),
)
@click.argument("query")
@click.option("--budget", default=2000, show_default=True, help="Largest size in tokens.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "messages", "json"]),
    help="Prompt text (the default), chat messages, or items with their citations.",
)
@click.option("--session", help="The current conversation; includes its recent turns.")
@after_option
@wait_option
@as_of_option
@believed_at_option
@tenant_option
@user_option
@agent_option
@json_option
def context_command(
    *,
    query: str,
    budget: int,
    form: str | None,
    session: str | None,
    after: str | None,
    wait: float,
    tenant: str,
    user: str,
    agent: str | None,
    as_json: bool,
    **past: Any,
) -> None:
    """Assemble what the next model call should know for QUERY.

    The context goes to stdout, ready to be piped. Its citations go to stderr.
    """
    if as_json and form == "text":
        raise click.UsageError("--json prints JSON; use it with --format json or messages")
    scope = Scope(tenant, user, agent, session)
    ask = partial(_context, budget=budget, after=receipt_of(after), timeout=wait, **past)
    found = run(ask, configured(), scope, query)
    output.warn_of_stale(found.fresh, found.waited, "memory ingest")
    form = form or ("json" if as_json else "text")
    if form == "json":
        output.say_json(found.json())
    elif form == "messages":
        output.say_json(json.dumps(found.messages(), ensure_ascii=False))
    else:
        click.echo(output.for_stdout(found.text))
        output.say(output.cited(found))


async def _context(settings: Settings, scope: Scope, query: str, **asked: Any) -> Context:
    async with AsyncMemoryClient(settings) as client:
        return await client.context(scope, query, **asked)
