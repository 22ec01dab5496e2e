"""`memory record`: appends one interaction to the log."""

import json
import sys
from datetime import datetime
from typing import Any

import click
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import (
    agent_option,
    configured,
    example,
    json_option,
    moment,
    run,
    tenant_option,
    user_option,
)
from memory.client import AsyncMemoryClient
from memory.models import InteractionKind, Receipt, Role, Scope
from memory.settings import Settings


@click.command(
    "record",
    epilog=example(
        'memory record "I moved from Berlin to Munich" --user ana',
        "cat notes.txt | memory record - --user ana --session monday --role assistant",
    ),
)
@click.argument("content")
@click.option("--session", default="default", show_default=True, help="Conversation.")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default="user",
    show_default=True,
    help="Role of the speaker.",
)
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in InteractionKind]),
    default="message",
    show_default=True,
    help="Kind of the interaction.",
)
@click.option(
    "--id", "interaction_id", help="Id; recording the same id and content again changes nothing."
)
@click.option("--actor", help="Display name of the speaker.")
@click.option("--payload", default="{}", help="A JSON object, such as a tool's arguments.")
@click.option(
    "--at", callback=moment, help="Time of the event, ISO 8601 with a zone. Default: now."
)
@click.option("--private", is_flag=True, help="Let only --agent see the memories derived from it.")
@tenant_option
@user_option
@agent_option
@json_option
def record_command(
    *,
    content: str,
    session: str,
    interaction_id: str | None,
    payload: str,
    at: datetime | None,
    tenant: str,
    user: str,
    agent: str | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Append CONTENT to the log as one interaction; `-` reads it from stdin.

    The next context shows it at once; with Kafka, once `memory ingest` has applied it. `memory
    extract` derives memories from it. --json prints a receipt, which other commands take as
    --after.
    """
    text = sys.stdin.read() if content == "-" else content
    scope = Scope(tenant, user, agent, session)
    fields |= {
        "id": interaction_id,
        "payload": _json_object(payload),
        "occurred_at": at,
        "source": "console",
    }
    receipt = run(_record, configured(), scope, text, fields)
    output.answer(receipt, as_json, lambda: _recorded(receipt))


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="--payload") from error
    except RecursionError as error:
        raise click.BadParameter("nested too deep", param_hint="--payload") from error
    if not isinstance(value, dict):
        raise click.BadParameter(f"not a JSON object: {text!r}", param_hint="--payload")
    return value


async def _record(
    settings: Settings, scope: Scope, content: str, fields: dict[str, Any]
) -> Receipt:
    async with AsyncMemoryClient(settings) as client:
        return await client.record(scope, content, **fields)


def _recorded(receipt: Receipt) -> Text:
    if receipt.place is not None:
        return Text(f"sent {receipt.interaction_id} to {receipt.place}; `memory ingest` applies it")
    done = "already recorded" if receipt.duplicate else "recorded"
    return Text(
        f"{done} {receipt.interaction_id} as number {receipt.ordinal} of session"
        f" {receipt.session!r} (position {receipt.position})"
    )
