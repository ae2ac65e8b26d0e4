"""Per-conversation stream: one request for each record of the listing, sent ahead of its turn."""

from __future__ import annotations

import logging
from abc import abstractmethod
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from singer_sdk.exceptions import FatalAPIError, FatalSyncError
from typing_extensions import override

from tap_drift.api.retry import is_transient_status, item_wait_times
from tap_drift.exceptions import (
    EndlessPaginationError,
    ItemFailedError,
    ItemNotFoundError,
    RequestRefusedError,
    is_output_error,
)
from tap_drift.streams.base import DriftStream
from tap_drift.streams.item_counts import MAX_FAILED_FIRST, MAX_NAMED, ItemCounts
from tap_drift.streams.items import FetchResult, send_for_item
from tap_drift.sync.failed_items import MAX_ITEMS, FailedItem, FailedItems
from tap_drift.sync.shards import Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Record

    from tap_drift.api.client import DriftClient
    from tap_drift.api.responses import Row
    from tap_drift.streams.items import Item
    from tap_drift.streams.outages import OutageCheck
    from tap_drift.sync.fetch_queue import FetchQueue

T = TypeVar("T")

_MAX_PAGES, _MAX_BYTES = 2000, 32 << 20
"""Number of pages of one item, and their size: with more, the item has failed."""


