"""Names the consumer group of a store.

Processes of one group share a topic's partitions, so two stores in one group would each get a part
of the messages. A group is therefore named by the identity that the store was given when it was
made, and by the place where it lies: a dump restored elsewhere keeps the identity and has another
place. A physical copy has both; `memory store new-identity` tells it apart.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

PREFIX = "experiential-memory"


def group_of(row: Mapping[str, Any]) -> str:
    """Returns the group of the store with this row of `identity.read`.

    It is the prefix, 8 hexadecimal digits of the identity, and 8 of a digest of the place.
    """
    place = hashlib.sha256(str(row["place"]).encode()).hexdigest()
    return f"{PREFIX}.{str(row['identity'])[:8]}-{place[:8]}"
