"""Runs the code blocks of a page as a reader would: in order, on one store, in one shell.

Python blocks share a namespace, and a block that is indented goes on inside the `with` before it.
Console blocks run in bash, where `memory` is this checkout's. What takes no end is run to its end
(`--follow` goes, `memory ingest` gets `--drain`), and what a line ends with `&` for really stays in
the background until the page is done.
"""

import argparse
import ast
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

import psycopg
import pytest
from packaging.requirements import Requirement
from psycopg import sql
from psycopg.conninfo import make_conninfo

from memory.client import MemoryClient
from memory.models import Scope
from memory.settings import Settings
from tests.pages import ROOT, Block

CANNOT_RUN = {
    "docker compose": "needs Docker; test_compose.py reads the file",
    "kafka-consumer-groups.sh": "comes with Kafka, not with this package",
    "make": "would set up an environment, or run the tests; a dry run finds its target",
    "memory demo": "starts a server of its own; test_demo.py runs it",
    ".venv/bin/": "runs tests and tools of a checkout; the files that it names must exist",
    "uvx": "would fetch a tool",
    "python3 -m venv": "belongs to a release",
    "build/released/bin/": "as above",
    "pip install": "would ask a package index; what it names has to be installed already",
    "python -m benchmarks.": "takes minutes to hours, root, or a data set that is not ours to hand"
    " out; its arguments are parsed",
}
"""Commands that pages show and tests cannot run, with the reason and what is done instead."""

NEEDS_BROKER = re.compile(
    r"KAFKA|memory (topics|ingest|dead-letters)|ingest-lag|changes publish|after=receipt"
)
PASSING = "MEMORY_KAFKA_OPTIONS"
"""Read, and not kept: the test's broker is reached without TLS and SASL."""

HANGING_SECONDS = 300

_BACKGROUND = re.compile(r"^memory (?P<arguments>.*?)\s*&\s*(?:#.*)?$")
_ENDING = (
    (r" --follow\b", ""),
    (r"\b(memory ingest)\b(?!.*--drain)", r"\1 --drain"),
    (r"\b(memory topics create)\b(?!.*--replication)", r"\1 --replication 1"),
)
_SEPARATOR = "\x1e"
_VARIES = re.compile(r"\d[\d.,]* ?(?:s|ms|/s)\b")


@dataclass(frozen=True)
class Command:
    """A line of a console block after its prompt, with what the block shows under it."""

    text: str
    shown: tuple[str, ...]


def console(block: Block) -> list[Command]:
    """The commands of a block; one that ends inside quotes goes on in the next line."""
    found: list[tuple[str, list[str]]] = []
    for line in block.code.splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        elif found and not found[-1][1] and not complete(found[-1][0]):
            found[-1] = (f"{found[-1][0]}\n{line}", [])
        else:
            assert found, f"{block}: a console block begins with a prompt"
            found[-1][1].append(line)
    return [Command(text, tuple(filter(str.strip, shown))) for text, shown in found]