class PerConversationStream(DriftStream):
    """A stream with one request, or more, for each record of its parent.

    The parent calls `request` when it has read a record, and `write` after it has written it. The
    stream has no partitions: its state, which the parent writes, is a bookmark of its own in the
    parent's listing, and the list of items that could not be read.
    """

    is_item = True

    def __init__(self, tap: Tap, client: DriftClient) -> None:
        super().__init__(tap, client)
        # It follows the listing's `updatedAt`: its own rows have no update time.
        self.forced_replication_method = "INCREMENTAL"
        self.resolved: dict[int, FailedItem] = {}
        """Items that had failed, and were read in this run, or found to be deleted."""
        self.outages: OutageCheck | None = None
        """Tells an outage from the failure of an item."""
        self.unnamed_failures = 0
        """Number of items that failed, but have no id to request them by again."""
        self._counts = ItemCounts()
        self._to_retry: dict[int, FailedItem] = {}
        self._queue: FetchQueue[FetchResult] | None = None
        # By the identity of the parent's record: a conversation that moves while the listing is
        # read can be listed twice.
        self._prefetched: dict[int, tuple[Item | None, Future[FetchResult]]] = {}

    @abstractmethod
    def item_of(self, record: Record) -> Item | None:
        """Return the item that belongs to a record of the parent; None if there is none.

        Raises:
            ItemFailedError: If the record does not name it by an integer.
        """

    @abstractmethod
    def item(self, item_id: int) -> Item:
        """Return the item with this id."""

    @property
    def failed_items(self) -> FailedItems:
        """The items that could not be read, in this run or an earlier one."""
        return FailedItems(self.stream_state)

    def start(self, queue: FetchQueue[FetchResult], outages: OutageCheck) -> None:
        """Write the SCHEMA message, once for all records of the parent.

        Args:
            queue: Runs the requests.
            outages: Tells an outage from the failure of an item.
        """
        self.cancelled.clear()
        self._queue = queue
        self.counter = self.get_record_counter()
        self.outages = outages
        # A state is held back until an item has succeeded.
        progress = {"resume", "replication_key_value"}
        self._counts.has_succeeded_before = bool(progress & {*self.stream_state})
        self._to_retry = {item.id: item for item in self.failed_items}
        if Shard.from_state(self.stream_state).is_whole_account:
            self._leave_items_to_other_shards()
        self._write_schema_message()

    def request(self, record: Record) -> None:
        """Submit the request for a record of the parent."""
        if self.failure is not None:
            return
        try:
            item = self.item_of(record)
        except ItemFailedError as error:
            failed: Future[FetchResult] = Future()
            failed.set_exception(error)
            self._prefetched[id(record)] = None, failed
            return
        if item:
            self._submit(record, item)

    def requests_before_listing(self) -> list[dict[str, Any]]:
        """Submit the items that are not those of a conversation.

        Returns:
            What `write` takes for each of them.
        """
        return []

    def requests_to_retry(self) -> list[dict[str, Any]]:
        """Submit the items that failed in an earlier run and were not requested in this one.

        Returns:
            What `write` takes for each of them.
        """
        return self._submit_items(each for each in [*self._to_retry] if self.failure is None)

    def write(self, record: Record) -> None:
        """Write what was requested for a record of the parent."""
        item, future = self._prefetched.pop(id(record), (None, None))
        if future and self._queue:
            if self.failure is None:
                self._write_result(item, future)
            else:
                self.on_discarded(future)
            self._queue.release(future)

    def on_result(self, result: FetchResult) -> None:
        """Do what comes before the records of an item are written."""

    def on_discarded(self, future: Future[FetchResult]) -> None:
        """Do what remains of a request that was submitted before the stream failed."""

    def fetch(self, context: dict[str, Any]) -> FetchResult:
        """Request one item.

        Args:
            context: Values for the placeholders in the path.

        Raises:
            ItemNotFoundError: If Drift answers 404 or 410.
            ItemFailedError: If the item cannot be read, while Drift answers others.
            FatalAPIError: If the failure is not the item's.
        """
        return self.isolate(partial(self._fetch_pages, context), self.endpoint(context))

    def isolate(self, request: Callable[[], T], path: str) -> T:
        """Send a request for an item, and tell the item's failure from an outage.

        Args:
            request: Sends the request.
            path: Path of the item, for messages.

        Raises:
            ItemNotFoundError: If Drift answers 404 or 410.
            ItemFailedError: If the item cannot be read, while Drift answers others.
            FatalAPIError: If the failure is not the item's.
        """
        try:
            return send_for_item(request, path)
        except ItemFailedError as error:
            failure = error
        # Outside of the handler: the messages of errors name the first error of a chain.
        if self.outages is None or self.outages.is_items_fault(failure.since):
            raise failure
        return send_for_item(request, path)

    def submitted(self, record: Record) -> Future[FetchResult] | None:
        """Return the request that was submitted for a record of the parent."""
        _, future = self._prefetched.get(id(record), (None, None))
        return future

    def task(self, record: Record, item: Item) -> Callable[[], FetchResult]:  # noqa: ARG002 - for overrides
        """Return the function that requests an item for a record of the parent."""
        return partial(self.fetch, item.context)

    def finish(self) -> None:
        """Cancel requests, and log the counts."""
        self.cancelled.set()
        self.log_counts()

    @override
    def summary(self) -> Iterable[str]:
        return self._counts.summary(self.name)

    @property
    @override
    def holds_back_state(self) -> bool:
        """Whether no item has succeeded so far."""
        return self._counts.none_succeeded

    @override
    def check_result(self) -> None:
        """Fail the stream if no item has succeeded, and token or path are probably wrong.

        A bookmark would take that for an empty stream.
        """
        if self.failure is not None or not self.holds_back_state:
            return
        counts = self._counts
        if counts.refusal and not counts.has_succeeded_before:
            self._fail_as_refused(str(counts.refusal), counts.refusal.status)
        elif counts.missing >= MAX_FAILED_FIRST:
            self._fail_as_refused(
                f"All {counts.missing:,} requests for `{self.name}` were answered 404 or 410 "
                f"({counts.missing_paths[0]} first): check `api_url`, and whether the token may "
                f"read them (scope `{self.scope}`).",
                HTTPStatus.NOT_FOUND,
            )

    @override
    def backoff_wait_generator(self) -> Generator[float, Any, None]:
        return item_wait_times(self.client.circuit_breaker)

    def _leave_items_to_other_shards(self) -> None:
        for item_id in [*self._to_retry]:
            if not self.shard.contains(item_id):
                self.failed_items.resolve(item_id)
                del self._to_retry[item_id]

    def _submit_items(self, ids: Iterable[int]) -> list[dict[str, Any]]:
        """Submit items that are not those of a listed record; return what `write` takes."""
        owners: list[dict[str, Any]] = []
        for item_id in ids:
            owners.append({"id": item_id})
            self._submit(owners[-1], self.item(item_id))
        return owners

    def _submit(self, record: Record, item: Item) -> None:
        if self._queue:
            self._to_retry.pop(item.id, None)
            future = self._queue.submit(self.task(record, item))
            self._prefetched[id(record)] = item, future

    def _fetch_pages(self, context: dict[str, Any]) -> FetchResult:
        rows: list[Row] = []
        size = 0
        seen: set[Any] = set()
        for number, page in enumerate(self.pages(context), start=1):
            rows += page.rows
            size += page.size
            if page.is_truncated:
                self.log(
                    "%s has more rows, but no link to them.",
                    self.endpoint(context),
                    level=logging.WARNING,
                )
            before = len(seen)
            seen.update(str(row.get("id")) for row in page.rows)
            is_too_long = number == _MAX_PAGES or size > _MAX_BYTES
            if page.next_query and (len(seen) == before or is_too_long):
                raise EndlessPaginationError(
                    f"{self.endpoint(context)}: page {number} has a link to a next page, but "
                    + ("no new row." if len(seen) == before else "more pages are not read.")
                )
        return self.result(rows, context, size)

    def result(self, rows: list[Row], context: dict[str, Any], size: int) -> FetchResult:
        """Build the result of an item's requests from the rows of all its pages."""
        return FetchResult(self._process(rows, context), datetime.now(UTC), size)

    def _process(self, rows: list[Row], context: dict[str, Any]) -> list[Record]:
        self._converter.convert_times(rows)
        processed = (self.post_process(row, context) for row in rows)
        records = [record for record in processed if record is not None]
        self._converter.check_keys(records)
        self._fit(records)
        return records

    def _write_result(self, item: Item | None, future: Future[FetchResult]) -> None:
        self._counts.requested += 1
        try:
            result = future.result()
            self._read_at = result.read_at
            self.on_result(result)
            for record in result.records:
                self._write_record_message(record)
            for path in result.missing:
                self._counts.add_missing(path)
            if result.failure is not None:
                raise result.failure
            self._counts.succeeded += result.is_proof
            self._resolve(item)
        except ItemNotFoundError as error:
            self._counts.add_missing(error.path)
            self._resolve(item)
        except ItemFailedError as error:
            self._record_failure(item, error)
        except Exception as error:
            if is_output_error(error):
                raise
            self.fail(error)

    def _resolve(self, item: Item | None) -> None:
        if item and (resolved := self.failed_items.resolve(item.id)):
            self.resolved[item.id] = resolved

    def _record_failure(self, item: Item | None, error: ItemFailedError) -> None:
        self._counts.add_failure(error)
        if self._counts.failed <= MAX_NAMED:
            self.log("%s: failed item: %s", self.name, error, level=logging.WARNING)
        listed = self.failed_items
        is_listed = item is not None and item.id in listed
        if not is_listed and len(listed) + self.unnamed_failures >= MAX_ITEMS:
            self.fail(FatalSyncError(f"More than {MAX_ITEMS:,} items failed; the last: {error}"))
            return
        if item:
            self.resolved.pop(item.id, None)
            listed.add(item.id, str(error), error.status)
        else:
            self.unnamed_failures += 1
        if self._counts.have_failed_from_the_start:
            self._fail_as_refused(
                f"Its first {self._counts.unsuccessful} requests failed; the last: {error}",
                error.status,
            )

    def _fail_as_refused(self, message: str, status: int | None) -> None:
        if status is None or is_transient_status(status):
            self.fail(FatalAPIError(message))
        else:
            self.fail(RequestRefusedError(message, str(self.path), status))
