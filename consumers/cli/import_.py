"""`memory import`: imports a file into the log and extracts memories from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import click
from anyio import to_thread
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import (
    agent_option,
    configured,
    example,
    fail_on,
    json_option,
    run,
    tenant_option,
)
from consumers.extraction.derivation import ExtractionReport
from consumers.extraction.worker import AT_ONCE
from consumers.importing.importer import (
    Format,
    ImportReport,
    detect_format,
    import_interactions,
    read,
)
from consumers.store import open_worker
from memory.client import AsyncMemoryClient
from memory.models import Interaction, Receipt
from memory.settings import Settings


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of `memory import`; seconds and rates are those of recording alone."""

    format: Format
    read: int
    accepted: int
    duplicates: int
    seconds: float
    per_second: float
    extraction: ExtractionReport | None = None


@click.command(
    "import",
    epilog=example(
        "memory import conversations.json --user me",
        "memory import sample.jsonl --tenant northwind --json",
    ),
)
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice([form.value for form in Format]),
    help="Format of the file. Default: detected.",
)
@click.option("--no-extract", is_flag=True, help="Only record; extract later.")
@click.option("--user", help="Owner of the memories, if the file does not name one.")
@tenant_option
@agent_option
@json_option
def import_command(
    *,
    path: Path,
    form: str | None,
    no_extract: bool,
    user: str | None,
    tenant: str,
    agent: str | None,
    as_json: bool,
) -> None:
    """Import conversations from PATH, then extract memories from them.

    PATH is a JSON Lines file of interactions, a ChatGPT data export (zip or conversations.json), or
    a LoCoMo or BEAM data set. A JSONL line that names its own tenant keeps it. Importing a file
    again adds nothing twice. If a line is bad, everything before it is recorded.
    """
    done = run(_import, configured(), path, form, (tenant, user, agent), not no_extract)
    output.answer(done, as_json, lambda: _imported(path, done))
    if done.extraction:
        fail_on(done.extraction.failures)


async def _import(
    settings: Settings,
    path: Path,
    form: str | None,
    defaults: tuple[str, str | None, str | None],
    extract: bool,
) -> Imported:
    chosen = Format(form) if form else await to_thread.run_sync(detect_format, path)
    tenant, user, agent = defaults
    tenants: set[str] = set()
    # Straight into the log, also where Kafka is the bus: what is imported is extracted at once.
    direct = settings.model_copy(update={"kafka_servers": None})
    async with AsyncMemoryClient(direct) as client:
        noting = _TenantsOf(client, tenants)
        placed = read(path, tenant=tenant, user=user, agent=agent, form=chosen)
        began = monotonic()
        with output.progress("recording", "interactions") as advance:
            report = await import_interactions(
                noting, placed, progress=lambda so_far: advance(so_far.read)
            )
        seconds = monotonic() - began
    extraction = await _extract(settings, tenants, report) if extract else None
    return Imported(
        chosen,
        report.read,
        report.accepted,
        report.duplicates,
        round(seconds, 3),
        round(report.read / seconds, 1),
        extraction,
    )


class _TenantsOf:
    """Records through a client and notes the tenants it wrote to."""

    def __init__(self, client: AsyncMemoryClient, tenants: set[str]) -> None:
        self._client = client
        self._tenants = tenants

    async def record_many(self, interactions: Sequence[Interaction], /) -> Sequence[Receipt]:
        self._tenants.update(i.scope.tenant for i in interactions)
        return await self._client.record_many(interactions)


async def _extract(settings: Settings, tenants: set[str], report: ImportReport) -> ExtractionReport:
    with output.progress("extracting", "interactions", report.accepted or None) as advance:
        began = monotonic()
        async with open_worker(settings, lambda done: advance(done.interactions)) as worker:
            for tenant in sorted(tenants):
                await worker.drain(tenant, at_once=AT_ONCE)
        worker.done.seconds = monotonic() - began
        return worker.done


def _imported(path: Path, done: Imported) -> Text:
    recorded = (
        f"imported {path} ({done.format}): {done.accepted:,} accepted,"
        f" {done.duplicates:,} already there, in {done.seconds:.1f} s"
        f" ({done.per_second:,.0f} interactions/s)"
    )
    if done.extraction is None:
        return Text(recorded)
    return Text("\n").join([Text(recorded), output.extracted(done.extraction)])
