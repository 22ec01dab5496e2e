"""`memory store`: shows and renews the identity by which a store names its consumer group."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import click
from rich.text import Text

from consumers.cli import output
from consumers.cli.options import configured, example, json_option, run
from consumers.ingest.group import group_of
from consumers.store import for_viewing, worker_database
from memory.settings import Settings


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """The identity of a store, and the consumer group that follows from it."""

    identity: UUID
    made_at: datetime
    group: str


@click.group("store", epilog=example("memory store identity", "memory store new-identity"))
def store_command() -> None:
    """Show or renew the identity of the store (docs/kafka.md)."""


@store_command.command("identity")
@json_option
def identity_command(as_json: bool) -> None:
    """Show the store's identity and its consumer group."""
    _show(run(_asked, for_viewing(configured()), "identity.read"), as_json)


@store_command.command("new-identity")
@json_option
def new_identity_command(as_json: bool) -> None:
    """Give the store a new identity, and so a consumer group of its own.

    For a physical copy of a store that goes on elsewhere. Stop `memory ingest` on the copy first.
    """
    _show(run(_asked, configured(), "identity.renew"), as_json)


async def _asked(
    settings: Settings, statement: Literal["identity.read", "identity.renew"]
) -> StoreIdentity:
    async with worker_database(settings) as database:
        (row,) = await database.fetch_system(statement)
    return StoreIdentity(row["identity"], row["made_at"], group_of(row))


def _show(found: StoreIdentity, as_json: bool) -> None:
    lines = f"identity {found.identity}, of {found.made_at:%Y-%m-%d %H:%M}\ngroup {found.group}"
    output.answer(found, as_json, lambda: Text(lines))
