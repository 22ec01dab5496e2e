"""What is private to one agent is not there for another, whichever verb names it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from memory.client import AsyncMemoryClient, MemoryClient
from memory.client.async_client import AsyncTaskState
from memory.errors import (
    InvalidInput,
    InvalidScope,
    UnknownInteraction,
    UnknownMemory,
    UnknownProposal,
)
from memory.models import Memory, Scope

TOLD = "The bank pays late"
OWNER = Scope("acme", "ana", "payroll", "closed")
OTHER = Scope("acme", "ana", "scout", "closed")
NOBODY = Scope("acme", "ana", None, "closed")

TABLES = (
    "interactions", "memories", "evidence", "task_state", "retractions", "review_decisions",
)  # fmt: skip


@dataclass(frozen=True)
class Store:
    """A client on a store in which `memory`, of interaction `p1`, is private to the owner."""

    client: MemoryClient
    memory: int
    superuser: psycopg.Connection

    def everything(self) -> list[Any]:
        """What there is of the user, apart from counters, as the superuser sees it."""
        return [
            self.superuser.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4").fetchall()
            for table in (
                "interactions",
                "memories",
                "evidence",
                "task_state",
                "retractions",
                "review_decisions",
            )
        ]


@pytest.fixture
def store(client: MemoryClient, superuser: psycopg.Connection) -> Store:
    memory = client.remember(OWNER, TOLD, id="p1", private=True)
    client.record(OWNER, TOLD, id="p2", private=True, source="vault")
    client.state.set(OWNER, "task", TOLD)
    client.retract(OWNER, interactions=["p2"], reason=TOLD)
    superuser.execute(PRIVATE_PROPOSAL)
    return Store(client, memory.id, superuser)


PROPOSAL = "ab" * 16
PRIVATE_PROPOSAL = f"""
INSERT INTO assertions (tenant_id, user_id, generation, belief_key, assertion_id, position,
    candidate, provenance, extractor, interaction_ids, recorded_at, origin, proposal)
SELECT tenant_id, user_id, 1, 'k', 'a', position,
    jsonb_build_object('agent', agent_id, 'session', session_id, 'ordinal', ordinal,
        'ordinal_to', ordinal, 'said', jsonb_build_object('kind', 'fact', 'text', content,
            'occurred_at', occurred_at, 'evidence', jsonb_build_array(jsonb_build_object(
                'interaction_id', interaction_id, 'quote', content, 'start', 0,
                'end', length(content), 'occurred_at', occurred_at, 'origin', 'tool')))),
    '{{"extractor": "test", "extractor_version": "1"}}', 'test', ARRAY[interaction_id], now(),
    'tool', '\\x{PROPOSAL}'
