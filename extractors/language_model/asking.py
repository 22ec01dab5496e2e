"""Gets a checked answer: from kept answers first, then from each model, with one repair each.

Every call is written to the ledger before its answer is used.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Generic, Self, TypeVar

from pydantic import BaseModel, ValidationError

from extractors.language_model.endpoint import (
    Endpoint,
    Message,
    NoAnswer,
    Reply,
    RetryPolicy,
)
from extractors.language_model.ledger import (
    Ledger,
    ModelCall,
    NoLedger,
    Outcome,
    answer_key,
)
from extractors.language_model.prompts import Prompt, prompts
from memory.errors import ConfigurationError, ExtractionWaits, ModelFailed, UnusableAnswer
from memory.models import ModelTask, Provenance, Scope
from memory.settings import ModelPrice, Settings

logger = logging.getLogger(__name__)

A = TypeVar("A", bound=BaseModel)
MILLION = 1_000_000
PROVIDER = "openai"

REPAIR = """That is not the JSON that was asked for: {errors}.
Answer again with the whole of it, corrected, and nothing else."""


@dataclass(frozen=True, slots=True)
class Asked(Generic[A]):
    """A checked answer and the call that brought it."""

    answer: A
    call: ModelCall

    def provenance(self, extractor: str, version: str) -> Provenance:
        """Returns the provenance of what an extractor reads in the answer."""
        return self.call.provenance(extractor, version)


class Asker:
    """Asks the models of one task, in fallback order."""

    def __init__(
        self,
        task: ModelTask,
        endpoints: Sequence[Endpoint],
        prices: Mapping[str, ModelPrice],
        ledger: Ledger,
    ) -> None:
        self._task = task
        self._endpoints = endpoints
        self._prices = prices
        self.ledger = ledger

    def keeping(self, ledger: Ledger) -> Self:
        """Returns the same models with another ledger."""
        return type(self)(self._task, self._endpoints, self._prices, ledger)

    @property
    def models(self) -> tuple[str, ...]:
        """The models' names, in order."""
        return tuple(endpoint.model for endpoint in self._endpoints)

    async def ask(self, scope: Scope, prompt: Prompt, answer: type[A], shown: str) -> Asked[A]:
        """Returns the answer to `shown` under `prompt`, from the first model with a usable one.

        Raises:
            UnusableAnswer: a model's answer and its repair violate the schema.
            ExtractionWaits: the tenant's budget is spent, or a server said when it serves again.
            ModelFailed: no model answered.
            PromptChanged, ConfigurationError: the installation has to change.
        """
        await self.ledger.use(prompt)
        waits: list[float] = []
        for endpoint in self._endpoints:
            if kept := await self._kept(endpoint, scope, prompt, answer, shown):
                return kept
            await self.ledger.admit(scope)
            try:
                return await self._asked(endpoint, scope, prompt, answer, shown)
            except NoAnswer as failure:
                logger.warning("model %r did not answer: %s", endpoint.model, failure)
                waits += [failure.wait] if failure.wait is not None else []
        if waits:
            raise ExtractionWaits(
                f"the model's server accepts no requests for {min(waits):.0f} s", min(waits)
            )
        raise ModelFailed(f"none of {', '.join(map(repr, self.models))} answered")

    async def kept(
        self, scope: Scope, prompt: Prompt, answer: type[A], shown: str
    ) -> Asked[A] | None:
        """Returns a kept answer to `shown` of one of the models, without asking any.

        Raises:
            PromptChanged: the installation has to change.
        """
        await self.ledger.use(prompt)
        for endpoint in self._endpoints:
            if kept := await self._kept(endpoint, scope, prompt, answer, shown):
                return kept
        return None

    async def keep(self, call: ModelCall, shown: str, answer: BaseModel) -> None:
        """Keeps a call's answer to one of several things that it was shown together."""
        key = answer_key(call.prompt, call.model, shown)
        await self.ledger.keep_answer(call.scope, key, answer.model_dump_json())

    async def aclose(self) -> None:
        for endpoint in self._endpoints:
            await endpoint.aclose()

    async def _kept(
        self, endpoint: Endpoint, scope: Scope, prompt: Prompt, answer: type[A], shown: str
    ) -> Asked[A] | None:
        key = answer_key(prompt, endpoint.model, shown)
        kept = await self.ledger.kept_answer(scope, key)
        if kept is None:
            return None
        call = ModelCall(scope, self._task, prompt, endpoint.model, Outcome.ANSWERED, cached=True)
        await self.ledger.record(call, None, "")
        return Asked(answer.model_validate_json(kept), call)

    async def _asked(
        self, endpoint: Endpoint, scope: Scope, prompt: Prompt, answer: type[A], shown: str
    ) -> Asked[A]:
        talk = _Talk(endpoint, prompt)
        call = ModelCall(scope, self._task, prompt, endpoint.model, Outcome.UNAVAILABLE)
        messages = [
            {"role": "system", "content": prompt.text},
            {"role": "user", "content": shown},
        ]
        try:
            reply = await talk.say(messages)
            errors = _errors(reply, answer)
            if errors:
                messages += [
                    {"role": "assistant", "content": reply.text},
                    {"role": "user", "content": REPAIR.format(errors=errors)},
                ]
                reply = await talk.say(messages)
                errors = _errors(reply, answer)
        except NoAnswer as failure:
            talk.count(failure.requests, *failure.tokens)
            await self.ledger.record(self._sum(call, talk, failure.outcome), None, "")
            raise
        if errors:
            call = replace(self._sum(call, talk, Outcome.UNUSABLE), answer=reply.text)
            await self.ledger.record(call, None, "")
            raise UnusableAnswer(
                f"{endpoint.model!r} violated the schema of {prompt.name!r} twice: {errors};"
                f" its answer is kept as model call {str(call.id)!r}"
            )
        outcome = Outcome.ANSWERED if talk.said == 1 else Outcome.REPAIRED
        call = self._sum(call, talk, outcome)
        await self.ledger.record(call, answer_key(prompt, call.model, shown), reply.text)
        return Asked(answer.model_validate_json(reply.text), call)

    def _sum(self, call: ModelCall, talk: "_Talk", outcome: Outcome) -> ModelCall:
        price = self._prices.get(call.model, ModelPrice(input=0, output=0))
        cost = price.input * talk.input_tokens + price.output * talk.output_tokens
        return replace(
            call,
            outcome=outcome,
            requests=talk.requests,
            input_tokens=talk.input_tokens,
            output_tokens=talk.output_tokens,
            cost=cost / MILLION,
            seconds=talk.seconds,
        )


