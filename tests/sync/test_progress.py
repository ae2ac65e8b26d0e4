"""Log messages of a walk: progress and summary."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tap_drift.sync.progress import LOG_INTERVAL, Progress

if TYPE_CHECKING:
    import pytest
    from fake_clock import FakeClock


def start_progress(caplog: pytest.LogCaptureFixture) -> Progress:
    caplog.set_level(logging.INFO)
    return Progress(logging.getLogger("tap-drift"), "conversations")


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
