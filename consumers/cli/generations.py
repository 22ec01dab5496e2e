"""`memory replay`, `shift`, `rollback`, `promote`, `retire`: memories under other extractors."""

from dataclasses import dataclass
from datetime import UTC, datetime

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import (
    any_tenant_option,
    configured,
    example,
    fail_on,
    json_option,
    run,
)
from consumers.generations.registry import (
    Coverage,
    Generation,
    Retired,
    State,
    coverage,
    extractor_list,
    find_generation,
    promote,
    read_generations,
    retire,
    shares_of,
)
from consumers.replay.replay import (
    Pace,
    Replay,
    Replayed,
    ReplayFilter,
    begun,
)
from consumers.replay.rollout import shift, take_back
from consumers.store import open_worker, worker_database
from memory.settings import Settings

DAY = click.DateTime(["%Y-%m-%d"])


def names(text: str | None) -> list[str] | None:
    """A comma-separated list; None for none given."""
    return [name.strip() for name in text.split(",") if name.strip()] if text else None


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
@click.option("--generation", "name", required=True, help="The shadow to derive, or to go on with.")
@click.option("--extractors", help="Made by these, comma-separated; else by all installed.")
@click.option(
    "--live-extractors",
    help="The live generation stays to be made by these, whatever is installed.",
)
@click.option("--users", help="Only these users, comma-separated.")
@click.option("--since", type=DAY, help="Only users with something recorded since that day, UTC.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Interactions a second.")
@click.option("--budget", type=click.IntRange(min=1), help="Interactions in this run, at most.")
@click.option(
    "--max-lag",
    type=click.FloatRange(min=0),
    default=Pace().max_lag,
    show_default=True,
    help="Pause while extraction is this many seconds behind.",
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

    Nobody is served from it before `memory shift`. Stopped at any time, the same command goes on
    where it was; extraction of new interactions always comes first.
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
    if done.waited:
        lines.append(f"held back for {done.waited:.1f} s")
    if done.spent:
        lines.append("the budget is used up; run it again to go on")
    elif done.left:
        lines.append(f"{output.counted(done.left, 'user')} not finished; run it again to go on")
    return Text("\n".join(lines))


@dataclass(frozen=True, slots=True)
class Listed:
    """A generation, and how far one beside the live one has come."""

    generation: Generation
    coverage: Coverage | None


@click.command("generations", epilog=example("memory generations", "memory generations --json"))
@json_option
def generations_command(as_json: bool) -> None:
    """List the generations: what made them, whom they serve, how far they have come."""
    found = run(_listed, configured())
    output.answer(found, as_json, lambda: _generations(found))


async def _listed(settings: Settings) -> list[Listed]:
    async with worker_database(settings) as database:
        return [
            Listed(g, await coverage(database, g) if g.state is State.SHADOW else None)
            for g in await read_generations(database)
        ]


def _generations(found: list[Listed]) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("generation", "state", "serves", "users derived", "kept up"):
        table.add_column(column, no_wrap=True)
    table.add_column("made by", ratio=1)
    shares = shares_of([each.generation for each in found])
    for each in found:
        one, come = each.generation, each.coverage
        share = shares.get(one.name)
        table.add_row(
            output.plain(one.name),
            one.state.value,
            f"{share} %" if share else "",
            f"{come.level:,} of {come.users:,}" if come else "",
            "yes" if one.followed else "",
            extractor_list(one.extractors),
        )
    return table


generation_argument = click.argument("name", metavar="GENERATION")


@dataclass(frozen=True, slots=True)
class Moved:
    """Where a generation stands after a move, and the one it took the place of."""

    generation: Generation
    before: Generation | None = None
    caught_up: Replayed | None = None


@click.command(
    "shift",
    epilog=example("memory shift spring --percent 10", "memory shift spring --percent 100"),
)
@generation_argument
@click.option("--percent", type=click.IntRange(1, 100), required=True, help="Of the users.")
@json_option
def shift_command(name: str, percent: int, as_json: bool) -> None:
    """Let a replayed generation serve a share of the users.

    Who is served by it is decided by a hash of tenant and user that never changes, so raising the
    percent moves nobody back. It catches up first, and is kept up from then on.
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


@click.command("rollback", epilog=example("memory rollback"))
@json_option
def rollback_command(as_json: bool) -> None:
    """Give every user back to the live generation, at once.

    The shadow stays as it is and is no longer kept up; shifting to it again catches up first.
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


@click.command("promote", epilog=example("memory promote spring"))
@generation_argument
@json_option
def promote_command(name: str, as_json: bool) -> None:
    """Make a generation that serves everybody the live one.

    The one before is kept up as a shadow, so that `memory shift` can go back to it, until it is
    retired.
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


@click.command("retire", epilog=example("memory retire first"))
@generation_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def retire_command(name: str, yes: bool, as_json: bool) -> None:
    """Remove a shadow and all the memories it made, for good.

    Nothing before this deletes anything. Stopped, it goes on when run again.
    """
    settings = configured()
    generation = run(_found, settings, name)
    if not yes:
        click.confirm(f"Remove all that generation {generation.name!r} made?", abort=True, err=True)
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
