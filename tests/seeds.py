"""How many seeds a randomized test runs with."""

import os


def seeds(few: int, many: int) -> range:
    """Return the seeds to parametrize a test with: `many` of them in CI, `few` elsewhere."""
    return range(many if os.environ.get("CI") else few)
