"""Client: sends one request to Drift, with authentication, rate limit, retries and metrics."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests
from singer_sdk import metrics
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from typing_extensions import override

from tap_drift.api.auth import API_HOST, create_authenticator
from tap_drift.api.connections import DownloadAdapter, DriftAdapter, load_body
from tap_drift.api.rate_limit import RateLimiter
from tap_drift.api.redaction import error_text, redirect_host
from tap_drift.api.retry import (
    CircuitBreaker,
    explained_failure,
    is_transient_status,
    parse_retry_after,
)
from tap_drift.exceptions import (
    TOKEN_REFUSED,
    RequestCancelledError,
    RequestRefusedError,
    UnexpectedResponseError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from requests.adapters import HTTPAdapter

    from tap_drift.api.auth import TokenStore
    from tap_drift.api.responses import Page

    Attempt = Callable[[requests.PreparedRequest], Page]


_MAX_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What a stream contributes to a request: names for messages, its hooks, cancellation."""

    stream: str
    path: str
    """Path below the host, such as `/conversations/12/messages`."""

    timeout: float
    """Seconds to wait for a connection, and for each read."""

    validate: Callable[[requests.Response], None]
    """Raises for a response that is not a success."""

    parse: Callable[[requests.Response], Page]
    """Parses a success; raises `UnexpectedResponseError` for an unexpected shape."""

    retry: Callable[[Attempt], Attempt]
    """Wraps an attempt in retries, as `RESTStream.request_decorator` does."""

    cancelled: threading.Event
    """Set when the response is no longer needed: no further attempt is made."""

    is_item: bool = False
    """Whether it requests a single conversation or contact, which can be refused by itself."""

    is_download: bool = False
    """Whether the response is a file: `parse` reads its body, and redirects are followed."""


