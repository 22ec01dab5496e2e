"""`memory restore`: retracted interactions count again."""

from typing import Any

import click

from consumers.cli.options import (
    example,
)
from consumers.cli.retraction_options import revise, revision_options


@click.command("restore", epilog=example("memory restore --interaction m-17 --user ana"))
@revision_options
def restore_command(**given: Any) -> None:
    """Let retracted interactions count again: the reverse of `memory retract`."""
    revise("restore", **given)
