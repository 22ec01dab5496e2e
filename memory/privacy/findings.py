"""What a scan finds: a class and a span. A finding never holds the value."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple


class Sensitive(StrEnum):
    """A class of secrets or personal data that a policy can name."""

    PAYMENT_CARD = "payment_card"
    BANK_ACCOUNT = "bank_account"
    NATIONAL_ID = "national_id"
    API_KEY = "api_key"
    PASSWORD = "password"  # noqa: S105 - the name of a class
    EMAIL = "email"
    PHONE = "phone"
    ADDRESS = "address"

    @property
    def spelled(self) -> str:
        """Its name in a sentence."""
        return self.value.replace("_", " ").replace("api", "API")


class Finding(NamedTuple):
    """A span of a text in characters, end exclusive, and what it holds."""

    sensitive: Sensitive
    start: int
    end: int


Recogniser = Callable[[str], Iterator[Finding]]
"""Finds spans of a text. It takes linear time, and may find spans that overlap."""

NEAR = 40
"""Characters before a number in which a word may say what it is."""


def before(text: str, start: int, characters: int = NEAR) -> str:
    """Returns what stands before a place, in lower case."""
    return text[max(0, start - characters) : start].lower()
