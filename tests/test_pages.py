"""The code blocks of README and docs run, as they are printed."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import anyio
import psycopg
import pytest
from kafka import KafkaProducer
from psycopg.conninfo import conninfo_to_dict

from consumers.compaction import write_policy
from consumers.store import worker_database
from memory import models
from memory.client import MemoryClient
from memory.models import Scope
from memory.settings import Settings
from tests import warm
from tests.conftest import Databases
from tests.page_runs import CANNOT_RUN, NEEDS_BROKER, PageRun, cannot_run, console
from tests.pages import ROOT, Block, Page, pages
from tests.physical import program

RUN = [page for page in pages() if page.blocks()]
WITH_BROKER = [page for page in RUN if any(NEEDS_BROKER.search(b.text) for b in page.blocks())]

ANA = Scope("acme", "ana", agent="scout", session="monday")
RECRUITER = Scope("northwind-talent", "ana", agent="scout", session="today")
TUESDAY = ANA.in_session("tuesday")
SAID = (
    "I live in Berlin.",
    "I work at Hooli as a recruiter.",
    "I prefer short outreach messages.",
    "Never contact candidates on weekends.",
    "I moved to Munich.",
    "Always show salary ranges in euros.",
    "I have a dog.",
    "I love hiking.",
)

SELF_CONTAINED = {"README.md"}
"""Pages whose Python begins with its own imports and scopes; others are given them."""


def nothing(run: PageRun) -> None:
    """For pages that begin with the sample as it was imported."""


def waiting(run: PageRun) -> None:
    """Leaves a page something to extract."""
    with MemoryClient() as client:
        client.record(ANA, "I speak Portuguese.")


def promoted(run: PageRun) -> None:
    """Publishes what five users support: without the secret margin, and so every time."""

    async def write() -> None:
        async with worker_database(Settings()) as database:
            await write_policy(database, RECRUITER.tenant, jitter=0)

    anyio.run(write)
    run.shell("promote", ["memory compact promote"])


SAMPLE = {
    "docs/generations.md": nothing,
    "docs/collective.md": promoted,
    "examples/README.md": nothing,
}
"""Pages that speak of examples/recruiting.jsonl, and what is done before they begin."""


def names_for(page: Page, exits: ExitStack) -> dict[str, Any]:
    """What a page's Python may take as given."""
    later = datetime.now(UTC)
    given: dict[str, Any] = {"may": later, "june": later + timedelta(seconds=1)}
    if page.name not in SELF_CONTAINED:
        client = exits.enter_context(MemoryClient())
        scope = RECRUITER if page.name in SAMPLE else TUESDAY
        given |= {name: value for name, value in vars(models).items() if name[0].isupper()}
        given |= {"client": client, "memory": client, "scope": scope, "ana": scope}
        given |= {"MemoryClient": MemoryClient}
    return given


class Away(BaseHTTPRequestHandler):
    """A model's server that finds nothing: empty answers, and vectors that are all alike."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = embedded(asked) if self.path.endswith("/embeddings") else answered(asked)
        sent = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *args: Any) -> None:
        pass


def embedded(asked: dict[str, Any]) -> dict[str, Any]:
    vector = [1.0] + [0.0] * (asked.get("dimensions", 1536) - 1)
    data = [
        {"object": "embedding", "index": n, "embedding": vector} for n in range(len(asked["input"]))
    ]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return {"object": "list", "model": asked["model"], "data": data, "usage": usage}


def answered(asked: dict[str, Any]) -> dict[str, Any]:
    schema = asked["response_format"]["json_schema"]["schema"]
    said = json.dumps({name: [] for name in schema["properties"]})
    message = {"role": "assistant", "content": said, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    frame = {"id": "1", "object": "chat.completion", "created": 1, "model": asked["model"]}
    return {**frame, "choices": [choice], "usage": usage}


@pytest.fixture(scope="module")
def model() -> Iterator[str]:
    """The address of such a server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Away) as server:
        Thread(target=partial(server.serve_forever, 0.02), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the `memory` command, and with the programs of Postgres."""
    folder: Path = tmp_path_factory.mktemp("bin")
    for name in ("pg_basebackup", "pg_dump", "pg_dumpall", "pg_restore", "psql"):
        (folder / name).symlink_to(program(name))
    with warm.serving(folder):
        yield folder


Opened = Callable[..., AbstractContextManager[PageRun]]


@pytest.fixture(scope="module")
def opened(tools: Path, model: str, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Opens a run, with variables of MEMORY_ more, of a page on the store at a URL."""

    @contextmanager
    def opening(page: Page, url: str, **variables: str) -> Iterator[PageRun]:
        folder = tmp_path_factory.mktemp("page")
        (folder / ".bin").symlink_to(tools)
        shutil.copytree(ROOT / "examples", folder / "examples")
        prepare_files(page, folder)
        with ExitStack() as exits, pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("MEMORY_")]:
                patch.delenv(name)
            given = {"DATABASE_URL": url, "DEBOUNCE": "0", **variables}
            given |= {"OPENAI_BASE_URL": model, "OPENAI_API_KEY": "none"}
            run = PageRun(
                folder, {f"MEMORY_{name}": value for name, value in given.items()}, {}, exits, patch
            )
            run.names |= names_for(page, exits)
            yield run

    return opening


