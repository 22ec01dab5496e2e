"""How one process ingests."""

import os
import socket
from dataclasses import dataclass, field

from consumers.ingest.mapping import FieldMapping

GROUP = "experiential-memory"


def _this_process() -> str:
    return f"{socket.gethostname()}/{os.getpid()}"


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How one process ingests.

    group: processes of one group share the topic's partitions.
    instance_id: makes this a static member, whose partitions wait for it while it restarts.
    drain: ends once this process's partitions are read to their end.
    accept_loss: goes on where the topic begins now, where it does not go on where the log stands.
    owner: what positions say of who has them.
    """

    group: str = GROUP
    instance_id: str | None = None
    mapping: FieldMapping | None = None
    drain: bool = False
    accept_loss: bool = False
    owner: str = field(default_factory=_this_process)
