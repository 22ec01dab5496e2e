"""Everything that can go wrong, in one tree; driver errors are translated in `memory.database`.

    ExperientialMemoryError
    ├── InvalidInput                a value the caller sent cannot be accepted
    │   ├── InvalidInteraction      an interaction breaks the envelope's schema or limits
    │   │   ├── InteractionTooLarge
    │   │   └── NaiveTime
    │   ├── InteractionConflict     a known interaction id came back with other content
    │   ├── InvalidScope
    │   ├── ForgottenId             the interaction id was forgotten and stays forgotten
    │   ├── WrongDimension          a vector does not have the dimension of its embedder
    │   ├── InvalidImport           a file to import breaks at a line
    │   ├── UnknownMemory           no memory with this id in this scope
    │   ├── UnknownInteraction      no interaction with this id in this user's log
    │   ├── UnknownGeneration       no generation has this name
    │   └── IllegalMove             a generation cannot go there from where it is
    ├── ClientNotOpen               a client was called before open() or after close()
    ├── ConfigurationError          the installation has to change before this can work
    │   ├── MissingDependency
    │   ├── MissingEmbeddingModel
    │   ├── UnsupportedDatabase     too old, or without pgvector
    │   ├── UnsupportedSchema       made before the baseline, and no way leads up from it
    │   ├── NewerSchema             migrated by a newer release of this package
    │   ├── MigrationChanged        an applied migration no longer reads as it did
    │   ├── NotMigrated
    │   ├── PromptChanged           a prompt reads otherwise under a version that was used
    │   ├── EmbedderMismatch        the store's vectors were made by another embedder
    │   ├── GenerationMismatch      a generation is made by extractors that are not installed
    │   ├── UnknownTopic            the brokers have no topic of this name
    │   ├── BusRefused              the brokers will not let this client write or read
    │   └── EmbeddedServerFailed
    ├── StoreUnavailable            retriable: the database cannot be reached now
    │   └── LockTimeout             retriable
    ├── BusUnavailable              retriable: no acknowledgement; what was sent may be on the bus
    ├── NotApplied                  retriable: on the bus, and not in the log in time
    ├── BrokenStream                a topic does not go on where the log stands; an operator decides
    │   ├── RetentionGap            records were deleted before they were applied
    │   ├── LogTruncated            the topic ends before the position: brokers lost records
    │   └── TopicRecreated          the topic was deleted, and another one made under its name
    ├── PositionLost                retriable: another process took partitions over
    ├── ConcurrentWrite             retriable: another writer won; nothing was changed
    ├── LeaseLost                   retriable: another worker holds the user; nothing was committed
    ├── ExtractionWaits             retriable: a model will serve this tenant again at a known time
    │   └── BudgetSpent             retriable: the tenant's model budget of the day is used up
    ├── ModelFailed                 retriable: no configured language model answered
    ├── EmbeddingFailed             retriable: the embedding service did not answer
    ├── RerankingFailed             retriable: the reranker did not answer
    ├── ExtractionFailed            an extractor broke on a session; its progress was not moved
    │   └── UnusableAnswer          a model's answer broke the schema, and so did its repair
    └── StoreError                  the database refused a statement for a reason of its own

`retriable` says whether the same call may succeed later with nothing changed. Only the loops in
`consumers` act on it.
"""

from typing import ClassVar


class ExperientialMemoryError(Exception):
    """Root of every error this package raises on purpose."""

    retriable: ClassVar[bool] = False


class InvalidInput(ExperientialMemoryError):
    """A value the caller sent cannot be accepted."""


class InvalidInteraction(InvalidInput):
    """An interaction breaks the envelope's schema or limits."""


class InteractionTooLarge(InvalidInteraction):
    """Content or payload is over the stated limit."""


class NaiveTime(InvalidInteraction):
    """A time without a zone was given; event times are always aware."""


class InteractionConflict(InvalidInput):
    """A known interaction id came back with other content."""


class InvalidScope(InvalidInput):
    """A scope lacks what the call needs, or names an empty tenant or user."""


class ForgottenId(InvalidInput):
    """The interaction id was forgotten and stays forgotten."""


class WrongDimension(InvalidInput):
    """A vector does not have the dimension its embedder declares."""


class InvalidImport(InvalidInput):
    """A file to import breaks at a line; everything before it was accepted."""


