"""Whether reading text takes linear time: each reader on adversarial text of n and 4n characters.

    python -m benchmarks.linear [--texts 200] [--seed 0] [--json]

Readers are found, not listed: every public function of the rooms that read text which takes text,
or an interaction, and every extractor. Texts come from a grammar: a beginning, a unit repeated
until the size is reached, and an end. Their words are those of the readers' own patterns, since
only words that a pattern knows can make it try again.

n is where ordinary text takes 20 ms of CPU, and at most a quarter of the largest message. A reader
that takes over 6 times as long for 4n is printed, and the program exits 1.
"""

import argparse
import asyncio
import enum
import inspect
import json
import pkgutil
import random
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from time import process_time
from typing import Any

import extractors
import memory.context
import memory.language
import memory.privacy
import memory.trust
from extractors.language_model.grounding import ShownTurns
from extractors.language_model.support import Quoted
from extractors.prompts.answers import Quote
from extractors.protocol import LogSlice
from extractors.reading.dates import Mention, resolve
from memory.errors import InvalidInput
from memory.language.text import Line, QuotedLine
from memory.language.turns import TURNS
from memory.log.envelope import MAX_CONTENT_BYTES
from memory.models import Interaction, InteractionKind, Role, Scope

ROOMS = (memory.language, memory.context, memory.privacy, memory.trust, extractors)
INNER = "extractors.reading.english"
"""Its functions read one sentence. Those that others import read messages, and count."""

OF_THE_PACKAGE = {
    "memory.privacy.presidio.presidio",
    "extractors.language_model.asking.shipped",
    "extractors.language_model.prompts.parsed",
    "extractors.reading.english.lexicon.any_of",
    "memory.privacy.checksums.luhn",
    "memory.privacy.checksums.mod_11_10",
    "memory.privacy.checksums.mod_97",
    "memory.privacy.checksums.verhoeff",
}
"""Functions whose text is a part of this package or a short number, and no message; or that are not
ours: what Presidio takes is its own matter."""

LEAST_SECONDS = 0.02
MOST_TIMES = 6.0
SMALLEST = 1_000
LARGEST = MAX_CONTENT_BYTES
SAID_AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
SCOPE = Scope("tenant", "user", session="session")
ORDINARY = (
    "I moved to Lisbon last March and started at Siemens as a data engineer. My sister Ana lives in"
    " Oslo, and we talk every Sunday. Please always answer in short sentences when I ask about"
    " code. Yesterday I ran 12 km, which took 61 minutes. I prefer tea over coffee. "
)


@dataclass(frozen=True)
class Reader:
    """A function that reads text; `call` makes its arguments of one, and returns what runs it."""

    name: str
    call: Callable[[str], Callable[[], object]]


@dataclass(frozen=True)
class Timing:
    """CPU seconds of a reader for one text at two sizes in characters."""

    reader: str
    text: str
    size: int
    seconds: float
    larger_size: int
    larger_seconds: float

    @property
    def times(self) -> float:
        """How many times as long the larger took."""
        return self.larger_seconds / max(self.seconds, LEAST_SECONDS / 4)


# The readers --------------------------------------------------------------------------------------


def message(text: str) -> Interaction:
    return Interaction(SCOPE, "m1", InteractionKind.MESSAGE, Role.USER, text or "x", SAID_AT)


def _lines(text: str) -> list[Line]:
    return [Line("User", part) for part in text.split(".") if part.strip()]


