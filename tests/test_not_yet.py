"""What has not happened yet: a clock that is years ahead changes nothing of what is shown today."""

from datetime import UTC, datetime, timedelta

import pytest

from extractors.episodes import Episodes
from extractors.protocol import Extractor
from extractors.statements import Statements
from memory.client import MemoryClient
from memory.models import MemoryKind, Scope
from tests.conftest import Extraction

ANA = Scope("northwind", "ana", session="s1")
ELSEWHERE = ANA.in_session("s2")
YEARS = timedelta(days=5 * 365)


@pytest.fixture
def extractors() -> list[Extractor]:
    """Those that a store has."""
    return [Episodes(), Statements()]


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


def tell(client: MemoryClient, worker: Extraction, *said: tuple[str, datetime]) -> None:
    for text, at in said:
        client.record(ANA, text, occurred_at=at)
    worker.drain()


class TestAnEventYearsAhead:
    def test_does_not_end_what_holds(
        self, client: MemoryClient, worker: Extraction, now: datetime
    ) -> None:
        later = ("I live in Attackerville.", now + YEARS)
        tell(client, worker, ("I live in Munich.", now), later)
        context = client.context(ELSEWHERE, "Where does she live?")
        assert "Lives in Munich (since" in context.text
        assert "until" not in context.text
        assert "Attackerville" not in context.text
        found = client.recall(ANA, "Where does she live?", kinds=[MemoryKind.FACT])
        assert not any("Attackerville" in item.memory.text for item in found.items)
        (munich,) = [item.memory for item in found.items]
        assert munich.valid_to is None

    def test_is_in_history(self, client: MemoryClient, worker: Extraction, now: datetime) -> None:
        later = ("I live in Attackerville.", now + YEARS)
        tell(client, worker, ("I live in Munich.", now), later)
        values = {m.value for m in client.history(ANA, attribute="lives_in")}
        assert values == {"munich", "attackerville"}

    def test_does_not_deny_what_holds(
        self, client: MemoryClient, worker: Extraction, now: datetime
    ) -> None:
        denied = ("I no longer live in Munich.", now + YEARS)
        tell(client, worker, ("I live in Munich.", now), denied)
        context = client.context(ELSEWHERE, "Where does she live?")
        assert "Lives in Munich (since" in context.text
        assert "no longer" not in context.text

    def test_that_says_the_same_hides_nothing(
        self, client: MemoryClient, worker: Extraction, now: datetime
    ) -> None:
        tell(client, worker, ("I live in Munich.", now), ("I live in Munich.", now + YEARS))
        assert "Lives in Munich" in client.context(ELSEWHERE, "Where does she live?").text

    def test_counts_once_asked_for(
        self, client: MemoryClient, worker: Extraction, now: datetime
    ) -> None:
        tell(client, worker, ("I live in Attackerville.", now + YEARS))
        then = client.recall(ANA, "Where does she live?", as_of=now + 2 * YEARS)
        assert any("Attackerville" in item.memory.text for item in then.items)

    def test_of_a_clock_that_is_a_little_ahead_counts(
        self, client: MemoryClient, worker: Extraction, now: datetime
    ) -> None:
        tell(client, worker, ("I live in Munich.", now + timedelta(hours=20)))
        assert "Munich" in client.context(ELSEWHERE, "Where does she live?").text


class TestAPlan:
    def test_said_today_stays(
        self, client: MemoryClient, worker: Extraction, now: datetime
    ) -> None:
        tell(client, worker, (f"I'm moving to Oslo in March {now.year + 4}.", now))
        text = client.context(ELSEWHERE, "Where is she moving?").text
        assert f"Is moving to Oslo in March {now.year + 4} (since {now.year + 4}-03-01)" in text
