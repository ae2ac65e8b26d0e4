"""No row is lost if conversations change, requests fail or runs are interrupted."""

from __future__ import annotations

import random
from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import FakeDrift, random_updates
from fake_target import WALK_STREAMS, FakeTarget
from faults import answer
from runs import catalog, catalog_entry, sync, sync_failing, sync_interrupted
from seeds import seeds, step

from tap_drift.exceptions import StreamsFailedError
from tap_drift.streams import conversations as stream

if TYPE_CHECKING:
    from faults import Fault

pytestmark = pytest.mark.slow

# How many conversations change before a request. With a request for each conversation, more
# changes would keep a run from ending.
UPDATES = [0, 0, 1, 3]
FEW_UPDATES = [0, 0, 0, 0, 0, 0, 0, 1]

FAULTS: list[tuple[str, Fault]] = [
    ("/messages", answer(403)),
    ("/contacts/", answer(400)),
    ("/transcript", answer(403)),
    ("list?page_token", answer(400)),
    ("list?page_token", answer(403)),
]
"""A refused stream, a page token that no longer works, a refused listing."""

ITEM_FAULTS = [answer(status) for status in (302, 400, 401, 403)]
"""Faults of a single item that are not retried."""

ITEM_PATHS = {
    "conversation_details": "/conversations/{}",
    "messages": "/conversations/{}/messages",
    "transcripts": "/conversations/{}/transcript",
    "contacts": "/contacts/{}",
}
"""The path of an item of each stream."""


