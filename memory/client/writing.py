"""Marks the verbs that write: where only reads are possible they say so, by their own name."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from memory.errors import ReadOnlyStore


class Writer(Protocol):
    """What has verbs that write."""

    @property
    def refusal(self) -> str | None:
        """Why it cannot write, and what to set; None if it can."""
        ...


_Writer = TypeVar("_Writer", bound=Writer)
_Params = ParamSpec("_Params")
_Returned = TypeVar("_Returned")


_Verb = Callable[Concatenate[_Writer, _Params], Coroutine[Any, Any, _Returned]]


def writes(
    name: str,
) -> Callable[[_Verb[_Writer, _Params, _Returned]], _Verb[_Writer, _Params, _Returned]]:
    """Makes a verb raise ReadOnlyStore with its `name`: before it does anything, if it can tell."""

    def marked(verb: _Verb[_Writer, _Params, _Returned]) -> _Verb[_Writer, _Params, _Returned]:
        @wraps(verb)
        async def call(
            self: _Writer, /, *args: _Params.args, **kwargs: _Params.kwargs
        ) -> _Returned:
            if self.refusal is not None:
                raise ReadOnlyStore(f"{name}() writes, and {self.refusal}")
            try:
                return await verb(self, *args, **kwargs)
            except ReadOnlyStore as error:
                raise ReadOnlyStore(f"{name}() writes: {error}") from error

        return call

    return marked
