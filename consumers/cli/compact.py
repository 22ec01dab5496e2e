"""`memory compact`: runs the operators' jobs and prints their reports."""

from pathlib import Path

import click
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
from consumers.compaction import JOBS, JobReport, compact, metrics
from memory.settings import Settings


@click.command(
    "compact",
    epilog=example(
        "memory compact --dry-run",
        "memory compact",
        "memory compact promote --tenant acme",
        "memory compact verify --repair --json",
        "memory compact --metrics /var/lib/node_exporter/memory.prom",
    ),
)
@click.argument("jobs", nargs=-1, type=click.Choice(list(JOBS)), metavar="[JOB]...")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and write nothing.")
@click.option("--repair", is_flag=True, help="Let `verify` repair what it safely can.")
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    help="Users (for `promote`, attributes) to process at a time.",
)
@click.option(
    "--metrics",
    "metrics_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the reports to this file, in Prometheus' text format.",
)
@any_tenant_option
@json_option
def compact_command(
    jobs: tuple[str, ...],
    dry_run: bool,
    repair: bool,
    batch: int,
    metrics_file: Path | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Run maintenance jobs on the memory of every tenant: the named ones, or all.

    \b
    sessions  summarise and close idle sessions
    merge     merge near-duplicate memories of a user
    decay     lower the importance of unused memories, and archive them
    promote   publish what k users support in the collective tier; withdraw the rest
    retain    purge what is older than the tenant's policy allows
    cluster   store each user's rows together on disk
    verify    check the invariants; exit with 1 if one is broken and not repaired

    Every job may run beside live traffic, and again at any time. After a stop it continues from
    its last batch.
    """  # noqa: D301 - \b keeps click from wrapping the list
    reports = run(_compact, configured(), jobs, tenant, dry_run, repair, batch)
    if metrics_file is not None:
        metrics_file.write_text(metrics(reports), encoding="utf-8")
    output.answer([report.json() for report in reports], as_json, lambda: _table(reports))
    if not all(report.sound for report in reports):
        click.get_current_context().exit(1)


async def _compact(
    settings: Settings,
    jobs: tuple[str, ...],
    tenant: str | None,
    dry_run: bool,
    repair: bool,
    batch: int,
) -> list[JobReport]:
    with output.progress("compacting", "examined") as advance:
        return await compact(
            settings,
            jobs or None,
            tenant=tenant,
            dry_run=dry_run,
            repair=repair,
            batch=batch,
            progress=lambda report: advance(report.examined),
        )


def _table(reports: list[JobReport]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("tenant", "job"):
        table.add_column(name, no_wrap=True)
    table.add_column("would do" if any(r.dry_run for r in reports) else "done", ratio=1)
    for name in ("examined", "seconds"):
        table.add_column(name, no_wrap=True, justify="right")
    for report in reports:
        table.add_row(
            Text(output.label(report.tenant)),
            report.job,
            Text(_did(report)),
            f"{report.examined:,}",
            f"{report.seconds:.1f}",
        )
    return table


def _did(report: JobReport) -> str:
    if report.skipped:
        return f"skipped: {report.skipped}"
    parts = [f"{number:,} {what}" for what, number in report.changed.items() if number]
    parts += [f"{name} {number:,.1f}" for name, number in report.measured.items()]
    lines = [", ".join(parts) or ("nothing" if report.sound else "")]
    lines += [output.one_line(str(finding), 200) for finding in report.findings[:20]]
    if report.found > len(report.findings[:20]):
        lines.append(f"… {report.found:,} findings in all")
    return "\n".join(line for line in lines if line)
