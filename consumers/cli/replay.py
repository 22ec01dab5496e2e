"""`memory replay`: derives a generation from the log beside the live one."""

from datetime import UTC, datetime

import click
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import (
    any_tenant_option,
    configured,
    example,
    fail_on,
    json_option,
    names,
    run,
)
from consumers.replay.replay import (
    Pace,
    Replay,
    Replayed,
    ReplayFilter,
    begun,
)
from consumers.store import open_worker
from memory.settings import Settings

DAY = click.DateTime(["%Y-%m-%d"])


@click.command(
    "replay",
    epilog=example(
        "memory replay --generation spring",
        "memory replay --generation plain --extractors episodes,statements --tenant acme",
        "memory replay --generation spring --users ana,tom --since 2026-01-01",
        "memory replay --generation spring --rate 200 --budget 50000",
        "memory replay --generation new --live-extractors episodes,statements,behaviour,procedures",
    ),
)
@click.option("--generation", "name", required=True, help="The shadow to derive or to continue.")
@click.option("--extractors", help="Extractors, comma-separated. Default: all installed.")
@click.option(
    "--live-extractors",
    help="Fix the live generation's extractors to these, whatever is installed later.",
)
@click.option("--users", help="Only these users, comma-separated.")
@click.option(
    "--since", type=DAY, help="Only users with interactions recorded since this day (UTC)."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="At most this many interactions per second.",
)
@click.option(
    "--budget", type=click.IntRange(min=1), help="At most this many interactions in this run."
)
@click.option(
    "--max-lag",
    type=click.FloatRange(min=0),
    default=Pace().max_lag,
    show_default=True,
    help="Pause while extraction is more than this many seconds behind.",
)
@any_tenant_option
@json_option
def replay_command(
    name: str,
    extractors: str | None,
    live_extractors: str | None,
    users: str | None,
    since: datetime | None,
    rate: float | None,
    budget: int | None,
    max_lag: float,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Derive a shadow generation from the log, beside the one that serves.

    It serves nobody before `memory shift`. After a stop, run the same command again to continue.
    Extraction of new interactions takes precedence.
    """
    part = ReplayFilter(tenant, names(users), since.replace(tzinfo=UTC) if since else None)
    pace = Pace(rate, budget, max_lag)
    made_by = names(extractors), names(live_extractors)
    done = run(_replay, configured(), name, made_by, part, pace)
    output.answer(done, as_json, lambda: _replayed(done))
    fail_on(done.failures)


async def _replay(
    settings: Settings,
    name: str,
    made_by: tuple[list[str] | None, list[str] | None],
    part: ReplayFilter,
    pace: Pace,
) -> Replayed:
    with output.progress("replaying", "interactions", None) as advance:
        async with open_worker(settings) as worker:
            generation = await begun(worker, name, *made_by)
            replay = Replay(
                worker.database,
                worker,
                generation,
                settings,
                pace=pace,
                progress=lambda so_far: advance(so_far.interactions),
            )
            return await replay.run(part)


def _replayed(done: Replayed) -> Text:
    lines = [
        f"generation {done.generation}: {output.counted(done.users, 'user')},"
        f" {output.counted(done.interactions, 'interaction')} in {done.seconds:.1f} s"
        f" ({output.per_second(done.interactions, done.seconds)})",
        f"memories made: {output.tally(done.memories)}",
    ]
    if done.fallbacks:
        lines.append(
            f"{output.counted(done.fallbacks, 'session')} read without the model; run"
            " `memory extract --upgrade`, then this again"
        )
    if done.waited:
        lines.append(f"paused for {done.waited:.1f} s")
    if done.spent:
        lines.append("the budget is used up; run it again to continue")
    elif done.left:
        lines.append(f"{output.counted(done.left, 'user')} not finished; run it again to continue")
    return Text("\n".join(lines))
