"""`memory forget`: erases a memory, a session or a user."""

from collections.abc import Callable
from typing import Any

import click
from anyio import to_thread
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import (
    agent_option,
    configured,
    example,
    json_option,
    run,
    tenant_option,
    user_option,
)
from memory.beliefs.erasure import Forgotten
from memory.client import AsyncMemoryClient
from memory.models import Scope
from memory.settings import Settings


@click.command(
    "forget",
    epilog=example(
        "memory forget --memory 12 --user ana",
        "memory forget --user-all --user ana --yes",
    ),
)
@click.option("--memory", type=int, help="This memory and the interactions that support it.")
@click.option("--session", help="This session and the memories that rest on it.")
@click.option("--user-all", is_flag=True, help="Everything of --user.")
@click.option("--keep-sources", is_flag=True, help="With --memory: keep the interactions.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@tenant_option
@user_option
@agent_option
@json_option
def forget_command(
    *,
    memory: int | None,
    session: str | None,
    user_all: bool,
    keep_sources: bool,
    yes: bool,
    tenant: str,
    user: str,
    agent: str | None,
    as_json: bool,
) -> None:
    """Forget permanently: exactly one of --memory, --session and --user-all.

    Nothing is kept, not even earlier beliefs. Recording a forgotten interaction again is refused.
    What is private to an agent needs --agent, but for --user-all, which forgets it too.
    To keep interactions in the log without counting them, use `memory retract`.
    """
    if (memory is not None) + (session is not None) + user_all != 1:
        raise click.UsageError("give exactly one of --memory, --session and --user-all")
    target = {"memory": memory, "session": session, "user": user_all, "keep_sources": keep_sources}
    ask = _agreed if yes else _asked
    gone = run(_forget, configured(), Scope(tenant, user, agent), target, ask)
    output.answer(
        gone,
        as_json,
        lambda: Text(
            f"forgot {output.counted(gone.interactions, 'interaction')};"
            f" memories removed: {gone.memories:,}"
        ),
    )


async def _forget(
    settings: Settings, scope: Scope, target: dict[str, Any], ask: Callable[[str], None]
) -> Forgotten:
    async with AsyncMemoryClient(settings) as client:
        await to_thread.run_sync(ask, await _named(client, scope, target))
        return await client.forget(scope, **target)


async def _named(client: AsyncMemoryClient, scope: Scope, target: dict[str, Any]) -> str:
    if target["memory"] is None:
        what = "everything" if target["user"] else f"session {target['session']!r}"
        return f"{what} of user {scope.user!r}"
    found = await client.explain(scope, target["memory"])
    sources = {evidence.interaction_id for evidence in found.evidence}
    with_them = (
        ""
        if target["keep_sources"]
        else f" and {output.counted(len(sources), 'interaction')} behind it"
    )
    return f"memory {found.memory.id} “{output.one_line(found.memory.text, 120)}”{with_them}"


def _agreed(what: str) -> None:
    pass


def _asked(what: str) -> None:
    click.confirm(f"Forget {what} permanently?", abort=True, err=True)
