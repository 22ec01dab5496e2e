"""`memory migrate`: migrates the database to this release."""

from dataclasses import dataclass

import click
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import (
    configured,
    example,
    json_option,
    run,
)
from memory.database import described, resolve_url
from memory.migrate import Migration, administrators_part, migrate, migrate_embedded, migrations
from memory.settings import Settings


@dataclass(frozen=True, slots=True)
class Migrated:
    """The result of `memory migrate`."""

    database: str
    version: int
    applied: tuple[str, ...]


@click.command(
    "migrate",
    epilog=example(
        "MEMORY_DATABASE_URL=postgresql://owner@db.example/memory memory migrate", "memory migrate"
    ),
)
@click.option(
    "--print-sql", is_flag=True, help="Only print the SQL that is left to an administrator."
)
@json_option
def migrate_command(print_sql: bool, as_json: bool) -> None:
    """Migrate the database to this release.

    MEMORY_DATABASE_URL names the login role that owns the schema. Each migration commits by itself.
    Running the command again, or twice at once, applies nothing twice. Where that role may make no
    roles or extensions, --print-sql says what an administrator has to run first.
    """
    if print_sql:
        needed = run(_administrators_part, configured())
        output.answer(needed, as_json, lambda: Text("\n".join(needed)))
        return
    done = run(_migrate, configured())
    output.answer(done, as_json, lambda: _migrated(done))


async def _migrate(settings: Settings) -> Migrated:
    url = await resolve_url(settings)
    bring_up = migrate_embedded if settings.embedded else migrate
    applied = await bring_up(url, settings.connect_timeout)
    return Migrated(described(url), migrations()[-1].version, tuple(map(_name, applied)))


async def _administrators_part(settings: Settings) -> list[str]:
    return await administrators_part(await resolve_url(settings), settings.connect_timeout)


def _name(migration: Migration) -> str:
    return f"{migration.version:04d}_{migration.name}"


def _migrated(done: Migrated) -> Text:
    applied = "\n".join(f"applied {name}" for name in done.applied) or "nothing to apply"
    return Text(f"{applied}\n{done.database} is at migration {done.version}")
