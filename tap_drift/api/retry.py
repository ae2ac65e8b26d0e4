"""Retries: which failures are retried, the waits in between, and when to give up."""

from __future__ import annotations

import math
import random
import threading
import time
from contextlib import contextmanager
from email.utils import formatdate, parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import backoff
import requests
from singer_sdk.exceptions import RetriableAPIError

from tap_drift.exceptions import RetriesExhaustedError, root_cause

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Generator, Iterator

    from backoff.types import Details

    P = ParamSpec("P")
    T = TypeVar("T")

TRANSIENT_ERRORS = (
    RetriableAPIError,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ConnectionError,
    requests.exceptions.ContentDecodingError,
    requests.exceptions.Timeout,
)
"""Failures that are retried."""

MAX_RETRY_SECONDS = 300.0
"""Seconds of uninterrupted failure after which a request is given up."""

MAX_RETRY_AFTER = 300.0
"""Longest wait, in seconds, for one `Retry-After`; the request is then sent again."""

MAX_RETRY_AFTER_TOTAL = 7200.0
"""Seconds without an accepted request after which `Retry-After` waits count as failure."""

ITEM_RETRIES, ITEM_SECONDS = 5, 60.0
"""Retries of a request for a single item; fewer if they take longer than these seconds."""

BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
"""Longest wait after each failure; the last one repeats."""


_TRANSIENT_STATUSES = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}


def is_transient_status(status: int) -> bool:
    """Return whether a status is worth a retry: 408, 425, 429, and 500 or higher."""
    return status in _TRANSIENT_STATUSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def with_retries(
    call: Callable[[], T], path: str, logger: logging.Logger, breaker: CircuitBreaker
) -> T:
    """Call until it succeeds, with the default waits; log each retry.

    Raises:
        RetriesExhaustedError: If the call failed until its retries were used up.
    """

    def log_retry(details: Details) -> None:
        logger.warning(*retry_message(path, details))

    retried = backoff.on_exception(
        partial(wait_times, breaker),
        TRANSIENT_ERRORS,
        jitter=None,
        on_backoff=log_retry,
        logger=None,
    )
    with explained_failure(path) as attempts:
        return retried(attempts.counted(call))()


def retry_message(path: str, details: Details) -> tuple[str, str, str, float]:
    """Return the log message, and its arguments, for a retry that `backoff` is about to make."""
    cause = root_cause(details["exception"])
    return "%s failed: %s. Retrying in %.1f s.", path, cause, details["wait"]


class Attempts:
    """Counts the attempts of one request, and keeps the last failures."""

    def __init__(self) -> None:
        self.count = 0
        self.cause = ""
        self.status: int | None = None
        """Status of the response to the last attempt; None if there was none."""
        self.started = time.monotonic()
        self.failed_at = self.previously_failed_at = self.started

    def counted(self, call: Callable[P, T]) -> Callable[P, T]:
        """Return a function that counts each call."""

        def attempt(*args: P.args, **kwargs: P.kwargs) -> T:
            self.count += 1
            try:
                return call(*args, **kwargs)
            except TRANSIENT_ERRORS as error:
                # Read here, because `backoff` replaces the context of the error that it raises.
                self.cause = root_cause(error)
                self.status = getattr(getattr(error, "response", None), "status_code", None)
                self.previously_failed_at, self.failed_at = self.failed_at, time.monotonic()
                raise

        return attempt

    def describe(self, path: str) -> str:
        """Return what failed, how often, and why."""
        if self.count == 1:
            return f"{path} failed: {self.cause}."
        elapsed = _duration(time.monotonic() - self.started)
        return f"{path} failed for {elapsed}, {self.count} attempts; last error: {self.cause}."


@contextmanager
def explained_failure(path: str) -> Iterator[Attempts]:
    """Turn the last transient error of a request into a message.

    Raises:
        RetriesExhaustedError: If the block ends with one of `TRANSIENT_ERRORS`.
    """
    attempts = Attempts()
    try:
        yield attempts
    except TRANSIENT_ERRORS:
        raise RetriesExhaustedError(
            attempts.describe(path),
            attempts=attempts.count,
            status=attempts.status,
            failed_before=attempts.previously_failed_at,
        ) from None


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"  # noqa: PLR2004