class _Talk:
    """The requests of one call, and their total cost."""

    def __init__(self, endpoint: Endpoint, prompt: Prompt) -> None:
        self._endpoint, self._prompt = endpoint, prompt
        self._began = monotonic()
        self.said = self.requests = self.input_tokens = self.output_tokens = 0

    @property
    def seconds(self) -> float:
        """Seconds since the call began, waiting included."""
        return monotonic() - self._began

    async def say(self, messages: Sequence[Message]) -> Reply:
        prompt = self._prompt
        reply = await self._endpoint.ask(messages, prompt.name, prompt.schema)
        self.said += 1
        self.count(reply.requests, reply.input_tokens, reply.output_tokens)
        return reply

    def count(self, requests: int, input_tokens: int, output_tokens: int) -> None:
        self.requests += requests
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens


def _errors(reply: Reply, answer: type[BaseModel]) -> str:
    """The errors of a reply, in words that repeat nothing of it; empty if it fits the schema."""
    try:
        answer.model_validate_json(reply.text)
    except ValidationError as error:
        found = [
            f"{'.'.join(map(str, e['loc'])) or 'the answer'}: {e['msg']}"
            for e in error.errors(include_url=False, include_input=False)[:5]
        ]
        cut = ["it was cut off at the length limit; be brief"] if reply.cut_off else []
        return "; ".join([*cut, *found])
    return ""


def create_asker(
    task: ModelTask, settings: Settings, patience: RetryPolicy | None = None
) -> Asker | None:
    """Creates an asker of the models configured for `task`, or returns None if there is none.

    Raises:
        ConfigurationError: a model is not written as `openai:<model>`, lacks the price that a
            budget needs, or needs a key.
        MissingDependency: the `openai` extra is not installed.
    """
    names = models_for(task, settings)
    if not names:
        return None
    unpriced = [name for name in names if name not in settings.model_prices]
    if settings.model_daily_budget is not None and unpriced:
        raise ConfigurationError(
            f"MEMORY_MODEL_DAILY_BUDGET needs a price for {unpriced[0]!r} in MEMORY_MODEL_PRICES;"
            ' a model of your own may cost {"input": 0, "output": 0}'
        )
    waits = patience or RetryPolicy()
    endpoints = [Endpoint(name, settings, waits) for name in names]
    return Asker(task, endpoints, settings.model_prices, NoLedger())


def models_for(task: ModelTask, settings: Settings) -> list[str]:
    """Returns the names of the models configured for a task, without their provider.

    Raises:
        ConfigurationError: one is not written as `openai:<model>`.
    """
    written = settings.models.get(task, settings.model) or ""
    names = []
    for spec in filter(None, map(str.strip, written.split(","))):
        provider, _, name = spec.partition(":")
        if provider != PROVIDER or not name:
            raise ConfigurationError(
                f"unknown model {spec!r}: openai:<model>, also for any other server that speaks"
                " OpenAI's API (MEMORY_OPENAI_BASE_URL)"
            )
        names.append(name)
    return names


def shipped(name: str) -> Prompt:
    """Returns a prompt of this package by name."""
    return prompts()[name]
