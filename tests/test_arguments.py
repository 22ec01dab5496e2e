"""Every verb of the client refuses wrong arguments with an error of ours."""

import inspect
import math
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import click
import psycopg
import pytest
from click.testing import CliRunner

import memory
from consumers.cli import application
from consumers.cli.exit_codes import EXIT_CONFIGURATION
from consumers.extraction import Worker, installed_extractors
from consumers.importing import files
from consumers.runtime.terminal import plain
from consumers.store import open_worker
from memory import (
    ConfigurationError,
    ExperientialMemoryError,
    InvalidImport,
    InvalidInput,
    InvalidInteraction,
    InvalidScope,
)
from memory.client import AsyncMemoryClient, MemoryClient, TaskState
from memory.context.assembly import Shares
from memory.embedding import create_embedder
from memory.models import Interaction, InteractionKind, MemoryKind, Receipt, Role, Scope
from memory.settings import Settings
from tests.conftest import Extraction, WordEmbedder

ANA = Scope("northwind", "ana", session="s1")
EDGE = timezone(timedelta(hours=14))
DAY = datetime(2026, 1, 1, tzinfo=UTC)
NAIVE = DAY.replace(tzinfo=None)
LAST = datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=14)))

_deep: Any = []
for _ in range(5_000):
    _deep = [_deep]


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no text")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equal")

    __hash__ = None  # type: ignore[assignment]


class Text(str):
    __slots__ = ()


_list: list[Any] = []
_list.append(_list)
_dict: dict[str, Any] = {}
_dict["a"] = _dict

VALUES: list[Any] = [
    _list, _dict, {"a": _list}, Text("x"), Text("\x00"), Text("fact"), "a\u202e", "\U000e0041",
    None, True, False, 0, 1, -1, 7, 2**31, 2**63, -(2**70), 10**400, 0.5, -0.5, 1e308, math.nan,
    math.inf, Decimal("1.5"), 1j, "", " ", "x", "fact", "800", "\x00", "\ud800", "a\udcff",
    "\x1b]0;x\x07",
    "x" * 5_000, "\U0001f600" * 201, "\u6771" * 90_000, b"x", bytearray(b"x"), [], ["x"], [1],
    ["\ud800"], [None], [[]], (), ("x",), {}, {"x": 1}, {1: 2}, {"x": "\ud800"}, {"remember": 1},
    {"a": _deep}, _deep, set(), {"x"}, object(), Odd(), Exception("x"), int, len, range(3),
    iter([1]), NAIVE,
    datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), LAST,
    datetime(1, 1, 1, tzinfo=EDGE), datetime(2999, 1, 1, tzinfo=UTC), timedelta(1), UTC, ANA,
    Scope("northwind", "ana"), MemoryKind.FACT, [MemoryKind.FACT], [MemoryKind.FACT, "bogus"],
    Role.USER, InteractionKind.MESSAGE, Receipt("x", "s1", 1, 1), Receipt("\ud800", "s1", 1, 1),
    Receipt(1, 2, "x", None), Receipt("x", "s1", 0, 0, False, "place"),  # type: ignore[arg-type]
    Shares(),
    Interaction(ANA, "i1", InteractionKind.MESSAGE, Role.USER, "Hello.", DAY),
    [Interaction(None, None, None, None, None, None)],  # type: ignore[arg-type]
    [Interaction(ANA, 5, [], {}, b"x", "now", payload=7, actor=[], private=1, source=None)],  # type: ignore[arg-type]
    [Interaction(ANA, "i2", "message", "user", "x", NAIVE, payload={"a": _deep})],  # type: ignore[arg-type]
]  # fmt: skip

SOUND: dict[str, Any] = {
    "scope": ANA, "query": "Where?", "content": "Hello.", "text": "Likes tea", "key": "k",
    "value": 1, "memory": 1, "interactions": [], "proposal": "0" * 32,
}  # fmt: skip


def verbs() -> Iterator[tuple[str, Callable[..., Any]]]:
    for kind, prefix in ((MemoryClient, ""), (TaskState, "state.")):
        for name, verb in vars(kind).items():
            if inspect.isfunction(verb) and not name.startswith(("_", "open", "close")):
                yield prefix + name, verb


VERBS = dict(verbs())


