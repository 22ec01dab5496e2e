"""However extraction, replay, recording and forgetting alternate: generations come out alike."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import TupleRow
from pydantic import SecretStr

from consumers.extraction import derivation
from consumers.generations.registry import roll_back
from consumers.replay.replay import Pace, ReplayFilter
from extractors.explicit import ExplicitExtractor
from extractors.protocol import Extractor
from memory.client import MemoryClient
from memory.errors import UnknownMemory
from memory.models import Scope
from memory.settings import Settings
from tests.conftest import Databases, Residence, Verbatim, WordEmbedder
from tests.replaying import ANA, House, content, day, opened

READ_FIRST = (11, 12, 13, 19)
"""Session, places and date of a memory: of the first statement read of those that it rests on."""

EVERY = ["residence", "verbatim", "explicit"]
"""When something was believed first depends on when it was read; what is believed does not."""

_numbers = count(1)


@dataclass(frozen=True)
class Store:
    """One store for all examples, each of which has a user of its own."""

    client: MemoryClient
    house: House
    superuser: psycopg.Connection[TupleRow]

    def of(self, generation: str, user: str) -> list[TupleRow]:
        rows = content(self.superuser, generation, whole=EVERY)
        told = [n for n in range(len(rows[0])) if n not in READ_FIRST] if rows else []
        return [tuple(row[n] for n in told) for row in rows if row[1] == user]


@pytest.fixture(scope="module")
def store(databases: Databases, template: str) -> Iterator[Store]:
    with databases.making() as make:
        url = make(template)
        chosen = Settings(database_url=SecretStr(url), debounce=0.0)
        extractors: list[Extractor] = [ExplicitExtractor(), Verbatim(), Residence()]
        with (
            MemoryClient(chosen, embedder=WordEmbedder()) as client,
            opened(chosen, url, WordEmbedder(), extractors) as house,
            psycopg.connect(url, autocommit=True) as superuser,
        ):
            superuser.execute("SET search_path TO memory, public")
            yield Store(client, house, superuser)


Step = Callable[[Store, Scope], None]


def record(said: str, session: str, at: int) -> Step:
    def step(store: Store, scope: Scope) -> None:
        store.client.record(scope.in_session(session), said, occurred_at=day(at))

    return step


def remember(value: str) -> Step:
    def step(store: Store, scope: Scope) -> None:
        with suppress(UnknownMemory):  # what was to be forgotten is not believed again
            store.client.remember(scope, f"Likes {value}", attribute="likes", value=value)

    return step


def forget(which: int, keep_sources: bool) -> Step:
    def step(store: Store, scope: Scope) -> None:
        held = store.client.history(scope)
        if held:
            chosen = held[which % len(held)].id
            store.client.forget(scope, memory=chosen, keep_sources=keep_sources)

    return step


def retract(which: int, again: bool) -> Step:
    def step(store: Store, scope: Scope) -> None:
        rows = store.superuser.execute(
            "SELECT interaction_id FROM interactions WHERE user_id = %s ORDER BY position",
            (scope.user,),
        ).fetchall()
        if rows:
            chosen = rows[which % len(rows)][0]
            store.client.retract(scope, interactions=[chosen])
            if again:
                store.client.restore(scope, interactions=[chosen])

    return step


def extract(store: Store, scope: Scope) -> None:
    store.house.portal.call(store.house.worker.drain, scope.tenant, scope.user)


def replay(store: Store, scope: Scope) -> None:
    store.house.replay(part=ReplayFilter(users=[scope.user]), pace=Pace(budget=1))


def shift(store: Store, scope: Scope) -> None:
    store.house.replay(part=ReplayFilter(users=[scope.user]))
    store.house.shift(100)


def unshift(store: Store, _: Scope) -> None:
    state = store.superuser.execute("SELECT percent FROM generations WHERE name = 'next'")
    if state.fetchone() == (100,):
        store.house.portal.call(roll_back, store.house.database)


SAID = ["I live in Berlin.", "I live in Oslo.", "I left Oslo.", "I speak Thai.", "Hello."]
DAYS = st.integers(0, 9) | st.just(3)
"""When something is said: often at the same time as something else."""

STEPS = st.lists(
    st.one_of(
        st.builds(record, st.sampled_from(SAID), st.sampled_from(["s1", "s2"]), DAYS),
        st.builds(remember, st.sampled_from(["tea", "dogs"])),
        st.builds(forget, st.integers(0, 9), st.booleans()),
        st.builds(retract, st.integers(0, 9), st.booleans()),
        st.sampled_from([extract, replay, shift, unshift]),
    ),
    min_size=3,
    max_size=14,
)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(STEPS)
def test_every_generation_is_what_a_fresh_derivation_gives(
    store: Store, monkeypatch: pytest.MonkeyPatch, steps: list[Step]
) -> None:
    monkeypatch.setattr(derivation, "BATCH", 2)  # so that a budget ends a run within a session
    number = next(_numbers)
    scope = replace(ANA, user=f"user-{number}")
    for step in steps:
        step(store, scope)
    unshift(store, scope)
    extract(store, scope)
    for name in ("next", f"fresh-{number}"):
        assert store.house.replay(name=name, part=ReplayFilter(users=[scope.user])).left == 0
    fresh = store.of(f"fresh-{number}", scope.user)
    assert store.of("first", scope.user) == fresh
    assert store.of("next", scope.user) == fresh


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("said", [("Berlin", "Oslo"), ("Oslo", "Berlin")])
@pytest.mark.parametrize("which", [1, 2])
def test_what_is_restored_is_cited_as_if_it_had_always_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch, batch: int, said: tuple[str, str], which: int
) -> None:
    monkeypatch.setattr(derivation, "BATCH", batch)
    number = next(_numbers)
    scope = replace(ANA, user=f"user-{number}")
    first, then = said
    for city, at in [(first, 0), (then, 3), (then, 3)]:
        record(f"I live in {city}.", "s1", at)(store, scope)
    extract(store, scope)
    retract(which, again=True)(store, scope)
    extract(store, scope)
    assert store.house.replay(f"fresh-{number}", part=ReplayFilter(users=[scope.user])).left == 0
    believed = store.of("first", scope.user)
    assert len(believed) == 5  # each message, and two homes
    assert believed == store.of(f"fresh-{number}", scope.user)


def test_the_steps_can_make_a_difference(store: Store) -> None:
    scope = replace(ANA, user="checked")
    record("I live in Berlin.", "s1", 1)(store, scope)
    replay(store, scope)
    record("I live in Oslo.", "s1", 2)(store, scope)
    extract(store, scope)
    assert store.of("first", "checked") != store.of("next", "checked")
    replay(store, scope)
    forget(0, keep_sources=False)(store, scope)
    extract(store, scope)
    assert 0 < len(store.of("next", "checked")) < 4
