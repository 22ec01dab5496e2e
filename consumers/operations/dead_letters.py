"""Lists, shows, redrives and drops dead letters for an operator."""

from base64 import b64decode
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from consumers.ingest.mapping import FieldMapping
from consumers.ingest.reading import Reader
from consumers.ingest.records import Accepted, Reason, RecordCopy
from memory.database import Database
from memory.errors import (
    ForgottenId,
    InteractionConflict,
    QuotaExceeded,
    SensitiveContent,
    TenantRefused,
    TenantSuspended,
    UnlistedTenant,
)
from memory.log.interactions import Log
from memory.log.tenant_policies import TenantPolicies
from memory.settings import Settings

PAGE = 100

_REFUSED: Mapping[type[TenantRefused], Reason] = {
    UnlistedTenant: Reason.UNLISTED_TENANT,
    TenantSuspended: Reason.SUSPENDED_TENANT,
    QuotaExceeded: Reason.OVER_QUOTA,
}


@dataclass(slots=True)
class Redriven:
    """The result of a redrive: letters now in the log, and the reason for each other one.

    forgotten: letters of forgotten ids; nothing is kept of them.
    """

    appended: int = 0
    already_there: int = 0
    forgotten: int = 0
    refused: list[str] = field(default_factory=list)


async def redrive(
    database: Database,
    settings: Settings,
    letters: Sequence[int] | None,
    *,
    reason: Reason | None = None,
    mapping: FieldMapping | None = None,
) -> Redriven:
    """Reads letters again and appends them at the end of their users' logs; by default all.

    A redriven letter keeps its place and reason, but not its contents. It is safe to repeat: an id
    is appended once.
    """
    done = Redriven()
    log = Log(database, settings)
    policies = TenantPolicies(database)
    async for row in _pages(database, letters, reason):
        if row["redriven_at"] is None:
            await _redriven(database, log, policies, row, mapping, done)
    return done


async def _pages(
    database: Database, letters: Sequence[int] | None, reason: Reason | None
) -> AsyncIterator[dict[str, Any]]:
    after = 0
    params = {"letters": letters, "reason": reason, "limit": PAGE}
    while rows := await database.fetch_system("dead_letters.read", {**params, "after": after}):
        for row in rows:
            yield row
        after = rows[-1]["letter_id"]


async def _redriven(
    database: Database,
    log: Log,
    policies: TenantPolicies,
    row: dict[str, Any],
    mapping: FieldMapping | None,
    done: Redriven,
) -> None:
    letter = row["letter_id"]
    read = Reader(row["topic"], mapping).read(_record(row))
    if not isinstance(read, Accepted):
        done.refused.append(f"{letter}: {read.reason}: {read.detail}")
        return
    try:
        written = await policies.to_write([read.incoming.interaction])
        (receipt,) = await log.append(written, read.trace)
    except SensitiveContent as error:
        done.refused.append(f"{letter}: {Reason.SENSITIVE}: {error}")
        return
    except InteractionConflict as error:
        done.refused.append(f"{letter}: {Reason.CONFLICT}: {error}")
        return
    except TenantRefused as error:
        done.refused.append(f"{letter}: {_REFUSED[type(error)]}: {error}")
        return
    except ForgottenId:
        done.forgotten += 1
        await database.fetch_system(
            "dead_letters.drop", {"letters": [letter], "older_than_days": None}
        )
        return
    done.appended += not receipt.duplicate
    done.already_there += receipt.duplicate
    await database.fetch_system("dead_letters.redriven", {"letter": letter})


def _record(row: dict[str, Any]) -> RecordCopy:
    moment = row["record_time"]
    return RecordCopy(
        row["partition"],
        row["record_offset"],
        -1 if moment is None else int(moment.timestamp() * 1000),
        row["key"],
        row["value"],
        [(name, None if value is None else b64decode(value)) for name, value in row["headers"]],
    )
