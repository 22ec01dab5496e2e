"""Ranking: what the arrays of `recall.scores` mean, and signals against plain definitions."""

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.language.questions import Question
from memory.recall.ranking import (
    AROUND,
    SIGNALS,
    Scores,
    _around,
    _positions,
    pool,
    ranked,
    shipped_weights,
    signals,
    totals,
)

PLAIN = Question("where did we walk", "where did we walk")


def array(*values: float, dtype: str = "i8") -> np.ndarray[Any, np.dtype[Any]]:
    return np.array(values, dtype=dtype)


def scored(**changes: Any) -> dict[str, Any]:
    """A row of `recall.scores` of three memories, of which the first and last match "walk"."""
    row = {
        "ids": array(7, 3, 5), "words": 12, "places": array(1, 2, (1 << 32) + 1),
        "ordinal_tos": array(1, 2, 1), "instructions": None, "matched_ids": array(7, 5),
        "matched_words": array(4, 8), "lexemes": ["walk", "where"], "hit_rows": array(1, 2),
        "hit_terms": array(1, 1), "vector_ids": array(5, 7, 99),
        "distances": array(0.25, 0.5, 0.1, dtype="f4"), "sealed": None, "sealed_hits": None,
        "sealed_terms": None,
    }  # fmt: skip
    return {**row, **changes}


EMPTY = dict.fromkeys(scored()) | {"lexemes": ["walk"]}


class TestScores:
    def test_are_by_id(self) -> None:
        scores = Scores.of(scored())
        assert scores.ids.tolist() == [3, 5, 7]
        assert scores.places.tolist() == [2, (1 << 32) + 1, 1]

    def test_a_memory_without_a_vector_is_near_nothing_and_a_stray_vector_is_ignored(self) -> None:
        assert Scores.of(scored()).dense.tolist() == [0.0, 0.75, 0.5]

    def test_words_are_bm25_with_each_lexeme_counted_once(self) -> None:
        scores = Scores.of(scored())
        idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
        expected = [0.0, idf * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 8 / 4)), idf]
        assert scores.bm25 == pytest.approx(expected)
        assert scores.rarity == pytest.approx({"walk": idf})

    def test_of_blocks_are_those_of_rows(self) -> None:
        member = struct.Struct(">qqii?")
        sealed = member.pack(7, 1, 1, 4, False) + member.pack(5, (1 << 32) + 1, 1, 8, True)
        found = Scores.of(scored(
            ids=array(3), words=0, places=array(2), ordinal_tos=array(2), matched_ids=None,
            matched_words=None, hit_rows=None, hit_terms=None, sealed=sealed,
            sealed_hits=array(1, 2), sealed_terms=array(1, 1),
        ))  # fmt: skip
        by_row = Scores.of(scored(instructions=array(5)))
        for name in ("ids", "dense", "bm25", "places", "ordinal_tos", "instructions"):
            assert getattr(found, name).tolist() == getattr(by_row, name).tolist(), name
        assert (found.rarity, found.mean_words) == (by_row.rarity, by_row.mean_words)

    def test_of_nobody_are_empty(self) -> None:
        scores = Scores.of(EMPTY)
        assert len(scores.ids) == 0
        assert scores.rarity == {}
        assert pool(scores, PLAIN).at.tolist() == []
        assert signals(PLAIN, scores, pool(scores, PLAIN), []).shape == (0, len(SIGNALS))

    def test_no_word_matches(self) -> None:
        none = dict.fromkeys(("matched_ids", "matched_words", "hit_rows", "hit_terms"))
        assert Scores.of(scored(**none)).bm25.tolist() == [0.0, 0.0, 0.0]


class TestPool:
    def scores(self, memories: int, **changes: Any) -> Scores:
        nothing = dict.fromkeys(("matched_ids", "matched_words", "hit_rows", "hit_terms"))
        ids = np.arange(1, memories + 1)
        row = scored(
            ids=ids, places=ids, ordinal_tos=ids, vector_ids=ids,
            distances=np.linspace(0, 1, memories, dtype="f4"), **(nothing | changes),
        )  # fmt: skip
        return Scores.of(row)

    def test_holds_the_nearest_by_meaning_and_by_words(self) -> None:
        changes = {
            "matched_ids": array(90), "matched_words": array(4), "hit_rows": array(1),
            "hit_terms": array(1),
        }  # fmt: skip
        scores = self.scores(100, **changes)
        chosen = scores.ids[pool(scores, PLAIN, size=5).at].tolist()
        assert set(chosen) >= {1, 2, 3, 4, 5, 90}
        assert chosen == sorted(chosen)

    def test_holds_what_is_good_in_both_orders_though_first_in_neither(self) -> None:
        changes = {
            "matched_ids": np.append(np.arange(101, 201), 20),
            "matched_words": np.append(np.full(100, 4), 5), "hit_rows": np.arange(1, 102),
            "hit_terms": np.ones(101, dtype="i8"),
        }  # fmt: skip
        scores = self.scores(200, **changes)
        assert 20 in scores.ids[pool(scores, PLAIN, 1, 1).at]
        assert 20 not in scores.ids[pool(scores, PLAIN, 0, 1).at]

    def test_holds_standing_instructions_for_a_request_alone(self) -> None:
        scores = self.scores(100, instructions=array(95))
        assert 95 in scores.ids[pool(scores, Question("help me", "help me", request=True), 5).at]
        plain = self.scores(100, instructions=array(95))
        assert {1, 2, 3, 4, 5} <= set(plain.ids[pool(plain, PLAIN, 5).at].tolist())


