"""Gets a checked answer: from kept answers first, then from each model, with one repair each.

Every call is written to the ledger before its answer is used.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Generic, Self, TypeVar

from pydantic import BaseModel

from extractors.language_model.answer_text import AnswerText, read_answer
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
from extractors.language_model.reasons import Reason
from memory.errors import ConfigurationError, ExtractionWaits, ModelFailed, UnusableAnswer
from memory.models import ModelTask, Provenance, Scope
from memory.settings import ModelPrice, Settings

logger = logging.getLogger(__name__)

A = TypeVar("A", bound=BaseModel)
MILLION = 1_000_000
PROVIDER = "openai"

LONGEST_KEPT = 20_000
"""Characters of an unusable answer that are kept."""

LONGEST_SHOWN_AGAIN = 8_000
"""Characters of an unusable answer that the model is shown when it is asked once more."""

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
        seconds: float,
    ) -> None:
        """`seconds`: the time that all models together may take for a session."""
        self._task = task
        self._endpoints = endpoints
        self._prices = prices
        self._seconds = seconds
        self.ledger = ledger

    def keeping(self, ledger: Ledger) -> Self:
        """Returns the same models with another ledger."""
        return type(self)(self._task, self._endpoints, self._prices, ledger, self._seconds)

    @property
    def models(self) -> tuple[str, ...]:
        """The models' names, in order."""
        return tuple(endpoint.model for endpoint in self._endpoints)

    def until(self) -> float:
        """Returns when a session's time for models is over if it begins now; see `ask`."""
        return monotonic() + self._seconds

    async def ask(
        self,
        scope: Scope,
        prompt: Prompt,
        answer: type[A],
        shown: str,
        until: float | None = None,
    ) -> Asked[A]:
        """Returns the answer to `shown` under `prompt`, from the first model with a usable one.

        `until`: the time of `monotonic()` by which it is needed; None: see `until()`. The models
            share what is left.

        Raises:
            UnusableAnswer: no answer can be read, also after one repair.
            ExtractionWaits: the tenant's budget is spent, or a server said when it serves again.
            ModelFailed: no model answered in time.
            PromptChanged, ConfigurationError: the installation has to change.
        """
        await self.ledger.use(prompt)
        until = self.until() if until is None else until
        failures: list[NoAnswer | UnusableAnswer] = []
        for asked, endpoint in enumerate(self._endpoints):
            if kept := await self._kept(endpoint, scope, prompt, answer, shown):
                return kept
            await self.ledger.admit(scope)
            left = (until - monotonic()) / (len(self._endpoints) - asked)
            question = _Question(scope, prompt, answer, shown, monotonic() + left)
            try:
                return await self._asked(endpoint, question)
            except (NoAnswer, UnusableAnswer) as failure:
                logger.warning("model %r: %s", endpoint.model, failure)
                failures.append(failure)
        raise self._failed(failures)

    def _failed(self, failures: Sequence[NoAnswer | UnusableAnswer]) -> Exception:
        """The error for a question that no model answered."""
        silent = [failure for failure in failures if isinstance(failure, NoAnswer)]
        waits = [failure.wait for failure in silent if failure.wait is not None]
        if waits:
            return ExtractionWaits(
                f"the model's server accepts no requests for {min(waits):.0f} s", min(waits)
            )
        for failure in failures:
            if isinstance(failure, UnusableAnswer):
                return failure
        last = silent[-1]
        names = ", ".join(map(repr, self.models))
        return ModelFailed(f"none of {names} answered: {last}", last.reason.value)

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

    async def _asked(self, endpoint: Endpoint, question: "_Question[A]") -> Asked[A]:
        prompt = question.prompt
        talk = _Talk(endpoint, question)
        call = ModelCall(question.scope, self._task, prompt, endpoint.model, Outcome.UNAVAILABLE)
        try:
            reply, read = await talk.answered()
        except NoAnswer as failure:
            await self._no_answer(call, talk, failure)
            raise
        if read.answer is None:
            said = (reply.text if reply.text.strip() else reply.reasoning)[:LONGEST_KEPT]
            call = replace(self._sum(call, talk, Outcome.UNUSABLE), answer=said)
            await self.ledger.record(call, None, "")
            reason = talk.reason.value if talk.reason else ""
            raise UnusableAnswer(
                f"{endpoint.model!r} answered {prompt.name!r} twice in a form that cannot be read"
                f" ({reason}): {read.errors}; see model call {str(call.id)!r}",
                reason,
            )
        outcome = Outcome.ANSWERED if talk.said == 1 else Outcome.REPAIRED
        call = self._sum(call, talk, outcome)
        key = answer_key(prompt, call.model, question.shown)
        await self.ledger.record(call, key, read.answer.model_dump_json())
        return Asked(read.answer, call)

    async def _no_answer(self, call: ModelCall, talk: "_Talk[A]", failure: NoAnswer) -> None:
        """Records a call without an answer.

        Raises:
            ConfigurationError: the server refuses the key or does not know the model.
        """
        talk.count(failure.requests, *failure.tokens)
        talk.reason = failure.reason
        talk.notes.append(failure.detail)
        await self.ledger.record(self._sum(call, talk, failure.outcome), None, "")
        if failure.reason in (Reason.KEY_REFUSED, Reason.UNKNOWN_MODEL):
            raise ConfigurationError(
                f"the server refuses model {call.model!r} ({failure.detail}); see MEMORY_MODEL,"
                " MEMORY_OPENAI_API_KEY and MEMORY_OPENAI_BASE_URL"
            ) from failure

    def _sum(self, call: ModelCall, talk: "_Talk[A]", outcome: Outcome) -> ModelCall:
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
            reason=talk.reason,
            detail=talk.detail,
        )


