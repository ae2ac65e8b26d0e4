"""Access tokens, scopes and the rate limit."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from tap_drift.sandbox.data.common import ACCOUNT_CREATED, ORG_ID, Row, epoch_ms
from tap_drift.sandbox.errors import (
    authentication_error,
    missing_scope_error,
    rate_limit_error,
    validation_error,
)

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
CLIENT_SECRET = "sandbox-secret"  # noqa: S105 - not a secret: sample data


class Tokens:
    """Valid access tokens: a static token, and those issued for the rotating refresh token."""

    def __init__(self, static_token: str, lifetime: float, scopes: Collection[str]) -> None:
        """Create a store without issued tokens.

        Args:
            static_token: An access token that never expires.
            lifetime: Seconds until an issued access token expires.
            scopes: The scopes of all tokens.
        """
        self.static_token = static_token
        self.lifetime = lifetime
        self.scopes = scopes
        self.refresh_token = "sandbox-refresh-0"  # noqa: S105 - not a secret: sample data
        self._expires_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def authorize(self, authorization: str, scope: str) -> None:
        """Check the Authorization header and the scope of a request.

        Args:
            authorization: The header's value.
            scope: The required scope; blank if any valid token is enough.

        Raises:
            DriftError: The token is invalid, or does not have the scope.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer" or self._expires_in(token) is None:
            raise authentication_error()
        if scope and scope not in self.scopes:
            raise missing_scope_error(scope)

    def refresh(self, form: Mapping[str, list[str]]) -> Row:
        """Answer `POST /oauth2/token`: issue an access token and rotate the refresh token.

        Args:
            form: The decoded form fields.

        Raises:
            DriftError: A field is invalid.
        """
        if form.get("grant_type") != ["refresh_token"]:
            raise validation_error("grant_type must be refresh_token")
        if (form.get("client_id"), form.get("client_secret")) != ([CLIENT_ID], [CLIENT_SECRET]):
            raise authentication_error("client_id or client_secret is not valid")
        with self._lock:
            if form.get("refresh_token") != [self.refresh_token]:
                raise authentication_error("The refresh token is not valid")
            number = len(self._expires_at) + 1
            access_token = f"sandbox-access-{number}"
            self._expires_at[access_token] = time.monotonic() + self.lifetime
            self.refresh_token = f"sandbox-refresh-{number}"
        return {
            "access_token": access_token,
            "refresh_token": self.refresh_token,
            "expires_in": int(self.lifetime),
            "orgId": ORG_ID,
        }

    def info(self, token: str, user_id: int) -> Row:
        """Answer `POST /app/token_info`; `user_id` is the user who installed the app.

        Raises:
            DriftError: The token is invalid.
        """
        if (expires_in := self._expires_in(token)) is None:
            raise authentication_error()
        return {
            "scope": " ".join(self.scopes),
            "authenticated_userid": user_id,
            "expires_in": expires_in,
            "created_at": epoch_ms(ACCOUNT_CREATED),
        }

    def _expires_in(self, token: str) -> int | None:
        """Return the seconds until a token expires, 0 if it never does, None if it is invalid."""
        if token == self.static_token:
            return 0
        seconds = self._expires_at.get(token, 0) - time.monotonic()
        return None if seconds <= 0 else max(1, int(seconds))


class RateLimit:
    """A token bucket with a capacity of one second's requests."""

    def __init__(self, rate: int, *, retry_after: bool) -> None:
        """Create a full bucket.

        Args:
            rate: Requests per second; 0 for no limit.
            retry_after: Whether errors have a Retry-After header.
        """
        self.rate = rate
        self._headers = {"Retry-After": "1"} if retry_after else {}
        self._remaining = float(rate)
        self._updated_at = 0.0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Count a request.

        Raises:
            DriftError: The limit is exceeded.
        """
        if self.rate and not self._take():
            raise rate_limit_error(self._headers)

    def _take(self) -> bool:
        with self._lock:
            now = time.monotonic()
            refilled = self._remaining + (now - self._updated_at) * self.rate
            self._remaining = min(refilled, self.rate)
            self._updated_at = now
            if self._remaining < 1:
                return False
            self._remaining -= 1
            return True
