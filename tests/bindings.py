"""Binds a test's own transaction as the product binds one of its own."""

from typing import Any

import psycopg

from memory.database import Binding, DatabaseRole, queries
from memory.models import Scope
from memory.settings import Settings


def bind(
    connection: psycopg.Connection[Any],
    scope: Scope,
    name: str = "scope.bind",
    role: DatabaseRole = DatabaseRole.CLIENT,
) -> None:
    """Binds the open transaction to a user, as one of the statements `scope.bind…` does."""
    bound, params = Binding(Settings(), role).bind(scope.tenant, scope.user, name)
    connection.execute(queries.statement(bound), params)
