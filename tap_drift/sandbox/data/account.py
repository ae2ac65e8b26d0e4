"""An account made from a seed: what a company might have in Drift, the same every time."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING

from tap_drift.sandbox.data import (
    companies,
    contacts,
    details,
    meetings,
    messages,
    people,
    playbooks,
)
from tap_drift.sandbox.data.conversations import conversations as make

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_drift.sandbox.data.conversations import Conversation
    from tap_drift.sandbox.data.seeds import Row


def position(conversation: Conversation) -> tuple[int, int]:
    """Say where a conversation stands in the listing: last updated first, then by id.

    Args:
        conversation: A conversation of the account.

    Returns:
        A key to sort by.
    """
    return -conversation["updatedAt"], conversation["id"]


@dataclass
class Account:
    """What one company has in Drift.

    Only the conversations are kept. The rest follows from the seed and their ids, contacts and
    `createdAt`: it is made when it is asked for, and is the same every time.
    """

    conversations: list[Conversation] = field(default_factory=list)
    """In the order of the listing: sorted by `position`."""
    seed: int = 0
    said: dict[int, list[Row]] = field(default_factory=dict)
    """Messages that were added later, by the id of their conversation."""
    gone: set[int | str] = field(default_factory=set)
    """Ids of conversations and contacts, and paths, that are no longer there when asked for."""

    def __post_init__(self) -> None:
        # Messages keep their times when a conversation is updated.
        self._ended: dict[int, int] = {c["id"]: c["updatedAt"] for c in self.conversations}
        self._by_id: dict[int, Conversation] = {}
        self._met: dict[int, int] = {}
        self._slots: tuple[int, list[tuple[int, Conversation]]] = 0, []

    @classmethod
    def from_seed(cls, conversations: int, seed: int) -> Account:
        """Make an account.

        Args:
            conversations: How many it has.
            seed: The same seed and number make the same account.

        Returns:
            The account.
        """
        chance = random.Random(seed)  # noqa: S311 - an account to try, not a secret
        return cls(sorted(make(conversations, chance), key=position), seed)

    def after(self, place: tuple[int, int], statuses: set[str]) -> Iterator[Conversation]:
        """Walk the listing on from a place.

        Args:
            place: A `position`; the walk starts with what comes after it.
            statuses: Only conversations that have one of these; if empty, all.

        Yields:
            Conversations, in the order of the listing.
        """
        start = bisect_right(self.conversations, place, key=position)
        for index in range(start, len(self.conversations)):
            if not statuses or self.conversations[index]["status"] in statuses:
                yield self.conversations[index]

    @cached_property
    def users(self) -> list[Row]:
        """Everybody who works there."""
        return people.users(self.seed)

    @cached_property
    def teams(self) -> list[Row]:
        """Their teams."""
        return people.teams(self.seed, self.users)

    @cached_property
    def companies(self) -> list[Row]:
        """Whom they sell to."""
        return companies.companies(self.seed, self.users)

    @cached_property
    def playbooks(self) -> list[Row]:
        """What their bots follow."""
        return playbooks.playbooks(self.seed, self.users)

    def find(self, conversation_id: int) -> Conversation | None:
        """Find a conversation.

        Args:
            conversation_id: Its id.

        Returns:
            The one in `conversations`; none if it is not there, or gone.
        """
        if conversation_id not in self._by_id or len(self._by_id) != len(self.conversations):
            self._by_id = {c["id"]: c for c in self.conversations}
        return None if conversation_id in self.gone else self._by_id.get(conversation_id)

    def details(self, conversation: Conversation) -> Row:
        """Give all that is known of a conversation.

        Args:
            conversation: As it is listed.

        Returns:
            The six fields of the listing, and more.
        """
        return details.details(self.seed, conversation, self.users, self.playbooks)

    def messages(self, conversation: Conversation) -> list[Row]:
        """Give a conversation's messages.

        Args:
            conversation: As it is listed.

        Returns:
            Its messages, oldest first, and then those that were added later.
        """
        conversation_id = conversation["id"]
        begun: int = conversation["createdAt"]
        ended = self._ended.get(conversation_id, begun)
        seeded = messages.messages(self.seed, conversation, ended, self.users)
        return seeded + self.said.get(conversation_id, [])

    def contact(self, contact_id: int) -> Row | None:
        """Find a contact.

        Args:
            contact_id: Its id.

        Returns:
            The contact; none if no conversation has it, or it is gone.
        """
        if contact_id not in self._met:
            self._met = _first_met(self.conversations)
        if contact_id not in self._met or contact_id in self.gone:
            return None
        domains = [company["domain"] for company in self.companies]
        return contacts.contact(self.seed, contact_id, self._met[contact_id], domains)

    def meetings(self, first: int, last: int) -> Iterator[Row]:
        """Give the meetings of some time.

        Args:
            first: The earliest `slotStart`, epoch milliseconds.
            last: The latest, included.

        Yields:
            Meetings, the earliest first.
        """
        if self._slots[0] != len(self.conversations):
            self._slots = len(self.conversations), meetings.slots(self.seed, self.conversations)
        slots = self._slots[1]
        begin = bisect_left(slots, first, key=itemgetter(0))
        for start, conversation in slots[begin : bisect_right(slots, last, key=itemgetter(0))]:
            yield meetings.meeting(self.seed, start, conversation, self.users)


def _first_met(conversations: list[Conversation]) -> dict[int, int]:
    """When each contact's first conversation began."""
    met: dict[int, int] = {}
    for conversation in conversations:
        if contact := conversation.get("contactId"):
            begun = conversation["createdAt"]
            met[contact] = min(begun, met.get(contact, begun))
    return met
