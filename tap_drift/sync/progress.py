"""Progress: log lines while a stream is being read, and its summary."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tap_drift.logs import counted
from tap_drift.timestamps import from_epoch_ms

if TYPE_CHECKING:
    import logging

    from tap_drift.sync.estimate import ListingEstimate

LOG_INTERVAL = 10.0
"""Seconds between two log lines."""


class Progress:
    """Counts records and pages, and logs them at INFO."""

    def __init__(
        self, logger: logging.Logger, noun: str, estimate: ListingEstimate | None = None
    ) -> None:
        """Start counting.

        Args:
            logger: Logger of the stream.
            noun: What is counted, in the plural.
            estimate: Tells the share that has been read, if it can be known.
        """
        self._estimate = estimate
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
            "%s in %s so far, %.0f/s%s%s",
            counted(self.records, self._noun),
            counted(self.pages, "pages"),
            self.records / (now - self._started),
            "" if oldest is None else f", back to {from_epoch_ms(oldest)}",
            self._describe_rest(now),
        )

    def _describe_rest(self, now: float) -> str:
        """Describe the share and the remaining time; a walk of one line is too short for both."""
        if self._estimate is None:
            return ""
        self._estimate.start()
        share = self._estimate.share
        if share is None:
            return ""
        seconds = (now - self._started) * (1 - share) / share
        return f", {share:.0%}, about {_duration(seconds)} left"

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


def _duration(seconds: float) -> str:
    if seconds < 100:  # noqa: PLR2004 - in minutes, it would be too coarse
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"  # noqa: PLR2004 - as above
