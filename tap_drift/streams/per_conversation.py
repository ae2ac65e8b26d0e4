"""Per-conversation stream: one request for each record of the listing, sent ahead of its turn."""

from __future__ import annotations

import logging
from abc import abstractmethod
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from singer_sdk.exceptions import FatalSyncError
from typing_extensions import override

from tap_drift.exceptions import InvalidRecordError, RequestRefusedError, is_output_error
from tap_drift.streams.base import DriftStream

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Executor, Future

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context, Record

    from tap_drift.api.client import DriftClient
    from tap_drift.api.responses import Row

_MAX_NAMED = 20
"""Number of missing items that are named in the log."""

_MIN_ALL_MISSING = 20
"""If at least this many items were requested and all are missing, the stream fails."""


class FetchResult(NamedTuple):
    """The records of one conversation or contact."""

    records: list[Record]
    read_at: datetime


class PerConversationStream(DriftStream):
    """A stream with one request, or more, for each record of its parent.

    The parent calls `request` when it has read a record, and `write` after it has written it. The
    stream has no partitions: its state, which the parent writes, is its own bookmark in the
    parent's listing.
    """

    def __init__(self, tap: Tap, client: DriftClient) -> None:
        super().__init__(tap, client)
        # It follows the listing's `updatedAt`: its own rows have no update time.
        self.forced_replication_method = "INCREMENTAL"
        self.record_count = 0
        """Number of records written in this run."""
        self._requested = 0
        self._missing = 0
        self._missing_paths: list[str] = []
        # By the identity of the parent's record: a conversation that moves while the listing is
        # read can be listed twice.
        self._prefetched: dict[int, Future[FetchResult]] = {}

    @abstractmethod
    def context_of(self, record: Record) -> dict[str, Any] | None:
        """Return the values for the placeholders in the path; None if there is no request.

        Args:
            record: A record of the parent.
        """

    def start(self) -> None:
        """Write the SCHEMA message, once for all records of the parent."""
        self.cancelled.clear()
        self._write_schema_message()

    def request(self, record: Record, executor: Executor) -> None:
        """Submit the request for a record of the parent."""
        context = self.context_of(record)
        if context is not None and self.failure is None:
            self._prefetched[id(record)] = executor.submit(self._fetch, context)

    def write(self, record: Record) -> None:
        """Write what was requested for a record of the parent; a failure ends this stream only."""
        future = self._prefetched.pop(id(record), None)
        if future and self.failure is None:
            self._write_result(future)

    def discard(self, record: Record) -> None:
        """Discard what was requested for a record that a stream map filtered out."""
        self._prefetched.pop(id(record), None)

    def finish(self) -> None:
        """Cancel requests, and log the counts."""
        self.cancelled.set()
        with self.get_record_counter() as counter:
            counter.increment(self.record_count)
        if self._missing:
            self.log(
                "%s: %s of %s not found (404 or 410), skipped: %s%s",
                self.name,
                f"{self._missing:,}",
                f"{self._requested:,}",
                ", ".join(self._missing_paths),
                " and others" if self._missing > _MAX_NAMED else "",
                level=logging.WARNING,
            )

    @property
    @override
    def holds_back_state(self) -> bool:
        """Whether all items so far are missing."""
        return 0 < self._missing == self._requested

    @override
    def check_result(self) -> None:
        """Fail the stream if all items are missing.

        A single missing item is skipped. If all are missing, the path or the token is probably
        wrong, and a bookmark would make the next run skip these items.
        """
        if self.failure is None and self.holds_back_state and self._missing >= _MIN_ALL_MISSING:
            self.fail(
                FatalSyncError(
                    f"All {self._missing:,} requests for `{self.name}` were answered 404 or 410 "
                    f"({self._missing_paths[0]} first): check `api_url`, and whether the token may "
                    f"read them (scope `{self.scope}`)."
                )
            )

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Request one item.

        Args:
            context: Values for the placeholders in the path.
        """
        return self._fetch(dict(context or {})).records

    def _fetch(self, context: dict[str, Any]) -> FetchResult:
        rows: list[Row] = []
        for page in self.pages(context):
            rows += page.rows
            if page.is_truncated:
                self.log(
                    "%s has more rows, but no link to them.",
                    self.endpoint(context),
                    level=logging.WARNING,
                )
        read_at = datetime.now(UTC)
        try:
            return FetchResult(self._process(rows, context), read_at)
        except InvalidRecordError as error:
            raise InvalidRecordError(f"{self.endpoint(context)}: {error}") from None

    def _process(self, rows: list[Row], context: dict[str, Any]) -> list[Record]:
        self._converter.convert_times(rows)
        processed = (self.post_process(row, context) for row in rows)
        records = [record for record in processed if record is not None]
        self._converter.check_keys(records)
        return records

    def _write_result(self, future: Future[FetchResult]) -> None:
        self._requested += 1
        try:
            result = future.result()
            self._read_at = result.read_at
            for record in result.records:
                self._write_record_message(record)
            self.record_count += len(result.records)
        except RequestRefusedError as error:
            if error.is_not_found:
                self._record_missing(error.path)
            else:
                self.fail(error)
        except Exception as error:
            if is_output_error(error):
                raise
            self.fail(error)

    def _record_missing(self, path: str) -> None:
        self._missing += 1
        if self._missing <= _MAX_NAMED:
            self._missing_paths.append(path)
