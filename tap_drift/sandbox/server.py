"""The sandbox's HTTP server: it speaks Drift's API as far as that is documented and known."""

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
from tap_drift.sandbox.errors import DriftError, not_found
from tap_drift.sandbox.routes import Request, find

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Self

    from tap_drift.sandbox.data.account import Account


@dataclass(frozen=True)
class Answer:
    """What the server sends back."""

    status: HTTPStatus
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


class SandboxHandler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    server: SandboxServer
    protocol_version = "HTTP/1.1"
    # An answer leaves in one piece, and at once.
    wbufsize = -1
    disable_nagle_algorithm = True
    body = b""

    def do_POST(self) -> None:
        """Answer a POST; all that differs is that it brings something."""
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self) -> None:
        """Answer a GET."""
        if self.server.latency:
            time.sleep(self.server.latency)
        self.send(self.answer())

    def answer(self) -> Answer:
        """Give the account's answer to the request."""
        try:
            return self._answer()
        except DriftError as error:
            return Answer(error.status, error.body, error.headers)

    def _answer(self) -> Answer:
        server, url = self.server, urlsplit(self.path)
        server.limit.check()
        endpoint, number = find(f"{self.command} {url.path}")
        if endpoint.scope is not None:
            server.tokens.check(self.headers.get("Authorization", ""), endpoint.scope)
        if url.path in server.account.gone:
            raise not_found()
        query = parse_qs(url.query, keep_blank_values=True)
        request = Request(server.account, server.tokens, query, self.body, number)
        body = endpoint.answer(request)
        headers = {"Content-Type": "text/plain; charset=utf-8"} if isinstance(body, str) else {}
        return Answer(HTTPStatus.OK, body, headers)

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
        scopes: Collection[str] = SCOPES,
        token_life: float = 7200,
        rate_limit: int = 0,
        retry_after: bool = False,
        handler: type[SandboxHandler] = SandboxHandler,
    ) -> None:
        """Open the port.

        Args:
            account: What there is to list.
            token: A bearer token that requests may carry; it never expires.
            port: Where to listen; 0 is any free port.
            latency: Seconds that each answer waits.
            verbose: Whether to say each request on standard error.
            scopes: What tokens may read.
            token_life: Seconds that a refreshed access token lives.
            rate_limit: Requests a second; 0 is no limit.
            retry_after: Whether a refusal for being too fast says when to ask again.
            handler: What answers requests.
        """
        super().__init__(("127.0.0.1", port), handler)
        self.account = account
        self.tokens = Tokens(token, token_life, scopes)
        self.limit = RateLimit(rate_limit, retry_after=retry_after)
        self.latency = latency
        self.verbose = verbose

    def handle_error(self, *request: Any) -> None:
        """Report a fault, but say nothing of a client that went away."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*request)

    @property
    def token(self) -> str:
        """The bearer token that never expires."""
        return self.tokens.fixed

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
