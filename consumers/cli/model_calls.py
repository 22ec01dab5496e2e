"""`memory costs`, `memory calls`, `memory prompts`: what models were asked, and what it cost."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
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
    tenant_option,
)
from consumers.operations.costs import (
    By,
    Called,
    Cost,
    read_calls,
    read_costs,
)
from consumers.store import worker_database
from extractors.language_model.ledger import Outcome
from extractors.language_model.prompts import Prompt, prompts
from memory.database.pipeline import Rows
from memory.errors import InvalidInput
from memory.settings import Settings


@click.command(
    "costs",
    epilog=example("memory costs", "memory costs --by day --since 2026-11-01 --tenant acme --json"),
)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="From this day on (UTC).")
@click.option("--by", type=click.Choice([by.value for by in By]), default="model")
@any_tenant_option
@json_option
def costs_command(since: datetime | None, by: str, tenant: str | None, as_json: bool) -> None:
    """Show what model calls cost, in the currency of MEMORY_MODEL_PRICES.

    Calls answered from the cache cost nothing; failed ones may. Sums stay when users are forgotten.
    """
    found = run(_costs, configured(), tenant, since, By(by))
    output.answer(found, as_json, lambda: _costs_table(by, found))


async def _costs(
    settings: Settings, tenant: str | None, since: datetime | None, by: By
) -> list[Cost]:
    async with worker_database(settings) as database:
        return await read_costs(database, tenant, since.date() if since else None, by)


def _costs_table(by: str, found: Sequence[Cost]) -> RenderableType:
    if not found:
        return Text("no model was called")
    table = _table(by, "calls", "cached", "failed", "tokens in", "out", "cost", "seconds a call")
    for cost in found:
        asked = max(1, cost.calls - cost.cached)
        table.add_row(
            output.plain(cost.of),
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


@click.command(
    "calls",
    epilog=example("memory calls --outcome unusable", "memory calls --user ana --limit 5 --json"),
)
@click.option("--user", help="Only over this user's log.")
@click.option("--outcome", type=click.Choice([o.value for o in Outcome]), help="Only these.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@tenant_option
@json_option
def calls_command(
    user: str | None, outcome: str | None, limit: int, tenant: str, as_json: bool
) -> None:
    """List the newest model calls; of an unusable answer also what it said."""
    found = run(_calls, configured(), tenant, user, outcome, limit)
    output.answer(found, as_json, lambda: _calls_table(found))


async def _calls(
    settings: Settings, tenant: str, user: str | None, outcome: str | None, limit: int
) -> Sequence[Called]:
    async with worker_database(settings) as database:
        return await read_calls(database, tenant, user, outcome, limit)


def _calls_table(found: Sequence[Called]) -> RenderableType:
    if not found:
        return Text("no model was called")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("when", "user", "session", "task", "model", "outcome"):
        table.add_column(name)
    table.add_column("kept", justify="right")
    table.add_column("refused, or what it said", ratio=1)
    for call in found:
        refused = ", ".join(f"{n} {why}" for why, n in sorted((call.refused or {}).items()))
        table.add_row(
            call.called_at[:19].replace("T", " "),
            output.plain(call.user_id),
            output.plain(call.session_id or ""),
            call.task,
            call.model,
            f"{call.outcome}{' (cached)' if call.cached else ''}",
            "" if call.kept is None else str(call.kept),
            Text(output.one_line(call.answer or refused, 300)),
        )
    return table


@click.group(
    "prompts",
    epilog=example(
        "memory prompts list", "memory prompts show extract", "memory prompts diff extract"
    ),
)
def prompts_command() -> None:
    """Show the prompts of this release beside those that were used. Each takes --json."""


@dataclass(frozen=True, slots=True)
class PromptState:
    """A prompt of this release, or of the store's past.

    state: `current` (used as it reads), `unused` (not yet), `changed` (the store knows another text
        of this version, and will refuse this one) or `past`.
    """

    name: str
    version: str
    hash: str
    answer: str | None
    state: str
    first_used: str | None


@prompts_command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List every prompt with its version, hash and state."""
    found = _states(run(_used, configured()))
    output.answer(found, as_json, lambda: _states_table(found))


def _states(used: Rows) -> list[PromptState]:
    past = {(row["name"], row["version"]): row for row in used}
    found = []
    for prompt in prompts().values():
        row = past.pop((prompt.name, prompt.version), None)
        state = "unused" if row is None else "current"
        if row is not None and row["hash"] != prompt.hash:
            state = "changed"
        first = row["first_used"].isoformat() if row else None
        answer = prompt.answer.__name__
        found.append(PromptState(prompt.name, prompt.version, prompt.hash, answer, state, first))
    for (name, version), row in past.items():
        first = row["first_used"].isoformat()
        found.append(PromptState(name, version, row["hash"], None, "past", first))
    return sorted(found, key=lambda p: (p.name, p.first_used or "9"))


def _states_table(found: Sequence[PromptState]) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("prompt", "version", "hash", "answer", "state", "first used"):
        table.add_column(name)
    for prompt in found:
        table.add_row(
            prompt.name,
            prompt.version,
            prompt.hash[:12],
            prompt.answer or "",
            prompt.state,
            (prompt.first_used or "")[:10],
        )
    return table


@prompts_command.command("show")
@click.argument("name")
@click.option("--version", help="As the store first used it; else as this release has it.")
@json_option
def show_command(name: str, version: str | None, as_json: bool) -> None:
    """Print a prompt as its file reads."""
    source = _shipped(name).source if version is None else _stored(name, version)
    output.answer({"name": name, "source": source}, as_json, lambda: Text(output.plain(source)))


@prompts_command.command("diff")
@click.argument("name")
@click.option("--version", help="Against this version; else the one that was used last.")
@json_option
def diff_command(name: str, version: str | None, as_json: bool) -> None:
    """Show what this release changes of a prompt as it was used."""
    prompt = _shipped(name)
    before = _stored(name, version)
    lines = difflib.unified_diff(
        before.splitlines(), prompt.source.splitlines(), "used", "this release", lineterm=""
    )
    text = "\n".join(lines)
    output.answer(
        {"name": name, "diff": text}, as_json, lambda: Text(output.plain(text) or "no change")
    )


def _shipped(name: str) -> Prompt:
    if name not in prompts():
        raise InvalidInput(f"no prompt is called {name!r}; there are {', '.join(prompts())}")
    return prompts()[name]


def _stored(name: str, version: str | None) -> str:
    rows = [row for row in run(_used, configured()) if row["name"] == name]
    found = [row for row in rows if version in (None, row["version"])]
    if not found:
        versions = ", ".join(row["version"] for row in rows) or "none"
        raise InvalidInput(
            f"version {version!r} of prompt {name!r} was never used here; used: {versions}"
        )
    return str(found[-1]["text"])


async def _used(settings: Settings) -> Rows:
    async with worker_database(settings) as database:
        return await database.fetch_system("models.prompts")
