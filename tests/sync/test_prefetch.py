"""Tests of the prefetcher, which reads an iterator in a thread, ahead of its consumer."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tap_drift.sync.prefetch import Prefetcher

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 10.0
"""Seconds after which a test has failed; none waits so long."""


def test_items_are_yielded_once_and_in_order() -> None:
    with Prefetcher(iter(range(100)), 3) as items:
        assert list(items) == list(range(100))


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_error_is_raised_after_the_items_before_it(error: type[BaseException]) -> None:
    def failing() -> Iterator[int]:
        yield from (1, 2)
        raise error

    received: list[int] = []
    with Prefetcher(failing(), 5) as items, pytest.raises(error):
        received.extend(items)
    assert received == [1, 2]


def test_reader_stays_the_given_number_of_items_ahead() -> None:
    read: list[int] = []
    reached = threading.Semaphore(0)

    def recorded() -> Iterator[int]:
        for number in range(10):
            read.append(number)
            reached.release()
            yield number

    with Prefetcher(recorded(), 4) as items:
        for _ in range(4):
            assert reached.acquire(timeout=TIMEOUT)
        assert len(read) == 4
        for received, _ in enumerate(items, start=1):
            if received + 4 <= 10:
                assert reached.acquire(timeout=TIMEOUT)
            assert len(read) == min(received + 4, 10)


def test_exit_stops_reading_after_the_item_under_way() -> None:
    resume, read = threading.Event(), []

    def recorded() -> Iterator[int]:
        for number in range(1000):
            read.append(number)
            assert number < 1 or resume.wait(TIMEOUT)
            yield number

    before = set(threading.enumerate())
    with Prefetcher(recorded(), 5) as items:
        [reader] = set(threading.enumerate()) - before
        assert next(iter(items)) == 0
    resume.set()
    reader.join(TIMEOUT)
    assert not reader.is_alive()
    assert len(read) <= 2
