"""Values that Drift does not document: other types, absent fields, ids that are no integers."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from faults import answer, page
from runs import CapturedMessages, catalog, sync, sync_failing

from tap_drift.sandbox.data.account import Account
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from fake_drift import FakeDrift

pytestmark = pytest.mark.slow

UPDATED_AT = 1686303381300
TRANSCRIPT = "Dec 16, 03:42:04 PM EST Ann: hello"


@pytest.fixture
def account() -> Account:
    return Account.from_seed(40, seed=7)


# Values of another type


def test_value_of_another_type_is_one_warning_and_emitted(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"id": n, "updatedAt": UPDATED_AT - n, "inboxId": "my words"} for n in (1, 2, 3)]
    drift.faults.extend([page(*rows[:2], next="?page_token=x"), page(rows[2])])
    records = sync(config).records()
    assert [record["inboxId"] for record in records] == ["my words"] * 3
    [warning] = [each for each in caplog.messages if "not of the type in its schema" in each]
    assert "`inboxId` of `conversations`" in warning
    assert "my words" not in caplog.text


def test_concurrent_requests_warn_once_per_field(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    message = {"id": 5, "createdAt": UPDATED_AT, "type": 7, "context": "page"}
    drift.faults_by_path["/messages"] = answer(200, {"data": {"messages": [message]}})
    records = sync(config, catalog=catalog("messages")).records("messages")
    assert len(records) == len(drift.conversation_ids())
    assert {(record["type"], record["context"]) for record in records} == {(7, "page")}
    warnings = [each for each in caplog.messages if "not of the type in its schema" in each]
    assert sorted(warning.split("`")[1] for warning in warnings) == ["context", "type"]


def test_documented_values_are_no_warning(
    config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    sync(config, catalog=catalog())
    assert "not of the type in its schema" not in caplog.text


# Absent fields


def test_every_record_has_every_declared_field(config: dict[str, Any]) -> None:
    selected = catalog()
    messages = sync(config, catalog=selected)
    for stream in selected["streams"]:
        declared = {*stream["schema"]["properties"]}
        records = messages.records(stream["tap_stream_id"])
        assert records or stream["tap_stream_id"] == "failed_items"
        assert [declared - {*record} for record in records if declared - {*record}] == []


def test_stream_map_can_use_a_field_that_drift_leaves_out(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(page({"id": 1, "updatedAt": 1, "contactId": 5}, {"id": 2, "updatedAt": 0}))
    maps = {"conversations": {"contactId": None, "contact": "md5(str(contactId))"}}
    records = sync(config | {"stream_maps": maps}).records()
    expected = [hashlib.md5(text).hexdigest() for text in (b"5", b"None")]  # noqa: S324 - no secret
    assert [record["contact"] for record in records] == expected


def test_deselected_field_is_not_added_as_null(drift: FakeDrift, config: dict[str, Any]) -> None:
    selected = catalog("conversations")
    entry = next(each for each in selected["streams"] if each["stream"] == "conversations")
    for each in entry["metadata"]:
        each["metadata"]["selected"] = "inboxId" not in each["breadcrumb"]
    drift.faults.append(page({"id": 1, "updatedAt": 1}))
    [record] = sync(config, catalog=selected).records()
    assert "inboxId" not in record
    assert record["contactId"] is None


# What goes into a path


@pytest.mark.parametrize("contact", ["..%2F..%2Fx", "5", {"id": 5}, [5], 5.5, True])
def test_contact_id_that_is_no_integer_is_not_requested(
    contact: Any, drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    known = drift.account.conversations[0]["contactId"]
    rows = [
        {"id": 1, "updatedAt": UPDATED_AT, "contactId": known},
        {"id": 2, "updatedAt": UPDATED_AT - 1, "contactId": contact},
    ]
    drift.faults.append(page(*rows))
    messages, error = sync_failing(config, catalog=catalog("conversations", "contacts"))
    assert messages.record_ids() == [1, 2]
    assert messages.record_ids("contacts") == [known]
    assert [path for path in drift.requests if "contacts" in path] == [f"/contacts/{known}"]
    assert "contacts: 1 item could not be read" in error
    assert "`contactId` of conversation 2 is not an integer" in caplog.text
    assert messages.bookmarks()["contacts"]


def test_conversation_without_contact_is_no_failure(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(page({"id": 1, "updatedAt": 1, "contactId": None}, {"id": 2}))
    messages = sync(config, catalog=catalog("conversations", "contacts"))
    assert messages.record_ids() == [1, 2]
    assert drift.count_requests("/contacts/") == 0


# Transcripts


def transcript_of_first_conversation(drift: FakeDrift, messages: CapturedMessages) -> str:
    first = drift.conversation_ids()[0]
    rows = messages.records("transcripts")
    return str(next(row["transcript"] for row in rows if row["conversationId"] == first))


@pytest.mark.parametrize("body", [TRANSCRIPT, {"data": TRANSCRIPT}], ids=["text", "JSON"])
def test_transcript_is_text_or_text_in_data(
    body: Any, drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults_by_path[f"/{drift.conversation_ids()[0]}/transcript"] = answer(200, body)
    messages = sync(config, catalog=catalog("transcripts"))
    assert transcript_of_first_conversation(drift, messages) == TRANSCRIPT


def test_transcript_that_looks_like_json_stays_text(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    text = '{"not": json'
    drift.faults_by_path[f"/{drift.conversation_ids()[0]}/transcript"] = answer(200, text)
    messages = sync(config, catalog=catalog("transcripts"))
    assert transcript_of_first_conversation(drift, messages) == text


@pytest.mark.parametrize(
    "body",
    [{"error": {"type": "x", "message": "no"}}, {"message": "no"}, {"data": {"text": "a"}}],
)
@pytest.mark.usefixtures("clock")
def test_json_without_text_is_no_transcript(
    body: Any, drift: FakeDrift, config: dict[str, Any]
) -> None:
    first = drift.conversation_ids()[0]
    drift.faults_by_path[f"/{first}/transcript"] = answer(200, body)
    messages, error = sync_failing(config, catalog=catalog("transcripts"))
    assert "transcripts: 1 item could not be read" in error
    [item] = messages.state()["bookmarks"]["transcripts"]["failed_items"].items()
    assert item[0] == str(first)
    assert "JSON without a transcript in `data`" in item[1]["reason"]
    assert len(messages.records("transcripts")) == len(drift.conversation_ids()) - 1


# Errors beside rows


@pytest.mark.parametrize(
    ("stream", "body"),
    [
        ("conversations", {"data": [{"id": 1, "updatedAt": 1}]}),
        ("users", {"data": [{"id": 1}]}),
        ("accounts", {"data": {"accounts": [{"accountId": "a"}]}}),
        ("conversation_stats", {"conversationCount": {"OPEN": 1}}),
    ],
)
def test_errors_beside_rows_are_a_warning(
    stream: str,
    body: dict[str, Any],
    drift: FakeDrift,
    config: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    [path] = [each.path for each in TapDrift(config=config).drift_streams if each.name == stream]
    errors = {"errors": [{"type": "partial", "message": "one shard is down"}]}
    drift.faults_by_path[path] = answer(200, body | errors)
    assert len(sync(config, catalog=catalog(stream)).records(stream)) == 1
    [record] = [each for each in caplog.records if "reports an error" in each.getMessage()]
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        f"Drift reports an error beside the rows of {path}: partial: one shard is down"
    )


def test_errors_beside_messages_warn_once(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    body = {"data": {"messages": []}, "errors": ["odd"]}
    drift.faults_by_path["/messages"] = answer(200, body)
    sync(config, catalog=catalog("messages"))
    assert caplog.text.count("Drift reports an error beside the rows") == 1
