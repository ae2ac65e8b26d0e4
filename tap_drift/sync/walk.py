"""Where a newest-first walk starts, stops, and takes up again.

Drift lists conversations by `updatedAt`, newest first, and has no date filter. Three things follow:

- A conversation that is updated moves to the head, with an `updatedAt` later than all that was
  read before. So whoever reads from the head down to where the last walk began has met every
  update.
- A conversation that is updated *during* a walk is missed by it, and is above the head of that
  walk. So the bookmark is the head of the walk, not its end, and never passes the start of the
  run.
- A walk that was cut has covered everything between its head and the last row that it emitted.
  What was updated since is above that stretch, what it had left is below. So the next run reads
  the head down to the stretch, and goes on below it from the page token that was to come next.

All of this rests on the order, which Drift documents on an older page only. So the order is
checked; where it breaks, nothing is left out and nothing skipped for the rest of the run.

Nothing here knows of HTTP or of Singer. Times are Drift's: epoch milliseconds, UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tap_drift.timestamps import from_epoch_ms, parse, to_epoch_ms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_drift.api.responses import Row

_VERSION = 1


@dataclass(frozen=True, slots=True)
class ListingFilter:
    """Which conversations a walk is about."""

    statuses: tuple[str, ...]
    """The statuses asked for; if empty, all."""

    since: int | None
    """The earliest `updatedAt` that is wanted; None for all."""

    def covers(self, other: ListingFilter) -> bool:
        """Whether a walk for this filter meets all that a walk for another should.

        Args:
            other: The other filter.

        Returns:
            True if it asks for the same statuses, and reaches back as far or further.
        """
        reaches = self.since is None or (other.since is not None and self.since <= other.since)
        return self.statuses == other.statuses and reaches


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """What a walk has covered so far, and where it goes on.

    Every conversation of the filter whose `updatedAt` lies between `oldest` and `newest` has been
    emitted as it was then.
    """

    newest: int
    oldest: int
    next_query: str | None
    """The query that asks for the page below; None if Drift does not take it any more."""

    filter: ListingFilter

    def to_state(self) -> dict[str, Any]:
        """Put it as it stands in a Singer state.

        Returns:
            An object that JSON can hold; its times are spelled as bookmarks are.
        """
        since = self.filter.since
        return {
            "version": _VERSION,
            "newest": from_epoch_ms(self.newest),
            "oldest": from_epoch_ms(self.oldest),
            "next": self.next_query,
            "statuses": list(self.filter.statuses),
            "since": None if since is None else from_epoch_ms(since),
        }

    @classmethod
    def from_state(cls, state: object) -> ResumePoint | None:
        """Take it from a Singer state.

        Args:
            state: What stands there: of this version, of another, or nothing.

        Returns:
            The resume point, or None if there is none that this version understands.
        """
        if not isinstance(state, dict) or state.get("version") != _VERSION:
            return None
        try:
            since = state["since"]
            return cls(
                newest=_ms(state["newest"]),
                oldest=_ms(state["oldest"]),
                next_query=None if state["next"] is None else _text(state["next"]),
                filter=ListingFilter(
                    tuple(state["statuses"]), None if since is None else _ms(since)
                ),
            )
        except (KeyError, TypeError, ValueError):
            return None


class Walk:
    """One walk through the listing: what to emit of each page, and where to go after it.

    For each page: `take` its rows, then ask for what comes `after` it. What `resume_point` claims
    from then on is true once all that was taken has been written.
    """

    def __init__(
        self,
        wanted: ListingFilter,
        started: int,
        resume: ResumePoint | None = None,
        lookback: int = 0,
    ) -> None:
        """Begin at the head of the listing.

        Args:
            wanted: Which conversations the walk is about.
            started: When the run began. Nothing later is ever claimed.
            resume: Where an earlier walk was cut.
            lookback: Milliseconds by which the listing may lag behind: what was covered so recently
                is read again.
        """
        self.filter = wanted
        self.ordered = True
        self.newest: int | None = None
        """The latest `updatedAt` met, that is the head; at the most, the start of the run."""
        self.oldest: int | None = None
        """The last `updatedAt` met."""
        self.resume_point: ResumePoint | None = resume
        """What has been covered, once all that was taken has been written."""
        self.jumped = False
        """Whether the walk went on from a resume point's query."""

        self._started = started
        self._lookback = lookback
        self._gap = resume is not None
        self._covered = range(resume.oldest + 1, resume.newest - lookback) if resume else range(0)
        self._last: int | None = None

    def take(self, rows: list[Row]) -> list[Row]:
        """Choose what to emit of a page.

        Rows without an `updatedAt` say nothing about where the walk is, and are always emitted.

        Args:
            rows: The rows of the page, in Drift's order.

        Returns:
            Those that are wanted and were not emitted by the walk that is taken up again.
        """
        known = [time for row in rows if isinstance(time := row.get("updatedAt"), int)]
        if known:
            self._note(known)
        if self.filter.since is None and not self._covered:
            return rows
        return [row for row in rows if self._is_wanted(row.get("updatedAt"))]

    def after(self, next_query: str | None) -> str | None:
        """Say where to go after a page that has been taken.

        Args:
            next_query: The query of the link to the next page; None if there is none.

        Returns:
            The query of the page to ask for; None if the walk is complete.
        """
        if not self.ordered:
            self.resume_point = None
            return next_query
        oldest = self.oldest
        if oldest is None or self.newest is None:
            return next_query
        if self.filter.since is not None and oldest < self.filter.since:
            return None
        covered = self.resume_point
        if self._gap and covered:
            if oldest >= self._covered.stop:
                return next_query
            self._gap = False
            if covered.next_query and oldest > covered.oldest:
                next_query = self._jump(covered.next_query)
        if next_query is None:
            return None
        lowest = min(oldest, covered.oldest) if covered else oldest
        self.resume_point = ResumePoint(self.newest, lowest, next_query, self.filter)
        return next_query

    def without_query(self) -> Walk:
        """Begin again at the head, because Drift does not take the resume point's query.

        Returns:
            A walk that pages through what is covered, and emits it no more.
        """
        covered = self.resume_point
        resume = replace(covered, next_query=None) if covered else None
        return Walk(self.filter, self._started, resume, self._lookback)

    @property
    def place(self) -> tuple[int, int, str | None] | None:
        """Where an earlier walk was cut, if it was."""
        point = self.resume_point
        return (point.newest, point.oldest, point.next_query) if point else None

    def _jump(self, query: str) -> str:
        """Leave what is covered behind: from here on, whatever comes is emitted."""
        self.jumped = True
        self._covered = range(0)
        self._last = None
        return query

    def _note(self, known: list[int]) -> None:
        if self._last is not None:
            known = [self._last, *known]
        self.ordered = self.ordered and known == sorted(known, reverse=True)
        self._last = self.oldest = known[-1]
        newest = max(known) if self.newest is None else max(self.newest, *known)
        self.newest = min(newest, self._started)

    def _is_wanted(self, time: object) -> bool:
        if not isinstance(time, int):
            return True
        if self.filter.since is not None and time < self.filter.since:
            return False
        return not (self.ordered and time in self._covered)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a stream may say in its state once a page has been written."""

    resume_point: ResumePoint | None = None
    """Where its walk could be taken up; None if there is no such place."""

    is_complete: bool = False
    """Whether its walk is complete."""

    newest: int | None = None
    """The moment up to which it then has everything; None if nothing was met."""


class SharedWalk:
    """One walk through the listing for several streams at once.

    Each stream has a walk of its own, with its own bookmark and its own resume point, so that one
    that is new, or that failed in an earlier run, gets what it lacks, and the others do not read
    again what they have. For each page: `take` its rows, then ask for what comes `after` it; once
    the page has been written, the `claims` that stood then are true.
    """

    def __init__(self, walks: Mapping[str, Walk]) -> None:
        """Begin at the head of the listing.

        Args:
            walks: The walk of each stream, by the stream's name.
        """
        self._walks = dict(walks)
        self._complete: dict[str, Checkpoint] = {}
        # A jump is for all or for none.
        if len({walk.place for walk in walks.values()}) > 1:
            self._walks = {name: walk.without_query() for name, walk in walks.items()}

    @property
    def ordered(self) -> bool:
        """Whether the listing has kept its order so far."""
        return all(walk.ordered for walk in self._walks.values())

    @property
    def jumped(self) -> bool:
        """Whether the walk went on from a resume point's query."""
        return any(walk.jumped for walk in self._walks.values())

    @property
    def oldest(self) -> int | None:
        """The last `updatedAt` met."""
        return next((walk.oldest for walk in self._walks.values()), None)

    @property
    def claims(self) -> dict[str, Checkpoint]:
        """What each stream may say once all pages so far have been written."""
        going_on = {name: Checkpoint(walk.resume_point) for name, walk in self._walks.items()}
        return going_on | self._complete

    def take(self, rows: list[Row]) -> list[tuple[Row, set[str]]]:
        """Choose what to emit of a page.

        Args:
            rows: The rows of the page, in Drift's order.

        Returns:
            Each row that any stream wants, and the names of the streams that want it.
        """
        taken = {name: walk.take(rows) for name, walk in self._walks.items()}
        if taken and all(kept is rows for kept in taken.values()):
            everyone = set(taken)
            return [(row, everyone) for row in rows]
        takers: dict[int, set[str]] = {id(row): set() for row in rows}
        for name, kept in taken.items():
            for row in kept:
                takers[id(row)].add(name)
        return [(row, takers[id(row)]) for row in rows if takers[id(row)]]

    def after(self, next_query: str | None) -> str | None:
        """Say where to go after a page.

        Args:
            next_query: The query of the link to the next page; None if there is none.

        Returns:
            The query of the page to ask for; None if all walks are complete.
        """
        queries = {name: walk.after(next_query) for name, walk in self._walks.items()}
        for name in [name for name, query in queries.items() if query is None]:
            walk = self._walks.pop(name)
            self._complete[name] = Checkpoint(is_complete=True, newest=walk.newest)
        return next((query for query in queries.values() if query is not None), None)

    def drop(self, name: str) -> None:
        """Walk no more for a stream.

        Args:
            name: The name of a stream that has failed.
        """
        self._walks.pop(name, None)

    def without_query(self) -> SharedWalk:
        """Begin again at the head, because Drift does not take the resume points' query.

        Returns:
            The walks that are not complete, paging through what they have covered.
        """
        return SharedWalk({name: walk.without_query() for name, walk in self._walks.items()})


def later(before: int | None, moment: int | None) -> int | None:
    """Give a bookmark that never goes back.

    Args:
        before: The bookmark before a walk.
        moment: Up to where the walk has everything.

    Returns:
        The later of the two; None if nothing was ever met.
    """
    return max((time for time in (before, moment) if time is not None), default=None)


def _ms(spelled: str) -> int:
    return to_epoch_ms(parse(spelled))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
