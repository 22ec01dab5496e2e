"""Draws a comparison as one HTML page without external scripts, fonts or styles."""

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from html import escape

from consumers.replay.comparison import (
    Comparison,
    Difference,
    MemoryChange,
    MemoryVersion,
    measures,
    spell,
)
from consumers.runtime.terminal import plain
from memory.models import MemoryKind

TEXT_CHARACTERS = 2_000

STYLE = """
:root { color-scheme: light dark; --rule: #8884; --dim: #777; --add: #1a7f3766; --del: #cf222e55; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem;
         border-bottom: 1px solid var(--rule); }
th.n, td.n { text-align: right; font-variant-numeric: tabular-nums; }
td.u, small { color: var(--dim); }
td.t { white-space: pre-wrap; overflow-wrap: anywhere; width: 42%; }
ins { background: var(--add); text-decoration: none; }
del { background: var(--del); text-decoration: none; }
.b { display: inline-block; border-radius: 1rem; padding: 0 .6rem; border: 1px solid var(--rule);
     white-space: nowrap; }
"""

_WORDS = re.compile(r"\w+|\W")


def drawn(done: Comparison) -> str:
    title = f"{done.before.generation} → {done.after.generation}"
    sections = [_section(kind, done) for kind in MemoryKind]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_safe(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{_safe(title)}</h1>\n<p>{done.users:,} users compared; {_total(done)}.</p>\n"
        f"{_counts(done)}{_standings(done)}{''.join(sections)}</body>\n</html>\n"
    )


def _total(done: Comparison) -> str:
    shared = sum(done.same.values())
    if not done.different:
        return f"no difference in {shared:,} current memories"
    return f"{done.different:,} memories differ, {shared:,} are the same"


def _counts(done: Comparison) -> str:
    rows = [
        (
            kind.value,
            f"{done.same.get(kind, 0):,}",
            *(f"{counts.get(c, 0):,}" for c in MemoryChange),
        )
        for kind in MemoryKind
        if (counts := done.changes.get(kind, {})) or kind in done.same
    ]
    return _table("What changes", ("kind", "same", *(c.value for c in MemoryChange)), rows)


def _standings(done: Comparison) -> str:
    head = ("", done.before.generation, done.after.generation)
    return _table("How both stand", head, measures(done))


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return f"<h2>{_safe(title)}</h2>\n<table>\n{_row('th', head)}" + (
        "".join(_row("td", row) for row in rows) + "</table>\n"
    )


def _row(cell: str, values: Sequence[str]) -> str:
    first, *numbers = (_safe(value) for value in values)
    rest = "".join(f'<{cell} class="n">{value}</{cell}>' for value in numbers)
    return f"<tr><{cell}>{first}</{cell}>{rest}</tr>\n"


def _section(kind: MemoryKind, done: Comparison) -> str:
    shown = [d for d in done.examples if d.kind is kind]
    if not shown:
        return ""
    head = (
        "<tr><th>change</th><th>user</th>"
        f"<th>{_safe(done.before.generation)}</th><th>{_safe(done.after.generation)}</th></tr>"
    )
    rows = "".join(_example(difference) for difference in shown)
    return f"<h2>{kind.value}: examples</h2>\n<table>\n{head}\n{rows}</table>\n"


def _example(difference: Difference) -> str:
    before, after = _sides(difference.before, difference.after)
    user = _safe(f"{difference.tenant}/{difference.user}")
    return (
        f'<tr><td><span class="b">{difference.change.value}</span></td><td class="u">{user}</td>'
        f'<td class="t">{before}</td><td class="t">{after}</td></tr>\n'
    )


def _sides(before: MemoryVersion | None, after: MemoryVersion | None) -> tuple[str, str]:
    """Both texts with their differences marked, each with its time and maker below."""
    ours, theirs = (side.text[:TEXT_CHARACTERS] if side else "" for side in (before, after))
    if before and after:
        ours, theirs = _marked(ours, theirs)
    else:
        ours, theirs = _safe(ours), _safe(theirs)
    return ours + _under(before), theirs + _under(after)


def _marked(before: str, after: str) -> tuple[str, str]:
    ours, theirs = _WORDS.findall(before), _WORDS.findall(after)
    left, right = "", ""
    for kind, a, b, c, d in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        gone, new = _safe("".join(ours[a:b])), _safe("".join(theirs[c:d]))
        left += gone if kind == "equal" or not gone else f"<del>{gone}</del>"
        right += new if kind == "equal" or not new else f"<ins>{new}</ins>"
    return left, right


def _under(side: MemoryVersion | None) -> str:
    return f"<br><small>{_safe(spell(side))} · {_safe(side.maker)}</small>" if side else ""


def _safe(text: str) -> str:
    """Escapes text for HTML, so that users' text stays text."""
    return escape(plain(text))
