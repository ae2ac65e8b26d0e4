"""Reads the Singer messages of an extraction: of one run, or of several concatenated runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk.exceptions import FatalSyncError

from tap_drift.streams.failed_items import FailedItemsStream
from tap_drift.timestamps import format_timestamp, parse_timestamp
from tap_drift.verify.columns import ColumnMap
from tap_drift.verify.store import CONVERSATION_STREAMS, REFERENCED_STREAMS, Side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, KeysView
    from datetime import datetime, timedelta

    from tap_drift.verify.store import Store


class _Message(msgspec.Struct):
    type: str
    stream: str = ""
    key_properties: list[str] | None = None
    record: dict[str, Any] | None = None
    time_extracted: str | None = None
    value: Any = None
    schema: dict[str, Any] | None = None
    version: int | None = None


_DECODER = msgspec.json.Decoder(_Message)

# All records of a page have the same time.
_parse_time = lru_cache(maxsize=64)(parse_timestamp)


@dataclass
class Run:
    """One run of the tap."""

    started_at: datetime | None = None
    """The earliest `time_extracted`; None if the run has no records."""


@dataclass
class Extraction:
    """Summary of all messages read."""

    runs: dict[str, Run] = field(default_factory=dict)
    """The last run of each stream, by the stream's name."""

    other_streams: set[str] = field(default_factory=set)
    """Names of streams that tap-drift does not have."""

    is_truncated: bool = False
    """Whether the input ends in the middle of a message."""

    is_continuation: bool = False
    """Whether the first run resumed from the state of an earlier run."""

    is_loaded: bool = False
    """Whether the data are not messages, but what a target has loaded."""

    unmatched_columns: dict[str, list[str]] = field(default_factory=dict)
    """Columns of a table that are no field of its stream, by the stream's name."""

    other_files: list[str] = field(default_factory=list)
    """Files of a folder that are not named after a stream."""

    record_count: int = 0

    def run_of(self, stream: str) -> Run:
        """Return the last run of a stream; a new one if it has none."""
        return self.runs.setdefault(stream, Run())

    @property
    def started_at(self) -> datetime | None:
        """The start of the last run."""
        return max((run.started_at for run in self.runs.values() if run.started_at), default=None)


def read_messages(
    lines: Iterable[bytes], store: Store, lookback: timedelta, on_progress: Callable[[int], None]
) -> Extraction:
    """Store all records of an extraction.

    Args:
        lines: Singer messages, each with its line end.
        store: Where to store the records.
        lookback: The longest delay with which a change appears in Drift's listings.
        on_progress: Called with the number of records so far.

    Raises:
        FatalSyncError: If a line is not a Singer message, or is a BATCH message.
    """
    reader = _MessageReader(store, lookback)
    for number, line in enumerate(lines, start=1):
        if reader.read_line(line):
            on_progress(reader.extraction.record_count)
        elif line.endswith(b"\n"):
            raise FatalSyncError(f"Line {number:,} of the input is not a Singer message.")
        else:
            reader.extraction.is_truncated = True
    return reader.extraction


class _MessageReader:
    def __init__(self, store: Store, lookback: timedelta) -> None:
        self.extraction = Extraction()
        self._store = store
        self._lookback = lookback
        self._run = Run()
        self._declared: set[str] = set()
        self._properties: dict[str, KeysView[str]] = {}
        self._flattened: dict[str, ColumnMap] = {}
        self._has_conversation_records = False

    def read_line(self, line: bytes) -> bool:
        """Process one line; returns whether it is a valid message."""
        try:
            self._read_message(_DECODER.decode(line))
        except (AttributeError, KeyError, TypeError, ValueError):
            return False
        return True

    def _read_message(self, message: _Message) -> None:
        if message.type == "BATCH":
            raise FatalSyncError(
                "The input has BATCH messages, whose records are in separate files. Run the tap "
                "without `batch_config` and verify the output of that run."
            )
        if message.type == "STATE" and not self.extraction.record_count:
            self.extraction.is_continuation |= _has_bookmark(message.value)
        if message.type not in {"SCHEMA", "RECORD", "ACTIVATE_VERSION"}:
            return
        if message.stream == FailedItemsStream.name:
            return
        if message.stream not in self._store.primary_keys:
            self.extraction.other_streams.add(message.stream)
        elif message.type == "SCHEMA":
            self._read_schema(message)
        elif message.type == "ACTIVATE_VERSION":
            if message.version is not None:
                self._store.delete_other_versions(message.stream, message.version)
        else:
            self._read_record(message)

    def _read_schema(self, message: _Message) -> None:
        """Register a stream and detect the start of the next run.

        A run emits one SCHEMA message per stream, and those of conversations and their child
        streams before the first record of any of them.
        """
        stream = message.stream
        is_late = self._has_conversation_records and stream in CONVERSATION_STREAMS
        if is_late or stream in self._declared:
            self._run, self._declared = Run(), set()
            self._has_conversation_records = False
        self._declared.add(stream)
        self.extraction.runs[stream] = self._run
        if message.key_properties and stream not in REFERENCED_STREAMS:
            self._store.primary_keys[stream] = tuple(message.key_properties)
        self._read_properties(stream, (message.schema or {}).get("properties"))

    def _read_properties(self, stream: str, properties: dict[str, Any] | None) -> None:
        """Compare only the fields that the run emits: a catalog can deselect others."""
        if not properties or self._properties.get(stream) == properties.keys():
            return
        if stream in self._properties:
            raise FatalSyncError(
                f"The runs in the input have different fields of `{stream}`. Verify only those "
                "with the same fields, and with the same version of tap-drift."
            )
        self._properties[stream] = properties.keys()
        columns = ColumnMap(stream, properties)
        self._store.fields[stream].restrict(columns.shape({}), has_others=True)
        if columns.is_flattened:
            self._flattened[stream] = columns

    def _read_record(self, message: _Message) -> None:
        if message.record is None:
            raise ValueError
        covered_until = None
        if message.time_extracted:
            read_at = _parse_time(message.time_extracted)
            self._run.started_at = min(self._run.started_at or read_at, read_at)
            covered_until = format_timestamp(read_at - self._lookback)
        self._has_conversation_records |= message.stream in CONVERSATION_STREAMS
        columns = self._flattened.get(message.stream)
        record = columns.to_record(message.record) if columns else message.record
        self._store.add(Side.EXTRACTED, message.stream, record, covered_until, message.version)
        self.extraction.runs.setdefault(message.stream, self._run)
        self.extraction.record_count += 1


def _has_bookmark(state: dict[str, Any]) -> bool:
    bookmarks = state.get("bookmarks") or {}
    return any("replication_key_value" in each or "resume" in each for each in bookmarks.values())
