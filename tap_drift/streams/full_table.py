"""Full-table stream: reads all rows in every run."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from typing_extensions import override

from tap_drift.logs import counted
from tap_drift.streams.base import DriftStream
from tap_drift.sync.new_rows import NewRowsCheck
from tap_drift.sync.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk.helpers.types import Context, Record


class FullTableStream(DriftStream):
    """A stream that is read completely in every run, by the first shard only."""

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        if not self.shard.is_first:
            self._stream_version = None  # nothing is read, so targets must not delete rows
            self.log("%s is read by shard 0 only.", self.name)
            return
        paginator, progress = self.get_new_paginator(), Progress(self.logger, self.name)
        total = received = 0
        new_rows = NewRowsCheck(str(self.path), max_pages=1)
        while not paginator.finished:
            page = self.fetch_page(paginator.current_value)
            self._read_at = datetime.now(UTC)
            rows = page.rows if paginator.is_complete(page) else []
            if page.next_query:
                new_rows.add_page(str([row.get(key) for key in self.primary_keys]) for row in rows)
            yield from self.to_records(rows)
            self.writer.flush()
            progress.add_page(self.record_count - progress.records)
            received += len(rows)
            total = max(total, page.total or 0)
            paginator.follow(page)
        requests = self.client.request_counts[self.name]
        progress.log_summary([], requests, "The next run reads all of them again.")
        if received < total:
            self._warn_of_missing(received, total)

    def _warn_of_missing(self, received: int, total: int) -> None:
        """Warn, and keep targets from deleting the rows that are missing.

        Drift may count rows that it does not list, or the account changed during the run.
        """
        self._stream_version = None
        self.log(
            "Drift reports %s, but sent %s.",
            counted(total, self.name),
            f"{received:,}",
            level=logging.WARNING,
        )
