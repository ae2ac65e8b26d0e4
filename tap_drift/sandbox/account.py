"""An account made from a seed: conversations as a company's might be, the same every time."""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Conversation = dict[str, Any]

_OPENED = datetime(2019, 3, 4, tzinfo=timezone.utc)
_NOW = datetime(2026, 3, 2, tzinfo=timezone.utc)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_FIRST_ID = 312_000_017
_CONTACT_IDS = 80_000_000_000
_FIRST_CONTACT = 2**53 - _CONTACT_IDS // 2  # the ids of the newer contacts pass 2**53
_INBOXES = {62491: 60, 62518: 22, 70033: 11, 88104: 7}
_STATUSES = {"closed": 78, "open": 11, "pending": 6, "bulk_sent": 5}
# Visitors by hour of the day, UTC, of a company that sells on both sides of the Atlantic.
_HOURS = [2, 1, 1, 1, 1, 2, 4, 8, 14, 18, 20, 20, 18, 22, 30, 33, 32, 30, 26, 22, 17, 11, 7, 4]
_KEPT_FOR_A_WORKING_DAY = 0.8
_TAKEN_UP_AGAIN = 0.04
_WITHOUT_CONTACT = 0.02
_WITHOUT_INBOX = 0.03


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
    """What one company has in Drift."""

    conversations: list[Conversation] = field(default_factory=list)
    """In the order of the listing: sorted by `position`."""

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
        return cls(sorted(_conversations(conversations, chance), key=position))

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


def _conversations(number: int, chance: random.Random) -> Iterator[Conversation]:
    contacts = 1 + number * 3 // 5  # some visitors come back
    conversation_id = _FIRST_ID
    for begun in sorted(_visit(chance) for _ in range(number)):
        conversation_id += chance.randint(1, 40)
        age = (begun - _OPENED) / (_NOW - _OPENED)
        contact = int(age * contacts * chance.random() ** 0.2)
        contact_id = _FIRST_CONTACT + contact * _CONTACT_IDS // contacts
        yield _conversation(conversation_id, contact_id, begun, chance)


def _visit(chance: random.Random) -> datetime:
    day = chance.randrange((_NOW - _OPENED).days)
    saturday = 5
    if (_OPENED.weekday() + day) % 7 >= saturday and chance.random() < _KEPT_FOR_A_WORKING_DAY:
        day = max(day - chance.randint(2, 4), 0)
    hour = chance.choices(range(24), _HOURS)[0]
    return _OPENED + timedelta(days=day, hours=hour, milliseconds=chance.randrange(3_600_000))


def _conversation(
    conversation_id: int, contact_id: int, begun: datetime, chance: random.Random
) -> Conversation:
    quiet = timedelta(seconds=chance.lognormvariate(7.0, 1.8))  # half are over in 20 minutes
    if chance.random() < _TAKEN_UP_AGAIN:
        quiet += timedelta(days=chance.expovariate(1 / 60))
    if begun + quiet > _NOW:
        quiet = (_NOW - begun) * chance.random()
    conversation: Conversation = {
        "status": chance.choices(list(_STATUSES), list(_STATUSES.values()))[0],
        "contactId": contact_id,
        "createdAt": _epoch_ms(begun),
        "id": conversation_id,
        "inboxId": chance.choices(list(_INBOXES), list(_INBOXES.values()))[0],
        "updatedAt": _epoch_ms(begun + quiet),
    }
    # Drift leaves out what is not set. The nulls are ours: whoever reads must bear both.
    if chance.random() < _WITHOUT_CONTACT:
        del conversation["contactId"]
    if chance.random() < _WITHOUT_INBOX:
        conversation["inboxId"] = None
    return conversation


def _epoch_ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)
