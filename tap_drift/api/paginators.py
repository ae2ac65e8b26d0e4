"""Paginators: the query of the next page, for each way in which Drift pages."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

from singer_sdk.exceptions import FatalAPIError
from singer_sdk.pagination import BaseAPIPaginator
from typing_extensions import override

from tap_drift.exceptions import EndlessPaginationError

if TYPE_CHECKING:
    from typing import NoReturn

    import requests

    from tap_drift.api.responses import Page

MEETINGS_LIMIT = 1000
"""Maximum number of meetings in a response from Drift."""

_ROUND = 100

_MAX_WINDOWS = 100_000
"""Number of time windows that are read; a million meetings need some thousands."""


class PagePaginator(BaseAPIPaginator[str | None]):
    """Base of the paginators: `current_value` is the next request's query, None for the first.

    It works on parsed pages: each response is parsed once, by the stream's `parse_response`.
    """

    def __init__(self, path: str, first_query: str | None = None) -> None:
        """Create a paginator at the first page.

        Args:
            path: Path of the endpoint, for messages.
            first_query: Query of the first page; None for the stream's usual one.
        """
        super().__init__(first_query)
        self._path = path

    def follow(self, page: Page) -> None:
        """Move to the page after this one, or finish."""
        self.move_to(page.next_query)

    def move_to(self, query: str | None) -> None:
        """Move to the page of a query; None finishes."""
        self._page_count += 1
        self._value = query
        self._finished = query is None

    def has_visited(self, query: str) -> bool:  # noqa: ARG002 - NextLinkPaginator uses it
        """Return whether the page of this query was read before."""
        return False

    def is_complete(self, page: Page) -> bool:  # noqa: ARG002 - WindowPaginator uses it
        """Return whether the page has all rows of its request; if not, it is read in parts."""
        return True

    @override
    def get_next(self, response: requests.Response) -> NoReturn:
        raise NotImplementedError("Pages are parsed once: call follow(page).")


class NextLinkPaginator(PagePaginator):
    """Follows the link on each page by its query, unchanged, and detects loops.

    In the listing of conversations the link is `links.next`. Its query has the page token alone;
    Drift keeps limit and filter of the first request (list-conversations page of Drift's API).
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._visited: set[int] = set()

    @override
    def has_visited(self, query: str) -> bool:
        return _token_hash(query) in self._visited

    @override
    def move_to(self, query: str | None) -> None:
        """Move to the page of a query; None finishes.

        Raises:
            EndlessPaginationError: If that page was read before.
        """
        if query is not None:
            if self.has_visited(query):
                raise EndlessPaginationError(
                    f"Pagination loop on {self._path}: page {self.count + 1} links to a page "
                    "already read, so not all rows could be read. Run again, and report it to "
                    "Drift's support if it persists."
                )
            self._visited.add(_token_hash(query))
        super().move_to(query)


class WindowPaginator(PagePaginator):
    """Walks time windows, and halves a window whose response is full.

    Drift truncates a response at its limit without a sign of it. A response whose number of rows
    is a multiple of 100 counts as truncated: Drift's limit is 1000, its default 100.
    """

    def __init__(self, path: str, start: int, end: int, time_key: str) -> None:
        """Create a paginator that begins with one window.

        Args:
            path: Path of the endpoint, for messages.
            start: Start of the window, epoch milliseconds.
            end: End of the window, epoch milliseconds, inclusive.
            time_key: Name of the time that the window selects by.
        """
        super().__init__(path, _window_query(start, end))
        self._windows = [(start, end)]
        self._time_key = time_key
        self._is_halved = False
        self._ignores_window = False

    @override
    def is_complete(self, page: Page) -> bool:
        """Return whether the page has all rows of its window.

        Raises:
            FatalAPIError: If rows are missing, and the window cannot be halved.
        """
        start, end = self._windows[-1]
        if start == end and len(page.rows) >= MEETINGS_LIMIT:
            raise FatalAPIError(
                f"{self._path} has {len(page.rows):,} or more rows in one millisecond ({start}), "
                "and returns no more than that: not all rows could be read."
            )
        self._is_halved = start < end and bool(page.rows) and len(page.rows) % _ROUND == 0
        times = [row.get(self._time_key) for row in page.rows]
        # One more at the end, as in the query.
        is_inside = any(start <= time <= end + 1 for time in times if isinstance(time, int))
        self._ignores_window = self._is_halved and not is_inside
        return not self._is_halved or self._ignores_window

    @override
    def follow(self, page: Page) -> None:
        """Move to the next window: a half of this one, if the page was not complete.

        Raises:
            EndlessPaginationError: If smaller windows do not help.
        """
        if self._ignores_window:
            raise EndlessPaginationError(
                f"{self._path} returned only rows outside the time window of the request, so not "
                "all rows could be read. Report it to Drift's support if it persists."
            )
        start, end = self._windows.pop()
        if self._is_halved:
            middle = (start + end) // 2
            self._windows += [(middle + 1, end), (start, middle)]
        self.move_to(_window_query(*self._windows[-1]) if self._windows else None)
        if self._windows and self.count >= _MAX_WINDOWS:
            raise EndlessPaginationError(
                f"{self._path} has rows in more than {_MAX_WINDOWS:,} time windows, so not all "
                "rows were read."
            )


def _window_query(start: int, end: int) -> str:
    # Whether Drift excludes the end of the window is not documented: one millisecond more is read.
    window = {"min_start_time": start, "max_start_time": end + 1, "limit": MEETINGS_LIMIT}
    return urlencode(window)


def _token_hash(query: str) -> int:
    """Return a hash of the page token: a long listing has too many tokens to keep."""
    return hash(parse_qs(query).get("page_token", [query])[0])
