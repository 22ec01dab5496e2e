"""The log and the working tier: reads and appends interactions, sessions and task state.

Interactions are appended once and never changed. A session's recent turns, rolling summary and task
state are its working tier.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from memory.database import StatementRunner
from memory.database.pipeline import Params
from memory.errors import (
    ConcurrentWrite,
    ForgottenId,
    InteractionConflict,
    InvalidInput,
    InvalidScope,
    TenantRefused,
)
from memory.language.text import turn_tokens
from memory.log import envelope
from memory.log.envelope import Incoming
from memory.log.plain_json import check_size, plain_object, shown
from memory.log.rows import append_one_params, append_params, interaction_of
from memory.log.trace_context import NO_TRACE, Trace
from memory.models import Interaction, Receipt, Scope
from memory.point_in_time import PointInTime
from memory.settings import Settings

APPEND_ATTEMPTS = 5
WINDOW_LIMIT = 200
"""Interactions that working memory looks back over, however few tokens they have.
It looks back over five times as many while the rolling summary is behind.
"""

MAX_KEY_BYTES = 200
"""The limit of a key of task state in UTF-8: it and three names of 200 characters fit an index."""


@dataclass(frozen=True, slots=True)
class WorkingMemory:
    """The working tier of one session.

    window: the newest interactions, oldest first, within the token limit asked for.
    summary: the rolling summary of what came before the window, up to `summary_through`.
    summary_sources: for each of its lines, the id of the interaction it quotes.
    between: interactions after `summary_through` and before the window, oldest first.
    """

    window: tuple[Interaction, ...] = ()
    between: tuple[Interaction, ...] = ()
    summary: str = ""
    summary_through: int = 0
    summary_sources: tuple[str, ...] = ()
    state: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """The end of a user's log, and how far extraction has come in it."""

    recorded: int = 0
    extracted: int = 0
    change_seq: int = 0


