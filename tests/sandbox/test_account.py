"""The generated account: stable for a seed, and consistent in itself."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tap_drift.sandbox.data.account import Account, listing_key
from tap_drift.schemas import SCHEMAS

Rows = dict[str, list[dict[str, Any]]]

STREAMS = (
    "conversations",
    "conversation_details",
    "messages",
    "contacts",
    "accounts",
    "users",
    "teams",
    "meetings",
    "playbooks",
    "landing_pages",
)


def rows_of(account: Account) -> Rows:
    """All rows of an account by stream."""
    conversations = account.conversations
    contact_ids = dict.fromkeys(c["contactId"] for c in conversations if "contactId" in c)
    return {
        "conversations": conversations,
        "conversation_details": [account.details(c) for c in conversations],
        "messages": [message for c in conversations for message in account.messages(c)],
        "contacts": [row for row in map(account.contact, contact_ids) if row],
        "accounts": account.customer_accounts,
        "users": account.users,
        "teams": account.teams,
        "meetings": list(account.meetings(0, 2**62)),
        "playbooks": account.playbooks,
        "landing_pages": account.landing_pages,
    }


ACCOUNT = Account.from_seed(1000, seed=1)
HUMAN_IDS = {user["id"] for user in ACCOUNT.users if not user["bot"]}
PLAYBOOK_IDS = {playbook["id"] for playbook in ACCOUNT.playbooks}
CONTACT_IDS = {c["id"]: c.get("contactId") for c in ACCOUNT.conversations}


@pytest.fixture(scope="module")
def rows() -> Rows:
    """All rows of `ACCOUNT`."""
    return rows_of(ACCOUNT)


def test_default_account_is_unchanged(rows: Rows) -> None:
    """The README's figures depend on it."""
    fingerprint = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    assert fingerprint[:16] == "fe42643a0e24adf4"


def test_same_seed_generates_the_same_rows_in_any_order(rows: Rows) -> None:
    again = Account.from_seed(1000, seed=1)
    messages = [again.messages(conversation) for conversation in reversed(again.conversations)]
    assert messages[::-1] == [ACCOUNT.messages(c) for c in ACCOUNT.conversations]
    assert rows_of(again) == rows


def test_another_seed_changes_every_stream() -> None:
    first, second = (rows_of(Account.from_seed(100, seed)) for seed in (1, 2))
    assert tuple(first) == STREAMS
    assert [name for name in first if first[name] == second[name]] == ["landing_pages"]


@pytest.mark.parametrize("stream", STREAMS)
def test_every_property_of_the_schema_occurs(stream: str, rows: Rows) -> None:
    properties = SCHEMAS.get_schema(stream)["properties"].keys() - {"conversationId"}
    assert set().union(*rows[stream]) - {"conversationId"} == properties


def test_default_account_has_the_edge_cases_of_real_ones(rows: Rows) -> None:
    lengths = [len(ACCOUNT.messages(c)) for c in ACCOUNT.conversations]
    assert min(lengths) == 0
    assert max(lengths) > 100, "more than two pages of messages"
    assert None in CONTACT_IDS.values()
    assert max(filter(None, CONTACT_IDS.values())) > 2**53, "more than a float can hold"
    assert len(rows["contacts"]) < len(set(CONTACT_IDS.values()) - {None}), "deleted contacts"
    assert any(c["inboxId"] is None for c in ACCOUNT.conversations)
    assert "bulk_sent" in {c["status"] for c in ACCOUNT.conversations}
    related = [row.get("relatedPlaybookId") for row in rows["conversation_details"]]
    assert {type(playbook_id) for playbook_id in related} == {int, str, type(None)}


@pytest.mark.parametrize(
    ("stream", "key"),
    [
        ("conversations", "id"),
        ("messages", "id"),
        ("accounts", "accountId"),
        ("users", "id"),
        ("teams", "id"),
        ("meetings", "slug"),
        ("meetings", "eventId"),
        ("playbooks", "id"),
    ],
)
def test_keys_are_unique(stream: str, key: str, rows: Rows) -> None:
    assert len({row[key] for row in rows[stream]}) == len(rows[stream])


def test_message_authors_take_part_in_the_conversation(rows: Rows) -> None:
    bots = {user["id"] for user in ACCOUNT.users if user["bot"]}
    participants = {row["id"]: row["participants"] for row in rows["conversation_details"]}
    assert set().union(*participants.values()) <= HUMAN_IDS
    for message in rows["messages"]:
        author, conversation_id = message["author"], message["conversationId"]
        if author["type"] == "contact":
            assert author["id"] == CONTACT_IDS[conversation_id]
        else:
            assert author["id"] in (bots if author["bot"] else participants[conversation_id])


@pytest.mark.parametrize(
    ("stream", "field", "targets"),
    [
        ("accounts", "ownerId", HUMAN_IDS),
        ("conversation_details", "relatedPlaybookId", PLAYBOOK_IDS),
        ("landing_pages", "playbookId", PLAYBOOK_IDS),
        ("meetings", "agentId", HUMAN_IDS),
        ("meetings", "conversationId", set(CONTACT_IDS)),
        ("meetings", "schedulerId", set(CONTACT_IDS.values())),
        ("playbooks", "createdAuthorId", HUMAN_IDS),
        ("playbooks", "updatedAuthorId", HUMAN_IDS),
        ("teams", "owner", HUMAN_IDS),
    ],
)
def test_references_exist(stream: str, field: str, targets: set[int], rows: Rows) -> None:
    references = {int(row[field]) for row in rows[stream] if field in row}
    assert references
    assert references <= targets


def test_edits_refer_to_a_message_of_the_same_author(rows: Rows) -> None:
    by_id = {message["id"]: message for message in rows["messages"]}
    edits = [message for message in rows["messages"] if message["type"] == "edit"]
    assert {edit["editType"] for edit in edits} == {"replace", "delete"}
    for edit in edits:
        edited = by_id[edit["editedMessageId"]]
        assert edited["author"] == edit["author"]
        assert edited["conversationId"] == edit["conversationId"]


def test_messages_lie_within_the_conversation_in_id_order(rows: Rows) -> None:
    for conversation in ACCOUNT.conversations:
        messages = ACCOUNT.messages(conversation)
        times = [message["createdAt"] for message in messages]
        bounded = [conversation["createdAt"], *times, conversation["updatedAt"]]
        assert bounded == sorted(bounded)
        assert messages == sorted(messages, key=lambda message: message["id"])
    assert max(message["id"] for message in rows["messages"]) < 2**63


def test_update_does_not_change_messages_and_meetings() -> None:
    account = Account.from_seed(100, seed=1)
    conversation = max(account.conversations, key=lambda c: len(account.messages(c)))
    messages, meetings = account.messages(conversation), list(account.meetings(0, 2**62))
    conversation.update(updatedAt=1_788_000_000_000, status="open")
    account.conversations.sort(key=listing_key)
    assert account.messages(conversation) == messages
    assert list(account.meetings(0, 2**62)) == meetings
