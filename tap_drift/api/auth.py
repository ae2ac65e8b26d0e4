"""Authentication: static and OAuth bearer tokens."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import msgspec
import requests
from requests.auth import AuthBase
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from typing_extensions import override

from tap_drift.api.redaction import error_text
from tap_drift.api.retry import is_transient_status, with_retries
from tap_drift.exceptions import (
    TOKEN_REFUSED,
    TokenRefusedError,
    TokenUnavailableError,
    user_messages,
)
from tap_drift.process import EXIT_LOCK
from tap_drift.settings import OAUTH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_drift.api.retry import CircuitBreaker

API_HOST = "https://driftapi.com"
"""Host of every endpoint but the listing of conversations (Drift's documentation)."""

TOKEN_PATH = "/oauth2/token"  # noqa: S105 - a path

DEFAULT_LIFETIME = 7200
"""Seconds until an access token expires, unless the response has them (Drift's documentation)."""

REFRESH_MARGIN = 300.0
"""A token is refreshed at most this many seconds before it expires."""

_REFUSED = TOKEN_REFUSED | {HTTPStatus.BAD_REQUEST}

logger = logging.getLogger("tap-drift")


class TokenStore(Protocol):
    """Keeps the rotated refresh token for the next run."""

    def check(self, used: str) -> None:
        """Raise `TokenNotSavedError` if a new token could not replace `used`."""

    def save(self, used: str, new: str) -> None:
        """Replace `used` by `new`, or log a warning."""


# Other characters are invalid in a header, and the HTTP library's error would quote the token.
_Token = Annotated[str, msgspec.Meta(pattern=r"\A[!-~]+\Z")]


class _Tokens(msgspec.Struct):
    """Response of `POST /oauth2/token`."""

    access_token: _Token
    refresh_token: str | None = None
    expires_in: Any = None


class Authenticator(AuthBase, ABC):
    """Adds the bearer token to requests; one object for all streams and threads of a run.

    The SDK's authenticators encode the query again, which drops the blank `page_token` that Drift
    requires.
    """

    setting: str
    """The setting that the token comes from, for messages."""

    @override
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token()}"
        return request

    @abstractmethod
    def token(self) -> str:
        """Return a valid access token."""

    def is_current(self, request: requests.PreparedRequest) -> bool:
        """Return whether a request was sent with the token that a new one would have."""
        return request.headers["Authorization"] == f"Bearer {self.token()}"

    @abstractmethod
    def refresh(self, request: requests.PreparedRequest) -> bool:
        """Replace the token of a request that was answered 401.

        Returns:
            Whether the request has a new token and can be sent again.
        """


class StaticToken(Authenticator):
    """The access token of a private app, which does not expire."""

    setting = "access_token"

    def __init__(self, token: str) -> None:
        self._token = token

    @override
    def token(self) -> str:
        return self._token.strip()

    @override
    def refresh(self, request: requests.PreparedRequest) -> bool:
        return False


