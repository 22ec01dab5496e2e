"""Poison: what one user says or does stops neither that user's other sessions nor anybody else."""

import logging
import random
from functools import partial
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from consumers.extraction import derivation
from consumers.extraction import worker as worker_module
from consumers.operations.status import read_status
from extractors.explicit import ExplicitExtractor
from extractors.protocol import Extractor, LogSlice
from extractors.statements import Statements
from memory import (
    ConcurrentWrite,
    InteractionTooLarge,
    InvalidInput,
    LockTimeout,
    LoginRefused,
    PreparedStatementLost,
    StatementTimeout,
    StoreError,
    StoreExhausted,
    StoreUnavailable,
    explicit_memories,
)
from memory.client import MemoryClient
from memory.database.translation import _translate
from memory.log.interactions import MAX_KEY_BYTES
from memory.models import Candidate, Scope
from memory.settings import Settings
from tests.conftest import Extraction, Verbatim

ANA = Scope("northwind", "ana", session="s1")
TOM = Scope("southwind", "tom", session="s1")
_random = random.Random(7)  # what repeats would be compressed until it fits


def wide(length: int) -> str:
    """Text of four bytes a character, which no index compresses."""
    return "".join(chr(_random.randrange(0x20000, 0x2A000)) for _ in range(length))


def cjk(length: int) -> str:
    return "".join(chr(_random.randrange(0x4E00, 0x9FA5)) for _ in range(length))


def identifiers(count: int) -> str:
    return " ".join(str(UUID(int=_random.getrandbits(128))) for _ in range(count))


@pytest.fixture
def extractors() -> list[Extractor]:
    return [ExplicitExtractor(), Statements(), Verbatim()]


