"""Reranking: a second opinion that may improve an answer and can never hold it up."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import anyio
import pytest

from memory.client import MemoryClient
from memory.errors import ConfigurationError, RerankingFailed
from memory.models import Memory, MemoryKind, Provenance, RecalledMemory, Scope, Tier
from memory.recall.reranking import (
    POOL,
    HttpReranker,
    Reranker,
    reranked,
)
from memory.settings import Settings
from tests.conftest import WordEmbedder

ANA = Scope("northwind", "ana", session="monday")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@dataclass
class Longest:
    """Prefers long texts, and keeps what it was asked."""

    asked: list[Sequence[str]] = field(default_factory=list)

    async def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        self.asked.append(texts)
        return [len(text) for text in texts]


class Forever:
    async def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        await anyio.sleep_forever()
        raise AssertionError("unreachable")


class Down:
    async def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        raise RerankingFailed("the endpoint is down")


class Short:
    async def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        return [1.0]


def ranked(*texts: str, **signals: float) -> tuple[RecalledMemory, ...]:
    return tuple(
        RecalledMemory(
            Memory(n, Tier.LONG_TERM, MemoryKind.FACT, text, NOON, Provenance("test", "1")),
            10.0 - n,
            (f"i{n}",),
            1,
            signals,
        )
        for n, text in enumerate(texts)
    )


class TestOrder:
    async def test_is_the_rerankers_on_the_scale_of_the_first_ranking(self) -> None:
        items = await reranked(Longest(), "q", ranked("a", "aaa", "aa"))
        assert [i.memory.text for i in items] == ["aaa", "aa", "a"]
        assert [i.score for i in items] == [10.0, 9.0, 8.0]
        assert {i.signals["reranked"] for i in items} == {1.0}

    async def test_stays_where_it_has_no_opinion(self) -> None:
        items = await reranked(Longest(), "q", ranked("a", "b", "c"))
        assert [i.memory.text for i in items] == ["a", "b", "c"]

    async def test_only_the_best_are_shown_to_it(self) -> None:
        reranker = Longest()
        items = await reranked(reranker, "q", ranked(*("a" * n for n in range(1, POOL + 6))))
        assert [len(texts) for texts in reranker.asked] == [POOL]
        assert [len(i.memory.text) for i in items[POOL:]] == list(range(POOL + 1, POOL + 6))
        assert [i.signals["reranked"] for i in items] == [1.0] * POOL + [0.0] * 5

    async def test_what_governs_a_request_stays_where_it_is(self) -> None:
        first, second = ranked("a", "aa")
        rule = ranked("r", instruction_request=1.0)[0]
        items = await reranked(Longest(), "q", (rule, first, second))
        assert [i.memory.text for i in items] == ["r", "aa", "a"]

    async def test_of_nothing_asks_nothing(self) -> None:
        reranker = Longest()
        assert await reranked(reranker, "q", ()) == ()
        assert reranker.asked == []


class TestFirstRankingStands:
    @pytest.mark.parametrize("reranker", [Forever(), Down(), Short()])
    async def test_where_there_is_no_other_in_time(self, reranker: Reranker) -> None:
        items = await reranked(reranker, "q", ranked("a", "aaa", "aa"), seconds=0.01)
        assert [i.memory.text for i in items] == ["a", "aaa", "aa"]
        assert {i.signals["reranked"] for i in items} == {0.0}


class TestClient:
    def test_recall_follows_the_reranker_it_was_given(
        self, settings: Settings, embedder: WordEmbedder
    ) -> None:
        with MemoryClient(settings, embedder=embedder) as client:
            for text in ("Likes tea", "Likes tea with milk and honey in the afternoon"):
                client.remember(ANA, text)
            plain = [i.memory.text for i in client.recall(ANA, "Likes tea")]
            assert "reranked" not in client.recall(ANA, "Likes tea").items[0].signals
        with MemoryClient(settings, embedder=embedder, reranker=Longest()) as client:
            found = client.recall(ANA, "Likes tea")
        assert [i.memory.text for i in found] == list(reversed(plain))
        assert found.items[0].signals["reranked"] == 1.0


@contextmanager
def serving(status: int, answer: Any) -> Iterator[tuple[str, list[Any]]]:
    """An endpoint on this machine that gives one answer; its address and what it was sent."""
    seen: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, self.headers.get("Authorization"), json.loads(body)))
            sent = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/", seen
        finally:
            server.shutdown()
            thread.join()


class TestHttp:
    async def test_asks_the_endpoint_and_reads_scores_by_index(self) -> None:
        results = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]
        with serving(200, {"results": results}) as (url, seen):
            scores = await HttpReranker(url, "tiny", api_key="key").score("q", ["a", "b"])
        assert scores == [0.1, 0.9]
        body = {"model": "tiny", "query": "q", "documents": ["a", "b"]}
        assert seen == [("/v1/rerank", "Bearer key", body)]

    @pytest.mark.parametrize(
        ("status", "answer"),
        [
            (500, {}),
            (200, {}),
            (200, []),
            (200, {"results": [{"index": 0}]}),
            (200, {"results": []}),
        ],
    )
    async def test_another_answer_is_refused_by_name(self, status: int, answer: Any) -> None:
        refused = pytest.raises(RerankingFailed, match="v1/rerank' gave no ranking")
        with serving(status, answer) as (url, _), refused:
            await HttpReranker(url, "tiny").score("q", ["a"])

    def test_only_http_is_spoken(self) -> None:
        with pytest.raises(ConfigurationError, match="file:///etc"):
            HttpReranker("file:///etc", "tiny")
