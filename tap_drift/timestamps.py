"""Timestamps: epoch milliseconds, as Drift has them, and the format of records and bookmarks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

# msgspec writes microseconds unless they are 0.
_EPOCH_WITH_MICROSECOND = datetime(1970, 1, 1, 0, 0, 0, 1)  # noqa: DTZ001 - UTC is appended


def format_timestamp(moment: datetime) -> str:
    """Format an aware date-time as RFC 3339 in UTC: `2023-06-09T09:36:21.300+00:00`.

    Bookmarks are compared as text, so precision and offset are always the same.
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def from_epoch_ms(epoch_ms: int) -> str:
    """Format epoch milliseconds as `format_timestamp` does.

    Raises:
        OverflowError: If the moment lies outside the years 1 to 9999.
        TypeError: If the value is not a number.
    """
    return from_many_epoch_ms([epoch_ms])[0]


def from_many_epoch_ms(times: Iterable[int]) -> list[str]:
    """Format many times in epoch milliseconds as `from_epoch_ms` does.

    Raises:
        OverflowError: If a moment lies outside the years 1 to 9999.
        TypeError: If a value is not a number.
    """
    moments = [_EPOCH_WITH_MICROSECOND + time * _MILLISECOND for time in times]
    return [f"{moment[:23]}+00:00" for moment in msgspec.to_builtins(moments)]


def parse_timestamp(text: str) -> datetime:
    """Parse an ISO 8601 date or date-time; UTC unless it names an offset.

    Raises:
        ValueError: If the text is not a date-time.
    """
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def to_epoch_ms(moment: datetime) -> int:
    """Convert an aware date-time to epoch milliseconds, rounding down."""
    return (moment - _EPOCH) // _MILLISECOND
