"""Finds and masks what is sensitive in an interaction: its content, its actor and its payload."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from memory.models import Interaction
from memory.privacy.findings import Finding, Recogniser, Sensitive
from memory.privacy.passwords import is_name_of_one
from memory.privacy.scanning import mask, scan


class Found(NamedTuple):
    """Something sensitive in an interaction.

    place: the field, and within the payload the keys that lead to the value, themselves masked.
    """

    place: str
    finding: Finding


Change = Callable[[str, str, str], str]
"""Returns what becomes of a text, by its place and the key that it stands under."""

_LEAST_NUMBER = 10**3
_SAY_NOTHING = frozenset(
    ("value", "val", "text", "data", "raw", "plain", "content", "string", "#text")
)
"""Keys that leave it to the key above them what a value is."""
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])|[_-]")


def found(
    interaction: Interaction, wanted: Collection[Sensitive], more: Sequence[Recogniser] = ()
) -> list[Found]:
    """Returns what an interaction holds of the wanted classes."""
    findings: list[Found] = []

    def note(text: str, place: str, key: str) -> str:
        findings.extend(Found(place, finding) for finding in _scanned(text, key, wanted, more))
        return text

    _changed(interaction, note, wanted)
    return findings


def masked(
    interaction: Interaction, wanted: Collection[Sensitive], more: Sequence[Recogniser] = ()
) -> Interaction:
    """Returns the interaction with what it holds of the wanted classes masked; see `mask`.

    A number in the payload becomes text. If there is nothing to mask, it is the same object.
    """
    return _changed(interaction, _masking(wanted, more), wanted) if wanted else interaction


def masked_value(
    value: Any,
    wanted: Collection[Sensitive],
    names: Collection[str] = (),
    more: Sequence[Recogniser] = (),
) -> Any:
    """Returns any JSON value with what its texts hold of the wanted classes masked.

    names: texts that stay as they are, since they say whose it is.
    """
    change = _masking(wanted, more)

    def change_others(text: str, place: str, key: str) -> str:
        return text if text in names else change(text, place, key)

    return _value(value, change_others, "value", "", wanted)


def _masking(wanted: Collection[Sensitive], more: Sequence[Recogniser]) -> Change:
    def change(text: str, _place: str, key: str) -> str:
        findings = _scanned(text, key, wanted, more)
        return mask(text, findings) if findings else text

    return change


def _scanned(
    text: str, key: str, wanted: Collection[Sensitive], more: Sequence[Recogniser]
) -> list[Finding]:
    """Scans a text with its key before it, as the word that says what it is."""
    if not key:
        return list(scan(text, wanted, more))
    said = _WORDS.sub(" ", key)
    if Sensitive.PASSWORD in wanted and is_name_of_one(said, text):
        return [Finding(Sensitive.PASSWORD, 0, len(text))]
    start = len(said) + 2
    return [
        Finding(f.sensitive, max(0, f.start - start), f.end - start)
        for f in scan(f"{said}: {text}", wanted, more)
        if f.end > start
    ]


def _changed(
    interaction: Interaction, change: Change, wanted: Collection[Sensitive]
) -> Interaction:
    content: object = interaction.content
    actor: object = interaction.actor
    new: dict[str, Any] = {}
    if isinstance(content, str):  # anything else is refused where every interaction is checked
        new["content"] = change(content, "content", "")
    if isinstance(actor, str):
        new["actor"] = change(actor, "actor", "")
    if interaction.payload:
        new["payload"] = _value(interaction.payload, change, "payload", "", wanted)
    same = all(value == getattr(interaction, name) for name, value in new.items())
    return interaction if same else replace(interaction, **new)


def _value(value: Any, change: Change, place: str, key: str, wanted: Collection[Sensitive]) -> Any:
    if isinstance(value, str):
        return change(value, place, key)
    if isinstance(value, Mapping):
        return _object(value, change, place, key, wanted)
    if isinstance(value, list | tuple):
        return [_value(item, change, f"{place}[{n}]", key, wanted) for n, item in enumerate(value)]
    if isinstance(value, float) and value.is_integer():  # a number of a card that met JavaScript
        new = _value(int(value), change, place, key, wanted)
        return new if isinstance(new, str) else value
    if isinstance(value, int) and abs(value) >= _LEAST_NUMBER:
        written = str(value) if value.bit_length() < 128 else ""  # noqa: PLR2004 - no such number
        new = change(written, place, key)
        return value if new == written else new
    return value


def _object(
    value: Mapping[Any, Any], change: Change, place: str, outer: str, wanted: Collection[Sensitive]
) -> dict[Any, Any]:
    new: dict[Any, Any] = {}
    for key, item in value.items():
        name = key
        step = mask(key, scan(key, wanted)) if isinstance(key, str) else repr(type(key))
        inside = f"{place}.{step}"
        if isinstance(key, str):
            name = change(key, inside, "")
            while name != key and name in new:
                name += "•"
        named = key if isinstance(key, str) else ""
        says_nothing = named.casefold() in _SAY_NOTHING
        new[name] = _value(item, change, inside, (says_nothing and outer) or named, wanted)
    return new
