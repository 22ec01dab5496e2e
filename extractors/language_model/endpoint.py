"""One model at a server with OpenAI's chat API: asks, waits, retries, and gives up.

OpenAI, Azure's v1 endpoint, vLLM and Ollama all have chat completions with a JSON schema. The SDK's
own retries are off: waiting, counting and giving up are one policy here.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import anyio

from extractors.language_model.ledger import Outcome
from extractors.language_model.reasons import Reason
from extractors.language_model.request_form import RequestForm
from extractors.language_model.server_errors import LONGEST, limit_too_large, reason_of, told
from memory import secret_files
from memory.backoff import backoff
from memory.errors import ConfigurationError
from memory.optional import extra
from memory.settings import Settings

if TYPE_CHECKING:
    from openai import APIStatusError
    from openai.types.chat import ChatCompletion

Message = Mapping[str, str]

SERVER_ERROR = 500
TRY_AGAIN = frozenset((408, 409, 425, 429))
MOST_FORMS = 8
"""Forms of the request that one call may go through."""

ANSWER_SHARE = 0.75
"""The part of a session's time that one request may take: a lost one leaves time for another."""

_BEFORE_BREAKER = 5
_BREAKER_SECONDS = 30.0
_LONGEST_BREAK = 600.0

_FINAL = frozenset((Reason.QUOTA_SPENT, Reason.KEY_REFUSED, Reason.UNKNOWN_MODEL, Reason.TOO_LONG))
"""Reasons for which another request would get the same answer, whatever its status."""

