"""`memory retire`: removes a generation and all its memories."""

import click
from rich.text import Text

from consumers.cli import output
from consumers.cli.generation_options import generation_argument
from consumers.cli.options import (
    configured,
    example,
    json_option,
    run,
)
from consumers.generations.registry import (
    Generation,
    Retired,
    find_generation,
    retire,
)
from consumers.store import worker_database
from memory.settings import Settings


@click.command("retire", epilog=example("memory retire first"))
@generation_argument
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
def retire_command(name: str, yes: bool, as_json: bool) -> None:
    """Remove a shadow and all its memories permanently.

    No other command on generations deletes anything. After a stop, run it again to continue.
    """
    settings = configured()
    generation = run(_found, settings, name)
    if not yes:
        click.confirm(
            f"Remove all memories of generation {generation.name!r}?", abort=True, err=True
        )
    done = run(_retire, settings, name)
    output.answer(done, as_json, lambda: _retired(done))


async def _found(settings: Settings, name: str) -> Generation:
    async with worker_database(settings) as database:
        return await find_generation(database, name)


async def _retire(settings: Settings, name: str) -> Retired:
    with output.progress("removing", "memories", None) as advance:
        async with worker_database(settings) as database:
            return await retire(database, name, lambda so_far: advance(so_far.memories))


def _retired(done: Retired) -> Text:
    memories = f"{done.memories:,} memor{'y' if done.memories == 1 else 'ies'}"
    return Text(f"{done.generation} is retired; {memories} removed")
