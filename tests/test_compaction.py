"""The operators' jobs: each idempotent, resumable, bounded, safe beside traffic, and reported."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from consumers.cli.compact import compact_command
from consumers.compaction import (
    JOBS,
    Finding,
    JobReport,
    compact,
    metrics,
    read_policy,
    write_policy,
)
from consumers.compaction.merging import cleaned, same
from memory.client import MemoryClient
from memory.database import Database, DatabaseRole
from memory.errors import ConfigurationError, InvalidInput
from memory.models import Interaction, MemoryKind, Scope
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
from tests.conftest import Extraction, WordEmbedder

ANA = Scope(TENANT, "ana", session="monday")


@pytest.fixture
def run(settings: Settings, embedder: WordEmbedder) -> Compactor:
    return compactor(settings, embedder)


def expire(superuser: psycopg.Connection) -> None:
    superuser.execute("UPDATE sessions SET expires_at = now() - interval '1 second'")


def talk(client: MemoryClient, *said: str, scope: Scope = ANA, days: int = 0) -> None:
    for n, text in enumerate(said):
        client.record(scope, text, occurred_at=MARCH + timedelta(days=days, minutes=n))


# --- all jobs ----------------------------------------------------------------------------------


def test_all_jobs_run_twice_and_find_nothing_the_second_time(
    client: MemoryClient, run: Compactor, worker: Extraction, superuser: psycopg.Connection
) -> None:
    set_policy(superuser, k=2)
    talk(client, "I live in Berlin.", "I speak Basque.", "The shortlist is due on Friday.")
    hold(client, ["ana", "bram"])
    hold(client, ["ana"], attribute="allergic_to", value="Nuts")
    hold(client, ["ana"], attribute="allergic_to", value="nuts", days=1)
    worker.drain()
    expire(superuser)
    first = run()
    assert [report.job for report in first] == list(JOBS)
    changed = {report.job: report.changed for report in first}
    # ana's "monday", and "remembered" of both
    assert changed["sessions"]["sessions closed"] == 3
    assert changed["merge"]["memories merged"] == 1
    assert changed["promote"]["promoted"] == 1
    assert first[-1].found == 0, first[-1]
    for report in run():
        assert not any(report.changed.values()), report
        assert report.found == 0


def test_dry_run_writes_nothing_and_foretells_the_run(
    client: MemoryClient, run: Compactor, worker: Extraction, superuser: psycopg.Connection
) -> None:
    set_policy(superuser, k=2, retain_interactions_days=30)
    talk(client, "I live in Berlin.", "I speak Basque.")
    hold(client, ["ana", "bram"])
    hold(client, ["ana"], value=" SHORT", days=1)
    worker.drain()
    expire(superuser)
    superuser.execute(
        "UPDATE interactions SET recorded_at = now() - interval '31 days'"
        " WHERE session_id = 'monday'"
    )
    tables = superuser.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'memory'::regnamespace AND relkind = 'r'"
    ).fetchall()

    def versions() -> list[Any]:
        return [
            superuser.execute(f"SELECT xmin::text, ctid::text FROM {t}".encode()).fetchall()
            for (t,) in tables
        ]

    before = versions()
    foretold = {report.job: report.changed for report in run(dry_run=True)}
    assert versions() == before
    assert foretold["retain"]["interactions purged"] == 2
    done = {report.job: report.changed for report in run("sessions", "merge", "retain")}
    for job, what in (
        ("sessions", "sessions closed"), ("merge", "memories merged"),
        ("retain", "interactions purged"),
    ):  # fmt: skip
        assert done[job][what] == foretold[job][what] > 0


def test_every_tenant_or_one(client: MemoryClient, run: Compactor) -> None:
    for tenant in ("a", "b", "c"):
        client.record(Scope(tenant, "ana", session="s"), "Hello")
    assert [report.tenant for report in run("verify")] == ["a", "b", "c"]
    assert [report.tenant for report in run("verify", tenant="b")] == ["b"]


def test_what_cannot_be_run_is_refused(run: Compactor) -> None:
    with pytest.raises(InvalidInput, match="no job is called 'tidy'; jobs: sessions, merge"):
        run("tidy")
    with pytest.raises(InvalidInput, match="batch must be at least 1, got 0"):
        run("verify", batch=0)


def test_a_job_goes_on_where_it_was_stopped(
    client: MemoryClient, settings: Settings, embedder: WordEmbedder,
    superuser: psycopg.Connection,
) -> None:  # fmt: skip
    for user in named(6):
        client.record(Scope(TENANT, user, session="s"), "Hello there, this is a long day.")
    expire(superuser)

    class Stop(Exception):
        pass

    def stop(report: JobReport) -> None:
        if report.batches == 2:
            raise Stop

    with pytest.raises(Stop):
        asyncio.run(compact(settings, ["sessions"], batch=2, progress=stop, embedder=embedder))
    closed = superuser.execute("SELECT user_id FROM sessions WHERE closed_at IS NOT NULL")
    assert {row[0] for row in closed} == {"user-1", "user-2", "user-3", "user-4"}
    kept = superuser.execute("SELECT cursor, lease_token, finished_at FROM job_progress").fetchall()
    assert kept == [("user-4", None, None)]
    (report,) = asyncio.run(compact(settings, ["sessions"], batch=2, embedder=embedder))
    assert report.examined == 2
    assert report.changed["sessions closed"] == 2
    (again,) = asyncio.run(compact(settings, ["sessions"], batch=2, embedder=embedder))
    assert again.examined == 6


def test_one_process_at_a_time_runs_a_job_of_a_tenant(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    client.record(ANA, "Hello")
    superuser.execute(
        "INSERT INTO job_progress (tenant_id, job, lease_token, leased_until)"
        " VALUES (%s, 'verify', gen_random_uuid(), now() + interval '1 minute')",
        (TENANT,),
    )
    (report,) = run("verify")
    assert report.skipped == "another process runs it"
    assert "skipped" in str(report)
    superuser.execute("UPDATE job_progress SET leased_until = now() - interval '1 second'")
    (report,) = run("verify")
    assert report.skipped is None
    assert report.examined == 1


def test_reports_for_people_programs_and_collectors() -> None:
    report = JobReport("decay", 'a"b', examined=3, seconds=0.5, changed={"archived": 2})
    report.measured["pages per user"] = 4.25
    report.find(Finding("a gap in the ordinals", "ana", "session 's'"))
    assert json.loads(json.dumps(report.json()))["findings"][0]["user"] == "ana"
    assert str(report).splitlines() == [
        "decay in 'a\"b': 2 archived; pages per user 4.2; 3 examined; 0.5 s",
        "  a gap in the ordinals: session 's' of user 'ana'",
    ]
    assert not report.sound
    lines = report.metrics().splitlines()
    assert 'memory_compaction_changed{job="decay",tenant="a\\"b",what="archived"} 2' in lines
    assert 'memory_compaction_unrepaired{job="decay",tenant="a\\"b"} 1' in lines
    assert "# TYPE memory_compaction_seconds gauge" in lines
    assert metrics([JobReport("decay", "a", dry_run=True)]) == ""


def test_a_policy_is_kept_and_checked(settings: Settings, url: str, database: Database) -> None:
    async def policies() -> None:
        async with database:
            assert (await read_policy(database, TENANT)).k == 5
            await write_policy(database, TENANT, k=3, people="recruiters")
            policy = await read_policy(database, TENANT)
            assert (policy.k, policy.people, policy.jitter) == (3, "recruiters", 2)
            with pytest.raises(
                ConfigurationError, match=r"policy of tenant 'northwind': k: .*got 1"
            ):
                await write_policy(database, TENANT, k=1)
            with pytest.raises(ConfigurationError, match="tidy"):
                await write_policy(database, TENANT, tidy=True)
            assert (await read_policy(database, TENANT)).k == 3

    asyncio.run(policies())


def test_the_floor_of_k_is_in_the_database_too(superuser: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        set_policy(superuser, k=1)


# --- sessions ----------------------------------------------------------------------------------


def test_an_idle_session_is_summarised_and_its_working_memory_ends(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    talk(client, "The shortlist for the bank is due on Friday.", "Ok.")
    client.state.set(ANA, "step", 3)
    superuser.execute("UPDATE sessions SET summary = 'So far', summary_through = 1")
    assert run("sessions")[0].changed == {}  # not idle yet
    expire(superuser)
    assert run("sessions")[0].changed == {"sessions closed": 1, "summaries": 1}
    (summary,) = client.history(ANA, kinds=[MemoryKind.SUMMARY])
    assert "due on Friday" in summary.text
    assert summary.provenance.extractor == "summaries"
    quoted = client.explain(ANA, summary.id).evidence[0]
    assert quoted.quote in "The shortlist for the bank is due on Friday."
    session = superuser.execute("SELECT summary, closed_at IS NULL FROM sessions").fetchone()
    assert session == ("", False)
    assert superuser.execute("SELECT count(*) FROM task_state").fetchone() == (0,)


def test_a_session_that_goes_on_is_summarised_anew(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    talk(client, "The shortlist for the bank is due on Friday.")
    expire(superuser)
    run("sessions")
    talk(client, "The insurance company moved its interviews to Monday morning.", days=1)
    expire(superuser)
    run("sessions")
    (summary,) = client.history(ANA, kinds=[MemoryKind.SUMMARY])
    assert "insurance" in summary.text
    assert len(client.history(ANA, kinds=[MemoryKind.SUMMARY], closed=True)) == 2


def test_a_session_that_goes_on_while_it_is_closed_stays_open(
    client: MemoryClient, settings: Settings, superuser: psycopg.Connection
) -> None:
    talk(client, "The shortlist for the bank is due on Friday.")
    expire(superuser)

    class Late(WordEmbedder):
        """Something is said while the summary is being embedded."""

        async def embed(self, texts: Any) -> Any:
            superuser.execute("UPDATE sessions SET length = length + 1")
            return await super().embed(texts)

    (report,) = compactor(settings, Late())("sessions")
    assert report.changed == {"left open": 1}
    assert client.history(ANA, kinds=[MemoryKind.SUMMARY]) == []


# --- merge -------------------------------------------------------------------------------------


def test_duplicates_become_one_with_the_evidence_of_all(
    client: MemoryClient, run: Compactor, worker: Extraction, superuser: psycopg.Connection
) -> None:
    old, new = (
        hold(client, ["ana"], attribute="allergic_to", value=value, days=days)[0]
        for days, value in enumerate(("Nuts!", "nuts"))
    )
    assert run("merge")[0].changed == {"memories merged": 1}
    (left,) = client.history(ANA, attribute="allergic_to")
    assert (left.id, left.support, left.supersedes) == (new.id, 2, old.id)
    assert left.valid_from == old.valid_from
    explained = client.explain(ANA, left.id)
    assert len(explained.evidence) == 2
    # The next fold of the same key agrees: what is said again strengthens the one.
    hold(client, ["ana"], attribute="allergic_to", value="nuts", days=5)
    worker.drain()
    (still,) = client.history(ANA, attribute="allergic_to")
    assert still.support == 3
    assert run("merge")[0].changed == {}
    assert run("verify")[0].found == 0


def test_what_differs_stays_apart(client: MemoryClient, run: Compactor) -> None:
    hold(client, ["ana"], attribute="uses", value="c")
    hold(client, ["ana"], attribute="uses", value="c++")
    hold(client, ["ana"], attribute="uses", value="c", context="at work")
    hold(client, ["ana"], attribute="writes", value="c")
    assert run("merge")[0].changed == {}


def test_same_in_other_words() -> None:
    pair: Any = {
        "newer_value": "tea with milk", "older_value": "milk tea", "cosine": 0.98,
        "newer_text": "Prefers tea with milk in the morning before any of the calls",
        "older_text": "Prefers tea with milk in the morning before any calls",
    }  # fmt: skip
    assert same(pair)
    assert not same({**pair, "cosine": 0.9})
    assert not same({**pair, "newer_text": pair["older_text"].replace("tea", "no tea")})
    assert not same({**pair, "newer_text": pair["older_text"] + " 2"})
    assert not same({**pair, "newer_text": "Drinks tea"})
    assert not same({**pair, "newer_value": "green tea with milk"})
    assert cleaned(" C++  code.") == "c++ code"


# --- decay -------------------------------------------------------------------------------------


def _learned(client: MemoryClient, worker: Extraction) -> None:
    """Episodes and facts of 1,000 days before day 0, then nothing but a greeting on that day."""
    talk(client, "I speak Basque.", "Always answer in French.", days=-1000)
    hold(client, ["ana"], attribute="allergic_to", value="nuts", days=-1000)
    worker.drain()
    talk(client, "Hello again", scope=ANA.in_session("later"))
    worker.drain()


def test_what_is_not_used_fades_and_is_archived_not_deleted(
    client: MemoryClient, run: Compactor, worker: Extraction, superuser: psycopg.Connection
) -> None:
    _learned(client, worker)
    superuser.execute(
        "UPDATE memories SET attribute = 'instruction', value = 'answer in french'"
        " WHERE text LIKE '%French%'"
    )
    (report,) = run("decay")
    assert report.changed["archived"] == 2
    archived = superuser.execute(
        "SELECT text, importance, initial_importance FROM memories WHERE archived_at IS NOT NULL"
        " ORDER BY text"
    ).fetchall()
    assert [text for text, _, _ in archived] == [
        "Speaks Basque", "User: I speak Basque.",
    ]  # fmt: skip
    # 1,000 days are 1000 / 180 half-lives of what was supported once.
    assert archived[0][1] == pytest.approx(archived[0][2] * 0.5 ** (1000 / 180), rel=1e-4)
    found = client.recall(ANA, "Which languages does she speak?").items
    assert "Basque" not in repr(found)
    texts = {memory.text for memory in client.history(ANA)}
    assert {"User: Hello again", "ana on allergic_to: nuts"} <= texts
    assert not any(run("decay")[0].changed.values())


def test_use_slows_decay_and_brings_back(
    client: MemoryClient, run: Compactor, worker: Extraction, superuser: psycopg.Connection,
    settings: Settings, url: str,
) -> None:  # fmt: skip
    _learned(client, worker)
    run("decay")
    ((faded,),) = superuser.execute("SELECT memory_id FROM memories WHERE text = 'Speaks Basque'")

    async def use() -> None:
        async with Database(settings, url, DatabaseRole.CLIENT) as database:
            for _ in range(2):
                await database.fetch(ANA, "compaction.used", {"memories": [faded, 10**9]})

    asyncio.run(use())
    used = superuser.execute("SELECT memory_id, uses FROM memory_usage").fetchall()
    assert used == [(faded, 2)]
    superuser.execute("UPDATE memory_usage SET last_used_at = %s", (MARCH - timedelta(days=100),))
    assert run("decay")[0].changed["brought back"] == 1
    client.forget(ANA, user=True)
    assert superuser.execute("SELECT count(*) FROM memory_usage").fetchone() == (0,)


# --- retain ------------------------------------------------------------------------------------


def _aged(client: MemoryClient, worker: Extraction, superuser: psycopg.Connection) -> None:
    talk(client, "I live in Berlin.", "I speak Basque.")
    worker.drain()
    superuser.execute("UPDATE interactions SET recorded_at = now() - interval '31 days'")
    talk(client, "I speak Catalan.", days=40)
    worker.drain()


def test_retention_keeps_knowledge_without_quotes(
    client: MemoryClient, run: Compactor, worker: Extraction, superuser: psycopg.Connection
) -> None:
    _aged(client, worker, superuser)
    assert run("retain")[0].changed == {}  # no policy, no purge
    set_policy(superuser, retain_interactions_days=30)
    assert run("retain")[0].changed == {"interactions purged": 2, "memories dropped": 2}
    assert [i.content for i in client.interactions(ANA)] == ["I speak Catalan."]
    texts = {memory.text for memory in client.history(ANA)}
    assert texts == {"Lives in Berlin", "Speaks Basque", "Speaks Catalan", "User: I speak Catalan."}
    for table in ("evidence", "assertions"):
        rows = superuser.execute(f"SELECT t::text FROM {table} t".encode()).fetchall()
        assert "I speak Basque" not in repr(rows)
        assert "I speak Catalan" in repr(rows)
    assert run("verify")[0].found == 0
    assert run("retain")[0].changed == {}


def test_retention_drops_what_stood_on_purged_interactions(
    client: MemoryClient, run: Compactor, worker: Extraction, superuser: psycopg.Connection
) -> None:
    _aged(client, worker, superuser)
    set_policy(superuser, retain_interactions_days=30, retain_derived="drop")
    report = run("retain")[0]
    assert report.changed["interactions purged"] == 2
    worker.drain()
    texts = {memory.text for memory in client.history(ANA)}
    assert texts == {"Speaks Catalan", "User: I speak Catalan."}
    assert run("verify")[0].found == 0


def test_closed_beliefs_are_purged(
    client: MemoryClient, run: Compactor, superuser: psycopg.Connection
) -> None:
    for days, value in enumerate(("berlin", "munich")):
        hold(client, ["ana"], attribute="lives_in", value=value, days=days, single_valued=True)
    superuser.execute(
        "UPDATE memories SET believed_from = now() - interval '90 days',"
        " believed_to = now() - interval '60 days' WHERE believed_to IS NOT NULL"
    )
    set_policy(superuser, retain_closed_days=59)
    assert run("retain")[0].changed == {"closed memories purged": 1}
    assert all(memory.believed_to is None for memory in client.history(ANA, closed=True))


# --- cluster -----------------------------------------------------------------------------------


def test_clustering_brings_rows_together_and_changes_nothing_else(
    client: MemoryClient, run: Compactor, worker: Extraction, superuser: psycopg.Connection
) -> None:
    users = [Scope(TENANT, user, session="s") for user in named(12)]
    for n in range(16):  # round after round: each user's rows end up between everyone's
        client.record_many(
            [
                Interaction(
                    user, f"m{n}", "message", "user", f"Note {n}: " + "word " * 80,  # type: ignore[arg-type]
                    MARCH + timedelta(minutes=n),
                )
                for user in users
            ]
        )  # fmt: skip
        worker.drain()
    client.record(users[0], "x")

    def contents() -> list[Any]:
        return [
            superuser.execute(f"SELECT t::text FROM {table} t ORDER BY 1".encode()).fetchall()
            for table in ("memories", "evidence", "embeddings", "memory_usage")
        ]

    superuser.execute("INSERT INTO memory_usage SELECT tenant_id, user_id, memory_id FROM memories")
    before = contents()
    (foretold,) = run("cluster", dry_run=True)
    (report,) = run("cluster")
    assert contents() == before
    assert report.changed == foretold.changed == {"users moved": 12, "rows moved": 12 * 16}
    pages = report.measured
    assert pages["pages per user after"] < pages["pages per user before"] / 2
    assert run("cluster")[0].changed == {"users moved": 0, "rows moved": 0}
    assert run("verify")[0].found == 0
    assert len(client.recall(users[3], "note word", k=50)) == 16


# --- verify ------------------------------------------------------------------------------------

BREAKS: list[tuple[str, str, bool]] = [
    ("a memory without evidence", "DELETE FROM evidence WHERE memory_id = {fact}", True),
    ("a gap in the ordinals", "DELETE FROM interactions WHERE interaction_id = 'm2'", False),
    ("positions unaccounted for", "DELETE FROM interactions WHERE interaction_id = 'm2'", False),
    ("an interaction beyond its session", "UPDATE sessions SET length = 2", False),
    ("a position behind the log", "UPDATE users SET position = 1 WHERE user_id = 'ana'", True),
    (
        "overlapping beliefs",
        "INSERT INTO memories SELECT (jsonb_populate_record(m, jsonb_build_object('memory_id', 99,"
        " 'value', 'munich', 'valid_from', m.valid_from + interval '1 day'))).* FROM memories m"
        " WHERE attribute = 'lives_in';"
        " INSERT INTO evidence SELECT tenant_id, user_id, 99, interaction_id, start_offset,"
        " end_offset, quote, stance, occurred_at, recorded_at FROM evidence"
        " WHERE memory_id = {fact};"
        " INSERT INTO embeddings (tenant_id, user_id, embedder_id, memory_id, vector, generation)"
        " SELECT tenant_id, user_id, embedder_id, 99, vector, 1"
        " FROM embeddings WHERE memory_id = {fact}",
        True,
    ),
    (
        "a vector without memory",
        "INSERT INTO embeddings (tenant_id, user_id, embedder_id, memory_id, vector, generation)"
        " SELECT tenant_id, user_id, embedder_id, 99, vector, 1"
        " FROM embeddings WHERE memory_id = {fact}",
        True,
    ),
    ("a memory without vector", "DELETE FROM embeddings WHERE memory_id = {fact}", True),
    (
        "a quote that is not in its source",
        "UPDATE evidence SET quote = 'I live in Rome' WHERE memory_id = {fact}",
        False,
    ),
    (
        "a forgotten interaction that came back",
        "INSERT INTO tombstones (tenant_id, user_id, id_digest)"
        " VALUES ('northwind', 'ana', sha256('m1'))",
        False,
    ),
    ("progress ahead of the log", "UPDATE session_progress SET ordinal = 50", True),
    (
        "a block that says other than its memories",
        "UPDATE memories SET lexemes = 'elsewhere' WHERE user_id = 'ana' AND memory_id = {fact}",
        True,
    ),
    (
        "a block that says other than its memories",
        "UPDATE memories SET archived_at = now() WHERE user_id = 'ana'",
        True,
    ),
    (
        "a block that says other than its memories",
        "DELETE FROM memories WHERE user_id = 'ana'",
        True,
    ),
    (
        "a block that says other than its memories",
        "UPDATE collective_memories SET lexemes = 'elsewhere'",
        True,
    ),
    (
        "a block that says other than its memories",
        "DELETE FROM collective_memories",
        True,
    ),
    (
        "support that does not add up",
        "UPDATE collective_memories SET support = 100",
        True,
    ),
    (
        "support that does not add up",
        "DELETE FROM collective_support WHERE user_id = 'user-1'",
        True,
    ),
    (
        "support that does not add up",
        "UPDATE memories SET believed_to = now() WHERE user_id = 'user-1'",
        True,
    ),
    ("a memory without vector", "DELETE FROM collective_embeddings", True),
]


@pytest.fixture
def sound(client: MemoryClient, run: Compactor, worker: Extraction,
          superuser: psycopg.Connection) -> str:  # fmt: skip
    """A database with something of everything, in which verify finds nothing; the fact's id."""
    set_policy(superuser, k=2)
    for n, text in enumerate(("I live in Berlin.", "Noted.", "I speak Basque."), 1):
        client.record(ANA, text, id=f"m{n}", occurred_at=MARCH + timedelta(minutes=n))
    hold(client, named(2))
    worker.drain()
    run("promote")
    superuser.execute("UPDATE users SET change_seq = 300 WHERE user_id = 'ana'")  # fills a block
    superuser.execute("SELECT build_block(tenant_id, user_id, 1::smallint) FROM users")
    assert superuser.execute("SELECT user_id FROM recall_blocks").fetchall() == [("ana",)]
    superuser.execute("UPDATE tenants SET change_seq = 300")
    superuser.execute("SELECT build_collective_block(tenant_id) FROM tenants")
    assert superuser.execute("SELECT member_count FROM collective_blocks").fetchall() == [(1,)]
    (report,) = run("verify")
    assert report.found == 0, report
    return str(client.history(ANA, attribute="lives_in")[0].id)


