"""Checkpoints: bookmark, resume point and shard in the Singer state of a stream.

The state of a stream that follows the listing:

| key | value |
|---|---|
| `replication_key`, `replication_key_value` | the bookmark, in the SDK's form |
| `covered` | what has been read up to the bookmark: see `Coverage` |
| `resume` | the resume point of an interrupted walk |
| `failed_items` | the items that could not be read: see `FailedItems` |
| `shard` | `[index, count]` in shards; `[index, count, "contactId"]` for `contacts` |
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tap_drift.sync import failed_items
from tap_drift.sync.coverage import Coverage
from tap_drift.sync.shards import Shard
from tap_drift.sync.walk import ListingFilter, ResumePoint
from tap_drift.timestamps import from_epoch_ms, parse_timestamp, to_epoch_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    StreamState = Mapping[str, Any]

UPDATED_AT = "updatedAt"
"""Replication key of conversations, and of all streams that are read along with them."""

_RESUME_VERSION = 1
_CLOCK_SKEW = 24 * 60 * 60 * 1000
"""Milliseconds by which the clock that made a bookmark may be ahead."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The progress of a stream that its state may claim once a page has been written."""

    resume_point: ResumePoint | None = None
    """Where its walk can be resumed."""

    completed: ListingFilter | None = None
    """What its walk has read, if it is complete."""

    newest: int | None = None
    """The newest update that a complete walk met, epoch milliseconds; None if it met no row."""

    @property
    def is_complete(self) -> bool:
        """Whether its walk is complete."""
        return self.completed is not None


def read_bookmark(state: StreamState) -> int | None:
    """Return the bookmark in epoch milliseconds; None if there is none."""
    value = state.get("replication_key_value")
    if not value or state.get("replication_key") != UPDATED_AT:
        return None
    return to_epoch_ms(parse_timestamp(value))


def read_coverage(state: StreamState) -> Coverage:
    """Return what earlier runs have read up to the bookmark."""
    bookmark = read_bookmark(state)
    return Coverage() if bookmark is None else Coverage.parse(state.get("covered", []), bookmark)


def assume_coverage(state: MutableMapping[str, Any], wanted: ListingFilter) -> bool:
    """Add what a state of an earlier version does not have: what has been read.

    Args:
        state: The stream's Singer state.
        wanted: The statuses and the `start_date` of the settings, which the run that wrote the
            state is assumed to have had.

    Returns:
        Whether the state was one of an earlier version.
    """
    bookmark = read_bookmark(state)
    if bookmark is None or "covered" in state:
        return False
    since = None if wanted.since is None else min(wanted.since, bookmark)
    state["covered"] = Coverage.of(replace(wanted, since=since), bookmark).format()
    return True


def read_resume_point(state: StreamState) -> ResumePoint | None:
    """Return the resume point; None if there is none that this version understands."""
    value = state.get("resume")
    if not isinstance(value, dict) or value.get("version") != _RESUME_VERSION:
        return None
    try:
        since, query = value["since"], value["next"]
        if not (query is None or isinstance(query, str)):
            return None
        return ResumePoint(
            newest=_parse_ms(value["newest"]),
            oldest=_parse_ms(value["oldest"]),
            next_query=query,
            filter=ListingFilter(
                tuple(value["statuses"]), None if since is None else _parse_ms(since)
            ),
        )
    except (KeyError, TypeError, ValueError):
        return None


def write_checkpoint(state: MutableMapping[str, Any], checkpoint: Checkpoint, shard: Shard) -> None:
    """Put a checkpoint into the state of an incremental stream; a bookmark is never lowered."""
    discard_resume_point(state)
    if checkpoint.resume_point:
        state["resume"] = _format_resume_point(checkpoint.resume_point)
    if checkpoint.completed and checkpoint.newest is not None:
        _write_bookmark(state, checkpoint.completed, checkpoint.newest)
    if not shard.is_whole_account:
        state["shard"] = shard.for_state


def discard_resume_point(state: MutableMapping[str, Any]) -> None:
    """Remove the resume point, if there is one."""
    state.pop("resume", None)


def discard_progress_of_other_rows(state: MutableMapping[str, Any], shard: Shard) -> bool:
    """Discard bookmark and resume point if they are of rows that are shared out differently now.

    Failed items remain: the shard that failed to read them requests them.

    Returns:
        Whether there were any.
    """
    state_shard = Shard.from_state(state)
    if state_shard.is_whole_account or state_shard.shared_by == shard.shared_by:
        return False
    discard_resume_point(state)
    for key in ("replication_key_value", "covered"):
        state.pop(key, None)
    return True


def latest(*times: int | None) -> int | None:
    """Return the latest of the times that are not None; None if all are."""
    return max((time for time in times if time is not None), default=None)


def state_error(stream: str, state: StreamState, shard: Shard) -> str | None:
    """Return why the state of a stream cannot be used by this shard; None if it can."""
    advice = "pass the state as an earlier run wrote it, or no state to read everything."
    try:
        parse_timestamp(state.get("replication_key_value") or "1970-01-01")
    except (TypeError, ValueError):
        return f"The state's `replication_key_value` of `{stream}` is not a date-time: {advice}"
    point, bookmark = read_resume_point(state), read_bookmark(state)
    covered = latest(bookmark, point.newest if point else None)
    if covered is not None and covered > to_epoch_ms(datetime.now(UTC)) + _CLOCK_SKEW:
        return (
            f"The state of `{stream}` is complete up to {from_epoch_ms(covered)}, which is in the "
            f"future, so that later updates would not be read: {advice}"
        )
    for key, is_valid in (
        ("covered", _has_valid_coverage),
        ("failed_items", failed_items.are_valid),
    ):
        if not is_valid(state):
            return f"The state's `{key}` of `{stream}` has another form: {advice}"
    try:
        state_shard = Shard.from_state(state)
    except (TypeError, ValueError):
        return f"The state's `shard` of `{stream}` is not an index and a count: {advice}"
    if state_shard.covers(shard):
        return None
    return (
        f"The state of `{stream}` belongs to {state_shard}, and the settings `shard_index` and "
        f"`shard_count` select {shard}: use a separate state for each shard, in Meltano with "
        "--state-id-suffix."
    )


def _has_valid_coverage(state: StreamState) -> bool:
    """Return whether the coverage of a state has the form that this version writes."""
    try:
        read_coverage(state)
    except (KeyError, TypeError, ValueError):
        return False
    return True


def _write_bookmark(state: MutableMapping[str, Any], read: ListingFilter, newest: int) -> None:
    coverage = read_coverage(state).extended(read, newest)
    if coverage:
        state["replication_key"] = UPDATED_AT
        state["replication_key_value"] = from_epoch_ms(max(newest, read_bookmark(state) or newest))
        state["covered"] = coverage.format()


def _format_resume_point(point: ResumePoint) -> dict[str, Any]:
    since = point.filter.since
    return {
        "version": _RESUME_VERSION,
        "newest": from_epoch_ms(point.newest),
        "oldest": from_epoch_ms(point.oldest),
        "next": point.next_query,
        "statuses": list(point.filter.statuses),
        "since": None if since is None else from_epoch_ms(since),
    }


def _parse_ms(text: str) -> int:
    return to_epoch_ms(parse_timestamp(text))