def prepare_files(page: Page, folder: Path) -> None:
    """Files that pages name: an export to import, and a mapping as the page prints one."""
    lines = [
        {"v": 1, "id": f"c-{n}", "tenant": "acme", "user": "ana", "session": "imported",
         "content": said, "occurred_at": f"2026-03-02T09:00:{n:02}Z"}
        for n, said in enumerate(SAID)
    ]  # fmt: skip
    written = "".join(f"{json.dumps(line)}\n" for line in lines)
    (folder / "conversations.json").write_text(written, encoding="utf-8")
    mappings = [b for b in page.blocks() if b.language == "toml" and "[fields]" in b.text]
    for block in mappings:
        (folder / "crm.toml").write_text(block.code, encoding="utf-8")


@pytest.fixture(scope="module")
def store(databases: Databases, template: str, opened: Opened) -> Iterator[str]:
    """The name of a database in which ana of acme has said a few things."""
    with databases.making() as make:
        url = make(template)
        with opened(Page("README.md"), url) as run:
            with MemoryClient() as client:
                for scope in (ANA, Scope("northwind", "ana", agent="scout", session="monday")):
                    for n, said in enumerate(SAID, 13):
                        client.record(
                            scope, said, id=f"m-{n}", source="crm-import" if n > 18 else "client",
                            occurred_at=datetime(2026, 3, 2, 8, n, tzinfo=UTC),
                        )  # fmt: skip
            run.shell("the store", ["memory extract"])
        yield str(conninfo_to_dict(url)["dbname"])


@pytest.fixture(scope="module")
def sample(databases: Databases, template: str, opened: Opened) -> Iterator[str]:
    """The name of a database with examples/recruiting.jsonl and its memories."""
    with databases.making() as make:
        url = make(template)
        with opened(Page("README.md"), url) as run:
            run.shell("the sample", ["memory import examples/recruiting.jsonl"])
        yield str(conninfo_to_dict(url)["dbname"])


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run(
    page: Page,
    opened: Opened,
    make_database: Callable[[str], str],
    request: pytest.FixtureRequest,
) -> None:
    name = request.getfixturevalue("sample" if page.name in SAMPLE else "store")
    with opened(page, make_database(name)) as run:
        SAMPLE.get(page.name, waiting)(run)
        for block in page.blocks():
            if not NEEDS_BROKER.search(block.text):
                run.run(block)


