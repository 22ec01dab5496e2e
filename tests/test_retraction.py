"""Retraction: what counts for nothing any more is neither shown nor believed, and can come back."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import sql

from consumers.extraction import Worker
from extractors.behaviour import extractor as behaviour
from extractors.episodes import Episodes
from extractors.procedures import extractor as procedures
from extractors.protocol import Extractor
from memory.beliefs.retraction import Revised
from memory.client import AsyncMemoryClient, MemoryClient
from memory.database import Database, DatabaseRole
from memory.embedding import Embedder
from memory.errors import InvalidInput, UnknownInteraction
from memory.models import Memory, MemoryKind, Scope
from memory.settings import Settings
from tests.compacting import compactor, hold, named, set_policy, shared
from tests.conftest import Extraction, Residence, Verbatim, WordEmbedder, interrupted

ANA = Scope("northwind", "ana", "scout", "s1")
TOM = Scope("northwind", "tom", "scout", "s1")
DAY_ZERO = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return DAY_ZERO + timedelta(days=number)


def say(client: MemoryClient, id: str, text: str, on: int, **more: Any) -> None:  # noqa: A002
    client.record(more.pop("scope", ANA), text, id=id, occurred_at=day(on), **more)


def lives(client: MemoryClient) -> list[tuple[str | None, int | None]]:
    """Where Ana is believed to live, each place with the day its time ended."""
    found = client.history(ANA, attribute="lives_in")
    return sorted(
        ((m.value, (m.valid_to - DAY_ZERO).days if m.valid_to else None) for m in found), key=str
    )


def closed(client: MemoryClient) -> dict[str | None, Memory]:
    """What is believed no more, by value; the newest of each."""
    found = client.history(ANA, kinds=[MemoryKind.FACT], closed=True)
    return {m.value: m for m in reversed(found) if m.believed_to is not None}


@pytest.fixture
def told(client: MemoryClient, worker: Extraction) -> MemoryClient:
    say(client, "m1", "I live in Berlin.", 1)
    say(client, "m2", "I live in Munich. I speak Danish.", 5, source="feed")
    say(client, "m3", "I speak German.", 6)
    worker.drain()
    return client


class TestBeliefs:
    def test_what_stood_only_on_it_ends_and_what_it_replaced_comes_back(
        self, told: MemoryClient
    ) -> None:
        assert lives(told) == [("berlin", 5), ("munich", None)]
        done = told.retract(ANA, interactions=["m2"], reason="wrong account", by="support")
        assert (done.interactions, done.unchanged) == (1, 0)
        assert lives(told) == [("berlin", None)]
        assert {m.value for m in told.history(ANA, attribute="speaks")} == {"german"}

    def test_history_stays_as_it_was(self, told: MemoryClient) -> None:
        before = {m.id: m for m in told.history(ANA, closed=True)}
        told.retract(ANA, interactions=["m2"])
        after = {m.id: m for m in told.history(ANA, closed=True)}
        (retraction,) = told.retractions(ANA)
        for number, memory in before.items():
            ended = after[number].believed_to
            if ended != memory.believed_to:
                assert ended == retraction.retracted_at
            assert after[number].text == memory.text
            assert after[number].believed_from == memory.believed_from
        revived = [m for n, m in after.items() if n not in before]
        assert {m.believed_from for m in revived} == {retraction.retracted_at}

    def test_support_in_part_is_counted_anew_and_then_counted_again(
        self, told: MemoryClient, worker: Extraction
    ) -> None:
        say(told, "m4", "Yes, I live in Munich.", 9)
        worker.drain()
        strong = next(m for m in told.history(ANA, attribute="lives_in") if m.value == "munich")
        told.retract(ANA, interactions=["m2"])
        weak = next(m for m in told.history(ANA, attribute="lives_in") if m.value == "munich")
        assert (strong.support, weak.support) == (2, 1)
        assert weak.confidence < strong.confidence
        assert weak.valid_from == day(9)
        assert weak.supersedes == strong.id
        assert {e.interaction_id for e in told.explain(ANA, weak.id).evidence} == {"m4"}
        told.restore(ANA, interactions=["m2"])
        again = next(m for m in told.history(ANA, attribute="lives_in") if m.value == "munich")
        assert (again.support, again.valid_from) == (2, day(5))
        assert again.confidence == strong.confidence

    def test_restoring_is_the_reverse_at_once(self, told: MemoryClient) -> None:
        told.retract(ANA, interactions=["m2"])
        told.restore(ANA, interactions=["m2"], reason="it was right", by="support")
        assert lives(told) == [("berlin", 5), ("munich", None)]
        (retraction,) = told.retractions(ANA)
        assert retraction.restored_at is not None
        assert (retraction.restored_by, retraction.restored_reason) == ("support", "it was right")

    def test_what_an_app_asked_to_remember_can_be_retracted(self, client: MemoryClient) -> None:
        client.remember(ANA, "Allergic to nuts", attribute="allergy", value="nuts", id="r1")
        client.retract(ANA, interactions=["r1"])
        assert client.history(ANA) == []
        with pytest.raises(InvalidInput, match="no longer"):
            client.remember(ANA, "Allergic to nuts", attribute="allergy", value="nuts", id="r1")
        client.restore(ANA, interactions=["r1"])
        assert [m.value for m in client.history(ANA)] == ["nuts"]


class TestWhatIsShown:
    def test_nothing_of_it(self, told: MemoryClient) -> None:
        told.retract(ANA, interactions=["m2"])
        assert "m2" not in {i.id for i in told.interactions(ANA)}
        context = told.context(ANA, "Where in Munich does she live?")
        assert "Munich" not in context.text
        for found in told.recall(ANA, "Munich Danish"):
            assert "Munich" not in found.memory.text
            assert "m2" not in found.citations

    def test_its_place_and_those_of_others_stay(self, told: MemoryClient) -> None:
        told.retract(ANA, interactions=["m2"])
        assert [(i.ordinal, i.position) for i in told.interactions(ANA)] == [(1, 1), (3, 3)]
        receipt = told.record(ANA, "Next.", id="m4")
        assert (receipt.ordinal, receipt.position) == (4, 4)
        assert told.record(
            ANA, "I live in Munich. I speak Danish.", id="m2", occurred_at=day(5), source="feed"
        ).duplicate

    def test_rolling_summaries_are_made_anew(
        self, told: MemoryClient, superuser: psycopg.Connection
    ) -> None:
        superuser.execute(
            "UPDATE sessions SET summary = 'User: I live in Munich.', summary_sources = '{m2}',"
            " summary_through = 2"
        )
        told.retract(ANA, interactions=["m2"])
        (row,) = superuser.execute("SELECT summary, summary_through FROM sessions").fetchall()
        assert row == ("", 0)

    def test_a_closed_session_s_summary_goes_and_comes_without_it(
        self, told: MemoryClient, settings: Settings, superuser: psycopg.Connection
    ) -> None:
        say(told, "m4", "The shortlist for the bank is due on Friday.", 7)
        run = compactor(settings, WordEmbedder())
        superuser.execute("UPDATE sessions SET expires_at = now() - interval '1 hour'")
        run("sessions")
        (old,) = told.history(ANA, kinds=[MemoryKind.SUMMARY])
        assert "Munich" in old.text
        told.retract(ANA, interactions=["m2"])
        assert told.history(ANA, kinds=[MemoryKind.SUMMARY]) == []
        run("sessions")
        (new,) = told.history(ANA, kinds=[MemoryKind.SUMMARY])
        assert "Munich" not in new.text
        assert "Friday" in new.text
        assert old.believed_from is not None
        assert new.believed_from is not None
        assert new.believed_from >= told.retractions(ANA)[0].retracted_at

    def test_others_keep_everything(self, told: MemoryClient, worker: Extraction) -> None:
        say(told, "m2", "I live in Oslo.", 5, scope=TOM)
        worker.drain()
        before = told.history(TOM, closed=True)
        told.retract(ANA, interactions=["m2"])
        worker.drain()
        assert told.history(TOM, closed=True) == before


class TestWhatSaysSo:
    def test_explain_names_who_when_and_why(self, told: MemoryClient) -> None:
        munich = next(m for m in told.history(ANA, attribute="lives_in") if m.value == "munich")
        told.retract(ANA, interactions=["m2"], reason="wrong account", by="support")
        explained = told.explain(ANA, munich.id)
        (retraction,) = explained.retractions
        assert (retraction.interaction_id, retraction.retracted_by) == ("m2", "support")
        assert "by support: wrong account" in str(explained)
        assert explained.memory.believed_to == retraction.retracted_at

    def test_history_names_what_ended_a_belief(self, told: MemoryClient) -> None:
        told.retract(ANA, interactions=["m2"], reason="wrong account", by="support")
        ended = closed(told)["munich"].retraction
        assert ended is not None
        assert ended.reason == "wrong account"
        assert "retracted" in str(closed(told)["munich"])
        assert all(m.retraction is None for m in told.history(ANA))

    def test_what_ended_otherwise_names_none(self, told: MemoryClient) -> None:
        assert closed(told)["berlin"].retraction is None


class TestBySource:
    def test_all_of_it_goes_and_comes_back(self, told: MemoryClient) -> None:
        say(told, "m4", "I live in Rome.", 8, source="feed")
        assert told.retract(ANA, source="feed").interactions == 2
        assert lives(told) == [("berlin", None)]
        assert told.retract(ANA, source="feed") == Revised(unchanged=2)
        assert told.restore(ANA, source="feed").interactions == 2
        assert lives(told) == [("berlin", 5), ("munich", None)]  # m4 awaits extraction

    def test_a_source_that_sent_nothing_is_no_error(self, told: MemoryClient) -> None:
        assert told.retract(ANA, source="nowhere") == Revised()

    def test_it_may_go_on_sending(self, told: MemoryClient, worker: Extraction) -> None:
        told.retract(ANA, source="feed")
        say(told, "m4", "I live in Rome.", 8, source="feed")
        worker.drain()
        assert ("rome", None) in lives(told)


class TestRefusals:
    @pytest.mark.parametrize("what", [{}, {"interactions": ["m1"], "source": "feed"}])
    @pytest.mark.parametrize("verb", ["retract", "restore"])
    def test_either_ids_or_a_source(
        self, client: MemoryClient, what: dict[str, Any], verb: str
    ) -> None:
        with pytest.raises(InvalidInput, match="name either interactions"):
            getattr(client, verb)(ANA, **what)

    @pytest.mark.parametrize("verb", ["retract", "restore"])
    def test_ids_that_are_no_list(self, client: MemoryClient, verb: str) -> None:
        with pytest.raises(InvalidInput, match="interactions must be a list of texts, got 'm1'"):
            getattr(client, verb)(ANA, interactions="m1")

    @pytest.mark.parametrize("why", [{"by": ""}, {"reason": "x" * 1001}, {"reason": "a\x00"}])
    def test_a_reason_and_a_name_that_can_be_kept(
        self, told: MemoryClient, why: dict[str, str]
    ) -> None:
        with pytest.raises(InvalidInput):
            told.retract(ANA, interactions=["m1"], **why)

    def test_an_unknown_id_changes_nothing(self, told: MemoryClient) -> None:
        with pytest.raises(UnknownInteraction, match="'m404'"):
            told.retract(ANA, interactions=["m2", "m404"])
        assert told.retractions(ANA) == []
        assert lives(told) == [("berlin", 5), ("munich", None)]

    def test_another_user_s_id_is_as_unknown_as_none(self, told: MemoryClient) -> None:
        said = set()
        for number in ("m2", "m404"):
            with pytest.raises(UnknownInteraction) as refused:
                told.retract(TOM, interactions=[number])
            said.add(str(refused.value).replace(number, "?"))
        assert len(said) == 1
        assert lives(told) == [("berlin", 5), ("munich", None)]

    def test_twice_is_once(self, told: MemoryClient) -> None:
        told.retract(ANA, interactions=["m2"])
        before = told.history(ANA, closed=True)
        assert told.retract(ANA, interactions=["m2"]) == Revised(unchanged=1)
        assert told.restore(ANA, interactions=["m1"]) == Revised(unchanged=1)
        assert told.history(ANA, closed=True) == before
        assert len(told.retractions(ANA)) == 1

    def test_what_was_retracted_can_be_forgotten_for_good(
        self, told: MemoryClient, superuser: psycopg.Connection
    ) -> None:
        told.retract(ANA, interactions=["m2"], reason="Munich was a lie")
        told.forget(ANA, session="s1")
        assert told.retractions(ANA) == []
        for table in ("retractions", "interactions", "assertions", "memories"):
            query = sql.SQL("SELECT count(*) FROM {} WHERE user_id = 'ana'")
            assert superuser.execute(query.format(sql.Identifier(table))).fetchone() == (0,)


def test_the_collective_tier_follows_at_once(
    client: MemoryClient, settings: Settings, superuser: psycopg.Connection
) -> None:
    set_policy(superuser, k=5)
    hold(client, named(5))
    compactor(settings, WordEmbedder())("promote")
    assert len(shared(superuser)) == 1
    user = Scope("northwind", "user-3")
    (said,) = client.interactions(user.in_session("remembered"))
    client.retract(user, interactions=[said.id])
    assert shared(superuser) == []


class TestDuringExtraction:
    async def test_a_worker_that_had_read_it_brings_nothing_back(
        self,
        async_client: AsyncMemoryClient,
        settings: Settings,
        url: str,
        embedder: Embedder,
    ) -> None:
        slow = interrupted(lambda: async_client.retract(ANA, interactions=["m1"]))
        await async_client.record(ANA, "I live in Berlin.", id="m1")
        await async_client.record(ANA, "Hello.", id="m2")
        async with Database(settings, url, DatabaseRole.WORKER) as database:
            await Worker(database, embedder, [slow], settings).drain()
        texts = [m.text for m in await async_client.history(ANA, closed=True)]
        assert texts == ["User: Hello."]

    async def test_a_session_of_nothing_that_counts_is_done(
        self,
        async_client: AsyncMemoryClient,
        settings: Settings,
        url: str,
        embedder: Embedder,
        superuser: psycopg.Connection,
    ) -> None:
        await async_client.record(ANA, "Hello.", id="m1")
        await async_client.retract(ANA, interactions=["m1"])
        async with Database(settings, url, DatabaseRole.WORKER) as database:
            await Worker(database, embedder, [Verbatim()], settings).drain()
        assert superuser.execute("SELECT ordinal FROM session_progress").fetchone() == (1,)


def beliefs(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    """Everything believed now, with its evidence, but for ids and belief times."""
    return connection.execute(
        "SELECT m.kind, m.text, m.value, m.valid_from, m.valid_to, m.support, m.contested,"
        " round(m.confidence::numeric, 5), (SELECT array_agg((e.interaction_id, e.start_offset,"
        " e.end_offset, e.quote, e.stance) ORDER BY e.interaction_id, e.start_offset,"
        " e.stance)::text FROM evidence e WHERE e.tenant_id = m.tenant_id AND e.user_id = m.user_id"
        " AND e.memory_id = m.memory_id) FROM memories m WHERE m.believed_to IS NULL"
        " ORDER BY m.kind, m.text, m.valid_from, m.valid_to"
    ).fetchall()


def overlaps(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    """Free text of one interaction that was believed twice at one time."""
    return connection.execute(
        "SELECT a.memory_id, b.memory_id FROM memories a JOIN evidence x USING (tenant_id,"
        " user_id, memory_id) JOIN evidence y ON y.interaction_id = x.interaction_id AND"
        " y.start_offset = x.start_offset AND y.end_offset = x.end_offset JOIN memories b ON"
        " b.memory_id = y.memory_id AND b.kind = a.kind WHERE a.memory_id < b.memory_id"
        " AND a.kind = 'episode'"
        " AND tstzrange(a.believed_from, a.believed_to) && tstzrange(b.believed_from,"
        " b.believed_to)"
    ).fetchall()


DERIVED = "session_progress, assertions, evidence, memories, embeddings, memory_usage"
PLACES = ("Berlin", "Munich", "Oslo")
STEP = st.one_of(
    st.tuples(
        st.just("say"),
        st.sampled_from([f"I {verb} {place}." for verb in ("live in", "left") for place in PLACES]
                        + ["I speak Danish.", "Ok, and then?", "Thanks."]),
        st.integers(0, 9),
        st.sampled_from(["s1", "s2"]),
        st.sampled_from(["user", "user", "assistant"]),
    ),
    st.tuples(st.sampled_from(["retract", "restore"]), st.integers(0, 11)),
    st.tuples(st.just("drain")),
)  # fmt: skip


class TestReadersOfAllOfAUser:
    @pytest.fixture
    def extractors(self, settings: Settings) -> list[Extractor]:
        return [behaviour.create(settings), procedures.create(settings)]

    def judged(self, client: MemoryClient, number: int) -> str:
        """Accepts what is remote, and nothing else; returns the interaction's id."""
        remote = number % 2 == 0
        item = {"remote": "yes" if remote else "no"}
        payload = {"action": "accept" if remote else "reject", "item": item}
        said = client.record(
            ANA, "", kind="feedback", payload=payload, id=f"f{number}", occurred_at=day(number)
        )
        return said.interaction_id

    def test_make_up_their_minds_anew_of_what_is_left(
        self, client: MemoryClient, worker: Extraction, superuser: psycopg.Connection
    ) -> None:
        ids = [self.judged(client, number) for number in range(40)]
        worker.drain()
        before = client.history(ANA)
        assert before
        client.retract(ANA, interactions=ids[:4])
        worker.drain()
        fewer = client.history(ANA)
        assert {m.id for m in fewer}.isdisjoint(m.id for m in before)
        cited = {e.interaction_id for m in fewer for e in client.explain(ANA, m.id).evidence}
        assert cited
        assert cited.isdisjoint(ids[:4])
        at = client.retractions(ANA)[0].retracted_at
        assert all(m.believed_from is not None and m.believed_from >= at for m in fewer)
        client.retract(ANA, interactions=ids[4:])
        worker.drain()
        assert client.history(ANA) == []
        client.restore(ANA, interactions=ids)
        worker.drain()
        found = beliefs(superuser)
        superuser.execute(f"TRUNCATE {DERIVED}")
        superuser.execute("UPDATE users SET due_at = now()")
        worker.drain()
        assert found == beliefs(superuser)

    def shown_how(self, client: MemoryClient, number: int) -> list[str]:
        """Searches, then sends, as asked for; returns the ids of the two calls."""
        say(client, f"p{number}", "Please do it.", number)
        ids = []
        for place, tool in enumerate(("search", "send")):
            payload = {"tool": tool, "task": "outreach"}
            call = {**payload, "arguments": {}}
            for kind, what in (("tool_call", call), ("tool_result", {**payload, "ok": True})):
                name = f"p{number}-{place}-{kind}"
                client.record(
                    ANA, "", kind=kind, payload=what, id=name, occurred_at=day(number),
                    role="tool" if kind == "tool_result" else "assistant",
                )  # fmt: skip
            ids.append(f"p{number}-{place}-tool_call")
        return ids

    def test_procedures_are_made_of_the_runs_that_are_left(
        self, client: MemoryClient, worker: Extraction, superuser: psycopg.Connection
    ) -> None:
        runs = [self.shown_how(client, number) for number in range(4)]
        worker.drain()
        (before,) = client.history(ANA, kinds=[MemoryKind.PROCEDURE])
        assert "Worked 4 of 4 times" in before.text
        client.retract(ANA, interactions=runs[0])
        worker.drain()
        (fewer,) = client.history(ANA, kinds=[MemoryKind.PROCEDURE])
        assert "Worked 3 of 3 times" in fewer.text
        cited = {e.interaction_id for e in client.explain(ANA, fewer.id).evidence}
        assert cited.isdisjoint(runs[0])
        client.retract(ANA, interactions=runs[1])
        worker.drain()
        assert client.history(ANA, kinds=[MemoryKind.PROCEDURE]) == []
        client.restore(ANA, interactions=[*runs[0], *runs[1]])
        worker.drain()
        found = beliefs(superuser)
        assert [m.text for m in client.history(ANA, kinds=[MemoryKind.PROCEDURE])] == [before.text]
        superuser.execute(f"TRUNCATE {DERIVED}")
        superuser.execute("UPDATE users SET due_at = now()")
        worker.drain()
        assert found == beliefs(superuser)


