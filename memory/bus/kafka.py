"""The bus over Kafka: interactions go to a topic, and `memory ingest` brings them into the log.

`publish` returns once every in-sync replica has a message. A user's messages share a partition and
stand in it as they were given: what waits behind a message that failed fails with it, since it
would otherwise overtake what is sent again.
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
"""How long brokers may take to acknowledge a message, and to answer at all before that."""

WINDOW_MESSAGES = 1_000
WINDOW_BYTES = 1024 * 1024
"""What of one call is under way at a time; the next part is sent once all of it is acknowledged."""

CALLS = 32
"""Windows under way in one process, each in a thread of its own; other calls wait for a turn."""


class KafkaBus:
    """Writes to the topic of the settings; connects with the first message, not before.

    Reading memory never needs the brokers. `delivery_seconds` bounds how long a call waits for
    them, for each part of it that is under way at a time.
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
        """See `Bus.publish`; each receipt has a place on the bus, and none in the log yet."""
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
        """Waits for what is under way, and disconnects."""
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
        """The producer that is at work, or a new one in the place of one that gave up."""
        asked_at = monotonic()
        if not self._connecting.acquire(timeout=self._delivery_seconds):
            raise BusUnavailable(f"still connecting to {self._where()}")
        try:
            if self._closed:
                raise InvalidInput("this client was closed")
            if self._failed_at > asked_at:
                raise BusUnavailable(f"no answer from {self._where()}, as another call found")
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
    """Messages in their order, in parts that are under way one at a time."""
    first = size = 0
    for n, message in enumerate(messages):
        size += message.size
        if n > first and (size > WINDOW_BYTES or n - first >= WINDOW_MESSAGES):
            yield messages[first:n]
            first, size = n, message.size
    if messages:
        yield messages[first:]
