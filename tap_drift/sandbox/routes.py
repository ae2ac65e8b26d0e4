"""The table of endpoints: path, required scope and handler."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from tap_drift.sandbox.data.contacts import CONTACT_ATTRIBUTES
from tap_drift.sandbox.errors import contact_not_found_error, not_found_error, validation_error
from tap_drift.sandbox.listing import list_conversations

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_drift.sandbox.auth import Tokens
    from tap_drift.sandbox.data.account import Account
    from tap_drift.sandbox.data.conversations import Conversation

Body = dict[str, Any] | list[dict[str, Any]] | str | bytes
"""A response body: text is sent as plain text, bytes as they are, anything else as JSON."""

_COUNTED_STATUSES = ("CLOSED", "OPEN", "PENDING")
_MESSAGES_PER_PAGE = 50
_ACCOUNTS_SIZE = range(1, 66)
_MEETINGS_LIMIT = range(1, 1001)
_NOT_NEGATIVE = range(2**63)


@dataclass(frozen=True)
class Request:
    """A request to an endpoint."""

    account: Account
    tokens: Tokens
    query: dict[str, list[str]]
    body: bytes
    path_id: int
    """The id in the path; 0 if the path has none."""

    def conversation(self) -> Conversation:
        """Return the conversation that the path names.

        Raises:
            DriftError: It does not exist.
        """
        found = self.account.conversation(self.path_id)
        if found is None:
            raise not_found_error(f"There is no conversation {self.path_id}")
        return found

    def int_param(self, name: str, default: str, bounds: range) -> int:
        """Parse an integer parameter.

        Args:
            name: The parameter's name.
            default: Replaces a missing or blank value; blank if the parameter is required.
            bounds: The accepted values.

        Raises:
            DriftError: The value is not an integer, or is out of bounds.
        """
        text = self.query.get(name, [""])[-1] or default
        if not text.isdecimal() or int(text) not in bounds:
            raise validation_error(f"{name} must be between {bounds.start} and {bounds.stop - 1}")
        return int(text)


@dataclass(frozen=True)
class Route:
    """An endpoint."""

    pattern: re.Pattern[str]
    """Matches method and path, for example `GET /users/list`."""
    scope: str | None
    """The required scope; blank if any valid token is enough, None if no token is required."""
    handler: Callable[[Request], Body]


def match_route(method: str, path: str) -> tuple[Route, int]:
    """Find the route of a request.

    Returns:
        The route, and the id in the path or 0. Unknown paths match a route that answers 404.
    """
    for route in ROUTES:
        if match := route.pattern.fullmatch(f"{method} {path}"):
            return route, int(match[1]) if match.re.groups else 0
    return _NOT_FOUND, 0


def _not_found(_request: Request) -> Body:
    raise not_found_error()


def _conversations(request: Request) -> Body:
    return list_conversations(request.account, request.query)


def _stats(request: Request) -> Body:
    counts = Counter(c["status"].upper() for c in request.account.conversations)
    return {"conversationCount": {status: counts[status] for status in _COUNTED_STATUSES}}


def _conversation(request: Request) -> Body:
    return {"data": request.account.details(request.conversation())}


def _messages(request: Request) -> Body:
    messages = request.account.messages(request.conversation())
    page = request.int_param("next", "0", _NOT_NEGATIVE)
    start, end = page * _MESSAGES_PER_PAGE, (page + 1) * _MESSAGES_PER_PAGE
    pagination: dict[str, Any] = {"more": end < len(messages)}
    if pagination["more"]:
        # Drift sends the page number as a number or as a string.
        pagination["next"] = str(page + 1) if page % 2 else page + 1
    return {"data": {"messages": messages[start:end]}, "pagination": pagination}


def _transcript(request: Request) -> Body:
    return request.account.transcript(request.conversation())


def _attachment(request: Request) -> Body:
    if request.account.attachment(request.path_id) is None:
        raise not_found_error(f"There is no attachment {request.path_id}")
    return request.account.file(request.path_id)


def _contact(request: Request) -> Body:
    if request.query:
        raise validation_error(f"Unknown parameter: {next(iter(request.query))}")
    found = request.account.contact(request.path_id)
    if found is None:
        raise contact_not_found_error()
    return {"data": found}


def _contact_attributes(_request: Request) -> Body:
    return {"data": {"properties": CONTACT_ATTRIBUTES}}


def _accounts(request: Request) -> Body:
    size = request.int_param("size", "10", _ACCOUNTS_SIZE)
    index = request.int_param("index", "0", _NOT_NEGATIVE)
    rows, end = request.account.customer_accounts, index + size
    data: dict[str, Any] = {"accounts": rows[index:end], "total": len(rows)}
    if end < len(rows):
        data["next"] = f"/accounts?index={end}&size={size}"
    return {"data": data}


def _users(request: Request) -> Body:
    return {"data": request.account.users}


def _teams(request: Request) -> Body:
    return {"data": request.account.teams}


def _meetings(request: Request) -> Body:
    earliest = request.int_param("min_start_time", "", _NOT_NEGATIVE)
    latest = request.int_param("max_start_time", "", _NOT_NEGATIVE)
    limit = request.int_param("limit", "100", _MEETINGS_LIMIT)
    return {"data": list(islice(request.account.meetings(earliest, latest), limit))}


def _playbooks(request: Request) -> Body:
    return request.account.playbooks


def _landing_pages(request: Request) -> Body:
    return request.account.landing_pages


def _refresh(request: Request) -> Body:
    return request.tokens.refresh(parse_qs(request.body.decode()))


def _token_info(request: Request) -> Body:
    try:
        token = json.loads(request.body)["access_token"]
    except (ValueError, TypeError, KeyError):
        raise validation_error("access_token is required") from None
    return request.tokens.info(token, request.account.users[0]["id"])


def _route(line: str, scope: str | None, handler: Callable[[Request], Body]) -> Route:
    return Route(re.compile(line.replace("{id}", r"(\d+)")), scope, handler)


_NOT_FOUND = _route("", "", _not_found)
ROUTES = [
    _route("GET /conversations/list", "conversation_read", _conversations),
    _route("GET /conversations/stats", "conversation_read", _stats),
    _route("GET /conversations/{id}", "conversation_read", _conversation),
    _route("GET /conversations/{id}/messages", "conversation_read", _messages),
    _route("GET /conversations/{id}/transcript", "conversation_read", _transcript),
    _route("GET /attachments/{id}/data", "conversation_read", _attachment),
    _route("GET /contacts/attributes", "all_contact_read", _contact_attributes),
    _route("GET /contacts/{id}", "contact_read", _contact),
    _route("GET /accounts", "account_read", _accounts),
    _route("GET /users/list", "user_read", _users),
    _route("GET /teams/org", "user_read", _teams),
    _route("GET /users/meetings/org", "user_read", _meetings),
    _route("GET /playbooks/list", "playbook_read", _playbooks),
    _route("GET /playbooks/clp", "playbook_read", _landing_pages),
    _route("POST /oauth2/token", None, _refresh),
    _route("POST /app/token_info", None, _token_info),
]
