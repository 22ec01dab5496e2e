"""Defines every error of this package in one tree; `memory.database` translates driver errors.

    ExperientialMemoryError
    ├── InvalidInput                the caller sent a value that cannot be accepted
    │   ├── InvalidInteraction      an interaction breaks the envelope's schema or limits
    │   │   ├── InteractionTooLarge
    │   │   └── NaiveTime
    │   ├── InteractionConflict     an interaction id is in the log with different content
    │   ├── InvalidScope
    │   │   └── WrongTenant         the database login is not the tenant's that a call names
    │   ├── SensitiveContent        the tenant's policy refuses what an interaction holds
    │   ├── ForgottenId             the interaction id was forgotten and stays refused
    │   ├── WrongDimension          a vector does not have the dimension of its embedder
    │   ├── InvalidImport           an import file has a bad line
    │   ├── UnknownMemory           no memory with this id in this scope
    │   ├── UnknownInteraction      no interaction with this id in this user's log
    │   ├── UnknownProposal         nothing of this user's waits for review under this id
    │   ├── UnknownGeneration       no generation has this name
    │   └── IllegalMove             the generation's state does not allow this move
    ├── TenantRefused               the store does not serve this tenant, or not now
    │   ├── UnlistedTenant          only listed tenants are served
    │   ├── TenantSuspended         an operator suspended the tenant
    │   └── QuotaExceeded           the tenant has used up a quota; it can still read
    ├── ClientNotOpen               a client was called before open() or after close()
    ├── ConfigurationError          the installation has to change first
    │   ├── MissingDependency
    │   ├── MissingEmbeddingModel
    │   ├── UnsupportedDatabase     too old, or without pgvector
    │   ├── UnsupportedPooler       mixes up its clients' prepared statements
    │   │   └── PreparedStatementLost   retriable: also a StoreUnavailable
    │   ├── ReadOnlyStore           a write where only reads are possible
    │   │   └── ReadOnlyServer      retriable: also a StoreUnavailable
    │   ├── UnsupportedSchema       older than the baseline, and no upgrade exists for it
    │   ├── NewerSchema             migrated by a newer release of this package
    │   ├── MigrationChanged        the text of an applied migration has changed
    │   ├── NotMigrated
    │   ├── AdministratorNeeded     the login role may not migrate; the message has the SQL
    │   ├── PromptChanged           a prompt's text changed but its version did not
    │   ├── EmbedderMismatch        another embedder made the store's vectors
    │   ├── GenerationMismatch      a generation's extractors are not installed
    │   ├── LoginRefused            retriable: also a StoreUnavailable; a rotation may explain it
    │   ├── UnknownTopic            the brokers have no topic of this name
    │   ├── BusRefused              the brokers do not let this client write or read
    │   │   └── BusLoginRefused     retriable: also a BusUnavailable
    │   └── EmbeddedServerFailed
    ├── StoreUnavailable            retriable: the database cannot be reached now
    │   ├── StoreExhausted          retriable: the server lacks disk, memory or connections
    │   ├── LockTimeout             retriable
    │   ├── StatementTimeout        retriable
    │   └── PoolExhausted           retriable: all connections of this process are in use
    ├── BusUnavailable              retriable: not acknowledged; the messages may be on the bus
    ├── NotApplied                  retriable: on the bus, but not in the log in time
    ├── BrokenStream                a topic does not continue at the log's position
    │   ├── RetentionGap            records were deleted before they were applied
    │   ├── LogTruncated            the topic ends before the position: brokers lost records
    │   └── TopicRecreated          the topic was deleted and created again
    ├── PositionLost                retriable: another process took over partitions
    ├── ConcurrentWrite             retriable: another writer won; nothing was changed
    ├── LeaseLost                   retriable: another worker holds the user; nothing was committed
    ├── ExtractionWaits             retriable: a model refuses this tenant until a known time
    │   └── BudgetSpent             retriable: the tenant has spent its model budget of the day
    ├── ModelFailed                 retriable: no configured language model answered
    ├── EmbeddingFailed             retriable: the embedding service did not answer
    ├── RerankingFailed             retriable: the reranker did not answer
    ├── ExtractionFailed            an extractor failed on a session; its progress stays
    │   └── UnusableAnswer          a model's answer and its one repair both violate the schema
    └── StoreError                  the database refused a statement for another reason

`retriable` says whether the same call may succeed later with nothing changed. Only the loops in
`consumers` act on it.
"""

