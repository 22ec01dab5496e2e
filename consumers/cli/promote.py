"""`memory promote`: makes a generation that serves all users the live one."""

import click
from rich.text import Text

from consumers.cli import output
from consumers.cli.generation_options import Moved, generation_argument
from consumers.cli.options import (
    configured,
    example,
    json_option,
    run,
)
from consumers.generations.registry import (
    promote,
)
from consumers.store import worker_database
from memory.settings import Settings


@click.command("promote", epilog=example("memory promote spring"))
@generation_argument
@json_option
def promote_command(name: str, as_json: bool) -> None:
    """Make a generation that serves all users the live one.

    The generation before it stays as a shadow that is kept up. Until it is retired, `memory shift`
    can go back to it.
    """
    moved = run(_promote, configured(), name)
    output.answer(moved, as_json, lambda: _promoted(moved))


async def _promote(settings: Settings, name: str) -> Moved:
    async with worker_database(settings) as database:
        return Moved(*await promote(database, name))


def _promoted(moved: Moved) -> Text:
    before = moved.before.name if moved.before else ""
    return Text(
        f"{moved.generation.name} is live; {before} is kept up until `memory retire {before}`"
    )
