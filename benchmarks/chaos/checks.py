"""What must hold in the end, each as a function that names the first thing that does not."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice, pairwise
from typing import Any

from benchmarks.chaos.extractors import Digests, Statements
from benchmarks.chaos.snapshot import Snapshot, User
from consumers.extraction.derivation import asserted
from memory.beliefs.assertions import Assertion, assertion_id
from memory.beliefs.consolidation import timeline
from memory.beliefs.planning import by_belief
from memory.models import Interaction, Scope
from memory.trust.origins import TenantTrust

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Expected:
    """What was produced: by user the messages in order, and how often each poison.

    `poison` is None where nothing but messages could be sent.
    """

    messages: Mapping[User, Sequence[Interaction]]
    poison: Mapping[bytes, int] | None = None


TopicCheck = Callable[[Expected, Snapshot], Iterator[str]]


def every_id_is_there_once(expected: Expected, store: Snapshot) -> Iterator[str]:
    """No message is lost, none is there twice, none was made up."""
    wanted = {(*user, m.id) for user, messages in expected.messages.items() for m in messages}
    found = Counter((i.scope.tenant, i.scope.user, i.id) for i in store.interactions)
    yield from (f"{_name(key)} was produced and is not in the log" for key in wanted - set(found))
    yield from (f"{_name(key)} is in the log {n} times" for key, n in found.items() if n > 1)
    yield from (f"{_name(key)} is in the log, unproduced" for key in set(found) - wanted)


def content_is_as_produced(expected: Expected, store: Snapshot) -> Iterator[str]:
    """What is in the log is what was said, where it was said and when."""
    wanted = {(*user, m.id): m for user, messages in expected.messages.items() for m in messages}
    for found in store.interactions:
        said = wanted.get((found.scope.tenant, found.scope.user, found.id))
        if said and _said(said) != _said(found):
            yield f"{found.id!r} was produced as {_said(said)!r} and is {_said(found)!r}"


def positions_have_no_gap(_: Expected, store: Snapshot) -> Iterator[str]:
    """A user's interactions are numbered from 1, and the user's row knows the last number."""
    last = {_user(row): row["position"] for row in store.users}
    for user, log in store.by_user():
        yield from _gaps(f"user {user[1]!r}", "position", [i.position for i in log])
        if log[-1].position != last.get(user):
            yield f"user {user[1]!r} ends at {log[-1].position}, its row at {last.get(user)}"


def ordinals_have_no_gap(_: Expected, store: Snapshot) -> Iterator[str]:
    """A session's interactions are numbered from 1, and the session knows its length."""
    lengths = {(*_user(row), row["session_id"]): row["length"] for row in store.sessions}
    for user, log in store.by_user():
        for session, turns in _by_session(log).items():
            yield from _gaps(f"session {user[1]}/{session}", "ordinal", [i.ordinal for i in turns])
            end, length = turns[-1].ordinal, lengths.get((*user, session))
            if end != length:
                yield f"session {user[1]}/{session} ends at {end}, its row at {length}"


def order_is_as_produced(expected: Expected, store: Snapshot) -> Iterator[str]:
    """Each user's log is in the order in which the user's producer sent it."""
    for user, log in store.by_user():
        place = {m.id: n for n, m in enumerate(expected.messages.get(user, ()))}
        known = [i for i in log if i.id in place]
        for before, after in pairwise(known):
            if place[before.id] > place[after.id]:
                yield f"{before.id!r} stands before {after.id!r}, and was produced after it"


def memories_have_evidence(_: Expected, store: Snapshot) -> Iterator[str]:
    """Every memory rests on something."""
    supported = {_memory(row) for row in store.evidence}
    for row in store.memories:
        if _memory(row) not in supported:
            yield f"{_shown(row)} rests on no evidence"


def evidence_exists_and_is_quoted(_: Expected, store: Snapshot) -> Iterator[str]:
    """Every memory's evidence is in the log, and says what is quoted of it."""
    said = {(i.scope.tenant, i.scope.user, i.id): i.content for i in store.interactions}
    for row in store.evidence:
        source = said.get((*_user(row), row["interaction_id"]))
        what = f"memory {row['memory_id']} of {row['user_id']!r} quotes {row['quote']!r}"
        if source is None:
            yield f"{what} from {row['interaction_id']!r}, which is not in the log"
        elif source[row["start_offset"] : row["end_offset"]] != row["quote"]:
            yield f"{what} from {row['interaction_id']!r}, which says {source!r}"


def memories_have_one_vector(_: Expected, store: Snapshot) -> Iterator[str]:
    """Every memory can be found by its meaning."""
    for row in store.memories:
        if row["vectors"] != 1:
            yield f"{_shown(row)} has {row['vectors']} vectors"


