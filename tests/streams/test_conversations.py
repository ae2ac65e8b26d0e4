"""The stream `conversations`: its records, and what a second run emits."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from faults import page
from jsonschema import Draft202012Validator
from runs import catalog, catalog_entry, sync

from tap_drift.timestamps import from_epoch_ms, to_epoch_ms

if TYPE_CHECKING:
    from fake_drift import FakeDrift

DOCUMENTED = {
    "status": "open",
    "contactId": 17035536800,
    "createdAt": 1686303243241,
    "id": 3782727146,
    "inboxId": 62491,
    "updatedAt": 1686303381300,
}
LATER = 1_800_000_000_000


def test_a_documented_row_becomes_a_record_with_date_times(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(page(DOCUMENTED))
    times = {
        "createdAt": "2023-06-09T09:34:03.241+00:00",
        "updatedAt": "2023-06-09T09:36:21.300+00:00",
    }
    assert sync(config).records() == [DOCUMENTED | times]


def test_fields_that_drift_adds_pass_through_unharmed(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    added = {"mood": None, "tags": [{"Name": 1, "name": 2.5}], "seenAt": 1686303381300, "n": 2**63}
    drift.faults.extend([page(DOCUMENTED | added)] * 2)
    for chosen in (None, catalog("conversations")):
        [record] = sync(config, catalog=chosen).records()
        assert {name: record[name] for name in added} == added


def test_what_drift_leaves_out_is_left_out(drift: FakeDrift, config: dict[str, Any]) -> None:
    drift.faults.append(page({"id": 1, "updatedAt": 0, "inboxId": None}))
    epoch = "1970-01-01T00:00:00.000+00:00"
    assert sync(config).records() == [{"id": 1, "updatedAt": epoch, "inboxId": None}]


@pytest.mark.parametrize(
    ("row", "updated"),
    [
        ({"id": 1, "updatedAt": None, "createdAt": 86400000}, "1970-01-02T00:00:00.000+00:00"),
        ({"id": 1, "createdAt": 86400000}, "1970-01-02T00:00:00.000+00:00"),
        ({"id": 1}, "1970-01-01T00:00:00.000+00:00"),
    ],
)
def test_without_updated_at_a_conversation_stands_as_created_and_is_always_emitted(
    row: dict[str, Any], updated: str, drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(page(row))
    [record] = sync(config | {"start_date": "2020-01-01"}).records()
    assert record["updatedAt"] == updated


def test_every_record_fits_the_schema_and_formats_are_checked(config: dict[str, Any]) -> None:
    messages = sync(config)
    schema = messages.all[0]["schema"]
    checker = Draft202012Validator.FORMAT_CHECKER
    assert "date-time" in checker.checkers
    validator = Draft202012Validator(schema, format_checker=checker)
    assert [error.message for r in messages.records() for error in validator.iter_errors(r)] == []


def test_ids_are_unique_and_contact_ids_keep_every_digit(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    messages = sync(config)
    assert len(set(messages.record_ids())) == len(drift.conversation_ids()) == 250
    contacts = [row.get("contactId") for row in drift.account.conversations]
    assert [record.get("contactId") for record in messages.records()] == contacts
    assert any(contact and contact % 2 and contact > 2**53 for contact in contacts)


def test_the_final_state_is_the_head_of_the_listing(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    head = from_epoch_ms(drift.account.conversations[0]["updatedAt"])
    bookmark = {"replication_key": "updatedAt", "replication_key_value": head}
    assert sync(config).state() == {"bookmarks": {"conversations": bookmark}}


def test_the_bookmark_never_passes_the_start_of_the_run(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    before = to_epoch_ms(datetime.now(UTC))
    drift.update_conversation(drift.conversation_ids()[100], before + 3_600_000)
    bookmark = sync(config).state()["bookmarks"]["conversations"]["replication_key_value"]
    assert from_epoch_ms(before) <= bookmark < from_epoch_ms(before + 3_600_000)
    assert len(bookmark) == len(from_epoch_ms(before))


def test_a_second_run_emits_what_was_updated_at_or_after_the_bookmark(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    state = sync(config).state()
    head, reopened = drift.conversation_ids()[0], drift.conversation_ids()[-1]
    now = to_epoch_ms(datetime.now(UTC))
    drift.update_conversation(reopened, now - 1000, status="open")
    second = sync(config, state=state)
    assert second.record_ids() == [reopened, head]
    assert second.records()[0]["status"] == "open"
    assert sync(config, state=second.state()).record_ids() == [reopened]


@pytest.mark.parametrize("spelling", ["2023-06-09T09:36:21.300Z", "2023-06-09T11:36:21.300+02:00"])
def test_start_date_bounds_a_first_run(
    spelling: str, drift: FakeDrift, config: dict[str, Any]
) -> None:
    rows = [{"id": n, "updatedAt": 1686303381300 + n} for n in (1, 0, -1)]
    drift.faults.append(page(*rows))
    assert sync(config | {"start_date": spelling}).record_ids() == [1, 0]


def test_a_start_date_without_a_zone_is_utc(drift: FakeDrift, config: dict[str, Any]) -> None:
    midnight = 1_704_067_200_000
    drift.faults.append(
        page({"id": 1, "updatedAt": midnight}, {"id": 2, "updatedAt": midnight - 1})
    )
    assert sync(config | {"start_date": "2024-01-01"}).record_ids() == [1]


def test_the_bookmark_wins_over_a_later_start_date(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    state = sync(config).state()
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert (
        sync(config | {"start_date": tomorrow.isoformat()}, state).record_ids()
        == drift.conversation_ids()[:1]
    )


def test_a_catalog_that_forces_full_table_gets_everything(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    chosen = catalog("conversations")
    catalog_entry(chosen)["replication_method"] = "FULL_TABLE"
    state = sync(config).state()
    again = sync(config | {"start_date": "2099-01-01"}, json.loads(json.dumps(state)), chosen)
    assert again.record_ids() == drift.conversation_ids()
    assert again.state() == state


def test_a_status_filter_holds_on_every_page(drift: FakeDrift, config: dict[str, Any]) -> None:
    closed = [c["id"] for c in drift.account.conversations if c["status"] == "closed"]
    assert sync(config | {"statuses": ["closed"], "page_size": 20}).record_ids() == closed


def test_a_catalog_may_choose_other_keys_and_no_replication_key(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    chosen = catalog("conversations")
    catalog_entry(chosen).update(key_properties=["status", "id"], replication_key=None)
    catalog_entry(chosen)["metadata"][-1]["metadata"].pop("replication-key")
    messages = sync(config, catalog=chosen)
    assert messages.all[0]["key_properties"] == ["status", "id"]
    assert sync(config, messages.state(), chosen).record_ids() == drift.conversation_ids()


def test_an_empty_account_is_no_error(drift: FakeDrift, config: dict[str, Any]) -> None:
    drift.account.conversations.clear()
    messages = sync(config)
    assert messages.records() == []
    assert messages.all[0]["type"] == "SCHEMA"


def test_fields_can_be_deselected(config: dict[str, Any]) -> None:
    chosen = catalog("conversations")
    for each in catalog_entry(chosen)["metadata"]:
        each["metadata"]["selected"] = "status" not in each["breadcrumb"]
    assert all("status" not in record for record in sync(config, catalog=chosen).records())
    assert len(sync(config, catalog=chosen).records()) == 250


def test_records_are_the_same_whether_the_sdk_or_the_tap_writes_them(
    config: dict[str, Any],
) -> None:
    """A map that changes nothing takes the SDK's way, record by record."""
    through_the_sdk = sync(config | {"stream_maps": {"conversations": {"status": "status"}}})
    assert through_the_sdk.records() == sync(config).records()
    for message in (through_the_sdk.all[5], sync(config).all[5]):
        assert set(message) == {"type", "stream", "record", "time_extracted"}


def test_a_flattened_schema_is_followed(drift: FakeDrift, config: dict[str, Any]) -> None:
    flat = config | {"flattening_enabled": True, "flattening_max_depth": 1}
    assert sync(flat).record_ids() == drift.conversation_ids()


def test_a_full_table_has_a_version_if_asked_to(config: dict[str, Any]) -> None:
    chosen = catalog("conversations")
    catalog_entry(chosen)["replication_method"] = "FULL_TABLE"
    messages = sync(config | {"emit_activate_version_messages": True}, catalog=chosen)
    versions = {
        m.get("version") for m in messages.all if m["type"] in {"RECORD", "ACTIVATE_VERSION"}
    }
    assert len(versions) == 1
    assert None not in versions


def test_the_sdks_own_settings_keep_working(config: dict[str, Any]) -> None:
    maps = {"conversations": {"status": "status.upper()", "__filter__": "status == 'open'"}}
    records = sync(config | {"stream_maps": maps}).records()
    assert records
    assert {record["status"] for record in records} == {"OPEN"}
