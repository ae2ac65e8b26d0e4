"""Tests of the rate limiter: concurrency, pauses after a 429, and the learned rate."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tap_drift.api.rate_limit import (
    FIRST_PAUSE,
    MAX_PAUSE,
    AdaptiveRate,
    FairSemaphore,
    RateLimiter,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_clock import FakeClock

    Accepts = Callable[[float], bool]

LATENCY = 0.1
"""Seconds until a request is answered."""

WORKERS = 8


def token_bucket(rate: int) -> Accepts:
    """Build a server that saves up to one second of unused allowance."""
    allowance, last = float(rate), 0.0

    def accepts(now: float) -> bool:
        nonlocal allowance, last
        allowance, last = min(rate, allowance + (now - last) * rate), now
        is_accepted = allowance >= 1
        allowance -= is_accepted
        return is_accepted

    return accepts


def fixed_window(rate: int) -> Accepts:
    """Build a server that counts the requests of each second."""
    second, count = 0, 0

    def accepts(now: float) -> bool:
        nonlocal second, count
        if int(now) != second:
            second, count = int(now), 0
        count += 1
        return count <= rate

    return accepts


def send_requests(
    clock: FakeClock,
    limiter: RateLimiter,
    accepts: Accepts,
    seconds: float,
    retry_after: float = 0.0,
) -> list[bool]:
    """Drive the limiter for some time, as workers would that always have a request to send.

    Args:
        clock: The clock of the limiter.
        limiter: The limiter.
        accepts: The server: whether it accepts a request at this time.
        seconds: For how long.
        retry_after: The `Retry-After` of each 429.

    Returns:
        For each request, whether it was accepted.
    """
    accepted: list[bool] = []
    under_way: list[tuple[float, bool]] = []
    end = clock.now + seconds

    def receive() -> None:
        sent_at, is_accepted = under_way.pop(0)
        clock.now = max(clock.now, sent_at + LATENCY)
        if is_accepted:
            limiter.on_success()
        else:
            limiter.on_throttled(sent_at, retry_after)

    def sleep(wait: float) -> None:
        until = clock.now + wait
        while under_way and under_way[0][0] + LATENCY <= until:
            receive()
        clock.now = until

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(time, "sleep", sleep)
        while clock.now < end:
            if len(under_way) == WORKERS:
                receive()
            with limiter as sent_at:
                accepted.append(accepts(sent_at))
            under_way.append((sent_at, accepted[-1]))
            clock.now += 0.0001  # no two requests are sent at the same moment
        while under_way:
            receive()
    return accepted


# The learned rate


def test_rate_is_infinite_before_the_first_429() -> None:
    rate = AdaptiveRate()
    for now in range(100):
        rate.on_sent(now)
        rate.on_success()
    assert rate.rate == math.inf


def test_limiter_does_not_wait_before_the_first_429(clock: FakeClock) -> None:
    limiter = RateLimiter(1)
    for _ in range(1000):
        with limiter:
            limiter.on_success()
    assert clock.slept == []


@pytest.mark.parametrize("retry_after", [0.0, 1.0])
@pytest.mark.parametrize("server", [token_bucket, fixed_window])
def test_limit_is_used_and_hardly_ever_exceeded(
    clock: FakeClock, server: Callable[[int], Accepts], retry_after: float
) -> None:
    limiter, accepts = RateLimiter(WORKERS), server(20)
    send_requests(clock, limiter, accepts, 10, retry_after)
    accepted = send_requests(clock, limiter, accepts, 50, retry_after)
    assert sum(accepted) >= 0.95 * 20 * 50
    assert accepted.count(False) < 0.02 * len(accepted)


def test_rate_recovers_after_a_single_429(clock: FakeClock) -> None:
    limiter = RateLimiter(WORKERS)
    send_requests(clock, limiter, lambda _: True, 20)
    send_requests(clock, limiter, lambda _: False, 0.0001)
    send_requests(clock, limiter, lambda _: True, 120)
    fastest = WORKERS / LATENCY
    assert len(send_requests(clock, limiter, lambda _: True, 10)) >= 0.95 * fastest * 10


def test_rate_follows_a_limit_that_rises(clock: FakeClock) -> None:
    limiter = RateLimiter(WORKERS)
    send_requests(clock, limiter, fixed_window(10), 60, retry_after=1)
    send_requests(clock, limiter, fixed_window(40), 180, retry_after=1)
    accepted = send_requests(clock, limiter, fixed_window(40), 30, retry_after=1)
    assert sum(accepted) >= 0.9 * 40 * 30


def test_rate_follows_a_limit_that_drops(clock: FakeClock) -> None:
    limiter = RateLimiter(WORKERS)
    send_requests(clock, limiter, fixed_window(40), 60, retry_after=1)
    send_requests(clock, limiter, fixed_window(10), 60, retry_after=1)
    accepted = send_requests(clock, limiter, fixed_window(10), 30, retry_after=1)
    assert accepted.count(False) < 0.02 * len(accepted)


# Pauses


def test_429_delays_every_request_by_retry_after(clock: FakeClock) -> None:
    limiter = RateLimiter(2)
    with limiter as sent_at:
        limiter.on_throttled(sent_at, 30)
    throttled_at = clock.now
    with limiter as sent_at:
        assert sent_at >= throttled_at + 30


def test_longest_retry_after_counts(clock: FakeClock) -> None:
    limiter = RateLimiter(2)
    with limiter as first, limiter as second:
        limiter.on_throttled(first, 30)
        limiter.on_throttled(second, 50)
    throttled_at = clock.now
    with limiter as sent_at:
        assert sent_at >= throttled_at + 50


def test_429s_of_concurrent_requests_count_once(clock: FakeClock) -> None:
    limiter = RateLimiter(WORKERS)
    sent = [limiter.__enter__() for _ in range(WORKERS)]
    clock.now += LATENCY
    throttled_at = clock.now
    for sent_at in sent:
        limiter.on_throttled(sent_at, 0)
        limiter.__exit__(None, None, None)
    with limiter as sent_at:
        assert sent_at - throttled_at == pytest.approx(FIRST_PAUSE)


def throttle(clock: FakeClock, limiter: RateLimiter, times: int) -> list[float]:
    """Send requests that are all answered 429; return the pauses."""
    before = len(clock.slept)
    for _ in range(times):
        with limiter as sent_at:
            clock.now += LATENCY
            limiter.on_throttled(sent_at, 0)
    return [wait for wait in clock.slept[before:] if wait]


def test_pauses_without_retry_after_grow_to_a_minute(clock: FakeClock) -> None:
    pauses = throttle(clock, RateLimiter(1), 12)
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(FIRST_PAUSE)
    assert pauses[-1] == pytest.approx(MAX_PAUSE)


def test_success_resets_the_pause(clock: FakeClock) -> None:
    limiter = RateLimiter(1)
    throttle(clock, limiter, 12)
    with limiter:
        limiter.on_success()
    throttle(clock, limiter, 1)
    throttled_at = clock.now
    with limiter as sent_at:
        assert sent_at - throttled_at < 2


# Concurrency


def start_waiting(thread: threading.Thread, semaphore: FairSemaphore, position: int) -> None:
    """Start a thread, and return when it waits at this position of the queue, or has ended."""
    thread.start()
    while thread.is_alive() and len(semaphore._waiting) < position:  # noqa: SLF001 - the only sign that a thread waits
        time.sleep(0)  # no waiting: lets the thread run


def test_concurrency_limits_the_requests_under_way() -> None:
    limiter, has_entered = RateLimiter(2), threading.Event()

    def work() -> None:
        with limiter:
            has_entered.set()

    third = threading.Thread(target=work)
    with limiter:
        with limiter:
            start_waiting(third, limiter._slots, 1)  # noqa: SLF001 - to know that it waits
            assert not has_entered.is_set()
        third.join()
    assert has_entered.is_set()


@pytest.mark.usefixtures("clock")
def test_interrupted_wait_releases_its_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    limiter = RateLimiter(1)
    with limiter as throttled_at:
        limiter.on_throttled(throttled_at, 30)
    with monkeypatch.context() as patched:
        patched.setattr(time, "sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            limiter.__enter__()
    with limiter as sent_at:
        assert sent_at >= throttled_at + 30


def test_free_slot_goes_to_the_longest_waiting_thread() -> None:
    semaphore, served = FairSemaphore(1), []
    semaphore.acquire()

    def acquire(number: int) -> None:
        semaphore.acquire()
        served.append(number)
        semaphore.release()

    threads = [threading.Thread(target=acquire, args=(number,)) for number in range(5)]
    for position, thread in enumerate(threads, start=1):
        start_waiting(thread, semaphore, position)
    semaphore.release()
    for thread in threads:
        thread.join()
    assert served == [0, 1, 2, 3, 4]
