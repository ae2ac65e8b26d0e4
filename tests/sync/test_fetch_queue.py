"""Fetch queue: order, concurrency, the bound on its size, and the end."""

from __future__ import annotations

import random
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from seeds import seeds

from tap_drift.sync import fetch_queue
from tap_drift.sync.fetch_queue import FetchQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

pytestmark = pytest.mark.slow

TIMEOUT = 30.0
"""Seconds after which a test has failed; none waits so long."""

LIMIT = 100


@dataclass(frozen=True)
class Result:
    """A result with a size and a number."""

    size: int
    number: int = 0


def returning(size: int, number: int = 0) -> Callable[[], Result]:
    return lambda: Result(size, number)


class TaskError(Exception):
    """Raised by a task."""


def raising() -> Result:
    raise TaskError


def has_started(future: Future[Result]) -> bool:
    return future.running() or (future.done() and not future.cancelled())


class Gate:
    """A task that ends when it is opened."""

    def __init__(self, size: int = 1) -> None:
        self.entered, self._opened = threading.Event(), threading.Event()
        self._size = size

    def open(self) -> None:
        self._opened.set()

    def __call__(self) -> Result:
        self.entered.set()
        assert self._opened.wait(TIMEOUT)
        return Result(self._size)


@pytest.fixture(autouse=True)
def _small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_queue, "MAX_BUFFERED_BYTES", LIMIT)


@pytest.fixture
def queue() -> Iterator[FetchQueue[Result]]:
    queue: FetchQueue[Result] = FetchQueue(2)
    yield queue
    queue.close()


# Order and concurrency


def test_tasks_start_in_the_order_of_submission() -> None:
    started: list[int] = []
    queue: FetchQueue[Result] = FetchQueue(1)

    def task(number: int) -> Result:
        started.append(number)
        return Result(0, number)

    futures = [queue.submit(lambda number=number: task(number)) for number in range(50)]  # type: ignore[misc]  # mypy cannot infer it
    results = [future.result(TIMEOUT).number for future in futures]
    queue.close()
    assert results == started == list(range(50))


def test_as_many_tasks_run_as_are_allowed(queue: FetchQueue[Result]) -> None:
    gates = [Gate() for _ in range(4)]
    futures = [queue.submit(gate) for gate in gates]
    assert all(gate.entered.wait(TIMEOUT) for gate in gates[:2])
    assert [has_started(future) for future in futures] == [True, True, False, False]
    gates[1].open()
    assert gates[2].entered.wait(TIMEOUT)
    assert not has_started(futures[3])
    for gate in gates:
        gate.open()
    assert futures[3].result(TIMEOUT).size == 1


def test_error_is_raised_where_the_result_is_used(queue: FetchQueue[Result]) -> None:
    failing, next_one = queue.submit(raising), queue.submit(returning(1))
    with pytest.raises(TaskError):
        failing.result(TIMEOUT)
    assert next_one.result(TIMEOUT).size == 1


# The bound


def test_no_task_starts_while_results_wait_up_to_the_limit(queue: FetchQueue[Result]) -> None:
    large = queue.submit(returning(LIMIT))
    large.result(TIMEOUT)
    waiting = queue.submit(returning(1))
    assert not has_started(waiting)
    queue.release(large)
    assert waiting.result(TIMEOUT).size == 1


def test_several_small_results_reach_the_limit_together(queue: FetchQueue[Result]) -> None:
    quarters = [queue.submit(returning(LIMIT // 4)) for _ in range(4)]
    for future in quarters:
        future.result(TIMEOUT)
    waiting = queue.submit(returning(1))
    assert not has_started(waiting)
    queue.release(quarters[0])
    assert waiting.result(TIMEOUT).size == 1


def test_result_larger_than_the_limit_is_delivered(queue: FetchQueue[Result]) -> None:
    futures = [queue.submit(returning(10 * LIMIT, number)) for number in range(10)]
    for number, future in enumerate(futures):
        assert future.result(TIMEOUT).number == number
        queue.release(future)


def test_failed_task_leaves_no_size_behind(queue: FetchQueue[Result]) -> None:
    for _ in range(10):
        failing = queue.submit(raising)
        queue.release(failing)
        with pytest.raises(TaskError):
            failing.result(TIMEOUT)
    full = queue.submit(returning(LIMIT - 1))
    full.result(TIMEOUT)
    assert queue.submit(returning(1)).result(TIMEOUT).size == 1


# Release and close


def test_release_of_a_running_task_frees_its_size_when_it_ends(queue: FetchQueue[Result]) -> None:
    gate = Gate(size=LIMIT)
    running = queue.submit(gate)
    assert gate.entered.wait(TIMEOUT)
    queue.release(running)
    gate.open()
    running.result(TIMEOUT)
    assert queue.submit(returning(1)).result(TIMEOUT).size == 1


def test_release_of_a_waiting_task_cancels_it(queue: FetchQueue[Result]) -> None:
    ran: list[str] = []
    large = queue.submit(returning(LIMIT))
    large.result(TIMEOUT)

    def task() -> Result:
        ran.append("task")
        return Result(1)

    waiting, next_one = queue.submit(task), queue.submit(returning(1))
    queue.release(waiting)
    queue.release(large)
    assert next_one.result(TIMEOUT).size == 1
    assert waiting.cancelled()
    assert ran == []


def test_closed_queue_starts_no_task_and_waits_for_none(queue: FetchQueue[Result]) -> None:
    gates = [Gate(), Gate()]
    futures = [queue.submit(gate) for gate in gates]
    assert all(gate.entered.wait(TIMEOUT) for gate in gates)
    waiting = queue.submit(returning(1))
    queue.close()
    later = queue.submit(returning(1))
    for gate in gates:
        gate.open()
    assert [future.result(TIMEOUT).size for future in futures] == [1, 1]
    assert not has_started(waiting)
    assert not has_started(later)


@pytest.mark.parametrize("concurrency", [1, 2, 32])
@pytest.mark.parametrize("seed", seeds(5, 50))
def test_consumer_in_order_is_never_blocked(seed: int, concurrency: int) -> None:
    """A reader submits ahead of a consumer that uses or discards the results in order."""
    rng = random.Random(seed)
    queue: FetchQueue[Result] = FetchQueue(concurrency)
    submitted: deque[tuple[int, Future[Result]]] = deque()
    ready = threading.Semaphore(0)
    outcomes = [rng.choice(["use", "use", "use", "fail", "discard"]) for _ in range(400)]
    sizes = [rng.choice([0, 1, LIMIT // 3, LIMIT, 50 * LIMIT]) for _ in outcomes]

    def submit_all() -> None:
        for number, (outcome, size) in enumerate(zip(outcomes, sizes, strict=True)):
            task = raising if outcome == "fail" else returning(size, number)
            submitted.append((number, queue.submit(task)))
            ready.release()

    with ThreadPoolExecutor(1) as reader:
        reader.submit(submit_all)
        for outcome in outcomes:
            assert ready.acquire(timeout=TIMEOUT)
            number, future = submitted.popleft()
            if outcome == "use":
                assert future.result(TIMEOUT).number == number
            elif outcome == "fail":
                assert isinstance(future.exception(TIMEOUT), TaskError)
            queue.release(future)
    last = queue.submit(returning(1))
    assert last.result(TIMEOUT).size == 1
    queue.close()
