"""Adds recognisers of the package `presidio-analyzer`: national numbers of more countries.

Only those of patterns and check digits, each with its own name in `ENTITIES`: they load no language
model and fetch nothing. They are not ours, and nothing holds them to linear time.
"""

import inspect
from collections.abc import Iterator
from functools import cache
from typing import Any

from memory.optional import extra
from memory.privacy.findings import Finding, Sensitive

ENTITIES = {
    "AU_MEDICARE": Sensitive.NATIONAL_ID,
    "AU_TFN": Sensitive.NATIONAL_ID,
    "ES_NIF": Sensitive.NATIONAL_ID,
    "FI_PERSONAL_IDENTITY_CODE": Sensitive.NATIONAL_ID,
    "IN_AADHAAR": Sensitive.NATIONAL_ID,
    "IN_PAN": Sensitive.NATIONAL_ID,
    "KR_FRN": Sensitive.NATIONAL_ID,
    "KR_RRN": Sensitive.NATIONAL_ID,
    "NG_NIN": Sensitive.NATIONAL_ID,
    "SG_NRIC_FIN": Sensitive.NATIONAL_ID,
    "TH_TNIN": Sensitive.NATIONAL_ID,
    "TR_NATIONAL_ID": Sensitive.NATIONAL_ID,
    "US_MBI": Sensitive.NATIONAL_ID,
    "ZA_ID_NUMBER": Sensitive.NATIONAL_ID,
}
"""Presidio's names of what it finds, and our classes."""

LEAST_SCORE = 0.5
"""Presidio's score of a finding, 0 to 1; check digits that are right make it 1."""


def presidio(text: str) -> Iterator[Finding]:
    """Finds what Presidio's own recognisers of `ENTITIES` find.

    Raises:
        MissingDependency: the extra `presidio` is not installed.
    """
    for recogniser in recognisers():
        for result in recogniser.analyze(text, recogniser.supported_entities, None):
            if result.score >= LEAST_SCORE and result.entity_type in ENTITIES:
                yield Finding(ENTITIES[result.entity_type], result.start, result.end)


@cache
def recognisers() -> tuple[Any, ...]:
    """Returns Presidio's recognisers of the `ENTITIES` that the installed release has."""
    with extra("presidio"):
        from presidio_analyzer import PatternRecognizer, predefined_recognizers
    made: list[Any] = [
        each()
        for each in vars(predefined_recognizers).values()
        if inspect.isclass(each) and issubclass(each, PatternRecognizer)
    ]
    return tuple(each for each in made if ENTITIES.keys() & set(each.supported_entities))
