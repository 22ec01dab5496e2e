"""Tacit preferences: the bets, what is believed of them, and what becomes of it."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from math import comb
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import behaviour as simulation
from extractors.behaviour import e_values as sequential
from extractors.behaviour import preferences as beliefs
from extractors.behaviour.e_values import EffectProcess, e_bh_log_threshold, pooled_difference
from extractors.behaviour.extractor import Behaviour, create, infer
from extractors.behaviour.feedback import read_item, read_offers
from extractors.behaviour.preferences import PreferenceFold
from extractors.protocol import Extractor, LogSlice, Reading
from memory.client import MemoryClient
from memory.log.envelope import from_json
from memory.models import (
    Candidate,
    Interaction,
    InteractionKind,
    Memory,
    MemoryKind,
    Role,
    Scope,
    Stance,
)
from memory.settings import Settings
from tests.conftest import Extraction

SAMPLE = Path(__file__).parent.parent / "examples" / "recruiting.jsonl"
SCOPE = Scope("tenant", "user", session="session")
START = datetime(2026, 3, 2, 8, tzinfo=UTC)


def dice(seed: int | str) -> Random:
    return Random(seed)


def feedback(number: int, payload: dict[str, Any], content: str = "") -> Interaction:
    return Interaction(
        scope=SCOPE,
        id=f"f{number}",
        kind=InteractionKind.FEEDBACK,
        role=Role.USER,
        content=content,
        occurred_at=START + timedelta(minutes=number),
        payload=payload,
        ordinal=number,
        position=number,
    )


def log(*payloads: dict[str, Any]) -> list[Interaction]:
    return [feedback(number, payload) for number, payload in enumerate(payloads, start=1)]


def verdicts(
    events: int,
    accepts: Callable[[dict[str, str]], bool],
    seed: int = 0,
    start: int = 1,
    **more: object,
) -> list[Interaction]:
    """Judgements of items with two balanced attributes, decided by `accepts`."""
    rng = dice(seed)
    found = []
    for number in range(start, start + events):
        item = {"remote": rng.choice(["yes", "no"]), "level": rng.choice(["mid", "senior"])}
        action = "accept" if accepts(item) else "reject"
        found.append(feedback(number, {"action": action, "item": item, **more}))
    return found


def likes_remote(item: dict[str, str]) -> bool:
    return item["remote"] == "yes"


def likes_office(item: dict[str, str]) -> bool:
    return item["remote"] == "no"


def claims(candidates: Sequence[Candidate]) -> set[tuple[str | None, str | None]]:
    return {(candidate.attribute, candidate.value) for candidate in candidates}


def offers(*payloads: dict[str, Any]) -> list[tuple[list[dict[str, list[str]]], list[bool]]]:
    return [
        ([{name: sorted(values) for name, values in item.items()} for item in offer.items],
         list(offer.accepted))
        for offer in read_offers(log(*payloads))
    ]  # fmt: skip


class TestBets:
    @given(st.integers(2, 14), st.data())
    def test_expectation_is_one_where_the_value_has_no_bearing(
        self, size: int, data: st.DataObject
    ) -> None:
        carrying = data.draw(st.integers(1, size - 1))
        accepted = data.draw(st.integers(1, size - 1))
        process = EffectProcess()
        for block in range(data.draw(st.integers(0, 3))):
            process.update(10, 5, 5, block + 2)
        before, expectation = process.log_e, 0.0
        for both in range(max(0, carrying + accepted - size), min(carrying, accepted) + 1):
            chance = comb(carrying, both) * comb(size - carrying, accepted - both)
            after = EffectProcess()
            after.log_e, after.weights = process.log_e, process.weights
            after.update(size, carrying, accepted, both)
            expectation += chance / comb(size, accepted) * math.exp(after.log_e - before)
        assert expectation == pytest.approx(1.0)

    @given(st.integers(2, 12), st.data())
    def test_a_value_and_its_complement_win_the_same(self, size: int, data: st.DataObject) -> None:
        carrying = data.draw(st.integers(1, size - 1))
        accepted = data.draw(st.integers(1, size - 1))
        both = data.draw(st.integers(max(0, carrying + accepted - size), min(carrying, accepted)))
        value, complement = EffectProcess(), EffectProcess()
        value.update(size, carrying, accepted, both)
        complement.update(size, size - carrying, accepted, accepted - both)
        assert value.log_e == pytest.approx(complement.log_e)
        assert value.probability_positive == pytest.approx(complement.probability_negative)

    @pytest.mark.parametrize("block", [(5, 0, 3, 0), (5, 5, 3, 3), (5, 2, 0, 0), (5, 2, 5, 2)])
    def test_a_block_that_compares_nothing_changes_nothing(
        self, block: tuple[int, int, int, int]
    ) -> None:
        process = EffectProcess()
        process.update(*block)
        assert process.log_e == 0.0
        assert process.weights == sequential.PRIOR

    def test_the_direction_follows_a_turn(self) -> None:
        process = EffectProcess()
        for _ in range(20):
            process.update(10, 5, 5, 4)
        assert process.probability_positive > 0.99
        for _ in range(4):
            process.update(10, 5, 5, 1)
        assert process.probability_negative > 0.9

    @pytest.mark.parametrize(
        ("e_values", "tested", "rejected"),
        [
            ([19.0], 1, []),
            ([20.0], 1, [20.0]),
            ([20.0, 20.0], 2, [20.0, 20.0]),
            ([39.0, 1.0], 2, []),
            ([41.0, 1.0], 2, [41.0]),
            ([90.0, 30.0, 1.0], 3, [90.0, 30.0]),
            ([59.0, 29.0, 1.0], 3, []),
            ([], 0, []),
        ],
    )
    def test_e_bh(self, e_values: list[float], tested: int, rejected: list[float]) -> None:
        logs = [math.log(value) + 1e-12 for value in e_values]
        threshold = e_bh_log_threshold(logs, tested, 0.05)
        assert [
            value for value, log_e in zip(e_values, logs, strict=True) if log_e >= threshold
        ] == rejected

    @pytest.mark.parametrize(
        ("strata", "difference"),
        [
            ([(8, 10, 3, 10)], 0.5),
            ([(8, 10, 8, 10), (3, 10, 3, 10)], 0.0),
            ([(8, 10, 0, 0)], 0.0),
            ([], 0.0),
            # Greenland & Robins by hand: (8·10-3·10)/20 and (4·20-4·5)/25 over 5 + 4.
            ([(8, 10, 3, 10), (4, 5, 4, 20)], (2.5 + 2.4) / (5 + 4)),
        ],
    )
    def test_pooled_difference(
        self, strata: list[tuple[int, int, int, int]], difference: float
    ) -> None:
        assert pooled_difference(strata) == pytest.approx(difference)


class TestReadingPayloads:
    @pytest.mark.parametrize(
        ("action", "accepted"),
        [("accept", True), ("reject", False), ("skip", False), ("retry", False),
         ("rephrase", False)],
    )  # fmt: skip
    def test_verdicts(self, action: str, accepted: bool) -> None:
        found = offers({"action": action, "item": {"Remote": True, "Level ": " Senior"}})
        assert found == [([{"remote": ["yes"], "level": ["senior"]}], [accepted])]

    def test_a_choice_is_one_yes_against_the_other_options(self) -> None:
        a, b = {"place": "Paris"}, {"place": "Wien"}
        found = offers({"action": "choose", "item": b, "options": [a, b, a]})
        paris, vienna = {"place": ["paris"]}, {"place": ["wien"]}
        assert found == [([vienna, paris, paris], [True, False, False])]

    def test_an_edit_is_the_new_value_against_the_old(self) -> None:
        found = offers(
            {"action": "edit", "item": {"tone": "casual", "length": "short"},
             "edited": {"tone": "formal", "length": "short", "font": "serif"}}
        )  # fmt: skip
        assert found == [([{"tone": ["formal"]}, {"tone": ["casual"]}], [True, False])]

    def test_a_dwell_is_judged_by_the_users_own_median(self) -> None:
        seconds = [5, 1, 3, 2, 4, 3, 9, 2]
        payloads = [
            {"action": "dwell", "item": {"n": str(n)}, "dwell_seconds": s}
            for n, s in enumerate(seconds)
        ]
        # The first five make the median 3: a sixth of 3 says nothing, 9 is over it, 2 under it.
        assert offers(*payloads) == [([{"n": ["6"]}], [True]), ([{"n": ["7"]}], [False])]

    def test_an_item_counts_once_and_a_decision_outweighs_a_glance(self) -> None:
        item = {"remote": "yes"}
        found = offers(
            {"action": "skip", "item": item, "item_id": "a"},
            {"action": "accept", "item": item, "item_id": "a"},
            {"action": "reject", "item": item, "item_id": "a"},
            {"action": "skip", "item": item, "item_id": "b"},
            {"action": "skip", "item": item, "item_id": "b"},
        )
        assert [accepted for _, accepted in found] == [[True], [False]]

    @pytest.mark.parametrize(
        ("attributes", "item"),
        [
            ({"skills": ["Go", "rust", "go"]}, {"skills": ["go", "rust"]}),
            ({"pay band": 3, "score": 2.5}, {"pay_band": ["3"], "score": ["2.5"]}),
            ({"a": None, "b": {}, "c": "", "d": "x" * 61, "e": []}, {}),
            ("remote", {}),
            (None, {}),
        ],
    )
    def test_values(self, attributes: object, item: dict[str, list[str]]) -> None:
        assert {name: sorted(values) for name, values in read_item(attributes).items()} == item

    @given(
        st.dictionaries(
            st.sampled_from(
                ["action", "item", "item_id", "options", "edited", "dwell_seconds", "context"]
            ),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5)
                | st.sampled_from(["accept", "edit", "choose", "dwell", "skip"]),
                lambda inner: st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=3), inner, max_size=3),
                max_leaves=6,
            ),
        )
    )  # fmt: skip
    def test_no_payload_breaks_it(self, payload: dict[str, Any]) -> None:
        for offer in read_offers(log(payload, payload)):
            assert len(offer.items) == len(offer.accepted)


class TestBelieving:
    def test_says_its_counts_and_cites_the_judgements(self) -> None:
        interactions = verdicts(40, likes_remote)
        (found,) = infer(interactions)
        with_it = [i for i in interactions if i.payload["item"]["remote"] == "yes"]
        n, m = len(with_it), len(interactions) - len(with_it)
        assert found.kind is MemoryKind.PREFERENCE
        assert (found.attribute, found.value) == ("prefers.remote", "yes")
        assert found.text == (
            f"Prefers remote: accepted {n} of {n} with remote = yes, 0 of {m} others."
        )
        assert [piece.interaction_id for piece in found.evidence] == [i.id for i in with_it]
        assert {piece.stance for piece in found.evidence} == {Stance.SUPPORTS}
        assert found.occurred_at == with_it[-1].occurred_at
        assert 0.95 < found.confidence <= 1

    def test_evidence_quotes_the_content_and_marks_exceptions(self) -> None:
        interactions = verdicts(60, likes_remote)
        odd = next(i for i in interactions if i.payload["item"]["remote"] == "yes")
        place = interactions.index(odd)
        interactions[place] = feedback(
            place + 1, {**odd.payload, "action": "reject"}, content="Rejected Ada, too far."
        )
        (found,) = infer(interactions)
        first = found.evidence[0]
        assert (first.stance, first.quote) == (Stance.CONTRADICTS, "Rejected Ada, too far.")
        assert interactions[place].content[first.start : first.end] == first.quote
        assert (found.evidence[1].quote, found.evidence[1].end) == ("", 0)

    def test_evidence_is_capped_at_the_latest(self) -> None:
        (found,) = infer(verdicts(300, likes_remote))
        assert len(found.evidence) == beliefs.WINDOW
        assert "accepted 50 of 50 with remote = yes, 0 of 50 others" in found.text

    def test_an_avoided_value_among_several(self) -> None:
        rng = dice(3)
        places = ["berlin", "munich", "paris", "vienna"]
        interactions = log(
            *(
                {"action": "reject" if place == "paris" else "accept", "item": {"place": place}}
                for place in rng.choices(places, k=60)
            )
        )
        (found,) = infer(interactions)
        assert (found.attribute, found.value) == ("avoids.place", "paris")
        assert found.text.startswith("Avoids place = paris: accepted 0 of ")
        assert {piece.stance for piece in found.evidence} == {Stance.SUPPORTS}

    def test_choices_and_edits_count(self) -> None:
        options = [{"length": "long"}, {"length": "short"}, {"length": "mid"}]
        chosen = log(*[{"action": "choose", "item": options[1], "options": options}] * 12)
        assert claims(infer(chosen)) == {("prefers.length", "short")}
        edit = {"action": "edit", "item": {"tone": "casual"}, "edited": {"tone": "formal"}}
        assert claims(infer(log(*[edit] * 15))) == {("prefers.tone", "formal")}

    def test_a_condition_keeps_histories_apart(self) -> None:
        backend = verdicts(40, likes_remote, seed=1, context="backend  roles")
        sales = verdicts(40, likes_office, seed=2, start=100, context="sales roles")
        found = infer([*backend, *sales])
        assert {(one.value, one.context) for one in found} == {
            ("yes", "backend roles"), ("no", "sales roles"),
        }  # fmt: skip
        assert any(one.text.startswith("Prefers remote (backend roles): ") for one in found)

    def test_an_attribute_in_anothers_disguise_is_not_reported(self) -> None:
        rng = dice(5)
        payloads = []
        for _ in range(200):
            remote = rng.random() < 0.5
            senior = rng.random() < (0.8 if remote else 0.2)
            accepted = rng.random() < (0.9 if remote else 0.1)
            item = {"remote": remote, "level": "senior" if senior else "mid"}
            payloads.append({"action": "accept" if accepted else "reject", "item": item})
        assert claims(infer(log(*payloads))) == {("prefers.remote", "yes")}

    def test_two_preferences_are_both_found(self) -> None:
        rng = dice(7)
        both = verdicts(
            200,
            lambda item: (
                rng.random() < 0.1 + 0.4 * likes_remote(item) + 0.4 * (item["level"] == "senior")
            ),
        )
        assert claims(infer(both)) == {("prefers.remote", "yes"), ("prefers.level", "senior")}

    def test_few_or_one_sided_judgements_say_nothing(self) -> None:
        assert infer(verdicts(8, likes_remote)) == []
        item = {"remote": "yes"}
        assert infer(log(*[{"action": "accept", "item": item}] * 100)) == []

    def test_the_same_history_gives_the_same_beliefs_however_often_it_is_read(self) -> None:
        interactions = verdicts(120, likes_remote)
        watched = PreferenceFold()
        for offer in read_offers(interactions):
            watched.add(offer)
            watched.beliefs()
        once = PreferenceFold()
        for offer in read_offers(interactions):
            once.add(offer)
        assert [b.counts for b in watched.beliefs()] == [b.counts for b in once.beliefs()]
        assert infer(interactions) == infer(interactions)

    async def test_as_an_extractor(self) -> None:
        extractor = create(Settings())
        assert isinstance(extractor, Behaviour)
        assert extractor.reading is Reading.USER
        found = await extractor.extract(LogSlice(SCOPE, verdicts(40, likes_remote)))
        assert {candidate.kind for candidate in found} == extractor.makes

    def test_the_sample_shows_what_it_was_written_to_show(self) -> None:
        users: dict[str, list[Interaction]] = {}
        for line in SAMPLE.read_text().splitlines():
            interaction = from_json(line)
            if interaction.kind is InteractionKind.FEEDBACK:
                users.setdefault(interaction.scope.user, []).append(interaction)
        found = {user: claims(infer(log)) for user, log in users.items()}
        assert found.pop("ana") == {("prefers.open_source", "yes")}
        assert found.pop("freya") == {("prefers.remote", "yes")}
        assert found
        assert all(claimed == set() for claimed in found.values())


class TestTurning:
    def test_a_reversed_preference_is_withdrawn_and_then_replaced(self) -> None:
        before = verdicts(60, likes_remote, seed=1)
        after = verdicts(80, likes_office, seed=2, start=100)
        held = [claims(infer([*before, *after[:n]])) for n in range(0, 81, 10)]
        assert held[0] == {("prefers.remote", "yes")}
        assert held[2] == set()
        assert held[-1] == {("prefers.remote", "no")}
        gone = held.index(set())
        assert ("prefers.remote", "yes") not in set().union(*held[gone:])

    def test_a_preference_that_faded_is_withdrawn(self) -> None:
        rng = dice(4)
        after = verdicts(200, lambda _: rng.random() < 0.5, seed=2, start=100)
        assert infer([*verdicts(60, likes_remote, seed=1), *after]) == []

    def test_a_few_exceptions_do_not_turn_it(self) -> None:
        before = verdicts(60, likes_remote, seed=1)
        after = verdicts(4, likes_office, seed=2, start=100)
        assert claims(infer([*before, *after])) == {("prefers.remote", "yes")}

    def test_a_late_preference_is_found(self) -> None:
        rng = dice(6)
        before = verdicts(150, lambda _: rng.random() < 0.5, seed=1)
        assert infer(before) == []
        late = verdicts(100, likes_remote, seed=2, start=200)
        assert claims(infer([*before, *late])) == {("prefers.remote", "yes")}

    def test_no_more_offers_of_the_value_is_no_turn(self) -> None:
        before = verdicts(60, likes_remote, seed=1)
        item = {"remote": "no", "level": "mid"}
        quiet = [feedback(n, {"action": "reject", "item": item}) for n in range(100, 300)]
        (found,) = infer([*before, *quiet])
        assert (found.attribute, found.value) == ("prefers.remote", "yes")
        assert found.evidence


class TestThroughTheStore:
    @pytest.fixture
    def extractors(self) -> list[Extractor]:
        return [create(Settings())]

    def test_counts_follow_and_a_turned_preference_is_withdrawn(
        self, client: MemoryClient, worker: Extraction
    ) -> None:
        def record(interactions: Sequence[Interaction]) -> list[Memory]:
            for one in interactions:
                client.record(
                    SCOPE, one.content, id=one.id, kind=one.kind, payload=one.payload,
                    occurred_at=one.occurred_at,
                )  # fmt: skip
            worker.drain()
            return client.history(SCOPE, kinds=[MemoryKind.PREFERENCE])

        (first,) = record(verdicts(30, likes_remote, seed=1))
        assert (first.attribute, first.value) == ("prefers.remote", "yes")
        (second,) = record(verdicts(20, likes_remote, seed=2, start=100))
        inferred = infer(
            [*verdicts(30, likes_remote, seed=1), *verdicts(20, likes_remote, seed=2, start=100)]
        )
        assert [second.text] == [candidate.text for candidate in inferred] != [first.text]
        cited = client.explain(SCOPE, second.id).evidence
        assert {piece.interaction_id for piece in cited} == {
            piece.interaction_id for piece in inferred[0].evidence
        }
        assert record(verdicts(20, likes_office, seed=3, start=200)) == []
        (turned,) = record(verdicts(40, likes_office, seed=4, start=300))
        assert (turned.attribute, turned.value) == ("prefers.remote", "no")


@pytest.mark.slow
class TestLongRun:
    """Simulated users, as in `benchmarks.behaviour`; seeded, so that each run is the same."""

    USERS = 200

    @pytest.mark.parametrize(
        "scenario",
        [
            "3 attributes, 9 values",
            "rate of acceptance drifts",
            "offers follow acceptance (Thompson sampling)",
            "choices among options",
        ],
    )
    def test_users_without_a_preference_hardly_ever_get_one(self, scenario: str) -> None:
        stream = simulation.NULL_SCENARIOS[scenario]
        credited = sum(
            simulation.ever_credited(stream(dice(f"test/{scenario}/{user}")), 200)
            for user in range(self.USERS)
        )
        assert credited <= 0.05 * self.USERS

    def test_a_plain_test_after_every_event_would_credit_most_of_them(self) -> None:
        credited = sum(
            simulation.plain_test_credits(simulation.indifferent(simulation.SMALL)(dice(user)), 200)
            for user in range(50)
        )
        assert credited > 25

    def test_users_with_a_preference_get_theirs(self) -> None:
        preference = simulation.Preference("remote", "yes", 0.8, 0.3)
        truth, found = ("prefers", "remote", "yes"), 0
        for user in range(60):
            stream = simulation.preferring(preference)(dice(f"test/{user}"))
            fold = PreferenceFold()
            for offer in islice(stream, 150):
                fold.add(offer)
            found += truth in simulation.believed_pairs(fold)
        assert found >= 54

    @settings(max_examples=20)
    @given(st.integers(0, 10_000))
    def test_counts_are_those_of_the_history(self, seed: int) -> None:
        preference = simulation.Preference("place", "munich", 0.9, 0.1)
        history = list(islice(simulation.preferring(preference)(dice(seed)), 80))
        fold = PreferenceFold()
        for offer in history:
            fold.add(offer)
        for belief in fold.beliefs():
            seen = [(o.items[0][belief.attribute], o.accepted[0]) for o in history]
            with_it = [accepted for values, accepted in seen if belief.value in values]
            assert belief.counts.judged_with <= min(len(with_it), beliefs.WINDOW)
            assert belief.counts.accepted_with <= sum(with_it)
            assert 0 <= belief.confidence <= 1