FROM interactions WHERE interaction_id = 'p1'
"""


def shows_nothing(read: Callable[[Store, Scope], object]) -> Callable[[Store, Scope], None]:
    def check(store: Store, other: Scope) -> None:
        assert TOLD in repr(read(store, OWNER))
        assert TOLD not in repr(read(store, other))

    return check


def is_unknown(
    error: type[InvalidInput], call: Callable[[Store, Scope, Any], object], absent: Any
) -> Callable[[Store, Scope], None]:
    """The call fails alike for what is private to the owner and for what is not there."""

    def check(store: Store, other: Scope) -> None:
        private = store.memory if isinstance(absent, int) else "p1"
        with pytest.raises(error) as hidden:
            call(store, other, private)
        with pytest.raises(error) as missing:
            call(store, other, absent)
        named = PROPOSAL if error is UnknownProposal else private
        assert str(hidden.value) == str(missing.value).replace(repr(absent), repr(named))

    return check


def each(*checks: Callable[[Store, Scope], None]) -> Callable[[Store, Scope], None]:
    def check(store: Store, other: Scope) -> None:
        for one in checks:
            one(store, other)

    return check


def changes_nothing(call: Callable[[Store, Scope], object]) -> Callable[[Store, Scope], None]:
    def check(store: Store, other: Scope) -> None:
        call(store, other)

    return check


def revised_as_if_unknown(verb: str) -> Callable[[Store, Scope], None]:
    def by_source(store: Store, other: Scope) -> None:
        found = getattr(store.client, verb)(other, source="vault")
        assert found == getattr(store.client, verb)(other, source="no such source")

    return each(
        is_unknown(
            UnknownInteraction,
            lambda s, scope, one: getattr(s.client, verb)(scope, interactions=[one]),
            "p9",
        ),
        by_source,
    )


def forgets_nothing(store: Store, other: Scope) -> None:
    for keep in (False, True):
        is_unknown(
            UnknownMemory,
            lambda s, scope, memory, keep=keep: s.client.forget(  # type: ignore[misc]
                scope, memory=memory, keep_sources=keep
            ),
            9_999,
        )(store, other)
    gone = store.client.forget(other, session="closed")
    assert gone == store.client.forget(other, session="no such session")


def sets_nothing(store: Store, other: Scope) -> None:
    with pytest.raises(InvalidScope):
        store.client.state.set(other, "task", "mine")


def remembers_its_own(store: Store, other: Scope) -> None:
    mine = store.client.remember(other, "Prefers tea", private=other.agent is not None)
    assert mine.id != store.memory
    store.client.forget(other, memory=mine.id)


PRIVATE: Mapping[str, Callable[[Store, Scope], None]] = {
    "context": shows_nothing(lambda s, scope: s.client.context(scope, "bank")),
    "recall": shows_nothing(lambda s, scope: s.client.recall(scope, "bank")),
    "history": shows_nothing(lambda s, scope: s.client.history(scope, closed=True)),
    "interactions": shows_nothing(lambda s, scope: s.client.interactions(scope)),
    "proposals": shows_nothing(lambda s, scope: s.client.proposals(scope, decided=True)),
    **{
        verb: is_unknown(
            UnknownProposal,
            lambda s, scope, one, verb=verb: getattr(s.client, verb)(  # type: ignore[misc]
                scope, PROPOSAL if one == "p1" else one
            ),
            "cd" * 16,
        )
        for verb in ("approve", "decline", "undecide")
    },
    "retractions": shows_nothing(lambda s, scope: s.client.retractions(scope)),
    "explain": is_unknown(UnknownMemory, lambda s, scope, m: s.client.explain(scope, m), 9_999),
    "forget": forgets_nothing,
    "retract": revised_as_if_unknown("retract"),
    "restore": revised_as_if_unknown("restore"),
    "remember": remembers_its_own,
    "state.get": shows_nothing(lambda s, scope: s.client.state.get(scope)),
    "state.set": sets_nothing,
    "state.delete": changes_nothing(lambda s, scope: s.client.state.delete(scope, "task")),
}
"""What each verb that names a memory, an interaction, a session or a source does for another."""

WITHOUT: Mapping[str, str] = {
    "open": "names nothing of a user",
    "close": "names nothing of a user",
    "record": "adds to the log, in which an id has to be new whoever used it",
    "record_many": "as record",
    "explain_collective": "what all users of a tenant share rests on nothing private",
    "position": "counts the user's interactions, whoever may read them, as every receipt does",
}
"""The other verbs, and why they show nothing of what is private."""


def verbs(of: type, prefix: str = "") -> set[str]:
    return {
        prefix + name
        for name, member in inspect.getmembers(of, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }


def test_every_verb_is_classified() -> None:
    every = verbs(AsyncMemoryClient) | verbs(AsyncTaskState, "state.")
    assert every == PRIVATE.keys() | WITHOUT.keys()


@pytest.mark.parametrize("verb", PRIVATE)
@pytest.mark.parametrize("other", [OTHER, NOBODY], ids=["another agent", "no agent"])
def test_is_not_there_for_another(store: Store, verb: str, other: Scope) -> None:
    before = store.everything()
    PRIVATE[verb](store, other)
    assert store.everything() == before


class TestASessionOfTwo:
    """One session, in which the owner says one thing in private and another to all."""

    @pytest.fixture
    def shared(self, client: MemoryClient) -> Memory:
        client.record(OWNER, "Hello, all", id="s1")
        client.record(OWNER, TOLD, id="s2", private=True)
        return client.remember(OWNER, "Works remotely", id="s3")

    def test_forgetting_it_leaves_what_is_private_to_another(
        self, client: MemoryClient, shared: Memory
    ) -> None:
        assert client.forget(OTHER, session="closed").interactions == 2
        assert [i.id for i in client.interactions(OWNER)] == ["s2"]
        assert shared not in client.history(OWNER)
        assert client.forget(OWNER, session="closed").interactions == 1

    def test_forgetting_the_user_leaves_nothing(self, client: MemoryClient, shared: Memory) -> None:
        assert client.forget(OTHER, user=True).interactions == 3
        assert client.interactions(OWNER) == []

    def test_a_page_holds_as_many_as_were_asked_for(
        self, client: MemoryClient, shared: Memory
    ) -> None:
        assert [i.id for i in client.interactions(OTHER, limit=2)] == ["s1", "s3"]

    def test_all_in_it_share_its_state(self, client: MemoryClient, shared: Memory) -> None:
        client.state.set(OTHER, "task", "open")
        assert client.state.get(OWNER) == {"task": "open"}
