"""Days count by the clock of whoever spoke, from the envelope to the memory."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from extractors.statements import stated
from memory.client import MemoryClient
from memory.log.envelope import from_json, to_json, validated
from memory.models import Interaction, InteractionKind, Role, Scope

ANA = Scope("acme", "ana", session="s1")


@pytest.mark.parametrize(
    ("said_at", "day"),
    [
        ("2026-03-02T00:30:00+10:00", "2026-03-01"),
        ("2026-03-01T22:30:00-08:00", "2026-02-28"),
        ("2026-03-02T00:30:00+00:00", "2026-03-01"),
        ("2026-03-02T05:29:00+05:45", "2026-03-01"),
    ],
)
def test_yesterday_is_the_speakers(said_at: str, day: str) -> None:
    said = Interaction(
        ANA, "m1", InteractionKind.MESSAGE, Role.USER, "I ran a marathon yesterday.",
        datetime.fromisoformat(said_at),
    )  # fmt: skip
    (found,) = stated(validated(said))
    assert found.valid_from == datetime.fromisoformat(day).replace(tzinfo=UTC)
    assert found.occurred_at == said.occurred_at


def test_the_log_keeps_the_offset(client: MemoryClient) -> None:
    tokyo = timezone(timedelta(hours=9))
    at = datetime(2026, 3, 2, 0, 30, tzinfo=tokyo)
    client.record(ANA, "Good morning.", id="m1", occurred_at=at)
    client.record_many(
        [
            Interaction(
                ANA, "m2", InteractionKind.MESSAGE, Role.USER, "Again.",
                at.astimezone(timezone(timedelta(hours=-3, minutes=-30))),
            ),
            Interaction(ANA, "m3", InteractionKind.MESSAGE, Role.USER, "More.", at),
        ]
    )  # fmt: skip
    first, second, third = client.interactions(ANA)
    assert first.occurred_at == second.occurred_at == third.occurred_at == at
    offsets = [i.occurred_at.utcoffset() for i in (first, second, third)]
    assert offsets == [timedelta(hours=9), timedelta(hours=-3, minutes=-30), timedelta(hours=9)]


def test_an_envelope_carries_the_offset() -> None:
    at = datetime(2026, 3, 2, 0, 30, tzinfo=timezone(timedelta(hours=9)))
    said = Interaction(ANA, "m1", InteractionKind.MESSAGE, Role.USER, "Hello.", at)
    back = from_json(to_json(said))
    assert back.occurred_at.isoformat() == "2026-03-02T00:30:00+09:00"
    assert back.wall_clock == datetime(2026, 3, 2, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize("year", [1, 9999])
def test_the_ends_of_the_calendar_are_no_fault(year: int) -> None:
    moment = datetime(year, 12, 31, tzinfo=UTC)
    said = Interaction(ANA, "m1", InteractionKind.MESSAGE, Role.USER, "Hello.", moment)
    assert validated(said).occurred_at == moment
