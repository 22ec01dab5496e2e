"""The `memory` command as click sees it, found by its entry point and not by a module's name."""

import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr
from functools import cache
from importlib.metadata import entry_points
from io import StringIO
from unittest.mock import patch

import click
import pytest

from memory.errors import ExperientialMemoryError


class _Found(BaseException):
    """Carries the group that the script would have run past whatever handles errors."""

    def __init__(self, group: click.Group) -> None:
        super().__init__()
        self.group = group


@cache
def application() -> click.Group:
    """The group that the `memory` script hands its arguments to."""

    def caught(command: click.Group, *_: object, **__: object) -> None:
        raise _Found(command)

    (script,) = entry_points(group="console_scripts", name="memory")
    with patch.object(click.Command, "main", caught), patch.object(sys, "argv", ["memory"]):
        try:
            script.load()()
        except _Found as found:
            return found.group
    raise AssertionError("the memory script ran no click application")


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command by its words, such as `topics create`, in the order of help; no groups."""
    yield from _below(application(), ())


def _below(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from _below(inner, (*path, name))


def options_of(command: click.Command) -> list[click.Option]:
    return [option for option in command.params if isinstance(option, click.Option)]


def exit_codes() -> dict[int, str]:
    """What `memory --help` says each exit code means."""
    listed = re.search(r"Exit codes:\n((?: +\d .*\n)+)", application().epilog or "")
    assert listed
    rows = (line.split(maxsplit=1) for line in listed[1].splitlines())
    return {int(code): meaning for code, meaning in rows}


def exit_code_of(error: ExperientialMemoryError) -> int:
    """What `memory` exits with when a command raises `error`."""

    @click.command()
    def failing() -> None:
        raise error

    group = type(application())(name="memory")
    with (
        patch.object(group, "get_command", lambda *_: failing),
        redirect_stderr(StringIO()),
        pytest.raises(SystemExit) as ended,
    ):
        group.main(["failing"], prog_name="memory")
    return int(ended.value.code or 0)


ErrorClass = type[ExperientialMemoryError]


def error_classes() -> Iterator[tuple[int, ErrorClass]]:
    """The tree of errors from its root down, each class with its depth."""
    yield 0, ExperientialMemoryError
    yield from _errors_below(ExperientialMemoryError, 1)


def _errors_below(parent: ErrorClass, depth: int) -> Iterator[tuple[int, ErrorClass]]:
    for child in parent.__subclasses__():
        if child.__module__ == ExperientialMemoryError.__module__:
            yield depth, child
            yield from _errors_below(child, depth + 1)


def raised(error: ErrorClass) -> ExperientialMemoryError:
    """An error of this class; those that say when to try again are given a second."""
    wants_seconds = "seconds" in getattr(error.__init__, "__annotations__", {})
    return error("said", *([1.0] if wants_seconds else []))