Walked = dict[str, list[float]]


def walked(memories: list[tuple[int, int, int]], dense: list[float], words: list[float]) -> Walked:
    """By one walk over the memories in order what `_around` is defined to find."""
    found: Walked = {name: [0.0] * len(memories) for name in AROUND}
    order = sorted(
        (n for n in range(len(memories)) if memories[n][1]),
        key=lambda n: (memories[n][0], memories[n][1], -memories[n][2], n),
    )
    groups: list[list[int]] = []
    for n in order:
        session, ordinal, _ = memories[n]
        lead = memories[groups[-1][0]] if groups else None
        if lead is not None and lead[0] == session and ordinal <= lead[2]:
            groups[-1].append(n)
        else:
            groups.append([n])
    place = 0
    for at, group in enumerate(groups):
        previous = groups[at - 1] if at else None
        same = previous is not None and memories[previous[0]][0] == memories[group[0]][0]
        place = place + 1 if same else 0
        for n in group:
            found["place"][n] = place
            if same and previous is not None:
                found["words_before"][n] = words[previous[0]]
        if same and previous is not None:
            for n in previous:
                found["words_after"][n] = words[group[0]]
        for name, values in (("dense", dense), ("words", words)):
            for n in group:
                found[f"beside_{name}"][n] = max(values[m] for m in group) - values[n]
                of_session = [m for m in order if memories[m][0] == memories[n][0]]
                found[f"session_{name}"][n] = max(values[m] for m in of_session)
    return found


spans = st.tuples(st.integers(-2, 2), st.integers(0, 9), st.integers(0, 4)).map(
    lambda t: (t[0], t[1], t[1] + t[2] - 1 if t[1] else 0)
)


class TestAround:
    @given(st.lists(spans, min_size=1, max_size=25), st.data())
    def test_are_those_that_one_walk_finds(
        self, memories: list[tuple[int, int, int]], data: st.DataObject
    ) -> None:
        words = [float(n + 1) for n in range(len(memories))]
        dense = [float(n * 7 % 5 - 2) for n in range(len(memories))]
        nothing = dict.fromkeys(
            ("matched_ids", "matched_words", "hit_rows", "hit_terms", "vector_ids", "distances")
        )
        row = scored(
            ids=np.arange(len(memories)),
            places=np.array([(s << 32) + o for s, o, _ in memories]),
            ordinal_tos=np.array([to for _, _, to in memories]),
            **nothing,
        )
        size = data.draw(st.integers(1, len(memories)))
        chosen = np.arange(size)
        around = _around(Scores.of(row), chosen, np.array(dense), np.array(words))
        got = {name: values.tolist() for name, values in around.items()}
        assert got == {name: v[:size] for name, v in walked(memories, dense, words).items()}


class TestPositions:
    @pytest.mark.parametrize(
        ("held", "expected"),
        [
            ("", {}),
            ("'walk':3A", {"walk": [3]}),
            ("'beach':2A,14A 'walk':3A", {"beach": [2, 14], "walk": [3]}),
            ("'o''clock':4A", {"o'clock": [4]}),
            (r"'a\\b':1A", {"a\\b": [1]}),
        ],
    )
    def test_are_read_from_the_text_of_a_tsvector(
        self, held: str, expected: dict[str, list[int]]
    ) -> None:
        assert _positions(held) == expected


class TestRanked:
    def table(self, *statements: bool) -> np.ndarray[Any, np.dtype[np.float64]]:
        table = np.zeros((len(statements), len(SIGNALS)))
        table[:, SIGNALS.index("statement")] = statements
        return table

    def test_leaves_out_what_cites_nothing_new(self) -> None:
        cited = [frozenset({"a", "b"}), frozenset({"a"}), frozenset({"c"})]
        scores = np.array([3.0, 2.0, 1.0])
        assert ranked(scores, cited, self.table(False, False, False))[0] == [0, 2]

    def test_a_statement_lends_its_score_to_its_episode(self) -> None:
        cited = [frozenset({"a"}), frozenset({"b"}), frozenset({"a", "x"})]
        scores = np.array([3.0, 2.5, 2.0])
        order, lent = ranked(scores, cited, self.table(True, False, False))
        assert order == [2, 1]
        assert lent.tolist() == [3.0, 2.5, 3.0]

    def test_a_clearly_better_statement_stands_beside_its_episode(self) -> None:
        cited = [frozenset({"a"}), frozenset({"a", "x"})]
        assert ranked(np.array([9.0, 1.0]), cited, self.table(True, False))[0] == [0, 1]


def test_a_total_is_the_weighted_sum_of_signals() -> None:
    table = np.arange(2.0 * len(SIGNALS)).reshape(2, -1)
    weights = {"dense": 2.0, "words": -1.0}
    expected = 2 * table[:, SIGNALS.index("dense")] - table[:, SIGNALS.index("words")]
    assert totals(PLAIN, table, [None, None], weights) == pytest.approx(expected)


def test_every_shipped_weight_is_of_a_signal() -> None:
    assert set(shipped_weights()) <= set(SIGNALS)
