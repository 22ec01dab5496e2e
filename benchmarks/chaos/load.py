"""What is produced: known before anything runs, the same for the same seed.

Each producer has users of its own and sends what they say one after another, so what is the
produced order of a user is beyond doubt, whichever producer dies and says something again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

from memory.log import envelope
from memory.models import Interaction, InteractionKind, Role, Scope

TENANTS = 5
PLACES = ("Aachen", "Bergen", "Cadiz", "Delft", "Espoo", "Faro")
LANGUAGES = ("Basque", "Czech", "Danish", "Estonian", "Finnish", "Greek", "Irish", "Latvian")
DAY_ZERO = datetime(2026, 1, 1, tzinfo=UTC)
LONGEST_GROUP = 40

POISON = (
    b"not JSON",
    b"",
    b'{"v": 1, "id": "no-end"',
    b"\xff\xfe\x00\x01",
    b'{"v": 99, "id": "from-tomorrow"}',
    b'{"v": 1, "id": "nobody", "session": "s", "content": "whose?"}',
)
"""What no reader of this release can accept; each copy carries a mark to be told apart by."""


@dataclass(frozen=True, slots=True)
class Group:
    """What one call sends: messages, or one piece of poison under a user's key.

    again: the group was sent before, and is sent again as a retrying app would.
    """

    messages: tuple[Interaction, ...] = ()
    poison: bytes | None = None
    key: Scope | None = None
    again: bool = False


@dataclass(frozen=True)
class Load:
    """`messages` interactions in all, by `producers`, of `users`; `poison` comes on top.

    resent: whether some groups are sent again, as by an app that retries.
    """

    messages: int
    seed: int
    producers: int = 4
    users: int = 120
    poison: int = 0
    resent: int = 1

    def groups(self, producer: int) -> Iterator[Group]:
        """What one producer sends, in order, known duplicates and poison included."""
        rng = Random(f"{self.seed}/{producer}")
        share = _share(self.messages, self.producers, producer)
        poison = _share(self.poison, self.producers, producer)
        users = [_scope(u) for u in range(self.users) if u % self.producers == producer]
        said = dict.fromkeys(users, 0)
        sent, poisoned, groups = 0, 0, list[Group]()
        while sent < share:
            group = Group(tuple(_turns(rng, users, said, min(_size(rng), share - sent))))
            sent += len(group.messages)
            groups.append(group)
            yield group
            if rng.random() < 0.1 and self.resent:
                yield Group(rng.choice(groups).messages, again=True)
            while poisoned < poison * sent // share:
                yield _poison(rng, f"{producer}.{poisoned}", rng.choice(groups).messages[0])
                poisoned += 1

    def produced(self) -> dict[tuple[str, str], list[Interaction]]:
        """By tenant and user, what the log must hold, in order."""
        found: dict[tuple[str, str], list[Interaction]] = {}
        for producer in range(self.producers):
            for group in self.groups(producer):
                if not group.again:
                    for message in group.messages:
                        key = (message.scope.tenant, message.scope.user)
                        found.setdefault(key, []).append(message)
        return found

    def poisoned(self) -> list[bytes]:
        """What the dead letters must hold."""
        groups = (g for p in range(self.producers) for g in self.groups(p))
        return [g.poison for g in groups if g.poison is not None]


def _share(total: int, parts: int, part: int) -> int:
    return total * (part + 1) // parts - total * part // parts


def _size(rng: Random) -> int:
    return rng.choice((1, 1, 2, 5, LONGEST_GROUP))


def _scope(user: int) -> Scope:
    return Scope(f"tenant-{user % TENANTS}", f"user-{user}", "scout")


def _turns(
    rng: Random, users: Sequence[Scope], said: dict[Scope, int], count: int
) -> Iterator[Interaction]:
    for _ in range(count):
        user = rng.choice(users)
        said[user] += 1
        yield _turn(rng, user, said[user])


def _turn(rng: Random, user: Scope, number: int) -> Interaction:
    # Two sessions at a time, and event times that now and then run backwards: order of arrival,
    # of sessions and of events are three different things.
    session = f"session-{number // 60}{'b' if rng.random() < 0.3 else 'a'}"
    at = DAY_ZERO + timedelta(minutes=number - rng.choice((0, 0, 0, 90)))
    said = rng.choice(("", "", "", f" I live in {rng.choice(PLACES)}."))
    said += rng.choice(("", "", f" I speak {rng.choice(LANGUAGES)}."))
    return Interaction(
        user.in_session(session),
        f"{user.user}-{number}",
        InteractionKind.MESSAGE,
        Role.USER,
        f"This is what {user.user} says, number {number}.{said}",
        at,
    )


def _poison(rng: Random, mark: str, said: Interaction) -> Group:
    """Something poisonous under the key of who said `said`, its id with other content included."""
    kind = rng.choice((*POISON, None))
    if kind is None:
        other = replace(said, content=f"Never said #{mark}")
        return Group(poison=envelope.to_json(other).encode(), key=said.scope)
    return Group(poison=kind + f" #{mark}".encode(), key=said.scope)
