"""Tests of the walk planner: what each stream reads, from its settings and state."""

from __future__ import annotations

from typing import Any

import pytest

from tap_drift.sync.checkpoints import Checkpoint, write_checkpoint
from tap_drift.sync.plan import WalkPlanner
from tap_drift.sync.shards import Shard
from tap_drift.sync.walk import ListingFilter, ResumePoint
from tap_drift.timestamps import from_epoch_ms

CONFIG = {"lookback_seconds": 300, "shard_index": 0, "shard_count": 1}
RUN_STARTED = 1_700_000_000_000
START_DATE = "2024-01-31T00:00:00Z"
START_MS = 1_706_659_200_000
BOOKMARK_MS = START_MS - 86_400_000
LOOKBACK_MS = 300_000
ALL = ListingFilter((), None)
OPEN = ListingFilter(("open",), None)


def planner(**settings: Any) -> WalkPlanner:
    return WalkPlanner.from_config(CONFIG | settings, RUN_STARTED)


def state_of(checkpoint: Checkpoint) -> dict[str, Any]:
    state: dict[str, Any] = {}
    write_checkpoint(state, checkpoint, Shard())
    return state


def bookmark(time: int = BOOKMARK_MS, read: ListingFilter = ALL) -> dict[str, Any]:
    return state_of(Checkpoint(completed=read, newest=time))


def resume_point(since: int | None = None, statuses: tuple[str, ...] = ()) -> ResumePoint:
    return ResumePoint(
        newest=BOOKMARK_MS + 90,
        oldest=BOOKMARK_MS + 50,
        next_query="page_token=x",
        filter=ListingFilter(statuses, since),
    )


# From settings


def test_settings_become_milliseconds_and_sorted_statuses() -> None:
    plan = planner(start_date=START_DATE, statuses=["open", "closed"], shard_index=1, shard_count=4)
    assert plan == WalkPlanner(
        statuses=("closed", "open"),
        start=START_MS,
        lookback=LOOKBACK_MS,
        run_started=RUN_STARTED,
        shard=Shard(1, 4),
    )


# Where a walk ends


def test_walk_without_start_date_and_bookmark_reads_everything() -> None:
    assert planner().since({}) is None


def test_walk_without_bookmark_reads_from_start_date() -> None:
    assert planner(start_date=START_DATE).since({}) == START_MS


@pytest.mark.parametrize("time", [START_MS - 86_400_000, START_MS + 86_400_000])
def test_bookmark_takes_precedence_over_start_date(time: int) -> None:
    assert planner(start_date=START_DATE).since(bookmark(time)) == time - LOOKBACK_MS


def test_lookback_does_not_apply_to_start_date() -> None:
    assert planner(start_date=START_DATE, lookback_seconds=0).since({}) == START_MS


def test_incremental_walk_has_filter_and_start_of_the_run() -> None:
    walk = planner(statuses=["open"]).plan(bookmark(), is_incremental=True).walk
    assert walk.filter == ListingFilter(("open",), BOOKMARK_MS - LOOKBACK_MS)
    walk.select_rows([{"id": 1, "updatedAt": RUN_STARTED + 1}])
    assert walk.newest == RUN_STARTED


def test_full_table_walk_ignores_bookmark_and_start_date() -> None:
    walk = planner(start_date=START_DATE).plan(bookmark(), is_incremental=False).walk
    assert walk.filter == ListingFilter((), None)


# Other settings than those of the state


def since(state: dict[str, Any], **settings: Any) -> int | None:
    return (
        planner(lookback_seconds=0, **settings).plan(state, is_incremental=True).walk.filter.since
    )


def test_more_statuses_read_from_the_beginning() -> None:
    assert since(bookmark(read=OPEN)) is None
    assert since(bookmark(START_MS + 9, read=OPEN), start_date=START_DATE) == START_MS


def test_fewer_statuses_read_from_the_bookmark() -> None:
    assert since(bookmark(), statuses=["open"]) == BOOKMARK_MS


def test_return_to_more_statuses_reads_from_their_bookmark() -> None:
    state = bookmark(BOOKMARK_MS - 70)
    write_checkpoint(state, Checkpoint(completed=OPEN, newest=BOOKMARK_MS), Shard())
    assert since(state) == BOOKMARK_MS - 70
    assert since(state, statuses=["open"]) == BOOKMARK_MS