def _quotes(text: str) -> list[Quote]:
    return [Quote(turn=1, words=text[len(text) // 2 :])]


def _shown(text: str) -> ShownTurns:
    return ShownTurns({1: message(text)})


MAKERS: dict[object, Callable[[str], object]] = {
    str: lambda text: text,
    Interaction: message,
    Sequence[Interaction]: lambda text: [message(text)],
    Iterable[Interaction]: lambda text: [message(text)],
    LogSlice: lambda text: LogSlice(SCOPE, [message(text)]),
    Sequence[Line]: _lines,
    Sequence[QuotedLine]: lambda text: [
        QuotedLine(line, message(text), 0, 0) for line in _lines(text)
    ],
    Sequence[Mention]: lambda text: resolve(text, SAID_AT),
    Sequence[Quote]: _quotes,
    ShownTurns: _shown,
    Quoted: lambda text: Quoted.of(_shown(text), _quotes(text)),
}
"""How an argument is made of a text, by its type."""

OTHERS: dict[object, Callable[[str], object]] = {
    datetime: lambda _: SAID_AT,
    int: lambda _: 500,
    bool: lambda _: False,
    str | None: lambda _: None,
    Sequence[str]: lambda _: ["Ana", "Tom"],
    frozenset[str]: lambda _: frozenset({"lisbo", "oslo"}),
    Mapping[str, Any]: lambda text: {TURNS: [["User", False, 0, len(text)]]},
}
"""Arguments that a reader needs beside a text."""


@cache
def modules() -> tuple[types.ModuleType, ...]:
    inside = [
        import_module(info.name)
        for room in ROOMS
        for info in pkgutil.walk_packages(room.__path__, f"{room.__name__}.")
    ]
    return (*ROOMS, *inside)


@cache
def readers() -> tuple[Reader, ...]:
    """Returns every reader, by name."""
    found = {_name(function): function for function in _functions()}
    found = {name: found[name] for name in found.keys() - OF_THE_PACKAGE}
    made = [_reader(name, function) for name, function in sorted(found.items())]
    return tuple(reader for reader in made if reader) + tuple(_extractors())


def _functions() -> Iterator[Callable[..., object]]:
    for module in modules():
        for name, value in vars(module).items():
            if name.startswith("_") or not inspect.isfunction(inspect.unwrap(value)):
                continue
            home = value.__module__
            inner = home.startswith(INNER) and module.__name__.startswith(INNER)
            if home in {m.__name__ for m in modules()} and not inner:
                yield value


def _name(function: Callable[..., object]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _reader(name: str, function: Callable[..., object]) -> Reader | None:
    """The reader of a function; None if it takes no text, or what only its room can make."""
    if inspect.iscoroutinefunction(function):
        return None
    needed = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    wanted = {p.name: _hint(function, p.annotation) for p in needed}
    if not any(hint in MAKERS for hint in wanted.values()):
        return None
    makers = {name: _maker(hint) for name, hint in wanted.items()}
    if None in makers.values():
        return None
    by_name = {p.name for p in needed if p.kind is p.KEYWORD_ONLY}

    def call(text: str) -> Callable[[], object]:
        made = {name: make(text) for name, make in makers.items() if make}
        named = {name: made.pop(name) for name in by_name}
        return lambda: function(*made.values(), **named)

    return Reader(name, call)


def _hint(function: Callable[..., object], annotation: object) -> object:
    """The type that an annotation stands for; itself if its module imports that for typing only."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, inspect.unwrap(function).__globals__)  # noqa: S307 - our own code
    except NameError:
        return annotation


def _maker(hint: object) -> Callable[[str], object] | None:
    if inspect.isclass(hint) and issubclass(hint, enum.Enum):
        return lambda _: next(iter(hint))
    return MAKERS.get(hint) or OTHERS.get(hint)


def _extractors() -> Iterator[Reader]:
    for module in modules():
        for name, value in vars(module).items():
            if inspect.isclass(value) and value.__module__ == module.__name__:
                extract = getattr(value, "extract", None)
                if inspect.iscoroutinefunction(extract) and not _needs(value):
                    yield Reader(f"{module.__name__}.{name}.extract", _extracting(value))


def _needs(made: type) -> bool:
    """Whether making an extractor takes arguments: then it asks a model, or is only a protocol."""
    parameters = inspect.signature(made).parameters.values()
    return any(p.default is p.empty for p in parameters) or getattr(made, "_is_protocol", False)


def _extracting(made: type) -> Callable[[str], Callable[[], object]]:
    def call(text: str) -> Callable[[], object]:
        log, itself = LogSlice(SCOPE, [message(text)]), made()
        return lambda: asyncio.run(itself.extract(log))

    return call


# The texts ----------------------------------------------------------------------------------------


@cache
def vocabularies() -> tuple[tuple[str, ...], ...]:
    """Returns the words of each pattern of the readers that has any."""
    own = [value for m in modules() for name, value in vars(m).items() if name[:2] != "__"]
    patterns = {found.pattern for found in _patterns(own)}
    words = [re.findall(r"[A-Za-z][A-Za-z']*", _NO_WORD.sub(" ", p)) for p in sorted(patterns)]
    return tuple(tuple(sorted(set(found))) for found in words if found)


_NO_WORD = re.compile(r"\\[a-zA-Z]|\?P<\w+>|\(\?[\w-]*:|\[.*?\]")


def _patterns(values: Iterable[object]) -> Iterator[re.Pattern[str]]:
    for value in values:
        if isinstance(value, re.Pattern):
            yield value
        elif isinstance(value, tuple | list):
            yield from _patterns(value)
        elif isinstance(value, dict):
            yield from _patterns(value.values())


_FREQUENT = (
    "I", "my", "we", "our", "i", "when", "always", "never", "use", "a", "the", "and", "to", "in",
    "at", "for", "is", "Monday", "last", "next", "May", "5", "12", "2026", "from", "now", "on",
    "or", "but", "so", "if", "Anna", "Mr.", "Mr", "A.", "J.", "e.g.", "3.5", "\u00e9t\u00e9",
    "\u6771\u4eac", "x",
)  # fmt: skip
_JOINTS = (
    " ", " ", " ", " ", ", ", ". ", "\n", "\n\n", "", "-", ": ", "; ", "? ", "! ", "'", '"', " (",
    ") ", "\t", "`", "```", "\u2026", "> ", "- ", "\u3002", ".", ",", " \n", "  ",
)  # fmt: skip


def unit(seed: int) -> tuple[str, str, str]:
    """Returns the beginning, the repeated unit and the end of the text of this seed."""
    drawn = random.Random(seed)

    known = drawn.choice(vocabularies())  # those of one pattern, which may then try them all
    joints = _JOINTS if drawn.random() < 0.5 else (drawn.choice(_JOINTS),)

    def words(most: int) -> str:
        parts = []
        for _ in range(drawn.randint(1, most)):
            parts.append(drawn.choice(_FREQUENT if drawn.random() < 0.4 else known))
            parts.append(drawn.choice(joints))
        return "".join(parts)

    start = words(5) if drawn.random() < 0.8 else ""
    end = words(3) if drawn.random() < 0.5 else ""
    if drawn.random() < 0.15:
        return start, drawn.choice([*_JOINTS, *_FREQUENT]) or "x", end
    return start, words(4), end


def adversarial(seed: int, size: int) -> str:
    """Returns a text of `size` characters: the same beginning, unit and end for each size."""
    start, repeated, end = unit(seed)
    return _sized(start, repeated, end, size)


def ordinary(size: int) -> str:
    return _sized("", ORDINARY, "", size)


def _sized(start: str, repeated: str, end: str, size: int) -> str:
    room = size - len(start) - len(end)
    text = (start + (repeated * (room // len(repeated) + 1))[:room] + end)[:size]
    return text.encode()[:LARGEST].decode(errors="ignore")


# The measurement ----------------------------------------------------------------------------------


def seconds(reader: Reader, text: str) -> float:
    """Returns the CPU seconds of one reading."""
    run = reader.call(text)
    began = process_time()
    with suppress(InvalidInput):  # a refusal is an answer, and takes its time too
        result = run()
        if isinstance(result, Iterator):
            for _ in result:
                pass
    return process_time() - began


@cache
def size_of(reader: Reader) -> int:
    """Returns n: where ordinary text takes `LEAST_SECONDS`, or a quarter of the largest message."""
    size = SMALLEST
    while size < LARGEST // 4 and seconds(reader, ordinary(size)) < LEAST_SECONDS:
        size = min(2 * size, LARGEST // 4)
    return size


def timed(reader: Reader, seed: int, tries: int = 3) -> Timing:
    """Times one text at n and 4n; again, while the larger took too long, and keeps the least."""
    n = size_of(reader)
    found: Timing | None = None
    for _ in range(tries):
        small = seconds(reader, adversarial(seed, n))
        large = seconds(reader, adversarial(seed, 4 * n))
        if found:
            large, small = min(large, found.larger_seconds), max(small, found.seconds)
        shown = " | ".join(map(repr, unit(seed)))
        found = Timing(reader.name, f"{seed}: {shown}", n, small, 4 * n, large)
        if found.times <= MOST_TIMES:
            break
    assert found is not None
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", default="", help="only readers whose name holds this")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    worst: list[Timing] = []
    for reader in readers():
        if options.reader not in reader.name:
            continue
        seeds = range(options.seed, options.seed + options.texts)
        timings = [timed(reader, seed) for seed in seeds]
        worst.append(max(timings, key=lambda t: t.times))
        worst.append(max(timings, key=lambda t: t.larger_seconds / t.larger_size))
        for one in worst[-2:]:
            print(_shown_line(one), file=sys.stderr, flush=True)
    worst.sort(key=lambda t: -t.times)
    if options.json:
        print(json.dumps([{**asdict(t), "times": t.times} for t in worst]))
    else:
        print("slowest:", *(_shown_line(t) for t in worst[:10]), sep="\n")
    return int(any(t.times > MOST_TIMES for t in worst))


def _shown_line(timing: Timing) -> str:
    return (
        f"{timing.times:6.1f} x  {timing.seconds:7.3f} s at {timing.size:,} and"
        f" {timing.larger_seconds:7.3f} s at {timing.larger_size:,}  {timing.reader}"
        f"  {timing.text[:120]}"
    )


if __name__ == "__main__":
    sys.exit(main())