@pytest.mark.parametrize("page", WITH_BROKER, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_with_a_broker(
    page: Page, opened: Opened, make_database: Callable[[str], str], store: str, kafka: str
) -> None:
    at = {"KAFKA_TOPIC": f"test.{uuid4().hex}"}
    if page.name not in SELF_CONTAINED:
        at["KAFKA_SERVERS"] = kafka
    with opened(page, make_database(store), **at) as run:
        run.broker = kafka
        bus = f"MEMORY_KAFKA_SERVERS={kafka} memory"
        run.shell("topics", [f"{bus} topics create --replication 1 --partitions 1"])
        if "memory dead-letters" in page.text:
            set_aside(kafka, at["KAFKA_TOPIC"])
            run.shell("dead letters", [f"{bus} ingest --drain"])
            upgrade(run.variables["MEMORY_DATABASE_URL"])
        for block in up_to_the_last_that_needs_a_broker(page):
            if "after=receipt" in block.text and not run.background:
                run.start("memory ingest", "memory extract --follow")
            run.run(block)


def up_to_the_last_that_needs_a_broker(page: Page) -> list[Block]:
    blocks = page.blocks()
    return blocks[: 1 + max(n for n, b in enumerate(blocks) if NEEDS_BROKER.search(b.text))]


def set_aside(kafka: str, topic: str) -> None:
    """Eleven messages of a version that nobody knows, and one as the mapping of docs reads it."""
    unknown = [
        {"v": 99, "id": f"x-{n}", "tenant": "acme", "user": "ana", "session": "wednesday",
         "content": "Hello.", "occurred_at": "2026-03-04T09:00:00Z"}
        for n in range(11)
    ]  # fmt: skip
    foreign = {
        "event_id": "e-1", "customer": {"id": "ana"}, "sender": "customer",
        "messages": [{"text": "Hello."}], "ts": 1_772_438_400_000, "meta": {"channel": "mail"},
    }  # fmt: skip
    producer = KafkaProducer(bootstrap_servers=kafka)
    for message in (*unknown, foreign):
        value, headers = json.dumps(message).encode(), [("conversation", b"c-1")]
        producer.send(topic, value, key=b'["acme","ana"]', headers=headers)
    producer.flush()
    producer.close()


def upgrade(url: str) -> None:
    """Lets this release read what it could not, as the next one might."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "UPDATE memory.dead_letters SET value = convert_to("
            " replace(convert_from(value, 'UTF8'), '\"v\": 99', '\"v\": 1'), 'UTF8')"
        )


def test_what_cannot_run_stands_in_a_short_list_and_is_shown_somewhere() -> None:
    shown = {
        cannot_run(command.text)
        for page in RUN
        for block in page.blocks()
        if block.language == "console"
        for command in console(block)
    }
    assert CANNOT_RUN.keys() <= shown
    assert len(CANNOT_RUN) <= 10


@pytest.fixture
def run(opened: Opened, url: str) -> Iterator[PageRun]:
    with opened(Page("README.md"), url) as opening:
        yield opening


def block(language: str, text: str) -> Block:
    return Block("README.md", 1, language, text)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("console", "$ memory recall dogs\n"),
        ("console", "$ memory recall dogs --user ana\nfact  Has a cat\n"),
        ("console", "memory recall dogs --user ana\n"),
        ("python", "MemoryClient()\n"),
        ("json", '{"a": 1} {\n'),
        ("toml", "a = \n"),
        ("sql", "SELECT nothing\n"),
        ("ruby", "puts 1\n"),
        ("", "$ memory status\n"),
        ("console", "$ pip install 'experiential-memory[nonsense]'\n"),
        ("console", "$ make nonsense\n"),
        ("console", "$ python -m benchmarks.recall --nonsense\n"),
    ],
)
def test_a_block_that_is_wrong_is_noticed(run: PageRun, language: str, text: str) -> None:
    wrong = (AssertionError, NameError, ValueError, psycopg.Error, subprocess.CalledProcessError)
    with pytest.raises((*wrong, SystemExit)):
        run.run(block(language, text))


def test_a_page_is_one_shell_and_one_namespace(run: PageRun) -> None:
    run.run(
        block("console", "$ export MEMORY_TENANT='a\nb'\n$ echo $MEMORY_TENANT # as said\na b\n")
    )
    run.run(block("console", "$ echo took 1.5 s, $MEMORY_TENANT\ntook 2.7 s, a…\n"))
    run.run(block("python", "from io import StringIO\nwith StringIO('kept') as file:\n    x = 1\n"))
    run.run(block("python", "    read = file.read()\n"))
    assert (run.names["x"], run.names["read"]) == (1, "kept")
