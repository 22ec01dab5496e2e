"""Reranking: a cross-encoder or a language model may reorder the best few memories.

It is off unless a client is given a reranker. Its pool and its time are capped, so it can make an
answer better but never late: if it fails or is not done in time, the first ranking stands. The
signal `reranked` of each memory says which of the two placed it.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import anyio
from anyio import to_thread

from memory.errors import ConfigurationError, ExperientialMemoryError, RerankingFailed
from memory.log.plain_json import shown
from memory.models import RecalledMemory

logger = logging.getLogger(__name__)

POOL = 30
"""Memories that a reranker sees: the best of the first ranking."""

SECONDS = 1.0
"""Its time limit."""

CHARACTERS = 2_000
"""The characters of each memory that it sees."""

RERANKED = "reranked"
"""The signal that is 1 if the reranker placed a memory, and 0 if the first ranking did."""


class Reranker(Protocol):
    """Scores how well each text answers a query."""

    async def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """Returns one score for each text, in order; higher is better, on any scale.

        It is cancelled when its time is up. If it raises an `ExperientialMemoryError` or `OSError`,
        the error is logged and the first ranking stands.
        """


async def reranked(
    reranker: Reranker,
    query: str,
    items: Sequence[RecalledMemory],
    seconds: float = SECONDS,
) -> tuple[RecalledMemory, ...]:
    """Returns `items`, best first, with the first POOL of them in the reranker's order.

    The scores are dealt out again in the new order, so that they keep their scale. Standing
    instructions keep their place: they need not answer the question.
    """
    pool = [n for n, item in enumerate(items) if not _governs(item)][:POOL]
    scores = await _scores(reranker, query, [items[n] for n in pool], seconds) if pool else None
    placed = [_signalled(item, 0.0) for item in items]
    if scores is not None:
        order = sorted(range(len(pool)), key=lambda at: (-scores[at], at))
        for n, at in zip(pool, order, strict=True):
            placed[n] = replace(_signalled(items[pool[at]], 1.0), score=items[n].score)
    return tuple(placed)


def _governs(item: RecalledMemory) -> bool:
    return item.signals.get("instruction_request", 0.0) > 0


def _signalled(item: RecalledMemory, value: float) -> RecalledMemory:
    return replace(item, signals={**item.signals, RERANKED: value})


async def _scores(
    reranker: Reranker, query: str, items: Sequence[RecalledMemory], seconds: float
) -> Sequence[float] | None:
    """Returns one score for each item, or None if the reranker fails or is late."""
    texts = [item.memory.text[:CHARACTERS] for item in items]
    try:
        with anyio.move_on_after(seconds):
            scores = await reranker.score(query, texts)
            if len(scores) == len(texts):
                return scores
            raise RerankingFailed(f"{len(scores)!r} scores for {len(texts)!r} texts")
        logger.warning("no reranking within %s s; the first ranking stands", seconds)
    except (ExperientialMemoryError, OSError) as error:
        logger.warning("no reranking: %s; the first ranking stands", error)
    return None


@dataclass(frozen=True, slots=True)
class HttpReranker:
    """A `/rerank` endpoint as vLLM, text-embeddings-inference, Jina and Cohere serve it.

    base_url: the URL to which `/rerank` is appended.
    api_key: sent as a bearer token.

    Raises:
        ConfigurationError: `base_url` is neither http nor https.
    """

    base_url: str
    model: str
    api_key: str | None = None
    timeout: float = SECONDS

    def __post_init__(self) -> None:
        if not _is_http(self.base_url):
            raise ConfigurationError(
                f"a reranker's base_url is http(s), got {shown(self.base_url)}"
            )

    async def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """Scores as `Reranker.score`; a cancelled request is left to end in its own thread.

        Raises:
            RerankingFailed: the endpoint does not answer, refuses, or answers something else.
        """
        return await to_thread.run_sync(self._score, query, texts, abandon_on_cancel=True)

    def _score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        body = {"model": self.model, "query": query, "documents": list(texts)}
        headers = {"Content-Type": "application/json"}
        if self.api_key is not None:
            headers["Authorization"] = f"Bearer {self.api_key}"
        url = f"{self.base_url.rstrip('/')}/rerank"
        request = Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - http(s), checked
        try:
            with urlopen(request, timeout=self.timeout) as response:  # noqa: S310
                return _by_index(json.load(response), len(texts))
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, HTTPError):
                error.close()  # it is the answer, too
            raise RerankingFailed(f"{url!r} gave no ranking: {error!r}") from error


def _is_http(url: object) -> bool:
    try:
        return isinstance(url, str) and urlsplit(url).scheme in ("http", "https")
    except ValueError:  # as of half an IPv6 address
        return False


def _by_index(answer: Any, count: int) -> list[float]:
    scores = {int(row["index"]): float(row["relevance_score"]) for row in answer["results"]}
    return [scores[n] for n in range(count)]
