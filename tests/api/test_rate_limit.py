"""One gate for all requests: how many go at once, when all wait, and how fast they go."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from tap_drift.api.rate_limit import FIRST_PAUSE, MAX_PAUSE, FairSemaphore, RateLimiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_clock import FakeClock

ANSWERED_AFTER = 0.1
WORKERS = 8


def saved_up(rate: int) -> Callable[[float], bool]:
    """A server that saves up allowance for a second, in which nobody asks."""
    allowance, last = float(rate), 0.0

    def allows(now: float) -> bool:
        nonlocal allowance, last
        allowance, last = min(rate, allowance + (now - last) * rate), now
        allowed = allowance >= 1
        allowance -= allowed
        return allowed

    return allows


def by_the_second(rate: int) -> Callable[[float], bool]:
    """A server that counts anew each second."""
    second, passed = 0, 0

    def allows(now: float) -> bool:
        nonlocal second, passed
        if int(now) != second:
            second, passed = int(now), 0
        passed += 1
        return passed <= rate

    return allows


def ask(
    clock: FakeClock,
    gate: RateLimiter,
    allows: Callable[[float], bool],
    seconds: float,
    told: float = 0.0,
) -> list[bool]:
    """Send requests for some time, as workers would that always have one to send.

    Returns:
        Of each request whether it passed.
    """
    answers: list[bool] = []
    under_way: list[tuple[float, bool]] = []
    end = clock.now + seconds

    def hear() -> None:
        sent, passed = under_way.pop(0)
        clock.now = max(clock.now, sent + ANSWERED_AFTER)
        if passed:
            gate.on_success()
        else:
            gate.on_throttled(sent, told)

    def sleep(wait: float) -> None:
        wakes = clock.now + wait
        while under_way and under_way[0][0] + ANSWERED_AFTER <= wakes:
            hear()
        clock.now = wakes

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(time, "sleep", sleep)
        while clock.now < end:
            if len(under_way) == WORKERS:
                hear()
            with gate as sent:
                answers.append(allows(sent))
            under_way.append((sent, answers[-1]))
            # No two requests leave at the same moment.
            clock.now += 0.0001
        while under_way:
            hear()
    return answers


@pytest.mark.parametrize("told", [0.0, 1.0])
@pytest.mark.parametrize("limit", [saved_up, by_the_second])
def test_what_drift_allows_is_used_and_hardly_ever_exceeded(
    clock: FakeClock, limit: Callable[[int], Callable[[float], bool]], told: float
) -> None:
    gate, allows = RateLimiter(WORKERS), limit(20)
    ask(clock, gate, allows, 10, told)
    answers = ask(clock, gate, allows, 50, told)
    assert sum(answers) >= 0.95 * 20 * 50
    assert answers.count(False) < 0.02 * len(answers)


def test_without_a_refusal_nobody_waits(clock: FakeClock) -> None:
    gate = RateLimiter(1)
    for _ in range(1000):
        with gate:
            gate.on_success()
    assert clock.slept == []


def test_after_one_false_refusal_it_soon_goes_as_fast_as_before(clock: FakeClock) -> None:
    gate = RateLimiter(WORKERS)
    ask(clock, gate, lambda _: True, 20)
    ask(clock, gate, lambda _: False, 0.0001)
    ask(clock, gate, lambda _: True, 120)
    fastest = WORKERS / ANSWERED_AFTER
    assert len(ask(clock, gate, lambda _: True, 10)) >= 0.95 * fastest * 10


def test_when_the_limit_rises_it_goes_faster(clock: FakeClock) -> None:
    gate = RateLimiter(WORKERS)
    ask(clock, gate, by_the_second(10), 60, told=1)
    ask(clock, gate, by_the_second(40), 180, told=1)
    assert sum(ask(clock, gate, by_the_second(40), 30, told=1)) >= 0.9 * 40 * 30


def test_when_the_limit_drops_it_goes_slower(clock: FakeClock) -> None:
    gate = RateLimiter(WORKERS)
    ask(clock, gate, by_the_second(40), 60, told=1)
    ask(clock, gate, by_the_second(10), 60, told=1)
    answers = ask(clock, gate, by_the_second(10), 30, told=1)
    assert answers.count(False) < 0.02 * len(answers)


def test_a_refusal_holds_back_everybody_for_as_long_as_told(clock: FakeClock) -> None:
    gate = RateLimiter(2)
    with gate as sent:
        gate.on_throttled(sent, 30)
    refused_at = clock.now
    with gate as sent:
        assert sent >= refused_at + 30


def test_the_longest_that_was_told_counts(clock: FakeClock) -> None:
    gate = RateLimiter(2)
    with gate as first, gate as second:
        gate.on_throttled(first, 30)
        gate.on_throttled(second, 50)
    refused_at = clock.now
    with gate as sent:
        assert sent >= refused_at + 50


def test_refused_together_is_refused_once(clock: FakeClock) -> None:
    gate = RateLimiter(WORKERS)
    sent = [gate.__enter__() for _ in range(WORKERS)]
    clock.now += ANSWERED_AFTER
    refused_at = clock.now
    for each in sent:
        gate.on_throttled(each, 0)
        gate.__exit__(None, None, None)
    with gate as again:
        assert again - refused_at == pytest.approx(FIRST_PAUSE)


def test_while_nothing_passes_pauses_grow_to_a_minute(clock: FakeClock) -> None:
    gate = RateLimiter(1)
    for _ in range(12):
        with gate as sent:
            clock.now += ANSWERED_AFTER
            gate.on_throttled(sent, 0)
    pauses = [wait for wait in clock.slept if wait]
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(FIRST_PAUSE)
    assert pauses[-1] == pytest.approx(MAX_PAUSE)


def test_no_more_than_allowed_are_under_way_at_once() -> None:
    gate, through = RateLimiter(2), threading.Event()

    def work() -> None:
        with gate:
            through.set()

    third = threading.Thread(target=work)
    with gate:
        with gate:
            third.start()
            # A gate that lets it through does so at once.
            assert not through.wait(0.1)
        third.join()
    assert through.is_set()


def test_who_is_interrupted_at_the_gate_leaves_the_place_to_others(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    gate = RateLimiter(1)
    with gate as sent:
        gate.on_throttled(sent, 30)
    with monkeypatch.context() as patched:
        patched.setattr(time, "sleep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            gate.__enter__()
    with gate:
        assert clock.now >= sent + 30


def test_a_free_slot_goes_to_who_has_waited_longest() -> None:
    slots, came = FairSemaphore(1), []
    slots.acquire()

    def take(number: int) -> None:
        slots.acquire()
        came.append(number)
        slots.release()

    threads = [threading.Thread(target=take, args=(number,)) for number in range(5)]
    for number, thread in enumerate(threads):
        thread.start()
        while len(slots._waiting) == number:  # noqa: SLF001 - nobody else need know who waits
            time.sleep(0)
    slots.release()
    for thread in threads:
        thread.join()
    assert came == [0, 1, 2, 3, 4]