@dataclass(frozen=True, slots=True)
class _Question(Generic[A]):
    """What is asked of one model, and until when."""

    scope: Scope
    prompt: Prompt
    answer: type[A]
    shown: str
    until: float


class _Talk(Generic[A]):
    """The requests of one call, their total cost, and what was noted on the way."""

    def __init__(self, endpoint: Endpoint, question: _Question[A]) -> None:
        self._endpoint, self._question, self._form = endpoint, question, endpoint.form
        self._began = monotonic()
        self.said = self.requests = self.input_tokens = self.output_tokens = 0
        self.reason: Reason | None = None
        self.notes: list[str] = []

    @property
    def seconds(self) -> float:
        """Seconds since the call began, waiting included."""
        return monotonic() - self._began

    @property
    def detail(self) -> str:
        """What was done to get and read the answer, and what the server said."""
        return "; ".join(filter(None, [*self._form.differences(), *self.notes]))

    async def answered(self) -> tuple[Reply, AnswerText[A]]:
        """Asks, and if the answer cannot be read, once more; returns the last reply as read.

        Raises:
            NoAnswer: as `Endpoint.ask`.
        """
        messages = [
            {"role": "system", "content": self._question.prompt.text},
            {"role": "user", "content": self._question.shown},
        ]
        reply, read = await self._say(messages)
        if read.answer is None:
            said = reply.text.strip()[:LONGEST_SHOWN_AGAIN] or "(nothing)"
            messages += [
                {"role": "assistant", "content": said},
                {"role": "user", "content": REPAIR.format(errors=read.errors)},
            ]
            reply, read = await self._say(messages)
        return reply, read

    async def _say(self, messages: Sequence[Message]) -> tuple[Reply, AnswerText[A]]:
        asked = self._question
        prompt = asked.prompt
        reply = await self._endpoint.ask(messages, prompt.name, prompt.schema, asked.until)
        self.said += 1
        self._form = reply.form
        self.count(reply.requests, reply.input_tokens, reply.output_tokens)
        read = read_answer(reply.text, reply.reasoning, asked.answer, cut_off=reply.cut_off)
        if read.found_in:
            self.notes.append(f"the answer stood in {read.found_in}")
        if read.reason:
            self.reason = read.reason
        return reply, read

    def count(self, requests: int, input_tokens: int, output_tokens: int) -> None:
        self.requests += requests
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens


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
    endpoints = [Endpoint(name, settings, waits, of=len(names)) for name in names]
    seconds = settings.model_session_seconds
    return Asker(task, endpoints, settings.model_prices, NoLedger(), seconds)


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
