"""Resuming an interrupted run: from where, at what cost, and when the resume point is dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import OFFSET_PAGE_SIZE as PAGE_SIZE
from fake_drift import now_ms
from fake_target import FakeTarget
from faults import answer, answer_normally, page
from runs import Interrupted, InterruptingMessages, catalog, catalog_entry, sync, sync_failing
from seeds import positions

from tap_drift.exceptions import StreamsFailedError

if TYPE_CHECKING:
    from fake_drift import FakeDrift

    from tap_drift.sandbox.server import SandboxHandler

pytestmark = pytest.mark.slow


def interrupt_after(pages: int, drift: FakeDrift, config: dict[str, Any]) -> FakeTarget:
    """Run until the listing is refused after this number of pages of 5 rows."""
    drift.faults.extend([answer_normally] * pages + [answer(403)])
    messages, _ = sync_failing(config)
    target = FakeTarget(messages.all)
    assert len(target.conversations) == pages * PAGE_SIZE
    drift.requests.clear()
    return target


def resume_point(target: FakeTarget) -> dict[str, Any]:
    assert target.state
    point: dict[str, Any] = target.state["bookmarks"]["conversations"]["resume"]
    return point


# What a resumed run requests


def test_resumed_run_requests_head_and_remaining_pages(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    config |= {"page_size": 10}
    drift.faults.extend([answer_normally] * 12 + [answer(400, {})])
    messages, _ = sync_failing(config)
    target = FakeTarget(messages.all)
    assert len(target.conversations) == 120
    drift.requests.clear()
    target.load(sync(config, target.state).all)
    assert len(drift.requests) == 1 + 13
    assert target.missing(drift) == set()


def test_lost_last_state_resumes_from_the_one_before(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    config |= {"page_size": 10}
    target = FakeTarget(sync(config).all[:-1])
    assert resume_point(target)["next"]
    drift.requests.clear()
    sync(config, target.state)
    assert len(drift.requests) == 1 + 5


def test_resumed_run_requests_head_and_remaining_messages(
    small_drift: FakeDrift, small_config: dict[str, Any]
) -> None:
    config = small_config | {"concurrency": 4}
    selected = catalog("conversations", "messages")
    messages = InterruptingMessages(len(sync(config, catalog=selected).all) - 10)
    with pytest.raises(Interrupted):
        sync(config, catalog=selected, messages=messages)
    target = FakeTarget(messages.all)
    committed = len(target.conversations)
    small_drift.requests.clear()
    target.load(sync(config, target.state, selected).all)
    assert target.missing(small_drift, "conversations", "messages") == set()
    paths = {path.split("?")[0] for path in small_drift.requests if "/messages" in path}
    assert len(paths) == len(small_drift.conversation_ids()) - committed + 1


# What a resumed run emits


@pytest.mark.parametrize("pages", [1, 2])
@pytest.mark.parametrize("updates", positions([0, 3, 11], [*range(12)]))
def test_updates_since_the_interruption_are_emitted(
    updates: int, pages: int, small_drift: FakeDrift, small_config: dict[str, Any]
) -> None:
    target = interrupt_after(pages, small_drift, small_config)
    for conversation in small_drift.conversation_ids()[-updates:] if updates else []:
        small_drift.update_conversation(conversation, now_ms(), status="changed")
    target.load(sync(small_config, target.state).all)
    assert target.missing(small_drift) == set()


def test_late_update_within_lookback_is_emitted(
    small_drift: FakeDrift, small_config: dict[str, Any]
) -> None:
    target = interrupt_after(3, small_drift, small_config)
    late = small_drift.conversation_ids()[5]
    head = small_drift.account.conversations[0]["updatedAt"]
    small_drift.update_conversation(late, head - 299_000, status="late")
    target.load(sync(small_config | {"lookback_seconds": 300}, target.state).all)
    assert target.missing(small_drift) == set()


# The resume point in the state


def test_resume_point_holds_range_and_next_query(
    small_drift: FakeDrift, small_config: dict[str, Any]
) -> None:
    point = resume_point(interrupt_after(3, small_drift, small_config))
    records = sync(small_config).records()
    assert point["newest"] == records[0]["updatedAt"]
    assert point["oldest"] == records[3 * PAGE_SIZE - 1]["updatedAt"]
    assert point["next"].startswith("page_token=")


def test_complete_walk_removes_resume_point(
    small_drift: FakeDrift, small_config: dict[str, Any]
) -> None:
    target = interrupt_after(3, small_drift, small_config)
    state = sync(small_config, target.state).state()
    assert "resume" not in state["bookmarks"]["conversations"]


def test_unordered_listing_has_no_resume_point(drift: FakeDrift, config: dict[str, Any]) -> None:
    link = "https://api.drift.com/x?page_token="
    times = [(100, 90), (80, 85)]
    first, second = ([{"id": t, "updatedAt": t} for t in each] for each in times)
    drift.faults.extend([page(*first, next=f"{link}a"), page(*second, next=f"{link}b")])
    drift.faults.append(answer(403))
    messages, _ = sync_failing(config)
    assert "resume" not in messages.state()["bookmarks"]["conversations"]


# Resume points that cannot be used


@pytest.mark.parametrize("status", [400, 404, 410])
def test_refused_page_token_restarts_without_repeating_rows(
    status: int,
    small_drift: FakeDrift,
    small_config: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    target = interrupt_after(3, small_drift, small_config)
    small_drift.faults.extend([answer_normally, answer(status)])
    second = sync(small_config, target.state)
    # Three rows are repeated: the head, by both walks, and the last row of the interrupted run.
    assert len(second.record_ids()) == 47 - 3 * PAGE_SIZE + 3
    target.load(second.all)
    assert target.missing(small_drift) == set()
    assert "no longer accepts the page token" in caplog.text


def test_refused_page_token_of_this_run_fails(drift: FakeDrift, config: dict[str, Any]) -> None:
    drift.faults.extend([answer_normally, answer(404)])
    with pytest.raises(StreamsFailedError):
        sync(config)


@pytest.mark.parametrize("streams", [("conversations",), ("conversations", "transcripts")])
def test_cut_listing_is_not_bookmarked_as_complete(
    streams: tuple[str, ...], drift: FakeDrift, config: dict[str, Any]
) -> None:
    def cut(handler: SandboxHandler) -> None:
        found = handler.answer()
        del found.body["links"]
        found.body["pagination"] = {"more": True, "next": "2"}
        handler.send(found)

    del drift.account.conversations[60:]
    drift.faults_by_path["list?page_token"] = cut  # not the first page
    selected = catalog(*streams)
    messages, error = sync_failing(config | {"page_size": 25}, catalog=selected)
    assert "has more conversations, but no link to them" in error
    target = FakeTarget(messages.all)
    assert messages.bookmarks() == dict.fromkeys(streams)
    drift.faults_by_path.clear()
    target.load(sync(config, target.state, selected).all)
    assert target.missing(drift, *streams) == set()


@pytest.mark.parametrize(
    "change",
    [
        {"statuses": ["closed", "open", "pending"]},
        {"start_date": "2019-03-05"},
    ],
)
def test_resume_point_of_another_filter_is_dropped(
    change: dict[str, Any], drift: FakeDrift, config: dict[str, Any]
) -> None:
    bounded = config | {"page_size": PAGE_SIZE, "start_date": "2020-01-01"}
    target = interrupt_after(3, drift, bounded)
    expected = sync(bounded | change).record_ids()
    assert sync(bounded | change, target.state).record_ids() == expected


def test_resume_point_of_another_version_is_dropped(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    target = interrupt_after(3, drift, config | {"page_size": PAGE_SIZE})
    resume_point(target)["version"] = 0
    assert sync(config, target.state).record_ids() == drift.conversation_ids()


def test_full_table_drops_resume_point_and_keeps_bookmark(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    target = interrupt_after(3, drift, config | {"page_size": PAGE_SIZE})
    assert target.state
    time = "2020-01-01T00:00:00.000+00:00"
    bookmark = {
        "replication_key": "updatedAt",
        "replication_key_value": time,
        "covered": [{"statuses": [], "since": None, "until": time}],
    }
    target.state["bookmarks"]["conversations"] |= bookmark
    selected = catalog("conversations")
    catalog_entry(selected)["replication_method"] = "FULL_TABLE"
    messages = sync(config, target.state, selected)
    assert messages.record_ids() == drift.conversation_ids()
    assert messages.state()["bookmarks"]["conversations"] == bookmark
