"""Says why a client cannot take a call: it was never opened, is closed, or belongs to the parent.

What opens the connections of a client in one process must not use them in a process forked from it:
two processes would write into each other's answers.
"""

import asyncio
import os
import warnings
from contextlib import suppress
from enum import Enum
from typing import Any

from memory.database import DatabaseRole
from memory.errors import ClientNotOpen


class State(Enum):
    """The state of a client; the value completes “the client …”."""

    NEW = "was never opened: use it in a `with`, or call open() first"
    OPEN = "is open"
    CLOSED = "is closed: make and open another"
    FORKED = "was opened before this process was forked: open another in each process"


class Lifetime:
    """The state of one client, as this process sees it."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._state = State.NEW
        self._process = 0

    @property
    def state(self) -> State:
        """The state now; a fork changes what is open."""
        if self._state is State.OPEN and self._process != os.getpid():
            return State.FORKED
        return self._state

    def begin(self) -> None:
        """Notes that the client is open, in this process."""
        self._state, self._process = State.OPEN, os.getpid()

    def end(self) -> None:
        """Notes that the client is closed."""
        self._state = State.CLOSED

    def error(self) -> ClientNotOpen:
        """Returns the error for a call now."""
        return ClientNotOpen(f"the {self._owner} {self.state.value}")


def warn_if_open(owner: object, lifetime: Lifetime) -> None:
    """Warns that a client which is about to go was never closed."""
    if lifetime.state is State.OPEN:
        warnings.warn(f"{owner!r} was never closed", ResourceWarning, source=owner, stacklevel=3)


def silence(loop: asyncio.AbstractEventLoop | None) -> None:
    """Ends the pool's tasks on a loop that no longer runs; asyncio would warn of each."""
    if loop is None or loop.is_running():
        return
    for task in asyncio.all_tasks(loop):
        if _of_a_pool(task):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
            with suppress(RuntimeError):  # the loop is closed
                task.cancel()


def _of_a_pool(task: asyncio.Task[Any]) -> bool:
    """Whether a client's pool made the task, or the pool's scheduler waits in it."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    owner = frame.f_locals.get("self") if frame else None
    ours = task.get_name().startswith(f"{DatabaseRole.CLIENT.value}-")
    return ours or type(owner).__module__.startswith("psycopg_pool")
