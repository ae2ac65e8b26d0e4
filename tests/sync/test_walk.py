"""Where a newest-first walk starts, stops, and takes up again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tap_drift.sync.walk import Checkpoint, ListingFilter, ResumePoint, SharedWalk, Walk, later

ALL = ListingFilter(statuses=(), since=None)
LATER = 10_000
POINT = ResumePoint(newest=90, oldest=50, next_query="page_token=x", filter=ALL)


def rows(*times: int | None) -> list[dict[str, Any]]:
    return [{"id": number, "updatedAt": time} for number, time in enumerate(times)]


def times(taken: list[dict[str, Any]]) -> list[int | None]:
    return [row["updatedAt"] for row in taken]


def test_a_first_walk_takes_everything_and_goes_on_to_the_end() -> None:
    walk = Walk(ALL, LATER)
    assert times(walk.take(rows(9, 8, 8, 7))) == [9, 8, 8, 7]
    assert walk.after("next") == "next"
    assert times(walk.take(rows(7, 1))) == [7, 1]
    assert walk.after(None) is None


def test_it_stops_at_the_first_page_with_a_row_that_is_too_old() -> None:
    walk = Walk(ListingFilter((), since=5), LATER)
    assert times(walk.take(rows(9, 5))) == [9, 5]
    assert walk.after("next") == "next"
    assert times(walk.take(rows(5, 4, 3))) == [5]
    assert walk.after("next") is None


def test_a_page_without_times_neither_stops_it_nor_is_left_out() -> None:
    walk = Walk(ListingFilter((), since=5), LATER)
    assert times(walk.take(rows(None, None))) == [None, None]
    assert walk.after("next") == "next"
    assert times(walk.take(rows(9, None, 6))) == [9, None, 6]
    assert walk.after("next") == "next"
    assert walk.ordered


@pytest.mark.parametrize(
    "broken", [[(8, 9)], [(9, 8), (8, 9)], [(9, None, 8), (7, 8)], [(10, 9), (11, 8)]]
)
def test_where_the_order_breaks_it_stops_nowhere_and_claims_nothing(
    broken: list[tuple[int | None, ...]],
) -> None:
    walk = Walk(ListingFilter((), since=8), LATER)
    for page in broken:
        walk.take(rows(*page))
        walk.after("next")
    assert not walk.ordered
    assert times(walk.take(rows(1, 20, 2))) == [20]
    assert walk.after("next") == "next"
    assert walk.resume_point is None
    assert walk.newest == 20


def test_it_claims_what_was_written_and_nothing_else() -> None:
    walk, claims = Walk(ALL, LATER), []
    for page, link in ((rows(9, 8), "a"), (rows(7, 6), "b")):
        walk.take(page)
        claims.append(walk.resume_point)
        walk.after(link)
        claims.append(walk.resume_point)
    first, second = ResumePoint(9, 8, "a", ALL), ResumePoint(9, 6, "b", ALL)
    assert claims == [None, first, first, second]


def test_after_the_last_page_it_claims_no_page_that_is_not_there() -> None:
    walk = Walk(ALL, LATER)
    walk.take(rows(9, 8))
    walk.after("a")
    walk.take(rows(7))
    walk.after(None)
    assert walk.resume_point == ResumePoint(9, 8, "a", ALL)


def test_a_cut_walk_is_taken_up_below_what_it_had_covered() -> None:
    walk = Walk(ALL, LATER, POINT)
    assert times(walk.take(rows(120, 110))) == [120, 110]
    assert walk.after("a") == "a"
    assert walk.resume_point == POINT
    assert times(walk.take(rows(100, 90, 80))) == [100, 90]
    assert walk.after("b") == "page_token=x"
    assert walk.jumped
    assert walk.resume_point == replace(POINT, newest=120)
    assert times(walk.take(rows(50, 40))) == [50, 40]
    assert walk.after("c") == "c"
    assert walk.resume_point == ResumePoint(120, 40, "c", ALL)


def test_it_reads_on_until_it_is_below_the_head_of_what_was_covered() -> None:
    walk = Walk(ALL, LATER, POINT)
    walk.take(rows(100, 90))
    assert walk.after("a") == "a"


def test_it_does_not_jump_back_to_what_it_has_passed() -> None:
    walk = Walk(ALL, LATER, POINT)
    walk.take(rows(95, 50))
    assert walk.after("a") == "a"
    assert not walk.jumped


def test_where_the_order_breaks_nothing_counts_as_covered() -> None:
    assert times(Walk(ALL, LATER, POINT).take(rows(100, 110, 80))) == [100, 110, 80]


def test_below_a_jump_whatever_comes_is_emitted() -> None:
    walk = Walk(ALL, LATER, POINT)
    walk.take(rows(100, 80))
    walk.after("a")
    assert times(walk.take(rows(85, 40))) == [85, 40]


def test_what_was_covered_just_before_the_cut_is_read_again() -> None:
    walk = Walk(ALL, LATER, POINT, lookback=10)
    assert times(walk.take(rows(95, 90, 80, 79))) == [95, 90, 80]


def test_a_page_that_reaches_below_what_was_covered_is_emitted_there() -> None:
    walk = Walk(ALL, LATER, POINT)
    assert times(walk.take(rows(95, 70, 50, 40))) == [95, 50, 40]


def test_taking_up_again_may_find_that_all_is_done() -> None:
    walk = Walk(
        ListingFilter((), since=60), LATER, replace(POINT, filter=ListingFilter((), since=60))
    )
    assert times(walk.take(rows(95, 70, 50))) == [95]
    assert walk.after("a") is None


def test_without_its_query_it_still_looks_back() -> None:
    walk = Walk(ALL, LATER, POINT, lookback=10)
    walk.take(rows(100, 70))
    walk.after("a")
    assert times(walk.without_query().take(rows(100, 95, 90, 89))) == [100, 95, 90]


def test_without_its_query_it_pages_through_what_was_covered() -> None:
    walk = Walk(ALL, LATER, POINT)
    walk.take(rows(100, 80))
    walk.after("a")
    again = walk.without_query()
    assert again.resume_point == ResumePoint(100, 50, None, ALL)
    assert times(again.take(rows(110, 100, 80))) == [110, 100]
    assert again.after("a") == "a"
    assert times(again.take(rows(70, 60))) == []
    assert again.after("b") == "b"
    assert times(again.take(rows(55, 50, 40))) == [50, 40]
    assert again.after("c") == "c"
    assert not again.jumped
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
        assert ResumePoint.from_state(point.to_state()) == point


@pytest.mark.parametrize(
    "state",
    [
        None,
        "words",
        {},
        {"version": 1},
        POINT.to_state() | {"version": 2},
        POINT.to_state() | {"newest": "soon"},
        POINT.to_state() | {"oldest": None},
        POINT.to_state() | {"since": 5},
        POINT.to_state() | {"statuses": None},
        POINT.to_state() | {"next": 5},
    ],
)
def test_a_state_of_another_version_has_no_resume_point(state: Any) -> None:
    assert ResumePoint.from_state(state) is None


@pytest.mark.parametrize(
    ("before", "met", "expected"),
    [(None, None, None), (None, 50, 50), (50, None, 50), (50, 60, 60), (60, 50, 60), (9, 150, 100)],
)
def test_a_bookmark_is_the_head_and_never_passes_the_start_of_the_run(
    before: int | None, met: int | None, expected: int | None
) -> None:
    walk = Walk(ALL, started=100)
    walk.take(rows(met, 5) if met else [])
    assert later(before, walk.newest) == expected


def test_neither_does_a_resume_point() -> None:
    walk = Walk(ALL, started=100)
    walk.take(rows(150, 90))
    walk.after("a")
    assert walk.resume_point == ResumePoint(100, 90, "a", ALL)


# Several streams at once


BELOW = ListingFilter(statuses=(), since=60)


def walks(**of: Walk) -> SharedWalk:
    return SharedWalk(of)


def wanted_by(taken: list[tuple[dict[str, Any], set[str]]]) -> list[tuple[int, set[str]]]:
    return [(row["updatedAt"], names) for row, names in taken]


def test_each_stream_takes_what_it_lacks() -> None:
    both = walks(old=Walk(BELOW, LATER), new=Walk(ALL, LATER))
    assert wanted_by(both.take(rows(90, 60, 50))) == [
        (90, {"old", "new"}),
        (60, {"old", "new"}),
        (50, {"new"}),
    ]


def test_what_no_stream_wants_is_left_out() -> None:
    one = walks(old=Walk(BELOW, LATER))
    assert wanted_by(one.take(rows(90, 50))) == [(90, {"old"})]


def test_the_walk_goes_on_until_the_last_stream_is_complete() -> None:
    both = walks(old=Walk(BELOW, LATER), new=Walk(ALL, LATER))
    both.take(rows(90, 50))
    assert both.after("a") == "a"
    assert both.claims["old"] == Checkpoint(is_complete=True, newest=90)
    assert both.claims["new"] == Checkpoint(ResumePoint(90, 50, "a", ALL))
    both.take(rows(40))
    assert both.after(None) is None
    assert both.claims["new"] == Checkpoint(is_complete=True, newest=90)


def test_what_is_claimed_now_does_not_change_with_the_pages_to_come() -> None:
    one = walks(new=Walk(ALL, LATER))
    one.take(rows(90, 50))
    one.after("a")
    before = one.claims
    one.take(rows(40))
    one.after("b")
    assert before["new"] == Checkpoint(ResumePoint(90, 50, "a", ALL))


def test_streams_that_were_cut_in_one_place_jump_together() -> None:
    both = walks(old=Walk(ALL, LATER, POINT), new=Walk(ALL, LATER, POINT))
    both.take(rows(95, 80))
    assert both.after("a") == "page_token=x"
    assert both.jumped


def test_streams_that_were_cut_in_different_places_page_through_what_they_have() -> None:
    further = replace(POINT, oldest=30, next_query="page_token=y")
    both = walks(old=Walk(ALL, LATER, further), new=Walk(ALL, LATER, POINT))
    assert wanted_by(both.take(rows(95, 80))) == [(95, {"old", "new"})]
    assert both.after("a") == "a"
    assert wanted_by(both.take(rows(50, 40, 30))) == [
        (50, {"new"}),
        (40, {"new"}),
        (30, {"old", "new"}),
    ]
    assert not both.jumped


def test_a_stream_that_has_failed_is_walked_for_no_more() -> None:
    both = walks(old=Walk(ALL, LATER), new=Walk(ALL, LATER))
    both.drop("old")
    assert wanted_by(both.take(rows(90))) == [(90, {"new"})]
    both.after("a")
    assert set(both.claims) == {"new"}
    both.drop("new")
    assert both.after("a") is None


def test_where_no_stream_is_left_nothing_is_taken() -> None:
    assert SharedWalk({}).take(rows(90)) == []
