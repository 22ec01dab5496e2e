"""The bus: how a recorded interaction reaches the log.

The embedded default needs no second system: Postgres is the bus, `interactions` its topic, and
extraction follows it by its progress in each session.
"""

from collections.abc import Sequence
from typing import Protocol

from memory.log import Log
from memory.models import Interaction, Receipt


class Bus(Protocol):
    """Takes interactions so that, once `publish` returns, none is lost and none counts twice."""

    async def publish(self, interactions: Sequence[Interaction]) -> list[Receipt]:
        """Accepts interactions of any users, in order; a receipt for each.

        Raises:
            InvalidInteraction: before anything is accepted.
            InteractionConflict, ForgottenId: naming what was refused; the others are accepted.
        """
        ...


class PostgresBus:
    """Appends to the log directly: what it accepts can be read at once."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def publish(self, interactions: Sequence[Interaction]) -> list[Receipt]:
        """See `Bus.publish`; one transaction a user."""
        return await self._log.append(interactions)
