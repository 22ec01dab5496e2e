"""The synchronous memory client: the verbs of `AsyncMemoryClient`, run on its own event loop."""

from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from functools import partial, wraps
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from memory.bus.postgres import PostgresBus
from memory.bus.protocol import Bus
from memory.client.async_client import AsyncMemoryClient, AsyncTaskState
from memory.client.lifetime import State, warn_if_open
from memory.client.portal import Portal
from memory.context.assembly import TokenEstimator
from memory.database import Database, DatabaseRole
from memory.database.blocking import BlockingDatabase
from memory.embedding import Embedder
from memory.language.text import estimate_tokens
from memory.log.interactions import Log
from memory.log.tenant_policies import TenantPolicies
from memory.recall.reranking import Reranker
from memory.settings import Settings

__all__ = ["AsyncMemoryClient", "AsyncTaskState", "MemoryClient", "TaskState"]

_Async_co = TypeVar("_Async_co", covariant=True)
_Params = ParamSpec("_Params")
_Returned = TypeVar("_Returned")


class _Blocking(Generic[_Async_co]):
    """An object whose methods run the methods of an async object through a portal."""

    _portal: Portal
    _client: _Async_co
    _appends_here = False
    """Whether the calling thread itself appends to the log: see `memory.database.blocking`."""


def _blocking(
    verb: Callable[Concatenate[_Async_co, _Params], Coroutine[Any, Any, _Returned]],
    *,
    appends: bool = False,
) -> Callable[Concatenate[_Blocking[_Async_co], _Params], _Returned]:
    """Makes a synchronous method of `verb`, with the same signature and docstring.

    `appends` says that the verb only appends to the log, which may not need the event loop.
    """

    @wraps(verb)
    def call(
        self: _Blocking[_Async_co], /, *args: _Params.args, **kwargs: _Params.kwargs
    ) -> _Returned:
        run = self._portal.call_here if appends and self._appends_here else self._portal.call
        return run(partial(verb, self._client, *args, **kwargs))

    return call


def _documented_as(
    verb: Callable[..., object],
) -> Callable[[Callable[_Params, _Returned]], Callable[_Params, _Returned]]:
    """Gives a method the docstring of `verb`."""

    def documented(method: Callable[_Params, _Returned]) -> Callable[_Params, _Returned]:
        method.__doc__ = verb.__doc__
        return method

    return documented


class TaskState(_Blocking[AsyncTaskState]):
    """`AsyncTaskState` for synchronous code."""

    def __init__(self, portal: Portal, state: AsyncTaskState) -> None:
        self._portal = portal
        self._client = state

    set = _blocking(AsyncTaskState.set)
    get = _blocking(AsyncTaskState.get)
    delete = _blocking(AsyncTaskState.delete)


class _Client(AsyncMemoryClient):
    """The client behind `MemoryClient`: with Postgres as the bus, `record()` never suspends."""

    appending: BlockingDatabase | None = None

    def __del__(self) -> None:
        """Warns of nothing: `MemoryClient` does."""

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
        if self._settings.kafka_servers or self.refusal is not None:
            return super()._configured_bus(url)
        self.appending = BlockingDatabase(self._settings, url, DatabaseRole.CLIENT)
        return PostgresBus(Log(self.appending, self._settings))

    def _policies_of(self, writing: Database) -> TenantPolicies:
        return TenantPolicies(self.appending) if self.appending else super()._policies_of(writing)

    def _close_appending(self) -> None:
        if self.appending:
            self.appending.close()


class MemoryClient(_Blocking[_Client]):
    """`AsyncMemoryClient` for synchronous code; use it as a context manager.

    Threads may share it, and it works inside a running event loop such as a notebook's. Its verbs
    are made from the async ones and have the same signatures, docstrings and errors.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        embedder: Embedder | None = None,
        bus: Bus | None = None,
        estimator: TokenEstimator = estimate_tokens,
        reranker: Reranker | None = None,
        reads_only: bool = False,
    ) -> None:
        self._client = _Client(
            settings,
            embedder=embedder,
            bus=bus,
            estimator=estimator,
            reranker=reranker,
            reads_only=reads_only,
        )
        self._portal = Portal()
        self._exits = ExitStack()

    def __repr__(self) -> str:
        return f"<MemoryClient {self._portal.lifetime.state.name.lower()}>"

    def __del__(self) -> None:
        if hasattr(self, "_portal"):  # it is missing where making the client failed
            warn_if_open(self, self._portal.lifetime)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @_documented_as(AsyncMemoryClient.open)
    def open(self) -> None:  # noqa: D102
        if self._portal.lifetime.state is State.OPEN:
            return
        with ExitStack() as exits:
            self._portal = exits.enter_context(Portal())
            self._portal.call(self._client.open)
            exits.callback(self._portal.call, self._client.close)
            self._appends_here = self._client.appending is not None
            self._exits = exits.pop_all()

    @_documented_as(AsyncMemoryClient.close)
    def close(self) -> None:  # noqa: D102
        if self._portal.lifetime.state is State.FORKED:
            self._exits.pop_all()  # the connections are the parent's
        self._exits.close()

    @property
    def state(self) -> TaskState:
        """The task state of sessions."""
        self._portal.check_open()
        return TaskState(self._portal, self._client.state)

    record = _blocking(AsyncMemoryClient.record, appends=True)
    record_many = _blocking(AsyncMemoryClient.record_many, appends=True)
    context = _blocking(AsyncMemoryClient.context)
    recall = _blocking(AsyncMemoryClient.recall)
    remember = _blocking(AsyncMemoryClient.remember)
    forget = _blocking(AsyncMemoryClient.forget)
    retract = _blocking(AsyncMemoryClient.retract)
    restore = _blocking(AsyncMemoryClient.restore)
    retractions = _blocking(AsyncMemoryClient.retractions)
    proposals = _blocking(AsyncMemoryClient.proposals)
    approve = _blocking(AsyncMemoryClient.approve)
    decline = _blocking(AsyncMemoryClient.decline)
    undecide = _blocking(AsyncMemoryClient.undecide)
    history = _blocking(AsyncMemoryClient.history)
    explain = _blocking(AsyncMemoryClient.explain)
    explain_collective = _blocking(AsyncMemoryClient.explain_collective)
    interactions = _blocking(AsyncMemoryClient.interactions)
    position = _blocking(AsyncMemoryClient.position)
