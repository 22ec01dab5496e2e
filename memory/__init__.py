"""The store and the retrieval API: `from memory import MemoryClient, Scope`.

What this package and its modules `client`, `models`, `errors`, `settings`, `embedding`,
`database`, `embedded` and `migrate` export is public and follows semantic versioning.
The other packages are private.

Everything but the errors is imported at first use, so that a program that needs only a value or an
error does not load the database driver.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from memory.errors import (
    AdministratorNeeded,
    BrokenStream,
    BudgetSpent,
    BusLoginRefused,
    BusRefused,
    BusUnavailable,
    ClientNotOpen,
    ConcurrentWrite,
    ConfigurationError,
    EmbeddedServerFailed,
    EmbedderMismatch,
    EmbeddingFailed,
    ExperientialMemoryError,
    ExtractionFailed,
    ExtractionWaits,
    ForgottenId,
    GenerationMismatch,
    IllegalMove,
    InteractionConflict,
    InteractionTooLarge,
    InvalidImport,
    InvalidInput,
    InvalidInteraction,
    InvalidScope,
    LeaseLost,
    LockTimeout,
    LoginRefused,
    LogTruncated,
    MigrationChanged,
    MissingDependency,
    MissingEmbeddingModel,
    ModelFailed,
    NaiveTime,
    NewerSchema,
    NotApplied,
    NotMigrated,
    PoolExhausted,
    PositionLost,
    PreparedStatementLost,
    PromptChanged,
    QuotaExceeded,
    ReadOnlyServer,
    ReadOnlyStore,
    RerankingFailed,
    RetentionGap,
    SensitiveContent,
    StatementTimeout,
    StoreError,
    StoreExhausted,
    StoreUnavailable,
    TenantRefused,
    TenantSuspended,
    TopicRecreated,
    UnknownGeneration,
    UnknownInteraction,
    UnknownMemory,
    UnknownProposal,
    UnknownTopic,
    UnlistedTenant,
    UnsupportedDatabase,
    UnsupportedPooler,
    UnsupportedSchema,
    UnusableAnswer,
    WrongDimension,
    WrongTenant,
)

if TYPE_CHECKING:
    from memory.beliefs.collective import (
        CollectiveExplanation,
    )
    from memory.beliefs.erasure import (
        Forgotten,
    )
    from memory.beliefs.retraction import (
        Revised,
    )
    from memory.beliefs.review import (
        Decision,
        Example,
        Proposal,
        Reviewed,
    )
    from memory.client import (
        AsyncMemoryClient,
        AsyncTaskState,
        MemoryClient,
        TaskState,
    )
    from memory.context.assembly import (
        Citation,
        Context,
        Shares,
    )
    from memory.embedding import (
        Embedder,
    )
    from memory.log.interactions import (
        Position,
    )
    from memory.models import (
        Candidate,
        Evidence,
        Explanation,
        Interaction,
        InteractionKind,
        Memory,
        MemoryKind,
        ModelTask,
        Origin,
        Provenance,
        Recall,
        RecalledMemory,
        Receipt,
        Retraction,
        Role,
        Scope,
        Stance,
        Tier,
        Trust,
    )
    from memory.recall.reranking import (
        HttpReranker,
        Reranker,
    )
    from memory.settings import (
        KafkaOptions,
        ModelPrice,
        Settings,
    )

_HOMES = {
    "memory.beliefs.collective": ("CollectiveExplanation",),
    "memory.beliefs.erasure": ("Forgotten",),
    "memory.beliefs.retraction": ("Revised",),
    "memory.beliefs.review": ("Decision", "Example", "Proposal", "Reviewed"),
    "memory.client": (
        "AsyncMemoryClient",
        "AsyncTaskState",
        "MemoryClient",
        "TaskState",
    ),
    "memory.context.assembly": (
        "Citation",
        "Context",
        "Shares",
    ),
    "memory.embedding": ("Embedder",),
    "memory.log.interactions": ("Position",),
    "memory.models": (
        "Candidate",
        "Evidence",
        "Explanation",
        "Interaction",
        "InteractionKind",
        "Memory",
        "MemoryKind",
        "ModelTask",
        "Origin",
        "Provenance",
        "Recall",
        "RecalledMemory",
        "Receipt",
        "Retraction",
        "Role",
        "Scope",
        "Stance",
        "Tier",
        "Trust",
    ),
    "memory.recall.reranking": (
        "HttpReranker",
        "Reranker",
    ),
    "memory.settings": (
        "KafkaOptions",
        "ModelPrice",
        "Settings",
    ),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AdministratorNeeded",
    "AsyncMemoryClient",
    "AsyncTaskState",
    "BrokenStream",
    "BudgetSpent",
    "BusLoginRefused",
    "BusRefused",
    "BusUnavailable",
    "Candidate",
    "Citation",
    "ClientNotOpen",
    "CollectiveExplanation",
    "ConcurrentWrite",
    "ConfigurationError",
    "Context",
    "Decision",
    "EmbeddedServerFailed",
    "Embedder",
    "EmbedderMismatch",
    "EmbeddingFailed",
    "Evidence",
    "Example",
    "ExperientialMemoryError",
    "Explanation",
    "ExtractionFailed",
    "ExtractionWaits",
    "Forgotten",
    "ForgottenId",
    "GenerationMismatch",
    "HttpReranker",
    "IllegalMove",
    "Interaction",
    "InteractionConflict",
    "InteractionKind",
    "InteractionTooLarge",
    "InvalidImport",
    "InvalidInput",
    "InvalidInteraction",
    "InvalidScope",
    "KafkaOptions",
    "LeaseLost",
    "LockTimeout",
    "LogTruncated",
    "LoginRefused",
    "Memory",
    "MemoryClient",
    "MemoryKind",
    "MigrationChanged",
    "MissingDependency",
    "MissingEmbeddingModel",
    "ModelFailed",
    "ModelPrice",
    "ModelTask",
    "NaiveTime",
    "NewerSchema",
    "NotApplied",
    "NotMigrated",
    "Origin",
    "PoolExhausted",
    "Position",
    "PositionLost",
    "PreparedStatementLost",
    "PromptChanged",
    "Proposal",
    "Provenance",
    "QuotaExceeded",
    "ReadOnlyServer",
    "ReadOnlyStore",
    "Recall",
    "RecalledMemory",
    "Receipt",
    "Reranker",
    "RerankingFailed",
    "RetentionGap",
    "Retraction",
    "Reviewed",
    "Revised",
    "Role",
    "Scope",
    "SensitiveContent",
    "Settings",
    "Shares",
    "Stance",
    "StatementTimeout",
    "StoreError",
    "StoreExhausted",
    "StoreUnavailable",
    "TaskState",
    "TenantRefused",
    "TenantSuspended",
    "Tier",
    "TopicRecreated",
    "Trust",
    "UnknownGeneration",
    "UnknownInteraction",
    "UnknownMemory",
    "UnknownProposal",
    "UnknownTopic",
    "UnlistedTenant",
    "UnsupportedDatabase",
    "UnsupportedPooler",
    "UnsupportedSchema",
    "UnusableAnswer",
    "WrongDimension",
    "WrongTenant",
]


def __getattr__(name: str) -> Any:
    """Imports an exported name from its module, once."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOME[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
