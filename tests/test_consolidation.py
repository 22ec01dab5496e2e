"""Consolidation: beliefs as a fold over assertions, whatever the order they arrive in."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.beliefs.assertions import (
    CONFIDENCE_CEILING,
    Assertion,
    Belief,
    Span,
    StoredBelief,
    Verdict,
    assertion_id,
    belief_key,
)
from memory.beliefs.consolidation import (
    Conflict,
    open_conflicts,
    revise,
    timeline,
)
from memory.beliefs.planning import Plan, plan_key, plan_standing, planned_afresh
from memory.beliefs.rows import memory_of_row
from memory.models import Candidate, Evidence, Memory, MemoryKind, Provenance, Scope, Stance

DAY_ZERO = datetime(2026, 1, 1, tzinfo=UTC)
MADE = Provenance("test", "1")
ANA = Scope("northwind", "ana")
quick = settings(max_examples=50)


def day(number: int) -> datetime:
    return DAY_ZERO + timedelta(days=number)


def said(
    value: str | None,
    on: int,
    position: int | None = None,
    *,
    learned: int | None = None,
    since: int | None = None,
    until: int | None = None,
    against: bool = False,
    single: bool = True,
    confidence: float = 0.5,
    session: str | None = None,
) -> Assertion:
    """`value` said on day `on`; the log learned of it on day `learned`."""
    position = on + 1 if position is None else position
    quote = f"{value} on {on}"
    return Assertion(
        Candidate(
            MemoryKind.FACT,
            f"Lives in {value}",
            (Evidence(f"m{position}", quote, 0, len(quote), day(on)),),
            day(on),
            attribute="lives_in",
            value=value,
            single_valued=single,
            stance=Stance.CONTRADICTS if against else Stance.SUPPORTS,
            confidence=confidence,
            valid_from=None if since is None else day(since),
            valid_to=None if until is None else day(until),
        ),
        MADE,
        recorded_at=day(on if learned is None else learned),
        position=position,
        session=session,
    )


def later_in_it(assertion: Assertion, start: int) -> Assertion:
    """The same from words of the same message that begin at `start`."""
    spans = [replace(e, start=start, end=start + 9) for e in assertion.candidate.evidence]
    return replace(assertion, candidate=replace(assertion.candidate, evidence=tuple(spans)))


def held(beliefs: Sequence[Belief]) -> list[tuple[str | None, int, int | None]]:
    """Value, first day and last day of each belief."""
    return [
        (
            b.value,
            (b.valid_from - DAY_ZERO).days,
            None if b.valid_to is None else (b.valid_to - DAY_ZERO).days,
        )
        for b in beliefs
    ]


@st.composite
def histories(
    draw: st.DrawFn, *, plain: bool = False, single: bool = True, last: int = 12
) -> list[Assertion]:
    """Assertions of one belief key, each at its own place of the log, in the order recorded.

    last: the last day on which something happens; the fewer days, the more happens at one time.
    """
    days = st.integers(0, last)
    found = []
    learned = 0
    for position in range(1, draw(st.integers(1, 8)) + 1):
        learned += draw(st.integers(0, 3))
        start = draw(st.none() | days)
        end = draw(st.none() | days)
        against = draw(st.sampled_from([False, False, False, True])) and not plain
        found.append(
            said(
                draw(st.sampled_from(["berlin", "munich", "oslo"])) if not against
                else draw(st.sampled_from([None, "berlin", "munich"])),
                draw(days),
                position,
                learned=learned,
                since=None if plain else start,
                until=None if plain else end,
                against=against,
                single=single,
            )
        )  # fmt: skip
    return found


class TestTimeline:
    def test_a_newer_value_ends_the_older_one(self) -> None:
        beliefs = timeline([said("berlin", 1), said("munich", 5)])
        assert held(beliefs) == [("berlin", 1, 5), ("munich", 5, None)]
        assert [e.stance for e in beliefs[0].evidence] == [Stance.SUPPORTS, Stance.CONTRADICTS]
        assert [e.stance for e in beliefs[1].evidence] == [Stance.SUPPORTS]

    def test_values_of_a_many_valued_attribute_hold_side_by_side(self) -> None:
        spoken = [said("german", 1, single=False), said("english", 5, single=False)]
        assert held(timeline(spoken)) == [("german", 1, None), ("english", 5, None)]

    def test_saying_it_again_reinforces(self) -> None:
        (belief,) = timeline([said("berlin", 1), said("berlin", 3), said("berlin", 4)])
        assert held([belief]) == [("berlin", 1, None)]
        assert len(belief.support) == 3
        assert belief.confidence == pytest.approx(1 - 0.5**3)

    def test_confidence_has_a_ceiling_unless_one_source_is_surer(self) -> None:
        (often,) = timeline([said("berlin", n) for n in range(20)])
        assert often.confidence == CONFIDENCE_CEILING
        (once,) = timeline([said("berlin", 1, confidence=1.0)])
        assert once.confidence == 1.0

    def test_an_older_event_that_arrives_late_does_not_override(self) -> None:
        late = [said("munich", 5, 1), said("berlin", 1, 2)]
        assert held(timeline(late)) == [("berlin", 1, 5), ("munich", 5, None)]

    def test_of_two_said_at_one_time_the_later_recorded_counts(self) -> None:
        assert held(timeline([said("berlin", 1, 1), said("munich", 1, 2)])) == [("munich", 1, None)]

    def test_a_contradiction_ends_its_value_or_all(self) -> None:
        spoken = [said("german", 1, single=False), said("english", 2, single=False)]
        one = [*spoken, said("german", 5, against=True, single=False)]
        assert held(timeline(one)) == [("german", 1, 5), ("english", 2, None)]
        every = [*spoken, said(None, 5, against=True, single=False)]
        assert held(timeline(every)) == [("german", 1, 5), ("english", 2, 5)]

    def test_taking_a_source_away_revives_what_it_ended(self) -> None:
        berlin, munich = said("berlin", 1), said("munich", 5)
        assert held(timeline([berlin, munich])) != held(timeline([berlin]))
        assert held(timeline([berlin])) == [("berlin", 1, None)]

    def test_what_never_held_is_left_out(self) -> None:
        all_along = [said("berlin", 3), said("munich", 5, since=1)]
        assert held(timeline(all_along)) == [("munich", 1, None)]

    def test_a_plan_ends_the_present_only_when_it_begins(self) -> None:
        plan = [said("berlin", 1), said("munich", 3, since=9)]
        assert held(timeline(plan)) == [("berlin", 1, 9), ("munich", 9, None)]

    def test_what_is_said_of_the_past_leaves_the_present_alone(self) -> None:
        told = [said("munich", 5), said("berlin", 9, since=1, until=3)]
        assert held(timeline(told)) == [("berlin", 1, 3), ("munich", 5, None)]

    def test_a_stay_between_returns_to_what_held_before(self) -> None:
        trip = [said("berlin", 1), said("oslo", 4, until=6)]
        assert held(timeline(trip)) == [("berlin", 1, 4), ("oslo", 4, 6), ("berlin", 6, None)]

    def test_an_end_that_was_said_is_not_moved_by_a_later_successor(self) -> None:
        gap = [said("oslo", 1, until=3), said("berlin", 8)]
        oslo, _ = timeline(gap)
        assert held(timeline(gap)) == [("oslo", 1, 3), ("berlin", 8, None)]
        assert oslo.against == ()

    def test_an_end_that_was_said_survives_saying_it_again(self) -> None:
        again = [said("oslo", 1, until=9), said("oslo", 4)]
        assert held(timeline(again)) == [("oslo", 1, 9)]

    @quick
    @given(histories(), st.randoms(use_true_random=False))
    def test_the_order_of_arrival_never_matters(self, history: list[Assertion], rng: Any) -> None:
        shuffled = history.copy()
        rng.shuffle(shuffled)
        assert timeline(shuffled) == timeline(history)

    def test_within_one_message_the_order_of_its_words_decides(self) -> None:
        moved_out = later_in_it(said("oslo", 3, against=True), 20)
        moved_in = later_in_it(said("oslo", 3), 40)
        assert held(timeline([moved_in, moved_out])) == [("oslo", 3, None)]
        assert timeline([moved_out, moved_in]) == timeline([moved_in, moved_out])

    @quick
    @given(st.permutations([0, 1, 2, 3]))
    def test_no_two_assertions_are_equal_in_order(self, order: list[int]) -> None:
        oslo = said("oslo", 3)
        other = replace(oslo, provenance=Provenance("other", "1"))
        worded = replace(oslo, candidate=replace(oslo.candidate, text="Is in Oslo"))
        moment = [oslo, other, worded, later_in_it(oslo, 20)]
        berlin, (first, *_) = said("berlin", 1), sorted(moment, key=lambda a: a.order)
        ended, home = timeline([berlin, *(moment[n] for n in order)])
        assert ended.against == (first,)
        assert home == timeline([berlin, *moment])[1]

    @quick
    @given(histories())
    def test_of_a_single_valued_attribute_one_value_holds_at_a_time(
        self, history: list[Assertion]
    ) -> None:
        lasting = [b for b in timeline(history) if b.valid_to != b.valid_from]
        for earlier, later in pairwise(lasting):
            assert earlier.valid_to is not None
            assert earlier.valid_to <= later.valid_from

    @quick
    @given(histories(single=False))
    def test_no_value_is_believed_twice_for_one_time(self, history: list[Assertion]) -> None:
        beliefs = timeline(history)
        for value in {b.value for b in beliefs}:
            for earlier, later in pairwise([b for b in beliefs if b.value == value]):
                assert earlier.valid_to is not None
                assert earlier.valid_to <= later.valid_from

    @quick
    @given(histories())
    def test_a_belief_never_ends_before_it_begins(self, history: list[Assertion]) -> None:
        assert all(b.valid_to is None or b.valid_from <= b.valid_to for b in timeline(history))

    @quick
    @given(histories(plain=True))
    def test_the_newest_event_has_the_last_word(self, history: list[Assertion]) -> None:
        newest = max(history, key=lambda a: a.order)
        assert timeline(history)[-1].value == newest.candidate.value
        assert timeline(history)[-1].valid_to is None

    @quick
    @given(histories(plain=True), st.data())
    def test_an_older_event_changes_nothing_that_is_believed_now(
        self, history: list[Assertion], data: st.DataObject
    ) -> None:
        first = min(a.candidate.occurred_at for a in history)
        value = data.draw(st.sampled_from(["berlin", "munich", "oslo"]))
        older = replace(
            said(value, 0, 99),
            candidate=replace(said(value, 0).candidate, occurred_at=first - timedelta(days=1)),
        )
        before, after = timeline(history)[-1], timeline([*history, older])[-1]
        assert (before.value, before.valid_to) == (after.value, after.valid_to)

    @quick
    @given(histories())
    def test_each_belief_stands_on_assertions_of_its_value_once_each(
        self, history: list[Assertion]
    ) -> None:
        for belief in timeline(history):
            assert belief.support
            assert {a.candidate.value for a in belief.support} == {belief.value}
            assert len({a.position for a in belief.support}) == len(belief.support)
            assert 0 <= belief.confidence <= 1


def disputed(
    beliefs: Sequence[Belief],
) -> list[tuple[str | None, int, int | None, tuple[str, ...]]]:
    """Value, first day, last day and rivals of each belief."""
    return [(*h, b.contested) for h, b in zip(held(beliefs), beliefs, strict=True)]


def everywhere(*places: str, on: int = 3) -> list[Assertion]:
    """Each place said on one day, in a session of its own."""
    return [said(place, on, n, session=f"s{n}") for n, place in enumerate(places, 1)]


class TestContradictionsThatNothingDecides:
    def test_are_both_believed_and_marked(self) -> None:
        assert disputed(timeline(everywhere("munich", "berlin"))) == [
            ("berlin", 3, None, ("munich",)),
            ("munich", 3, None, ("berlin",)),
        ]

    def test_of_three_each_names_the_others(self) -> None:
        beliefs = timeline(everywhere("munich", "berlin", "oslo"))
        assert [b.contested for b in beliefs] == [
            ("munich", "oslo"),
            ("berlin", "oslo"),
            ("berlin", "munich"),
        ]

    @pytest.mark.parametrize(
        "said_twice",
        [
            [said("berlin", 3, 1, session="s1"), said("munich", 3, 2, session="s1")],
            [said("berlin", 3, 1, session="s1"), said("munich", 4, 2, session="s2")],
        ],
        ids=["one session", "a newer event"],
    )
    def test_what_followed_the_other_decides(self, said_twice: list[Assertion]) -> None:
        assert [b.contested for b in timeline(said_twice)] in ([()], [(), ()])
        assert held(timeline(said_twice))[-1][0] == "munich"

    def test_values_side_by_side_contest_nothing(self) -> None:
        spoken = [said("german", 3, 1, single=False, session="s1")]
        spoken.append(said("english", 3, 2, single=False, session="s2"))
        assert [b.contested for b in timeline(spoken)] == [(), ()]

    def test_values_of_different_times_contest_nothing(self) -> None:
        told = [said("oslo", 9, 1, since=1, until=3, session="s1")]
        told.append(said("berlin", 9, 2, since=5, session="s2"))
        assert disputed(timeline(told)) == [("oslo", 1, 3, ()), ("berlin", 5, None, ())]

    def test_a_value_that_was_believed_before_keeps_its_past(self) -> None:
        before = [said("berlin", 1, 9, session="s0"), *everywhere("munich", "berlin")]
        assert disputed(timeline(before)) == [
            ("berlin", 1, None, ("munich",)),
            ("munich", 3, None, ("berlin",)),
        ]

    def test_newer_evidence_for_one_decides_also_backwards(self) -> None:
        dispute = [said("berlin", 1, 9, session="s0"), *everywhere("munich", "berlin")]
        munich = timeline([*dispute, said("munich", 5, 10, session="s3")])
        assert disputed(munich) == [("berlin", 1, 3, ()), ("munich", 3, None, ())]
        berlin = timeline([*dispute, said("berlin", 5, 10, session="s3")])
        assert disputed(berlin) == [("berlin", 1, None, ())]

    def test_newer_evidence_for_neither_ends_both_and_leaves_the_past_open(self) -> None:
        oslo = [*everywhere("munich", "berlin"), said("oslo", 5, 10, session="s3")]
        assert disputed(timeline(oslo)) == [
            ("berlin", 3, 5, ("munich",)),
            ("munich", 3, 5, ("berlin",)),
            ("oslo", 5, None, ()),
        ]

    def test_what_ends_one_leaves_the_other_undisputed(self) -> None:
        left = [*everywhere("munich", "berlin"), said("munich", 5, 10, against=True)]
        assert disputed(timeline(left)) == [
            ("munich", 3, 5, ("berlin",)),
            ("berlin", 3, None, ()),
        ]

    @quick
    @given(histories(plain=True), st.data())
    def test_the_place_in_the_log_never_decides_between_sessions(
        self, history: list[Assertion], data: st.DataObject
    ) -> None:
        # A position of its own for each session, so that what is within one stays in its order.
        def placed(first: str) -> list[Assertion]:
            return [
                replace(a, session=s, position=a.position + (100 if s != first else 0))
                for a, s in zip(history, sessions, strict=True)
            ]

        sessions = data.draw(
            st.lists(st.sampled_from(["s1", "s2"]), min_size=len(history), max_size=len(history))
        )
        assert disputed(timeline(placed("s1"))) == disputed(timeline(placed("s2")))

    @quick
    @given(histories(), st.data())
    def test_only_one_event_time_is_ever_disputed(
        self, history: list[Assertion], data: st.DataObject
    ) -> None:
        names = st.sampled_from(["s1", "s2", "s3"])
        spread = [replace(a, session=data.draw(names)) for a in history]
        beliefs = timeline(spread)
        for belief in beliefs:
            for value in belief.contested:
                rivals = [b for b in beliefs if b.value == value]
                assert any(
                    a.candidate.occurred_at == other.candidate.occurred_at
                    and a.session != other.session
                    for a in belief.support
                    for rival in rivals
                    for other in rival.support
                )


def judged(conflict: Conflict) -> Assertion:
    """A verdict that depends on nothing but what is judged: some of the values, or none."""
    holds = conflict.values[: int(conflict.digest, 16) % (len(conflict.values) + 1)]
    newest = conflict.claims()[-1]
    made = replace(newest.candidate, value=None, text="", evidence=())
    return replace(newest, candidate=made, verdict=Verdict(conflict.digest, holds))


@st.composite
def disputes(draw: st.DrawFn) -> list[Assertion]:
    """A history in which sessions speak of few moments."""
    names = st.sampled_from(["s1", "s2", "s3"])
    return [
        replace(
            a,
            session=draw(names),
            candidate=replace(a.candidate, occurred_at=day(draw(st.integers(1, 2)))),
        )
        for a in draw(histories())
    ]


class TestVerdicts:
    @quick
    @given(disputes(), st.randoms(use_true_random=False))
    def test_it_never_matters_when_something_was_judged(
        self, history: list[Assertion], rng: Any
    ) -> None:
        before = [judged(c) for n in range(len(history)) for c in open_conflicts(history[:n])]
        now = [judged(c) for c in open_conflicts(history)]
        shuffled = [*history, *before, *now]
        rng.shuffle(shuffled)
        assert timeline(shuffled) == timeline([*history, *now])
        assert open_conflicts(shuffled) == []

    @quick
    @given(disputes())
    def test_what_holds_by_one_is_contested_no_more(self, history: list[Assertion]) -> None:
        verdicts = [judged(c) for c in open_conflicts(history)]
        for belief in timeline([*history, *verdicts]):
            verdict = belief.decided_by and belief.decided_by.verdict
            assert not (verdict and belief.value in verdict.holds and belief.contested)
        told = timeline(history)
        if all(v.verdict and not v.verdict.holds for v in verdicts):
            assert timeline([*history, *verdicts]) == told

    @quick
    @given(disputes())
    def test_one_alone_changes_nothing(self, history: list[Assertion]) -> None:
        verdicts = [judged(c) for c in open_conflicts(history)]
        assert timeline(verdicts) == ()


class TestKeys:
    def test_attribute_subject_context_and_agent_decide(self) -> None:
        plain = said("berlin", 1).candidate
        key = belief_key(plain, None)
        assert belief_key(replace(plain, value="munich", text="other"), None) == key
        others = [
            belief_key(replace(plain, attribute="works_in"), None),
            belief_key(replace(plain, subject="Tom"), None),
            belief_key(replace(plain, subject=""), None),
            belief_key(replace(plain, context="in summer"), None),
            belief_key(plain, "scout"),
        ]
        assert len({key, *others}) == 6

    def test_free_text_is_about_where_it_was_said(self) -> None:
        fact = replace(said("berlin", 1).candidate, attribute=None, value=None)
        free = replace(fact, kind=MemoryKind.EPISODE)
        elsewhere = replace(free, evidence=said("berlin", 2).candidate.evidence)
        assert belief_key(free, None) == belief_key(replace(free, text="longer"), None)
        assert belief_key(free, None) != belief_key(elsewhere, None)
        # An episode that goes on takes the place of its beginning; facts are several.
        assert belief_key(fact, None) != belief_key(replace(fact, text="longer"), None)

    def test_the_same_said_on_the_same_grounds_is_one_assertion(self) -> None:
        once = said("berlin", 1)
        again = replace(once, recorded_at=day(9), position=77)
        assert assertion_id(once) == assertion_id(again)
        assert assertion_id(once) != assertion_id(said("berlin", 2))
        assert assertion_id(once) != assertion_id(said("munich", 1))
        assert assertion_id(once) != assertion_id(said("berlin", 1, against=True))


class Store:
    """The rows of one belief key, as the database would keep them."""

    def __init__(self) -> None:
        self.seq = 0
        self.assertions: list[Assertion] = []
        self.memories: dict[int, Memory] = {}
        self.spans: dict[int, set[Span]] = defaultdict(set)

    def take(self, batch: Sequence[Assertion]) -> None:
        """Plans a batch as extraction does, and commits the plan."""
        plan = Plan(ANA, 1, self.seq, self.seq)
        key = belief_key(batch[0].candidate, None)
        plan_key(plan, key, batch, self.assertions, self.believed())
        known = {assertion_id(a) for a in self.assertions}
        self.assertions += [a for a in batch if assertion_id(a) not in known]
        self.commit(plan)

    def commit(self, plan: Plan) -> None:
        for memory, at in plan.closed.items():
            old = self.memories[memory]
            assert old.believed_from is not None
            self.memories[memory] = replace(old, believed_to=max(at, old.believed_from))
        for memory, strength in plan.reinforced.items():
            self.memories[memory] = replace(self.memories[memory], support=strength["support"])
        for memory, row in plan.memories.items():
            self.memories[memory] = memory_of_row(row)
        for row in plan.evidence:
            place = (row["interaction_id"], row["start_offset"], row["end_offset"])
            self.spans[row["memory_id"]].add((*place, Stance(row["stance"])))
        self.seq = plan.to_seq

    def count_only(self, standing: Sequence[Assertion]) -> None:
        """Plans a retraction or a restoration after which these alone count, and commits it."""
        plan = Plan(ANA, 1, self.seq, self.seq)
        at = day(100 + self.seq)
        plan_standing(plan, b"key", standing, self.believed(), (), at)
        self.commit(plan)

    def believed(self) -> list[StoredBelief]:
        """What is believed now, with the places of its evidence."""
        return [
            StoredBelief(m, frozenset(self.spans[m.id]))
            for m in self.memories.values()
            if m.believed_to is None
        ]

    def versions(self) -> list[tuple[object, ...]]:
        """Everything ever believed, but for what was replaced at the moment it was believed."""
        return sorted(
            (m.believed_from, m.valid_from, m.value, m.valid_to or day(999), m.support,
             m.believed_to or day(999))
            for m in self.memories.values()
            if m.believed_from != m.believed_to
        )  # fmt: skip


def cited(store: Store) -> list[tuple[object, ...]]:
    """What a store believes now, on how much support, and where it is cited from."""
    return sorted(
        (m.valid_from, m.value, m.valid_to or day(999), m.support, sorted(b.spans))
        for b in store.believed()
        for m in [b.memory]
    )


def folded(assertions: Sequence[Assertion]) -> list[tuple[object, ...]]:
    """The same, folded from scratch."""
    return sorted(
        (b.valid_from, b.value, b.valid_to or day(999), len(b.support), sorted(b.spans))
        for b in timeline(assertions)
    )


class TestReplay:
    @quick
    @given(histories(), st.data())
    def test_replay_from_scratch_equals_having_been_there(
        self, history: list[Assertion], data: st.DataObject
    ) -> None:
        there, replayed = Store(), Store()
        rest = history
        while rest:
            # What was recorded together is extracted together.
            until = data.draw(st.sampled_from([a.recorded_at for a in rest]))
            there.take([a for a in rest if a.recorded_at <= until])
            rest = [a for a in rest if a.recorded_at > until]
        replayed.commit(planned_afresh(ANA, 1, 0, history))
        assert there.versions() == replayed.versions()

    @quick
    @given(histories(), st.randoms(use_true_random=False))
    def test_whatever_order_extraction_took_the_present_is_the_same(
        self, history: list[Assertion], rng: Any
    ) -> None:
        store = Store()
        shuffled = history.copy()
        rng.shuffle(shuffled)
        for assertion in shuffled:
            store.take([assertion])
        assert cited(store) == folded(history)

    @pytest.mark.parametrize("gone", [1, 2])
    def test_what_is_restored_ends_a_belief_as_if_it_had_always_counted(self, gone: int) -> None:
        history = [said("berlin", 0, 1), said("oslo", 3, 2), said("oslo", 3, 3)]
        store = Store()
        store.take(history)
        store.count_only([a for n, a in enumerate(history) if n != gone])
        store.count_only(history)
        berlin = next(b for b in store.believed() if b.memory.value == "berlin")
        assert {s[0] for s in berlin.spans if s[-1] is Stance.CONTRADICTS} == {"m2"}

    @quick
    @given(histories(last=2))
    def test_what_stops_counting_and_counts_again_leaves_no_trace_in_the_present(
        self, history: list[Assertion]
    ) -> None:
        store = Store()
        store.take(history)
        for gone in history:
            standing = [a for a in history if a is not gone]
            store.count_only(standing)
            assert cited(store) == folded(standing)
            store.count_only(history)
            assert cited(store) == folded(history)

    @quick
    @given(histories())
    def test_taking_the_same_again_changes_nothing(self, history: list[Assertion]) -> None:
        store = Store()
        store.take(history)
        before, seq = store.versions(), store.seq
        store.take(history)
        assert (store.versions(), store.seq) == (before, seq)

    @quick
    @given(histories())
    def test_a_revision_of_what_is_already_believed_is_empty(
        self, history: list[Assertion]
    ) -> None:
        store = Store()
        store.take(history)
        revision = revise(store.believed(), timeline(history))
        assert (revision.close, revision.insert, revision.reinforce) == ((), (), ())
