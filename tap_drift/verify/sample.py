"""Samples of conversations, and what a sample proves of all of them."""

from __future__ import annotations

import random
from math import exp, lgamma
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

CONFIDENCE = 0.95


class Sample(NamedTuple):
    """A sample of the conversations that Drift lists."""

    size: int
    population: int
    seed: int
    bad: int = 0
    """Number of conversations in the sample with missing, stale or different records."""

    @property
    def bound(self) -> int:
        """The number of bad conversations that all of them have at most, with 95 % confidence."""
        return upper_bound(self.population, self.size, self.bad)


def draw(ids: Iterable[int], size: int, seed: int) -> tuple[list[int], int]:
    """Draw ids at random, each with the same probability.

    Args:
        ids: The ids, in an order that does not change.
        size: How many to draw; all if there are not more.
        seed: Makes the draw repeatable.

    Returns:
        The drawn ids, and how many there are in all.
    """
    rng = random.Random(seed)  # noqa: S311 - a sample that can be repeated, not a secret
    drawn: list[int] = []
    count = 0
    for count, each in enumerate(ids, start=1):
        if count <= size:
            drawn.append(each)
        elif (place := rng.randrange(count)) < size:
            drawn[place] = each
    return drawn, count


def upper_bound(population: int, size: int, bad: int) -> int:
    """Return the largest number of bad ones of which such a sample is not too improbable.

    Exact for draws without replacement: with more bad ones, a sample with as few as `bad` has a
    probability below 5 %.

    Args:
        population: Number of all.
        size: Number in the sample.
        bad: Number of bad ones in the sample.
    """
    low, high = bad, population - (size - bad)
    while low < high:
        middle = (low + high + 1) // 2
        if _probability_of_at_most(bad, population, middle, size) > 1 - CONFIDENCE:
            low = middle
        else:
            high = middle - 1
    return low


def _probability_of_at_most(bad: int, population: int, all_bad: int, size: int) -> float:
    """Return the hypergeometric probability of at most `bad` bad ones in a sample."""
    good = population - all_bad
    first = max(0, size - good)
    return sum(
        exp(_log_choose(all_bad, k) + _log_choose(good, size - k) - _log_choose(population, size))
        for k in range(first, min(bad, all_bad) + 1)
    )


def _log_choose(total: int, chosen: int) -> float:
    return lgamma(total + 1) - lgamma(chosen + 1) - lgamma(total - chosen + 1)
