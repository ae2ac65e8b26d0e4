"""Several processes, each with its share: together they read the account, and each thing once."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from fake_target import FakeTarget
from runs import CapturedMessages, catalog, sync
from singer_sdk.exceptions import ConfigValidationError

from tap_drift.sync.shards import Shard

if TYPE_CHECKING:
    from pathlib import Path

    from fake_drift import FakeDrift
    from runs import RunTap

STREAMS = ("conversations", "conversation_details", "messages", "transcripts")
STEPS = {
    "one after the other": 1,
    "even numbers": 2,
    "thousands": 1000,
    "a clock above a counter": 1 << 22,
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
@pytest.mark.parametrize("count", [2, 3, 4, 16, 32])
def test_every_id_is_in_one_shard_and_no_shard_has_much_more_than_others(
    step: int, count: int
) -> None:
    shards = [Shard(index, count) for index in range(count)]
    sizes = Counter[Shard]()
    for number in range(312_005_104, 312_005_104 + 20_000 * step, step):
        [holder] = [shard for shard in shards if shard.contains(number)]
        sizes[holder] += 1
    even = 20_000 / count
    assert all(0.85 * even < sizes[shard] < 1.15 * even for shard in shards)


def test_a_share_never_changes() -> None:
    """Else a state would claim what another shard has read."""
    own = [number for number in range(40) if Shard(1, 4).contains(number)]
    assert own == [0, 2, 9, 10, 12, 19, 25, 27, 31, 33, 38]


def test_without_settings_there_is_one_shard_which_holds_everything() -> None:
    assert all(Shard().contains(number) for number in range(100))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_shards_union_is_the_account_and_each_row_is_in_one(
    drift: FakeDrift, config: dict[str, Any], count: int
) -> None:
    shards = [
        sync(config | {"shard_count": count, "shard_index": index}, catalog=catalog(*STREAMS))
        for index in range(count)
    ]
    rows = FakeTarget()
    for name, key in zip(STREAMS, ("id", "id", "id", "conversationId"), strict=True):
        keys = [record[key] for shard in shards for record in shard.records(name)]
        assert len(keys) == len(set(keys))
    for shard in shards:
        rows.load(shard.all)
    assert not rows.missing(drift, *STREAMS)


def test_a_shard_asks_for_its_own_conversations_alone(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    shard = Shard(1, 4)
    messages = sync(
        config | {"shard_count": 4, "shard_index": 1}, catalog=catalog("conversations", "messages")
    )
    own = [number for number in drift.conversation_ids() if shard.contains(number)]
    assert messages.record_ids() == own
    asked = [path.split("/")[2].split("?")[0] for path in drift.requests if "/messages" in path]
    assert {int(number) for number in asked} == set(own)
    assert drift.count_requests("/conversations/list") == 3  # every shard walks the whole listing


def test_what_is_of_no_conversation_is_read_by_the_first_shard(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    def run(index: int) -> CapturedMessages:
        settings = {"shard_count": 2, "shard_index": index, "emit_activate_version_messages": True}
        return sync(config | settings, catalog=catalog("users", "meetings"))

    first, second = run(0), run(1)
    assert len(first.records("users")) == len(drift.account.users)
    assert {message["type"] for message in second.all} == {"SCHEMA", "STATE"}
    assert drift.count_requests("/users/list") == 1


def test_each_shard_goes_on_from_its_own_state(drift: FakeDrift, config: dict[str, Any]) -> None:
    """Over an account that changes, cut or not: the tables of all shards hold all of it."""
    taken = catalog("conversations", "messages")
    shards = [config | {"shard_count": 3, "shard_index": index} for index in range(3)]
    rows = FakeTarget()
    states: list[Any] = [None] * 3
    for turn in range(4):
        for index, settings in enumerate(shards):
            messages = sync(settings, state=states[index], catalog=taken).all
            whole = FakeTarget()
            whole.tables, whole.state = rows.tables, states[index]
            whole.load(messages[: -9 * (turn % 2) or None])
            states[index] = whole.state
            drift.add_message(
                drift.conversation_ids()[-1 - 7 * turn - index],
                1_780_000_000_000 + 1000 * turn + index,
            )
    for index, settings in enumerate(shards):
        rows.load(sync(settings, state=states[index], catalog=taken).all)
    assert not rows.missing(drift, "conversations", "messages")


@pytest.mark.parametrize(
    ("settings", "ours"),
    [
        ({"shard_count": 4, "shard_index": 2}, "shard 2 of 4"),
        ({"shard_count": 5, "shard_index": 1}, "shard 1 of 5"),
        ({}, "the whole account"),
    ],
)
def test_the_state_of_another_share_is_refused(
    run_tap: RunTap, config: dict[str, Any], tmp_path: Path, settings: dict[str, Any], ours: str
) -> None:
    state = sync(config | {"shard_count": 4, "shard_index": 1}).state()
    (tmp_path / "state.json").write_text(json.dumps(state))
    environment: dict[str, Any] = {
        f"TAP_DRIFT_{name.upper()}": str(value) for name, value in settings.items()
    }
    run = run_tap("--config=ENV", f"--state={tmp_path}/state.json", **environment)
    assert run.returncode == 1
    assert not run.stdout
    assert (
        "The state of `conversations` is of shard 1 of 4, and the settings `shard_index` and "
        f"`shard_count` say {ours}: give each shard its own state, with Meltano by "
        "--state-id-suffix."
    ) in run.stderr


def test_shards_can_go_on_from_the_state_of_the_whole_account(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    whole = sync(config).state()
    requests = len(drift.requests)
    messages = sync(config | {"shard_count": 2, "shard_index": 1}, state=whole)
    assert len(drift.requests) - requests == 1
    assert messages.state()["bookmarks"]["conversations"]["shard"] == [1, 2]


def test_a_shard_in_the_state_that_is_none_is_named(config: dict[str, Any]) -> None:
    state = {"bookmarks": {"conversations": {"shard": "first"}}}
    with pytest.raises(ConfigValidationError) as wrong:
        sync(config, state=state)
    [sentence] = wrong.value.errors
    assert sentence.startswith(
        "The state's `shard` of `conversations` is not an index and a count: give the state as"
    )


@pytest.mark.parametrize("settings", [{"shard_index": 1}, {"shard_count": 4, "shard_index": 4}])
def test_an_index_beyond_the_count_is_refused(
    config: dict[str, Any], settings: dict[str, int]
) -> None:
    with pytest.raises(ConfigValidationError) as wrong:
        sync(config | settings)
    assert wrong.value.errors == [
        "`shard_index` must be an integer of at least 0, and less than `shard_count`."
    ]
