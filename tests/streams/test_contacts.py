"""Contacts of message authors and of meetings: each once, before a bookmark covers it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import FakeDrift, now_ms
from faults import answer
from runs import catalog, sync, sync_failing

from tap_drift.sandbox.data.account import Account
from tap_drift.timestamps import from_epoch_ms

if TYPE_CHECKING:
    from collections.abc import Collection

pytestmark = pytest.mark.slow

RECENT = "2100-01-01T00:00:00+00:00"
"""A `start_date` that excludes the conversations of the account."""


@pytest.fixture
def account() -> Account:
    return Account.from_seed(60, seed=7)


@pytest.fixture
def config(config: dict[str, Any]) -> dict[str, Any]:
    return config | {"lookback_seconds": 0}


def contact_ids(account: Account) -> list[int]:
    """Return the ids of the contacts, in the order of the listing."""
    ids = dict.fromkeys(c["contactId"] for c in account.conversations if c.get("contactId"))
    return [number for number in ids if account.contact(number)]


def add_message_of(drift: FakeDrift, conversation: int, contact: int) -> None:
    """Add a message of another contact than the conversation's own."""
    drift.add_message(conversation, now_ms())
    author = {"type": "contact", "id": contact, "bot": False}
    drift.account.added_messages[conversation][-1]["author"] = author


def requested_contacts(drift: FakeDrift) -> list[int]:
    paths = [path for path in drift.requests if path.startswith("/contacts/")]
    return sorted(int(path.rpartition("/")[2]) for path in paths)


def test_each_contact_is_requested_once(drift: FakeDrift, config: dict[str, Any]) -> None:
    add_message_of(drift, drift.conversation_ids()[0], contact_ids(drift.account)[5])
    messages = sync(config, catalog=catalog("conversations", "messages", "contacts", "meetings"))
    requested = requested_contacts(drift)
    assert len(requested) == len({*requested})
    assert sorted(messages.record_ids("contacts")) == sorted(contact_ids(drift.account))


def test_updated_conversation_brings_its_authors(drift: FakeDrift, config: dict[str, Any]) -> None:
    selected = catalog("conversations", "messages", "contacts")
    state = sync(config, catalog=selected).state()
    own, other = contact_ids(drift.account)[0], contact_ids(drift.account)[7]
    conversation = next(c["id"] for c in drift.account.conversations if c.get("contactId") == own)
    add_message_of(drift, conversation, other)
    drift.requests.clear()
    second = sync(config, state, selected)
    assert other in second.record_ids("contacts")
    assert requested_contacts(drift).count(other) == 1


def test_authors_need_the_stream_messages(drift: FakeDrift, config: dict[str, Any]) -> None:
    state = sync(config, catalog=catalog("conversations", "contacts")).state()
    own, other = contact_ids(drift.account)[0], contact_ids(drift.account)[7]
    conversation = next(c["id"] for c in drift.account.conversations if c.get("contactId") == own)
    add_message_of(drift, conversation, other)
    second = sync(config, state, catalog("conversations", "contacts"))
    assert other not in second.record_ids("contacts")


def test_author_that_fails_is_a_failed_item(drift: FakeDrift, config: dict[str, Any]) -> None:
    selected = catalog("conversations", "messages", "contacts")
    state = sync(config, catalog=selected).state()
    own, other = contact_ids(drift.account)[0], contact_ids(drift.account)[7]
    conversation = next(c["id"] for c in drift.account.conversations if c.get("contactId") == own)
    add_message_of(drift, conversation, other)
    drift.faults_by_path[f"/contacts/{other}"] = answer(400)
    second, error = sync_failing(config, state, selected)
    assert "contacts: 1 item could not be read" in error
    assert [*second.state()["bookmarks"]["contacts"]["failed_items"]] == [str(other)]
    drift.faults_by_path.clear()
    assert other in sync(config, second.state(), selected).record_ids("contacts")


