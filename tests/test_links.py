"""Every link of the documentation leads somewhere that is part of the project."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.pages import ROOT, Page, pages

OUTSIDE = {"https", "mailto"}
EXAMPLES = {"localhost", "127.0.0.1"}


def broken(page: Page) -> list[str]:
    """The links of `page` that lead nowhere, each with what is wrong."""
    return [f"{link}: {fault}" for link in page.links() if (fault := fault_of(page, link))]


def fault_of(page: Page, link: str) -> str | None:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None if parts.scheme in OUTSIDE else "neither https nor relative"
    target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
    if parts.path.startswith("/") or not target.is_relative_to(ROOT):
        return "leaves the project"
    if not target.exists():
        return "no such file"
    return fault_of_anchor(target, parts.fragment) if parts.fragment else None


def fault_of_anchor(target: Path, fragment: str) -> str | None:
    if target.suffix != ".md":
        return "an anchor on what is no page"
    known = Page(target.relative_to(ROOT).as_posix()).anchors()
    return None if unquote(fragment) in known else "no such heading"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Page) -> None:
    assert broken(page) == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_no_page_names_a_path_of_one_machine(page: Page) -> None:
    found = re.findall(r"(?<![\w.])/(?:home|root|Users|tmp|work|mnt)/[\w./-]+", page.text)
    assert found == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_no_address_but_an_example_is_unencrypted(page: Page) -> None:
    hosts = {urlsplit(url).hostname for url in re.findall(r"http://[^\s)`>\"]+", page.text)}
    assert hosts <= EXAMPLES


def test_every_page_of_docs_is_reached_from_the_readme() -> None:
    reached: set[str] = set()
    waiting = ["README.md"]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(led_to(Page(name)))
    assert {page.name for page in pages() if page.name.startswith("docs/")} <= reached


def led_to(page: Page) -> list[str]:
    """The pages that `page` links to."""
    files = [(page.path.parent / urlsplit(link).path).resolve() for link in page.links()]
    return [
        file.relative_to(ROOT).as_posix()
        for file in files
        if file.is_file() and file.suffix == ".md" and file.is_relative_to(ROOT)
    ]


@pytest.mark.parametrize(
    ("link", "fault"),
    [
        ("docs/design.md", None),
        ("docs/operations.md#proof", None),
        ("https://example.org/x", None),
        ("docs/nowhere.md", "no such file"),
        ("docs/operations.md#no-such", "no such heading"),
        ("../elsewhere.md", "leaves the project"),
        ("/etc/hosts", "leaves the project"),
        ("file:///etc/hosts", "neither https nor relative"),
        ("LICENSE#top", "an anchor on what is no page"),
    ],
)
def test_a_broken_link_is_noticed(link: str, fault: str | None) -> None:
    assert fault_of(Page("README.md"), link) == fault


def test_headings_that_read_the_same_have_anchors_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("# A `b` (c)\n\n## Same\n\n## Same\n", encoding="utf-8")
    assert Page(str(path)).anchors() == {"a-b-c", "same", "same-1"}
