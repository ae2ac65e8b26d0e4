"""Tests of the coverage: what has been read, and what a walk must read for other settings."""

from __future__ import annotations

from typing import Any

import pytest

from tap_drift.sync.coverage import Coverage
from tap_drift.sync.walk import ListingFilter


def listing(*statuses: str, since: int | None = None) -> ListingFilter:
    return ListingFilter(statuses, since)


ALL = listing()
OPEN = listing("open")
ALL_TO_50 = Coverage.of(ALL, 50)
OPEN_TO_90 = Coverage.of(OPEN, 90)
BOTH = ALL_TO_50.extended(OPEN, 90)
SOME_FROM_50 = Coverage.of(listing(since=50), 90)


# What a walk must read


@pytest.mark.parametrize(
    ("coverage", "wanted", "since"),
    [
        (Coverage(), ALL, None),
        (Coverage(), listing(since=7), 7),
        (ALL_TO_50, ALL, 40),
        (ALL_TO_50, OPEN, 40),
        (ALL_TO_50, listing(since=45), 40),
        (ALL_TO_50, listing(since=80), 40),
        (OPEN_TO_90, OPEN, 80),
        (OPEN_TO_90, ALL, None),
        (OPEN_TO_90, listing("closed", "open"), None),
        (OPEN_TO_90, listing("closed", "open", since=7), 7),
        (OPEN_TO_90, listing("closed", since=95), 95),
        (BOTH, ALL, 40),
        (BOTH, OPEN, 80),
        (BOTH, listing("closed"), 40),
        (SOME_FROM_50, listing(since=50), 80),
        (SOME_FROM_50, listing(since=49), 49),
        (SOME_FROM_50, ALL, None),
    ],
)
def test_next_walk_reads_from_what_is_missing(
    coverage: Coverage, wanted: ListingFilter, since: int | None
) -> None:
    assert coverage.next_since(wanted, lookback=10) == since


# What has been read


@pytest.mark.parametrize(
    ("coverage", "status", "time", "expected"),
    [
        (SOME_FROM_50, "open", 50, True),
        (SOME_FROM_50, "open", 90, True),
        (SOME_FROM_50, "open", 49, False),
        (SOME_FROM_50, "open", 91, False),
        (SOME_FROM_50, "bulk_sent", 60, True),
        (OPEN_TO_90, "open", 0, True),
        (OPEN_TO_90, "closed", 60, False),
        (OPEN_TO_90, "bulk_sent", 60, False),
        (OPEN_TO_90, "OPEN", 60, False),
        (OPEN_TO_90, None, 60, False),
        (OPEN_TO_90, ["open"], 60, False),
        (OPEN_TO_90.without_newest(10), "open", 79, True),
        (OPEN_TO_90.without_newest(10), "open", 80, False),
    ],
)
def test_coverage_contains_a_status_and_a_time(
    coverage: Coverage, status: Any, time: int, *, expected: bool
) -> None:
    assert coverage.contains(status, time) is expected


def test_named_statuses_do_not_cover_all_others() -> None:
    named = Coverage.of(listing("closed", "open", "pending"), 90)
    assert named.next_since(ALL, lookback=0) is None


@pytest.mark.parametrize(
    ("read", "newest", "expected"),
    [
        (listing(since=20), 95, Coverage.of(listing(since=20), 95)),
        (listing(since=90), 120, Coverage.of(listing(since=50), 120)),
        (ALL, 60, Coverage.of(ALL, 90)),
        (listing(since=20), 30, Coverage.of(listing(since=20), 90)),
        (listing(since=91), 120, Coverage.of(listing(since=91), 120)),
    ],
)
def test_complete_walk_extends_the_span(
    read: ListingFilter, newest: int, expected: Coverage
) -> None:
    assert SOME_FROM_50.extended(read, newest) == expected


def test_complete_walk_extends_the_spans_of_its_statuses_only() -> None:
    after = SOME_FROM_50.extended(listing("open", since=20), 95)
    assert after.contains("open", 20)
    assert not after.contains("closed", 20)
    assert not after.contains("closed", 95)


def test_walk_that_met_nothing_new_enough_covers_nothing() -> None:
    assert not Coverage.of(listing(since=91), 90)
    assert Coverage.of(listing(since=90), 90)


# In the state


@pytest.mark.parametrize(
    "coverage",
    [
        Coverage(),
        ALL_TO_50,
        OPEN_TO_90,
        SOME_FROM_50,
        BOTH,
        OPEN_TO_90.extended(listing("closed", "pending", since=3), 60),
    ],
)
def test_coverage_is_read_as_it_was_written(coverage: Coverage) -> None:
    assert Coverage.parse(coverage.format(), bookmark=90) == coverage


def test_status_that_is_read_further_is_an_entry_of_its_own() -> None:
    assert BOTH.format() == [
        {"statuses": [], "since": None, "until": "1970-01-01T00:00:00.050+00:00"},
        {"statuses": ["open"], "since": None, "until": "1970-01-01T00:00:00.090+00:00"},
    ]


def test_coverage_ends_at_a_bookmark_that_was_lowered() -> None:
    assert Coverage.parse(OPEN_TO_90.format(), bookmark=70) == Coverage.of(OPEN, 70)
    assert Coverage.parse(SOME_FROM_50.format(), bookmark=40) == Coverage()
