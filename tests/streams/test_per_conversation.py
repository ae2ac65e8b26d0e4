"""Streams that are requested per conversation: requests, missing items, failures, concurrency."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import FakeDrift, FakeDriftHandler, now_ms
from fake_target import WALK_STREAMS, FakeTarget
from faults import answer, answer_normally
from runs import CapturedMessages, catalog, catalog_entry, sync, sync_failing

from tap_drift.sandbox.data.account import Account
from tap_drift.timestamps import from_epoch_ms

if TYPE_CHECKING:
    from pathlib import Path

    from faults import Fault

    from tap_drift.sandbox.server import Answer

pytestmark = pytest.mark.slow


@pytest.fixture
def account() -> Account:
    return Account.from_seed(40, seed=7)


@pytest.fixture
def config(config: dict[str, Any]) -> dict[str, Any]:
    return config | {"page_size": 10, "lookback_seconds": 0}


def conversations_with_messages_requested(drift: FakeDrift) -> set[str]:
    """Return the paths of the conversations, however many pages of messages each has."""
    return {path.split("?")[0] for path in drift.requests if "/messages" in path}


# Requests


def test_second_run_requests_items_of_emitted_conversations(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    selected = catalog(*WALK_STREAMS)
    state = sync(config, catalog=selected).state()
    head, updated = drift.conversation_ids()[0], drift.conversation_ids()[-1]
    drift.update_conversation(updated, now_ms())
    drift.requests.clear()
    second = sync(config, state, selected)
    assert second.record_ids() == second.record_ids("conversation_details") == [updated, head]
    assert drift.count_requests("list?") == 1
    items = [
        path for path in drift.requests if path.startswith("/conversations/") and "list" not in path
    ]
    assert sorted(items) == sorted(
        f"/conversations/{number}{item}"
        for number in (updated, head)
        for item in ("", "/messages?next=", "/transcript")
    )


def test_child_without_parent_keeps_its_own_bookmark(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    first = sync(config, catalog=catalog("messages"))
    assert {m["stream"] for m in first.all if "stream" in m} == {"messages"}
    head = from_epoch_ms(drift.account.conversations[0]["updatedAt"])
    assert first.bookmarks()["messages"] == head
    assert not first.bookmarks().get("conversations")
    drift.requests.clear()
    second = sync(config, first.state(), catalog("messages"))
    conversations = {message["conversationId"] for message in second.records("messages")}
    assert conversations <= {drift.conversation_ids()[0]}
    assert [drift.count_requests("list?"), drift.count_requests("/messages")] == [1, 1]


def test_stream_selected_later_requests_only_its_own_items(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    target = FakeTarget(sync(config, catalog=catalog("conversations", "messages")).all)
    drift.requests.clear()
    target.load(sync(config, target.state, catalog(*WALK_STREAMS)).all)
    assert target.missing(drift, *WALK_STREAMS) == set()
    assert drift.count_requests("/transcript") == 40
    assert drift.count_requests("/messages") == 1
    assert drift.count_requests("list?") == 4


@pytest.mark.parametrize("stream", ["conversations", "messages"])
def test_full_table_requests_all_items_of_that_stream(
    stream: str, drift: FakeDrift, config: dict[str, Any]
) -> None:
    selected = catalog("conversations", "messages", "transcripts")
    state = sync(config, catalog=selected).state()
    catalog_entry(selected, stream)["replication_method"] = "FULL_TABLE"
    drift.requests.clear()
    again = sync(config, json.loads(json.dumps(state)), selected)
    assert again.record_ids() == drift.conversation_ids()
    conversations = conversations_with_messages_requested(drift)
    assert len(conversations) == (40 if stream == "messages" else 1)
    assert drift.count_requests("/transcript") == 1
    assert again.state() == state


def test_batches_are_claimed_in_the_last_state_only(
    drift: FakeDrift, config: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    storage = {"root": tmp_path.as_uri(), "prefix": "batch-"}
    batch = {"encoding": {"format": "jsonl"}, "storage": storage, "batch_size": 10}
    selected = catalog("conversations", "messages")
    messages = sync(config | {"batch_config": batch}, catalog=selected)
    assert FakeTarget(messages.all).missing(drift, "messages") == set()
    assert {m["stream"] for m in messages.all if m["type"] == "BATCH"} == {"conversations"}
    assert "messages: written as RECORD messages, without batch files" in caplog.text
    states = [m["value"]["bookmarks"] for m in messages.all if m["type"] == "STATE"]
    assert not any("replication_key_value" in s.get("messages", {}) for s in states[:-1])
    assert set(messages.bookmarks()) >= {"conversations", "messages"}
    assert None not in messages.bookmarks().values()


# Missing items (404 or 410)


@pytest.mark.parametrize("status", [404, 410])
def test_missing_item_is_skipped_and_named(
    status: int, drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    deleted = drift.conversation_ids()[3]
    path = f"/conversations/{deleted}"
    drift.faults_by_path[path] = answer(status)
    messages = sync(config, catalog=catalog("conversations", "conversation_details", "messages"))
    assert messages.record_ids() == drift.conversation_ids()
    others = [number for number in drift.conversation_ids() if number != deleted]
    assert messages.record_ids("conversation_details") == others
    warnings = [each for each in caplog.records if path in each.getMessage()]
    assert [each.levelname for each in warnings] == ["WARNING", "WARNING"]
    assert "conversation_details: 1 of 40 not found (404 or 410), skipped" in caplog.text


def test_only_twenty_missing_items_are_named(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    drift.account.deleted.update(drift.conversation_ids()[1:])
    sync(config, catalog=catalog("messages"))
    [warning] = [m for each in caplog.records if "not found" in (m := each.getMessage())]
    assert "39 of 40" in warning
    assert warning.count("/messages") == 20
    assert warning.endswith(" and others")


def test_all_items_missing_fails_the_stream(drift: FakeDrift, config: dict[str, Any]) -> None:
    drift.faults_by_path["/messages"] = answer(404)
    messages, error = sync_failing(config, catalog=catalog("conversations", "messages"))
    assert "All 40 requests for `messages` were answered 404 or 410" in error
    assert "`conversation_read`" in error
    assert messages.bookmarks()["conversations"]


def test_all_items_missing_claims_nothing_in_any_state(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults_by_path["/messages"] = answer(404)
    messages, _ = sync_failing(config, catalog=catalog("conversations", "messages"))
    drift.faults_by_path.clear()
    states = [message["value"] for message in messages.all if message["type"] == "STATE"]
    for state in states:
        target = FakeTarget(sync(config, state, catalog("messages")).all)
        assert target.missing(drift, "messages") == set()


def test_fewer_than_twenty_items_may_all_be_missing(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    del drift.account.conversations[19:]
    drift.faults_by_path["/messages"] = answer(404)
    assert sync(config, catalog=catalog("messages")).bookmarks()["messages"]


# Failures


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param(answer(403), "scope `conversation_read`", id="scope"),
        pytest.param(answer(400), "400 on /conversations/", id="400"),
        pytest.param(answer(500), "attempts; last error: 500 on", id="500"),
        pytest.param(answer(200, {"data": {}}), "without objects in `data.messages`", id="shape"),
    ],
)
@pytest.mark.usefixtures("clock")
def test_failed_stream_ends_alone_and_completes_next_run(
    fault: Fault, reason: str, drift: FakeDrift, config: dict[str, Any]
) -> None:
    streams = ("conversations", "messages", "transcripts")
    drift.faults_by_path["/messages"] = fault
    messages, error = sync_failing(config, catalog=catalog(*streams))
    assert error.startswith("messages failed: Its first 20 requests failed; the last: ")
    assert reason in error
    assert "1 of 3 streams failed: messages" in error
    assert messages.records("messages") == []
    target = FakeTarget(messages.all)
    assert target.missing(drift, "conversations", "transcripts") == set()

    drift.faults_by_path.clear()
    drift.requests.clear()
    target.load(sync(config, target.state, catalog(*streams)).all)
    assert target.missing(drift, *streams) == set()
    assert drift.count_requests("/transcript") == 1
    assert len(conversations_with_messages_requested(drift)) == 40


def test_missing_scope_is_named(drift: FakeDrift, config: dict[str, Any]) -> None:
    drift.tokens.scopes = ["conversation_read"]
    messages, error = sync_failing(config, catalog=catalog("conversations", "contacts"))
    assert "`contact_read`" in error
    assert messages.record_ids() == drift.conversation_ids()


def test_failed_listing_fails_its_streams_after_a_state(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    faults = iter([answer_normally, answer(403)])
    drift.faults_by_path["list?page_token"] = lambda handler: next(faults)(handler)  # noqa: PLW0108 - the next fault at each call
    messages, error = sync_failing(config, catalog=catalog("conversations", "messages"))
    assert "2 of 2 streams failed: conversations, messages" in error
    assert messages.all[-1]["type"] == "STATE"
    target = FakeTarget(messages.all)
    assert list(target.conversations) == messages.record_ids() == drift.conversation_ids()[:20]
    drift.faults_by_path.clear()
    target.load(sync(config, target.state, catalog("conversations", "messages")).all)
    assert target.missing(drift, "conversations", "messages") == set()


def test_failed_listing_does_not_fail_a_complete_stream(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    first = sync(config, catalog=catalog("conversations", "messages"))
    drift.faults_by_path["page_token=d"] = answer(400)
    streams = catalog("conversations", "messages", "transcripts")
    _, error = sync_failing(config, first.state(), streams)
    assert "conversations failed" in error
    assert "transcripts failed" in error
    assert "messages failed" not in error


def test_failure_count_includes_unselected_parent(drift: FakeDrift, config: dict[str, Any]) -> None:
    drift.faults_by_path["/conversations/list"] = answer(403)
    _, error = sync_failing(config, catalog=catalog("messages", "transcripts"))
    assert "3 of 3 streams failed" in error


def test_listing_ends_when_all_its_streams_have_failed(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    """After twenty refused items, which are five pages."""
    drift.faults_by_path["/messages"] = answer(403)
    sync_failing(config | {"page_size": 4, "concurrency": 1}, catalog=catalog("messages"))
    # Two more pages are read ahead, and a third may have been requested.
    assert drift.count_requests("list?page_token") <= 5 + 3 < 40 / 4


# Concurrency


class ConcurrencyHandler(FakeDriftHandler):
    """Records the most requests at once; holds the first until `expected` have arrived."""

    expected = 1
    active = most_active = 0
    all_arrived = threading.Event()

    def answer(self) -> Answer:
        counters = type(self)
        if "/messages" not in self.path:
            return super().answer()
        with self.server.lock:
            counters.active += 1
            counters.most_active = max(counters.most_active, counters.active)
            if counters.active == counters.expected:
                counters.all_arrived.set()
        assert counters.all_arrived.wait(10)
        with self.server.lock:
            counters.active -= 1
        return super().answer()


@pytest.mark.parametrize("concurrency", [1, 2, 8])
def test_requests_at_once_equal_the_concurrency(
    concurrency: int, drift: FakeDrift, config: dict[str, Any]
) -> None:
    class Handler(ConcurrencyHandler):
        expected = concurrency
        all_arrived = threading.Event()

    drift.RequestHandlerClass = Handler
    sync(config | {"concurrency": concurrency}, catalog=catalog("messages"))
    assert Handler.most_active == concurrency


def test_answers_out_of_order_are_written_in_order(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    first, second = drift.conversation_ids()[:2]
    second_answered = threading.Event()

    class ReorderingHandler(FakeDriftHandler):
        def answer(self) -> Answer:
            if f"{first}/" in self.path:
                assert second_answered.wait(10)
            answer = super().answer()
            if f"{second}/" in self.path:
                second_answered.set()
            return answer

    drift.RequestHandlerClass = ReorderingHandler
    records = sync(config, catalog=catalog("transcripts")).records("transcripts")
    assert [record["conversationId"] for record in records] == drift.conversation_ids()


class SlowMessages(CapturedMessages):
    """Delays each record until the tap has read ahead, and records how far it did."""

    def __init__(self, drift: FakeDrift, ahead: int) -> None:
        """Wait for this number of transcripts from the start of the record's page."""
        super().__init__()
        self.drift = drift
        self.ahead = ahead
        self.most_ahead = 0
        self.requested = threading.Condition(drift.lock)
        drift.on_request = self.measure

    def measure(self, _request: int) -> None:
        with self.requested:
            requests = self.drift.count_requests("/transcript")
            self.most_ahead = max(self.most_ahead, requests - len(self.records("transcripts")))
            self.requested.notify_all()

    def add(self, line: bytes) -> None:
        if not line.startswith(b'{"type":"RECORD"'):
            super().add(line)
            return
        with self.requested:
            written = len(self.records("transcripts"))
            page_start = written - written % 10
            wanted = min(page_start + self.ahead, len(self.drift.conversation_ids()))
            assert self.requested.wait_for(
                lambda: self.drift.count_requests("/transcript") >= wanted, 10
            )
            super().add(line)


def test_slow_output_limits_how_far_requests_run_ahead(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.account = Account.from_seed(120, seed=7)
    messages = SlowMessages(drift, ahead=30)
    selected = catalog("conversations", "transcripts")
    sync(config | {"concurrency": 2}, catalog=selected, messages=messages)
    assert messages.record_ids() == drift.conversation_ids()
    assert 20 < messages.most_ahead <= 30
