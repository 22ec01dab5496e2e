"""`memory extract`: derives memories from new interactions."""

from dataclasses import fields
from functools import partial
from time import monotonic

import click

from consumers.cli import output
from consumers.cli.options import (
    any_tenant_option,
    configured,
    example,
    fail_on,
    health_option,
    json_option,
    run,
    stopping_at_signals,
)
from consumers.extraction.derivation import ExtractionReport
from consumers.extraction.lanes import loops
from consumers.extraction.leases import Upgraded, UserFilter, retry_set_aside
from consumers.extraction.leases import upgrade as make_due
from consumers.extraction.worker import AT_ONCE
from consumers.runtime import logs
from consumers.runtime.health import Health, HealthAddress, answering
from consumers.store import open_worker, reached, store_probe, worker_database
from extractors.language_model.asking import models_for
from memory.errors import ConfigurationError
from memory.models import ModelTask
from memory.settings import Settings


@click.command(
    "extract",
    epilog=example(
        "memory extract",
        "memory extract --follow --workers 4",
        "memory extract --retry-set-aside --tenant acme",
        "memory extract --upgrade",
    ),
)
@click.option(
    "--follow", is_flag=True, help="Keep running and extract users who fall quiet, until stopped."
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=AT_ONCE,
    show_default=True,
    help="Users to extract at once; raise it if a model is slow.",
)
@click.option(
    "--retry-set-aside",
    is_flag=True,
    help="First retry sessions that were set aside or wait for a budget.",
)
@click.option(
    "--upgrade",
    is_flag=True,
    help="First make sessions due that were read while the model gave no answer.",
)
@click.option("--user", help="Only this user.")
@any_tenant_option
@health_option
@json_option
def extract_command(
    follow: bool,
    workers: int,
    retry_set_aside: bool,
    upgrade: bool,
    user: str | None,
    tenant: str | None,
    health: HealthAddress,
    as_json: bool,
) -> None:
    """Derive memories from the interactions recorded since the last run.

    Any number of these may run at once, on any number of hosts: they share the users.
    """
    if user and not tenant:
        raise click.UsageError("--user needs --tenant: two tenants may have users of the same name")
    done, whose = ExtractionReport(), UserFilter(tenant, user)
    if retry_set_aside:
        taken = run(_retry, configured(), whose)
        output.say(f"retrying {output.counted(taken, 'session')}")
    if upgrade:
        _upgraded(run(_upgrade, configured(), whose))
    settings = configured()
    if follow:
        logs.inform()
    told = Health("extract", store_probe(settings))
    with answering(told, health), stopping_at_signals() as stopped:
        run(_extract, settings, done, whose, workers, follow, told)
    output.answer(done, as_json, lambda: output.extracted(done))
    if stopped.early and not follow:
        output.say("stopped before all was extracted; run `memory extract` to go on")
        click.get_current_context().exit(1)
    fail_on(done.failures)


async def _retry(settings: Settings, whose: UserFilter) -> int:
    async with worker_database(settings) as database:
        return await retry_set_aside(database, whose)


async def _upgrade(settings: Settings, whose: UserFilter) -> Upgraded:
    if not models_for(ModelTask.EXTRACT, settings):
        raise ConfigurationError("--upgrade reads again with a model; set MEMORY_MODEL")
    async with worker_database(settings) as database:
        return await make_due(database, whose)


def _upgraded(found: Upgraded) -> None:
    output.say(f"reading {output.counted(found.sessions, 'session')} again")
    if found.summaries:
        told = output.counted(found.summaries, "session")
        output.say(f"`memory compact sessions` summarises {told} again")


async def _extract(
    settings: Settings,
    done: ExtractionReport,
    whose: UserFilter,
    workers: int,
    follow: bool,
    health: Health,
) -> None:
    began = monotonic()
    # Each worker commits on one connection and renews its lease on another.
    pooled = settings.model_copy(update={"pool_max": max(settings.pool_max, 2 * loops(workers))})
    waiting = None if follow or whose != UserFilter() else await _waiting(settings)
    with output.progress("extracting", "interactions", waiting) as advance:
        opening = partial(open_worker, pooled, lambda so_far: advance(so_far.interactions))
        async with reached(opening, patient=follow, health=health) as worker:
            worker.health = health
            try:
                if follow:
                    output.say("following; press Ctrl-C to stop")
                    await worker.follow(whose.tenant, whose.user, at_once=workers)
                else:
                    await worker.drain(whose.tenant, whose.user, at_once=workers)
            finally:
                worker.done.seconds = monotonic() - began
                for field in fields(done):
                    setattr(done, field.name, getattr(worker.done, field.name))


async def _waiting(settings: Settings) -> int:
    async with worker_database(settings) as database:
        return int((await database.fetch_system("leases.lag"))[0]["waiting"])
