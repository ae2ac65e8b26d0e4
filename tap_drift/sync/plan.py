"""Plan: which part of the listing each stream reads, from its settings and state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_drift.sync.checkpoints import (
    discard_resume_point,
    read_bookmark,
    read_coverage,
    read_resume_point,
)
from tap_drift.sync.coverage import Coverage
from tap_drift.sync.shards import Shard
from tap_drift.sync.walk import ListingFilter, Walk
from tap_drift.timestamps import from_epoch_ms, parse_timestamp, to_epoch_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence


class StreamPlan(NamedTuple):
    """What a stream reads in a run."""

    walk: Walk
    notes: Sequence[str] = ()
    """What the log says about it, beside the walk's filter."""


@dataclass(frozen=True, slots=True)
class WalkPlanner:
    """Creates the walk of each stream of a run. Times are epoch milliseconds, UTC."""

    statuses: tuple[str, ...]
    start: int | None
    """The setting `start_date`."""

    lookback: int
    run_started: int
    shard: Shard

    @classmethod
    def from_config(cls, config: Mapping[str, Any], run_started: int) -> WalkPlanner:
        """Create a planner.

        Args:
            config: The tap's settings.
            run_started: When the run started, epoch milliseconds.
        """
        start = config.get("start_date")
        return cls(
            statuses=tuple(sorted({*config.get("statuses", [])})),
            start=to_epoch_ms(parse_timestamp(start)) if start else None,
            lookback=1000 * int(config["lookback_seconds"]),
            run_started=run_started,
            shard=Shard.from_config(config),
        )

    @property
    def wanted(self) -> ListingFilter:
        """What the settings want of a stream without state."""
        return ListingFilter(self.statuses, self.start)

    def since(self, state: Mapping[str, Any]) -> int | None:
        """Return the earliest `updatedAt` that an incremental stream reads; None for all.

        A bookmark takes precedence over a later `start_date`. The SDK takes the later of the two,
        which skips the updates that a failed run missed if a scheduler sets `start_date` for each
        run. If the settings include more than the state covers, its beginning takes precedence
        over the bookmark.
        """
        return read_coverage(state).next_since(self.wanted, self.lookback)

    def plan(self, state: MutableMapping[str, Any], *, is_incremental: bool) -> StreamPlan:
        """Plan the walk of a stream; a resume point that does not fit is removed from its state.

        Args:
            state: The stream's Singer state.
            is_incremental: Whether the stream uses its bookmark and resume point.
        """
        if not is_incremental:
            discard_resume_point(state)
            return StreamPlan(Walk(ListingFilter(self.statuses, None), self.run_started))
        notes = []
        wanted = ListingFilter(self.statuses, self.since(state))
        resume = read_resume_point(state)
        if resume and not resume.filter.covers(wanted):
            notes.append("the settings have changed since the interrupted run: not resuming it")
            resume = None
        if resume is None:
            discard_resume_point(state)
        else:
            notes.append(f"resuming the interrupted run at {from_epoch_ms(resume.oldest)}")
        coverage = self._coverage_to_skip(state, wanted.since)
        if coverage:
            notes.append(
                f"the settings include more than the state ({coverage}): reading what is missing"
            )
        skipped = coverage.without_newest(self.lookback)
        return StreamPlan(Walk(wanted, self.run_started, resume, self.lookback, skipped), notes)

    def _coverage_to_skip(self, state: Mapping[str, Any], since: int | None) -> Coverage:
        """Return what has been read, if a walk has to go back further than to the bookmark."""
        bookmark = read_bookmark(state)
        if bookmark is None or (since is not None and since >= bookmark - self.lookback):
            return Coverage()
        return read_coverage(state)

    def describe(self, plan: StreamPlan, replication_method: str) -> str:
        """Describe a plan for the log."""
        since = plan.walk.filter.since
        parts = [
            replication_method,
            "everything" if since is None else f"updated since {from_epoch_ms(since)}",
            f"statuses {', '.join(self.statuses)}" if self.statuses else "all statuses",
            *([] if self.shard.is_whole_account else [str(self.shard)]),
        ]
        return "; ".join([", ".join(parts), *plan.notes])
