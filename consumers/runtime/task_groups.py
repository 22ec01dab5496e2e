"""Task groups that raise their first error itself, without a wrapping group."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio


@contextmanager
def alone() -> Iterator[None]:
    """Wraps a task group: raises the first error in it, not the exception group."""
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
    """Runs `number` copies of `work` at once, until all have ended or one has failed."""
    with alone():
        async with anyio.create_task_group() as group:
            for _ in range(number):
                group.start_soon(work)


@asynccontextmanager
async def beside(*work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Runs `work` while the block runs; an error in it ends the block."""
    with alone():
        async with anyio.create_task_group() as group:
            for one in work:
                group.start_soon(one)
            yield
            group.cancel_scope.cancel()
