"""`memory shift`: lets a replayed generation serve a share of the users."""

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
    Generation,
)
from consumers.replay.rollout import shift
from consumers.store import open_worker
from memory.settings import Settings


@click.command(
    "shift",
    epilog=example("memory shift spring --percent 10", "memory shift spring --percent 100"),
)
@generation_argument
@click.option("--percent", type=click.IntRange(1, 100), required=True, help="Percentage of users.")
@json_option
def shift_command(name: str, percent: int, as_json: bool) -> None:
    """Let a replayed generation serve a share of the users.

    A fixed hash of tenant and user selects them, so raising the percentage moves nobody back. The
    generation catches up first, and is kept up from then on.
    """
    moved = run(_shift, configured(), name, percent)
    output.answer(moved, as_json, lambda: _shifted(moved.generation))


async def _shift(settings: Settings, name: str, percent: int) -> Moved:
    with output.progress("catching up", "interactions", None) as advance:
        async with open_worker(settings) as worker:
            generation, done = await shift(
                worker,
                settings,
                name,
                percent,
                progress=lambda so_far: advance(so_far.interactions),
            )
            return Moved(generation, caught_up=done)


def _shifted(generation: Generation) -> Text:
    back = "`memory rollback` gives them back at once"
    return Text(f"{generation.name} serves {generation.percent} % of the users; {back}")
