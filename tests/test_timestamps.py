"""Conversion between Drift's epoch milliseconds and RFC 3339 date-times."""

from datetime import datetime, timedelta, timezone

import pytest

from tap_drift.timestamps import format_timestamp, from_epoch_ms, to_epoch_ms


@pytest.mark.parametrize(
    ("epoch_ms", "formatted"),
    [
        (1686303381300, "2023-06-09T09:36:21.300+00:00"),
        (1686303381000, "2023-06-09T09:36:21.000+00:00"),
        (1686303381001, "2023-06-09T09:36:21.001+00:00"),
        (0, "1970-01-01T00:00:00.000+00:00"),
        (-1, "1969-12-31T23:59:59.999+00:00"),
        (-62135596800000, "0001-01-01T00:00:00.000+00:00"),
        (253402300799999, "9999-12-31T23:59:59.999+00:00"),
    ],
)
def test_epoch_ms_always_has_three_decimals(epoch_ms: int, formatted: str) -> None:
    assert from_epoch_ms(epoch_ms) == formatted


def test_every_millisecond_survives_the_round_trip() -> None:
    for epoch_ms in range(1686303381000, 1686303382000):
        assert to_epoch_ms(datetime.fromisoformat(from_epoch_ms(epoch_ms))) == epoch_ms


def test_other_time_zones_are_converted_to_utc() -> None:
    moment = datetime(2024, 1, 31, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert format_timestamp(moment) == "2024-01-30T23:30:00.000+00:00"


def test_time_outside_the_calendar_is_an_error() -> None:
    with pytest.raises(OverflowError):
        from_epoch_ms(10**18)
