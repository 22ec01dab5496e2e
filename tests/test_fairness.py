"""Poison delays nobody else: the benchmark, small."""

import asyncio

import pytest

from benchmarks.fairness import POISONS, measure


@pytest.mark.slow
def test_good_users_are_extracted_among_poison() -> None:
    found = asyncio.run(measure(poison_users=10 * len(POISONS), seconds=12))
    assert (found["among"]["extracted"], found["among"]["lost"]) == (12, 0)
