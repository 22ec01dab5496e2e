"""docs/reference.md, made from the code: `python -m tests.reference` writes it anew.

Settings come from `Settings`, commands and options from click, exit codes from what the command
line does, errors from `memory.errors`, and limits from the constants that set them.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module

import click
from pydantic.fields import FieldInfo

from memory.settings import KafkaOptions, Settings
from tests.application import (
    application,
    commands,
    error_classes,
    exit_code_of,
    exit_codes,
    options_of,
    raised,
)
from tests.pages import ROOT, Page

PAGE = Page("docs/reference.md")

INTRODUCTION = """\
# Reference

`make reference` writes this page from the code, and a test compares the two. To change a
description here, change it where it is defined. [The API](api.md) has the classes and methods.
"""

BAR = r"\|"
"""As it is written inside a table."""

_SOMEWHERE = click.Context(click.Command("memory"))

COMPUTED_DEFAULTS = {
    "data_dir": "the platform's user data directory; for root `/var/lib/experiential-memory`",
    "cache_dir": "the platform's user cache directory",
}
"""Defaults that depend on who asks, in words."""

OTHER_VARIABLES = {
    "MEMORY_TEST_DATABASE_URL": "a server for the tests; its login role must be a superuser",
    "MEMORY_TEST_KAFKA": "a broker for the tests, `host:port`",
}
"""What no setting and no option defines."""

LIMITS = {
    "MAX_NAME_CHARACTERS": (
        "characters",
        "the longest tenant, user, agent, session, id, actor or source",
    ),
    "MAX_CONTENT_BYTES": ("bytes", "the largest content of an interaction, in UTF-8"),
    "MAX_PAYLOAD_BYTES": ("bytes", "the largest payload of an interaction, as canonical JSON"),
    "MAX_PAYLOAD_DEPTH": ("levels", "the deepest payload: objects and arrays inside each other"),
    "MAX_ENVELOPE_BYTES": ("bytes", "the largest interaction on a Kafka topic"),
    "MAX_READ_CHARACTERS": (
        "characters",
        "of one message that are read for statements and summaries; episodes keep all of it",
    ),
    "MAX_KEY_BYTES": ("bytes", "the longest key of task state, in UTF-8"),
    "MAX_ATTRIBUTE_CHARACTERS": ("characters", "the longest attribute of `remember()`"),
    "MAX_VALUE_CHARACTERS": ("characters", "the longest value of `remember()`"),
    "MAX_CONTEXT_CHARACTERS": ("characters", "the longest context of `remember()`"),
    "LONGEST_CHECKED": ("characters", "the longest proposal of a language model that is believed"),
    "USER_TURN_SECONDS": ("seconds", "after which a user with more to extract lets others go on"),
    "MAX_UNPACKED_BYTES": ("bytes", "what an archive to import may unpack to"),
    "MAX_UNPACKED_RATIO": ("times its size", "what an archive to import may unpack to"),
    "MAX_ELEMENT_CHARACTERS": ("characters", "the longest conversation of a JSON export"),
    "MAX_QUERY_CHARACTERS": ("characters", "the longest query of `recall` and `context`"),
    "MINIMUM_BUDGET": ("tokens", "the smallest budget of `context`"),
    "MAX_REASON_CHARACTERS": ("characters", "the longest reason of a retraction"),
    "WINDOW_LIMIT": ("interactions", "how far working memory looks back, whatever their tokens"),
    "TIMEOUT": ("seconds", "how long `after=` and `--after` wait, unless told otherwise"),
    "DELIVERY_SECONDS": ("seconds", "how long brokers may take to acknowledge a message"),
    "WINDOW_MESSAGES": ("messages", "how many of one call are under way to Kafka at a time"),
    "WINDOW_BYTES": ("bytes", "how much of one call is under way to Kafka at a time"),
    "CALLS": ("calls", "how many calls of one process send to Kafka at a time; others wait"),
    "MAX_PENDING_BYTES": (
        "bytes",
        "how much recorded content a client keeps until Kafka's is applied",
    ),
    "PARTITIONS": ("partitions", "what `memory topics create` gives interactions and changes"),
    "MAX_RECORDS": ("records", "the most that `memory ingest` commits at a time"),
    "MAX_BYTES": ("bytes", "the most that `memory ingest` commits at a time"),
    "MAX_TRACESTATE": ("characters", "the longest `tracestate` header that is passed on"),
    "MOST_BELIEVED": ("memories", "how many an extractor sees that reads what is believed"),
    "MOST_FINDINGS": ("findings", "how many a report of `memory compact verify` lists"),
    "SOCKET_PATH_LIMIT": ("bytes", "the longest path of the embedded server's socket"),
}
"""Constants that users and operators meet, each with its unit and what it bounds."""


def written() -> str:
    """The page."""
    sections = (settings(), command_line(), codes(), errors(), limits())
    return "\n".join([INTRODUCTION, *("\n".join(section) + "\n" for section in sections)])


def settings() -> Iterator[str]:
    yield "## Settings\n"
    yield "Each is an argument of `Settings` and an environment variable. Times are in seconds.\n"
    rows = ((variable(name), default(name, field), field.description or "")
            for name, field in Settings.model_fields.items())  # fmt: skip
    yield from table(("variable", "default", "meaning"), rows)
    yield "\n`MEMORY_KAFKA_OPTIONS` is a JSON object of these, as kafka-python takes them:\n"
    options = ((f"`{name}`", default(name, field)) for name, field in kafka_options())
    yield from table(("option", "default"), options)
    yield "\nThese variables are no settings:\n"
    yield from table(("variable", "meaning"), sorted(other_variables()))


def variable(field: str) -> str:
    return f"`MEMORY_{field.upper()}`"


def kafka_options() -> Iterable[tuple[str, FieldInfo]]:
    return KafkaOptions.model_fields.items()


def default(name: str, field: FieldInfo) -> str:
    if name in COMPUTED_DEFAULTS:
        return COMPUTED_DEFAULTS[name]
    value = field.get_default(call_default_factory=True)
    if value is None or value in ({}, KafkaOptions()):
        return "unset"
    return f"`{value:.15g}`" if isinstance(value, float) else f"`{value}`"


def other_variables() -> Iterator[tuple[str, str]]:
    for name, meaning in OTHER_VARIABLES.items():
        yield f"`{name}`", meaning
    given = {
        (str(option.envvar), option.opts[0])
        for _, command in commands()
        for option in options_of(command)
        if option.envvar
    }
    for name, option_name in given:
        yield f"`{name}`", f"the default of `{option_name}`"


def command_line() -> Iterator[str]:
    yield "## Commands\n"
    yield "`memory --help` and the `--help` of each command say the same, with examples.\n"
    yield from option_list(application())
    for name, command in commands():
        yield f"\n### memory {name}\n"
        yield f"`{usage(name, command)}`\n"
        yield from paragraphs(command.help or "")
        yield from option_list(command)


def usage(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=f"memory {name}")
    return " ".join([context.command_path, *command.collect_usage_pieces(context)])


def paragraphs(text: str) -> Iterator[str]:
    """Help as Markdown; what click leaves unwrapped stays a list."""
    for paragraph in text.strip().split("\n\n"):
        lines = [line.strip() for line in paragraph.replace("\b", "").strip().splitlines()]
        if "\b" in paragraph:
            pairs = (re.split(r"\s{2,}", line, maxsplit=1) for line in lines)
            yield from (f"- `{word}`: {meaning}" for word, meaning in pairs)
            yield ""
        else:
            yield " ".join(lines) + "\n"


def option_list(command: click.Command) -> Iterator[str]:
    rows = [(spelled(option), explained(option)) for option in options_of(command)]
    yield from table(("option", "meaning"), rows)


def spelled(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    metavar = option.make_metavar(_SOMEWHERE).removesuffix(" RANGE")
    return names if option.is_flag else f"{names} {metavar}"


def explained(option: click.Option) -> str:
    """What help says of an option: its meaning, its bounds and its default."""
    kind, value = option.type, option.get_default(_SOMEWHERE)
    said = [option.help or ""]
    if isinstance(kind, click.IntRange | click.FloatRange):
        said.append(bounds(kind))
    if option.required:
        said.append("Required.")
    elif option.show_default and value is not None and not option.is_flag:
        said.append(f"Default: `{value}`.")
    return " ".join(filter(None, said))


def bounds(kind: click.IntRange | click.FloatRange) -> str:
    least = "Over" if kind.min_open else "At least"
    return f"{kind.min} to {kind.max}." if kind.max is not None else f"{least} {kind.min}."


def codes() -> Iterator[str]:
    yield "## Exit codes\n"
    yield from table(
        ("code", "meaning"), ((f"`{code}`", meaning) for code, meaning in exit_codes().items())
    )


def errors() -> Iterator[str]:
    yield "## Errors\n"
    yield (
        "All are in `memory.errors`. The same call may succeed later after a *retriable* one.\n"
        "The number is the exit code of a command that ends with the error.\n"
    )
    for depth, error in error_classes():
        first = (error.__doc__ or "").split("\n\n")[0]
        traits = ["retriable"] if error.retriable else []
        traits.append(str(exit_code_of(raised(error))))
        yield f"{'  ' * depth}- `{error.__name__}` ({', '.join(traits)}): {' '.join(first.split())}"


def limits() -> Iterator[str]:
    yield "## Limits\n"
    rows = (
        (f"`{name}`", amount(limit(name), unit), meaning)
        for name, (unit, meaning) in LIMITS.items()
    )
    yield from table(("constant", "value", "meaning"), rows)


def amount(number: float, unit: str) -> str:
    for factor, larger in ((2**20, "MiB"), (2**10, "KiB")):
        if unit == "bytes" and number % factor == 0:
            return f"{number // factor:g} {larger}"
    return f"{number:,g} {unit}"


def limit(name: str) -> float:
    """The constant's value, wherever it is defined.

    Raises:
        LookupError: no module defines it, or several do and differ.
    """
    values = {getattr(import_module(module), name) for module in defining(name)}
    if len(values) != 1:
        raise LookupError(f"{name} has the values {values!r}")
    (value,) = values
    return float(value)


def defining(name: str) -> Iterator[str]:
    assigned = re.compile(rf"^{name}\b[^=\n]*= ", re.MULTILINE)
    return (module for module, text in modules().items() if assigned.search(text))


@cache
def modules() -> dict[str, str]:
    """The text of every module, by its name."""
    tops = ("memory", "extractors", "consumers")
    paths = (path for top in tops for path in sorted((ROOT / top).rglob("*.py")))
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8")
        for path in paths
    }


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', BAR) for cell in row)} |"


if __name__ == "__main__":
    PAGE.path.write_text(written(), encoding="utf-8")
