"""Tests of the conversion of rows into records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from faults import page
from runs import sync

from tap_drift.exceptions import InvalidRecordError, StreamsFailedError
from tap_drift.streams.records import RecordConverter

if TYPE_CHECKING:
    from fake_drift import FakeDrift

DATE_TIME = {"type": ["string", "null"], "format": "date-time"}
SCHEMA = {
    "properties": {
        "id": {"type": "integer"},
        "slug": {"type": "string"},
        "createdAt": DATE_TIME,
        "updatedAt": DATE_TIME,
        "duration": {"type": ["integer", "null"]},
    }
}


def converter(*keys: str) -> RecordConverter:
    return RecordConverter("meetings", SCHEMA, keys or ("id",), warn=pytest.fail)


def warnings(*rows: dict[str, Any]) -> list[str]:
    """Return the warnings about the values of rows."""
    found: list[str] = []
    RecordConverter("meetings", SCHEMA, ("id",), found.append).complete([*rows])
    return found


def test_absent_fields_become_null_and_others_stay() -> None:
    rows: list[dict[str, Any]] = [{"id": 1, "slug": "a", "added": 5}, {"id": 2, "duration": 0}]
    converter().complete(rows)
    nulls = {"slug": None, "createdAt": None, "updatedAt": None, "duration": None}
    assert rows == [nulls | {"id": 1, "slug": "a", "added": 5}, nulls | {"id": 2, "duration": 0}]


@pytest.mark.parametrize("value", [5, None])
def test_value_of_the_declared_type_is_no_warning(value: Any) -> None:
    assert warnings({"id": 1, "duration": value}) == []


@pytest.mark.parametrize("value", ["my words", True, 1.5, [], {}])
def test_value_of_another_type_is_a_warning_with_the_field(value: Any) -> None:
    [warning] = warnings({"id": 1, "duration": value})
    assert "values in `duration` of `meetings` that are not of the type in its schema" in warning
    assert "my words" not in warning


@pytest.mark.parametrize("key", [1, 0, -1, 2**63 - 1])
def test_integer_key_is_accepted(key: int) -> None:
    converter().check_keys([{"id": key}])


@pytest.mark.parametrize("row", [{}, {"id": None}, {"id": "5"}, {"id": 5.0}, {"id": True}])
def test_unusable_integer_key_is_an_error(row: dict[str, Any]) -> None:
    with pytest.raises(InvalidRecordError, match="a row of `meetings` without a usable `id`"):
        converter().check_keys([{"id": 1}, row])


def test_every_key_of_a_compound_key_is_checked() -> None:
    with pytest.raises(InvalidRecordError, match="without a usable `slug`"):
        converter("id", "slug").check_keys([{"id": 1, "slug": 5}])


def test_error_about_a_key_does_not_quote_the_row() -> None:
    with pytest.raises(InvalidRecordError) as error:
        converter().check_keys([{"id": {"text": "my words"}}])
    assert "my words" not in str(error.value)


def test_page_without_rows_is_accepted() -> None:
    converter().check_keys([])
    converter().convert_times([])


def test_epoch_milliseconds_become_date_times_in_place() -> None:
    row = {"id": 1, "createdAt": 0, "updatedAt": 1686303381300, "duration": 1686303381300}
    converter().convert_times([row])
    assert row == {
        "id": 1,
        "createdAt": "1970-01-01T00:00:00.000+00:00",
        "updatedAt": "2023-06-09T09:36:21.300+00:00",
        "duration": 1686303381300,
    }


def test_null_and_missing_times_are_kept() -> None:
    row = {"id": 1, "createdAt": None}
    converter().convert_times([row])
    assert row == {"id": 1, "createdAt": None}


@pytest.mark.parametrize("time", ["my words", {}, [], 10**18, -(10**18)])
def test_invalid_time_is_an_error_with_field_and_key(time: Any) -> None:
    message = r"no epoch milliseconds in `createdAt` of `meetings` 5, a\."
    with pytest.raises(InvalidRecordError, match=message) as error:
        converter("id", "slug").convert_times([{"id": 5, "slug": "a", "createdAt": time}])
    assert "my words" not in str(error.value)


def test_key_of_another_type_is_not_quoted() -> None:
    with pytest.raises(InvalidRecordError, match=r"of `meetings` \?\."):
        converter().convert_times([{"id": "my words", "createdAt": "soon"}])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "my words", "updatedAt": 1}, "a row of `conversations` without a usable `id`"),
        ({"id": 5, "updatedAt": "my words"}, "in `updatedAt` of `conversations` 5"),
    ],
)
def test_invalid_row_fails_the_stream_without_quoting_it(
    row: dict[str, Any], message: str, drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(page(row))
    with pytest.raises(StreamsFailedError, match=message) as error:
        sync(config)
    assert "my words" not in str(error.value)
