"""The registry of generations: their extractors, their states, and the users they serve.

    begun ──► shadow ──► serves 1..100 % of the users ──► live ──► shadow, kept up ──► retired
                 ▲                    │
                 └───── rollback ─────┘

Every move is one row, or two in one transaction. Nothing is deleted before `retire`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from consumers.runtime.tenants import NOBODY, tenants, users
from extractors.language_model.ledger import AsksModels
from extractors.protocol import Extractor
from memory.database import Database
from memory.errors import GenerationMismatch, IllegalMove, UnknownGeneration
from memory.models import Scope

WHOLE = 100

DELETED_AT_ONCE = 1_000
"""Memories of a retired generation that are removed in one transaction."""


class State(StrEnum):
    """The state of a generation: a shadow beside the live one, live, or retired."""

    SHADOW = "shadow"
    LIVE = "live"
    RETIRED = "retired"


def unreplaced(installed: Sequence[Extractor]) -> list[Extractor]:
    """Returns the installed extractors without those that another one replaces."""
    asking = [e for e in installed if isinstance(e, AsksModels)]
    replaced = frozenset(name for e in asking for name in e.replaces)
    return [e for e in installed if e.name not in replaced]


@dataclass(frozen=True, slots=True)
class Generation:
    """All memories made by one set of extractors.

    percent: the share of users it serves; a shadow's share is taken from the live one's.
    followed: new interactions go through it as soon as through the live one.
    extractors: versions by name; empty stands for all installed ones.
    """

    id: int
    name: str
    state: State
    percent: int
    followed: bool
    extractors: Mapping[str, str]

    def chosen(self, installed: Sequence[Extractor]) -> list[Extractor]:
        """Chooses the extractors that derive this generation, from those installed here.

        The live generation continues with other versions of them; a shadow, which is to be
        compared, does not. If all installed ones are meant, those that another one replaces are
        left out.

        Raises:
            GenerationMismatch: one is not installed, or for a shadow in another version.
        """
        if not self.extractors:
            return unreplaced(installed)
        found = named(installed, list(self.extractors), f"generation {self.name!r}")
        for extractor in found:
            made_by = self.extractors[extractor.name]
            if self.state is State.SHADOW and extractor.version != made_by:
                raise GenerationMismatch(
                    f"generation {self.name!r} is made by {extractor.name!r} {made_by!r},"
                    f" but {extractor.version!r} is installed; use another name for that"
                )
        return found


@dataclass(frozen=True, slots=True)
class Coverage:
    """Counts of users: with a log, derived by a generation, and derived as far as the live one."""

    users: int = 0
    derived: int = 0
    level: int = 0

    def __add__(self, other: "Coverage") -> "Coverage":
        return Coverage(
            self.users + other.users, self.derived + other.derived, self.level + other.level
        )


def named(installed: Sequence[Extractor], names: Sequence[str], whose: str) -> list[Extractor]:
    """Returns the installed extractors with these names, in the order in which they run.

    Raises:
        GenerationMismatch: one is not installed here.
    """
    found = [e for e in installed if e.name in names]
    missing = sorted(set(names) - {e.name for e in found})
    if missing:
        known = ", ".join(sorted(e.name for e in installed))
        raise GenerationMismatch(
            f"{whose} is made by {missing[0]!r}, which is not installed here; installed: {known}"
        )
    return found


def generation_of(row: DictRow) -> Generation:
    return Generation(
        row["generation"],
        row["name"],
        State(row["state"]),
        row["percent"],
        row["followed"],
        row["extractors"],
    )


async def read_generations(database: Database) -> list[Generation]:
    """Returns every generation, in the order they were begun."""
    return [generation_of(row) for row in await database.fetch_system("generations.all")]


def shares_of(generations: Sequence[Generation]) -> dict[str, int]:
    """Returns the percentage of users that each generation serves, by name; the live one first."""
    taken = {g.name: g.percent for g in generations if g.state is State.SHADOW and g.percent}
    live = {g.name: WHOLE - sum(taken.values()) for g in generations if g.state is State.LIVE}
    return {**live, **taken}


async def followed_generations(database: Database) -> list[Generation]:
    """Returns the generations that new interactions go through, the live one first."""
    kept_up = [g for g in await read_generations(database) if g.followed]
    return sorted(kept_up, key=lambda g: g.state is not State.LIVE)


async def find_generation(database: Database, name: str) -> Generation:
    """Returns the generation of this name.

    Raises:
        UnknownGeneration: there is none.
    """
    known = await read_generations(database)
    for generation in known:
        if generation.name == name:
            return generation
    names = ", ".join(repr(g.name) for g in known if g.state is not State.RETIRED)
    raise UnknownGeneration(f"no generation is called {name!r}; generations: {names}")


async def begin(database: Database, name: str, extractors: Mapping[str, str]) -> Generation:
    """Returns the shadow of this name; adds it if there is none.

    Raises:
        IllegalMove: the name belongs to the live generation, or to a retired one.
        GenerationMismatch: the shadow has other extractors, or other versions of them.
    """
    params = {"name": name, "extractors": Jsonb(dict(extractors))}
    await database.fetch_system("generations.begin", params)
    generation = await find_generation(database, name)
    if generation.state is not State.SHADOW:
        raise IllegalMove(f"generation {name!r} is {generation.state}; use another name")
    if generation.extractors and dict(generation.extractors) != dict(extractors):
        raise GenerationMismatch(
            f"generation {name!r} is made by {extractor_list(generation.extractors)}, not by"
            f" {extractor_list(extractors)}; derive that under another name"
        )
    return generation


async def pin(database: Database, extractors: Mapping[str, str]) -> None:
    """Fixes the live generation's extractors, whatever else is installed later.

    Raises:
        IllegalMove: other extractors were fixed before.
    """
    params = {"extractors": Jsonb(dict(extractors))}
    if not await database.fetch_system("generations.pin", params):
        raise IllegalMove(
            f"the live generation is not made by {extractor_list(extractors)};"
            " derive that as a shadow"
        )


async def coverage(
    database: Database, generation: Generation, tenant: str | None = None
) -> Coverage:
    """Counts how far a generation beside the live one has come, in one tenant or in all."""
    total = Coverage()
    async for each in tenants(database, tenant):
        params = {"generation": generation.id}
        rows = await database.fetch(Scope(each, NOBODY), "generations.coverage", params)
        total += Coverage(**rows[0])
    return total


async def fallback_sessions(database: Database, tenant: str | None = None) -> dict[str, int]:
    """Counts the sessions that were read without the model that is configured, by generation."""
    found: Counter[str] = Counter()
    async for each in tenants(database, tenant):
        for row in await database.fetch(Scope(each, NOBODY), "models.fallbacks", {"user": ""}):
            found[row["generation"]] += row["sessions"]
    return dict(found)


async def follow(database: Database, name: str) -> Generation:
    """Sends new interactions through a shadow, too; `Replay` derives the earlier ones.

    Raises:
        UnknownGeneration: there is none of this name.
        IllegalMove: it is not a shadow, or another shadow already serves.
    """
    generation = await find_generation(database, name)
    if generation.state is not State.SHADOW:
        raise IllegalMove(f"generation {name!r} is {generation.state}, not a shadow")
    for other in await read_generations(database):
        if other.state is State.SHADOW and other.percent and other.name != name:
            raise IllegalMove(
                f"generation {other.name!r} serves {other.percent} % of the users;"
                " run `memory rollback` or `memory promote` first"
            )
    await database.fetch_system("generations.follow", {"name": name, "followed": True})
    return await find_generation(database, name)


async def unfollow(database: Database, name: str) -> None:
    """Stops keeping up a shadow that serves nobody, until it is replayed again."""
    await database.fetch_system("generations.follow", {"name": name, "followed": False})


async def serve(database: Database, name: str, percent: int) -> Generation:
    """Lets a shadow that is kept up serve `percent` of the users; one row.

    Raises:
        IllegalMove: the percentage is outside 1 to 100, or the shadow is not kept up.
    """
    checked_percent(percent)
    params = {"name": name, "percent": percent}
    if not await database.fetch_system("generations.shift", params):
        raise IllegalMove(f"generation {name!r} is not a shadow that is kept up")
    return await find_generation(database, name)


def checked_percent(percent: int) -> None:
    """Raises IllegalMove for a percentage that no shift can have."""
    if not 0 < percent <= WHOLE:
        raise IllegalMove(f"percent must be 1 to 100, got {percent!r}; `memory rollback` is for 0")


async def roll_back(database: Database) -> Generation:
    """Gives every user back to the live generation, at once; the shadow stays as it is.

    Raises:
        IllegalMove: no shift is active.
    """
    rows = await database.fetch_system("generations.rollback")
    if not rows:
        raise IllegalMove(
            "no shift is active; after `memory promote`, `memory shift` to the former generation"
            " goes back"
        )
    return await find_generation(database, rows[0]["name"])


async def promote(database: Database, name: str) -> tuple[Generation, Generation]:
    """Makes a shadow that serves all users the live generation; returns it and the former one.

    The former one is kept up as a shadow, so that going back stays possible until it is retired.

    Raises:
        UnknownGeneration: there is none of this name.
        IllegalMove: it does not serve all users.
    """
    generation = await find_generation(database, name)
    refused = IllegalMove(
        f"generation {name!r} is {generation.state} and serves {generation.percent} % of the users;"
        " `memory shift` a shadow to 100 % first"
    )
    if generation.state is not State.SHADOW or generation.percent != WHOLE:
        raise refused
    async for tenant in tenants(database):
        await database.fetch(Scope(tenant, NOBODY), "generations.level")
    # No tenant's rows are touched, so the scope only has to be one.
    async with database.transaction(Scope(NOBODY, NOBODY)) as transaction:
        before = await transaction.fetch("generations.step_down", {})
        if not await transaction.fetch("generations.step_up", {"name": name}):
            raise refused
    return (
        await find_generation(database, name),
        await find_generation(database, before[0]["name"]),
    )


@dataclass(slots=True)
class Retired:
    """The result of retiring a generation."""

    generation: str
    memories: int = 0
    users: int = 0


async def retire(
    database: Database, name: str, progress: Callable[[Retired], None] = lambda _: None
) -> Retired:
    """Takes a shadow out of use and removes its memories in batches; run it again to continue.

    Raises:
        UnknownGeneration: there is none of this name.
        IllegalMove: it is live, or serves some users.
    """
    generation = await find_generation(database, name)
    if not await database.fetch_system("generations.retire", {"name": name}):
        raise IllegalMove(
            f"generation {name!r} is {generation.state} and serves {generation.percent} % of the"
            " users; run `memory rollback` or promote another generation first"
        )
    done, removed = Retired(name), -1
    while removed != done.memories:  # a worker that had not heard of it may have written meanwhile
        removed, done.users = done.memories, 0
        async for tenant in tenants(database):
            async for scope in users(database, tenant):
                done.memories += await _removed(database, scope, generation.id)
                done.users += 1
                progress(done)
    return done


async def _removed(database: Database, scope: Scope, generation: int) -> int:
    params = {"generation": generation, "limit": DELETED_AT_ONCE}
    removed = 0
    while rows := await database.fetch(scope, "generations.delete_memories", params):
        removed += len(rows)
    await database.fetch(scope, "generations.delete_traces", {"generation": generation})
    return removed


def extractor_list(extractors: Mapping[str, str]) -> str:
    """Lists extractors with their versions, in the order of their names."""
    made_by = ", ".join(f"{name} {version}" for name, version in sorted(extractors.items()))
    return made_by or "whatever is installed"
