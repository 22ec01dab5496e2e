"""`memory scan`: counts the secrets and personal data in a tenant's log."""

import click
from rich.table import Table

from consumers.cli import output
from consumers.cli.options import configured, example, json_option, run, tenant_option
from consumers.operations.scanning import Scanned, scan_log
from consumers.store import for_viewing, worker_database
from memory.privacy.findings import Sensitive
from memory.settings import Settings


@click.command("scan", epilog=example("memory scan --tenant acme"))
@tenant_option
@json_option
def scan_command(tenant: str, as_json: bool) -> None:
    """Count the secrets and personal data in the log of a tenant, by class.

    It names no value and no user, and changes nothing: it shows what a policy would mask.
    """
    found = run(_scanned, for_viewing(configured()), tenant)
    output.answer(found, as_json, lambda: _table(found))


async def _scanned(settings: Settings, tenant: str) -> Scanned:
    with output.progress("scanning", "interactions", None) as advance:
        async with worker_database(settings) as database:
            return await scan_log(database, tenant, lambda so_far: advance(so_far.interactions))


def _table(found: Scanned) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"of {output.counted(found.interactions, 'interaction')}")
    for name in ("holding it", "values"):
        table.add_column(name, no_wrap=True, justify="right")
    for sensitive in Sensitive:
        holding, values = found.holding.get(sensitive, 0), found.values.get(sensitive, 0)
        table.add_row(sensitive.spelled, f"{holding:,}", f"{values:,}")
    return table
