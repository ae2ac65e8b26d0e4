"""What comes after this page, for each way in which Drift says it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from singer_sdk.exceptions import FatalAPIError
from singer_sdk.pagination import BaseAPIPaginator

from tap_drift.page import read_page

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    import requests


class NextLinkPaginator(BaseAPIPaginator[str | None]):
    """Follows `links.next`, by its query alone, until there is none.

    The token is that query, character for character: Drift's link carries the page token, and
    Drift keeps the limit and the filter of the first request (its page on the listing).
    """

    def __init__(self) -> None:
        super().__init__(None)
        # Hashes, not the tokens: a long listing has very many.
        self._seen: set[int] = set()

    @override
    def continue_if_empty(self, response: requests.Response) -> bool:
        """A page without rows is not the end; only a page without a next link is."""
        return True

    @override
    def get_next(self, response: requests.Response) -> str | None:
        """Give the query that asks for the next page.

        Args:
            response: The page just read.

        Returns:
            The query of its `links.next`, or None if it is the last page.

        Raises:
            FatalAPIError: If that query was met before in this walk, which would never end.
        """
        query = read_page(response).next_query
        if query is None:
            return None
        if hash(query) in self._seen:
            raise FatalAPIError(
                f"Drift's pages go in a circle: page {self.count} links to a page that was read "
                "before. Not all could be read; run again, and tell Drift's support if it stays so."
            )
        self._seen.add(hash(query))
        return query
