"""Runs jobs over tenants, each under its own lease, from where it was stopped."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic

from consumers.compaction.clustering import cluster
from consumers.compaction.decay import decay
from consumers.compaction.merging import merge
from consumers.compaction.promotion import promote
from consumers.compaction.report import JobReport
from consumers.compaction.retention import retain
from consumers.compaction.sessions import close_sessions
from consumers.compaction.verification import verify
from consumers.compaction.work import Job, Progress, Work
from consumers.runtime.tenants import tenants
from consumers.store import worker_database
from memory.embedding import Embedder, create_embedder
from memory.errors import InvalidInput
from memory.settings import Settings

JOBS: Mapping[str, Job] = {
    "sessions": close_sessions,
    "merge": merge,
    "decay": decay,
    "promote": promote,
    "retain": retain,
    "cluster": cluster,
    "verify": verify,
}
"""Every job by name, in the order in which they run together."""

STATEMENT_SECONDS = 300.0
"""The time limit of a statement over a batch of users, longer than an app's."""


def _quiet(_: JobReport) -> None:
    """Ignores progress."""


async def compact(
    settings: Settings,
    jobs: Sequence[str] | None = None,
    *,
    tenant: str | None = None,
    dry_run: bool = False,
    repair: bool = False,
    batch: int = 500,
    progress: Progress = _quiet,
    embedder: Embedder | None = None,
) -> list[JobReport]:
    """Runs `jobs` (by default all) in one tenant or in every one; returns a report for each.

    A job that another process runs in a tenant is skipped there, and its report says so. After a
    stop, the next run continues from the last batch. With `dry_run` nothing is written. `repair`
    lets `verify` repair what it safely can. `batch` limits the users, or attributes, that are
    processed at a time. `progress` is given the job's report after each batch.

    Raises:
        InvalidInput: an unknown job, or a batch under 1.
        ConfigurationError: a tenant's policy cannot be read.
        LeaseLost: a job took so long over a batch that another process took it over.
    """
    names = _chosen(jobs)
    if batch < 1:
        raise InvalidInput(f"batch must be at least 1, got {batch!r}")
    async with AsyncExitStack() as stack:
        made = embedder or create_embedder(settings)
        if embedder is None:
            stack.push_async_callback(made.aclose)
        patient = {"statement_timeout": max(settings.statement_timeout, STATEMENT_SECONDS)}
        settings = settings.model_copy(update=patient)
        database = await stack.enter_async_context(worker_database(settings))
        reports = []
        async for each in tenants(database, tenant):
            for name in names:
                work = await Work.begun(
                    database,
                    made,
                    settings,
                    job=name,
                    tenant=each,
                    dry_run=dry_run,
                    repair=repair,
                    batch=batch,
                    progress=progress,
                )
                reports.append(await _ran(work, JOBS[name]))
        return reports


def _chosen(jobs: Sequence[str] | None) -> list[str]:
    unknown = [name for name in jobs or () if name not in JOBS]
    if unknown:
        raise InvalidInput(f"no job is called {unknown[0]!r}; jobs: {', '.join(JOBS)}")
    return [name for name in JOBS if not jobs or name in jobs]


async def _ran(work: Work, job: Job) -> JobReport:
    if work.report.skipped:
        return work.report
    began = monotonic()
    async with _given_back(work):
        await job(work)
    work.report.seconds = monotonic() - began
    return work.report


@asynccontextmanager
async def _given_back(work: Work) -> AsyncIterator[None]:
    done = False
    try:
        yield
        done = True
    finally:
        await work.finish(done=done)
