"""Comparison of an extraction with an account that changes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from faults import answer

from tap_drift.verify.store import Store

if TYPE_CHECKING:
    from fake_drift import FakeDrift
    from verify.conftest import Extract, Messages, Verify

STREAMS = list(Store().primary_keys)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def last_state(messages: Messages) -> dict[str, Any]:
    return next(each["value"] for each in reversed(messages) if each["type"] == "STATE")


def without_record(messages: Messages, record_id: int) -> Messages:
    return [each for each in messages if each.get("record", {}).get("id") != record_id]


def without_conversation(messages: Messages, conversation_id: int) -> Messages:
    return [
        each
        for each in without_record(messages, conversation_id)
        if each.get("record", {}).get("conversationId") != conversation_id
    ]


def test_full_extraction_is_complete(full_extraction: Messages, verify: Verify) -> None:
    result = verify(full_extraction)
    assert result.exit_code == 0
    assert "\nCOMPLETE: " in result.report
    assert len(result.table) == len(STREAMS)
    assert all(row["in Drift"] == row["extracted"] > 0 for row in result.table.values())
    assert result.table["conversations"]["extracted"] == 20


def test_removed_records_are_missing(full_extraction: Messages, verify: Verify) -> None:
    keys = {
        each["stream"]: each["key_properties"]
        for each in full_extraction
        if each["type"] == "SCHEMA"
    }
    records = [each for each in full_extraction if each["type"] == "RECORD"]
    removed = [next(each for each in records if each["stream"] == stream) for stream in STREAMS]
    result = verify([each for each in full_extraction if each not in removed])
    assert result.exit_code == 1
    assert f"\nINCOMPLETE: missing, stale or different records: {len(STREAMS)}." in result.report
    for each in removed:
        key = [each["record"][name] for name in keys[each["stream"]]]
        assert (each["stream"], key[0] if len(key) == 1 else key) in result.record_ids("missing")
    assert [row["missing"] for row in result.table.values()] == [1] * len(STREAMS)


def test_older_version_is_stale(extracted: Extract, verify: Verify) -> None:
    messages = extracted("conversations")
    record = next(each["record"] for each in messages if each["type"] == "RECORD")
    record["updatedAt"] = record["createdAt"]
    result = verify(messages)
    assert result.exit_code == 1
    assert result.differences("conversations") == {"stale": 1}
    assert result.record_ids("stale") == [("conversations", record["id"])]


def test_conversations_without_messages_are_complete(
    drift: FakeDrift, extracted: Extract, verify: Verify
) -> None:
    assert not all(map(drift.account.messages, drift.account.conversations))
    assert verify(extracted("messages")).exit_code == 0


def test_changes_after_extraction_are_not_missing(
    drift: FakeDrift, extract: Extract, verify: Verify
) -> None:
    messages = extract()
    listing = drift.account.conversations
    answered, closed, deleted = drift.conversation_ids()[10:13]
    drift.add_message(answered, now_ms())
    drift.update_conversation(closed, now_ms(), status="closed")
    listing[:] = [each for each in listing if each["id"] != deleted]
    new = {"id": 9_000_000_001, "status": "open", "createdAt": now_ms(), "updatedAt": now_ms()}
    listing.insert(0, new)
    contacts = [each["contactId"] for each in listing if each.get("contactId")]
    drift.account.deleted.add(next(each for each in contacts if contacts.count(each) == 1))
    result = verify(messages)
    assert result.exit_code == 0, result.report
    assert result.differences("conversations") == {"new": 1, "changed": 2, "deleted": 1}
    assert result.differences("messages")["new"] > 0
    assert result.differences("contacts")["deleted"] >= 1


def test_conversation_moved_during_extraction_is_new(
    drift: FakeDrift, full_extraction: Messages, verify: Verify
) -> None:
    moved = drift.conversation_ids()[-1]
    drift.update_conversation(moved, now_ms())
    result = verify(without_conversation(full_extraction, moved))
    assert result.exit_code == 0, result.report
    assert result.differences("conversations") == {"new": 1}


def test_conversation_moved_during_verification_is_changed(
    drift: FakeDrift, full_extraction: Messages, verify: Verify
) -> None:
    verification, last = len(drift.requests), drift.conversation_ids()[-1]

    def move_between_pages(request: int) -> None:
        requests = drift.requests[verification:request]
        pages = sum(path.startswith("/conversations/list") for path in requests)
        if pages == 2 and drift.conversation_ids()[-1] == last:
            drift.update_conversation(last, now_ms(), status="open")

    drift.on_request = move_between_pages
    result = verify(full_extraction)
    assert drift.conversation_ids()[-1] != last
    assert f"/conversations/{last}" in drift.requests[verification:]
    assert result.exit_code == 0, result.report
    assert result.differences("conversations") == {"changed": 1}
    assert result.differences("conversation_details") == {"changed": 1}
    assert result.differences("messages") == {}
    assert result.differences("transcripts") == {}


def test_old_message_of_updated_conversation_is_missing(
    drift: FakeDrift, extracted: Extract, verify: Verify
) -> None:
    messages = extracted("messages")
    account = drift.account
    updated = next(each for each in account.conversations if len(account.messages(each)) > 2)
    lost = account.messages(updated)[1]["id"]
    drift.add_message(updated["id"], now_ms())
    result = verify(without_record(messages, lost))
    assert result.differences("messages") == {"missing": 1, "new": 1}
    assert result.record_ids("missing") == [("messages", lost)]


def test_reference_to_absent_record_is_unknown(
    drift: FakeDrift, extract: Extract, verify: Verify
) -> None:
    conversation = drift.conversation_ids()[0]
    for author in {"type": "user", "id": 5, "bot": False}, {"type": "contact", "id": 6}:
        drift.add_message(conversation, now_ms())
        drift.account.added_messages[conversation][-1]["author"] = author
    result = verify(extract())
    assert result.exit_code == 0, result.report
    assert result.differences("users") == {"unknown": 1}
    assert {("users", 5), ("contacts", 6)} <= set(result.record_ids("unknown"))


def add_message_of_contact_6(drift: FakeDrift) -> list[dict[str, Any]]:
    """Add a message of a contact without a conversation; return the added messages."""
    conversation = drift.conversation_ids()[0]
    drift.add_message(conversation, now_ms() - 10**7)
    added = drift.account.added_messages[conversation]
    added[-1]["author"] = {"type": "contact", "id": 6}
    drift.faults_by_path["/contacts/6"] = answer(body={"data": {"id": 6, "createdAt": 1}})
    return added


def test_contact_of_a_message_is_compared(
    drift: FakeDrift, extract: Extract, verify: Verify
) -> None:
    add_message_of_contact_6(drift)
    result = verify(extract("conversations", "messages") + extract("contacts"))
    assert result.exit_code == 1
    assert result.record_ids("missing") == [("contacts", 6)]
    assert verify(extract("conversations", "messages", "contacts")).exit_code == 0


def test_contact_that_only_the_extraction_names_is_not_requested(
    drift: FakeDrift, extract: Extract, verify: Verify
) -> None:
    added = add_message_of_contact_6(drift)
    extracted = extract("conversations", "messages") + extract("contacts")
    added.clear()
    result = verify(extracted)
    assert result.table["contacts"]["not requested"] == 1
    assert result.record_ids("not requested") == [("contacts", 6)]


def test_consecutive_runs_are_complete_together(
    drift: FakeDrift, extract: Extract, full_extraction: Messages, verify: Verify
) -> None:
    drift.add_message(drift.conversation_ids()[10], now_ms())
    result = verify(full_extraction + extract(state=last_state(full_extraction)))
    assert result.exit_code == 0, result.report
    assert result.differences("messages") == {}


def test_resumed_run_alone_is_incomplete(extract: Extract, verify: Verify) -> None:
    state = last_state(extract("conversations"))
    result = verify(extract("conversations", state=state))
    assert result.exit_code == 1
    assert "resumed from the state of an earlier run" in result.report


def test_update_lost_by_second_run_is_stale(
    drift: FakeDrift, config: dict[str, Any], extract: Extract, verify: Verify
) -> None:
    config["lookback_seconds"] = 0
    first = extract("conversations")
    updated = drift.conversation_ids()[10]
    drift.update_conversation(updated, now_ms())
    second = extract("conversations", state=last_state(first))
    result = verify(first + without_record(second, updated))
    assert result.differences("conversations") == {"stale": 1}


def test_each_stream_is_compared_with_its_own_run(
    drift: FakeDrift, extracted: Extract, verify: Verify
) -> None:
    old = {"time_extracted": "2020-01-01T00:00:00+00:00"}
    conversations = [message | old for message in extracted("conversations")]
    lost = next(each["id"] for each in drift.account.conversations if drift.account.messages(each))
    result = verify(conversations + without_conversation(extracted("messages"), lost))
    assert result.exit_code == 1
    assert result.differences("messages").keys() == {"missing"}


def test_record_that_the_next_version_lacks_is_missing(
    config: dict[str, Any], extract: Extract, verify: Verify
) -> None:
    config["emit_activate_version_messages"] = True
    first, second = extract("users"), extract("users")
    for each in first:
        if "version" in each:
            each["version"] -= 1
    assert verify(first + second).exit_code == 0
    lost = next(each for each in second if each["type"] == "RECORD")
    second.remove(lost)  # targets delete it after ACTIVATE_VERSION
    result = verify(first + second)
    assert result.record_ids("missing") == [("users", lost["record"]["id"])]
    assert result.exit_code == 1
