"""Log lines: when, how grave, which event, of whom; never what anybody said."""

import asyncio
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest

from consumers.extraction import Worker
from consumers.extraction import worker as extraction
from consumers.ingest import running
from consumers.runtime import logs
from consumers.runtime.logs import LogFormat
from extractors.protocol import Extractor, LogSlice
from memory.client import MemoryClient
from memory.database import Database, translated
from memory.errors import StoreError, StoreUnavailable
from memory.models import Candidate, Scope
from memory.settings import Settings
from tests.conftest import Extraction, Verbatim, WordEmbedder
from tests.ingesting import Stream, numbered, until
from tests.kafka_topics import kafka_settings

ANA = Scope("acme", "ana", "scout", "s1")
SECRET = "quetiapine, twice a day"  # noqa: S105
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

Lines = Callable[[], list[dict[str, Any]]]


class Stderr(StringIO):
    """What this process writes to stderr from now on."""

    def lines(self) -> list[str]:
        """What was written since the last call."""
        written = self.getvalue().splitlines()
        self.seek(0)
        self.truncate()
        return written

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]


@pytest.fixture
def stderr() -> Iterator[Stderr]:
    root, hook = logging.getLogger(), sys.excepthook
    level = root.level
    yield Stderr()
    logs.to_stderr()
    root.handlers = [h for h in root.handlers if not isinstance(h, logs._Handler)]
    root.setLevel(level)
    sys.excepthook = hook


@pytest.fixture
def lines(stderr: Stderr) -> Lines:
    """What was logged since the last call, as JSON."""
    logs.to_stderr(LogFormat.JSON, stream=stderr)
    return stderr.objects


ours = logging.getLogger("consumers.somewhere")


class TestALine:
    def test_says_when_how_grave_where_and_of_whom(self, lines: Lines) -> None:
        with logs.about(tenant="acme"), logs.about(trace=TRACE):
            ours.warning("it %s", "waits", extra={"event": "waits", "figures": {"tries": 3}})
        ours.warning("it goes on")
        waits, goes_on = lines()
        at = datetime.fromisoformat(waits.pop("time"))
        assert at.utcoffset() == timedelta(0)
        assert waits == {
            "level": "warning", "logger": "consumers.somewhere", "event": "waits",
            "message": "it waits", "tenant": "acme", "trace_id": TRACE, "tries": 3,
        }  # fmt: skip
        assert {"tenant", "trace_id"} & set(goes_on) == set()

    def test_of_text_has_time_and_level_too(self, stderr: Stderr) -> None:
        logs.to_stderr(stream=stderr)
        with logs.about(tenant="acme", trace=TRACE):
            ours.error("two\nlines")
        (line,) = stderr.lines()
        time, *rest = line.split(" ", 1)
        assert datetime.fromisoformat(time).microsecond % 1000 == 0
        assert rest == [f"ERROR two lines tenant='acme' trace='{TRACE}'"]

    @pytest.mark.parametrize("form", LogFormat)
    def test_controls_no_terminal(self, stderr: Stderr, form: LogFormat) -> None:
        logs.to_stderr(form, stream=stderr)
        ours.warning("%s", "a\x1b[2J\x9b1m\u202e\U000e0041b")
        written = stderr.getvalue()
        assert not set("\x1b\x9b\u202e\U000e0041") & set(written)
        assert len(written.splitlines()) == 1

    def test_of_a_driver_is_folded_in_at_debug(self, stderr: Stderr) -> None:
        for verbose, seen in ((False, []), (True, ["debug", "debug"])):
            logs.to_stderr(LogFormat.JSON, verbose=verbose, stream=stderr)
            logging.getLogger("psycopg.pool").warning("discarding closed connection")
            logging.getLogger("kafka.conn").error("closing")
            assert [line["level"] for line in stderr.objects()] == seen

    def test_of_normal_work_is_for_who_runs_for_long(self, lines: Lines) -> None:
        ours.info("before")
        logs.inform()
        ours.info("after")
        logging.getLogger("httpx").info("another's")
        assert [line["message"] for line in lines()] == ["after"]

    def test_is_what_python_warns_of_and_dies_of(self, lines: Lines) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.warn("old", DeprecationWarning, stacklevel=1)
        sys.excepthook(ValueError, ValueError(SECRET), None)
        warned, died = lines()
        assert "DeprecationWarning" in warned["message"]
        assert (died["event"], died["error"]) == ("crashed", "ValueError")
        assert SECRET not in json.dumps(died)


