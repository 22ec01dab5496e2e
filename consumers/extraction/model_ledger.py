"""Keeps the ledger of model calls in Postgres; see `extractors.language_model.ledger`."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from extractors.language_model.ledger import AsksModels, Grounded, ModelCall
from extractors.language_model.prompts import Prompt
from extractors.protocol import Extractor
from memory.database import Database
from memory.errors import BudgetSpent, PromptChanged
from memory.models import Scope


@dataclass(frozen=True, slots=True)
class PostgresLedger:
    """Keeps calls under their tenant and user, each in a transaction of its own.

    What was paid for is written down at once, whatever becomes of the extraction that asked. Calls
    that are under way together are admitted together, so a budget may be passed by what those cost.

    daily_budget: in the currency of the price table; None: no limit.
    generation: whose memories the calls are for; None: the serving one's.
    """

    database: Database
    daily_budget: float | None = None
    generation: int | None = None

    async def use(self, prompt: Prompt) -> None:
        """Notes a prompt as it reads at first use; see `Ledger.use`."""
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
                f"prompt {prompt.name!r} version {prompt.version!r} reads otherwise than when it"
                f" was first used ({prompt.hash[:12]!r}, then {rows[0]['hash'][:12]!r}); give it a"
                f" new version, and see `memory prompts diff {prompt.name}`"
            )

    async def admit(self, scope: Scope) -> None:
        """Lets a call pass while the tenant has something left; see `Ledger.admit`."""
        if self.daily_budget is None:
            return
        row = (await self.database.fetch(scope, "models.spent_today"))[0]
        if row["spent"] >= self.daily_budget:
            raise BudgetSpent(
                f"tenant {scope.tenant!r} spent {row['spent']:.4f} of {self.daily_budget:g} on"
                f" models today; extraction goes on at midnight UTC, in {row['renewed']:.0f} s",
                row["renewed"],
            )

    async def kept_answer(self, scope: Scope, key: bytes) -> str | None:
        """The answer kept for the user; see `Ledger.kept_answer`."""
        rows = await self.database.fetch(scope, "models.answer", {"answer_key": key})
        return str(rows[0]["answer"]) if rows else None

    async def keep_answer(self, scope: Scope, key: bytes, answer: str) -> None:
        """Keeps a part of an answer; see `Ledger.keep_answer`."""
        params = {"answer_key": key, "answer": answer}
        await self.database.fetch(scope, "models.keep_answer", params)

    async def record(self, call: ModelCall, key: bytes | None, answer: str) -> None:
        """Writes a call down; see `Ledger.record`."""
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
            "answer_key": key,
            "answer": answer,
        }
        async with self.database.transaction(call.scope) as transaction:
            keys = {"tenant": call.scope.tenant, "user": call.scope.user}
            await transaction.fetch("models.record", {**keys, **params})

    async def ground(self, call: ModelCall, found: Grounded) -> None:
        """Adds how a call's proposals fared; see `Ledger.ground`."""
        params = {"call": call.id, "kept": found.kept, "refused": Jsonb(dict(found.refused))}
        await self.database.fetch(call.scope, "models.ground", params)


def keeping(extractors: Sequence[Extractor], ledger: PostgresLedger) -> list[Extractor]:
    """The same extractors; those that ask models do so over `ledger`."""
    return [e.keeping(ledger) if isinstance(e, AsksModels) else e for e in extractors]
