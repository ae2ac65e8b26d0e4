"""Walk: one incremental pass through the listing, newest first.

Drift lists conversations by `updatedAt`, newest first, and has no date filter. Therefore:

- An updated conversation moves to the head of the listing, with an `updatedAt` later than all rows
  read before. Reading from the head down to the head of the last walk finds every update.
- A conversation that is updated *during* a walk can be missed by it, and is then above the head of
  that walk. The bookmark is therefore the head, not the end, and never later than the start of the
  run.
- An interrupted walk has covered the range between its head and the last row that it emitted.
  Newer updates are above that range, unread rows below it. The next walk reads from the head down
  to the range, then jumps to the page below it.

Drift documents the order on an older page only, so it is checked: once it breaks, nothing is
skipped for the rest of the walk, and the walk cannot be resumed.

Times are epoch milliseconds, UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_drift.api.responses import Row
    from tap_drift.sync.coverage import Coverage


@dataclass(frozen=True, slots=True)
class ListingFilter:
    """Which conversations a walk reads."""

    statuses: tuple[str, ...]
    """Statuses to read; all if empty."""

    since: int | None
    """Earliest `updatedAt`; None for all."""

    def covers(self, other: ListingFilter) -> bool:
        """Return whether a walk with this filter reads all that another filter wants."""
        reaches = self.since is None or (other.since is not None and self.since <= other.since)
        return self.statuses == other.statuses and reaches


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """The range that an interrupted walk has covered, and the page below it.

    Each conversation of the filter with an `updatedAt` from `oldest` to `newest` has been emitted.
    """

    newest: int
    oldest: int
    next_query: str | None
    """Query of the page below the range; None if Drift no longer accepts it."""

    filter: ListingFilter


class Phase(Enum):
    """Where a walk is.

    | phase | emits | next page | entered |
    |---|---|---|---|
    | `FROM_HEAD` | each wanted row | the link | at the start, without a resume point |
    | `ABOVE_COVERED` | wanted rows outside the covered range | the link | at the start |
    | `THROUGH_COVERED` | wanted rows outside the covered range | the link | below the range's head, if there is no page to jump to |
    | `BELOW_COVERED` | each wanted row | the link | by jumping to the resume point's page |
    | `UNORDERED` | each wanted row | the link, to the end of the listing | if `updatedAt` increases |

    A walk is complete after a page without a link, or with a row older than `since` (except in
    `UNORDERED`). A row is wanted if it is not older than `since`, or has no `updatedAt`. Rows that
    earlier runs have read with other settings are not emitted again, except in `UNORDERED`.
    """  # noqa: E501 - a table

    FROM_HEAD = auto()
    ABOVE_COVERED = auto()
    THROUGH_COVERED = auto()
    BELOW_COVERED = auto()
    UNORDERED = auto()


class Walk:
    """One walk: selects the rows of each page, and decides which page is next.

    For each page, call `select_rows` and then `next_query`. `resume_point` is then valid as soon as
    the selected rows have been written.
    """

    def __init__(
        self,
        wanted: ListingFilter,
        started: int,
        resume: ResumePoint | None = None,
        lookback: int = 0,
        read_before: Coverage | None = None,
    ) -> None:
        """Create a walk at the head of the listing.

        Args:
            wanted: Which conversations to read.
            started: Start of the run; `newest` is never later.
            resume: The resume point of an interrupted walk.
            lookback: Milliseconds by which the listing can lag: the newest part of the covered
                range is read again.
            read_before: What earlier runs have read, without its newest part.
        """
        self.filter = wanted
        self.phase = Phase.ABOVE_COVERED if resume else Phase.FROM_HEAD
        self.newest: int | None = None
        """Latest `updatedAt` seen, which is the head; at most the start of the run."""
        self.oldest: int | None = None
        """Last `updatedAt` seen."""
        self.resume_point = resume
        """What has been covered as soon as all selected rows have been written."""
        self.has_jumped = False
        """Whether the resume point's page was requested."""

        self._started = started
        self._lookback = lookback
        self._read_before = read_before
        self._covered = range(resume.oldest + 1, resume.newest - lookback) if resume else range(0)
        self._previous: int | None = None

    @property
    def is_ordered(self) -> bool:
        """Whether the rows seen so far are in order."""
        return self.phase is not Phase.UNORDERED

    @property
    def is_whole(self) -> bool:
        """Whether it reads the listing from its head to its end, and emits all of it."""
        return self.filter.since is None and not self.resume_point and not self._read_before

    @property
    def resume_key(self) -> tuple[int, int, str | None] | None:
        """What two walks must have in common to jump together; None without a resume point."""
        point = self.resume_point
        return (point.newest, point.oldest, point.next_query) if point else None

    def select_rows(self, rows: list[Row]) -> list[Row]:
        """Return the rows of a page to emit: `rows` itself if it is all of them."""
        times = [time for row in rows if isinstance(time := row.get("updatedAt"), int)]
        if times:
            self._observe(times)
        since, covered = self.filter.since, self._covered_range
        if since is not None or covered:
            rows = [row for row in rows if _is_wanted(row.get("updatedAt"), since, covered)]
        if self._read_before and self.is_ordered:
            rows = [row for row in rows if not _is_in(self._read_before, row)]
        return rows

    def next_query(self, link: str | None, has_visited: Callable[[str], bool]) -> str | None:
        """Return the query of the next page; None if the walk is complete.

        Args:
            link: Query of the link on the page just selected from; None on the last page.
            has_visited: Whether the page of a query was read before, by this paginator.
        """
        if not self.is_ordered:
            self.resume_point = None
            return link
        if self.oldest is None or self.newest is None:
            return link
        if self.filter.since is not None and self.oldest < self.filter.since:
            return None
        if self.phase is Phase.ABOVE_COVERED:
            if self.oldest >= self._covered.stop:
                return link
            link = self._leave_head(link, has_visited)
        if link is not None:
            lowest = min(
                self.oldest, self.resume_point.oldest if self.resume_point else self.oldest
            )
            self.resume_point = ResumePoint(self.newest, lowest, link, self.filter)
        return link

    def restarted(self) -> Walk:
        """Return a walk from the head that skips what is covered, without a page to jump to."""
        resume = self.resume_point
        resume = replace(resume, next_query=None) if resume else None
        return Walk(self.filter, self._started, resume, self._lookback, self._read_before)

    def _leave_head(self, link: str | None, has_visited: Callable[[str], bool]) -> str | None:
        """Jump over the covered range if its page is known, still below, and unread."""
        resume = self.resume_point
        if (
            resume
            and self.oldest is not None
            and self.oldest > resume.oldest
            and resume.next_query
            # With offsets as page tokens, this walk may have read the page already.
            and not has_visited(resume.next_query)
        ):
            self.phase = Phase.BELOW_COVERED
            self.has_jumped = True
            self._previous = None
            return resume.next_query
        self.phase = Phase.THROUGH_COVERED
        return link

    @property
    def _covered_range(self) -> range:
        """The times whose rows are skipped in this phase."""
        skips = self.phase in {Phase.ABOVE_COVERED, Phase.THROUGH_COVERED}
        return self._covered if skips else range(0)

    def _observe(self, times: list[int]) -> None:
        if self._previous is not None:
            times = [self._previous, *times]
        if times != sorted(times, reverse=True):
            self.phase = Phase.UNORDERED
        self._previous = self.oldest = times[-1]
        newest = max(times) if self.newest is None else max(self.newest, *times)
        self.newest = min(newest, self._started)


def _is_wanted(time: object, since: int | None, covered: range) -> bool:
    if not isinstance(time, int):
        return True
    return (since is None or time >= since) and time not in covered


def _is_in(read_before: Coverage, row: Row) -> bool:
    time = row.get("updatedAt")
    return isinstance(time, int) and read_before.contains(row.get("status"), time)
