"""The demo: runs a sample through the whole system, in its own store.

`memory demo` shows what the client and the worker read back, as an app and an operator would.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from anyio import to_thread

from consumers.compaction import JobReport, compact, write_policy
from consumers.extraction import Worker
from consumers.extraction.derivation import ExtractionReport
from consumers.importing.files import Located
from consumers.importing.importer import ImportReport, import_interactions, read_jsonl
from consumers.operations.status import Status, read_status
from consumers.store import extractors_for, worker_database
from memory import embedded
from memory.client import AsyncMemoryClient
from memory.context.assembly import Context
from memory.database import Database
from memory.embedding import Embedder, create_embedder
from memory.errors import InvalidInput
from memory.models import Evidence, Explanation, Memory, MemoryKind, Scope, Stance, Tier
from memory.settings import Settings

SAMPLE = "examples/recruiting.jsonl"
ASKING = Scope("northwind-talent", "ana", "scout", "ana-next")
QUESTION = "What should I keep in mind for Ana's next shortlist?"
BUDGET = 400
MOVED = "lives_in"
"""The attribute whose change is shown first: a move is easy to understand."""

OF_ANOTHER_STORE = (
    "database_url", "database_url_file", "read_url", "read_url_file", "kafka_servers"
)  # fmt: skip
"""The settings that would lead a demo to a store that is not its own."""

# A store that is thrown away need not wait for the disk.
SERVER_OPTIONS = {"fsync": "off", "synchronous_commit": "off", "shared_buffers": "128MB"}


@dataclass(frozen=True, slots=True)
class Cited:
    """A marker of the context and the quotes behind it; `score` is recall's."""

    marker: int
    memory: int
    score: float
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Revision:
    """A belief that was superseded: as first held, as held since, and its successor."""

    user: str
    first: Memory
    ended: Memory
    successor: Explanation


@dataclass(frozen=True, slots=True)
class Shown:
    """A memory of one of the sample's users, with its evidence."""

    user: str
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class Insight:
    """A collective memory, and its published number of supporters."""

    kind: str
    text: str
    support: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Intake:
    """The recorded interactions: recorded in `seconds`, then extracted."""

    users: int
    sessions: int
    kinds: Mapping[str, int]
    report: ImportReport
    seconds: float
    extracted: ExtractionReport


@dataclass(frozen=True, slots=True)
class Demonstration:
    """The contents of the screen; None for a memory that the sample did not produce."""

    intake: Intake
    status: Status
    context: Context
    citations: tuple[Cited, ...]
    revision: Revision | None
    preference: Shown | None
    procedure: Shown | None
    insight: Insight | None
    compaction: Mapping[str, int] | None = None
    seconds: float = 0.0


def sample_path() -> Path:
    """Returns the sample inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / SAMPLE
    return inside if inside.exists() else package.parent / SAMPLE


@contextmanager
def own_store(settings: Settings, keep: Path | None = None) -> Iterator[Settings]:
    """Yields settings for an empty embedded store, which is removed afterwards unless kept.

    Raises:
        InvalidInput: the directory to keep it in is not empty.
        EmbeddedServerFailed, MissingDependency: the server does not start.
    """
    if keep and keep.exists() and any(keep.iterdir()):
        raise InvalidInput(f"{str(keep)!r} is not empty; keep the demo in a new directory")
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
    directory = keep or Path(tempfile.mkdtemp(prefix="memory-demo-"))
    directory.chmod(0o755)  # as root, the server runs under an account that must get in
    try:
        embedded.start(directory, {} if keep else SERVER_OPTIONS)
        own = {**dict.fromkeys(OF_ANOTHER_STORE), "data_dir": directory}
        yield settings.model_copy(update=own)
    finally:
        embedded.stop(directory)
        if keep is None:
            shutil.rmtree(directory, ignore_errors=True)


async def demonstrate(
    settings: Settings, says: Callable[[str], None] = lambda _: None
) -> Demonstration:
    """Records the sample, extracts, and reads back what an agent now knows.

    The store of `settings` must hold nothing of the sample's tenant. `says` is told each step.

    Raises:
        ConfigurationError: no extractor or no embedding model is installed; the message says how to
            get it.
    """
    began = monotonic()
    embedder = create_embedder(settings)
    async with (
        AsyncMemoryClient(settings, embedder=embedder) as client,
        worker_database(settings) as database,
    ):
        placed = await to_thread.run_sync(list, read_jsonl(sample_path()))
        users = _users(placed)
        intake = await _take_in(client, database, embedder, settings, placed, says=says)
        says("compacting")
        # Thresholds without jitter, so that the same sample shows the same insight every time.
        await write_policy(database, ASKING.tenant, jitter=0, people="recruiters")
        reports = await compact(settings, tenant=ASKING.tenant, embedder=embedder)
        says("asking")
        context = await client.context(ASKING, QUESTION, budget=BUDGET)
        shown = Demonstration(
            intake=intake,
            status=await read_status(database, ASKING.tenant, language=settings.language),
            context=context,
            citations=await _citations(client, context),
            revision=await _revision(client, users),
            preference=await _made_by(client, users, "behaviour", MemoryKind.PREFERENCE),
            procedure=await _made_by(client, users, "procedures", MemoryKind.PROCEDURE),
            insight=await _insight(database),
            compaction=_compacted(reports),
            seconds=round(monotonic() - began, 3),
        )
    await embedder.aclose()
    return shown


def _compacted(reports: Sequence[JobReport]) -> dict[str, int]:
    """The changes that the jobs made, and the broken invariants that `verify` found."""
    done: dict[str, int] = {}
    for report in reports:
        for what, number in report.changed.items():
            done[what] = done.get(what, 0) + number
    some = {what: number for what, number in done.items() if number}
    return {**some, "breaches found": sum(report.found for report in reports)}


def _users(placed: Sequence[Located]) -> list[str]:
    """The sample's users, with the subject of the question first."""
    names = {one.interaction.scope.user for one in placed}
    return sorted(names, key=lambda name: (name != ASKING.user, name))


