"""Responses without an end: each run ends with an error, after few requests."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import FakeDrift, now_ms
from faults import answer, page
from runs import catalog, sync, sync_failing

from tap_drift.api import paginators
from tap_drift.api.retry import MAX_RETRY_AFTER, MAX_RETRY_AFTER_TOTAL
from tap_drift.sandbox.data.account import Account
from tap_drift.streams import per_conversation
from tap_drift.sync.failed_items import FailedItems
from tap_drift.sync.new_rows import MAX_PAGES_WITHOUT_NEW_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_clock import FakeClock

    from tap_drift.sandbox.server import SandboxHandler

pytestmark = pytest.mark.slow

MOST_REQUESTS = 400
"""After so many requests `Endless` refuses, so that an endless run fails instead of hanging."""

TIME = 1_700_000_000_000


@pytest.fixture
def account() -> Account:
    return Account.from_seed(12, seed=7)


class Endless:
    """A fault that answers each request with a body made of the request's number, from 0."""

    def __init__(self, body: Callable[[int], Any]) -> None:
        self.count = 0
        self._body = body

    def __call__(self, handler: SandboxHandler) -> None:
        fault = answer(body=self._body(self.count)) if self.count < MOST_REQUESTS else answer(400)
        self.count += 1
        fault(handler)


# Messages


def messages_body(number: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"data": {"messages": rows}, "pagination": {"more": True, "next": number + 1}}


def message_rows(first: int, count: int) -> list[dict[str, Any]]:
    return [{"id": first + number, "createdAt": TIME} for number in range(count)]


@pytest.mark.parametrize(
    ("rows", "requests"), [(message_rows(1, 50), 2), (message_rows(1, 1), 2), ([], 1)]
)
def test_messages_without_a_new_row_fail_the_item_alone(
    rows: list[dict[str, Any]], requests: int, drift: FakeDrift, config: dict[str, Any]
) -> None:
    endless = drift.conversation_ids()[4]
    fault = Endless(lambda number: messages_body(number, rows))
    drift.faults_by_path[f"/{endless}/messages"] = fault
    messages, error = sync_failing(config, catalog=catalog("messages"))
    assert "messages: 1 item could not be read" in error
    assert fault.count == requests
    read = {record["conversationId"] for record in messages.records("messages")}
    with_messages = {message["conversationId"] for message in drift.source_rows("messages")}
    assert read == with_messages - {endless}
    [failed] = FailedItems(messages.state()["bookmarks"]["messages"])
    assert failed.id == endless
    assert "no new row" in failed.reason


