"""Nothing is lost, whatever happens during a walk, and nothing is read without need."""

from __future__ import annotations

import io
import json
import random
import time
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import OFFSET_PAGE_SIZE, FakeDrift, now_ms, random_updates
from fake_target import FakeTarget
from faults import answer, page
from runs import CapturedMessages, catalog, catalog_entry, sync, sync_interrupted

from tap_drift.exceptions import StreamsFailedError
from tap_drift.streams import conversations as stream
from tap_drift.sync.writer import MessageWriter
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from fake_clock import FakeClock

CONVERSATIONS = 47
RATES = [0, 0, 1, 3]


@pytest.fixture(params=[1, 3])
def _states(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A STATE message after every page, or after every third."""
    monkeypatch.setattr(stream, "PAGES_PER_STATE", request.param)


def rows(*times: int | None) -> list[dict[str, Any]]:
    return [{"id": number, "updatedAt": time} for number, time in enumerate(times)]


# What it costs


def requests_of(drift: FakeDrift, config: dict[str, Any], state: dict[str, Any] | None) -> int:
    before = len(drift.requests)
    sync(config, state)
    return len(drift.requests) - before


def test_nothing_new_costs_one_request(drift: FakeDrift, config: dict[str, Any]) -> None:
    state = sync(config).state()
    assert requests_of(drift, config, state) == 1


@pytest.mark.parametrize(("changed", "requests"), [(1, 1), (37, 1), (98, 1), (99, 2), (137, 2)])
def test_a_change_costs_its_pages_and_at_most_one_more(
    changed: int, requests: int, drift: FakeDrift, config: dict[str, Any]
) -> None:
    state = sync(config).state()
    for conversation in drift.conversation_ids()[-changed:]:
        drift.update_conversation(conversation, now_ms())
    assert requests_of(drift, config, state) == requests <= -(-changed // 100) + 1


def test_start_date_bounds_what_is_read(drift: FakeDrift, config: dict[str, Any]) -> None:
    newest = drift.account.conversations[10]["updatedAt"] / 1000
    start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(newest))
    assert requests_of(drift, config | {"start_date": start}, None) == 1


def test_a_cut_run_costs_what_it_had_left(drift: FakeDrift, config: dict[str, Any]) -> None:
    small_pages = config | {"page_size": 10}
    drift.on_request = lambda number: drift.faults.append(answer(400, {})) if number == 13 else None
    messages = CapturedMessages()
    with pytest.raises(StreamsFailedError):
        sync(small_pages, messages=messages)
    table = FakeTarget()
    table.load(messages.all)
    assert len(table.conversations) == 120
    assert requests_of(drift, small_pages, table.state) == 1 + 13
    table.load(sync(small_pages, table.state).all)
    assert table.missing(drift) == set()


# The look back


def test_what_is_just_before_the_bookmark_is_emitted_again(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    head = drift.account.conversations[0]["updatedAt"]
    state = sync(config).state()
    at_the_limit, beyond = drift.conversation_ids()[1:3]
    drift.update_conversation(at_the_limit, head - 300_000)
    drift.update_conversation(beyond, head - 300_001)
    assert sync(config, state).record_ids() == [drift.conversation_ids()[0], at_the_limit]
    assert (
        sync(config | {"lookback_seconds": 0}, state).record_ids() == drift.conversation_ids()[:1]
    )


# While the account changes


@pytest.mark.parametrize("seed", range(50))
def test_runs_over_a_changing_account_miss_nothing(
    seed: int, small: FakeDrift, strict: dict[str, Any]
) -> None:
    table = FakeTarget()
    small.on_request = random_updates(small, seed, RATES)
    for _ in range(4):
        table.load(sync(strict, table.state).all)
    small.on_request = None
    table.load(sync(strict, table.state).all)
    assert table.missing(small) == set()


@pytest.mark.usefixtures("_states")
@pytest.mark.parametrize("seed", range(15))
def test_runs_cut_again_and_again_over_a_changing_account_miss_nothing(
    seed: int, small: FakeDrift, strict: dict[str, Any]
) -> None:
    """Cut while walking, while catching up, and twice in a row."""
    table, chance = FakeTarget(), random.Random(seed)
    small.on_request = random_updates(small, seed, RATES)
    for _ in range(8):
        sync_interrupted(strict, table, limit=chance.randrange(2, 40))
    small.on_request = None
    table.load(sync(strict, table.state).all)
    table.load(sync(strict, table.state).all)
    assert table.missing(small) == set()


@pytest.mark.usefixtures("_states")
def test_a_run_cut_after_any_message_misses_nothing(
    small: FakeDrift, strict: dict[str, Any]
) -> None:
    small.on_request = random_updates(small, 1, RATES)
    takes, done = 1, False
    while not done:
        table = FakeTarget()
        done = sync_interrupted(strict, table, takes)
        table.load(sync(strict, table.state).all)
        quiet, small.on_request = small.on_request, None
        table.load(sync(strict, table.state).all)
        small.on_request = quiet
        assert table.missing(small) == set(), takes
        takes += 1
    assert takes > CONVERSATIONS


@pytest.mark.parametrize("failing", range(1, 10))
def test_a_run_that_fails_at_any_page_says_what_it_has_and_misses_nothing(
    failing: int, small: FakeDrift, strict: dict[str, Any]
) -> None:
    change = random_updates(small, failing, RATES)

    def fail(request: int) -> None:
        change(request)
        if request == failing:
            small.faults.append(answer(403))

    small.on_request, messages, table = fail, CapturedMessages(), FakeTarget()
    with pytest.raises(StreamsFailedError):
        sync(strict, messages=messages)
    table.load(messages.all)
    assert set(table.conversations) == set(messages.record_ids())
    table.load(sync(strict, table.state).all)
    small.on_request = None
    table.load(sync(strict, table.state).all)
    assert table.missing(small) == set()


def test_a_run_whose_last_state_is_lost_goes_on_from_the_one_before(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    small_pages, table = config | {"page_size": 10}, FakeTarget()
    table.load(sync(small_pages).all[:-1])
    assert resume(table)["next"]
    assert requests_of(drift, small_pages, table.state) == 1 + 5


# Where a cut walk goes on


def cut_after(pages: int, drift: FakeDrift, config: dict[str, Any]) -> FakeTarget:
    table, messages = FakeTarget(), CapturedMessages()
    drift.faults.extend([lambda handler: handler.send(handler.answer())] * pages + [answer(403)])
    with pytest.raises(StreamsFailedError):
        sync(config, messages=messages)
    table.load(messages.all)
    assert len(table.conversations) == pages * OFFSET_PAGE_SIZE
    drift.requests.clear()
    return table


def resume(table: FakeTarget) -> dict[str, Any]:
    assert table.state
    point: dict[str, Any] = table.state["bookmarks"]["conversations"]["resume"]
    return point


@pytest.mark.parametrize("pages", [1, 2])
@pytest.mark.parametrize("updates", range(12))
def test_however_much_changed_since_the_cut_nothing_is_missed(
    updates: int, pages: int, small: FakeDrift, strict: dict[str, Any]
) -> None:
    table = cut_after(pages, small, strict)
    for conversation in small.conversation_ids()[-updates:] if updates else []:
        small.update_conversation(conversation, now_ms(), status="changed")
    table.load(sync(strict, table.state).all)
    assert table.missing(small) == set()


def test_a_resume_point_says_what_was_covered(small: FakeDrift, strict: dict[str, Any]) -> None:
    point = resume(cut_after(3, small, strict))
    listing = sync(strict).records()
    assert point["newest"] == listing[0]["updatedAt"]
    assert point["oldest"] == listing[3 * OFFSET_PAGE_SIZE - 1]["updatedAt"]
    assert point["next"].startswith("page_token=")


def test_once_the_walk_is_complete_the_resume_point_is_gone(
    small: FakeDrift, strict: dict[str, Any]
) -> None:
    table = cut_after(3, small, strict)
    head = sync(strict, table.state).state()
    assert set(head["bookmarks"]["conversations"]) == {"replication_key", "replication_key_value"}


def test_what_lagged_behind_is_read_when_the_walk_is_taken_up_again(
    small: FakeDrift, strict: dict[str, Any]
) -> None:
    table = cut_after(3, small, strict)
    lagging = small.conversation_ids()[5]
    small.update_conversation(
        lagging, small.account.conversations[0]["updatedAt"] - 299_000, status="late"
    )
    table.load(sync(strict | {"lookback_seconds": 300}, table.state).all)
    assert table.missing(small) == set()


def test_where_the_order_breaks_the_resume_point_goes(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    link = "https://api.drift.com/x?page_token="
    drift.faults.extend(
        [page(*rows(100, 90), next=f"{link}a"), page(*rows(80, 85), next=f"{link}b")]
    )
    drift.faults.append(answer(403))
    messages = CapturedMessages()
    with pytest.raises(StreamsFailedError):
        sync(config, messages=messages)
    assert "resume" not in messages.state()["bookmarks"]["conversations"]


def test_a_page_is_handed_over_before_the_next_is_asked_for(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    output, seen = io.BytesIO(), []
    drift.on_request = lambda _: seen.append(output.getvalue().count(b'"RECORD"'))
    TapDrift(config=config, message_writer=MessageWriter(output)).sync_all()
    assert seen == [0, 100, 200]


@pytest.mark.parametrize("status", [400, 404, 410])
def test_a_page_token_that_drift_refuses_costs_pages_and_no_rows(
    status: int,
    small: FakeDrift,
    strict: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = cut_after(3, small, strict)
    small.on_request = lambda number: small.faults.append(answer(status)) if number == 2 else None
    second = sync(strict, table.state)
    assert len(second.record_ids()) == CONVERSATIONS - 3 * OFFSET_PAGE_SIZE + 3
    table.load(second.all)
    assert table.missing(small) == set()
    assert "no longer accepts the page token" in caplog.text


def test_a_refusal_that_has_nothing_to_do_with_a_resume_point_is_an_error(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.extend([lambda handler: handler.send(handler.answer()), answer(404)])
    with pytest.raises(StreamsFailedError):
        sync(config)


@pytest.mark.parametrize(
    "change",
    [
        {"statuses": ["closed", "open", "pending"]},
        {"start_date": "2019-03-05"},
    ],
)
def test_a_resume_point_of_another_filter_is_dropped(
    change: dict[str, Any], drift: FakeDrift, config: dict[str, Any]
) -> None:
    bounded = config | {"page_size": OFFSET_PAGE_SIZE, "start_date": "2020-01-01"}
    table = cut_after(3, drift, bounded)
    wanted = sync(bounded | change).record_ids()
    assert sync(bounded | change, table.state).record_ids() == wanted


def test_a_forced_full_table_drops_it_and_leaves_the_bookmark(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    table = cut_after(3, drift, config | {"page_size": OFFSET_PAGE_SIZE})
    assert table.state
    bookmark = {"replication_key": "updatedAt", "replication_key_value": "2020-01-01T00:00:00Z"}
    table.state["bookmarks"]["conversations"] |= bookmark
    chosen = catalog("conversations")
    catalog_entry(chosen)["replication_method"] = "FULL_TABLE"
    messages = sync(config, table.state, chosen)
    assert messages.record_ids() == drift.conversation_ids()
    assert messages.state()["bookmarks"]["conversations"] == bookmark


def test_a_state_of_another_version_is_walked_whole(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    table = cut_after(3, drift, config | {"page_size": OFFSET_PAGE_SIZE})
    resume(table)["version"] = 0
    assert sync(config, table.state).record_ids() == drift.conversation_ids()


# What the order is worth


def test_where_the_order_breaks_all_is_read_with_one_warning(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    link = "https://api.drift.com/x?page_token="
    drift.faults.append(page(*rows(now_ms(), 2, 1, 4), next=f"{link}a"))
    drift.faults.extend([page(*rows(2, 3), next=f"{link}b"), page(*rows(6, 5, 7))])
    assert requests_of(drift, config | {"start_date": "2020-01-01"}, None) == 3
    assert caplog.text.count("no longer lists conversations by `updatedAt`") == 1


def test_where_the_order_breaks_the_bookmark_is_still_right(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    day = 86_400_000
    link = "https://api.drift.com/x?page_token=a"
    drift.faults.extend([page(*rows(5 * day, 7 * day), next=link), page(*rows(9 * day, day))])
    messages = sync(config)
    bookmark = messages.state()["bookmarks"]["conversations"]["replication_key_value"]
    assert bookmark == "1970-01-10T00:00:00.000+00:00"
    assert len(messages.record_ids()) == 4


def test_rows_without_a_time_are_emitted_with_one_warning(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    state = sync(config).state()
    drift.faults.append(page(*rows(now_ms(), None, now_ms() - 1000, None, 5)))
    messages = sync(config, state)
    assert messages.record_ids() == [0, 1, 2, 3]
    assert caplog.text.count("without `updatedAt`") == 1


# What it says


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = [each for each in caplog.records if each.name == "tap-drift.conversations"]
    return [each.getMessage() for each in ours if each.levelname == "INFO"]


def test_a_run_says_what_it_will_read_and_what_it_came_to(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    drift.faults.append(page(*rows(86_400_000, 300_000)))
    state = sync(config).state()
    begin, end = said(caplog)
    assert begin == "Reading conversations: INCREMENTAL, everything, all statuses"
    assert end.startswith("2 conversations in 1 request, ")
    later = "updates since 1970-01-01T23:55:00.000+00:00"
    assert end.endswith(f"The next run starts from {later}.")
    caplog.clear()
    sync(config | {"statuses": ["open", "closed"]}, state)
    expected = f"Reading conversations: INCREMENTAL, {later}, statuses closed, open".replace(
        "updates", "updated"
    )
    assert said(caplog)[0] == expected


def test_a_retry_is_a_request_too(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    drift.faults.extend([answer(500)] * 2)
    sync(config)
    assert "250 conversations in 5 requests" in caplog.text
    assert clock.slept


def test_requests_are_metered_at_debug(
    drift: FakeDrift,
    config: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAP_DRIFT_LOGLEVEL", "DEBUG")
    caplog.set_level("DEBUG")
    sync(config)
    levels = [each.levelname for each in caplog.records if "http_request_duration" in each.message]
    assert levels == ["DEBUG"] * len(drift.requests)


# What state says


def test_a_state_goes_out_every_ten_pages_and_is_in_the_sdks_form_at_the_end(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    messages = sync(config | {"page_size": 10})
    kinds = [message["type"] for message in messages.all]
    assert kinds == ["SCHEMA", *(["RECORD"] * 100 + ["STATE"]) * 2, *["RECORD"] * 50, "STATE"]
    states = [m["value"]["bookmarks"]["conversations"] for m in messages.all if "value" in m]
    assert [set(state) >= {"resume"} for state in states] == [True, True, False]
    assert "progress_markers" not in json.dumps(messages.all)
    assert drift.conversation_ids() == messages.record_ids()


def test_a_batch_is_claimed_when_it_is_written(
    drift: FakeDrift, config: dict[str, Any], tmp_path: Any
) -> None:
    storage = {"root": f"file://{tmp_path}", "prefix": "batch-"}
    batch = {"encoding": {"format": "jsonl"}, "storage": storage, "batch_size": 100}
    messages = sync(config | {"page_size": 10, "batch_config": batch})
    kinds = [message["type"] for message in messages.all]
    assert kinds.count("BATCH") == 3
    assert kinds[-2:] == ["BATCH", "STATE"]
    states = [m["value"]["bookmarks"]["conversations"] for m in messages.all if "value" in m]
    assert not any("resume" in state for state in states)
    assert "replication_key_value" in states[-1]
    assert sync(config, messages.state()).record_ids() == drift.conversation_ids()[:1]