async def _take_in(
    client: AsyncMemoryClient,
    database: Database,
    embedder: Embedder,
    settings: Settings,
    placed: Sequence[Located],
    *,
    says: Callable[[str], None],
) -> Intake:
    says("recording the sample")
    began = monotonic()
    report = await import_interactions(client, placed)
    seconds = monotonic() - began
    says("extracting memories")
    worker = Worker(database, embedder, extractors_for(settings), settings)
    extracted = await worker.drain(ASKING.tenant)
    kinds: dict[str, int] = {}
    for one in placed:
        kinds[one.interaction.kind] = kinds.get(one.interaction.kind, 0) + 1
    return Intake(
        users=len(_users(placed)),
        sessions=len({(i.interaction.scope.user, i.interaction.session) for i in placed}),
        kinds=kinds,
        report=report,
        seconds=round(seconds, 3),
        extracted=extracted,
    )


async def _citations(client: AsyncMemoryClient, context: Context) -> tuple[Cited, ...]:
    found = []
    for citation, item in zip(context.citations, context.items, strict=True):
        if citation.tier is Tier.LONG_TERM:
            evidence = (await client.explain(ASKING, citation.memory)).evidence
            supporting = tuple(e for e in evidence if e.stance is Stance.SUPPORTS)
            found.append(Cited(citation.marker, citation.memory, item.score, supporting))
    return tuple(found)


async def _revision(client: AsyncMemoryClient, users: Sequence[str]) -> Revision | None:
    """A single-valued belief that a later one ended; preferably a move."""
    for user in users:
        scope = Scope(ASKING.tenant, user, ASKING.agent)
        held = [m for m in await client.history(scope, limit=1000) if m.single_valued]
        for ended in sorted(held, key=lambda m: (m.attribute != MOVED, m.id)):
            later = [m for m in held if _takes_over(m, ended)]
            if ended.supersedes and later:
                successor = await client.explain(scope, min(later, key=lambda m: m.id).id)
                first = (await client.explain(scope, ended.supersedes)).memory
                return Revision(user, first, ended, successor)
    return None


def _takes_over(memory: Memory, ended: Memory) -> bool:
    same = (memory.attribute, memory.subject) == (ended.attribute, ended.subject)
    return same and memory.value != ended.value and memory.valid_from == ended.valid_to


async def _made_by(
    client: AsyncMemoryClient, users: Sequence[str], extractor: str, kind: MemoryKind
) -> Shown | None:
    """The first memory of a kind that an extractor made of one of the users."""
    for user in users:
        scope = Scope(ASKING.tenant, user, ASKING.agent)
        for memory in await client.history(scope, kinds=[kind], limit=1000):
            if memory.provenance.extractor == extractor:
                return Shown(user, await client.explain(scope, memory.id))
    return None


async def _insight(database: Database) -> Insight | None:
    rows = await database.fetch(ASKING, "status.insights", {"limit": 1})
    return Insight(**rows[0]) if rows else None
