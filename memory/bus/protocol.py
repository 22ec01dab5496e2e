"""Defines the `Bus` protocol: the way of a recorded interaction to the log."""

from collections.abc import Sequence
from typing import Protocol

from memory.models import Interaction, Receipt


class Bus(Protocol):
    """Takes interactions; once `publish` returns, none is lost and none counts twice."""

    async def publish(
        self, interactions: Sequence[Interaction], *, traceparent: str | None = None
    ) -> list[Receipt]:
        """Accepts interactions of any users, in order, and returns a receipt for each.

        `traceparent` is the W3C trace context that they are part of.

        Raises:
            InvalidInteraction: before anything is accepted.
            InteractionConflict, ForgottenId: naming the refused ids; the others are accepted. A bus
                that only carries interactions to the log cannot tell, and raises neither.
            BusUnavailable: the first part of each user's interactions was accepted, perhaps none
                and perhaps all. Repeat the call with the same ids until it succeeds.
        """
        ...

    async def aclose(self) -> None:
        """Closes connections; running calls end first."""
        ...
