"""Meetings: about one for every twelve conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_drift.sandbox.data.common import ACCOUNT_NOW, DAY_MS, ORG_ID, Row, epoch_ms, make_rng
from tap_drift.sandbox.data.people import human_users

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from tap_drift.sandbox.data.conversations import Conversation

# A conversation whose id is a multiple of 12 has a meeting; of 60, one booked by link.
_MEETING_EVERY = 12
_LINK_MEETING_EVERY = 60
_HALF_HOUR_MS = 1_800_000
_CANCELED_SHARE = 0.12


def generate_slots(
    seed: int, conversations: Iterable[Conversation]
) -> list[tuple[int, Conversation]]:
    """Pick the conversations that have a meeting, and the start of each meeting.

    Returns:
        Start in epoch milliseconds and conversation, ordered by start. The result does not
        depend on `status` and `updatedAt`.
    """
    slots = [
        (_start(seed, conversation), conversation)
        for conversation in conversations
        if conversation["id"] % _MEETING_EVERY == 0 and conversation.get("contactId")
    ]
    return sorted(slots, key=lambda slot: (slot[0], slot[1]["id"]))


def generate_meeting(seed: int, start: int, conversation: Conversation, users: list[Row]) -> Row:
    """Generate one row of `GET /users/meetings/org`; `start` is in epoch milliseconds."""
    conversation_id = conversation["id"]
    rng = make_rng(seed, "meeting", conversation_id)
    booked = min(start, epoch_ms(ACCOUNT_NOW)) - rng.randrange(DAY_MS)
    row: Row = {
        "agentId": rng.choice(human_users(users))["id"],
        "orgId": ORG_ID,
        "status": "CANCELED" if rng.random() < _CANCELED_SHARE else "ACTIVE",
        "meetingSource": "CHAT",
        "schedulerId": conversation["contactId"],
        "eventId": f"event-{conversation_id}",
        "slug": f"m{conversation_id:x}",
        "slotStart": start,
        "slotEnd": start + _HALF_HOUR_MS,
        "scheduledAt": booked,
        "updatedAt": booked,
        "meetingType": "New Meeting",
    }
    if _is_booked_by_link(conversation_id):
        row |= {"meetingSource": "LINK", "meetingSlug": "half-an-hour"}
    else:
        row |= {"conversationId": conversation_id, "bookedBy": row["agentId"]}
    return row | _optional_fields(rng)


def _start(seed: int, conversation: Conversation) -> int:
    rng = make_rng(seed, "slot", conversation["id"])
    # Meetings by link are around the account's current time, so that some are in the future.
    if _is_booked_by_link(conversation["id"]):
        start = epoch_ms(ACCOUNT_NOW) + rng.randrange(-20 * DAY_MS, 60 * DAY_MS)
    else:
        start = conversation["createdAt"] + rng.randrange(DAY_MS, 14 * DAY_MS)
    return start - start % _HALF_HOUR_MS


def _is_booked_by_link(conversation_id: int) -> bool:
    return conversation_id % _LINK_MEETING_EVERY == 0


def _optional_fields(rng: random.Random) -> Row:
    fields: Row = {}
    if rng.choice([True, False]):
        url = f"https://meet.example/{rng.randrange(10**9)}"
        fields |= {"conferenceType": "ZOOM", "conferenceDetails": {"join_url": url}}
    if rng.choice([True, False]):
        fields |= {"endUserTimeZone": "Europe/Paris", "meetingNotes": "<p>Bring numbers.</p>"}
    if rng.choice([True, False]):
        fields |= {"isRecurring": False, "isPrivate": rng.choice([True, False])}
    return fields
