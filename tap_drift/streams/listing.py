"""Listing reader: reads the listing of conversations page by page, ahead of the output."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tap_drift.exceptions import RequestRefusedError
from tap_drift.sync.prefetch import Prefetcher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Executor

    from singer_sdk.helpers.types import Record

    from tap_drift.api.responses import Row
    from tap_drift.streams.base import DriftStream
    from tap_drift.streams.per_conversation import PerConversationStream
    from tap_drift.sync.checkpoints import Checkpoint
    from tap_drift.sync.shared_walk import SharedWalk

PAGES_AHEAD = 2
"""Number of pages read ahead of the page being written; more if pages are small."""


@dataclass(frozen=True, slots=True)
class PageBatch:
    """The records of one page of the listing."""

    records: list[Record]
    read_at: datetime
    oldest: int | None
    """Last `updatedAt` seen, epoch milliseconds."""

    checkpoints: Mapping[str, Checkpoint]
    """Checkpoint of each stream, valid once the batch has been written."""


class ListingReader:
    """Reads the pages that a walk selects, and requests the children of each record."""

    def __init__(
        self,
        listing: DriftStream,
        walk: SharedWalk,
        active: Mapping[str, DriftStream],
        children: list[PerConversationStream],
    ) -> None:
        """Create a reader.

        Args:
            listing: The stream of the listing, which may be deselected.
            walk: The walk for all active streams.
            active: The streams that this run reads, by name.
            children: The active streams that send a request for each conversation.
        """
        self._listing = listing
        self._walk = walk
        self._active = active
        self._children = children

    @contextmanager
    def open(self) -> Iterator[Iterator[PageBatch]]:
        """Provide the batches; with children, they are read ahead in other threads."""
        if not self._children:
            yield self._batches(None)
            return
        config = self._listing.config
        concurrency = int(config["concurrency"])
        ahead = PAGES_AHEAD + 2 * concurrency // int(config["page_size"])
        executor = ThreadPoolExecutor(concurrency, thread_name_prefix="request")
        with ExitStack() as stack:
            # The process does not wait for requests in progress: `run_as_process` ends it.
            stack.callback(executor.shutdown, wait=False, cancel_futures=True)
            for child in self._children:
                child.start()
                stack.callback(child.finish)
            yield iter(stack.enter_context(Prefetcher(self._batches(executor), ahead)))

    def _batches(self, executor: Executor | None) -> Iterator[PageBatch]:
        try:
            yield from self._read(self._walk, executor)
        except RequestRefusedError as error:
            if not (self._walk.has_jumped and error.rejects_request):
                raise
            self._listing.log(
                "%s. Drift no longer accepts the page token of the interrupted run: restarting at "
                "the first page, without emitting again what that run emitted.",
                error,
                level=logging.WARNING,
            )
            yield from self._read(self._walk.restarted(), executor)

    def _read(self, walk: SharedWalk, executor: Executor | None) -> Iterator[PageBatch]:
        paginator = self._listing.get_new_paginator()
        while not paginator.finished:
            page = self._listing.fetch_page(paginator.current_value)
            read_at = datetime.now(UTC)
            selected = self._select(walk, page.rows)
            if executor:
                self._request_children(selected, executor)
            query = walk.next_query(page.next_query, paginator.has_visited)
            yield PageBatch([row for row, _ in selected], read_at, walk.oldest, walk.checkpoints)
            for name, stream in self._active.items():
                if stream.failure is not None:
                    walk.drop(name)
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
        shard = self._listing.shard
        if shard.is_whole_account:
            return selected
        return [(row, names) for row, names in selected if shard.contains(row["id"])]

    def _request_children(
        self, selected: list[tuple[Record, set[str]]], executor: Executor
    ) -> None:
        for record, names in selected:
            for child in self._children:
                if child.name in names:
                    child.request(record, executor)
