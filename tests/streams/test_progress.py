"""Progress of a run: share of the listing, and the order of the streams."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from fake_target import FakeTarget
from faults import answer
from runs import InlineThread, catalog, sync, sync_interrupted

from tap_drift.sync import estimate, progress

if TYPE_CHECKING:
    from fake_drift import FakeDrift

STATS = "/conversations/stats"


@pytest.fixture
def settings(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings for a log line after each page of 50."""
    monkeypatch.setattr(progress, "LOG_INTERVAL", -1)
    monkeypatch.setattr(estimate, "Thread", InlineThread)
    return config | {"page_size": 50}


def shares(caplog: pytest.LogCaptureFixture) -> list[str]:
    return re.findall(r", (\d+%), about", caplog.text)


# The share


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"statuses": ["closed"]},
        {"statuses": ["open", "pending"]},
        {"shard_count": 2, "shard_index": 1},
    ],
)
def test_whole_listing_is_logged_with_its_share(
    more: dict[str, Any],
    drift: FakeDrift,
    settings: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    sync(settings | more)
    assert shares(caplog)[-1] == "100%"
    assert len(set(shares(caplog))) == drift.count_requests("/list")
    assert drift.count_requests(STATS) == 1


def test_walk_with_messages_is_logged_with_its_share(
    drift: FakeDrift, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    del drift.account.conversations[60:]
    sync(settings | {"page_size": 20}, catalog=catalog("messages"))
    assert len(shares(caplog)) == 3
    assert "20 unselected conversations in 1 page so far" in caplog.text


def test_short_run_does_not_request_the_counts(drift: FakeDrift, config: dict[str, Any]) -> None:
    sync(config)
    assert drift.count_requests(STATS) == 0


@pytest.mark.parametrize(
    "more", [{"start_date": "2019-01-01"}, {"concurrency": 1}], ids=["start_date", "concurrency"]
)
def test_run_to_which_the_counts_do_not_apply_has_no_share(
    more: dict[str, Any],
    drift: FakeDrift,
    settings: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    sync(settings | more)
    assert shares(caplog) == []
    assert drift.count_requests(STATS) == 0


def test_later_runs_have_no_share(
    drift: FakeDrift, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    interrupted, target = settings | {"page_size": 10}, FakeTarget()
    assert not sync_interrupted(interrupted, target, 130)
    only_open = sync(settings | {"statuses": ["open"]}).state()
    drift.requests.clear()
    caplog.set_level("INFO")
    sync(settings, sync(settings, target.state).state())
    sync(settings, only_open)
    assert "so far" in caplog.text
    assert shares(caplog) == []
    assert drift.count_requests(STATS) == 0


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_refused_counts_are_requested_once_and_ignored(
    status: int,
    drift: FakeDrift,
    settings: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    drift.faults_by_path[STATS] = answer(status, {})
    messages = sync(settings)
    assert messages.record_ids() == drift.conversation_ids()
    assert shares(caplog) == []
    assert drift.count_requests(STATS) == 1
    assert "stats" not in caplog.text


# The order of the streams


def test_short_streams_come_before_the_long_walk(drift: FakeDrift, config: dict[str, Any]) -> None:
    del drift.account.conversations[2:]
    streams = ("conversations", "failed_items", "messages", "playbooks", "teams", "users")
    messages = sync(config, catalog=catalog(*streams)).all
    order = [message["stream"] for message in messages if message["type"] == "SCHEMA"]
    assert order == ["playbooks", "teams", "users", "conversations", "messages", "failed_items"]
