"""The store as it is in the end, read past row-level security and in one transaction."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import IsolationLevel
from psycopg.rows import DictRow, dict_row

from benchmarks.chaos.stopping import Held
from memory.log.rows import interaction_of
from memory.models import Interaction

User = tuple[str, str]

POSITIONS = "SELECT partition, COALESCE(next_offset, 0) AS next_offset FROM partition_offsets"

STATEMENTS = {
    "interactions": "SELECT * FROM interactions ORDER BY tenant_id, user_id, position",
    "users": "SELECT * FROM users ORDER BY tenant_id, user_id",
    "sessions": "SELECT * FROM sessions ORDER BY tenant_id, user_id, session_id",
    "progress": "SELECT p.* FROM session_progress p JOIN generations g USING (generation)"
    " WHERE g.state = 'live' ORDER BY p.tenant_id, p.user_id, p.session_id",
    "memories": "SELECT m.tenant_id, m.user_id, m.memory_id, m.belief_key, m.extractor, m.text,"
    " m.value, m.valid_from, m.valid_to, m.believed_to, m.support, m.supersedes,"
    " (SELECT count(*) FROM embeddings e WHERE e.tenant_id = m.tenant_id"
    " AND e.user_id = m.user_id AND e.memory_id = m.memory_id) AS vectors"
    " FROM memories m ORDER BY m.tenant_id, m.user_id, m.memory_id",
    "evidence": "SELECT tenant_id, user_id, memory_id, interaction_id, start_offset, end_offset,"
    " quote FROM evidence ORDER BY tenant_id, user_id, memory_id, interaction_id, start_offset",
    "assertions": "SELECT tenant_id, user_id, belief_key, assertion_id FROM assertions",
    "dead": "SELECT partition, record_offset, value FROM dead_letters"
    " ORDER BY partition, record_offset",
    "positions": POSITIONS,
    "places": "SELECT tenant_id, user_id, last_seq, published_seq FROM change_cursors",
}

APPLIED = (
    "SELECT count(*) = 0 FROM unnest(%s::int[], %s::bigint[]) AS held(partition, end_offset)"
    " LEFT JOIN partition_offsets p USING (partition)"
    " WHERE COALESCE(p.next_offset, 0) < held.end_offset"
)
EXTRACTED = (
    "SELECT COALESCE(max(p.ordinal), 0) >= %s"
    " FROM session_progress p JOIN generations g USING (generation)"
    " JOIN users u USING (tenant_id, user_id)"
    " WHERE g.state = 'live' AND (p.tenant_id, p.user_id, p.session_id) = (%s, %s, %s)"
    " AND u.lease_token IS NULL"
)


@dataclass(frozen=True)
class Message:
    """A message of a topic: where it stands, and its bytes."""

    partition: int
    offset: int
    value: bytes


@dataclass
class Snapshot:
    """Rows of every table that is checked, each in the order of its key.

    ends: by partition, where the topic ends; positions: up to where it was applied; dead: what
    was turned away; topic: what stands in it; changes: what the stream of changes tells. Empty
    where Postgres is the bus.
    """

    interactions: list[Interaction] = field(default_factory=list)
    users: list[DictRow] = field(default_factory=list)
    sessions: list[DictRow] = field(default_factory=list)
    progress: list[DictRow] = field(default_factory=list)
    memories: list[DictRow] = field(default_factory=list)
    evidence: list[DictRow] = field(default_factory=list)
    assertions: list[DictRow] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)
    dead: list[Message] = field(default_factory=list)
    topic: list[Message] = field(default_factory=list)
    changes: list[Message] = field(default_factory=list)
    places: list[DictRow] = field(default_factory=list)

    def by_user(self) -> Iterator[tuple[User, list[Interaction]]]:
        """Each user's interactions, in the order of the log."""
        found: dict[User, list[Interaction]] = {}
        for interaction in self.interactions:
            scope = interaction.scope
            found.setdefault((scope.tenant, scope.user), []).append(interaction)
        yield from found.items()


def read_snapshot(url: str) -> Snapshot:
    """Reads the store as the server's superuser; what the broker knows is not filled in."""
    with psycopg.connect(url) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        return snapshot_of(connection)


def snapshot_of(connection: psycopg.Connection) -> Snapshot:
    """As `read_snapshot`, as an open transaction sees it."""
    connection.execute("SET LOCAL search_path TO memory, public")
    rows: dict[str, Any] = {}
    with connection.cursor(row_factory=dict_row) as cursor:
        for name, statement in STATEMENTS.items():
            rows[name] = cursor.execute(statement.encode()).fetchall()
    rows["interactions"] = [interaction_of(row) for row in rows["interactions"]]
    rows["positions"] = {row["partition"]: row["next_offset"] for row in rows["positions"]}
    rows["dead"] = [
        Message(row["partition"], row["record_offset"], row["value"]) for row in rows["dead"]
    ]
    return Snapshot(**rows)


def read_positions(url: str) -> dict[int, int]:
    """By partition, up to where the topic was applied."""
    with psycopg.connect(url) as connection:
        connection.execute("SET search_path TO memory, public")
        return dict(connection.execute(POSITIONS.encode()).fetchall())


def is_done(url: str, held: Held) -> bool:
    """Whether what a process holds in its hands was applied, or extracted, by another.

    The one that extracted has given the user back: what comes late then meets nobody at work, whom
    a change under its hands would stop, or who would be stopped by it.
    """
    with psycopg.connect(url) as connection:
        connection.execute("SET search_path TO memory, public")
        if "ends" in held:
            ends = {int(partition): end for partition, end in held["ends"].items()}
            found = connection.execute(APPLIED.encode(), (list(ends), list(ends.values())))
        else:
            found = connection.execute(EXTRACTED.encode(), (held["ordinal"], *held["session"]))
        ((done,),) = found.fetchall()
    return bool(done)
