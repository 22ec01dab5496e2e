"""Defines the options of an ingesting process."""

import os
import socket
from dataclasses import dataclass, field

from consumers.ingest.mapping import FieldMapping


def _this_process() -> str:
    return f"{socket.gethostname()}/{os.getpid()}"


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """The options of an ingesting process.

    group: processes of one group share the topic's partitions; None is the store's own group.
    instance_id: makes this a static member, whose partitions wait for it while it restarts.
    drain: stop once this process's partitions are read to their end.
    accept_loss: if the topic does not continue at the log's position, continue at its beginning.
    owner: the name of this process in the positions.
    """

    group: str | None = None
    instance_id: str | None = None
    mapping: FieldMapping | None = None
    drain: bool = False
    accept_loss: bool = False
    owner: str = field(default_factory=_this_process)
