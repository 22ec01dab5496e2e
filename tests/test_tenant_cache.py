"""What was read of a tenant is kept for a while, and the oldest makes room."""

import pytest

from memory import tenant_cache
from memory.tenant_cache import TenantCache


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(tenant_cache, "monotonic", lambda: now[0])
    return now


def test_a_value_is_fresh_until_its_time_is_over_and_the_last_one_after(
    clock: list[float],
) -> None:
    cache: TenantCache[str] = TenantCache()
    assert cache.fresh("acme") is cache.last("acme") is None
    cache.keep("acme", "mask")
    clock[0] += tenant_cache.SECONDS - 1
    assert cache.fresh("acme") == "mask"
    clock[0] += 1
    assert cache.fresh("acme") is None
    assert cache.last("acme") == "mask"
    cache.keep("acme", "keep")
    assert cache.fresh("acme") == "keep"


def test_what_was_kept_longest_ago_makes_room(clock: list[float]) -> None:
    cache: TenantCache[int] = TenantCache(most=2)
    cache.keep("a", 1)
    cache.keep("b", 2)
    cache.keep("a", 3)
    cache.keep("c", 4)
    assert [cache.last(tenant) for tenant in "abc"] == [3, None, 4]
    assert clock == [100.0]
