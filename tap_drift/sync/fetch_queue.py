"""Fetch queue: tasks in worker threads, ahead of their consumer, bounded by size."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BUFFERED_BYTES = 4 << 20
"""Size of the responses that wait for the consumer; their records need several times as much."""


class Sized(Protocol):
    """A result with a size."""

    @property
    def size(self) -> int:
        """Size in bytes."""


T = TypeVar("T", bound=Sized)


class FetchQueue(Generic[T]):
    """Starts tasks in the order of submission, as long as the results that wait are few.

    A task that the consumer waits for has always been started, because only later ones are held
    back: there is no deadlock.
    """

    def __init__(self, concurrency: int) -> None:
        """Create a queue.

        Args:
            concurrency: Number of tasks that run at the same time.
        """
        self._concurrency = concurrency
        self._executor = ThreadPoolExecutor(concurrency, thread_name_prefix="request")
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Future[T], Callable[[], T]]] = deque()
        self._running = 0
        self._buffered = 0
        self._is_closed = False

    def submit(self, task: Callable[[], T]) -> Future[T]:
        """Run a task as soon as its turn comes; `release` its result after use."""
        future: Future[T] = Future()
        with self._lock:
            self._waiting.append((future, task))
            self._start_waiting()
        return future

    def release(self, future: Future[T]) -> None:
        """Make room for others, once a result has been used; a task not started is cancelled."""
        if not future.cancel():
            future.add_done_callback(self._release)

    def close(self) -> None:
        """Start no more tasks; those that run are not waited for."""
        with self._lock:
            self._is_closed = True
            self._waiting.clear()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _release(self, future: Future[T]) -> None:
        with self._lock:
            if not future.exception():
                self._buffered -= future.result().size
            self._start_waiting()

    def _start_waiting(self) -> None:
        while (
            self._waiting
            and not self._is_closed
            and self._running < self._concurrency
            and self._buffered < MAX_BUFFERED_BYTES
        ):
            future, task = self._waiting.popleft()
            if future.set_running_or_notify_cancel():
                self._running += 1
                self._executor.submit(self._run, future, task)

    def _run(self, future: Future[T], task: Callable[[], T]) -> None:
        error: BaseException | None = None
        try:
            result = task()
        except BaseException as raised:  # noqa: BLE001 - raised again where the result is used
            error = raised
        with self._lock:
            self._running -= 1
            if error is None:
                self._buffered += result.size
            self._start_waiting()
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