def test_earlier_start_date_is_read_from() -> None:
    state = bookmark(START_MS + 10, read=ListingFilter((), START_MS + 5))
    assert since(state, start_date=START_DATE) == START_MS
    assert since(state) is None


def test_walk_skips_what_other_settings_have_read() -> None:
    state = bookmark(90, read=ListingFilter(("open",), 50))
    walk = planner(lookback_seconds=0).plan(state, is_incremental=True).walk
    times = {"open": (95, 90, 89, 50, 49), "closed": (89,), "bulk_sent": (89,)}
    rows = [{"status": name, "updatedAt": time} for name in times for time in times[name]]
    kept = [(row["status"], row["updatedAt"]) for row in walk.select_rows(rows[:5])]
    assert kept == [("open", 95), ("open", 90), ("open", 49)]
    assert planner().plan(state, is_incremental=True).walk.select_rows(rows[5:]) == rows[5:]


# Resume points


def test_resume_point_that_fits_is_used_and_kept() -> None:
    state = state_of(Checkpoint(resume_point()))
    walk = planner().plan(state, is_incremental=True).walk
    assert walk.resume_point == resume_point()
    assert "resume" in state


def test_resume_point_with_an_earlier_since_is_used() -> None:
    state = state_of(Checkpoint(resume_point(since=START_MS - 1)))
    walk = planner(start_date=START_DATE).plan(state, is_incremental=True).walk
    assert walk.resume_point == resume_point(since=START_MS - 1)


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(resume_point(statuses=("open",)), id="other statuses"),
        pytest.param(resume_point(since=START_MS + 1), id="later since"),
    ],
)
def test_resume_point_that_covers_less_is_dropped(point: ResumePoint) -> None:
    state = state_of(Checkpoint(point))
    walk = planner(start_date=START_DATE).plan(state, is_incremental=True).walk
    assert walk.resume_point is None
    assert "resume" not in state


def test_resume_point_of_a_full_table_stream_is_dropped() -> None:
    state = state_of(Checkpoint(resume_point()))
    walk = planner().plan(state, is_incremental=False).walk
    assert walk.resume_point is None
    assert "resume" not in state


def test_resume_point_of_another_version_is_dropped() -> None:
    state: dict[str, Any] = {"resume": {"version": 2}}
    assert planner().plan(state, is_incremental=True).walk.resume_point is None
    assert state == {}


def test_resumed_walk_looks_back_into_the_covered_range() -> None:
    point = resume_point()
    walk = planner().plan(state_of(Checkpoint(point)), is_incremental=True).walk
    newest = {"id": 1, "updatedAt": point.newest - 1}
    assert walk.select_rows([newest]) == [newest]


# Description


def describe(state: dict[str, Any] | None = None, **settings: Any) -> str:
    plan = planner(**settings)
    return plan.describe(plan.plan(state or {}, is_incremental=True), "INCREMENTAL")


def test_description_of_a_first_walk() -> None:
    assert describe() == "INCREMENTAL, everything, all statuses"


def test_description_of_an_incremental_walk() -> None:
    since = from_epoch_ms(BOOKMARK_MS - LOOKBACK_MS)
    assert describe(bookmark()) == f"INCREMENTAL, updated since {since}, all statuses"


def test_description_has_statuses_and_shard() -> None:
    text = describe(statuses=["pending", "open"], shard_index=1, shard_count=4)
    assert text == "INCREMENTAL, everything, statuses open, pending, shard 1 of 4"


def test_description_of_a_resumed_walk_has_the_resume_point() -> None:
    point = resume_point()
    assert describe(state_of(Checkpoint(point))) == (
        "INCREMENTAL, everything, all statuses; resuming the interrupted run at "
        f"{from_epoch_ms(point.oldest)}"
    )


def test_description_names_what_the_state_covers() -> None:
    state = bookmark(90, read=ListingFilter(("open",), 50))
    assert describe(state) == (
        "INCREMENTAL, everything, all statuses; the settings include more than the state (statuses "
        "open from 1970-01-01T00:00:00.050+00:00 to 1970-01-01T00:00:00.090+00:00): reading what "
        "is missing"
    )


def test_description_says_that_an_interrupted_run_is_not_resumed() -> None:
    state = state_of(Checkpoint(resume_point(statuses=("open",))))
    assert describe(state) == (
        "INCREMENTAL, everything, all statuses; the settings have changed since the interrupted "
        "run: not resuming it"
    )