def each_interaction_is_extracted_once(_: Expected, store: Snapshot) -> Iterator[str]:
    """Every interaction was in exactly one of the batches that were committed."""
    digests = {_memory(row) for row in store.memories if row["extractor"] == Digests.name}
    taken = Counter(
        (*_user(r), r["interaction_id"]) for r in store.evidence if _memory(r) in digests
    )
    for row in store.memories:
        if row["extractor"] == Digests.name and row["believed_to"] is not None:
            yield f"{_shown(row)} was committed again"
    for i in store.interactions:
        if (times := taken[i.scope.tenant, i.scope.user, i.id]) != 1:
            yield f"{i.id!r} was extracted {times} times"


def assertions_are_as_folded(_: Expected, store: Snapshot) -> Iterator[str]:
    """What extractors asserted is what they assert of the final log, read in one piece."""
    kept = Counter((*_user(r), r["belief_key"], r["assertion_id"]) for r in store.assertions)
    folded = Counter(
        (*user, key, assertion_id(assertion))
        for user, log in store.by_user()
        for key, assertions in _folded(user, log).items()
        for assertion in assertions
    )
    yield from (f"an assertion of user {key[1]!r} is missing" for key in folded - kept)
    yield from (f"an assertion of user {key[1]!r} has no ground" for key in kept - folded)


def beliefs_are_as_folded(_: Expected, store: Snapshot) -> Iterator[str]:
    """What is believed now, and on how much, is a fold from scratch over the final log."""
    believed: dict[User, Counter[tuple[Any, ...]]] = defaultdict(Counter)
    for row in store.memories:
        if row["extractor"] == Statements.name and row["believed_to"] is None:
            held = (row["valid_from"], row["valid_to"])
            believed[_user(row)][row["text"], row["value"], *held, row["support"]] += 1
    for user, log in store.by_user():
        folded = Counter(
            (b.newest.candidate.text, b.value, b.valid_from, b.valid_to, len(b.support))
            for assertions in _folded(user, log).values()
            for b in timeline(assertions)
        )
        yield from (f"user {user[1]!r} should believe {b}" for b in folded - believed[user])
        yield from (f"user {user[1]!r} believes {b}" for b in believed[user] - folded)


def extraction_is_at_the_end(_: Expected, store: Snapshot) -> Iterator[str]:
    """Every session is extracted to its last interaction, and none was given up."""
    come = {(*_user(row), row["session_id"]): row for row in store.progress}
    for session in store.sessions:
        name = f"session {session['user_id']}/{session['session_id']}"
        row = come.pop((*_user(session), session["session_id"]), None)
        if row is None or row["ordinal"] != session["length"]:
            ordinal = row["ordinal"] if row else 0
            yield f"{name} is extracted to {ordinal} of {session['length']}"
    for row in store.progress:
        if row["set_aside_at"] is not None:
            yield f"session {row['user_id']}/{row['session_id']} was set aside: {row['error']}"


def nothing_is_left_to_do(_: Expected, store: Snapshot) -> Iterator[str]:
    """Nobody is due, nobody is leased, and every user is marked as extracted to the end."""
    for row in store.users:
        name = f"user {row['user_id']!r}"
        if row["due_at"] is not None:
            yield f"{name} is due since {row['due_at']}"
        if row["lease_token"] is not None:
            yield f"{name} is leased until {row['leased_until']}"
        if row["extracted"] != row["position"]:
            yield f"{name} is extracted to {row['extracted']} of {row['position']}"


def positions_are_at_the_topics_end(_: Expected, store: Snapshot) -> Iterator[str]:
    """Every partition was applied to its end, and no further."""
    for partition, end in sorted(store.ends.items()):
        if store.positions.get(partition, 0) != end:
            yield f"partition {partition} is at {store.positions.get(partition, 0)} of {end}"


def dead_letters_are_the_poison(expected: Expected, store: Snapshot) -> Iterator[str]:
    """Every poisonous message was turned away once for each time it stands in the topic."""
    if expected.poison is None:
        return
    standing = {(m.partition, m.offset): m.value for m in store.topic if m.value in expected.poison}
    for poison in set(expected.poison) - set(standing.values()):
        yield f"poison {poison!r} was produced and does not stand in the topic"
    turned_away = Counter((d.partition, d.offset) for d in store.dead)
    for place, value in standing.items():
        if turned_away[place] != 1:
            yield f"poison {value!r} at {place} is {turned_away[place]} times in the dead letters"
    for letter in store.dead:
        if standing.get((letter.partition, letter.offset)) != letter.value:
            at = (letter.partition, letter.offset)
            yield f"the dead letters hold {letter.value!r} of {at}, which was no poison"


