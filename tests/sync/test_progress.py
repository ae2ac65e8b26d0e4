"""Log messages of a walk: progress and summary."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from runs import InlineThread

from tap_drift.sync import estimate
from tap_drift.sync.estimate import ListingEstimate
from tap_drift.sync.progress import LOG_INTERVAL, Progress

if TYPE_CHECKING:
    from fake_clock import FakeClock


def start_progress(
    caplog: pytest.LogCaptureFixture, listing: ListingEstimate | None = None
) -> Progress:
    caplog.set_level(logging.INFO)
    return Progress(logging.getLogger("tap-drift"), "conversations", listing)


def test_progress_is_logged_once_per_interval(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    progress = start_progress(caplog)
    for _ in range(99):
        clock.sleep(LOG_INTERVAL / 40)
        progress.add_page(100, oldest=1686303381300)
    assert caplog.messages == [
        "4,000 conversations in 40 pages so far, 400/s, back to 2023-06-09T09:36:21.300+00:00",
        "8,000 conversations in 80 pages so far, 400/s, back to 2023-06-09T09:36:21.300+00:00",
    ]


def test_share_and_remaining_time_follow_the_counts(
    clock: FakeClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "Thread", InlineThread)
    listing = ListingEstimate(lambda: {"open": 100, "closed": 900})
    progress = start_progress(caplog, listing)
    for _ in range(3):
        clock.sleep(LOG_INTERVAL)
        listing.add(10 * ["OPEN"] + 90 * ["CLOSED"] + 5 * ["BULK_SENT"])
        progress.add_page(105)
    assert [line.split("/s")[1] for line in caplog.messages] == [
        ", 10%, about 90 s left",
        ", 20%, about 80 s left",
        ", 30%, about 70 s left",
    ]


@pytest.mark.parametrize(
    ("share", "left"), [(0.1, "90 s"), (0.01, "16 min"), (0.001, "2.8 h"), (1.0, "0 s")]
)
def test_remaining_time_has_two_or_three_digits(
    share: float,
    left: str,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(estimate, "Thread", InlineThread)
    listing = ListingEstimate(lambda: {"open": 1000})
    listing.add(round(1000 * share) * ["open"])
    progress = start_progress(caplog, listing)
    clock.sleep(LOG_INTERVAL)
    progress.add_page(1)
    assert caplog.messages[0].endswith(f"about {left} left")


def test_single_items_are_counted_in_the_singular(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    progress = start_progress(caplog)
    clock.sleep(LOG_INTERVAL)
    progress.add_page(1)
    progress.log_summary([], 1, "Done.")
    assert caplog.messages == [
        "1 conversation in 1 page so far, 0/s",
        "1 conversation in 1 request, 10.0 s. Done.",
    ]


def test_summary_counts_records_and_requests(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    progress = start_progress(caplog)
    progress.add_page(37, oldest=None)
    clock.sleep(2)
    progress.log_summary([], 1, "The next run starts from here.")
    progress.log_summary(["1,234 messages"], 1200, "The next run starts from here.")
    assert caplog.messages == [
        "37 conversations in 1 request, 2.0 s. The next run starts from here.",
        "37 conversations, 1,234 messages in 1,200 requests, 2.0 s. The next run starts from here.",
    ]
