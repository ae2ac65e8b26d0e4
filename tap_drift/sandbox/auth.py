"""Who may ask, for what, and how often: tokens, scopes, and the rate limit."""

from __future__ import annotations

import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from tap_drift.sandbox.data.seeds import OPENED, ORG, Row, epoch_ms
from tap_drift.sandbox.errors import DriftError, invalid, refused

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SCOPES = (
    "conversation_read",
    "contact_read",
    "all_contact_read",
    "account_read",
    "user_read",
    "playbook_read",
)
CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-secret"  # noqa: S105 - it guards nothing


class Tokens:
    """The tokens that are good: one that never expires, and those that a refresh token gets."""

    def __init__(self, fixed: str, life: float, scopes: Collection[str]) -> None:
        """Know of no refreshed token yet.

        Args:
            fixed: The token that never expires.
            life: Seconds that a refreshed one lives.
            scopes: What every token may read.
        """
        self.fixed = fixed
        self.life = life
        self.scopes = scopes
        self.refresh_token = "sandbox-refresh-0"  # noqa: S105 - it guards nothing
        self._ends: dict[str, float] = {}
        self._lock = threading.Lock()

    def check(self, authorization: str, scope: str) -> None:
        """Let a request pass that carries a good token, if tokens may do what it wants.

        Args:
            authorization: The header that carries it.
            scope: The scope that it needs; blank if there is none.

        Raises:
            DriftError: Otherwise.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer" or self._left(token) is None:
            raise refused()
        if scope and scope not in self.scopes:
            raise DriftError(
                HTTPStatus.FORBIDDEN, "authentication_error", f"The scope {scope} is missing"
            )

    def refresh(self, form: Mapping[str, list[str]]) -> Row:
        """Answer `POST /oauth2/token`: give an access token for the refresh token, and rotate it.

        Args:
            form: The request's fields.

        Returns:
            The new tokens; the refresh token that was used is no longer good.

        Raises:
            DriftError: If a field is not what it must be.
        """
        if form.get("grant_type") != ["refresh_token"]:
            raise invalid("grant_type must be refresh_token")
        if (form.get("client_id"), form.get("client_secret")) != ([CLIENT_ID], [CLIENT_SECRET]):
            raise refused("client_id or client_secret is not valid")
        with self._lock:
            if form.get("refresh_token") != [self.refresh_token]:
                raise refused("The refresh token is not valid")
            number = len(self._ends) + 1
            access = f"sandbox-access-{number}"
            self._ends[access] = time.monotonic() + self.life
            self.refresh_token = f"sandbox-refresh-{number}"
        return {
            "access_token": access,
            "refresh_token": self.refresh_token,
            "expires_in": int(self.life),
            "orgId": ORG,
        }

    def info(self, token: str, user_id: int) -> Row:
        """Answer `POST /app/token_info`.

        Args:
            token: The token in question.
            user_id: Who installed the app.

        Returns:
            What is known of it.

        Raises:
            DriftError: If it is not good.
        """
        if (left := self._left(token)) is None:
            raise refused()
        return {
            "scope": " ".join(self.scopes),
            "authenticated_userid": user_id,
            "expires_in": left,
            "created_at": epoch_ms(OPENED),
        }

    def _left(self, token: str) -> int | None:
        """Whole seconds until it expires, 0 for never; nothing if it is not good."""
        if token == self.fixed:
            return 0
        left = self._ends.get(token, 0) - time.monotonic()
        return None if left <= 0 else max(1, int(left))


class RateLimit:
    """Lets so many requests pass in a second; after a pause, as many at once."""

    def __init__(self, rate: int, *, retry_after: bool) -> None:
        """Begin with a second's worth.

        Args:
            rate: Requests a second; 0 is no limit.
            retry_after: Whether to say when to ask again.
        """
        self.rate = rate
        self._headers = {"Retry_After": "1"} if retry_after else {}
        self._left = float(rate)
        self._at = 0.0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Let a request pass.

        Raises:
            DriftError: If it is one too many.
        """
        if self.rate and not self._pass():
            raise DriftError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "rate_limit",
                "Too many requests",
                **self._headers,
            )

    def _pass(self) -> bool:
        with self._lock:
            now = time.monotonic()
            self._left = min(self._left + (now - self._at) * self.rate, self.rate)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True
