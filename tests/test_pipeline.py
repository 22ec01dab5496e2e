"""The wire: statements travel together, are prepared once, and leave the connection as it was."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg.pq import PipelineStatus, TransactionStatus

from memory.database import queries
from memory.database.pipeline import Connection

ANA = {"tenant": "northwind", "user": "ana"}
STATE = {**ANA, "session": "s1", "agent": None, "key": "k"}


@pytest.fixture
async def connection(url: str) -> AsyncIterator[Connection]:
    """A connection as the database's owner, whom row-level security does not bind."""
    async with await Connection.connect(
        url, autocommit=True, prepare_threshold=None, options="-c search_path=memory,public"
    ) as made:
        yield made


def idle(connection: Connection) -> bool:
    return (
        connection.pgconn.pipeline_status == PipelineStatus.OFF
        and connection.pgconn.transaction_status == TransactionStatus.IDLE
    )


async def prepared(connection: Connection) -> list[str]:
    cursor = await connection.execute("SELECT name FROM pg_prepared_statements ORDER BY name")
    return [name for (name,) in await cursor.fetchall()]


async def test_rows_come_in_the_order_of_the_calls(connection: Connection) -> None:
    rows = await connection.run(
        [
            ("log.set_state", {**STATE, "value": '{"a": [1, null]}'}),
            ("log.get_state", STATE),
            ("log.position", ANA),
        ]
    )
    assert rows == [[{"key": "k"}], [{"key": "k", "value": {"a": [1, None]}}], []]


async def test_a_statement_is_prepared_once_however_often_it_is_sent(
    connection: Connection,
) -> None:
    for _ in range(2):
        await connection.run([("log.get_state", STATE), ("log.get_state", STATE)])
    assert await prepared(connection) == ["log.get_state"]


async def test_what_fails_takes_the_others_back_and_is_told(connection: Connection) -> None:
    changed = ("log.set_state", {**STATE, "value": "1"})
    with pytest.raises(psycopg.errors.CheckViolation):
        await connection.run([changed, ("log.set_state", {**STATE, "key": "", "value": "2"})])
    assert idle(connection)
    assert await connection.run([("log.get_state", STATE), changed]) == [[], [{"key": "k"}]]
    assert await prepared(connection) == ["log.get_state", "log.set_state"]


async def test_a_statement_that_cannot_be_prepared_is_tried_again(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = queries.numbered
    broken = queries.Numbered("SELECT FROM nowhere", ())
    with monkeypatch.context() as patched:
        patched.setattr(queries, "numbered", lambda n: broken if "state" in n else whole(n))
        with pytest.raises(psycopg.errors.UndefinedTable):
            await connection.run([("log.position", ANA), ("log.get_state", STATE)])
    assert await connection.run([("log.position", ANA), ("log.get_state", STATE)]) == [[], []]


async def test_what_was_begun_before_stays_open(connection: Connection) -> None:
    async with connection.transaction(force_rollback=True):
        await connection.run([("log.set_state", {**STATE, "value": "1"})])
        assert await connection.run([("log.get_state", STATE)]) != [[]]
    assert await connection.run([("log.get_state", STATE)]) == [[]]


async def test_a_call_that_is_given_up_leaves_the_connection_idle(
    connection: Connection, url: str
) -> None:
    async with await Connection.connect(url, options="-c search_path=memory,public") as other:
        await other.execute("LOCK TABLE task_state IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(
                connection.run([("log.position", ANA), ("log.get_state", STATE)]), 0.2
            )
        await other.rollback()
    assert idle(connection)
    assert await connection.run([("log.position", ANA), ("log.get_state", STATE)]) == [[], []]


async def test_more_than_the_socket_holds_goes_both_ways(connection: Connection) -> None:
    value = '"' + "x" * 1_000_000 + '"'
    calls = [("log.set_state", {**STATE, "value": value}), ("log.get_state", STATE)]
    rows = await connection.run(calls * 8)
    assert [len(r[0]["value"]) for r in rows[1::2]] == [1_000_000] * 8
