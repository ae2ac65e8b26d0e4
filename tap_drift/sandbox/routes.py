"""Which endpoints there are, the scopes that they need, and what each answers."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from tap_drift.sandbox.data.contacts import PROPERTIES
from tap_drift.sandbox.data.messages import transcript
from tap_drift.sandbox.data.playbooks import landing_pages
from tap_drift.sandbox.errors import invalid, no_contact, not_found, whole_number
from tap_drift.sandbox.listing import list_conversations

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_drift.sandbox.auth import Tokens
    from tap_drift.sandbox.data.account import Account
    from tap_drift.sandbox.data.conversations import Conversation

Body = dict[str, Any] | list[dict[str, Any]] | str
"""What an endpoint answers; text is sent as it is, the rest as JSON."""

_COUNTED = ("CLOSED", "OPEN", "PENDING")
_MESSAGES_A_PAGE = 50
_COMPANIES_A_PAGE = range(1, 66)
_MEETINGS_AN_ANSWER = range(1, 1001)
_ANY = range(2**63)


@dataclass(frozen=True)
class Request:
    """What was asked."""

    account: Account
    tokens: Tokens
    query: dict[str, list[str]]
    body: bytes
    number: int
    """The id in the path; 0 if there is none."""

    def conversation(self) -> Conversation:
        """Find the conversation that the path names.

        Returns:
            It.

        Raises:
            DriftError: If it is not there.
        """
        found = self.account.find(self.number)
        if found is None:
            raise not_found(f"There is no conversation {self.number}")
        return found


@dataclass(frozen=True)
class Endpoint:
    """What can be asked."""

    pattern: re.Pattern[str]
    scope: str | None
    """What a token must allow; blank: any token will do; none: no token is needed."""
    answer: Callable[[Request], Body]


def find(line: str) -> tuple[Endpoint, int]:
    """Find what answers a request.

    Args:
        line: Its method and its path.

    Returns:
        The endpoint, and the id in the path or 0.
    """
    for endpoint in ENDPOINTS:
        if match := endpoint.pattern.fullmatch(line):
            return endpoint, int(match[1]) if match.re.groups else 0
    return _NOWHERE, 0


def _nowhere(_request: Request) -> Body:
    raise not_found()


def _list(request: Request) -> Body:
    return list_conversations(request.account, request.query)


def _stats(request: Request) -> Body:
    counts = Counter(c["status"].upper() for c in request.account.conversations)
    return {"conversationCount": {status: counts[status] for status in _COUNTED}}


def _conversation(request: Request) -> Body:
    return {"data": request.account.details(request.conversation())}


def _messages(request: Request) -> Body:
    said = request.account.messages(request.conversation())
    page = whole_number(request.query, "next", "0", _ANY)
    start, end = page * _MESSAGES_A_PAGE, (page + 1) * _MESSAGES_A_PAGE
    pagination: dict[str, Any] = {"more": end < len(said)}
    if pagination["more"]:
        # Drift sends it as a number or as text.
        pagination["next"] = str(page + 1) if page % 2 else page + 1
    return {"data": {"messages": said[start:end]}, "pagination": pagination}


def _transcript(request: Request) -> Body:
    return transcript(request.account.messages(request.conversation()), request.account.users)


def _contact(request: Request) -> Body:
    if request.query:
        raise invalid(f"Unknown parameter: {next(iter(request.query))}")
    found = request.account.contact(request.number)
    if found is None:
        raise no_contact()
    return {"data": found}


def _contact_attributes(_request: Request) -> Body:
    return {"data": {"properties": PROPERTIES}}


def _companies(request: Request) -> Body:
    size = whole_number(request.query, "size", "10", _COMPANIES_A_PAGE)
    index = whole_number(request.query, "index", "0", _ANY)
    companies, end = request.account.companies, index + size
    data: dict[str, Any] = {"accounts": companies[index:end], "total": len(companies)}
    if end < len(companies):
        data["next"] = f"/accounts?index={end}&size={size}"
    return {"data": data}


def _users(request: Request) -> Body:
    return {"data": request.account.users}


def _teams(request: Request) -> Body:
    return {"data": request.account.teams}


def _meetings(request: Request) -> Body:
    first = whole_number(request.query, "min_start_time", "", _ANY)
    last = whole_number(request.query, "max_start_time", "", _ANY)
    limit = whole_number(request.query, "limit", "100", _MEETINGS_AN_ANSWER)
    return {"data": list(islice(request.account.meetings(first, last), limit))}


def _playbooks(request: Request) -> Body:
    return request.account.playbooks


def _landing_pages(request: Request) -> Body:
    return landing_pages(request.account.playbooks)


def _refresh(request: Request) -> Body:
    return request.tokens.refresh(parse_qs(request.body.decode()))


def _token_info(request: Request) -> Body:
    try:
        token = json.loads(request.body)["access_token"]
    except (ValueError, TypeError, KeyError):
        raise invalid("access_token is required") from None
    return request.tokens.info(token, request.account.users[0]["id"])


def _endpoint(line: str, scope: str | None, answer: Callable[[Request], Body]) -> Endpoint:
    return Endpoint(re.compile(line.replace("{id}", r"(\d+)")), scope, answer)


_NOWHERE = _endpoint("", "", _nowhere)
ENDPOINTS = [
    _endpoint("GET /conversations/list", "conversation_read", _list),
    _endpoint("GET /conversations/stats", "conversation_read", _stats),
    _endpoint("GET /conversations/{id}", "conversation_read", _conversation),
    _endpoint("GET /conversations/{id}/messages", "conversation_read", _messages),
    _endpoint("GET /conversations/{id}/transcript", "conversation_read", _transcript),
    _endpoint("GET /contacts/attributes", "all_contact_read", _contact_attributes),
    _endpoint("GET /contacts/{id}", "contact_read", _contact),
    _endpoint("GET /accounts", "account_read", _companies),
    _endpoint("GET /users/list", "user_read", _users),
    _endpoint("GET /teams/org", "user_read", _teams),
    _endpoint("GET /users/meetings/org", "user_read", _meetings),
    _endpoint("GET /playbooks/list", "playbook_read", _playbooks),
    _endpoint("GET /playbooks/clp", "playbook_read", _landing_pages),
    _endpoint("POST /oauth2/token", None, _refresh),
    _endpoint("POST /app/token_info", None, _token_info),
]
