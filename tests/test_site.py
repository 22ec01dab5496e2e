"""`make docs` builds a site from every page without a warning, in the order of its four parts."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pages import ROOT, pages

CONFIGURATION = ROOT / ".ci" / "mkdocs.yml"
PARTS = ["Start", "How to", "Reference", "Explanation"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    done = subprocess.run(
        [*build, "-f", CONFIGURATION, "-d", made], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return made


def test_the_site_has_every_method_of_the_client(site: Path) -> None:
    """Those of `MemoryClient` are made from these: see test_client.py."""
    page = (site / "api" / "index.html").read_text(encoding="utf-8")
    for method in ("record", "recall", "context", "forget", "retract"):
        assert f'id="memory.client.AsyncMemoryClient.{method}"' in page


def test_readme_and_docs_link_to_each_other(site: Path) -> None:
    assert 'href="design/"' in (site / "index.html").read_text(encoding="utf-8")
    assert 'href="../examples/schedules/"' in (site / "compaction" / "index.html").read_text(
        encoding="utf-8"
    )


def test_the_parts_come_in_the_order_of_reading() -> None:
    parts = navigation()
    assert [next(iter(part)) for part in parts] == PARTS
    listed = list(leaves(parts))
    there = {page.name.removeprefix("docs/").replace("README.md", "index.md") for page in pages()}
    assert {name.replace("README.md", "index.md") for name in listed} == there
    assert len(listed) == len(set(listed))


def navigation() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))["nav"]
    return found


def leaves(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
        return
    for below in entry.values() if isinstance(entry, dict) else entry:
        yield from leaves(below)
