"""The async memory client: writes interactions and reads memory back.

Apps import it from `memory.client`, which also holds the client for synchronous code.
"""

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4
from weakref import WeakSet

from memory import explicit_memories
from memory.beliefs.collective import Collective, CollectiveExplanation
from memory.beliefs.erasure import Eraser, Forgotten
from memory.beliefs.long_term import LongTerm, LongTermReader
from memory.beliefs.retraction import (
    AuditReason,
    InteractionSelector,
    Retractor,
    Revised,
    retractions,
)
from memory.beliefs.review import Page, Proposal, Reviewed, Reviewer, Verb, proposals
from memory.beliefs.usage import UsageRecorder
from memory.bus.freshness import TIMEOUT, Freshness, WaitUntil
from memory.bus.kafka import KafkaBus
from memory.bus.pending import PendingInteractions
from memory.bus.postgres import PostgresBus
from memory.bus.protocol import Bus
from memory.client.arguments import check_part, checked
from memory.client.connections import Connections, connected
from memory.client.lifetime import Lifetime, State, silence, warn_if_open
from memory.client.remembering import Remembering
from memory.client.writing import writes
from memory.context.assembly import (
    Assembler,
    Context,
    Shares,
    TokenEstimator,
)
from memory.database import Database
from memory.embedding import Embedder, create_embedder
from memory.errors import InvalidInput
from memory.language.text import estimate_tokens
from memory.log.envelope import check_not_ahead
from memory.log.interactions import Log, Position, settled_call
from memory.log.plain_json import shown
from memory.log.tenant_policies import TenantPolicies
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
from memory.point_in_time import point_in_time
from memory.recall.reranking import Reranker
from memory.recall.search import Recaller
from memory.settings import Settings, settings_of

NO_PAYLOAD: Mapping[str, Any] = {}


class AsyncTaskState:
    """The task state of sessions: JSON values under string keys, deleted with the session.

    All agents in a session share it. Where the session begins with what is private to one agent,
    only that agent has it: others find none, and setting it raises InvalidScope.
    """

    def __init__(self, log: Log, refusal: str | None = None) -> None:
        self._log = log
        self.refusal = refusal

    @writes("state.set")
    @checked("key")
    async def set(self, scope: Scope, key: str, value: object) -> None:
        """Sets `key` in the task state of the scope's session to any JSON value."""
        await self._log.set_state(scope, key, value)

    @checked()
    async def get(self, scope: Scope) -> dict[str, Any]:
        """Returns the whole task state of the scope's session."""
        return await self._log.get_state(scope)

    @writes("state.delete")
    @checked()
    async def delete(self, scope: Scope, key: str) -> None:
        """Deletes `key` from the task state of the scope's session, if it is there."""
        await self._log.delete_state(scope, key)


_OPENED = frozenset({
    "_applied", "_assembler", "_bus", "_collective", "_connections", "_eraser", "_exits",
    "_freshness", "_log", "_long_term", "_memories", "_pending", "_policies", "_read_log",
    "_recaller", "_remembering", "_retractor", "_usage", "state",
})  # fmt: skip
"""What `open` makes; a client that is not open has none of it."""

_open_clients: "WeakSet[AsyncMemoryClient]" = WeakSet()
_of_the_parent: list[object] = []
"""Connections that a forked process must neither use nor close."""


