"""Fetching ahead: several requests at once, and their answers in the order of the asking."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

T = TypeVar("T")


class Workers:
    """Threads that do what they are given, first come, first served.

    They are daemons: a run that ends, by a signal say, does not wait for what is under way. (Those
    of `concurrent.futures` would hold it up until the last request has failed.) As a context
    manager, they are let go at the end.
    """

    def __init__(self, number: int) -> None:
        """Start them.

        Args:
            number: How many.
        """
        self.let_go = False
        """Whether nobody waits for their results any more."""

        self._number = number
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        for _ in range(number):
            threading.Thread(target=self._work, daemon=True).start()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Have something done.

        Args:
            call: What to do.

        Returns:
            What comes of it: a result, or an exception.
        """
        future: Future[T] = Future()

        def job() -> None:
            if self.let_go:
                return
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                future.set_exception(error)

        self._jobs.put(job)
        return future

    def _work(self) -> None:
        while job := self._jobs.get():
            job()

    def __enter__(self) -> Self:
        """Give the workers."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let them go: what has not begun is not begun."""
        self.let_go = True
        for _worker in range(self._number):
            self._jobs.put(None)


class Prefetcher(Generic[T]):
    """Runs through an iterator in a thread of its own, some way ahead of whoever takes the items.

    Items come in their order, and an exception comes where it was raised: after all items before
    it. As a context manager, it stops reading at the end.
    """

    def __init__(self, items: Iterator[T], ahead: int) -> None:
        """Start reading.

        Args:
            items: What to read.
            ahead: How many items to read beyond the one that was taken last.
        """
        self._items = items
        self._stopped = False
        self._slots = threading.Semaphore(ahead)
        self._read: SimpleQueue[Future[T]] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while self._slots.acquire() and not self._stopped:
            future: Future[T] = Future()
            try:
                future.set_result(next(self._items))
            except BaseException as error:  # noqa: BLE001 - it is raised where the item is taken
                future.set_exception(error)
                self._stopped = True
            self._read.put(future)

    def __iter__(self) -> Iterator[T]:
        """Take the items."""
        while True:
            future = self._read.get()
            self._slots.release()
            try:
                item = future.result()
            except StopIteration:
                return
            yield item

    def __enter__(self) -> Self:
        """Give the reader."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop reading; an item on its way is read and dropped."""
        self._stopped = True
        self._slots.release()
