"""Pending interactions: recorded by this client and not in the log yet.

On a bus that takes time, or where contexts are read from a standby, an agent must not forget what
it has just heard, so this client's contexts show them. Other processes wait with
`memory.bus.freshness`.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from psycopg.rows import DictRow

from memory.log.envelope import validated
from memory.log.interactions import WINDOW_LIMIT
from memory.models import Interaction, Receipt, Scope

MAX_PENDING_BYTES = 16 * 1024 * 1024
"""The content that is kept; beyond it the oldest are dropped, and appear once they are applied."""

_BESIDE_CONTENT = 1_000  # bytes that an interaction takes up at least, whatever its content

Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class PendingInteraction:
    """A pending interaction and its receipt."""

    interaction: Interaction
    receipt: Receipt

    @property
    def size(self) -> int:
        """Its approximate size in bytes."""
        return _BESIDE_CONTENT + len(self.interaction.content) + len(str(self.interaction.payload))


class PendingInteractions:
    """The pending interactions of one client, in the order they were recorded.

    With `until_seen`, those in the log count too, until a context has read them there: the log that
    is read may be behind the one that is written. Threads may share it.
    """

    def __init__(self, *, until_seen: bool = False) -> None:
        self._until_seen = until_seen
        self._lock = Lock()
        self._pending: OrderedDict[Key, PendingInteraction] = OrderedDict()
        self._sessions: dict[tuple[str, str, str], dict[Key, PendingInteraction]] = {}
        self._size = 0

    def add(self, interactions: Sequence[Interaction], receipts: Sequence[Receipt]) -> None:
        """Keeps the interactions that a context would not find in the log."""
        for interaction, receipt in zip(interactions, receipts, strict=True):
            if self._until_seen or (receipt.place is not None and not receipt.position):
                kept = PendingInteraction(validated(interaction), receipt)
                with self._lock:
                    self._keep(kept)

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
        """Returns the newest of the scope's session, oldest first; none without a session."""
        if scope.session is None:
            return ()
        with self._lock:
            kept = self._sessions.get((scope.tenant, scope.user, scope.session), {})
            return tuple(kept.values())[-WINDOW_LIMIT:]

    def of_user(self, scope: Scope) -> tuple[PendingInteraction, ...]:
        """Returns those of the scope's user, or of its session if it names one, oldest first."""
        with self._lock:
            return tuple(
                pending
                for (tenant, user, session, _), pending in self._pending.items()
                if (tenant, user) == (scope.tenant, scope.user) and scope.session in {None, session}
            )

    def settle(
        self, scope: Scope, pending: Sequence[PendingInteraction], rows: Sequence[DictRow]
    ) -> list[Interaction]:
        """Drops the interactions that the rows of `log.settled` name, and returns the others.

        Interactions that are private to another agent are left out, as in the log.
        """
        settled = {row["nth"] for row in rows}
        left = []
        for nth, item in enumerate(pending, 1):
            interaction = item.interaction
            if nth in settled:
                key = (scope.tenant, scope.user, interaction.session, interaction.id)
                with self._lock:
                    if self._pending.get(key) is item:
                        self._drop(key)
            elif not interaction.private or interaction.scope.agent in {None, scope.agent}:
                left.append(interaction)
        return left
