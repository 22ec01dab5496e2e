"""`memory restore`: undoes a retraction."""

from typing import Any

import click

from consumers.cli.options import (
    example,
)
from consumers.cli.retraction_options import revise, revision_options


@click.command("restore", epilog=example("memory restore --interaction m-17 --user ana"))
@revision_options
def restore_command(**given: Any) -> None:
    """Undo a retraction: retracted interactions count again."""
    revise("restore", **given)
