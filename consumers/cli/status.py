"""`memory status`: shows positions, lag, failed sessions and the contents of the tiers."""

from collections.abc import Iterator
from dataclasses import replace

import click
from rich.console import RenderableType
from rich.table import Table

from consumers.cli import output
from consumers.cli.exit_codes import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_UNAVAILABLE
from consumers.cli.options import (
    configured,
    example,
    json_option,
    run,
    tenant_option,
)
from consumers.cli.tenants import held
from consumers.ingest.lag import IngestState, ingest_state
from consumers.operations.status import MOST_PROPOSALS, ModelDay, Status, read_status
from consumers.store import operators_view
from memory.settings import Settings


@click.command(
    "status",
    epilog=example("memory status", "memory status --max-lag 60 --max-waiting 1000 --json"),
)
@click.option(
    "--max-lag",
    type=click.FloatRange(min=0),
    help="Exit with 1 if the lag exceeds this many seconds.",
)
@click.option(
    "--max-backfill-lag",
    type=click.FloatRange(min=0),
    help="The same for users who have only imported history waiting.",
)
@click.option(
    "--max-waiting",
    type=click.IntRange(min=0),
    help="Exit with 1 if more interactions than this wait.",
)
@click.option(
    "--max-set-aside",
    type=click.IntRange(min=0),
    help="Exit with 1 if more sessions than this are set aside.",
)
@click.option(
    "--max-held-back",
    type=click.IntRange(min=0),
    help="Exit with 1 if more interactions than this wait in tenants paused or throttled.",
)
@click.option(
    "--max-ingest-lag",
    type=click.FloatRange(min=0),
    help="Exit with 1 if ingestion is more than this many seconds behind Kafka.",
)
@click.option("--user", help="Also show this user's positions.")
@tenant_option
@json_option
def status_command(
    *,
    max_ingest_lag: float | None,
    max_lag: float | None,
    max_backfill_lag: float | None,
    max_waiting: int | None,
    max_set_aside: int | None,
    max_held_back: int | None,
    user: str | None,
    tenant: str,
    as_json: bool,
) -> None:
    """Show the progress of extraction, sessions set aside, and the contents of the tiers.

    Positions, lag and sessions set aside count every tenant; memories are those of --tenant. Lag
    leaves out tenants that are paused or throttled (`memory tenants`). Where brokers are configured
    and do not answer, the command shows the rest and exits with 4.
    """
    found = run(_status, configured(), tenant, user)
    output.answer(found, as_json, lambda: _status_table(found))
    over = [
        f"{what} {value:,.0f}{unit} (limit {bound:,.0f}{unit})"
        for what, value, bound, unit in (
            ("lag", found.lag_seconds, max_lag, " s"),
            ("backfill lag", found.backfill_lag_seconds, max_backfill_lag, " s"),
            ("waiting", found.waiting, max_waiting, " interactions"),
            ("set aside", found.set_aside_total, max_set_aside, " sessions"),
            ("held back", found.held_back, max_held_back, " interactions"),
            ("ingest lag", _known_ingest_lag(found), max_ingest_lag, " s"),
        )
        if bound is not None and value > bound
    ]
    if over:
        output.say(
            f"error: over the limit: {', '.join(over)}; run `memory extract` or `memory ingest`, or"
            " more of them (see docs/extraction.md and docs/ingest.md)"
        )
        click.get_current_context().exit(EXIT_FAILED)
    _fail_without_brokers(found.ingest)


def _fail_without_brokers(ingest: IngestState | None) -> None:
    """Ends the command if brokers are configured and could not be asked."""
    if ingest is None or ingest.unknown is None:
        return
    output.say(f"error: brokers {', '.join(ingest.brokers)}: {ingest.unknown}")
    code = EXIT_UNAVAILABLE if ingest.passing else EXIT_CONFIGURATION
    click.get_current_context().exit(code)


async def _status(settings: Settings, tenant: str, user: str | None) -> Status:
    async with operators_view(settings) as database:
        found = await read_status(
            database,
            tenant,
            user,
            language=settings.language,
            daily_budget=settings.model_daily_budget,
        )
        return replace(found, ingest=await ingest_state(database, settings))


def _known_ingest_lag(found: Status) -> float:
    """Seconds behind Kafka; 0 if there is no Kafka, or no way to know."""
    return (found.ingest and found.ingest.seconds) or 0.0


def _status_table(found: Status) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    grid.add_row(
        "database",
        f"Postgres {found.server}, pgvector {found.pgvector}, migration {found.migration}",
    )
    embedder = f"{found.embedder} ({found.dimensions} dimensions)" if found.embedder else "none yet"
    grid.add_row("embedder", embedder)
    shares = [f"{output.label(name)} {percent} %" for name, percent in found.serves.items()]
    grid.add_row("serving", ", ".join(shares))
    log = (found.interactions, "interaction"), (found.users, "user")
    grid.add_row("log", " of ".join(output.counted(*part) for part in log))
    grid.add_row(
        "extraction",
        f"{output.counted(found.waiting, 'interaction')} of"
        f" {output.counted(found.users_due, 'user')} waiting, the oldest for"
        f" {found.lag_seconds:.1f} s; {output.counted(found.leased, 'user')} being extracted",
    )
    if found.backfill_users:
        grid.add_row(
            "backfill",
            f"of these {output.counted(found.backfill_waiting, 'interaction')} of"
            f" {output.counted(found.backfill_users, 'user')}, the oldest for"
            f" {found.backfill_lag_seconds:.1f} s",
        )
    if found.leases_expired:
        grid.add_row(
            "leases",
            f"{output.counted(found.leases_expired, 'user')} leased by workers that are gone",
        )
    for label, line in _ingest_lines(found.ingest) if found.ingest else ():
        grid.add_row(label, line)
    for label, line in (*_lag_lines(found), *_set_aside_lines(found)):
        grid.add_row(label, line)
    if found.position:
        place = found.position
        grid.add_row("user", f"recorded {place.recorded:,}, extracted {place.extracted:,}")
    grid.add_row("", "")
    for label, line in _tenant_lines(found):
        grid.add_row(label, line)
    return grid


