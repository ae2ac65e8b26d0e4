"""Retry policy: which statuses are retried, and whose fault a failure is."""

from __future__ import annotations

import heapq
import random
from typing import TYPE_CHECKING

import pytest
import requests
from faults import answer, answer_normally
from runs import catalog, sync
from seeds import seeds
from singer_sdk.exceptions import RetriableAPIError

from tap_drift.api.retry import (
    BACKOFF_SECONDS,
    ITEM_RETRIES,
    ITEM_SECONDS,
    MAX_RETRY_AFTER_TOTAL,
    MAX_RETRY_SECONDS,
    CircuitBreaker,
    is_transient_status,
    item_wait_times,
    wait_times,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from fake_clock import FakeClock
    from fake_drift import FakeDrift

    WaitTimes = Callable[[CircuitBreaker], Generator[float, Any, None]]


def failure(status: int, **headers: str) -> RetriableAPIError:
    response = requests.Response()
    response.status_code = status
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return RetriableAPIError("", response)


def give_up(
    clock: FakeClock,
    waits: Generator[float, Any, None],
    error: Exception,
    meanwhile: Callable[[], None] = lambda: None,
) -> float:
    """Fail until the request is given up; return how many seconds that took."""
    started = clock.now
    for _ in range(1000):
        meanwhile()
        try:
            clock.now += waits.send(error)
        except StopIteration:
            return clock.now - started
    raise AssertionError


THROTTLED = failure(429)
BOTH = pytest.mark.parametrize("policy", [wait_times, item_wait_times])


# Statuses


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 520, 599])
def test_some_statuses_are_transient(status: int) -> None:
    assert is_transient_status(status)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_transient_status_is_retried(
    status: int, drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    drift.faults.extend([answer_normally, answer(status), answer(status)])
    assert sync(config).record_ids() == drift.conversation_ids()
    assert len(clock.slept) >= 2


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 409, 410, 418, 422])
def test_other_statuses_are_not_transient(status: int) -> None:
    assert not is_transient_status(status)


@pytest.mark.parametrize("status", [408, 425])
def test_item_with_a_transient_status_is_retried(
    status: int, drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    del drift.account.conversations[3:]
    drift.faults.extend([answer_normally, answer(status)])
    selected = catalog("transcripts")
    assert len(sync(config | {"concurrency": 1}, catalog=selected).records("transcripts")) == 3
    assert len(clock.slept) == 1


# A slow limit


class SlowLimit:
    """Simulates requests to a server that accepts few of them, and when the others give up.

    Each request that is answered 429 waits as its policy says. Between two attempts, only the
    clock passes.
    """

    def __init__(
        self, clock: FakeClock, policy: WaitTimes, per_minute: float, retry_after: int | None = None
    ) -> None:
        self.given_up = 0
        self.accepted = 0
        self.breaker = CircuitBreaker()
        self._clock = clock
        self._policy = policy
        self._interval = 60 / per_minute if per_minute else float("inf")
        headers = {} if retry_after is None else {"Retry_After": str(retry_after)}
        self._failure = failure(429, **headers)

    def run(self, requests: int, concurrency: int) -> None:
        """Send as many requests, as many at once as are allowed."""
        free_at = self._clock.now + self._interval
        due: list[tuple[float, float, Generator[float, Any, None]]] = []
        left = requests
        while left or due:
            while left and len(due) < concurrency:
                left -= 1
                waits = self._policy(self.breaker)
                next(waits)
                heapq.heappush(due, (self._clock.now, random.random(), waits))
            now, _, waits = heapq.heappop(due)
            self._clock.now = max(self._clock.now, now)
            if self._clock.now >= free_at:
                free_at = self._clock.now + self._interval
                self.breaker.accepted_at = self._clock.now
                self.accepted += 1
                continue
            try:
                wait = waits.send(self._failure)
            except StopIteration:
                self.given_up += 1
            else:
                heapq.heappush(due, (self._clock.now + wait, random.random(), waits))


@BOTH
@pytest.mark.parametrize("retry_after", [None, 30])
@pytest.mark.parametrize("seed", seeds(3, 20))
def test_slow_limit_lets_no_request_give_up(
    seed: int, retry_after: int | None, policy: WaitTimes, clock: FakeClock
) -> None:
    """2 requests a minute, 32 at once: a request can wait for a quarter of an hour or longer."""
    random.seed(seed)
    limit = SlowLimit(clock, policy, per_minute=2, retry_after=retry_after)
    limit.run(requests=100, concurrency=32)
    assert (limit.accepted, limit.given_up) == (100, 0)


@BOTH
@pytest.mark.parametrize(
    ("retry_after", "bound"), [(None, MAX_RETRY_SECONDS), (60, MAX_RETRY_AFTER_TOTAL)]
)
def test_limit_for_everybody_ends_after_the_bound(
    bound: float, retry_after: int | None, policy: WaitTimes, clock: FakeClock
) -> None:
    started = clock.now
    limit = SlowLimit(clock, policy, per_minute=0, retry_after=retry_after)
    limit.run(requests=8, concurrency=8)
    assert limit.given_up == 8
    last_waits = MAX_RETRY_SECONDS + 10 * BACKOFF_SECONDS[-1]
    assert bound <= clock.now - started <= bound + last_waits


@BOTH
def test_throttled_request_gives_up_after_others_have_ended(
    policy: WaitTimes, clock: FakeClock
) -> None:
    breaker = CircuitBreaker()
    waits = policy(breaker)
    next(waits)
    for _ in range(50):
        breaker.accepted_at = clock.now
        clock.now += waits.send(THROTTLED)
    seconds = give_up(clock, waits, THROTTLED)
    assert MAX_RETRY_SECONDS - BACKOFF_SECONDS[-1] <= seconds <= 2 * MAX_RETRY_SECONDS


def test_server_errors_give_up_although_others_are_accepted(clock: FakeClock) -> None:
    breaker = CircuitBreaker()
    waits = wait_times(breaker)
    next(waits)

    def accept_another() -> None:
        breaker.accepted_at = clock.now

    seconds = give_up(clock, waits, failure(503), meanwhile=accept_another)
    assert MAX_RETRY_SECONDS <= seconds <= 2 * MAX_RETRY_SECONDS


# A single item


def test_item_gives_up_after_a_few_failures(clock: FakeClock) -> None:
    waits, started = item_wait_times(CircuitBreaker()), clock.now
    next(waits)
    for _ in range(ITEM_RETRIES):
        clock.now += waits.send(failure(500))
    with pytest.raises(StopIteration):
        waits.send(failure(500))
    assert clock.now - started <= ITEM_SECONDS


def test_item_gives_up_sooner_if_attempts_take_long(clock: FakeClock) -> None:
    """A timeout can take a minute by itself."""
    waits = item_wait_times(CircuitBreaker())
    next(waits)
    clock.now += waits.send(failure(504)) + ITEM_SECONDS
    with pytest.raises(StopIteration):
        waits.send(failure(504))


def test_throttling_does_not_count_as_a_failure_of_the_item(clock: FakeClock) -> None:
    breaker = CircuitBreaker()
    waits = item_wait_times(breaker)
    next(waits)
    failures = 0
    for _ in range(ITEM_RETRIES):
        for _ in range(5):
            breaker.accepted_at = clock.now
            waits.send(THROTTLED)
        waits.send(failure(500))
        failures += 1
    with pytest.raises(StopIteration):
        waits.send(failure(500))
    assert failures == ITEM_RETRIES
