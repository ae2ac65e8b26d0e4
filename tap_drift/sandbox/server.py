"""The HTTP server: the part of Drift's API that reads data."""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tap_drift.sandbox.auth import SCOPES, RateLimit, Tokens
from tap_drift.sandbox.errors import DriftError, not_found_error
from tap_drift.sandbox.routes import Request, match_route

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Self

    from tap_drift.sandbox.data.account import Account

_CONTENT_TYPES = {str: "text/plain; charset=utf-8", bytes: "application/octet-stream"}


@dataclass(frozen=True)
class Answer:
    """An HTTP response. A `body` that is text or bytes is sent as it is, anything else as JSON."""

    status: HTTPStatus
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


class SandboxHandler(BaseHTTPRequestHandler):
    """Handles the requests of one connection."""

    server: SandboxServer
    protocol_version = "HTTP/1.1"
    # Buffer writes: a response is sent in one packet, without delay.
    wbufsize = -1
    disable_nagle_algorithm = True
    body = b""

    def do_POST(self) -> None:
        """Answer a POST request. An unread body would be parsed as the next request."""
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self) -> None:
        """Answer a GET request, after the configured latency."""
        if self.server.latency:
            time.sleep(self.server.latency)
        self.send(self.answer())

    def answer(self) -> Answer:
        """Build the response. An override can replace or change it."""
        try:
            return self._answer()
        except DriftError as error:
            return Answer(error.status, error.body, error.headers)

    def _answer(self) -> Answer:
        server, url = self.server, urlsplit(self.path)
        server.rate_limit.check()
        route, path_id = match_route(self.command, url.path)
        if route.scope is not None:
            server.tokens.authorize(self.headers.get("Authorization", ""), route.scope)
        if url.path in server.account.deleted:
            raise not_found_error()
        query = parse_qs(url.query, keep_blank_values=True)
        request = Request(server.account, server.tokens, query, self.body, path_id)
        body = route.handler(request)
        content_type = _CONTENT_TYPES.get(type(body))
        return Answer(HTTPStatus.OK, body, {"Content-Type": content_type} if content_type else {})

    def send(self, answer: Answer) -> None:
        """Send a response."""
        payload = _encode(answer.body)
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
        """Print each request to standard error, if `verbose` is set."""
        if self.server.verbose:
            super().log_message(format, *args)


class SandboxServer(ThreadingHTTPServer):
    """A Drift server on 127.0.0.1. As a context manager, it serves from a background thread."""

    daemon_threads = True
    # The default backlog of 5 refuses connections of a client that opens many at once.
    request_queue_size = 128

    def __init__(  # noqa: PLR0913 - all but the first have defaults
        self,
        account: Account,
        *,
        token: str = "sandbox-token",  # noqa: S107 - not a secret: sample data
        port: int = 0,
        latency: float = 0.0,
        verbose: bool = False,
        scopes: Collection[str] = SCOPES,
        token_life: float = 7200,
        rate_limit: int = 0,
        retry_after: bool = False,
        handler: type[SandboxHandler] = SandboxHandler,
    ) -> None:
        """Create a server that listens, but does not serve yet.

        Args:
            account: The account to serve.
            token: A bearer token that never expires.
            port: The port to listen on; 0 for any free port.
            latency: Delay of each response in seconds.
            verbose: Whether to print each request to standard error.
            scopes: The scopes of all tokens.
            token_life: Seconds until an access token from a refresh expires.
            rate_limit: Requests per second; 0 for no limit.
            retry_after: Whether 429 responses have a Retry-After header.
            handler: The handler class; tests use one that injects faults.
        """
        super().__init__(("127.0.0.1", port), handler)
        self.account = account
        self.tokens = Tokens(token, token_life, scopes)
        self.rate_limit = RateLimit(rate_limit, retry_after=retry_after)
        self.latency = latency
        self.verbose = verbose

    def handle_error(self, *request: Any) -> None:
        """Print the traceback of an exception, except for closed connections."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*request)

    @property
    def token(self) -> str:
        """The bearer token that never expires."""
        return self.tokens.static_token

    @property
    def url(self) -> str:
        """The base URL: the tap's setting `api_url`."""
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        """Start serving."""
        # The poll interval delays the shutdown, which a test run does a thousand times.
        threading.Thread(target=self.serve_forever, args=(0.005,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving and close the port."""
        self.shutdown()
        self.server_close()


def _encode(body: object) -> bytes:
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode()
