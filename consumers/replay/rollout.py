"""Shifts users to another generation, and tells those who follow the change stream."""

from collections.abc import AsyncIterator, Callable

from consumers.changes import stream_state, tell
from consumers.extraction import Worker
from consumers.generations.registry import (
    WHOLE,
    Generation,
    State,
    checked_percent,
    coverage,
    find_generation,
    follow,
    roll_back,
    serve,
    unfollow,
)
from consumers.replay.replay import Pace, Replay, Replayed
from consumers.runtime.tenants import NOBODY, PAGE, tenants
from memory.database import Database
from memory.errors import IllegalMove
from memory.models import Scope
from memory.settings import Settings

NEVER_DERIVED = 0.01
"""The share of users that a shift derives by itself; more need a replay first."""

FEW_USERS = 20
"""The number of users that it derives by itself in any case."""


async def shift(
    worker: Worker,
    settings: Settings,
    name: str,
    percent: int,
    *,
    pace: Pace | None = None,
    progress: Callable[[Replayed], None] = lambda _: None,
) -> tuple[Generation, Replayed]:
    """Lets a shadow serve `percent` of the users, once it has caught up with the live generation.

    From then on both are kept up. Raising the percentage moves nobody back.

    Raises:
        UnknownGeneration: there is none of this name.
        IllegalMove: it is not a shadow, was not replayed, or cannot catch up; or another one
            serves.
        GenerationMismatch: its extractors are not those of this process.
    """
    database = worker.database
    checked_percent(percent)
    generation = await find_generation(database, name)
    if generation.state is State.SHADOW:
        await _check_replayed(database, generation)
    replay = Replay(database, worker, generation, settings, pace=pace, progress=progress)
    await follow(database, name)
    if (await replay.run()).left:
        if not generation.followed:
            await unfollow(database, name)
        raise IllegalMove(
            f"generation {name!r} cannot catch up with {replay.done.left:,} users: other"
            " workers hold them, or their sessions fail; `memory status` lists those set aside"
        )
    shifted = await serve(database, name, percent)
    # Workers that had not heard of it extracted for the live generation alone until then.
    await replay.run()
    await _retell(database, generation.percent, percent)
    return shifted, replay.done


async def _check_replayed(database: Database, shadow: Generation) -> None:
    found = await coverage(database, shadow)
    if found.users - found.derived > max(FEW_USERS, NEVER_DERIVED * found.users):
        raise IllegalMove(
            f"generation {shadow.name!r} has derived {found.derived:,} of {found.users:,} users;"
            f" run `memory replay --generation {shadow.name}` first"
        )


async def take_back(database: Database) -> Generation:
    """Gives every user back to the live generation at once; returns the one that served some.

    Raises:
        IllegalMove: no shift is active.
    """
    before = await roll_back(database)
    await _retell(database, 0, WHOLE)
    return before


async def _retell(database: Database, one: int, other: int) -> None:
    """Publishes the current beliefs of the users who moved between two percentages again."""
    if not (await stream_state(database)).enabled:
        return
    async for scope in _between(database, min(one, other), max(one, other)):
        await tell(database, scope)


async def _between(database: Database, low: int, high: int) -> AsyncIterator[Scope]:
    async for tenant in tenants(database):
        params = {"low": low, "high": high, "limit": PAGE}
        after = ""
        while rows := await database.fetch(
            Scope(tenant, NOBODY), "generations.between", {**params, "after": after}
        ):
            for row in rows:
                yield Scope(tenant, row["user_id"])
            after = rows[-1]["user_id"]