class TestNoContent:
    def refused(self, superuser: psycopg.Connection, statement: str) -> StoreError:
        with pytest.raises(StoreError) as caught, translated():
            superuser.execute(statement.encode(), (SECRET,))
        return caught.value

    @pytest.mark.parametrize(
        ("statement", "sqlstate"),
        [
            ("SELECT %s::text::int", "22P02"),
            ("INSERT INTO users (tenant_id, user_id, position) VALUES (%s::text, 'a', NULL)",
             "23502"),
        ],
    )  # fmt: skip
    def test_a_value_that_the_server_quotes_is_left_out(
        self, superuser: psycopg.Connection, lines: Lines, statement: str, sqlstate: str
    ) -> None:
        error = self.refused(superuser, statement)
        assert SECRET in str(error)
        ours.warning("it waits: %s", error)
        ours.error("failed", exc_info=error)
        said, failed = lines()
        assert sqlstate in said["message"]
        assert failed["error"].startswith("StoreError from ")
        assert SECRET not in json.dumps([said, failed])

    def test_what_a_server_says_of_itself_stays(
        self, superuser: psycopg.Connection, lines: Lines
    ) -> None:
        with pytest.raises(psycopg.Error) as caught:
            superuser.execute("SELECT 1 FROM nowhere")
        ours.warning("it waits: %s", caught.value)
        ours.warning("it waits: %s", StoreUnavailable("connection refused"))
        undefined, refused = (line["message"] for line in lines())
        assert undefined == 'it waits: relation "nowhere" does not exist'
        assert refused == "it waits: connection refused"


@dataclass(frozen=True)
class Talkative(Verbatim):
    """Fails with what it read."""

    async def extract(self, log: LogSlice) -> list[Candidate]:
        raise ValueError(log.interactions[0].content)


class TestExtraction:
    @pytest.fixture
    def extractors(self) -> list[Extractor]:
        return [Talkative()]

    def test_a_session_that_fails_names_tenant_and_trace(
        self, client: MemoryClient, worker: Extraction, lines: Lines
    ) -> None:
        client.record(ANA, SECRET, traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
        worker.drain()
        (failed,) = [line for line in lines() if line["event"] == "session_failed"]
        assert (failed["tenant"], failed["trace_id"]) == ("acme", TRACE)
        assert failed["error"] == "ValueError"
        assert any("extract" in frame for frame in failed["frames"])
        assert SECRET not in json.dumps(failed)


async def test_a_worker_says_each_minute_what_it_did(
    settings: Settings, database: Database, client: MemoryClient, lines: Lines,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(extraction, "REPORT_SECONDS", 0.05)
    logs.inform()
    client.record(ANA, "Hello.")
    heard: list[dict[str, Any]] = []
    async with database:
        worker = Worker(database, WordEmbedder(), [Verbatim()], settings)
        following = asyncio.create_task(worker.follow())
        async with asyncio.timeout(60):
            while sum(line.get("interactions", 0) for line in heard) < 1:
                await asyncio.sleep(0.02)
                heard += [line for line in lines() if line["event"] == "extracting"]
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert all(line["lag_seconds"] >= 0 for line in heard)
    assert {"users", "interactions", "lag_seconds"} <= set(heard[-1])


def test_ingestion_says_each_minute_what_it_did(
    kafka: str, url: str, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "REPORT_SECONDS", 0.0)
    logs.inform()
    stream = Stream(kafka_settings(kafka, url, partitions=1), url)
    stream.send(*numbered(5))
    heard: list[dict[str, Any]] = []

    def caught_up() -> bool:
        heard.extend(line for line in lines() if line["event"] == "ingesting")
        return sum(line["records"] for line in heard) == 5 and bool(heard[-1]["behind"] == 0)

    with stream.running():
        until(caught_up, "it says what it did")
    assert sum(line["appended"] for line in heard) == 5


class TestCommands:
    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        away = {"MEMORY_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
        return subprocess.run(
            [sys.executable, "-m", "consumers", *words],
            env={**os.environ, **away, **environment},
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parent.parent,
        )

    @pytest.mark.parametrize("by_setting", [False, True])
    def test_every_line_is_json_if_asked_for(self, *, by_setting: bool) -> None:
        asked = {"MEMORY_LOG_FORMAT": "json"} if by_setting else {}
        done = self.run(*([] if by_setting else ["--log-format", "json"]), "status", **asked)
        (line,) = [json.loads(line) for line in done.stderr.splitlines()]
        assert done.returncode == 4
        assert (line["event"], line["level"]) == ("failed", "error")
        assert line["error"].startswith("StoreUnavailable")

    def test_a_wrong_format_is_a_usage_error(self) -> None:
        assert self.run("status", MEMORY_LOG_FORMAT="xml").returncode == 2
