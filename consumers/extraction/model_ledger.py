"""Stores the ledger of model calls in Postgres; see `extractors.language_model.ledger`."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from psycopg.types.json import Jsonb

from extractors.language_model.ledger import (
    AsksModels,
    FallbackReading,
    Grounded,
    ModelCall,
)
from extractors.language_model.prompts import Prompt
from extractors.protocol import Extractor
from memory.database import Database
from memory.errors import BudgetSpent, PromptChanged
from memory.models import Scope


@dataclass(frozen=True, slots=True)
class PostgresLedger:
    """Stores calls under their tenant and user, each in its own transaction.

    A paid call is written at once, whatever happens to the extraction that asked. Concurrent calls
    are admitted together, so a budget may be exceeded by the cost of those.

    daily_budget: in the currency of the price table; None: no limit. A tenant's own quota of tokens
        holds beside it.
    generation: the generation that the calls are for; None: the serving one.
    fallbacks: what was read without a model since they were last taken.
    """

    database: Database
    daily_budget: float | None = None
    generation: int | None = None
    fallbacks: list[FallbackReading] = field(default_factory=list)

    async def use(self, prompt: Prompt) -> None:
        """Notes the text of a prompt at first use; see `Ledger.use`."""
        params = {
            "name": prompt.name,
            "version": prompt.version,
            "hash": prompt.hash,
            "text": prompt.source,
            "response": Jsonb(prompt.schema),
        }
        rows = await self.database.fetch_system("models.use_prompt", params)
        if rows and rows[0]["hash"] != prompt.hash:
            raise PromptChanged(
                f"prompt {prompt.name!r} version {prompt.version!r} has changed since its"
                f" first use ({prompt.hash[:12]!r}, then {rows[0]['hash'][:12]!r}); raise its"
                f" version, and see `memory prompts diff {prompt.name}`"
            )

    async def admit(self, scope: Scope) -> None:
        (row,) = await self.database.fetch(scope, "models.spent_today")
        budget, tokens = self.daily_budget, row["most_tokens"]
        if budget is not None and row["spent"] >= budget:
            spent = f"spent {row['spent']:.4f} of {budget:g} on models"
        elif tokens is not None and row["tokens"] >= tokens:
            spent = f"used {row['tokens']:,} of {tokens:,} tokens of models"
        else:
            return
        raise BudgetSpent(
            f"tenant {scope.tenant!r} {spent} today; extraction continues at midnight UTC, in"
            f" {row['renewed']:.0f} s",
            row["renewed"],
        )

    async def kept_answer(self, scope: Scope, key: bytes) -> str | None:
        rows = await self.database.fetch(scope, "models.answer", {"answer_key": key})
        return str(rows[0]["answer"]) if rows else None

    async def keep_answer(self, scope: Scope, key: bytes, answer: str) -> None:
        params = {"answer_key": key, "answer": answer}
        await self.database.fetch(scope, "models.keep_answer", params)

    async def record(self, call: ModelCall, key: bytes | None, answer: str) -> None:
        params = {
            "call": call.id,
            "session": call.scope.session,
            "generation": self.generation,
            "task": call.task.value,
            "prompt": call.prompt.name,
            "version": call.prompt.version,
            "hash": call.prompt.hash,
            "model": call.model,
            "outcome": call.outcome.value,
            "cached": call.cached,
            "requests": call.requests,
            "input": call.input_tokens,
            "output": call.output_tokens,
            "cost": call.cost,
            "seconds": call.seconds,
            # Postgres keeps no NUL, and an answer that breaks the schema may hold anything.
            "unusable": call.answer.replace("\x00", "\ufffd"),
            "reason": call.reason.value if call.reason else None,
            "detail": call.detail.replace("\x00", "\ufffd"),
            "answer_key": key,
            "answer": answer,
        }
        async with self.database.transaction(call.scope) as transaction:
            keys = {"tenant": call.scope.tenant, "user": call.scope.user}
            await transaction.fetch("models.record", {**keys, **params})

    async def ground(self, call: ModelCall, found: Grounded) -> None:
        params = {"call": call.id, "kept": found.kept, "refused": Jsonb(dict(found.refused))}
        await self.database.fetch(call.scope, "models.ground", params)

    def fell_back(self, reading: FallbackReading) -> None:
        self.fallbacks.append(reading)

    def take_fallbacks(self) -> list[FallbackReading]:
        """Returns what was read without a model since the last call."""
        taken = list(self.fallbacks)
        self.fallbacks.clear()
        return taken


def keeping(extractors: Sequence[Extractor], ledger: PostgresLedger) -> list[Extractor]:
    """Returns the same extractors; those that ask models do so with `ledger`."""
    return [e.keeping(ledger) if isinstance(e, AsksModels) else e for e in extractors]
