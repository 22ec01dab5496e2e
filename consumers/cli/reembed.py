"""`memory reembed`: moves the store to another embedder while it serves."""

import click
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import (
    configured,
    example,
    json_option,
    run,
)
from consumers.operations.reembedding import Reembedded, Reembedding
from consumers.store import worker_database
from memory.embedding import create_embedder
from memory.settings import Settings


@click.command(
    "reembed",
    epilog=example(
        "MEMORY_EMBEDDER=openai:text-embedding-3-small memory reembed",
        "memory reembed --drop-old",
    ),
)
@click.option("--batch", type=click.IntRange(min=1), default=200, help="Texts to embed at a time.")
@click.option("--drop-old", is_flag=True, help="Delete the vectors that no longer serve.")
@json_option
def reembed_command(batch: int, drop_old: bool, as_json: bool) -> None:
    """Move the store to the embedder that MEMORY_EMBEDDER names.

    The old vectors serve until the new ones are complete. After an interruption, run the command
    again to continue. Afterwards, restart apps and workers with the new setting.
    """
    done = run(_reembed, configured(), batch, drop_old)
    output.answer(done, as_json, lambda: _reembedded(done))


async def _reembed(settings: Settings, batch: int, drop_old: bool) -> Reembedded:
    embedder = create_embedder(settings)
    try:
        with output.progress("embedding", "memories", None) as advance:
            async with worker_database(settings) as database:
                work = Reembedding(
                    database,
                    embedder,
                    batch=batch,
                    progress=lambda so_far: advance(so_far.memories),
                )
                return await work.run(drop_old=drop_old)
    finally:
        await embedder.aclose()


def _reembedded(done: Reembedded) -> Text:
    replaced = f", in place of {done.replaced}" if done.replaced else ""
    made = f"{output.counted(done.memories, 'vector')} made"
    return Text(f"{made}; {done.embedder} serves{replaced}")
