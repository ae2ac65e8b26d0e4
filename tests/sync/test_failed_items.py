"""Failed items in the Singer state of a stream."""

from __future__ import annotations

from typing import Any

import pytest

from tap_drift.sync.checkpoints import state_error
from tap_drift.sync.failed_items import FailedItems
from tap_drift.sync.shards import Shard

TIME = "2026-11-25T10:00:00.000+00:00"
ENTRY = {"reason": "400 on /x", "status": 400, "since": TIME, "last": TIME}


def test_items_are_kept_in_the_state() -> None:
    state: dict[str, Any] = {}
    FailedItems(state).add(7, "500 on /x", 500)
    [item] = FailedItems(state)
    assert (item.id, item.reason, item.status) == (7, "500 on /x", 500)
    assert item.first_failed_at == item.last_failed_at
    assert state == {
        "failed_items": {
            "7": {
                "reason": "500 on /x",
                "status": 500,
                "since": item.first_failed_at,
                "last": item.last_failed_at,
            }
        }
    }


def test_later_failure_keeps_the_time_of_the_first() -> None:
    state: dict[str, Any] = {"failed_items": {"7": ENTRY}}
    FailedItems(state).add(7, "no answer", None)
    [item] = FailedItems(state)
    assert (item.reason, item.status, item.first_failed_at) == ("no answer", None, TIME)
    assert item.last_failed_at > TIME


def test_ids_keep_all_digits() -> None:
    state: dict[str, Any] = {}
    for item_id in (2**63 - 1, -(2**63)):
        FailedItems(state).add(item_id, "", None)
        assert item_id in FailedItems(state)
    assert [item.id for item in FailedItems(state)] == [2**63 - 1, -(2**63)]
    assert len(FailedItems(state)) == 2


def test_resolved_item_is_returned_and_removed() -> None:
    state: dict[str, Any] = {"failed_items": {"7": ENTRY, "8": ENTRY}}
    resolved = FailedItems(state).resolve(7)
    assert resolved
    assert resolved.id == 7
    assert [item.id for item in FailedItems(state)] == [8]
    assert FailedItems(state).resolve(7) is None


def test_state_without_failed_items_has_no_key() -> None:
    state: dict[str, Any] = {"failed_items": {"7": ENTRY}}
    FailedItems(state).resolve(7)
    assert state == {}
    assert list(FailedItems(state)) == []


# The state that a run is given


@pytest.mark.parametrize(
    "failed_items",
    [
        {},
        {"7": ENTRY},
        {"-7": ENTRY | {"status": None}},
        {"7": ENTRY | {"a later version's": 1}},
    ],
)
def test_valid_failed_items_are_accepted(failed_items: Any) -> None:
    assert state_error("messages", {"failed_items": failed_items}, Shard()) is None


@pytest.mark.parametrize(
    "failed_items",
    [
        None,
        [],
        ["7"],
        {"seven": ENTRY},
        {"7": None},
        {"7": "400"},
        {"7": {"reason": "400 on /x"}},
        {"7": ENTRY | {"reason": None}},
        {"7": ENTRY | {"status": "400"}},
        {"7": ENTRY | {"since": "yesterday"}},
        {"7": ENTRY | {"last": 5}},
    ],
)
def test_invalid_failed_items_are_named(failed_items: Any) -> None:
    error = state_error("messages", {"failed_items": failed_items}, Shard())
    assert error == (
        "The state's `failed_items` of `messages` has another form: pass the state as an earlier "
        "run wrote it, or no state to read everything."
    )
