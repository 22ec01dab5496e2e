"""Facts of record in the fold: talk neither ends nor bounds them, in whatever order it arrives."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from memory.beliefs.assertions import Assertion, Belief
from memory.beliefs.consolidation import timeline
from memory.models import Origin
from tests.test_consolidation import day, folded, held, histories, quick, said


def by(origin: Origin, assertion: Assertion) -> Assertion:
    """The same assertion as somebody else's words."""
    evidence = tuple(replace(e, origin=origin) for e in assertion.candidate.evidence)
    return replace(assertion, candidate=replace(assertion.candidate, evidence=evidence))


def record(*args: object, **more: object) -> Assertion:
    return by(Origin.RECORD, said(*args, **more))  # type: ignore[arg-type]


def talk(*args: object, **more: object) -> Assertion:
    return by(Origin.PERSON, said(*args, **more))  # type: ignore[arg-type]


@st.composite
def mixed(draw: st.DrawFn) -> list[Assertion]:
    """A history of talk, some of it by a system of record."""
    return [
        by(Origin.RECORD if draw(st.booleans()) else Origin.PERSON, assertion)
        for assertion in draw(histories())
    ]


def contested(beliefs: Sequence[Belief]) -> dict[str | None, tuple[str, ...]]:
    return {b.value: b.contested for b in beliefs if b.valid_to is None}


class TestTalk:
    def test_of_another_value_stands_beside_and_is_contested(self) -> None:
        told = timeline([record("rome", 1), talk("oslo", 5)])
        assert held(told) == [("rome", 1, None), ("oslo", 5, None)]
        assert contested(told) == {"rome": (), "oslo": ("rome",)}

    def test_that_denies_a_record_ends_nothing(self) -> None:
        assert held(timeline([record("rome", 1), talk("rome", 5, against=True)])) == [
            ("rome", 1, None)
        ]

    def test_is_believed_where_the_record_is_silent(self) -> None:
        ended = record("rome", 5, against=True)
        told = timeline([record("rome", 1), ended, talk("oslo", 9)])
        assert held(told) == [("rome", 1, 5), ("oslo", 9, None)]
        assert contested(told) == {"oslo": ()}

    def test_is_ended_by_a_newer_record(self) -> None:
        told = timeline([talk("oslo", 1), record("rome", 5)])
        assert held(told) == [("oslo", 1, 5), ("rome", 5, None)]

    def test_at_the_same_time_comes_after_the_record(self) -> None:
        for one, other in ((1, 2), (2, 1)):
            told = timeline(
                [
                    replace(record("rome", 3), position=one),
                    replace(talk("oslo", 3), position=other),
                ]
            )
            assert contested(told) == {"rome": (), "oslo": ("rome",)}

    def test_that_bears_a_record_out_lowers_its_origin_and_does_not_reopen_it(self) -> None:
        (rome,) = timeline([record("rome", 1), talk("rome", 5)])
        assert (rome.valid_from, rome.valid_to, rome.origin) == (day(1), None, Origin.PERSON)
        assert rome.newest.of_record
        told = timeline([record("rome", 1), record("rome", 3, against=True), talk("rome", 5)])
        assert [b.of_record for b in told] == [True, False]


class TestRecords:
    @quick
    @given(mixed(), st.randoms())
    def test_the_order_of_arrival_does_not_matter(
        self, history: list[Assertion], random: Random
    ) -> None:
        mixed_up = list(history)
        random.shuffle(mixed_up)
        assert folded(mixed_up) == folded(history)

    @quick
    @given(mixed())
    def test_are_held_as_if_nobody_had_talked(self, history: list[Assertion]) -> None:
        alone = timeline(a for a in history if a.of_record)
        alone = tuple(b for b in alone if b.valid_to is None or b.valid_from < b.valid_to)
        among = [b for b in timeline(history) if b.of_record]
        for belief in alone:
            assert any(
                b.value == belief.value
                and b.valid_from <= belief.valid_from
                and b.valid_to == belief.valid_to
                for b in among
            )

    @quick
    @given(mixed())
    def test_are_contested_by_records_alone(self, history: list[Assertion]) -> None:
        among = timeline(history)
        values = {b.value for b in among if b.of_record}
        assert all(set(b.contested) <= values for b in among if b.of_record)
