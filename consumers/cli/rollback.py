"""`memory rollback`: gives every user back to the live generation."""

import click
from rich.text import Text

from consumers.cli import output
from consumers.cli.generation_options import Moved
from consumers.cli.options import (
    configured,
    example,
    json_option,
    run,
)
from consumers.replay.rollout import take_back
from consumers.store import worker_database
from memory.settings import Settings


@click.command("rollback", epilog=example("memory rollback"))
@json_option
def rollback_command(as_json: bool) -> None:
    """Give every user back to the live generation, at once.

    The shadow keeps its memories and is no longer kept up. Another shift to it catches up first.
    """
    moved = run(_roll_back, configured())
    output.answer(
        moved,
        as_json,
        lambda: Text(f"the live generation serves everybody; {moved.generation.name} is a shadow"),
    )


async def _roll_back(settings: Settings) -> Moved:
    async with worker_database(settings) as database:
        return Moved(await take_back(database))
