"""Progress: log lines while a stream is being read, and its summary."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tap_drift.logs import counted
from tap_drift.timestamps import from_epoch_ms

if TYPE_CHECKING:
    import logging

LOG_INTERVAL = 10.0
"""Seconds between two log lines."""


class Progress:
    """Counts records and pages, and logs them at INFO."""

    def __init__(self, logger: logging.Logger, noun: str) -> None:
        """Start counting.

        Args:
            logger: Logger of the stream.
            noun: What is counted, in the plural.
        """
        self._logger = logger
        self._noun = noun
        self._started = self._last_logged = time.monotonic()
        self.records = 0
        self.pages = 0

    def add_page(self, records: int, oldest: int | None = None) -> None:
        """Count a page; log a line if the last one is `LOG_INTERVAL` old.

        Args:
            records: Number of records on the page.
            oldest: Earliest `updatedAt` on it, epoch milliseconds, if it has times.
        """
        self.pages += 1
        self.records += records
        now = time.monotonic()
        if now - self._last_logged < LOG_INTERVAL:
            return
        self._last_logged = now
        self._logger.info(
            "%s in %s so far, %.0f/s%s",
            counted(self.records, self._noun),
            counted(self.pages, "pages"),
            self.records / (now - self._started),
            "" if oldest is None else f", back to {from_epoch_ms(oldest)}",
        )

    def log_summary(self, others: list[str], requests: int, next_run: str) -> None:
        """Log the summary.

        Args:
            others: Other streams that were read along, with their counts.
            requests: Number of requests sent, failed ones included.
            next_run: A sentence on how the next run starts.
        """
        self._logger.info(
            "%s in %s, %.1f s. %s",
            ", ".join([counted(self.records, self._noun), *others]),
            counted(requests, "requests"),
            time.monotonic() - self._started,
            next_run,
        )
