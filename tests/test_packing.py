"""Packing: what goes into a budget, what is left out, and how it reads."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memory.context.assembly import Context, Draft, Shares
from memory.context.excerpts import excerpt, stems
from memory.context.packing import ODDS
from memory.language.questions import understood
from memory.language.text import content_words, estimate_tokens
from memory.language.turns import TURNS, said_text
from memory.log.interactions import Position, WorkingMemory
from memory.models import (
    Interaction,
    InteractionKind,
    Memory,
    MemoryKind,
    Provenance,
    RecalledMemory,
    Role,
    Scope,
    Tier,
)

MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
REQUEST = "Can you help me plan the offsite?"
QUESTION = "When was the offsite?"
SMALL_TALK = "It rained all morning, so the train was late and the coffee was cold by noon"


def recalled(
    number: int,
    text: str,
    score: float,
    *,
    kind: MemoryKind = MemoryKind.FACT,
    cites: tuple[str, ...] | None = None,
    tokens: int | None = None,
    **fields: Any,
) -> RecalledMemory:
    memory = Memory(
        number,
        fields.pop("tier", Tier.LONG_TERM),
        kind,
        text,
        MONDAY + timedelta(days=number),
        Provenance("test", "1"),
        **fields,
    )
    cited = (f"i{number}",) if cites is None else cites
    return RecalledMemory(memory, score, cited, tokens or estimate_tokens(text))


def episode(
    number: int, score: float, *said: tuple[str, str], cites: tuple[str, ...] | None = None
) -> RecalledMemory:
    lines, spans, at = [], [], 0
    for speaker, words in said:
        lines.append(f"{speaker}: {words}")
        spans.append([speaker, speaker == "Assistant", at + len(speaker) + 2, at + len(lines[-1])])
        at += len(lines[-1]) + 1
    kind, payload = MemoryKind.EPISODE, {TURNS: spans}
    return recalled(number, "\n".join(lines), score, kind=kind, cites=cites, payload=payload)


def chatter(count: int, score: float) -> list[RecalledMemory]:
    return [
        episode(100 + n, score, ("User", f"{SMALL_TALK}, said number {n}")) for n in range(count)
    ]


def packed(
    question: str,
    *items: RecalledMemory,
    budget: int = 400,
    shares: Shares | None = None,
    working: WorkingMemory | None = None,
    shared: tuple[RecalledMemory, ...] = (),
) -> Context:
    draft = Draft(understood(question), estimate_tokens, budget, shares or Shares())
    best_first = sorted(items, key=lambda i: -i.score)
    draft.fill(working or WorkingMemory(), best_first, shared)
    return draft.finished(question, Position(1))


class TestWhatGoverns:
    INSTRUCTION = recalled(
        1, "Always show salary ranges in euros", -8.0, kind=MemoryKind.PREFERENCE,
        attribute="instruction", importance=0.95,
    )  # fmt: skip
    PREFERENCE = recalled(
        2, "Prefers calls before ten", -3.0, kind=MemoryKind.PREFERENCE, importance=0.8
    )

    @pytest.mark.parametrize("budget", [400, 800])
    def test_of_a_request_is_not_crowded_out_by_talk(self, budget: int) -> None:
        talk = chatter(40, 2.0)
        text = packed(REQUEST, self.INSTRUCTION, self.PREFERENCE, *talk, budget=budget).text
        assert "euros" in text
        assert "before ten" in text
        assert SMALL_TALK in text

    def test_a_few_instructions_go_in_whatever_is_asked(self) -> None:
        many = [
            replace(
                self.INSTRUCTION, memory=replace(self.INSTRUCTION.memory, id=n, text=f"Rule {n}")
            )
            for n in range(10)
        ]
        asked = packed(QUESTION, *many, *chatter(40, 2.0), budget=800)
        assert asked.sections[0].title == "Standing instructions"
        assert len(asked.sections[0].lines) == 3
        requested = packed(REQUEST, *many, *chatter(40, 2.0), budget=800)
        assert len(requested.sections[0].lines) == 10

    def test_the_more_important_of_two_goes_in_first(self) -> None:
        rules = [
            recalled(
                n, f"Rule {n} " + "and so on " * 10, 0.0, attribute="instruction", importance=i
            )
            for n, i in ((1, 0.2), (2, 0.9), (3, 0.5))
        ]
        (section,) = packed(REQUEST, *rules, budget=50, shares=Shares(0, 1, 0)).sections
        assert [line.split()[2] for line in section.lines] == ["2"]

    def test_what_holds_no_longer_does_not_govern(self) -> None:
        ended = replace(self.INSTRUCTION.memory, valid_to=MONDAY)
        past = replace(self.INSTRUCTION, memory=ended)
        assert "euros" not in packed(REQUEST, past, *chatter(5, 2.0), budget=800).text


class TestOnce:
    def test_the_same_words_cost_budget_once(self) -> None:
        twice = [recalled(n, "Lives  in Munich" if n else "lives in munich", 1.0) for n in range(2)]
        assert len(packed(QUESTION, *twice).items) == 1

    def test_a_statement_is_not_followed_by_the_words_it_was_read_from(self) -> None:
        said = episode(1, 1.0, ("User", "I live in Munich"), cites=("m1",))
        fact = recalled(2, "Lives in Munich", 2.0, cites=("m1",))
        assert [i.memory.id for i in packed(QUESTION, said, fact).items] == [2]

    def test_but_by_words_that_say_more(self) -> None:
        more = "I live in Munich now, after nine years in Porto, because my sister opened a bakery"
        said = episode(1, 1.0, ("User", more), cites=("m1",))
        fact = recalled(2, "Lives in Munich", 2.0, cites=("m1",))
        assert {i.memory.id for i in packed(QUESTION, said, fact).items} == {1, 2}

    def test_new_evidence_is_worth_more_than_more_words_on_the_old(self) -> None:
        long = "about the venue and the caterer and the bus and the rooms and the weather there"
        first = episode(1, 3.0, ("User", f"We spoke {long}"), cites=("m1", "m2"))
        again = episode(2, 2.5, ("User", f"Once more {long} again today"), cites=("m1",))
        other = episode(3, 2.0, ("User", f"The invoice {long} came"), cites=("m3",))
        chosen = packed(QUESTION, first, again, other, budget=80, shares=Shares(0, 1, 0))
        assert {i.memory.id for i in chosen.items} == {1, 3}


class TestFiller:
    def test_what_is_far_from_the_best_stays_out_of_any_budget(self) -> None:
        near = recalled(1, "The offsite was on 12 May", 4.0)
        far = recalled(2, "The cat is called Miso", 4.0 - ODDS - 0.1)
        assert [i.memory.id for i in packed(QUESTION, near, far, budget=4000).items] == [1]

    def test_small_talk_stays_out_unless_it_is_what_was_asked_about(self) -> None:
        fact = recalled(1, "The offsite was on 12 May", 4.0)
        nothing = episode(2, 3.9, ("User", "Ha, cheeky. Thanks!"))
        short = episode(3, 3.9, ("User", "Offsite? May."))
        assert {i.memory.id for i in packed(QUESTION, fact, nothing, short).items} == {1, 3}


class TestAbridging:
    FILL = "There was a long story about the harbour and the boats that came and went. " * 12
    LONG = f"{FILL}The offsite was moved to 12 May. {FILL}"

    def test_quotes_the_sentences_that_match_and_says_where_it_left_out(self) -> None:
        long = episode(1, 3.0, ("User", self.LONG), ("Assistant", self.FILL), cites=("a", "b"))
        context = packed(QUESTION, long, budget=200)
        (citation,) = context.citations
        assert citation.excerpt
        assert citation.interaction_ids == ("a", "b")
        assert "… The offsite was moved to 12 May. …" in context.text
        assert "Assistant: There was a long story" in context.text
        assert len(citation.text) < len(long.memory.text) / 2

    def test_gives_all_of_it_where_there_is_room(self) -> None:
        long = episode(1, 3.0, ("User", self.LONG))
        context = packed(QUESTION, long, budget=4000)
        assert not context.citations[0].excerpt
        assert " ".join(self.LONG.split()) in context.text

    def test_leaves_short_episodes_and_other_memories_whole(self) -> None:
        asked = stems(content_words(QUESTION))
        assert excerpt("User: Hi.", {TURNS: [["User", False, 6, 9]]}, asked, 480) is None
        assert excerpt(self.LONG, {}, asked, 480) is None

    def test_a_sentence_longer_than_the_room_is_cut(self) -> None:
        endless = "offsite " * 400
        turns = {TURNS: [["User", False, 6, 6 + len(endless)]]}
        cut = excerpt(f"User: {endless}", turns, stems(["offsite"]), 480)
        assert cut is not None
        assert len(said_text(cut)) <= 500
        assert cut[0].words.endswith(" …")


class TestReading:
    def test_sections_and_time_go_one_way(self) -> None:
        items = [
            episode(3, 1.0, ("User", "The offsite starts with a walk along the river")),
            episode(1, 2.0, ("User", "The offsite ends with a dinner at the old mill")),
            recalled(7, "How to book: call, then pay", 1.0, kind=MemoryKind.PROCEDURE),
            recalled(6, "Lives in Munich", 1.0),
            recalled(9, "Always answer briefly", 0.0, attribute="instruction"),
        ]
        shared = (recalled(5, "A morning start works", 1.0, tier=Tier.COLLECTIVE, cites=()),)
        context = packed(REQUEST, *items, shared=shared)
        assert [s.title for s in context.sections] == [
            "Standing instructions", "What is known", "How it was done",
            "From earlier conversations", "What worked for others",
        ]  # fmt: skip
        assert [i.memory.id for i in context.items] == [9, 6, 7, 1, 3, 5]

    def test_each_citation_says_what_it_is_of(self) -> None:
        fact = recalled(4, "Lives in Munich", 1.0, confidence=0.8)
        (citation,) = packed(QUESTION, fact).citations
        assert (citation.tier, citation.kind) == (Tier.LONG_TERM, MemoryKind.FACT)
        assert (citation.confidence, citation.occurred_at) == (0.8, fact.memory.occurred_at)
        assert (citation.interaction_ids, citation.text) == (("i4",), "Lives in Munich")


class TestShares:
    SHARED = tuple(
        recalled(
            n,
            f"Beginning with a walk of {n} minutes, and calls only after it, worked for most",
            1.0,
            tier=Tier.COLLECTIVE,
            cites=(),
        )
        for n in range(60, 70)
    )

    def turns(self, count: int) -> WorkingMemory:
        scope = Scope("northwind", "ana", session="s1")
        kind, role = InteractionKind.MESSAGE, Role.USER
        return WorkingMemory(
            tuple(
                Interaction(scope, f"t{n}", kind, role, f"{SMALL_TALK} {n}", MONDAY, ordinal=n)
                for n in range(1, count + 1)
            )
        )

    def tiers(self, context: Context) -> dict[Tier, int]:
        return {t: sum(i.memory.tier is t for i in context.items) for t in Tier}

    def test_a_tier_keeps_to_its_share_while_the_others_need_theirs(self) -> None:
        context = packed(
            QUESTION, *chatter(60, 1.0), working=self.turns(60), shared=self.SHARED, budget=1000
        )
        recent = estimate_tokens("\n".join(t.content for t in context.turns))
        assert 250 <= recent <= 400
        assert 1 <= self.tiers(context)[Tier.COLLECTIVE] < len(self.SHARED)
        assert self.tiers(context)[Tier.LONG_TERM] > 10

    def test_what_others_do_not_need_is_there_for_the_rest(self) -> None:
        alone = packed(QUESTION, working=self.turns(60), budget=1000)
        assert alone.tokens > 900
        own = packed(QUESTION, *chatter(60, 1.0), budget=1000)
        assert own.tokens > 900
        others = packed(QUESTION, shared=self.SHARED, budget=1000)
        assert self.tiers(others)[Tier.COLLECTIVE] == len(self.SHARED)

    def test_shares_can_be_set(self) -> None:
        def of(shares: Shares) -> tuple[int, int]:
            context = packed(
                QUESTION,
                *chatter(60, 1.0),
                working=self.turns(60),
                shared=self.SHARED,
                budget=1000,
                shares=shares,
            )
            return len(context.turns), self.tiers(context)[Tier.COLLECTIVE]

        assert of(Shares(0.8, 0.2, 0.0))[0] > of(Shares(0.2, 0.7, 0.1))[0]
        assert of(Shares(0.2, 0.4, 0.4))[1] > of(Shares(0.2, 0.7, 0.1))[1]
