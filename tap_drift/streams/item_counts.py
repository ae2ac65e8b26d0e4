"""Item counts: how many items of a stream were requested, missing or failed in a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_drift.exceptions import TOKEN_REFUSED
from tap_drift.sync.failed_items import requested_again

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_drift.exceptions import ItemFailedError

MAX_NAMED = 20
"""Number of missing or failed items that are named in the log."""

MAX_FAILED_FIRST = 20
"""If so many items have failed, and none has ever succeeded, the stream fails."""


class ItemCounts:
    """Counts the results of a stream's items, and tells whether any request has succeeded."""

    def __init__(self) -> None:
        """Create counts of zero."""
        self.requested = 0
        self.succeeded = 0
        self.missing = 0
        """Number of parts of items that were answered 404 or 410."""
        self.missing_paths: list[str] = []
        """The first paths of these."""
        self.failed = 0
        self.refusal: ItemFailedError | None = None
        """The first item for which the token was refused."""
        self.has_succeeded_before = False
        """Whether an item has succeeded in an earlier run."""

    @property
    def unsuccessful(self) -> int:
        """Number of items that are missing or failed."""
        return self.missing + self.failed

    @property
    def none_succeeded(self) -> bool:
        """Whether items were requested in this run, and none has succeeded."""
        return self.succeeded == 0 < self.unsuccessful

    @property
    def have_failed_from_the_start(self) -> bool:
        """Whether token or path are probably wrong: the first items have all failed."""
        if self.has_succeeded_before or self.succeeded:
            return False
        return self.unsuccessful >= MAX_FAILED_FIRST

    def add_missing(self, path: str) -> None:
        """Count a part of an item that was answered 404 or 410."""
        self.missing += 1
        if self.missing <= MAX_NAMED:
            self.missing_paths.append(path)

    def add_failure(self, error: ItemFailedError) -> None:
        """Count an item that failed."""
        self.failed += 1
        if error.status in TOKEN_REFUSED:
            self.refusal = self.refusal or error

    def summary(self, stream: str) -> Iterator[str]:
        """Yield the lines for the log at the end of a run; none if all items have succeeded."""
        if self.missing:
            others = " and others" if self.missing > MAX_NAMED else ""
            yield (
                f"{stream}: {self.missing:,} of {self.requested:,} not found (404 or 410), "
                f"skipped: {', '.join(self.missing_paths)}{others}"
            )
        if self.failed:
            named = f"; the first {MAX_NAMED} are named above" if self.failed > MAX_NAMED else ""
            yield (
                f"{stream}: {self.failed:,} of {self.requested:,} failed{named}. "
                f"{requested_again(self.failed)}"
            )
