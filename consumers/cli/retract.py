"""`memory retract`: keeps interactions in the log but stops counting them."""

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
    """Retract interactions: they stay in the log, marked, but no longer count.

    `memory restore` undoes it. Memories that only they support are no longer believed, and the
    beliefs that those had replaced are restored. --believed-at still shows what was believed
    before. To delete interactions, use `memory forget`. New interactions of a retracted source are
    accepted and count.
    """
    revise("retract", **given)
