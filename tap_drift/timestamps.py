"""Timestamps: epoch milliseconds, as Drift has them, and the format of records and bookmarks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

_MINUTES = [f"{hour:02}:{minute:02}" for hour in range(24) for minute in range(60)]
_SECONDS = [f"{second:02}" for second in range(60)]
_MILLISECONDS = [f"{millisecond:03}" for millisecond in range(1000)]


def format_timestamp(moment: datetime) -> str:
    """Format an aware date-time as RFC 3339 in UTC: `2023-06-09T09:36:21.300+00:00`.

    Bookmarks are compared as text, so precision and offset are always the same.
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def from_epoch_ms(epoch_ms: int) -> str:
    """Format epoch milliseconds as `format_timestamp` does.

    Raises:
        OverflowError: If the moment lies outside the years 1 to 9999.
        TypeError: If the value is not a number of milliseconds.
    """
    # `isoformat` takes five times as long, and a listing has two times per row.
    minutes, rest = divmod(epoch_ms, 60_000)
    day, minute = divmod(minutes, 24 * 60)
    second, millisecond = divmod(rest, 1000)
    time = f"{_MINUTES[minute]}:{_SECONDS[second]}.{_MILLISECONDS[millisecond]}"
    return f"{_date(day)}T{time}+00:00"


@lru_cache(maxsize=1000)
def _date(day: int) -> str:
    return (_EPOCH.date() + timedelta(days=day)).isoformat()


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
