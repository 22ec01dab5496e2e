"""The `memory` command line: what it prints, and the codes it exits with."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import anyio
import click
import psycopg
import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from rich.table import Table
from rich.text import Text

import consumers.store
import memory.client.async_client
from consumers.cli import output
from consumers.cli.application import COMMANDS, exit_code
from consumers.cli.application import memory as command_line
from consumers.runtime.terminal import plain
from extractors.protocol import Extractor, LogSlice, Reading
from memory.client import MemoryClient
from memory.embedding import Embedder
from memory.errors import (
    ConcurrentWrite,
    EmbedderMismatch,
    ExtractionFailed,
    InvalidInteraction,
    LockTimeout,
    NotMigrated,
    StoreError,
)
from memory.models import Candidate, InteractionKind, MemoryKind, Scope
from tests.conftest import Verbatim

RunCommand = Callable[..., Result]
MARCH = "2026-03-02T08:00:00Z"


@dataclass(frozen=True)
class Broken:
    """Fails on every session that says so."""

    name: str = "broken"
    version: str = "1"
    reading: Reading = Reading.SESSION
    reads: frozenset[InteractionKind] = field(default=frozenset({InteractionKind.MESSAGE}))
    makes: frozenset[MemoryKind] = field(default=frozenset({MemoryKind.FACT}))

    async def extract(self, log: LogSlice) -> list[Candidate]:
        if any("poison" in i.content for i in log.interactions):
            raise ExtractionFailed("cannot read this")
        return []


@dataclass(frozen=True)
class Meeting(Verbatim):
    """Ends when it was shown two users; what waits for a second one in vain has failed."""

    shown: set[str] = field(default_factory=set)
    both: anyio.Event = field(default_factory=anyio.Event)

    async def extract(self, log: LogSlice) -> list[Candidate]:
        self.shown.add(log.scope.user)
        if len(self.shown) == 2:
            self.both.set()
        with anyio.fail_after(20):
            await self.both.wait()
        return []


@pytest.fixture
def run(
    url: str, embedder: Embedder, extractors: list[Extractor], monkeypatch: pytest.MonkeyPatch
) -> RunCommand:
    """Runs `memory` on a store of this test's own, with the test's extractors."""
    monkeypatch.setenv("MEMORY_DATABASE_URL", url)
    monkeypatch.delenv("MEMORY_TENANT", raising=False)
    monkeypatch.setattr(memory.client.async_client, "create_embedder", lambda _: embedder)
    monkeypatch.setattr(consumers.store, "create_embedder", lambda _: embedder)
    monkeypatch.setattr(consumers.store, "installed_extractors", lambda _: extractors)

    def call(*words: str, **options: Any) -> Result:
        return CliRunner().invoke(command_line, words, prog_name="memory", **options)

    return call


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def envelope(number: int, content: str) -> str:
    return json.dumps(
        {
            "v": 1,
            "id": f"m{number}",
            "user": "ana",
            "session": "s",
            "kind": "message",
            "role": "user",
            "content": content,
            "occurred_at": f"2026-03-02T08:00:{number:02}Z",
        }
    )


def test_an_answer_may_wait_for_a_receipt(run: RunCommand) -> None:
    receipt = run("record", "I live in Berlin.", "--user", "ana", "--json").stdout
    after = ("--user", "ana", "--after", receipt, "--wait", "0.1")
    fresh = run("context", "Where?", *after, "--session", "default")
    assert (fresh.exit_code, "not fresh" in fresh.stderr) == (0, False)
    stale = run("recall", "Where?", *after, "--json")
    assert "not fresh after 0.1 s" in stale.stderr
    assert json.loads(stale.stdout)["fresh"] is False
    run("extract")
    found = json.loads(run("recall", "Where?", *after, "--json").stdout)
    assert (found["fresh"], found["position"], found["extracted"]) == (True, 1, 1)
    refused = run("recall", "Where?", "--user", "ana", "--after", "yesterday")
    assert (refused.exit_code, "not a receipt: 'yesterday'" in refused.stderr) == (1, True)


def test_without_brokers_there_are_no_topics_to_make(
    run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEMORY_KAFKA_SERVERS", raising=False)
    refused = run("topics", "create")
    assert (refused.exit_code, "MEMORY_KAFKA_SERVERS" in refused.stderr) == (3, True)


def test_topics_are_made_and_recording_goes_there(
    run: RunCommand, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_KAFKA_SERVERS", kafka)
    monkeypatch.setenv("MEMORY_KAFKA_TOPIC", "from.the.console")
    small = ("topics", "create", "--replication", "1", "--partitions")
    made = run(*small, "2").stdout.splitlines()
    assert made[0] == "made   from.the.console, 2 partitions"
    assert [line.split()[1] for line in made[1:]] == [
        "from.the.console.dead-letters,",
        "from.the.console.changes,",
    ]
    again = run(*small, "3").stdout.splitlines()
    assert again[0].startswith("there  from.the.console, 2 partitions; differs: partitions is 2")
    sent = run("record", "I live in Berlin.", "--user", "ana", "--id", "m1")
    assert re.match(r"sent m1 to from\.the\.console/[01]@0; ", sent.stdout)


def test_from_record_to_forget(run: RunCommand) -> None:
    said = ("record", "I live in Berlin.", "--user", "ana", "--id", "m1", "--at", MARCH)
    receipt = document(run(*said, "--json"))
    assert receipt == {
        "interaction_id": "m1",
        "session": "default",
        "ordinal": 1,
        "position": 1,
        "duplicate": False,
        "place": None,
    }
    assert "already recorded m1" in run(*said).stdout

    waiting = document(run("status", "--user", "ana", "--json"))
    assert (waiting["waiting"], waiting["users_due"], waiting["position"]["extracted"]) == (1, 1, 0)
    assert run("status", "--max-waiting", "1").exit_code == 0
    passed = run("status", "--max-waiting", "0")
    assert passed.exit_code == 1
    assert "waiting 1 interactions (limit 0 interactions)" in passed.stderr

    done = document(run("extract", "--json"))
    assert (done["interactions"], done["memories"]) == (1, {"residence": 1, "verbatim": 1})
    ask = ("recall", "Where does she live?", "--user", "ana", "--kind", "fact")
    found = document(run(*ask, "--json"))
    assert [item["memory"]["text"] for item in found["items"]] == ["Lives in Berlin"]
    assert found["items"][0]["citations"] == ["m1"]
    number = str(found["items"][0]["memory"]["id"])
    why = document(run("explain", number, "--user", "ana", "--json"))
    assert [e["quote"] for e in why["evidence"]] == ["I live in Berlin"]
    assert why["memory"]["provenance"]["extractor"] == "residence"

    status = document(run("status", "--json"))
    assert (status["waiting"], status["embedder"]) == (0, "words-64")
    assert {"kind": "fact", "extractor": "residence", "memories": 1} in status["long_term"]

    gone = document(run("forget", "--memory", number, "--user", "ana", "--yes", "--json"))
    assert gone == {"interactions": 1, "memories": 2}
    assert document(run("recall", "Berlin", "--user", "ana", "--json"))["items"] == []
    again = run(*said, "--json")
    assert again.exit_code == 1
    assert json.loads(again.stdout)["error"]["type"] == "ForgottenId"


def test_what_a_person_reads(run: RunCommand) -> None:
    recorded = run("record", "I live in Berlin.", "--user", "ana")
    assert "number 1 of session 'default'" in recorded.stdout
    run("record", "[bold]not markup[/bold] \x1b[31m", "--user", "ana")
    assert "memories made: residence 1, verbatim 2" in run("extract").stdout
    shown = run("recall", "markup", "--user", "ana").stdout
    assert "[bold]not markup[/bold]" in shown
    assert "\x1b" not in shown
    assert "Lives in Berlin" in run("recall", "Berlin", "--user", "ana").stdout
    fact = document(run("recall", "Berlin", "--user", "ana", "--kind", "fact", "--json"))
    number = str(fact["items"][0]["memory"]["id"])
    explained = run("explain", number, "--user", "ana").stdout
    assert "“I live in Berlin”" in explained
    assert "residence 1" in explained
    assert "2 interactions of 1 user" in run("status").stdout


def test_context_in_three_forms(run: RunCommand) -> None:
    run("record", "I live in Berlin.", "--user", "ana", "--session", "monday", "--id", "m1")
    run("extract")
    ask = ("context", "Where does she live?", "--user", "ana", "--budget", "200")
    text = run(*ask)
    assert "live in Berlin" in text.stdout.replace("Lives", "live")
    assert "from m1" in text.stderr
    items = document(run(*ask, "--json"))
    assert items["text"] == text.stdout.rstrip("\n")
    assert items == document(run(*ask, "--format", "json"))
    assert [m["role"] for m in document(run(*ask, "--format", "messages"))] == ["system"]
    turns = document(run(*ask, "--session", "monday", "--format", "messages"))
    assert turns[-1] == {"role": "user", "content": "I live in Berlin."}
    assert run(*ask, "--format", "text", "--json").exit_code == 2
    small = run("context", "x", "--user", "ana", "--budget", "5", "--json")
    assert small.exit_code == 1
    assert "at least 50 tokens" in json.loads(small.stdout)["error"]["message"]


def test_import_stops_at_a_broken_line_and_goes_on_without_doubling(
    run: RunCommand, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    good = [envelope(1, "I live in Berlin."), envelope(2, "I speak German.")]
    path.write_text("\n".join([*good, '{"v": 1, "id"', envelope(4, "Later.")]))
    broken = run("import", str(path))
    assert broken.exit_code == 1
    assert f"{path}, line 3" in broken.stderr
    assert len(broken.stderr.splitlines()) == 1
    assert document(run("status", "--json"))["interactions"] == 2

    path.write_text("\n".join([*good, envelope(3, "I left Berlin."), envelope(4, "Later.")]))
    done = document(run("import", str(path), "--json"))
    assert (done["format"], done["accepted"], done["duplicates"]) == ("jsonl", 2, 2)
    assert done["extraction"]["interactions"] == 4
    assert done["extraction"]["memories"]["verbatim"] == 4
    again = run("import", str(path))
    assert "0 accepted, 4 already there" in " ".join(again.stdout.split())
    assert "memories made: none" in again.stdout


def test_import_takes_each_line_s_own_tenant_and_may_leave_extraction_for_later(
    run: RunCommand, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    other = json.loads(envelope(2, "I live in Oslo.")) | {"tenant": "other"}
    path.write_text(envelope(1, "I live in Berlin.") + "\n" + json.dumps(other))
    assert document(run("import", str(path), "--no-extract", "--json"))["extraction"] is None
    done = document(run("import", str(path), "--tenant", "acme", "--json"))
    assert done["extraction"]["memories"] == {"residence": 2, "verbatim": 2}
    for tenant, city in (("acme", "Berlin"), ("other", "Oslo")):
        found = run("recall", city, "--user", "ana", "--tenant", tenant, "--kind", "fact").stdout
        assert f"Lives in {city}" in found


@pytest.mark.parametrize("by_import", [False, True])
def test_two_users_are_extracted_at_once_unless_told_otherwise(
    run: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_import: bool
) -> None:
    monkeypatch.setattr(consumers.store, "installed_extractors", lambda _: [Meeting()])
    path = tmp_path / "log.jsonl"
    other = json.loads(envelope(2, "I live in Oslo.")) | {"user": "tom"}
    path.write_text(envelope(1, "I live in Berlin.") + "\n" + json.dumps(other))
    done = document(run("import", str(path), *([] if by_import else ["--no-extract"]), "--json"))
    extracted = done["extraction"] if by_import else document(run("extract", "--json"))
    assert (extracted["users"], extracted["failures"]) == (2, 0)


@pytest.fixture
def failing(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> RunCommand:
    monkeypatch.setattr(consumers.store, "installed_extractors", lambda _: [Broken()])
    monkeypatch.setenv("MEMORY_MAX_ATTEMPTS", "1")
    return run


def test_a_failed_session_is_an_exit_code_and_a_line_of_status(failing: RunCommand) -> None:
    failing("record", "poison", "--user", "ana", "--session", "bad")
    failed = failing("extract")
    assert failed.exit_code == 1
    assert "extraction failed" in failed.stderr
    assert "Traceback" not in failed.stderr
    aside = (
        "session 'bad' of user 'ana' of tenant 'default' after 1 attempt:"
        " ExtractionFailed: cannot read this"
    )
    assert aside in failing("status").stdout
    assert [s["session"] for s in document(failing("status", "--json"))["set_aside"]] == ["bad"]


def test_what_was_set_aside_has_a_bound_and_can_be_taken_up_again(
    failing: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing("record", "poison", "--user", "ana", "--session", "bad")
    failing("extract")
    over = failing("status", "--max-set-aside", "0")
    assert over.exit_code == 1
    assert "set aside 1 sessions (limit 0 sessions)" in over.stderr
    monkeypatch.setattr(consumers.store, "installed_extractors", lambda _: [Verbatim()])
    assert failing("extract", "--user", "ana").exit_code == 2  # whose ana?
    taken = failing("extract", "--retry-set-aside", "--workers", "2", "--json")
    assert "retrying 1 session" in taken.stderr
    assert document(taken)["memories"] == {"verbatim": 1}
    assert failing("status", "--max-set-aside", "0").exit_code == 0


def test_a_tenant_is_paused_throttled_and_resumed(run: RunCommand) -> None:
    for tenant in ("acme", "birch"):
        run("record", "I live in Berlin.", "--user", "ana", "--tenant", tenant)
    paused = run("tenants", "pause", "acme")
    assert "paused 'acme'" in paused.stderr
    assert re.search(r"acme +1 +1 .* paused since", paused.stdout)
    assert document(run("extract", "--json"))["users"] == 1
    assert "tenant 'acme': 1 interaction of 1 user waiting" in run("status").stdout
    held = run("status", "--max-lag", "0", "--max-held-back", "0")
    assert (held.exit_code, "held back 1 interactions" in held.stderr) == (1, True)
    assert " lag " not in held.stderr
    throttled = document(run("tenants", "throttle", "acme", "--users", "5", "--json"))
    assert throttled["tenants"][0]["throttle"] == {"users": 5, "interactions": None}
    assert throttled["tenants"][0]["paused_at"] is not None
    assert run("tenants", "resume", "acme").exit_code == 0
    assert document(run("extract", "--json"))["users"] == 1
    assert document(run("tenants", "list", "--json"))["tenants"] == []


@pytest.mark.parametrize("words", [[], ["--users", "0"], ["--interactions", "0"]])
def test_a_throttle_names_a_number_over_zero(run: RunCommand, words: list[str]) -> None:
    assert run("tenants", "throttle", "acme", *words).exit_code == 2


def test_status_keeps_history_that_waits_apart(run: RunCommand, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(envelope(1, "I live in Berlin."))
    run("import", str(path), "--tenant", "acme", "--no-extract")
    assert run("status", "--max-lag", "0").exit_code == 0
    late = run("status", "--max-backfill-lag", "0")
    assert late.exit_code == 1
    assert "backfill lag" in late.stderr
    assert "of these 1 interaction of 1 user" in late.stdout
    found = document(run("status", "--json"))
    assert (found["waiting"], found["backfill_waiting"], found["lag_seconds"]) == (1, 1, 0.0)


def test_changes_are_kept_once_enabled_and_go_out_as_lines(run: RunCommand, tmp_path: Path) -> None:
    run("record", "I live in Berlin.", "--user", "ana")
    run("extract")
    assert document(run("changes", "status", "--json"))["enabled"] is False
    assert run("changes", "snapshot").exit_code == 1
    assert "not stored" in run("changes", "status").stdout
    assert document(run("changes", "enable", "--snapshot", "--json"))["waiting"] == 3
    assert run("changes", "status", "--max-lag", "0").exit_code == 1
    path = tmp_path / "changes.jsonl"
    assert "published 3 changes" in run("changes", "publish", "--to", str(path)).stdout
    told = [json.loads(line)["change"] for line in path.read_text().splitlines()]
    assert told == ["reset", "added", "added"]
    no_brokers = run("changes", "publish")
    assert no_brokers.exit_code == 3
    assert "MEMORY_KAFKA_SERVERS" in no_brokers.stderr
    run("record", "I speak German.", "--user", "ana")
    run("extract")
    lines = run("changes", "publish", "--to", "-").stdout.splitlines()
    assert {json.loads(line)["schema"] for line in lines} == {1}
    run("record", "I speak Dutch.", "--user", "ana")
    run("extract")
    assert document(run("changes", "disable", "--drop", "--json"))["waiting"] == 0


def test_extraction_without_an_extractor_moves_nothing_on(
    run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("record", "I live in Berlin.", "--user", "ana")
    monkeypatch.setattr(consumers.store, "installed_extractors", lambda _: [])
    refused = run("extract")
    assert refused.exit_code == 3
    assert "no extractor is installed" in refused.stderr
    assert document(run("status", "--json"))["waiting"] == 1


def test_forget_asks_first(run: RunCommand) -> None:
    run("record", "I live in Berlin.", "--user", "ana")
    ask = ("forget", "--user-all", "--user", "ana")
    refused = run(*ask, input="n\n")
    assert refused.exit_code == 1
    assert "everything of user 'ana'" in refused.stderr
    assert run(*ask).exit_code == 1  # nobody there to answer
    assert document(run("status", "--json"))["interactions"] == 1
    agreed = run(*ask, input="y\n")
    assert agreed.exit_code == 0
    assert "forgot 1 interaction;" in agreed.stdout
    for wrong in (ask[:1] + ask[2:], (*ask, "--session", "s")):
        assert run(*wrong).exit_code == 2


def test_migrate_brings_an_empty_database_up_to_date(
    run: RunCommand, make_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_DATABASE_URL", make_database("template1"))
    early = run("status", "--json")
    assert early.exit_code == 3
    assert json.loads(early.stdout)["error"]["type"] == "NotMigrated"
    done = document(run("migrate", "--json"))
    assert len(done["applied"]) == done["version"] > 0
    assert "nothing to apply" in run("migrate").stdout
    assert run("status").exit_code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["recall", "x"], 2, "Missing option '--user'"),
        (["bogus"], 2, "No such command 'bogus'"),
        (["recall", "x", "--user", "ana", "--kind", "bogus"], 2, "'bogus' is not one of"),
        (["record", "x", "--user", "ana", "--payload", "[1]"], 2, "not a JSON object: '[1]'"),
        (["record", "x", "--user", "ana", "--at", "noon"], 2, "'noon' is not like 20"),
        (["record", "x", "--user", "ana", "--at", "2026-03-02T08:00:00"], 1, "needs a time zone"),
        (["explain", "7", "--user", "ana"], 1, "has no memory 7"),
        (["recall", "x", "--user", ""], 1, "user must be 1 to 200 characters"),
        (["recall", "x", "--user", "ana", "--only-agent"], 1, "only_agent needs an agent"),
    ],
)
def test_errors_are_one_line_or_one_document(
    run: RunCommand, words: list[str], code: int, said: str
) -> None:
    plain = run(*words)
    assert plain.exit_code == code
    assert plain.stdout == ""
    assert plain.stderr.startswith("error: ")
    assert said in plain.stderr
    assert plain.stderr.count("\n") == 1
    told = run(*words, "--json")
    assert told.exit_code == code
    assert said in json.loads(told.stdout)["error"]["message"]


@pytest.mark.parametrize("words", [[], ["tenants"]], ids=["memory", "memory tenants"])
def test_without_a_command_the_help_is_a_page(run: RunCommand, words: list[str]) -> None:
    shown = run(*words)
    assert shown.exit_code == 2
    assert shown.stderr.startswith("Usage: ")
    assert "\nCommands:\n" in shown.stderr


@pytest.mark.parametrize(
    ("name", "value", "code", "said"),
    [
        ("MEMORY_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none", 4, "Connection refused"),
        ("MEMORY_POOL_MAX", "many", 3, "MEMORY_POOL_MAX: Input should be a valid integer"),
        ("MEMORY_TENANT", "\u00e9" * 201, 1, "tenant must be 1 to 200 characters"),
    ],
)
def test_settings_that_do_not_work_are_named(
    run: RunCommand,
    monkeypatch: pytest.MonkeyPatch,
    *,
    name: str,
    value: str,
    code: int,
    said: str,
) -> None:
    monkeypatch.setenv(name, value)
    result = run("recall", "x", "--user", "ana")
    assert result.exit_code == code
    assert said in result.stderr


def test_exit_codes_follow_the_error_tree() -> None:
    codes = {
        InvalidInteraction: 1,
        ExtractionFailed: 1,
        StoreError: 1,
        NotMigrated: 3,
        EmbedderMismatch: 3,
        LockTimeout: 4,
        ConcurrentWrite: 4,
    }
    assert {error: exit_code(error("x")) for error in codes} == codes


def test_a_generation_from_replay_to_retired(run: RunCommand, tmp_path: Path) -> None:
    run("record", "I live in Berlin.", "--user", "ana", "--id", "m1", "--at", MARCH)
    run("extract")
    replayed = document(
        run("replay", "--generation", "plain", "--extractors", "residence", "--json")
    )
    assert (replayed["users"], replayed["memories"]) == (1, {"residence": 1})
    shown = run("diff", "first", "plain", "--html", str(tmp_path / "diff.html"))
    assert "- lost     default/ana  User: I live in Berlin. (2026-03-02)" in shown.stdout
    assert "Lives in Berlin" not in shown.stdout
    assert "<h1>first → plain</h1>" in (tmp_path / "diff.html").read_text(encoding="utf-8")
    told = document(run("diff", "first", "plain", "--json"))
    assert (told["changes"], told["same"]) == ({"episode": {"lost": 1}}, {"fact": 1})
    assert told["after"]["quality"]["score"] == 1.0
    assert "cannot compare generation 'first' with itself" in run("diff", "first", "first").stderr

    refused = run("promote", "plain", "--json")
    assert (refused.exit_code, json.loads(refused.stdout)["error"]["type"]) == (1, "IllegalMove")
    assert run("shift", "plain", "--percent", "101").exit_code == 2
    ask = ("recall", "Where does she live?", "--user", "ana", "--json")
    before = document(run(*ask))
    assert "plain serves 100 % of the users" in run("shift", "plain", "--percent", "100").stdout
    assert {i["memory"]["kind"] for i in document(run(*ask))["items"]} == {"fact"}
    assert "the live generation serves everybody" in run("rollback").stdout
    assert document(run(*ask)) == before

    assert document(run("status", "--json"))["serves"] == {"first": 100}
    run("shift", "plain", "--percent", "30")
    assert document(run("status", "--json"))["serves"] == {"first": 70, "plain": 30}
    run("shift", "plain", "--percent", "100")
    assert "plain is live; first is kept up" in run("promote", "plain").stdout
    listed = run("generations").stdout.splitlines()
    assert listed[1].split()[:2] == ["first", "shadow"]
    assert listed[2].split()[:4] == ["plain", "live", "100", "%"]
    assert run("retire", "first", input="n\n").exit_code == 1
    assert document(run("retire", "first", "--yes", "--json"))["memories"] == 2
    assert document(run("generations", "--json"))[0]["generation"]["state"] == "retired"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    shown = CliRunner().invoke(command_line, [name, "--help"], prog_name="memory")
    assert shown.exit_code == 0
    assert f"  memory {name}" in shown.stdout.partition("Example:")[2] or name == "migrate"
    group = command_line.get_command(click.Context(command_line), name)
    for own in group.commands if isinstance(group, click.Group) else [None]:
        path = [name, own, "--help"] if own else [name, "--help"]
        assert "--json" in CliRunner().invoke(command_line, path, prog_name="memory").stdout


def test_every_command_is_listed_once_under_the_name_it_has() -> None:
    context = click.Context(command_line)
    for name in COMMANDS:
        found = command_line.get_command(context, name)
        assert found is not None
        assert found.name == name
    listed = CliRunner().invoke(command_line, ["--help"], prog_name="memory").stdout
    assert "Exit codes:" in listed
    assert all(f"  {name} " in listed for name in COMMANDS)


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_help_does_not_wait_for_what_it_does_not_need() -> None:
    heavy = "{'numpy', 'psycopg', 'pydantic', 'anyio', 'rich'}"
    shown = python(
        "import sys, atexit\n"
        f"atexit.register(lambda: sys.stderr.write(str({heavy} & set(sys.modules))))\n"
        "sys.argv = ['memory', '--help']\n"
        "from consumers.__main__ import main; main()"
    )
    assert shown.returncode == 0
    assert shown.stderr == "set()"


@pytest.mark.parametrize("package", ["click", "rich"])
def test_a_missing_console_says_how_to_get_it(package: str) -> None:
    shown = python(
        f"import sys; sys.modules[{package!r}] = None\n"
        "sys.argv = ['memory', '--help']\n"
        "from consumers.__main__ import main; main()"
    )
    assert shown.returncode == 2
    assert "pip install 'experiential-memory[cli]'" in shown.stderr
    assert shown.stderr.count("\n") == 1


def test_a_follower_ends_in_good_order_when_told_to(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_DATABASE_URL", url)
    here = str(Path(__file__).parent)
    code = (
        f"import sys; sys.path.insert(0, {here!r})\n"
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a script's background\n"
        "import conftest, consumers.store as store\n"
        "store.create_embedder = lambda _: conftest.WordEmbedder()\n"
        "store.installed_extractors = lambda _: [conftest.Verbatim()]\n"
        "sys.argv = ['memory', 'extract', '--follow', '--json']\n"
        "from consumers.__main__ import main; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as follower:
        assert follower.stderr is not None
        assert "following" in follower.stderr.readline()
        follower.send_signal(signal.SIGTERM)
        out, _ = follower.communicate(timeout=60)
    assert follower.returncode == 0
    assert json.loads(out)["failures"] == 0


def test_a_terminal_gets_no_control_characters() -> None:
    assert plain("a\x1b[2Jb\x07\x9bc\n\td") == "a\ufffd[2Jb\ufffd\ufffdc\n\td"
    assert output.label("acme\nerror: all is lost\x1b") == "acme\ufffderror: all is lost\ufffd"
    assert output.one_line("one\n two\x00", 6) == "one t…"


CONTROLLING = "\x1b]0;x\x07\x1b[2J\x9b1m\u202e\u2066\U000e0041\u2028\u200b\x85"


def test_no_command_can_print_what_controls_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    def shown() -> Table:
        table = Table(title=CONTROLLING)
        table.add_column(CONTROLLING)
        table.add_row(Text(f"wirebank{CONTROLLING}"))
        return table

    output.answer({}, False, shown)
    output.answer({"text": CONTROLLING}, True, shown)
    output.say(CONTROLLING)
    out, err = capsys.readouterr()
    assert not set(CONTROLLING) - set("]0;x[2J1m") & set(out + err)
    assert "wirebank" in out
    assert json.loads(out.splitlines()[-1]) == {"text": CONTROLLING}


def test_recall_and_explain_say_whose_words_they_rest_on(
    run: RunCommand, client: MemoryClient
) -> None:
    memory = client.remember(Scope("northwind", "ana", session="s1"), "Likes dogs")
    who = ("--tenant", "northwind", "--user", "ana", "--json")
    (item,) = json.loads(run("recall", "dogs", *who).stdout)["items"]
    assert (item["memory"]["origin"], item["memory"]["trust"]) == ("app", "trusted")
    assert item["sources"] == ["client"]
    explained = json.loads(run("explain", str(memory.id), *who).stdout)
    (evidence,) = explained["evidence"]
    assert (evidence["origin"], evidence["trust"], evidence["source"]) == (
        "app", "trusted", "client"
    )  # fmt: skip


def test_progress_draws_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (True, False):
        shown = Console(force_terminal=terminal, record=True, width=100, file=StringIO())
        monkeypatch.setattr(output, "console", lambda shown=shown, **_: shown)
        with output.progress("recording", "interactions", total=10) as advance:
            advance(4)
        assert ("recording" in shown.export_text()) is terminal


def test_status_says_what_models_cost_and_what_waits_for_them(
    run: RunCommand, superuser: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "spent today" not in run("status").stdout
    monkeypatch.setenv("MEMORY_MODEL_DAILY_BUDGET", "5")
    superuser.execute(
        "INSERT INTO session_progress (tenant_id, user_id, generation, session_id, error, retry_at)"
        " VALUES ('default', 'ana', 1, 's1', 'BudgetSpent: of 5', '2126-03-01 00:00Z')"
    )
    shown = run("status").stdout
    assert "0.0000 of 5 spent today (UTC)" in shown
    assert "1 session waiting for the next daily budget, until 2126-03-01 00:00 UTC" in shown


def test_what_models_did_not_read_is_shown_and_read_again(
    run: RunCommand, superuser: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("record", "I live in Berlin.", "--user", "ana", "--session", "s1")
    run("extract")
    superuser.execute(
        "UPDATE session_progress SET fallback_from = 1, fallback_through = 1,"
        " fallback_reason = 'cut_off' WHERE session_id = 's1'"
    )
    superuser.execute(
        "INSERT INTO model_calls (tenant_id, user_id, session_id, generation, task, prompt,"
        " prompt_version, prompt_hash, model, outcome, cached, requests, input_tokens,"
        " output_tokens, cost, seconds, reason, detail)"
        " VALUES ('default', 'ana', 's1', 1, 'extract', 'extract', '2', 'h', 'tiny', 'unusable',"
        " false, 2, 1, 1, 0, 1, 'cut_off', 'without temperature')"
    )
    shown = " ".join(run("status").stdout.split())
    assert "tiny gave no usable answer to 1 call in the last day: the answer reached" in shown
    assert "1 session of generation first read without the model (cut_off)" in shown
    models = document(run("status", "--json"))["models"]
    assert [f["advice"][:32] for f in models["failures"]] == ["raise MEMORY_MODEL_ANSWER_TOKENS"]
    assert models["fallbacks"] == [{"generation": "first", "reason": "cut_off", "sessions": 1}]
    (call,) = document(run("calls", "--json"))
    assert (call["reason"], call["detail"]) == ("cut_off", "without temperature")
    assert "cut_off" in run("calls").stdout
    (listed,) = document(run("generations", "--json"))
    assert listed["fallback_sessions"] == 1
    assert "1 session" in run("generations").stdout

    monkeypatch.delenv("MEMORY_MODEL", raising=False)
    refused = run("extract", "--upgrade")
    assert (refused.exit_code, "set MEMORY_MODEL" in refused.stderr) == (3, True)
    monkeypatch.setenv("MEMORY_MODEL", "openai:tiny")
    monkeypatch.setenv("MEMORY_OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    again = run("extract", "--upgrade")
    assert "reading 1 session again" in again.stderr
    assert "extracted 1 interaction of 1 session" in again.stdout
