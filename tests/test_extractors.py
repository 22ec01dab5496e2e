"""The protocol as third parties meet it: the example in the docs, found by its entry point."""

import re
import sys
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from extractors.behaviour import extractor as behaviour
from extractors.procedures import extractor as procedures
from extractors.protocol import ENTRY_POINT_GROUP, Extractor, LogSlice, Reading
from extractors.summaries import extractive as summaries
from memory.models import Interaction, InteractionKind, MemoryKind, Role, Scope
from memory.settings import Settings

PAGE = Path(__file__).parent.parent / "docs" / "extractors.md"
SCOPE = Scope("tenant", "user", session="session")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def tickets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Extractor:
    """The example, installed as a package of its own."""
    (tmp_path / "ticket_memory.py").write_text(block("python"))
    installed = tmp_path / "ticket_memory-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: ticket_memory\nVersion: 1.0\n"
    )
    entry = block("toml").splitlines()[1].replace('"', "")
    (installed / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{entry}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "ticket_memory", raising=False)
    (found,) = entry_points(group=ENTRY_POINT_GROUP, name="tickets")
    extractor: Extractor = found.load()(Settings())
    return extractor


async def test_the_example_works_as_printed(tickets: Extractor) -> None:
    said = Interaction(
        SCOPE, "m1", InteractionKind.MESSAGE, Role.USER, "I closed OPS-12, now on WEB-7.", NOON
    )
    found = await tickets.extract(LogSlice(SCOPE, [said]))
    assert [(one.text, one.value) for one in found] == [
        ("Works on OPS-12", "ops-12"),
        ("Works on WEB-7", "web-7"),
    ]
    for one in found:
        (piece,) = one.evidence
        assert said.content[piece.start : piece.end] == piece.quote


def test_the_example_is_as_short_as_it_is_said_to_be() -> None:
    assert len([line for line in block("python").splitlines() if line.strip()]) <= 30


@pytest.mark.parametrize(
    ("extractor", "reading", "makes"),
    [
        (behaviour.create(Settings()), Reading.USER, MemoryKind.PREFERENCE),
        (procedures.create(Settings()), Reading.USER, MemoryKind.PROCEDURE),
        (summaries.create(Settings()), Reading.SESSION, MemoryKind.SUMMARY),
    ],
    ids=lambda value: getattr(value, "name", None),
)
async def test_ours_declare_themselves_and_say_nothing_of_an_empty_log(
    extractor: Extractor, reading: Reading, makes: MemoryKind
) -> None:
    assert (extractor.reading, extractor.makes) == (reading, frozenset({makes}))
    assert extractor.name
    assert extractor.version
    assert extractor.reads <= set(InteractionKind)
    assert await extractor.extract(LogSlice(SCOPE, [])) == []
