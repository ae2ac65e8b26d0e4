"""How many seeds a randomized test runs with, and how many positions a test interrupts."""

import os


def seeds(few: int, many: int) -> range:
    """Return the seeds to parametrize a test with: `many` of them in CI, `few` elsewhere."""
    return range(many if os.environ.get("CI") else few)


def step(long: int, short: int) -> int:
    """Return the distance of the positions to interrupt: `short` in CI, `long` elsewhere."""
    return short if os.environ.get("CI") else long


def positions(few: list[int], many: list[int]) -> list[int]:
    """Return the positions to interrupt: `many` in CI, `few` elsewhere."""
    return many if os.environ.get("CI") else few
