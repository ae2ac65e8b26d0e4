"""Progress: log lines while a stream is being read, and its summary."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

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
            "%s %s in %s pages so far, %.0f/s%s",
            f"{self.records:,}",
            self._noun,
            f"{self.pages:,}",
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
            "%s in %s request%s, %.1f s. %s",
            ", ".join([f"{self.records:,} {self._noun}", *others]),
            f"{requests:,}",
            "" if requests == 1 else "s",
            time.monotonic() - self._started,
            next_run,
        )
