"""The memory client: what apps import to write interactions and read memory back.

`AsyncMemoryClient` is the client; `MemoryClient` has the same verbs for code that is not async
and runs them on an event loop of its own.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from typing import Any, Self, TypeVar

from memory.beliefs.collective import CollectiveExplanation
from memory.beliefs.erasure import Forgotten
from memory.beliefs.retraction import Revised
from memory.bus.freshness import TIMEOUT
from memory.bus.postgres import PostgresBus
from memory.bus.protocol import Bus
from memory.client.async_client import NO_PAYLOAD, AsyncMemoryClient, AsyncTaskState
from memory.client.portal import Portal
from memory.context.assembly import Context, Shares, TokenEstimator
from memory.database import DatabaseRole
from memory.database.blocking import BlockingDatabase
from memory.embedding import Embedder
from memory.language.text import estimate_tokens
from memory.log.interactions import Log, Position
from memory.models import (
    Explanation,
    Interaction,
    InteractionKind,
    Memory,
    MemoryKind,
    Recall,
    Receipt,
    Retraction,
    Role,
    Scope,
)
from memory.recall.reranking import Reranker
from memory.settings import Settings

__all__ = ["AsyncMemoryClient", "AsyncTaskState", "MemoryClient", "TaskState"]

_Returned = TypeVar("_Returned")


class TaskState:
    """`AsyncTaskState` for code that is not async."""

    def __init__(self, portal: Portal, state: AsyncTaskState) -> None:
        self._portal = portal
        self._state = state

    def set(self, scope: Scope, key: str, value: object) -> None:
        """See `AsyncTaskState.set`."""
        self._portal.call(self._state.set, scope, key, value)

    def get(self, scope: Scope) -> dict[str, Any]:
        """See `AsyncTaskState.get`."""
        return self._portal.call(self._state.get, scope)

    def delete(self, scope: Scope, key: str) -> None:
        """See `AsyncTaskState.delete`."""
        self._portal.call(self._state.delete, scope, key)


class _Client(AsyncMemoryClient):
    """The client behind `MemoryClient`: where Postgres is the bus, `record()` never suspends."""

    appending: BlockingDatabase | None = None

    async def open(self) -> None:
        try:
            await super().open()
        except BaseException:
            self._close_appending()
            raise

    async def close(self) -> None:
        try:
            await super().close()
        finally:
            self._close_appending()

    def _configured_bus(self, url: str) -> Bus:
        if self._settings.kafka_servers:
            return super()._configured_bus(url)
        self.appending = BlockingDatabase(self._settings, url, DatabaseRole.CLIENT)
        return PostgresBus(Log(self.appending, self._settings))

    def _close_appending(self) -> None:
        if self.appending:
            self.appending.close()


class MemoryClient:
    """`AsyncMemoryClient` for code that is not async; use as a context manager.

    May be shared between threads, and used inside a running event loop such as a notebook's.
    """

    state: TaskState

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        embedder: Embedder | None = None,
        bus: Bus | None = None,
        estimator: TokenEstimator = estimate_tokens,
        reranker: Reranker | None = None,
    ) -> None:
        self._client = _Client(
            settings, embedder=embedder, bus=bus, estimator=estimator, reranker=reranker
        )
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """See `AsyncMemoryClient.open`."""
        with ExitStack() as exits:
            self._portal = exits.enter_context(Portal())
            self._portal.call(self._client.open)
            exits.callback(self._portal.call, self._client.close)
            self.state = TaskState(self._portal, self._client.state)
            self._exits = exits.pop_all()

    def close(self) -> None:
        """See `AsyncMemoryClient.close`."""
        self._exits.close()

    def record(
        self,
        scope: Scope,
        content: str,
        *,
        role: Role | str = Role.USER,
        kind: InteractionKind | str = InteractionKind.MESSAGE,
        id: str | None = None,  # noqa: A002 - the envelope's own name for it
        actor: str | None = None,
        payload: Mapping[str, Any] = NO_PAYLOAD,
        occurred_at: datetime | None = None,
        private: bool = False,
        source: str = "client",
        traceparent: str | None = None,
    ) -> Receipt:
        """See `AsyncMemoryClient.record`."""
        call = partial(
            self._client.record,
            role=role,
            kind=kind,
            id=id,
            actor=actor,
            payload=payload,
            occurred_at=occurred_at,
            private=private,
            source=source,
            traceparent=traceparent,
        )
        return self._record(call, scope, content)

    def record_many(
        self, interactions: Sequence[Interaction], *, traceparent: str | None = None
    ) -> list[Receipt]:
        """See `AsyncMemoryClient.record_many`."""
        call = partial(self._client.record_many, traceparent=traceparent)
        return self._record(call, interactions)

    def _record(self, call: Callable[..., Coroutine[Any, Any, _Returned]], *args: Any) -> _Returned:
        """Appends, in the calling thread where it can: see `memory.database.blocking`."""
        run = self._portal.call_here if self._client.appending else self._portal.call
        return run(call, *args)

    def context(
        self,
        scope: Scope,
        query: str,
        *,
        budget: int = 2000,
        shares: Shares | None = None,
        as_of: datetime | None = None,
        believed_at: datetime | None = None,
        after: Receipt | None = None,
        timeout: float = TIMEOUT,
    ) -> Context:
        """See `AsyncMemoryClient.context`."""
        call = partial(
            self._client.context,
            budget=budget,
            shares=shares,
            as_of=as_of,
            believed_at=believed_at,
            after=after,
            timeout=timeout,
        )
        return self._portal.call(call, scope, query)

    def recall(
        self,
        scope: Scope,
        query: str,
        *,
        k: int = 10,
        kinds: Iterable[MemoryKind] | None = None,
        only_agent: bool = False,
        as_of: datetime | None = None,
        believed_at: datetime | None = None,
        after: Receipt | None = None,
        timeout: float = TIMEOUT,
    ) -> Recall:
        """See `AsyncMemoryClient.recall`."""
        call = partial(
            self._client.recall,
            k=k,
            kinds=kinds,
            only_agent=only_agent,
            as_of=as_of,
            believed_at=believed_at,
            after=after,
            timeout=timeout,
        )
        return self._portal.call(call, scope, query)

    def remember(
        self,
        scope: Scope,
        text: str,
        *,
        kind: MemoryKind | str = MemoryKind.FACT,
        attribute: str | None = None,
        value: str | None = None,
        context: str | None = None,
        single_valued: bool = False,
        importance: float = 0.8,
        id: str | None = None,  # noqa: A002 - as in record()
        occurred_at: datetime | None = None,
        private: bool = False,
        timeout: float = TIMEOUT,
    ) -> Memory:
        """See `AsyncMemoryClient.remember`."""
        call = partial(
            self._client.remember,
            kind=kind,
            attribute=attribute,
            value=value,
            context=context,
            single_valued=single_valued,
            importance=importance,
            id=id,
            occurred_at=occurred_at,
            private=private,
            timeout=timeout,
        )
        return self._portal.call(call, scope, text)

    def forget(
        self,
        scope: Scope,
        *,
        memory: int | None = None,
        session: str | None = None,
        user: bool = False,
        keep_sources: bool = False,
    ) -> Forgotten:
        """See `AsyncMemoryClient.forget`."""
        call = partial(
            self._client.forget,
            memory=memory,
            session=session,
            user=user,
            keep_sources=keep_sources,
        )
        return self._portal.call(call, scope)

    def retract(
        self,
        scope: Scope,
        *,
        interactions: Sequence[str] = (),
        source: str | None = None,
        reason: str = "",
        by: str = "client",
    ) -> Revised:
        """See `AsyncMemoryClient.retract`."""
        call = partial(
            self._client.retract, interactions=interactions, source=source, reason=reason, by=by
        )
        return self._portal.call(call, scope)

    def restore(
        self,
        scope: Scope,
        *,
        interactions: Sequence[str] = (),
        source: str | None = None,
        reason: str = "",
        by: str = "client",
    ) -> Revised:
        """See `AsyncMemoryClient.restore`."""
        call = partial(
            self._client.restore, interactions=interactions, source=source, reason=reason, by=by
        )
        return self._portal.call(call, scope)

    def retractions(self, scope: Scope, *, limit: int = 100) -> list[Retraction]:
        """See `AsyncMemoryClient.retractions`."""
        return self._portal.call(partial(self._client.retractions, limit=limit), scope)

    def history(
        self,
        scope: Scope,
        *,
        kinds: Iterable[MemoryKind] | None = None,
        attribute: str | None = None,
        closed: bool = False,
        contested: bool = False,
        as_of: datetime | None = None,
        believed_at: datetime | None = None,
        limit: int = 100,
    ) -> list[Memory]:
        """See `AsyncMemoryClient.history`."""
        call = partial(
            self._client.history,
            kinds=kinds,
            attribute=attribute,
            closed=closed,
            contested=contested,
            as_of=as_of,
            believed_at=believed_at,
            limit=limit,
        )
        return self._portal.call(call, scope)

    def explain(
        self,
        scope: Scope,
        memory: int,
        *,
        as_of: datetime | None = None,
        believed_at: datetime | None = None,
    ) -> Explanation:
        """See `AsyncMemoryClient.explain`."""
        call = partial(self._client.explain, as_of=as_of, believed_at=believed_at)
        return self._portal.call(call, scope, memory)

    def explain_collective(self, scope: Scope, memory: int) -> CollectiveExplanation:
        """See `AsyncMemoryClient.explain_collective`."""
        return self._portal.call(self._client.explain_collective, scope, memory)

    def interactions(self, scope: Scope, *, after: int = 0, limit: int = 1000) -> list[Interaction]:
        """See `AsyncMemoryClient.interactions`."""
        return self._portal.call(
            partial(self._client.interactions, after=after, limit=limit), scope
        )

    def position(self, scope: Scope) -> Position:
        """See `AsyncMemoryClient.position`."""
        return self._portal.call(self._client.position, scope)
