"""Prints the output of commands: one JSON document, or text for people."""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click
from pydantic_core import to_jsonable_python
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from consumers.extraction.derivation import ExtractionReport
from consumers.runtime import logs
from consumers.runtime.terminal import plain, printable_json
from memory.context.assembly import Context
from memory.context.rendering import origin_json
from memory.models import Evidence, Explanation, Memory, Recall

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)  # what a command says is for whoever called it

QUOTE_CHARACTERS = 300
PIPED_WIDTH = 120


def answer(document: object, as_json: bool, shown: Callable[[], RenderableType]) -> None:
    """Prints `document` as JSON, or else the result of `shown`, to stdout."""
    if as_json:
        say_json(json.dumps(to_jsonable_python(document), ensure_ascii=False))
    else:
        console().print(shown())


def console(*, stderr: bool = False) -> Console:
    """Returns a console that prints text as it is: brackets in a memory are not markup."""
    made = SafeConsole(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = PIPED_WIDTH
    return made


class SafeConsole(Console):
    """A console on which only its own styles control the terminal, whatever text it is given."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else plain(text), style, control)


def say_json(document: str) -> None:
    """Prints a JSON document to stdout."""
    click.echo(printable_json(document))


def say(message: str) -> None:
    """Prints one line to stderr; as a log line where all of stderr is JSON."""
    if logs.as_json():
        logger.info("%s", message, extra={"event": "said"})
    else:
        click.echo(plain(message), err=True)


def warn_of_stale(fresh: bool, waited: float, missing: str) -> None:
    """Warns on stderr if an answer does not reflect the receipt it waited for."""
    if not fresh:
        say(f"not fresh after {waited:.1f} s; is `{missing}` running?")


def label(text: str) -> str:
    """Returns a name or an id on one line: a line break in it cannot begin a line of its own."""
    return "".join("\N{REPLACEMENT CHARACTER}" if c in "\t\n" else c for c in plain(text))


def one_line(text: str, limit: int | None = None) -> str:
    """Returns the text as one plain line, cut at `limit` characters."""
    line = plain(" ".join(text.split()))
    return line if limit is None or len(line) <= limit else line[: limit - 1] + "…"


def for_stdout(text: str) -> str:
    """Returns prompt text unchanged for a pipe, and plain for a terminal."""
    return plain(text) if sys.stdout.isatty() else text


@contextmanager
def progress(what: str, unit: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Shows a progress bar on stderr, if that is a terminal; call it with the count so far."""
    stderr = console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else ""


def held(memory: Memory) -> str:
    """Returns the days between which a memory holds in the world."""
    until = f" to {day(memory.valid_to)}" if memory.valid_to else ""
    return f"{day(memory.valid_from)}{until}"


def quoted(evidence: Evidence) -> str:
    said = one_line(evidence.quote, QUOTE_CHARACTERS)
    known = ", ".join(part for part in (evidence.origin, evidence.source) if part)
    whence = f" ({label(known)})" if known else ""
    return f"{day(evidence.occurred_at)} {label(evidence.interaction_id)}{whence}: “{said}”"


def recall_json(found: Recall) -> dict[str, Any]:
    """Returns an answer as JSON values, with the trust of each memory."""
    document: dict[str, Any] = to_jsonable_python(found)
    for item, shown in zip(found.items, document["items"], strict=True):
        shown["memory"].update(origin_json(item.memory.origin))
    return document


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """Returns an explanation as JSON values, with the trust of each memory and its evidence."""
    document: dict[str, Any] = to_jsonable_python(explanation)
    for name in ("memory", "supersedes", "superseded_by"):
        if memory := getattr(explanation, name):
            document[name].update(origin_json(memory.origin))
    for evidence, shown in zip(explanation.evidence, document["evidence"], strict=True):
        shown.update(origin_json(evidence.origin))
    return document


def recalled(found: Recall) -> RenderableType:
    if not found.items:
        return Text(
            f"no memories found (position {found.position});"
            " `memory extract` derives memories from new interactions"
        )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("score", "id", "kind", "when"):
        table.add_column(name, no_wrap=True, justify="right" if name in {"score", "id"} else "left")
    table.add_column("memory", ratio=1)
    table.add_column("cites", style="dim")
    for item in found.items:
        memory = item.memory
        table.add_row(
            f"{item.score:.2f}",
            str(memory.id),
            memory.kind.value,
            day(memory.valid_from or memory.occurred_at),
            Text(plain(memory.text + (f" ({memory.disputed})" if memory.contested else ""))),
            Text(plain(" ".join(item.citations))),
        )
    return table


def cited(context: Context) -> str:
    """Returns the size of a context and its citations, one on a line."""
    lines = [f"{context.tokens} of {context.budget} tokens, position {context.position}"]
    lines += [
        f"[{c.marker}] memory {c.memory} ({c.tier}) from {plain(', '.join(c.interaction_ids))}"
        for c in context.citations
    ]
    return "\n".join(lines)


def explained(explanation: Explanation) -> RenderableType:
    memory = explanation.memory
    made = memory.provenance
    by = f"{made.extractor} {made.extractor_version}"
    if made.model:
        by += f", model {made.model}, prompt {made.prompt} {made.prompt_version}"
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    grid.add_row("memory", Text(f"{memory.id}  {plain(memory.text)}", style="bold"))
    grid.add_row("kind", f"{memory.kind}, confidence {memory.confidence:.2f}")
    grid.add_row("holds", held(memory))
    believed = f"from {memory.believed_from:%Y-%m-%d %H:%M}" if memory.believed_from else ""
    ended = f" to {memory.believed_to:%Y-%m-%d %H:%M}" if memory.believed_to else ""
    grid.add_row("believed", believed + ended)
    grid.add_row("made by", plain(by))
    if memory.origin and memory.trust is not None:
        trust = memory.trust.name.lower().replace("_", " ")
        grid.add_row("origin", f"{memory.origin.replace('_', ' ')}, {trust}")
    for evidence in explanation.evidence:
        grid.add_row(evidence.stance.value, quoted(evidence))
    for retraction in explanation.retractions:
        grid.add_row("retraction", plain(f"{retraction.interaction_id} {retraction}"))
    if memory.contested:
        grid.add_row("disputed", plain(", ".join(memory.contested)))
    if memory.decided:
        grid.add_row("dispute", plain(memory.decided))
    for label, other in (
        ("replaced", explanation.supersedes),
        ("replaced by", explanation.superseded_by),
    ):
        if other:
            grid.add_row(label, f"{other.id}  {one_line(other.text)} ({held(other)})")
    return grid


def counted(count: int, thing: str) -> str:
    """Returns `1 session`, `2 sessions`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def per_second(count: int, seconds: float) -> str:
    return f"{count / seconds:,.0f}/s" if seconds > 0 else "-"


def tally(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())) or "none"


def extracted(done: ExtractionReport) -> Text:
    without = f"\n{counted(done.fallbacks, 'session')} read without the model; see `memory status`"
    return Text(
        f"extracted {counted(done.interactions, 'interaction')} of"
        f" {counted(done.sessions, 'session')}, {counted(done.users, 'user')}"
        f" in {done.seconds:.1f} s"
        f" ({per_second(done.interactions, done.seconds)})\n"
        f"memories made: {tally(done.memories)}; {done.reinforced:,} reinforced,"
        f" {done.closed:,} closed{without if done.fallbacks else ''}"
    )
