"""A server that speaks OpenAI's chat API on loopback: answers from a script, breaks on request."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from pydantic import SecretStr

from extractors.language_model.endpoint import forget_models

Answer = Callable[[list[dict[str, Any]]], Any]
"""From the turns shown as NEW to the JSON to answer with; a string is sent as it is."""


@dataclass
class Fault:
    """What the server does instead of answering well.

    status, headers, code, param, message: an error; finish, refusal: what the answer says of
    itself; wrap: what becomes of the answer's text before it is sent; moved: it is sent as the
    model's reasoning; body: sent in place of a completion or an error; seconds: before it answers;
    hang: never.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    code: str | None = None
    finish: str = "stop"
    refusal: str | None = None
    content: str | None = None
    param: str | None = None
    message: str = "scripted"
    wrap: Callable[[str], Any] = str
    body: Any = None
    moved: bool = False
    seconds: float = 0.0
    hang: bool = False


Refuses = Callable[[dict[str, Any]], Fault | None]
"""What a server does not take: from a request to the error, or None."""


@dataclass
class Chat:
    """The script: what `refuses` an error, then `faults`, one a request, then `answer`."""

    answer: Answer
    refuses: Refuses = field(default=lambda _: None)
    faults: list[Fault] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    released: Event = field(default_factory=Event)
    url: str = ""

    def settings(self) -> dict[str, Any]:
        """What makes `Settings` ask this server."""
        return {
            "model": "openai:scripted",
            "openai_base_url": self.url,
            "openai_api_key": SecretStr("none"),
            "model_prices": {"scripted": {"input": 1.0, "output": 2.0}},
        }


def new_turns(messages: list[dict[str, str]]) -> list[dict[str, Any]]:
    """The turns of a request's NEW list, or of the session that is to be summarised."""
    _, _, new = re.split(r"(NEW|TURNS):\n", messages[1]["content"], maxsplit=1)
    return [json.loads(line) for line in new.splitlines() if line.startswith("{")]


def refusing(*parameters: str) -> Refuses:
    """A server that takes none of these parameters, and names the first that it was sent.

    `json_schema` and `json_object` stand for the kinds of `response_format`, `bounds` for the sizes
    in a schema.
    """

    def refuse(asked: dict[str, Any]) -> Fault | None:
        form = asked.get("response_format", {})
        for name in parameters:
            bounded = name == "bounds" and "maxItems" in json.dumps(form)
            if name in asked or form.get("type") == name or bounded:
                named = "response_format" if bounded or name.startswith("json_") else name
                told = (
                    f"Unsupported parameter: {named!r} ({name}) is not supported with this model."
                )
                return Fault(400, message=told)
        return None

    return refuse


def _error(fault: Fault) -> dict[str, Any]:
    told = {"message": fault.message, "type": "scripted", "code": fault.code}
    return {"error": {**told, "param": fault.param}}


def _completion(chat: Chat, fault: Fault, asked: dict[str, Any]) -> dict[str, Any]:
    said = fault.content
    if said is None:
        answer = chat.answer(new_turns(asked["messages"]))
        said = answer if isinstance(answer, str) else json.dumps(answer)
    said = fault.wrap(said)
    message: dict[str, Any] = {"role": "assistant", "content": said, "refusal": fault.refusal}
    if fault.moved:
        message |= {"content": "", "reasoning_content": said}
    choice = {"index": 0, "message": message, "finish_reason": fault.finish}
    return {
        "id": "1", "object": "chat.completion", "created": 1, "model": asked["model"],
        "choices": [choice],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }  # fmt: skip


def _handler(chat: Chat) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            chat.seen.append(asked)
            chat.keys.append(self.headers["Authorization"].removeprefix("Bearer "))
            fault = chat.refuses(asked)
            if fault is None:
                fault = chat.faults.pop(0) if chat.faults else Fault()
            chat.released.wait(30 if fault.hang else fault.seconds)
            if fault.hang:
                return
            if fault.status != 200:
                self.send(fault.status, fault.body or _error(fault), fault.headers)
            else:
                self.send(200, fault.body or _completion(chat, fault, asked), {})

        def send(self, status: int, body: Any, headers: dict[str, str]) -> None:
            sent = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(sent))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


@contextmanager
def serving(answer: Answer) -> Iterator[Chat]:
    """Such a server while the block runs; nothing was learned of it yet."""
    forget_models()
    chat = Chat(answer)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(chat)) as server:
        server.daemon_threads = True
        server.block_on_close = False
        chat.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield chat
        finally:
            chat.released.set()
            server.shutdown()
            thread.join()
