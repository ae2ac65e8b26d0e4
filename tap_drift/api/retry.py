"""Which failed requests are sent again, how long to wait before, and when to stop trying."""

from __future__ import annotations

import random
import time
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import backoff
import requests
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

from tap_drift.exceptions import cause

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from backoff.types import Details

    Send = TypeVar("Send", bound=Callable[..., object])

TRANSIENT = (
    RetriableAPIError,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ConnectionError,
    requests.exceptions.ContentDecodingError,
    requests.exceptions.Timeout,
)
"""What may pass by itself: a request that fails so is sent again."""

MAX_RETRY_SECONDS = 300.0
"""Seconds of unbroken failure after which a request is given up."""

MAX_RETRY_AFTER = 300.0
"""Seconds to wait at the most for one `Retry-After`; Drift is then asked again."""

MAX_RETRY_AFTER_TOTAL = 7200.0
"""Seconds for which Drift may ask to wait again and again, before that is failure too."""

BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)


def with_retries(send: Send, path: str, warn: Callable[..., None]) -> Send:
    """Send a request again while it fails in ways that may pass; then give up in words.

    Args:
        send: Sends a request once.
        path: What is asked for, to name it.
        warn: Says what failed, and when it will be tried again; called as a logger's method is.

    Returns:
        Sends a request until it succeeds, or raises a `FatalAPIError`.
    """

    def say(details: Details) -> None:
        why, wait = cause(details["exception"]), details["wait"]
        warn("%s failed: %s. Asking again in %.1f s.", path, why, wait)

    def give_up(details: Details) -> None:
        raise FatalAPIError(
            f"{path} failed for {details['elapsed'] / 60:.0f} minutes, {details['tries']} times; "
            f"the last time: {cause(details['exception'])}. Nothing is lost: run again when Drift "
            "can be reached."
        )

    retried = backoff.on_exception(
        waits, TRANSIENT, jitter=None, on_backoff=say, on_giveup=give_up, logger=None
    )
    return retried(send)


def waits() -> Generator[float, Exception, None]:
    """Give the seconds to wait after each failure of one request.

    The form is that of a wait generator of the library `backoff`: primed with `next`, it is sent
    each failure and gives the wait; when it ends, the request is given up. Time that Drift asked
    for with `Retry-After` is not failure, and does not count towards
    `MAX_RETRY_SECONDS`, up to `MAX_RETRY_AFTER_TOTAL`.

    Yields:
        Seconds until the next try; random within bounds, so that many clients spread out.
    """
    failure = yield 0.0
    first = time.monotonic()
    deadline = first + MAX_RETRY_SECONDS
    for failures in count():
        told = parse_retry_after(getattr(failure, "response", None))
        if told and time.monotonic() < first + MAX_RETRY_AFTER_TOTAL:
            wait = told + random.uniform(0.0, 1.0)  # noqa: S311 - spreads requests, guards nothing
            deadline += wait
        else:
            if time.monotonic() >= deadline and failures >= len(BACKOFF_SECONDS):
                return
            longest = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
            wait = random.uniform(longest / 2, longest)  # noqa: S311 - as above
        failure = yield wait


def parse_retry_after(response: requests.Response | None) -> float:
    """Read the wait that a 429 asks for.

    Whether Drift sends `Retry-After` is not known, so both forms that HTTP has are read.

    Args:
        response: The answer to the failed request, if there was one.

    Returns:
        Seconds, at most `MAX_RETRY_AFTER`; 0 if the answer does not ask for a wait.
    """
    if response is None or response.status_code != HTTPStatus.TOO_MANY_REQUESTS:
        return 0.0
    told = response.headers.get("Retry-After", "").strip()
    seconds = float(told) if told.isdecimal() else _seconds_until(told, response)
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _seconds_until(http_date: str, response: requests.Response) -> float:
    """Seconds from the answer's own `Date`, so that it does not matter how our clock is set."""
    try:
        until = parsedate_to_datetime(http_date)
        asked = parsedate_to_datetime(response.headers.get("Date", formatdate(usegmt=True)))
        return (until - asked).total_seconds()
    except (OverflowError, TypeError, ValueError):
        return 0.0
