"""Postgres as the bus: the default needs no second system.

`interactions` is its topic, and extraction follows it by its progress in each session.
`memory.bus.kafka` is the other bus.
"""

from collections.abc import Sequence

from memory.log import trace_context
from memory.log.interactions import Log
from memory.models import Interaction, Receipt


class PostgresBus:
    """Appends to the log directly, so that an accepted interaction can be read at once."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def publish(
        self, interactions: Sequence[Interaction], *, traceparent: str | None = None
    ) -> list[Receipt]:
        """Publishes as `Bus.publish`, with one transaction for each user."""
        return await self._log.append(interactions, trace_context.given(traceparent))

    async def aclose(self) -> None:
        """Does nothing: the log belongs to the caller."""
