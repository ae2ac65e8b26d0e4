"""The conversations of an account."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tap_drift.sandbox.data.common import ACCOUNT_CREATED, ACCOUNT_NOW, Row, epoch_ms

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

Conversation = Row

_FIRST_ID = 312_000_017
_CONTACT_IDS = 80_000_000_000
_FIRST_CONTACT = 2**53 - _CONTACT_IDS // 2  # the ids of the newer contacts pass 2**53
_INBOXES = {62491: 60, 62518: 22, 70033: 11, 88104: 7}
_STATUSES = {"closed": 78, "open": 11, "pending": 6, "bulk_sent": 5}
# Conversations by hour of the day, UTC, of a company with customers in Europe and America.
_HOURS = [2, 1, 1, 1, 1, 2, 4, 8, 14, 18, 20, 20, 18, 22, 30, 33, 32, 30, 26, 22, 17, 11, 7, 4]
_MOVED_TO_WEEKDAY_SHARE = 0.8
_REOPENED_SHARE = 0.04
_NO_CONTACT_SHARE = 0.02
_NO_INBOX_SHARE = 0.03


def generate_conversations(count: int, rng: random.Random) -> Iterator[Conversation]:
    """Generate a number of conversations, ordered by ascending `createdAt` and id."""
    contacts = 1 + count * 3 // 5  # some contacts have several conversations
    conversation_id = _FIRST_ID
    for created in sorted(_random_start(rng) for _ in range(count)):
        conversation_id += rng.randint(1, 40)
        age = (created - ACCOUNT_CREATED) / (ACCOUNT_NOW - ACCOUNT_CREATED)
        contact = int(age * contacts * rng.random() ** 0.2)
        contact_id = _FIRST_CONTACT + contact * _CONTACT_IDS // contacts
        yield _conversation(conversation_id, contact_id, created, rng)


def _random_start(rng: random.Random) -> datetime:
    day = rng.randrange((ACCOUNT_NOW - ACCOUNT_CREATED).days)
    saturday = 5
    if (ACCOUNT_CREATED.weekday() + day) % 7 >= saturday and rng.random() < _MOVED_TO_WEEKDAY_SHARE:
        day = max(day - rng.randint(2, 4), 0)
    hour = rng.choices(range(24), _HOURS)[0]
    return ACCOUNT_CREATED + timedelta(days=day, hours=hour, milliseconds=rng.randrange(3_600_000))


def _conversation(
    conversation_id: int, contact_id: int, created: datetime, rng: random.Random
) -> Conversation:
    duration = timedelta(seconds=rng.lognormvariate(7.0, 1.8))  # median: 18 minutes
    if rng.random() < _REOPENED_SHARE:
        duration += timedelta(days=rng.expovariate(1 / 60))
    if created + duration > ACCOUNT_NOW:
        duration = (ACCOUNT_NOW - created) * rng.random()
    conversation: Conversation = {
        "status": rng.choices(list(_STATUSES), list(_STATUSES.values()))[0],
        "contactId": contact_id,
        "createdAt": epoch_ms(created),
        "id": conversation_id,
        "inboxId": rng.choices(list(_INBOXES), list(_INBOXES.values()))[0],
        "updatedAt": epoch_ms(created + duration),
    }
    # Drift omits fields without a value. The sandbox also sends nulls, because a tap has to
    # accept both.
    if rng.random() < _NO_CONTACT_SHARE:
        del conversation["contactId"]
    if rng.random() < _NO_INBOX_SHARE:
        conversation["inboxId"] = None
    return conversation
