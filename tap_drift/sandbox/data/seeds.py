"""What every part of the account is made from: its seed, its company, and the company's years."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

Row = dict[str, Any]

ORG = 30417
OPENED = datetime(2019, 3, 4, tzinfo=UTC)
NOW = datetime(2026, 3, 2, tzinfo=UTC)
DAY = 86_400_000
"""In milliseconds, as all of Drift's times are."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def chance(seed: int, kind: str, number: int = 0) -> random.Random:
    """Give a thing a chance of its own, so that it can be made alone, whenever it is asked for.

    Args:
        seed: The account's seed.
        kind: What is made.
        number: Its id, if there are many.

    Returns:
        The same draws for the same thing, whatever else has been made.
    """
    return random.Random(f"{seed}:{kind}:{number}")  # noqa: S311 - an account to try, not a secret


def epoch_ms(moment: datetime) -> int:
    """Spell a time as Drift does.

    Args:
        moment: A time that knows its zone.

    Returns:
        Milliseconds since 1970, UTC.
    """
    return (moment - _EPOCH) // timedelta(milliseconds=1)
