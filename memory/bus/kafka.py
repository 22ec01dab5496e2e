"""The Kafka bus: sends interactions to a topic, from which `memory ingest` writes them to the log.

`publish` returns once every in-sync replica has a message. A user's messages share a partition and
keep their order there. If a message fails, those waiting behind it fail too; otherwise they would
overtake it when it is sent again.
"""

from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from anyio import CapacityLimiter, Semaphore, fail_after, to_thread

from memory.bus.topics import Message, key_of
from memory.errors import BusUnavailable, InvalidInput
from memory.log import envelope, trace_context
from memory.models import Interaction, Place, Receipt
from memory.optional import extra
from memory.settings import Settings

if TYPE_CHECKING:
    from memory.bus.kafka_producer import Producer

T = TypeVar("T")
Args = TypeVarTuple("Args")

DELIVERY_SECONDS = 10.0
"""Time limit for brokers to acknowledge a message, and to answer at all before that."""

WINDOW_MESSAGES = 1_000
WINDOW_BYTES = 1024 * 1024
"""The part of one call that is in flight at a time; the next part follows once it is
acknowledged."""

CALLS = 32
"""Windows in flight in one process, each in its own thread; other calls wait for a turn."""


class KafkaBus:
    """Writes to the configured topic; connects with the first message, not before.

    Reading memory never needs the brokers. `delivery_seconds` limits how long a call waits for
    them, for each part in flight.
    """

    def __init__(self, settings: Settings, *, delivery_seconds: float = DELIVERY_SECONDS) -> None:
        self._settings = settings
        self._delivery_seconds = delivery_seconds
        self._turns: Semaphore | None = None
        self._limiter: CapacityLimiter | None = None
        self._connecting = Lock()
        self._failed_at = 0.0
        self._producer: Producer | None = None
        self._closed = False

    async def publish(
        self, interactions: Sequence[Interaction], *, traceparent: str | None = None
    ) -> list[Receipt]:
        """Publishes as `Bus.publish`; each receipt has a place on the bus and no position yet."""
        headers = _headers(traceparent)
        messages = [_message(interaction, headers) for interaction in interactions]
        if messages:
            producer = self._producer  # what it knows of the topic holds after its end, too
            if producer is None:
                producer = await self._in_thread(self._connected)
            producer.check_sizes(messages)
        places: list[Place] = []
        for window in _windows(messages):
            places += await self._in_thread(self._deliver, window)
        return [
            Receipt(m.interaction.id, m.interaction.session, 0, 0, place=place)
            for m, place in zip(messages, places, strict=True)
        ]

    async def aclose(self) -> None:
        """Waits for messages in flight, and disconnects."""
        self._closed = True
        if self._producer is not None:
            await to_thread.run_sync(self._producer.end, self._delivery_seconds)

    async def _in_thread(self, call: Callable[[*Args], T], *arguments: *Args) -> T:
        # Made late, because these belong to the event loop they are first used in.
        self._turns = self._turns or Semaphore(CALLS)
        self._limiter = self._limiter or CapacityLimiter(CALLS)
        try:
            with fail_after(self._delivery_seconds):
                await self._turns.acquire()
        except TimeoutError as error:
            raise BusUnavailable(f"{CALLS} other calls wait for {self._where()}") from error
        try:
            return await to_thread.run_sync(
                call, *arguments, limiter=self._limiter, abandon_on_cancel=True
            )
        finally:
            self._turns.release()

    def _where(self) -> str:
        return ", ".join(self._settings.kafka_servers or ())

    def _deliver(self, window: Sequence[Message]) -> list[Place]:
        deadline = monotonic() + self._delivery_seconds
        return self._connected().deliver(window, deadline)

    def _connected(self) -> "Producer":
        """The current producer, or a new one if it has ended."""
        asked_at = monotonic()
        if not self._connecting.acquire(timeout=self._delivery_seconds):
            raise BusUnavailable(f"still connecting to {self._where()}")
        try:
            if self._closed:
                raise InvalidInput("this client was closed")
            if self._failed_at > asked_at:
                raise BusUnavailable(
                    f"no answer from {self._where()}, as another call has just found"
                )
            if self._producer is None or self._producer.ended:
                self._producer = self._connect()
            return self._producer
        finally:
            self._connecting.release()

    def _connect(self) -> "Producer":
        with extra("kafka"):
            from memory.bus.kafka_producer import Producer
        try:
            return Producer(self._settings, self._delivery_seconds)
        except BusUnavailable:
            self._failed_at = monotonic()
            raise


def _headers(traceparent: str | None) -> list[tuple[str, bytes]]:
    parent = trace_context.given(traceparent).parent
    return [] if parent is None else [("traceparent", parent.encode())]


def _message(interaction: Interaction, headers: list[tuple[str, bytes]]) -> Message:
    sound = envelope.validated(interaction)
    return Message(sound, key_of(sound.scope), envelope.to_json(sound).encode(), headers)


def _windows(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Splits messages, in order, into parts that are in flight one at a time."""
    first = size = 0
    for n, message in enumerate(messages):
        size += message.size
        if n > first and (size > WINDOW_BYTES or n - first >= WINDOW_MESSAGES):
            yield messages[first:n]
            first, size = n, message.size
    if messages:
        yield messages[first:]
