"""Log lines on stderr, as text or as JSON: when, how grave, which event, of which tenant.

No line holds what users said. An error is named by its type and by what the server says of it;
values that a server quotes are left out. What the drivers log is folded in at DEBUG: our own lines
say what came of it.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from traceback import extract_tb
from types import TracebackType
from typing import Any, TextIO

from consumers.runtime.terminal import plain, printable_json
from memory.optional import extra

OURS = ("memory", "extractors", "consumers")
DRIVERS = ("kafka", "psycopg")

_QUOTES_VALUES = ("22", "23")
"""Classes of SQLSTATE whose messages may quote a value: data exceptions and broken constraints."""

_WAITED = ("55P03", "57014")
"""Waits that a limit ended. The first line of their context names the row's place and its table."""

_tenant: ContextVar[str | None] = ContextVar("tenant", default=None)
_trace: ContextVar[str | None] = ContextVar("trace", default=None)

logger = logging.getLogger(__name__)


class LogFormat(StrEnum):
    """How a log line looks."""

    TEXT = "text"
    JSON = "json"


@contextmanager
def about(*, tenant: str | None = None, trace: str | None = None) -> Iterator[None]:
    """Gives the lines of the block a tenant, and the id of a W3C trace where one is known."""
    given = [(_tenant, tenant), (_trace, trace)]
    tokens = [(variable, variable.set(value)) for variable, value in given if value is not None]
    try:
        yield
    finally:
        for variable, token in tokens:
            variable.reset(token)


def trace_id(traceparent: str | None) -> str | None:
    """Returns the trace id of a `traceparent` header: 32 hexadecimal digits."""
    return traceparent.split("-")[1] if traceparent else None


def to_stderr(
    form: LogFormat = LogFormat.TEXT, *, verbose: bool = False, stream: TextIO | None = None
) -> None:
    """Sends log lines to stderr, or to `stream`: warnings, or with `verbose` every step.

    Raises:
        MissingDependency: JSON is wanted, and python-json-logger is not installed.
    """
    handler = _Handler(form, stream)
    handler.addFilter(_Labels(verbose=verbose))
    handler.setFormatter(_json_lines() if form is LogFormat.JSON else _TextLines(verbose=verbose))
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if not isinstance(h, _Handler)] + [handler]
    root.setLevel(logging.INFO if verbose else logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.NOTSET)
    json = form is LogFormat.JSON
    logging.captureWarnings(json)
    sys.excepthook = _log_crash if json else sys.__excepthook__


def inform() -> None:
    """Lets a process that runs for long log its normal work as well."""
    for name in OURS:
        log = logging.getLogger(name)
        log.setLevel(min(log.level or logging.INFO, logging.INFO))


def as_json() -> bool:
    """Whether every line on stderr has to be a JSON object."""
    handlers = logging.getLogger().handlers
    return any(isinstance(h, _Handler) and h.form is LogFormat.JSON for h in handlers)


def reason(error: BaseException) -> str:
    """Returns what an error says, as one line, without values that a server quotes."""
    cause = error if hasattr(error, "diag") else error.__cause__
    diagnosis = getattr(cause, "diag", None)
    if diagnosis is None or diagnosis.message_primary is None:
        return " ".join(str(error).split()) or type(error).__name__
    if diagnosis.sqlstate.startswith(_QUOTES_VALUES):
        return named(error)
    said = [diagnosis.message_primary, diagnosis.message_hint and f"HINT: {diagnosis.message_hint}"]
    if diagnosis.sqlstate in _WAITED and diagnosis.context:
        said.append(diagnosis.context.splitlines()[0])
    return " ".join(" ".join(filter(None, said)).split())


def named(error: BaseException) -> str:
    """Returns the type of an error and of its cause, with a server's SQLSTATE."""
    sqlstate = getattr(error, "sqlstate", None)
    name = type(error).__name__ + (f" ({sqlstate})" if sqlstate else "")
    return f"{name} from {named(error.__cause__)}" if error.__cause__ else name


def frames(error: BaseException) -> list[str]:
    """Returns where an error came from, outermost call first, without values."""
    return [
        f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"
        for frame in extract_tb(error.__traceback__)
    ]


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """The one handler of this process's stderr."""

    def __init__(self, form: LogFormat, stream: TextIO | None) -> None:
        super().__init__(stream)
        self.form = form


class _Labels(logging.Filter):
    """Adds what the formats print, and folds the drivers in at DEBUG."""

    def __init__(self, *, verbose: bool) -> None:
        super().__init__()
        self._verbose = verbose

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] in DRIVERS:
            record.levelno, record.levelname = logging.DEBUG, "DEBUG"
            if not self._verbose:
                return False
        if isinstance(record.args, tuple):
            record.args = tuple(
                reason(value) if isinstance(value, BaseException) else value
                for value in record.args
            )
        record.__dict__.setdefault("event", f"{record.module}.{record.funcName.strip('_')}")
        record.__dict__.setdefault("figures", {})
        record.__dict__.update(tenant=_tenant.get(), trace_id=_trace.get())
        return True


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _error(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


class _TextLines(logging.Formatter):
    """One line for each record; `verbose` adds the logger, and where an error came from."""

    def __init__(self, *, verbose: bool) -> None:
        super().__init__()
        self._verbose = verbose

    def format(self, record: logging.LogRecord) -> str:
        error = _error(record)
        logger_name = f" {record.name}:" if self._verbose else ""
        labels = {"tenant": record.__dict__["tenant"], "trace": record.__dict__["trace_id"]}
        parts = [
            f"{_time(record)} {record.levelname}{logger_name}",
            " ".join(record.getMessage().split()) + (f": {named(error)}" if error else ""),
            *(f"{name}={value!r}" for name, value in labels.items() if value),
        ]
        if self._verbose and error:
            parts.append(f"({' > '.join(frames(error))})")
        return plain(" ".join(parts))


def _json_lines() -> logging.Formatter:
    with extra("cli"):
        from pythonjsonlogger.json import JsonFormatter

    class JsonLines(JsonFormatter):
        """One object for each record."""

        def format(self, record: logging.LogRecord) -> str:
            return printable_json(super().format(record))

        def add_fields(
            self,
            log_data: dict[str, Any],
            record: logging.LogRecord,
            message_dict: dict[str, Any],  # noqa: ARG002
        ) -> None:
            log_data.update(_fields(record))

    return JsonLines(json_ensure_ascii=False)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    error = _error(record)
    labels = record.__dict__
    found = {
        "time": _time(record),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": labels["event"],
        "message": record.getMessage(),
        "tenant": labels["tenant"],
        "trace_id": labels["trace_id"],
        "error": named(error) if error else None,
        "frames": frames(error) if error else None,
    }
    return {**{name: value for name, value in found.items() if value is not None},
            **labels["figures"]}  # fmt: skip


def _log_crash(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    logger.critical("ended", exc_info=(kind, error, traceback), extra={"event": "crashed"})
