"""Prefetcher: runs an iterator in a thread, a few items ahead of its consumer."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from typing import Self

T = TypeVar("T")

_END = object()


class Prefetcher(Generic[T]):
    """Iterates in a separate thread, up to `ahead` items ahead of the consumer.

    Items keep their order, and an exception is raised after all items before it. As a context
    manager, it stops reading on exit without waiting for the item in progress.
    """

    def __init__(self, items: Iterator[T], ahead: int) -> None:
        """Start reading.

        Args:
            items: The iterator.
            ahead: Number of items to read before they are consumed.
        """
        self._items = items
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._prefetched: deque[Future[object]] = deque()
        for _ in range(ahead):
            self._prefetch()

    def _prefetch(self) -> None:
        self._prefetched.append(self._executor.submit(next, self._items, _END))

    def __iter__(self) -> Iterator[T]:
        """Iterate over the items."""
        while (item := self._prefetched.popleft().result()) is not _END:
            self._prefetch()
            yield item  # type: ignore[misc]  # anything but _END is an item

    def __enter__(self) -> Self:
        """Return the prefetcher."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop reading."""
        self._executor.shutdown(wait=False, cancel_futures=True)
