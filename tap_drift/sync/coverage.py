"""Coverage: which conversations earlier runs have read, by status and time of update.

A bookmark alone does not tell with which `statuses` and `start_date` it was made. The coverage
does: for each status, the conversations with an `updatedAt` in one span of time have been emitted.
That stays true whatever later runs read, because an update moves a conversation out of the span.

Times are epoch milliseconds, UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tap_drift.settings import STATUS_IDS
from tap_drift.sync.walk import ListingFilter
from tap_drift.timestamps import from_epoch_ms, parse_timestamp, to_epoch_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_OTHER = "other"
"""All statuses that the listing cannot be filtered by, such as `bulk_sent`."""

_ALL = (*STATUS_IDS, _OTHER)


class Span(NamedTuple):
    """A span of update times, both ends included."""

    since: int | None
    """None for the beginning of the account."""

    until: int

    def reaches(self, since: int | None) -> bool:
        """Return whether it begins at this time, or earlier."""
        return self.since is None or (since is not None and self.since <= since)


class Coverage:
    """The span of each status that has been read. Statuses without a span were not read."""

    def __init__(self, spans: Mapping[str, Span] | None = None) -> None:
        """Create a coverage; an empty one by default."""
        self._spans = dict(spans or {})

    @classmethod
    def of(cls, read: ListingFilter, until: int) -> Coverage:
        """Return the coverage of a complete walk.

        Args:
            read: The filter of the walk.
            until: The newest update that the walk met.
        """
        if read.since is not None and read.since > until:
            return cls()
        return cls(dict.fromkeys(_statuses(read), Span(read.since, until)))

    @classmethod
    def parse(cls, entries: object, bookmark: int) -> Coverage:
        """Parse the entries of a state, of which none ends after the bookmark.

        Raises:
            TypeError, KeyError, ValueError: If they have another form.
        """
        if not isinstance(entries, list):
            raise TypeError
        spans: dict[str, Span] = {}
        for entry in entries:
            statuses, since = entry["statuses"], entry["since"]
            if not isinstance(statuses, list) or not {*statuses} <= {*STATUS_IDS}:
                raise ValueError
            read = ListingFilter(tuple(statuses), None if since is None else _parse_ms(since))
            spans.update(cls.of(read, min(bookmark, _parse_ms(entry["until"]))).items())
        return cls(spans)

    def format(self) -> list[dict[str, Any]]:
        """Return the entries for a state: as in the settings, no statuses are all."""
        return [
            {
                "statuses": statuses,
                "since": None if span.since is None else from_epoch_ms(span.since),
                "until": from_epoch_ms(span.until),
            }
            for statuses, span in self._entries()
        ]

    def extended(self, read: ListingFilter, newest: int) -> Coverage:
        """Return the coverage after a complete walk.

        The walk has read all from its `since` to the head of the listing. So between the newest
        row that it met and a later span there is nothing, and both become one span.

        Args:
            read: The filter of the walk.
            newest: The newest update that the walk met.
        """
        spans = dict(self._spans)
        for status, added in Coverage.of(read, newest).items():
            spans[status] = _joined(spans.get(status), added)
        return Coverage(spans)

    def items(self) -> Iterable[tuple[str, Span]]:
        """Return the spans, by status."""
        return self._spans.items()

    def next_since(self, wanted: ListingFilter, lookback: int) -> int | None:
        """Return the earliest update that a walk must read to cover a filter; None for all.

        Args:
            wanted: The statuses and the `start_date` of the settings.
            lookback: Milliseconds by which the listing can lag.
        """
        starts = []
        for status in _statuses(wanted):
            span = self._spans.get(status)
            is_covered = span is not None and span.reaches(wanted.since)
            starts.append(span.until - lookback if span and is_covered else wanted.since)
        known = [start for start in starts if start is not None]
        return min(known) if len(known) == len(starts) else None

    def without_newest(self, lookback: int) -> Coverage:
        """Return the coverage without the part that a walk reads again."""
        shortened = {
            status: Span(span.since, span.until - lookback - 1)
            for status, span in self._spans.items()
        }
        return Coverage(shortened)

    def contains(self, status: object, time: int) -> bool:
        """Return whether a conversation of the listing has been read.

        Args:
            status: Its status, as Drift sends it.
            time: Its `updatedAt`.
        """
        is_named = isinstance(status, str) and status in STATUS_IDS
        span = self._spans.get(str(status) if is_named else _OTHER)
        return span is not None and span.reaches(time) and time <= span.until

    def __bool__(self) -> bool:
        """Return whether anything has been read."""
        return bool(self._spans)

    def __eq__(self, other: object) -> bool:
        """Return whether another coverage has the same spans."""
        return isinstance(other, Coverage) and self._spans == other._spans

    def __hash__(self) -> int:
        """Return a hash of the spans."""
        return hash(frozenset(self._spans.items()))

    def __str__(self) -> str:
        """Describe it for the log."""
        return "; ".join(
            " ".join(
                [
                    f"statuses {', '.join(statuses)}" if statuses else "all statuses",
                    *([] if span.since is None else [f"from {from_epoch_ms(span.since)}"]),
                    f"to {from_epoch_ms(span.until)}",
                ]
            )
            for statuses, span in self._entries()
        )

    def _entries(self) -> Iterator[tuple[list[str], Span]]:
        """Iterate over the spans, each with its statuses; first the one of all statuses.

        Only runs that read all statuses read the others, so all statuses cover at least that.
        """
        groups: dict[Span, list[str]] = {}
        for status in _ALL:
            if status in self._spans:
                groups.setdefault(self._spans[status], []).append(status)
        other = self._spans.get(_OTHER)
        if other:
            del groups[other]
            yield [], other
        for span, statuses in groups.items():
            yield statuses, span


def _statuses(read: ListingFilter) -> tuple[str, ...]:
    return read.statuses or _ALL


def _joined(before: Span | None, added: Span) -> Span:
    if before is None or not added.reaches(before.until):
        return added
    until = max(before.until, added.until)
    return Span(added.since if added.reaches(before.since) else before.since, until)


def _parse_ms(text: str) -> int:
    return to_epoch_ms(parse_timestamp(text))