def complete(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True


def cannot_run(command: str) -> str | None:
    """What of CANNOT_RUN a command begins with."""
    bare = re.sub(r"^(?:\w+=\S+ )*", "", command)
    return next((begin for begin in CANNOT_RUN if bare.startswith(begin)), None)


@dataclass
class PageRun:
    """One page under way, in `folder`, with these variables and names."""

    folder: Path
    variables: dict[str, str]
    names: dict[str, Any]
    exits: ExitStack
    patch: pytest.MonkeyPatch
    broker: str = ""
    background: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.exits.callback(self.stop)
        self.take_over(self.variables)

    def run(self, block: Block) -> None:
        """Runs a block in its language; a diagram is not run."""
        if block.language == "console":
            self.console(block)
        elif block.language == "python":
            self.python(block)
        elif block.language == "sql":
            with psycopg.connect(self.variables["MEMORY_DATABASE_URL"]) as connection:
                connection.execute(block.code.encode())
        elif block.language == "json":
            assert documents(block.code)
        elif block.language == "toml":
            assert tomllib.loads(block.code)
        else:
            known = block.language in {"", "mermaid"}
            assert known, f"{block}: nothing here runs {block.language!r}"
            assert not re.search(r"^\$ |^memory ", block.text, re.MULTILINE), f"{block}: no console"

    def python(self, block: Block) -> None:
        """Runs Python in the page's namespace; what a last `with` enters stays open."""
        tree = ast.parse(block.code, str(block))
        tree.body = [inner for outer in tree.body for inner in self.opened(outer)]
        code = compile(ast.fix_missing_locations(tree), str(block), "exec")
        exec(code, self.names)  # noqa: S102 - our own pages

    def opened(self, statement: ast.stmt) -> list[ast.stmt]:
        """A `with` as its body after entering; it is left at the end of the page."""
        if not isinstance(statement, ast.With):
            return [statement]
        self.names["_enter"] = self.exits.enter_context
        return [*map(entering, statement.items), *statement.body]

    def console(self, block: Block) -> None:
        """Runs a block in bash and holds what it prints against what the page shows."""
        commands = console(block)
        lines = [self.runnable(command.text) for command in commands]
        output = self.shell(str(block), lines)
        for command, printed in zip(commands, output, strict=True):
            for line in command.shown:
                assert re.search(shape(line), " ".join(printed.split())), (
                    f"{block}: {line!r}\n{printed}"
                )
        self.follow()

    def shell(self, name: str, lines: list[str]) -> list[str]:
        """Runs lines in one bash, which answers every question with yes; returns their output.

        What they export is the page's from then on.
        """
        dumped, printed = self.folder / ".environment", self.folder / ".output"
        script = f"\nprintf '{_SEPARATOR}'\n".join(lines)
        ended = f"exec < <(yes)\n{script}\nenv -0 > {shlex.quote(str(dumped))}\n"
        with printed.open("w") as output:
            done = subprocess.run(
                ["bash", "-e", "-c", ended],
                cwd=self.folder,
                env=self.environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=HANGING_SECONDS,
                check=False,
            )
        said = printed.read_text(encoding="utf-8")
        self.note_background()
        assert done.returncode == 0, f"{name}: exit code {done.returncode}\n{script}\n{said}"
        pairs = (pair.split("=", 1) for pair in dumped.read_text().split("\0") if pair)
        self.take_over({name: value for name, value in pairs if name.startswith("MEMORY_")})
        return said.split(_SEPARATOR)

    def environment(self) -> dict[str, str]:
        path = f"{self.folder / '.bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}"
        plain = {n: v for n, v in os.environ.items() if not n.startswith("MEMORY_")}
        return {
            **plain,
            **self.variables,
            "PATH": path + os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "100",
        }

    def take_over(self, variables: Mapping[str, str]) -> None:
        """Makes these the page's, for its shell and for its Python."""
        with patch.dict(os.environ, variables):
            Settings()  # can be read
        self.variables = {n: v for n, v in variables.items() if n != PASSING}
        for name, value in self.variables.items():
            self.patch.setenv(name, value)

    def runnable(self, command: str) -> str:
        """The command as it ends by itself here; what cannot run is checked and left out."""
        begin = cannot_run(command)
        if begin is not None:
            check(begin, shlex.split(command, comments=True))
            return "true"
        background = _BACKGROUND.match(command)
        if background:
            pids = shlex.quote(str(self.folder / ".pids"))
            real = f"{shlex.quote(sys.executable)} -m consumers {background['arguments']}"
            return f"{real} > /dev/null 2>> .followers & echo $! >> {pids}"
        return self.ending(command)

    def ending(self, command: str) -> str:
        """Without --follow, with --drain, and with this test's servers in the place of others."""
        command = re.sub(r"postgresql://[^\s/]+/(\w+)", self.database, command)
        servers = (r"(MEMORY_KAFKA_SERVERS=)\S+", rf"\g<1>{self.broker}")
        for pattern, instead in (*_ENDING, servers):
            command = re.sub(pattern, instead, command)
        return command

    def database(self, named: re.Match[str]) -> str:
        """The page's own database for `memory`, and any other on the same server."""
        url = self.variables["MEMORY_DATABASE_URL"]
        if named[1] == "memory":
            return shlex.quote(url)
        if named[1] != "postgres":
            self.exits.callback(self.drop, named[1])
        return shlex.quote(make_conninfo(url, dbname=named[1]))

    def drop(self, database: str) -> None:
        """Drops a database that the page made."""
        url = self.variables["MEMORY_DATABASE_URL"]
        with psycopg.connect(url, autocommit=True) as connection:
            dropping = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(dropping.format(sql.Identifier(database)))

    def start(self, *commands: str) -> None:
        """Runs commands in the background, as if the page had said so."""
        self.shell("workers", [self.runnable(f"{command} &") for command in commands])
        self.follow()

    def note_background(self) -> None:
        noted = self.folder / ".pids"
        if noted.exists():
            self.background = [int(pid) for pid in noted.read_text().split()]

    def follow(self) -> None:
        """Waits until what runs in the background has taken in an interaction from end to end."""
        if self.background:
            scope = Scope("probe", "probe", session="probe")
            with MemoryClient() as client:
                receipt = client.record(scope, "Probe.")
                client.recall(scope, "probe", after=receipt, timeout=120)

    def stop(self) -> None:
        """Ends what still runs in the background."""
        for pid in self.background:
            os.kill(pid, signal.SIGTERM)
        self.background = []


def entering(item: ast.withitem) -> ast.stmt:
    """`with a as b` as `b = _enter(a)`."""
    entered = ast.Call(ast.Name("_enter", ast.Load()), [item.context_expr], [])
    target = item.optional_vars or ast.Name("_", ast.Store())
    return ast.copy_location(ast.Assign([target], entered), item.context_expr)


def shape(line: str) -> str:
    """What matches a line that a page shows: times and speeds vary, and … stands for anything."""
    words = " ".join(line.split())
    parts = re.split(rf"({_VARIES.pattern}|…)", words)
    return "".join(
        ".*" if part == "…" else r"[\d.,]+ ?\S+" if _VARIES.fullmatch(part) else re.escape(part)
        for part in parts
    )


def documents(text: str) -> list[Any]:
    """The JSON documents that stand one after another in a text."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text.rstrip()):
        document, end = decoder.raw_decode(text, at)
        found.append(document)
        at = end + len(text[end:]) - len(text[end:].lstrip())
    return found


def check(begin: str, words: list[str]) -> None:
    """What can be told of a command without running it."""
    if begin == "make":
        subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, check=True, capture_output=True)
    elif begin == "pip install":
        for word in words[2:]:
            assert word.startswith("-") or installed(word), word
    elif begin == "python -m benchmarks.":
        parsed(words[2], words[3:])
    elif begin == ".venv/bin/":
        named = [word for word in words if re.match(r"(?:tests|examples)/", word)]
        assert [word for word in named if not (ROOT / word).exists()] == []


def installed(wanted: str) -> bool:
    """Whether a requirement is there, with the extras it names; `.` is this project."""
    requirement = Requirement(re.sub(r"^\.", "experiential-memory", wanted))
    found = distribution(requirement.name).metadata
    return requirement.extras <= set(found.get_all("Provides-Extra") or ())


class _Parsed(Exception):
    pass


def parsed(module: str, arguments: list[str]) -> None:
    """Lets a benchmark read its arguments, and stops it there; it exits 2 over wrong ones."""
    read = argparse.ArgumentParser.parse_args

    def stopping(parser: argparse.ArgumentParser, *given: Any, **more: Any) -> NoReturn:
        read(parser, *given, **more)
        raise _Parsed

    is_package = hasattr(import_module(module), "__path__")
    name = f"{module}.__main__" if is_package else module
    with (
        patch.object(sys, "argv", [module, *arguments]),
        patch.object(argparse.ArgumentParser, "parse_args", stopping),
        pytest.raises(_Parsed),
    ):
        import_module(name).main()
