"""Checks the arguments of a client's verbs, so that every wrong one is an error of ours."""

import inspect
import math
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime
from functools import partial, wraps
from operator import index
from typing import Any, ParamSpec, TypeVar, get_type_hints

from memory.context.assembly import Shares
from memory.errors import InvalidInput, InvalidScope
from memory.log.plain_json import shown
from memory.models import (
    Interaction,
    InteractionKind,
    MemoryKind,
    Place,
    Receipt,
    Role,
    Scope,
    fault_of,
)

MAX_COUNT = 2**31 - 1
"""The most that a number of results, tokens or milliseconds may be."""

_BIGGEST = 2**63 - 1
_LEAST = {"k": 1, "limit": 0, "after": 0, "budget": 0}
_IDS = frozenset({"memory"})

BY_ENVELOPE = (
    "content", "text", "id", "actor", "payload", "private", "source", "kind", "role", "occurred_at",
)  # fmt: skip
"""Arguments that become fields of an interaction, whose gate checks them."""

_Params = ParamSpec("_Params")
_Returned = TypeVar("_Returned")
_Check = Callable[[str, Any], Any]
"""Returns the value to pass on for one of this name, or raises InvalidInput."""


def check_part(name: str, value: object, *methods: str) -> None:
    """Raises InvalidInput if a part that an app gave lacks one of the methods that it needs."""
    missing = [method for method in methods if not callable(getattr(value, method, None))]
    if missing or isinstance(value, type):
        raise InvalidInput(f"{name} must have {', '.join(methods)}(), got {shown(value)}")


def checked(
    *others: str,
) -> Callable[
    [Callable[_Params, Coroutine[Any, Any, _Returned]]],
    Callable[_Params, Coroutine[Any, Any, _Returned]],
]:
    """Checks the arguments of a verb by its annotations before it runs.

    The verb raises InvalidInput, with the name and the value, for any argument of another type or
    out of range. `others` names those that the verb checks itself, as the envelope does.
    """
    return partial(_checked, frozenset(others))


def _checked(
    others: frozenset[str], verb: Callable[_Params, Coroutine[Any, Any, _Returned]]
) -> Callable[_Params, Coroutine[Any, Any, _Returned]]:
    hints = {name: hint for name, hint in get_type_hints(verb).items() if name not in others}
    checks = {name: _check_of(hint) for name, hint in hints.items()}
    names = list(inspect.signature(verb).parameters)

    def passed_on(name: str, value: Any) -> Any:
        check = checks.get(name)
        return check(name, value) if check else value

    @wraps(verb)
    async def call(*args: _Params.args, **kwargs: _Params.kwargs) -> _Returned:
        given = (*map(passed_on, names, args), *args[len(names) :])
        return await verb(*given, **{n: passed_on(n, v) for n, v in kwargs.items()})

    return call


def _refused(name: str, wanted: str, value: object) -> InvalidInput:
    return InvalidInput(f"{name} must be {wanted}, got {shown(value)}")


def _scope(name: str, value: Any) -> Any:
    if not isinstance(value, Scope):
        raise InvalidScope(f"{name} must be a Scope, got {shown(value)}")
    return value


def _text(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        raise _refused(name, "text", value)
    if fault := fault_of(value):
        raise InvalidInput(f"{name} {fault}, got {shown(value)}")
    return value


def _whole(name: str, value: Any) -> Any:
    least, most = (-_BIGGEST, _BIGGEST) if name in _IDS else (_LEAST.get(name, 0), MAX_COUNT)
    number = _number(value)
    if number is None or not least <= number <= most:
        raise _refused(name, f"a whole number from {least:,} to {most:,}", value)
    return number


def _number(value: Any) -> int | None:
    try:
        return None if isinstance(value, bool) else index(value)
    except TypeError:
        return None


def _seconds(name: str, value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= MAX_COUNT or math.isnan(value):
        raise _refused(name, f"a number from 0 to {MAX_COUNT:,}", value)
    return value


def _receipt(name: str, value: Any) -> Any:
    if not isinstance(value, Receipt) or not _sound(
        value.interaction_id, value.position, value.place
    ):
        raise _refused(name, "a receipt", value)
    return value


def _sound(interaction_id: Any, position: Any, place: Any) -> bool:
    """Whether the parts of a receipt are what they are declared to be."""
    text = isinstance(interaction_id, str) and fault_of(interaction_id) is None
    number = isinstance(position, int) and 0 <= position <= _BIGGEST
    return text and number and isinstance(place, Place | None)


def _instance(kind: type, wanted: str) -> _Check:
    def check(name: str, value: Any) -> Any:
        if not isinstance(value, kind):
            raise _refused(name, wanted, value)
        return value

    return check


def _kinds(name: str, value: Any) -> Any:
    if not isinstance(value, Iterable):
        raise _refused(name, "a list of kinds", value)
    each = [value] if isinstance(value, str) else list(value)
    for kind in each:
        if not isinstance(kind, str) or kind not in set(MemoryKind):
            raise _refused(name, f"of {', '.join(MemoryKind)}", kind)
    return [MemoryKind(kind) for kind in each]


def _texts(name: str, value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise _refused(name, "a list of texts", value)
    return [_text(f"{name}[{n}]", one) for n, one in enumerate(value)]


def _interactions(name: str, value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise _refused(name, "a list of interactions", value)
    for one in value:
        if not isinstance(one, Interaction) or not isinstance(one.scope, Scope):
            raise _refused(name, "interactions", one)
    return value


def _optional(check: _Check) -> _Check:
    return lambda name, value: None if value is None else check(name, value)


_CHECKS: dict[object, _Check] = {
    Scope: _scope,
    str: _text,
    int: _whole,
    float: _seconds,
    bool: _instance(bool, "true or false"),
    datetime: _instance(datetime, "a datetime with a zone"),
    Receipt: _receipt,
    Shares: _instance(Shares, "Shares"),
    Iterable[MemoryKind]: _kinds,
    Sequence[str]: _texts,
    Sequence[Interaction]: _interactions,
}


def _check_of(hint: Any) -> _Check | None:
    for wanted, check in _CHECKS.items():
        if hint == wanted:
            return check
        if hint == wanted | None:  # type: ignore[operator]
            return _optional(check)
    if hint in {MemoryKind | str, InteractionKind | str, Role | str}:
        return _text  # and the verb says which there are
    return None
