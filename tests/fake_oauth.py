"""FakeOAuthDrift: a FakeDrift whose access tokens come from OAuth."""

from __future__ import annotations

from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from fake_drift import FakeDrift, FakeDriftHandler

from tap_drift.sandbox.auth import CLIENT_ID, CLIENT_SECRET
from tap_drift.sandbox.server import Answer

if TYPE_CHECKING:
    from faults import Fault

    from tap_drift.sandbox.data.account import Account

TOKEN_PATH = "/oauth2/token"


class FakeOAuthHandler(FakeDriftHandler):
    """Records each request for a token, and answers it or applies the fault that is due."""

    server: FakeOAuthDrift

    def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
        if self.path != TOKEN_PATH:
            super().do_POST()
            return
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.forms.append(dict(parse_qsl(self.body.decode())))
        if self.server.token_faults:
            self.server.token_faults.popleft()(self)
        else:
            self.send(self.answer())

    def answer(self) -> Answer:
        drift = self.server
        if self.headers["Authorization"] in {f"Bearer {token}" for token in drift.revoked}:
            return Answer(HTTPStatus.UNAUTHORIZED, "")
        answer = super().answer()
        if self.path == TOKEN_PATH and answer.status == HTTPStatus.OK:
            drift.issued = answer.body["access_token"]
            answer.body.update(drift.token_changes)
        return answer


class FakeOAuthDrift(FakeDrift):
    """A FakeDrift with a token endpoint that can fail."""

    def __init__(self, account: Account | None = None) -> None:
        super().__init__(account)
        self.RequestHandlerClass = FakeOAuthHandler
        self.forms: list[dict[str, str]] = []
        """The form of each request for a token so far."""
        self.token_faults: deque[Fault] = deque()
        """The faults of the next requests for a token."""
        self.token_changes: dict[str, Any] = {}
        """Fields to replace in each response with a token."""
        self.issued = ""
        """The access token that was issued last."""
        self.revoked: set[str] = set()
        """Access tokens that are answered 401."""

    @property
    def refresh_token(self) -> str:
        """The refresh token that is valid now."""
        return self.tokens.refresh_token

    def settings(self) -> dict[str, Any]:
        """Return settings of the tap with the credentials of the OAuth app."""
        return {
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "refresh_token": self.refresh_token,
            "api_url": self.url,
        }


class MemoryTokenStore:
    """Keeps the refresh token in memory."""

    def __init__(self) -> None:
        self.saved: list[tuple[str, str]] = []
        """The used and the new refresh token of each call of `save`."""

    def check(self, used: str) -> None:
        """Do nothing: memory can always be written."""

    def save(self, used: str, new: str) -> None:
        self.saved.append((used, new))
