"""Plain JSON: converts values to what Postgres returns for them, and explains invalid ones.

Errors name the place and show the value, cut to fit a line.
"""

import json
import reprlib
from collections.abc import Mapping, Sized
from decimal import Decimal
from typing import Any

from memory.errors import InteractionTooLarge, InvalidInteraction
from memory.models import fault_of

MAX_PAYLOAD_BYTES = 262_144  # of `payload` as canonical JSON
MAX_PAYLOAD_DEPTH = 64  # objects and arrays inside each other, the payload itself included

_BITS = 1024  # of an integer, which is a double's range, as RFC 8259 advises
_EXACT_INTEGERS = 2**53  # below it every whole float is exactly the integer it prints as

_SHOWN = 80  # characters of a value in a message
_brief = reprlib.Repr()  # keeps huge values from being written out just to be cut
_brief.maxstring = _brief.maxother = _brief.maxlong = _SHOWN

_SIZES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "a boolean"),
    ((int, float), "a number"),
    (str, "text of {:,} characters"),
    (bytes, "{:,} bytes"),
    (Mapping, "an object of {:,} fields"),
    ((list, tuple), "an array of {:,} values"),
)

# Made once: json.dumps makes an encoder for each call. What it is given are trees.
_CANONICAL = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), check_circular=False
)


def plain_object(value: object, place: str) -> dict[str, Any]:
    """Copies `value` as dicts, lists and scalars of JSON, within the limits of a payload.

    Raises:
        InteractionTooLarge, InvalidInteraction: naming the fault and its place, from `place` on.
    """
    return written_object(value, place)[0]


def written_object(value: object, place: str) -> tuple[dict[str, Any], str]:
    """Returns the plain object with its canonical JSON; see `plain_object`."""
    if not isinstance(value, Mapping):
        raise refusal(f"{place} must be a JSON object", value)
    if not value:
        return {}, "{}"
    try:
        plain = _plain_object(value, 1)
    except _Fault as fault:
        raise InvalidInteraction(fault.message(place), fault.without_value(place)) from None
    written = _CANONICAL.encode(plain)
    size = len(written) if written.isascii() else len(written.encode())
    check_size(place, size, MAX_PAYLOAD_BYTES)
    return plain, written


class _Fault(Exception):
    """A fault of `got`, as a text with `{place}` and `{got}` in it.

    The place is put together only when the fault is raised: most values have none.
    """

    def __init__(self, text: str, got: object) -> None:
        super().__init__(text)
        self._text = text
        self._got = got
        self._steps: list[str] = []

    def add(self, step: str) -> None:
        """Adds a step of the next outer value: `.key` or `[n]`."""
        self._steps.append(step)

    def message(self, outermost: str) -> str:
        """Returns the fault and its place, from `outermost` on."""
        place = cut(outermost + "".join(reversed(self._steps)))
        return self._text.format(place=place, got=shown(self._got))

    def without_value(self, outermost: str) -> str:
        """Returns the fault without the value, and without the keys that lead to it."""
        place = f"{outermost}, {len(self._steps)} levels down," if self._steps else outermost
        return self._text.format(place=place, got=sized(self._got))


def _plain_object(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    """`depth` counts the objects and arrays around the items, this one included."""
    plain = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise _Fault("{place} must have text keys, got {got}", key)
        if fault := fault_of(key):
            raise _Fault(f"a key of {{place}} {fault}, got {{got}}", key)
        try:
            plain[key] = _plain(item, depth)
        except _Fault as inside:
            inside.add(f".{key}")
            raise
    return plain


def _plain_array(value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
    plain: list[Any] = []
    for item in value:
        try:
            plain.append(_plain(item, depth))
        except _Fault as inside:
            inside.add(f"[{len(plain)}]")
            raise
    return plain


def _plain(value: object, depth: int) -> Any:
    if isinstance(value, str):
        if fault := fault_of(value):
            raise _Fault(f"{{place}} {fault}, got {{got}}", value)
        return str.__str__(value)  # an enum's member becomes its plain text
    if value is None or value is True or value is False:
        return value
    if isinstance(value, (int, float)):
        return _plain_number(value)
    if not isinstance(value, (dict, list, tuple, Mapping)):
        raise _Fault("{place} must be a JSON value, got {got}", value)
    if depth >= MAX_PAYLOAD_DEPTH:
        limit = f"payload is nested deeper than {MAX_PAYLOAD_DEPTH} levels"
        raise _Fault(f"{limit}, got {{got}} at {{place}}", value)
    if isinstance(value, (list, tuple)):
        return _plain_array(value, depth + 1)
    return _plain_object(value, depth + 1)


def _plain_number(number: float) -> float:
    """`number` as Postgres' jsonb returns it: whole floats become integers."""
    if isinstance(number, int):
        if number.bit_length() > _BITS:
            raise _Fault("{place} must fit a double, got {got}", number)
        return int(number)
    if number - number != 0:  # NaN or infinite
        raise _Fault("{place} must be a finite number, got {got}", number)
    if not number.is_integer():
        return float(number)
    return int(number) if abs(number) < _EXACT_INTEGERS else int(Decimal(repr(number)))


def check_size(field: str, size: int, limit: int) -> None:
    """Raises InteractionTooLarge if `size` bytes are over the limit."""
    if size > limit:
        raise InteractionTooLarge(f"{field} has {size:,} bytes, the limit is {limit:,}")


def refusal(
    what: str, value: object, error: type[InvalidInteraction] = InvalidInteraction
) -> InvalidInteraction:
    """Returns the error for a value; its `fault` has only the value's type and length."""
    return error(f"{what}, got {shown(value)}", f"{what}, got {sized(value)}")


def sized(value: object) -> str:
    """Returns a value's JSON type and length, and nothing of the value itself."""
    if value is None:
        return "null"
    for kind, text in _SIZES:
        if isinstance(value, kind):
            return text.format(len(value) if isinstance(value, Sized) else 0)
    return f"a {type(value).__name__}"


def shown(value: object) -> str:
    """Returns a value for a message."""
    return cut(_brief.repr(value))


def cut(text: str) -> str:
    """Cuts a text to the length that a message shows."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
