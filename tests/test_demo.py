"""The demo: everything on its screen is in the store, and the store goes back to the sample."""

import json
import tempfile
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner
from rich.console import Console

from consumers.cli.application import memory as command_line
from consumers.cli.demo import demo_screen
from consumers.demo import BUDGET, Demonstration, demonstrate, own_store, sample_path
from consumers.importing.importer import read_jsonl
from memory import embedded
from memory.models import Evidence, Interaction
from memory.settings import Settings

pytestmark = pytest.mark.postgres

COLUMNS, LINES = 100, 50


@pytest.fixture(scope="module")
def sample() -> dict[str, Interaction]:
    return {placed.interaction.id: placed.interaction for placed in read_jsonl(sample_path())}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings as a user would have them: with a data directory that the demo must not touch."""
    return Settings(data_dir=tmp_path_factory.mktemp("users") / "data", database_url=None)


@pytest.fixture(scope="module")
def shown(own: Settings) -> Demonstration:
    with own_store(own) as settings:
        directory = settings.data_dir
        found = anyio.run(demonstrate, settings)
    assert not directory.exists()
    assert not own.data_dir.exists()
    return found


def quotes_the_sample(evidence: Evidence, sample: dict[str, Interaction]) -> bool:
    said = sample[evidence.interaction_id].content
    return bool(evidence.quote) and said[evidence.start : evidence.end] == evidence.quote


def test_the_whole_sample_came_in(shown: Demonstration, sample: dict[str, Interaction]) -> None:
    assert shown.intake.report.accepted == len(sample)
    assert sum(shown.intake.kinds.values()) == len(sample)
    assert shown.intake.users == shown.status.users >= 6
    assert shown.status.interactions == shown.intake.extracted.interactions == len(sample)
    assert (shown.status.waiting, shown.status.set_aside) == (0, ())
    made = shown.intake.extracted.memories
    assert {"statements", "behaviour", "procedures"} <= {name for name in made if made[name]}


def test_the_context_fits_and_its_citations_lead_to_the_words(
    shown: Demonstration, sample: dict[str, Interaction]
) -> None:
    assert 0 < shown.context.tokens <= BUDGET
    assert "four candidates" in shown.context.text
    assert len(shown.citations) == len(shown.context.citations) > 0
    for cited in shown.citations:
        assert f"[{cited.marker}]" in shown.context.text
        assert cited.evidence
        assert all(quotes_the_sample(evidence, sample) for evidence in cited.evidence)


def test_the_superseded_belief_is_shown_in_both_versions(
    shown: Demonstration, sample: dict[str, Interaction]
) -> None:
    revision = shown.revision
    assert revision is not None
    successor = revision.successor.memory
    assert (revision.first.value, successor.value) == ("berlin", "munich")
    assert revision.first.valid_to is None
    assert revision.first.believed_to is not None
    assert revision.ended.valid_to == successor.valid_from
    assert any(quotes_the_sample(evidence, sample) for evidence in revision.successor.evidence)


def test_the_inferred_preference_says_counts_that_the_sample_bears_out(
    shown: Demonstration, sample: dict[str, Interaction]
) -> None:
    assert shown.preference is not None
    memory = shown.preference.explanation.memory
    attribute = (memory.attribute or "").partition(".")[2]
    offers = [
        (i.payload["item"][attribute] == memory.value, i.payload["action"] == "accept")
        for i in sample.values()
        if i.scope.user == shown.preference.user and attribute in i.payload.get("item", {})
    ]
    told = memory.payload
    assert told["judged_with"] == sum(having for having, _ in offers)
    assert told["accepted_with"] == sum(having and accepted for having, accepted in offers)
    assert told["accepted_without"] == sum(accepted and not having for having, accepted in offers)
    assert f"{told['accepted_with']} of {told['judged_with']}" in memory.text


def test_it_all_fits_on_one_screen(shown: Demonstration) -> None:
    screen = Console(width=COLUMNS)
    with screen.capture() as captured:
        screen.print(demo_screen(shown))
    lines = captured.get().splitlines()
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= COLUMNS
    text = "\n".join(lines)
    for place in ("working", "long-term", "collective", "compaction", "because", "preference",
                  "procedure", "Worked 5 of 6 times", "Next:", "memory demo --keep"):  # fmt: skip
        assert place in text


def test_the_command_repeats_it_and_keeps_the_store_when_asked(
    shown: Demonstration, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="memory-kept-") as place:
        Path(place).chmod(0o755)  # as root the server's own account must be able to enter
        kept = Path(place) / "kept"
        again = CliRunner().invoke(command_line, ["demo", "--keep", str(kept), "--json"])
        assert again.exit_code == 0, again.output
        found = json.loads(again.stdout)
        assert found["intake"]["report"]["accepted"] == shown.intake.report.accepted
        assert found["intake"]["extracted"]["memories"] == shown.intake.extracted.memories
        assert found["context"]["tokens"] == shown.context.tokens
        assert found["preference"]["explanation"]["memory"]["text"] == memory_text(shown)

        refused = CliRunner().invoke(command_line, ["demo", "--keep", str(kept)])
        assert refused.exit_code == 1
        assert "is not empty" in refused.stderr

        monkeypatch.setenv("MEMORY_DATA_DIR", str(kept))
        words = ["explain", str(found["citations"][0]["memory"]), "--user", "ana"]
        why = CliRunner().invoke(command_line, [*words, "--tenant", found["status"]["tenant"]])
        assert why.exit_code == 0, why.output
        assert "supports" in why.stdout
        embedded.stop(kept)


def memory_text(shown: Demonstration) -> str:
    assert shown.preference is not None
    return shown.preference.explanation.memory.text
