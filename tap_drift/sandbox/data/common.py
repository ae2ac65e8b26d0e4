"""Constants and helpers shared by the generators."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

Row = dict[str, Any]

ORG_ID = 30417
ACCOUNT_CREATED = datetime(2019, 3, 4, tzinfo=UTC)
ACCOUNT_NOW = datetime(2026, 3, 2, tzinfo=UTC)
"""The account's current time. Only meetings can be later."""
DAY_MS = 86_400_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def make_rng(seed: int, kind: str, item_id: int = 0) -> random.Random:
    """Build the random generator of one object.

    It depends on nothing but the arguments: objects can be generated in any order, on request.
    """
    return random.Random(f"{seed}:{kind}:{item_id}")  # noqa: S311 - sample data, not a secret


def epoch_ms(moment: datetime) -> int:
    """Convert an aware datetime to epoch milliseconds, the unit of all Drift timestamps."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)
