"""What comes after this page, for each way in which Drift says it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

from singer_sdk.exceptions import FatalAPIError
from singer_sdk.pagination import BaseAPIPaginator
from typing_extensions import override

from tap_drift.api.responses import Page

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

MEETINGS_LIMIT = 1000
"""How many meetings Drift gives in one answer at the most."""

_ROUND = 100


class PagePaginator(BaseAPIPaginator[str | None]):
    """Goes from page to page; its value is the query that asks for one, None for the first."""

    def __init__(self, read: Callable[[requests.Response], Page], first: str | None = None) -> None:
        """Begin at the first page.

        Args:
            read: Makes a page of an answer.
            first: The query that asks for the first page, if it is not the stream's usual one.
        """
        super().__init__(first)
        self._read = read
        self._response: requests.Response | None = None
        self._page = Page([])

    def read(self, response: requests.Response) -> Page:
        """Read an answer, once: the stream and the paginator both look at it.

        Args:
            response: An answer with a status of success.

        Returns:
            The page.

        Raises:
            UnexpectedResponseError: If the answer is no page.
        """
        if response is not self._response:
            self._response, self._page = response, self._read(response)
        return self._page

    def is_whole(self, page: Page) -> bool:  # noqa: ARG002 - others look at it
        """Whether a page holds all rows that it should, and need not be read again in parts.

        Args:
            page: The page just read.

        Returns:
            True, if there is no way to be cut short.
        """
        return True


class NextLinkPaginator(PagePaginator):
    """Follows the link on each page, by its query alone, until there is none.

    Its value is that query, character for character. In the listing of conversations the link is
    `links.next`: it carries the page token, and Drift keeps the limit and the filter of the first
    request (its page on the listing).
    """

    def __init__(self, read: Callable[[requests.Response], Page]) -> None:
        """Begin at the first page.

        Args:
            read: Makes a page of an answer.
        """
        super().__init__(read)
        self._elsewhere: list[str | None] = []
        self._seen: set[int] = set()

    def go(self, query: str | None) -> None:
        """Choose where to go after this page, instead of where its link leads.

        Args:
            query: The query to ask with; None ends the walk.
        """
        self._elsewhere = [query]

    @override
    def get_next(self, response: requests.Response) -> str | None:
        """Give the query that asks for the next page.

        Args:
            response: The page just dealt with.

        Returns:
            The query to go on with, or None at the end.

        Raises:
            FatalAPIError: If its page token was met before in this walk, which would never end.
        """
        link = self.read(response).next_query
        query = self._elsewhere.pop() if self._elsewhere else link
        if query != link and _token(query) in self._seen:
            query = link  # what a jump leads to was read on the way there
        if query is None:
            return None
        token = _token(query)
        if token in self._seen:
            raise FatalAPIError(
                f"Drift's pages go in a circle: page {self.count} links to a page that was read "
                "before. Not all could be read; run again, and tell Drift's support if it stays so."
            )
        self._seen.add(token)
        return query


class WindowPaginator(PagePaginator):
    """SharedWalk windows of time, and halves those that hold more than an answer does.

    Drift cuts an answer at its limit without a word. One whose number of rows is a round hundred
    may be such: Drift's limit is 1000, its default 100.
    """

    def __init__(self, read: Callable[[requests.Response], Page], start: int, end: int) -> None:
        """Begin with one window for all.

        Args:
            read: Makes a page of an answer.
            start: The first moment, in epoch milliseconds.
            end: The last moment, in epoch milliseconds; it belongs to the window.
        """
        super().__init__(read, _window(start, end))
        self._left = [(start, end)]

    @override
    def is_whole(self, page: Page) -> bool:
        """Whether a page holds all rows of its window.

        Args:
            page: The page just read.

        Returns:
            False if it may not.

        Raises:
            FatalAPIError: If it may not, and there is no smaller window.
        """
        start, end = self._left[-1]
        if start == end and len(page.rows) >= MEETINGS_LIMIT:
            raise FatalAPIError(
                f"Drift has {len(page.rows):,} or more rows for one millisecond ({start}), and "
                "gives no more than that: not all could be read."
            )
        return start == end or not page.rows or len(page.rows) % _ROUND > 0

    @override
    def get_next(self, response: requests.Response) -> str | None:
        """Give the query that asks for the next window.

        Args:
            response: The window just dealt with.

        Returns:
            The query, or None at the end.
        """
        is_whole = self.is_whole(self.read(response))
        start, end = self._left.pop()
        if not is_whole:
            middle = (start + end) // 2
            self._left += [(middle + 1, end), (start, middle)]
        return _window(*self._left[-1]) if self._left else None


def _window(start: int, end: int) -> str:
    window = {"min_start_time": start, "max_start_time": end, "limit": MEETINGS_LIMIT}
    return urlencode(window)


def _token(query: str | None) -> int:
    """A hash of the page token, not the token: a long listing has very many."""
    return hash(parse_qs(query or "").get("page_token", [query])[0])
