"""Summaries by a model over a real HTTP server: told with evidence, or the session's own words."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from consumers.extraction.leases import UserFilter, upgrade
from extractors.language_model.extractor import TURN_CHARACTERS
from extractors.language_model.prompts import prompts
from extractors.summaries.abstractive import MOST_CHARACTERS
from memory.client import MemoryClient
from memory.models import Memory, MemoryKind, Scope
from memory.settings import Settings
from tests.chat import Chat, Fault, serving
from tests.compacting import TENANT, compactor
from tests.conftest import Verbatim, WordEmbedder
from tests.replaying import opened

ANA = Scope(TENANT, "ana", session="monday")
SAID = datetime(2023, 5, 8, 12, tzinfo=UTC)
SHORTLIST = "The shortlist for the bank is due on Friday."
OFFER = "I will draft the offer letter for Bram."
BROKEN = Fault(content='{"sentences": [')


def sentence(text: str, *quotes: tuple[int, str]) -> dict[str, Any]:
    return {"text": text, "quotes": [{"turn": turn, "words": words} for turn, words in quotes]}


GOOD = sentence("Ana's shortlist is due on Friday.", (1, "shortlist for the bank"), (1, "Friday"))
INVENTED = sentence("Ana is moving the shortlist to June.", (1, "shortlist moves to June"))
ASSISTANT = sentence("The assistant drafts the offer letter.", (2, "draft the offer letter"))


@pytest.fixture
def chat() -> Iterator[Chat]:
    with serving(lambda _: {"sentences": [GOOD, INVENTED, ASSISTANT]}) as chat:
        yield chat


@pytest.fixture
def closing(
    client: MemoryClient,
    settings: Settings,
    embedder: WordEmbedder,
    chat: Chat,
    superuser: psycopg.Connection,
) -> Callable[..., Memory]:
    """Closes a session of two turns, and gives its summary."""

    def close(scope: Scope = ANA, **changes: Any) -> Memory:
        chosen = Settings.model_validate({**settings.model_dump(), **chat.settings(), **changes})
        before = {memory.id for memory in client.history(scope)}
        client.record(scope, SHORTLIST, id=f"{scope.session}-1", occurred_at=SAID)
        client.record(scope, OFFER, id=f"{scope.session}-2", role="assistant", occurred_at=SAID)
        superuser.execute("UPDATE sessions SET expires_at = now() - interval '1 second'")
        (report,) = compactor(chosen, embedder)("sessions")
        assert report.changed == {"sessions closed": 1, "summaries": 1}
        summaries = client.history(scope, kinds=[MemoryKind.SUMMARY])
        (summary,) = (memory for memory in summaries if memory.id not in before)
        return summary

    return close


def calls(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT task, prompt, outcome, kept, refused FROM model_calls ORDER BY called_at"
    ).fetchall()


def test_a_model_tells_it_and_quotes_what_each_sentence_rests_on(
    client: MemoryClient, closing: Callable[..., Memory], superuser: psycopg.Connection
) -> None:
    summary = closing()
    assert summary.text == f"{GOOD['text']} {ASSISTANT['text']}"  # and not what was invented
    made, prompt = summary.provenance, prompts()["summarise"]
    assert (made.extractor, made.model) == ("summaries", "scripted")
    assert (made.prompt, made.prompt_version) == ("summarise", prompt.version)
    assert made.prompt_hash == prompt.hash
    found = client.explain(ANA, summary.id).evidence
    assert {(e.interaction_id, e.quote) for e in found} == {
        ("monday-1", "shortlist for the bank"),
        ("monday-1", "Friday"),
        ("monday-2", "draft the offer letter"),
    }
    assert calls(superuser) == [("summarise", "summarise", "answered", 2, {"invented": 1})]


@pytest.mark.parametrize(
    ("faults", "answer", "outcome", "reason"),
    [
        ([], {"sentences": [INVENTED]}, "answered", "ungrounded"),
        ([], {"sentences": [sentence("Ana owns a yacht.", (1, "Friday"))]}, "answered",
         "ungrounded"),
        ([], {"sentences": [sentence("The shortlist has 7 names.", (1, "The shortlist"))]},
         "answered", "ungrounded"),
        ([Fault(refusal="I cannot help")], {}, "refused", "unavailable"),
        ([Fault(500)] * 4, {}, "unavailable", "unavailable"),
        ([BROKEN, BROKEN], {}, "unusable", "unusable"),
    ],
)  # fmt: skip
def test_the_sessions_own_sentences_are_kept_where_the_model_gives_none(
    faults: list[Fault],
    answer: dict[str, Any],
    outcome: str,
    reason: str,
    chat: Chat,
    closing: Callable[..., Memory],
    superuser: psycopg.Connection,
) -> None:
    chat.faults, chat.answer = list(faults), lambda _: answer
    summary = closing()
    assert SHORTLIST in summary.text
    assert (summary.provenance.prompt, summary.provenance.model) == (None, None)
    assert summary.payload["instead_of_model"] == reason
    assert [call[2] for call in calls(superuser)] == [outcome]


def test_an_upgrade_has_a_summary_written_again(
    chat: Chat,
    closing: Callable[..., Memory],
    settings: Settings,
    url: str,
    embedder: WordEmbedder,
    client: MemoryClient,
) -> None:
    chat.faults = [Fault(refusal="I cannot help")]
    assert closing().payload["instead_of_model"] == "unavailable"
    with opened(settings, url, embedder, [Verbatim()]) as house:
        done = house.portal.call(upgrade, house.database, UserFilter(TENANT))
        assert (done.sessions, done.summaries) == (0, 1)
        chosen = Settings.model_validate({**settings.model_dump(), **chat.settings()})
        compactor(chosen, embedder)("sessions")
        (summary,) = client.history(ANA, kinds=[MemoryKind.SUMMARY])
        assert summary.provenance.model == "scripted"
        done = house.portal.call(upgrade, house.database, UserFilter(TENANT))
        assert (done.sessions, done.summaries) == (0, 0)


def test_a_spent_budget_asks_nothing(
    client: MemoryClient,
    chat: Chat,
    closing: Callable[..., Memory],
    superuser: psycopg.Connection,
) -> None:
    tight = {"model_daily_budget": 0.0001}  # the first call costs 0.00012
    assert closing(**tight).provenance.model == "scripted"
    tuesday = ANA.in_session("tuesday")
    client.record(tuesday, "The insurance company interviews on Monday.", occurred_at=SAID)
    summary = closing(tuesday, **tight)
    assert SHORTLIST in summary.text
    assert summary.payload["instead_of_model"] == "budget_spent"
    assert (len(chat.seen), len(calls(superuser))) == (1, 1)


def test_summaries_alone_may_go_without_a_model(chat: Chat, closing: Callable[..., Memory]) -> None:
    summary = closing(models={"summarise": ""})
    assert SHORTLIST in summary.text
    assert "instead_of_model" not in summary.payload
    assert chat.seen == []


def test_a_session_longer_than_what_is_shown_keeps_its_own_sentences(
    client: MemoryClient, chat: Chat, closing: Callable[..., Memory]
) -> None:
    for number in range(MOST_CHARACTERS // TURN_CHARACTERS + 1):
        client.record(ANA, f"{number} " * TURN_CHARACTERS, occurred_at=SAID)
    summary = closing()
    assert SHORTLIST in summary.text
    assert summary.payload["instead_of_model"] == "too_long"
    assert chat.seen == []


def test_replay_tells_it_by_the_same_model_and_asks_nothing_anew(
    client: MemoryClient,
    settings: Settings,
    url: str,
    embedder: WordEmbedder,
    chat: Chat,
    closing: Callable[..., Memory],
    superuser: psycopg.Connection,
) -> None:
    told = closing()
    chosen = Settings.model_validate({**settings.model_dump(), **chat.settings()})
    with opened(chosen, url, embedder, [Verbatim()]) as house:
        assert house.replay().left == 0
    rows = superuser.execute(
        "SELECT generation, text, model, prompt_hash FROM memories WHERE kind = 'summary'"
        " ORDER BY generation"
    )
    made = (told.text, "scripted", prompts()["summarise"].hash)
    assert rows.fetchall() == [(1, *made), (2, *made)]
    kept = superuser.execute("SELECT generation, cached FROM model_calls ORDER BY generation")
    assert kept.fetchall() == [(1, False), (2, True)]
    assert len(chat.seen) == 1


def test_what_one_agent_alone_may_see_is_not_mixed_into_a_summary(
    client: MemoryClient, chat: Chat, closing: Callable[..., Memory]
) -> None:
    scout = Scope(TENANT, "ana", agent="scout", session="monday")
    client.record(scout, "Between us: the bank pays late.", private=True, occurred_at=SAID)
    summary = closing(scout)
    assert summary.payload["instead_of_model"] == "partly_private"
    assert chat.seen == []
