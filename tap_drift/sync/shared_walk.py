"""Shared walk: one pass through the listing for several streams at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_drift.sync.checkpoints import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_drift.api.responses import Row
    from tap_drift.sync.walk import Walk


class SharedWalk:
    """Advances the walk of each stream with the same pages.

    Each stream has a walk with its own bookmark and resume point: a stream that is new, or that
    failed in an earlier run, gets the rows that it lacks, and the other streams read no row twice.
    For each page, call `select_rows` and then `next_query`. `checkpoints` is then valid as soon as
    the page has been written.
    """

    def __init__(self, walks: Mapping[str, Walk]) -> None:
        """Create a shared walk at the head of the listing.

        Args:
            walks: The walk of each stream, by the stream's name.
        """
        self._walks = dict(walks)
        self._finished: dict[str, Checkpoint] = {}
        self.is_whole = any(walk.is_whole for walk in walks.values())
        """Whether a stream reads the listing from its head to its end."""
        # A jump skips pages for all streams, so all must have covered the same range.
        if len({walk.resume_key for walk in walks.values()}) > 1:
            self._walks = {name: walk.restarted() for name, walk in walks.items()}

    @property
    def is_ordered(self) -> bool:
        """Whether the rows seen so far are in order."""
        return all(walk.is_ordered for walk in self._walks.values())

    @property
    def has_jumped(self) -> bool:
        """Whether the resume point's page was requested."""
        return any(walk.has_jumped for walk in self._walks.values())

    @property
    def oldest(self) -> int | None:
        """Last `updatedAt` seen, epoch milliseconds."""
        return next((walk.oldest for walk in self._walks.values()), None)

    @property
    def checkpoints(self) -> dict[str, Checkpoint]:
        """The checkpoint of each stream, valid once all pages so far have been written."""
        active = {name: Checkpoint(walk.resume_point) for name, walk in self._walks.items()}
        return active | self._finished

    def select_rows(self, rows: list[Row]) -> list[tuple[Row, set[str]]]:
        """Return the rows of a page that any stream wants, each with the names of those streams."""
        selected = {name: walk.select_rows(rows) for name, walk in self._walks.items()}
        if selected and all(kept is rows for kept in selected.values()):
            all_names = set(selected)
            return [(row, all_names) for row in rows]
        names: dict[int, set[str]] = {id(row): set() for row in rows}
        for name, kept in selected.items():
            for row in kept:
                names[id(row)].add(name)
        return [(row, names[id(row)]) for row in rows if names[id(row)]]

    def next_query(self, link: str | None, has_visited: Callable[[str], bool]) -> str | None:
        """Return the query of the next page; None if all walks are complete.

        The arguments are those of `Walk.next_query`.
        """
        queries = {name: walk.next_query(link, has_visited) for name, walk in self._walks.items()}
        for name in [name for name, query in queries.items() if query is None]:
            walk = self._walks.pop(name)
            self._finished[name] = Checkpoint(completed=walk.filter, newest=walk.newest)
        return next((query for query in queries.values() if query is not None), None)

    def drop(self, name: str) -> None:
        """Remove the walk of a stream that has failed."""
        self._walks.pop(name, None)

    def restarted(self) -> SharedWalk:
        """Return the unfinished walks, from the head, without a page to jump to."""
        return SharedWalk({name: walk.restarted() for name, walk in self._walks.items()})
