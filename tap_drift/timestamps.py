"""Drift's times (integers, epoch milliseconds, UTC) and the one way in which records spell them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from singer_sdk.helpers._compat import datetime_fromisoformat

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)


def spell(moment: datetime) -> str:
    """Spell a moment as records and bookmarks do.

    Bookmarks are compared as text, so there is one precision and one offset.

    Args:
        moment: An aware date-time, of any zone.

    Returns:
        RFC 3339 in UTC with milliseconds: `2023-06-09T09:36:21.300+00:00`.
    """
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds")


def from_epoch_ms(epoch_ms: int) -> str:
    """Spell a time of Drift's.

    Args:
        epoch_ms: Milliseconds since 1970-01-01, UTC.

    Returns:
        The same moment, as `spell` spells it.

    Raises:
        OverflowError: If the moment lies outside the years 1 to 9999.
        TypeError: If it is not a number.
    """
    return (_EPOCH + epoch_ms * _MILLISECOND).isoformat("T", "milliseconds")


def parse(spelled: str) -> datetime:
    """Read a date-time that was spelled by `spell`, or by a user in another way of ISO 8601.

    Args:
        spelled: Such as `2023-06-09T09:36:21.300+00:00` or `2023-06-09`.

    Returns:
        An aware date-time; UTC, if it does not name its zone.

    Raises:
        ValueError: If it is not one.
    """
    moment = datetime_fromisoformat(spelled)
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def to_epoch_ms(moment: datetime) -> int:
    """Give a moment as Drift does.

    Args:
        moment: An aware date-time, of any zone.

    Returns:
        Milliseconds since 1970-01-01, UTC; what is finer is cut off.
    """
    return (moment - _EPOCH) // _MILLISECOND