@pytest.mark.not_quick
class TestEveryVerb:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"statement_timeout": 5.0})

    def test_all_are_here(self) -> None:
        assert VERBS.keys() >= {
            "record", "record_many", "recall", "context", "remember", "forget", "retract",
            "restore", "history", "explain", "interactions", "position", "state.set",
        }  # fmt: skip

    @pytest.mark.parametrize("name", VERBS)
    def test_raises_only_errors_of_ours(self, name: str, client: MemoryClient) -> None:
        parameters = list(inspect.signature(VERBS[name]).parameters.values())[1:]
        target = client.state if name.startswith("state.") else client
        verb = getattr(target, name.removeprefix("state."))
        needed = {p.name: SOUND[p.name] for p in parameters if p.default is p.empty}
        untyped = []
        trials = [{**needed, p.name: value} for p in parameters for value in VALUES]
        drawn = random.Random(3)
        trials += [{p.name: drawn.choice(VALUES) for p in parameters} for _ in range(100)]
        for arguments in trials:
            if "timeout" in {p.name for p in parameters} and arguments.get("after") is not None:
                arguments["timeout"] = 0  # rather than wait for what never comes
            try:
                verb(**arguments)
            except ExperientialMemoryError:
                pass
            except BaseException as error:  # noqa: BLE001 - which is what must not happen
                untyped.append((type(error).__name__, str(error)[:80], list(arguments)))
        assert untyped == [], untyped[:6]


def makers() -> Iterator[tuple[str, Callable[..., Any]]]:
    """What an app makes by itself, without a store."""
    made: tuple[Callable[..., Any], ...] = (
        Settings, MemoryClient, AsyncMemoryClient, Worker, create_embedder, installed_extractors,
    )  # fmt: skip
    yield from ((maker.__name__, maker) for maker in made)
    yield "Receipt.from_json", Receipt.from_json
    for name in memory.__all__:
        if is_dataclass(getattr(memory, name)):
            yield name, getattr(memory, name)


MAKERS = dict(makers())


def entered(settings: Any) -> None:
    async def enter() -> None:
        async with open_worker(settings):
            pass

    anyio.run(enter)


class TestEveryMaker:
    def test_all_are_here(self) -> None:
        assert MAKERS.keys() >= {
            "Settings",
            "MemoryClient",
            "Worker",
            "Scope",
            "Shares",
            "Candidate",
        }

    @pytest.mark.parametrize("name", MAKERS)
    def test_raises_only_errors_of_ours(self, name: str) -> None:
        taken = inspect.signature(MAKERS[name]).parameters.values()
        parameters = [p for p in taken if p.kind is not p.VAR_KEYWORD and p.name[0] != "_"]
        drawn = random.Random(4)
        trials = [{p.name: drawn.choice(VALUES) for p in parameters} for _ in range(200)]
        if all(p.default is not p.empty for p in parameters):
            trials += [{p.name: value} for p in parameters for value in VALUES]
        assert self.untyped(MAKERS[name], trials) == []

    def test_a_worker_is_opened_with_settings_alone(self) -> None:
        assert self.untyped(entered, [{"settings": value} for value in VALUES]) == []

    def untyped(self, maker: Callable[..., Any], trials: list[dict[str, Any]]) -> list[Any]:
        found = []
        for arguments in trials:
            try:
                maker(**arguments)
            except ExperientialMemoryError:
                pass
            except BaseException as error:  # noqa: BLE001 - which is what must not happen
                found.append((type(error).__name__, str(error)[:80], list(arguments)))
        return found[:6]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"k": 0}, "k"), ({"k": -1}, "k"), ({"k": "3"}, "k"), ({"k": True}, "k"),
        ({"kinds": ["banana"]}, "kinds"), ({"kinds": "banana"}, "kinds"), ({"kinds": 5}, "kinds"),
        ({"only_agent": "yes"}, "only_agent"), ({"as_of": "2026"}, "as_of"),
        ({"as_of": LAST}, "as_of"),
        ({"believed_at": datetime(1, 1, 1, tzinfo=EDGE)}, "believed_at"),
        ({"after": "r"}, "after"), ({"timeout": math.nan}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"query": None}, "query"), ({"query": "\ud800"}, "query"),
    ],
)  # fmt: skip
def test_the_message_names_the_argument(
    arguments: dict[str, Any], named: str, client: MemoryClient
) -> None:
    with pytest.raises(InvalidInput, match=named):
        client.recall(**{"scope": ANA, "query": "Where?", **arguments})


