"""The collective tier: what k users support is published, worded by us; below k it goes."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import psycopg
import pytest

from consumers.compaction import publishing
from memory.beliefs.collective import Collective, CollectiveExplanation
from memory.client import MemoryClient
from memory.database import Database, DatabaseRole
from memory.errors import UnknownMemory
from memory.models import InteractionKind, RecalledMemory, Scope, Tier
from memory.settings import Settings
from tests.compacting import (
    MARCH,
    TENANT,
    Compactor,
    compactor,
    hold,
    named,
    set_policy,
    shared,
)
from tests.conftest import WordEmbedder

SHORT = "Often preferred: outreach short"


@pytest.fixture
def run(settings: Settings, embedder: WordEmbedder) -> Compactor:
    return compactor(settings, embedder)


def test_promoted_at_k_and_not_before(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    set_policy(superuser)
    hold(client, named(4))
    run("promote")
    assert shared(superuser) == []
    hold(client, ["user-5"])
    (report,) = run("promote")
    assert report.changed["promoted"] == 1
    assert shared(superuser) == [(SHORT, 5)]


def test_promotion_again_writes_nothing(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    set_policy(superuser)
    hold(client, named(5))
    run("promote")
    seen = superuser.execute("SELECT xmin, ctid, * FROM collective_memories").fetchall()
    hold(client, ["user-6"])
    (report,) = run("promote")
    assert not any(report.changed.values())
    again = superuser.execute("SELECT xmin, ctid, * FROM collective_memories").fetchall()
    assert again == seen, "a new supporter shows in the row's version"
    supporters = superuser.execute("SELECT count(*) FROM collective_support").fetchone()
    assert supporters == (6,)


def test_dry_run_foretells_and_writes_nothing(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    set_policy(superuser)
    hold(client, named(5))
    (report,) = run("promote", dry_run=True)
    assert report.changed["promoted"] == 1
    assert shared(superuser) == []
    assert superuser.execute("SELECT count(*) FROM job_progress").fetchone() == (0,)


def test_the_published_count_moves_in_steps(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    set_policy(superuser, k=2)
    for users, said in ((2, 2), (9, 2), (10, 10), (24, 10), (25, 25)):
        hold(client, named(users))
        run("promote")
        assert shared(superuser) == [(SHORT, said)]
    for user in named(16):
        client.forget(Scope(TENANT, user), user=True)
    assert shared(superuser) == [(SHORT, 25)]  # moves at compaction only
    run("promote")
    assert shared(superuser) == [(SHORT, 2)]


def test_values_and_contexts_are_counted_apart(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    set_policy(superuser, k=2, people="recruiters")
    hold(client, named(2), context="platform roles")
    hold(client, named(1, 3), context="board searches")
    hold(client, named(2, 4), value="long", context="board searches")
    hold(client, named(1, 6), value=" Short ", context="board searches")
    run("promote")
    assert shared(superuser) == [
        ("What works for board searches: outreach long", 2),
        ("What works for board searches: outreach short", 2),  # " Short " is "short"
        ("What works for platform roles: outreach short", 2),
    ]


def test_the_same_event_imported_twice_counts_once(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    set_policy(superuser, k=2)
    for user in ("user-1", "user-2"):
        client.remember(
            Scope(TENANT, user, session="imported"), "Short letters, please", id="m1",
            attribute="prefers.outreach", value="short", occurred_at=MARCH,
        )  # fmt: skip
    run("promote")
    assert shared(superuser) == []
    # One of them says it again, in words and at a time of their own: now there are two sources.
    hold(client, ["user-2"], days=3)
    run("promote")
    assert shared(superuser) == [(SHORT, 2)]


def test_a_long_text_copied_counts_once(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    set_policy(superuser, k=2)
    text = (
        "Candidates answer short letters twice as often as long ones, so keep every letter short."
    )
    for n, user in enumerate(("user-1", "user-2")):
        client.remember(
            Scope(TENANT, user), text, attribute="prefers.outreach", value="short",
            occurred_at=MARCH + timedelta(days=n),
        )  # fmt: skip
    run("promote")
    assert shared(superuser) == []


def test_evidence_that_is_not_trusted_counts_for_nothing(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    set_policy(superuser, k=2, untrusted_sources=["scraper"])
    hold(client, named(3))
    superuser.execute("UPDATE interactions SET source = 'scraper' WHERE user_id = 'user-1'")
    run("promote")
    assert shared(superuser) == [(SHORT, 2)]
    superuser.execute(
        "UPDATE interactions SET kind = %s WHERE user_id = 'user-2'",
        (InteractionKind.RETRIEVAL.value,),
    )
    run("promote")
    assert shared(superuser) == []


def test_what_is_private_to_an_agent_or_about_another_is_no_support(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    set_policy(superuser, k=2)
    hold(client, named(1))
    client.remember(
        Scope(TENANT, "user-2", agent="payroll"), "Short, for payroll", private=True,
        attribute="prefers.outreach", value="short",
    )  # fmt: skip
    hold(client, ["user-3"])
    superuser.execute("UPDATE memories SET subject = 'Merle' WHERE user_id = 'user-3'")
    run("promote")
    assert shared(superuser) == []


def test_a_correction_withdraws_in_the_same_job(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    set_policy(superuser, k=2, cooldown_days=0)
    hold(client, named(2), single_valued=True)
    run("promote")
    assert shared(superuser) == [(SHORT, 2)]
    hold(client, ["user-2"], value="long", days=9, single_valued=True)
    (report,) = run("promote")
    assert report.changed["withdrawn"] == 1
    assert shared(superuser) == []
    for table in ("collective_support", "collective_embeddings"):
        assert superuser.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (0,)


def test_forgetting_a_user_withdraws_in_its_transaction(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    set_policy(superuser)
    hold(client, named(5))
    hold(client, named(7), attribute="uses.calendar", value="yes")
    run("promote")
    assert [text for text, _ in shared(superuser)] == [SHORT, "Often said: uses calendar"]
    client.forget(Scope(TENANT, "user-3"), user=True)
    assert shared(superuser) == [("Often said: uses calendar", 5)]
    left = superuser.execute("SELECT count(*) FROM collective_support WHERE user_id = 'user-3'")
    assert left.fetchone() == (0,)


def test_forgetting_one_memory_takes_that_support_alone(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    set_policy(superuser, k=2)
    held = hold(client, named(2))
    hold(client, named(2), attribute="uses.calendar", value="yes")
    run("promote")
    client.forget(Scope(TENANT, "user-1"), memory=held[0].id)
    assert shared(superuser) == [("Often said: uses calendar", 2)]


def test_forgetting_a_session_takes_its_support(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    set_policy(superuser, k=2)
    hold(client, named(2))
    run("promote")
    client.forget(Scope(TENANT, "user-1"), session="remembered")
    assert shared(superuser) == []


def test_users_who_leave_at_once_do_not_count_each_other(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    set_policy(superuser, k=3)
    hold(client, named(4))
    run("promote")
    start = Barrier(2)

    def leave(user: str) -> None:
        start.wait()
        client.forget(Scope(TENANT, user), user=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(leave, ("user-1", "user-2")))
    assert shared(superuser) == []


def test_what_was_withdrawn_stays_away_for_a_while(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    set_policy(superuser, k=2)
    hold(client, named(2))
    run("promote")
    client.forget(Scope(TENANT, "user-1"), user=True)
    hold(client, ["user-3"])
    (report,) = run("promote")
    assert report.changed["waiting"] == 1
    superuser.execute("UPDATE collective_withdrawals SET withdrawn_at = now() - interval '8 days'")
    run("promote")
    assert shared(superuser) == [(SHORT, 2)]
    kept = superuser.execute("SELECT row_to_json(w)::text FROM collective_withdrawals w").fetchall()
    assert len(kept) == 1
    assert "short" not in kept[0][0]


def test_a_shrunk_allow_list_withdraws(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    set_policy(superuser, k=2)
    hold(client, named(2))
    hold(client, named(2), attribute="lives_in", value="berlin")  # never promoted
    run("promote")
    assert shared(superuser) == [(SHORT, 2)]
    set_policy(superuser, k=2, families=["uses"])
    run("promote")
    assert shared(superuser) == []


def test_names_known_to_the_tenant_are_held_back(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    set_policy(superuser, k=2)
    client.record(Scope(TENANT, "user-1", session="s"), "Hello", actor="Quirin Vogt")
    hold(client, ["tiberius.nakamura"], attribute="uses.mail", value="yes")
    hold(client, named(2), attribute="uses.quirin", value="yes")
    hold(client, named(2), attribute="prefers.partner_lunch", value="with nakamura")
    hold(client, named(2), attribute="uses.user_list", value="yes")  # "user" names nobody
    (report,) = run("promote")
    assert report.changed["held back"] == 2
    assert shared(superuser) == [("Often said: uses user list", 2)]


def test_thresholds_move_by_a_secret_and_no_further_than_said(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    set_policy(superuser, k=2, jitter=2)
    attributes = [f"uses.tool_{letter}{other}" for letter in "abcd" for other in "abcdefgh"]
    seen = []
    for holders in (2, 3, 4):
        for attribute in attributes:
            hold(client, named(1, holders), attribute=attribute, value="yes")
            if holders == 2:
                hold(client, ["user-1"], attribute=attribute, value="yes")
        run("promote")
        seen.append(len(shared(superuser)))
    assert 0 < seen[0] < seen[1] < seen[2] == len(attributes)


def test_the_worker_never_needs_to_know_the_secret(
    superuser: psycopg.Connection, settings: Settings, url: str
) -> None:
    set_policy(superuser)
    secrets = superuser.execute("SELECT length(secret) FROM tenants").fetchall()
    assert secrets == [(32,)]

    async def worker_reads() -> set[str]:
        async with Database(settings, url, DatabaseRole.WORKER) as database:
            return set((await database.fetch(Scope(TENANT, "-"), "compaction.policy"))[0])

    assert asyncio.run(worker_reads()) == {"policy"}


def _ask(
    settings: Settings, url: str, scope: Scope, question: str
) -> tuple[tuple[RecalledMemory, ...], list[CollectiveExplanation]]:
    async def ask() -> tuple[tuple[RecalledMemory, ...], list[CollectiveExplanation]]:
        vector = (await WordEmbedder().embed([question]))[0]
        async with Database(settings, url, DatabaseRole.CLIENT) as database:
            tier = Collective(database, settings.language)
            row = (await database.fetch_system("embedders.live"))[0]
            found = await tier.candidates(scope, vector, row["embedder_id"], question)
            return found, [await tier.explain(scope, item.memory.id) for item in found]

    return asyncio.run(ask())


def test_recalled_by_anyone_of_the_tenant_and_explained_without_a_name(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection,
    settings: Settings, url: str,
) -> None:  # fmt: skip
    set_policy(superuser, k=3, people="recruiters")
    hold(client, named(4), context="platform roles", value="short")
    hold(client, named(4), attribute="uses.calendar", value="yes")
    run("promote")
    newcomer = Scope(TENANT, "newcomer")
    found, explained = _ask(settings, url, newcomer, "What outreach works for platform roles?")
    best = found[0].memory
    assert best.tier is Tier.COLLECTIVE
    assert best.text == "What works for platform roles: outreach short (at least 3 recruiters)"
    assert found[0].citations == ()
    assert explained[0].at_least == 3
    assert explained[0].evidence_kinds == ("note",)
    assert "user-" not in str(explained[0])
    assert _ask(settings, url, Scope("southwind", "newcomer"), "outreach platform roles")[0] == ()


def test_explaining_what_is_not_there_is_refused(
    client: MemoryClient, settings: Settings, url: str
) -> None:
    async def explain() -> None:
        async with Database(settings, url, DatabaseRole.CLIENT) as database:
            await Collective(database, "english").explain(Scope(TENANT, "user-1"), 7)

    with pytest.raises(UnknownMemory, match="no collective memory 7"):
        asyncio.run(explain())


@pytest.mark.parametrize(
    ("attribute", "value", "context", "text"),
    [
        ("prefers.remote", "yes", None, "Often preferred: remote"),
        ("prefers.remote", "no", None, "Often preferred: no remote"),
        ("prefers.outreach_length", "short", "platform roles",
         "What works for platform roles: outreach length short"),
        ("prefers.phone_or_mail", "mail", None, "Often preferred: mail"),
        ("avoids.notice", "long", "when hiring", "What does not work when hiring: notice long"),
        ("taste.short_letters", "likes", None, "Often preferred: short letters"),
        ("taste.cold_calls", "dislikes", None, "Often not wanted: cold calls"),
        ("instruction", "not contact candidates on weekends", None,
         "Often asked for: not to contact candidates on weekends"),
        ("instruction", "show salary ranges", "shortlists",
         "Often asked for: show salary ranges (for shortlists)"),
        ("uses.slack", "yes", None, "Often said: uses slack"),
        ("procedure.outreach", "search_people > check_calendar + draft", None,
         "What has worked to outreach: search people, then check calendar and draft"),
    ],
)  # fmt: skip
def test_wording(attribute: str, value: str, context: str | None, text: str) -> None:
    assert publishing.worded(attribute, value, context) == text


@pytest.mark.parametrize(
    "said",
    [
        "write to anna.berg@example.com", "see https://example.com/x", "call 0170 5551234",
        "iban 89370400440532013000", "12 Baker Street", "ring dr weber first", "ask maria",
        "lunch with my sister", "tea with his boss", "insulin before noon", "Johannes",
        "a b c d e f g h i j k", "x" * 81, "say “hello”", "\N{SNOWMAN} please",
    ],
)  # fmt: skip
def test_held_back(said: str) -> None:
    assert publishing.revealing("instruction", said, None, ()) is not None
    assert publishing.revealing("prefers.call", "yes", said, ()) is not None
    if said.isascii() and "@" not in said:
        assert publishing.revealing(f"uses.{said}", "yes", None, ()) is not None


@pytest.mark.parametrize(
    "said",
    [
        "short outreach messages", "not contact candidates on weekends", "remote", "c++", "node.js",
        "four candidates at a time", "salary ranges in euros", "search_people > check_calendar",
        "before 10 in the morning", "r&d roles", "50 % deposit",
    ],
)  # fmt: skip
def test_shared(said: str) -> None:
    assert publishing.revealing("instruction", said, None, ()) is None


def test_names_given_in_the_call_are_held_back() -> None:
    assert publishing.revealing("prefers.desk", "near quirin", None, {"quirin"}) == "holds a name"
