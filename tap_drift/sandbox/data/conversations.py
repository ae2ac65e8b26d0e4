"""The conversations of an account, as visitors begin them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tap_drift.sandbox.data.seeds import NOW, OPENED, Row, epoch_ms

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

Conversation = Row

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


def conversations(number: int, chance: random.Random) -> Iterator[Conversation]:
    """Make conversations.

    Args:
        number: How many.
        chance: Decides on them.

    Yields:
        The oldest first.
    """
    contacts = 1 + number * 3 // 5  # some visitors come back
    conversation_id = _FIRST_ID
    for begun in sorted(_visit(chance) for _ in range(number)):
        conversation_id += chance.randint(1, 40)
        age = (begun - OPENED) / (NOW - OPENED)
        contact = int(age * contacts * chance.random() ** 0.2)
        contact_id = _FIRST_CONTACT + contact * _CONTACT_IDS // contacts
        yield _conversation(conversation_id, contact_id, begun, chance)


def _visit(chance: random.Random) -> datetime:
    day = chance.randrange((NOW - OPENED).days)
    saturday = 5
    if (OPENED.weekday() + day) % 7 >= saturday and chance.random() < _KEPT_FOR_A_WORKING_DAY:
        day = max(day - chance.randint(2, 4), 0)
    hour = chance.choices(range(24), _HOURS)[0]
    return OPENED + timedelta(days=day, hours=hour, milliseconds=chance.randrange(3_600_000))


def _conversation(
    conversation_id: int, contact_id: int, begun: datetime, chance: random.Random
) -> Conversation:
    quiet = timedelta(seconds=chance.lognormvariate(7.0, 1.8))  # half are over in 20 minutes
    if chance.random() < _TAKEN_UP_AGAIN:
        quiet += timedelta(days=chance.expovariate(1 / 60))
    if begun + quiet > NOW:
        quiet = (NOW - begun) * chance.random()
    conversation: Conversation = {
        "status": chance.choices(list(_STATUSES), list(_STATUSES.values()))[0],
        "contactId": contact_id,
        "createdAt": epoch_ms(begun),
        "id": conversation_id,
        "inboxId": chance.choices(list(_INBOXES), list(_INBOXES.values()))[0],
        "updatedAt": epoch_ms(begun + quiet),
    }
    # Drift leaves out what is not set. The nulls are ours: whoever reads must bear both.
    if chance.random() < _WITHOUT_CONTACT:
        del conversation["contactId"]
    if chance.random() < _WITHOUT_INBOX:
        conversation["inboxId"] = None
    return conversation
