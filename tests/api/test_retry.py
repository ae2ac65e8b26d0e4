"""Tests of the retries: which failures, which waits, when a request is given up."""

from __future__ import annotations

import logging
from contextlib import suppress
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest
import requests
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

from tap_drift.api.retry import (
    BACKOFF_SECONDS,
    MAX_RETRY_AFTER,
    MAX_RETRY_AFTER_TOTAL,
    MAX_RETRY_SECONDS,
    TRANSIENT_ERRORS,
    Attempts,
    CircuitBreaker,
    explained_failure,
    is_transient_status,
    parse_retry_after,
    wait_times,
    with_retries,
)
from tap_drift.exceptions import RequestRefusedError, RetriesExhaustedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_clock import FakeClock

NOW = 1_700_000_000
LOGGER = logging.getLogger("tap-drift")
EXHAUSTED = RetriesExhaustedError("/users/list failed", attempts=9, status=None, failed_before=0.0)
REFUSED = RequestRefusedError("400 on /users/list", "/users/list", 400)


def build_response(status: int = 429, **headers: str) -> requests.Response:
    """Build a response; `_` in a header's name stands for `-`."""
    response = requests.Response()
    response.status_code = status
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


def throttled(retry_after: str) -> RetriableAPIError:
    return RetriableAPIError("429", build_response(Retry_After=retry_after))


def wait_out(clock: FakeClock, failures: list[Exception]) -> list[float]:
    """Wait after each failure, until the request is given up; return the waits."""
    waits, generator = [], wait_times(CircuitBreaker())
    next(generator)
    for failure in failures:
        try:
            waits.append(generator.send(failure))
        except StopIteration:
            break
        clock.sleep(waits[-1])
    return waits


def fail_with(errors: list[Exception]) -> Callable[[], str]:
    """Return a function that raises each of the errors once, and then succeeds."""
    left = list(errors)

    def call() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return call


# Statuses


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 599])
def test_throttling_and_server_errors_are_transient(status: int) -> None:
    assert is_transient_status(status)


@pytest.mark.parametrize("status", [200, 204, 301, 302, 400, 401, 403, 404, 410, 422, 499])
def test_any_other_status_is_not_transient(status: int) -> None:
    assert not is_transient_status(status)


# Retry-After


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
def test_retry_after_is_parsed_as_seconds_or_date(retry_after: str, seconds: float) -> None:
    date = formatdate(NOW, usegmt=True)
    assert parse_retry_after(build_response(Retry_After=retry_after, Date=date)) == seconds


def test_missing_retry_after_is_zero() -> None:
    assert parse_retry_after(build_response()) == 0
    assert parse_retry_after(None) == 0


def test_retry_after_of_a_server_error_is_ignored() -> None:
    assert parse_retry_after(build_response(503, Retry_After="7")) == 0


# Waits


def test_retry_after_wait_gets_up_to_a_second_of_jitter(clock: FakeClock) -> None:
    assert all(7 <= wait <= 8 for wait in wait_out(clock, [throttled("7")] * 20))


def test_backoff_waits_grow_to_a_minute_with_jitter(clock: FakeClock) -> None:
    waits = wait_out(clock, [ConnectionError()] * 8)
    bounds = [*BACKOFF_SECONDS, BACKOFF_SECONDS[-1]]
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))


def test_failing_request_is_given_up_after_five_minutes(clock: FakeClock) -> None:
    start = clock.now
    wait_out(clock, [ConnectionError()] * 1000)
    assert MAX_RETRY_SECONDS <= clock.now - start <= MAX_RETRY_SECONDS + 60


def test_first_attempt_that_fails_late_is_retried(clock: FakeClock) -> None:
    generator = wait_times(CircuitBreaker())
    next(generator)
    clock.sleep(2 * MAX_RETRY_SECONDS)
    assert generator.send(TimeoutError()) > 0


def test_429_without_retry_after_counts_as_failure(clock: FakeClock) -> None:
    failures: list[Exception] = [RetriableAPIError("429", build_response())] * 1000
    assert len(wait_out(clock, failures)) < 30


def test_retry_after_waits_end_after_two_hours(clock: FakeClock) -> None:
    start = clock.now
    assert len(wait_out(clock, [throttled("1")] * 100_000)) < 100_000
    assert clock.now - start >= MAX_RETRY_AFTER_TOTAL


def test_retry_after_waits_do_not_count_as_failure(clock: FakeClock) -> None:
    waits = wait_out(clock, [throttled("290")] * 10 + [ConnectionError()] * 1000)
    assert sum(waits[10:]) >= MAX_RETRY_SECONDS - 1


def test_time_in_the_rate_limiter_alone_does_not_exhaust_retries(clock: FakeClock) -> None:
    generator = wait_times(CircuitBreaker())
    next(generator)
    generator.send(RetriableAPIError("503", build_response(503)))
    # Another request was throttled, which delays this one as well.
    clock.now += MAX_RETRY_SECONDS
    assert generator.send(RetriableAPIError("503", build_response(503))) > 0


# with_retries


