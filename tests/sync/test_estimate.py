"""Tests of the share of the listing that has been read."""

from __future__ import annotations

from typing import Any

import pytest
from runs import InlineThread

from tap_drift.sync import estimate
from tap_drift.sync.estimate import ListingEstimate


@pytest.fixture(autouse=True)
def _inline_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "Thread", InlineThread)


def started(counts: Any) -> ListingEstimate:
    result = ListingEstimate(lambda: counts)
    result.start()
    return result


def test_share_is_unknown_before_the_counts_are_requested() -> None:
    result = ListingEstimate(lambda: {"open": 4})
    result.add(["open"])
    assert result.share is None
    result.start()
    assert result.share == 0.25


def test_counts_are_requested_once() -> None:
    calls: list[int] = []
    result = ListingEstimate(lambda: {"open": calls.append(1) or 4})  # type: ignore[func-returns-value]
    result.start()
    result.start()
    assert calls == [1]


def test_statuses_without_a_count_are_left_out() -> None:
    result = started({"open": 1, "closed": 9})
    result.add(["open", "closed"] + 3 * ["CLOSED"] + 100 * ["bulk_sent"])
    assert result.share == 0.5


@pytest.mark.parametrize("statuses", [[], 5 * ["open"], ["bulk_sent"]])
def test_implausible_share_is_unknown(statuses: list[str]) -> None:
    result = started({"open": 4})
    result.add(statuses)
    assert result.share is None


@pytest.mark.parametrize("counts", [{}, {"open": "many"}, {"open": None}, None, {"open": 0}])
def test_unusable_counts_are_ignored(counts: Any) -> None:
    result = started(counts)
    result.add(["open"])
    assert result.share is None


def test_error_of_the_request_is_ignored() -> None:
    result = ListingEstimate(lambda: {"closed": 1 // 0})
    result.start()
    result.add(["open"])
    assert result.share is None
