"""Estimate: which share of the listing has been read, from Drift's own count of conversations."""

from __future__ import annotations

from collections import Counter
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class ListingEstimate:
    """The share that a walk from the head to the end of the listing has read.

    Drift counts the conversations of some statuses, and the listing has others as well. Only the
    statuses that Drift counts are compared, so the share holds for them.
    """

    def __init__(self, fetch_counts: Callable[[], Mapping[str, int]]) -> None:
        """Create an estimate; it requests nothing before `start`.

        Args:
            fetch_counts: Requests the number of conversations of each status; its errors are
                ignored.
        """
        self._fetch_counts = fetch_counts
        self._thread: Thread | None = None
        self._counts: Mapping[str, int] = {}
        self._total = 0
        self._listed: Counter[str] = Counter()

    def start(self) -> None:
        """Request the counts once, in a thread of its own: the walk does not wait for them."""
        if self._thread is None:
            self._thread = Thread(target=self._fetch, name="estimate", daemon=True)
            self._thread.start()

    def add(self, statuses: Iterable[object]) -> None:
        """Count the conversations of a page, from the status of each."""
        self._listed.update(str(status).lower() for status in statuses)

    @property
    def share(self) -> float | None:
        """The share that has been read, above 0 and at most 1; None if it is not known."""
        read = sum(self._listed[status] for status in self._counts)
        return read / self._total if 0 < read <= self._total else None

    def _fetch(self) -> None:
        try:
            counts = self._fetch_counts()
            self._total = sum(counts.values())
            self._counts = counts
        except Exception:  # noqa: BLE001, S110 - whatever it is, a run does not depend on it
            pass
