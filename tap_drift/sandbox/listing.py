"""The listing of conversations, page by page: `GET /conversations/list`."""

from __future__ import annotations

import base64
import binascii
import sys
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from tap_drift.sandbox.data.account import position
from tap_drift.sandbox.errors import invalid

if TYPE_CHECKING:
    from tap_drift.sandbox.data.account import Account

# Drift's links name this host, whichever host was asked.
_LINKS = "https://api.drift.com/conversations/list"
_STATUSES = {"1": "open", "2": "closed", "3": "pending"}
_LARGEST_PAGE = 100


@dataclass(frozen=True)
class Cursor:
    """What a page token holds: where the last page ended, the filter, and the limit."""

    place: tuple[int, int]
    statuses: list[str]
    limit: int

    @classmethod
    def first(cls, query: dict[str, list[str]]) -> Cursor:
        """Begin at the head, with the first request's parameters.

        Args:
            query: The parameters.

        Returns:
            The cursor; Drift's default where a parameter is missing.

        Raises:
            DriftError: If a parameter is out of Drift's bounds.
        """
        limit = query.get("limit", ["25"])[-1]
        if not limit.isdecimal() or not 1 <= int(limit) <= _LARGEST_PAGE:
            raise invalid(f"limit must be between 1 and {_LARGEST_PAGE}")
        statuses = query.get("statusId", [])
        if not set(statuses) <= set(_STATUSES):
            raise invalid("statusId must be 1, 2 or 3")
        return cls((-sys.maxsize, 0), statuses, int(limit))

    @classmethod
    def from_token(cls, token: str) -> Cursor:
        """Take up where the page before ended.

        Args:
            token: A page token.

        Returns:
            The cursor.

        Raises:
            DriftError: If the token is none of ours.
        """
        try:
            parts = parse_qs(base64.urlsafe_b64decode(token).decode(), strict_parsing=True)
            place = -int(parts["updatedAt"][0]), int(parts["id"][0])
            return cls(place, parts.get("statusId", []), int(parts["limit"][0]))
        except (binascii.Error, KeyError, ValueError):
            raise invalid("page_token is not valid") from None

    def token(self) -> str:
        """Spell the cursor as Drift does: a query string, in base64."""
        updated, conversation_id = self.place
        parts = {
            "updatedAt": -updated,
            "id": conversation_id,
            "statusId": self.statuses,
            "limit": self.limit,
        }
        return base64.urlsafe_b64encode(urlencode(parts, doseq=True).encode()).decode()


def list_conversations(account: Account, query: dict[str, list[str]]) -> dict[str, Any]:
    """Answer `GET /conversations/list`.

    Args:
        account: What there is to list.
        query: The request's parameters. A page token, if there is one, keeps the limit and the
            filter of the first request, and the others do not count.

    Returns:
        A page: `data` and `links`; on the last page `links` has no `next`.

    Raises:
        DriftError: If a parameter is out of bounds.
    """
    token = query.get("page_token", [""])[-1]
    cursor = Cursor.from_token(token) if token else Cursor.first(query)
    wanted = {_STATUSES[status] for status in cursor.statuses}
    found = list(islice(account.after(cursor.place, wanted), cursor.limit + 1))
    rows = found[: cursor.limit]
    links = {"self": f"{_LINKS}?{urlencode({'page_token': cursor.token()})}"}
    if len(found) > cursor.limit:
        after = Cursor(position(rows[-1]), cursor.statuses, cursor.limit)
        links["next"] = f"{_LINKS}?{urlencode({'page_token': after.token()})}"
    return {"data": rows, "links": links}