def test_contacts_of_meetings_are_read(drift: FakeDrift, config: dict[str, Any]) -> None:
    """The conversations are not: they are older than `start_date`."""
    schedulers = {meeting["schedulerId"] for meeting in drift.account.meetings(0, 2**60)}
    latest = max(meeting["updatedAt"] for meeting in drift.account.meetings(0, 2**60))
    found = sync(
        config | {"start_date": from_epoch_ms(latest)}, catalog=catalog("contacts", "meetings")
    )
    of_latest = {
        meeting["schedulerId"]
        for meeting in drift.account.meetings(0, 2**60)
        if meeting["updatedAt"] == latest
    }
    assert of_latest <= {*found.record_ids("contacts")}
    assert {*found.record_ids("contacts")} < schedulers | of_listed(drift, latest)


def of_listed(drift: FakeDrift, since: int) -> set[int]:
    listed = drift.account.conversations
    return {c["contactId"] for c in listed if c["updatedAt"] >= since and c.get("contactId")}


def test_contacts_of_unchanged_meetings_are_not_requested(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    selected = catalog("conversations", "contacts", "meetings")
    latest = max(meeting["updatedAt"] for meeting in drift.account.meetings(0, 2**60))
    drift.update_conversation(drift.conversation_ids()[-1], latest + 1)
    state = sync(config, catalog=selected).state()
    drift.requests.clear()
    sync(config, state, selected)
    assert {*requested_contacts(drift)} <= of_listed(drift, latest + 1)


@pytest.mark.parametrize("shards", [2, 3])
def test_shards_share_the_contacts(
    drift: FakeDrift, config: dict[str, Any], shards: int, caplog: pytest.LogCaptureFixture
) -> None:
    selected = catalog("conversations", "messages", "contacts", "meetings")
    add_message_of(drift, drift.conversation_ids()[0], contact_ids(drift.account)[5])
    found: list[int] = []
    for index in range(shards):
        shard = {"shard_count": shards, "shard_index": index}
        found += sync(config | shard, catalog=selected).record_ids("contacts")
    assert sorted(found) == sorted(contact_ids(drift.account))
    assert "belong to other shards" in caplog.text


def contacts_before_states(messages: Any, wanted: Collection[int]) -> bool:
    """Return whether no state with a bookmark of `contacts` comes before the wanted contacts."""
    missing = {*wanted}
    for message in messages.all:
        if message["type"] == "RECORD" and message["stream"] == "contacts":
            missing.discard(message["record"]["id"])
        if message["type"] == "STATE" and missing:
            bookmark = message["value"]["bookmarks"].get("contacts", {})
            if "replication_key_value" in bookmark:
                return False
    return not missing


def test_bookmark_follows_authors_and_meetings(drift: FakeDrift, config: dict[str, Any]) -> None:
    add_message_of(drift, drift.conversation_ids()[0], contact_ids(drift.account)[5])
    selected = catalog("conversations", "messages", "contacts", "meetings")
    messages = sync(config | {"page_size": 5}, catalog=selected)
    assert contacts_before_states(messages, contact_ids(drift.account))


def test_failed_messages_keep_the_contacts_of_authors(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    """The conversation of the contact does not request it again."""
    author = contact_ids(drift.account)[-1]
    add_message_of(drift, drift.conversation_ids()[0], author)
    is_requested = threading.Event()

    def wait_for_author(_request: int) -> None:
        if f"/contacts/{author}" in drift.requests[-1]:
            is_requested.set()
        elif "list?" in drift.requests[-1] and drift.count_requests("list?") > 1:
            is_requested.wait(10)

    drift.on_request = wait_for_author
    failing_map = {"messages": {"body": "1 / 0"}}
    messages, error = sync_failing(
        config | {"page_size": 10, "stream_maps": failing_map},
        catalog=catalog("conversations", "messages", "contacts"),
    )
    assert "messages failed" in error
    assert {*messages.record_ids("contacts")} == {*contact_ids(drift.account)}