def changes_are_told_in_order(_: Expected, store: Snapshot) -> Iterator[str]:
    """The stream tells each user's changes without a gap, but for repeats, and to the last."""
    told: dict[User, int] = defaultdict(int)
    for change in _changes(store):
        user = (change["tenant"], change["user"])
        if change["seq"] > told[user] + 1:
            yield f"user {user[1]!r}: change {change['seq']} is told after {told[user]}"
        told[user] = max(told[user], change["seq"])
    for row in store.places:
        name = f"user {row['user_id']!r}"
        if row["published_seq"] != row["last_seq"]:
            yield f"{name}: {row['last_seq']} changes, {row['published_seq']} are marked as told"
        if told[_user(row)] != row["last_seq"]:
            yield f"{name}: {row['last_seq']} changes, the stream tells {told[_user(row)]}"


def changes_tell_what_is_believed(_: Expected, store: Snapshot) -> Iterator[str]:
    """Who follows the stream, and drops repeats, knows what is believed, and on how much."""
    if not store.places:
        return
    seen: dict[User, int] = defaultdict(int)
    followed: dict[tuple[str, str, int], int] = {}
    for change in _changes(store):
        user = (change["tenant"], change["user"])
        if change["seq"] <= seen[user]:
            continue
        seen[user] = change["seq"]
        if change["memory"] is None:
            followed.pop((*user, change["memory_id"]), None)
        else:
            followed[*user, change["memory_id"]] = change["memory"]["support"]
    believed = {_memory(r): r["support"] for r in store.memories if r["believed_to"] is None}
    for key in sorted(set(followed) | set(believed)):
        if followed.get(key) != believed.get(key):
            yield (
                f"memory {key[2]} of {key[1]!r} is told with support {followed.get(key)}"
                f" and believed with {believed.get(key)}"
            )


CHECKS: tuple[TopicCheck, ...] = (
    every_id_is_there_once,
    content_is_as_produced,
    positions_have_no_gap,
    ordinals_have_no_gap,
    order_is_as_produced,
    memories_have_evidence,
    evidence_exists_and_is_quoted,
    memories_have_one_vector,
    each_interaction_is_extracted_once,
    assertions_are_as_folded,
    beliefs_are_as_folded,
    extraction_is_at_the_end,
    nothing_is_left_to_do,
    positions_are_at_the_topics_end,
    dead_letters_are_the_poison,
    changes_are_told_in_order,
    changes_tell_what_is_believed,
)


@dataclass(frozen=True)
class Verdict:
    """What failed, by the check that saw it: the first offender, and how many there were."""

    failures: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return not self.failures


def judge(expected: Expected, store: Snapshot, checks: Iterable[TopicCheck] = CHECKS) -> Verdict:
    """Every check over one snapshot."""
    failures = {}
    for check in checks:
        offenders = list(islice(check(expected, store), 1001))
        if offenders:
            failures[check.__name__] = first_of(offenders)
    return Verdict(failures)


def first_of(offenders: Sequence[str]) -> str:
    """The first, and how many more there are."""
    more = len(offenders) - 1
    return offenders[0] + (f" (and {more if more < 1000 else 'over 1,000'} more)" if more else "")


def _folded(user: User, log: Sequence[Interaction]) -> dict[bytes, list[Assertion]]:
    """What `Statements` asserts of a user's whole log, by belief key."""
    statements, found = Statements(), list[Assertion]()
    for session, turns in _by_session(log).items():
        scope = Scope(*user, session=session)
        found += asserted(statements, statements.read(turns), turns, scope, TenantTrust())
    return by_belief(found)


def _changes(store: Snapshot) -> Iterator[dict[str, Any]]:
    """What the stream tells, in the order of its partitions."""
    for message in sorted(store.changes, key=lambda m: (m.partition, m.offset)):
        yield json.loads(message.value)


def _by_session(log: Sequence[Interaction]) -> dict[str, list[Interaction]]:
    ordered = sorted(log, key=lambda i: (i.session, i.ordinal))
    return {session: list(turns) for session, turns in groupby(ordered, key=lambda i: i.session)}


def _gaps(whose: str, what: str, numbers: Sequence[int]) -> Iterator[str]:
    for wanted, found in enumerate(numbers, 1):
        if found != wanted:
            yield f"{whose} has {what} {found} where {wanted} should stand"
            return


def _said(interaction: Interaction) -> tuple[object, ...]:
    return (interaction.session, interaction.content, interaction.occurred_at)


def _user(row: Row) -> User:
    return (row["tenant_id"], row["user_id"])


def _memory(row: Row) -> tuple[str, str, int]:
    return (row["tenant_id"], row["user_id"], row["memory_id"])


def _shown(row: Row) -> str:
    return f"memory {row['memory_id']} of {row['user_id']!r} ({row['text']!r})"


def _name(key: tuple[str, str, str]) -> str:
    return f"{key[2]!r} of {key[1]!r}"
