"""What is staged by COPY is what the message said, whatever characters it is made of."""

import json
from collections.abc import Callable, Iterator

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.rows import DictRow, dict_row

from consumers.ingest.staging import staged_row
from memory.database import queries
from memory.log.envelope import Incoming, incoming_from_json, to_json
from memory.log.trace_context import NO_TRACE, Trace
from memory.models import Interaction
from tests.ingesting import NOON, said
from tests.test_envelope import interactions

TRACED = Trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", r"vendor=a\tb,c=\\N")
ODD = ("\\N", "\\.", "\t\n\r\\", "\\\\N", "a\\tb", "\x01\x7f\u2028", "")


@pytest.fixture(scope="class")
def connection(
    make_class_database: Callable[[str], str], template: str
) -> Iterator[psycopg.Connection[DictRow]]:
    url = make_class_database(template)
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connected:
        connected.execute("SET search_path TO memory, public")
        connected.execute("SET timezone TO 'UTC'")
        yield connected


def incoming(interaction: Interaction) -> Incoming:
    return incoming_from_json(to_json(interaction))


def staged(connection: psycopg.Connection[DictRow], rows: list[bytes]) -> list[DictRow]:
    with connection.transaction():
        connection.execute(queries.statement("ingest.stage"))
        with connection.cursor() as cursor, cursor.copy(queries.statement("ingest.copy")) as copy:
            copy.write(b"".join(b"%d\t%b" % (n, row) for n, row in enumerate(rows)))
        return connection.execute(
            "SELECT *, payload::text AS payload, occurred_at = %s::timestamptz AS timely"
            " FROM staged ORDER BY nth",
            (str(NOON),),
        ).fetchall()


class TestStagedRow:
    @given(interaction=interactions, trace=st.sampled_from([NO_TRACE, TRACED]))
    @example(said("m1"), TRACED)
    def test_comes_back_as_it_was(
        self, connection: psycopg.Connection[DictRow], interaction: Interaction, trace: Trace
    ) -> None:
        item = incoming(interaction)
        scope = item.interaction.scope
        (row,) = staged(connection, [staged_row(item, trace)])
        assert (row["tenant_id"], row["user_id"], row["session_id"], row["agent_id"]) == (
            scope.tenant, scope.user, scope.session, scope.agent,
        )  # fmt: skip
        assert (row["interaction_id"], row["content"], row["actor"], row["source"]) == (
            item.interaction.id, item.interaction.content, item.interaction.actor,
            item.interaction.source,
        )  # fmt: skip
        assert (row["kind"], row["role"], row["private"]) == (
            item.interaction.kind, item.interaction.role, item.interaction.private,
        )  # fmt: skip
        assert json.loads(row["payload"]) == json.loads(item.payload)
        assert row["content_hash"] == item.content_hash
        assert (row["traceparent"], row["tracestate"]) == trace

    def test_what_copy_gives_a_meaning_has_none(
        self, connection: psycopg.Connection[DictRow]
    ) -> None:
        odd = [
            incoming(said(f"m{n}", content=f"x{text}", payload={text: text}))
            for n, text in enumerate(ODD)
        ]
        rows = staged(connection, [staged_row(item, NO_TRACE) for item in odd])
        assert [(r["interaction_id"], r["content"]) for r in rows] == [
            (f"m{n}", f"x{text}") for n, text in enumerate(ODD)
        ]
        assert [json.loads(r["payload"]) for r in rows] == [{text: text} for text in ODD]
        assert all(r["timely"] for r in rows)
