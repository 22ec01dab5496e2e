"""`memory demo`: runs a sample through the whole system and shows the result on one screen."""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic

import anyio
import click
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import configured, example, json_option
from consumers.demo import ASKING, Demonstration, Revision, demonstrate, own_store
from memory.models import Evidence, Stance

WIDTH = 100
LINES_OF_CONTEXT = 13
QUOTES = 4
LONGEST_TEXT = 280
_ARGUMENTS = re.compile(r"\([^()]*=[^()]*\)")  # of a tool call, in a procedure


@click.command("demo", epilog=example("memory demo", "memory demo --keep ./demo-store"))
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the store in this new directory.",
)
@json_option
def demo_command(keep: Path | None, as_json: bool) -> None:
    """Run a sample through the whole system, and show what it remembers.

    The sample is a recruiting assistant and its users over several weeks. It runs in its own
    embedded store, which is removed at the end. Your store is not touched.
    """
    stderr = output.console(stderr=True)
    began = monotonic()
    with stderr.status("starting Postgres") as shown, own_store(configured(), keep) as settings:
        done = anyio.run(demonstrate, settings, shown.update)
        found = replace(done, seconds=round(monotonic() - began, 3))
        shown.stop()
        output.answer(found, as_json, lambda: demo_screen(found, keep))


def demo_screen(found: Demonstration, keep: Path | None = None) -> RenderableType:
    """Draws one screen: at most 50 lines of 100 columns."""
    panels = [
        _panel("What came in", _intake(found)),
        _panel("What is remembered", _tiers(found)),
        _panel("A context for a new question", _context(found)),
        _panel("A belief that gave way", _revision(found.revision)),
        _panel("Inferred, not said", _inferred(found)),
    ]
    return Group(*panels, _next(found, keep))


def _panel(title: str, body: RenderableType) -> Panel:
    return Panel(body, title=Text(title), title_align="left", width=WIDTH, border_style="cyan")


def _line(text: str, style: str = "") -> Text:
    return Text(output.one_line(text), style, no_wrap=True, overflow="ellipsis")


def _rows(*rows: tuple[str, RenderableType]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True, min_width=11)
    grid.add_column()
    for label, body in rows:
        grid.add_row(label, body)
    return grid


def _intake(found: Demonstration) -> RenderableType:
    intake, done = found.intake, found.intake.extracted
    recorded = (
        f"{output.counted(intake.report.read, 'interaction')} of"
        f" {output.counted(intake.users, 'user')} in {output.counted(intake.sessions, 'session')},"
        f" in {intake.seconds:.2f} s ({output.per_second(intake.report.read, intake.seconds)})"
    )
    made = sum(done.memories.values())
    return _rows(
        ("recorded", _line(recorded)),
        ("of kind", _line(output.tally(intake.kinds))),
        ("extracted", _line(f"{made} memories in {done.seconds:.1f} s")),
        ("made by", _line(output.tally(done.memories))),
    )


def _tiers(found: Demonstration) -> RenderableType:
    status, insight = found.status, found.insight
    kinds: dict[str, int] = {}
    for count in status.long_term:
        kinds[count.kind] = kinds.get(count.kind, 0) + count.memories
    collective = "nothing yet: several users must independently support the same belief"
    if insight:
        together = sum(count.memories for count in status.collective)
        collective = f"{together}, such as “{insight.text}” (k = {insight.support} users)"
    return _rows(
        ("working", _line(f"{status.sessions_open} open sessions, each with its recent turns")),
        ("long-term", _line(output.tally(kinds))),
        ("collective", Text(output.one_line(collective, LONGEST_TEXT))),
        ("compaction", _line(output.tally(found.compaction) if found.compaction else "not run")),
    )


def _context(found: Demonstration) -> RenderableType:
    context = found.context
    lines = [line for line in context.text.splitlines() if line]
    body = [_line(line, "bold" if line.startswith("## ") else "") for line in lines]
    if len(body) > LINES_OF_CONTEXT:
        left = len(body) - LINES_OF_CONTEXT + 1
        body = [*body[: LINES_OF_CONTEXT - 1], _line(f"… and {left} more lines", "dim")]
    best = sorted(found.citations, key=lambda one: one.score, reverse=True)[:QUOTES]
    cited = [
        (f"[{one.marker}]", _quote(one.evidence))
        for one in sorted(best, key=lambda one: one.marker)
    ]
    return Group(
        _line(f"“{context.query}”", "italic"),
        *body,
        _line(f"{context.tokens} of {context.budget} tokens. Best citations:", "dim"),
        _rows(*cited),
    )


def _quote(evidence: Sequence[Evidence]) -> Text:
    """The first quote that supports a memory."""
    supporting = [one for one in evidence if one.stance is Stance.SUPPORTS]
    return _line(output.quoted(supporting[0])) if supporting else _line("")


def _revision(revision: Revision | None) -> RenderableType:
    if revision is None:
        return _line("none in this store", "dim")
    first, ended, successor = revision.first, revision.ended, revision.successor.memory
    return _rows(
        ("was", _line(f"{first.text}, since {output.day(first.valid_from)} (memory {first.id})")),
        ("now", _line(f"{successor.text}, since {output.held(successor)} (memory {successor.id})")),
        ("past", _line(f"{ended.text}, {output.held(ended)} (memory {ended.id})")),
        ("because", _quote(revision.successor.evidence)),
    )


def _inferred(found: Demonstration) -> RenderableType:
    rows: list[tuple[str, RenderableType]] = []
    for label, shown in (("preference", found.preference), ("procedure", found.procedure)):
        if shown is None:
            rows.append((label, _line("none in this store", "dim")))
            continue
        memory, evidence = shown.explanation.memory, shown.explanation.evidence
        sources = output.counted(len(evidence), "interaction")
        said = _ARGUMENTS.sub("", memory.text)
        text = f"{shown.user}: {said} Confidence {memory.confidence:.2f}, from {sources}."
        rows.append((label, Text(output.one_line(text, LONGEST_TEXT))))
    return _rows(*rows)


def _command() -> str:
    """How this program is called here: `make demo` has it in an environment off the PATH."""
    if shutil.which("memory"):
        return "memory"
    beside = Path(sys.executable).with_name("memory")
    return os.path.relpath(beside) if beside.exists() else "python -m consumers"


def _next(found: Demonstration, keep: Path | None) -> RenderableType:
    command = _command()
    commands = (
        f"{command} demo --keep ./demo-store",
        f'{command} record "I live in Munich" --user me && {command} extract',
    )
    if keep:
        where = f"MEMORY_DATA_DIR={keep} {command}"
        scope = f"--tenant {found.status.tenant} --user {ASKING.user}"
        memory = found.context.citations[0].memory if found.context.citations else 1
        commands = (
            f"{where} explain {memory} {scope}",
            f'{where} recall "shortlist" {scope}',
        )
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(style="bold")
    labels = (f"{found.seconds:.1f} s. Next:", "")
    for label, command in zip(labels, commands, strict=True):
        grid.add_row(label, Text(command))
    return grid
