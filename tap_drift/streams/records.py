"""Records: turns rows, as Drift sends them, into records that fit the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_drift.exceptions import InvalidRecordError
from tap_drift.timestamps import from_epoch_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tap_drift.api.responses import Row

_KEY_TYPES: dict[str, type] = {"integer": int, "string": str}


class RecordConverter:
    """Checks the keys of rows, and converts epoch milliseconds to date-times.

    Rows are changed in place, a page at a time.
    """

    def __init__(self, stream: str, schema: Mapping[str, Any], keys: Iterable[str]) -> None:
        """Create a converter.

        Args:
            stream: Name of the stream, for messages.
            schema: JSON Schema of the stream.
            keys: Names of the primary keys as Drift has them; a catalog can choose others.
        """
        properties = schema["properties"]
        self._stream = stream
        self._keys = {key: _KEY_TYPES[properties[key]["type"]] for key in keys}
        self._date_times = [
            name for name, kind in properties.items() if kind.get("format") == "date-time"
        ]

    def check_keys(self, rows: list[Row]) -> None:
        """Check that each row has its keys.

        Raises:
            InvalidRecordError: If a key is missing or has another type.
        """
        for key, kind in self._keys.items():
            if not all(type(row.get(key)) is kind for row in rows):
                raise InvalidRecordError(
                    f"Drift sent a row of `{self._stream}` without a usable `{key}`."
                )

    def convert_times(self, rows: list[Row]) -> None:
        """Convert epoch milliseconds to RFC 3339 where the schema has a date-time.

        Raises:
            InvalidRecordError: If a value is not a time in epoch milliseconds.
        """
        for name in self._date_times:
            for row in rows:
                time = row.get(name)
                if time is not None:
                    try:
                        row[name] = from_epoch_ms(time)
                    except (TypeError, OverflowError):
                        raise InvalidRecordError(
                            f"Drift sent no epoch milliseconds in `{name}` of `{self._stream}` "
                            f"{self._key_of(row)}."
                        ) from None

    def _key_of(self, row: Row) -> str:
        # A key of another type could be text that must not be logged.
        return ", ".join(
            str(row[key]) if type(row.get(key)) is kind else "?" for key, kind in self._keys.items()
        )
