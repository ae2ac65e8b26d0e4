"""The records of the streams that are requested per conversation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import now_ms
from fake_target import WALK_STREAMS, FakeTarget
from faults import answer, answer_normally, messages_page, page
from runs import catalog, catalog_entry, sync, sync_failing

from tap_drift.sandbox.data.account import Account

if TYPE_CHECKING:
    from fake_drift import FakeDrift

CHILDREN = [name for name in WALK_STREAMS if name != "conversations"]

FIRST = {"id": 1, "createdAt": 1}
SECOND = {"id": 2, "createdAt": 2}


@pytest.fixture
def account() -> Account:
    return Account.from_seed(40, seed=7)


@pytest.fixture
def config(config: dict[str, Any]) -> dict[str, Any]:
    return config | {"page_size": 10}


@pytest.fixture
def only_id(account: Account) -> int:
    """The id of a conversation that is the only one of the account."""
    del account.conversations[1:]
    return int(account.conversations[0]["id"])


# All streams


@pytest.mark.slow
@pytest.mark.parametrize("stream", CHILDREN)
@pytest.mark.parametrize("concurrency", [1, 8])
def test_every_row_is_emitted_once_in_listing_order(
    stream: str, concurrency: int, drift: FakeDrift, config: dict[str, Any]
) -> None:
    messages = sync(config | {"concurrency": concurrency}, catalog=catalog(stream))
    key = WALK_STREAMS[stream][0]
    keys = [row[key] for row in drift.source_rows(stream)]
    assert [record[key] for record in messages.records(stream)] == keys
    assert len(set(keys)) == len(keys) > 10
    assert FakeTarget(messages.all).missing(drift, stream) == set()


@pytest.mark.parametrize("stream", ["conversation_details", "messages", "transcripts"])
def test_every_record_has_its_conversation_id(
    stream: str, drift: FakeDrift, config: dict[str, Any]
) -> None:
    records = sync(config, catalog=catalog(stream)).records(stream)
    assert {record["conversationId"] for record in records} <= set(drift.conversation_ids())


def test_schemas_are_written_once_even_without_records(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    for _ in range(2):
        messages = sync(config, catalog=catalog(*WALK_STREAMS)).all
        schemas = [message["stream"] for message in messages if message["type"] == "SCHEMA"]
        assert sorted(schemas) == sorted(WALK_STREAMS)
        drift.account.conversations.clear()


# Messages


def test_times_of_messages_become_date_times(
    drift: FakeDrift, config: dict[str, Any], only_id: int
) -> None:
    drift.add_message(only_id, 1_780_000_000_000)
    record = sync(config, catalog=catalog("messages")).records("messages")[-1]
    assert record["createdAt"] == "2026-05-28T20:26:40.000+00:00"


@pytest.mark.usefixtures("only_id")
def test_ids_of_messages_keep_all_digits(drift: FakeDrift, config: dict[str, Any]) -> None:
    large = 2**63 - 1
    drift.faults_by_path["/messages"] = messages_page(
        FIRST | {"id": large, "author": {"id": large}}
    )
    [message] = sync(config, catalog=catalog("messages")).records("messages")
    assert (message["id"], message["author"]["id"]) == (large, large)


@pytest.mark.usefixtures("only_id")
def test_lone_surrogate_is_replaced(drift: FakeDrift, config: dict[str, Any]) -> None:
    body = '{"data": {"messages": [{"id": 1, "body": "half \\ud83d here"}]}}'
    drift.faults_by_path["/messages"] = answer(body=body)
    [message] = sync(config, catalog=catalog("messages")).records("messages")
    assert message["body"] == "half \N{REPLACEMENT CHARACTER} here"


def test_message_without_conversation_id_gets_the_requested_one(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    body = {"data": {"messages": [{"id": 1, "conversationId": None}]}}
    drift.faults_by_path["/messages"] = answer(body=body)
    records = sync(config, catalog=catalog("messages")).records("messages")
    assert [record["conversationId"] for record in records] == drift.conversation_ids()


def test_deselected_nested_field_is_not_emitted(config: dict[str, Any]) -> None:
    selected = catalog("messages")
    for each in catalog_entry(selected, "messages")["metadata"]:
        if each["breadcrumb"] == ["properties", "author", "properties", "type"]:
            each["metadata"]["selected"] = False
    authors = [record["author"] for record in sync(config, catalog=selected).records("messages")]
    assert authors
    assert not any("type" in author for author in authors)


# Pages of messages


def test_long_conversation_is_read_by_pages_of_messages(
    drift: FakeDrift, config: dict[str, Any], only_id: int
) -> None:
    added = [drift.add_message(only_id, now_ms()) for _ in range(230)]
    messages = sync(config, catalog=catalog("messages"))
    assert messages.record_ids("messages")[-230:] == added
    assert drift.count_requests("/messages?next=") == 5


@pytest.mark.parametrize("pagination", [{"next": 1}, {"next": "1"}, {"more": True, "next": 1}])
def test_next_page_of_messages_is_requested_as_named(
    pagination: dict[str, Any], drift: FakeDrift, config: dict[str, Any], only_id: int
) -> None:
    pages = [messages_page(FIRST, **pagination), messages_page(SECOND, more=False)]
    drift.faults.extend([answer_normally, *pages])
    records = sync(config, catalog=catalog("messages")).records("messages")
    assert [(each["id"], each["conversationId"]) for each in records] == [
        (1, only_id),
        (2, only_id),
    ]
    assert drift.requests[1:] == [
        f"/conversations/{only_id}/messages?next=",
        f"/conversations/{only_id}/messages?next=1",
    ]


@pytest.mark.usefixtures("only_id")
@pytest.mark.parametrize(
    "pagination",
    [
        {},
        {"more": False},
        {"more": False, "next": 1},
        {"next": None},
        {"next": ""},
        {"more": True, "next": None},
    ],
)
def test_last_page_of_messages_ends_the_requests(
    pagination: dict[str, Any], drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.extend([answer_normally, messages_page(FIRST, **pagination)])
    assert sync(config, catalog=catalog("messages")).record_ids("messages") == [1]
    assert len(drift.requests) == 2


def test_more_messages_without_next_page_are_warned_of(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    drift.faults_by_path["/messages"] = messages_page(more=True)
    sync(config, catalog=catalog("messages"))
    path = f"/conversations/{drift.conversation_ids()[0]}/messages"
    assert f"{path} has more rows, but no link to them" in caplog.text


@pytest.mark.usefixtures("only_id", "clock")
def test_next_page_that_is_no_number_fails_the_item(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults_by_path["/messages"] = messages_page(FIRST, more=True, next=[2])
    messages, _ = sync_failing(config, catalog=catalog("messages"))
    [item] = messages.state()["bookmarks"]["messages"]["failed_items"].values()
    assert "a `pagination.next` that is not a page number" in item["reason"]


def test_pagination_loop_of_messages_fails_the_item(
    drift: FakeDrift, config: dict[str, Any], only_id: int
) -> None:
    drift.faults_by_path["/messages"] = messages_page(FIRST, more=True, next=1)
    messages, _ = sync_failing(config, catalog=catalog("conversations", "messages"))
    [(key, item)] = messages.state()["bookmarks"]["messages"]["failed_items"].items()
    assert key == str(only_id)
    assert item["reason"].startswith(f"/conversations/{only_id}/messages: page 2 has a link")
    assert messages.record_ids() == drift.conversation_ids()
    assert messages.record_ids("messages") == []


# Transcripts


@pytest.mark.usefixtures("only_id")
def test_transcript_keeps_its_line_ends(drift: FakeDrift, config: dict[str, Any]) -> None:
    text = 'A: "one"\r\nB: two\u2028\n\n'
    drift.faults_by_path["/transcript"] = answer(body=text, Content_Type="text/plain")
    [record] = sync(config, catalog=catalog("transcripts")).records("transcripts")
    assert record["transcript"] == text


@pytest.mark.usefixtures("only_id", "clock")
def test_html_page_is_no_transcript(drift: FakeDrift, config: dict[str, Any]) -> None:
    html = "<!DOCTYPE html><html>Log in</html>"
    drift.faults_by_path["/transcript"] = answer(body=html, Content_Type="text/html")
    sync_failing(config, catalog=catalog("transcripts"))


# Contacts


def test_contact_of_several_conversations_is_emitted_once(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    first, second, third, without_contact = drift.account.conversations[:4]
    second["contactId"] = third["contactId"] = first["contactId"]
    without_contact.pop("contactId", None)
    ids = sync(config, catalog=catalog("contacts")).record_ids("contacts")
    assert ids.count(first["contactId"]) == 1
    assert len(ids) == len(set(ids)) == len(drift.source_rows("contacts"))
    requests = [path for path in drift.requests if "/contacts" in path]
    assert len(requests) == len(set(requests))
    assert all("/contacts/" in path for path in requests)


def test_conversation_read_twice_has_both_its_contacts(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    first, second = [contact["id"] for contact in drift.source_rows("contacts")[:2]]
    row = {"id": 77, "updatedAt": 1}
    drift.faults.append(page(row | {"contactId": first}, row | {"contactId": second}))
    messages = sync(config, catalog=catalog("conversations", "contacts"))
    assert set(messages.record_ids("contacts")) == {first, second}


# Stream maps


def test_conversation_filter_excludes_its_child_records(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    maps = {"conversations": {"__filter__": "status == 'open'"}}
    selected = catalog("conversations", "transcripts")
    messages = sync(config | {"stream_maps": maps}, catalog=selected)
    open_ids = [c["id"] for c in drift.account.conversations if c["status"] == "open"]
    assert 0 < len(open_ids) < 40
    assert messages.record_ids() == open_ids
    assert [record["conversationId"] for record in messages.records("transcripts")] == open_ids
    assert drift.count_requests("/transcript") == len(open_ids)


@pytest.mark.parametrize("streams", [("contacts",), ("conversations", "contacts")])
def test_contact_of_filtered_conversations_is_not_requested(
    streams: tuple[str, ...], drift: FakeDrift, config: dict[str, Any]
) -> None:
    del drift.account.conversations[3:]
    for number, conversation in enumerate(drift.account.conversations):
        conversation["contactId"] = drift.account.conversations[number == 2]["contactId"]
    maps = {"conversations": {"__filter__": f"id == {drift.conversation_ids()[0]}"}}
    messages = sync(config | {"stream_maps": maps}, catalog=catalog(*streams))
    contact = drift.account.conversations[0]["contactId"]
    assert messages.record_ids("contacts") == [contact]
    assert drift.count_requests("/contacts/") == 1


def test_failing_filter_fails_the_streams_of_the_listing(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    maps = {"stream_maps": {"conversations": {"__filter__": "status + 5 == 'open'"}}}
    messages, error = sync_failing(config | maps, catalog=catalog("messages", "users"))
    assert "messages" in error
    assert len(messages.records("users")) == len(drift.account.users)


def test_log_counts_what_stream_maps_let_pass(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    conversation = drift.conversation_ids()[0]
    maps = {
        "conversations": {"__filter__": f"id == {conversation}"},
        "messages": {"__filter__": "type == 'chat'"},
        "users": {"__filter__": "role == 'none'"},
        "bots": {"__source__": "users", "__filter__": "bot"},
    }
    selected = catalog("conversations", "messages", "users")
    messages = sync(config | {"stream_maps": maps}, catalog=selected)
    count = len(messages.records("messages"))
    bots = len(messages.records("bots"))
    assert count > 1 < bots < len(drift.account.users)
    assert f"1 conversation, {count} messages in " in caplog.text
    assert f"{bots} users in 1 request" in caplog.text
    counts = dict(re.findall(r'"record_count","value":(\d+),"tags":{"stream":"(\w+)"', caplog.text))
    assert {name: int(number) for number, name in counts.items()} == {
        "conversations": 1,
        "messages": count,
        "users": bots,
    }


def test_contact_shared_with_filtered_conversation_is_emitted(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    excluded, kept = drift.account.conversations[:2]
    excluded["contactId"] = kept["contactId"] = drift.account.conversations[5]["contactId"]
    del drift.account.conversations[2:]
    maps = {"conversations": {"__filter__": f"id == {kept['id']}"}}
    selected = catalog("conversations", "contacts")
    messages = sync(config | {"stream_maps": maps}, catalog=selected)
    assert messages.record_ids("contacts") == [kept["contactId"]]


def test_stream_map_changes_and_filters_child_records(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    maps = {"messages": {"type": "type.upper()", "__filter__": "type == 'chat'"}}
    messages = sync(config | {"stream_maps": maps}, catalog=catalog("messages"))
    assert {record["type"] for record in messages.records("messages")} == {"CHAT"}
    chats = [m["id"] for m in drift.source_rows("messages") if m["type"] == "chat"]
    assert messages.record_ids("messages") == chats


def test_failing_stream_map_fails_only_that_stream(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    maps = {"stream_maps": {"messages": {"length": "len(undefined_name)"}}}
    messages, error = sync_failing(config | maps, catalog=catalog("conversations", "messages"))
    assert "1 of 2 streams failed: messages" in error
    assert messages.record_ids() == drift.conversation_ids()


def test_stream_map_that_removes_the_parent_is_an_error(config: dict[str, Any]) -> None:
    maps = {"stream_maps": {"conversations": None}}
    messages, error = sync_failing(config | maps, catalog=catalog("conversations", "messages"))
    assert "deselect `conversations` instead" in error
    assert messages.records("messages") == []
