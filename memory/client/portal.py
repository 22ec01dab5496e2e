"""The portal: an event loop in its own thread, for callers that have none.

anyio's portal crosses between the threads twice for each call, once to start it and once to return
its result: an empty call then takes more than twice as long. Work that needs no loop, such as
`record()` into Postgres, runs in the calling thread.
"""

import asyncio
import atexit
from collections.abc import Callable, Coroutine
from threading import Event, Thread, get_ident
from typing import Any, Self, TypeVar

from memory.client.lifetime import Lifetime

_Returned = TypeVar("_Returned")

ENDING_SECONDS = 10.0
"""How long closing waits for calls that it has cancelled."""


class Portal:
    """Runs coroutine functions for threads that wait for the result; a context manager.

    Threads may share it. Closing it cancels the calls that are still running.
    """

    def __init__(self) -> None:
        self.lifetime = Lifetime("client")
        self._running = Event()
        # A daemon, so that an app that never closes its client can still end.
        self._thread = Thread(target=self._run, name="memory-portal", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._running.wait()
        self.lifetime.begin()
        # An app may end without closing its client: the loop's tasks must end before their loop.
        atexit.register(self._end)
        return self

    def __exit__(self, *_: object) -> None:
        atexit.unregister(self._end)
        self.lifetime.end()
        self._end()

    def _end(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join(ENDING_SECONDS)

    def check_open(self) -> None:
        """Raises ClientNotOpen if the portal cannot take a call; it names the reason."""
        if not self._thread.is_alive():
            raise self.lifetime.error()

    def call(
        self, function: Callable[..., Coroutine[Any, Any, _Returned]], *args: Any
    ) -> _Returned:
        """Returns or raises what `function(*args)` does; an interrupt cancels it.

        Raises:
            ClientNotOpen: the portal was not opened yet, or is closed.
            RuntimeError: this is the portal's own thread, which would wait for itself.
        """
        if self._thread.ident == get_ident():
            raise RuntimeError("a call from the portal's own thread would wait for itself")
        self.check_open()
        future = asyncio.run_coroutine_threadsafe(function(*args), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # still under way where an interrupt ended the waiting
            raise

    def call_here(
        self, function: Callable[..., Coroutine[Any, Any, _Returned]], *args: Any
    ) -> _Returned:
        """Runs `function(*args)`, which must never suspend, in the calling thread.

        Raises:
            ClientNotOpen: the portal was not opened yet, or is closed.
            RuntimeError: the function suspends.
        """
        self.check_open()
        coroutine = function(*args)
        try:
            coroutine.send(None)
        except StopIteration as done:
            returned: _Returned = done.value
            return returned
        coroutine.close()
        raise RuntimeError(f"{function!r} suspends: it needs an event loop")

    def _run(self) -> None:
        asyncio.run(self._until_closed())

    async def _until_closed(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        self._running.set()
        await self._closing.wait()
