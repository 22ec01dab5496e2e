"""Keeps for some seconds what was read of tenants, so that not every call reads it."""

from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")

SECONDS = 10.0
"""How long what an operator set for a tenant is kept: a change is seen everywhere within it."""

MOST_TENANTS = 10_000


class TenantCache(Generic[T]):
    """One value for each tenant; those kept longest ago make room for more than `most`."""

    def __init__(self, most: int = MOST_TENANTS) -> None:
        self._most = most
        self._kept: dict[str, tuple[float, T]] = {}

    def fresh(self, tenant: str) -> T | None:
        """Returns the value of a tenant; None if there is none, or its time is over."""
        until, value = self._kept.get(tenant, (None, None))
        return value if until is not None and monotonic() < until else None

    def last(self, tenant: str) -> T | None:
        """Returns the value of a tenant, however old."""
        return self._kept.get(tenant, (None, None))[1]

    def keep(self, tenant: str, value: T) -> None:
        """Keeps a value for `SECONDS` from now."""
        self._kept.pop(tenant, None)
        self._kept[tenant] = monotonic() + SECONDS, value
        if len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
