"""What a model call leaves behind, and the port through which it is kept.

Extractors stay free of storage: the worker hands in a `Ledger`, which
`consumers.extraction.model_ledger` keeps in Postgres. `NoLedger` keeps nothing, for extractors
that are used by themselves.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, Self, runtime_checkable
from uuid import UUID, uuid4

from extractors.language_model.prompts import Prompt
from extractors.protocol import Extractor
from memory.models import ModelTask, Provenance, Scope


class Outcome(StrEnum):
    """How a call to one model ended.

    ANSWERED: its answer fits the schema, at once.
    REPAIRED: it does at the second try, after the model was shown what was wrong.
    UNUSABLE: it does not at the second try either.
    REFUSED: the model declined, or its provider filtered the text.
    REJECTED: the server will not take the request as it is.
    UNAVAILABLE: no answer in time, however often it was asked.
    """

    ANSWERED = "answered"
    REPAIRED = "repaired"
    UNUSABLE = "unusable"
    REFUSED = "refused"
    REJECTED = "rejected"
    UNAVAILABLE = "unavailable"

    @property
    def usable(self) -> bool:
        """Whether there is an answer that fits the schema."""
        return self in (Outcome.ANSWERED, Outcome.REPAIRED)


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call as the ledger keeps it.

    scope: tenant and user, and the session where it was about one.
    requests: how many were sent, retries and repair included; 0 where the answer was kept.
    cost: in the currency of the price table; 0 for a model without a price.
    answer: of an unusable answer, what it said; else empty.
    """

    scope: Scope
    task: ModelTask
    prompt: Prompt
    model: str
    outcome: Outcome
    cached: bool = False
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    answer: str = ""
    id: UUID = field(default_factory=uuid4)

    def provenance(self, extractor: str, version: str) -> Provenance:
        """What made whatever an extractor reads off its answer."""
        prompt = self.prompt
        return Provenance(extractor, version, prompt.name, prompt.version, prompt.hash, self.model)


@dataclass(frozen=True, slots=True)
class Grounded:
    """How a call's proposals fared against the text: kept, and refused by reason."""

    kept: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)


def answer_key(prompt: Prompt, model: str, shown: str) -> bytes:
    """Under which an answer is kept; 32 bytes. The same model is asked the same once."""
    digest = hashlib.sha256()
    for part in (prompt.hash, model, shown):
        packed = part.encode()
        digest.update(b"%d:%s" % (len(packed), packed))
    return digest.digest()


class Ledger(Protocol):
    """Keeps what model calls cost and answered."""

    async def use(self, prompt: Prompt) -> None:
        """Notes a prompt as it reads at first use.

        Raises:
            PromptChanged: its version was used before, with another text.
        """
        ...

    async def admit(self, scope: Scope) -> None:
        """Lets a call pass that will cost something.

        Raises:
            BudgetSpent: the tenant's budget of the day is used up.
        """
        ...

    async def kept_answer(self, scope: Scope, key: bytes) -> str | None:
        """The answer kept for the user under `key`."""
        ...

    async def keep_answer(self, scope: Scope, key: bytes, answer: str) -> None:
        """Keeps a part of an answer for the user under a key of its own."""
        ...

    async def record(self, call: ModelCall, key: bytes | None, answer: str) -> None:
        """Writes a call down, and with a `key` keeps its answer."""
        ...

    async def ground(self, call: ModelCall, found: Grounded) -> None:
        """Adds to a recorded call how its proposals fared."""
        ...


@dataclass(frozen=True, slots=True)
class NoLedger:
    """Keeps nothing and lets everything pass."""

    async def use(self, prompt: Prompt) -> None:
        """Takes no notice."""

    async def admit(self, scope: Scope) -> None:
        """Lets it pass."""

    async def kept_answer(self, scope: Scope, key: bytes) -> str | None:  # noqa: ARG002
        """None."""
        return None

    async def keep_answer(self, scope: Scope, key: bytes, answer: str) -> None:
        """Takes no notice."""

    async def record(self, call: ModelCall, key: bytes | None, answer: str) -> None:
        """Takes no notice."""

    async def ground(self, call: ModelCall, found: Grounded) -> None:
        """Takes no notice."""


@runtime_checkable
class AsksModels(Extractor, Protocol):
    """An extractor that asks models, and wants a ledger for it."""

    @property
    def ledger(self) -> Ledger:
        """Where its calls are written down."""
        ...

    @property
    def replaces(self) -> frozenset[str]:
        """Extractors that would say the same: together with this one they are not asked."""
        ...

    def keeping(self, ledger: Ledger) -> Self:
        """The same extractor over `ledger`."""
        ...

    async def aclose(self) -> None:
        """Lets go of connections; may be called more than once."""
        ...
