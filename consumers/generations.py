"""Generations: which set of extractors makes which memories, and who is served which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from psycopg.rows import DictRow

from extractors.protocol import Extractor
from memory.database import Database
from memory.errors import GenerationMismatch


class State(StrEnum):
    """What becomes of a generation: tried beside the live one, serving, or gone."""

    SHADOW = "shadow"
    LIVE = "live"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Generation:
    """All memories made by one set of extractors.

    percent: of the users whom it serves; a shadow's come off the live one's.
    followed: what is recorded goes through it as soon as through the live one.
    extractors: versions by name; empty stands for whatever is installed.
    """

    id: int
    name: str
    state: State
    percent: int
    followed: bool
    extractors: Mapping[str, str]

    def chosen(self, installed: Sequence[Extractor]) -> list[Extractor]:
        """The extractors that derive this generation, of those installed here.

        The live one goes on under other versions of them; a shadow, which is to be compared, does
        not.

        Raises:
            GenerationMismatch: one is not installed, or for a shadow in another version.
        """
        if not self.extractors:
            return list(installed)
        found = [e for e in installed if e.name in self.extractors]
        missing = sorted(set(self.extractors) - {e.name for e in found})
        if missing:
            raise GenerationMismatch(
                f"generation {self.name!r} is made by {missing[0]!r}, which is not installed here"
            )
        for extractor in found:
            made_by = self.extractors[extractor.name]
            if self.state is State.SHADOW and extractor.version != made_by:
                raise GenerationMismatch(
                    f"generation {self.name!r} is made by {extractor.name!r} {made_by!r},"
                    f" installed is {extractor.version!r}; derive that under another name"
                )
        return found


def generation_of(row: DictRow) -> Generation:
    """One row of `generations` as a value."""
    return Generation(
        row["generation"],
        row["name"],
        State(row["state"]),
        row["percent"],
        row["followed"],
        row["extractors"],
    )


async def read_generations(database: Database) -> list[Generation]:
    """Every generation, in the order they were begun."""
    return [generation_of(row) for row in await database.fetch_system("generations.all")]


async def followed_generations(database: Database) -> list[Generation]:
    """Those that new interactions go through: the live one first."""
    kept_up = [g for g in await read_generations(database) if g.followed]
    return sorted(kept_up, key=lambda g: g.state is not State.LIVE)
