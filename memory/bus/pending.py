"""What one client recorded and the log does not hold yet: shown in its own contexts all the same.

Over a bus that takes time, an agent must not forget what it just heard. Other processes wait for it
(`memory.bus.postgres.freshness`).
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.rows import DictRow

from memory.log.envelope import validated
from memory.log.interactions import WINDOW_LIMIT
from memory.models import Interaction, Receipt, Scope

MAX_PENDING_BYTES = 16 * 1024 * 1024
"""Of content that is kept; past it the oldest are given up, and appear once they are applied."""

_BESIDE_CONTENT = 1_000  # bytes that an interaction takes up at least, whatever its content

Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class PendingInteraction:
    """An interaction on its way, and the receipt it was acknowledged with."""

    interaction: Interaction
    receipt: Receipt

    @property
    def size(self) -> int:
        """About how many bytes it takes up."""
        return _BESIDE_CONTENT + len(self.interaction.content) + len(str(self.interaction.payload))


class PendingInteractions:
    """One client's interactions on their way into the log, in the order they were recorded."""

    def __init__(self) -> None:
        self._pending: OrderedDict[Key, PendingInteraction] = OrderedDict()
        self._sessions: dict[tuple[str, str, str], dict[Key, PendingInteraction]] = {}
        self._size = 0

    def add(self, interactions: Sequence[Interaction], receipts: Sequence[Receipt]) -> None:
        """Keeps those that have a place on the bus and none in the log."""
        for interaction, receipt in zip(interactions, receipts, strict=True):
            if receipt.place is not None and not receipt.position:
                self._keep(PendingInteraction(validated(interaction), receipt))

    def _keep(self, pending: PendingInteraction) -> None:
        scope = pending.interaction.scope
        session = (scope.tenant, scope.user, pending.interaction.session)
        key = (*session, pending.interaction.id)
        if key in self._pending:  # recorded again: the log keeps what came first
            return
        self._pending[key] = pending
        self._sessions.setdefault(session, {})[key] = pending
        self._size += pending.size
        while self._size > MAX_PENDING_BYTES:
            self._drop(next(iter(self._pending)))

    def _drop(self, key: Key) -> None:
        self._size -= self._pending.pop(key).size
        kept = self._sessions[key[:3]]
        del kept[key]
        if not kept:
            del self._sessions[key[:3]]

    def pending(self, scope: Scope) -> tuple[PendingInteraction, ...]:
        """The newest of the scope's session, oldest first; none without a session."""
        if scope.session is None:
            return ()
        kept = self._sessions.get((scope.tenant, scope.user, scope.session), {})
        return tuple(kept.values())[-WINDOW_LIMIT:]

    def of_user(self, scope: Scope) -> tuple[PendingInteraction, ...]:
        """All of the scope's user, or of its session where it names one, oldest first."""
        return tuple(
            pending
            for (tenant, user, session, _), pending in self._pending.items()
            if (tenant, user) == (scope.tenant, scope.user) and scope.session in {None, session}
        )

    def settle(
        self, scope: Scope, pending: Sequence[PendingInteraction], rows: Sequence[DictRow]
    ) -> list[Interaction]:
        """Lets go of what the rows of `log.settled` say is dealt with; the others are returned.

        Of those, what is private to another agent than the scope's is left out, as in the log.
        """
        settled = {row["nth"] for row in rows}
        left = []
        for nth, item in enumerate(pending, 1):
            interaction = item.interaction
            if nth in settled:
                key = (scope.tenant, scope.user, interaction.session, interaction.id)
                if self._pending.get(key) is item:
                    self._drop(key)
            elif not interaction.private or interaction.scope.agent in {None, scope.agent}:
                left.append(interaction)
        return left
