"""The streams that are asked once for each conversation."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import FakeDrift, FakeDriftHandler, now_ms
from fake_target import WALK_STREAMS, FakeTarget
from faults import answer, page
from runs import CapturedMessages, catalog, catalog_entry, sync

from tap_drift.exceptions import StreamsFailedError
from tap_drift.sandbox.data.account import Account
from tap_drift.timestamps import from_epoch_ms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fake_clock import FakeClock
    from faults import Fault

    from tap_drift.sandbox.server import Answer, SandboxHandler

CHILDREN = [name for name in WALK_STREAMS if name != "conversations"]
ASKED = {
    "conversation_details": "/conversations/3",
    "messages": "/messages",
    "transcripts": "/transcript",
    "contacts": "/contacts/",
}
"""What is in the paths that a child asks for."""


@pytest.fixture
def drift() -> Iterator[FakeDrift]:
    """40 conversations: few enough to be asked for one by one."""
    with FakeDrift(Account.from_seed(40, seed=7)) as server:
        yield server


@pytest.fixture
def config(drift: FakeDrift) -> dict[str, Any]:
    return {
        "access_token": drift.token,
        "api_url": drift.url,
        "page_size": 10,
        "lookback_seconds": 0,
    }


@pytest.fixture
def alone(drift: FakeDrift) -> int:
    """The id of a conversation that is the only one."""
    del drift.account.conversations[1:]
    return drift.conversation_ids()[0]


def passed(handler: SandboxHandler) -> None:
    """No fault: answer as usual."""
    handler.send(handler.answer())


def loaded(messages: CapturedMessages) -> FakeTarget:
    table = FakeTarget()
    table.load(messages.all)
    return table


def failed(config: dict[str, Any], *streams: str) -> tuple[CapturedMessages, str]:
    """Run with a stream that fails: what was said, and the error."""
    messages = CapturedMessages()
    with pytest.raises(StreamsFailedError) as error:
        sync(config, catalog=catalog(*streams), messages=messages)
    return messages, str(error.value)


def conversations_asked(drift: FakeDrift) -> set[str]:
    """Which conversations were asked for their messages, however many pages those have."""
    return {path.split("?")[0] for path in drift.requests if "/messages" in path}


# What comes


@pytest.mark.parametrize("stream", CHILDREN)
@pytest.mark.parametrize("concurrency", [1, 8])
def test_every_row_comes_once_and_in_the_listings_order(
    stream: str, concurrency: int, drift: FakeDrift, config: dict[str, Any]
) -> None:
    messages = sync(config | {"concurrency": concurrency}, catalog=catalog(stream))
    key = WALK_STREAMS[stream][0]
    keys = [row[key] for row in drift.source_rows(stream)]
    assert [record[key] for record in messages.records(stream)] == keys
    assert len(set(keys)) == len(keys) > 10
    assert loaded(messages).missing(drift, stream) == set()


@pytest.mark.parametrize("stream", ["conversation_details", "messages", "transcripts"])
def test_every_row_says_of_which_conversation_it_is(
    stream: str, drift: FakeDrift, config: dict[str, Any]
) -> None:
    records = sync(config, catalog=catalog(stream)).records(stream)
    assert {record["conversationId"] for record in records} <= set(drift.conversation_ids())


def test_times_of_messages_become_date_times(
    drift: FakeDrift, config: dict[str, Any], alone: int
) -> None:
    drift.add_message(alone, 1_780_000_000_000)
    record = sync(config, catalog=catalog("messages")).records("messages")[-1]
    assert record["createdAt"] == "2026-05-28T20:26:40.000+00:00"


def test_long_conversations_have_several_pages_of_messages(
    drift: FakeDrift, config: dict[str, Any], alone: int
) -> None:
    said = [drift.add_message(alone, now_ms()) for _ in range(230)]
    messages = sync(config, catalog=catalog("messages"))
    assert messages.record_ids("messages")[-230:] == said
    assert drift.count_requests("/messages?next=") == 5


ONE = {"id": 1, "createdAt": 1}
TWO = {"id": 2, "createdAt": 2}


def said(*messages: Any, **pagination: Any) -> Fault:
    return answer(body={"data": {"messages": messages}, "pagination": pagination})


@pytest.mark.parametrize("pagination", [{"next": 1}, {"next": "1"}, {"more": True, "next": 1}])
def test_the_next_page_of_messages_is_asked_for_as_drift_names_it(
    pagination: dict[str, Any], drift: FakeDrift, config: dict[str, Any], alone: int
) -> None:
    drift.faults.extend([passed, said(ONE, **pagination), said(TWO, more=False)])
    messages = sync(config, catalog=catalog("messages"))
    assert [(m["id"], m["conversationId"]) for m in messages.records("messages")] == [
        (1, alone),
        (2, alone),
    ]
    assert drift.requests[1:] == [
        f"/conversations/{alone}/messages?next=",
        f"/conversations/{alone}/messages?next=1",
    ]


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    "last",
    [
        {},
        {"more": False},
        {"more": False, "next": 1},
        {"next": None},
        {"next": ""},
        {"more": True, "next": None},
    ],
)
def test_messages_end_where_drift_says_that_there_are_no_more(
    last: dict[str, Any], drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.extend([passed, said(ONE, **last)])
    assert sync(config, catalog=catalog("messages")).record_ids("messages") == [1]
    assert len(drift.requests) == 2


@pytest.mark.usefixtures("alone", "clock")
def test_a_next_that_is_no_page_number_is_an_error(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults_by_path["/messages"] = said(ONE, more=True, next=[2])
    assert "a `pagination.next` that is not a page number" in failed(config, "messages")[1]


@pytest.mark.usefixtures("alone")
def test_pages_of_messages_that_go_in_a_circle_are_an_error_of_that_stream(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults_by_path["/messages"] = said(ONE, more=True, next=1)
    messages, error = failed(config, "conversations", "messages")
    assert "messages failed: Pagination loop on /conversations/" in error
    assert messages.record_ids() == drift.conversation_ids()
    assert messages.record_ids("messages") == []


def test_each_schema_is_said_once_and_also_if_there_is_nothing(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    for _ in range(2):
        said = [
            m["stream"] for m in sync(config, catalog=catalog(*WALK_STREAMS)).all if "schema" in m
        ]
        assert sorted(said) == sorted(WALK_STREAMS)
        drift.account.conversations.clear()


def test_a_contact_comes_once_a_run_and_not_every_conversation_has_one(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    first, second, third = drift.account.conversations[:3]
    second["contactId"] = third["contactId"] = first["contactId"]
    without = drift.account.conversations[3]
    without.pop("contactId", None)
    chosen = catalog("contacts")
    ids = sync(config, catalog=chosen).record_ids("contacts")
    assert ids.count(first["contactId"]) == 1
    assert len(ids) == len(set(ids)) == len(drift.source_rows("contacts"))
    assert len({path for path in drift.requests if "/contacts/" in path}) == drift.count_requests(
        "/contacts"
    )


def test_ids_keep_every_digit(drift: FakeDrift, config: dict[str, Any], alone: int) -> None:
    large = 2**63 - 1
    drift.faults_by_path["/messages"] = said(ONE | {"id": large, "author": {"id": large}})
    [message] = sync(config, catalog=catalog("messages")).records("messages")
    assert (message["id"], message["author"]["id"]) == (large, large)
    assert alone


@pytest.mark.usefixtures("alone")
def test_half_a_character_in_a_message_does_no_harm(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    body = '{"data": {"messages": [{"id": 1, "body": "cut \\ud83d off"}]}}'
    drift.faults_by_path["/messages"] = answer(body=body)
    [message] = sync(config, catalog=catalog("messages")).records("messages")
    assert message["body"] == "cut \N{REPLACEMENT CHARACTER} off"


@pytest.mark.usefixtures("alone")
def test_a_transcript_keeps_its_lines(drift: FakeDrift, config: dict[str, Any]) -> None:
    text = 'A: "one"\r\nB: two\u2028\n\n'
    drift.faults_by_path["/transcript"] = answer(body=text, Content_Type="text/plain")
    [record] = sync(config, catalog=catalog("transcripts")).records("transcripts")
    assert record["transcript"] == text


@pytest.mark.usefixtures("alone", "clock")
def test_a_page_of_html_is_no_transcript(drift: FakeDrift, config: dict[str, Any]) -> None:
    page = "<!DOCTYPE html><html>Log in</html>"
    drift.faults_by_path["/transcript"] = answer(body=page, Content_Type="text/html")
    failed(config, "transcripts")


# What it costs


def test_children_are_asked_for_what_the_listing_emits(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    chosen = catalog(*WALK_STREAMS)
    state = sync(config, catalog=chosen).state()
    head, updated = drift.conversation_ids()[0], drift.conversation_ids()[-1]
    drift.update_conversation(updated, now_ms())
    drift.requests.clear()
    second = sync(config, state, chosen)
    assert second.record_ids() == second.record_ids("conversation_details") == [updated, head]
    assert drift.count_requests("list?") == 1
    for stream in ("conversation_details", "messages", "transcripts"):
        paths = {path for path in drift.requests if path.startswith(ASKED[stream])}
        assert len(paths) in {0, 6}
    assert drift.count_requests("/messages") == drift.count_requests("/transcript") == 2


def test_without_its_parent_a_child_keeps_a_bookmark_of_its_own(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    first = sync(config, catalog=catalog("messages"))
    assert {m["stream"] for m in first.all if "stream" in m} == {"messages"}
    head = from_epoch_ms(drift.account.conversations[0]["updatedAt"])
    assert first.bookmarks()["messages"] == head
    assert not first.bookmarks().get("conversations")
    drift.requests.clear()
    second = sync(config, first.state(), catalog("messages"))
    assert {m["conversationId"] for m in second.records("messages")} <= {
        drift.conversation_ids()[0]
    }
    assert [drift.count_requests("list?"), drift.count_requests("/messages")] == [1, 1]


def test_a_child_that_is_selected_later_gets_what_it_lacks_alone(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    table = loaded(sync(config, catalog=catalog("conversations", "messages")))
    drift.requests.clear()
    table.load(sync(config, table.state, catalog(*WALK_STREAMS)).all)
    assert table.missing(drift, *WALK_STREAMS) == set()
    assert drift.count_requests("/transcript") == 40
    assert drift.count_requests("/messages") == 1
    assert drift.count_requests("list?") == 4


@pytest.mark.parametrize("stream", ["conversations", "messages"])
def test_a_forced_full_table_reads_all_of_that_stream(
    stream: str, drift: FakeDrift, config: dict[str, Any]
) -> None:
    chosen = catalog("conversations", "messages", "transcripts")
    state = sync(config, catalog=chosen).state()
    catalog_entry(chosen, stream)["replication_method"] = "FULL_TABLE"
    drift.requests.clear()
    again = sync(config, json.loads(json.dumps(state)), chosen)
    assert again.record_ids() == drift.conversation_ids()
    assert len(conversations_asked(drift)) == (40 if stream == "messages" else 1)
    assert drift.count_requests("/transcript") == 1
    assert again.state() == state


# What is gone


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_gone_is_left_out_and_named(
    status: int, drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    gone = drift.conversation_ids()[3]
    drift.faults_by_path[f"/conversations/{gone}"] = answer(status)
    messages = sync(config, catalog=catalog("conversations", "conversation_details", "messages"))
    assert messages.record_ids() == drift.conversation_ids()
    assert messages.record_ids("conversation_details") == [
        n for n in drift.conversation_ids() if n != gone
    ]
    warned = [each for each in caplog.records if f"/conversations/{gone}" in each.getMessage()]
    assert [each.levelname for each in warned] == ["WARNING", "WARNING"]
    assert "conversation_details: 1 of 40 not found (404 or 410), skipped" in caplog.text


def test_of_very_many_that_are_gone_some_are_named(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    drift.account.gone.update(drift.conversation_ids()[1:])
    sync(config, catalog=catalog("messages"))
    [warning] = [m for each in caplog.records if "not found" in (m := each.getMessage())]
    assert "39 of 40" in warning
    assert warning.count("/messages") == 20
    assert warning.endswith(" and others")


def test_if_all_are_gone_that_is_an_error(drift: FakeDrift, config: dict[str, Any]) -> None:
    drift.faults_by_path["/messages"] = answer(404)
    messages, error = failed(config, "conversations", "messages")
    assert "All 40 requests for `messages` were answered 404 or 410" in error
    assert "`conversation_read`" in error
    assert messages.bookmarks()["conversations"]


def test_if_all_are_gone_nothing_is_claimed(drift: FakeDrift, config: dict[str, Any]) -> None:
    """Whichever state a target has kept: the one of any page, or the last."""
    drift.faults_by_path["/messages"] = answer(404)
    messages, _ = failed(config, "conversations", "messages")
    drift.faults_by_path.clear()
    states = [message["value"] for message in messages.all if message["type"] == "STATE"]
    for state in states:
        table = loaded(sync(config, state, catalog("messages")))
        assert table.missing(drift, "messages") == set()


def test_a_few_that_are_all_gone_are_no_error(drift: FakeDrift, config: dict[str, Any]) -> None:
    del drift.account.conversations[19:]
    drift.faults_by_path["/messages"] = answer(404)
    assert sync(config, catalog=catalog("messages")).bookmarks()["messages"]


# What fails


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        pytest.param(answer(403), "scope `conversation_read`", id="scope"),
        pytest.param(answer(400), "400 on /conversations/", id="400"),
        pytest.param(answer(500), "minutes, ", id="500"),
        pytest.param(answer(200, {"data": {}}), "without objects in `data.messages`", id="shape"),
        pytest.param(said({"createdAt": 1}), "without a usable `id`", id="no key"),
        pytest.param(said({"id": 1, "createdAt": "x"}), "no epoch milliseconds", id="no time"),
    ],
)
def test_a_child_that_fails_ends_alone_and_the_next_run_brings_the_rest(
    fault: Fault, why: str, drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    failing = drift.conversation_ids()[25]
    drift.faults_by_path[f"{failing}/messages"] = fault
    messages, error = failed(config, "conversations", "messages", "transcripts")
    assert error.startswith("messages failed: ")
    assert why in error
    assert "1 of 3 streams failed: messages" in error
    before = {m["conversationId"] for m in messages.records("messages")}
    assert before <= set(drift.conversation_ids()[:25])
    table = loaded(messages)
    assert table.missing(drift, "conversations", "transcripts") == set()
    drift.faults_by_path.clear()
    drift.requests.clear()
    chosen = catalog("conversations", "messages", "transcripts")
    table.load(sync(config, table.state, chosen).all)
    assert (
        table.missing(drift, *WALK_STREAMS.keys() & {"conversations", "messages", "transcripts"})
        == set()
    )
    assert drift.count_requests("/transcript") == 1
    # Two pages were claimed. The head is read again, and what shares its moment with their end.
    assert len(conversations_asked(drift)) == 20 + 2
    assert clock.now >= 1000


def test_the_scope_that_is_missing_is_named(drift: FakeDrift, config: dict[str, Any]) -> None:
    drift.tokens.scopes = ["conversation_read"]
    messages, error = failed(config, "conversations", "contacts")
    assert "`contact_read`" in error
    assert messages.record_ids() == drift.conversation_ids()


def test_when_the_listing_fails_the_family_ends_with_what_was_written(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    pages = iter([passed, answer(403)])
    drift.faults_by_path["list?page_token"] = lambda handler: next(pages)(handler)  # noqa: PLW0108 - each time the next
    messages, error = failed(config, "conversations", "messages")
    assert "2 of 2 streams failed: conversations, messages" in error
    assert messages.all[-1]["type"] == "STATE"
    table = loaded(messages)
    assert list(table.conversations) == messages.record_ids() == drift.conversation_ids()[:20]
    drift.faults_by_path.clear()
    table.load(sync(config, table.state, catalog("conversations", "messages")).all)
    assert table.missing(drift, "conversations", "messages") == set()


def test_when_nothing_is_left_to_read_for_the_listing_is_not_read_on(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults_by_path["/messages"] = answer(403)
    failed(config | {"page_size": 4, "concurrency": 1}, "messages")
    # One page is being written, two are read ahead, and one may have been asked for by then.
    assert drift.count_requests("list?") <= 4 < 40 / 4


# At once


class CountingHandler(FakeDriftHandler):
    """Counts how many requests are under way, and lets the first wait until enough are."""

    wanted = 1
    under_way = most = 0
    together = threading.Event()

    def answer(self) -> Answer:
        kind = type(self)
        if "/messages" not in self.path:
            return super().answer()
        with self.server.lock:
            kind.under_way += 1
            kind.most = max(kind.most, kind.under_way)
            if kind.under_way == kind.wanted:
                kind.together.set()
        assert kind.together.wait(10)
        with self.server.lock:
            kind.under_way -= 1
        return super().answer()


@pytest.mark.parametrize("concurrency", [1, 2, 8])
def test_so_many_requests_are_under_way_at_once_and_never_more(
    concurrency: int, drift: FakeDrift, config: dict[str, Any]
) -> None:
    class Handler(CountingHandler):
        wanted = concurrency
        together = threading.Event()

    drift.RequestHandlerClass = Handler
    sync(config | {"concurrency": concurrency}, catalog=catalog("messages"))
    assert Handler.most == concurrency


def test_answers_that_come_in_another_order_are_written_in_the_listings(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    first, second = drift.conversation_ids()[:2]
    answered = threading.Event()

    class LateHandler(FakeDriftHandler):
        def answer(self) -> Answer:
            if f"{first}/" in self.path:
                assert answered.wait(10)
            found = super().answer()
            if f"{second}/" in self.path:
                answered.set()
            return found

    drift.RequestHandlerClass = LateHandler
    records = sync(config, catalog=catalog("transcripts")).records("transcripts")
    assert [record["conversationId"] for record in records] == drift.conversation_ids()


class SlowMessages(CapturedMessages):
    """Takes a record only when so many conversations beyond its page have been asked for."""

    def __init__(self, drift: FakeDrift, ahead: int) -> None:
        super().__init__()
        self.drift = drift
        self.ahead = ahead
        self.most = 0
        self.asked = threading.Condition(drift.lock)
        drift.on_request = self.note

    def note(self, _request: int) -> None:
        with self.asked:
            written = len(self.records("transcripts"))
            self.most = max(self.most, self.drift.count_requests("/transcript") - written)
            self.asked.notify_all()

    def add(self, line: bytes) -> None:
        if not line.startswith(b'{"type":"RECORD"'):
            super().add(line)
            return
        total = len(self.drift.conversation_ids())
        with self.asked:
            written = len(self.records("transcripts"))
            wanted = min(written - written % 10 + self.ahead, total)
            assert self.asked.wait_for(
                lambda: self.drift.count_requests("/transcript") >= wanted, 10
            )
            super().add(line)


def test_no_more_is_asked_ahead_than_a_few_pages_hold(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.account = Account.from_seed(120, seed=7)
    messages = SlowMessages(drift, ahead=30)
    few = config | {"concurrency": 2}
    sync(few, catalog=catalog("conversations", "transcripts"), messages=messages)
    assert messages.record_ids() == drift.conversation_ids()
    assert 20 < messages.most <= 30


# With the SDK's own settings


def test_a_filter_on_the_parent_leaves_out_the_children_too(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    maps = {"conversations": {"__filter__": "status == 'open'"}}
    chosen = catalog("conversations", "transcripts")
    messages = sync(config | {"stream_maps": maps}, catalog=chosen)
    wanted = [c["id"] for c in drift.account.conversations if c["status"] == "open"]
    assert 0 < len(wanted) < 40
    assert messages.record_ids() == wanted
    assert [record["conversationId"] for record in messages.records("transcripts")] == wanted


def test_a_contact_is_not_lost_with_a_conversation_that_a_filter_leaves_out(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    left_out, kept = drift.account.conversations[:2]
    left_out["contactId"] = kept["contactId"] = drift.account.conversations[5]["contactId"]
    del drift.account.conversations[2:]
    maps = {"conversations": {"__filter__": f"id == {kept['id']}"}}
    chosen = catalog("conversations", "contacts")
    messages = sync(config | {"stream_maps": maps}, catalog=chosen)
    assert messages.record_ids("contacts") == [kept["contactId"]]


def test_stream_maps_work_on_children(drift: FakeDrift, config: dict[str, Any]) -> None:
    maps = {"messages": {"type": "type.upper()", "__filter__": "type == 'chat'"}}
    messages = sync(config | {"stream_maps": maps}, catalog=catalog("messages"))
    assert {record["type"] for record in messages.records("messages")} == {"CHAT"}
    chats = [m["id"] for m in drift.source_rows("messages") if m["type"] == "chat"]
    assert messages.record_ids("messages") == chats


def test_a_map_that_fails_on_a_child_ends_that_child_alone(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    maps = {"stream_maps": {"messages": {"length": "len(nothing_of_that_name)"}}}
    messages, error = failed(config | maps, "conversations", "messages")
    assert "1 of 2 streams failed: messages" in error
    assert messages.record_ids() == drift.conversation_ids()


def test_with_batches_everything_is_claimed_at_the_end(
    drift: FakeDrift, config: dict[str, Any], tmp_path: Path
) -> None:
    storage = {"root": tmp_path.as_uri(), "prefix": "batch-"}
    batch = {"encoding": {"format": "jsonl"}, "storage": storage, "batch_size": 10}
    chosen = catalog("conversations", "messages")
    messages = sync(config | {"batch_config": batch}, catalog=chosen)
    assert loaded(messages).missing(drift, "messages") == set()
    states = [m["value"]["bookmarks"] for m in messages.all if m["type"] == "STATE"]
    assert not any("replication_key_value" in s.get("messages", {}) for s in states[:-1])
    assert set(messages.bookmarks()) >= {"conversations", "messages"}
    assert None not in messages.bookmarks().values()


def test_nothing_is_read_where_a_map_takes_all_conversations_away(config: dict[str, Any]) -> None:
    maps = {"stream_maps": {"conversations": None}}
    messages, error = failed(config | maps, "conversations", "messages")
    assert "deselect `conversations` instead" in error
    assert messages.records("messages") == []


def test_what_is_deselected_within_a_field_is_left_out(config: dict[str, Any]) -> None:
    chosen = catalog("messages")
    inside = ["properties", "author", "properties", "type"]
    for choice in catalog_entry(chosen, "messages")["metadata"]:
        if choice["breadcrumb"] == inside:
            choice["metadata"]["selected"] = False
    authors = [record["author"] for record in sync(config, catalog=chosen).records("messages")]
    assert authors
    assert not any("type" in author for author in authors)


def test_a_conversation_met_twice_has_all_its_contacts(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    first, second = [contact["id"] for contact in drift.source_rows("contacts")[:2]]
    row = {"id": 77, "updatedAt": 1}
    drift.faults.append(page(row | {"contactId": first}, row | {"contactId": second}))
    chosen = catalog("conversations", "contacts")
    assert set(sync(config, catalog=chosen).record_ids("contacts")) == {first, second}


def test_a_message_that_names_no_conversation_carries_the_one_it_was_asked_for(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults_by_path["/messages"] = answer(
        body={"data": {"messages": [{"id": 1, "conversationId": None}]}}
    )
    records = sync(config, catalog=catalog("messages")).records("messages")
    assert [record["conversationId"] for record in records] == drift.conversation_ids()


def test_more_messages_without_a_way_to_ask_for_them_are_said(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    drift.faults_by_path["/messages"] = answer(
        body={"data": {"messages": []}, "pagination": {"more": True}}
    )
    sync(config, catalog=catalog("messages"))
    assert (
        f"/conversations/{drift.conversation_ids()[0]}/messages has more rows, but no link to them"
        in caplog.text
    )


def test_a_child_that_is_complete_does_not_fail_with_the_listing(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    first = sync(config, catalog=catalog("conversations", "messages"))
    drift.faults_by_path["page_token=d"] = answer(400)
    with pytest.raises(StreamsFailedError) as error:
        sync(config, first.state(), catalog("conversations", "messages", "transcripts"))
    assert "conversations failed" in str(error.value)
    assert "transcripts failed" in str(error.value)
    assert "messages failed" not in str(error.value)


def test_the_failures_are_counted_of_all_that_were_read(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults_by_path["/conversations/list"] = answer(403)
    with pytest.raises(StreamsFailedError, match="3 of 3 streams failed"):
        sync(config, catalog=catalog("messages", "transcripts"))