class UnknownMemory(InvalidInput):
    """No memory with this id exists in this scope."""


class UnknownInteraction(InvalidInput):
    """No interaction with this id is in this user's log, or no longer."""


class UnknownGeneration(InvalidInput):
    """No generation has this name."""


class IllegalMove(InvalidInput):
    """A generation cannot go there from where it is; the message says what has to come first."""


class ClientNotOpen(ExperientialMemoryError, RuntimeError):
    """A client was called before `open()` or after `close()`."""


class ConfigurationError(ExperientialMemoryError):
    """The installation has to change before this can work."""


class MissingDependency(ConfigurationError):
    """An optional package is needed; the message names the extra that brings it."""


class MissingEmbeddingModel(ConfigurationError):
    """The packaged embedding model was not set up; the message says how to get it."""


class UnsupportedDatabase(ConfigurationError):
    """The database is too old or lacks pgvector."""


class UnsupportedSchema(ConfigurationError):
    """The database was made by migrations of before the baseline, and no way leads up from it."""


class NewerSchema(ConfigurationError):
    """The database was migrated by a newer release of this package."""


class MigrationChanged(ConfigurationError):
    """A migration that was applied no longer reads as it did then."""


class NotMigrated(ConfigurationError):
    """The database lacks migrations this release needs."""


class EmbedderMismatch(ConfigurationError):
    """The store's vectors were made by another embedder than the one configured."""


class GenerationMismatch(ConfigurationError):
    """A generation is made by extractors that are not installed, or in another version."""


class UnknownTopic(ConfigurationError):
    """The brokers have no topic of this name; nothing creates one by accident."""


class BusRefused(ConfigurationError):
    """The brokers will not let this client in, or not write or read the topic."""


class PromptChanged(ConfigurationError):
    """A prompt reads otherwise than it did when its version was first used; give it a new one."""


class EmbeddedServerFailed(ConfigurationError):
    """The embedded Postgres could not be set up or started."""


class StoreUnavailable(ExperientialMemoryError):
    """The database cannot be reached now."""

    retriable = True


class LockTimeout(StoreUnavailable):
    """A lock was not free in time; nothing was changed."""


class BusUnavailable(ExperientialMemoryError):
    """The bus did not acknowledge in time: record again, under the same ids, until it does.

    What was sent may have reached it all the same; an id that comes twice is applied once.
    """

    retriable = True


class NotApplied(ExperientialMemoryError):
    """An interaction is on the bus and was not in the log within the time given."""

    retriable = True


class BrokenStream(ExperientialMemoryError):
    """A topic does not go on where the log stands, so something is or would be lost."""


class RetentionGap(BrokenStream):
    """The topic begins after our position: records were deleted before they were applied."""


class LogTruncated(BrokenStream):
    """The topic ends before our position: the brokers lost records that they had handed out."""


class TopicRecreated(BrokenStream):
    """The topic was deleted, and another one made under its name: positions mean nothing there."""


class PositionLost(ExperientialMemoryError):
    """Another process took partitions over; nothing was committed, and it goes on with them."""

    retriable = True


class ConcurrentWrite(ExperientialMemoryError):
    """Another writer won; nothing was changed and the call may be repeated."""

    retriable = True


class LeaseLost(ExperientialMemoryError):
    """Another worker holds the user now; nothing was committed."""

    retriable = True


class ExtractionWaits(ExperientialMemoryError):
    """A model will serve this tenant again in `seconds`; until then its extraction is due later."""

    retriable = True

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class BudgetSpent(ExtractionWaits):
    """The tenant's model budget of the day is used up; it is renewed in `seconds`."""


class ModelFailed(ExperientialMemoryError):
    """No configured language model answered; the same call may succeed later."""

    retriable = True


class EmbeddingFailed(ExperientialMemoryError):
    """The embedding service did not answer."""

    retriable = True


class RerankingFailed(ExperientialMemoryError):
    """The reranker did not answer; recall goes on without it."""

    retriable = True


class ExtractionFailed(ExperientialMemoryError):
    """An extractor broke on a session; its progress was not moved."""


class UnusableAnswer(ExtractionFailed):
    """A model's answer broke the schema, and so did its repair; the ledger keeps what it said."""


class StoreError(ExperientialMemoryError):
    """The database refused a statement for a reason of its own."""
