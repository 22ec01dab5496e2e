"""Task groups whose first error comes out as itself."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import anyio


@contextmanager
def alone() -> Iterator[None]:
    """Around a task group: raises the first error in it, not the group that wraps it."""
    try:
        yield
    except BaseExceptionGroup as group:
        error = _first(group)
        raise error from error.__cause__


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def together(number: int, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs `work` so many times at once, until each has ended or one has failed."""
    with alone():
        async with anyio.create_task_group() as group:
            for _ in range(number):
                group.start_soon(work)
