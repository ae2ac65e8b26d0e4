"""Comparison of content: records whose key and `updatedAt` are right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import now_ms
from faults import answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_drift import FakeDrift
    from verify.conftest import Extract, Messages, Verify

Record = dict[str, Any]


def records(messages: Messages, stream: str) -> list[Record]:
    found = [each for each in messages if each["type"] == "RECORD"]
    return [each["record"] for each in found if each["stream"] == stream]


def overwrite_bodies(messages: Messages) -> None:
    for record in records(messages, "messages"):
        record["body"] = "overwritten"


def blank_transcripts(messages: Messages) -> None:
    for record in records(messages, "transcripts"):
        record["transcript"] = ""


def open_all(messages: Messages) -> None:
    for record in records(messages, "conversations"):
        record["status"] = "open"


@pytest.mark.parametrize(
    ("tamper", "stream", "field"),
    [
        (overwrite_bodies, "messages", "body"),
        (blank_transcripts, "transcripts", "transcript"),
        (open_all, "conversations", "status"),
    ],
)
def test_tampered_records_are_different(
    tamper: Callable[[Messages], None], stream: str, field: str, extracted: Extract, verify: Verify
) -> None:
    messages = extracted("conversations", stream)
    before = [record[field] for record in records(messages, stream)]
    tamper(messages)
    after = [record[field] for record in records(messages, stream)]
    expected = sum(old != new for old, new in zip(before, after, strict=True))
    result = verify(messages)
    assert result.exit_code == 1
    assert result.differences(stream) == {"different": expected}
    assert f"\n{stream}: different in {field} ({expected:,})\n" in result.report
    assert f"\nINCOMPLETE: missing, stale or different records: {expected:,}." in result.report


def test_different_record_is_listed_with_its_fields(extracted: Extract, verify: Verify) -> None:
    messages = extracted("conversations")
    record = records(messages, "conversations")[3]
    record |= {"status": "gone", "inboxId": 5}
    result = verify(messages)
    assert result.record_ids("different") == [("conversations", record["id"])]
    [finding] = [each for each in result.findings if "fields" in each]
    assert finding["fields"] == ["status", "inboxId"]


def test_other_spelling_of_a_value_is_not_different(extracted: Extract, verify: Verify) -> None:
    messages = extracted("conversations", "contacts")
    for record in records(messages, "conversations"):
        record["updatedAt"] = record["updatedAt"].replace("+00:00", "Z")
        record["createdAt"] = record["createdAt"].replace("+00:00", "000")
    for record in records(messages, "contacts"):
        record["attributes"] = dict(reversed(record["attributes"].items())) | {"absent": None}
    result = verify(messages)
    assert result.exit_code == 0, result.report


def test_field_beyond_the_schema_is_compared(
    drift: FakeDrift, extract: Extract, verify: Verify
) -> None:
    for conversation in drift.account.conversations:
        conversation["mood"] = "calm"
    messages = extract("conversations")
    records(messages, "conversations")[0]["mood"] = "angry"
    result = verify(messages)
    assert result.differences("conversations") == {"different": 1}
    assert "different in other fields (1)" in result.report


def test_deselected_field_is_named_not_different(extracted: Extract, verify: Verify) -> None:
    messages = extracted("messages")
    for each in messages:
        if each["type"] == "SCHEMA":
            del each["schema"]["properties"]["body"]
    for record in records(messages, "messages"):
        del record["body"]
    result = verify(messages)
    assert result.exit_code == 0, result.report
    assert "\nmessages: not in the data, so not compared: body (" in result.report


def test_content_of_conversation_updated_later_is_changed(
    drift: FakeDrift, extracted: Extract, verify: Verify
) -> None:
    messages = extracted("messages", "transcripts")
    updated = records(messages, "messages")[0]["conversationId"]
    drift.add_message(updated, now_ms())
    result = verify(messages)
    assert result.exit_code == 0, result.report
    assert result.differences("transcripts") == {"changed": 1}


def test_contact_with_a_later_time_is_changed(
    drift: FakeDrift, extracted: Extract, verify: Verify
) -> None:
    messages = extracted("contacts")
    contact, other = records(messages, "contacts")[:2]
    contact["attributes"]["last_active"] = now_ms() - 10**8
    other["attributes"] |= {"name": "overwritten"}
    row = {"id": contact["id"], "attributes": {"last_active": now_ms()}}
    drift.faults_by_path[f"/contacts/{contact['id']}"] = answer(body={"data": row})
    result = verify(messages)
    assert result.differences("contacts") == {"different": 1, "changed": 1}
    assert result.record_ids("different") == [("contacts", other["id"])]


def test_presence_of_users_is_not_compared(
    drift: FakeDrift, extracted: Extract, verify: Verify
) -> None:
    messages = extracted("users", "conversation_stats")
    for user in drift.account.users:
        user["availability"] = "ON_CALL"
    result = verify(messages)
    assert result.exit_code == 0, result.report
    assert "users: changes by itself, so not compared: availability" in result.report


def test_lost_statuses_are_a_mismatch_of_counts(extracted: Extract, verify: Verify) -> None:
    messages = extracted("conversations")
    open_all(messages)
    result = verify(messages)
    assert "\nDrift and the data have different numbers of conversations: " in result.report


@pytest.mark.parametrize("setting", ["flattening_enabled", "nested_as_json"])
def test_reshaped_objects_are_compared_with_drifts(
    setting: str, config: dict[str, Any], extract: Extract, verify: Verify
) -> None:
    config |= {setting: True}
    if setting == "flattening_enabled":
        config["flattening_max_depth"] = 2
    messages = extract("messages", "contacts")
    [first, *_] = records(messages, "messages")
    assert "author__id" in first or isinstance(first["author"], str)
    result = verify(messages)
    assert result.exit_code == 0, result.report
    first |= {"author__id": 6} if "author__id" in first else {"author": '{"id":6}'}
    result = verify(messages)
    assert "\nmessages: different in author (1)\n" in result.report
