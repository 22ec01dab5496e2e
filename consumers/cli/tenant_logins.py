"""`memory tenants login` and `logins`: the database logins that are one tenant's own."""

import click
from rich.table import Table

from consumers.cli import output
from consumers.cli.options import configured, example, json_option, run
from consumers.operations import logins
from consumers.operations.logins import Login


@click.command("login", epilog=example("memory tenants login acme --login acme_app"))
@click.argument("tenant")
@click.option("--login", required=True, help="A login of the server, which exists.")
@click.option("--remove", is_flag=True, help="Bind the login to no tenant: it then sees nothing.")
@json_option
def login_command(tenant: str, login: str, remove: bool, as_json: bool) -> None:
    """Bind a database LOGIN to TENANT: whatever its sessions say, they see no other tenant.

    MEMORY_DATABASE_URL names the login that owns the schema, as for `memory migrate`. An app that
    logs in by LOGIN needs no other change.
    """
    work = logins.remove if remove else logins.bind
    found = run(work, configured(), tenant, login)
    output.answer(found, as_json, lambda: _logins(found))


@click.command("logins", epilog=example("memory tenants logins"))
@json_option
def logins_command(as_json: bool) -> None:
    """List the logins that are one tenant's.

    MEMORY_DATABASE_URL names the login that owns the schema, as for `memory migrate`.
    """
    found = run(logins.bound, configured())
    output.answer(found, as_json, lambda: _logins(found))


def _logins(found: tuple[Login, ...]) -> Table:
    table = Table("login", "tenant", box=None, pad_edge=False, header_style="bold")
    for row in found:
        table.add_row(output.label(row.login), output.label(row.tenant))
    return table
