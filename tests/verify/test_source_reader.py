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
    from faults import Fault
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
    drift: FakeDrift, extracted: Extract, verify: Verify
) -> None:
    messages = extracted("conversations")
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
    drift: FakeDrift, extracted: Extract, verify: Verify
) -> None:
    messages = extracted("users")
    before = len(drift.requests)
    assert verify(messages).exit_code == 0
    assert drift.requests[before:] == ["/users/list"]


@pytest.mark.parametrize("setting", ["statuses", "start_date"])
def test_filter_settings_apply_to_verification(
    setting: str, drift: FakeDrift, config: dict[str, Any], extract: Extract, verify: Verify
) -> None:
    start_date = from_epoch_ms(drift.account.conversations[10]["updatedAt"])
    config[setting] = {"statuses": ["open"], "start_date": start_date}[setting]
    messages = extract()
    updated = next(each["id"] for each in drift.account.conversations if each["status"] == "open")
    drift.update_conversation(updated, now_ms(), status="closed")
    result = verify(messages)
    assert result.exit_code == 0, result.report
    assert 0 < result.table["conversations"]["extracted"] < 20
    assert result.differences("conversations") == {"changed": 1}


def test_count_mismatch_is_incomplete(drift: FakeDrift, extracted: Extract, verify: Verify) -> None:
    messages = extracted("conversations")
    drift.RequestHandlerClass = MiscountingHandler
    result = verify(messages)
    assert result.exit_code == 1
    assert "lists different numbers of conversations: open." in result.report


def test_updates_in_the_meantime_explain_count_mismatch(
    drift: FakeDrift, extracted: Extract, verify: Verify
) -> None:
    messages = extracted("conversations")
    for conversation in drift.conversation_ids()[:2]:
        drift.update_conversation(conversation, now_ms())
    drift.RequestHandlerClass = MiscountingHandler
    assert verify(messages).exit_code == 0


def test_absent_stats_are_not_compared(
    drift: FakeDrift, extracted: Extract, verify: Verify
) -> None:
    messages = extracted("conversations")
    drift.faults_by_path["/conversations/stats"] = answer(404)
    result = verify(messages)
    assert result.exit_code == 0
    assert "Drift counts" not in result.report


@pytest.mark.usefixtures("clock")
def test_invalid_stats_are_a_warning(
    drift: FakeDrift, extracted: Extract, verify: Verify, caplog: pytest.LogCaptureFixture
) -> None:
    messages = extracted("conversations")
    drift.faults_by_path["/conversations/stats"] = answer(body={"counts": {}})
    assert verify(messages).exit_code == 0
    assert "Could not read Drift's conversation counts" in caplog.text


def test_only_stream_refused_is_an_error(
    drift: FakeDrift, extracted: Extract, verify: Verify, caplog: pytest.LogCaptureFixture
) -> None:
    messages = extracted("users")
    drift.faults.append(answer(403))
    assert verify(messages).exit_code == 1
    assert "403 on /users/list" in caplog.text
    assert TOKEN not in caplog.text


def test_refused_stream_leaves_others_compared(
    drift: FakeDrift, extracted: Extract, verify: Verify
) -> None:
    messages = extracted("conversations", "messages", "contacts")
    drift.faults_by_path["/contacts/"] = answer(403)
    result = verify(messages)
    assert result.exit_code == 1
    assert "\ncontacts: could not be read from Drift\n" in result.report
    assert "\nNOT VERIFIED: streams that could not be read from Drift: contacts." in result.report
    assert result.differences("messages") == {}


# Items that fail


@pytest.fixture
def bad(drift: FakeDrift, config: dict[str, Any]) -> int:
    """The id of a conversation with messages that Drift refuses; the extraction may lack it."""
    config["max_failed_items"] = 1
    account = drift.account
    bad = [each["id"] for each in account.conversations if account.messages(each)][5]
    drift.faults_by_path[f"/conversations/{bad}/messages"] = answer(400)
    return int(bad)


@pytest.mark.usefixtures("bad")
def test_item_that_drift_refuses_again_is_not_verified(extract: Extract, verify: Verify) -> None:
    result = verify(extract("conversations", "messages"))
    assert result.exit_code == 1
    assert "\nmessages: 1 item could not be read from Drift\n" in result.report
    assert "\nNOT VERIFIED: items that could not be read from Drift: 1." in result.report
    assert result.differences("messages") == {}


