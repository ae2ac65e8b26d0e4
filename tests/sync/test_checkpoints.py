"""Tests of checkpoints in the Singer state of a stream."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tap_drift.sync.checkpoints import (
    Checkpoint,
    assume_coverage,
    discard_resume_point,
    latest,
    read_bookmark,
    read_coverage,
    read_resume_point,
    state_error,
    write_checkpoint,
)
from tap_drift.sync.coverage import Coverage
from tap_drift.sync.shards import Shard
from tap_drift.sync.walk import ListingFilter, ResumePoint

ALL = ListingFilter(statuses=(), since=None)
OPEN = ListingFilter(statuses=("open",), since=None)
WHOLE = Shard()
POINT = ResumePoint(newest=90, oldest=50, next_query="page_token=x", filter=ALL)
BOOKMARK = {
    "replication_key": "updatedAt",
    "replication_key_value": "2023-06-09T09:36:21.300+00:00",
}
BOOKMARK_MS = 1686303381300
COVERED: dict[str, Any] = {
    "covered": [{"statuses": [], "since": None, "until": BOOKMARK["replication_key_value"]}]
}
COMPLETE = BOOKMARK | COVERED


def state_with(
    checkpoint: Checkpoint,
    before: dict[str, Any] | None = None,
    shard: Shard = WHOLE,
) -> dict[str, Any]:
    """Return the state after a checkpoint."""
    state = dict(before or {})
    write_checkpoint(state, checkpoint, shard)
    return state


RESUME = state_with(Checkpoint(POINT))["resume"]


# Resume points


@pytest.mark.parametrize(
    "point",
    [
        POINT,
        replace(POINT, next_query=None),
        replace(POINT, filter=ListingFilter(("closed", "open"), 12)),
    ],
)
def test_resume_point_is_read_as_it_was_written(point: ResumePoint) -> None:
    assert read_resume_point(state_with(Checkpoint(point))) == point


def test_resume_point_has_the_documented_format() -> None:
    assert RESUME == {
        "version": 1,
        "newest": "1970-01-01T00:00:00.090+00:00",
        "oldest": "1970-01-01T00:00:00.050+00:00",
        "next": "page_token=x",
        "statuses": [],
        "since": None,
    }


@pytest.mark.parametrize(
    "resume",
    [
        None,
        "words",
        {},
        {"version": 1},
        RESUME | {"version": 2},
        RESUME | {"newest": "soon"},
        RESUME | {"oldest": None},
        RESUME | {"since": 5},
        RESUME | {"statuses": None},
        RESUME | {"next": 5},
    ],
)
def test_resume_point_of_another_version_is_ignored(resume: Any) -> None:
    assert read_resume_point({"resume": resume}) is None


def test_missing_resume_point_is_none() -> None:
    assert read_resume_point({}) is None


def test_complete_walk_removes_the_resume_point() -> None:
    state = state_with(Checkpoint(POINT))
    write_checkpoint(state, Checkpoint(completed=ALL, newest=90), Shard())
    assert "resume" not in state


def test_discard_removes_the_resume_point_only() -> None:
    state = BOOKMARK | {"resume": RESUME}
    discard_resume_point(state)
    discard_resume_point(state)
    assert state == BOOKMARK


# Bookmarks


def test_bookmark_is_read_as_it_was_written() -> None:
    state = state_with(Checkpoint(completed=ALL, newest=BOOKMARK_MS))
    assert state == COMPLETE
    assert read_bookmark(state) == BOOKMARK_MS
    assert read_coverage(state) == Coverage.of(ALL, BOOKMARK_MS)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"replication_key": "updatedAt"},
        {"replication_key": "updatedAt", "replication_key_value": ""},
        BOOKMARK | {"replication_key": "createdAt"},
    ],
)
def test_state_without_a_usable_bookmark_has_none(state: dict[str, Any]) -> None:
    assert read_bookmark(state) is None


@pytest.mark.parametrize("newest", [None, 0, BOOKMARK_MS - 1])
def test_bookmark_is_never_lowered(newest: int | None) -> None:
    state = state_with(Checkpoint(completed=ALL, newest=newest), COMPLETE)
    assert state == COMPLETE


def test_bookmark_is_raised_to_the_newest_row() -> None:
    state = state_with(Checkpoint(completed=ALL, newest=BOOKMARK_MS + 1), BOOKMARK)
    assert read_bookmark(state) == BOOKMARK_MS + 1


def test_walk_without_rows_writes_no_bookmark() -> None:
    assert state_with(Checkpoint(completed=ALL)) == {}


def test_interrupted_walk_keeps_the_bookmark() -> None:
    state = state_with(Checkpoint(POINT), BOOKMARK)
    assert state == BOOKMARK | {"resume": RESUME}


@pytest.mark.parametrize(
    ("times", "expected"),
    [((), None), ((None, None), None), ((None, 50), 50), ((50, None), 50), ((60, 50), 60)],
)
def test_latest_ignores_unknown_times(times: tuple[int | None, ...], expected: int | None) -> None:
    assert latest(*times) == expected


# Coverage


def test_coverage_of_other_statuses_is_kept() -> None:
    state = state_with(Checkpoint(completed=OPEN, newest=BOOKMARK_MS + 5), COMPLETE)
    assert read_bookmark(state) == BOOKMARK_MS + 5
    assert state["covered"] == [
        COVERED["covered"][0],
        {"statuses": ["open"], "since": None, "until": "2023-06-09T09:36:21.305+00:00"},
    ]


def test_walk_of_older_statuses_does_not_lower_the_bookmark() -> None:
    before = state_with(Checkpoint(completed=OPEN, newest=BOOKMARK_MS))
    state = state_with(Checkpoint(completed=replace(OPEN, statuses=("closed",)), newest=7), before)
    assert read_bookmark(state) == BOOKMARK_MS
    assert {entry["until"] for entry in state["covered"]} == {
        BOOKMARK["replication_key_value"],
        "1970-01-01T00:00:00.007+00:00",
    }


def test_walk_that_met_older_rows_only_writes_no_bookmark() -> None:
    assert state_with(Checkpoint(completed=ListingFilter((), since=8), newest=7)) == {}


def test_bookmark_without_coverage_covers_nothing() -> None:
    assert read_coverage(BOOKMARK) == Coverage()


def test_earlier_state_is_taken_as_made_with_these_settings() -> None:
    state: dict[str, Any] = dict(BOOKMARK)
    assert assume_coverage(state, ListingFilter(("open",), 7))
    assert read_coverage(state) == Coverage.of(ListingFilter(("open",), 7), BOOKMARK_MS)


def test_earlier_state_before_start_date_keeps_its_bookmark() -> None:
    state: dict[str, Any] = dict(BOOKMARK)
    wanted = ListingFilter((), BOOKMARK_MS + 9)
    assert assume_coverage(state, wanted)
    assert read_coverage(state).next_since(wanted, lookback=0) == BOOKMARK_MS


@pytest.mark.parametrize("state", [{}, COMPLETE, {"resume": RESUME}])
def test_state_without_a_bare_bookmark_is_left_unchanged(state: dict[str, Any]) -> None:
    before = dict(state)
    assert not assume_coverage(state, OPEN)
    assert state == before


ENTRY = COVERED["covered"][0]


@pytest.mark.parametrize(
    "covered",
    [
        None,
        "all",
        {},
        [5],
        [{}],
        [ENTRY | {"since": 5}],
        [ENTRY | {"until": None}],
        [ENTRY | {"statuses": "open"}],
        [ENTRY | {"statuses": ["shut"]}],
    ],
)
def test_coverage_of_another_form_is_an_error(covered: Any) -> None:
    error = state_error("messages", BOOKMARK | {"covered": covered}, Shard())
    assert error == (
        "The state's `covered` of `messages` has another form: pass the state as an earlier run "
        "wrote it, or no state to read everything."
    )


# Shards


def test_shard_is_written_if_there_are_several() -> None:
    state = state_with(Checkpoint(completed=ALL, newest=BOOKMARK_MS), shard=Shard(1, 4))
    assert state == COMPLETE | {"shard": [1, 4]}


@pytest.mark.parametrize(
    ("state", "shard"),
    [
        ({}, Shard()),
        ({}, Shard(1, 4)),
        ({"shard": [1, 4]}, Shard(1, 4)),
        ({"shard": ["1", 4]}, Shard(1, 4)),
        (BOOKMARK, Shard()),
    ],
)
def test_state_of_this_shard_or_the_whole_account_is_usable(
    state: dict[str, Any], shard: Shard
) -> None:
    assert state_error("conversations", state, shard) is None


@pytest.mark.parametrize(
    ("shard", "name"),
    [(Shard(2, 4), "shard 2 of 4"), (Shard(1, 5), "shard 1 of 5"), (Shard(), "the whole account")],
)
def test_state_of_another_shard_is_an_error(shard: Shard, name: str) -> None:
    assert state_error("messages", {"shard": [1, 4]}, shard) == (
        "The state of `messages` belongs to shard 1 of 4, and the settings `shard_index` and "
        f"`shard_count` select {name}: use a separate state for each shard, in Meltano with "
        "--state-id-suffix."
    )


@pytest.mark.parametrize("value", ["first", None, [], [1], [1, 2, 3], [1, "many"], 5])
def test_shard_that_is_no_index_and_count_is_an_error(value: Any) -> None:
    error = state_error("conversations", {"shard": value}, Shard())
    assert error == (
        "The state's `shard` of `conversations` is not an index and a count: pass the state as "
        "an earlier run wrote it, or no state to read everything."
    )


@pytest.mark.parametrize("value", ["soon", 5, ["2024-01-31"], {"a": 1}])
def test_bookmark_that_is_no_date_time_is_an_error(value: Any) -> None:
    error = state_error("conversations", {"replication_key_value": value}, Shard())
    assert error == (
        "The state's `replication_key_value` of `conversations` is not a date-time: pass the "
        "state as an earlier run wrote it, or no state to read everything."
    )


@pytest.mark.parametrize("value", [None, "", "2024-01-31", "2024-01-31T12:00:00Z"])
def test_bookmark_that_is_a_date_or_missing_is_usable(value: Any) -> None:
    assert state_error("conversations", {"replication_key_value": value}, Shard()) is None