def _after_fork() -> None:
    """Takes from clients, in a forked process, what belongs to its parent."""
    _of_the_parent.extend(
        client._let_go()  # noqa: SLF001 - the module's own class
        for client in _open_clients
    )
    _open_clients.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class AsyncMemoryClient:
    """Reads and writes the memory of one store; use it as an async context manager.

    Without `settings`, it reads them from MEMORY_* variables. Without MEMORY_DATABASE_URL, it
    starts the embedded server and migrates it. A `reranker` reorders the best memories of every
    recall and context, within its own time limit (`memory.recall.reranking`).

    With MEMORY_READ_URL it reads from that standby: all but task state, which it reads where it
    writes it. A client that `reads_only`, or has only MEMORY_READ_URL, connects to no other server
    unless the standby is away; every verb that writes raises ReadOnlyStore.
    """

    state: AsyncTaskState
    _loop: asyncio.AbstractEventLoop | None = None

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
        self._settings = Settings() if settings is None else settings_of(settings)
        parts = (("embedder", embedder, "embed"), ("bus", bus, "publish"),
                 ("reranker", reranker, "score"))  # fmt: skip
        for name, part, method in parts:
            if part is not None:
                check_part(name, part, method)
        check_part("estimator", estimator, "__call__")
        if not isinstance(reads_only, bool):
            raise InvalidInput(f"reads_only must be true or false, got {shown(reads_only)}")
        self._reads_only = reads_only
        self._reranker = reranker
        self._embedder = embedder
        self._given_bus = bus
        self._estimator = estimator
        self._lifetime = Lifetime("client")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._lifetime.state.name.lower()}>"

    def __del__(self) -> None:
        if "_lifetime" in self.__dict__:  # it is missing where making the client failed
            warn_if_open(self, self._lifetime)
            silence(self._loop)

    if not TYPE_CHECKING:  # it would hide misspelled names

        def __getattr__(self, name: str) -> Any:
            """Explains what a client that is not open lacks."""
            if name in _OPENED:
                raise self._lifetime.error()
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def refusal(self) -> str | None:
        """Why this client does not write, and what to set; None if it does."""
        if self._reads_only:
            return "this client only reads (reads_only=True); make another one to write"
        if self._settings.only_reads:
            return "only a standby is named; set MEMORY_DATABASE_URL to the primary"
        return None

    async def open(self) -> None:
        """Connects to the store. Does nothing where the client is open.

        It writes nothing but the name of the embedder to a new store.

        Raises:
            StoreUnavailable: the server cannot be reached.
            NotMigrated, NewerSchema, MigrationChanged: the database does not match this release.
            MissingEmbeddingModel: the embedding model is not installed.
            EmbedderMismatch: another embedder made the vectors in the store.
        """
        if self._lifetime.state is State.OPEN:
            return
        try:
            self._exits = await self._opened()
        except BaseException:
            self._let_go()
            raise
        self._loop = asyncio.get_running_loop()
        self._lifetime.begin()
        _open_clients.add(self)

    async def _opened(self) -> AsyncExitStack:
        """Opens what the client needs, and returns what closes it.

        That holds no reference to the client: one that nobody closes has to go at once.
        """
        async with AsyncExitStack() as exits:
            embedder = self._embedder or create_embedder(self._settings)
            if self._embedder is None:
                exits.push_async_callback(embedder.aclose)
            connections = await connected(self._settings, reads_only=self.refusal is not None)
            exits.push_async_callback(connections.aclose)
            self._make_parts(connections, embedder)
            exits.push_async_callback(self._usage.flush)
            if self._given_bus is None:
                exits.push_async_callback(self._bus.aclose)
            if self.refusal is None:
                await self._long_term.embedder_id()
            await self._memories.embedder_id()
            return exits.pop_all()

    def _make_parts(self, connections: Connections, embedder: Embedder) -> None:
        settings = self._settings
        writing, reading = connections.writing, connections.reading
        self._connections = connections
        self._log = Log(writing, settings)
        self._long_term = LongTerm(writing, embedder, settings.language)
        self._read_log = Log(reading, settings)
        only_reading = connections.apart or self.refusal is not None
        self._memories = LongTermReader(reading, embedder) if only_reading else self._long_term
        recaller = Recaller(
            reading, self._memories, embedder, settings.language, reranker=self._reranker
        )
        self._recaller = recaller
        self._pending = PendingInteractions(until_seen=connections.apart)
        self._assembler = Assembler(
            reading, recaller, settings.window_tokens, self._estimator, self._pending
        )
        self._freshness = Freshness(reading)
        self._applied = Freshness(writing)
        self._bus = self._given_bus or self._configured_bus(connections.url)
        self._policies = self._policies_of(writing)
        self._remembering = Remembering(self._log, self._long_term, self._applied, self._policies)
        self._eraser = Eraser(writing, self._long_term)
        self._retractor = Retractor(writing, self._long_term)
        self._reviewer = Reviewer(writing, self._long_term)
        self._usage = UsageRecorder(self._long_term)
        self._collective = Collective(reading, settings.language)
        state_log = self._log if self.refusal is None else self._read_log
        self.state = AsyncTaskState(state_log, self.refusal)

    def _configured_bus(self, url: str) -> Bus:  # noqa: ARG002 - for a client that appends otherwise
        if self._settings.kafka_servers:
            return KafkaBus(self._settings)
        return PostgresBus(self._log)

    def _policies_of(self, writing: Database) -> TenantPolicies:
        """Reads the policies where the log is written; what goes past it is looked at again."""
        return TenantPolicies(writing, passes=not isinstance(self._bus, PostgresBus))

    async def close(self) -> None:
        """Disconnects. The embedded server stops when its last process ends.

        Does nothing where the client is not open.
        """
        if self._lifetime.state is not State.OPEN:
            return
        self._lifetime.end()
        try:
            await self._exits.aclose()
        finally:
            _open_clients.discard(self)
            self._let_go()

    def _let_go(self) -> dict[str, Any]:
        """Drops what `open` made, so that a call finds out; returns it."""
        made = self.__dict__
        return {name: made.pop(name) for name in _OPENED & made.keys()}

    @writes("record")
    @checked(
        "content", "id", "actor", "payload", "private", "source", "kind", "role", "occurred_at"
    )
    async def record(
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
        """Appends one interaction to the log.

        When this returns, the interaction is durable, and the next `context()` of this client shows
        it. With Kafka, every in-sync replica holds it, and `memory ingest` then writes it to the
        log.

        `id` makes the call idempotent: recording the same id and content again changes nothing.
        `occurred_at` defaults to now; an id that is already in the log keeps its first time. With
        `private`, only the scope's agent sees the memories derived from it. `traceparent` is the
        W3C trace context to send with it.

        Raises:
            InvalidInteraction: the content is empty, too large or not text, or a time has no zone
                or lies more than ten years ahead.
            InteractionConflict: the id is in the log with different content. With Kafka, the
                message becomes a dead letter instead.
            ForgottenId: the id was forgotten. With Kafka, the message is dropped instead.
            SensitiveContent: the tenant's policy refuses a secret or personal data that it holds.
            BusUnavailable: no acknowledgement in time; record again with the same id.
        """
        interaction = _interaction(
            scope,
            content,
            id,
            occurred_at,
            kind=kind,
            role=role,
            payload=payload,
            actor=actor,
            private=private,
            source=source,
        )
        return (await self._publish([interaction], traceparent))[0]

    @writes("record_many")
    @checked()
    async def record_many(
        self, interactions: Sequence[Interaction], *, traceparent: str | None = None
    ) -> list[Receipt]:
        """Appends interactions of any users, each under its own scope, in the order given.

        Each user's interactions are one transaction. A refused id does not stop the others: they
        are committed before the error is raised. Kafka has no such transaction: when BusUnavailable
        is raised, the first part of each user's interactions may have been accepted. Repeat the
        call with the same ids to add the rest.

        Raises:
            InvalidInteraction, SensitiveContent: before anything is written.
            InteractionConflict, ForgottenId: some ids were refused, and the message names them; the
                others are in the log.
            BusUnavailable: as `record`.
        """
        return await self._publish(interactions, traceparent)

    async def _publish(
        self, interactions: Sequence[Interaction], traceparent: str | None
    ) -> list[Receipt]:
        for interaction in interactions:
            check_not_ahead(interaction)
        written = await self._policies.to_write(interactions)
        receipts = await self._bus.publish(written, traceparent=traceparent)
        self._pending.add(written, receipts)
        return receipts

    @checked()
    async def context(
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
        """Assembles what the next turn should know: at most `budget` tokens, with citations.

        The context is built from the session (recent turns, summary, task state), the user's
        long-term memories that this agent may see, and the tenant's collective memories. The turns
        include what this client has just recorded in the session.

        `after` is a receipt of the same user, from any process. The call waits until that
        interaction is in the log, or until it is certain that it never will be. After `timeout`
        seconds it returns what is there, with `fresh` False.

        `as_of` and `believed_at` work as in `recall`. The turns are then limited to those that had
        occurred and had been recorded at that time.

        Raises:
            InvalidInput: the budget is under 50 tokens, or the query is empty or longer than 4,000
                characters.
            NaiveTime: a time without a zone.
        """
        wait = await self._freshness.wait(scope, after, WaitUntil.RECORDED, timeout)
        past = point_in_time(as_of, believed_at)
        context = await self._assembler.context(scope, query, budget=budget, shares=shares, at=past)
        if past is None and self.refusal is None:  # looking back is no use of a memory
            self._usage.note(scope, context.items)
        # A past reflects less of the log, however fresh it is.
        fresh = wait.fresh and (past is not None or context.position >= wait.position)
        return replace(context, fresh=fresh, waited=wait.seconds)

    @checked()
    async def recall(
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
        """Returns the `k` memories that match `query` best, best first, each with its citations.

        An agent's private memories are returned only if the scope names that agent; with
        `only_agent`, nothing else is returned.

        `after` is a receipt of the same user, from any process. The call waits until extraction has
        processed that interaction. After `timeout` seconds it returns what is there, with `fresh`
        False.

        `as_of` selects what held in the world at that time. `believed_at` selects what the store
        believed at that time, and ignores everything learned, retracted or merged later. With both:
        what the store believed then about that time.

        Raises:
            InvalidInput: the query is empty or longer than 4,000 characters, or `only_agent` is
                given without an agent.
            NaiveTime: a time without a zone.
        """
        wait = await self._freshness.wait(scope, after, WaitUntil.EXTRACTED, timeout)
        past = point_in_time(as_of, believed_at)
        found = await self._recaller.recall(
            scope, query, k=k, kinds=kinds, only_agent=only_agent, at=past
        )
        fresh = wait.fresh and (past is not None or found.extracted >= wait.position)
        return replace(found, fresh=fresh, waited=wait.seconds)

    @writes("remember")
    @checked(
        "text",
        "id",
        "private",
        "kind",
        "occurred_at",
        "attribute",
        "value",
        "context",
        "single_valued",
        "importance",
    )
    async def remember(
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
        """Stores `text` as a memory at once, without extraction, and returns the memory.

        `attribute` and `value` let a newer memory supersede an older one: with `single_valued`, a
        new value of the attribute ends the old one. The request is itself recorded as an
        interaction, a note; with Kafka, it must reach the log within `timeout` seconds.

        Raises:
            InvalidInput, SensitiveContent: as `record`, or a value without its attribute.
            InteractionConflict, ForgottenId: as `record` without Kafka, on either bus.
            NotApplied: the interaction did not reach the log in time; extraction makes the memory
                when it does.
            UnknownMemory: it is not believed: a newer event says otherwise, or the tenant's rules
                of trust make it wait for review.
        """
        given: object = kind
        if not isinstance(given, str) or given not in set(MemoryKind):
            raise InvalidInput(f"kind must be one of {', '.join(MemoryKind)}, got {shown(kind)}")
        payload = explicit_memories.payload(
            MemoryKind(kind),
            attribute=attribute,
            value=value,
            context=context,
            single_valued=single_valued,
            importance=importance,
        )
        where = scope if scope.session is not None else scope.in_session(explicit_memories.SESSION)
        note = InteractionKind.NOTE
        asked = _interaction(
            where, text, id, occurred_at, kind=note, payload=payload, private=private
        )
        (sent,) = await self._policies.to_write([asked])
        (receipt,) = await self._publish([sent], None)
        return await self._remembering.memory(sent, receipt, timeout)

    @writes("forget")
    @checked()
    async def forget(
        self,
        scope: Scope,
        *,
        memory: int | None = None,
        session: str | None = None,
        user: bool = False,
        keep_sources: bool = False,
    ) -> Forgotten:
        """Forgets one memory, one session, or everything of the user: exactly one of the three.

        Forgetting a memory also forgets the interactions that support it, and every memory that
        rests on them alone; memories that rest on other interactions too are rebuilt from those.
        With `keep_sources` the interactions stay: only this memory is removed, and it is never
        believed again. A forgotten interaction id is refused if it is recorded again.

        What is private to another agent than the scope's is not there: of a session it stays.
        Forgetting the user forgets it too.

        Forgetting a session or a user includes what this client has sent to Kafka and is not in the
        log yet: the call waits a few seconds for it. It does not include what other processes have
        sent and is not in the log yet.

        Raises:
            InvalidInput: not exactly one of the three.
            UnknownMemory: the user has no such memory, or it is private to another agent.
            NotApplied: this client's own interactions were not in the log in time; nothing was
                forgotten.
        """
        if (memory is not None) + (session is not None) + user != 1:
            raise InvalidInput(
                f"forget one of memory={memory!r}, session={session!r}, user={user!r}"
            )
        where = Scope(scope.tenant, scope.user, scope.agent, session)
        if memory is not None:
            done = await self._eraser.memory(scope, memory, keep_sources=keep_sources)
        else:
            for pending in self._pending.of_user(where):
                if not pending.receipt.position:
                    await self._applied.require(where, pending.receipt, TIMEOUT)
            erased = self._eraser.user if session is None else self._eraser.session
            done = await erased(where)
        await self._settle(where)
        return done

    async def _settle(self, scope: Scope) -> None:
        """Stops showing what is in the log, whose interactions may not count any more.

        A standby that has not replayed that yet would take them for pending.
        """
        pending = self._pending.of_user(scope)
        if pending:
            call = settled_call([kept.receipt for kept in pending])
            self._pending.settle(
                scope, pending, await self._connections.writing.fetch(scope, *call)
            )

    @writes("retract")
    @checked()
    async def retract(
        self,
        scope: Scope,
        *,
        interactions: Sequence[str] = (),
        source: str | None = None,
        reason: str = "",
        by: str = "client",
    ) -> Revised:
        """Retracts interactions, by id or all of one source: no memory may rest on them any more.

        They stay in the log, marked with who retracted them, when and why. They are no longer
        shown, and nothing is derived from them.

        One transaction ends the memories that only they support, restores the beliefs that those
        had replaced, and withdraws the support that they gave to collective memories. Memories that
        were derived from them together with other interactions are removed, and extraction derives
        them again. `believed_at` still shows what was believed before. Retracting twice changes
        nothing. New interactions of a retracted source are accepted and count.
        What is private to another agent than the scope's is not there.

        Raises:
            InvalidInput: not exactly one of `interactions` and `source`, or the reason is too long.
            UnknownInteraction: an id is not in the user's log, or private to another agent;
                nothing was changed.
        """
        which, why = InteractionSelector(interactions, source), AuditReason(by, reason)
        done = await self._retractor.retract(scope, which, why)
        await self._settle(Scope(scope.tenant, scope.user))
        return done

    @writes("restore")
    @checked()
    async def restore(
        self,
        scope: Scope,
        *,
        interactions: Sequence[str] = (),
        source: str | None = None,
        reason: str = "",
        by: str = "client",
    ) -> Revised:
        """Undoes a retraction: from now on the interactions count again.

        Raises:
            InvalidInput, UnknownInteraction: as `retract`.
        """
        which, why = InteractionSelector(interactions, source), AuditReason(by, reason)
        return await self._retractor.restore(scope, which, why)

    @checked()
    async def retractions(self, scope: Scope, *, limit: int = 100) -> list[Retraction]:
        """Lists the user's retractions, newest first; a restored one says when it was restored."""
        return await retractions(self._connections.reading, scope, limit)

    @checked()
    async def proposals(
        self, scope: Scope, *, decided: bool = False, after: str | None = None, limit: int = 100
    ) -> list[Proposal]:
        """Lists what waits for review, newest first: what tools, documents and pasted text propose.

        Nothing of it is believed, and no recall or context shows it. What an origin proposes again
        and again is one proposal. Nothing is listed any more that nobody decided on for the
        `review_days` of the tenant's policy. With `decided`, proposals with a decision are listed
        too. `after` is the `cursor` of the last proposal of a page before.

        Raises:
            InvalidInput: `after` is no cursor.
        """
        page = Page(after, limit, decided)
        return await proposals(self._connections.reading, scope, page)

    @writes("approve")
    @checked()
    async def approve(
        self, scope: Scope, proposal: str, *, by: str = "client", reason: str = ""
    ) -> Reviewed:
        """Approves a proposal of the user: it is believed from now on, and so are its repetitions.

        The memory keeps its origin: approving raises no trust. A later decision takes the place of
        an earlier one.

        Raises:
            UnknownProposal: nothing of the user's proposes this.
            InvalidInput: it is no id of a proposal, or `by` or `reason` is too long.
        """
        return await self._reviewer.decide(scope, proposal, Verb(True, AuditReason(by, reason)))

    @writes("decline")
    @checked()
    async def decline(
        self, scope: Scope, proposal: str, *, by: str = "client", reason: str = ""
    ) -> Reviewed:
        """Declines a proposal of the user, with its repetitions; what was believed of it ends.

        Raises:
            UnknownProposal, InvalidInput: as `approve`.
        """
        return await self._reviewer.decide(scope, proposal, Verb(False, AuditReason(by, reason)))

    @writes("undecide")
    @checked()
    async def undecide(self, scope: Scope, proposal: str) -> Reviewed:
        """Takes the user's decision on a proposal back: it waits for review again.

        Raises:
            UnknownProposal, InvalidInput: as `approve`.
        """
        return await self._reviewer.decide(scope, proposal, Verb(None, AuditReason("client")))

    @checked()
    async def history(
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
        """Lists the user's memories, newest belief first; with `closed`, also former beliefs.

        `contested` selects only memories that contradict another one while nothing decides between
        them. `as_of` and `believed_at` work as in `recall`.

        Raises:
            NaiveTime: a time without a zone.
        """
        return await self._long_term.history(
            scope,
            kinds=kinds,
            attribute=attribute,
            closed=closed,
            contested=contested,
            limit=limit,
            at=point_in_time(as_of, believed_at),
        )

    @checked()
    async def explain(
        self,
        scope: Scope,
        memory: int,
        *,
        as_of: datetime | None = None,
        believed_at: datetime | None = None,
    ) -> Explanation:
        """Returns the evidence of a memory with its quotes, its provenance, and what it replaced.

        It also explains memories that are no longer believed. `as_of` and `believed_at` leave out
        what came later.

        Raises:
            UnknownMemory: the user has no such memory, it is private to another agent, or the user
                did not have it then.
            NaiveTime: a time without a zone.
        """
        return await self._long_term.explain(scope, memory, point_in_time(as_of, believed_at))

    @checked()
    async def explain_collective(self, scope: Scope, memory: int) -> CollectiveExplanation:
        """Returns at least how many users support a collective memory, and the kinds of evidence.

        Raises:
            UnknownMemory: the tenant has no such collective memory, or no longer.
        """
        return await self._collective.explain(scope, memory)

    @checked()
    async def interactions(
        self, scope: Scope, *, after: int = 0, limit: int = 1000
    ) -> list[Interaction]:
        """Returns the session's interactions with ordinals above `after`, oldest first.

        It reads at most `limit` of them, and leaves out those that are private to another agent.
        """
        return await self._read_log.read_session(scope, after, limit)

    @checked()
    async def position(self, scope: Scope) -> Position:
        """Returns the end of the user's log, and how far extraction has come in it."""
        return await self._read_log.position(scope)


def _interaction(
    scope: Scope,
    content: str,
    interaction_id: str | None,
    occurred_at: datetime | None,
    *,
    kind: InteractionKind | str = InteractionKind.MESSAGE,
    role: Role | str = Role.USER,
    **fields: Any,
) -> Interaction:
    """Builds the interaction to record, with a new id and the present time as defaults."""
    return Interaction(
        scope=scope,
        id=uuid4().hex if interaction_id is None else interaction_id,
        kind=kind,  # type: ignore[arg-type]  # text is checked where every interaction is
        role=role,  # type: ignore[arg-type]
        content=content,
        occurred_at=datetime.now(UTC) if occurred_at is None else occurred_at,
        **fields,
    )
