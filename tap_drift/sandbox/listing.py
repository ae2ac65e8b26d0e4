"""`GET /conversations/list`: the paged listing of conversations."""

from __future__ import annotations

import base64
import binascii
import sys
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from tap_drift.sandbox.data.account import listing_key
from tap_drift.sandbox.errors import validation_error

if TYPE_CHECKING:
    from tap_drift.sandbox.data.account import Account

# Drift's links always name this host, even if the request went to another one.
_LINK_URL = "https://api.drift.com/conversations/list"
_STATUSES = {"1": "open", "2": "closed", "3": "pending"}
_MAX_LIMIT = 100


@dataclass(frozen=True)
class Cursor:
    """The content of a page token: position, filter and limit."""

    after: tuple[int, int]
    """The `listing_key` of the last conversation already listed."""
    status_ids: list[str]
    limit: int

    @classmethod
    def from_query(cls, query: dict[str, list[str]]) -> Cursor:
        """Build the cursor of the first page from the request's parameters.

        Raises:
            DriftError: A parameter is invalid.
        """
        limit = query.get("limit", ["25"])[-1]
        if not limit.isdecimal() or not 1 <= int(limit) <= _MAX_LIMIT:
            raise validation_error(f"limit must be between 1 and {_MAX_LIMIT}")
        status_ids = query.get("statusId", [])
        if not set(status_ids) <= set(_STATUSES):
            raise validation_error("statusId must be 1, 2 or 3")
        return cls((-sys.maxsize, 0), status_ids, int(limit))

    @classmethod
    def from_token(cls, token: str) -> Cursor:
        """Decode a page token.

        Raises:
            DriftError: The token is invalid.
        """
        try:
            parts = parse_qs(base64.urlsafe_b64decode(token).decode(), strict_parsing=True)
            after = -int(parts["updatedAt"][0]), int(parts["id"][0])
            return cls(after, parts.get("statusId", []), int(parts["limit"][0]))
        except (binascii.Error, KeyError, ValueError):
            raise validation_error("page_token is not valid") from None

    def link(self) -> str:
        """Return the URL of the page that follows the cursor."""
        return f"{_LINK_URL}?{urlencode({'page_token': self._token()})}"

    def _token(self) -> str:
        """Encode the cursor as Drift does: a query string in base64."""
        negative_updated_at, conversation_id = self.after
        parts = {
            "updatedAt": -negative_updated_at,
            "id": conversation_id,
            "statusId": self.status_ids,
            "limit": self.limit,
        }
        return base64.urlsafe_b64encode(urlencode(parts, doseq=True).encode()).decode()


def list_conversations(account: Account, query: dict[str, list[str]]) -> dict[str, Any]:
    """Answer `GET /conversations/list`.

    Args:
        account: The account to list.
        query: The request's parameters. A page token holds the filter and the limit of the first
            request; other parameters are then ignored.

    Returns:
        A page: `data` and `links`. The last page has no `next` link.

    Raises:
        DriftError: A parameter is invalid.
    """
    token = query.get("page_token", [""])[-1]
    cursor = Cursor.from_token(token) if token else Cursor.from_query(query)
    statuses = {_STATUSES[status_id] for status_id in cursor.status_ids}
    # One more than the limit shows whether there is a next page.
    found = list(islice(account.conversations_after(cursor.after, statuses), cursor.limit + 1))
    rows = found[: cursor.limit]
    links = {"self": cursor.link()}
    if len(found) > cursor.limit:
        links["next"] = Cursor(listing_key(rows[-1]), cursor.status_ids, cursor.limit).link()
    return {"data": rows, "links": links}
