"""Records: turns rows, as Drift sends them, into records that fit the schema."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from tap_drift.exceptions import InvalidRecordError
from tap_drift.streams.nested import JSON_SUFFIX, TYPES, MisfitError, NestedType, types_of
from tap_drift.timestamps import from_epoch_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tap_drift.api.responses import Row


class RecordConverter:
    """Checks the keys of rows, converts times and nested values, and adds nulls.

    Rows are changed in place, a page at a time.
    """

    def __init__(
        self,
        stream: str,
        schema: Mapping[str, Any],
        keys: Iterable[str],
        warn: Callable[[str], None],
    ) -> None:
        """Create a converter.

        Args:
            stream: Name of the stream, for messages.
            schema: JSON Schema of the stream.
            keys: Names of the primary keys as Drift has them; a catalog can choose others.
            warn: Logs a warning, once.
        """
        properties = schema["properties"]
        self._stream = stream
        self._warn = warn
        self._types = {name: {*_types_of(kind)} for name, kind in properties.items()}
        self._values = itemgetter(*properties)
        self._keys = {key: _types_of(properties[key])[0] for key in keys}
        self._date_times = [
            name for name, kind in properties.items() if kind.get("format") == "date-time"
        ]
        self._nested = {
            name: NestedType(kind)
            for name, kind in properties.items()
            if {"array", "object"} & {*types_of(kind)}
        }

    def check_keys(self, rows: list[Row]) -> None:
        """Check that each row has its keys.

        Raises:
            InvalidRecordError: If a key is missing or has another type.
        """
        for key, kind in self._keys.items():
            if not {type(row.get(key)) for row in rows} <= {kind}:
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

    def fit_nested(self, rows: list[Row]) -> None:
        """Make the members of objects and lists fit the schema; warn of those that cannot."""
        for name, kind in self._nested.items():
            for row in rows:
                value = row.get(name)
                if value is not None:
                    try:
                        row[name] = kind.fit(value, name, self._warn_of_member)
                    except MisfitError:
                        self._warn_of_type(name)

    def complete(self, rows: list[Row]) -> None:
        """Add null for declared fields that Drift omits; warn of values of another type.

        Stream maps and targets need each declared field in each record.
        """
        try:
            self._check_types(rows)
        except KeyError:
            for row in rows:
                row.update(dict.fromkeys(self._types) | row)
            self._check_types(rows)

    def sort_fields(self, rows: list[Row]) -> None:
        """Put the fields of each row into the order of the schema.

        singer-io's target-csv writes each row in its own order, below the header of the first.
        """
        for row in rows:
            given = {**row}
            row.clear()
            row.update({name: given.pop(name, None) for name in self._types})
            row.update(given)

    def _check_types(self, rows: list[Row]) -> None:
        """Warn of values of another type.

        Raises:
            KeyError: If a row lacks a declared field.
        """
        columns = zip(*map(self._values, rows), strict=True)  # none if there are no rows
        for (name, types), column in zip(self._types.items(), columns, strict=False):
            if not {*map(type, column)} <= types:
                self._warn_of_type(name)

    def _warn_of_type(self, name: str) -> None:
        self._warn(
            f"Drift sent values in `{name}` of `{self._stream}` that are not of the type "
            "in its schema; they are emitted as they are."
        )

    def _warn_of_member(self, path: str) -> None:
        self._warn(
            f"Drift sent values in `{path}` of `{self._stream}` that are not of the type in its "
            f"schema; they are emitted as JSON text in `{path}{JSON_SUFFIX}`."
        )

    def _key_of(self, row: Row) -> str:
        # A key of another type could be text that must not be logged.
        return ", ".join(
            str(row[key]) if type(row.get(key)) is kind else "?" for key, kind in self._keys.items()
        )


def _types_of(kind: Mapping[str, Any]) -> tuple[type, ...]:
    """Return the types of Python that values of a property may have; null is always accepted."""
    return (*(each for name in types_of(kind) for each in TYPES[name]), type(None))