class TestFromScratch:
    @pytest.fixture
    def extractors(self) -> list[Extractor]:
        return [Episodes(), Residence()]

    def test_any_sequence_gives_what_deriving_anew_without_the_retracted_gives(
        self,
        client: MemoryClient,
        worker: Extraction,
        superuser: psycopg.Connection,
    ) -> None:
        runs = iter(range(1000))

        @hypothesis_settings(deadline=None, database=None, max_examples=12, derandomize=True)
        @given(st.lists(STEP, min_size=4, max_size=14))
        def checked(steps: list[tuple[Any, ...]]) -> None:
            user = Scope("northwind", f"user-{next(runs)}", "scout")
            superuser.execute(f"TRUNCATE users, sessions, interactions, retractions, {DERIVED}")
            perform(client, worker, user, steps)
            worker.drain()
            found = beliefs(superuser)
            assert overlaps(superuser) == []
            superuser.execute(f"TRUNCATE {DERIVED}")
            superuser.execute("UPDATE users SET due_at = now()")
            worker.drain()
            assert found == beliefs(superuser)

        checked()


def perform(
    client: MemoryClient, worker: Extraction, user: Scope, steps: Sequence[tuple[Any, ...]]
) -> None:
    """Does what the steps say; ids count from m0, and what is about none of them is passed over."""
    said = 0
    for step in steps:
        match step:
            case ("say", text, on, session, role):
                client.record(
                    user.in_session(session), text, id=f"m{said}", role=role, occurred_at=day(on)
                )
                said += 1
            case ("drain",):
                worker.drain()
            case (verb, number) if number < said:
                getattr(client, verb)(user, interactions=[f"m{number}"])
            case _:
                pass
