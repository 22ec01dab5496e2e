"""How often users without preferences get one, and how soon those with one get theirs.

    python -m benchmarks.behaviour [--users 2000] [--plot behaviour.png]

Simulates users one event at a time through the product's own fold, looking after every event, and
prints JSON: `null` (share of users ever credited with a preference, by scenario),
`null_by_a_plain_test` (the same by a 95 % test after every event), `power` (share of users whose
preference is believed after n events, by effect), `turns` (events until a belief is withdrawn
after the preference went or reversed, and how often a lasting one is), `seconds` (per 1,000
feedback interactions, payloads read). All but the seconds follow from `--seed`. The plot needs
matplotlib (the extra `bench`).
"""

import argparse
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from extractors.behaviour.extractor import infer
from extractors.behaviour.feedback import Dwells, Item, Offer
from extractors.behaviour.preferences import MINIMUM_COUNT, PreferenceFold
from memory.models import Interaction, InteractionKind, Role, Scope

LOOKS = (10, 20, 30, 50, 75, 100, 150, 200, 300)
EFFECTS = ((0.9, 0.2), (0.8, 0.3), (0.7, 0.4), (0.6, 0.4))
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
SCOPE = Scope(tenant="simulated", user="user", session="session")

Catalogue = Mapping[str, Mapping[str, float]]
"""Attributes, their values, and how often each value comes up (weights)."""

SMALL: Catalogue = {
    "remote": {"yes": 1, "no": 1},
    "level": {"junior": 1, "mid": 1, "senior": 1},
    "place": {"berlin": 1, "munich": 1, "paris": 1, "vienna": 1},
}
LARGE: Catalogue = {
    **SMALL,
    "visa": {"yes": 1, "no": 4},
    "size": {"small": 3, "medium": 2, "large": 1},
    "sector": {name: 1 / rank for rank, name in enumerate("abcdefgh", start=1)},
    "shift": {"day": 5, "night": 1},
    "travel": {"none": 2, "some": 2, "much": 1},
    "company": {f"company {number}": 1 / (number + 1) for number in range(300)},
}

Stream = Iterator[Offer]
Scenario = Callable[[random.Random], Stream]


@dataclass(frozen=True)
class Preference:
    """Items with attribute = value are accepted at `rate`, all others at `otherwise`."""

    attribute: str
    value: str
    rate: float
    otherwise: float

    def accepts(self, item: Item, rng: random.Random) -> bool:
        """A draw from the rate that applies to `item`."""
        liked = self.value in item.get(self.attribute, ())
        return rng.random() < (self.rate if liked else self.otherwise)


def draw_item(catalogue: Catalogue, rng: random.Random) -> Item:
    return {
        attribute: frozenset(rng.choices(list(values), list(values.values())))
        for attribute, values in catalogue.items()
    }


def interaction(number: int, payload: Mapping[str, Any]) -> Interaction:
    return Interaction(
        scope=SCOPE,
        id=f"event-{number}",
        kind=InteractionKind.FEEDBACK,
        role=Role.USER,
        content="",
        occurred_at=START + timedelta(minutes=number),
        payload=payload,
        ordinal=number,
        position=number,
    )


BLANK = interaction(1, {})


def judged(item: Item, accepted: bool) -> Offer:
    return Offer(BLANK, None, (item,), (accepted,), compared=False)


# --- users without preferences ---------------------------------------------------------------


def indifferent(catalogue: Catalogue) -> Scenario:
    """Accepts everything at one rate of the user's own, between 10 % and 90 %."""

    def stream(rng: random.Random) -> Stream:
        rate = rng.uniform(0.1, 0.9)
        while True:
            yield judged(draw_item(catalogue, rng), rng.random() < rate)

    return stream


def drifting(rng: random.Random) -> Stream:
    """The rate of acceptance wanders between 10 % and 90 % within about 60 events."""
    phase, number = rng.uniform(0, 2 * math.pi), 0
    while True:
        rate = 0.5 + 0.4 * math.sin(phase + number / 10)
        yield judged(draw_item(SMALL, rng), rng.random() < rate)
        number += 1


def drifting_stock(rng: random.Random) -> Stream:
    """Both the rate of acceptance and what is on offer change, in steps of 50 events."""
    while True:
        rate, remote = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9)
        for _ in range(50):
            item = {**draw_item(SMALL, rng), "remote": frozenset({_yes_no(remote, rng)})}
            yield judged(item, rng.random() < rate)


def chasing(rng: random.Random) -> Stream:
    """What is offered follows what was accepted (Thompson sampling over places)."""
    rate = rng.uniform(0.1, 0.9)
    tally = {place: [1, 1] for place in SMALL["place"]}
    while True:
        place = max(tally, key=lambda name: rng.betavariate(*tally[name]))
        item = {**draw_item(SMALL, rng), "place": frozenset({place})}
        accepted = rng.random() < rate
        tally[place][0 if accepted else 1] += 1
        yield judged(item, accepted)


