"""Finds `sql/` and hands out its named statements: the only way SQL reaches the database.

A query file holds blocks that start with a line `-- name --`; the comment lines that follow say
what the block is for and stay with it.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import LiteralString, NamedTuple, cast

_BLOCK = re.compile(r"^-- (\w+) --\n", re.MULTILINE)
_PLACEHOLDER = re.compile(r"%(?:\((\w+)\)s|%)")


def sql_directory() -> Path:
    """`sql/` inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "sql"
    return inside if inside.is_dir() else package.parent / "sql"


@cache
def load() -> Mapping[str, LiteralString]:
    """Every statement of `sql/queries`, by `<file>.<name>`.

    Raises:
        ValueError: a name stands twice in one file.
    """
    statements: dict[str, LiteralString] = {}
    for path in sorted((sql_directory() / "queries").glob("*.sql")):
        _, *parts = _BLOCK.split(path.read_text(encoding="utf-8"))
        for name, body in zip(parts[::2], parts[1::2], strict=True):
            key = f"{path.stem}.{name}"
            if key in statements:
                raise ValueError(f"{key!r} stands twice in {path.name}")
            # Our own files: as trustworthy as a literal in this module.
            statements[key] = cast("LiteralString", body.strip())
    return MappingProxyType(statements)


def statement(name: str) -> LiteralString:
    """The text of one statement, such as `log.append`."""
    return load()[name]


@cache
def has_one_plan(name: str) -> bool:
    """Whether a statement says `-- one plan: why`: it is planned once, not for each execution."""
    return "\n-- one plan: " in statement(name)


class Numbered(NamedTuple):
    """A statement with `$1`, `$2` and so on in place of names, and the names in that order."""

    text: str
    params: tuple[str, ...]


@cache
def numbered(name: str) -> Numbered:
    """A statement as the server reads it."""
    params: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] is None:
            return "%"
        if match[1] not in params:
            params.append(match[1])
        return f"${params.index(match[1]) + 1}"

    return Numbered(_PLACEHOLDER.sub(number, statement(name)), tuple(params))