@pytest.mark.parametrize(("invariant", "damage", "repairable"), BREAKS)
def test_verify_names_what_is_broken_and_repairs_what_it_can(
    invariant: str, damage: str, repairable: bool, sound: str, run: Compactor,
    superuser: psycopg.Connection,
) -> None:  # fmt: skip
    superuser.execute("SET session_replication_role = replica")  # past foreign keys and triggers
    superuser.execute(damage.format(fact=sound).encode())
    (report,) = run("verify")
    assert invariant in {finding.invariant for finding in report.findings}, report
    assert not report.sound
    (mended,) = run("verify", repair=True)
    assert {f.invariant: f.repaired for f in mended.findings}[invariant] is repairable
    (after,) = run("verify")
    left = {finding.invariant for finding in after.findings}
    assert (invariant in left) is not repairable, after


def test_every_invariant_is_broken_by_a_test() -> None:
    from consumers.compaction.verification import INVARIANTS

    known = {invariant.name for invariant in INVARIANTS}
    known |= {"a memory without vector", "support that does not add up"}
    assert {invariant for invariant, _, _ in BREAKS} == known


def test_repair_restates_a_count_and_withdraws_what_nothing_bears(
    sound: str, run: Compactor, superuser: psycopg.Connection, client: MemoryClient
) -> None:
    superuser.execute("UPDATE collective_memories SET support = 100")
    run("verify", repair=True)
    assert [count for _, count in shared(superuser)] == [2]
    superuser.execute("UPDATE memories SET believed_to = now() WHERE user_id = 'user-1'")
    run("verify", repair=True)
    assert shared(superuser) == []


