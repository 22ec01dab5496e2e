"""Applies tenants' policies on secrets and personal data to a batch, before it is written.

Nothing of what a policy refuses or masks in the log enters the store: not by the log, and not by
the copy that a dead letter keeps.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from consumers.ingest.records import Accepted, Reason, Record, RecordCopy, RecordOwner, Rejected
from consumers.ingest.staging import staged_row
from consumers.ingest.store import Batch, IngestStore, OffsetRange
from memory.errors import InteractionTooLarge, SensitiveContent
from memory.log.envelope import incoming
from memory.privacy.interactions import masked_value
from memory.privacy.policy import KEEPS_ALL, SensitivePolicy
from memory.tenant_cache import TenantCache


class Screening:
    """The policies of the tenants that a session meets, each kept for a while."""

    def __init__(self) -> None:
        self._known: TenantCache[SensitivePolicy] = TenantCache()

    def screened(self, store: IngestStore, batch: Batch) -> Batch:
        """Returns the batch as it may be written; the same one if no tenant has a policy."""
        tenants = {*batch.tenants, *_owners(batch.ranges)}
        known = self._of(store, tenants)
        policies = {tenant: policy for tenant, policy in known.items() if policy}
        if not policies:
            return batch
        return Batch.of([_screened(range_, policies) for range_ in batch.ranges])

    def _of(self, store: IngestStore, tenants: set[str]) -> dict[str, SensitivePolicy]:
        fresh = {tenant: self._known.fresh(tenant) for tenant in tenants}
        known = {tenant: policy for tenant, policy in fresh.items() if policy is not None}
        if unknown := sorted(tenants - known.keys()):
            read = store.sensitive(unknown)
            for tenant, policy in read.items():
                self._known.keep(tenant, policy)
            known |= read
        return known


def _owners(ranges: Sequence[OffsetRange]) -> Iterator[str]:
    for range_ in ranges:
        for rejected in range_.rejected:
            if rejected.whose.tenant is not None:
                yield rejected.whose.tenant


def _screened(range_: OffsetRange, policies: Mapping[str, SensitivePolicy]) -> OffsetRange:
    accepted, rejected = [], [_without(letter, policies) for letter in range_.rejected]
    for entry in range_.accepted:
        policy = policies.get(entry.incoming.interaction.scope.tenant, KEEPS_ALL)
        screened = _entry(entry, policy)
        if isinstance(screened, Accepted):
            accepted.append(screened)
        else:
            rejected.append(_without(screened, policies))
    rejected.sort(key=lambda letter: letter.record.offset)
    return replace(range_, accepted=accepted, rejected=rejected)


def _entry(entry: Accepted, policy: SensitivePolicy) -> Accepted | Rejected:
    """What becomes of a message that may enter the log as far as its form goes."""
    interaction = entry.incoming.interaction
    try:
        written = policy.to_write(interaction)
    except SensitiveContent as error:
        return entry.rejected(Reason.SENSITIVE, str(error))
    if written is interaction:
        return entry
    try:
        masked = incoming(written)
    except InteractionTooLarge as error:  # a masked character takes more bytes than most
        return entry.rejected(Reason.OVERSIZE, error.fault)
    kept = _masked(entry.record, policy, _owner(entry))
    return Accepted(kept, masked, entry.trace, staged_row(masked, entry.trace))


def _owner(entry: Accepted) -> RecordOwner:
    return entry.rejected(Reason.SENSITIVE, "").whose


def _without(letter: Rejected, policies: Mapping[str, SensitivePolicy]) -> Rejected:
    """The letter with a copy that holds nothing of what its tenant wants written nowhere."""
    policy = policies.get(letter.whose.tenant or "", KEEPS_ALL)
    if not policy.never_written:
        return letter
    return replace(letter, record=_masked(letter.record, policy, letter.whose))


def _masked(record: Record, policy: SensitivePolicy, whose: RecordOwner) -> RecordCopy:
    names = {name for name in (whose.tenant, whose.user, whose.session, whose.id) if name}

    def masked(value: bytes | None) -> bytes | None:
        return None if value is None else _masked_bytes(value, policy, names)

    return RecordCopy(
        record.partition,
        record.offset,
        record.timestamp,
        masked(record.key),
        masked(record.value),
        [(name, masked(value)) for name, value in record.headers],
    )


def _masked_bytes(value: bytes, policy: SensitivePolicy, names: set[str]) -> bytes:
    """The value with its texts masked, as JSON or else as one text; itself if nothing is found."""
    try:
        said = json.loads(value)
    except (ValueError, RecursionError):
        said = value.decode(errors="replace")
        new = masked_value(said, policy.never_written, names, policy.more)
        return value if new == said else new.encode()
    try:
        new = masked_value(said, policy.never_written, names, policy.more)
    except RecursionError:
        return b""
    return value if new == said else json.dumps(new, ensure_ascii=False).encode(errors="replace")