_PAUSING = frozenset((Reason.TIMED_OUT, Reason.QUOTA_SPENT))
"""Reasons that pause the model at once: asking again costs others their time, or is in vain."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The limits for waiting on a model; times in seconds.

    answer: for one answer; None: three quarters of a session's time for models.
    attempts: requests sent for one call.
    first_wait: before the second request, doubled before each further one, less up to half of it at
        random.
    longest_wait: the longest pause a server may ask for before the call gives up on it.
    at_once: concurrent requests to one model.
    """

    answer: float | None = None
    attempts: int = 4
    first_wait: float = 0.5
    longest_wait: float = 20.0
    at_once: int = 4


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer and the number of requests it took; `cut_off` if it reached its limit.

    form: of the request that was answered.
    reasoning: what the server gave as the model's reasoning, beside the answer.
    """

    text: str
    input_tokens: int
    output_tokens: int
    requests: int
    cut_off: bool
    form: RequestForm
    reasoning: str = ""


class NoAnswer(Exception):
    """A model gave no readable answer; never leaves `extractors.language_model`.

    outcome: REFUSED, REJECTED, UNAVAILABLE, or UNUSABLE where the server itself cannot read it.
    detail: what the server said; it may repeat words of the request.
    wait: seconds after which the server said that it would serve again.
    """

    def __init__(
        self,
        outcome: Outcome,
        reason: Reason,
        detail: str,
        requests: int,
        *,
        wait: float | None = None,
        tokens: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__(f"{reason.meaning} ({reason.value})")
        self.outcome = outcome
        self.reason = reason
        self.detail = detail
        self.requests = requests
        self.wait = wait
        self.tokens = tokens


class Breaker:
    """Stops requests to a model for a while after several failures in a row.

    After that one request is let through; if it fails, the model is paused for twice as long, up to
    ten minutes.
    """

    def __init__(
        self,
        failures: int = _BEFORE_BREAKER,
        seconds: float = _BREAKER_SECONDS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._most, self._seconds, self._clock = failures, seconds, clock
        self._failures = self._pauses = 0
        self._closed_again = 0.0

    @property
    def wait(self) -> float:
        """Returns the seconds until a request is let through; 0 if it is now."""
        return max(0.0, self._closed_again - self._clock())

    def failed(self, wait: float | None = None, *, pausing: bool = False) -> None:
        """Counts a failed call; a server that names a time is paused until then.

        `pausing`: the model is paused now, not only after several failures.
        """
        self._failures += 1
        if self.wait:  # concurrent calls failed together
            return
        if wait is not None:
            self._closed_again = self._clock() + (wait or self._seconds)
        elif pausing or self._failures >= self._most:
            pause = min(_LONGEST_BREAK, self._seconds * 2.0**self._pauses)
            self._closed_again = self._clock() + pause
            self._pauses += 1

    def answered(self) -> None:
        """Resets the count of failures."""
        self._failures = self._pauses = 0


@dataclass(slots=True)
class _Learned:
    """What this process has learned of a model: the form of requests it takes, and its failures."""

    form: RequestForm = field(default_factory=RequestForm)
    breaker: Breaker = field(default_factory=Breaker)


_models: dict[tuple[str, str], _Learned] = {}
"""By server and name: all tasks that ask a model share what one of them learned."""


def forget_models() -> None:
    """Forgets what this process has learned of models; endpoints made before keep it."""
    _models.clear()


class Endpoint:
    """One model by its name at the server, over one pool of connections.

    `of`: how many models share a session's time.

    Raises:
        MissingDependency: the `openai` extra is not installed.
        ConfigurationError: no key is configured, and the server is OpenAI's own.
    """

    def __init__(self, model: str, settings: Settings, patience: RetryPolicy, of: int = 1) -> None:
        with extra("openai"):
            import openai
        self.model = model
        self._patience = patience
        self._total = settings.model_session_seconds / of
        self._answer = patience.answer or self._total * ANSWER_SHARE
        self._tokens = settings.model_answer_tokens
        self._learned = _models.setdefault((settings.openai_base_url or "", model), _Learned())
        self._limiter: anyio.CapacityLimiter | None = None
        self._settings = settings
        key = secret_files.openai_api_key(settings)
        try:
            self._client = openai.AsyncOpenAI(
                # A server of one's own often wants no key, and the SDK always one.
                api_key=key or ("-" if settings.openai_base_url else None),
                base_url=settings.openai_base_url,
                max_retries=0,
                timeout=self._answer,
            )
        except openai.OpenAIError as error:
            raise ConfigurationError(
                f"model {model!r} needs a key; set MEMORY_OPENAI_API_KEY"
            ) from error

    async def aclose(self) -> None:
        """Closes the connections; the endpoint cannot be used afterwards."""
        await self._client.close()

    @property
    def form(self) -> RequestForm:
        """The form of requests that the model takes, as far as is known."""
        return self._learned.form

    async def ask(
        self,
        messages: Sequence[Message],
        name: str,
        schema: Mapping[str, Any],
        until: float | None = None,
    ) -> Reply:
        """Returns the model's answer to `messages`, which has to fit `schema`.

        `until`: the time of `monotonic()` at which the call ends; None: after a session's time.

        Raises:
            NoAnswer: it declined, or did not answer any request in time.
        """
        call = _Call(messages, name, schema, monotonic() + self._total if until is None else until)
        if self._learned.breaker.wait:
            detail = f"for {self._learned.breaker.wait:.0f} s more"
            raise NoAnswer(Outcome.UNAVAILABLE, Reason.PAUSED, detail, 0)
        if self._limiter is None:  # belongs to the event loop that first asks
            self._limiter = anyio.CapacityLimiter(self._patience.at_once)
        with anyio.move_on_after(call.left) as waiting:
            await self._limiter.acquire()
        if waiting.cancelled_caught:
            raise call.gave_up(Outcome.UNAVAILABLE)
        try:
            return await self._counted(call)
        finally:
            self._limiter.release()

    async def _counted(self, call: "_Call") -> Reply:
        try:
            reply = await self._tried(call)
        except NoAnswer as failure:
            if failure.outcome is Outcome.UNAVAILABLE and failure.reason is not Reason.OUT_OF_TIME:
                self._learned.breaker.failed(failure.wait, pausing=failure.reason in _PAUSING)
            raise
        self._learned.breaker.answered()
        return reply

    async def _tried(self, call: "_Call") -> Reply:
        import openai

        while True:
            wait: float | None = None
            try:
                return await self._once(call)
            except openai.APIStatusError as error:
                call.failed(reason_of(error), told(error))
                if self._adapted(call, error):
                    continue
                wait = self._after_status(error, call)
            except (openai.APITimeoutError, _TookTooLong) as error:
                call.failed(Reason.TIMED_OUT, str(error))
            except openai.APIConnectionError as error:
                call.failed(Reason.UNREACHABLE, str(error))
            except openai.OpenAIError as error:  # what it sent is no answer at all
                call.failed(Reason.NO_CHAT, str(error))
            await self._pause(call, wait)

    async def _once(self, call: "_Call") -> Reply:
        call.requests += 1
        if not call.forms:  # else the call looks for one itself
            call.form = self.form
        form = call.form
        limit = min(self._answer, call.left)
        secret_files.renew_key(self._client, self._settings)
        # The SDK's limit is one on each read: a server that trickles would never meet it.
        with anyio.move_on_after(limit):
            done = await self._client.chat.completions.create(
                model=self.model,
                messages=cast("Any", form.messages(list(call.messages), call.schema)),
                **form.parameters(call.name, call.schema, self._tokens),
            )
            if call.forms and call.lasting:
                self._learned.form = form
            return _read(done, call)
        if limit < self._answer:
            raise call.gave_up(Outcome.UNAVAILABLE)
        raise _TookTooLong(f"no answer within {limit:g} s")

    def _adapted(self, call: "_Call", error: "APIStatusError") -> bool:
        """Whether another form is to be tried: without what the error names."""
        if reason_of(error) is Reason.TOO_LONG or call.forms >= MOST_FORMS:
            return False
        other = call.form.without(error)
        if other is None:
            return False
        call.forms += 1
        call.form = other
        call.lasting = call.lasting and not limit_too_large(error)
        return True

    def _after_status(self, error: "APIStatusError", call: "_Call") -> float | None:
        """The seconds to wait before the next request; None if the server does not say.

        Raises:
            NoAnswer: another request would get the same answer.
        """
        status, wait = error.status_code, retry_after(error.response.headers)
        if call.reason is Reason.QUOTA_SPENT:  # waiting a little does not pay a bill
            raise call.gave_up(Outcome.UNAVAILABLE) from error
        if call.reason is Reason.UNREADABLE:
            raise call.gave_up(Outcome.UNUSABLE) from error
        if call.reason is Reason.FILTERED:
            raise call.gave_up(Outcome.REFUSED) from error
        if call.reason in _FINAL or (status < SERVER_ERROR and status not in TRY_AGAIN):
            raise call.gave_up(Outcome.REJECTED) from error
        return wait

    async def _pause(self, call: "_Call", wait: float | None) -> None:
        """Waits before the next request.

        Raises:
            NoAnswer: it was the last one, or the pause is too long.
        """
        patience = self._patience
        pause = backoff(
            call.requests - call.forms - 1, first=patience.first_wait, longest=patience.longest_wait
        )
        # A server's own wait is never cut short; the rest spreads callers that failed at once.
        seconds = pause if wait is None else wait + pause / 4
        spent = call.requests - call.forms >= patience.attempts or seconds >= call.left
        if spent or (wait or 0.0) > patience.longest_wait:
            raise call.gave_up(Outcome.UNAVAILABLE, wait)
        await anyio.sleep(seconds)


class _Call:
    """The requests of one call: what is asked, until when, and why the last one failed.

    forms: how many requests only found out what the server takes.
    lasting: whether that holds for other calls as well.
    """

    def __init__(
        self, messages: Sequence[Message], name: str, schema: Mapping[str, Any], until: float
    ) -> None:
        self.messages, self.name, self.schema, self._until = messages, name, schema, until
        self.requests = self.forms = 0
        self.form, self.lasting = RequestForm(), True
        self.reason, self.detail = Reason.OUT_OF_TIME, ""

    @property
    def left(self) -> float:
        """Seconds until the call ends."""
        return max(0.0, self._until - monotonic())

    def failed(self, reason: Reason, detail: str) -> None:
        """Notes why a request failed."""
        self.reason, self.detail = reason, detail

    def gave_up(self, outcome: Outcome, wait: float | None = None) -> NoAnswer:
        """The failure of the call, for the reason that was noted last."""
        return NoAnswer(outcome, self.reason, self.detail, self.requests, wait=wait)


class _TookTooLong(Exception):
    """No answer within the time limit."""


def _read(done: "ChatCompletion", call: _Call) -> Reply:
    """Reads an answer.

    Raises:
        NoAnswer: the model declined, or its provider filtered the text.
    """
    usage = getattr(done, "usage", None)
    tokens = (usage.prompt_tokens or 0, usage.completion_tokens or 0) if usage else (0, 0)
    choices = getattr(done, "choices", None)
    if not choices or choices[0].message is None:
        error = getattr(done, "error", None)  # which some servers send with status 200
        detail = f"an answer without choices{f': {error}' if error else ''}"[:LONGEST]
        raise NoAnswer(Outcome.REJECTED, Reason.NO_CHAT, detail, call.requests, tokens=tokens)
    choice = choices[0]
    declined = getattr(choice.message, "refusal", None)
    if choice.finish_reason == "content_filter" or declined:
        reason = Reason.DECLINED if declined else Reason.FILTERED
        said = str(declined or "")[:200]
        raise NoAnswer(Outcome.REFUSED, reason, said, call.requests, tokens=tokens)
    content, thought = _texts(getattr(choice.message, "content", None))
    given = (getattr(choice.message, name, None) for name in _REASONING_FIELDS)
    reasoning = next((text for text in given if isinstance(text, str) and text.strip()), thought)
    cut_off = choice.finish_reason == "length"
    return Reply(content, *tokens, call.requests, cut_off, call.form, reasoning)


_REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking")
"""Where servers put a model's reasoning, beside the content."""


def _texts(content: Any) -> tuple[str, str]:
    """The content and the reasoning of a message: some servers send it in typed parts."""
    if not isinstance(content, list):
        return str(content or ""), ""
    parts = [part for part in content if isinstance(part, Mapping)]
    said = "".join(str(part.get("text") or "") for part in parts if part.get("type") == "text")
    thought = json.dumps([part for part in parts if part.get("type") != "text"])
    return said, thought if len(parts) > 1 else ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Returns the seconds of a `Retry-After` header, or None without one.

    The header holds seconds or a date (RFC 9110, 10.2.3); `retry-after-ms` is OpenAI's own.
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    try:
        until = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
