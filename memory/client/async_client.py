"""The memory client itself, async: writes interactions and reads memory back.

Apps import it from `memory.client`, beside the one for code that is not async.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Self
from uuid import uuid4

from memory import explicit_memories, migrate
from memory.beliefs.collective import Collective, CollectiveExplanation
from memory.beliefs.erasure import Eraser, Forgotten
from memory.beliefs.long_term import LongTerm
from memory.beliefs.retraction import (
    AuditReason,
    InteractionSelector,
    Retractor,
    Revised,
)
from memory.beliefs.usage import UsageRecorder
from memory.bus.freshness import TIMEOUT, Freshness, WaitUntil
from memory.bus.kafka import KafkaBus
from memory.bus.pending import PendingInteractions
from memory.bus.postgres import PostgresBus
from memory.bus.protocol import Bus
from memory.client.remembering import Remembering
from memory.context.assembly import (
    Assembler,
    Context,
    Shares,
    TokenEstimator,
)
from memory.database import Database, DatabaseRole, resolve_url
from memory.embedding import Embedder, create_embedder
from memory.errors import InvalidInput
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
from memory.point_in_time import point_in_time
from memory.recall.reranking import Reranker
from memory.recall.search import Recaller
from memory.settings import Settings

NO_PAYLOAD: Mapping[str, Any] = {}


class AsyncTaskState:
    """A session's task state: JSON values under string keys, gone when the session is forgotten."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def set(self, scope: Scope, key: str, value: object) -> None:
        """Sets `key` of the scope's session to any JSON value."""
        await self._log.set_state(scope, key, value)

    async def get(self, scope: Scope) -> dict[str, Any]:
        """All of the scope's session's task state."""
        return await self._log.get_state(scope)

    async def delete(self, scope: Scope, key: str) -> None:
        """Removes `key`, if it is there."""
        await self._log.delete_state(scope, key)