def _tenant_lines(found: Status) -> Iterator[tuple[str, str]]:
    yield "tenant", output.label(found.tenant)
    yield "working", f"{output.counted(found.sessions_open, 'open session')} of {found.sessions:,}"
    for count in found.long_term:
        yield "long-term", f"{count.memories:,} {count.kind} by {count.extractor}"
    for count in found.collective:
        yield "collective", f"{count.memories:,} {count.kind} by {count.extractor}"
    if found.review.oldest:
        most = "at least " if found.review.proposals >= MOST_PROPOSALS else ""
        yield (
            "review",
            f"{most}{output.counted(found.review.proposals, 'proposal')} waiting, the oldest since"
            f" {output.day(found.review.oldest)}; see `memory review list`",
        )
    for line in _model_lines(found.models):
        yield "models", line
    for quality in found.quality:
        yield (
            "quality",
            f"{quality.sound:,} of {quality.memories:,} sampled memories by {quality.maker} are"
            f" sound; {quality.standing:,} of {output.counted(quality.quotes, 'quote')} found in"
            " the log",
        )


def _lag_lines(found: Status) -> Iterator[tuple[str, str]]:
    """The tenants that are held back, and those whose users wait if there are several."""
    if found.held_back:
        yield "held back", output.counted(found.held_back, "interaction")
    several = len(found.tenants) > 1
    for row in found.tenants:
        if row.held_back or several:
            how = f"; {held(row)}" if row.held_back else ""
            yield (
                "",
                f"tenant {output.label(row.tenant)!r}: {output.counted(row.waiting, 'interaction')}"
                f" of {output.counted(row.users_due, 'user')} waiting, the oldest for"
                f" {row.lag_seconds:.1f} s{how}",
            )


def _set_aside_lines(found: Status) -> Iterator[tuple[str, str]]:
    if found.set_aside_total > len(found.set_aside):
        yield "set aside", f"{found.set_aside_total:,} sessions; the newest:"
    for row in found.set_aside:
        # An extractor that reads all of a user at once fails in no session.
        where = f"session {output.label(row.session)!r} of " if row.session else ""
        yield (
            "set aside",
            f"{where}user {output.label(row.user)!r} of tenant {output.label(row.tenant)!r} after"
            f" {output.counted(row.attempts, 'attempt')}: {output.one_line(row.error, 200)}",
        )


def _model_lines(models: ModelDay) -> Iterator[str]:
    limit = "" if models.budget is None else f" of {models.budget:g}"
    if limit or models.spent:
        yield f"{models.spent:.4f}{limit} spent today (UTC)"
    for sessions, what in (
        (models.waiting_for_budget, "the next daily budget"),
        (models.waiting_for_server, "the model's server"),
    ):
        if sessions:
            at = f", until {models.resumes_at:%Y-%m-%d %H:%M} UTC" if models.resumes_at else ""
            yield f"{output.counted(sessions, 'session')} waiting for {what}{at}"
    for failed in models.failures:
        explained = f" ({failed.reason}); {failed.advice}" if failed.advice else ""
        yield (
            f"{output.label(failed.model)} gave no usable answer to"
            f" {output.counted(failed.calls, 'call')} in the last day:"
            f" {output.label(failed.meaning)}{explained}"
        )
    for part in models.fallbacks:
        yield (
            f"{output.counted(part.sessions, 'session')} of generation"
            f" {output.label(part.generation)} read without the model ({part.reason});"
            " `memory extract --upgrade` reads them again"
        )


def _ingest_lines(ingest: IngestState) -> Iterator[tuple[str, str]]:
    behind = (
        f"{output.counted(ingest.waiting, 'message')} behind" if ingest.waiting else "up to date"
    )
    if ingest.unknown:
        behind = f"unknown: {ingest.unknown}"
    yield "ingest", f"{ingest.topic}: {behind}"
    yield "", f"group {ingest.group}"
    for part in ingest.partitions:
        where = "not started" if part.next_offset is None else f"at {part.next_offset:,}"
        waits = ""
        if part.waiting:
            seconds = "" if part.seconds is None else f", the oldest for {part.seconds:.1f} s"
            waits = f", {part.waiting:,} waiting{seconds}"
        yield "", f"partition {part.partition} {where}{waits}; {part.owner or 'unassigned'}"
    if ingest.dead_letters:
        yield "dead letters", output.tally(ingest.dead_letters)