class TestTexts:
    """No text is too long for what is derived from it."""

    @pytest.mark.parametrize(
        "content",
        [
            f"Always include {identifiers(100)}.",
            f"Always use {cjk(900)}.",
            f"Call me A{''.join(_random.choice('abcdefghijklmnop') for _ in range(5000))}",
        ],
        ids=["identifiers", "cjk", "name"],
    )
    def test_a_long_value_is_believed(
        self, content: str, client: MemoryClient, worker: Extraction
    ) -> None:
        client.record(ANA, content)
        assert worker.drain().failures == 0
        assert client.position(ANA).extracted == 1
        assert any(len(m.value or "") > 2_704 / 4 for m in client.history(ANA))

    def test_every_text_in_an_index_is_bounded(self, superuser: psycopg.Connection) -> None:
        rows = superuser.execute(
            """
            SELECT t.relname, c.attname, COALESCE(pg_get_expr(i.indpred, i.indrelid), '')
            FROM pg_index i
            JOIN pg_class t ON t.oid = i.indrelid
            JOIN pg_attribute x ON x.attrelid = i.indexrelid
            JOIN LATERAL unnest(i.indkey) AS k(attnum) ON true
            JOIN pg_attribute c ON c.attrelid = t.oid AND c.attnum = k.attnum
            JOIN pg_type y ON y.oid = c.atttypid
            WHERE t.relnamespace = 'memory'::regnamespace AND y.typname IN ('text', 'jsonb')
            """
        ).fetchall()
        names = {"tenant_id", "user_id", "session_id", "interaction_id", "actor"}
        chosen_by_operators = {
            "embedders", "generations", "prompts", "model_spend", "job_progress",
            "partition_offsets", "dead_letters", "notification_turns",
        }  # fmt: skip
        enumerated = {"state", "stance"}
        unbounded = {
            (table, column)
            for table, column, where in rows
            if column not in names | enumerated
            and table not in chosen_by_operators
            and f"length({column}) <=" not in where
        }
        assert unbounded == {("task_state", "key")}  # which MAX_KEY_BYTES bounds
        assert rows

    def test_the_longest_names_and_keys_fit(self, client: MemoryClient, worker: Extraction) -> None:
        scope = Scope(wide(200), wide(200), wide(200), wide(200))
        client.record(scope, "I live in Berlin.", id=wide(200), actor=wide(200), source=wide(200))
        client.state.set(scope, wide(MAX_KEY_BYTES // 4), 1)
        most = explicit_memories.LIMITS
        client.remember(
            scope, wide(2_000), id=wide(200),
            attribute=wide(most["attribute"]), value=wide(most["value"]),
            context=wide(most["context"]),
        )  # fmt: skip
        assert worker.drain().failures == 0
        client.retract(scope, interactions=[client.interactions(scope)[0].id])
        client.forget(scope, session=scope.session)

    @pytest.mark.parametrize("name", explicit_memories.LIMITS)
    def test_an_oversized_argument_is_refused_before_it_is_logged(
        self, name: str, client: MemoryClient
    ) -> None:
        limit = explicit_memories.LIMITS[name]
        arguments = {"attribute": "a", name: cjk(limit + 1)}
        with pytest.raises(InvalidInput, match=f"{name} has .* the limit is {limit:,}"):
            client.remember(ANA, "Likes tea", **arguments)  # type: ignore[arg-type]
        assert client.position(ANA).recorded == 0

    def test_a_long_key_of_state_is_refused(self, client: MemoryClient) -> None:
        with pytest.raises(InteractionTooLarge, match=f"the limit is {MAX_KEY_BYTES}"):
            client.state.set(ANA, "k" * (MAX_KEY_BYTES + 1), 1)


class TestMalformedRequests:
    @pytest.mark.parametrize(
        "wanted",
        [
            1, None, [], {"kind": "bogus"}, {"kind": 7}, {"kind": ["fact"]},
            {"importance": "high"}, {"importance": 5}, {"importance": 1e308}, {"importance": None},
            {"attribute": 7}, {"attribute": "a", "value": {"deep": []}}, {"value": "v"},
            {"single_valued": "yes", "attribute": "a"}, {"attribute": "a", "value": "v" * 2_001},
        ],
    )  # fmt: skip
    def test_is_an_ordinary_message(
        self, wanted: object, client: MemoryClient, worker: Extraction
    ) -> None:
        client.record(ANA, "I live in Berlin.", payload={"remember": wanted})
        assert worker.drain().failures == 0
        assert "berlin" in {m.value for m in client.history(ANA)}


REFUSALS = ["54000", "22021", "23514", "57014", "55P03", "XX000"]


class TestSessions:
    """The store refuses what is derived from a session."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"max_attempts": 2})

    @pytest.mark.parametrize("state", REFUSALS)
    def test_is_set_aside_alone(
        self,
        state: str,
        client: MemoryClient,
        worker: Extraction,
        superuser: psycopg.Connection,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        refuse = (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" RAISE EXCEPTION 'refused' USING ERRCODE = '{state}'; END $$;"
            " CREATE TRIGGER refuse BEFORE INSERT ON memories FOR EACH ROW"
            " WHEN (NEW.text LIKE '%poison%') EXECUTE FUNCTION refuse()"
        )
        superuser.execute(refuse.encode())
        client.record(ANA, "poison")
        client.record(ANA.in_session("s2"), "I live in Berlin.")
        client.record(TOM, "I live in Oslo.")
        with caplog.at_level(logging.CRITICAL):
            for _ in range(3):
                worker.drain()
                superuser.execute("UPDATE session_progress SET retry_at = now() - interval '1 s'"
                                  " WHERE retry_at IS NOT NULL")  # fmt: skip
                superuser.execute("UPDATE users SET due_at = now() WHERE due_at IS NOT NULL")
        assert worker.worker.done.failures == 2
        assert "berlin" in {m.value for m in client.history(ANA)}
        assert "oslo" in {m.value for m in client.history(TOM)}
        reading = partial(read_status, worker.worker.database, "northwind", language="english")
        told = worker.portal.call(reading)
        assert [(one.user, one.session) for one in told.set_aside] == [("ana", "s1")]

    def test_who_only_waits_for_a_retry_stands_back(
        self, client: MemoryClient, worker: Extraction, extractors: list[Extractor],
        superuser: psycopg.Connection, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        class Choking(Verbatim):
            async def extract(self, log: LogSlice) -> list[Candidate]:
                raise ValueError("no")

        extractors[:] = [Choking()]
        client.record(ANA, "Hello.")
        with caplog.at_level(logging.CRITICAL):
            worker.drain()
        back = "SELECT backfill FROM users WHERE due_at IS NOT NULL"
        assert superuser.execute(back).fetchall() == [(True,)]
        client.record(ANA, "Hello again.")
        assert superuser.execute(back).fetchall() == [(False,)]

    def test_a_flood_takes_turns(
        self, client: MemoryClient, worker: Extraction, extractors: list[Extractor],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(derivation, "BATCH", 2)
        monkeypatch.setattr(worker_module, "USER_TURN_SECONDS", -1.0)
        turns = []

        class Noting(Verbatim):
            async def extract(self, log: LogSlice) -> list[Candidate]:
                turns.append(log.scope.user)
                return await super().extract(log)

        extractors[:] = [Noting()]
        for n in range(6):
            client.record(ANA, f"I like number {n}.")
        client.record(TOM, "I live in Oslo.")
        done = worker.drain()
        assert turns == ["ana", "tom", "ana", "ana"]
        assert (done.users, done.sessions, client.position(ANA).extracted) == (2, 2, 6)

    def test_who_is_paid_for_by_a_throttled_tenant_does_not_give_way(
        self, client: MemoryClient, worker: Extraction, superuser: psycopg.Connection,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(derivation, "BATCH", 2)
        monkeypatch.setattr(worker_module, "USER_TURN_SECONDS", -1.0)
        superuser.execute(
            "INSERT INTO extraction_limits (tenant_id, interactions_a_minute) VALUES (%s, 3)",
            (ANA.tenant,),
        )
        for n in range(6):
            client.record(ANA, f"I like number {n}.")
        worker.drain()
        assert client.position(ANA).extracted == 6


@pytest.mark.parametrize(
    ("state", "expected"),
    {
        "08006": StoreUnavailable, "57P01": StoreUnavailable, "57P03": StoreUnavailable,
        "53100": StoreExhausted, "53300": StoreExhausted, "57014": StatementTimeout,
        "55P03": LockTimeout, "40001": ConcurrentWrite, "40P01": ConcurrentWrite,
        "28000": LoginRefused, "28P01": LoginRefused, "26000": PreparedStatementLost,
        "42P05": PreparedStatementLost, "54000": StoreError, "54001": StoreError,
        "58030": StoreUnavailable, "55006": StoreError,
    }.items(),
)  # fmt: skip
def test_errors_are_told_by_their_state(state: str, expected: type[Exception]) -> None:
    assert type(_translate(errors.lookup(state)("no"))) is expected


def test_an_error_that_the_server_did_not_send_is_its_absence() -> None:
    assert type(_translate(psycopg.OperationalError("cut off"))) is StoreUnavailable
    assert type(_translate(psycopg.DataError("no such time"))) is StoreError
