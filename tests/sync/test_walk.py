"""Tests of a walk through the listing: which rows it selects, and which page is next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tap_drift.sync.walk import ListingFilter, Phase, ResumePoint, Walk

ALL = ListingFilter(statuses=(), since=None)
START = 10_000
"""Start of the run, later than all rows but where a test says otherwise."""

COVERED = ResumePoint(newest=90, oldest=50, next_query="page_token=x", filter=ALL)
"""An interrupted walk has covered the times from 90 down to 50."""


def unvisited(_query: str) -> bool:
    return False


def visited(_query: str) -> bool:
    return True


def rows(*times: int | None) -> list[dict[str, Any]]:
    return [{"id": number, "updatedAt": time} for number, time in enumerate(times)]


def select(walk: Walk, *times: int | None) -> list[int | None]:
    """Select from a page of rows with these times; return the times of the selected rows."""
    return [row["updatedAt"] for row in walk.select_rows(rows(*times))]


def read_page(walk: Walk, *times: int | None, link: str | None = "a") -> str | None:
    """Read a page of rows with these times; return the query of the next page."""
    walk.select_rows(rows(*times))
    return walk.next_query(link, unvisited)


def jumped() -> Walk:
    """Return a walk that has jumped over the covered range."""
    walk = Walk(ALL, START, COVERED)
    read_page(walk, 100, 80)
    return walk


# Without a resume point


def test_first_walk_selects_all_rows_to_the_end() -> None:
    walk = Walk(ALL, START)
    assert select(walk, 9, 8, 8, 7) == [9, 8, 8, 7]
    assert walk.next_query("next", unvisited) == "next"
    assert select(walk, 7, 1) == [7, 1]
    assert walk.next_query(None, unvisited) is None


def test_complete_page_is_returned_without_a_copy() -> None:
    page = rows(9, 8)
    assert Walk(ALL, START).select_rows(page) is page


def test_walk_ends_at_the_first_row_older_than_since() -> None:
    walk = Walk(ListingFilter((), since=5), START)
    assert select(walk, 9, 5) == [9, 5]
    assert walk.next_query("next", unvisited) == "next"
    assert select(walk, 5, 4, 3) == [5]
    assert walk.next_query("next", unvisited) is None


def test_rows_without_times_are_selected_and_end_nothing() -> None:
    walk = Walk(ListingFilter((), since=5), START)
    assert select(walk, None, None) == [None, None]
    assert walk.next_query("next", unvisited) == "next"
    assert select(walk, 9, None, 6) == [9, None, 6]
    assert walk.next_query("next", unvisited) == "next"
    assert walk.is_ordered


# Checkpoints of a walk


def test_resume_point_changes_only_with_the_next_page() -> None:
    walk, points = Walk(ALL, START), []
    for times, link in (((9, 8), "a"), ((7, 6), "b")):
        walk.select_rows(rows(*times))
        points.append(walk.resume_point)
        walk.next_query(link, unvisited)
        points.append(walk.resume_point)
    first, second = ResumePoint(9, 8, "a", ALL), ResumePoint(9, 6, "b", ALL)
    assert points == [None, first, first, second]


def test_last_page_leaves_the_resume_point() -> None:
    walk = Walk(ALL, START)
    read_page(walk, 9, 8, link="a")
    read_page(walk, 7, link=None)
    assert walk.resume_point == ResumePoint(9, 8, "a", ALL)


@pytest.mark.parametrize(("head", "newest"), [(None, None), (50, 50), (100, 100), (150, 100)])
def test_newest_is_the_head_but_not_after_the_start_of_the_run(
    head: int | None, newest: int | None
) -> None:
    walk = Walk(ALL, started=100)
    walk.select_rows(rows(head, 5) if head else [])
    assert walk.newest == newest


def test_resume_point_is_not_after_the_start_of_the_run() -> None:
    walk = Walk(ALL, started=100)
    read_page(walk, 150, 90)
    assert walk.resume_point == ResumePoint(100, 90, "a", ALL)


# Resuming


def test_resumed_walk_continues_below_the_covered_range() -> None:
    walk = Walk(ALL, START, COVERED)
    assert select(walk, 120, 110) == [120, 110]
    assert walk.next_query("a", unvisited) == "a"
    assert walk.resume_point == COVERED
    assert select(walk, 100, 90, 80) == [100, 90]
    assert walk.next_query("b", unvisited) == "page_token=x"
    assert walk.has_jumped
    assert walk.resume_point == replace(COVERED, newest=120)
    assert select(walk, 50, 40) == [50, 40]
    assert walk.next_query("c", unvisited) == "c"
    assert walk.resume_point == ResumePoint(120, 40, "c", ALL)


def test_walk_at_the_head_of_the_covered_range_reads_on() -> None:
    walk = Walk(ALL, START, COVERED)
    assert read_page(walk, 100, 90) == "a"
    assert walk.phase is Phase.ABOVE_COVERED


def test_walk_past_the_covered_range_does_not_jump_back() -> None:
    walk = Walk(ALL, START, COVERED)
    assert read_page(walk, 95, 50) == "a"
    assert not walk.has_jumped


def test_page_already_read_is_not_jumped_to() -> None:
    walk = Walk(ALL, START, COVERED)
    assert select(walk, 100, 80) == [100]
    assert walk.next_query("a", visited) == "a"
    assert walk.phase is Phase.THROUGH_COVERED
    assert not walk.has_jumped
    assert select(walk, 70, 60, 50, 40) == [50, 40]


def test_query_of_the_jump_is_looked_up_among_visited_pages() -> None:
    looked_up = []

    def has_visited(query: str) -> bool:
        looked_up.append(query)
        return False

    walk = Walk(ALL, START, COVERED)
    walk.select_rows(rows(100, 80))
    walk.next_query("a", has_visited)
    assert looked_up == ["page_token=x"]


def test_row_on_the_edge_of_the_covered_range_is_selected() -> None:
    walk = Walk(ALL, START, COVERED)
    assert select(walk, 95, 90, 89, 51, 50, 40) == [95, 90, 50, 40]


def test_lookback_reads_the_newest_covered_rows_again() -> None:
    walk = Walk(ALL, START, COVERED, lookback=10)
    assert select(walk, 95, 90, 80, 79) == [95, 90, 80]


def test_resumed_walk_can_be_complete_at_once() -> None:
    since_60 = ListingFilter((), since=60)
    walk = Walk(since_60, START, replace(COVERED, filter=since_60))
    assert select(walk, 95, 70, 50) == [95]
    assert walk.next_query("a", unvisited) is None


# Restarting without the page to jump to


def test_restarted_walk_pages_through_the_covered_range() -> None:
    walk = jumped().restarted()
    assert walk.resume_point == ResumePoint(100, 50, None, ALL)
    assert select(walk, 110, 100, 80) == [110, 100]
    assert walk.next_query("a", unvisited) == "a"
    assert select(walk, 70, 60) == []
    assert walk.next_query("b", unvisited) == "b"
    assert select(walk, 55, 50, 40) == [50, 40]
    assert walk.next_query("c", unvisited) == "c"
    assert not walk.has_jumped
    assert walk.resume_point == ResumePoint(110, 40, "c", ALL)


def test_restarted_walk_keeps_the_lookback() -> None:
    walk = Walk(ALL, START, COVERED, lookback=10)
    read_page(walk, 100, 70)
    assert select(walk.restarted(), 100, 95, 90, 89) == [100, 95, 90]


def test_restarted_walk_without_resume_point_starts_again() -> None:
    walk = Walk(ALL, START).restarted()
    assert walk.phase is Phase.FROM_HEAD
    assert select(walk, 9, 8) == [9, 8]


@pytest.mark.parametrize(
    ("point", "key"), [(None, None), (COVERED, (90, 50, "page_token=x"))], ids=["none", "covered"]
)
def test_resume_key_has_range_and_page(
    point: ResumePoint | None, key: tuple[int, int, str] | None
) -> None:
    assert Walk(ALL, START, point).resume_key == key


# The phases, row by row of the table in `Phase`


def test_phase_from_head_emits_each_row_and_follows_the_link() -> None:
    walk = Walk(ALL, START)
    assert select(walk, 100, 80, 40) == [100, 80, 40]
    assert walk.next_query("a", unvisited) == "a"
    assert walk.phase is Phase.FROM_HEAD


def test_phase_above_covered_emits_new_rows_and_follows_the_link() -> None:
    walk = Walk(ALL, START, COVERED)
    assert walk.phase is Phase.ABOVE_COVERED
    assert select(walk, 100, 95) == [100, 95]
    assert walk.next_query("a", unvisited) == "a"
    assert walk.phase is Phase.ABOVE_COVERED


def test_phase_through_covered_skips_rows_and_follows_the_link() -> None:
    walk = Walk(ALL, START, replace(COVERED, next_query=None))
    assert read_page(walk, 100, 80) == "a"
    assert walk.phase is Phase.THROUGH_COVERED
    assert select(walk, 70, 60) == []
    assert walk.next_query("b", unvisited) == "b"
    assert select(walk, 50, 40) == [50, 40]
    assert walk.next_query("c", unvisited) == "c"
    assert walk.phase is Phase.THROUGH_COVERED


def test_phase_below_covered_emits_each_row_and_follows_the_link() -> None:
    walk = jumped()
    assert walk.phase is Phase.BELOW_COVERED
    # A row of the covered range that an offset paging lists again is not skipped.
    assert select(walk, 85, 40) == [85, 40]
    assert walk.next_query("b", unvisited) == "b"
    assert walk.phase is Phase.BELOW_COVERED


def test_phase_unordered_emits_each_row_to_the_end() -> None:
    walk = Walk(ListingFilter((), since=8), START)
    walk.select_rows(rows(8, 9))
    assert walk.phase is Phase.UNORDERED
    assert walk.next_query("a", unvisited) == "a"
    assert select(walk, 1, 20, 2) == [20]
    assert walk.next_query("b", unvisited) == "b"
    assert walk.next_query(None, unvisited) is None


@pytest.mark.parametrize(
    "pages", [[(8, 9)], [(9, 8), (8, 9)], [(9, None, 8), (7, 8)], [(10, 9), (11, 8)]]
)
def test_broken_order_leaves_no_resume_point(pages: list[tuple[int | None, ...]]) -> None:
    walk = Walk(ListingFilter((), since=8), START)
    for times in pages:
        read_page(walk, *times)
    assert not walk.is_ordered
    assert walk.resume_point is None


def test_newest_of_an_unordered_listing_is_the_latest_row() -> None:
    walk = Walk(ALL, START)
    read_page(walk, 8, 9)
    read_page(walk, 1, 20, 2)
    assert walk.newest == 20


def test_broken_order_above_the_covered_range_skips_nothing() -> None:
    assert select(Walk(ALL, START, COVERED), 100, 110, 80) == [100, 110, 80]


def test_broken_order_in_the_covered_range_skips_nothing() -> None:
    walk = Walk(ALL, START, replace(COVERED, next_query=None))
    read_page(walk, 100, 80)
    assert select(walk, 70, 75) == [70, 75]
    assert not walk.is_ordered


def test_broken_order_below_the_covered_range_is_noticed() -> None:
    walk = jumped()
    assert select(walk, 40, 45) == [40, 45]
    assert not walk.is_ordered


def test_order_is_not_compared_across_the_jump() -> None:
    walk = jumped()
    walk.select_rows(rows(85, 40))
    assert walk.is_ordered


# ListingFilter


@pytest.mark.parametrize(
    ("former", "wanted", "covers"),
    [
        (ALL, ALL, True),
        (ALL, ListingFilter((), 5), True),
        (ListingFilter((), 5), ListingFilter((), 5), True),
        (ListingFilter((), 5), ListingFilter((), 6), True),
        (ListingFilter((), 5), ListingFilter((), 4), False),
        (ListingFilter((), 5), ALL, False),
        (ListingFilter(("open",), 5), ALL, False),
        (ALL, ListingFilter(("open",), None), False),
    ],
)
def test_filter_covers_one_that_wants_no_more(
    former: ListingFilter, wanted: ListingFilter, *, covers: bool
) -> None:
    assert former.covers(wanted) == covers
