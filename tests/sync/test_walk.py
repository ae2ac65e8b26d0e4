"""Where a newest-first walk starts, stops, and takes up again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tap_drift.sync.checkpoints import Checkpoint, latest, read_resume_point, write_checkpoint
from tap_drift.sync.shards import Shard
from tap_drift.sync.shared_walk import SharedWalk
from tap_drift.sync.walk import ListingFilter, ResumePoint, Walk

ALL = ListingFilter(statuses=(), since=None)
LATER = 10_000
POINT = ResumePoint(newest=90, oldest=50, next_query="page_token=x", filter=ALL)


def unvisited(_query: str) -> bool:
    return False


def state_of(point: ResumePoint) -> dict[str, Any]:
    state: dict[str, Any] = {}
    write_checkpoint(state, Checkpoint(point), Shard())
    return state


def rows(*times: int | None) -> list[dict[str, Any]]:
    return [{"id": number, "updatedAt": time} for number, time in enumerate(times)]


def times(taken: list[dict[str, Any]]) -> list[int | None]:
    return [row["updatedAt"] for row in taken]


def test_a_first_walk_takes_everything_and_goes_on_to_the_end() -> None:
    walk = Walk(ALL, LATER)
    assert times(walk.select_rows(rows(9, 8, 8, 7))) == [9, 8, 8, 7]
    assert walk.next_query("next", unvisited) == "next"
    assert times(walk.select_rows(rows(7, 1))) == [7, 1]
    assert walk.next_query(None, unvisited) is None


def test_it_stops_at_the_first_page_with_a_row_that_is_too_old() -> None:
    walk = Walk(ListingFilter((), since=5), LATER)
    assert times(walk.select_rows(rows(9, 5))) == [9, 5]
    assert walk.next_query("next", unvisited) == "next"
    assert times(walk.select_rows(rows(5, 4, 3))) == [5]
    assert walk.next_query("next", unvisited) is None


def test_a_page_without_times_neither_stops_it_nor_is_left_out() -> None:
    walk = Walk(ListingFilter((), since=5), LATER)
    assert times(walk.select_rows(rows(None, None))) == [None, None]
    assert walk.next_query("next", unvisited) == "next"
    assert times(walk.select_rows(rows(9, None, 6))) == [9, None, 6]
    assert walk.next_query("next", unvisited) == "next"
    assert walk.is_ordered


@pytest.mark.parametrize(
    "broken", [[(8, 9)], [(9, 8), (8, 9)], [(9, None, 8), (7, 8)], [(10, 9), (11, 8)]]
)
def test_where_the_order_breaks_it_stops_nowhere_and_claims_nothing(
    broken: list[tuple[int | None, ...]],
) -> None:
    walk = Walk(ListingFilter((), since=8), LATER)
    for page in broken:
        walk.select_rows(rows(*page))
        walk.next_query("next", unvisited)
    assert not walk.is_ordered
    assert times(walk.select_rows(rows(1, 20, 2))) == [20]
    assert walk.next_query("next", unvisited) == "next"
    assert walk.resume_point is None
    assert walk.newest == 20


def test_it_claims_what_was_written_and_nothing_else() -> None:
    walk, claims = Walk(ALL, LATER), []
    for page, link in ((rows(9, 8), "a"), (rows(7, 6), "b")):
        walk.select_rows(page)
        claims.append(walk.resume_point)
        walk.next_query(link, unvisited)
        claims.append(walk.resume_point)
    first, second = ResumePoint(9, 8, "a", ALL), ResumePoint(9, 6, "b", ALL)
    assert claims == [None, first, first, second]


def test_after_the_last_page_it_claims_no_page_that_is_not_there() -> None:
    walk = Walk(ALL, LATER)
    walk.select_rows(rows(9, 8))
    walk.next_query("a", unvisited)
    walk.select_rows(rows(7))
    walk.next_query(None, unvisited)
    assert walk.resume_point == ResumePoint(9, 8, "a", ALL)


def test_a_cut_walk_is_taken_up_below_what_it_had_covered() -> None:
    walk = Walk(ALL, LATER, POINT)
    assert times(walk.select_rows(rows(120, 110))) == [120, 110]
    assert walk.next_query("a", unvisited) == "a"
    assert walk.resume_point == POINT
    assert times(walk.select_rows(rows(100, 90, 80))) == [100, 90]
    assert walk.next_query("b", unvisited) == "page_token=x"
    assert walk.has_jumped
    assert walk.resume_point == replace(POINT, newest=120)
    assert times(walk.select_rows(rows(50, 40))) == [50, 40]
    assert walk.next_query("c", unvisited) == "c"
    assert walk.resume_point == ResumePoint(120, 40, "c", ALL)


def test_it_reads_on_until_it_is_below_the_head_of_what_was_covered() -> None:
    walk = Walk(ALL, LATER, POINT)
    walk.select_rows(rows(100, 90))
    assert walk.next_query("a", unvisited) == "a"


def test_it_does_not_jump_back_to_what_it_has_passed() -> None:
    walk = Walk(ALL, LATER, POINT)
    walk.select_rows(rows(95, 50))
    assert walk.next_query("a", unvisited) == "a"
    assert not walk.has_jumped


def test_where_the_order_breaks_nothing_counts_as_covered() -> None:
    assert times(Walk(ALL, LATER, POINT).select_rows(rows(100, 110, 80))) == [100, 110, 80]


def test_below_a_jump_whatever_comes_is_emitted() -> None:
    walk = Walk(ALL, LATER, POINT)
    walk.select_rows(rows(100, 80))
    walk.next_query("a", unvisited)
    assert times(walk.select_rows(rows(85, 40))) == [85, 40]


def test_what_was_covered_just_before_the_cut_is_read_again() -> None:
    walk = Walk(ALL, LATER, POINT, lookback=10)
    assert times(walk.select_rows(rows(95, 90, 80, 79))) == [95, 90, 80]


def test_a_page_that_reaches_below_what_was_covered_is_emitted_there() -> None:
    walk = Walk(ALL, LATER, POINT)
    assert times(walk.select_rows(rows(95, 70, 50, 40))) == [95, 50, 40]


def test_taking_up_again_may_find_that_all_is_done() -> None:
    walk = Walk(
        ListingFilter((), since=60), LATER, replace(POINT, filter=ListingFilter((), since=60))
    )
    assert times(walk.select_rows(rows(95, 70, 50))) == [95]
    assert walk.next_query("a", unvisited) is None


def test_without_its_query_it_still_looks_back() -> None:
    walk = Walk(ALL, LATER, POINT, lookback=10)
    walk.select_rows(rows(100, 70))
    walk.next_query("a", unvisited)
    assert times(walk.restarted().select_rows(rows(100, 95, 90, 89))) == [100, 95, 90]


def test_without_its_query_it_pages_through_what_was_covered() -> None:
    walk = Walk(ALL, LATER, POINT)
    walk.select_rows(rows(100, 80))
    walk.next_query("a", unvisited)
    again = walk.restarted()
    assert again.resume_point == ResumePoint(100, 50, None, ALL)
    assert times(again.select_rows(rows(110, 100, 80))) == [110, 100]
    assert again.next_query("a", unvisited) == "a"
    assert times(again.select_rows(rows(70, 60))) == []
    assert again.next_query("b", unvisited) == "b"
    assert times(again.select_rows(rows(55, 50, 40))) == [50, 40]
    assert again.next_query("c", unvisited) == "c"
    assert not again.has_jumped
    assert again.resume_point == ResumePoint(110, 40, "c", ALL)


@pytest.mark.parametrize(
    ("cut", "wanted", "covered"),
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
def test_a_resume_point_serves_a_walk_that_wants_no_more(
    cut: ListingFilter, wanted: ListingFilter, *, covered: bool
) -> None:
    assert cut.covers(wanted) == covered


def test_a_resume_point_survives_the_state() -> None:
    for point in (
        POINT,
        replace(POINT, filter=ListingFilter(("closed", "open"), 12), next_query=None),
    ):
        assert read_resume_point(state_of(point)) == point


@pytest.mark.parametrize(
    "state",
    [
        None,
        "words",
        {},
        {"version": 1},
        state_of(POINT)["resume"] | {"version": 2},
        state_of(POINT)["resume"] | {"newest": "soon"},
        state_of(POINT)["resume"] | {"oldest": None},
        state_of(POINT)["resume"] | {"since": 5},
        state_of(POINT)["resume"] | {"statuses": None},
        state_of(POINT)["resume"] | {"next": 5},
    ],
)
def test_a_state_of_another_version_has_no_resume_point(state: Any) -> None:
    assert read_resume_point({"resume": state}) is None


@pytest.mark.parametrize(
    ("before", "met", "expected"),
    [(None, None, None), (None, 50, 50), (50, None, 50), (50, 60, 60), (60, 50, 60), (9, 150, 100)],
)
def test_a_bookmark_is_the_head_and_never_passes_the_start_of_the_run(
    before: int | None, met: int | None, expected: int | None
) -> None:
    walk = Walk(ALL, started=100)
    walk.select_rows(rows(met, 5) if met else [])
    assert latest(before, walk.newest) == expected


def test_neither_does_a_resume_point() -> None:
    walk = Walk(ALL, started=100)
    walk.select_rows(rows(150, 90))
    walk.next_query("a", unvisited)
    assert walk.resume_point == ResumePoint(100, 90, "a", ALL)


# Several streams at once


BELOW = ListingFilter(statuses=(), since=60)


def walks(**of: Walk) -> SharedWalk:
    return SharedWalk(of)


def wanted_by(taken: list[tuple[dict[str, Any], set[str]]]) -> list[tuple[int, set[str]]]:
    return [(row["updatedAt"], names) for row, names in taken]


def test_each_stream_takes_what_it_lacks() -> None:
    both = walks(old=Walk(BELOW, LATER), new=Walk(ALL, LATER))
    assert wanted_by(both.select_rows(rows(90, 60, 50))) == [
        (90, {"old", "new"}),
        (60, {"old", "new"}),
        (50, {"new"}),
    ]


def test_what_no_stream_wants_is_left_out() -> None:
    one = walks(old=Walk(BELOW, LATER))
    assert wanted_by(one.select_rows(rows(90, 50))) == [(90, {"old"})]


def test_the_walk_goes_on_until_the_last_stream_is_complete() -> None:
    both = walks(old=Walk(BELOW, LATER), new=Walk(ALL, LATER))
    both.select_rows(rows(90, 50))
    assert both.next_query("a", unvisited) == "a"
    assert both.checkpoints["old"] == Checkpoint(is_complete=True, newest=90)
    assert both.checkpoints["new"] == Checkpoint(ResumePoint(90, 50, "a", ALL))
    both.select_rows(rows(40))
    assert both.next_query(None, unvisited) is None
    assert both.checkpoints["new"] == Checkpoint(is_complete=True, newest=90)


def test_what_is_claimed_now_does_not_change_with_the_pages_to_come() -> None:
    one = walks(new=Walk(ALL, LATER))
    one.select_rows(rows(90, 50))
    one.next_query("a", unvisited)
    before = one.checkpoints
    one.select_rows(rows(40))
    one.next_query("b", unvisited)
    assert before["new"] == Checkpoint(ResumePoint(90, 50, "a", ALL))


def test_streams_that_were_cut_in_one_place_jump_together() -> None:
    both = walks(old=Walk(ALL, LATER, POINT), new=Walk(ALL, LATER, POINT))
    both.select_rows(rows(95, 80))
    assert both.next_query("a", unvisited) == "page_token=x"
    assert both.has_jumped


def test_streams_that_were_cut_in_different_places_page_through_what_they_have() -> None:
    further = replace(POINT, oldest=30, next_query="page_token=y")
    both = walks(old=Walk(ALL, LATER, further), new=Walk(ALL, LATER, POINT))
    assert wanted_by(both.select_rows(rows(95, 80))) == [(95, {"old", "new"})]
    assert both.next_query("a", unvisited) == "a"
    assert wanted_by(both.select_rows(rows(50, 40, 30))) == [
        (50, {"new"}),
        (40, {"new"}),
        (30, {"old", "new"}),
    ]
    assert not both.has_jumped


def test_a_stream_that_has_failed_is_walked_for_no_more() -> None:
    both = walks(old=Walk(ALL, LATER), new=Walk(ALL, LATER))
    both.drop("old")
    assert wanted_by(both.select_rows(rows(90))) == [(90, {"new"})]
    both.next_query("a", unvisited)
    assert set(both.checkpoints) == {"new"}
    both.drop("new")
    assert both.next_query("a", unvisited) is None


def test_where_no_stream_is_left_nothing_is_taken() -> None:
    assert SharedWalk({}).select_rows(rows(90)) == []