from typing import ClassVar

HIDDEN = "\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f"
"""Characters that steer what shows a text, as a class of a pattern: control characters, line
separators, those that override the direction, and Unicode's tags."""


class ExperientialMemoryError(Exception):
    """The root of every error that this package raises on purpose."""

    retriable: ClassVar[bool] = False


class InvalidInput(ExperientialMemoryError):
    """The caller sent a value that cannot be accepted."""


class InvalidInteraction(InvalidInput):
    """An interaction breaks the envelope's schema or limits.

    `fault` is the message without the refused value: it names the field, the kind of fault and the
    value's type and length. Dead letters and logs show it, because others read them.
    """

    def __init__(self, message: str, fault: str | None = None) -> None:
        super().__init__(message)
        self.fault = message if fault is None else fault


class InteractionTooLarge(InvalidInteraction):
    """Content or payload is over its limit."""


class NaiveTime(InvalidInteraction):
    """A time has no zone; event times are always aware."""


class InteractionConflict(InvalidInput):
    """The interaction id is in the log with different content."""


class InvalidScope(InvalidInput):
    """A scope lacks a part that the call needs, or one of its parts is not a valid name."""


class WrongTenant(InvalidScope):
    """The database login is one tenant's, and the call names another tenant."""


class ForgottenId(InvalidInput):
    """The interaction id was forgotten, and stays refused."""


class SensitiveContent(InvalidInput):
    """The tenant's policy refuses a secret or personal data that an interaction holds.

    classes: what it holds of what is refused, by the names that the policy has for them.
    place: where the first of them is: `content`, `actor`, or a path into `payload`. Neither these
        nor the message hold the value.
    """

    def __init__(self, message: str, classes: tuple[str, ...] = (), place: str = "") -> None:
        super().__init__(message)
        self.classes = classes
        self.place = place


class WrongDimension(InvalidInput):
    """A vector does not have the dimension that its embedder declares."""


class InvalidImport(InvalidInput):
    """A file to import has a bad line; everything before it was accepted."""


class UnknownMemory(InvalidInput):
    """No memory in this scope has this id."""


class UnknownInteraction(InvalidInput):
    """No interaction in this user's log has this id, or no longer."""


class UnknownProposal(InvalidInput):
    """Nothing of this user's, or of this tenant's, waits for review under this id."""


class UnknownGeneration(InvalidInput):
    """No generation has this name."""


class IllegalMove(InvalidInput):
    """The generation's state does not allow this move; the message says what has to come first."""


class TenantRefused(ExperientialMemoryError):
    """The store does not serve this tenant, or not now; an operator decides about that."""


class UnlistedTenant(TenantRefused):
    """The store serves listed tenants only, and this one is not listed; nothing was created."""


class TenantSuspended(TenantRefused):
    """An operator suspended the tenant: nothing of it is read or written until it is resumed."""


class QuotaExceeded(TenantRefused):
    """The tenant has used up a quota of what it may record; the message says which."""


class ClientNotOpen(ExperientialMemoryError, RuntimeError):
    """A client was called before `open()`, after `close()`, or in a process forked since."""


class ConfigurationError(ExperientialMemoryError):
    """The installation has to change before this can work."""


class MissingDependency(ConfigurationError):
    """An optional package is needed; the message names the extra that installs it."""


class MissingEmbeddingModel(ConfigurationError):
    """The packaged embedding model is not installed; the message says how to get it."""


class UnsupportedDatabase(ConfigurationError):
    """The database is too old or lacks pgvector."""


class UnsupportedPooler(ConfigurationError):
    """A pooler does not keep the prepared statements of its clients apart."""


class ReadOnlyStore(ConfigurationError):
    """The client only reads, or its database is a standby; the message says what to set."""


class UnsupportedSchema(ConfigurationError):
    """The database is older than the baseline of migrations, and no upgrade exists for it."""


class NewerSchema(ConfigurationError):
    """A newer release of this package migrated the database."""


class MigrationChanged(ConfigurationError):
    """The text of an applied migration has changed."""


class NotMigrated(ConfigurationError):
    """The database lacks migrations that this release needs."""


class AdministratorNeeded(ConfigurationError):
    """The login role lacks privileges for the migration; the message has the SQL that it takes."""


class EmbedderMismatch(ConfigurationError):
    """The configured embedder is not the one that made the store's vectors."""


