"""The process that reads long slices for a worker: requests on stdin, replies on stdout.

Both are pickled, and come from the worker that started it and from nobody else. A priority below
the worker's lets short texts go first.
"""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import IO, Any

import anyio

from extractors.protocol import Extractor, LogSlice

NICENESS = 5
"""How much its priority is below the worker's."""

_LENGTH_BYTES = 8


class Reply(StrEnum):
    """What became of a request.

    READ: the candidates follow. RAISED: what the extractor raised follows.
    UNABLE: the extractor cannot be loaded here, or what it made cannot be sent; nothing follows.
    """

    READ = "read"
    RAISED = "raised"
    UNABLE = "unable"


class ReadingProcess:
    """A started process, which answers one request after another."""

    def __init__(self) -> None:
        path = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-c", f"from {__name__} import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )

    def ask(self, request: bytes) -> tuple[Reply, Any]:
        """Sends a pickled extractor and slice, and waits for the reply.

        Raises:
            EOFError, OSError: the process ended.
        """
        sent, received = self._process.stdin, self._process.stdout
        if sent is None or received is None:
            raise EOFError
        _write(sent, request)
        kind, value = pickle.loads(_read(received))  # noqa: S301 - sent by our own process
        return kind, value

    def close(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with suppress(OSError):  # what was not sent is for nobody any more
                    pipe.close()


def request_of(extractor: Extractor, log: LogSlice) -> bytes | None:
    """Returns what to ask; None if the extractor cannot be sent, as one that holds a client."""
    return _pickled((extractor, log))


def serve(received: IO[bytes], sent: IO[bytes]) -> None:
    """Answers until the worker ends."""
    while True:
        try:
            request = _read(received)
        except EOFError:
            return
        _write(sent, _answered(request))


def _answered(request: bytes) -> bytes:
    unable = pickle.dumps((Reply.UNABLE, None))
    try:
        extractor, log = pickle.loads(request)  # noqa: S301 - sent by our own process
    except Exception:  # noqa: BLE001 - a class that is not found here raises what it likes
        return unable
    return _pickled(_outcome(lambda: anyio.run(extractor.extract, log))) or unable


def _outcome(read: Callable[[], Any]) -> tuple[Reply, Any]:
    try:
        return Reply.READ, read()
    except Exception as error:  # noqa: BLE001 - it is raised again in the worker
        return Reply.RAISED, error


def _pickled(value: object) -> bytes | None:
    try:
        made = pickle.dumps(value)
        pickle.loads(made)  # noqa: S301 - made here
    except Exception:  # noqa: BLE001 - pickle lets through whatever the object raises
        return None
    return made


def _read(pipe: IO[bytes]) -> bytes:
    size = int.from_bytes(_exactly(pipe, _LENGTH_BYTES))
    return _exactly(pipe, size)


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    found = pipe.read(size)
    if len(found) < size:
        raise EOFError
    return found


def _write(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(len(message).to_bytes(_LENGTH_BYTES) + message)
    pipe.flush()


def main() -> None:
    """Serves on the process's own pipes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with its worker
    with suppress(OSError, AttributeError):  # some systems have other priorities
        os.nice(NICENESS)
    with os.fdopen(os.dup(1), "wb") as sent:
        os.dup2(2, 1)  # what an extractor prints is no reply
        serve(sys.stdin.buffer, sent)
