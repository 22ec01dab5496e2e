"""Reads files for importing, one line or JSON element at a time, and cleans texts for the log."""

import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from memory.errors import InvalidImport, InvalidInput
from memory.log.envelope import MAX_CONTENT_BYTES, MAX_ENVELOPE_BYTES
from memory.models import Interaction

MAX_UNPACKED_BYTES = 8 * 1024**3
MAX_UNPACKED_RATIO = 100
"""The most that an archive may unpack to: in all, and relative to its own size."""

MAX_ELEMENT_CHARACTERS = 64 * 1024**2
"""The longest element of a JSON array that is imported: one conversation."""

_CHUNK = 1 << 18  # characters read at a time
_EXPORT_FILE = re.compile(r"(.*/)?conversations(-\d+)?\.json")  # in the zip of a data export
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Located:
    """An interaction and its place: the file, and a position in it such as `line 12`."""

    interaction: Interaction
    path: Path
    place: str

    def __str__(self) -> str:
        return f"{self.path}, {self.place}"


@contextmanager
def refusing(path: Path, place: str = "") -> Iterator[None]:
    """Turns any error inside into InvalidImport, which names the file and the place."""
    try:
        yield
    except InvalidImport:
        raise
    except (
        InvalidInput,
        OSError,
        ValueError,
        OverflowError,
        RecursionError,
        zipfile.BadZipFile,
    ) as error:
        where = f"{path}, {place}" if place else str(path)
        raise InvalidImport(f"{where}: {error}") from error


def beginning(path: Path) -> str:
    """Returns the first characters of the text in `path`, without leading white space."""
    for file in _texts(path):
        with refusing(path):
            return file.read(_CHUNK).lstrip()
    return ""


def lines(path: Path) -> Iterator[bytes]:
    """Yields lines with their ends; one over the envelope's limit comes in parts too large.

    Raises:
        InvalidImport: the file cannot be read.
    """
    with refusing(path), path.open("rb") as file:
        if file.read(len(_BYTE_ORDER_MARK)) != _BYTE_ORDER_MARK:
            file.seek(0)
        while line := file.readline(MAX_ENVELOPE_BYTES + 1):
            yield line


def elements(path: Path) -> Iterator[Any]:
    """Yields the objects and arrays of the JSON array in `path`, or in each export file of a zip.

    Only one is in memory at a time.

    Raises:
        InvalidImport: at the first broken element, after those before it.
    """
    for file in _texts(path):
        yield from _elements(file, path)


def _texts(path: Path) -> Iterator[TextIO]:
    with refusing(path):
        if not zipfile.is_zipfile(path):
            with path.open(encoding="utf-8-sig") as file:
                yield file
            return
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if _EXPORT_FILE.fullmatch(name))
            if not names:
                raise InvalidImport(f"{path}: no conversations.json in this zip")
            _check_sizes(path, [archive.getinfo(name) for name in names])
            for name in names:
                with archive.open(name) as member:
                    yield TextIOWrapper(member, encoding="utf-8-sig")


def _check_sizes(path: Path, files: Sequence[zipfile.ZipInfo]) -> None:
    """Refuses an archive that unpacks to too much; `zipfile` reads no more than it declares."""
    unpacked = sum(file.file_size for file in files)
    packed = sum(file.compress_size for file in files)
    if unpacked > MAX_UNPACKED_BYTES:
        raise InvalidImport(
            f"{path} unpacks to {unpacked:,} bytes, the limit is {MAX_UNPACKED_BYTES:,}"
        )
    if unpacked > MAX_UNPACKED_RATIO * max(packed, _CHUNK):
        raise InvalidImport(
            f"{path} unpacks to {unpacked / packed:,.0f} times its size, the limit is"
            f" {MAX_UNPACKED_RATIO}"
        )


class _Window:
    """The part of a text that is being read; the part before `at` is done."""

    def __init__(self, file: TextIO) -> None:
        self.text = ""
        self.at = 0
        self._lines_before = 0
        self._file = file

    def grow(self) -> bool:
        """Drops the part that is done and reads on; returns False at the end of the file."""
        # Twice as much each time, so that trying an element again costs its length twice at most.
        more = self._file.read(max(_CHUNK, len(self.text) - self.at))
        if len(self.text) - self.at > MAX_ELEMENT_CHARACTERS:
            raise InvalidImport(
                f"an element has over {MAX_ELEMENT_CHARACTERS:,} characters, which is the limit"
            )
        self._lines_before += self.text.count("\n", 0, self.at)
        self.text, self.at = self.text[self.at :] + more, 0
        return bool(more)

    def next_character(self, skipped: str) -> str:
        """Returns the next character not in `skipped`; empty at the end of the file."""
        while True:
            while self.at < len(self.text):
                if self.text[self.at] not in skipped:
                    return self.text[self.at]
                self.at += 1
            if not self.grow():
                return ""

    @property
    def line(self) -> int:
        return self._lines_before + self.text.count("\n", 0, self.at) + 1


def _elements(file: TextIO, path: Path) -> Iterator[Any]:
    window, decode, number = _Window(file), json.JSONDecoder().raw_decode, 1

    def place() -> str:
        return f"{path}, element {number}, line {window.line}"

    with refusing(path):
        if window.next_character(" \t\r\n") != "[":
            raise InvalidImport(f"{path} does not hold a JSON array")
        window.at += 1
        while (character := window.next_character(" \t\r\n,")) != "]":
            if character not in {"{", "["}:
                found = repr(character) if character else "the end of the file"
                raise InvalidImport(f"{place()}: expected an object or ], found {found}")
            try:
                element, window.at = decode(window.text, window.at)
            except json.JSONDecodeError as error:
                if not window.grow():
                    raise InvalidImport(f"{place()}: {error.msg}") from error
                continue
            except RecursionError as error:
                raise InvalidImport(f"{place()}: nested too deep") from error
            yield element
            number += 1


def storable(text: str) -> str:
    """Returns `text` with U+FFFD for what Postgres cannot store: NUL, half a surrogate pair."""
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return joined.replace("\x00", "\ufffd")


def pieces(text: str, limit: int = MAX_CONTENT_BYTES) -> list[str]:
    """Cuts `text` into pieces of at most `limit` bytes of UTF-8, after white space if possible.

    The pieces joined are the text; `limit` is at least 4.
    """
    cut: list[str] = []
    while len(text) * 4 > limit and len(encoded := text.encode()) > limit:
        head = encoded[:limit].decode(errors="ignore")
        end = max(head.rfind("\n"), head.rfind(" ")) + 1
        end = end if end > len(head) // 2 else len(head)
        cut.append(text[:end])
        text = text[end:]
    return [*cut, text]
