"""Retries: which failures are retried, the waits in between, and when to give up."""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING, ParamSpec, TypeVar

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
"""Seconds after which further `Retry-After` waits count as failure."""

BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
"""Longest wait after each failure; the last one repeats."""


def is_transient_status(status: int) -> bool:
    """Return whether a response with this status is retried: 429, and 500 or higher."""
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def with_retries(call: Callable[[], T], path: str, logger: logging.Logger) -> T:
    """Call until it succeeds, with the default waits; log each retry.

    Raises:
        RetriesExhaustedError: If the call failed until its retries were used up.
    """

    def log_retry(details: Details) -> None:
        logger.warning(*retry_message(path, details))

    retried = backoff.on_exception(
        wait_times, TRANSIENT_ERRORS, jitter=None, on_backoff=log_retry, logger=None
    )
    with explained_failure(path) as attempts:
        return retried(attempts.counted(call))()


def retry_message(path: str, details: Details) -> tuple[str, str, str, float]:
    """Return the log message, and its arguments, for a retry that `backoff` is about to make."""
    cause = root_cause(details["exception"])
    return "%s failed: %s. Retrying in %.1f s.", path, cause, details["wait"]


class Attempts:
    """Counts the attempts of one request, and keeps the cause of the last failure."""

    def __init__(self) -> None:
        self.count = 0
        self.cause = ""
        self._started = time.monotonic()

    def counted(self, call: Callable[P, T]) -> Callable[P, T]:
        """Return a function that counts each call."""

        def attempt(*args: P.args, **kwargs: P.kwargs) -> T:
            self.count += 1
            try:
                return call(*args, **kwargs)
            except TRANSIENT_ERRORS as error:
                # Read here, because `backoff` replaces the context of the error that it raises.
                self.cause = root_cause(error)
                raise

        return attempt

    @property
    def minutes(self) -> float:
        """Minutes since the first attempt."""
        return (time.monotonic() - self._started) / 60


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
        if attempts.count == 1:
            raise RetriesExhaustedError(f"{path} failed: {attempts.cause}.") from None
        raise RetriesExhaustedError(
            f"{path} failed for {attempts.minutes:.0f} minutes, {attempts.count} attempts; last "
            f"error: {attempts.cause}. Nothing is lost: run again when Drift is reachable."
        ) from None


def wait_times() -> Generator[float, Exception, None]:
    """Generate the wait after each failure of one request, in seconds.

    A wait generator of the library `backoff`: primed with `next`, it is sent each failure and
    yields the wait; when it ends, the request is given up. Waits that Drift requests with
    `Retry-After` do not count towards `MAX_RETRY_SECONDS`, up to `MAX_RETRY_AFTER_TOTAL`. Waits
    are random within bounds, so that clients spread out.
    """
    failure = yield 0.0
    first = time.monotonic()
    deadline = first + MAX_RETRY_SECONDS
    for failures in count():
        requested = parse_retry_after(getattr(failure, "response", None))
        if requested and time.monotonic() < first + MAX_RETRY_AFTER_TOTAL:
            wait = requested + random.uniform(0.0, 1.0)  # noqa: S311 - jitter, no secret
            deadline += wait
        else:
            if time.monotonic() >= deadline and failures >= len(BACKOFF_SECONDS):
                return
            longest = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
            wait = random.uniform(longest / 2, longest)  # noqa: S311 - as above
        failure = yield wait


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
    """Stops retries after a request used up its retries while Drift answered no request.

    While the breaker is open, each request is sent once. Any response closes it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._responses = 0
        self._is_open = False

    @property
    def is_open(self) -> bool:
        """Whether Drift is taken to be unreachable."""
        return self._is_open

    def on_response(self) -> None:
        """Count a response of any status."""
        with self._lock:
            self._responses += 1
            self._is_open = False

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
