"""Incremental runs of `conversations`: requests, lookback, order, and STATE messages."""

from __future__ import annotations

import io
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import now_ms
from faults import answer, page
from runs import sync
from typing_extensions import override

from tap_drift.streams import listing
from tap_drift.sync.writer import MessageWriter
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from pathlib import Path

    from fake_clock import FakeClock
    from fake_drift import FakeDrift

NEXT = "https://api.drift.com/x?page_token="


def rows(*times: int | None) -> list[dict[str, Any]]:
    return [{"id": number, "updatedAt": time} for number, time in enumerate(times)]


def count_requests(
    drift: FakeDrift, config: dict[str, Any], state: dict[str, Any] | None = None
) -> int:
    """Run the tap, and count the requests of the run."""
    before = len(drift.requests)
    sync(config, state)
    return len(drift.requests) - before


# Requests


def test_unchanged_account_costs_one_request(drift: FakeDrift, config: dict[str, Any]) -> None:
    state = sync(config).state()
    assert count_requests(drift, config, state) == 1


@pytest.mark.parametrize(("updates", "requests"), [(1, 1), (37, 1), (98, 1), (99, 2), (137, 2)])
def test_updates_cost_their_pages_and_at_most_one_more(
    updates: int, requests: int, drift: FakeDrift, config: dict[str, Any]
) -> None:
    state = sync(config).state()
    for conversation in drift.conversation_ids()[-updates:]:
        drift.update_conversation(conversation, now_ms())
    assert count_requests(drift, config, state) == requests <= -(-updates // 100) + 1


def test_start_date_limits_the_requests(drift: FakeDrift, config: dict[str, Any]) -> None:
    seconds = drift.account.conversations[10]["updatedAt"] / 1000
    start_date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    assert count_requests(drift, config | {"start_date": start_date}) == 1


class WaitingOutput(io.BytesIO):
    """Output whose first records are written when the server has received these requests."""

    def __init__(self, drift: FakeDrift, requests: int) -> None:
        super().__init__()
        self.received = threading.Semaphore(0)
        self.requests = requests
        drift.on_request = lambda _: self.received.release()

    @override
    def write(self, data: Any) -> int:
        while self.requests and b'"RECORD"' in data:
            assert self.received.acquire(timeout=10)
            self.requests -= 1
        return super().write(data)


def test_next_page_is_requested_while_a_page_is_written(
    drift: FakeDrift, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SLOW_PAGE_SECONDS", 0)
    output = WaitingOutput(drift, requests=2)
    TapDrift(config=config, message_writer=MessageWriter(output)).sync_all()
    assert output.getvalue().count(b'"RECORD"') == 250


class ObservingOutput(io.BytesIO):
    """Output that records the server's number of requests before each write of records."""

    def __init__(self, drift: FakeDrift) -> None:
        super().__init__()
        self.drift = drift
        self.requests: list[int] = []

    @override
    def write(self, data: Any) -> int:
        if b'"RECORD"' in data:
            self.requests.append(len(self.drift.requests))
        return super().write(data)


def test_page_that_comes_at_once_is_not_read_ahead(
    drift: FakeDrift, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SLOW_PAGE_SECONDS", 60)
    output = ObservingOutput(drift)
    TapDrift(config=config, message_writer=MessageWriter(output)).sync_all()
    assert output.requests == [1, 2, 3]


# Lookback


def test_lookback_emits_rows_just_before_the_bookmark(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    newest = drift.account.conversations[0]["updatedAt"]
    state = sync(config).state()
    head, inside, outside = drift.conversation_ids()[:3]
    drift.update_conversation(inside, newest - 300_000)
    drift.update_conversation(outside, newest - 300_001)
    assert sync(config, state).record_ids() == [head, inside]
    assert sync(config | {"lookback_seconds": 0}, state).record_ids() == [head]


# Order


def test_unordered_listing_is_read_whole_with_one_warning(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    drift.faults.append(page(*rows(now_ms(), 2, 1, 4), next=f"{NEXT}a"))
    drift.faults.extend([page(*rows(2, 3), next=f"{NEXT}b"), page(*rows(6, 5, 7))])
    assert count_requests(drift, config | {"start_date": "2020-01-01"}) == 3
    assert caplog.text.count("no longer lists conversations by `updatedAt`") == 1


def test_unordered_listing_bookmarks_its_newest_row(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    day = 86_400_000
    first, second = rows(5 * day, 7 * day), rows(9 * day, day)
    drift.faults.extend([page(*first, next=f"{NEXT}a"), page(*second)])
    messages = sync(config)
    assert messages.bookmarks()["conversations"] == "1970-01-10T00:00:00.000+00:00"
    assert len(messages.record_ids()) == 4


def test_rows_without_updated_at_are_emitted_with_one_warning(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    state = sync(config).state()
    drift.faults.append(page(*rows(now_ms(), None, now_ms() - 1000, None, 5)))
    messages = sync(config, state)
    assert messages.record_ids() == [0, 1, 2, 3]
    assert caplog.text.count("without `updatedAt`") == 1


# STATE messages


def test_state_is_emitted_every_ten_pages_and_at_the_end(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    messages = sync(config | {"page_size": 10})
    types = [message["type"] for message in messages.all]
    assert types == ["SCHEMA", *(["RECORD"] * 100 + ["STATE"]) * 2, *["RECORD"] * 50, "STATE"]
    states = [m["value"]["bookmarks"]["conversations"] for m in messages.all if "value" in m]
    assert ["resume" in state for state in states] == [True, True, False]
    assert "progress_markers" not in json.dumps(messages.all)
    assert messages.record_ids() == drift.conversation_ids()


def test_batches_are_claimed_in_the_last_state_only(
    drift: FakeDrift, config: dict[str, Any], tmp_path: Path
) -> None:
    storage = {"root": tmp_path.as_uri(), "prefix": "batch-"}
    batch = {"encoding": {"format": "jsonl"}, "storage": storage, "batch_size": 100}
    messages = sync(config | {"page_size": 10, "batch_config": batch})
    types = [message["type"] for message in messages.all]
    assert types.count("BATCH") == 3
    assert types[-2:] == ["BATCH", "STATE"]
    states = [m["value"]["bookmarks"]["conversations"] for m in messages.all if "value" in m]
    assert not any("resume" in state for state in states)
    assert "replication_key_value" in states[-1]
    assert sync(config, messages.state()).record_ids() == drift.conversation_ids()[:1]


# Log messages


def info_messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [each for each in caplog.records if each.name == "tap-drift.conversations"]
    return [each.getMessage() for each in records if each.levelname == "INFO"]


def test_run_logs_its_plan_and_its_summary(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    drift.faults.append(page(*rows(86_400_000, 300_000)))
    state = sync(config).state()
    plan, summary = info_messages(caplog)
    assert plan == "Reading conversations: INCREMENTAL, everything, all statuses"
    assert summary.startswith("2 conversations in 1 request, ")
    since = "since 1970-01-01T23:55:00.000+00:00"
    assert summary.endswith(f"The next run starts from updates {since}.")
    caplog.clear()
    sync(config | {"statuses": ["open", "closed"]}, state)
    expected = f"Reading conversations: INCREMENTAL, updated {since}, statuses closed, open"
    assert info_messages(caplog)[0] == expected


def test_summary_counts_retries_as_requests(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    drift.faults.extend([answer(500)] * 2)
    sync(config)
    assert "250 conversations in 5 requests" in caplog.text
    assert clock.slept


def test_request_durations_are_logged_at_debug(
    drift: FakeDrift,
    config: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAP_DRIFT_LOGLEVEL", "DEBUG")
    caplog.set_level("DEBUG")
    sync(config)
    levels = [each.levelname for each in caplog.records if "http_request_duration" in each.message]
    assert levels == ["DEBUG"] * len(drift.requests)
