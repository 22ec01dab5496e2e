"""The bus: how a recorded interaction reaches the log.

The embedded default needs no second system: Postgres is the bus, `interactions` its topic, and
extraction follows it by its progress in each session. `memory.bus.kafka` is the other one.
"""

from collections.abc import Sequence
from typing import Protocol

from memory.log import trace_context
from memory.log.interactions import Log
from memory.models import Interaction, Receipt


class Bus(Protocol):
    """Takes interactions so that, once `publish` returns, none is lost and none counts twice."""

    async def publish(
        self, interactions: Sequence[Interaction], *, traceparent: str | None = None
    ) -> list[Receipt]:
        """Accepts interactions of any users, in order; a receipt for each.

        `traceparent` is the W3C trace context that they are part of.

        Raises:
            InvalidInteraction: before anything is accepted.
            InteractionConflict, ForgottenId: naming what was refused; the others are accepted.
                A bus that only carries interactions to the log cannot tell, and raises neither.
            BusUnavailable: of each user a first part was accepted, perhaps none and perhaps all;
                with the same ids the same call may be repeated until it succeeds.
        """
        ...

    async def aclose(self) -> None:
        """Lets go of what it holds; calls under way end first."""
        ...


class PostgresBus:
    """Appends to the log directly: what it accepts can be read at once."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def publish(
        self, interactions: Sequence[Interaction], *, traceparent: str | None = None
    ) -> list[Receipt]:
        """See `Bus.publish`; one transaction a user."""
        return await self._log.append(interactions, trace_context.given(traceparent))

    async def aclose(self) -> None:
        """Holds nothing: the log is its owner's."""
