"""Failed items: a conversation or contact that Drift cannot deliver costs nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from fake_drift import TOKEN, now_ms
from fake_target import FakeTarget
from faults import answer, answer_normally, messages_page, page, reset, truncated
from runs import CapturedMessages, catalog, catalog_entry, sync, sync_failing
from seeds import positions

from tap_drift.api.client import DriftSession
from tap_drift.sandbox.data.account import Account
from tap_drift.streams import per_conversation
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fake_clock import FakeClock
    from fake_drift import FakeDrift
    from faults import Fault

    from tap_drift.sandbox.server import SandboxHandler

pytestmark = pytest.mark.slow

STREAMS = ("conversations", "messages")
PAGE = {"id": 1, "createdAt": 1}

REFUSALS = {
    "400": answer(400, {"error": {"type": "CONTACT-11", "message": "no"}}),
    "401": answer(401),
    "403": answer(403),
    "302": answer(302, Location="https://elsewhere.example"),
}
TRANSIENT = {
    "500": answer(500),
    "503 web page": answer(503, "<html>"),
    "408": answer(408),
    "not JSON": answer(body="<html>"),
    "shape": answer(body={"data": {}}),
    "undecodable": answer(body="not compressed", Content_Encoding="gzip"),
    "truncated": truncated,
    "reset": reset,
}
WRONG_ROWS = {
    "no key": messages_page({"createdAt": 1}),
    "text as key": messages_page({"id": "secret", "createdAt": 1}),
    "no time": messages_page({"id": 1, "createdAt": "secret"}),
    "time out of range": messages_page({"id": 1, "createdAt": 10**20}),
    "loop": messages_page(PAGE, more=True, next=1),
}
FAULTS = REFUSALS | TRANSIENT | WRONG_ROWS


@pytest.fixture
def account() -> Account:
    return Account.from_seed(12, seed=7)


@pytest.fixture
def config(config: dict[str, Any]) -> dict[str, Any]:
    return config | {"page_size": 5, "lookback_seconds": 0}


@pytest.fixture(params=[1, 8], ids=["sequential", "concurrent"])
def settings(config: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, Any]:
    return config | {"concurrency": request.param}


def failed_items(messages: CapturedMessages, stream: str = "messages") -> dict[str, Any]:
    """Return the failed items of a stream in the last state."""
    items: dict[str, Any] = messages.state()["bookmarks"][stream].get("failed_items", {})
    return items


def failed_ids(messages: CapturedMessages, stream: str = "messages") -> list[int]:
    return [int(key) for key in failed_items(messages, stream)]


def missing_conversations(target: FakeTarget, drift: FakeDrift) -> set[int]:
    """Return the conversations of which the target lacks messages."""
    return {row[2] for row in target.missing(drift, "messages")}


def with_messages(drift: FakeDrift) -> list[int]:
    """Return the ids of the conversations that have messages, in listing order."""
    account = drift.account
    return [each["id"] for each in account.conversations if account.messages(each)]


def messages_path(conversation_id: int) -> str:
    return f"/conversations/{conversation_id}/messages"


# One item


@pytest.mark.parametrize("position", positions([5], [0, 5, -1]))
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.usefixtures("clock")
def test_bad_item_costs_one_item(
    fault: Fault, position: int, drift: FakeDrift, settings: dict[str, Any]
) -> None:
    bad = with_messages(drift)[position]
    drift.faults_by_path[messages_path(bad)] = fault
    messages, error = sync_failing(settings, catalog=catalog(*STREAMS))
    assert error == (
        "messages: 1 item could not be read; all others were (`max_failed_items` is 0). The next "
        "run requests it again."
    )
    target = FakeTarget(messages.all)
    assert missing_conversations(target, drift) == {bad}
    assert target.missing(drift) == set()
    assert failed_ids(messages) == [bad]
    assert messages.bookmarks()["messages"] == messages.bookmarks()["conversations"]
    assert "resume" not in messages.state()["bookmarks"]["messages"]


@pytest.mark.parametrize("fault", (TRANSIENT | WRONG_ROWS).values(), ids=TRANSIENT | WRONG_ROWS)
@pytest.mark.usefixtures("clock")
def test_bad_item_can_be_the_only_one(
    fault: Fault, drift: FakeDrift, config: dict[str, Any]
) -> None:
    del drift.account.conversations[1:]
    [only] = drift.conversation_ids()
    drift.faults_by_path["/messages"] = fault
    messages, _ = sync_failing(config, catalog=catalog(*STREAMS))
    assert failed_ids(messages) == [only]
    assert messages.bookmarks()["messages"] == messages.bookmarks()["conversations"]


@pytest.mark.parametrize("position", [0, 5, -1])
def test_bad_contact_costs_one_contact(
    position: int, drift: FakeDrift, settings: dict[str, Any]
) -> None:
    bad = drift.source_rows("contacts")[position]["id"]
    drift.faults_by_path[f"/contacts/{bad}"] = answer(401)
    streams = ("conversations", "contacts")
    messages, _ = sync_failing(settings, catalog=catalog(*streams))
    assert FakeTarget(messages.all).missing(drift, *streams) == {("contacts", bad)}
    assert failed_ids(messages, "contacts") == [bad]


@pytest.mark.parametrize("contact", ["../users/list", 1.5, True, {"id": 1}, []])
def test_contact_id_that_is_no_integer_is_not_requested(
    contact: Any, drift: FakeDrift, config: dict[str, Any]
) -> None:
    rows = [{"id": number, "updatedAt": 9 - number} for number in range(3)]
    good = next(each["contactId"] for each in drift.account.conversations if "contactId" in each)
    drift.faults.append(
        page(rows[0], rows[1] | {"contactId": contact}, rows[2] | {"contactId": good})
    )
    messages, error = sync_failing(config, catalog=catalog("contacts"))
    assert error.startswith("contacts: 1 item could not be read")
    assert messages.record_ids("contacts") == [good]
    assert drift.requests[1:] == [f"/contacts/{good}"]


def test_items_of_several_streams_fail_by_themselves(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    streams = ("conversation_details", "messages", "transcripts")
    details, messages_of, transcript = drift.conversation_ids()[3:6]
    drift.faults_by_path |= {
        f"/conversations/{details}": answer(400),
        messages_path(messages_of): answer(400),
        f"/conversations/{transcript}/transcript": answer(400),
    }
    # The first fault applies to all paths of its conversation.
    messages, error = sync_failing(config, catalog=catalog(*streams))
    assert {name: failed_ids(messages, name) for name in streams} == {
        "conversation_details": [details],
        "messages": [details, messages_of],
        "transcripts": [details, transcript],
    }
    allowed = "could not be read; all others were (`max_failed_items` is 0). The next run requests"
    assert error.splitlines() == [
        f"conversation_details: 1 item {allowed} it again.",
        f"messages: 2 items {allowed} them again.",
        f"transcripts: 2 items {allowed} them again.",
    ]


# What it costs


@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT.keys())
def test_failed_item_costs_six_attempts_within_a_minute(
    fault: Fault, drift: FakeDrift, settings: dict[str, Any], clock: FakeClock
) -> None:
    bad = drift.conversation_ids()[5]
    drift.faults_by_path[messages_path(bad)] = fault
    sync_failing(settings, catalog=catalog("messages"))
    # A reset of a reused connection is repeated at once.
    most = 12 if fault is reset else 6
    assert 6 <= drift.count_requests(messages_path(bad)) <= most
    assert 10 < sum(clock.slept) < 60


@pytest.mark.parametrize("fault", (REFUSALS | WRONG_ROWS).values(), ids=REFUSALS | WRONG_ROWS)
def test_item_that_no_retry_can_help_is_requested_once(
    fault: Fault, drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    bad = drift.conversation_ids()[5]
    drift.faults_by_path[messages_path(bad)] = fault
    sync_failing(config, catalog=catalog("messages"))
    pages = 2 if fault is WRONG_ROWS["loop"] else 1
    assert drift.count_requests(messages_path(bad)) == pages
    assert clock.slept == []


class Outage:
    """Makes requests fail before they are sent, until a time; time passes as for a timeout."""

    def __init__(self, clock: FakeClock) -> None:
        self.path = ""
        """The requests that fail have this in their URL."""
        self.error: type[requests.RequestException] = requests.ConnectionError
        self.seconds = 0.0
        """How long each failure takes."""
        self.until = 0.0
        self.requests = 0
        """Number of requests that failed."""
        self._clock = clock
        self._session = requests.Session()

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        if self.path not in str(request.url) or self._clock.now >= self.until:
            return self._session.send(request, **options)
        self.requests += 1
        self._clock.now += self.seconds
        raise self.error("no answer")


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> Outage:
    """An outage that has not begun."""
    outage = Outage(clock)
    monkeypatch.setattr(DriftSession, "send", outage.send)
    return outage


def test_item_that_times_out_costs_two_minutes(
    drift: FakeDrift, settings: dict[str, Any], clock: FakeClock, outage: Outage
) -> None:
    bad = drift.conversation_ids()[5]
    outage.path, outage.until = messages_path(bad), float("inf")
    outage.error, outage.seconds = requests.ReadTimeout, 60
    started = clock.now
    messages, _ = sync_failing(settings, catalog=catalog("messages"))
    assert failed_ids(messages) == [bad]
    assert outage.requests == 2
    assert clock.now - started < 125


# Drift is unreachable for all requests


def start_outage(drift: FakeDrift, after: int, start: Callable[[], None]) -> None:
    """Call `start` when this number of requests has been answered, of about 30."""
    drift.account = Account.from_seed(25, seed=7)
    drift.on_request = lambda number: start() if number == after + 1 else None


@pytest.mark.parametrize("after", positions([4], [1, 4, 9, 13]))
def test_errors_for_all_requests_for_minutes_lose_no_item(
    after: int, drift: FakeDrift, settings: dict[str, Any], clock: FakeClock
) -> None:
    def fail_for_minutes() -> None:
        end = clock.now + 280

        def fault(handler: SandboxHandler) -> None:
            (answer(500) if clock.now < end else answer_normally)(handler)

        drift.faults_by_path["/"] = fault

    start_outage(drift, after, fail_for_minutes)
    messages = sync(settings, catalog=catalog(*STREAMS))
    assert FakeTarget(messages.all).missing(drift, *STREAMS) == set()
    assert failed_items(messages) == {}


@pytest.mark.parametrize("after", positions([4], [1, 4, 9, 13]))
def test_unreachable_drift_for_minutes_loses_no_item(
    after: int, drift: FakeDrift, settings: dict[str, Any], clock: FakeClock, outage: Outage
) -> None:

    def disconnect() -> None:
        outage.until = clock.now + 280

    start_outage(drift, after, disconnect)
    messages = sync(settings, catalog=catalog(*STREAMS))
    assert FakeTarget(messages.all).missing(drift, *STREAMS) == set()
    assert failed_items(messages) == {}
    assert outage.requests > 0


@pytest.mark.parametrize("after", positions([4], [1, 4, 9, 13]))
@pytest.mark.parametrize("is_connected", [True, False])
def test_longer_outage_fails_streams_and_no_item(
    after: int,
    drift: FakeDrift,
    settings: dict[str, Any],
    outage: Outage,
    *,
    is_connected: bool,
) -> None:
    def start() -> None:
        if is_connected:
            drift.faults_by_path["/"] = answer(500)
        else:
            outage.until = float("inf")

    start_outage(drift, after, start)
    streams = ("conversations", "messages", "transcripts", "contacts")
    selected = catalog(*streams)
    messages, error = sync_failing(settings, catalog=selected)
    assert "4 of 4 streams failed" in error or "3 of 4 streams failed" in error
    assert "run again when Drift is reachable" in error
    states = messages.state()["bookmarks"].values()
    assert not any("failed_items" in state for state in states)
    drift.on_request, outage.until = None, 0
    drift.faults_by_path.clear()
    target = FakeTarget(messages.all)
    target.load(sync(settings, target.state, selected).all)
    assert target.missing(drift, *streams) == set()


# The state


@pytest.fixture
def bad(drift: FakeDrift) -> int:
    """The id of a conversation whose messages are refused."""
    bad = with_messages(drift)[5]
    drift.faults_by_path[messages_path(bad)] = answer(400)
    return bad


def test_state_lists_what_failed_and_since_when(
    drift: FakeDrift, config: dict[str, Any], bad: int
) -> None:
    first, _ = sync_failing(config, catalog=catalog("messages"))
    entry = failed_items(first)[str(bad)]
    assert entry["reason"].startswith(f"400 on {messages_path(bad)}")
    assert entry["status"] == 400
    assert entry["since"] == entry["last"]
    drift.faults_by_path[messages_path(bad)] = answer(403)
    second, _ = sync_failing(config, first.state(), catalog("messages"))
    again = failed_items(second)[str(bad)]
    assert "scope `conversation_read`" in again["reason"]
    assert again["status"] == 403
    assert again["since"] == entry["since"] < again["last"]


@pytest.mark.parametrize("fault", [TRANSIENT["shape"], WRONG_ROWS["no key"], reset])
@pytest.mark.usefixtures("clock")
def test_status_is_null_without_a_status_of_failure(
    fault: Fault, drift: FakeDrift, config: dict[str, Any], bad: int
) -> None:
    drift.faults_by_path[messages_path(bad)] = fault
    messages, _ = sync_failing(config, catalog=catalog("messages"))
    assert failed_items(messages)[str(bad)]["status"] is None


def test_reason_has_no_content_of_the_response(
    drift: FakeDrift, config: dict[str, Any], bad: int, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("text as key", "no time"):
        drift.faults_by_path[messages_path(bad)] = WRONG_ROWS[name]
        messages, error = sync_failing(config, catalog=catalog("messages"))
        assert "secret" not in str(messages.state()) + error + caplog.text


def test_next_run_requests_unchanged_item_again(
    drift: FakeDrift, config: dict[str, Any], bad: int
) -> None:
    messages, _ = sync_failing(config, catalog=catalog(*STREAMS))
    target = FakeTarget(messages.all)
    drift.faults_by_path.clear()
    drift.requests.clear()
    second = sync(config, target.state, catalog(*STREAMS))
    target.load(second.all)
    assert target.missing(drift, *STREAMS) == set()
    assert failed_items(second) == {}
    head = drift.conversation_ids()[0]
    paths = [path.split("?")[0] for path in drift.requests]
    assert sorted(paths) == sorted(["/conversations/list", messages_path(head), messages_path(bad)])


def test_changed_item_is_requested_once(drift: FakeDrift, config: dict[str, Any], bad: int) -> None:
    messages, _ = sync_failing(config, catalog=catalog(*STREAMS))
    drift.faults_by_path.clear()
    drift.requests.clear()
    drift.add_message(bad, now_ms())
    second = sync(config, messages.state(), catalog(*STREAMS))
    assert drift.count_requests(messages_path(bad)) == 1
    assert failed_items(second) == {}


def test_deleted_item_leaves_the_list(drift: FakeDrift, config: dict[str, Any], bad: int) -> None:
    messages, _ = sync_failing(config, catalog=catalog(*STREAMS))
    drift.faults_by_path[messages_path(bad)] = answer(404)
    second = sync(config, messages.state(), catalog(*STREAMS))
    assert failed_items(second) == {}
    drift.requests.clear()
    sync(config, second.state(), catalog(*STREAMS))
    assert drift.count_requests(messages_path(bad)) == 0


def test_failed_contact_is_requested_again(drift: FakeDrift, config: dict[str, Any]) -> None:
    bad = drift.source_rows("contacts")[5]["id"]
    drift.faults_by_path[f"/contacts/{bad}"] = answer(400)
    messages, _ = sync_failing(config, catalog=catalog("contacts"))
    drift.faults_by_path.clear()
    target = FakeTarget(messages.all)
    target.load(sync(config, target.state, catalog("contacts")).all)
    assert target.missing(drift, "contacts") == set()


def test_negative_contact_id_does_not_break_the_state(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.account.conversations[3]["contactId"] = -5
    drift.faults_by_path["/contacts/-5"] = answer(400)
    messages, _ = sync_failing(config, catalog=catalog("contacts"))
    drift.faults_by_path["/contacts/-5"] = answer(404)
    assert failed_items(sync(config, messages.state(), catalog("contacts")), "contacts") == {}


def test_item_that_fails_twice_in_a_row_is_listed_once(config: dict[str, Any], bad: int) -> None:
    state: dict[str, Any] | None = None
    for _ in range(3):
        messages, _ = sync_failing(config, state, catalog(*STREAMS))
        state = messages.state()
        assert failed_ids(messages) == [bad]


def test_state_without_failed_items_is_accepted(drift: FakeDrift, config: dict[str, Any]) -> None:
    state = sync(config, catalog=catalog(*STREAMS)).state()
    assert "failed_items" not in state["bookmarks"]["messages"]
    drift.requests.clear()
    sync(config, state, catalog(*STREAMS))
    assert len(drift.requests) == 2


def test_deselected_stream_keeps_its_failed_items(
    drift: FakeDrift, config: dict[str, Any], bad: int
) -> None:
    messages, _ = sync_failing(config, catalog=catalog(*STREAMS))
    target = FakeTarget(messages.all)
    between = sync(config, target.state, catalog("conversations"))
    assert failed_ids(between) == [bad]
    drift.faults_by_path.clear()
    target.load(between.all)
    target.load(sync(config, target.state, catalog(*STREAMS)).all)
    assert target.missing(drift, *STREAMS) == set()


def test_failed_item_is_requested_after_a_change_of_statuses(
    drift: FakeDrift, config: dict[str, Any], bad: int
) -> None:
    status = next(c["status"] for c in drift.account.conversations if c["id"] == bad)
    messages, _ = sync_failing(config, catalog=catalog(*STREAMS))
    target = FakeTarget(messages.all)
    drift.faults_by_path.clear()
    others = [each for each in ("open", "closed", "pending") if each != status]
    target.load(sync(config | {"statuses": others}, target.state, catalog(*STREAMS)).all)
    assert bad not in missing_conversations(target, drift)


def test_full_table_retries_failed_items_that_are_not_listed(
    drift: FakeDrift, config: dict[str, Any], bad: int
) -> None:
    selected = catalog(*STREAMS)
    catalog_entry(selected, "messages")["replication_method"] = "FULL_TABLE"
    messages, _ = sync_failing(config, catalog=selected)
    assert failed_ids(messages) == [bad]
    drift.faults_by_path.clear()
    drift.requests.clear()
    second = sync(config, messages.state(), selected)
    assert failed_items(second) == {}
    assert FakeTarget(second.all).missing(drift, "messages") == set()
    assert drift.count_requests(messages_path(bad)) == 1


def test_failed_item_is_listed_once_if_a_moved_one_succeeds(
    drift: FakeDrift, config: dict[str, Any], bad: int
) -> None:
    """The conversation is listed twice: its first request fails, and its second does not."""
    drift.account.conversations.insert(
        0, drift.account.conversations[5] | {"id": bad, "updatedAt": now_ms()}
    )
    faults = iter([answer(400), answer_normally])
    drift.faults_by_path[messages_path(bad)] = lambda handler: next(faults)(handler)  # noqa: PLW0108 - the next fault at each call
    settings = config | {"concurrency": 1}
    assert failed_items(sync(settings, catalog=catalog(*STREAMS))) == {}


# Stream maps


def test_filter_keeps_failed_items_that_it_excludes_later(
    drift: FakeDrift, config: dict[str, Any], bad: int
) -> None:
    messages, _ = sync_failing(config, catalog=catalog(*STREAMS))
    drift.faults_by_path.clear()
    drift.add_message(bad, now_ms())
    maps = {"stream_maps": {"conversations": {"__filter__": "id == 0"}}}
    second = sync(config | maps, messages.state(), catalog(*STREAMS))
    assert failed_items(second) == {}
    assert {record["conversationId"] for record in second.records("messages")} == {bad}


def test_filter_excludes_items_that_would_fail(config: dict[str, Any], bad: int) -> None:
    maps = {"stream_maps": {"conversations": {"__filter__": f"id != {bad}"}}}
    messages = sync(config | maps, catalog=catalog(*STREAMS))
    assert failed_items(messages) == {}


def test_contact_of_filtered_conversations_does_not_fail(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    contact = next(c for c in drift.account.conversations if c.get("contactId"))["contactId"]
    drift.faults_by_path[f"/contacts/{contact}"] = answer(400)
    maps = {"stream_maps": {"conversations": {"__filter__": f"contactId != {contact}"}}}
    messages = sync(config | maps, catalog=catalog("conversations", "contacts"))
    assert failed_ids(messages, "contacts") == []


# Too many


def test_more_failed_items_than_the_bound_fail_the_stream(
    drift: FakeDrift, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(per_conversation, "MAX_ITEMS", 3)
    bad = drift.conversation_ids()[1:5]
    for each in bad:
        drift.faults_by_path[messages_path(each)] = answer(400)
    settings = config | {"max_failed_items": 100}
    messages, error = sync_failing(settings, catalog=catalog(*STREAMS))
    assert "messages failed: More than 3 items failed; the last: 400 on" in error
    assert failed_ids(messages) == bad[:3]
    assert FakeTarget(messages.all).missing(drift) == set()
    del drift.faults_by_path[messages_path(bad[3])]
    target = FakeTarget(messages.all)
    second = sync(settings, target.state, catalog(*STREAMS))
    target.load(second.all)
    assert failed_ids(second) == bad[:3]
    assert missing_conversations(target, drift) <= set(bad[:3])


def test_first_twenty_failures_are_named_and_all_counted(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    drift.account = Account.from_seed(30, seed=7)
    for each in drift.conversation_ids()[5:]:
        drift.faults_by_path[messages_path(each)] = answer(400)
    sync_failing(config, catalog=catalog("messages"))
    warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert sum(each.startswith("messages: failed item: 400 on /con") for each in warnings) == 20
    assert warnings[-1] == (
        "messages: 25 of 30 failed; the first 20 are named above. The next run requests them again."
    )


# Not an item's fault


@pytest.mark.parametrize("status", [400, 401, 403])
def test_stream_fails_if_its_first_items_are_all_refused(
    status: int, drift: FakeDrift, settings: dict[str, Any]
) -> None:
    drift.account = Account.from_seed(40, seed=7)
    drift.faults_by_path["/messages"] = answer(status)
    messages, error = sync_failing(settings | {"max_failed_items": 1000}, catalog=catalog(*STREAMS))
    assert "messages failed: Its first 20 requests failed; the last: " in error
    assert ("scope `conversation_read`" in error) == (status != 400)
    assert not messages.bookmarks().get("messages")
    assert messages.record_ids() == drift.conversation_ids()


def test_stream_fails_if_its_few_items_are_all_refused(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.tokens.scopes = ["conversation_read"]
    settings = config | {"max_failed_items": 1000}
    messages, error = sync_failing(settings, catalog=catalog("conversations", "contacts"))
    assert "contacts failed: Drift refused the token" in error
    assert "`contact_read`" in error
    assert not messages.bookmarks().get("contacts")
    drift.tokens.scopes = ["conversation_read", "contact_read"]
    target = FakeTarget(messages.all)
    target.load(sync(config, target.state, catalog("conversations", "contacts")).all)
    assert target.missing(drift, "contacts") == set()


def test_items_refused_after_a_success_do_not_fail_the_stream(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    state = sync(config, catalog=catalog(*STREAMS)).state()
    updated = drift.conversation_ids()[-1]
    drift.add_message(updated, now_ms())
    drift.faults_by_path["/messages"] = answer(403)
    messages, error = sync_failing(config, state, catalog(*STREAMS))
    assert "messages: 2 items could not be read" in error
    assert updated in failed_ids(messages)


def test_token_revoked_during_a_run_fails_the_streams(
    drift: FakeDrift, settings: dict[str, Any]
) -> None:
    """The listing has been read; only the requests for items meet the refusal."""
    drift.account = Account.from_seed(30, seed=7)
    settings["page_size"], selected = 30, catalog("messages")

    def revoke(request: int) -> None:
        if request == 10:
            drift.tokens.static_token = "another"

    drift.on_request = revoke
    messages, error = sync_failing(settings, catalog=selected)
    assert "messages failed: Drift refused the token (401 on /conversations/list)" in error
    # Requests under way at that moment can be answered in another order.
    assert len(failed_ids(messages)) < settings["concurrency"]
    drift.on_request, drift.tokens.static_token = None, TOKEN
    target = FakeTarget(messages.all)
    target.load(sync(settings, target.state, selected).all)
    assert target.missing(drift, "messages") == set()


def test_refused_listing_ends_the_run_at_once(drift: FakeDrift, config: dict[str, Any]) -> None:
    drift.tokens.static_token = "another"
    _, error = sync_failing(config, catalog=catalog("conversations", "messages", "contacts"))
    assert "Drift refused the token (401 on /conversations/list)" in error
    assert len(drift.requests) == 1


class ForgetfulTokenStore:
    """Accepts each refresh token, and keeps none."""

    def check(self, used: str) -> None:
        """Do nothing."""

    def save(self, used: str, new: str) -> None:
        """Do nothing."""


def test_refused_items_renew_the_token_once(
    drift: FakeDrift, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = [row["id"] for row in drift.source_rows("contacts")[2:]]
    for contact in refused:
        drift.faults_by_path[f"/contacts/{contact}"] = answer(401)
    del settings["access_token"]
    settings |= {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
    settings["refresh_token"] = "sandbox-refresh-0"
    monkeypatch.setattr(TapDrift, "token_store", ForgetfulTokenStore())
    messages, _ = sync_failing(settings, catalog=catalog("contacts"))
    assert failed_ids(messages, "contacts") == refused
    # One at the start, and one for the refused items.
    assert drift.tokens.refresh_token == "sandbox-refresh-2"


# Several faults at once


def test_failed_items_and_a_failed_stream_are_both_reported(
    drift: FakeDrift, config: dict[str, Any], bad: int
) -> None:
    drift.faults_by_path["/transcript"] = answer(403)
    messages, error = sync_failing(config, catalog=catalog(*STREAMS, "transcripts"))
    assert error.splitlines()[0].startswith("transcripts failed: Drift refused the token")
    assert "messages: 1 item could not be read" in error
    assert error.endswith(
        "1 of 3 streams failed: transcripts. The state of the other streams is kept."
    )
    assert failed_ids(messages) == [bad]


def test_listing_that_fails_keeps_the_failed_items_so_far(
    drift: FakeDrift, config: dict[str, Any], bad: int
) -> None:
    faults = iter([answer_normally, answer(403)])
    drift.faults_by_path["list?page_token"] = lambda handler: next(faults)(handler)  # noqa: PLW0108 - the next fault at each call
    messages, _ = sync_failing(config, catalog=catalog(*STREAMS))
    assert failed_ids(messages) == [bad]
    drift.faults_by_path.clear()
    target = FakeTarget(messages.all)
    target.load(sync(config, target.state, catalog(*STREAMS)).all)
    assert target.missing(drift, *STREAMS) == set()


def test_batches_list_failed_items_in_the_last_state(
    drift: FakeDrift, config: dict[str, Any], bad: int, tmp_path: Path
) -> None:
    storage = {"root": tmp_path.as_uri(), "prefix": "batch-"}
    batch = {"encoding": {"format": "jsonl"}, "storage": storage, "batch_size": 5}
    settings = config | {"batch_config": batch}
    messages, _ = sync_failing(settings, catalog=catalog(*STREAMS))
    assert failed_ids(messages) == [bad]
    drift.faults_by_path.clear()
    second = sync(settings, messages.state(), catalog(*STREAMS))
    assert failed_items(second) == {}
    assert bad in {record["conversationId"] for record in second.records("messages")}


# The setting


@pytest.fixture
def with_transcripts(drift: FakeDrift, bad: int) -> dict[str, Any]:
    """A catalog of two streams in each of which an item fails."""
    drift.faults_by_path[f"{bad}/transcript"] = answer(400)
    return catalog(*STREAMS, "transcripts")


@pytest.mark.parametrize("allowed", [0, 1])
def test_more_failed_items_than_allowed_fail_the_run(
    allowed: int, config: dict[str, Any], bad: int, with_transcripts: dict[str, Any]
) -> None:
    """The items of all streams count together, whichever run they failed in."""
    state: dict[str, Any] | None = None
    for _ in range(2):
        settings = config | {"max_failed_items": allowed}
        messages, error = sync_failing(settings, state, with_transcripts)
        assert error.count(f"(`max_failed_items` is {allowed})") == 2
        state = messages.state()
        assert failed_ids(messages) == failed_ids(messages, "transcripts") == [bad]


@pytest.mark.parametrize("allowed", [2, 3])
def test_allowed_failed_items_are_a_warning(
    allowed: int,
    config: dict[str, Any],
    with_transcripts: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    state: dict[str, Any] | None = None
    for _ in range(2):
        state = sync(config | {"max_failed_items": allowed}, state, with_transcripts).state()
        assert f"2 items could not be read; `max_failed_items` allows {allowed}" in caplog.text
        caplog.clear()


# The stream `failed_items`


def test_failed_items_are_rows_of_a_stream(
    drift: FakeDrift, config: dict[str, Any], bad: int
) -> None:
    selected = catalog(*STREAMS, "failed_items")
    first, _ = sync_failing(config, catalog=selected)
    [row] = first.records("failed_items")
    entry = failed_items(first)[str(bad)]
    assert row == {
        "stream": "messages",
        "id": bad,
        "reason": entry["reason"],
        "httpStatus": 400,
        "firstFailedAt": entry["since"],
        "lastFailedAt": entry["last"],
        "resolvedAt": None,
    }
    again, _ = sync_failing(config, first.state(), selected)
    [later] = again.records("failed_items")
    assert later["firstFailedAt"] == row["firstFailedAt"] < later["lastFailedAt"]
    assert later["resolvedAt"] is None
    drift.faults_by_path.clear()
    third = sync(config, again.state(), selected)
    [resolved] = third.records("failed_items")
    assert resolved == later | {"resolvedAt": resolved["resolvedAt"]}
    assert resolved["resolvedAt"] >= later["lastFailedAt"]
    assert sync(config, third.state(), selected).records("failed_items") == []


def test_failed_items_of_deselected_streams_are_rows(config: dict[str, Any], bad: int) -> None:
    state = sync_failing(config, catalog=catalog(*STREAMS))[0].state()
    messages = sync(config, state, catalog("failed_items"))
    assert messages.record_ids("failed_items") == [bad]
    assert failed_ids(messages) == [bad]


def test_failed_items_are_rows_if_the_listing_fails(
    drift: FakeDrift, config: dict[str, Any], bad: int
) -> None:
    state = sync_failing(config, catalog=catalog(*STREAMS))[0].state()
    drift.faults_by_path["/conversations/list"] = answer(403)
    messages, _ = sync_failing(config, state, catalog(*STREAMS, "failed_items"))
    assert messages.record_ids("failed_items") == [bad]


def test_failed_items_are_not_selected_by_default(config: dict[str, Any]) -> None:
    messages = sync(config)
    assert messages.records()
    assert {each.get("stream") for each in messages.all} == {"conversations", None}


def test_item_that_fails_again_in_the_run_is_not_resolved(
    drift: FakeDrift, config: dict[str, Any], bad: int
) -> None:
    """The conversation is listed twice: its first request succeeds, and its second does not."""
    selected = catalog(*STREAMS, "failed_items")
    state = sync_failing(config, catalog=selected)[0].state()
    drift.update_conversation(bad, now_ms() - 1)
    drift.account.conversations.insert(0, drift.account.conversations[0] | {"updatedAt": now_ms()})
    faults = iter([answer_normally, answer(400)])
    drift.faults_by_path[messages_path(bad)] = lambda handler: next(faults)(handler)  # noqa: PLW0108 - the next fault at each call
    messages, _ = sync_failing(config | {"concurrency": 1}, state, selected)
    assert failed_ids(messages) == [bad]
    [row] = messages.records("failed_items")
    assert row["resolvedAt"] is None


@pytest.mark.parametrize("index", [0, 1])
def test_shard_deletes_no_rows_of_other_shards(
    index: int, drift: FakeDrift, config: dict[str, Any]
) -> None:
    for each in drift.conversation_ids()[6:]:
        drift.faults_by_path[messages_path(each)] = answer(400)
    shard = {"shard_count": 2, "shard_index": index, "emit_activate_version_messages": True}
    messages, _ = sync_failing(config | shard, catalog=catalog("messages", "failed_items"))
    assert messages.records("failed_items")
    assert not any(each["type"] == "ACTIVATE_VERSION" for each in messages.all)


@pytest.mark.usefixtures("bad")
def test_whole_account_replaces_the_rows_of_earlier_runs(config: dict[str, Any]) -> None:
    settings = config | {"emit_activate_version_messages": True}
    messages, _ = sync_failing(settings, catalog=catalog("messages", "failed_items"))
    [version] = [each for each in messages.all if each["type"] == "ACTIVATE_VERSION"]
    assert version["stream"] == "failed_items"
