"""Runs whose `statuses` or `start_date` differ from those of the state."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import FakeDrift, now_ms
from fake_target import WALK_STREAMS, FakeTarget
from runs import catalog, sync, sync_interrupted
from seeds import seeds

from tap_drift.sandbox.data.account import Account
from tap_drift.timestamps import from_epoch_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

STATUSES = ["open", "closed", "pending", "bulk_sent"]
STREAMS = ("conversations", "messages")


@pytest.fixture
def tiny() -> Iterator[FakeDrift]:
    """16 conversations, four of each status."""
    with FakeDrift(Account.from_seed(16, seed=3)) as server:
        for number, conversation in enumerate(server.account.conversations):
            conversation["status"] = STATUSES[number % 4]
        yield server


@pytest.fixture
def settings(tiny: FakeDrift) -> dict[str, Any]:
    """Settings of pages of 3, without a lookback that would hide a lost row."""
    return {
        "api_url": tiny.url,
        "access_token": tiny.token,
        "page_size": 3,
        "lookback_seconds": 0,
        "concurrency": 4,
    }


def date(drift: FakeDrift, position: int) -> str:
    """Return the time of the conversation at a position of the listing."""
    return from_epoch_ms(drift.account.conversations[position]["updatedAt"])


def ids(drift: FakeDrift, *statuses: str) -> list[int]:
    """Return the ids of the conversations with these statuses, newest first."""
    return [row["id"] for row in drift.account.conversations if row["status"] in statuses]


def lacking(target: FakeTarget, drift: FakeDrift, *streams: str, **settings: Any) -> set[Any]:
    """Return the rows that the settings want and the target lacks, or has in an old version."""
    wanted = [
        row
        for row in drift.account.conversations
        if row["status"] in (settings.get("statuses") or STATUSES)
        and from_epoch_ms(row["updatedAt"]) >= settings.get("start_date", "")
    ]
    contacts, conversations = ({row.get(key) for row in wanted} for key in ("contactId", "id"))
    return {
        (stream, *row)
        for stream, *row in target.missing(drift, *streams)
        if row[stream == "messages"] in (contacts if stream == "contacts" else conversations)
    }


# More statuses


def test_all_statuses_after_some_read_what_is_missing(
    tiny: FakeDrift, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    state = sync(settings | {"statuses": ["open"]}).state()
    messages = sync(settings, state)
    assert set(messages.record_ids()) == {*ids(tiny, "closed", "pending", "bulk_sent")} | {
        ids(tiny, "open")[0]
    }
    assert caplog.text.count("the settings include more than the state") == 1


def test_another_status_reads_its_whole_history(tiny: FakeDrift, settings: dict[str, Any]) -> None:
    state = sync(settings | {"statuses": ["open"]}).state()
    messages = sync(settings | {"statuses": ["pending"]}, state)
    assert messages.record_ids() == ids(tiny, "pending")


def test_fewer_statuses_continue_from_the_bookmark(
    tiny: FakeDrift, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    state = sync(settings).state()
    caplog.set_level("INFO")
    open_ids = ids(tiny, "open")
    tiny.update_conversation(open_ids[2], now_ms())
    messages = sync(settings | {"statuses": ["open"]}, state)
    assert messages.record_ids() == [open_ids[2], tiny.conversation_ids()[1]]
    assert "more than the state" not in caplog.text


def test_return_to_all_statuses_reads_their_updates_only(
    tiny: FakeDrift, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    target = FakeTarget(sync(settings).all)
    updated = [ids(tiny, "closed")[2], ids(tiny, "open")[2]]
    for each in updated:
        tiny.update_conversation(each, now_ms())
    target.load(sync(settings | {"statuses": ["open"]}, target.state).all)
    caplog.set_level("INFO")
    messages = sync(settings, target.state)
    target.load(messages.all)
    assert set(messages.record_ids()) == {*updated}
    assert target.missing(tiny) == set()
    assert caplog.text.count("the settings include more than the state") == 1


def test_run_after_the_wider_one_reads_nothing_again(
    tiny: FakeDrift, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    state = sync(settings | {"statuses": ["open"]}).state()
    state = sync(settings, state).state()
    caplog.clear()
    caplog.set_level("INFO")
    assert sync(settings, state).record_ids() == tiny.conversation_ids()[:1]
    assert "more than the state" not in caplog.text


# An earlier start date


def test_earlier_start_date_reads_what_is_missing(
    tiny: FakeDrift, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    state = sync(settings | {"start_date": date(tiny, 5)}).state()
    messages = sync(settings | {"start_date": date(tiny, 11)}, state)
    numbers = tiny.conversation_ids()
    assert messages.record_ids() == [numbers[0], *numbers[6:12]]
    assert caplog.text.count("the settings include more than the state") == 1
    assert sync(settings, messages.state()).record_ids() == [numbers[0], *numbers[12:]]


def test_later_start_date_continues_from_the_bookmark(
    tiny: FakeDrift, settings: dict[str, Any]
) -> None:
    state = sync(settings | {"start_date": date(tiny, 11)}).state()
    messages = sync(settings | {"start_date": date(tiny, 5)}, state)
    head = tiny.conversation_ids()[:1]
    assert messages.record_ids() == head
    again = sync(settings | {"start_date": date(tiny, 11)}, messages.state())
    assert again.record_ids() == head


# The streams that belong to conversations


def test_messages_of_covered_conversations_are_not_requested(
    tiny: FakeDrift, settings: dict[str, Any]
) -> None:
    target = FakeTarget(sync(settings | {"statuses": ["open"]}, catalog=catalog(*STREAMS)).all)
    tiny.requests.clear()
    target.load(sync(settings, target.state, catalog(*STREAMS)).all)
    assert target.missing(tiny, *STREAMS) == set()
    requested = {int(path.split("/")[2]) for path in tiny.requests if "/messages" in path}
    assert requested == {*tiny.conversation_ids()} - {*ids(tiny, "open")[1:]}


def test_stream_selected_later_covers_its_own_settings(
    tiny: FakeDrift, settings: dict[str, Any]
) -> None:
    target = FakeTarget(sync(settings).all)
    only_open = settings | {"statuses": ["open"]}
    target.load(sync(only_open, target.state, catalog(*STREAMS)).all)
    assert lacking(target, tiny, "messages") != set()
    target.load(sync(settings, target.state, catalog(*STREAMS)).all)
    assert lacking(target, tiny, *STREAMS) == set()


def test_shards_read_what_other_settings_want(tiny: FakeDrift, settings: dict[str, Any]) -> None:
    target = FakeTarget()
    for index in range(2):
        shard = settings | {"shard_count": 2, "shard_index": index}
        first = sync(shard | {"statuses": ["open"]}, catalog=catalog(*STREAMS))
        second = sync(shard, first.state(), catalog(*STREAMS))
        target.load(first.all)
        target.load(second.all)
    assert target.missing(tiny, *STREAMS) == set()


# Interrupted runs


def test_interrupted_wider_run_is_resumed(
    tiny: FakeDrift, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    target = FakeTarget(sync(settings | {"statuses": ["open"]}, catalog=catalog(*STREAMS)).all)
    assert not sync_interrupted(settings, target, 60, catalog(*STREAMS))
    caplog.set_level("INFO")
    messages = sync(settings, target.state, catalog(*STREAMS))
    target.load(messages.all)
    assert target.missing(tiny, *STREAMS) == set()
    assert "resuming the interrupted run at" in caplog.text
    assert len(messages.record_ids()) < len(ids(tiny, *STATUSES[1:]))


def test_other_settings_do_not_resume_the_interrupted_run(
    tiny: FakeDrift, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    target = FakeTarget()
    only_open = settings | {"statuses": ["open"], "page_size": 1}
    assert not sync_interrupted(only_open, target, 8, catalog(*STREAMS))
    caplog.set_level("INFO")
    target.load(sync(settings, target.state, catalog(*STREAMS)).all)
    assert target.missing(tiny, *STREAMS) == set()
    assert "the settings have changed since the interrupted run: not resuming it" in caplog.text


# States of earlier versions


def earlier(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state as an earlier version wrote it."""
    for bookmark in state["bookmarks"].values():
        del bookmark["covered"]
    return state


