"""Which stores share a consumer group: none, unless an operator says so."""

from collections.abc import Callable

import psycopg
import pytest

from consumers.ingest.store import Counts, IngestStore
from memory.models import Scope
from tests.ingesting import Stream, command, numbered, said, until
from tests.kafka_topics import kafka_settings

USERS = [Scope("acme", f"user-{n}", "scout", "s") for n in range(12)]
FORMER = "experiential-memory"
"""The group of every store before they had groups of their own."""


@pytest.fixture
def stream(kafka: str, url: str) -> Stream:
    return Stream(kafka_settings(kafka, url, partitions=3), url)


@pytest.fixture
def copy(stream: Stream, make_database: Callable[[str], str], template: str) -> Stream:
    """Another store on the same topic: a copy, with the same identity in its table."""
    return Stream(stream.settings, make_database(template))


def group(stream: Stream) -> str:
    with IngestStore.open(stream.url, stream.settings) as store:
        return store.group()


def held(stream: Stream) -> int:
    return sum(len(stream.log(user)) for user in USERS)


def test_two_stores_on_one_topic_both_get_everything(stream: Stream, copy: Stream) -> None:
    with stream.running(group=None, owner="one"), copy.running(group=None, owner="other"):
        stream.send(*[said(f"{user.user}-{n}", user) for n in range(5) for user in USERS])
        until(lambda: held(stream) == 60, "the first has all of them")
        until(lambda: held(copy) == 60, "the other has all of them")


def test_processes_of_one_store_share_the_partitions(stream: Stream) -> None:
    def owners() -> set[str]:
        return {row["owner"] for row in stream.rows("SELECT owner FROM partition_offsets")}

    with stream.running(group=None, owner="one"), stream.running(group=None, owner="two"):
        until(lambda: owners() == {"one", "two"}, "both have partitions")
        stream.send(*[said(f"{user.user}-1", user) for user in USERS])
        until(lambda: held(stream) == 12, "all are applied")


def test_an_operator_may_let_stores_share_a_group(stream: Stream, copy: Stream) -> None:
    with stream.running(group="shared"), copy.running(group="shared"):
        stream.send(*[said(f"{user.user}-1", user) for user in USERS])
        until(lambda: held(stream) + held(copy) == 12, "they have all of them together")


def test_a_store_goes_on_in_its_own_group_where_the_former_one_stopped(stream: Stream) -> None:
    stream.send(*numbered(3))
    assert stream.drain(group=FORMER) == Counts(appended=3)
    stream.send(*numbered(2, start=4))
    assert stream.drain(group=None) == Counts(appended=2)
    assert stream.drain(group=FORMER) == Counts()


def test_a_copy_has_the_identity_and_another_group(stream: Stream, copy: Stream) -> None:
    identity = "SELECT identity FROM store_identity"
    assert stream.rows(identity) == copy.rows(identity)
    assert group(stream) != group(copy)
    assert group(stream) == group(stream)


def test_a_physical_copy_gets_a_group_of_its_own_by_command(stream: Stream) -> None:
    before = command(stream, "store", "identity", "--json")
    assert before["group"] == group(stream)
    renewed = command(stream, "store", "new-identity", "--json")
    assert renewed["identity"] != before["identity"]
    assert renewed["group"] == group(stream) != before["group"]
    found = command(stream, "status", "--json")["ingest"]
    assert found["group"] == renewed["group"]


def test_a_server_that_hides_its_number_gives_a_group_as_well(
    stream: Stream, superuser: psycopg.Connection
) -> None:
    before = group(stream)
    superuser.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    assert group(stream).startswith(f"{FORMER}.")
    assert group(stream) != before
