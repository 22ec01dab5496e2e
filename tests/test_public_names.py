"""What apps, operators and scripts import and call stays where it is."""

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

import memory
from memory import errors

STABLE = {
    "memory.client": ["AsyncMemoryClient", "MemoryClient"],
    "memory.models": ["Interaction", "Memory", "MemoryKind", "Scope"],
    "memory.errors": ["ExperientialMemoryError", "InvalidInput"],
    "memory.settings": ["Settings"],
    "memory.embedding": ["Embedder", "create_embedder"],
    "memory.database": ["Database", "DatabaseRole", "connect"],
    "memory.embedded": ["start", "stop"],
    "memory.migrate": ["check", "migrate"],
    "consumers.store": ["open_worker"],
    "consumers.extraction": ["Worker", "installed_extractors"],
    "benchmarks.store": ["fresh_store"],
}
PROGRAMS = ["recall", "chaos", "context", "extraction", "ingest", "record", "speed", "statements"]


@pytest.mark.parametrize("module", STABLE)
def test_importable_where_it_was(module: str) -> None:
    found = import_module(module)
    assert [name for name in STABLE[module] if not hasattr(found, name)] == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_benchmarks_run_by_their_names(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--help"], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


class TestExports:
    @pytest.mark.parametrize("name", memory.__all__)
    def test_every_name_can_be_imported(self, name: str) -> None:
        assert getattr(memory, name).__name__ == name

    def test_every_error_is_exported(self) -> None:
        ours = {
            name
            for name, one in inspect.getmembers(errors, inspect.isclass)
            if issubclass(one, Exception)
        }
        assert ours <= set(memory.__all__)

    def test_an_unknown_name_is_an_attribute_error(self) -> None:
        with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
            memory.Nothing  # noqa: B018

    def test_an_error_is_imported_without_the_database_driver(self) -> None:
        program = "import sys; from memory import InvalidInput; print('psycopg' in sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "False"
