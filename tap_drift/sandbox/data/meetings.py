"""Meetings: one for every twelfth conversation, or so, and made when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_drift.sandbox.data.people import humans
from tap_drift.sandbox.data.seeds import DAY, NOW, ORG, Row, chance, epoch_ms

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from tap_drift.sandbox.data.conversations import Conversation

_ONE_IN = 12
_WITHOUT_A_CHAT_ONE_IN = 60
_HALF_AN_HOUR = 1_800_000
_CANCELLED = 0.12


def slots(seed: int, conversations: Iterable[Conversation]) -> list[tuple[int, Conversation]]:
    """Say which conversations led to a meeting, and when it begins.

    Args:
        seed: The account's.
        conversations: All of them. It depends on an id, a contact and `createdAt` alone.

    Returns:
        The start in epoch milliseconds, and the conversation; the earliest first.
    """
    found = [
        (_start(seed, conversation), conversation)
        for conversation in conversations
        if conversation["id"] % _ONE_IN == 0 and conversation.get("contactId")
    ]
    return sorted(found, key=lambda slot: (slot[0], slot[1]["id"]))


def meeting(seed: int, start: int, conversation: Conversation, users: list[Row]) -> Row:
    """Make a meeting, as `GET /users/meetings/org` gives it.

    Args:
        seed: The account's.
        start: When it begins, epoch milliseconds.
        conversation: What it comes from.
        users: The account's users; one of them attends.

    Returns:
        The meeting.
    """
    conversation_id = conversation["id"]
    luck = chance(seed, "meeting", conversation_id)
    booked = min(start, epoch_ms(NOW)) - luck.randrange(DAY)
    made: Row = {
        "agentId": luck.choice(humans(users))["id"],
        "orgId": ORG,
        "status": "CANCELED" if luck.random() < _CANCELLED else "ACTIVE",
        "meetingSource": "CHAT",
        "schedulerId": conversation["contactId"],
        "eventId": f"event-{conversation_id}",
        "slug": f"m{conversation_id:x}",
        "slotStart": start,
        "slotEnd": start + _HALF_AN_HOUR,
        "scheduledAt": booked,
        "updatedAt": booked,
        "meetingType": "New Meeting",
    }
    if _has_no_chat(conversation_id):
        made |= {"meetingSource": "LINK", "meetingSlug": "half-an-hour"}
    else:
        made |= {"conversationId": conversation_id, "bookedBy": made["agentId"]}
    return made | _particulars(luck)


def _start(seed: int, conversation: Conversation) -> int:
    luck = chance(seed, "slot", conversation["id"])
    # Links are how meetings in the account's future come about, in an account of any age.
    if _has_no_chat(conversation["id"]):
        start = epoch_ms(NOW) + luck.randrange(-20 * DAY, 60 * DAY)
    else:
        start = conversation["createdAt"] + luck.randrange(DAY, 14 * DAY)
    return start - start % _HALF_AN_HOUR


def _has_no_chat(conversation_id: int) -> bool:
    return conversation_id % _WITHOUT_A_CHAT_ONE_IN == 0


def _particulars(luck: random.Random) -> Row:
    """What not every meeting has."""
    particulars: Row = {}
    if luck.choice([True, False]):
        url = f"https://meet.example/{luck.randrange(10**9)}"
        particulars |= {"conferenceType": "ZOOM", "conferenceDetails": {"join_url": url}}
    if luck.choice([True, False]):
        particulars |= {"endUserTimeZone": "Europe/Paris", "meetingNotes": "<p>Bring numbers.</p>"}
    if luck.choice([True, False]):
        particulars |= {"isRecurring": False, "isPrivate": luck.choice([True, False])}
    return particulars