@pytest.fixture(params=[1, 3])
def _pages_per_state(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A STATE message after each page, or after each third."""
    monkeypatch.setattr(stream, "PAGES_PER_STATE", request.param)


@pytest.fixture
def tiny_drift(small_drift: FakeDrift) -> FakeDrift:
    """18 conversations; a page begins between two that have the same `updatedAt`."""
    del small_drift.account.conversations[18:]
    return small_drift


@pytest.fixture
def tiny_config(small_config: dict[str, Any]) -> dict[str, Any]:
    return small_config | {"concurrency": 4}


def random_catalog(rng: random.Random) -> dict[str, Any]:
    return catalog(*rng.sample(list(WALK_STREAMS), rng.randint(1, len(WALK_STREAMS))))


def finish(
    drift: FakeDrift, config: dict[str, Any], target: FakeTarget, *streams: str, runs: int
) -> None:
    """Run without updates and faults."""
    drift.on_request = None
    drift.faults_by_path.clear()
    for _ in range(runs):
        target.load(sync(config, target.state, catalog(*streams)).all)


def random_item_faults(rng: random.Random, drift: FakeDrift) -> dict[str, Fault]:
    """Return faults of a few items, by path."""
    with drift.lock:
        conversations = drift.conversation_ids()
        contacts = [row["id"] for row in drift.source_rows("contacts")]
    paths = [
        path.format(rng.choice(contacts if stream == "contacts" else conversations))
        for stream, path in rng.sample(sorted(ITEM_PATHS.items()), rng.randint(0, 3))
    ]
    return {path: rng.choice(ITEM_FAULTS) for path in paths}


Items = set[tuple[str, int]]
"""Stream and id of items."""


def listed_items(target: FakeTarget) -> Items:
    """Return the failed items in the target's state."""
    streams = (target.state or {}).get("bookmarks", {}).items()
    return {(name, int(key)) for name, state in streams for key in state.get("failed_items", {})}


def missing_items(target: FakeTarget, drift: FakeDrift, *streams: str) -> Items:
    """Return the items whose rows the target lacks."""
    fields = {name: WALK_STREAMS[name] for name in streams}
    return {
        (name, row[fields[name].index("conversationId" if name == "messages" else fields[name][0])])
        for name, *row in target.missing(drift, *streams)
    }


# The conversations alone


@pytest.mark.parametrize("seed", seeds(3, 20))
def test_updates_during_runs_lose_no_conversation(
    seed: int, small_drift: FakeDrift, small_config: dict[str, Any]
) -> None:
    target = FakeTarget()
    small_drift.on_request = random_updates(small_drift, seed, UPDATES)
    for _ in range(4):
        target.load(sync(small_config, target.state).all)
    finish(small_drift, small_config, target, "conversations", runs=1)
    assert target.missing(small_drift) == set()


@pytest.mark.usefixtures("_pages_per_state")
@pytest.mark.parametrize("seed", seeds(1, 10))
def test_repeated_interruptions_lose_no_conversation(
    seed: int, small_drift: FakeDrift, small_config: dict[str, Any]
) -> None:
    """The walk is interrupted, and so are the runs that resume it."""
    target, rng = FakeTarget(), random.Random(seed)
    small_drift.on_request = random_updates(small_drift, seed, UPDATES)
    for _ in range(8):
        sync_interrupted(small_config, target, limit=rng.randrange(2, 40))
    finish(small_drift, small_config, target, "conversations", runs=2)
    assert target.missing(small_drift) == set()


@pytest.mark.usefixtures("_pages_per_state")
def test_interruption_after_any_message_loses_no_conversation(
    small_drift: FakeDrift, small_config: dict[str, Any]
) -> None:
    update = random_updates(small_drift, 1, UPDATES)
    limit, is_complete = 1, False
    while not is_complete:
        small_drift.on_request, target = update, FakeTarget()
        is_complete = sync_interrupted(small_config, target, limit)
        target.load(sync(small_config, target.state).all)
        finish(small_drift, small_config, target, "conversations", runs=1)
        assert target.missing(small_drift) == set(), limit
        limit += step(13, 1)
    assert limit > len(small_drift.conversation_ids())


@pytest.mark.parametrize("failing_request", range(1, 10))
def test_failure_at_any_page_commits_all_that_was_written(
    failing_request: int, small_drift: FakeDrift, small_config: dict[str, Any]
) -> None:
    update = random_updates(small_drift, failing_request, UPDATES)

    def update_or_fail(request: int) -> None:
        update(request)
        if request == failing_request:
            small_drift.faults.append(answer(403))

    small_drift.on_request = update_or_fail
    messages, _ = sync_failing(small_config)
    target = FakeTarget(messages.all)
    assert set(target.conversations) == set(messages.record_ids())
    target.load(sync(small_config, target.state).all)
    finish(small_drift, small_config, target, "conversations", runs=1)
    assert target.missing(small_drift) == set()


# With the streams that are requested per conversation


@pytest.mark.parametrize("seed", seeds(2, 10))
def test_changing_selections_lose_no_row(
    seed: int, tiny_drift: FakeDrift, tiny_config: dict[str, Any]
) -> None:
    target, rng = FakeTarget(), random.Random(seed)
    tiny_drift.on_request = random_updates(tiny_drift, seed, FEW_UPDATES)
    for _ in range(3):
        target.load(sync(tiny_config, target.state, random_catalog(rng)).all)
    finish(tiny_drift, tiny_config, target, *WALK_STREAMS, runs=2)
    assert target.missing(tiny_drift, *WALK_STREAMS) == set()


@pytest.mark.parametrize("seed", seeds(1, 12))
def test_interruptions_and_faults_lose_no_row(
    seed: int, tiny_drift: FakeDrift, tiny_config: dict[str, Any]
) -> None:
    target, rng = FakeTarget(), random.Random(seed)
    tiny_drift.on_request = random_updates(tiny_drift, seed, FEW_UPDATES)
    for _ in range(6):
        tiny_drift.faults_by_path = dict(rng.sample(FAULTS, rng.choice([0, 1, 1, 2])))
        with suppress(StreamsFailedError):
            sync_interrupted(tiny_config, target, rng.randrange(2, 200), random_catalog(rng))
    finish(tiny_drift, tiny_config, target, *WALK_STREAMS, runs=2)
    assert target.missing(tiny_drift, *WALK_STREAMS) == set()


def test_interruption_within_any_page_loses_no_row(
    tiny_drift: FakeDrift, tiny_config: dict[str, Any]
) -> None:
    """The distance of the interruptions shares no factor with a page's 5 rows and its state."""
    del tiny_drift.account.conversations[8:]
    update, streams = random_updates(tiny_drift, 1, FEW_UPDATES), ("conversations", "messages")
    limit, is_complete = 1, False
    while not is_complete:
        tiny_drift.on_request, target = update, FakeTarget()
        is_complete = sync_interrupted(tiny_config, target, limit, catalog(*streams))
        target.load(sync(tiny_config, target.state, catalog(*streams)).all)
        finish(tiny_drift, tiny_config, target, *streams, runs=1)
        assert target.missing(tiny_drift, *streams) == set(), limit
        limit += step(47, 5)


@pytest.mark.parametrize("streams", [["messages"], ["conversations", "messages"]])
def test_every_state_claims_only_rows_written_before_it(
    streams: list[str], tiny_drift: FakeDrift, tiny_config: dict[str, Any]
) -> None:
    messages = sync(tiny_config, catalog=catalog(*streams)).all
    states = [index for index, each in enumerate(messages) if each["type"] == "STATE"]
    assert len(states) > 3
    for index in states:
        target = FakeTarget(messages[: index + 1])
        target.load(sync(tiny_config, target.state, catalog(*streams)).all)
        assert target.missing(tiny_drift, *streams) == set()


# With items that fail


@pytest.mark.parametrize("seed", seeds(2, 16))
def test_only_listed_items_are_missing_after_any_chain(
    seed: int, tiny_drift: FakeDrift, tiny_config: dict[str, Any]
) -> None:
    """Items and streams fail, runs are interrupted, streams are deselected or read in full."""
    settings = tiny_config | {"max_failed_items": 1000}
    target, rng = FakeTarget(), random.Random(seed)
    tiny_drift.on_request = random_updates(tiny_drift, seed, FEW_UPDATES)
    for _ in range(6):
        tiny_drift.faults_by_path = random_item_faults(rng, tiny_drift)
        tiny_drift.faults_by_path |= dict(rng.sample(FAULTS, rng.choice([0, 0, 1])))
        selected = random_catalog(rng)
        catalog_entry(selected, rng.choice(list(WALK_STREAMS)))["replication_method"] = "FULL_TABLE"
        with suppress(StreamsFailedError):
            sync_interrupted(settings, target, rng.randrange(2, 300), selected)
    tiny_drift.on_request, faults = None, random_item_faults(rng, tiny_drift)
    for _ in range(3):
        tiny_drift.faults_by_path = dict(faults)
        target.load(sync(settings, target.state, catalog(*WALK_STREAMS)).all)
    missing, listed = missing_items(target, tiny_drift, *WALK_STREAMS), listed_items(target)
    assert missing <= listed
    assert all(
        any(
            ITEM_PATHS[name].format(item) in f or f in ITEM_PATHS[name].format(item) for f in faults
        )
        for name, item in listed
    )
    finish(tiny_drift, settings, target, *WALK_STREAMS, runs=1)
    assert target.missing(tiny_drift, *WALK_STREAMS) == set()
    assert listed_items(target) == set()


@pytest.mark.parametrize("method", ["INCREMENTAL", "FULL_TABLE"])
def test_interruption_after_any_message_keeps_failed_items(
    method: str, tiny_drift: FakeDrift, tiny_config: dict[str, Any]
) -> None:
    del tiny_drift.account.conversations[7:]
    streams = ("conversations", "messages", "transcripts", "contacts")
    selected = catalog(*streams)
    for name in streams:
        catalog_entry(selected, name)["replication_method"] = method
    settings = tiny_config | {"max_failed_items": 1000}
    second, fifth = tiny_drift.conversation_ids()[1], tiny_drift.conversation_ids()[4]
    contact = tiny_drift.source_rows("contacts")[1]["id"]
    bad = {
        ("messages", second),
        ("transcripts", second),
        ("messages", fifth),
        ("contacts", contact),
    }
    faults = {ITEM_PATHS[name].format(item): answer(403) for name, item in bad}
    limit, is_complete = 1, False
    while not is_complete:
        tiny_drift.faults_by_path, target = dict(faults), FakeTarget()
        is_complete = sync_interrupted(settings, target, limit, selected)
        assert listed_items(target) <= bad
        target.load(sync(settings, target.state, selected).all)
        assert listed_items(target) == bad, limit
        assert missing_items(target, tiny_drift, *streams) <= bad, limit
        # The run that requests them again is interrupted as well.
        tiny_drift.faults_by_path = {}
        sync_interrupted(settings, target, limit % 20 + 1, selected)
        assert missing_items(target, tiny_drift, *streams) <= listed_items(target), limit
        target.load(sync(settings, target.state, selected).all)
        assert target.missing(tiny_drift, *streams) == set(), limit
        assert listed_items(target) == set(), limit
        limit += step(59, 3)


@pytest.mark.parametrize("streams", [["messages"], ["conversations", "messages", "contacts"]])
def test_every_state_lists_what_is_missing_before_it(
    streams: list[str], tiny_drift: FakeDrift, tiny_config: dict[str, Any]
) -> None:
    settings = tiny_config | {"max_failed_items": 1000}
    for number in tiny_drift.conversation_ids()[2::4]:
        tiny_drift.faults_by_path[ITEM_PATHS["messages"].format(number)] = answer(400)
    for row in tiny_drift.source_rows("contacts")[1::3]:
        tiny_drift.faults_by_path[ITEM_PATHS["contacts"].format(row["id"])] = answer(401)
    messages = sync(settings, catalog=catalog(*streams)).all
    tiny_drift.faults_by_path.clear()
    states = [index for index, each in enumerate(messages) if each["type"] == "STATE"]
    assert len(states) > 3
    for index in states:
        target = FakeTarget(messages[: index + 1])
        target.load(sync(settings, target.state, catalog(*streams)).all)
        assert target.missing(tiny_drift, *streams) == set()


def test_shards_share_the_failed_items_of_the_whole_account(
    tiny_drift: FakeDrift, tiny_config: dict[str, Any]
) -> None:
    settings = tiny_config | {"max_failed_items": 1000}
    streams = ("conversations", "messages", "contacts")
    bad = {("messages", number) for number in tiny_drift.conversation_ids()[::3]}
    bad |= {("contacts", row["id"]) for row in tiny_drift.source_rows("contacts")[1::3]}
    tiny_drift.faults_by_path = {ITEM_PATHS[name].format(item): answer(403) for name, item in bad}
    whole = FakeTarget(sync(settings, catalog=catalog(*streams)).all)
    assert listed_items(whole) == bad
    shards = [settings | {"shard_count": 3, "shard_index": index} for index in range(3)]
    targets = [FakeTarget() for _ in shards]
    for _ in range(2):
        for target, shard in zip(targets, shards, strict=True):
            state = deepcopy(target.state or whole.state)
            target.load(sync(shard, state, catalog(*streams)).all)
    listed = [{item for item in listed_items(t) if item[0] == "messages"} for t in targets]
    assert sum(map(len, listed)) == len(set.union(*listed))
    assert set.union(*map(listed_items, targets)) == bad
    tiny_drift.faults_by_path.clear()
    for target, shard in zip(targets, shards, strict=True):
        target.load(sync(shard, target.state, catalog(*streams)).all)
        assert listed_items(target) == set()
        for name, rows in target.tables.items():
            whole.tables[name] |= rows
    assert whole.missing(tiny_drift, *streams) == set()
