"""Plan: which part of the listing each stream reads, from its settings and state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tap_drift.sync.checkpoints import discard_resume_point, read_bookmark, read_resume_point
from tap_drift.sync.shards import Shard
from tap_drift.sync.walk import ListingFilter, Walk
from tap_drift.timestamps import from_epoch_ms, parse_timestamp, to_epoch_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping


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
            statuses=tuple(sorted(config.get("statuses", []))),
            start=to_epoch_ms(parse_timestamp(start)) if start else None,
            lookback=1000 * int(config["lookback_seconds"]),
            run_started=run_started,
            shard=Shard.from_config(config),
        )

    def since(self, state: Mapping[str, Any]) -> int | None:
        """Return the earliest `updatedAt` that an incremental stream reads; None for all.

        A bookmark takes precedence over `start_date`. The SDK takes the later of the two, which
        skips the updates that a failed run missed if a scheduler sets `start_date` for each run.
        """
        bookmark = read_bookmark(state)
        return self.start if bookmark is None else bookmark - self.lookback

    def walk(self, state: MutableMapping[str, Any], *, is_incremental: bool) -> Walk:
        """Create the walk of a stream; a resume point that does not fit is removed from its state.

        Args:
            state: The stream's Singer state.
            is_incremental: Whether the stream uses its bookmark and resume point.
        """
        wanted = ListingFilter(self.statuses, self.since(state) if is_incremental else None)
        resume = read_resume_point(state) if is_incremental else None
        if resume is None or not resume.filter.covers(wanted):
            discard_resume_point(state)
            resume = None
        return Walk(wanted, self.run_started, resume, self.lookback)

    def describe(self, walk: Walk, replication_method: str) -> str:
        """Describe a walk for the log."""
        since, resume = walk.filter.since, walk.resume_point
        parts = [
            replication_method,
            "everything" if since is None else f"updated since {from_epoch_ms(since)}",
            f"statuses {', '.join(self.statuses)}" if self.statuses else "all statuses",
            *([] if self.shard.is_whole_account else [str(self.shard)]),
        ]
        resuming = (
            f"; resuming the interrupted run at {from_epoch_ms(resume.oldest)}" if resume else ""
        )
        return ", ".join(parts) + resuming
