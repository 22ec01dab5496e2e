"""What servers of models really do, over HTTP: how answers come wrapped, what they refuse, why not.

Each behaviour is one that a server was seen to have; `tests/chat.py` imitates it.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import product
from random import Random
from typing import Any

import psycopg
import pytest
from anyio.from_thread import start_blocking_portal
from pydantic import BaseModel

from consumers.extraction import Worker
from consumers.extraction.derivation import Page, remaining
from consumers.extraction.leases import UserFilter, upgrade
from consumers.generations.registry import fallback_sessions
from consumers.operations.status import Status, read_status
from extractors.episodes import Episodes
from extractors.language_model.answer_text import LONGEST, read_answer
from extractors.language_model.asking import create_asker
from extractors.language_model.endpoint import RetryPolicy
from extractors.language_model.extractor import LanguageModel
from extractors.language_model.ledger import FallbackReading
from extractors.language_model.prompts import prompts
from extractors.language_model.reasons import Reason
from extractors.protocol import Extractor
from memory.client import MemoryClient
from memory.database import Database, DatabaseRole
from memory.errors import ModelFailed
from memory.models import MemoryKind, ModelTask, Scope
from memory.settings import Settings
from tests.chat import Chat, Fault, refusing, serving
from tests.conftest import Extraction, WordEmbedder
from tests.replaying import opened
from tests.test_language_model import ANA, SAID, fact, lives, outcomes
from tests.test_language_model import facts as said_facts

QUICK = RetryPolicy(answer=5.0, attempts=3, first_wait=0.01, longest_wait=1.0)
IMPATIENT = replace(QUICK, answer=0.2, attempts=1)
"""For servers that hang: one request, and no long wait for it."""


@pytest.fixture
def chat() -> Iterator[Chat]:
    with serving(lives) as chat:
        yield chat


@dataclass
class Asking:
    """Makes workers that ask the scripted server; each has learned nothing of it yet."""

    make: Callable[..., Extraction]
    chat: Chat
    count: int = 0

    def __call__(self, patience: RetryPolicy = QUICK, **changes: Any) -> Extraction:
        self.count += 1
        name = {"model": f"openai:scripted-{self.count}"}
        return self.make(patience, **{**name, **changes})


@pytest.fixture
def asking(settings: Settings, url: str, embedder: WordEmbedder, chat: Chat) -> Iterator[Asking]:
    with start_blocking_portal() as portal:
        database = Database(settings, url, DatabaseRole.WORKER)
        with portal.wrap_async_context_manager(database):

            def make(patience: RetryPolicy, **changes: Any) -> Extraction:
                given = {**settings.model_dump(), **chat.settings(), **changes}
                chosen = Settings.model_validate(given)
                asker = create_asker(ModelTask.EXTRACT, chosen, patience)
                assert asker is not None
                readers: list[Extractor] = [Episodes(), LanguageModel(asker)]
                return Extraction(portal, Worker(database, embedder, readers, chosen))

            yield Asking(make, chat)


def facts(client: MemoryClient, scope: Scope = ANA) -> list[tuple[str | None, str]]:
    """The values of the user's facts, and who read them."""
    found = client.history(scope, kinds=[MemoryKind.FACT])
    return [(memory.value, memory.provenance.extractor) for memory in found]