class AsyncMemoryClient:
    """Reads and writes one store's memory; use as an async context manager.

    Without `settings`, they are read from MEMORY_* variables; without MEMORY_DATABASE_URL the
    embedded server is started and brought up to date. A `reranker` reorders the best memories of
    every recall and context, within a time of its own (`memory.recall.reranking`).
    """

    state: AsyncTaskState

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        embedder: Embedder | None = None,
        bus: Bus | None = None,
        estimator: TokenEstimator = estimate_tokens,
        reranker: Reranker | None = None,
    ) -> None:
        self._settings = settings or Settings()
        self._reranker = reranker
        self._embedder = embedder
        self._given_bus = bus
        self._estimator = estimator

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Connects.

        Raises:
            StoreUnavailable: the server cannot be reached.
            NotMigrated, NewerSchema, MigrationChanged: the database is not at this release.
            MissingEmbeddingModel, EmbedderMismatch: vectors cannot be made, or not compared.
        """
        settings = self._settings
        embedder = self._embedder or create_embedder(settings)
        url = await resolve_url(settings)
        if settings.database_url is None:
            await migrate.migrate(url, settings.connect_timeout)
        else:
            await migrate.check(url, settings.connect_timeout)
        self._database = Database(settings, url, DatabaseRole.CLIENT)
        await self._database.open()
        self._log = Log(self._database, settings)
        self._bus = self._given_bus or self._configured_bus(url)
        self._long_term = LongTerm(self._database, embedder, settings.language)
        try:
            await self._long_term.embedder_id()
        except BaseException:
            await self._database.close()
            raise
        recaller = Recaller(
            self._database,
            self._long_term,
            embedder,
            settings.language,
            reranker=self._reranker,
        )
        self._recaller = recaller
        self._pending = PendingInteractions()
        self._assembler = Assembler(
            self._database, recaller, settings.window_tokens, self._estimator, self._pending
        )
        self._freshness = Freshness(self._database)
        self._remembering = Remembering(self._log, self._long_term, self._freshness)
        self._eraser = Eraser(self._database, self._long_term)
        self._retractor = Retractor(self._database, self._long_term)
        self._usage = UsageRecorder(self._long_term)
        self._collective = Collective(self._database, settings.language)
        self.state = AsyncTaskState(self._log)

    def _configured_bus(self, url: str) -> Bus:  # noqa: ARG002 - for a client that appends otherwise
        if self._settings.kafka_servers:
            return KafkaBus(self._settings)
        return PostgresBus(self._log)

    async def close(self) -> None:
        """Disconnects; the embedded server stops when its last process ends."""
        try:
            if self._given_bus is None:
                await self._bus.aclose()
            await self._usage.flush()
        finally:
            await self._database.close()
        if self._embedder is None:
            await self._long_term.embedder.aclose()

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
        """Appends one interaction to the log; it is durable, and in the next `context()`.

        `id` makes it idempotent: the same id with the same content is a duplicate. Without
        `occurred_at` the interaction happens now, or when it was first recorded. `private` keeps
        what is derived from it to the scope's agent. `traceparent` is the W3C trace context it
        travels under. Over Kafka it is on its way to the log when this returns: every in-sync
        replica has it, and `memory ingest` brings it in.

        Raises:
            InvalidInteraction: content empty, too large, or not text; a naive time.
            InteractionConflict: the id is known with other content; over Kafka it becomes a dead
                letter instead.
            ForgottenId: the id was forgotten; over Kafka it is dropped instead.
            BusUnavailable: no acknowledgement in time; record again, with the same id.
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

    async def record_many(
        self, interactions: Sequence[Interaction], *, traceparent: str | None = None
    ) -> list[Receipt]:
        """Appends interactions of any users, each under its own scope, in the order given.

        One transaction a user; what is acceptable is committed before anything is refused. Over
        Kafka there is no transaction: of each user a first part may be accepted, in order, before
        BusUnavailable; the same call again, with the same ids, adds what is missing.

        Raises:
            InvalidInteraction: before anything is written.
            InteractionConflict, ForgottenId: naming the ids refused; the others are in the log.
            BusUnavailable: as `record`.
        """
        return await self._publish(interactions, traceparent)

    async def _publish(
        self, interactions: Sequence[Interaction], traceparent: str | None
    ) -> list[Receipt]:
        receipts = await self._bus.publish(interactions, traceparent=traceparent)
        self._pending.add(interactions, receipts)
        return receipts

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
        """What the next turn should know: at most `budget` tokens, with citations.

        Draws on the scope's session (recent turns, summary, task state), on the user's long-term
        memories that the scope's agent may see, and on what the tenant's collective tier holds.
        What this client recorded in the session is in it at once. With `after`, a receipt of the
        same user from any process, it waits until the log holds that, or it is settled that it
        never will; after `timeout` seconds it answers with what there is and is not `fresh`.

        `as_of` and `believed_at` show a past, as for `recall`; the session's turns are then those
        that were recorded, and had occurred, by then.

        Raises:
            InvalidInput: a budget too small to hold anything, or an empty or oversize query.
            NaiveTime: a time without a zone.
        """
        wait = await self._freshness.wait(scope, after, WaitUntil.RECORDED, timeout)
        past = point_in_time(as_of, believed_at)
        context = await self._assembler.context(scope, query, budget=budget, shares=shares, at=past)
        if past is None:  # looking back is no use of a memory
            self._usage.note(scope, context.items)
        # A past reflects less of the log, however fresh it is.
        fresh = wait.fresh and (past is not None or context.position >= wait.position)
        return replace(context, fresh=fresh, waited=wait.seconds)

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
        """The `k` memories that fit `query` best, best first, each with what it cites.

        Memories private to an agent are seen only with that agent in the scope; `only_agent`
        leaves out all others. With `after`, a receipt of the same user from any process, it waits
        until extraction has come past that; after `timeout` seconds it answers with what there is
        and is not `fresh`.

        With `as_of` only what held then, and with `believed_at` what was believed then, whatever
        was learned, retracted or merged since; with both, what was believed then of that time.

        Raises:
            InvalidInput: an empty or oversize query, or `only_agent` without an agent.
            NaiveTime: a time without a zone.
        """
        wait = await self._freshness.wait(scope, after, WaitUntil.EXTRACTED, timeout)
        past = point_in_time(as_of, believed_at)
        found = await self._recaller.recall(
            scope, query, k=k, kinds=kinds, only_agent=only_agent, at=past
        )
        fresh = wait.fresh and (past is not None or found.extracted >= wait.position)
        return replace(found, fresh=fresh, waited=wait.seconds)

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
        """Remembers `text` at once, because the app says so; returns the memory.

        `attribute` and `value` let it supersede and be superseded: with `single_valued` a newer
        value of the attribute ends the older. The request itself is an interaction of the log;
        over Kafka it has `timeout` seconds to get there.

        Raises:
            InvalidInput: as `record`, or a value without its attribute.
            InteractionConflict, ForgottenId: as `record` over Postgres, on either bus.
            NotApplied: it was not in the log in time; extraction makes the memory once it is.
        """
        try:
            wanted = MemoryKind(kind)
        except ValueError as error:
            raise InvalidInput(
                f"kind must be one of {', '.join(MemoryKind)}, got {kind!r}"
            ) from error
        payload = explicit_memories.payload(
            wanted,
            attribute=attribute,
            value=value,
            context=context,
            single_valued=single_valued,
            importance=importance,
        )
        where = scope if scope.session is not None else scope.in_session(explicit_memories.SESSION)
        sent = _interaction(where, text, id, occurred_at, payload=payload, private=private)
        (receipt,) = await self._publish([sent], None)
        return await self._remembering.memory(sent, receipt, timeout)

    async def forget(
        self,
        scope: Scope,
        *,
        memory: int | None = None,
        session: str | None = None,
        user: bool = False,
        keep_sources: bool = False,
    ) -> Forgotten:
        """Forgets one memory, one session, or all of the user: exactly one of the three.

        A memory takes the interactions it rests on with it, and whatever else stood only on
        them; with `keep_sources` those stay and only this is never believed again. Forgotten
        interaction ids are refused if they are ever recorded again.

        What this client recorded before is forgotten with the session or the user, also where it
        is on its way over Kafka: it has a few seconds to get into the log first. What other
        processes have on its way is not known here, and comes after.

        Raises:
            InvalidInput: not exactly one of the three.
            UnknownMemory: the user has no such memory.
            NotApplied: this client's own interactions were not in the log in time; nothing was
                forgotten.
        """
        if (memory is not None) + (session is not None) + user != 1:
            raise InvalidInput(
                f"forget one of memory={memory!r}, session={session!r}, user={user!r}"
            )
        if memory is not None:
            return await self._eraser.memory(scope, memory, keep_sources=keep_sources)
        where = Scope(scope.tenant, scope.user, scope.agent, session)
        for pending in self._pending.of_user(where):
            await self._freshness.require(where, pending.receipt, TIMEOUT)
        if session is not None:
            return await self._eraser.session(where)
        return await self._eraser.user(scope)

    async def retract(
        self,
        scope: Scope,
        *,
        interactions: Sequence[str] = (),
        source: str | None = None,
        reason: str = "",
        by: str = "client",
    ) -> Revised:
        """Lets interactions count for nothing: those with the given ids, or all of one source.

        They stay in the log, marked with who did so, when and why, and are shown and derived from
        no more. In one transaction what stood only on them ends, what they had replaced is believed
        again, and what others hold of it in the collective tier is recounted; what was made of them
        among others is taken away and made anew by extraction. What was believed before can still
        be looked at with `believed_at`. Doing it twice changes nothing; a source may go on sending.

        Raises:
            InvalidInput: not exactly one of `interactions` and `source`, or too long a reason.
            UnknownInteraction: an id that is not in the user's log; nothing was changed.
        """
        which, why = InteractionSelector(interactions, source), AuditReason(by, reason)
        return await self._retractor.retract(scope, which, why)

    async def restore(
        self,
        scope: Scope,
        *,
        interactions: Sequence[str] = (),
        source: str | None = None,
        reason: str = "",
        by: str = "client",
    ) -> Revised:
        """Lets retracted interactions count again, from now on: the reverse of `retract`.

        Raises:
            InvalidInput, UnknownInteraction: as `retract`.
        """
        which, why = InteractionSelector(interactions, source), AuditReason(by, reason)
        return await self._retractor.restore(scope, which, why)

    async def retractions(self, scope: Scope, *, limit: int = 100) -> list[Retraction]:
        """What was retracted of the user, newest first, and until when where it was restored."""
        return await self._retractor.listed(scope, limit)

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
        """The user's memories, newest belief first; with `closed` also what is believed no more.

        With `contested` only those that another contradicts while nothing decides between them;
        `as_of` and `believed_at` show a past, as for `recall`.

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

    async def explain(
        self,
        scope: Scope,
        memory: int,
        *,
        as_of: datetime | None = None,
        believed_at: datetime | None = None,
    ) -> Explanation:
        """The evidence of a memory with its quotes, what made it, and what it replaced.

        Also of one that is believed no more. `as_of` and `believed_at` leave out what came later.

        Raises:
            UnknownMemory: the user has no such memory, or did not have it then.
            NaiveTime: a time without a zone.
        """
        return await self._long_term.explain(scope, memory, point_in_time(as_of, believed_at))

    async def explain_collective(self, scope: Scope, memory: int) -> CollectiveExplanation:
        """How many users, at least, a collective memory rests on, and on what kinds of evidence.

        Raises:
            UnknownMemory: the tenant has no such collective memory, or no longer.
        """
        return await self._collective.explain(scope, memory)

    async def interactions(
        self, scope: Scope, *, after: int = 0, limit: int = 1000
    ) -> list[Interaction]:
        """The interactions of the scope's session with ordinals above `after`, oldest first.

        At most `limit` are read; of those, what is private to another agent is left out.
        """
        read = await self._log.read_session(scope, after, limit)
        return [i for i in read if not i.private or i.scope.agent == scope.agent]

    async def position(self, scope: Scope) -> Position:
        """How far the user's log has come, and how far extraction has followed it."""
        return await self._log.position(scope)


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
    """What an app records: under an id of our own and at this moment, where it names neither."""
    return Interaction(
        scope=scope,
        id=uuid4().hex if interaction_id is None else interaction_id,
        kind=kind,  # type: ignore[arg-type]  # text is checked where every interaction is
        role=role,  # type: ignore[arg-type]
        content=content,
        occurred_at=datetime.now(UTC) if occurred_at is None else occurred_at,
        **fields,
    )
