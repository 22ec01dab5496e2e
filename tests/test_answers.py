"""The benchmarks' reader and judge, over an endpoint that speaks OpenAI's chat API."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pydantic import SecretStr

from benchmarks.answers import Asked, Panel, token_f1
from benchmarks.context import (
    BUDGETS,
    CONTEXT,
    TOP_K,
    Inside,
    answered,
    blocks,
    of_recall,
    plotted,
    shown,
)
from benchmarks.datasets import Question
from memory.models import Recall
from memory.settings import Settings
from tests.test_packing import recalled

QUESTION = Question("ana", "Where does Ana live?", "single_hop", "Munich", frozenset({"i1", "i2"}))


class Chat(BaseHTTPRequestHandler):
    """Reads the city off the notes, and calls an answer right if it holds the reference."""

    seen: list[dict[str, Any]] = []  # noqa: RUF012 - emptied by the fixture

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append(asked)
        prompt = asked["messages"][0]["content"]
        if asked["model"] == "tiny-judge":
            fields = dict(line.split(": ", 1) for line in prompt.splitlines() if ": " in line)
            said = "Yes." if fields["Reference"] in fields["Answer"] else "No."
        else:
            said = "In Munich." if "Munich" in prompt else "unknown"
        message = {"role": "assistant", "content": said}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self.answer(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [choice],
            }
        )

    def answer(self, body: dict[str, Any]) -> None:
        sent = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[Settings]:
    Chat.seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Chat) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        try:
            yield Settings(openai_base_url=url, openai_api_key=SecretStr("none"))
        finally:
            server.shutdown()
            thread.join()


def inside(way: str, text: str) -> Inside:
    return Inside(way, 500, QUESTION, frozenset({"i1"}), text)


class TestPanel:
    async def test_reads_and_judges(self, endpoint: Settings) -> None:
        panel = Panel(endpoint, "tiny-reader", "tiny-judge")
        known, unknown = await panel.answer_all(
            [
                Asked("Where?", "Munich", "- Lives in Munich [1]"),
                Asked("Where?", "Munich", "- Likes tea [1]"),
            ]
        )
        await panel.aclose()
        assert (known.answer, known.right) == ("In Munich.", True)
        assert known.f1 == pytest.approx(2 / 3)
        assert (unknown.answer, unknown.f1, unknown.right) == ("unknown", 0.0, False)
        assert {asked["model"] for asked in Chat.seen} == {"tiny-reader", "tiny-judge"}
        assert {asked["temperature"] for asked in Chat.seen} == {0}

    async def test_the_report_names_reader_and_judge(self, endpoint: Settings) -> None:
        both = [inside(CONTEXT, "Lives in Munich"), inside(TOP_K, "Likes tea")]
        report = await answered(Panel(endpoint, "tiny-reader", "tiny-judge"), both, 500)
        assert (report["reader"], report["judge"], report["budget"]) == (
            "tiny-reader", "tiny-judge", 500
        )  # fmt: skip
        assert (report[CONTEXT]["right"], report[TOP_K]["right"]) == (1.0, 0.0)
        assert report[CONTEXT]["f1"] > report[TOP_K]["f1"] == 0.0

    async def test_without_a_judge_only_words_count(self, endpoint: Settings) -> None:
        both = [inside(CONTEXT, "Lives in Munich"), inside(TOP_K, "Likes tea")]
        report = await answered(Panel(endpoint, "tiny-reader"), both, 500)
        assert (report["judge"], report[CONTEXT]["right"]) == (None, None)
        assert {asked["model"] for asked in Chat.seen} == {"tiny-reader"}


@pytest.mark.parametrize(
    ("answer", "reference", "f1"),
    [
        ("Munich", "munich.", 1.0),
        ("the old mill", "An old mill", 1.0),
        ("Porto", "Munich", 0.0),
        ("", "", 1.0),
        ("", "Munich", 0.0),
        ("Munich Munich", "Munich", 2 / 3),
    ],
)
def test_token_f1(answer: str, reference: str, f1: float) -> None:
    assert token_f1(answer, reference) == pytest.approx(f1)


class TestReport:
    @pytest.mark.not_quick
    def test_counts_what_is_inside_at_each_budget(self, tmp_path: Path) -> None:
        ways = [
            Inside(way, budget, QUESTION, frozenset(cited), "Lives in Munich")
            for budget in BUDGETS
            for way, cited in ((CONTEXT, ("i1", "i2")), (TOP_K, ("i1",)))
        ]
        report: dict[str, Any] = {"budgets": list(BUDGETS), **blocks("locomo", ways, BUDGETS)}
        for of_budget in report["locomo"][CONTEXT].values():
            assert (of_budget["complete"], of_budget["recall"]) == (1.0, 1.0)
            assert of_budget["answer_words"] == 1.0
        for of_budget in report["locomo"][TOP_K].values():
            assert (of_budget["complete"], of_budget["recall"]) == (0.0, 0.5)
        assert report["categories"] == {"single_hop": report["locomo"]}
        assert "1.000 / 0.000" in shown(report)
        pytest.importorskip("matplotlib")
        plotted(report, tmp_path / "curves.png")
        assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")

    def test_top_k_ends_with_the_first_that_does_not_fit(self) -> None:
        items = [recalled(1, "Short", 3.0), recalled(2, "long " * 500, 2.0), recalled(3, "S", 1.0)]
        got = of_recall(QUESTION, Recall("q", items, 1), 100)
        assert got.cited == {"i1"}
        assert got.tokens <= 100
