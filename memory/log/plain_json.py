"""Plain JSON: values as Postgres hands them back, and what is wrong with those that are not.

Errors name the place and show the value, cut to what fits a line.
"""

import json
import reprlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from memory.errors import InteractionTooLarge, InvalidInteraction

MAX_PAYLOAD_BYTES = 262_144  # of `payload` as canonical JSON
MAX_PAYLOAD_DEPTH = 64  # objects and arrays inside each other, the payload itself included

_BITS = 1024  # of an integer, which is a double's range, as RFC 8259 advises
_EXACT_INTEGERS = 2**53  # below it every whole float is exactly the integer it prints as

_SHOWN = 80  # characters of a value in a message
_brief = reprlib.Repr()  # keeps huge values from being written out just to be cut
_brief.maxstring = _brief.maxother = _brief.maxlong = _SHOWN

# Made once: json.dumps makes an encoder for each call. What it is given are trees.
_CANONICAL = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), check_circular=False
)


def plain_object(value: object, place: str) -> dict[str, Any]:
    """`value` as dicts, lists and scalars of JSON, copied; within the limits of a payload.

    Raises:
        InteractionTooLarge, InvalidInteraction: naming what is wrong, and where, from `place` on.
    """
    return written_object(value, place)[0]


def written_object(value: object, place: str) -> tuple[dict[str, Any], str]:
    """As `plain_object`, with its canonical JSON."""
    if not isinstance(value, Mapping):
        raise InvalidInteraction(f"{place} must be a JSON object, got {shown(value)}")
    if not value:
        return {}, "{}"
    plain, written = _quickly_plain(value) or _slowly_plain(value, place)
    size = len(written) if written.isascii() else len(written.encode())
    check_size(place, size, MAX_PAYLOAD_BYTES)
    return plain, written


def _slowly_plain(value: Mapping[Any, Any], place: str) -> tuple[dict[str, Any], str]:
    """Any mapping; says what is wrong, and where."""
    plain = _plain_object(value, place, 1)
    return plain, _CANONICAL.encode(plain)


def _quickly_plain(value: Mapping[Any, Any]) -> tuple[dict[str, Any], str] | None:
    """The same of what is plain and sound already, as most is; None of anything else."""
    try:
        plain = _copied(value, 1)
        written = _CANONICAL.encode(plain)
        if not written.isascii():
            written.encode()
    except (_Odd, UnicodeEncodeError):  # half of a surrogate pair
        return None
    return None if "\\u0000" in written else (plain, written)  # NUL as JSON writes it


class _Odd(Exception):
    """A value is not of the plain JSON types, or not within the limits."""


def _copied(value: Any, depth: int) -> Any:
    """As `_plain`, of a value of plain types alone, whose texts are still to be looked at.

    Raises:
        _Odd: it is for `_plain` to say what is wrong, and where, or to make it plain.
    """
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if kind is int and value.bit_length() <= _BITS:
        return value
    if kind is float and value - value == 0:
        return _plain_number(value, "") if value.is_integer() else value
    if depth > MAX_PAYLOAD_DEPTH:
        raise _Odd
    if kind is dict:
        if any(type(key) is not str for key in value):
            raise _Odd
        return {key: _copied(item, depth + 1) for key, item in value.items()}
    if kind is list:
        return [_copied(item, depth + 1) for item in value]
    raise _Odd


def _plain_object(value: Mapping[Any, Any], place: str, depth: int) -> dict[str, Any]:
    plain = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidInteraction(f"{cut(place)} must have text keys, got {shown(key)}")
        if fault := fault_of(key):
            raise InvalidInteraction(f"a key of {cut(place)} {fault}, got {shown(key)}")
        plain[key] = _plain(item, f"{place}.{key}", depth)
    return plain


def _plain(value: object, place: str, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if fault := fault_of(value):
            raise InvalidInteraction(f"{cut(place)} {fault}, got {shown(value)}")
        return str.__str__(value)  # an enum's member becomes its plain text
    if isinstance(value, int | float):
        return _plain_number(value, place)
    if isinstance(value, Mapping | list | tuple):
        if depth >= MAX_PAYLOAD_DEPTH:
            raise InvalidInteraction(
                f"payload is nested deeper than {MAX_PAYLOAD_DEPTH} levels, "
                f"got {shown(value)} at {cut(place)}"
            )
        if isinstance(value, Mapping):
            return _plain_object(value, place, depth + 1)
        return [_plain(item, f"{place}[{n}]", depth + 1) for n, item in enumerate(value)]
    raise InvalidInteraction(f"{cut(place)} must be a JSON value, got {shown(value)}")


def _plain_number(number: float, place: str) -> float:
    """`number` as Postgres' jsonb hands it back: whole floats are the integers they print as."""
    if isinstance(number, int):
        if number.bit_length() > _BITS:
            raise InvalidInteraction(f"{cut(place)} must fit a double, got {shown(number)}")
        return int(number)
    if number - number != 0:  # NaN or infinite
        raise InvalidInteraction(f"{cut(place)} must be a finite number, got {number!r}")
    if not number.is_integer():
        return float(number)
    return int(number) if abs(number) < _EXACT_INTEGERS else int(Decimal(repr(number)))


def check_size(field: str, size: int, limit: int) -> None:
    """Raises InteractionTooLarge where `size` bytes are over the limit."""
    if size > limit:
        raise InteractionTooLarge(f"{field} has {size:,} bytes, the limit is {limit:,}")


def fault_of(text: str) -> str | None:
    """Why Postgres could not store `text`; None when it can."""
    if "\x00" in text:
        return f"holds a NUL character at {text.index(chr(0))}"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return f"holds half of a surrogate pair at {error.start}"
    return None


def shown(value: object) -> str:
    """A value as a message shows it."""
    return cut(_brief.repr(value))


def cut(text: str) -> str:
    """As much of a text as a message shows."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
