"""`memory prompts`: compares the prompts of this release with those used in this store."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

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
)
from consumers.runtime.terminal import plain
from consumers.store import operators_view
from extractors.language_model.prompts import Prompt, prompts
from memory.database.pipeline import Rows
from memory.errors import InvalidInput
from memory.settings import Settings


@click.group(
    "prompts",
    epilog=example(
        "memory prompts list", "memory prompts show extract", "memory prompts diff extract"
    ),
)
def prompts_command() -> None:
    """Compare the prompts of this release with those used in this store. Each takes --json."""


@dataclass(frozen=True, slots=True)
class PromptState:
    """A prompt of this release, or of the store's past.

    state: `current` (used in this version), `unused` (not used yet), `changed` (the store has
        another text for this version, and refuses this one) or `past`.
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
@click.option("--version", help="The version that this store used. Default: this release's.")
@json_option
def show_command(name: str, version: str | None, as_json: bool) -> None:
    """Print the file of a prompt."""
    source = _shipped(name).source if version is None else _stored(name, version)
    output.answer({"name": name, "source": source}, as_json, lambda: Text(plain(source)))


@prompts_command.command("diff")
@click.argument("name")
@click.option("--version", help="Compare with this version. Default: the one used last.")
@json_option
def diff_command(name: str, version: str | None, as_json: bool) -> None:
    """Show what this release changes in a prompt."""
    prompt = _shipped(name)
    before = _stored(name, version)
    lines = difflib.unified_diff(
        before.splitlines(), prompt.source.splitlines(), "used", "this release", lineterm=""
    )
    text = "\n".join(lines)
    output.answer({"name": name, "diff": text}, as_json, lambda: Text(plain(text) or "no change"))


def _shipped(name: str) -> Prompt:
    if name not in prompts():
        raise InvalidInput(f"no prompt is called {name!r}; prompts: {', '.join(prompts())}")
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
    async with operators_view(settings) as database:
        return await database.fetch_system("models.prompts")
