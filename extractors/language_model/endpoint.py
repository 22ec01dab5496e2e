"""One model at a server with OpenAI's chat API: asks, waits, retries, and gives up.

OpenAI, Azure's v1 endpoint, vLLM and Ollama all have chat completions with a JSON schema. The SDK's
own retries are off: waiting, counting and giving up are one policy here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import anyio

from extractors.language_model.ledger import Outcome
from memory import secret_files
from memory.backoff import backoff
from memory.errors import ConfigurationError
from memory.optional import extra
from memory.settings import Settings

if TYPE_CHECKING:
    from openai import APIStatusError
    from openai.types.chat import ChatCompletion

Message = Mapping[str, str]

TOO_MANY = 429
SERVER_ERROR = 500
TRY_AGAIN = frozenset((408, 409, 425, TOO_MANY))
NO_ENTRY = frozenset((401, 403, 404))
FILTERED = frozenset(("content_filter", "content_policy_violation"))
_BEFORE_BREAKER = 5
_BREAKER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The limits for waiting on a model; times in seconds.

    answer: for one answer.
    attempts: requests sent for one call.
    first_wait: before the second request, doubled before each further one, less up to half of it at
        random.
    longest_wait: the longest pause a server may ask for before the call gives up on it.
    at_once: concurrent requests to one model.
    """

    answer: float = 90.0
    attempts: int = 4
    first_wait: float = 0.5
    longest_wait: float = 20.0
    at_once: int = 4


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer and the number of requests it took; `cut_off` if it reached its limit."""

    text: str
    input_tokens: int
    output_tokens: int
    requests: int
    cut_off: bool


class NoAnswer(Exception):
    """A model gave no readable answer; never leaves `extractors.language_model`.

    outcome: REFUSED, REJECTED or UNAVAILABLE.
    wait: seconds after which the server said that it would serve again.
    """

    def __init__(
        self,
        outcome: Outcome,
        reason: str,
        requests: int,
        *,
        wait: float | None = None,
        tokens: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.requests = requests
        self.wait = wait
        self.tokens = tokens


class Breaker:
    """Stops requests to a model for a while after several failures in a row.

    After that one request is let through; if it fails, the model is paused again.
    """

    def __init__(
        self,
        failures: int = _BEFORE_BREAKER,
        seconds: float = _BREAKER_SECONDS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._most, self._seconds, self._clock = failures, seconds, clock
        self._failures = 0
        self._closed_again = 0.0

    @property
    def wait(self) -> float:
        """Returns the seconds until a request is let through; 0 if it is now."""
        return max(0.0, self._closed_again - self._clock())

    def failed(self, wait: float | None = None) -> None:
        """Counts a failed call; a server that names a time is paused until then."""
        self._failures += 1
        if wait is not None or self._failures >= self._most:
            self._closed_again = self._clock() + (wait or self._seconds)

    def answered(self) -> None:
        """Resets the count of failures."""
        self._failures = 0


class Endpoint:
    """One model by its name at the server, over one pool of connections.

    Raises:
        MissingDependency: the `openai` extra is not installed.
        ConfigurationError: no key is configured, and the server is OpenAI's own.
    """

    def __init__(self, model: str, settings: Settings, patience: RetryPolicy) -> None:
        with extra("openai"):
            import openai
        self.model = model
        self._patience = patience
        self._breaker = Breaker()
        self._limiter: anyio.CapacityLimiter | None = None
        self._settings = settings
        key = secret_files.openai_api_key(settings)
        try:
            self._client = openai.AsyncOpenAI(
                # A server of one's own often wants no key, and the SDK always one.
                api_key=key or ("-" if settings.openai_base_url else None),
                base_url=settings.openai_base_url,
                max_retries=0,
                timeout=patience.answer,
            )
        except openai.OpenAIError as error:
            raise ConfigurationError(
                f"model {model!r} needs a key; set MEMORY_OPENAI_API_KEY"
            ) from error

    async def aclose(self) -> None:
        """Closes the connections; the endpoint cannot be used afterwards."""
        await self._client.close()

    async def ask(self, messages: Sequence[Message], name: str, schema: Mapping[str, Any]) -> Reply:
        """Returns the model's answer to `messages`, which has to fit `schema`.

        Raises:
            NoAnswer: it declined, or did not answer any request.
            ConfigurationError: the server refuses the key or does not know the model.
        """
        if self._breaker.wait:
            raise NoAnswer(Outcome.UNAVAILABLE, f"{self.model!r} is paused after failures", 0)
        if self._limiter is None:  # belongs to the event loop that first asks
            self._limiter = anyio.CapacityLimiter(self._patience.at_once)
        async with self._limiter:
            try:
                reply = await self._tried(messages, name, schema)
            except NoAnswer as failure:
                if failure.outcome is Outcome.UNAVAILABLE:
                    self._breaker.failed(failure.wait)
                raise
        self._breaker.answered()
        return reply

    async def _tried(
        self, messages: Sequence[Message], name: str, schema: Mapping[str, Any]
    ) -> Reply:
        import openai

        request = 0
        while True:
            request += 1
            try:
                return await self._once(messages, name, schema, request)
            except openai.APIStatusError as error:
                wait, reason = self._after_status(error, request), str(error)
            except (openai.APIConnectionError, _TookTooLong) as error:
                wait, reason = None, str(error) or "it took too long"
            except openai.OpenAIError as error:  # what it sent is no answer at all
                wait, reason = None, str(error)
            await self._pause(request, wait, reason)

    async def _once(
        self, messages: Sequence[Message], name: str, schema: Mapping[str, Any], request: int
    ) -> Reply:
        body: dict[str, Any] = {
            "type": "json_schema",
            "json_schema": {"name": name, "schema": dict(schema), "strict": True},
        }
        secret_files.renew_key(self._client, self._settings)
        # The SDK's limit is one on each read: a server that trickles would never meet it.
        with anyio.move_on_after(self._patience.answer):
            done = await self._client.chat.completions.create(
                model=self.model,
                messages=cast("Any", messages),
                response_format=cast("Any", body),
                temperature=0,
            )
            return _read(done, request)
        raise _TookTooLong(f"no answer within {self._patience.answer:g} s")

    def _after_status(self, error: "APIStatusError", request: int) -> float | None:
        """The seconds to wait before the next request; None if the server does not say.

        Raises:
            NoAnswer, ConfigurationError: another request would get the same answer.
        """
        status, told = error.status_code, f"{error.status_code}: {error.message}"
        if status in NO_ENTRY:
            raise ConfigurationError(
                f"the server refuses model {self.model!r} ({told}); see MEMORY_MODEL,"
                " MEMORY_OPENAI_API_KEY and MEMORY_OPENAI_BASE_URL"
            ) from error
        if error.code in FILTERED:
            raise NoAnswer(Outcome.REFUSED, told, request) from error
        if status < SERVER_ERROR and status not in TRY_AGAIN:
            raise NoAnswer(Outcome.REJECTED, told, request) from error
        return retry_after(error.response.headers)

    async def _pause(self, request: int, wait: float | None, reason: str) -> None:
        """Waits before the next request.

        Raises:
            NoAnswer: it was the last one, or the server asks for too long a pause.
        """
        patience = self._patience
        if request >= patience.attempts or (wait or 0.0) > patience.longest_wait:
            raise NoAnswer(Outcome.UNAVAILABLE, reason, request, wait=wait)
        pause = backoff(request - 1, first=patience.first_wait, longest=patience.longest_wait)
        # A server's own wait is never cut short; the rest spreads callers that failed at once.
        await anyio.sleep(pause if wait is None else wait + pause / 4)


class _TookTooLong(Exception):
    """No answer within the time limit."""


def _read(done: "ChatCompletion", request: int) -> Reply:
    """Reads an answer.

    Raises:
        NoAnswer: the model declined, or its provider filtered the text.
    """
    usage = done.usage
    tokens = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
    choice = done.choices[0] if done.choices else None
    if choice is None:
        raise NoAnswer(Outcome.REJECTED, "an answer without choices", request, tokens=tokens)
    declined = choice.message.refusal
    if choice.finish_reason == "content_filter" or declined:
        reason = declined or "its provider filtered the text"
        raise NoAnswer(Outcome.REFUSED, reason[:200], request, tokens=tokens)
    cut_off = choice.finish_reason == "length"
    return Reply(choice.message.content or "", *tokens, request, cut_off)


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