def repeating(rng: random.Random) -> Stream:
    """The same place is offered again after a yes, another after a no."""
    rate, place = rng.uniform(0.1, 0.9), "berlin"
    while True:
        accepted = rng.random() < rate
        yield judged({**draw_item(SMALL, rng), "place": frozenset({place})}, accepted)
        if not accepted:
            place = rng.choice(list(SMALL["place"]))


def choosing(rng: random.Random) -> Stream:
    """Takes one of two to five options, whichever."""
    while True:
        items = tuple(draw_item(SMALL, rng) for _ in range(rng.randint(2, 5)))
        accepted = (True,) + (False,) * (len(items) - 1)
        yield Offer(BLANK, None, items, accepted, compared=True)


def dwelling(rng: random.Random) -> Stream:
    """Stays with items for times that have nothing to do with them."""
    usual = Dwells()
    while True:
        longer = usual.longer(rng.lognormvariate(2, 1))
        if longer is not None:
            yield judged(draw_item(SMALL, rng), longer)


def _yes_no(share: float, rng: random.Random) -> str:
    return "yes" if rng.random() < share else "no"


NULL_SCENARIOS: Mapping[str, Scenario] = {
    "3 attributes, 9 values": indifferent(SMALL),
    "9 attributes, some rare, one with 300 values": indifferent(LARGE),
    "rate of acceptance drifts": drifting,
    "rate and offers change in steps": drifting_stock,
    "offers follow acceptance (Thompson sampling)": chasing,
    "offers repeat after a yes": repeating,
    "choices among options": choosing,
    "dwell times": dwelling,
}


def ever_credited(stream: Stream, events: int) -> bool:
    """Whether a preference is believed at any of the looks after each event."""
    fold = PreferenceFold()
    for offer in islice(stream, events):
        fold.add(offer)
        if fold.beliefs():
            return True
    return False


def null_users(users: int, events: int, seed: int) -> dict[str, float]:
    return {
        name: statistics.fmean(
            ever_credited(scenario(random.Random(f"{seed}/{name}/{user}")), events)
            for user in range(users)
        )
        for name, scenario in NULL_SCENARIOS.items()
    }


def plain_test_credits(stream: Stream, events: int) -> bool:
    """Whether a 95 % z-test of two rates, looked at after every event, ever rejects.

    Each value against the others, from five judgements on either side, without any correction.
    """
    total = [0, 0]
    values: dict[tuple[str, str], list[int]] = {}
    for offer in islice(stream, events):
        accepted = offer.accepted[0]
        total = [total[0] + accepted, total[1] + 1]
        for name, carried in offer.items[0].items():
            for value in carried:
                counts = values.setdefault((name, value), [0, 0])
                counts[0] += accepted
                counts[1] += 1
        if any(_z_score(total, counts) > 1.96 for counts in values.values()):
            return True
    return False


def _z_score(total: Sequence[int], counts: Sequence[int]) -> float:
    others = (total[0] - counts[0], total[1] - counts[1])
    if min(counts[1], others[1]) < MINIMUM_COUNT:
        return 0.0
    rate = total[0] / total[1]
    error = math.sqrt(rate * (1 - rate) * (1 / counts[1] + 1 / others[1]))
    return abs(counts[0] / counts[1] - others[0] / others[1]) / error if error else 0.0


def plain_test_users(users: int, events: int, seed: int) -> float:
    scenario = indifferent(SMALL)
    return statistics.fmean(
        plain_test_credits(scenario(random.Random(f"{seed}/plain/{user}")), events)
        for user in range(users)
    )


# --- users with one --------------------------------------------------------------------------


def preferring(preference: Preference, catalogue: Catalogue = SMALL) -> Scenario:
    def stream(rng: random.Random) -> Stream:
        while True:
            item = draw_item(catalogue, rng)
            yield judged(item, preference.accepts(item, rng))

    return stream


def changing(before: Preference, after: Preference, events: int) -> Scenario:
    def stream(rng: random.Random) -> Stream:
        yield from islice(preferring(before)(rng), events)
        yield from preferring(after)(rng)

    return stream


def believed_pairs(fold: PreferenceFold) -> set[tuple[str, str, str]]:
    return {(belief.direction, belief.attribute, belief.value) for belief in fold.beliefs()}


def follow(stream: Stream, events: int) -> Iterator[set[tuple[str, str, str]]]:
    """What is believed after each event."""
    fold = PreferenceFold()
    for offer in islice(stream, events):
        fold.add(offer)
        yield believed_pairs(fold)


