"""`memory roles`: makes and lists the logins of apps, workers and backups."""

import secrets
from dataclasses import dataclass
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import configured, example, json_option, run
from memory import logins
from memory.database import resolve_url
from memory.logins import LoginKind, StoreLogin
from memory.secret_files import read_secret
from memory.settings import Settings


@dataclass(frozen=True, slots=True)
class Made:
    """The result of `memory roles create`.

    created: it was not there.
    password: the one that was generated, shown this once; None: given, kept or none.
    statements: with --print-sql, what an administrator has to run.
    """

    name: str
    kind: LoginKind
    created: bool
    password: str | None
    statements: tuple[str, ...]


@click.group(
    "roles",
    epilog=example(
        "memory roles create app shop",
        "memory roles create worker extraction --password-file /run/secrets/worker",
        "memory roles create backup nightly --print-sql",
        "memory roles list",
    ),
)
def roles_command() -> None:
    """Make the logins of apps, workers and backups: each may do its own work and no more.

    MEMORY_DATABASE_URL names a login that may make others, such as the owner.
    """


@roles_command.command("create", epilog=example("memory roles create app shop"))
@click.argument("kind", type=click.Choice([kind.value for kind in LoginKind]))
@click.argument("name")
@click.option(
    "--password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that holds the password. Default: a new login gets a generated one.",
)
@click.option("--prompt", is_flag=True, help="Ask for the password.")
@click.option("--no-password", is_flag=True, help="None: the server knows the login otherwise.")
@click.option("--print-sql", is_flag=True, help="Only print the SQL, for an administrator.")
@json_option
def create_command(
    kind: str,
    name: str,
    password_file: Path | None,
    prompt: bool,
    no_password: bool,
    print_sql: bool,
    as_json: bool,
) -> None:
    """Make login NAME for an app, a worker (operators' commands too) or backups.

    A login that is there keeps its password, unless one is given. A generated password is printed
    once. The SQL holds a verifier in place of the password.
    """
    if (password_file is not None) + prompt + no_password > 1:
        raise click.UsageError("give one of --password-file, --prompt and --no-password")
    given = read_secret(password_file) if password_file else None
    if prompt:
        given = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    made = run(_create, configured(), LoginKind(kind), name, given, no_password, print_sql)
    output.answer(made, as_json, lambda: _made(made))


@roles_command.command("list", epilog=example("memory roles list"))
@json_option
def list_command(as_json: bool) -> None:
    """List every login that may act as a role of the store, and what it may do beyond that."""
    found = run(_list, configured())
    output.answer(found, as_json, lambda: _table(found))


async def _create(
    settings: Settings,
    kind: LoginKind,
    name: str,
    given: str | None,
    no_password: bool,
    print_sql: bool,
) -> Made:
    url, timeout = await resolve_url(settings), settings.connect_timeout
    there = await logins.exists(url, kind, name, timeout)
    generated = None
    if given is None and not there and not no_password:
        generated = secrets.token_urlsafe(24)
    password = given if given is not None else generated
    if print_sql:
        wanted = await logins.statements(url, kind, name, password, timeout)
        return Made(name, kind, False, generated, tuple(f"{text};" for text in wanted))
    new = await logins.create(url, kind, name, password, timeout)
    return Made(name, kind, new, generated, ())


async def _list(settings: Settings) -> list[StoreLogin]:
    return await logins.every(await resolve_url(settings), settings.connect_timeout)


def _made(made: Made) -> Text:
    lines = list(made.statements)
    if not lines:
        said = "created" if made.created else "there already:"
        lines.append(f"{said} {made.kind} login {made.name!r}")
    if made.password is not None:
        comment = "-- " if made.statements else ""
        lines.append(f"{comment}password, shown this once: {made.password}")
    return Text("\n".join(lines))


def _table(found: list[StoreLogin]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("login", "acts as", "beyond that"):
        table.add_column(name)
    for login in found:
        beyond = [what for what, is_so in (
            ("superuser", login.superuser), ("owner of the schema", login.owner)
        ) if is_so]  # fmt: skip
        table.add_row(output.label(login.name), ", ".join(login.acts_as), ", ".join(beyond))
    return table