def test_extracted_item_that_drift_refuses_later_is_not_verified(
    drift: FakeDrift, extracted: Extract, verify: Verify
) -> None:
    messages = extracted("conversations", "messages")
    account = drift.account
    bad = next(each["id"] for each in account.conversations if account.messages(each))
    drift.faults_by_path[f"/conversations/{bad}/messages"] = answer(401)
    result = verify(messages)
    assert result.exit_code == 1
    assert "\nNOT VERIFIED: items that could not be read from Drift: 1." in result.report


def test_failed_item_that_drift_returns_later_is_missing(
    drift: FakeDrift, extract: Extract, verify: Verify, bad: int
) -> None:
    messages = extract("conversations", "messages", "failed_items")
    drift.faults_by_path.clear()
    result = verify(messages)
    assert result.exit_code == 1
    assert "\nINCOMPLETE: missing, stale or different records: " in result.report
    lacking = [m["id"] for m in drift.source_rows("messages") if m["conversationId"] == bad]
    assert sorted(result.record_ids("missing")) == [("messages", each) for each in sorted(lacking)]
    assert "failed_items" not in result.table


def test_extraction_is_complete_with_the_next_run(
    drift: FakeDrift, extract: Extract, verify: Verify, bad: int
) -> None:
    first = extract("conversations", "messages", "failed_items")
    assert bad in [each["record"]["id"] for each in first if each["type"] == "RECORD"]
    drift.faults_by_path.clear()
    state = next(each["value"] for each in reversed(first) if each["type"] == "STATE")
    second = extract("conversations", "messages", "failed_items", state=state)
    result = verify(first + second)
    assert result.exit_code == 0, result.report


@pytest.mark.parametrize("fault", [answer(400), answer(401), answer(500), answer(200, "<html>")])
@pytest.mark.usefixtures("clock")
def test_unlisted_item_that_drift_refuses_is_not_verified(
    fault: Fault, drift: FakeDrift, config: dict[str, Any], extracted: Extract, verify: Verify
) -> None:
    messages = extracted("conversations", "transcripts")
    config["statuses"] = ["open"]
    closed = next(each["id"] for each in drift.account.conversations if each["status"] == "closed")
    drift.faults_by_path[f"/conversations/{closed}/transcript"] = fault
    result = verify(messages)
    assert result.exit_code == 1
    assert "\ntranscripts: 1 item could not be read from Drift\n" in result.report
    assert "\nNOT VERIFIED: items that could not be read from Drift: 1." in result.report


def test_refused_contact_that_is_not_compared_is_no_error(
    drift: FakeDrift, extract: Extract, verify: Verify
) -> None:
    drift.add_message(drift.conversation_ids()[0], now_ms())
    messages = drift.account.added_messages[drift.conversation_ids()[0]]
    messages[-1]["author"] = {"type": "contact", "id": 6}
    extracted = extract("conversations", "messages") + extract("contacts")
    messages.clear()  # only the extraction names the contact
    drift.faults_by_path["/contacts/6"] = answer(401)
    result = verify(extracted)
    assert result.exit_code == 0, result.report
    assert result.record_ids("unknown") == [("contacts", 6)]


@pytest.mark.usefixtures("clock")
def test_outage_after_the_listing_ends_the_verification(
    drift: FakeDrift, extracted: Extract, verify: Verify, caplog: pytest.LogCaptureFixture
) -> None:
    messages = extracted("conversations", "transcripts")
    listing = drift.account.conversations
    unlisted = {each["id"] for each in listing[10:]}
    del listing[10:]

    def fail_from_first_unlisted(_request: int) -> None:
        if any(str(each) in drift.requests[-1] for each in unlisted):
            drift.faults_by_path["/"] = answer(500)

    drift.on_request = fail_from_first_unlisted
    requests_before = len(drift.requests)
    assert verify(messages).exit_code == 1
    assert "/conversations/list failed for " in caplog.text
    assert len(drift.requests) - requests_before < 60


def test_filter_of_a_stream_map_excludes_conversations(
    config: dict[str, Any], extract: Extract, verify: Verify
) -> None:
    """Drift's counts include the excluded conversations."""
    config["stream_maps"] = {"conversations": {"__filter__": "status == 'open'"}}
    result = verify(extract("conversations", "messages"))
    assert result.exit_code == 0, result.report
    assert result.table["conversations"]["missing"] == 0
