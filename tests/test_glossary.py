"""One word for one thing: the names that the glossary retired do not come back.

The glossary stands in docs/architecture.md. What is checked: identifiers of the code, names in SQL,
the help of the command line, and the documentation.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from consumers.cli.application import COMMANDS
from consumers.cli.application import memory as command_line
from memory.database import queries

ROOT = Path(__file__).parent.parent
PACKAGES = ("memory", "extractors", "consumers")
GLOSSARY = ROOT / "docs" / "architecture.md"

RETIRED = {
    r"overlay\w*": "pending",
    r"(two_)?clocks": "point in time",
    r"abridg\w*": "excerpt",
    r"contests?": "conflict",
    r"arbiter": "conflict resolver",
    r"judging": "resolving",
    r"abstracts": "abstractive summary",
    r"spoken_for|wire|screen|lettering|extras": "pipeline, output, dead letters, optional",
    r"(take_up|put_off|give_up)": "retry_set_aside, defer, release_now",
    r"claims_module|Claims": "leases",
}
"""As whole identifiers, each with the word that took its place."""

KEPT = {
    ("extractors/prompts/answers.py", "contest"): "the schema that a prompt's version fixes",
    ("extractors/prompts/answers.py", "contests"): "as above",
    ("extractors/language_model/conflicts.py", "contest"): "an answer under that schema",
    ("extractors/language_model/conflicts.py", "contests"): "as above",
    ("memory/recall/search.py", "spoken_for"): "the idiom: already taken",
}

OUT_OF_PROSE = re.compile(
    r"\boverlay\b|\btwo clocks\b|\babridg|\bcontests?\b|\bthe judging\b|\blets? go of\b",
    re.IGNORECASE,
)

_NAME = re.compile("|".join(f"(?:{pattern})" for pattern in RETIRED))


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from (ROOT / package).rglob("*.py")


@cache
def identifiers(path: Path) -> frozenset[str]:
    """Every name that a module defines, takes or imports."""
    found = {path.stem}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.ClassDef(name=name) | ast.alias(name=name):
                found.add(name)
    return frozenset(found)


def commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from commands(found)


def test_no_identifier_is_a_retired_name() -> None:
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in sources()
        for name in identifiers(path)
        if _NAME.fullmatch(name.lstrip("_"))
    }
    assert found - set(KEPT) == set()
    assert set(KEPT) <= found, "an exception that nothing needs any more"


def test_no_statement_has_a_retired_name() -> None:
    parts = {part for name in queries.load() for part in name.split(".")}
    assert [part for part in parts if _NAME.fullmatch(part)] == []


def test_no_table_column_or_function_has_a_retired_name() -> None:
    words = re.findall(r"\b[a-z_]+\b", (ROOT / "sql" / "schema.sql").read_text(encoding="utf-8"))
    assert sorted({word for word in words if _NAME.fullmatch(word)}) == []


def test_the_help_of_the_command_line_uses_no_retired_word() -> None:
    for command in commands(command_line):
        text = command.get_help(click.Context(command, info_name=command.name))
        assert OUT_OF_PROSE.findall(text) == [], command.name
    assert OUT_OF_PROSE.findall(" ".join(COMMANDS.values())) == []


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))],
    ids=lambda path: path.name,
)
def test_no_page_uses_a_retired_word(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if page == GLOSSARY:
        text = text.partition("Names that were checked")[0]
    assert OUT_OF_PROSE.findall(text) == []


def test_every_retired_name_is_in_the_glossary() -> None:
    verdicts = GLOSSARY.read_text(encoding="utf-8").partition("Names that were checked")[2]
    for name in (
        "uses",
        "spoken",
        "wire",
        "portal",
        "places",
        "letters",
        "contests",
        "judgements",
        "judging",
        "abstracts",
        "runs",
        "screen",
        "page",
        "overlay",
        "clocks",
        "explicit",
        "extras",
        "abridging",
        "let go",
        "told",
    ):
        assert re.search(rf"^\| [^|]*\b{name}\b[^|]* \|", verdicts, re.MULTILINE), name
