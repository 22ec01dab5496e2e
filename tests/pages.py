"""The pages of the documentation as Markdown: their headings, links, code blocks and prose."""

import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent
_MARKDOWN = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Block:
    """A fenced code block; `text` is its contents as they stand, indented or not."""

    page: str
    line: int
    language: str
    text: str

    @property
    def code(self) -> str:
        return textwrap.dedent(self.text)

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Page:
    """A page under the project's root; `name` is its path from there."""

    name: str

    @property
    def path(self) -> Path:
        return ROOT / self.name

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def tokens(self) -> list[Token]:
        return _parsed(self.text)

    def blocks(self) -> list[Block]:
        return [
            Block(self.name, token.map[0] + 1, token.info.strip(), token.content)
            for token in self.tokens()
            if token.type == "fence" and token.map
        ]

    def links(self) -> Iterator[str]:
        """Where its links and pictures point, as written."""
        for token in _inline(self.tokens()):
            target = token.attrGet("href") or token.attrGet("src")
            if target:
                yield str(target)

    def anchors(self) -> set[str]:
        """What `#…` may name: its headings, as GitHub spells them."""
        seen: Counter[str] = Counter()
        found = set()
        for heading in self.headings():
            slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
        return found

    def headings(self) -> Iterator[str]:
        tokens = self.tokens()
        for opening, inline in pairwise(tokens):
            if opening.type == "heading_open":
                yield "".join(child.content for child in inline.children or ())

    def code_spans(self) -> Iterator[str]:
        """What stands in backticks in its prose."""
        return (token.content for token in _inline(self.tokens()) if token.type == "code_inline")

    def prose(self) -> Iterator[str]:
        """Its paragraphs, headings and list items as plain text, one at a time; no tables."""
        yield from (text for text, cell in self._texts() if not cell)

    def cells(self) -> Iterator[str]:
        """What stands in its tables, a cell at a time."""
        yield from (text for text, cell in self._texts() if cell)

    def _texts(self) -> Iterator[tuple[str, bool]]:
        before = ""
        for token in self.tokens():
            if token.type == "inline":
                yield " ".join(_plain(token).split()), before in {"td_open", "th_open"}
            before = token.type


@cache
def _parsed(text: str) -> list[Token]:
    return _MARKDOWN.parse(text)


def _inline(tokens: list[Token]) -> Iterator[Token]:
    return (child for token in tokens for child in token.children or ())


def _plain(token: Token) -> str:
    breaks = {"softbreak": " ", "hardbreak": " "}
    return "".join(breaks.get(child.type, child.content) for child in token.children or ())


def pages() -> list[Page]:
    """README, CONTRIBUTING, CHANGELOG and every page of docs and examples that there is."""
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    below = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    return [
        Page(path.relative_to(ROOT).as_posix()) for path in [*top, *sorted(below)] if path.exists()
    ]