def visits(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Reads "I visited X" off the new turns."""
    places = {turn["n"]: turn["text"].split()[-1] for turn in turns}
    return said_facts(
        *(
            fact(n, f"I visited {place}", f"Visited {place}", attribute="visited", value=place)
            for n, place in places.items()
        )
    )


def episodes(client: MemoryClient, scope: Scope = ANA) -> int:
    return len(client.history(scope, kinds=[MemoryKind.EPISODE]))


def one_call(connection: psycopg.Connection) -> tuple[Any, ...]:
    """Outcome, reason, detail and requests of the only call."""
    rows = connection.execute("SELECT outcome, reason, detail, requests FROM model_calls")
    (row,) = rows.fetchall()
    return tuple(row)


def status_of(extraction: Extraction) -> Status:
    read = partial(read_status, extraction.worker.database, "northwind", language="english")
    return extraction.portal.call(read)


def fenced(said: str) -> str:
    return f"```json\n{said}\n```"


def in_prose(said: str) -> str:
    return f'Here is the JSON {{as "asked"}}:\n{said}\nI hope that helps.'


def thought(said: str) -> str:
    return f'<think>The user says {{"where": "Munich"}}. So a fact.</think>\n\n{said}'


def half_a_tag(said: str) -> str:
    return f"So the person lives in Munich.\n</think>\n{said}"


WRAPPED = {
    "fence": Fault(wrap=fenced),
    "prose": Fault(wrap=in_prose),
    "think": Fault(wrap=thought),
    "a closing tag alone": Fault(wrap=half_a_tag),
    "think and fence": Fault(wrap=lambda said: thought(fenced(said))),
    "reasoning_content": Fault(moved=True),
    "reasoning_content with prose": Fault(moved=True, wrap=in_prose),
    "twice the same": Fault(wrap=lambda said: f"{said}\n\nAgain:\n{fenced(said)}"),
}

REFUSALS = {
    # what a server takes none of, and what the call's detail then says
    "temperature": (["temperature"], "without temperature"),
    "max_tokens": (["max_tokens"], "with max_completion_tokens"),
    "no limit at all": (["max_tokens", "max_completion_tokens"], "without a limit of tokens"),
    "sizes in the schema": (["bounds"], "with json_schema without limits"),
    "json_schema": (["json_schema"], "with json_object"),
    "any response_format": (["response_format"], "with no response_format"),
    "all of it": (
        ["temperature", "max_tokens", "max_completion_tokens", "response_format"],
        "without temperature; without a limit of tokens; with no response_format",
    ),
}

FAILURES = {
    # what the server says, always: the outcome, the reason, and the requests sent
    "a closed account": (
        Fault(402, message="Insufficient Balance"), "unavailable", "quota_spent", 1,
    ),
    "a spent quota": (
        Fault(429, code="insufficient_quota", message="You exceeded your current quota"),
        "unavailable", "quota_spent", 1,
    ),
    "a rate": (Fault(429), "unavailable", "rate_limited", 3),
    "loading": (Fault(503, message="Loading model"), "unavailable", "loading", 3),
    "overload": (Fault(500), "unavailable", "overloaded", 3),
    "a short context": (
        Fault(400, message="request (9000 tokens) exceeds the available context size (4096)"),
        "rejected", "too_long", 1,
    ),
    "an answer that the server cannot read": (
        Fault(500, message="The model produced output that does not match the expected format"),
        "unusable", "unreadable", 1,
    ),
    "another refusal": (Fault(400, message="no"), "rejected", "unsupported", 1),
    "no choices": (Fault(body={"choices": []}), "rejected", "no_chat", 1),
    "an error that calls itself a success": (
        Fault(message="out of memory", body={"error": {"message": "out of memory"}}),
        "rejected", "no_chat", 1,
    ),
    "another service": (Fault(body="<html>"), "rejected", "no_chat", 1),
    "a refusal": (Fault(refusal="I cannot help"), "refused", "declined", 1),
    "a filter": (Fault(finish="content_filter"), "refused", "filtered", 1),
    "a filtered request": (Fault(400, code="content_filter"), "refused", "filtered", 1),
    "cut off": (Fault(content='{"facts": [', finish="length"), "unusable", "cut_off", 2),
    "cut off in its reasoning": (
        Fault(content="<think>So the person", finish="length"), "unusable", "cut_off", 2,
    ),
    "nothing": (Fault(content=""), "unusable", "empty", 2),
    "prose alone": (Fault(content="They live in Munich."), "unusable", "unreadable", 2),
    "another schema": (Fault(content='{"facts": 7}'), "unusable", "wrong_schema", 2),
}  # fmt: skip


class TestAnswers:
    @pytest.mark.parametrize("name", WRAPPED)
    def test_an_answer_is_found_where_it_stands(
        self,
        name: str,
        client: MemoryClient,
        asking: Asking,
        chat: Chat,
        superuser: psycopg.Connection,
    ) -> None:
        chat.faults = [WRAPPED[name]]
        client.record(ANA, "I live in Munich", id="m1", occurred_at=SAID)
        asking().drain()
        assert facts(client) == [("munich", "language_model")]
        outcome, reason, detail, requests = one_call(superuser)
        assert (outcome, reason, requests) == ("answered", None, 1)
        assert detail.startswith("the answer stood in")
        # The object alone is kept, and serves again without a request.
        (kept,) = superuser.execute("SELECT answer FROM model_answers").fetchone() or ()
        assert json.loads(kept)["facts"][0]["value"] == "Munich"

    def test_an_answer_in_typed_parts_is_read(
        self, client: MemoryClient, asking: Asking, chat: Chat
    ) -> None:
        def parts(said: str) -> list[dict[str, Any]]:
            thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "So: {}"}]}
            return [thinking, {"type": "text", "text": said}]

        chat.faults = [Fault(wrap=parts)]
        client.record(ANA, "I live in Munich", occurred_at=SAID)
        asking().drain()
        assert facts(client) == [("munich", "language_model")]

    def test_two_objects_that_differ_are_not_read(
        self,
        client: MemoryClient,
        asking: Asking,
        chat: Chat,
        superuser: psycopg.Connection,
    ) -> None:
        nothing = json.dumps({"facts": [], "preferences": [], "procedures": []})
        chat.faults = [Fault(wrap=lambda said: f"{nothing} or {said}")]
        client.record(ANA, "I live in Munich", id="m1", occurred_at=SAID)
        asking().drain()
        assert one_call(superuser)[:2] == ("repaired", "unreadable")
        assert facts(client) == [("munich", "language_model")]

    def test_a_hostile_text_is_read_in_bounded_time(self) -> None:
        class Answer(BaseModel):
            words: str

        for text in (
            "{" * LONGEST,
            '{"a":' * LONGEST,
            '{"words": "' * LONGEST,
            "<think>" * LONGEST,
            "[" * LONGEST + '{"words": 1}',
        ):
            assert read_answer(text, "", Answer).answer is None
        found = read_answer('{"a": {"b"' * 20 + ' {"words": "x"}', "", Answer)
        assert found.answer is None or found.answer == Answer(words="x")


class TestRefusedParameters:
    @pytest.mark.parametrize("name", REFUSALS)
    def test_a_parameter_is_given_up_once_and_for_the_process(
        self,
        name: str,
        client: MemoryClient,
        asking: Asking,
        chat: Chat,
        superuser: psycopg.Connection,
    ) -> None:
        parameters, detail = REFUSALS[name]
        chat.refuses = refusing(*parameters)
        client.record(ANA, "I live in Munich", id="m1", occurred_at=SAID)
        extraction = asking()
        extraction.drain()
        assert facts(client) == [("munich", "language_model")]
        outcome, reason, said, requests = one_call(superuser)
        assert (outcome, reason, said, requests) == ("answered", None, detail, len(chat.seen))
        before = len(chat.seen)
        client.record(ANA.in_session("s2"), "I live in Rome", id="m2", occurred_at=SAID)
        extraction.drain()
        assert len(chat.seen) == before + 1
        assert outcomes(superuser) == ["answered", "answered"]

    @pytest.mark.parametrize(
        ("fault", "detail"),
        [
            (Fault(422, message='{"loc": ["body", "temperature"]}'), "without temperature"),
            (Fault(400, param="temperature"), "without temperature"),
            (Fault(400, body={"error": "no temperature, please"}), "without temperature"),
            (
                Fault(422, body={"detail": [{"loc": ["body", "temperature"]}]}),
                "without temperature",
            ),
            (Fault(400, message="'max_tokens' is too large: 4096"), "with max_completion_tokens"),
            (Fault(500, message="failed to parse grammar"), "with json_schema without limits"),
            (Fault(501, message="response_format: no"), "with json_schema without limits"),
        ],
    )
    def test_each_way_of_refusing_is_understood(
        self,
        fault: Fault,
        detail: str,
        client: MemoryClient,
        asking: Asking,
        chat: Chat,
        superuser: psycopg.Connection,
    ) -> None:
        chat.faults = [fault]
        client.record(ANA, "I live in Munich", occurred_at=SAID)
        asking().drain()
        assert one_call(superuser) == ("answered", None, detail, 2)

    @pytest.mark.parametrize(
        "refuses",
        [
            bool,
            lambda asked: "max_tokens" in asked or "max_completion_tokens" in asked,
        ],
        ids=["whatever it is sent", "a limit"],
    )
    def test_what_is_refused_of_one_session_is_sent_with_the_next(
        self,
        refuses: Callable[[dict[str, Any]], bool],
        client: MemoryClient,
        asking: Asking,
        chat: Chat,
    ) -> None:
        def refuse(asked: dict[str, Any]) -> Fault | None:
            if "Rome" not in json.dumps(asked["messages"]) or not refuses(asked):
                return None
            limit = next((name for name in asked if name.endswith("_tokens")), "response_format")
            told = f"{limit!r} is too large: 4096. This model's maximum context length is 4097"
            return Fault(400, message=told)

        chat.refuses = refuse
        client.record(ANA, "I live in Rome", id="m1", occurred_at=SAID)
        extraction = asking()
        extraction.drain()
        client.record(
            Scope("northwind", "eve", session="s"), "I live in Munich", id="m2", occurred_at=SAID
        )
        extraction.drain()
        first, *between, last = chat.seen
        assert between
        assert "Munich" in json.dumps(last["messages"])
        assert last.keys() == first.keys()
        assert last["response_format"] == first["response_format"]

    def test_a_server_without_schemas_is_shown_the_schema(
        self, client: MemoryClient, asking: Asking, chat: Chat
    ) -> None:
        chat.refuses = refusing("json_schema")
        client.record(ANA, "I live in Munich", occurred_at=SAID)
        asking().drain()
        shown = [asked["messages"][0]["content"] for asked in chat.seen]
        assert ["single_valued" in s and '"required"' in s for s in shown] == [False, False, True]
        assert chat.seen[-1]["response_format"] == {"type": "json_object"}

    def test_an_answer_is_bounded(self, client: MemoryClient, asking: Asking, chat: Chat) -> None:
        client.record(ANA, "I live in Munich", occurred_at=SAID)
        asking(model_answer_tokens=900).drain()
        (asked,) = chat.seen
        assert asked["max_tokens"] == 900
        schema = asked["response_format"]["json_schema"]["schema"]
        assert schema["properties"]["facts"]["maxItems"] == 24
        assert schema["$defs"]["Proposal"]["properties"]["text"]["maxLength"] == 500


@pytest.mark.parametrize("name", prompts())
def test_a_prompt_tells_every_field_to_models_that_never_read_the_schema(name: str) -> None:
    prompt = prompts()[name]
    parts = [prompt.schema, *prompt.schema["$defs"].values()]
    for field, told in ((f, t) for part in parts for f, t in part["properties"].items()):
        assert f'- "{field}": ' in prompt.text
        assert told["description"] in prompt.text


class TestReasons:
    @pytest.mark.parametrize("name", FAILURES)
    def test_a_failure_leaves_its_reason_and_a_mark(
        self,
        name: str,
        client: MemoryClient,
        asking: Asking,
        chat: Chat,
        superuser: psycopg.Connection,
    ) -> None:
        fault, *expected = FAILURES[name]
        chat.faults = [fault] * 10
        client.record(ANA, "I live in Munich", id="m1", occurred_at=SAID)
        extraction = asking()
        assert extraction.drain().fallbacks == 1
        outcome, reason, detail, requests = one_call(superuser)
        assert [outcome, reason, requests] == expected
        assert fault.message == "scripted" or fault.message in detail
        assert (facts(client), episodes(client)) == ([("munich", "statements")], 1)
        models = status_of(extraction).models
        assert [(f.reason, f.calls) for f in models.failures] == [(reason, 1)]
        assert models.failures[0].advice == Reason(reason).advice
        assert [(f.generation, f.reason, f.sessions) for f in models.fallbacks] == [
            ("first", reason, 1)
        ]

    def test_a_refused_key_is_recorded_before_the_worker_stops(
        self, client: MemoryClient, asking: Asking, chat: Chat, superuser: psycopg.Connection
    ) -> None:
        chat.faults = [Fault(401, message="bad key")]
        client.record(ANA, "I live in Munich", occurred_at=SAID)
        with pytest.raises(Exception, match="MEMORY_OPENAI_API_KEY"):
            asking().drain()
        assert one_call(superuser)[:2] == ("rejected", "key_refused")
        assert episodes(client) == 1

    def test_a_server_that_is_away_says_so(
        self, client: MemoryClient, asking: Asking, superuser: psycopg.Connection
    ) -> None:
        client.record(ANA, "I live in Munich", occurred_at=SAID)
        asking(openai_base_url="http://127.0.0.1:9/v1").drain()
        assert one_call(superuser)[:2] == ("unavailable", "unreachable")

    def test_turns_that_do_not_fit_the_context_are_read_in_parts(
        self, client: MemoryClient, asking: Asking, chat: Chat, superuser: psycopg.Connection
    ) -> None:
        def refuse(asked: dict[str, Any]) -> Fault | None:
            long = asked["messages"][1]["content"].count("I live in") > 3
            told = "This model's maximum context length is 4096 tokens"
            return Fault(400, code="context_length_exceeded", message=told) if long else None

        chat.refuses = refuse
        for n in range(12):
            client.record(ANA, f"I live in City{n}", id=f"m{n}", occurred_at=SAID)
        assert asking().drain().fallbacks == 0
        assert {maker for _, maker in facts(client)} == {"language_model"}
        assert {reason for (reason,) in superuser.execute("SELECT reason FROM model_calls")} == {
            None,
            "too_long",
        }


class TestTime:
    def test_a_server_that_hangs_delays_one_session_and_no_other(
        self, client: MemoryClient, asking: Asking, chat: Chat, superuser: psycopg.Connection
    ) -> None:
        chat.faults = [Fault(hang=True)] * 50
        for n in range(5):
            client.record(Scope("northwind", f"user{n}", session="s"), "I live in Munich")
        assert asking(IMPATIENT).drain().fallbacks == 5
        assert len(chat.seen) == 1
        reasons = superuser.execute("SELECT reason FROM model_calls ORDER BY called_at").fetchall()
        assert [reason for (reason,) in reasons] == ["timed_out", *["paused"] * 4]

    def test_a_session_has_one_total_time(
        self, client: MemoryClient, asking: Asking, chat: Chat, superuser: psycopg.Connection
    ) -> None:
        chat.faults = [Fault(hang=True)] * 50
        client.record(ANA, "I live in Munich", occurred_at=SAID)
        patient = replace(QUICK, answer=None, attempts=50)
        asking(patient, model_session_seconds=1.0).drain()
        outcome, reason, *_ = one_call(superuser)
        assert outcome == "unavailable"
        assert reason in ("timed_out", "out_of_time")
        assert len(chat.seen) <= 2

    def test_all_tasks_leave_a_model_alone_that_hangs(
        self, client: MemoryClient, asking: Asking, chat: Chat, settings: Settings
    ) -> None:
        chat.faults = [Fault(hang=True)] * 50
        client.record(ANA, "I live in Munich", occurred_at=SAID)
        extraction = asking(IMPATIENT)
        given = {**settings.model_dump(), **chat.settings(), "model": "openai:scripted-1"}
        other = create_asker(ModelTask.SUMMARISE, Settings.model_validate(given), IMPATIENT)
        assert other is not None
        extraction.drain()
        prompt = prompts()["summarise"]
        with pytest.raises(ModelFailed) as failed:
            extraction.portal.call(other.ask, ANA, prompt, prompt.answer, "TURNS:")
        assert (failed.value.reason, len(chat.seen)) == ("paused", 1)

    def test_models_share_a_sessions_time(
        self, client: MemoryClient, asking: Asking, chat: Chat, superuser: psycopg.Connection
    ) -> None:
        chat.refuses = lambda asked: Fault(hang=True) if asked["model"] == "slow" else None
        client.record(ANA, "I live in Munich", occurred_at=SAID)
        patience = replace(QUICK, answer=None, attempts=1)
        both = {"model": "openai:slow,openai:quick", "model_session_seconds": 4.0}
        assert asking(patience, **both).drain().fallbacks == 0
        assert outcomes(superuser) == ["unavailable", "answered"]
        assert facts(client) == [("munich", "language_model")]

    def test_episodes_can_be_recalled_before_the_model_answers(
        self, client: MemoryClient, asking: Asking, chat: Chat
    ) -> None:
        seen: list[int] = []

        def answer(turns: list[dict[str, Any]]) -> dict[str, Any]:
            seen.append(episodes(client))
            return lives(turns)

        chat.answer = answer
        client.record(ANA, "I live in Munich", occurred_at=SAID)
        asking().drain()
        assert seen == [1]
        assert (facts(client), episodes(client)) == ([("munich", "language_model")], 1)


class TestUpgrade:
    def test_a_replay_says_what_it_read_without_the_model(
        self,
        client: MemoryClient,
        settings: Settings,
        url: str,
        embedder: WordEmbedder,
        chat: Chat,
    ) -> None:
        given = {**settings.model_dump(), **chat.settings(), "model": "openai:replayed"}
        chosen = Settings.model_validate(given)
        asker = create_asker(ModelTask.EXTRACT, chosen, QUICK)
        assert asker is not None
        client.record(ANA, "I live in Munich", occurred_at=SAID)
        with opened(chosen, url, embedder, [Episodes(), LanguageModel(asker)]) as house:
            house.drain()
            chat.faults, shadow = [Fault(refusal="no")], ["episodes", "language_model"]
            client.record(ANA.in_session("s2"), "I live in Rome", occurred_at=SAID)
            house.drain()
            chat.faults = [Fault(refusal="no")]
            assert house.replay("next", shadow).fallbacks == 1
            counted = house.portal.call(fallback_sessions, house.database)
            assert counted == {"first": 1, "next": 1}
            house.portal.call(upgrade, house.database, UserFilter("northwind"))
            house.drain()
            done = house.replay("next", shadow)
            assert (done.users, done.fallbacks) == (1, 0)
            assert house.portal.call(fallback_sessions, house.database) == {}

    def test_what_the_patterns_read_is_read_again(
        self, client: MemoryClient, asking: Asking, chat: Chat, superuser: psycopg.Connection
    ) -> None:
        chat.faults = [Fault(402)]
        client.record(ANA, "I live in Munich", id="m1", occurred_at=SAID)
        extraction = asking()
        extraction.drain()
        client.record(ANA.in_session("s2"), "I live in Rome", id="m2", occurred_at=SAID)
        asking().drain()
        assert sorted(facts(client)) == [("munich", "statements"), ("rome", "language_model")]
        done = extraction.portal.call(upgrade, extraction.worker.database, UserFilter())
        assert (done.sessions, done.summaries) == (1, 0)
        again = asking()
        assert again.drain().fallbacks == 0
        assert sorted(facts(client)) == [("munich", "language_model"), ("rome", "language_model")]
        assert (episodes(client), status_of(again).models.fallbacks) == (2, ())
        done = extraction.portal.call(upgrade, extraction.worker.database, UserFilter())
        assert done.sessions == 0

    def test_a_model_that_is_still_away_leaves_the_mark(
        self, client: MemoryClient, asking: Asking, chat: Chat
    ) -> None:
        chat.faults = [Fault(402)] * 2
        client.record(ANA, "I live in Munich", id="m1", occurred_at=SAID)
        extraction = asking()
        extraction.drain()
        extraction.portal.call(upgrade, extraction.worker.database, UserFilter("northwind", "ana"))
        again = asking()
        assert again.drain().fallbacks == 1
        assert facts(client) == [("munich", "statements")]
        assert [f.sessions for f in status_of(again).models.fallbacks] == [1]

    def test_only_what_was_missed_of_a_long_session_is_read_again(
        self, client: MemoryClient, asking: Asking, chat: Chat, superuser: psycopg.Connection
    ) -> None:
        def refuse(asked: dict[str, Any]) -> Fault | None:
            _, _, new = asked["messages"][1]["content"].partition("NEW:")
            return Fault(400, message="no") if "City40" in new else None

        chat.refuses, chat.answer = refuse, visits
        for n in range(72):
            client.record(ANA, f"I visited City{n}", id=f"m{n}", occurred_at=SAID)
        extraction = asking()
        assert extraction.drain().fallbacks == 1
        row = superuser.execute(
            "SELECT fallback_from, fallback_through FROM session_progress WHERE session_id = 's1'"
        ).fetchone()
        assert row == (25, 48)
        chat.refuses, asked = lambda _: None, len(chat.seen)
        extraction.portal.call(upgrade, extraction.worker.database, UserFilter())
        assert asking().drain().fallbacks == 0
        found = client.history(ANA, kinds=[MemoryKind.FACT])
        assert {memory.provenance.extractor for memory in found} == {"language_model"}
        assert {memory.value for memory in found} == {f"city{n}" for n in range(72)}
        assert len(chat.seen) <= asked + 2

    @pytest.mark.parametrize(
        ("before", "found", "left"),
        [
            (None, [], None),
            (None, [(11, 12)], (11, 12)),
            (None, [(11, 12), (15, 20)], (11, 20)),
            ((11, 20), [], None),
            ((5, 15), [], (5, 10)),
            ((15, 25), [], (21, 25)),
            ((1, 4), [(15, 16)], (1, 16)),
            ((30, 40), [], (30, 40)),
        ],
    )
    def test_a_page_read_anew_leaves_the_marks_of_others(
        self,
        before: tuple[int, int] | None,
        found: list[tuple[int, int]],
        left: tuple[int, int] | None,
    ) -> None:
        page = Page((), (), through=20, again=True, after=10)
        marked = FallbackReading(*before, "empty") if before else None
        parts = [FallbackReading(*part, "empty") for part in found]
        rest = remaining(marked, page, parts)
        assert (rest and (rest.first, rest.last)) == left


WRAPS: dict[str, Callable[[str], str]] = {
    "": str, "fence": fenced, "prose": in_prose, "think": thought,
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One of the crossed behaviours of a server."""

    wrap: str
    moved: bool
    refused: tuple[str, ...]
    late: str
    cut_off: bool

    @property
    def odd(self) -> bool:
        return any((self.wrap, self.moved, self.refused, self.late == "hangs", self.cut_off))

    def fault(self) -> Fault:
        wrap = WRAPS[self.wrap]
        return Fault(
            wrap=(lambda said: wrap(said).partition('"tense"')[0]) if self.cut_off else wrap,
            finish="length" if self.cut_off else "stop",
            moved=self.moved,
            seconds=0.02 if self.late == "late" else 0.0,
            hang=self.late == "hangs",
        )


def cases(count: int) -> list[Case]:
    """Every crossing is as likely as another; the same ones each time."""
    refused = [
        (),
        ("temperature",),
        ("max_tokens",),
        ("json_schema",),
        ("response_format", "bounds"),
    ]
    lateness = ["", "late", "hangs"]
    crossed = product(WRAPS, [False, True], refused, lateness, [False, True])
    return Random(12).sample([Case(*each) for each in crossed], count)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_crossing_of_behaviours_sets_a_session_aside(
    client: MemoryClient, asking: Asking, chat: Chat, superuser: psycopg.Connection
) -> None:
    for n, case in enumerate(cases(200)):
        chat.refuses, chat.faults = refusing(*case.refused), [case.fault()] * 10
        scope = Scope("northwind", f"user{n}", session="s")
        client.record(scope, "I live in Munich", occurred_at=datetime(2023, 5, 8, tzinfo=UTC))
        done = asking(IMPATIENT if case.late == "hangs" else QUICK).drain()
        assert done.failures == 0, case
        assert episodes(client, scope) == 1, case
        row = superuser.execute(
            "SELECT p.set_aside_at, p.fallback_reason, c.outcome, c.reason, c.detail"
            " FROM session_progress p JOIN model_calls c USING (tenant_id, user_id)"
            " WHERE user_id = %s",
            [scope.user],
        ).fetchone()
        assert row is not None
        set_aside, fallback, outcome, reason, detail = row
        usable = outcome in ("answered", "repaired")
        assert usable != (case.late == "hangs" or case.cut_off), case
        assert facts(client, scope) == [("munich", "language_model" if usable else "statements")], (
            case
        )
        assert (set_aside, fallback) == (None, None if usable else reason), case
        assert bool(reason or detail) == case.odd, case
