"""Who we are: the token that each request carries."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import requests
from requests.auth import AuthBase
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from typing_extensions import override

from tap_drift.api.retry import with_retries
from tap_drift.exceptions import drift_error
from tap_drift.settings import OAUTH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DRIFT = "https://driftapi.com"
"""The host that Drift documents for everything but its listing of conversations."""

PATH = "/oauth2/token"

LIFETIME = 7200
"""Seconds that a token lives if Drift does not say; what it says in its documentation."""

MARGIN = 300.0
"""Seconds before its end, at the most, at which a token is renewed."""

_REFUSALS = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}

logger = logging.getLogger("tap-drift")

# Anything else cannot go into a header, and the HTTP library's complaint would repeat it.
_Token = Annotated[str, msgspec.Meta(pattern=r"\A[!-~]+\Z")]


class _Tokens(msgspec.Struct):
    """Drift's answer to a refresh token."""

    access_token: _Token
    refresh_token: str | None = None
    expires_in: Any = None


class Authenticator(AuthBase, ABC):
    """Puts the token into requests; one for all streams and threads of a run.

    Not the SDK's: that writes the query anew, and so drops the blank `page_token` that Drift
    requires.
    """

    setting: str
    """The setting that the token comes from."""

    @override
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token()}"
        return request

    @abstractmethod
    def token(self) -> str:
        """Give the token that is good now."""

    @abstractmethod
    def renew(self, request: requests.PreparedRequest) -> bool:
        """Put another token into a request that was refused for the one that it carries.

        Args:
            request: The request.

        Returns:
            Whether there is another, so that the request is worth sending again.
        """


class TokenRefusedError(FatalAPIError):
    """Drift gives no token for the OAuth app in the settings."""


class StaticToken(Authenticator):
    """The token of a private app, which never expires."""

    setting = "access_token"

    def __init__(self, token: str) -> None:
        self._token = token

    @override
    def token(self) -> str:
        return self._token.strip()

    @override
    def renew(self, request: requests.PreparedRequest) -> bool:
        return False


class OAuthToken(Authenticator):
    """The token of an OAuth app, renewed before it expires, and when Drift refuses it.

    Not the SDK's: that has no lock, forgets the new refresh token, and logs Drift's answers.
    """

    setting = "refresh_token"

    def __init__(
        self,
        config: Mapping[str, Any],
        session: requests.Session,
        save: Callable[[str, str], None],
    ) -> None:
        """Prepare; Drift is asked when the first request needs a token.

        Args:
            config: The settings.
            session: The connections to Drift; it must not follow redirects.
            save: Keeps a refresh token for the next run; is given the one that was used up, and
                the one that takes its place.
        """
        self._config = config
        self._session = session
        self._save = save
        self._lock = Lock()
        self._refresh_token: str = config["refresh_token"].strip()
        self._token = ""
        self._renew_at = 0.0
        self._failure: FatalAPIError | None = None

    @override
    def token(self) -> str:
        with self._lock:
            if not self._token or time.monotonic() >= self._renew_at:
                self._exchange()
            return self._token

    @override
    def renew(self, request: requests.PreparedRequest) -> bool:
        with self._lock:
            # Else another thread has renewed it while this request was under way.
            if request.headers["Authorization"] == f"Bearer {self._token}":
                self._exchange()
        self(request)
        return True

    def _exchange(self) -> None:
        """Give the refresh token to Drift for an access token and the next refresh token.

        Raises:
            FatalAPIError: If Drift refuses it, or cannot be reached.
        """
        # Threads that waited for one that failed would only fail again, each in minutes.
        if self._failure:
            raise self._failure
        try:
            tokens = with_retries(self._ask_uncut, PATH, logger.warning)()
        except FatalAPIError as error:
            self._failure = error
            raise
        told = tokens.expires_in
        lifetime = told if type(told) is int and told > 0 else LIFETIME
        self._token = tokens.access_token
        self._renew_at = time.monotonic() + lifetime - min(MARGIN, lifetime / 10)

    def _ask_uncut(self) -> _Tokens:
        # Signals break into the main thread alone; there, one that comes after Drift has used up
        # the old refresh token, and before the new one is kept, would lock the next run out.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(self._ask).result()

    def _ask(self) -> _Tokens:
        form = {name: self._config[name].strip() for name in OAUTH}
        form |= {"grant_type": "refresh_token", "refresh_token": self._refresh_token}
        url = str(self._config.get("api_url", DRIFT)).rstrip("/") + PATH
        headers = {"User-Agent": self._config["user_agent"]}
        request = requests.Request("POST", url, headers=headers, data=form).prepare()
        transport = self._session.merge_environment_settings(url, {}, None, None, None)
        timeout = self._config["request_timeout"]
        tokens = _read(self._session.send(request, timeout=timeout, **transport))
        used, new = self._refresh_token, tokens.refresh_token or self._refresh_token
        if new != used:
            self._refresh_token = new
            self._save(used, new)
        return tokens


def authenticator(
    config: Mapping[str, Any], session: requests.Session, save: Callable[[str, str], None]
) -> Authenticator:
    """Choose how to say who we are.

    Args:
        config: The settings; for discovery there need not be any.
        session: The connections to Drift, for OAuth.
        save: What keeps a refresh token, for OAuth.

    Returns:
        The token in the settings, if there is one; else an OAuth app's.
    """
    if "access_token" in config or any(name not in config for name in OAUTH):
        return StaticToken(config.get("access_token", ""))
    return OAuthToken(config, session, save)


def _read(response: requests.Response) -> _Tokens:
    """Read Drift's answer.

    Raises:
        FatalAPIError: If asking again cannot help.
        TokenRefusedError: If that is for what is in the settings.
        RetriableAPIError: If it can.
    """
    status, error = response.status_code, drift_error(response)
    answered = f"{status} on {PATH}" + (f": {error}" if error else "")
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise RetriableAPIError(answered, response)
    if status in _REFUSALS:
        raise TokenRefusedError(
            f"Drift refused to renew the token ({answered}): check `client_id`, `client_secret` "
            "and `refresh_token`. A refresh token works once, and this one may have been used up: "
            "authorize the app again to get another."
        )
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        raise FatalAPIError(f"Drift gave no token ({answered}): check `api_url`.")
    try:
        return msgspec.json.decode(response.content, type=_Tokens)
    except (RecursionError, ValueError):
        raise RetriableAPIError("Drift sent an answer without a token", response) from None
