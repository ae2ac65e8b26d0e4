"""The parts of an account fit together, and stay as they are when it changes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from fake_drift import FakeDrift

from tap_drift.sandbox.data.account import Account
from tap_drift.sandbox.data.playbooks import landing_pages
from tap_drift.sandbox.data.seeds import NOW, epoch_ms

ACCOUNT = Account.from_seed(1000, seed=1)
ROWS: dict[str, list[dict[str, Any]]] = {
    "details": [ACCOUNT.details(c) for c in ACCOUNT.conversations],
    "messages": [message for c in ACCOUNT.conversations for message in ACCOUNT.messages(c)],
    "contacts": [
        contact
        for contact in map(ACCOUNT.contact, {c.get("contactId", 0) for c in ACCOUNT.conversations})
        if contact
    ],
    "accounts": ACCOUNT.companies,
    "users": ACCOUNT.users,
    "teams": ACCOUNT.teams,
    "meetings": list(ACCOUNT.meetings(0, 2**62)),
    "playbooks": ACCOUNT.playbooks,
    "landing pages": landing_pages(ACCOUNT.playbooks),
}
# As documented; a dot is a field of what lies inside.
FIELDS = {
    "details": """
        status contactId createdAt id inboxId updatedAt participants relatedPlaybookId
        conversationTags conversationTags.color conversationTags.name orgId""",
    "messages": """
        id orgId body author author.type author.id author.bot type conversationId createdAt
        buttons buttons.label buttons.value buttons.type buttons.style buttons.reaction
        buttons.reaction.type buttons.reaction.message
        context context.ip context.userAgent context.href context.referrer context.title
        context.locale context.location context.location.city context.location.country
        context.location.latitude context.location.longitude
        attributes attributes.ticketId attributes.TicketID
        attachments attachments.id attachments.fileName attachments.mimeType attachments.url
        editedMessageId editType""",
    "accounts": """
        accountId ownerId name domain deleted createDateTime updateDateTime targeted
        customProperties customProperties.label customProperties.name customProperties.value
        customProperties.type""",
    "users": """
        id orgId name alias email phone locale availability role timeZone avatarUrl verified bot
        createdAt updatedAt""",
    "teams": """
        id orgId workspaceId name updatedAt members owner status main autoOffline
        teamAvailabilityMode responseTimerEnabled teamCsatEnabled""",
    "meetings": """
        agentId orgId status meetingSource schedulerId eventId slug slotStart slotEnd updatedAt
        scheduledAt meetingType conversationId endUserTimeZone meetingNotes bookedBy meetingSlug
        conferenceType conferenceDetails conferenceDetails.join_url isRecurring isPrivate""",
    "playbooks": """
        id name orgId meta meta.color meta.Color meta.steps createdAt updatedAt createdAuthorId
        updatedAuthorId interactionId reportType goals goals.id goals.message""",
    "landing pages": "playbookId playbookName landingPageUrl",
}


def fields(value: Any, prefix: str = "") -> set[str]:
    """The names of all that is in a value."""
    if isinstance(value, list):
        return set().union(*(fields(part, prefix) for part in value))
    if not isinstance(value, dict):
        return set()
    inside = (fields(part, f"{prefix}{name}.") for name, part in value.items())
    return {prefix + name for name in value}.union(*inside)


def ids(kind: str) -> set[int]:
    return {row["id"] for row in ROWS[kind]}


HUMANS = {user["id"] for user in ACCOUNT.users if not user["bot"]}
CONTACTS = {c["contactId"] for c in ACCOUNT.conversations if "contactId" in c}


@pytest.mark.parametrize("kind", FIELDS)
def test_every_documented_field_is_met_and_no_other(kind: str) -> None:
    assert fields(ROWS[kind]) == set(FIELDS[kind].split())


def test_contacts_have_the_documented_fields() -> None:
    assert set().union(*ROWS["contacts"]) == {"id", "createdAt", "attributes"}
    attributes = set().union(*(contact["attributes"] for contact in ROWS["contacts"]))
    assert {"email", "name", "tags", "events", "_END_USER_VERSION"} <= attributes


@pytest.mark.parametrize("kind", ["messages", "meetings", "users", "details"])
def test_what_is_not_set_is_left_out(kind: str) -> None:
    assert len({frozenset(row) for row in ROWS[kind]}) > 1
    assert all(row[name] is not None for row in ROWS[kind] for name in row if name != "inboxId")


def test_whoever_writes_is_a_user_or_the_conversations_contact() -> None:
    contacts = {c["id"]: c.get("contactId") for c in ACCOUNT.conversations}
    authors: dict[str, set[bool]] = {"user": set(), "contact": set()}
    bots = ids("users") - HUMANS
    for message in ROWS["messages"]:
        author = message["author"]
        authors[author["type"]].add(author["bot"])
        if author["type"] == "contact":
            assert author["id"] == contacts[message["conversationId"]]
        else:
            assert author["id"] in (bots if author["bot"] else HUMANS)
    assert authors == {"user": {True, False}, "contact": {False}}


def test_users_who_write_take_part() -> None:
    for found in ROWS["details"]:
        assert set(found["participants"]) <= HUMANS
        authors = [message["author"] for message in ACCOUNT.messages(found)]
        writers = {author["id"] for author in authors if author["type"] == "user"}
        assert writers & HUMANS <= set(found["participants"])


def test_owners_members_agents_and_authors_are_users() -> None:
    assert {row["ownerId"] for row in ROWS["accounts"]} <= HUMANS
    assert {row["agentId"] for row in ROWS["meetings"]} <= HUMANS
    for team in ROWS["teams"]:
        assert team["owner"] in team["members"]
        assert set(team["members"]) <= HUMANS
    for playbook in ROWS["playbooks"]:
        assert {playbook["createdAuthorId"], playbook["updatedAuthorId"]} <= HUMANS


def test_playbooks_of_conversations_are_listed_as_numbers_or_text() -> None:
    related = [row["relatedPlaybookId"] for row in ROWS["details"] if "relatedPlaybookId" in row]
    assert {int(playbook) for playbook in related} == ids("playbooks")
    assert {type(playbook) for playbook in related} == {int, str}
    assert 500 < len(related) < 1000


def test_meetings_come_from_conversations() -> None:
    meetings = ROWS["meetings"]
    assert 50 < len(meetings) < 120
    of = {c["id"]: c.get("contactId") for c in ACCOUNT.conversations}
    linked = [meeting for meeting in meetings if "conversationId" in meeting]
    assert len(meetings) / 2 < len(linked) < len(meetings)
    assert all(meeting["schedulerId"] == of[meeting["conversationId"]] for meeting in linked)
    assert {meeting["schedulerId"] for meeting in meetings} <= CONTACTS


def test_some_meetings_are_cancelled_and_some_are_still_to_come() -> None:
    meetings = ROWS["meetings"]
    assert {meeting["status"] for meeting in meetings} == {"ACTIVE", "CANCELED"}
    to_come = [meeting for meeting in meetings if meeting["slotStart"] > epoch_ms(NOW)]
    assert 0 < len(to_come) < len(meetings) / 3
    assert all(meeting["scheduledAt"] < meeting["slotStart"] for meeting in meetings)


@pytest.mark.parametrize("key", ["slug", "eventId"])
def test_both_names_of_a_meeting_are_its_own(key: str) -> None:
    assert len({meeting[key] for meeting in ROWS["meetings"]}) == len(ROWS["meetings"])


@pytest.mark.parametrize(
    ("kind", "key"),
    [("users", "id"), ("teams", "id"), ("playbooks", "id"), ("accounts", "accountId")],
)
def test_keys_are_unique(kind: str, key: str) -> None:
    assert len({row[key] for row in ROWS[kind]}) == len(ROWS[kind])


def test_message_ids_are_unique_and_grow_with_time() -> None:
    by_time = sorted(ROWS["messages"], key=lambda message: (message["createdAt"], message["id"]))
    found = [message["id"] for message in by_time]
    assert all(earlier < later for earlier, later in pairwise(found))
    assert found[-1] < 2**63


def test_messages_are_written_while_their_conversation_goes_on() -> None:
    for conversation in ACCOUNT.conversations:
        times = [message["createdAt"] for message in ACCOUNT.messages(conversation)]
        bounded = [conversation["createdAt"], *times, conversation["updatedAt"]]
        assert bounded == sorted(bounded)


def test_conversations_have_as_many_messages_as_is_usual() -> None:
    lengths = [len(ACCOUNT.messages(conversation)) for conversation in ACCOUNT.conversations]
    assert lengths.count(0) > 20
    assert sum(2 <= length <= 12 for length in lengths) > 700
    assert 5 < sum(length > 50 for length in lengths) < 20
    assert 0 < sum(length > 100 for length in lengths) < 5


def test_edits_name_a_message_of_the_same_author() -> None:
    by_id = {message["id"]: message for message in ROWS["messages"]}
    edits = [message for message in ROWS["messages"] if message["type"] == "edit"]
    for edit in edits:
        edited = by_id[edit["editedMessageId"]]
        assert edited["author"] == edit["author"]
        assert edited["conversationId"] == edit["conversationId"]
    assert {edit["editType"] for edit in edits} == {"replace", "delete"}
    assert {message["type"] for message in ROWS["messages"]} == {"chat", "private_note", "edit"}


def test_contacts_are_older_than_their_conversations() -> None:
    born = {contact["id"]: contact["createdAt"] for contact in ROWS["contacts"]}
    for conversation in ACCOUNT.conversations:
        known = born.get(conversation.get("contactId", 0), 0)
        assert known <= conversation["createdAt"]


def test_the_same_seed_makes_the_same_of_everything() -> None:
    again, other = Account.from_seed(1000, seed=1), Account.from_seed(1000, seed=2)
    again.conversations.reverse()
    last = ACCOUNT.conversations[-1]
    assert again.messages(again.conversations[0]) == ACCOUNT.messages(last)
    assert again.details(again.conversations[0]) == ACCOUNT.details(last)
    assert list(again.meetings(0, 2**62)) == ROWS["meetings"]
    for name in ("users", "teams", "companies", "playbooks"):
        assert getattr(again, name) == getattr(ACCOUNT, name) != getattr(other, name)


def test_an_update_leaves_messages_and_meetings_as_they_were() -> None:
    drift = FakeDrift(Account.from_seed(100, seed=1))
    drift.server_close()
    account = drift.account
    conversation = max(account.conversations, key=lambda c: len(account.messages(c)))
    messages, meetings = account.messages(conversation), list(account.meetings(0, 2**62))
    drift.update_conversation(conversation["id"], 1_788_000_000_000, status="open")
    assert account.find(conversation["id"]) is account.conversations[0] is conversation
    assert account.messages(conversation) == messages
    assert list(account.meetings(0, 2**62)) == meetings


def test_a_conversation_that_comes_later_is_found() -> None:
    account = Account.from_seed(100, seed=1)
    first = account.conversations[0]
    assert account.find(first["id"]) is first
    assert account.contact(7) is None
    added = first | {"id": first["id"] + 60 - first["id"] % 60, "contactId": 7}
    before = len(list(account.meetings(0, 2**62)))
    account.conversations.append(added)
    assert account.find(added["id"]) is added
    assert account.contact(7) is not None
    assert len(list(account.meetings(0, 2**62))) == before + 1
    account.conversations.remove(added)
    assert account.find(added["id"]) is None


def test_an_account_can_be_made_by_hand() -> None:
    row = {"id": 60, "status": "open", "contactId": 5, "createdAt": 1_000, "updatedAt": 2_000}
    account = Account(conversations=[row])
    assert account.details(row).items() >= row.items()
    assert {message["conversationId"] for message in account.messages(row)} <= {60}
    assert account.contact(5) is not None
    assert len(list(account.meetings(0, 2**62))) == 1
