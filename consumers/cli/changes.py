"""`memory changes`: publishes the changes of memories to other systems."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import monotonic

import click
from anyio import to_thread
from rich.console import RenderableType
from rich.text import Text

from consumers.changes import (
    KafkaSink,
    LineSink,
    Published,
    Publisher,
    Sink,
    StreamState,
    drop,
    snapshot,
    stream_state,
)
from consumers.cli import output
from consumers.cli.options import (
    any_tenant_option,
    configured,
    example,
    health_option,
    json_option,
    run,
    stopping_at_signals,
)
from consumers.runtime import logs
from consumers.runtime.health import Health, HealthAddress, answering
from consumers.store import operators_view, reached, store_probe, worker_database
from memory.settings import Settings


@click.group(
    "changes",
    epilog=example(
        "memory changes enable --snapshot",
        "memory changes publish --follow",
        "memory changes status --max-lag 60",
    ),
)
def changes_command() -> None:
    """Publish the changes of memories (added, superseded, forgotten) to other systems.

    After `enable`, every change is stored in the transaction that makes it, until `publish` has
    sent it. Keep `publish` running, or unsent changes accumulate. docs/changes.md describes a
    change.
    """


@changes_command.command(
    "enable", epilog=example("memory changes enable", "memory changes enable --snapshot")
)
@click.option("--snapshot", "told", is_flag=True, help="Also publish all current beliefs.")
@json_option
def enable_command(told: bool, as_json: bool) -> None:
    """Store changes from now on."""
    found = run(_enable, configured(), told)
    output.answer(found, as_json, lambda: _state(found))


async def _enable(settings: Settings, told: bool) -> StreamState:
    async with worker_database(settings) as database:
        await database.fetch_system("changes.enable")
        if told:
            await snapshot(database)
        return await stream_state(database)


@changes_command.command("disable")
@click.option(
    "--drop",
    "dropped",
    is_flag=True,
    help="Also delete the waiting changes without publishing them.",
)
@json_option
def disable_command(dropped: bool, as_json: bool) -> None:
    """Stop storing changes; listeners need a snapshot afterwards."""
    found = run(_disable, configured(), dropped)
    output.answer(found, as_json, lambda: _state(found))


async def _disable(settings: Settings, dropped: bool) -> StreamState:
    async with worker_database(settings) as database:
        await database.fetch_system("changes.disable")
        if dropped:
            await drop(database)
        return await stream_state(database)


@changes_command.command("status", epilog=example("memory changes status --max-lag 60"))
@click.option(
    "--max-lag",
    type=click.FloatRange(min=0),
    help="Exit with 1 if the lag exceeds this many seconds.",
)
@json_option
def status_command(max_lag: float | None, as_json: bool) -> None:
    """Show how many changes wait to be published."""
    found = run(_status, configured())
    output.answer(found, as_json, lambda: _state(found))
    if max_lag is not None and found.lag_seconds > max_lag:
        output.say(
            f"error: over the limit: lag {found.lag_seconds:,.0f} s (limit {max_lag:,.0f} s);"
            " run `memory changes publish --follow`"
        )
        click.get_current_context().exit(1)


async def _status(settings: Settings) -> StreamState:
    async with operators_view(settings) as database:
        return await stream_state(database)


@changes_command.command(
    "snapshot", epilog=example("memory changes snapshot", "memory changes snapshot --tenant acme")
)
@any_tenant_option
@json_option
def snapshot_command(tenant: str | None, as_json: bool) -> None:
    """Publish all current beliefs.

    A new listener needs them, and so do all listeners after a shift to another generation.
    """
    found = run(_snapshot, configured(), tenant)
    output.answer(found, as_json, lambda: _state(found))


async def _snapshot(settings: Settings, tenant: str | None) -> StreamState:
    async with worker_database(settings) as database:
        state = await stream_state(database)
        if not state.enabled:
            raise click.ClickException(
                "changes are not stored; run: memory changes enable --snapshot"
            )
        await snapshot(database, tenant)
        return await stream_state(database)


@changes_command.command(
    "publish",
    epilog=example("memory changes publish --follow", "memory changes publish --to - | jq .change"),
)
@click.option("--follow", is_flag=True, help="Keep running and publish, until stopped.")
@click.option(
    "--to",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Append JSON lines to this file, or - for stdout. Default: the Kafka topic of changes.",
)
@health_option
@json_option
def publish_command(follow: bool, to: Path | None, health: HealthAddress, as_json: bool) -> None:
    """Send the waiting changes.

    Each is deleted once it is acknowledged. Several of these may run: one publishes, and another
    takes over if it fails.
    """
    done = Published()
    settings = configured()
    if follow:
        logs.inform()
    told = Health("changes publish", store_probe(settings))
    with answering(told, health), stopping_at_signals() as stopped:
        run(_publish, settings, done, to, follow, told)
    if to is None or str(to) != "-" or as_json:
        output.answer(done, as_json, lambda: _published(done))
    if stopped.early and not follow:
        output.say("stopped before all was published; run it again to go on")
        click.get_current_context().exit(1)


async def _publish(
    settings: Settings, done: Published, to: Path | None, follow: bool, health: Health
) -> None:
    began = monotonic()
    opening = partial(worker_database, settings)
    async with (
        reached(opening, patient=follow, health=health) as database,
        _sink(settings, to) as sink,
    ):
        publisher = Publisher(database, sink)
        publisher.done, publisher.health = done, health
        try:
            await (publisher.follow() if follow else publisher.drain())
        finally:
            done.seconds = round(monotonic() - began, 3)


@asynccontextmanager
async def _sink(settings: Settings, to: Path | None) -> AsyncIterator[Sink]:
    if to is None:
        sink = KafkaSink(settings)
        try:
            yield sink
        finally:
            await sink.aclose()
    elif str(to) == "-":
        yield LineSink(sys.stdout.buffer)
    else:
        with await to_thread.run_sync(to.open, "ab") as file:
            yield LineSink(file)


def _published(done: Published) -> Text:
    return Text(f"published {output.counted(done.changes, 'change')} in {done.seconds:.1f} s")


def _state(found: StreamState) -> RenderableType:
    stored = "stored" if found.enabled else "not stored; run: memory changes enable"
    by = "a publisher is running" if found.published else "no publisher is running"
    return Text(
        f"changes are {stored}\n{output.counted(found.waiting, 'change')} of"
        f" {output.counted(found.users, 'user')} waiting, the oldest for {found.lag_seconds:.1f} s;"
        f" {by}"
    )
