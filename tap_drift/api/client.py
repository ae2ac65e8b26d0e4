"""One request to Drift: who we are, when it may go, its retries, and its failures in words."""

from __future__ import annotations

import threading
from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from singer_sdk import metrics
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from typing_extensions import override

from tap_drift.api.auth import authenticator
from tap_drift.api.rate_limit import RateLimiter
from tap_drift.api.responses import UnexpectedResponseError
from tap_drift.api.retry import TRANSIENT, parse_retry_after, with_retries
from tap_drift.exceptions import cause, drift_error, redirect_target

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping

T = TypeVar("T")

_TOKEN_REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}


class RequestRefusedError(FatalAPIError):
    """Drift refused a request, and asking again cannot help."""

    def __init__(self, message: str, path: str, status: int) -> None:
        """Say what was refused.

        Args:
            message: A sentence.
            path: What was asked for.
            status: HTTP's code for the refusal.
        """
        super().__init__(message)
        self.path = path
        self.is_gone = status in _GONE
        """Whether Drift has no such thing, or no more."""
        self.is_of_request = status >= HTTPStatus.BAD_REQUEST and status not in _TOKEN_REFUSED
        """Whether it was refused for what it asks for, and not for its token."""


class RequestCancelledError(FatalAPIError):
    """Nobody waits for the answer any more."""


class RequestContext(NamedTuple):
    """On whose behalf a request is sent."""

    stream: str
    path: str
    scope: str
    logger: logging.Logger
    is_awaited: Callable[[], bool]
    """Whether the answer is still waited for; if not, the request is not sent again."""


class DriftSession(requests.Session):
    """A session that leaves a redirect alone, and its target unread.

    Drift documents none; to follow one could carry the token to another host.
    """

    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class DriftClient:
    """Sends the requests of all streams and threads of a run: one session, one token, one gate."""

    def __init__(self, config: Mapping[str, Any], save: Callable[[str, str], None]) -> None:
        """Begin with no connections.

        Args:
            config: The tap's settings.
            save: Keeps an OAuth app's refresh token for the next run, as `authenticator` says.
        """
        self.session = DriftSession()
        connections = HTTPAdapter(pool_maxsize=int(config["concurrency"]))
        self.session.mount("https://", connections)
        self.session.mount("http://", connections)
        self.authenticator = authenticator(config, self.session, save)
        self._timeout = int(config["request_timeout"])
        self._gate = RateLimiter(int(config["concurrency"]))
        self._transports: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._metrics = metrics.get_metrics_logger()
        self.tries_once = False
        """Whether to give up at the first failure, for those who want to know now."""

        # Who has waited five minutes for a Drift that cannot be reached has waited for all streams.
        self._is_down = False
        self._answers = 0
        self.sent: Counter[str] = Counter()
        """How many requests were sent for each stream, those that failed included."""

    def send(
        self,
        request: requests.PreparedRequest,
        asker: RequestContext,
        read: Callable[[requests.Response], T],
    ) -> T:
        """Send a request, again while it fails in ways that may pass, until it is answered.

        Args:
            request: What to ask.
            asker: On whose behalf.
            read: Parses a successful response; raises `UnexpectedResponseError` for another shape.

        Returns:
            What was read.

        Raises:
            RequestCancelledError: If nobody waits for it any more.
            FatalAPIError: If it has failed for so long that it is given up.
            RequestRefusedError: If Drift refuses it.
        """

        def attempt() -> T:
            if not asker.is_awaited():
                raise RequestCancelledError(f"{asker.path} is no longer asked for.")
            return self._attempt(request, asker, read)

        if self.tries_once or self._is_down:
            return self._once(attempt, asker)
        answers = self._answers
        try:
            return with_retries(attempt, asker.path, asker.logger.warning)()
        except FatalAPIError:
            self._is_down = self._answers == answers
            raise

    def _once(self, attempt: Callable[[], T], asker: RequestContext) -> T:
        try:
            return attempt()
        except TRANSIENT as error:
            raise FatalAPIError(f"{asker.path} failed: {cause(error)}.") from None

    def _attempt(
        self,
        request: requests.PreparedRequest,
        asker: RequestContext,
        read: Callable[[requests.Response], T],
    ) -> T:
        response = self._send_once(request, asker)
        if response.status_code == HTTPStatus.UNAUTHORIZED and self.authenticator.renew(request):
            response = self._send_once(request, asker)
        self._check(response, asker)
        try:
            return read(response)
        except UnexpectedResponseError as error:
            raise RetriableAPIError(f"Drift sent {error}", response) from error

    def _send_once(
        self, request: requests.PreparedRequest, asker: RequestContext
    ) -> requests.Response:
        with self._lock:
            self.sent[asker.stream] += 1
        with self._gate as sent:
            request = self.authenticator(request)
            transport = self._transport(str(request.url))
            response = self.session.send(request, timeout=self._timeout, **transport)
            with self._lock:
                self._answers += 1
                self._is_down = False
            if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                self._gate.refused(sent, parse_retry_after(response))
            else:
                self._gate.passed()
        point = metrics.Point(
            "timer",
            metrics.Metric.HTTP_REQUEST_DURATION,
            response.elapsed.total_seconds(),
            {
                "stream": asker.stream,
                "endpoint": asker.path,
                "http_status_code": response.status_code,
            },
        )
        self._metrics.debug("METRIC: %s", point)
        return response

    def _transport(self, url: str) -> dict[str, Any]:
        """Proxies and certificates as the environment has them, looked up once for each host."""
        host = urlsplit(url).netloc
        if host not in self._transports:
            settings = self.session.merge_environment_settings(url, {}, None, None, None)
            self._transports[host] = {**settings}
        return self._transports[host]

    def _check(self, response: requests.Response, asker: RequestContext) -> None:
        """Check that an answer is one of success."""
        status = response.status_code
        if status in _TOKEN_REFUSED:
            message = (
                f"Drift refused the token ({status} on {asker.path}): check that "
                f"`{self.authenticator.setting}` is a current token of an app with the scope "
                f"`{asker.scope}` (an app whose scopes were changed needs a new token)."
            )
            raise RequestRefusedError(message, asker.path, status)
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise RetriableAPIError(_failure(response, asker), response)
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            raise RequestRefusedError(_failure(response, asker), asker.path, status)


def _failure(response: requests.Response, asker: RequestContext) -> str:
    """Say what a status of failure means for the user; of the body, only Drift's error."""
    status, error = response.status_code, drift_error(response)
    if status < HTTPStatus.BAD_REQUEST:
        return (
            f"{asker.path} answered {status}, a redirect to {redirect_target(response)}. Drift has "
            "none, so it was not followed: check `api_url`."
        )
    if error:
        return f"Drift answered {status} on {asker.path}: {error}"
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"{status} on {asker.path}, with no error of Drift's in it: check `api_url`"
    return f"{status} on {asker.path}"
