"""The generated account: everything that the sandbox serves."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING

from tap_drift.sandbox.data import (
    attachments,
    contacts,
    customer_accounts,
    details,
    meetings,
    messages,
    people,
    playbooks,
)
from tap_drift.sandbox.data.conversations import generate_conversations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_drift.sandbox.data.common import Row
    from tap_drift.sandbox.data.conversations import Conversation


def listing_key(conversation: Conversation) -> tuple[int, int]:
    """Return the sort key of the listing: newest `updatedAt` first, then ascending id."""
    return -conversation["updatedAt"], conversation["id"]


@dataclass
class Account:
    """A company's Drift account.

    Only the conversations are stored. Everything else is generated on request from the seed and
    the conversations' ids, contacts and `createdAt`.
    """

    conversations: list[Conversation] = field(default_factory=list)
    """In the order of the listing: sorted by `listing_key`."""
    seed: int = 0
    added_messages: dict[int, list[Row]] = field(default_factory=dict)
    """Messages that follow the generated ones, by conversation id."""
    deleted: set[int | str] = field(default_factory=set)
    """Ids of conversations and contacts, and URL paths, that are answered with 404."""

    def __post_init__(self) -> None:
        # Generated messages keep their times when a conversation's `updatedAt` changes.
        self._original_updates: dict[int, int] = {
            c["id"]: c["updatedAt"] for c in self.conversations
        }
        self._by_id: dict[int, Conversation] = {}
        self._first_conversations: dict[int, int] = {}
        self._meeting_slots: list[tuple[int, Conversation]] = []
        self._meeting_slots_size = 0

    @classmethod
    def from_seed(cls, conversations: int, seed: int) -> Account:
        """Generate an account with a number of conversations."""
        rng = random.Random(seed)  # noqa: S311 - sample data, not a secret
        return cls(sorted(generate_conversations(conversations, rng), key=listing_key), seed)

    def conversations_after(
        self, key: tuple[int, int], statuses: set[str]
    ) -> Iterator[Conversation]:
        """Iterate over the listing, starting after a position.

        Args:
            key: A `listing_key`.
            statuses: Limits the listing to these statuses; empty for all conversations.
        """
        start = bisect_right(self.conversations, key, key=listing_key)
        for index in range(start, len(self.conversations)):
            if not statuses or self.conversations[index]["status"] in statuses:
                yield self.conversations[index]

    @cached_property
    def users(self) -> list[Row]:
        """All users, bots included."""
        return people.generate_users(self.seed)

    @cached_property
    def teams(self) -> list[Row]:
        """All teams."""
        return people.generate_teams(self.seed, self.users)

    @cached_property
    def customer_accounts(self) -> list[Row]:
        """The companies that Drift calls accounts."""
        return customer_accounts.generate_customer_accounts(self.seed, self.users)

    @cached_property
    def playbooks(self) -> list[Row]:
        """All playbooks."""
        return playbooks.generate_playbooks(self.seed, self.users)

    @property
    def landing_pages(self) -> list[Row]:
        """The conversational landing pages of the playbooks."""
        return playbooks.generate_landing_pages(self.playbooks)

    def conversation(self, conversation_id: int) -> Conversation | None:
        """Return a conversation of `conversations`, or None if it is unknown or deleted."""
        if conversation_id not in self._by_id or len(self._by_id) != len(self.conversations):
            self._by_id = {c["id"]: c for c in self.conversations}
        return None if conversation_id in self.deleted else self._by_id.get(conversation_id)

    def details(self, conversation: Conversation) -> Row:
        """Return the six fields of the listing and the fields that the listing does not have."""
        return details.generate_details(self.seed, conversation, self.users, self.playbooks)

    def messages(self, conversation: Conversation) -> list[Row]:
        """Return a conversation's messages, oldest first, and its added messages after them."""
        conversation_id = conversation["id"]
        created: int = conversation["createdAt"]
        end = self._original_updates.get(conversation_id, created)
        generated = messages.generate_messages(self.seed, conversation, end, self.users)
        return generated + self.added_messages.get(conversation_id, [])

    def attachment(self, attachment_id: int) -> Row | None:
        """Return an attachment as its message has it, or None if it does not exist."""
        conversation = self.conversation(attachments.conversation_of(attachment_id))
        messages = self.messages(conversation) if conversation else []
        found = (each for message in messages for each in message.get("attachments", []))
        return next((each for each in found if each["id"] == attachment_id), None)

    def file(self, attachment_id: int) -> bytes:
        """Return the content of an attachment."""
        return attachments.generate_file(self.seed, attachment_id)

    def transcript(self, conversation: Conversation) -> str:
        """Return a conversation's transcript as plain text."""
        return messages.format_transcript(self.messages(conversation), self.users)

    def contact(self, contact_id: int) -> Row | None:
        """Return a contact, or None if no conversation has it or it is deleted."""
        if contact_id not in self._first_conversations:
            self._first_conversations = _first_conversations(self.conversations)
        if contact_id not in self._first_conversations or contact_id in self.deleted:
            return None
        domains = [customer["domain"] for customer in self.customer_accounts]
        first_conversation = self._first_conversations[contact_id]
        return contacts.generate_contact(self.seed, contact_id, first_conversation, domains)

    def meetings(self, earliest: int, latest: int) -> Iterator[Row]:
        """Iterate over the meetings whose `slotStart` lies in a range, in ascending order.

        Args:
            earliest: Epoch milliseconds.
            latest: Epoch milliseconds, included.
        """
        if self._meeting_slots_size != len(self.conversations):
            self._meeting_slots = meetings.generate_slots(self.seed, self.conversations)
            self._meeting_slots_size = len(self.conversations)
        slots = self._meeting_slots
        first = bisect_left(slots, earliest, key=itemgetter(0))
        end = bisect_right(slots, latest, key=itemgetter(0))
        for start, conversation in slots[first:end]:
            yield meetings.generate_meeting(self.seed, start, conversation, self.users)


def _first_conversations(conversations: list[Conversation]) -> dict[int, int]:
    """Map each contact's id to the `createdAt` of its first conversation."""
    first: dict[int, int] = {}
    for conversation in conversations:
        if contact := conversation.get("contactId"):
            created = conversation["createdAt"]
            first[contact] = min(created, first.get(contact, created))
    return first
