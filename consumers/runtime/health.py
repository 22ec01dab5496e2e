"""Whether a process works, waits or hangs, answered over HTTP at /healthz and /readyz.

Every loop of a process beats at each step. A loop that has not for longer than it may is hung,
unless the store that it may be waiting for does not answer: a server that is away makes a process
not ready, and restarting the process would not help.

`/healthz` answers 200, or 503 if a loop hangs. `/readyz` answers 200, or 503 while the process
hangs, waits or has not started to work. Both send one JSON object that says what waits and why.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from time import monotonic
from typing import Any

from consumers.runtime import logs
from memory.errors import ConfigurationError, ExperientialMemoryError

logger = logging.getLogger(__name__)

STEP_SECONDS = 120.0
"""How long a loop may take for a step, unless it says otherwise."""

PROBE_SECONDS = 5.0
"""How long an answer of the store is taken to hold."""

Probe = Callable[[], None]
"""Raises one of our errors if a server does not answer."""

Answer = tuple[int, dict[str, Any]]
"""An HTTP status, and the object to send."""


@dataclass(slots=True)
class _Beat:
    at: float
    limit: float


@dataclass(slots=True)
class _Wait:
    server: str
    why: str
    since: float


@dataclass(slots=True)
class _Probed:
    at: float = -PROBE_SECONDS
    why: str | None = None


class Health:
    """What a process is doing, as its loops last said; any thread may call it.

    probe: finds out whether the store answers; None: it is not asked.
    about: what else the answers say, such as the partitions of this process.
    """

    def __init__(self, process: str, probe: Probe | None = None) -> None:
        self.about: dict[str, Any] = {}
        self._process = process
        self._probe = probe
        self._beats: dict[str, _Beat] = {}
        self._wait: _Wait | None = None
        self._working = False
        self._probed = _Probed()
        self._lock = Lock()
        self._probing = Lock()  # apart, so that a slow answer holds up no loop

    def beat(self, loop: str = "loop", *, within: float | None = None) -> None:
        """Says that a loop made a step, and takes the next one `within` seconds."""
        with self._lock:
            self._beats[loop] = _Beat(monotonic(), STEP_SECONDS if within is None else within)

    def end(self, loop: str = "loop") -> None:
        """Says that a loop is over: no more steps are expected of it."""
        with self._lock:
            self._beats.pop(loop, None)

    def waits(self, server: str, error: BaseException) -> None:
        """Says that the process waits for a server; `works` says that this is over."""
        with self._lock:
            since = self._wait.since if self._wait else monotonic()
            self._wait = _Wait(server, logs.reason(error), since)

    def works(self) -> None:
        """Says that the process reached its servers and does its work."""
        with self._lock:
            self._wait, self._working = None, True

    def healthz(self) -> Answer:
        """Answers whether restarting the process would help."""
        late = self._late()
        hung = late if late and self._away() is None else []
        return self._answer("hung" if hung else "ok", bool(hung), hung, self._said())

    def readyz(self) -> Answer:
        """Answers whether the process does its work now."""
        late, wait = self._late(), self._waiting()
        if late and wait is None:
            return self._answer("hung", True, late)
        status = "waiting" if wait else "ready" if self._working else "starting"
        return self._answer(status, status != "ready", [], wait)

    def _late(self) -> list[str]:
        now = monotonic()
        with self._lock:
            return [name for name, beat in self._beats.items() if now - beat.at > beat.limit]

    def _waiting(self) -> dict[str, Any] | None:
        """What the process waits for: as its loops say, or as the store shows."""
        if said := self._said():
            return said
        away = self._away()
        return {"for": "store", "why": away} if away is not None else None

    def _said(self) -> dict[str, Any] | None:
        with self._lock:
            wait = self._wait
        if wait is None:
            return None
        return {"for": wait.server, "why": wait.why, "seconds": round(monotonic() - wait.since, 1)}

    def _away(self) -> str | None:
        """Why the store does not answer, asked at most every `PROBE_SECONDS`; None: it does."""
        if self._probe is None:
            return None
        with self._probing:
            if monotonic() - self._probed.at >= PROBE_SECONDS:
                why = _failure(self._probe)
                self._probed = _Probed(monotonic(), why)
            return self._probed.why

    def _answer(
        self, status: str, failed: bool, hung: list[str], wait: dict[str, Any] | None = None
    ) -> Answer:
        now = monotonic()
        with self._lock:
            loops = {
                name: {"last_step_seconds": round(now - beat.at, 1), "limit_seconds": beat.limit}
                for name, beat in self._beats.items()
            }
        body = {"process": self._process, "status": status, "loops": loops, **self.about}
        found = {"hung": hung or None, "waits": wait}
        return 503 if failed else 200, body | {k: v for k, v in found.items() if v is not None}


def _failure(probe: Probe) -> str | None:
    try:
        probe()
    except ExperientialMemoryError as error:
        return logs.reason(error)
    return None


@dataclass(frozen=True)
class HealthAddress:
    """Where a process answers; a port of None: nowhere, of 0: on any that is free."""

    host: str = "127.0.0.1"
    port: int | None = None


@contextmanager
def answering(health: Health, address: HealthAddress) -> Iterator[None]:
    """Answers in threads of its own while the block runs, so that a blocked loop is seen.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    if address.port is None:
        yield
        return
    routes = {"/healthz": health.healthz, "/readyz": health.readyz}
    try:
        server = _Server((address.host, address.port), routes)
    except OSError as error:
        raise ConfigurationError(
            f"MEMORY_HEALTH_PORT: cannot listen on {address.host}:{address.port}: {error}"
        ) from error
    Thread(target=server.serve_forever, name="health", daemon=True).start()
    port = server.server_address[1]
    figures = {"host": address.host, "port": port}
    logger.info(
        "health at http://%s:%d/healthz and /readyz",
        address.host,
        port,
        extra={"event": "health_served", "figures": figures},
    )
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], routes: Mapping[str, Callable[[], Answer]]
    ) -> None:
        super().__init__(address, _Handler)
        self.routes = routes


class _Handler(BaseHTTPRequestHandler):
    timeout = 10.0
    server: _Server

    def do_GET(self) -> None:
        route = self.server.routes.get(self.path.partition("?")[0])
        status, body = route() if route else (404, {"error": "only /healthz and /readyz are here"})
        sent = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: object) -> None:
        """Logs nothing: probes come every few seconds."""
