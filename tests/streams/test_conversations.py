"""The stream `conversations`: its records, its bookmark, and what a catalog can change."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import now_ms
from faults import page
from jsonschema import Draft202012Validator
from runs import catalog, catalog_entry, sync

from tap_drift.timestamps import from_epoch_ms

if TYPE_CHECKING:
    from fake_drift import FakeDrift

DOCUMENTED_ROW = {
    "status": "open",
    "contactId": 17035536800,
    "createdAt": 1686303243241,
    "id": 3782727146,
    "inboxId": 62491,
    "updatedAt": 1686303381300,
}


# Records


def test_documented_row_becomes_record_with_date_times(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(page(DOCUMENTED_ROW))
    times = {
        "createdAt": "2023-06-09T09:34:03.241+00:00",
        "updatedAt": "2023-06-09T09:36:21.300+00:00",
    }
    assert sync(config).records() == [DOCUMENTED_ROW | times]


def test_undocumented_fields_pass_unchanged(drift: FakeDrift, config: dict[str, Any]) -> None:
    added = {"mood": None, "tags": [{"Name": 1, "name": 2.5}], "seenAt": 1686303381300, "n": 2**63}
    drift.faults.extend([page(DOCUMENTED_ROW | added)] * 2)
    for selected in (None, catalog("conversations")):
        [record] = sync(config, catalog=selected).records()
        assert {name: record[name] for name in added} == added


def test_absent_declared_fields_become_null(drift: FakeDrift, config: dict[str, Any]) -> None:
    drift.faults.append(page({"id": 1, "updatedAt": 0}))
    nulls = dict.fromkeys(DOCUMENTED_ROW)
    epoch = "1970-01-01T00:00:00.000+00:00"
    assert sync(config).records() == [nulls | {"id": 1, "updatedAt": epoch}]


@pytest.mark.parametrize(
    ("row", "updated_at"),
    [
        ({"id": 1, "updatedAt": None, "createdAt": 86400000}, "1970-01-02T00:00:00.000+00:00"),
        ({"id": 1, "createdAt": 86400000}, "1970-01-02T00:00:00.000+00:00"),
        ({"id": 1}, "1970-01-01T00:00:00.000+00:00"),
    ],
)
def test_created_at_replaces_missing_updated_at(
    row: dict[str, Any], updated_at: str, drift: FakeDrift, config: dict[str, Any]
) -> None:
    """A `start_date` does not exclude such a row."""
    drift.faults.append(page(row))
    [record] = sync(config | {"start_date": "2020-01-01"}).records()
    assert record["updatedAt"] == updated_at


def test_records_fit_the_schema_and_its_formats(config: dict[str, Any]) -> None:
    messages = sync(config)
    checker = Draft202012Validator.FORMAT_CHECKER
    assert "date-time" in checker.checkers
    validator = Draft202012Validator(messages.all[0]["schema"], format_checker=checker)
    assert [error.message for r in messages.records() for error in validator.iter_errors(r)] == []


def test_ids_are_unique_and_keep_all_digits(drift: FakeDrift, config: dict[str, Any]) -> None:
    messages = sync(config)
    assert len(set(messages.record_ids())) == len(drift.conversation_ids()) == 250
    contacts = [row.get("contactId") for row in drift.account.conversations]
    assert [record.get("contactId") for record in messages.records()] == contacts
    assert any(contact and contact % 2 and contact > 2**53 for contact in contacts)


def test_empty_account_emits_only_the_schema(drift: FakeDrift, config: dict[str, Any]) -> None:
    drift.account.conversations.clear()
    messages = sync(config)
    assert messages.records() == []
    assert messages.all[0]["type"] == "SCHEMA"


# Bookmark and filters


def test_bookmark_is_the_head_of_the_listing(drift: FakeDrift, config: dict[str, Any]) -> None:
    head = from_epoch_ms(drift.account.conversations[0]["updatedAt"])
    bookmark = {
        "replication_key": "updatedAt",
        "replication_key_value": head,
        "covered": [{"statuses": [], "since": None, "until": head}],
    }
    assert sync(config).state() == {"bookmarks": {"conversations": bookmark}}


def test_bookmark_never_passes_the_start_of_the_run(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    before, hour = now_ms(), 3_600_000
    drift.update_conversation(drift.conversation_ids()[100], before + hour)
    bookmark = sync(config).bookmarks()["conversations"]
    assert from_epoch_ms(before) <= bookmark < from_epoch_ms(before + hour)
    assert len(bookmark) == len(from_epoch_ms(before))


def test_second_run_emits_rows_from_the_bookmark_on(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    state = sync(config).state()
    head, reopened = drift.conversation_ids()[0], drift.conversation_ids()[-1]
    drift.update_conversation(reopened, now_ms() - 1000, status="open")
    second = sync(config, state)
    assert second.record_ids() == [reopened, head]
    assert second.records()[0]["status"] == "open"
    assert sync(config, second.state()).record_ids() == [reopened]


@pytest.mark.parametrize(
    ("start_date", "epoch_ms"),
    [
        ("2023-06-09T09:36:21.300Z", 1_686_303_381_300),
        ("2023-06-09T11:36:21.300+02:00", 1_686_303_381_300),
        ("2024-01-01", 1_704_067_200_000),  # without a zone: UTC
    ],
)
def test_start_date_bounds_the_first_run(
    start_date: str, epoch_ms: int, drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(page(*({"id": n, "updatedAt": epoch_ms + n} for n in (1, 0, -1))))
    assert sync(config | {"start_date": start_date}).record_ids() == [1, 0]


def test_bookmark_overrides_a_later_start_date(drift: FakeDrift, config: dict[str, Any]) -> None:
    state = sync(config).state()
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    second = sync(config | {"start_date": tomorrow.isoformat()}, state)
    assert second.record_ids() == drift.conversation_ids()[:1]


def test_status_filter_applies_to_every_page(drift: FakeDrift, config: dict[str, Any]) -> None:
    closed = [c["id"] for c in drift.account.conversations if c["status"] == "closed"]
    messages = sync(config | {"statuses": ["closed"], "page_size": 20})
    assert messages.record_ids() == closed


# Catalog


def test_full_table_emits_all_and_keeps_the_state(drift: FakeDrift, config: dict[str, Any]) -> None:
    selected = catalog("conversations")
    catalog_entry(selected)["replication_method"] = "FULL_TABLE"
    state = sync(config).state()
    again = sync(config | {"start_date": "2099-01-01"}, json.loads(json.dumps(state)), selected)
    assert again.record_ids() == drift.conversation_ids()
    assert again.state() == state


def test_full_table_has_a_version_if_configured(config: dict[str, Any]) -> None:
    selected = catalog("conversations")
    catalog_entry(selected)["replication_method"] = "FULL_TABLE"
    messages = sync(config | {"emit_activate_version_messages": True}, catalog=selected)
    versions = {
        m.get("version") for m in messages.all if m["type"] in {"RECORD", "ACTIVATE_VERSION"}
    }
    assert len(versions) == 1
    assert None not in versions


def test_catalog_can_change_keys_and_drop_replication_key(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    selected = catalog("conversations")
    entry = catalog_entry(selected)
    entry.update(key_properties=["status", "id"], replication_key=None)
    entry["metadata"][-1]["metadata"].pop("replication-key")
    messages = sync(config, catalog=selected)
    assert messages.all[0]["key_properties"] == ["status", "id"]
    again = sync(config, messages.state(), selected)
    assert again.record_ids() == drift.conversation_ids()


def test_deselected_field_is_not_emitted(config: dict[str, Any]) -> None:
    selected = catalog("conversations")
    for each in catalog_entry(selected)["metadata"]:
        each["metadata"]["selected"] = "status" not in each["breadcrumb"]
    records = sync(config, catalog=selected).records()
    assert len(records) == 250
    assert all("status" not in record for record in records)


# The SDK's settings


def test_stream_map_changes_and_filters_records(config: dict[str, Any]) -> None:
    maps = {"conversations": {"status": "status.upper()", "__filter__": "status == 'open'"}}
    records = sync(config | {"stream_maps": maps}).records()
    assert records
    assert {record["status"] for record in records} == {"OPEN"}


def test_stream_map_without_effect_changes_no_message(config: dict[str, Any]) -> None:
    """With a stream map, the SDK writes the records instead of the tap."""
    mapped = sync(config | {"stream_maps": {"conversations": {"status": "status"}}})
    direct = sync(config)
    assert mapped.records() == direct.records()
    for messages in (mapped, direct):
        assert set(messages.all[5]) == {"type", "stream", "record", "time_extracted"}


@pytest.mark.parametrize("value", ["__NULL__", "md5(body) if body else None"])
def test_stream_map_of_an_unselected_stream_has_no_effect(
    value: str, drift: FakeDrift, config: dict[str, Any]
) -> None:
    maps = {"messages": {"body": value}}
    assert sync(config | {"stream_maps": maps}).record_ids() == drift.conversation_ids()


def test_flattening_emits_all_records(drift: FakeDrift, config: dict[str, Any]) -> None:
    flat = config | {"flattening_enabled": True, "flattening_max_depth": 1}
    assert sync(flat).record_ids() == drift.conversation_ids()
