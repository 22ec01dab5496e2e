"""Finds `sql/` and returns its named statements: the only way SQL reaches the database.

A query file holds blocks that start with a line `-- name --`; the comment lines that follow say
what the block is for and stay with it. A block whose last comment is `-- other, but for: text`
stands for the statement of that name in its file with `text`, which occurs there once, replaced by
what follows the comment. `%{name}` stands for a list of columns, a block of `sql/columns.sql`.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import LiteralString, NamedTuple

_BLOCK = re.compile(r"^-- (\w+) --\n", re.MULTILINE)
_VARIANT = re.compile(r"^-- (\w+), but for: (.+)\n", re.MULTILINE)
_REMARKS = re.compile(r"\A(?:--.*\n)+")
_COLUMNS = re.compile(r"(\w+\.)?%\{(\w+)\}")
_PLACEHOLDER = re.compile(r"%(?:\((\w+)\)s|%)")


def sql_directory() -> Path:
    """Returns `sql/` inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "sql"
    return inside if inside.is_dir() else package.parent / "sql"


@cache
def load() -> Mapping[str, LiteralString]:
    """Returns every statement of `sql/queries`, by `<file>.<name>`.

    Raises:
        ValueError: a name stands twice in one file, or what a block replaces is not there once.
        KeyError: a list of columns is not there.
    """
    statements: dict[str, LiteralString] = {}
    for path in sorted((sql_directory() / "queries").glob("*.sql")):
        named = _blocks(path)
        for name, body in named.items():
            text = _written_out(f"{path.stem}.{name}", body, named)
            # Our own files: as trustworthy as a literal in this module.
            statements[f"{path.stem}.{name}"] = _COLUMNS.sub(_listed, text)
    return MappingProxyType(statements)


def _blocks(path: Path) -> dict[str, str]:
    """The blocks of a file by their names."""
    _, *parts = _BLOCK.split(path.read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if name in found:
            raise ValueError(f"{name!r} stands twice in {path.name}")
        found[name] = body.strip()
    return found


@cache
def columns(name: str) -> tuple[str, ...]:
    """A list of columns in `sql/columns.sql`.

    Raises:
        KeyError: there is none of that name.
    """
    text = _REMARKS.sub("", _blocks(sql_directory() / "columns.sql")[name])
    return tuple(column.strip() for column in _COLUMNS.sub(_listed, text).split(","))


def _listed(match: re.Match[str]) -> str:
    """What stands for `%{name}`, or with a prefix for `i.%{name}`."""
    prefix, name = match.groups(default="")
    return ", ".join(f"{prefix}{column}" for column in columns(name))


def _written_out(key: str, body: str, named: Mapping[str, str]) -> str:
    """A block's statement, where it is a variant of another one's made from that."""
    variant = _VARIANT.search(body)
    if variant is None:
        return body
    original, replaced = variant.groups()
    text = _REMARKS.sub("", named.get(original, ""))
    if text.count(replaced) != 1:
        raise ValueError(f"{key!r} replaces {replaced!r}, which {original!r} does not hold once")
    return body[: variant.start()] + text.replace(replaced, body[variant.end() :].strip())


def statement(name: str) -> LiteralString:
    """Returns the text of one statement, such as `log.append`."""
    return load()[name]


@cache
def has_one_plan(name: str) -> bool:
    """Returns whether a statement says `-- one plan: why`: it is planned only once."""
    return "\n-- one plan: " in statement(name)


@cache
def admits_itself(name: str) -> bool:
    """Returns whether a statement says `-- admits itself: why`: it checks its tenant."""
    return "\n-- admits itself: " in statement(name)


class Numbered(NamedTuple):
    """A statement with `$1`, `$2` and so on in place of names, and the names in that order."""

    text: str
    params: tuple[str, ...]


@cache
def numbered(name: str) -> Numbered:
    """Returns a statement as the server reads it."""
    params: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] is None:
            return "%"
        if match[1] not in params:
            params.append(match[1])
        return f"${params.index(match[1]) + 1}"

    return Numbered(_PLACEHOLDER.sub(number, statement(name)), tuple(params))
