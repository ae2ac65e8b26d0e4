"""Shards: together they emit the whole account, and each row is in one of them."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from fake_target import FakeTarget
from faults import answer, page
from runs import CapturedMessages, catalog, sync
from singer_sdk.exceptions import ConfigValidationError

from tap_drift.sandbox.data.account import Account
from tap_drift.sync.shards import Shard

if TYPE_CHECKING:
    from pathlib import Path

    from fake_drift import FakeDrift
    from runs import InvokeTap

pytestmark = pytest.mark.slow

STREAMS = ("conversations", "conversation_details", "messages", "transcripts", "contacts")
STEPS = {
    "consecutive": 1,
    "even": 2,
    "thousands": 1000,
    "clock above a counter": 1 << 22,
}


@pytest.fixture
def account() -> Account:
    return Account.from_seed(60, seed=7)


@pytest.fixture
def config(config: dict[str, Any]) -> dict[str, Any]:
    return config | {"page_size": 20}


# Assignment of ids


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
@pytest.mark.parametrize("count", [2, 3, 4, 16, 32])
def test_every_id_is_in_one_shard_of_about_equal_size(step: int, count: int) -> None:
    shards = [Shard(index, count) for index in range(count)]
    ids = range(312_005_104, 312_005_104 + 10_000 * step, step)
    sizes = Counter[Shard]()
    for number in ids:
        [shard] = [shard for shard in shards if shard.contains(number)]
        sizes[shard] += 1
    average = len(ids) / count
    assert all(0.8 * average < sizes[shard] < 1.2 * average for shard in shards)


def test_assignment_of_ids_is_stable() -> None:
    """After a change, states would claim conversations that another shard has read."""
    ids = [number for number in range(40) if Shard(1, 4).contains(number)]
    assert ids == [0, 2, 9, 10, 12, 19, 25, 27, 31, 33, 38]


def test_default_shard_holds_every_id() -> None:
    assert all(Shard().contains(number) for number in range(100))


# Runs


@pytest.mark.parametrize("count", [1, 2, 4])
def test_shards_together_emit_every_row_once(
    drift: FakeDrift, config: dict[str, Any], count: int
) -> None:
    shards = [
        sync(config | {"shard_count": count, "shard_index": index}, catalog=catalog(*STREAMS))
        for index in range(count)
    ]
    for name in STREAMS:
        key = "conversationId" if name == "transcripts" else "id"
        keys = [record[key] for shard in shards for record in shard.records(name)]
        assert len(keys) == len(set(keys))
    target = FakeTarget()
    for shard in shards:
        target.load(shard.all)
    assert target.missing(drift, *STREAMS) == set()


def test_shard_requests_only_its_own_conversations(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    settings = config | {"shard_count": 4, "shard_index": 1}
    messages = sync(settings, catalog=catalog("conversations", "messages"))
    own = [number for number in drift.conversation_ids() if Shard(1, 4).contains(number)]
    assert messages.record_ids() == own
    requested = [path.split("/")[2] for path in drift.requests if "/messages" in path]
    assert {int(number) for number in requested} == set(own)
    assert drift.count_requests("/conversations/list") == 3  # every shard reads the whole listing


def test_shard_requests_each_of_its_contacts_once(drift: FakeDrift, config: dict[str, Any]) -> None:
    """Its own contacts, also those whose conversations are all in other shards."""
    messages = sync(config | {"shard_count": 4, "shard_index": 1}, catalog=catalog("contacts"))
    own = [row["id"] for row in drift.source_rows("contacts") if Shard(1, 4).contains(row["id"])]
    assert messages.record_ids("contacts") == own
    named = {row["contactId"] for row in drift.account.conversations if row.get("contactId")}
    requested = [int(path.split("/")[2]) for path in drift.requests if "/contacts/" in path]
    assert sorted(requested) == sorted(each for each in named if Shard(1, 4).contains(each))
    assert {each["type"] for each in messages.all} == {"SCHEMA", "RECORD", "STATE"}
    assert not messages.records("conversations")


def test_shard_logs_the_number_of_its_own_conversations(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    selected = catalog("conversations", "contacts")
    sync(config | {"shard_count": 2, "shard_index": 0}, catalog=selected)
    own = [number for number in drift.conversation_ids() if Shard(0, 2).contains(number)]
    assert f"{len(own)} conversations, " in caplog.text


def test_contact_without_a_valid_id_fails_in_one_shard(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    drift.faults_by_path["list?"] = page({"id": 7, "updatedAt": 1, "contactId": "seven"})
    for index in range(3):
        settings = {"shard_count": 3, "shard_index": index, "max_failed_items": 1}
        sync(config | settings, catalog=catalog("contacts"))
    assert caplog.text.count("`contactId` of conversation 7 is not an integer") == 1


def test_first_shard_reads_streams_without_conversations(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    def run(index: int) -> CapturedMessages:
        settings = {"shard_count": 2, "shard_index": index, "emit_activate_version_messages": True}
        return sync(config | settings, catalog=catalog("users", "meetings"))

    first, second = run(0), run(1)
    assert len(first.records("users")) == len(drift.account.users)
    assert {message["type"] for message in second.all} == {"SCHEMA", "STATE"}
    assert drift.count_requests("/users/list") == 1


def test_interrupted_shards_resume_from_their_own_states(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    """Conversations change between the runs; every second run of a shard loses 9 messages."""
    selected = catalog("conversations", "messages", "contacts")
    shards = [config | {"shard_count": 3, "shard_index": index} for index in range(3)]
    targets = [FakeTarget() for _ in shards]
    for turn in range(4):
        for index, settings in enumerate(shards):
            messages = sync(settings, targets[index].state, selected).all
            targets[index].load(messages[: -9 * (turn % 2) or None])
            drift.add_message(
                drift.conversation_ids()[-1 - 7 * turn - index],
                1_780_000_000_000 + 1000 * turn + index,
            )
    everything = FakeTarget()
    for target, settings in zip(targets, shards, strict=True):
        target.load(sync(settings, target.state, selected).all)
        for name, rows in target.tables.items():
            everything.tables[name] |= rows
    assert everything.missing(drift, "conversations", "messages", "contacts") == set()


def test_next_run_reads_contacts_of_conversations_of_all_shards(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    shards = [config | {"shard_count": 3, "shard_index": index} for index in range(3)]
    states = [sync(settings, catalog=catalog("contacts")).state() for settings in shards]
    updated = [row for row in drift.account.conversations if row.get("contactId")][-9:]
    for turn, row in enumerate(updated):
        drift.update_conversation(row["id"], 1_780_000_000_000 + turn)
    drift.requests.clear()
    for settings, state in zip(shards, states, strict=True):
        sync(settings, state, catalog("contacts"))
    requested = [int(path.split("/")[2]) for path in drift.requests if "/contacts/" in path]
    assert len(requested) == len(set(requested))
    assert {row["contactId"] for row in updated} <= set(requested)


def test_failed_contact_is_requested_again_by_its_shard(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    contact = drift.source_rows("contacts")[-1]["id"]
    drift.faults_by_path[f"/contacts/{contact}"] = answer(400)
    shards = [config | {"shard_count": 3, "shard_index": index} for index in range(3)]
    shards = [settings | {"max_failed_items": 1} for settings in shards]
    states = [sync(settings, catalog=catalog("contacts")).state() for settings in shards]
    failed = [state["bookmarks"]["contacts"].get("failed_items", {}) for state in states]
    assert [[*items] for items in failed if items] == [[str(contact)]]
    drift.faults_by_path.clear()
    read = [
        sync(settings, state, catalog("contacts"))
        for settings, state in zip(shards, states, strict=True)
    ]
    assert [contact in each.record_ids("contacts") for each in read].count(True) == 1


# State and settings


def test_contacts_shared_by_conversation_are_read_again(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The state of version 0.1.0: a contact may belong to a shard that has not read it."""
    settings = config | {"shard_count": 3, "shard_index": 1}
    selected = catalog("conversations", "contacts")
    first = sync(settings, catalog=selected)
    state = json.loads(json.dumps(first.state()))
    state["bookmarks"]["contacts"]["shard"] = [1, 3]
    foreign = next(
        row["id"] for row in drift.source_rows("contacts") if not Shard(1, 3).contains(row["id"])
    )
    times = {"since": "2026-11-24T10:00:00.000+00:00", "last": "2026-11-24T10:00:00.000+00:00"}
    item = {"reason": "400 on /contacts", "status": 400, **times}
    state["bookmarks"]["contacts"]["failed_items"] = {str(foreign): item}
    second = sync(settings, state, selected)
    assert second.record_ids("contacts") == [*first.record_ids("contacts"), foreign]
    assert "This run reads all contacts of the shard again." in caplog.text
    assert second.state()["bookmarks"]["contacts"] == first.state()["bookmarks"]["contacts"]
    third = sync(settings, second.state(), selected)
    assert set(third.record_ids("contacts")) <= {drift.account.conversations[0]["contactId"]}