@pytest.mark.parametrize("limit", ["_MAX_PAGES", "_MAX_BYTES"])
def test_messages_with_new_rows_for_ever_fail_the_item_alone(
    limit: str, drift: FakeDrift, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page has about 2,000 bytes."""
    monkeypatch.setattr(per_conversation, limit, 20 if limit == "_MAX_PAGES" else 40_000)
    endless = drift.conversation_ids()[4]
    fault = Endless(lambda number: messages_body(number, message_rows(50 * number, 50)))
    drift.faults_by_path[f"/{endless}/messages"] = fault
    messages, error = sync_failing(config, catalog=catalog("messages"))
    assert "messages: 1 item could not be read" in error
    assert fault.count <= 30
    [failed] = FailedItems(messages.state()["bookmarks"]["messages"])
    assert "more pages are not read" in failed.reason


# Accounts


@pytest.mark.parametrize(
    ("pages", "requests"),
    [
        ([[]], 1),
        ([["a", "b"]], 2),
        ([["a"], ["b"]], 3),
        ([["a"], []], 2),
    ],
    ids=["none", "same", "alternating", "empty"],
)
def test_accounts_without_a_new_row_fail_the_stream(
    pages: list[list[str]], requests: int, drift: FakeDrift, config: dict[str, Any]
) -> None:
    ids = cycle(pages)
    fault = Endless(
        lambda number: {
            "data": {
                "accounts": [{"accountId": account_id} for account_id in next(ids)],
                "next": f"/accounts?index={number + 1}&size=65",
                "total": 1,
            }
        }
    )
    drift.faults_by_path["/accounts"] = fault
    messages, error = sync_failing(config, catalog=catalog("accounts"))
    assert "Endless pages on /accounts" in error
    assert fault.count == requests
    emitted = [record["accountId"] for record in messages.records("accounts")]
    assert emitted == [each for page_ids in pages for each in page_ids]


# The listing


def listing_body(number: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    next_link = f"https://api.drift.com/conversations/list?page_token=token-{number}"
    return {"data": rows, "links": {"next": next_link}}


def conversation(number: int, updated_at: int | None = TIME) -> dict[str, Any]:
    return {"id": number, "updatedAt": updated_at}


@pytest.mark.parametrize(
    "pages",
    [
        [[]],
        [[conversation(1, TIME), conversation(2, TIME - 1)]],
        [[conversation(number)] for number in range(7)],
        [[conversation(1, TIME)], [conversation(2, TIME - 1)]],
        [[conversation(1, None), conversation(2, None)]],
        [[conversation(1)], [], []],
    ],
    ids=["none", "same", "equal times", "alternating", "without times", "mostly empty"],
)
@pytest.mark.parametrize("streams", [("conversations",), ("conversations", "transcripts")])
def test_listing_without_a_new_row_fails_the_stream(
    streams: tuple[str, ...],
    pages: list[list[dict[str, Any]]],
    drift: FakeDrift,
    config: dict[str, Any],
) -> None:
    drift.faults_by_path["/transcript"] = answer(body="text")
    rows = cycle(pages)
    fault = drift.faults_by_path["list?"] = Endless(lambda number: listing_body(number, next(rows)))
    messages, error = sync_failing(config, catalog=catalog(*streams))
    assert "100 pages in a row had a link to the next page, but no new row" in error
    assert fault.count <= MAX_PAGES_WITHOUT_NEW_ROWS + 2 * len(pages)
    assert "replication_key_value" not in messages.state()["bookmarks"].get("conversations", {})


def test_hole_in_the_listing_is_not_the_end(drift: FakeDrift, config: dict[str, Any]) -> None:
    """Filters and deleted conversations can leave pages without rows."""
    hole = [page(next=f"https://x/?page_token={number}") for number in range(99)]
    first = page(conversation(1), next="https://x/?page_token=first")
    drift.faults.extend([*hole, first, page(conversation(2, TIME - 1))])
    assert sync(config).record_ids() == [1, 2]


# A listing that says it has more, without a link


def cut_page(*rows: dict[str, Any]) -> dict[str, Any]:
    """Return a page as an older page of Drift's documentation has it."""
    return {"data": rows, "pagination": {"more": True, "next": "2"}}


@pytest.mark.parametrize("streams", [("conversations",), ("conversations", "messages")])
def test_cut_listing_is_an_error_and_no_bookmark(
    streams: tuple[str, ...], drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(answer(body=cut_page(*drift.account.conversations[:3])))
    messages, error = sync_failing(config, catalog=catalog(*streams))
    assert "/conversations/list has more conversations, but no link to them" in error
    assert messages.record_ids() == drift.conversation_ids()[:3]
    again = sync(config, messages.state(), catalog(*streams))
    assert set(again.record_ids()) == set(drift.conversation_ids())


def test_listing_cut_later_is_resumed_before_the_cut(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    config = config | {"page_size": 4, "lookback_seconds": 0}
    rows = drift.account.conversations
    next_link = {"links": {"next": "https://x/?page_token=x"}}
    drift.faults.append(answer(body={"data": rows[:4]} | next_link))
    drift.faults.append(answer(body=cut_page(*rows[4:8])))
    messages, _ = sync_failing(config)
    assert messages.record_ids() == drift.conversation_ids()[:8]
    assert messages.state()["bookmarks"]["conversations"]["resume"]["next"] == "page_token=x"


def test_cut_below_the_bookmark_is_no_error(drift: FakeDrift, config: dict[str, Any]) -> None:
    config = config | {"lookback_seconds": 0}
    state = sync(config).state()
    updated = drift.conversation_ids()[5]
    drift.update_conversation(updated, now_ms())
    drift.faults.append(answer(body=cut_page(*drift.account.conversations[:4])))
    assert updated in sync(config, state).record_ids()


@pytest.mark.parametrize("pagination", [{}, {"more": False}, {"more": None}])
def test_older_form_of_the_last_page_is_the_end(
    pagination: dict[str, Any], drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(answer(body={"data": [conversation(1)], "pagination": pagination}))
    messages = sync(config)
    assert messages.record_ids() == [1]
    assert messages.bookmarks()["conversations"]


# Meetings


def meeting(number: int, start: int | None) -> dict[str, Any]:
    return {"slug": f"m{number}", "slotStart": start}


@pytest.mark.parametrize(
    "meetings",
    [
        [meeting(number, TIME + 86_400_000 * number) for number in range(100)],
        [meeting(number, TIME + number) for number in range(1000)],
        [meeting(number, TIME) for number in range(100)],
        [meeting(number, None) for number in range(100)],
        [meeting(0, 0), *(meeting(number, TIME) for number in range(1, 100))],
    ],
    ids=["days apart", "dense", "equal", "without times", "at zero"],
)
def test_meetings_that_ignore_the_window_fail_the_stream(
    meetings: list[dict[str, Any]], drift: FakeDrift, config: dict[str, Any]
) -> None:
    fault = drift.faults_by_path["/meetings"] = Endless(lambda _: {"data": meetings})
    messages, error = sync_failing(config, catalog=catalog("meetings"))
    assert "returned only rows outside the time window" in error
    assert fault.count < 100
    assert len(messages.records("meetings")) == len(meetings)


def test_few_meetings_whatever_the_window_are_complete(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    """Such a response has no sign of being truncated."""
    meetings = [meeting(number, TIME + number) for number in range(99)]
    drift.faults_by_path["/meetings"] = Endless(lambda _: {"data": meetings})
    assert len(sync(config, catalog=catalog("meetings")).records("meetings")) == 99
    assert len(drift.requests) == 1


def test_meetings_in_every_window_fail_the_stream(
    drift: FakeDrift, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paginators, "_MAX_WINDOWS", 50)

    def fill_window(handler: SandboxHandler) -> None:
        start = int(drift.queries()[-1]["min_start_time"][0])
        answer(body={"data": [meeting(start + number, start) for number in range(100)]})(handler)

    drift.faults_by_path["/meetings"] = fill_window
    _, error = sync_failing(config, catalog=catalog("meetings"))
    assert "rows in more than 50 time windows" in error
    assert len(drift.requests) == 50


# Errors and waits


ROWS: dict[str, dict[str, Any]] = {
    "conversations": {"data": [conversation(1)]},
    "users": {"data": [{"id": 1}]},
    "accounts": {"data": {"accounts": [{"accountId": "a"}]}},
}


@pytest.mark.parametrize("name", ["errors", "error"])
@pytest.mark.parametrize("stream", ROWS)
def test_error_beside_rows_is_warned_of(
    stream: str,
    name: str,
    drift: FakeDrift,
    config: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = {"type": "internal_error", "message": "half of it"}
    drift.faults.append(answer(body=ROWS[stream] | {name: [error] if name == "errors" else error}))
    assert len(sync(config, catalog=catalog(stream)).records(stream)) == 1
    [warning] = [each for each in caplog.records if "error beside the rows" in each.getMessage()]
    assert warning.levelname == "WARNING"
    assert drift.requests[0].split("?")[0] in warning.getMessage()
    assert "internal_error: half of it" in warning.getMessage()


def test_error_beside_messages_is_warned_of_once(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    errors = [{"type": "internal_error", "message": "half of it"}]
    body = {"data": {"messages": []}, "pagination": {"more": False}, "errors": errors}
    drift.faults_by_path["/messages"] = answer(body=body)
    sync(config, catalog=catalog("messages"))
    assert caplog.text.count("an error beside the rows") == 1


def test_redirects_are_not_followed(drift: FakeDrift, config: dict[str, Any]) -> None:
    drift.faults_by_path["list?"] = answer(302, Location=f"{drift.url}/conversations/list?again")
    _, error = sync_failing(config)
    assert "a redirect to http://127.0.0.1" in error
    assert len(drift.requests) == 1


def test_retry_after_for_ever_ends_after_hours(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    drift.faults_by_path["list?"] = answer(429, Retry_After="86400")
    started = clock.now
    sync_failing(config)
    assert MAX_RETRY_AFTER_TOTAL <= clock.now - started <= 2 * MAX_RETRY_AFTER_TOTAL
    assert len(drift.requests) <= 2 * MAX_RETRY_AFTER_TOTAL / MAX_RETRY_AFTER
