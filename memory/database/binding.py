"""The binding: what the first statements of each transaction set, and end with it."""

from enum import StrEnum

from memory.database import queries
from memory.database.pipeline import Call, Calls, Rows
from memory.settings import Settings


class DatabaseRole(StrEnum):
    """The role of a process: an app's client, or a worker that runs the loops and jobs."""

    CLIENT = "memory_client"
    WORKER = "memory_worker"


class Binding:
    """The first statements of each transaction: they make a connection act as one role.

    What they set ends with the transaction, so a pooler may hand the connection on.
    """

    def __init__(self, settings: Settings, role: DatabaseRole, idle: float | None = None) -> None:
        """Ends a transaction whose client is idle for `idle` seconds; unset: as a statement."""
        longest = settings.statement_timeout
        self._role = role
        self._params = {
            "role": role.value,
            "statement_timeout": _milliseconds(longest),
            "idle_timeout": _milliseconds(longest if idle is None else idle),
        }

    def bind(self, tenant: str = "", user: str = "", name: str = "scope.bind") -> Call:
        """Returns the call that binds a transaction; without names it sees no tenant's rows."""
        return name, {"tenant": tenant, "user": user, **self._params}

    def admission(self, tenant: str, calls: Calls = ()) -> list[Call]:
        """Returns the call that refuses a client whose tenant is not served, if `calls` need it.

        Workers go on: an operator's jobs concern tenants that are suspended too.
        """
        checked = bool(calls) and all(queries.admits_itself(name) for name, _ in calls)
        if self._role is DatabaseRole.WORKER or checked:
            return []
        return [("scope.admit", {"tenant": tenant})]

    def alone(self, bind: Call, calls: Calls) -> list[Call]:
        """Returns `calls` as a transaction of their own, which `of` the rows have to go through."""
        return [("scope.isolate", {}), bind, *calls]

    @staticmethod
    def of(rows: list[Rows]) -> list[Rows]:
        """Returns the rows of the calls that `alone` was given."""
        return rows[2:]


def _milliseconds(seconds: float) -> str:
    return f"{int(seconds * 1000)}ms"
