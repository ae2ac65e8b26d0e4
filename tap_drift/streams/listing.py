"""Listing reader: reads the listing of conversations page by page, ahead of the output."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import FatalAPIError

from tap_drift.exceptions import RequestRefusedError
from tap_drift.streams.outages import OutageCheck
from tap_drift.sync.fetch_queue import FetchQueue
from tap_drift.sync.new_rows import MAX_PAGES_WITHOUT_NEW_ROWS, NewRowsCheck
from tap_drift.sync.prefetch import Prefetcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from singer_sdk.helpers.types import Record

    from tap_drift.api.responses import Page, Row
    from tap_drift.streams.base import DriftStream
    from tap_drift.streams.items import FetchResult
    from tap_drift.streams.per_conversation import PerConversationStream
    from tap_drift.sync.checkpoints import Checkpoint
    from tap_drift.sync.shared_walk import SharedWalk

PAGES_AHEAD = 2
"""Number of pages read ahead of the page being written; more if pages are small.

With one, the next request would wait for the main thread, which does not release Python's lock
while it writes a page.
"""

SLOW_PAGE_SECONDS = 0.02
"""Pages that come sooner are not read ahead, unless they have children.

A thread would take more CPU time than it saves.
"""

_ITEMS_PER_BATCH = 100

_LOST = ""
"""Stands for the query of a next page to which there is no link."""


@dataclass(frozen=True, slots=True)
class PageBatch:
    """The records of one page of the listing, or items that do not belong to a listed record."""

    records: list[Record]
    """The listed conversations; those of other shards as well, if a child reads their contact."""

    read_at: datetime
    oldest: int | None
    """Last `updatedAt` seen, epoch milliseconds."""

    checkpoints: Mapping[str, Checkpoint]
    """Checkpoint of each stream, valid once the batch has been written."""

    statuses: list[Any] = field(default_factory=list)
    """Status of each conversation on the page, of any shard and selected or not."""

    items: list[tuple[PerConversationStream, dict[str, Any]]] = field(default_factory=list)
    """The stream, and what its `write` takes, for contacts of meetings and earlier failed items."""


class ListingReader:
    """Reads the pages that a walk selects, and requests the children of each record."""

    def __init__(
        self,
        listing: DriftStream,
        walk: SharedWalk,
        active: Mapping[str, DriftStream],
        children: list[PerConversationStream],
        passes: Callable[[Record], bool],
    ) -> None:
        """Create a reader.

        Args:
            listing: The stream of the listing, which may be deselected.
            walk: The walk for all active streams.
            active: The streams that this run reads, by name.
            children: The active streams that send a request for each conversation.
            passes: Whether a conversation is emitted; for others, the children request nothing.
        """
        self._listing = listing
        self._walk = walk
        self._active = active
        self._children = children
        self._passes = passes

    @contextmanager
    def open(self) -> Iterator[Iterator[PageBatch]]:
        """Provide the batches; another thread reads them ahead, unless they come at once."""
        # The process does not wait for requests under way: `run_as_process` ends it.
        with ExitStack() as stack:
            self._listing.cancelled.clear()
            stack.callback(self._listing.cancelled.set)
            ahead = PAGES_AHEAD
            if self._children:
                ahead += self._start_children(stack)
            batches, started_at = self._batches(), time.monotonic()
            first = [*islice(batches, 1)]
            if self._children or time.monotonic() - started_at > SLOW_PAGE_SECONDS:
                batches = iter(stack.enter_context(Prefetcher(batches, ahead)))
            yield chain(first, batches)

    def _start_children(self, stack: ExitStack) -> int:
        """Start the children, until the stack closes; return the further pages to read ahead."""
        config = self._listing.config
        concurrency = int(config["concurrency"])
        queue: FetchQueue[FetchResult] = FetchQueue(concurrency)
        stack.callback(queue.close)
        outages = OutageCheck(self._listing)
        for child in self._children:
            child.start(queue, outages)
            stack.callback(child.finish)
        return 2 * concurrency // int(config["page_size"])

    def _batches(self) -> Iterator[PageBatch]:
        # First: the checkpoints of pages cover them.
        for child in self._children:
            yield from _item_batches(child, child.requests_before_listing())
        yield from self._read_listing()
        for child in self._children:
            yield from _item_batches(child, child.requests_to_retry())

    def _read_listing(self) -> Iterator[PageBatch]:
        try:
            yield from self._read(self._walk)
        except RequestRefusedError as error:
            if not (self._walk.has_jumped and error.rejects_request):
                raise
            self._listing.log(
                "%s. Drift no longer accepts the page token of the interrupted run: restarting at "
                "the first page, without emitting again what that run emitted.",
                error,
                level=logging.WARNING,
            )
            yield from self._read(self._walk.restarted())

    def _read(self, walk: SharedWalk) -> Iterator[PageBatch]:
        paginator = self._listing.get_new_paginator()
        path = str(self._listing.path)
        new_rows, oldest = NewRowsCheck(path, MAX_PAGES_WITHOUT_NEW_ROWS), None
        while not paginator.finished:
            page = self._listing.fetch_page(paginator.current_value)
            read_at = datetime.now(UTC)
            statuses = [row.get("status") for row in page.rows]
            selected = self._select(walk, page.rows)
            self._request_children(selected)
            before = walk.checkpoints
            query = walk.next_query(page.next_query or _lost(page), paginator.has_visited)
            is_cut = query == _LOST
            checkpoints = _completed(before, walk) if is_cut else walk.checkpoints
            records = [row for row, _ in selected]
            yield PageBatch(records, read_at, walk.oldest, checkpoints, statuses)
            for name, stream in self._active.items():
                if stream.failure is not None:
                    walk.drop(name)
            if is_cut:
                raise FatalAPIError(
                    f"{path} has more conversations, but no link to them, so not all could be "
                    "read. Run again, and report it to Drift's support if it persists."
                )
            if query:
                has_progressed = walk.is_ordered and _is_earlier(walk.oldest, oldest)
                ids = (str(row.get("id")) for row in page.rows)
                new_rows.add_page(ids, has_progressed=has_progressed)
                oldest = walk.oldest
            paginator.move_to(query)

    def _select(self, walk: SharedWalk, rows: list[Row]) -> list[tuple[Record, set[str]]]:
        """Return the records to emit, each with the names of the streams that want it."""
        selected = walk.select_rows(rows)
        if not walk.is_ordered:
            self._listing.warn_once(
                "Drift no longer lists conversations by `updatedAt`, newest first: this run reads "
                "the whole listing."
            )
        self._listing.to_records([row for row, _ in selected])
        if self._listing.shard.is_whole_account:
            return selected
        shared = [(row, self._readers_in_shard(row, names)) for row, names in selected]
        return [(row, names) for row, names in shared if names]

    def _readers_in_shard(self, row: Record, names: set[str]) -> set[str]:
        return {name for name in names if self._active[name].shard.contains_row(row)}

    def _request_children(self, selected: list[tuple[Record, set[str]]]) -> None:
        if not self._children:
            return
        for record, names in selected:
            if not self._passes(record):
                continue
            for child in self._children:
                if child.name in names:
                    child.request(record)


def _item_batches(
    child: PerConversationStream, owners: list[dict[str, Any]]
) -> Iterator[PageBatch]:
    for start in range(0, len(owners), _ITEMS_PER_BATCH):
        batch = [(child, owner) for owner in owners[start : start + _ITEMS_PER_BATCH]]
        yield PageBatch([], datetime.now(UTC), None, {}, items=batch)


def _lost(page: Page) -> str | None:
    return _LOST if page.is_truncated else None


def _completed(before: Mapping[str, Checkpoint], walk: SharedWalk) -> dict[str, Checkpoint]:
    """Return the earlier checkpoints, but for walks that are complete by now."""
    return {
        name: checkpoint if checkpoint.is_complete else before[name]
        for name, checkpoint in walk.checkpoints.items()
    }


def _is_earlier(time: int | None, than: int | None) -> bool:
    """Return whether a time is known, and earlier than another one, if that is known."""
    return time is not None and (than is None or time < than)