class OAuthToken(Authenticator):
    """The access token of an OAuth app, refreshed before it expires and after a 401.

    The SDK's `OAuthAuthenticator` has no lock, discards the rotated refresh token, and logs
    response bodies.
    """

    setting = "refresh_token"

    def __init__(
        self,
        config: Mapping[str, Any],
        session: requests.Session,
        store: TokenStore,
        breaker: CircuitBreaker,
    ) -> None:
        """Create an authenticator; the first token is requested when it is needed.

        Args:
            config: The tap's settings.
            session: Must not follow redirects.
            store: Saves the rotated refresh token.
            breaker: Knows whether Drift answers.
        """
        self._config = config
        self._session = session
        self._store = store
        self._breaker = breaker
        self._lock = Lock()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="token")
        self._refresh_token: str = config["refresh_token"].strip()
        self._token = ""
        self._refresh_at = 0.0
        self._failure: FatalAPIError | None = None

    @override
    def token(self) -> str:
        with self._lock:
            if not self._token or time.monotonic() >= self._refresh_at:
                self._refresh()
            return self._token

    @override
    def refresh(self, request: requests.PreparedRequest) -> bool:
        with self._lock:
            # If not, another thread has refreshed it while this request was in progress.
            if request.headers["Authorization"] == f"Bearer {self._token}":
                self._refresh()
        self(request)
        return True

    def _refresh(self) -> None:
        """Exchange the refresh token for an access token and the next refresh token.

        Raises:
            FatalAPIError: If Drift refuses it, or the retries are exhausted.
        """
        # Other threads that waited would fail as well, each after minutes of retries.
        if self._failure:
            raise self._failure
        try:
            self._store.check(self._refresh_token)
            tokens = with_retries(self._refresh_shielded, TOKEN_PATH, logger, self._breaker)
        except TokenUnavailableError as error:
            self._failure = error
            raise
        except FatalAPIError as error:
            self._failure = TokenUnavailableError(" ".join(user_messages(error)))
            raise self._failure from None
        seconds = tokens.expires_in
        lifetime = seconds if type(seconds) is int and seconds > 0 else DEFAULT_LIFETIME
        self._token = tokens.access_token
        self._refresh_at = time.monotonic() + lifetime - min(REFRESH_MARGIN, lifetime / 10)

    def _refresh_shielded(self) -> _Tokens:
        # A signal interrupts the main thread only. There, between Drift's response and the save,
        # it would lose the new refresh token, while the old one is no longer valid.
        # It is not joined here, where the next signal could interrupt it: see `EXIT_LOCK`.
        return self._executor.submit(self._request_tokens).result()

    def _request_tokens(self) -> _Tokens:
        form = {name: self._config[name].strip() for name in OAUTH}
        form |= {"grant_type": "refresh_token", "refresh_token": self._refresh_token}
        url = str(self._config.get("api_url", API_HOST)).rstrip("/") + TOKEN_PATH
        headers = {"User-Agent": self._config["user_agent"]}
        request = requests.Request("POST", url, headers=headers, data=form).prepare()
        transport = self._session.merge_environment_settings(url, {}, None, None, None)
        timeout = self._config["request_timeout"]
        with EXIT_LOCK:
            tokens = _parse_tokens(self._session.send(request, timeout=timeout, **transport))
            used, new = self._refresh_token, tokens.refresh_token or self._refresh_token
            if new != used:
                self._refresh_token = new
                self._store.save(used, new)
        return tokens


def create_authenticator(
    config: Mapping[str, Any],
    session: requests.Session,
    store: TokenStore,
    breaker: CircuitBreaker,
) -> Authenticator:
    """Create the authenticator for the settings: `access_token` if it is given, else OAuth.

    Args:
        config: The tap's settings; for discovery they may be empty.
        session: Used by OAuth; must not follow redirects.
        store: Used by OAuth.
        breaker: Used by OAuth.
    """
    if "access_token" in config or any(name not in config for name in OAUTH):
        return StaticToken(config.get("access_token", ""))
    return OAuthToken(config, session, store, breaker)


def _parse_tokens(response: requests.Response) -> _Tokens:
    """Parse the response to a refresh.

    Raises:
        FatalAPIError: If a retry would fail as well.
        TokenRefusedError: If the settings are refused.
        RetriableAPIError: If a retry may succeed.
    """
    status, error = response.status_code, error_text(response)
    answer = f"{status} on {TOKEN_PATH}" + (f": {error}" if error else "")
    if is_transient_status(status):
        raise RetriableAPIError(answer, response)
    if status in _REFUSED:
        raise TokenRefusedError(
            f"Drift refused to refresh the token ({answer}): check `client_id`, `client_secret` "
            "and `refresh_token`. A refresh token is valid once, and this one may have been used: "
            "authorize the app again to get a new one."
        )
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        raise FatalAPIError(f"Drift returned no token ({answer}): check `api_url`.")
    try:
        return msgspec.json.decode(response.content, type=_Tokens)
    except (RecursionError, ValueError):
        raise RetriableAPIError("Drift sent a response without a token", response) from None