def power(users: int, seed: int) -> dict[str, Any]:
    curves: dict[str, Any] = {}
    for value, attribute in (("yes", "remote"), ("munich", "place")):
        for rate, otherwise in EFFECTS:
            name = f"{attribute} = {value}: {rate:.0%} v {otherwise:.0%}"
            preference = Preference(attribute, value, rate, otherwise)
            curves[name] = _power_curve(preference, users, seed)
    return curves


def _power_curve(preference: Preference, users: int, seed: int) -> dict[str, Any]:
    truth = ("prefers", preference.attribute, preference.value)
    scenario, found, wrong = preferring(preference), [math.inf] * users, 0
    for user in range(users):
        others = False
        stream = scenario(random.Random(f"{seed}/{preference}/{user}"))
        for event, believed in enumerate(follow(stream, max(LOOKS)), start=1):
            if truth in believed:
                found[user] = min(found[user], event)
            others |= bool(believed - {truth})
        wrong += others
    return {
        "believed_by": {str(n): sum(event <= n for event in found) / users for n in LOOKS},
        "median_events": _finite(statistics.median(found)),
        "ever_another_belief": wrong / users,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def turns(users: int, seed: int) -> dict[str, Any]:
    """What becomes of a belief in 80 % v 30 %, held since event 100, after event 100."""
    before = Preference("remote", "yes", 0.8, 0.3)
    later = {
        "reversed (30 % v 80 %)": Preference("remote", "yes", 0.3, 0.8),
        "gone (55 % v 55 %)": Preference("remote", "yes", 0.55, 0.55),
        "lasting": before,
    }
    return {
        name: _withdrawals(changing(before, after, 100), users, f"{seed}/{name}")
        for name, after in later.items()
    }


def _withdrawals(scenario: Scenario, users: int, seed: str) -> dict[str, Any]:
    truth, after, held = ("prefers", "remote", "yes"), [], 0
    for user in range(users):
        beliefs = list(follow(scenario(random.Random(f"{seed}/{user}")), 400))
        if truth in beliefs[99]:
            held += 1
            gone = (n for n, believed in enumerate(beliefs[100:], 1) if truth not in believed)
            after.append(next(gone, math.inf))
    return {
        "held_at_100": held / users,
        "median_events_to_withdrawal": _finite(statistics.median(after)),
        "withdrawn_within_300": sum(math.isfinite(event) for event in after) / held,
    }


# --- cost and output -------------------------------------------------------------------------


def seconds_per_thousand(seed: int) -> dict[str, float]:
    """Median wall time to infer from 1,000 feedback interactions, payloads included."""
    timings = {}
    for name, catalogue in (("3 attributes", SMALL), ("9 attributes", LARGE)):
        rng = random.Random(seed)
        preference = Preference("remote", "yes", 0.8, 0.3)
        events = []
        for number in range(1, 1_001):
            item = draw_item(catalogue, rng)
            action = "accept" if preference.accepts(item, rng) else "reject"
            attributes = {attribute: next(iter(values)) for attribute, values in item.items()}
            events.append(interaction(number, {"action": action, "item": attributes}))
        timings[name] = statistics.median(_seconds(events) for _ in range(5))
    return timings


def _seconds(events: Sequence[Interaction]) -> float:
    started = time.perf_counter()
    infer(events)
    return time.perf_counter() - started


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Power curves and null shares as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for number, (name, curve) in enumerate(report["power"].items()):
        looks = [int(n) for n in curve["believed_by"]]
        style, color = "-" if number < len(EFFECTS) else "--", f"C{number % len(EFFECTS)}"
        left.plot(
            looks, list(curve["believed_by"].values()), style, color=color, marker=".", label=name
        )
    left.set(xlabel="events", ylabel="share of users whose preference is believed", ylim=(0, 1))
    figure.legend(fontsize="x-small", ncols=4, loc="outside lower center")
    names, shares = list(report["null"]), list(report["null"].values())
    right.barh(names, shares)
    right.axvline(0.05, linestyle=":", color="black")
    right.set(xlabel=f"null users ever credited in {report['events']} events", xlim=(0, 0.06))
    right.tick_params(labelsize="x-small")
    figure.savefig(path, dpi=100)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.behaviour", description=__doc__)
    parser.add_argument("--users", type=int, default=2_000, help="users per scenario")
    parser.add_argument("--events", type=int, default=200, help="events per null user")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="write the curves to this PNG")
    options = parser.parse_args(arguments)
    report = {
        "users": options.users,
        "events": options.events,
        "seed": options.seed,
        "null": null_users(options.users, options.events, options.seed),
        "null_by_a_plain_test": plain_test_users(options.users, options.events, options.seed),
        "power": power(max(1, options.users // 4), options.seed),
        "turns": turns(max(1, options.users // 4), options.seed),
        "seconds": seconds_per_thousand(options.seed),
    }
    if options.plot:
        draw(report, options.plot)
    json.dump(report, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
