"""Reads long slices of the log in a process beside the worker's.

Reading takes time in proportion to the text, and an event loop that reads does nothing else: it
commits for no other user meanwhile. Short slices are read where they are, because passing them on
would take longer than reading.
"""

import os
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import anyio
from anyio import CapacityLimiter, to_thread

from consumers.extraction.reading_process import ReadingProcess, Reply, request_of
from extractors.language_model.ledger import AsksModels
from extractors.protocol import Extractor, LogSlice, Reading
from memory.errors import ExtractionFailed
from memory.models import Candidate, Interaction, InteractionKind, MemoryKind

LONG_CHARACTERS = 8_000
"""From this length on a slice is read apart: it takes several hundredths of a second."""

READING_SECONDS = 60.0
"""How long reading apart may take. The slowest text of full length takes a few seconds."""


class Processes:
    """The processes of one worker that read, started when needed; they end with it.

    One processor is left to the event loop.
    """

    def __init__(self) -> None:
        self._turns = CapacityLimiter(max(1, (os.cpu_count() or 1) - 1))
        self._idle: list[ReadingProcess] = []
        weakref.finalize(self, _close, self._idle)

    async def ask(self, request: bytes) -> tuple[Reply, Any]:
        """Passes a request on to a process that is free, within `READING_SECONDS`.

        Raises:
            TimeoutError: it took longer; the process was ended.
            EOFError, OSError: the process ended by itself, or none can be started.
        """
        async with self._turns:
            process = self._idle.pop() if self._idle else await to_thread.run_sync(ReadingProcess)
            try:
                with anyio.fail_after(READING_SECONDS):
                    found = await to_thread.run_sync(process.ask, request, abandon_on_cancel=True)
            except BaseException:
                process.close()
                raise
            self._idle.append(process)
            return found


def _close(processes: list[ReadingProcess]) -> None:
    while processes:
        processes.pop().close()


@dataclass(frozen=True)
class ReadApart:
    """An extractor whose long slices another process reads."""

    extractor: Extractor
    processes: Processes

    @property
    def name(self) -> str:
        """The extractor's name."""
        return self.extractor.name

    @property
    def version(self) -> str:
        """The extractor's version."""
        return self.extractor.version

    @property
    def reading(self) -> Reading:
        """How much of the log the extractor sees."""
        return self.extractor.reading

    @property
    def reads(self) -> frozenset[InteractionKind]:
        """The kinds of interactions that the extractor sees."""
        return self.extractor.reads

    @property
    def makes(self) -> frozenset[MemoryKind]:
        """The kinds of memories that the extractor proposes."""
        return self.extractor.makes

    async def extract(self, log: LogSlice) -> list[Candidate]:
        """Returns the extractor's candidates.

        Raises:
            ExtractionFailed: as the extractor says, or it took over `READING_SECONDS`, or ended
                the process that read.
        """
        if _characters(log.interactions) < LONG_CHARACTERS:
            return await self.extractor.extract(log)
        sent = replace(log, interactions=list(log.interactions), before=list(log.before))
        request = request_of(self.extractor, sent)
        reply, value = await self._asked(request, log) if request else (Reply.UNABLE, None)
        if reply is Reply.UNABLE:
            return await self.extractor.extract(log)
        if isinstance(value, Exception):
            raise value
        return list(value or ())

    async def _asked(self, request: bytes, log: LogSlice) -> tuple[Reply, Any]:
        characters = f"{_characters(log.interactions):,} characters"
        try:
            return await self.processes.ask(request)
        except TimeoutError as error:
            raise ExtractionFailed(
                f"{self.name} took over {READING_SECONDS:g} s for {characters}"
            ) from error
        except (EOFError, OSError) as error:
            raise ExtractionFailed(
                f"the process in which {self.name} read {characters} ended"
            ) from error


def read_apart(extractors: Iterable[Extractor], processes: Processes) -> list[Extractor]:
    """Lets long slices be read apart; extractors that ask models wait, and stay as they are."""
    return [e if isinstance(e, AsksModels) else ReadApart(e, processes) for e in extractors]


def _characters(interactions: Sequence[Interaction]) -> int:
    return sum(len(i.content) for i in interactions)
