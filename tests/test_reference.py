"""docs/reference.md says what the code does, and every page names only what exists."""

import shlex

import click
import pytest

from memory.settings import Settings
from tests.application import application, commands, options_of
from tests.pages import Page, pages
from tests.reference import PAGE, written


def test_the_page_is_what_the_code_makes() -> None:
    assert PAGE.text == written(), "run: make reference"


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_described(field: str) -> None:
    assert Settings.model_fields[field].description


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_every_command_and_option_is_described(name: str, command: click.Command) -> None:
    assert command.help
    assert [option.name for option in options_of(command) if not option.help] == []
    assert "\\b" not in command.help


def spoken_of(page: Page) -> list[str]:
    """What the prose of `page` gives as commands of `memory`."""
    return [span for span in page.code_spans() if span.startswith("memory ")]


@pytest.mark.parametrize("page", [p for p in pages() if spoken_of(p)], ids=lambda page: page.name)
def test_every_command_that_prose_names_exists(page: Page) -> None:
    assert {span: fault for span in spoken_of(page) if (fault := fault_of(span))} == {}


def fault_of(line: str) -> str | None:
    """What is wrong with a command line's command or options; arguments may be left out."""
    command: click.Command = application()
    words = shlex.split(line)[1:]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        found = command.get_command(click.Context(command), name)
        if found is None:
            return f"no command {name!r}"
        command = found
    known = {name for option in options_of(command) for name in option.opts} | {"--help"}
    unknown = [word for word in words if word.startswith("--") and word.split("=")[0] not in known]
    return f"no option {unknown}" if unknown else None


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("memory extract --follow", None),
        ("memory topics create", None),
        ("memory topics", None),
        ("memory --help", None),
        ("memory forgive", "no command 'forgive'"),
        ("memory topics destroy", "no command 'destroy'"),
        ("memory extract --folow", "no option ['--folow']"),
    ],
)
def test_a_command_that_is_none_is_noticed(line: str, fault: str | None) -> None:
    assert fault_of(line) == fault
