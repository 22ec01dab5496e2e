"""The checks of the chaos run: a right store passes all of them, and each sees its own fault."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import SecretStr

from benchmarks.chaos.checks import CHECKS, Expected, judge
from benchmarks.chaos.extractors import DigestEmbedder, extractors
from benchmarks.chaos.load import Load
from benchmarks.chaos.snapshot import Message, Snapshot, read_snapshot, snapshot_of
from consumers.changes import change_of
from consumers.extraction import Worker
from memory.client import AsyncMemoryClient
from memory.database import Database, DatabaseRole
from memory.settings import Settings

LOAD = Load(messages=300, seed=7, producers=2, users=6, poison=4)


async def fill(url: str) -> None:
    """What the load produces, through the product, with nothing breaking."""
    settings = Settings(database_url=SecretStr(url), debounce=0.0, pool_max=2)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE memory.change_stream SET enabled_at = now()")
    async with AsyncMemoryClient(settings, embedder=DigestEmbedder()) as client:
        for producer in range(LOAD.producers):
            for number, group in enumerate(LOAD.groups(producer)):
                await client.record_many(group.messages)
                if number % 5 == 0:  # so that sessions are extracted in pieces
                    await drain(url, settings)
    await drain(url, settings)
    with psycopg.connect(url, autocommit=True) as connection:  # as one who published all
        connection.execute("UPDATE memory.change_cursors SET published_seq = last_seq")


async def drain(url: str, settings: Settings) -> None:
    async with Database(settings, url, DatabaseRole.WORKER) as database:
        await Worker(database, DigestEmbedder(), extractors(), settings).drain()


@pytest.fixture(scope="class")
def store(make_class_database: object, template: str) -> str:
    assert callable(make_class_database)
    url = str(make_class_database(template))
    asyncio.run(fill(url))
    return url


@pytest.fixture
def expected() -> Expected:
    poison = LOAD.poisoned()
    return Expected(LOAD.produced(), {value: poison.count(value) for value in poison})


@pytest.fixture(scope="class")
def told(store: str) -> list[Message]:
    """What a publisher would have sent."""
    with psycopg.connect(store, row_factory=dict_row) as connection:
        rows = connection.execute("SELECT * FROM memory.changes ORDER BY tenant_id, user_id, seq")
        return [Message(0, n, change_of(row).value) for n, row in enumerate(rows.fetchall())]


@pytest.fixture
def broker(told: list[Message]) -> Snapshot:
    """What a broker would know: two partitions at their ends, the poison in the first."""
    dead = [Message(0, n, value) for n, value in enumerate(LOAD.poisoned())]
    ends = {0: 200, 1: 104}
    return Snapshot(ends=ends, positions=dict(ends), dead=dead, topic=list(dead), changes=told)


@pytest.fixture
def right(store: str, broker: Snapshot) -> Snapshot:
    return with_broker(read_snapshot(store), broker)


def with_broker(snapshot: Snapshot, broker: Snapshot) -> Snapshot:
    snapshot.ends, snapshot.positions = broker.ends, broker.positions
    snapshot.dead, snapshot.topic = broker.dead, broker.topic
    snapshot.changes = broker.changes
    return snapshot


FAULTS = [
    (
        "every_id_is_there_once",
        "DELETE FROM interactions WHERE interaction_id = 'user-1-9'",
        "'user-1-9' of 'user-1' was produced and is not in the log",
    ),
    (
        "every_id_is_there_once",
        "UPDATE interactions SET interaction_id = 'made-up' WHERE interaction_id = 'user-1-9'",
        "'user-1-9' of 'user-1' was produced",
    ),
    (
        "content_is_as_produced",
        "UPDATE interactions SET session_id = 'other' WHERE interaction_id = 'user-1-9'",
        "'user-1-9' was produced as",
    ),
    (
        "positions_have_no_gap",
        "UPDATE interactions SET position = position + 1 WHERE user_id = 'user-2' AND position > 7",
        "user 'user-2' has position 9 where 8 should stand",
    ),
    (
        "positions_have_no_gap",
        "UPDATE users SET position = position + 1, extracted = extracted + 1"
        " WHERE user_id = 'user-2'",
        "user 'user-2' ends at",
    ),
    (
        "ordinals_have_no_gap",
        "UPDATE interactions SET ordinal = 900 WHERE interaction_id = 'user-3-2'",
        "session user-3/session-0",
    ),
    (
        "ordinals_have_no_gap",
        "UPDATE sessions SET length = length - 1 WHERE user_id = 'user-3'",
        "its row at",
    ),
    (
        "order_is_as_produced",
        "UPDATE interactions SET position = 11 - position"
        " WHERE user_id = 'user-4' AND position IN (5, 6)",
        "'user-4-6' stands before 'user-4-5', and was produced after it",
    ),
    (
        "memories_have_evidence",
        "DELETE FROM evidence WHERE user_id = 'user-0' AND memory_id = 2",
        "memory 2 of 'user-0'",
    ),
    (
        "evidence_exists_and_is_quoted",
        "UPDATE evidence SET quote = 'Never said.' WHERE user_id = 'user-0'",
        "quotes 'Never said.' from 'user-0-",
    ),
    (
        "evidence_exists_and_is_quoted",
        "UPDATE evidence SET interaction_id = 'nowhere'"
        " WHERE (user_id, interaction_id) = ('user-0', 'user-0-3')",
        "from 'nowhere', which is not in the log",
    ),
    (
        "memories_have_one_vector",
        "DELETE FROM embeddings WHERE user_id = 'user-5'",
        "of 'user-5' (",
    ),
    (
        "each_interaction_is_extracted_once",
        "INSERT INTO evidence SELECT tenant_id, user_id, 999, interaction_id, start_offset,"
        " end_offset, quote, stance, occurred_at, recorded_at FROM evidence"
        " WHERE user_id = 'user-1' AND interaction_id = 'user-1-4' AND start_offset = 0",
        "'user-1-4' was extracted 2 times",
    ),
    (
        "each_interaction_is_extracted_once",
        "UPDATE memories SET believed_to = now() WHERE user_id = 'user-1' AND memory_id = 1",
        "was committed again",
    ),
    (
        "assertions_are_as_folded",
        "DELETE FROM assertions WHERE user_id = 'user-2'",
        "an assertion of user 'user-2' is missing",
    ),
    (
        "assertions_are_as_folded",
        "UPDATE assertions SET assertion_id = '\\x00' WHERE user_id = 'user-2'"
        " AND assertion_id = (SELECT max(assertion_id) FROM assertions WHERE user_id = 'user-2')",
        "an assertion of user 'user-2'",
    ),
    (
        "beliefs_are_as_folded",
        "UPDATE memories SET support = support + 1 WHERE user_id = 'user-3'",
        "user 'user-3' should believe",
    ),
    (
        "beliefs_are_as_folded",
        "UPDATE memories SET believed_to = now()"
        " WHERE user_id = 'user-3' AND extractor = 'statements'",
        "user 'user-3' should believe",
    ),
    (
        "extraction_is_at_the_end",
        "UPDATE session_progress SET ordinal = ordinal - 1 WHERE user_id = 'user-4'",
        "session user-4/session-0a is extracted to",
    ),
    (
        "extraction_is_at_the_end",
        "UPDATE session_progress SET set_aside_at = now(), error = 'gave up'"
        " WHERE user_id = 'user-4'",
        "session user-4/session-0a was set aside: gave up",
    ),
    (
        "nothing_is_left_to_do",
        "UPDATE users SET due_at = now() WHERE user_id = 'user-5'",
        "user 'user-5' is due",
    ),
    (
        "nothing_is_left_to_do",
        "UPDATE users SET lease_token = gen_random_uuid() WHERE user_id = 'user-5'",
        "user 'user-5' is leased",
    ),
    (
        "nothing_is_left_to_do",
        "UPDATE users SET extracted = extracted - 1 WHERE user_id = 'user-5'",
        "user 'user-5' is extracted to",
    ),
    (
        "changes_are_told_in_order",
        "UPDATE change_cursors SET last_seq = last_seq + 1 WHERE user_id = 'user-1'",
        "user 'user-1': ",
    ),
    (
        "changes_tell_what_is_believed",
        "UPDATE memories SET support = 77 WHERE user_id = 'user-1' AND believed_to IS NULL",
        "and believed with 77",
    ),
]


@pytest.fixture
def faulty(store: str, broker: Snapshot, request: pytest.FixtureRequest) -> Iterator[Snapshot]:
    """The store after `request.param`, which is rolled back in the end."""
    with psycopg.connect(store) as connection:
        connection.execute("SET search_path TO memory, public")
        connection.execute("SET LOCAL session_replication_role = replica")  # no foreign keys
        if "999" in request.param:
            connection.execute(
                'INSERT INTO memories SELECT (jsonb_populate_record(m, \'{"memory_id": 999,'
                ' "belief_key": "\\\\x00"}\')).* FROM memories m'
                " WHERE user_id = 'user-1' AND memory_id = 1"
            )
        assert connection.execute(request.param).rowcount > 0
        yield with_broker(snapshot_of(connection), broker)
        connection.rollback()


class TestChecks:
    def test_a_right_store_passes_all(self, right: Snapshot, expected: Expected) -> None:
        assert judge(expected, right).failures == {}
        assert len(right.interactions) == LOAD.messages
        assert len(right.memories) > 50
        assert any(row["support"] > 1 for row in right.memories)
        assert any(row["supersedes"] for row in right.memories)

    @pytest.mark.parametrize(
        ("check", "faulty", "said"), FAULTS, indirect=["faulty"], ids=[f[1][:50] for f in FAULTS]
    )
    def test_each_sees_its_fault(
        self, expected: Expected, check: str, faulty: Snapshot, said: str
    ) -> None:
        assert said in judge(expected, faulty).failures[check]

    def test_a_partition_that_is_behind(self, right: Snapshot, expected: Expected) -> None:
        right.positions = {0: 200, 1: 103}
        assert judge(expected, right).failures == {
            "positions_are_at_the_topics_end": "partition 1 is at 103 of 104"
        }

    @pytest.mark.parametrize("dead", [[], [0, 0, 1, 2, 3], [0, 1, 2]])
    def test_poison_that_is_not_once_in_the_dead_letters(
        self, right: Snapshot, expected: Expected, dead: list[int]
    ) -> None:
        right.dead = [right.dead[n] for n in dead]
        assert list(judge(expected, right).failures) == ["dead_letters_are_the_poison"]

    def test_a_good_message_in_the_dead_letters(self, right: Snapshot, expected: Expected) -> None:
        right.dead = [*right.dead, Message(1, 50, b"{}")]
        assert judge(expected, right).failures == {
            "dead_letters_are_the_poison": "the dead letters hold b'{}' of (1, 50),"
            " which was no poison"
        }

    def test_poison_that_never_reached_the_topic(self, right: Snapshot, expected: Expected) -> None:
        right.dead, right.topic = right.dead[1:], right.topic[1:]
        assert list(judge(expected, right).failures) == ["dead_letters_are_the_poison"]

    def test_changes_that_are_told_twice(self, right: Snapshot, expected: Expected) -> None:
        again = [replace(m, offset=m.offset + 1000) for m in right.changes[:20]]
        right.changes = [*right.changes, *again]
        assert judge(expected, right).failures == {}

    @pytest.mark.parametrize("lost", [0, 5, -1])
    def test_a_change_that_is_not_told(
        self, right: Snapshot, expected: Expected, lost: int
    ) -> None:
        right.changes = [m for m in right.changes if m is not right.changes[lost]]
        assert "changes_are_told_in_order" in judge(expected, right).failures

    def test_every_check_has_a_fault_here(self) -> None:
        here = Path(__file__).read_text()
        assert [c.__name__ for c in CHECKS if f'"{c.__name__}"' not in here] == []


class TestLoad:
    def test_is_the_same_for_the_same_seed(self) -> None:
        assert LOAD.produced() == LOAD.produced()
        assert [list(LOAD.groups(p)) for p in (0, 1)] == [list(LOAD.groups(p)) for p in (0, 1)]
        assert LOAD.produced() != Load(300, seed=8, producers=2, users=6).produced()

    def test_is_of_the_size_asked_for(self) -> None:
        assert sum(map(len, LOAD.produced().values())) == LOAD.messages
        assert len(LOAD.poisoned()) == len(set(LOAD.poisoned())) == LOAD.poison

    def test_says_some_of_it_again(self) -> None:
        groups = [group for p in range(2) for group in LOAD.groups(p)]
        again = [group for group in groups if group.again]
        assert again
        assert all(replace(group, again=False) in groups for group in again)
