"""Columns of a target: finds the field of each, and turns rows into records."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import FatalSyncError

from tap_drift.schemas import SCHEMAS
from tap_drift.timestamps import format_timestamp, parse_timestamp
from tap_drift.verify.canonical import Value, canonical, converter
from tap_drift.verify.fields import METADATA_PREFIX, OTHERS
from tap_drift.verify.store import Side

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import timedelta

    from tap_drift.verify.canonical import Convert
    from tap_drift.verify.extraction import Extraction
    from tap_drift.verify.fields import Shape
    from tap_drift.verify.store import Store

EXTRACTED_AT = "_sdc_extracted_at"
DELETED_AT = "_sdc_deleted_at"

_FLATTENED = "__"
"""Separator of the names in a column of a flattened object: `author__id`."""

Path = tuple[str, ...]

_OTHERS = {"additional", "othermembers"}
"""Simplified names of columns with all members beyond the schema, as JSON text: `_additional` of
`target-drift-archive`, and `otherMembers` of flattened objects."""


def simplified(name: str) -> str:
    """Return a name without case and separators, so that `contactId` and `CONTACT_ID` agree."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def stream_of(table: str, streams: Iterable[str]) -> str | None:
    """Return the stream that a table is named after."""
    return next((each for each in streams if simplified(each) == simplified(table)), None)


class ColumnMap:
    """The field of each column of one table or file.

    A column of a flattened object, such as `author__id`, is a member of that field;
    `author__otherMembers` has all members beyond the schema, as JSON text.
    """

    def __init__(self, stream: str, columns: Collection[str]) -> None:
        """Find the fields.

        Raises:
            FatalSyncError: If two columns can be the same field.
        """
        schema = SCHEMAS.fetch_schema(stream)
        self.unmatched: list[str] = []
        """Names of the columns that are no field of the schema."""

        self._converters: dict[str, tuple[Path, Convert]] = {}
        columns_by_path: dict[Path, str] = {}
        for column in columns:
            if column.lower().startswith(METADATA_PREFIX):
                continue
            path, kind = _find(column, schema)
            if path in columns_by_path:
                raise FatalSyncError(
                    f"`{column}` and `{columns_by_path[path]}` of `{stream}` can both be its field "
                    f"`{'.'.join(path)}`: rename one."
                )
            if path:
                columns_by_path[path] = column
                self._converters[column] = path, converter(kind)
            else:
                self.unmatched.append(column)

    @property
    def is_flattened(self) -> bool:
        """Whether some columns are members of an object."""
        return any(len(path) > 1 for path, _ in self._converters.values())

    def shape(self, members: Mapping[str, Shape]) -> dict[str, Shape]:
        """Return the fields that the columns hold, with their members.

        Args:
            members: The members of a column's values, where it cannot have all.
        """
        shape: dict[str, Any] = {}
        for column, (path, _) in self._converters.items():
            parent = shape
            for name in path[:-1]:
                parent = parent.setdefault(name, {})
            parent[path[-1]] = members.get(column)
        return shape

    def to_record(self, row: Mapping[str, Value]) -> dict[str, Value]:
        """Turn a row into a record; columns that are no field keep their name."""
        record: dict[str, Any] = {}
        for column, value in row.items():
            if value is None:
                continue
            path, convert = self._converters.get(column, ((column,), canonical))
            parent = record
            for name in path[:-1]:
                parent = parent.setdefault(name, {})
            if path[-1] == OTHERS:
                others = convert(value)
                parent.update(others if isinstance(others, dict) else {column: others})
            else:
                parent[path[-1]] = convert(value) if len(path) > 1 else value
        return record


class TableLoader:
    """Adds the rows of one stream to a store, as the extracted side."""

    def __init__(
        self, store: Store, extraction: Extraction, stream: str, lookback: timedelta
    ) -> None:
        self._store = store
        self._extraction = extraction
        self._stream = stream
        self._lookback = lookback
        self._run = extraction.run_of(stream)

    def prepare(
        self,
        columns: Collection[str],
        members: Mapping[str, Shape] | None = None,
        *,
        has_others: bool = False,
    ) -> ColumnMap:
        """Set the fields that are compared to those that the columns hold.

        Args:
            columns: Names of all columns.
            members: The members of a column's values, where it cannot have all.
            has_others: Whether columns that are no field of the schema are compared as well.

        Raises:
            FatalSyncError: If there is no column for a key.
        """
        found = ColumnMap(self._stream, columns)
        shape = found.shape(members or {})
        for key in self._store.primary_keys[self._stream]:
            if key not in shape:
                raise FatalSyncError(
                    f"The data of `{self._stream}` has no column for its key `{key}`."
                )
        if found.unmatched and not has_others:
            self._extraction.unmatched_columns[self._stream] = found.unmatched
        self._store.fields[self._stream].restrict(
            shape, has_others=OTHERS in shape or (has_others and bool(found.unmatched))
        )
        return found

    def add(self, columns: ColumnMap, row: Mapping[str, Value]) -> None:
        """Add a row; if the target has marked it as deleted, delete its earlier version instead.

        Raises:
            FatalSyncError: If its key is null, or its time of extraction is not a time.
        """
        metadata = {name.lower(): value for name, value in row.items() if name.startswith("_")}
        covered_until = self._read_time(metadata.get(EXTRACTED_AT))
        record = columns.to_record(row)
        try:
            if metadata.get(DELETED_AT) is not None:
                self._store.delete(Side.EXTRACTED, self._stream, record)
                return
            self._store.add(Side.EXTRACTED, self._stream, record, covered_until)
        except KeyError as key:
            raise FatalSyncError(f"The data of `{self._stream}` has a row without {key}.") from None
        self._extraction.record_count += 1

    def _read_time(self, value: Value) -> str | None:
        """Note when a row was extracted; the latest time stands for the start of the last run."""
        if value is None:
            return None
        try:
            read_at = parse_timestamp(str(value))
        except ValueError:
            raise FatalSyncError(
                f"`{EXTRACTED_AT}` of a row of `{self._stream}` is not a time."
            ) from None
        self._run.started_at = max(self._run.started_at or read_at, read_at)
        return format_timestamp(read_at - self._lookback)


def _find(column: str, schema: Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Return the path and the schema of a column's field; an empty path if there is none."""
    properties = schema.get("properties") or {}
    for name, kind in properties.items():
        if simplified(name) == simplified(column):
            return (name,), kind
    first, separator, rest = column.partition(_FLATTENED)
    for name, kind in properties.items() if separator else ():
        if simplified(name) == simplified(first):
            path, member = _find(rest, kind)
            return ((name, *path), member) if path else ((), {})
    if properties and simplified(column) in _OTHERS:
        return (OTHERS,), {"type": "object"}
    return (), {}
