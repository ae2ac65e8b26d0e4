"""The sandbox's HTTP server: it speaks Drift's API as far as that is documented and known."""

from __future__ import annotations

import base64
import binascii
import json
import sys
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tap_drift.sandbox.account import position

if TYPE_CHECKING:
    from typing_extensions import Self

    from tap_drift.sandbox.account import Account

# Drift's links name this host, whichever host was asked.
_LINKS = "https://api.drift.com/conversations/list"
_STATUSES = {"1": "open", "2": "closed", "3": "pending"}
_LARGEST_PAGE = 100


@dataclass(frozen=True)
class Answer:
    """What the server sends back."""

    status: HTTPStatus
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


class DriftError(Exception):
    """A request that Drift refuses, in the form in which it does."""

    def __init__(self, status: HTTPStatus, kind: str, message: str) -> None:
        super().__init__(message)
        self.answer = Answer(status, {"error": {"type": kind, "message": message}})


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
            raise _invalid(f"limit must be between 1 and {_LARGEST_PAGE}")
        statuses = query.get("statusId", [])
        if not set(statuses) <= set(_STATUSES):
            raise _invalid("statusId must be 1, 2 or 3")
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
            raise _invalid("page_token is not valid") from None

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


class SandboxHandler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    server: SandboxServer
    protocol_version = "HTTP/1.1"
    # An answer leaves in one piece, and at once.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer a GET."""
        if self.server.latency:
            time.sleep(self.server.latency)
        self.send(self.answer())

    def answer(self) -> Answer:
        """Give the account's answer to the request."""
        try:
            if self.headers.get("Authorization") != f"Bearer {self.server.token}":
                raise DriftError(
                    HTTPStatus.UNAUTHORIZED,
                    "authentication_error",
                    "The access token is invalid or has expired",
                )
            url = urlsplit(self.path)
            if url.path != "/conversations/list":
                raise DriftError(HTTPStatus.NOT_FOUND, "not_found", "There is nothing here")
            query = parse_qs(url.query, keep_blank_values=True)
            return Answer(HTTPStatus.OK, list_conversations(self.server.account, query))
        except DriftError as error:
            return error.answer

    def send(self, answer: Answer) -> None:
        """Send an answer.

        Args:
            answer: Its body is sent as it is if it is text, anything else as JSON.
        """
        body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        payload = body.encode()
        self.send_response(answer.status)
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(payload)),
            **answer.headers,
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say each request on standard error, if asked to."""
        if self.server.verbose:
            super().log_message(format, *args)


class SandboxServer(ThreadingHTTPServer):
    """A Drift on loopback. As a context manager, it serves in a thread of its own."""

    daemon_threads = True
    # Connections that wait to be taken: a client may open many at once.
    request_queue_size = 128

    def __init__(  # noqa: PLR0913 - all but the first have defaults
        self,
        account: Account,
        *,
        token: str = "sandbox-token",  # noqa: S107 - it guards nothing
        port: int = 0,
        latency: float = 0.0,
        verbose: bool = False,
        handler: type[SandboxHandler] = SandboxHandler,
    ) -> None:
        """Open the port.

        Args:
            account: What there is to list.
            token: The bearer token that requests must carry.
            port: Where to listen; 0 is any free port.
            latency: Seconds that each answer waits.
            verbose: Whether to say each request on standard error.
            handler: What answers requests.
        """
        super().__init__(("127.0.0.1", port), handler)
        self.account = account
        self.token = token
        self.latency = latency
        self.verbose = verbose

    def handle_error(self, *request: Any) -> None:
        """Report a fault, but say nothing of a client that went away."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*request)

    @property
    def url(self) -> str:
        """The base URL to give to the tap as `api_url`."""
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        """Start serving."""
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving, and close the port."""
        self.shutdown()
        self.server_close()


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


def _invalid(message: str) -> DriftError:
    return DriftError(HTTPStatus.BAD_REQUEST, "validation_error", message)
