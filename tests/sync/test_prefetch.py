"""Several requests at once, and their answers in the order of the asking."""

from __future__ import annotations

import threading
from functools import partial
from operator import mul
from typing import TYPE_CHECKING

import pytest

from tap_drift.sync.prefetch import Prefetcher, Workers

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT = 10.0
"""Seconds after which a test is stuck."""


# Workers


def test_each_job_gives_its_own_result() -> None:
    with Workers(3) as workers:
        futures = [workers.submit(partial(mul, number, 2)) for number in range(20)]
        assert [future.result(WAIT) for future in futures] == list(range(0, 40, 2))


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_what_a_job_raises_belongs_to_whoever_waits(error: type[BaseException]) -> None:
    def fail() -> None:
        raise error

    with Workers(1) as workers:
        failing, after = workers.submit(fail), workers.submit(lambda: 1)
        with pytest.raises(error):
            failing.result(WAIT)
        assert after.result(WAIT) == 1


def test_jobs_run_at_once() -> None:
    together = threading.Barrier(4)
    with Workers(4) as workers:
        futures = [workers.submit(partial(together.wait, WAIT)) for _ in range(4)]
        assert sorted(future.result(WAIT) for future in futures) == [0, 1, 2, 3]


def test_jobs_begin_in_the_order_of_the_asking() -> None:
    begun: list[int] = []
    with Workers(1) as workers:
        futures = [workers.submit(partial(begun.append, number)) for number in range(9)]
        futures[-1].result(WAIT)
    assert begun == list(range(9))


def test_what_has_not_begun_when_they_are_let_go_is_not_begun() -> None:
    held, begun = threading.Event(), threading.Event()
    done: list[str] = []

    def hold() -> None:
        begun.set()
        held.wait(WAIT)
        done.append("held")

    with Workers(1) as workers:
        first = workers.submit(hold)
        workers.submit(lambda: done.append("late"))
        assert begun.wait(WAIT)
    held.set()
    first.result(WAIT)
    assert workers.let_go
    for thread in threading.enumerate():
        if thread.daemon and "_work" in thread.name:
            thread.join(WAIT)
    assert done == ["held"]


def test_nobody_waits_for_workers_at_the_end_of_a_run() -> None:
    before = set(threading.enumerate())
    held = threading.Event()
    with Workers(2) as workers:
        workers.submit(lambda: held.wait(WAIT))
        ours = set(threading.enumerate()) - before
        assert len(ours) == 2
        assert all(thread.daemon for thread in ours)
    held.set()


# Prefetcher


def test_items_come_once_and_in_their_order() -> None:
    with Prefetcher(iter(range(100)), 3) as items:
        assert list(items) == list(range(100))


def test_an_error_comes_after_all_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield from (1, 2)
        raise ValueError("here")

    taken: list[int] = []
    with Prefetcher(broken(), 5) as items, pytest.raises(ValueError, match="here"):
        taken.extend(items)
    assert taken == [1, 2]


def test_it_reads_ahead_so_far_and_no_further() -> None:
    """Each item says how many had been taken when it was read."""
    taken, gaps, reached = 0, [], threading.Event()

    def counted() -> Iterator[int]:
        for number in range(50):
            gaps.append(number + 1 - taken)
            if number + 1 == 4:
                reached.set()
            yield number

    with Prefetcher(counted(), 4) as items:
        assert reached.wait(WAIT)
        for taken, _ in enumerate(items, 1):  # noqa: B007 - `counted` looks at it
            pass
    # The slot of an item that is handed over is free a moment before it counts as taken.
    assert 4 <= max(gaps) <= 5


def test_it_stops_reading_when_nobody_takes_any_more() -> None:
    before, read = set(threading.enumerate()), []

    def noted() -> Iterator[int]:
        for number in range(1000):
            read.append(number)
            yield number

    with Prefetcher(noted(), 2) as items:
        [reader] = set(threading.enumerate()) - before
        assert next(iter(items)) == 0
    reader.join(WAIT)
    assert not reader.is_alive()
    assert len(read) <= 4
