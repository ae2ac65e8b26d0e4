"""Requests of `drift-verify`, Drift's counts, and streams that fail."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import TOKEN, FakeDriftHandler
from faults import answer

from tap_drift.timestamps import from_epoch_ms

if TYPE_CHECKING:
    from fake_drift import FakeDrift
    from verify.conftest import Extract, Verify

    from tap_drift.sandbox.server import Answer


class MiscountingHandler(FakeDriftHandler):
    """Counts two open conversations more than the listing has."""

    def answer(self) -> Answer:
        response = super().answer()
        if self.path == "/conversations/stats":
            response.body["conversationCount"]["OPEN"] += 2
        return response


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_stream_not_extracted_is_listed_not_requested(
    drift: FakeDrift, extract: Extract, verify: Verify
) -> None:
    messages = extract("conversations")
    before = len(drift.requests)
    result = verify(messages)
    assert result.exit_code == 0
    assert list(result.table) == ["conversations"]
    contacts = {each["contactId"] for each in drift.account.conversations if "contactId" in each}
    assert f"contacts: not extracted ({len(contacts)} referenced)" in result.report
    assert {("contacts", each) for each in contacts} <= set(result.record_ids("not extracted"))
    paths = {path.partition("?")[0] for path in drift.requests[before:]}
    assert paths == {"/conversations/list", "/conversations/stats"}


def test_listing_is_not_read_without_conversations(
    drift: FakeDrift, extract: Extract, verify: Verify
) -> None:
    messages = extract("users")
    before = len(drift.requests)
    assert verify(messages).exit_code == 0
    assert drift.requests[before:] == ["/users/list"]


@pytest.mark.parametrize("setting", ["statuses", "start_date"])
def test_filter_settings_apply_to_verification(
    setting: str, drift: FakeDrift, config: dict[str, Any], extract: Extract, verify: Verify
) -> None:
    start_date = from_epoch_ms(drift.account.conversations[20]["updatedAt"])
    config[setting] = {"statuses": ["open"], "start_date": start_date}[setting]
    messages = extract()
    updated = next(each["id"] for each in drift.account.conversations if each["status"] == "open")
    drift.update_conversation(updated, now_ms(), status="closed")
    result = verify(messages)
    assert result.exit_code == 0, result.report
    assert 0 < result.table["conversations"]["extracted"] < 40
    assert result.differences("conversations") == {"changed": 1}


def test_count_mismatch_is_incomplete(drift: FakeDrift, extract: Extract, verify: Verify) -> None:
    messages = extract("conversations")
    drift.RequestHandlerClass = MiscountingHandler
    result = verify(messages)
    assert result.exit_code == 1
    assert "lists different numbers of conversations: open." in result.report


def test_updates_in_the_meantime_explain_count_mismatch(
    drift: FakeDrift, extract: Extract, verify: Verify
) -> None:
    messages = extract("conversations")
    for conversation in drift.conversation_ids()[:2]:
        drift.update_conversation(conversation, now_ms())
    drift.RequestHandlerClass = MiscountingHandler
    assert verify(messages).exit_code == 0


def test_absent_stats_are_not_compared(drift: FakeDrift, extract: Extract, verify: Verify) -> None:
    messages = extract("conversations")
    drift.faults_by_path["/conversations/stats"] = answer(404)
    result = verify(messages)
    assert result.exit_code == 0
    assert "Drift counts" not in result.report


@pytest.mark.usefixtures("clock")
def test_invalid_stats_are_a_warning(
    drift: FakeDrift, extract: Extract, verify: Verify, caplog: pytest.LogCaptureFixture
) -> None:
    messages = extract("conversations")
    drift.faults_by_path["/conversations/stats"] = answer(body={"counts": {}})
    assert verify(messages).exit_code == 0
    assert "Could not read Drift's conversation counts" in caplog.text


def test_only_stream_refused_is_an_error(
    drift: FakeDrift, extract: Extract, verify: Verify, caplog: pytest.LogCaptureFixture
) -> None:
    messages = extract("users")
    drift.faults.append(answer(403))
    assert verify(messages).exit_code == 1
    assert "403 on /users/list" in caplog.text
    assert TOKEN not in caplog.text


def test_refused_stream_leaves_others_compared(
    drift: FakeDrift, extract: Extract, verify: Verify
) -> None:
    messages = extract("conversations", "messages", "contacts")
    drift.faults_by_path["/contacts/"] = answer(403)
    result = verify(messages)
    assert result.exit_code == 1
    assert "\ncontacts: could not be read from Drift\n" in result.report
    assert "\nNOT VERIFIED: streams that could not be read from Drift: contacts." in result.report
    assert result.differences("messages") == {}
