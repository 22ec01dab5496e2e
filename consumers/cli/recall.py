"""`memory recall`, `memory context` and `memory explain`: what is remembered, and why."""

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
from memory.beliefs.collective import CollectiveExplanation
from memory.client import AsyncMemoryClient
from memory.context.assembly import Context
from memory.models import Explanation, MemoryKind, Recall, Scope
from memory.settings import Settings


@click.command(
    "recall",
    epilog=example(
        'memory recall "Where does she live?" --user ana', "memory recall salary --user ana --json"
    ),
)
@click.argument("query")
@click.option("-k", default=10, show_default=True, type=click.IntRange(min=1), help="How many.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([kind.value for kind in MemoryKind]),
    help="Only this kind; may be repeated.",
)
@click.option("--only-agent", is_flag=True, help="Only what is private to --agent.")
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
    **clocks: Any,
) -> None:
    """Rank a user's memories for QUERY, best first, with what each cites."""
    wanted = [MemoryKind(kind) for kind in kinds] or None
    scope = Scope(tenant, user, agent)
    ask = partial(
        _recall,
        k=k,
        kinds=wanted,
        only_agent=only_agent,
        after=receipt_of(after),
        timeout=wait,
        **clocks,
    )
    found = run(ask, configured(), scope, query)
    output.warn_of_stale(found.fresh, found.waited, "memory extract")
    output.answer(found, as_json, lambda: output.recalled(found))


async def _recall(settings: Settings, scope: Scope, query: str, **asked: Any) -> Recall:
    async with AsyncMemoryClient(settings) as client:
        return await client.recall(scope, query, **asked)


@click.command(
    "context",
    epilog=example(
        'memory context "Plan her next call" --user ana --session s-12 --budget 800',
        'memory context "Plan her next call" --user ana --format messages > messages.json',
    ),
)
@click.argument("query")
@click.option("--budget", default=2000, show_default=True, help="At most this many tokens.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "messages", "json"]),
    help="Prompt text (the default), chat messages, or items with their citations.",
)
@click.option("--session", help="The conversation under way: its recent turns come along.")
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
    **clocks: Any,
) -> None:
    """Assemble what the next model call should know for QUERY.

    The context goes to stdout, ready to be piped; what its citations stand for goes to stderr.
    """
    if as_json and form == "text":
        raise click.UsageError("--json prints JSON: use it with --format json or messages")
    scope = Scope(tenant, user, agent, session)
    ask = partial(_context, budget=budget, after=receipt_of(after), timeout=wait, **clocks)
    found = run(ask, configured(), scope, query)
    output.warn_of_stale(found.fresh, found.waited, "memory ingest")
    form = form or ("json" if as_json else "text")
    if form == "json":
        click.echo(found.json())
    elif form == "messages":
        click.echo(json.dumps(found.messages(), ensure_ascii=False))
    else:
        click.echo(output.for_stdout(found.text))
        output.say(output.cited(found))


async def _context(settings: Settings, scope: Scope, query: str, **asked: Any) -> Context:
    async with AsyncMemoryClient(settings) as client:
        return await client.context(scope, query, **asked)


@click.command(
    "explain", epilog=example("memory explain 12 --user ana", "memory explain 3 --collective")
)
@click.argument("memory", type=int)
@click.option("--collective", is_flag=True, help="MEMORY is of the tenant's collective tier.")
@tenant_option
@click.option("--user", help="Whose memory; not needed with --collective.")
@as_of_option
@believed_at_option
@json_option
def explain_command(
    memory: int,
    collective: bool,
    tenant: str,
    user: str | None,
    as_json: bool,
    **clocks: Any,
) -> None:
    """Show the evidence behind MEMORY: quotes, what made it, and what it replaced.

    MEMORY is the id that `memory recall` shows. Of a collective memory no evidence is shown, only
    how many users support it at least.
    """
    if collective:
        shared = run(_explain_collective, configured(), Scope(tenant, user or "-"), memory)
        output.answer(shared, as_json, lambda: str(shared))
        return
    if user is None:
        raise click.UsageError("Missing option '--user'.", click.get_current_context())
    found = run(partial(_explain, **clocks), configured(), Scope(tenant, user), memory)
    output.answer(found, as_json, lambda: output.explained(found))


async def _explain(settings: Settings, scope: Scope, memory: int, **clocks: Any) -> Explanation:
    async with AsyncMemoryClient(settings) as client:
        return await client.explain(scope, memory, **clocks)


async def _explain_collective(
    settings: Settings, scope: Scope, memory: int
) -> CollectiveExplanation:
    async with AsyncMemoryClient(settings) as client:
        return await client.explain_collective(scope, memory)
