"""What a long walk says of itself while it goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tap_drift.timestamps import from_epoch_ms

if TYPE_CHECKING:
    import logging

INTERVAL = 10.0
"""Seconds between two lines."""


class Progress:
    """Counts what a walk has done, and says so at INFO now and then."""

    def __init__(self, logger: logging.Logger, things: str) -> None:
        """Begin to count.

        Args:
            logger: Where to say it.
            things: What is counted, in the plural.
        """
        self._logger = logger
        self._things = things
        self._started = self._said = time.monotonic()
        self.records = 0
        self.pages = 0

    def page(self, records: int, oldest: int | None = None) -> None:
        """Count a page; every ten seconds or so, say how far the walk has come.

        Args:
            records: How many records came of it.
            oldest: The earliest time on it, in epoch milliseconds, if it has times.
        """
        self.pages += 1
        self.records += records
        now = time.monotonic()
        if now - self._said < INTERVAL:
            return
        self._said = now
        self._logger.info(
            "%s %s in %s pages so far, %.0f/s%s",
            f"{self.records:,}",
            self._things,
            f"{self.pages:,}",
            self.records / (now - self._started),
            "" if oldest is None else f", back to {from_epoch_ms(oldest)}",
        )

    def end(self, others: list[str], requests: int, then: str) -> None:
        """Say what the walk came to.

        Args:
            others: What else was read along with it, counted.
            requests: How many were sent, those that failed included.
            then: How the next run will start.
        """
        self._logger.info(
            "%s in %s request%s, %.1f s. %s",
            ", ".join([f"{self.records:,} {self._things}", *others]),
            f"{requests:,}",
            "" if requests == 1 else "s",
            time.monotonic() - self._started,
            then,
        )
