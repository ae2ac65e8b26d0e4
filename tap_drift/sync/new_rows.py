"""New rows: notices a listing whose pages bring no row that was not read before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_drift.exceptions import EndlessPaginationError
from tap_drift.sync.dedupe import DiskBackedSet

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_PAGES_WITHOUT_NEW_ROWS = 100
"""Pages of the listing in a row that may bring nothing new: filters and deletions leave holes."""


class NewRowsCheck:
    """Fails if too many pages in a row have no new row; its memory does not grow."""

    def __init__(self, path: str, max_pages: int) -> None:
        """Create a check.

        Args:
            path: Path of the endpoint, for the message.
            max_pages: Pages in a row that may have no new row.
        """
        self._path = path
        self._max_pages = max_pages
        self._pages = 0
        self._seen: DiskBackedSet | None = None

    def add_page(self, ids: Iterable[int | str], *, has_progressed: bool = False) -> None:
        """Check a page that has a link to another one.

        Args:
            ids: The ids on the page.
            has_progressed: Whether the page is known to be new, without looking at its ids.

        Raises:
            EndlessPaginationError: If this is one page too many without a new row.
        """
        if has_progressed or self._has_new(ids):
            self._pages = 0
            return
        self._pages += 1
        if self._pages >= self._max_pages:
            pages = "a page" if self._pages == 1 else f"{self._pages} pages in a row"
            raise EndlessPaginationError(
                f"Endless pages on {self._path}: {pages} had a link to the next page, but no new "
                "row, so not all rows could be read. Run again, and report it to Drift's support "
                "if it persists."
            )

    def _has_new(self, ids: Iterable[int | str]) -> bool:
        # The set is needed only where pages do not go back in time.
        seen = self._seen = self._seen or DiskBackedSet()
        return sum(seen.add(each) for each in ids) > 0
