"""`memory retract`: interactions stay in the log and stop counting."""

from typing import Any

import click

from consumers.cli.options import (
    example,
)
from consumers.cli.retraction_options import revise, revision_options


@click.command(
    "retract",
    epilog=example(
        'memory retract --interaction m-17 --user ana --reason "wrong account"',
        'memory retract --source crm-import --all-users --reason "bad export" --yes',
    ),
)
@revision_options
def retract_command(**given: Any) -> None:
    """Let interactions count for nothing: they stay in the log, marked, and can be restored.

    What stood only on them is believed no more, and what it had replaced is believed again, from
    now on; what was believed before can be looked at with --believed-at. To have nothing left of
    them, use `memory forget`. A source may go on sending.
    """
    revise("retract", **given)