@pytest.mark.parametrize(
    ("settings", "current"),
    [
        ({"shard_count": 4, "shard_index": 2}, "shard 2 of 4"),
        ({"shard_count": 5, "shard_index": 1}, "shard 1 of 5"),
        ({}, "the whole account"),
    ],
)
def test_state_of_another_shard_is_refused(
    config: dict[str, Any], settings: dict[str, Any], current: str
) -> None:
    state = sync(config | {"shard_count": 4, "shard_index": 1}).state()
    with pytest.raises(ConfigValidationError) as wrong:
        sync(config | settings, state)
    [error] = wrong.value.errors
    assert error == (
        "The state of `conversations` belongs to shard 1 of 4, and the settings `shard_index` and "
        f"`shard_count` select {current}: use a separate state for each shard, in Meltano with "
        "--state-id-suffix."
    )


def test_refused_state_ends_the_command_without_output(
    invoke_tap: InvokeTap, config: dict[str, Any], tmp_path: Path
) -> None:
    state = sync(config | {"shard_count": 4, "shard_index": 1}).state()
    (tmp_path / "state.json").write_text(json.dumps(state))
    run = invoke_tap("--config=ENV", f"--state={tmp_path}/state.json")
    assert run.returncode == 1
    assert not run.stdout
    assert "The state of `conversations` belongs to shard 1 of 4" in run.stderr


def test_shard_can_start_from_a_state_of_the_whole_account(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    state = sync(config).state()
    drift.requests.clear()
    messages = sync(config | {"shard_count": 2, "shard_index": 1}, state)
    assert len(drift.requests) == 1
    assert messages.state()["bookmarks"]["conversations"]["shard"] == [1, 2]


def test_invalid_shard_in_the_state_is_named(config: dict[str, Any]) -> None:
    state = {"bookmarks": {"conversations": {"shard": "first"}}}
    with pytest.raises(ConfigValidationError) as wrong:
        sync(config, state)
    [error] = wrong.value.errors
    assert error.startswith(
        "The state's `shard` of `conversations` is not an index and a count: pass the state as"
    )


@pytest.mark.parametrize("settings", [{"shard_index": 1}, {"shard_count": 4, "shard_index": 4}])
def test_index_must_be_less_than_the_count(
    config: dict[str, Any], settings: dict[str, int]
) -> None:
    with pytest.raises(ConfigValidationError) as wrong:
        sync(config | settings)
    assert wrong.value.errors == [
        "`shard_index` must be an integer of at least 0, and less than `shard_count`."
    ]
