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


def planner(**settings: Any) -> WalkPlanner:
    return WalkPlanner.from_config(CONFIG | settings, RUN_STARTED)


def state_of(checkpoint: Checkpoint) -> dict[str, Any]:
    state: dict[str, Any] = {}
    write_checkpoint(state, checkpoint, Shard())
    return state


def bookmark(time: int = BOOKMARK_MS) -> dict[str, Any]:
    return state_of(Checkpoint(is_complete=True, newest=time))


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
    walk = planner(statuses=["open"]).walk(bookmark(), is_incremental=True)
    assert walk.filter == ListingFilter(("open",), BOOKMARK_MS - LOOKBACK_MS)
    walk.select_rows([{"id": 1, "updatedAt": RUN_STARTED + 1}])
    assert walk.newest == RUN_STARTED


def test_full_table_walk_ignores_bookmark_and_start_date() -> None:
    walk = planner(start_date=START_DATE).walk(bookmark(), is_incremental=False)
    assert walk.filter == ListingFilter((), None)


# Resume points


def test_resume_point_that_fits_is_used_and_kept() -> None:
    state = state_of(Checkpoint(resume_point()))
    walk = planner().walk(state, is_incremental=True)
    assert walk.resume_point == resume_point()
    assert "resume" in state


def test_resume_point_with_an_earlier_since_is_used() -> None:
    state = state_of(Checkpoint(resume_point(since=START_MS - 1)))
    walk = planner(start_date=START_DATE).walk(state, is_incremental=True)
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
    walk = planner(start_date=START_DATE).walk(state, is_incremental=True)
    assert walk.resume_point is None
    assert "resume" not in state


def test_resume_point_of_a_full_table_stream_is_dropped() -> None:
    state = state_of(Checkpoint(resume_point()))
    walk = planner().walk(state, is_incremental=False)
    assert walk.resume_point is None
    assert "resume" not in state


def test_resume_point_of_another_version_is_dropped() -> None:
    state: dict[str, Any] = {"resume": {"version": 2}}
    assert planner().walk(state, is_incremental=True).resume_point is None
    assert state == {}


def test_resumed_walk_looks_back_into_the_covered_range() -> None:
    point = resume_point()
    walk = planner().walk(state_of(Checkpoint(point)), is_incremental=True)
    newest = {"id": 1, "updatedAt": point.newest - 1}
    assert walk.select_rows([newest]) == [newest]


# Description


def describe(state: dict[str, Any] | None = None, **settings: Any) -> str:
    plan = planner(**settings)
    return plan.describe(plan.walk(state or {}, is_incremental=True), "INCREMENTAL")


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