class Log:
    """The interactions and sessions of one store, over one database role."""

    def __init__(self, database: StatementRunner, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    async def append(
        self, interactions: Sequence[Interaction], trace: Trace = NO_TRACE
    ) -> list[Receipt]:
        """Appends interactions, grouped by user, and returns a receipt for each in order.

        `trace` is stored with the new ones. An interaction that is already there with the same
        content gets a receipt with its position and `duplicate=True`. The acceptable interactions
        are committed before an error is raised, and the error names the refused ids.

        Raises:
            InvalidInteraction: before anything is written.
            InteractionConflict: some ids are in the log with different content.
            ForgottenId: some ids were forgotten.
            TenantRefused: the store does not serve a tenant, or it has used up a quota.
        """
        incoming = [envelope.incoming(i) for i in interactions]
        if (
            len(incoming) == 1
            and trace == NO_TRACE
            and (receipt := await self._append_one(incoming[0]))
        ):
            return [receipt]
        first: dict[tuple[str, str, str], Incoming] = {}
        for item in incoming:
            first.setdefault(item.key, item)
        rows: dict[tuple[str, str, str], DictRow] = {}
        refused: TenantRefused | None = None
        for scope, group in _by_user(first.values()).items():
            try:
                found = await self._append_user(scope, group, trace)
            except TenantRefused as error:  # which is no matter of the other tenants
                refused = refused or error
                continue
            for row in found:
                rows[scope.tenant, scope.user, row["interaction_id"]] = row
        placed = [
            _with_outcome(item, first[item.key], rows[item.key])
            for item in incoming
            if item.key in rows
        ]
        _refuse(placed)
        if refused is not None:
            raise refused
        return [
            Receipt(
                row["interaction_id"],
                row["session_id"],
                row["ordinal"],
                row["position"],
                duplicate=row["fate"] == "duplicate",
            )
            for row in placed
        ]

    async def _append_user(
        self, scope: Scope, incoming: Sequence[Incoming], trace: Trace
    ) -> Sequence[DictRow]:
        params = append_params(incoming, trace, self._settings.session_ttl)
        for attempt in range(APPEND_ATTEMPTS):
            try:
                return await self._database.fetch(scope, "log.append", params)
            except ConcurrentWrite:
                # Another writer brought one of these ids between our look and our insert;
                # the next look sees it.
                if attempt == APPEND_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def _append_one(self, item: Incoming) -> Receipt | None:
        """Appends one interaction; returns None if it is not new or another writer came first.

        This is the common case, at half the cost of `log.append`.
        """
        interaction = item.interaction
        params = append_one_params(item, self._settings.session_ttl)
        try:
            (place,) = await self._database.fetch(interaction.scope, "log.append_one", params)
        except ConcurrentWrite:
            return None
        if place["position"] is None:
            return None
        return Receipt(interaction.id, interaction.session, **place)

    async def read_session(
        self, scope: Scope, after: int = 0, limit: int = 1000
    ) -> list[Interaction]:
        """Returns a session's interactions with ordinals above `after`, oldest first.

        It leaves out those that are private to another agent.
        """
        params = {**_of_session(scope), "after": after, "limit": limit}
        rows = await self._database.fetch(scope, "log.read_seen", params)
        return [interaction_of(row) for row in rows]

    async def read_ids(self, scope: Scope, ids: Sequence[str]) -> list[Interaction]:
        """Returns the interactions with these ids that exist, in the order of the log."""
        rows = await self._database.fetch(scope, "log.read_ids", {"ids": list(ids)})
        return [interaction_of(row) for row in rows]

    async def position(self, scope: Scope) -> Position:
        """Returns the end of the user's log, and how far extraction has come in it."""
        return position_of(await self._database.fetch(scope, "log.position"))

    async def set_state(self, scope: Scope, key: str, value: object) -> None:
        """Sets one key of the session's task state to any JSON value.

        Raises:
            InvalidInput: an empty key or one over MAX_KEY_BYTES, or a value that is not JSON or
                over a payload's limits.
            InvalidScope: the session is private to another agent.
        """
        given: object = key
        if not isinstance(given, str) or not given:
            raise InvalidInput(f"a key of task state must be text, not empty, got {shown(key)}")
        plain = plain_object({key: value}, "state")
        check_size(f"state key {shown(key)}", len(key.encode()), MAX_KEY_BYTES)
        params = {**_of_session(scope), "key": key, "value": Jsonb(plain[key])}
        if not await self._database.fetch(scope, "log.set_state", params):
            raise InvalidScope(
                f"agent {scope.agent!r} may not set state in session {scope.session!r}"
            )

    async def get_state(self, scope: Scope) -> dict[str, Any]:
        params = _of_session(scope)
        return state_of(await self._database.fetch(scope, "log.get_state", params))

    async def delete_state(self, scope: Scope, key: str) -> None:
        params = {**_of_session(scope), "key": key}
        await self._database.fetch(scope, "log.delete_state", params)


def _of_session(scope: Scope) -> dict[str, Any]:
    return {"session": scope.require_session(), "agent": scope.agent}


def working_calls(
    scope: Scope, window_tokens: int, at: PointInTime | None = None
) -> list[tuple[str, Params]]:
    """Returns the statements that read a session's working tier, for `working_memory`."""
    session: dict[str, Any] = {"session": scope.session}
    state: dict[str, Any] = {**session, "agent": scope.agent}
    window = {
        **state,
        "tokens": window_tokens,
        "limit": WINDOW_LIMIT,
    }
    if at is None:
        return [("log.session", session), ("log.window", window), ("log.get_state", state)]
    names = ("past.session", "past.window", "past.state")
    of_each = (session, window, state)
    return [(name, {**p, **at.params}) for name, p in zip(names, of_each, strict=True)]


def settled_call(receipts: Sequence[Receipt]) -> tuple[str, Params]:
    """Returns the statement that says which pending interactions are settled.

    Its rows have `nth`, the index in `receipts` from 1, and the `position` in the log, or None for
    an interaction that will never be there.
    """
    places = [receipt.place for receipt in receipts]
    params = {
        "ids": [receipt.interaction_id for receipt in receipts],
        "clusters": [place.cluster_id if place else None for place in places],
        "topic_ids": [place.topic_id if place else None for place in places],
        "partitions": [place.partition if place else None for place in places],
        "offsets": [place.offset if place and place.offset >= 0 else None for place in places],
    }
    return "log.settled", params


def working_memory(
    session: Sequence[DictRow],
    window: Sequence[DictRow],
    state: Sequence[DictRow],
    now: datetime,
    coming: Sequence[Interaction] = (),
    window_tokens: int = 0,
) -> WorkingMemory:
    """Makes the working tier of its rows; it is empty if the session had expired at `now`.

    `coming` are pending interactions of the session. They follow those in the log, count toward the
    same tokens, and keep the session from expiring, as they will once they are in the log.
    """
    stored = _stored_working_memory(session, window, state, now, revived=bool(coming))
    known = {turn.id for turn in (*stored.between, *stored.window)}
    turns = (*stored.window, *(turn for turn in coming if turn.id not in known))
    if len(turns) == len(stored.window):
        return stored
    fallen = tuple(fallen_out(turns, window_tokens))
    return replace(stored, window=turns[len(fallen) :], between=(*stored.between, *fallen))


def _stored_working_memory(
    session: Sequence[DictRow],
    window: Sequence[DictRow],
    state: Sequence[DictRow],
    now: datetime,
    *,
    revived: bool,
) -> WorkingMemory:
    if not session:  # an app may set state before anything is recorded
        return WorkingMemory(state=state_of(state))
    if session[0]["expires_at"] and session[0]["expires_at"] <= now and not revived:
        return WorkingMemory()
    return WorkingMemory(
        window=tuple(interaction_of(row) for row in reversed(window) if row["recent"]),
        between=tuple(interaction_of(row) for row in reversed(window) if not row["recent"]),
        summary=session[0]["summary"],
        summary_through=session[0]["summary_through"],
        summary_sources=tuple(session[0]["summary_sources"]),
        state=state_of(state),
    )


def fallen_out(turns: Sequence[Interaction], window_tokens: int) -> Sequence[Interaction]:
    """Returns the turns (oldest first) that are too old for the window ending with the last.

    It counts as `log.window` does.
    """
    running = 0
    for n, turn in enumerate(reversed(turns)):
        if running >= window_tokens:
            return turns[: len(turns) - n]
        running += turn_tokens(turn.content)
    return ()


def position_of(rows: Sequence[DictRow]) -> Position:
    """Makes a value of a row of `log.position`; zero for an unknown user."""
    if not rows:
        return Position()
    return Position(rows[0]["position"], rows[0]["extracted"], rows[0]["change_seq"])


def state_of(rows: Sequence[DictRow]) -> dict[str, Any]:
    return {row["key"]: row["value"] for row in rows}


def _by_user(incoming: Iterable[Incoming]) -> dict[Scope, list[Incoming]]:
    groups: dict[tuple[str, str], list[Incoming]] = {}
    for item in incoming:
        groups.setdefault(item.key[:2], []).append(item)
    return {Scope(*key): group for key, group in groups.items()}


def _with_outcome(item: Incoming, first: Incoming, row: DictRow) -> DictRow:
    """The outcome of `item`, from the outcome of the first item of the batch with its id."""
    if item is first:
        return row
    held = first.content_hash if row["fate"] == "appended" else row["known_hash"]
    return {**row, "fate": judged(item, held)}


def judged(item: Incoming, held: bytes | None) -> Literal["duplicate", "conflict", "forgotten"]:
    """Classifies an interaction by the content the log has under its id; None means forgotten."""
    if held is None:
        return "forgotten"
    return "duplicate" if item.content_hash == held else "conflict"


def _refuse(rows: Sequence[DictRow]) -> None:
    for outcome, error, said in (
        ("conflict", InteractionConflict, "is in the log with other content"),
        ("forgotten", ForgottenId, "was forgotten and stays forgotten"),
    ):
        ids = [row["interaction_id"] for row in rows if row["fate"] == outcome]
        if ids:
            others = len(rows) - len(ids)
            kept = f"; {others} other interactions were accepted" if others else ""
            raise error(f"interaction {', '.join(map(repr, ids[:5]))} {said}{kept}")
