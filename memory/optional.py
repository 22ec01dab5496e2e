"""Imports optional packages where they are used, and names the extra that installs them."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from memory.errors import MissingDependency


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Turns a package missing inside the block into the command that installs it.

    Raises:
        MissingDependency: a module imported in the block is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingDependency(_way_out(error.name, name)) from error


def require(name: str, *packages: str) -> None:
    """Checks that top-level `packages` can be imported, without importing them.

    Raises:
        MissingDependency: one of them is not installed.
    """
    for package in packages:
        if find_spec(package) is None:
            raise MissingDependency(_way_out(package, name))


def _way_out(package: str | None, name: str) -> str:
    return f"package {package!r} is not installed; run: pip install 'experiential-memory[{name}]'"
