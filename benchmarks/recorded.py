"""A server that speaks OpenAI's chat API and answers extraction from what annotators noted.

The answers are LoCoMo's `observation` facts of the turns that are asked about, each quoting its
turn: gold annotations, so whatever is measured with them is an oracle run. It shows the model path
on real content, and how much recall would gain from a reader as good as the annotators.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from benchmarks.datasets import DataSet
from extractors.language_model.extractor import TURN_CHARACTERS
from extractors.reading.dates import day_in_words, weekday_in_words

Turn = tuple[str | None, str, str]
"""Who said it, on which date, and what: how a turn is recognised in a request."""

Facts = dict[Turn, list[str]]


def recorded_facts(data: DataSet) -> Facts:
    """The annotated facts of each turn."""
    facts = noted(data)
    return {
        _turn(placed.interaction): facts[placed.interaction.id]
        for placed in data.interactions()
        if placed.interaction.id in facts
    }


def noted(data: DataSet) -> dict[str, list[str]]:
    """The annotated facts by interaction; those of several stand at the first of them."""
    found: dict[str, list[str]] = {}
    for path in data.files:
        for sample in json.loads(path.read_text(encoding="utf-8")):
            speakers = [s for of in sample["observation"].values() for s in of.values()]
            for text, dialogs in (fact for facts in speakers for fact in facts):
                first = dialogs[0] if isinstance(dialogs, list) else dialogs
                found.setdefault(f"{sample['sample_id']}:{first}", []).append(text)
    return found


def _turn(said: Any) -> Turn:
    day = said.occurred_at.date()
    date = f"{weekday_in_words(day)} {day_in_words(day)}"
    return (said.actor, date, said.content[:TURN_CHARACTERS])


def answer(facts: Facts, shown: str) -> dict[str, Any]:
    """What the annotators noted of the new turns of a request."""
    _, _, new = shown.partition("NEW:\n")
    turns = [json.loads(line) for line in new.splitlines() if line.startswith("{")]
    found = [
        {
            "text": text,
            "quotes": [{"turn": turn["n"], "words": turn["text"]}],
            "attribute": None,
            "value": None,
            "single_valued": False,
            "tense": "past",
            "when": None,
            "ends": [],
        }
        for turn in turns
        for text in facts.get((turn.get("name"), turn["date"], turn["text"]), ())
    ]
    return {"facts": found, "preferences": [], "procedures": []}


@contextmanager
def as_the_model(data: DataSet) -> Iterator[dict[str, object]]:
    """Changes of settings under which such a server is the language model, while it runs."""
    with recorded(data) as url:
        yield {"model": "openai:recorded", "openai_base_url": url, "openai_api_key": "none"}


@contextmanager
def recorded(data: DataSet) -> Iterator[str]:
    """The base URL of such a server, on loopback, while the block runs."""
    facts = recorded_facts(data)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            said = json.dumps(answer(facts, asked["messages"][1]["content"]))
            message = {"role": "assistant", "content": said}
            body = {
                "id": "1",
                "object": "chat.completion",
                "created": 1,
                "model": asked["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            }
            sent = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()