def test_earlier_state_continues_with_one_warning(
    tiny: FakeDrift, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    only_open = settings | {"statuses": ["open"]}
    state = earlier(sync(only_open, catalog=catalog(*STREAMS)).state())
    messages = sync(only_open, state, catalog(*STREAMS))
    assert messages.record_ids() == ids(tiny, "open")[:1]
    assert caplog.text.count("was written by an earlier version") == 1
    missing = {*tiny.conversation_ids()} - {*ids(tiny, "open")[1:]}
    assert set(sync(settings, messages.state()).record_ids()) == missing


def test_interrupted_run_records_what_the_earlier_state_covers(settings: dict[str, Any]) -> None:
    only_open = settings | {"statuses": ["open"]}
    target = FakeTarget()
    target.state = earlier(sync(only_open).state())
    assert not sync_interrupted(only_open, target, 2)
    assert target.state["bookmarks"]["conversations"]["covered"][0]["statuses"] == ["open"]


# Random sequences


def random_settings(rng: random.Random, drift: FakeDrift, dated: float) -> dict[str, Any]:
    """Return random `statuses`, and a random `start_date` with this probability."""
    chosen: dict[str, Any] = {}
    if rng.random() < 0.6:
        chosen["statuses"] = rng.sample(STATUSES[:3], rng.randint(1, 3))
    if rng.random() < dated:
        chosen["start_date"] = date(drift, rng.randrange(16))
    return chosen


def update(rng: random.Random, drift: FakeDrift) -> None:
    """Change a few conversations, some of them to another status."""
    with drift.lock:
        for _ in range(rng.choice([0, 1, 1, 3])):
            conversation = rng.choice(drift.conversation_ids())
            drift.add_message(conversation, now_ms())
            if rng.random() < 0.5:
                drift.update_conversation(conversation, now_ms(), status=rng.choice(STATUSES))


def updates(rng: random.Random, drift: FakeDrift) -> Callable[[int], None]:
    """Build an `on_request` that updates; requests of an interrupted run do not."""

    def on_request(_request: int) -> None:
        with drift.lock:
            if drift.on_request is on_request:
                update(rng, drift)

    return on_request


@pytest.mark.parametrize("seed", seeds(2, 20))
def test_complete_runs_have_all_that_their_settings_want(
    seed: int, tiny: FakeDrift, settings: dict[str, Any]
) -> None:
    """Settings, selection and conversations change, and runs are interrupted."""
    target, rng = FakeTarget(), random.Random(seed)
    # Without a start date, a single run covers everything below.
    dated = [1.0, 0.3][seed % 2]
    for _ in range(14):
        update(rng, tiny)
        wanted = random_settings(rng, tiny, dated)
        streams = rng.sample(list(WALK_STREAMS), rng.randint(1, 3))
        tiny.on_request = rng.choice([None, None, updates(rng, tiny)])
        limit = rng.choice([rng.randrange(2, 60), 10_000])
        is_complete = sync_interrupted(settings | wanted, target, limit, catalog(*streams))
        if is_complete and tiny.on_request is None:
            assert lacking(target, tiny, *streams, **wanted) == set()
    tiny.on_request = None
    target.load(sync(settings, target.state, catalog(*WALK_STREAMS)).all)
    assert target.missing(tiny, *WALK_STREAMS) == set()
