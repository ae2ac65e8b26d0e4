"""Tests of a walk that several streams share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tap_drift.sync.checkpoints import Checkpoint
from tap_drift.sync.shared_walk import SharedWalk
from tap_drift.sync.walk import ListingFilter, ResumePoint, Walk

ALL = ListingFilter(statuses=(), since=None)
SINCE_60 = ListingFilter(statuses=(), since=60)
START = 10_000
COVERED = ResumePoint(newest=90, oldest=50, next_query="page_token=x", filter=ALL)


def unvisited(_query: str) -> bool:
    return False


def rows(*times: int) -> list[dict[str, Any]]:
    return [{"id": number, "updatedAt": time} for number, time in enumerate(times)]


def shared(**walks: Walk) -> SharedWalk:
    return SharedWalk(walks)


def select(walk: SharedWalk, *times: int) -> list[tuple[int, set[str]]]:
    """Select from a page of rows with these times; return times with the names of streams."""
    return [(row["updatedAt"], names) for row, names in walk.select_rows(rows(*times))]


def read_page(walk: SharedWalk, *times: int, link: str | None = "a") -> str | None:
    """Read a page of rows with these times; return the query of the next page."""
    walk.select_rows(rows(*times))
    return walk.next_query(link, unvisited)


# Selection


def test_each_stream_gets_the_rows_that_it_lacks() -> None:
    walk = shared(old=Walk(SINCE_60, START), new=Walk(ALL, START))
    assert select(walk, 90, 60, 50) == [
        (90, {"old", "new"}),
        (60, {"old", "new"}),
        (50, {"new"}),
    ]


def test_row_that_no_stream_wants_is_skipped() -> None:
    walk = shared(old=Walk(SINCE_60, START))
    assert select(walk, 90, 50) == [(90, {"old"})]


def test_walk_without_streams_selects_nothing() -> None:
    walk = shared()
    assert select(walk, 90) == []
    assert walk.next_query("a", unvisited) is None
    assert walk.oldest is None


def test_oldest_is_the_last_time_seen() -> None:
    walk = shared(old=Walk(ALL, START), new=Walk(ALL, START))
    read_page(walk, 90, 50)
    assert walk.oldest == 50


def test_broken_order_is_noticed() -> None:
    walk = shared(old=Walk(ALL, START), new=Walk(ALL, START))
    assert walk.is_ordered
    walk.select_rows(rows(8, 9))
    assert not walk.is_ordered


# Checkpoints


def test_walk_continues_until_the_last_stream_is_complete() -> None:
    walk = shared(old=Walk(SINCE_60, START), new=Walk(ALL, START))
    assert read_page(walk, 90, 50) == "a"
    assert walk.checkpoints == {
        "old": Checkpoint(completed=SINCE_60, newest=90),
        "new": Checkpoint(ResumePoint(90, 50, "a", ALL)),
    }
    assert read_page(walk, 40, link=None) is None
    assert walk.checkpoints["new"] == Checkpoint(completed=ALL, newest=90)


def test_complete_stream_gets_no_more_rows() -> None:
    walk = shared(old=Walk(SINCE_60, START), new=Walk(ALL, START))
    read_page(walk, 90, 50)
    assert select(walk, 40) == [(40, {"new"})]


def test_checkpoints_do_not_change_with_later_pages() -> None:
    walk = shared(new=Walk(ALL, START))
    read_page(walk, 90, 50, link="a")
    checkpoints = walk.checkpoints
    read_page(walk, 40, link="b")
    assert checkpoints == {"new": Checkpoint(ResumePoint(90, 50, "a", ALL))}


# Resuming


def test_streams_with_one_resume_point_jump_together() -> None:
    walk = shared(old=Walk(ALL, START, COVERED), new=Walk(ALL, START, COVERED))
    assert read_page(walk, 95, 80) == "page_token=x"
    assert walk.has_jumped


def test_streams_with_different_resume_points_do_not_jump() -> None:
    further = replace(COVERED, oldest=30, next_query="page_token=y")
    walk = shared(old=Walk(ALL, START, further), new=Walk(ALL, START, COVERED))
    assert select(walk, 95, 80) == [(95, {"old", "new"})]
    assert walk.next_query("a", unvisited) == "a"
    assert select(walk, 50, 40, 30) == [(50, {"new"}), (40, {"new"}), (30, {"old", "new"})]
    assert not walk.has_jumped


def test_new_stream_keeps_an_interrupted_one_from_jumping() -> None:
    walk = shared(old=Walk(ALL, START, COVERED), new=Walk(ALL, START))
    assert read_page(walk, 95, 80) == "a"
    assert select(walk, 70, 50) == [(70, {"new"}), (50, {"old", "new"})]


def test_restarted_walk_has_the_unfinished_streams_only() -> None:
    walk = shared(old=Walk(SINCE_60, START), new=Walk(ALL, START))
    read_page(walk, 90, 50)
    again = walk.restarted()
    assert select(again, 95, 80) == [(95, {"new"})]
    assert set(again.checkpoints) == {"new"}


# Failed streams


def test_dropped_stream_gets_no_rows_and_no_checkpoint() -> None:
    walk = shared(old=Walk(ALL, START), new=Walk(ALL, START))
    walk.drop("old")
    assert select(walk, 90) == [(90, {"new"})]
    walk.next_query("a", unvisited)
    assert set(walk.checkpoints) == {"new"}


def test_walk_ends_when_all_streams_are_dropped() -> None:
    walk = shared(new=Walk(ALL, START))
    walk.drop("new")
    walk.drop("unknown")
    assert walk.next_query("a", unvisited) is None
