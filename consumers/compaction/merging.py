"""`merge`: merges memories of a user that say the same, and unites their evidence."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from psycopg.rows import DictRow

from consumers.compaction.work import Work
from memory.beliefs.assertions import CONFIDENCE_CEILING
from memory.database import Transaction
from memory.errors import ConcurrentWrite
from memory.models import Origin

NEAR = 0.97
"""The least cosine between two duplicates with different wording."""

OVERLAP = 0.8
"""The least share of common words between them (Jaccard)."""

DECISIVE = frozenset(
    (
        "no", "not", "never", "without", "none", "neither", "nor", "cannot", "can't", "don't",
        "doesn't", "yes",
    )
)  # fmt: skip
"""Words that reverse a sentence: two memories that differ in one of them are not the same."""

CONNECTING = frozenset(
    ("a", "an", "and", "at", "by", "for", "from", "in", "my", "of", "on", "the", "to", "with")
)
"""Words of a value that may change without changing its meaning."""

_WORDS = re.compile(r"[\w'+#]+")
_CLEANED = re.compile(r"[^\w+#]+")


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Memories under one belief key of one user; `kept` is the newest and absorbs the rest."""

    user: str
    generation: int
    belief_key: bytes
    kept: int
    value: str
    older: tuple[int, ...]
    values: tuple[str, ...]


async def merge(work: Work) -> None:
    """Closes near-duplicates in favour of the newest, and unites evidence, support and validity.

    From then on the assertions of the older ones support the newest's value, so the next fold also
    gives one belief.
    """
    embedder_id = await work.long_term.embedder_id()
    async for users in work.users():
        params = {"users": users, "embedder_id": embedder_id, "apart": 1 - NEAR}
        pairs = await work.fetch("compaction.duplicates", params)
        found = list(duplicates(pairs))
        seqs = await work.fetch("compaction.change_seqs", {"users": [d.user for d in found]})
        at = {row["user_id"]: row["change_seq"] for row in seqs}
        for one in found:
            if work.dry_run or await _united(work, one, at):
                work.report.count("memories merged", len(one.older))


def duplicates(pairs: Iterable[DictRow]) -> Iterable[Duplicates]:
    """Groups pairs of a newer and an older memory, newest first within a key, into duplicates."""
    groups: dict[tuple[str, int, bytes, int], list[DictRow]] = {}
    taken: set[tuple[str, int]] = set()
    for pair in pairs:
        user = pair["user_id"]
        if {(user, pair["newer"]), (user, pair["older"])} & taken or not same(pair):
            continue
        taken.add((user, pair["older"]))
        key = (user, pair["generation"], pair["belief_key"], pair["newer"])
        groups.setdefault(key, []).append(pair)
    for (user, generation, belief_key, kept), found in groups.items():
        yield Duplicates(
            user,
            generation,
            belief_key,
            kept,
            found[0]["newer_value"],
            tuple(pair["older"] for pair in found),
            tuple(sorted({pair["older_value"] for pair in found})),
        )


def same(pair: DictRow) -> bool:
    """Returns whether two memories have the same value, or nearly the same words."""
    if cleaned(pair["newer_value"]) == cleaned(pair["older_value"]):
        return True
    if (_words(pair["newer_value"]) ^ _words(pair["older_value"])) - CONNECTING:
        return False  # green tea is not black tea, however alike the sentences are
    newer, older = _words(pair["newer_text"]), _words(pair["older_text"])
    differ = newer ^ older
    decisive = any(word in DECISIVE or any(c.isdigit() for c in word) for word in differ)
    shared = len(newer & older) / max(1, len(newer | older))
    return not decisive and shared >= OVERLAP and pair["cosine"] >= NEAR


def cleaned(value: str) -> str:
    """Returns a value without case, spacing and punctuation, but with `+` and `#` (c++, c#)."""
    return _CLEANED.sub(" ", value.casefold()).strip()


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORDS.findall(text.casefold()))


async def _united(work: Work, found: Duplicates, at: dict[str, int]) -> bool:
    keys = work.keys(found.user)
    key = {**keys, "generation": found.generation, "belief_key": found.belief_key}
    memories = {**keys, "memory": found.kept, "older": list(found.older)}
    try:
        async with work.database.transaction(work.user(found.user)) as transaction:
            await _claim(work, transaction, found.user, at[found.user])
            values = {"value": found.value, "values": list(found.values)}
            await transaction.fetch("compaction.unite_assertions", {**key, **values})
            await transaction.fetch("compaction.unite_evidence", memories)
            united = {**memories, "ceiling": CONFIDENCE_CEILING, "origins": list(Origin)}
            await transaction.fetch("compaction.unite", united)
    except ConcurrentWrite:
        work.report.count("left for next time", len(found.older))
        return False
    at[found.user] += 1
    return True


async def _claim(work: Work, transaction: Transaction, user: str, seq: int) -> None:
    claim = {"from_seq": seq, "to_seq": seq + 1, "forget_seq": None, "lease": None}
    if not await transaction.fetch("long_term.advance", {**work.keys(user), **claim}):
        raise ConcurrentWrite(f"memories of user {user!r} changed meanwhile")
