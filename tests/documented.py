"""What the documentation names: settings, commands, options, exit codes, errors, limits, figures.

tests/documented.json holds what it named when the list was made, with the pages. A page may be
rewritten as long as the documentation as a whole still names all of it (test_documented.py).
`python -m tests.documented` adds what is new to the list and drops what the code no longer has.

A figure is a number with a unit, or one that is too exact to stand there by chance: with a
decimal point, a comma or three digits. A limit is a figure in a sentence that bounds something.
Whoever measures again moves the old figure to "superseded", with the reason.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from memory.settings import Settings
from tests.application import commands, error_classes, exit_codes, options_of
from tests.pages import Page, pages

LIST = Path(__file__).parent / "documented.json"

Named = dict[str, dict[str, list[str]]]
"""By sort of thing and its name: the pages that name it."""

GENERATED = "docs/reference.md"
DATA = "docs/statements-sample.md"
"""Its tables quote what people said, numbers included."""

_SHORT = {"seconds": "s", "second": "s", "minutes": "min", "minute": "min", "hours": "h"}
_UNITS = (
    "%|µs|ms|s|seconds?|min|minutes?|h|hours?|days?|weeks?|years?"
    "|kB|KB|MB|GB|KiB|MiB|GiB|bytes|characters|words|sentences|texts|tokens|points|rows|pages"
    "|events|interactions|messages|messages/s|records|turns|sessions|conversations|questions"
    "|memories|attributes|values|preferences|summaries|observations|judgements|verdicts|conflicts"
    "|users|clients|supporters|recruiters|partitions|connections|processes|threads|cores|levels"
    "|times|runs|kills|loops|parts|pairs|checks|attempts"
)
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_FIGURE = re.compile(
    rf"(?<![\w.,:#@+-])(?P<number>{_NUMBER})(?: ?(?P<unit>{_UNITS})(?![\w-])|(?![\w:]|[.,-]\d))"
)
_DATE = re.compile(r"\b(?:19|20)\d\d(?:-\d\d(?:-\d\d)?)?\b|\bRFC \d+|:\d{4,5}\b")
_BOUND = re.compile(
    r"\b(?:at most|at least|up to|no more than|more than|less than|longer than|limit|largest|least"
    r"|longest|smallest|over|under|within|bounded|maximum|minimum|max_\w+|too large|refused)\b",
    re.IGNORECASE,
)
_EXIT = re.compile(r"\bexit(?:s|ed|ing)?(?: with)?(?: codes?)? `?(\d)\b", re.IGNORECASE)
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def named(but: str = "") -> Named:
    """What the pages name today, of what the code has; `but` for one page."""
    found: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for page in pages():
        if page.name not in {"CHANGELOG.md", but}:
            for sort, name in [*words_of(page), *numbers_of(page)]:
                found[sort][name].add(page.name)
    return {
        sort: {name: sorted(where) for name, where in sorted(names.items())}
        for sort, names in sorted(found.items())
    }


@cache
def existing() -> dict[str, set[str]]:
    """What the code has of those things that it can have."""
    every = list(commands())
    return {
        "settings": {f"MEMORY_{field.upper()}" for field in Settings.model_fields},
        "commands": {name for name, _ in every},
        "options": {
            name
            for _, command in every
            for option in options_of(command)
            for name in option.opts
            if name.startswith("--")
        },
        "exit codes": {str(code) for code in exit_codes()},
        "errors": {error.__name__ for _, error in error_classes()},
    }


def words_of(page: Page) -> Iterator[tuple[str, str]]:
    """The settings, commands, options, exit codes and errors that a page names."""
    text, code = page.text, "\n".join([*page.code_spans(), *(b.text for b in page.blocks())])
    mentioned = {
        "settings": re.findall(r"\bMEMORY_[A-Z_]+\b", text),
        "commands": [n for n in existing()["commands"] if re.search(rf"\bmemory {n}\b", text)],
        "options": _OPTION.findall(code),
        "exit codes": _EXIT.findall(text),
        "errors": re.findall(r"\b[A-Z][A-Za-z]+\b", text),
    }
    if page.name == GENERATED:
        mentioned["exit codes"] += re.findall(r"^\| `(\d)` \|", text, re.MULTILINE)
        mentioned["options"] += _OPTION.findall(text)
    for sort, names in mentioned.items():
        yield from ((sort, name) for name in set(names) & existing()[sort])


def numbers_of(page: Page) -> Iterator[tuple[str, str]]:
    """The figures of a page, and which of them are limits."""
    for text in [*page.prose(), *([] if page.name == DATA else page.cells())]:
        for sentence in re.split(r"(?<=[.:;]) ", text):
            sort = "limits" if _BOUND.search(sentence) else "figures"
            yield from ((sort, figure) for figure in figures(sentence))


def figures(text: str) -> Iterator[str]:
    """The figures in a text, spelled alike: `86 %`, `10 s`, `2,440 tokens`, `0.84`."""
    for match in _FIGURE.finditer(_DATE.sub(" ", text)):
        number, unit = match["number"], match["unit"]
        if unit:
            yield f"{number} {_SHORT.get(unit, unit)}"
        elif len(re.sub(r"\D", "", number)) > 2 or "." in number:
            yield number


def recorded() -> dict[str, dict[str, object]]:
    """The list, as it was written."""
    listed: dict[str, dict[str, object]] = json.loads(LIST.read_text(encoding="utf-8"))
    return listed


def lost(sort: str, today: Named) -> set[str]:
    """What the list has of a sort, the code still has, and no page names any more."""
    numbers = today["limits"].keys() | today["figures"].keys()
    here = numbers if sort in {"limits", "figures"} else today[sort].keys()
    still = existing().get(sort, recorded()[sort].keys())
    return (recorded()[sort].keys() & still) - here - recorded()["superseded"].keys()


def renewed(listed: dict[str, dict[str, object]], today: Named) -> dict[str, dict[str, object]]:
    """The list with what is named today added; what neither page nor code has goes."""
    kept = existing()
    merged: dict[str, dict[str, object]] = {}
    for sort, names in today.items():
        before = listed.get(sort, {})
        known = {name: where for name, where in before.items() if name in kept.get(sort, before)}
        merged[sort] = {**names, **known}
    return {**merged, "superseded": listed.get("superseded", {})}


def drawn(listed: dict[str, dict[str, object]]) -> str:
    """The list as JSON, a name a line."""
    sections = (
        f"  {json.dumps(sort)}: {{\n" + ",\n".join(_lines(names)) + "\n  }"
        for sort, names in sorted(listed.items())
    )
    return "{\n" + ",\n".join(sections) + "\n}\n"


def _lines(names: dict[str, object]) -> Iterator[str]:
    for name, value in sorted(names.items()):
        yield f"    {_json(name)}: {_json(value)}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    before = recorded() if LIST.exists() else {}
    LIST.write_text(drawn(renewed(before, named(but=GENERATED))), encoding="utf-8")
