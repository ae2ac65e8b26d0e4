"""Drift's times, spelled in one way."""

from datetime import datetime, timedelta, timezone

import pytest

from tap_drift.timestamps import format_timestamp, from_epoch_ms, to_epoch_ms


@pytest.mark.parametrize(
    ("epoch_ms", "spelled"),
    [
        (1686303381300, "2023-06-09T09:36:21.300+00:00"),
        (1686303381000, "2023-06-09T09:36:21.000+00:00"),
        (1686303381001, "2023-06-09T09:36:21.001+00:00"),
        (0, "1970-01-01T00:00:00.000+00:00"),
        (-1, "1969-12-31T23:59:59.999+00:00"),
    ],
)
def test_epoch_milliseconds_are_spelled_with_all_of_them(epoch_ms: int, spelled: str) -> None:
    assert from_epoch_ms(epoch_ms) == spelled


def test_every_millisecond_survives_the_way_there_and_back() -> None:
    for epoch_ms in range(1686303381000, 1686303382000):
        assert to_epoch_ms(datetime.fromisoformat(from_epoch_ms(epoch_ms))) == epoch_ms


def test_another_zone_is_spelled_in_utc() -> None:
    moment = datetime(2024, 1, 31, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert format_timestamp(moment) == "2024-01-30T23:30:00.000+00:00"


def test_a_time_beyond_the_calendar_is_refused() -> None:
    with pytest.raises(OverflowError):
        from_epoch_ms(10**18)
