"""Imports interactions from four formats: reads a file and records what it holds.

A reader is lazy and pure. It yields every interaction up to the first broken place, then raises
InvalidImport naming that place. Ids come from the file alone, so importing again adds nothing
twice.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Protocol, assert_never

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from consumers.importing.files import (
    Located,
    beginning,
    elements,
    lines,
    refusing,
)
from consumers.importing.foreign_formats import (
    CHAT_FILE,
    read_beam,
    read_chatgpt,
    read_locomo,
)
from consumers.runtime.task_groups import alone
from memory.errors import (
    ForgottenId,
    InteractionConflict,
    InvalidImport,
    InvalidScope,
    SensitiveContent,
)
from memory.log.envelope import check_not_ahead, from_json
from memory.models import Interaction, Receipt

BATCH_SIZE = 2_000
"""Interactions given to the recorder at a time: each batch is planned and synced to disk once."""

BATCH_CHARACTERS = 4_000_000
"""The characters at which a batch is sent early: the server reads it as one value."""

Batch = tuple[list[Located], InvalidImport | None]
"""The next interactions of a reader, none at its end, and the error of what follows them."""


class Format(StrEnum):
    """The format of a file to import."""

    JSONL = "jsonl"
    LOCOMO = "locomo"
    BEAM = "beam"
    CHATGPT = "chatgpt"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Counts of interactions: new to the log, already there, and refused.

    Each of `refused` names the place and the reason: the id has different content in the log, or
    was forgotten, or it holds what its tenant refuses. In a batch with a refused one, new
    interactions count as already there.
    """

    accepted: int = 0
    duplicates: int = 0
    refused: tuple[str, ...] = ()

    @property
    def read(self) -> int:
        """All interactions that the reader gave."""
        return self.accepted + self.duplicates + len(self.refused)

    def __add__(self, other: "ImportReport") -> "ImportReport":
        return ImportReport(
            self.accepted + other.accepted,
            self.duplicates + other.duplicates,
            self.refused + other.refused,
        )

    def __str__(self) -> str:
        refused = f", {len(self.refused)} refused" if self.refused else ""
        return f"{self.accepted} accepted, {self.duplicates} already there{refused}"


class Recorder(Protocol):
    """The target of an import; `memory.client.AsyncMemoryClient` is one."""

    async def record_many(self, interactions: Sequence[Interaction], /) -> Sequence[Receipt]:
        """Appends interactions of any scopes and returns one receipt each, in order.

        Raises:
            InteractionConflict, ForgottenId: some were refused; the others are in the log.
        SensitiveContent: one is refused, and nothing was written.
        """
        ...


async def import_interactions(
    recorder: Recorder,
    placed: Iterable[Located],
    *,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[ImportReport], None] = lambda _: None,
) -> ImportReport:
    """Records the interactions of a reader, in batches; calls `progress` after every batch.

    An interaction whose id the log refuses is reported and does not stop the others. While a batch
    is recorded, the next one is read.

    Raises:
        InvalidImport: the file has a bad place; everything before it has been recorded.
    """
    report = ImportReport()
    send, receive = anyio.create_memory_object_stream[Batch]()
    with alone():
        async with receive, anyio.create_task_group() as group:
            group.start_soon(_read_on, iter(placed), batch_size, send)
            async for batch, broken in receive:
                if batch:
                    report += await _recorded(recorder, batch)
                    progress(report)
                if broken:
                    raise InvalidImport(
                        f"{broken} ({report} before it; mend it and import again: nothing is"
                        " doubled)"
                    ) from broken
    return report


async def _read_on(
    source: Iterator[Located], size: int, send: MemoryObjectSendStream[Batch]
) -> None:
    async with send:
        while True:
            batch, broken = await anyio.to_thread.run_sync(_next_batch, source, size)
            if batch or broken:
                await send.send((batch, broken))
            if broken or not batch:
                return


def _next_batch(source: Iterator[Located], size: int) -> Batch:
    batch: list[Located] = []
    characters = 0
    try:
        for placed in islice(source, size):
            with refusing(placed.path, placed.place):
                check_not_ahead(placed.interaction)
            batch.append(placed)
            characters += _characters(placed.interaction)
            if characters >= BATCH_CHARACTERS:
                break
    except InvalidImport as error:
        return batch, error
    return batch, None


