"""Isolated stream: its failure does not end the run, and its records take a fast path.

All private methods of the SDK that streams override are here, and in `ConversationsStream`;
docs/decisions/private-sdk-overrides.md lists them.
"""

from __future__ import annotations

import logging
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, cast

from singer_sdk import metrics
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.streams import RESTStream
from typing_extensions import override

from tap_drift.exceptions import is_output_error, traceback_lines
from tap_drift.logs import SdkNoiseFilter

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from datetime import datetime

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context, Record

    from tap_drift.sync.writer import MessageWriter


class DriftTap(Protocol):
    """The tap's interface for streams, in addition to the SDK's."""

    message_writer: MessageWriter

    def report_failure(self, stream: str, error: Exception) -> None:
        """Log that a stream failed."""

    def failed_item_records(self) -> list[Record]:
        """Return a record for each failed item of all streams."""


class _RecordCounter(metrics.Counter):
    """The metric of a stream's records. The SDK would also count those that are filtered out."""

    def __init__(self, stream: IsolatedStream) -> None:
        super().__init__(metrics.Metric.RECORD_COUNT, {metrics.Tag.STREAM: stream.name})
        self._stream = stream
        self._counted = stream.record_count
        self._calls = 0

    @override
    def increment(self, value: int = 1) -> None:
        """Add what has been written, once in 100 calls: the SDK reads the clock each time."""
        self._calls += 1
        if self._calls % 100 == 0:
            self._add_written()

    @override
    def exit(self) -> None:
        """Add what has been written, and log, once."""
        if self._stream.counter is self:
            self._stream.counter = None
            self._add_written()
            super().exit()

    def _add_written(self) -> None:
        written = self._stream.record_count
        super().increment(written - self._counted)
        self._counted = written


class IsolatedStream(RESTStream[str]):
    """A stream that records its failure instead of ending the run."""

    # Records come from JSON and are written as JSON: there is nothing to conform.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    def __init__(self, tap: Tap) -> None:
        super().__init__(tap)
        self.logger.addFilter(SdkNoiseFilter())
        self.failure: Exception | None = None
        """The exception that ended the stream in this run; None if it has not failed."""
        self.record_count = 0
        """Number of records written in this run, without those that a stream map filtered out."""
        self.counter: metrics.Counter | None = None
        """Counts the records while the stream is read."""
        self.cancelled = threading.Event()
        """Set when no response is needed any more."""
        self._warnings: dict[str, object] = {}
        self._read_at: datetime | None = None

    @cached_property
    def writer(self) -> MessageWriter:
        """Writer of all messages."""
        return self._drift_tap.message_writer

    @property
    def _drift_tap(self) -> DriftTap:
        return cast("DriftTap", self._tap)

    def fail(self, error: Exception) -> None:
        """End the stream, but not the run."""
        self.failure = error
        self.cancelled.set()
        self.log("Traceback:\n%s", traceback_lines(error), level=logging.DEBUG)
        self._drift_tap.report_failure(self.name, error)

    def warn_once(self, message: str) -> None:
        """Log a warning, unless it was logged before."""
        this_call = object()
        # Atomic: worker threads warn as well.
        if self._warnings.setdefault(message, this_call) is this_call:
            self.log(message, level=logging.WARNING)

    def write_state(self) -> None:
        """Write a STATE message, unless it would repeat the last one."""
        self._tap.state_writer.write_state(self.tap_state)

    @cached_property
    def _needs_no_mapping(self) -> bool:
        """Whether records are written as they are: no stream map, no flattening, all fields."""
        return (
            [type(each) for each in self.stream_maps] == [SameRecordTransform]
            and not self.stream_maps[0].flattening_enabled
            and all(self.mask.values())
        )

    # The SDK's method does work for each record that is the same for all records of a stream.
    # Test: test_records_take_the_fast_path in tests/sync/test_writer.py.
    @override
    def _write_record_message(self, record: Record) -> None:
        if self._needs_no_mapping:
            self.writer.write_record(self.name, record, self._stream_version, self._read_at)
            self.record_count += 1
        else:
            messages = [*self._generate_record_messages(record)]
            for message in messages:
                self._tap.write_message(message)
            # A map can emit a record as several streams.
            self.record_count += bool(messages)
        self.state_manager.is_flushed = False

    @override
    def get_record_counter(self, **options: Any) -> metrics.Counter:
        """Return a counter of the records written."""
        self.counter = _RecordCounter(self)
        return self.counter

    def log_counts(self) -> None:
        """Log what was counted, if the stream is being read."""
        if self.counter:
            self.counter.exit()
            for line in self.summary():
                self.log(line, level=logging.WARNING)

    def summary(self) -> Iterable[str]:
        """Return what `log_counts` warns of."""
        return ()

    # The SDK's method lets an error end the run.
    # Tests: tests/streams/test_full_tables.py.
    @override
    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[Record, None, None]:
        try:
            for record in super()._sync_records(context, write_messages=write_messages):
                if not write_messages:
                    self.record_count += 1  # in a batch
                yield record
        except Exception as error:
            if is_output_error(error):
                raise
            self.writer.flush()
            self.write_state()
            self.fail(error)
        else:
            if write_messages and self._stream_version is not None:
                super()._write_activate_version_message(self._stream_version)

    # The SDK calls it before the first record. If the stream then failed, targets would delete rows
    # that were not replaced. `_sync_records` sends the message after the last record.
    @override
    def _write_activate_version_message(self, full_table_version: int) -> None:
        pass
