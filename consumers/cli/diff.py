"""`memory diff`: compares two generations, in a terminal, as JSON, or as an HTML page."""

from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from consumers.cli import html_report, output
from consumers.cli.options import (
    any_tenant_option,
    configured,
    example,
    json_option,
    names,
    run,
)
from consumers.generations.registry import find_generation
from consumers.replay.comparison import (
    EXAMPLES,
    Compare,
    Comparison,
    Difference,
    GenerationQuality,
    MemoryChange,
    MemoryVersion,
    measures,
    read_questions,
    spell,
)
from consumers.store import operators_view
from memory.beliefs.long_term import LongTermReader
from memory.embedding import create_embedder
from memory.models import MemoryKind
from memory.recall.search import Recaller
from memory.settings import Settings

SIGNS = {
    MemoryChange.ADDED: "+",
    MemoryChange.LOST: "-",
    MemoryChange.CHANGED: "~",
    MemoryChange.REDATED: "@",
}
COLOURS = {
    MemoryChange.ADDED: "green",
    MemoryChange.LOST: "red",
    MemoryChange.CHANGED: "yellow",
    MemoryChange.REDATED: "cyan",
}
TEXT_CHARACTERS = 160


@click.command(
    "diff",
    epilog=example(
        "memory diff first spring",
        "memory diff first spring --tenant acme --users ana,tom --examples 20",
        "memory diff first spring --questions questions.jsonl --html diff.html",
        "memory diff first spring --json",
    ),
)
@click.argument("before")
@click.argument("after")
@click.option("--users", help="Only these users, comma-separated.")
@click.option(
    "--questions",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON lines of tenant, user, query and evidence: measure how much each generation finds.",
)
@click.option(
    "--examples",
    type=click.IntRange(min=0),
    default=EXAMPLES,
    show_default=True,
    help="Examples to show of each change of each kind.",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write a self-contained HTML page to this file.",
)
@any_tenant_option
@json_option
def diff_command(
    before: str,
    after: str,
    users: str | None,
    questions: Path | None,
    examples: int,
    html: Path | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Compare the memories of two generations: BEFORE, such as the live one, and AFTER.

    Memories about the same subject are compared. `changed` means different content; `re-dated`
    means the same content with other times. The command also checks the quotes of both generations
    against the log.
    """
    done = run(_compare, configured(), before, after, tenant, names(users), questions, examples)
    if html is not None:
        html.write_text(html_report.drawn(done), encoding="utf-8")
    output.answer(document(done), as_json, lambda: _shown(done))


async def _compare(
    settings: Settings,
    before: str,
    after: str,
    tenant: str | None,
    users: list[str] | None,
    questions: Path | None,
    examples: int,
) -> Comparison:
    with output.progress("comparing", "users", None) as advance:
        async with operators_view(settings) as database:
            compare = Compare(
                database,
                await find_generation(database, before),
                await find_generation(database, after),
                language=settings.language,
                examples=examples,
                progress=lambda so_far: advance(so_far.users),
            )
            done = await compare.run(tenant, users)
            if questions is not None:
                embedder = create_embedder(settings)
                try:
                    long_term = LongTermReader(database, embedder)
                    recaller = Recaller(database, long_term, embedder, settings.language)
                    await compare.ask(recaller, read_questions(questions))
                finally:
                    await embedder.aclose()
            return done


def document(done: Comparison) -> dict[str, object]:
    """Returns the comparison for JSON."""
    return {
        "before": standing_document(done.before),
        "after": standing_document(done.after),
        "users": done.users,
        "questions": done.questions,
        "different": done.different,
        "same": done.same,
        "changes": done.changes,
        "examples": done.examples,
    }


def standing_document(standing: GenerationQuality) -> dict[str, object]:
    """Returns one side of it: counts, and the quality of its memories, in all and by maker."""
    return {
        "generation": standing.generation,
        "memories": standing.memories,
        "duplicates": standing.duplicates,
        "contested": standing.contested,
        "found": standing.found,
        "spent": standing.spent,
        "quality": {"score": standing.quality.score, "of": standing.quality},
        "makers": [{"score": m.score, "of": m} for _, m in sorted(standing.makers.items())],
    }


def _shown(done: Comparison) -> RenderableType:
    parts: list[RenderableType] = [_counts(done), Text(), _standings(done)]
    for kind in MemoryKind:
        shown = [d for d in done.examples if d.kind is kind]
        if shown:
            parts += [Text(), Text(f"{kind}", style="bold"), *_examples(shown)]
    return Group(*parts)


def _counts(done: Comparison) -> RenderableType:
    before, after = output.label(done.before.generation), output.label(done.after.generation)
    of = f"{before} → {after}, {output.counted(done.users, 'user')}"
    if not done.different:
        return Text(f"{of}: no difference in {done.before.memories:,} current memories")
    table = Table(title=of, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in ("kind", "same", *MemoryChange):
        table.add_column(str(column), justify="left" if column == "kind" else "right")
    for kind in MemoryKind:
        counts = done.changes.get(kind, {})
        if counts or kind in done.same:
            cells = (f"{counts.get(change, 0):,}" for change in MemoryChange)
            table.add_row(kind.value, f"{done.same.get(kind, 0):,}", *cells)
    return table


def _standings(done: Comparison) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", style="dim")
    for standing in (done.before, done.after):
        table.add_column(output.label(standing.generation), justify="right")
    for name, before, after in measures(done):
        table.add_row(output.label(name), before, after)
    return table


def _examples(shown: Sequence[Difference]) -> list[RenderableType]:
    return [
        Text.assemble(
            (f"{SIGNS[each.change]} {each.change:<8} ", COLOURS[each.change]),
            output.label(f"{each.tenant}/{each.user}  "),
            _told(each),
        )
        for each in shown
    ]


def _told(difference: Difference) -> str:
    before, after = difference.before, difference.after
    if difference.change is MemoryChange.REDATED and before and after:
        return f"{_said(after)}  {spell(before)} → {spell(after)}"
    return "  →  ".join(f"{_said(side)} ({spell(side)})" for side in (before, after) if side)


def _said(side: MemoryVersion) -> str:
    return output.one_line(side.text, TEXT_CHARACTERS)
