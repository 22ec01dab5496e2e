"""A process that stops itself where it hurts, and says what it then holds in its hands.

SIGUSR1 asks it to, SIGUSR2 takes that back. It stops with a batch read and nothing of it committed,
or, where what should be one commit was broken in two, between the halves.
"""

import json
import os
import signal
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

NOTES = "CHAOS_NOTES"
"""Environment variable: the directory where a process says what it stopped with."""

Held = Mapping[str, Any]
"""Of ingestion `ends`, the offset after the batch by partition; of extraction `session` (tenant,
user, session) and `ordinal`, its last in the batch."""


class Point(StrEnum):
    """Where a process can stop itself."""

    BATCH = "batch"
    SEAM = "seam"


_asked = False
_point = Point.BATCH


def listen() -> None:
    """Lets signals ask this process."""
    signal.signal(signal.SIGUSR1, _ask)
    signal.signal(signal.SIGUSR2, _ask)


def deaf() -> None:
    """Ignores those signals: also what is started from here, until it listens."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def _ask(number: int, _: object) -> None:
    global _asked  # noqa: PLW0603 - a signal's handler has nowhere else to put it
    _asked = number == signal.SIGUSR1


def stop_only_at(point: Point) -> None:
    """From now on this process passes over every other point."""
    global _point  # noqa: PLW0603
    _point = point


def stop_if_asked(point: Point, held: Held) -> None:
    """Stops here, once; what was read so far is of yesterday when somebody lets it go on."""
    global _asked  # noqa: PLW0603
    if _asked and point == _point:
        _asked = False
        note = _note(Path(os.environ[NOTES]), os.getpid())
        fresh = note.with_suffix(".new")
        fresh.write_text(json.dumps(held))
        fresh.replace(note)
        os.kill(os.getpid(), signal.SIGSTOP)


def let_go() -> None:
    """Says that this process is done with what it stopped with, whatever came of it."""
    if NOTES in os.environ:
        _note(Path(os.environ[NOTES]), os.getpid()).unlink(missing_ok=True)


def held_by(directory: Path, pid: int) -> Held | None:
    """What a process stopped itself with; None once it is done with that."""
    try:
        found: Held = json.loads(_note(directory, pid).read_text())
    except FileNotFoundError:
        return None
    return found


def _note(directory: Path, pid: int) -> Path:
    return directory / f"{pid}.held"
