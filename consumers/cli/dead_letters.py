"""`memory dead-letters`: lists, shows, redrives and drops messages that could not be applied."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import (
    any_tenant_option,
    configured,
    example,
    json_option,
    run,
)
from consumers.ingest.mapping import FieldMapping, read_mapping
from consumers.ingest.records import Reason
from consumers.operations.dead_letters import Redriven, redrive
from consumers.runtime.terminal import plain
from consumers.store import operators_view, worker_database
from memory.settings import Settings

SHOWN_BYTES = 2_000

reason_option = click.option(
    "--reason",
    type=click.Choice([r.value for r in Reason]),
    help="Only dead letters of this reason.",
)
letters_argument = click.argument("letters", type=int, nargs=-1)


@click.group(
    "dead-letters",
    epilog=example(
        "memory dead-letters list",
        "memory dead-letters show 12",
        "memory dead-letters redrive --reason unknown_version",
        "memory dead-letters drop --older-than-days 30",
    ),
)
def dead_letters_command() -> None:
    """List, show, redrive or drop messages that could not be applied."""


@dead_letters_command.command("list")
@reason_option
@any_tenant_option
@click.option("--all", "every", is_flag=True, help="Also dead letters that were redriven.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most this many."
)
@json_option
def list_command(
    reason: str | None, tenant: str | None, every: bool, limit: int, as_json: bool
) -> None:
    """List dead letters, newest first, without their contents."""
    params = {"reason": reason, "tenant": tenant, "all": every, "limit": limit}
    rows = run(_fetch, configured(), "dead_letters.list", params)
    output.answer(rows, as_json, lambda: _table(rows))


@dead_letters_command.command("show")
@click.argument("letter", type=int)
@json_option
def show_command(letter: int, as_json: bool) -> None:
    """Show one dead letter with its contents."""
    rows = run(_fetch, configured(), "dead_letters.read", _named([letter]))
    if not rows:
        raise click.ClickException(f"there is no dead letter {letter}")
    shown = {name: _readable(value) for name, value in rows[0].items()}
    output.answer(shown, as_json, lambda: _grid(shown))


@dead_letters_command.command("redrive")
@letters_argument
@reason_option
@click.option("--all", "every", is_flag=True, help="All that were not redriven yet.")
@click.option(
    "--mapping",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A mapping file, as for `memory ingest`.",
)
@json_option
def redrive_command(
    letters: Sequence[int], reason: str | None, every: bool, mapping: Path | None, as_json: bool
) -> None:
    """Read dead letters again and append them to the log.

    They are appended at the end of their users' logs.
    """
    if bool(letters) + bool(reason) + every != 1:
        raise click.UsageError("name dead letters, or give one of --reason and --all")
    given = read_mapping(mapping) if mapping else None
    wanted = Reason(reason) if reason else None
    done = run(_redrive, configured(), list(letters) or None, wanted, given)
    output.answer(done, as_json, lambda: _redriven(done))
    if done.refused:
        click.get_current_context().exit(1)


@dead_letters_command.command("drop")
@letters_argument
@click.option(
    "--older-than-days", type=click.IntRange(min=0), help="Drop all dead letters older than this."
)
@json_option
def drop_command(letters: Sequence[int], older_than_days: int | None, as_json: bool) -> None:
    """Delete dead letters."""
    if not letters and older_than_days is None:
        raise click.UsageError("name dead letters, or give --older-than-days")
    params = {"letters": list(letters), "older_than_days": older_than_days}
    dropped = [r["dead_letter_id"] for r in run(_fetch, configured(), "dead_letters.drop", params)]
    shown = f"dropped {output.counted(len(dropped), 'dead letter')}"
    output.answer({"dropped": dropped}, as_json, lambda: Text(shown))


async def _fetch(settings: Settings, name: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    async with operators_view(settings) as database:
        return list(await database.fetch_system(name, params))


async def _redrive(
    settings: Settings,
    letters: list[int] | None,
    reason: Reason | None,
    mapping: FieldMapping | None,
) -> Redriven:
    async with worker_database(settings) as database:
        return await redrive(database, settings, letters, reason=reason, mapping=mapping)


def _named(letters: Sequence[int]) -> dict[str, Any]:
    return {"letters": list(letters), "reason": None, "after": 0, "limit": len(letters)}


def _readable(value: Any) -> Any:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _table(rows: Sequence[dict[str, Any]]) -> RenderableType:
    if not rows:
        return Text("no dead letters")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("id", "when", "place", "reason", "whose", "detail"):
        table.add_column(name, no_wrap=name != "detail")
    for row in rows:
        whose = "/".join(row[n] or "?" for n in ("tenant_id", "user_id"))
        table.add_row(
            str(row["letter_id"]),
            f"{row['set_aside_at']:%Y-%m-%d %H:%M}",
            f"{row['topic']}/{row['partition']}@{row['record_offset']}",
            row["reason"] + (" (redriven)" if row["redriven_at"] else ""),
            output.one_line(whose, 40),
            output.one_line(row["detail"], 200),
        )
    return table


def _grid(shown: dict[str, Any]) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for name, value in shown.items():
        grid.add_row(name, plain(str(value))[:SHOWN_BYTES])
    return grid


def _redriven(done: Redriven) -> Text:
    lines = [
        f"{done.appended:,} appended, {done.already_there:,} already there,"
        f" {done.forgotten:,} of forgotten ids, {len(done.refused):,} refused",
        *(output.one_line(line, 200) for line in done.refused),
    ]
    return Text("\n".join(lines))