def test_a_dry_run_repairs_nothing(
    sound: str, run: Compactor, superuser: psycopg.Connection
) -> None:
    superuser.execute("UPDATE session_progress SET ordinal = 50")
    (report,) = run("verify", repair=True, dry_run=True)
    assert (report.found, report.repaired) == (3, 0)  # a session of each user


def test_live_traffic_beside_the_jobs(
    client: MemoryClient, run: Compactor, worker: Extraction, superuser: psycopg.Connection
) -> None:
    """Recording, extraction and forgetting go on while every job runs again and again."""
    from concurrent.futures import ThreadPoolExecutor

    set_policy(superuser, k=2, cooldown_days=0)
    scopes = [replace(ANA, user=user) for user in named(4)]

    def live(_: int) -> None:
        for n in range(12):
            for scope in scopes:
                talk(client, f"I speak Basque{n}. I live in City{n}.", scope=scope, days=n)
            hold(client, named(3), value=f"short{n % 3}", days=n)
            worker.drain()
        client.forget(scopes[0], user=True)

    def compacting(_: int) -> None:
        for _again in range(4):
            expire(superuser)
            run()

    with ThreadPoolExecutor(2) as pool:
        for done in (pool.submit(live, 0), pool.submit(compacting, 0)):
            done.result()
    worker.drain()
    run("promote")
    (report,) = run("verify")
    assert report.found == 0, report


# --- the command -------------------------------------------------------------------------------


def test_the_command_prints_reports_and_fails_on_what_is_broken(
    url: str, tmp_path: Path, superuser: psycopg.Connection
) -> None:
    environment = {"MEMORY_DATABASE_URL": url, "MEMORY_TENANT": TENANT}
    written = tmp_path / "memory.prom"

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(compact_command, list(arguments), env=environment)

    told = invoke("--json", "--metrics", str(written))
    assert told.exit_code == 0, told.output
    assert [report["job"] for report in json.loads(told.stdout)] == list(JOBS)
    assert 'memory_compaction_seconds{job="verify"' in written.read_text()
    superuser.execute(
        "INSERT INTO users (tenant_id, user_id, position) VALUES (%s, 'ana', 3)", (TENANT,)
    )
    broken = invoke("verify")
    assert broken.exit_code == 1
    assert "positions unaccounted for" in broken.stdout
    assert invoke("promote", "--dry-run").exit_code == 0
    assert invoke("tidy").exit_code == 2
