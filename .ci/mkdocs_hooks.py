"""Brings the pages beside docs/ into the site, under links that work there and on a code host.

In the repository `docs/design.md` links to `../README.md`, and README to `docs/design.md`. On the
site README is `index.md` and docs/ the root, so both links lose their folder.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
HOME = "README.md"
LINK = re.compile(r"(\]\()([^)\s#:]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what stands beside docs/ and is linked to."""
    for path in _beside():
        name = path.relative_to(ROOT).as_posix()
        site_name = "index.md" if name == HOME else name
        files.append(File.generated(config, site_name, abs_src_path=str(path)))
    return files


def _beside() -> list[Path]:
    top = [ROOT / name for name in (HOME, "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE")]
    examples = [path for path in (ROOT / "examples").rglob("*") if path.suffix != ".pyc"]
    found = [*top, ROOT / "compose.yaml", *examples]
    return [path for path in found if path.is_file()]


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Points a page's links to where their targets are on the site."""
    source = Path(str(page.file.abs_src_path)).parent

    def moved(link: re.Match[str]) -> str:
        return f"{link[1]}{_on_site(source / link[2], page.file.src_uri)}"

    return LINK.sub(moved, markdown)


def _on_site(target: Path, page: str) -> str:
    """The way from `page` to a file of the repository; a folder stands for its README."""
    target = target.resolve()
    name = (target / HOME if target.is_dir() else target).relative_to(ROOT).as_posix()
    up = "../" * page.count("/")
    return up + ("index.md" if name == HOME else name.removeprefix("docs/"))