class GenerationMismatch(ConfigurationError):
    """A generation needs extractors, or versions of them, that are not installed."""


class UnknownTopic(ConfigurationError):
    """The brokers have no topic of this name; nothing creates one by accident."""


class BusRefused(ConfigurationError):
    """The brokers refuse this client, or do not let it write or read the topic."""


class PromptChanged(ConfigurationError):
    """The text of a prompt changed but its version did not; raise the version."""


class EmbeddedServerFailed(ConfigurationError):
    """The embedded Postgres could not be set up or started."""


class StoreUnavailable(ExperientialMemoryError):
    """The database cannot be reached now."""

    retriable = True


class ReadOnlyServer(ReadOnlyStore, StoreUnavailable):
    """The database takes no writes now: it is a standby, or was set to read only.

    It is retriable, because a failover or an operator ends that: loops wait. One-shot commands end
    as with any ConfigurationError.
    """


class PreparedStatementLost(UnsupportedPooler, StoreUnavailable):
    """A connection that served before lacks a prepared statement, or has another one of its name.

    It is retriable, because a pooler that was taken for good renews its connections to the server:
    somebody who shares them may have dropped the statement.
    """


class LoginRefused(ConfigurationError, StoreUnavailable):
    """The database refuses the login, or the file with its URL cannot be read.

    It is retriable, because a password that is rotated is refused until its file is renewed: loops
    wait, and read the file again. One-shot commands end as with any ConfigurationError.
    """


class StoreExhausted(StoreUnavailable):
    """The database server lacks disk space, memory or connections."""


class LockTimeout(StoreUnavailable):
    """A lock was not free in time; nothing was changed."""


class StatementTimeout(StoreUnavailable):
    """A statement took longer than MEMORY_STATEMENT_TIMEOUT, or was cancelled; nothing changed."""


class PoolExhausted(StoreUnavailable):
    """All connections that this process may open were in use for too long."""


class BusUnavailable(ExperientialMemoryError):
    """The bus did not acknowledge in time; record again with the same ids until it does.

    The messages may have arrived all the same; an id that arrives twice is applied once.
    """

    retriable = True


class BusLoginRefused(BusRefused, BusUnavailable):
    """The brokers refuse the login, or the file with its password cannot be read.

    It is retriable as LoginRefused is.
    """


class NotApplied(ExperientialMemoryError):
    """An interaction is on the bus but did not reach the log in time."""

    retriable = True


class BrokenStream(ExperientialMemoryError):
    """A topic does not continue at the log's position, so records are or would be lost.

    An operator decides how to go on; see docs/ingest.md.
    """


class RetentionGap(BrokenStream):
    """The topic begins after our position: records were deleted before they were applied."""


class LogTruncated(BrokenStream):
    """The topic ends before our position: the brokers lost records that they had served."""


class TopicRecreated(BrokenStream):
    """The topic was deleted and created again, so the stored positions mean nothing."""


class PositionLost(ExperientialMemoryError):
    """Another process took over partitions and continues there; nothing was committed."""

    retriable = True


class ConcurrentWrite(ExperientialMemoryError):
    """Another writer won; nothing was changed, and the call may be repeated."""

    retriable = True


class LeaseLost(ExperientialMemoryError):
    """Another worker holds the user now; nothing was committed."""

    retriable = True


class ExtractionWaits(ExperientialMemoryError):
    """The model accepts no requests of this tenant for `seconds`; extraction waits until then."""

    retriable = True

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class BudgetSpent(ExtractionWaits):
    """The tenant has spent its model budget of the day; it is renewed in `seconds`."""


class ModelFailed(ExperientialMemoryError):
    """No configured language model answered; the same call may succeed later.

    reason: why the last one did not, as `memory calls` shows it.
    """

    retriable = True

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class EmbeddingFailed(ExperientialMemoryError):
    """The embedding service did not answer."""

    retriable = True


class RerankingFailed(ExperientialMemoryError):
    """The reranker did not answer; recall continues without it."""

    retriable = True


class ExtractionFailed(ExperientialMemoryError):
    """An extractor failed on a session; the session's progress did not move."""


class UnusableAnswer(ExtractionFailed):
    """A model's answer and its one repair both violate the schema; see `memory calls`.

    reason: what was wrong, as `memory calls` shows it.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class StoreError(ExperientialMemoryError):
    """The database refused a statement for a reason that no other error covers."""
