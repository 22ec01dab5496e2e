"""What a bus is: how a recorded interaction reaches the log."""

from collections.abc import Sequence
from typing import Protocol

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
