"""`memory generations`: lists the generations and the users they serve."""

from dataclasses import dataclass

import click
from rich.console import RenderableType
from rich.table import Table

from consumers.cli import output
from consumers.cli.options import (
    configured,
    example,
    json_option,
    run,
)
from consumers.generations.registry import (
    Coverage,
    Generation,
    State,
    coverage,
    extractor_list,
    fallback_sessions,
    read_generations,
    shares_of,
)
from consumers.store import operators_view
from memory.settings import Settings


@dataclass(frozen=True, slots=True)
class Listed:
    """A generation and, for a shadow, how far it has come.

    fallback_sessions: how many sessions it read without the model that is configured.
    """

    generation: Generation
    coverage: Coverage | None
    fallback_sessions: int = 0


@click.command("generations", epilog=example("memory generations", "memory generations --json"))
@json_option
def generations_command(as_json: bool) -> None:
    """List the generations: their extractors, the share of users they serve, their progress."""
    found = run(_listed, configured())
    output.answer(found, as_json, lambda: _generations(found))


async def _listed(settings: Settings) -> list[Listed]:
    async with operators_view(settings) as database:
        fallbacks = await fallback_sessions(database)
        return [
            Listed(
                g,
                await coverage(database, g) if g.state is State.SHADOW else None,
                fallbacks.get(g.name, 0),
            )
            for g in await read_generations(database)
        ]


def _generations(found: list[Listed]) -> RenderableType:
    """A line a generation; with a column of sessions read without the model where there are any."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("generation", "state", "serves", "users derived", "kept up"):
        table.add_column(column, no_wrap=True)
    marked = any(each.fallback_sessions for each in found)
    if marked:
        table.add_column("without model", no_wrap=True)
    table.add_column("made by", ratio=1)
    shares = shares_of([each.generation for each in found])
    for each in found:
        one, come = each.generation, each.coverage
        share = shares.get(one.name)
        fallbacks = each.fallback_sessions
        table.add_row(
            output.label(one.name),
            one.state.value,
            f"{share} %" if share else "",
            f"{come.level:,} of {come.users:,}" if come else "",
            "yes" if one.followed else "",
            *([output.counted(fallbacks, "session") if fallbacks else ""] if marked else []),
            extractor_list(one.extractors),
        )
    return table
