"""Episodes: nothing said is lost, and batches do not matter."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extractors.episodes import MESSAGE_CHARACTERS, REPLY_CHARACTERS, create
from extractors.protocol import LOOK_BACK, LogSlice
from memory import explicit_memories
from memory.language.turns import embedded_text, turns_of
from memory.models import Candidate, Interaction, InteractionKind, MemoryKind, Role, Scope
from memory.settings import Settings

BEGAN = datetime(2026, 3, 2, 9, tzinfo=UTC)
SCOPE = Scope("acme", "ana", "scout", "s1")


def said(*turns: tuple[str, str], actors: bool = False) -> list[Interaction]:
    """Turns as (speaker, text); a speaker is a role, or with `actors` a person's name."""
    return [
        Interaction(
            scope=SCOPE,
            id=f"m{n}",
            kind=InteractionKind.MESSAGE,
            role=Role.USER if actors else Role(speaker),
            actor=speaker if actors else None,
            content=text,
            occurred_at=BEGAN + timedelta(seconds=n),
            ordinal=n,
            position=n,
        )
        for n, (speaker, text) in enumerate(turns, 1)
    ]


def extracted(messages: Sequence[Interaction], *cuts: int) -> dict[tuple[str, int], Candidate]:
    """What stands in the end, by first evidence, when the log is read in batches cut at `cuts`."""
    extractor = create(Settings())
    found: dict[tuple[str, int], Candidate] = {}
    bounds = [0, *sorted(cuts), len(messages)]
    for start, end in pairwise(bounds):
        before = messages[max(0, start - LOOK_BACK) : start]
        if messages[start:end]:
            log = LogSlice(SCOPE, messages[start:end], before)
            for candidate in asyncio.run(extractor.extract(log)):
                first = candidate.evidence[0]
                found[first.interaction_id, first.start] = candidate
    return found


def texts(messages: Sequence[Interaction]) -> list[str]:
    return [candidate.text for candidate in extracted(messages).values()]


def test_a_message_stands_with_its_reply() -> None:
    log = said(("user", "Where is it?"), ("assistant", "In Munich."), ("user", "I like Bonn."))
    assert texts(log) == ["User: Where is it?\nAssistant: In Munich.", "User: I like Bonn."]


def test_a_short_follow_up_joins_the_exchange_before_it() -> None:
    log = said(
        ("user", "Find me a role."), ("assistant", "Here is one."), ("user", "What about pay?")
    )
    assert texts(log) == ["User: Find me a role.\nAssistant: Here is one.\nUser: What about pay?"]


def test_a_standing_instruction_neither_joins_nor_is_joined() -> None:
    log = said(
        ("user", "Find me a role."),
        ("assistant", "Here."),
        ("user", "And always show pay when I ask."),
        ("assistant", "I will."),
        ("user", "And now?"),
    )
    assert texts(log) == [
        "User: Find me a role.\nAssistant: Here.",
        "User: And always show pay when I ask.\nAssistant: I will.",
        "User: And now?",
    ]


def test_a_long_reply_opens_beside_its_question_and_stands_whole_by_itself() -> None:
    reply = "First sentence of a long answer. " + "More of it follows here. " * 20
    exchange, whole = extracted(said(("user", "Why?"), ("assistant", reply))).values()
    assert exchange.text.startswith("User: Why?\nAssistant: First sentence of a long answer.")
    assert exchange.text.endswith(" …")
    assert len(exchange.evidence[1].quote) <= REPLY_CHARACTERS
    assert whole.text == f"Assistant: {reply}"
    assert embedded_text(exchange.text, exchange.payload) == "Why?"


def test_people_among_equals_are_cut_at_every_third_turn_or_where_it_gets_long() -> None:
    short = said(*[("Ann" if n % 2 else "Bob", f"turn {n}") for n in range(1, 5)], actors=True)
    assert texts(short) == ["Ann: turn 1\nBob: turn 2\nAnn: turn 3", "Bob: turn 4"]
    long = said(("Ann", "a" * 300), ("Bob", "b" * 300), actors=True)
    assert len(texts(long)) == 2


def test_the_words_are_embedded_without_the_names() -> None:
    (candidate,) = extracted(said(("Ann", "Hi!"), ("Bob", "Hello."), actors=True)).values()
    assert embedded_text(candidate.text, candidate.payload) == "Hi!\nHello."
    assert [turn.speaker for turn in turns_of(candidate.payload)] == ["Ann", "Bob"]


def test_dates_and_captions_can_be_searched() -> None:
    (message,) = said(("user", "Look!"))
    (candidate,) = extracted([replace(message, payload={"caption": "a red kite"})]).values()
    assert candidate.search_text == "2 March 2026 Monday"
    assert "a red kite" in candidate.text


def test_what_an_agent_keeps_private_joins_nothing_that_others_see() -> None:
    question, answer = said(("user", "My salary?"), ("assistant", "90,000 euros."))
    assert len(extracted([question, replace(answer, private=True)])) == 2


def test_system_text_and_asked_for_memories_make_no_episode() -> None:
    system, request = said(("system", "You are helpful."), ("user", "Works part-time"))
    request = replace(request, kind=InteractionKind.NOTE)
    assert extracted([system, request]) == {}


def test_a_request_in_a_payload_hides_no_message() -> None:
    (message,) = said(("user", "Works part-time"))
    request = replace(message, payload=explicit_memories.payload(MemoryKind.FACT))
    assert extracted([request]) != {}


words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=60)
lengths = st.sampled_from([1, 1, 1, 8, 400])
speakers = st.sampled_from(["user", "assistant"])


@settings(max_examples=60)
@given(st.lists(st.tuples(speakers, words, lengths), min_size=1, max_size=12), st.data())
def test_every_character_is_quoted_and_batches_do_not_matter(
    turns: list[tuple[str, str, int]], data: st.DataObject
) -> None:
    log = said(*[(speaker, text * times) for speaker, text, times in turns])
    whole = extracted(log)
    for message in log:
        spans = [e for c in whole.values() for e in c.evidence if e.interaction_id == message.id]
        assert all(message.content[e.start : e.end] == e.quote for e in spans)
        covered = {at for e in spans for at in range(e.start, e.end)}
        assert covered == set(range(len(message.content)))
    cuts = data.draw(st.lists(st.integers(0, len(log)), max_size=4))
    assert extracted(log, *cuts) == whole


@pytest.mark.parametrize("length", [MESSAGE_CHARACTERS, MESSAGE_CHARACTERS + 1, 30_000])
def test_a_message_too_long_for_one_vector_is_cut(length: int) -> None:
    text = ("A sentence of some words. " * (length // 26 + 1))[:length]
    found = list(extracted(said(("user", text))).values())
    assert "".join(c.evidence[0].quote for c in found) == text
    assert all(len(c.evidence[0].quote) <= MESSAGE_CHARACTERS for c in found)
