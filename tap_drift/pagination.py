"""What comes after this page, for each way in which Drift says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qs

from singer_sdk.exceptions import FatalAPIError
from singer_sdk.pagination import BaseAPIPaginator
from typing_extensions import override

from tap_drift.page import read_page

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests


Follow: TypeAlias = "Callable[[str | None], str | None]"
"""Told the query of a page's link (None on the last page), says which query to go on with; None
ends the walk."""


def as_linked(query: str | None) -> str | None:
    """Go where the link says.

    Args:
        query: The query of the link.

    Returns:
        The same.
    """
    return query


class NextLinkPaginator(BaseAPIPaginator[str | None]):
    """Follows `links.next`, by its query alone, until there is none.

    The token is that query, character for character: Drift's link carries the page token, and
    Drift keeps the limit and the filter of the first request (its page on the listing).
    """

    def __init__(self, follow: Follow = as_linked) -> None:
        """Begin at the first page.

        Args:
            follow: Where to go after each page.
        """
        super().__init__(None)
        self._follow = follow
        self._seen: set[int] = set()

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
        link = read_page(response).next_query
        query = self._follow(link)
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


def _token(query: str | None) -> int:
    """A hash of the page token, not the token: a long listing has very many."""
    return hash(parse_qs(query or "").get("page_token", [query])[0])
