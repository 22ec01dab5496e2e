"""`memory backup`: dumps a store, and compares stores with their backups."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import click
from pydantic_core import to_jsonable_python
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import configured, example, json_option, run
from consumers.operations import backup
from consumers.operations.backup import NOT_FROM_THE_LOG, Difference, StoreContent
from consumers.store import for_viewing
from memory.logins import LoginKind
from memory.migrate import store_url
from memory.settings import Settings

DIGITS = 16

reingested_option = click.option(
    "--reingested",
    is_flag=True,
    help="Leave out what differs where the log was ingested again, such as recorded_at.",
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of `memory backup check`.

    hidden: tables that came back empty, as from a dump that row-level security bound.
    """

    equal: bool
    tables: int
    rows: int
    differences: list[Difference]
    hidden: list[str]


@click.group("backup", epilog=example("memory backup dump store.dump"))
def backup_command() -> None:
    """Dump a store, and check that a restored one holds the same.

    MEMORY_DATABASE_URL names a login that is granted memory_backup, or a superuser. Every command
    reads one snapshot and writes nothing to the database; a standby will do.
    """


@backup_command.command("dump", epilog=example("memory backup dump store.dump"))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--pg-dump",
    "program",
    metavar="PATH",
    help="The program, not older than the server. Default: pg_dump, or the embedded server's.",
)
@json_option
def dump_command(file: Path, program: str | None, as_json: bool) -> None:
    """Dump the store to FILE for pg_restore, and its digests to FILE.json.

    Both are of the same snapshot, so writers may go on.
    """
    content = run(_dump, configured(), file, program)
    beside = file.with_name(f"{file.name}.json")
    beside.write_text(json.dumps(to_jsonable_python(content)) + "\n", encoding="utf-8")
    output.answer(content, as_json, lambda: _shown(content))


@backup_command.command("digests", epilog=example("memory backup digests --json > store.json"))
@reingested_option
@json_option
def digests_command(reingested: bool, as_json: bool) -> None:
    """Show the number of rows and a digest of every table."""
    content = run(_digests, configured(), None, NOT_FROM_THE_LOG if reingested else ())
    output.answer(content, as_json, lambda: _shown(content))


@backup_command.command(
    "check",
    epilog=example(
        "memory backup check store.dump.json",
        "memory backup check --against postgresql://backup@standby.example/memory",
    ),
)
@click.argument("file", required=False, type=click.File("rb"))
@click.option("--against", metavar="URL", help="Compare with this store; .pgpass has its password.")
@reingested_option
@json_option
def check_command(
    file: IO[bytes] | None, against: str | None, reingested: bool, as_json: bool
) -> None:
    """Compare the store with digests in FILE, or with another store.

    Exits with 0 if it holds the same rows and definitions, and with 1 if not. FILE says itself
    whether `digests` was given --reingested.
    """
    if (file is None) == (against is None):
        raise click.UsageError("name either FILE or --against")
    if file is not None and reingested:
        raise click.UsageError("--reingested goes with --against, and with `digests` for a FILE")
    settings = configured()
    if file is not None:
        expected = StoreContent.from_json(file.read())
    else:
        expected = run(_digests, settings, against, NOT_FROM_THE_LOG if reingested else ())
    compared = _compared(expected, run(_digests, settings, None, expected.without))
    output.answer(compared, as_json, lambda: _differing(compared))
    if not compared.equal:
        click.get_current_context().exit(1)


async def _digests(settings: Settings, url: str | None, without: tuple[str, ...]) -> StoreContent:
    named = url or await store_url(for_viewing(settings), LoginKind.BACKUP)
    return await backup.digests(named, settings.connect_timeout, without)


async def _dump(settings: Settings, file: Path, program: str | None) -> StoreContent:
    url = await store_url(for_viewing(settings), LoginKind.BACKUP)
    return await backup.dump(url, settings.connect_timeout, file, program or _program(settings))


def _program(settings: Settings) -> str:
    if not settings.embedded:
        return "pg_dump"
    # fcntl and pwd, which the embedded server needs, do not exist everywhere.
    from memory import embedded

    return str(embedded.programs() / "pg_dump")


def _compared(expected: StoreContent, found: StoreContent) -> Comparison:
    differing = backup.differences(expected, found)
    return Comparison(
        not differing,
        len(found.tables),
        sum(content.rows for content in found.tables.values()),
        differing,
        backup.hidden(expected, found),
    )


def _shown(content: StoreContent) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("table")
    table.add_column("rows", justify="right")
    table.add_column("digest")
    for name, held in {**content.tables, **content.definitions}.items():
        table.add_row(name, f"{held.rows:,}", held.digest[:DIGITS])
    return table


def _differing(compared: Comparison) -> Text:
    if compared.equal:
        return Text(f"equal: {compared.tables} tables, {output.counted(compared.rows, 'row')}")
    lines = [
        f"{d.name}: {_rows(d.expected)} expected, {_rows(d.found)} found"
        for d in compared.differences
    ]
    if compared.hidden:
        lines.append(
            f"{output.counted(len(compared.hidden), 'table')} came back empty: was the dump made"
            " with --enable-row-security, but without --role=memory_backup?"
        )
    return Text("\n".join(lines))


def _rows(count: int | None) -> str:
    return "nothing" if count is None else f"{count:,}"