def test_kinds_may_be_text(client: MemoryClient) -> None:
    client.remember(ANA, "Likes tea", kind="preference")
    for kinds in ("preference", ["preference"], [MemoryKind.PREFERENCE]):
        assert len(client.recall(ANA, "tea", kinds=kinds)) == 1  # type: ignore[arg-type]
        assert len(client.history(ANA, kinds=kinds)) == 1  # type: ignore[arg-type]
    assert len(client.history(ANA, kinds="fact")) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("part", ["tenant", "user", "agent", "session"])
def test_a_scope_holds_no_half_surrogate(part: str) -> None:
    with pytest.raises(InvalidScope, match=part):
        Scope(**{"tenant": "t", "user": "u", part: "a\ud800"})


class TestTimes:
    @pytest.mark.parametrize(
        "moment", [datetime(2999, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC), LAST]
    )
    def test_of_a_far_future_are_refused(self, moment: datetime, client: MemoryClient) -> None:
        for verb in (client.record, client.remember):
            with pytest.raises(InvalidInteraction, match=r"occurred_at .*(2999|9999)"):
                verb(ANA, "Hello.", occurred_at=moment)
        assert client.position(ANA).recorded == 0

    def test_a_conversation_of_the_years_to_come_is_taken(self, client: MemoryClient) -> None:
        client.record(ANA, "Hello.", occurred_at=datetime.now(UTC) + timedelta(days=3_000))
        assert client.position(ANA).recorded == 1

    def test_of_rows_that_are_there_break_no_session(
        self, client: MemoryClient, worker: Extraction, superuser: psycopg.Connection
    ) -> None:
        client.record(ANA, "I live in Berlin since yesterday. I have worked here for 3000 years.")
        superuser.execute("UPDATE sessions SET expires_at = '10007-01-01 00:00+00'")
        superuser.execute("UPDATE interactions SET occurred_at = '9999-12-31 23:59:59+00'")
        assert client.context(ANA, "Where?").turns
        assert worker.drain().failures == 0
        client.record(ANA, "Hello.")
        assert worker.drain().failures == 0
        assert len(client.context(ANA, "Where?").turns) == 2
        assert client.history(ANA)


def test_an_unknown_language_is_a_matter_of_configuration(settings: Settings) -> None:
    odd = settings.model_copy(update={"language": "klingon"})
    with (
        MemoryClient(odd, embedder=WordEmbedder()) as client,
        pytest.raises(ConfigurationError, match=r"klingon[^;]*; see MEMORY_LANGUAGE") as raised,
    ):
        client.recall(ANA, "Where?")
    assert application.exit_code(raised.value) == EXIT_CONFIGURATION


class TestArchives:
    @pytest.mark.parametrize("content", ['["' + "a" * 60_000_000 + '"]', "[" + " " * 60_000_000])
    def test_that_unpack_to_too_much_are_refused(self, content: str, tmp_path: Path) -> None:
        path = tmp_path / "export.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("conversations.json", content)
        with pytest.raises(InvalidImport, match="times its size, the limit is 100"):
            list(files.elements(path))

    def test_one_element_is_bounded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(files, "MAX_ELEMENT_CHARACTERS", 1_000)
        path = tmp_path / "large.json"
        path.write_text('[{"a": "' + "x" * 2_000_000 + '"}]', encoding="utf-8")
        with pytest.raises(InvalidImport, match="an element has over 1,000 characters"):
            list(files.elements(path))

    def test_in_all_they_are_bounded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(files, "MAX_UNPACKED_BYTES", 10)
        path = tmp_path / "export.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("conversations.json", '[{"title": "a"}]')
        with pytest.raises(InvalidImport, match="unpacks to 16 bytes, the limit is 10"):
            list(files.elements(path))


def test_a_deep_payload_is_a_usage_error(url: str) -> None:
    run = CliRunner().invoke(
        application.memory,
        ["record", "x", "--user", "ana", "--payload", "[" * 100_000],
        env={"MEMORY_DATABASE_URL": url},
    )
    assert run.exit_code == click.UsageError.exit_code
    assert "nested too deep" in run.output


def test_messages_to_a_terminal_hold_no_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    application._report(click.ClickException("x"), "bad \x1b]0;pwned\x07 \udcff\x9b name", [])
    shown = capsys.readouterr().err
    assert "pwned" in shown
    assert plain(shown) == shown
