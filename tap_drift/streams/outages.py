"""Outages: whether Drift failed for a single item, or for all requests."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

from singer_sdk.exceptions import FatalAPIError

from tap_drift.exceptions import RetriesExhaustedError

if TYPE_CHECKING:
    from tap_drift.streams.base import DriftStream


class OutageCheck:
    """Decides whether a failure is an item's, by what Drift answers to other requests."""

    def __init__(self, listing: DriftStream) -> None:
        """Create a check.

        Args:
            listing: Its first page is requested if there are no other requests to judge by.
        """
        self._listing = listing
        self._breaker = listing.client.circuit_breaker
        self._lock = threading.Lock()
        self._recovered_at = -math.inf
        self._failure: FatalAPIError | None = None
        self._failed_at = -math.inf

    def is_items_fault(self, since: float) -> bool:
        """Return whether Drift failed for an item alone; if not, wait for the end of the outage.

        Args:
            since: When the failure began; monotonic seconds.

        Returns:
            False after an outage: the request is worth another attempt.

        Raises:
            FatalAPIError: If Drift answers no other request either, or refuses it.
        """
        if self._breaker.success_started_at <= since:
            with self._lock:
                if self._breaker.success_started_at <= since:
                    self._request_listing()
        return self._recovered_at <= since

    def _request_listing(self) -> None:
        if self._failure and self._breaker.success_started_at < self._failed_at:
            raise self._failure
        try:
            if not self._answers_at_once():
                self._listing.fetch_page(None)
                self._recovered_at = time.monotonic()
        except FatalAPIError as error:
            self._failure, self._failed_at = error, time.monotonic()
            raise

    def _answers_at_once(self) -> bool:
        try:
            self._listing.fetch_page(None, retry=False)
        except RetriesExhaustedError:
            return False
        return True