def _characters(interaction: Interaction) -> int:
    payload = interaction.payload
    return len(interaction.content) + (len(repr(payload)) if payload else 0)


async def _recorded(recorder: Recorder, batch: Sequence[Located]) -> ImportReport:
    try:
        receipts = await recorder.record_many([placed.interaction for placed in batch])
    except (InteractionConflict, ForgottenId, SensitiveContent):
        # One at a time tells which are refused, and where; the others enter the log once.
        return await _recorded_singly(recorder, batch)
    return _counted(receipts)


async def _recorded_singly(recorder: Recorder, batch: Iterable[Located]) -> ImportReport:
    report = ImportReport()
    for placed in batch:
        try:
            report += _counted(await recorder.record_many([placed.interaction]))
        except (InteractionConflict, ForgottenId, SensitiveContent) as error:
            report += ImportReport(refused=(f"{placed}: {error}",))
    return report


def _counted(receipts: Iterable[Receipt]) -> ImportReport:
    known = [receipt.duplicate for receipt in receipts]
    return ImportReport(known.count(False), known.count(True))


def read(
    path: Path,
    *,
    tenant: str | None = None,
    user: str | None = None,
    agent: str | None = None,
    form: Format | None = None,
) -> Iterator[Located]:
    """Yields every interaction of a file or folder in any known format, in the file's order.

    Raises:
        InvalidScope: the format names no tenant or no user, and none was given.
        InvalidImport: at the first broken place, after everything before it.
    """
    form = form or detect_format(path)
    match form:
        case Format.JSONL:
            return read_jsonl(path, tenant=tenant, user=user, agent=agent)
        case Format.LOCOMO:
            return read_locomo(path, tenant=_given("tenant", tenant, form), agent=agent)
        case Format.BEAM:
            return read_beam(path, tenant=_given("tenant", tenant, form), user=user, agent=agent)
        case Format.CHATGPT:
            tenant, user = _given("tenant", tenant, form), _given("user", user, form)
            return read_chatgpt(path, tenant=tenant, user=user, agent=agent)
        case _:
            assert_never(form)


def detect_format(path: Path) -> Format:
    """Detects the format of `path` by its first line or first element.

    Raises:
        InvalidImport: the file cannot be read or is in none of the formats.
    """
    if path.is_dir() and (path / CHAT_FILE).exists():
        return Format.BEAM
    start = beginning(path)
    if start.startswith("{"):
        return Format.JSONL
    if start.startswith("["):
        first = next(elements(path), None)
        keys = set(first) if isinstance(first, dict) else set()
        if "mapping" in keys:
            return Format.CHATGPT
        if "conversation" in keys:
            return Format.LOCOMO
        if "turns" in keys:
            return Format.BEAM
    raise InvalidImport(f"{path} is in none of the formats {', '.join(Format)}: {start[:40]!r}")


def read_jsonl(
    path: Path, *, tenant: str | None = None, user: str | None = None, agent: str | None = None
) -> Iterator[Located]:
    """Reads one envelope per line, without blank lines; it holds one line in memory.

    `tenant`, `user` and `agent` are the defaults for lines without theirs.
    """
    given = {"tenant": tenant, "user": user, "agent": agent}
    defaults = {name: value for name, value in given.items() if value is not None}
    for number, line in enumerate(lines(path), start=1):
        place = f"line {number}"
        if line.isspace():
            continue
        with refusing(path, place):
            interaction = from_json(_filled(line, defaults) if defaults else line)
        if interaction.source == "client":  # says nothing of where it comes from
            interaction = replace(interaction, source="import:jsonl")
        yield Located(interaction, path, place)


def _filled(line: bytes, defaults: dict[str, str]) -> str | bytes:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return line  # the envelope says what is wrong with it
    return json.dumps(defaults | fields) if isinstance(fields, dict) else line


def _given(name: str, value: str | None, form: Format) -> str:
    if value is None:
        raise InvalidScope(f"the {form} format names no {name}: give one")
    return value