@pytest.mark.parametrize("kind", TRANSIENT_ERRORS)
def test_transient_error_is_retried_and_logged(
    kind: type[Exception], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    call = fail_with([kind("first"), kind("second")])
    assert with_retries(call, "/oauth2/token", LOGGER, CircuitBreaker()) == "done"
    assert caplog.messages == [
        f"/oauth2/token failed: {cause}. Retrying in {wait:.1f} s."
        for cause, wait in zip(("first", "second"), clock.slept, strict=True)
    ]


def test_any_other_error_is_not_retried(clock: FakeClock) -> None:
    with pytest.raises(FatalAPIError, match="refused"):
        with_retries(
            fail_with([FatalAPIError("refused")]), "/oauth2/token", LOGGER, CircuitBreaker()
        )
    assert clock.slept == []


def test_exhausted_retries_are_explained(clock: FakeClock) -> None:
    with pytest.raises(RetriesExhaustedError, match=r"/oauth2/token failed for \d minutes"):
        with_retries(
            fail_with([requests.Timeout("no answer")] * 99),
            "/oauth2/token",
            LOGGER,
            CircuitBreaker(),
        )
    assert sum(clock.slept) >= MAX_RETRY_SECONDS


# explained_failure


def test_success_is_returned_and_counted() -> None:
    with explained_failure("/users/list") as attempts:
        assert attempts.counted(lambda: "done")() == "done"
    assert attempts.count == 1


def test_failure_of_one_attempt_names_path_and_cause() -> None:
    with (
        pytest.raises(RetriesExhaustedError, match=r"^/users/list failed: Connection refused\.$"),
        explained_failure("/users/list") as attempts,
    ):
        attempts.counted(fail_with([requests.ConnectionError("Connection refused")]))()


def test_failure_of_several_attempts_names_time_and_number(clock: FakeClock) -> None:
    call = fail_with([RetriableAPIError("503"), RetriableAPIError("500")])

    def fail_twice(attempt: Callable[[], str]) -> None:
        with suppress(RetriableAPIError):
            attempt()
        clock.sleep(360)
        attempt()

    with (
        pytest.raises(RetriesExhaustedError) as error,
        explained_failure("/users/list") as attempts,
    ):
        fail_twice(attempts.counted(call))
    assert str(error.value) == "/users/list failed for 6 minutes, 2 attempts; last error: 500."


def test_cause_is_the_innermost_error() -> None:
    error = requests.ConnectionError("HTTPConnectionPool(host='drift.test', port=80): …")
    error.__context__ = ConnectionRefusedError(111, "Connection refused")
    with (
        pytest.raises(RetriesExhaustedError, match="failed: Connection refused"),
        explained_failure("/users/list") as attempts,
    ):
        attempts.counted(fail_with([error]))()


def test_cause_survives_a_later_change_of_the_context() -> None:
    error = requests.ConnectionError("Connection refused")
    attempts = Attempts()
    with pytest.raises(requests.ConnectionError):
        attempts.counted(fail_with([error]))()
    error.__context__ = StopIteration()
    assert attempts.cause == "Connection refused"


@pytest.mark.parametrize("error", [REFUSED, ValueError("a bug")])
def test_error_that_is_not_transient_is_not_explained(error: Exception) -> None:
    with (
        pytest.raises(type(error)) as raised,
        explained_failure("/users/list") as attempts,
    ):
        attempts.counted(fail_with([error]))()
    assert raised.value is error


# CircuitBreaker


def watch(breaker: CircuitBreaker, error: Exception, *, responses: int = 0) -> None:
    """Watch a request that receives responses, and then fails."""
    with suppress(type(error)), breaker.watch():
        for _ in range(responses):
            breaker.on_response()
        raise error


def test_breaker_does_not_hide_the_error() -> None:
    with pytest.raises(RetriesExhaustedError), CircuitBreaker().watch():
        raise EXHAUSTED


def test_breaker_is_closed_at_first() -> None:
    breaker = CircuitBreaker()
    with breaker.watch():
        pass
    assert not breaker.is_open


def test_breaker_opens_if_no_response_arrives() -> None:
    breaker = CircuitBreaker()
    watch(breaker, EXHAUSTED)
    assert breaker.is_open


def test_breaker_ignores_responses_before_the_request() -> None:
    breaker = CircuitBreaker()
    breaker.on_response()
    watch(breaker, EXHAUSTED)
    assert breaker.is_open


def test_breaker_stays_closed_if_any_response_arrives() -> None:
    breaker = CircuitBreaker()
    watch(breaker, EXHAUSTED, responses=1)
    assert not breaker.is_open


def test_breaker_stays_closed_after_another_error() -> None:
    breaker = CircuitBreaker()
    watch(breaker, REFUSED)
    assert not breaker.is_open


def test_response_closes_the_breaker() -> None:
    breaker = CircuitBreaker()
    watch(breaker, EXHAUSTED)
    breaker.on_response()
    assert not breaker.is_open


def test_open_breaker_stays_open_after_another_failure() -> None:
    breaker = CircuitBreaker()
    watch(breaker, EXHAUSTED)
    watch(breaker, EXHAUSTED)
    assert breaker.is_open
