"""What compaction tests share: running jobs, tenants' policies, users who hold a view."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import psycopg
from psycopg.types.json import Jsonb

from consumers.compaction import JobReport, compact
from memory.client import MemoryClient
from memory.embedding import Embedder
from memory.models import Memory, Scope
from memory.settings import Settings

TENANT = "northwind"
MARCH = datetime(2026, 3, 2, 9, tzinfo=UTC)


class Compactor(Protocol):
    """Runs jobs and returns their reports: `run("promote", dry_run=True)`."""

    def __call__(self, *jobs: str, **options: Any) -> list[JobReport]: ...


def compactor(settings: Settings, embedder: Embedder) -> Compactor:
    def run(*jobs: str, **options: Any) -> list[JobReport]:
        return asyncio.run(compact(settings, jobs or None, embedder=embedder, **options))

    return run


def set_policy(superuser: psycopg.Connection, tenant: str = TENANT, **policy: Any) -> None:
    superuser.execute(
        "INSERT INTO tenants (tenant_id, policy) VALUES (%s, %s)"
        " ON CONFLICT (tenant_id) DO UPDATE SET policy = excluded.policy",
        (tenant, Jsonb({"jitter": 0, **policy})),
    )


def hold(
    client: MemoryClient,
    users: Sequence[str],
    attribute: str = "prefers.outreach",
    value: str = "short",
    *,
    tenant: str = TENANT,
    context: str | None = None,
    days: int = 0,
    **more: Any,
) -> list[Memory]:
    """Lets each user hold a view, each on an event of its own."""
    return [
        client.remember(
            Scope(tenant, user),
            f"{user} on {attribute}: {value}",
            attribute=attribute,
            value=value,
            context=context,
            occurred_at=MARCH + timedelta(days=days, minutes=n),
            **more,
        )
        for n, user in enumerate(users)
    ]


def named(count: int, start: int = 1) -> list[str]:
    return [f"user-{n}" for n in range(start, start + count)]


def shared(superuser: psycopg.Connection, tenant: str = TENANT) -> list[tuple[str, int]]:
    """The collective tier: texts with published counts."""
    rows = superuser.execute(
        "SELECT text, support FROM collective_memories WHERE tenant_id = %s ORDER BY memory_id",
        (tenant,),
    )
    return [(row[0], row[1]) for row in rows.fetchall()]


Query = Callable[[str], list[tuple[Any, ...]]]


def as_client(connection: psycopg.Connection, tenant: str, user: str) -> Query:
    """Any SQL as the client's role with one user bound, each statement in its own transaction."""

    def query(statement: str) -> list[tuple[Any, ...]]:
        with connection.transaction():
            connection.execute("SET LOCAL ROLE memory_client")
            connection.execute(
                "SELECT set_config('memory.tenant_id', %s, true),"
                " set_config('memory.user_id', %s, true)",
                (tenant, user),
            )
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    return query