class DriftSession(requests.Session):
    """A session that follows no redirect: it could send the token to another host."""

    def __init__(self, adapter: HTTPAdapter | None = None) -> None:
        super().__init__()
        adapter = adapter or DriftAdapter()
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class DriftClient:
    """Sends the requests of all streams and threads: one session, one token, one rate limit."""

    def __init__(self, config: Mapping[str, Any], store: TokenStore) -> None:
        """Create a client; nothing is sent yet.

        Args:
            config: The tap's settings.
            store: Saves a rotated OAuth refresh token.
        """
        concurrency = int(config["concurrency"])
        self.session = DriftSession(DriftAdapter(pool_maxsize=concurrency))
        self.download_session = DriftSession(DownloadAdapter(pool_maxsize=concurrency))
        self.circuit_breaker = CircuitBreaker()
        self.authenticator = create_authenticator(config, self.session, store, self.circuit_breaker)
        self.request_counts: Counter[str] = Counter()
        """Number of requests sent for each stream, failed ones included."""

        self._config = config
        self._rate_limiter = RateLimiter(concurrency)
        self._item_refresh_lock = threading.Lock()
        self._refreshed_in_vain = False
        self._transports: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._metrics = metrics.get_metrics_logger()

    def send(
        self, request: requests.PreparedRequest, context: RequestContext, *, retry: bool = True
    ) -> Page:
        """Send a request, with retries, and return the parsed response.

        Args:
            request: The request.
            context: What the stream contributes to it.
            retry: Whether transient failures are retried.

        Raises:
            RequestCancelledError: If the response is no longer needed.
            RequestRefusedError: If Drift refuses the request.
            RetriesExhaustedError: If it failed until its retries were used up.
        """

        def attempt(request: requests.PreparedRequest) -> Page:
            return self._attempt(request, context)

        breaker = self.circuit_breaker
        # Other requests give up too early to show that Drift is unreachable.
        watch = breaker.watch() if retry and not context.is_item else nullcontext()
        with watch, explained_failure(context.path) as attempts:
            counted = attempts.counted(attempt)
            if not retry or breaker.is_open:
                return counted(request)
            return context.retry(counted)(request)

    def token_scopes(self) -> str | None:
        """Request the scopes of the token, space-separated; None if Drift does not return them."""
        url = str(self._config.get("api_url", API_HOST)).rstrip("/") + "/app/token_info"
        try:
            response = self.session.post(
                url,
                json={"access_token": self.authenticator.token()},
                headers={"User-Agent": self._config["user_agent"]},
                timeout=int(self._config["request_timeout"]),
            )
            response.raise_for_status()
            return str(response.json()["scope"])
        except (FatalAPIError, KeyError, TypeError, ValueError, requests.RequestException):
            return None

    def _attempt(self, request: requests.PreparedRequest, context: RequestContext) -> Page:
        if context.cancelled.is_set():
            raise RequestCancelledError(f"The request for {context.path} was cancelled.")
        started_at = time.monotonic()
        response = self._send_with_valid_token(request, context)
        if context.is_download:
            response = self._follow_redirects(response, context)
            if response.status_code >= HTTPStatus.MULTIPLE_CHOICES:
                load_body(response)  # an error, which has no file
        try:
            context.validate(response)
            page = context.parse(response)
        except UnexpectedResponseError as error:
            raise RetriableAPIError(f"Drift sent {error}", response) from error
        except RequestRefusedError:
            self.circuit_breaker.on_refused()
            raise
        finally:
            if context.is_download:
                response.close()
        self.circuit_breaker.on_success(started_at)
        return page if context.is_download else replace(page, size=len(response.content))

    def _follow_redirects(
        self, response: requests.Response, context: RequestContext
    ) -> requests.Response:
        """Follow the redirects of a download, without the token.

        Whether Drift redirects to a storage service is not documented. The last redirect is
        returned if it leads to no web address, or if there are too many.
        """
        for _ in range(_MAX_REDIRECTS):
            url = urljoin(str(response.url), response.headers.get("Location", ""))
            if not response.is_redirect or urlsplit(url).scheme not in {"http", "https"}:
                break
            response.close()
            headers = {"User-Agent": self._config["user_agent"]}
            request = requests.Request("GET", url, headers).prepare()
            transport = {**self._transport(url), "stream": True}
            response = self.download_session.send(request, timeout=context.timeout, **transport)
        return response

    def _send_with_valid_token(
        self, request: requests.PreparedRequest, context: RequestContext
    ) -> requests.Response:
        """Send a request; after a 401, refresh the token and send it again.

        Drift answers 401 also for a contact that the token may not read. A refresh that did not
        help is therefore the last one for single items.
        """
        response = self._send_once(request, context)
        if response.status_code != HTTPStatus.UNAUTHORIZED:
            return response
        if not context.is_item:
            return self._send_with_new_token(request, context) or response
        with self._item_refresh_lock:
            if self._refreshed_in_vain and self.authenticator.is_current(request):
                return response
            return self._send_with_new_token(request, context) or response

    def _send_with_new_token(
        self, request: requests.PreparedRequest, context: RequestContext
    ) -> requests.Response | None:
        """Refresh the token and send a request again; None if there is no other token."""
        if not self.authenticator.refresh(request):
            return None
        response = self._send_once(request, context)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            self._refreshed_in_vain = True
        return response

    def _send_once(
        self, request: requests.PreparedRequest, context: RequestContext
    ) -> requests.Response:
        with self._lock:
            self.request_counts[context.stream] += 1
        with self._rate_limiter as sent_at:
            request = self.authenticator(request)
            transport = self._transport(str(request.url))
            if context.is_download:
                session, transport = self.download_session, {**transport, "stream": True}
            else:
                session = self.session
            response = session.send(request, timeout=context.timeout, **transport)
            self.circuit_breaker.on_response()
            if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                self._rate_limiter.on_throttled(sent_at, parse_retry_after(response))
            else:
                self._rate_limiter.on_success()
        self._log_duration(response, context)
        return response

    def _log_duration(self, response: requests.Response, context: RequestContext) -> None:
        if not self._metrics.isEnabledFor(logging.DEBUG):
            return
        point = metrics.Point(
            "timer",
            metrics.Metric.HTTP_REQUEST_DURATION,
            response.elapsed.total_seconds(),
            {
                "stream": context.stream,
                "endpoint": context.path,
                "http_status_code": response.status_code,
            },
        )
        self._metrics.debug("METRIC: %s", point)

    def _transport(self, url: str) -> dict[str, Any]:
        """Return proxies and certificates of the environment, looked up once for each host."""
        host = urlsplit(url).netloc
        if host not in self._transports:
            settings = self.session.merge_environment_settings(url, {}, None, None, None)
            self._transports[host] = {**settings}
        return self._transports[host]


def status_message(response: requests.Response, path: str, *, scope: str, setting: str) -> str:
    """Return the message for an error status; of the body, it quotes only Drift's error.

    Args:
        response: The response.
        path: Path below the host.
        scope: The scope that the endpoint requires.
        setting: The setting that the token comes from.
    """
    status, error = response.status_code, error_text(response)
    if status in TOKEN_REFUSED:
        return (
            f"Drift refused the token ({status} on {path}): check that `{setting}` is a current "
            f"token of an app with the scope `{scope}` (a changed scope needs a new token)."
        )
    if status < HTTPStatus.BAD_REQUEST:
        return (
            f"{path} answered {status}, a redirect to {redirect_host(response)}. Drift sends no "
            "redirects, so it was not followed: check `api_url`."
        )
    if error:
        return f"Drift answered {status} on {path}: {error}"
    if not is_transient_status(status):
        return f"{status} on {path}, without an error of Drift's in it: check `api_url`"
    return f"{status} on {path}"
