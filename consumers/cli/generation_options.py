"""Defines the options and results that the commands on generations share."""

from dataclasses import dataclass

import click

from consumers.generations.registry import (
    Generation,
)
from consumers.replay.replay import (
    Replayed,
)

generation_argument = click.argument("name", metavar="GENERATION")


@dataclass(frozen=True, slots=True)
class Moved:
    """A generation after a move, and the one it replaced."""

    generation: Generation
    before: Generation | None = None
    caught_up: Replayed | None = None
