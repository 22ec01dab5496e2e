"""Defines the record of a model call, and the port through which it is kept.

Extractors have no storage: the worker passes a `Ledger`, which `consumers.extraction.model_ledger`
keeps in Postgres. `NoLedger` keeps nothing, for extractors that are used by themselves.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, Self, runtime_checkable
from uuid import UUID, uuid4

from extractors.language_model.prompts import Prompt
from extractors.language_model.reasons import Reason
from extractors.protocol import Extractor
from memory.models import ModelTask, Provenance, Scope


class Outcome(StrEnum):
    """The outcome of a call to one model.

    ANSWERED: its answer fits the schema, at once.
    REPAIRED: its second answer does, after the model was shown the errors.
    UNUSABLE: its second answer does not either.
    REFUSED: the model declined, or its provider filtered the text.
    REJECTED: the server does not take the request as it is.
    UNAVAILABLE: no answer in time to any request.
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
    """One call in the ledger.

    scope: tenant and user, and the session if it was about one.
    requests: how many were sent, retries and repair included; 0 if the answer was kept.
    cost: in the currency of the price table; 0 for a model without a price.
    answer: the text of an unusable answer; else empty.
    reason: why the answer is not usable, or had to be repaired.
    detail: what the server said, and what was done to get and read the answer.
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
    reason: Reason | None = None
    detail: str = ""
    id: UUID = field(default_factory=uuid4)

    def provenance(self, extractor: str, version: str) -> Provenance:
        """Returns the provenance of what an extractor reads in its answer."""
        prompt = self.prompt
        return Provenance(extractor, version, prompt.name, prompt.version, prompt.hash, self.model)


@dataclass(frozen=True, slots=True)
class Grounded:
    """The results of checking a call's proposals: kept, and refused by reason."""

    kept: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FallbackReading:
    """A part of a session that was read without a model, as ordinals from `first` to `last`."""

    first: int
    last: int
    reason: str


def answer_key(prompt: Prompt, model: str, shown: str) -> bytes:
    """Returns the key of an answer, 32 bytes: the same model is asked the same question once."""
    digest = hashlib.sha256()
    for part in (prompt.hash, model, shown):
        packed = part.encode()
        digest.update(b"%d:%s" % (len(packed), packed))
    return digest.digest()


class Ledger(Protocol):
    """Keeps the costs and answers of model calls."""

    async def use(self, prompt: Prompt) -> None:
        """Notes the text of a prompt at its first use.

        Raises:
            PromptChanged: its version was used before, with another text.
        """
        ...

    async def admit(self, scope: Scope) -> None:
        """Admits a call that will cost something.

        Raises:
            BudgetSpent: the tenant's budget of the day is used up.
        """
        ...

    async def kept_answer(self, scope: Scope, key: bytes) -> str | None:
        """Returns the answer kept for the user under `key`."""
        ...

    async def keep_answer(self, scope: Scope, key: bytes, answer: str) -> None:
        """Keeps a part of an answer for the user under its own key."""
        ...

    async def record(self, call: ModelCall, key: bytes | None, answer: str) -> None:
        """Records a call, and with a `key` keeps its answer."""
        ...

    async def ground(self, call: ModelCall, found: Grounded) -> None:
        """Adds the results of checking to a recorded call."""
        ...

    def fell_back(self, reading: FallbackReading) -> None:
        """Notes that a part of the session at hand was read without a model."""
        ...


@dataclass(frozen=True, slots=True)
class NoLedger:
    """Keeps nothing and admits every call."""

    async def use(self, prompt: Prompt) -> None:
        """Does nothing."""

    async def admit(self, scope: Scope) -> None:
        """Admits every call."""

    async def kept_answer(self, scope: Scope, key: bytes) -> str | None:  # noqa: ARG002
        return None

    async def keep_answer(self, scope: Scope, key: bytes, answer: str) -> None:
        """Does nothing."""

    async def record(self, call: ModelCall, key: bytes | None, answer: str) -> None:
        """Does nothing."""

    async def ground(self, call: ModelCall, found: Grounded) -> None:
        """Does nothing."""

    def fell_back(self, reading: FallbackReading) -> None:
        """Does nothing."""


@runtime_checkable
class AsksModels(Extractor, Protocol):
    """An extractor that asks models, and needs a ledger for it."""

    @property
    def ledger(self) -> Ledger:
        """The ledger of its calls."""
        ...

    @property
    def replaces(self) -> frozenset[str]:
        """Extractors that would say the same: they do not run together with this one."""
        ...

    def keeping(self, ledger: Ledger) -> Self:
        """Returns the same extractor with `ledger`."""
        ...

    async def aclose(self) -> None:
        """Closes connections; may be called more than once."""
        ...