def wait_times(breaker: CircuitBreaker) -> Generator[float, Any, None]:
    """Generate the wait after each failure of one request, in seconds.

    A wait generator of the library `backoff`: primed with `next`, it is sent each failure and
    yields the wait; when it ends, the request is given up. It ends after `MAX_RETRY_SECONDS` of
    failure. A 429 is not the request's failure while Drift accepts others, and waits that Drift
    requests with `Retry-After` do not count, up to `MAX_RETRY_AFTER_TOTAL`. Waits are random
    within bounds, so that clients spread out.
    """
    failure = yield 0.0
    deadline = (first := time.monotonic()) + MAX_RETRY_SECONDS
    for failures in count():
        now = time.monotonic()
        wait = parse_retry_after(getattr(failure, "response", None))
        accepted = max(first, breaker.accepted_at)
        if wait and now < accepted + MAX_RETRY_AFTER_TOTAL:
            wait += random.uniform(0.0, 1.0)  # noqa: S311 - jitter, no secret
            deadline += wait
        else:
            if _is_throttled(failure):
                deadline = max(deadline, accepted + MAX_RETRY_SECONDS)
            if now >= deadline and failures >= len(BACKOFF_SECONDS):
                return
            wait = _backoff(failures)
        failure = yield wait


def item_wait_times(breaker: CircuitBreaker) -> Generator[float, Any, None]:
    """Generate the waits for a request for a single item, which gives up sooner.

    It ends after `ITEM_RETRIES`, or after `ITEM_SECONDS`, of failures that are not 429: these
    wait as `wait_times` does.
    """
    throttled_waits = wait_times(breaker)
    next(throttled_waits)
    failure = yield 0.0
    first, failures = time.monotonic(), 0
    while True:
        if _is_throttled(failure):
            try:
                wait = throttled_waits.send(failure)
            except StopIteration:
                return
        else:
            if failures >= ITEM_RETRIES or (failures and time.monotonic() - first >= ITEM_SECONDS):
                return
            wait = _backoff(failures)
            failures += 1
        failure = yield wait


def _backoff(failures: int) -> float:
    longest = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
    return random.uniform(longest / 2, longest)  # noqa: S311 - jitter, no secret


def _is_throttled(failure: Exception) -> bool:
    response = getattr(failure, "response", None)
    return response is not None and response.status_code == HTTPStatus.TOO_MANY_REQUESTS


def parse_retry_after(response: requests.Response | None) -> float:
    """Return the wait that a 429 requests, in seconds; 0 if it requests none.

    Whether Drift sends `Retry-After` is not documented, so both HTTP forms (seconds, date) are
    read. At most `MAX_RETRY_AFTER`.
    """
    if response is None or response.status_code != HTTPStatus.TOO_MANY_REQUESTS:
        return 0.0
    value = response.headers.get("Retry-After", "").strip()
    seconds = float(value) if value.isdecimal() else _seconds_until(value, response)
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _seconds_until(http_date: str, response: requests.Response) -> float:
    """Return seconds from the response's own `Date`: the local clock can be wrong."""
    try:
        until = parsedate_to_datetime(http_date)
        sent = parsedate_to_datetime(response.headers.get("Date", formatdate(usegmt=True)))
        return (until - sent).total_seconds()
    except (OverflowError, TypeError, ValueError):
        return 0.0


class CircuitBreaker:
    """Knows whether Drift answers, from all responses of a run.

    It opens when a request has exhausted its retries while Drift answered nothing at all. While it
    is open, each request is sent once. Any response closes it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._responses = 0
        self._is_open = False
        self.accepted_at = -math.inf
        """When Drift last accepted a request, or refused one for good; monotonic seconds."""
        self.success_started_at = -math.inf
        """When the last request was started that Drift has accepted; monotonic seconds."""

    @property
    def is_open(self) -> bool:
        """Whether Drift is taken to be unreachable."""
        return self._is_open

    def on_response(self) -> None:
        """Count a response of any status."""
        with self._lock:
            self._responses += 1
            self._is_open = False

    def on_success(self, started_at: float) -> None:
        """Note a response of the expected form.

        Args:
            started_at: When the request was started; monotonic seconds.
        """
        with self._lock:
            self.accepted_at = time.monotonic()
            self.success_started_at = max(self.success_started_at, started_at)

    def on_refused(self) -> None:
        """Note a refusal that is worth no retry."""
        self.accepted_at = time.monotonic()

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Open the breaker if the block exhausts its retries and no response arrived meanwhile."""
        before = self._responses
        try:
            yield
        except RetriesExhaustedError:
            with self._lock:
                self._is_open = self._responses == before
            raise
