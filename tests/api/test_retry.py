"""How long to wait, and when to stop."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest
import requests
from singer_sdk.exceptions import RetriableAPIError

from tap_drift.api.retry import (
    MAX_RETRY_AFTER,
    MAX_RETRY_AFTER_TOTAL,
    MAX_RETRY_SECONDS,
    parse_retry_after,
    wait_times,
)

if TYPE_CHECKING:
    from fake_clock import FakeClock

NOW = 1_700_000_000


def response(status: int = 429, **headers: str) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    made.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return made


def wait_out(clock: FakeClock, failures: list[Exception]) -> list[float]:
    """Meet each failure with the wait that it gets, until the request is given up."""
    waiting, waited = wait_times(), []
    next(waiting)
    for failure in failures:
        try:
            waited.append(waiting.send(failure))
        except StopIteration:
            break
        clock.sleep(waited[-1])
    return waited


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        (formatdate(NOW + 42, usegmt=True), 42),
        (formatdate(NOW - 42, usegmt=True), 0),
        ("3600", MAX_RETRY_AFTER),
        (formatdate(NOW + 86400, usegmt=True), MAX_RETRY_AFTER),
        ("soon", 0),
        ("Fri, 31 Dec 99999 23:59:59 GMT", 0),
        ("-5", 0),
    ],
)
def test_both_forms_of_retry_after_are_read(retry_after: str, seconds: float) -> None:
    date = formatdate(NOW, usegmt=True)
    assert parse_retry_after(response(Retry_After=retry_after, Date=date)) == seconds


def test_without_retry_after_nobody_is_told_to_wait() -> None:
    assert parse_retry_after(response()) == 0
    assert parse_retry_after(None) == 0


def test_a_server_error_does_not_tell_how_long_to_wait() -> None:
    assert parse_retry_after(response(503, Retry_After="7")) == 0


def test_a_told_wait_gets_a_little_on_top_and_never_less(clock: FakeClock) -> None:
    failure = RetriableAPIError("", response(Retry_After="7"))
    assert all(7 <= wait <= 8 for wait in wait_out(clock, [failure] * 20))


def test_own_waits_grow_to_a_minute_and_differ(clock: FakeClock) -> None:
    waited = wait_out(clock, [ConnectionError()] * 8)
    bounds = [1, 2, 4, 8, 16, 32, 60, 60]
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(waited, bounds, strict=True))


def test_five_minutes_of_unbroken_failure_are_enough(clock: FakeClock) -> None:
    start = clock.now
    wait_out(clock, [ConnectionError()] * 1000)
    assert MAX_RETRY_SECONDS <= clock.now - start <= MAX_RETRY_SECONDS + 60


def test_a_first_request_that_takes_long_to_fail_is_tried_again(clock: FakeClock) -> None:
    waiting = wait_times()
    next(waiting)
    clock.sleep(2 * MAX_RETRY_SECONDS)
    assert waiting.send(TimeoutError()) > 0


def test_a_429_without_retry_after_uses_up_patience_too(clock: FakeClock) -> None:
    failures: list[Exception] = [RetriableAPIError("", response())] * 1000
    assert len(wait_out(clock, failures)) < 30


def test_nobody_waits_for_ever(clock: FakeClock) -> None:
    start = clock.now
    told = RetriableAPIError("", response(Retry_After="1"))
    assert len(wait_out(clock, [told] * 100_000)) < 100_000
    assert clock.now - start >= MAX_RETRY_AFTER_TOTAL


def test_time_that_drift_asked_for_is_not_failure(clock: FakeClock) -> None:
    told = RetriableAPIError("", response(Retry_After="290"))
    waited = wait_out(clock, [told] * 10 + [ConnectionError()] * 1000)
    assert sum(waited[10:]) >= MAX_RETRY_SECONDS - 1


def test_time_lost_at_the_gate_alone_is_not_failure(clock: FakeClock) -> None:
    """Another request was told to wait, and held all others back as well."""
    waiting = wait_times()
    next(waiting)
    waiting.send(RetriableAPIError("", response(503)))
    clock.now += MAX_RETRY_SECONDS
    assert waiting.send(RetriableAPIError("", response(503))) > 0
