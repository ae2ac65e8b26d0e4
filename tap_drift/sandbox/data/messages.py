"""Messages and transcripts of conversations."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tap_drift.sandbox.data.attachments import generate_attachment
from tap_drift.sandbox.data.common import ORG_ID, Row, make_rng
from tap_drift.sandbox.data.details import participant_ids

if TYPE_CHECKING:
    import random

    from tap_drift.sandbox.data.conversations import Conversation

# Range of the number of messages: how many of 1,000 conversations are in that range.
_COUNTS = {
    (0, 0): 60,
    (1, 1): 40,
    (2, 12): 800,
    (13, 50): 90,
    (51, 100): 8.5,
    (101, 260): 1.5,
}
_CONTACT_BODIES = [
    "<p>Hi! Does this work with our calendar?</p>",
    "<p>What does it cost for <b>20</b> people?</p>",
    "<p>Thanks, that helps &amp; is quick \N{SMILING FACE WITH OPEN MOUTH AND SMILING EYES}</p>",
    "<p>Is there a <i>trial</i>?<br>We would begin in May.</p>",
    "<p>Gr\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{LATIN SMALL LETTER SHARP S}e aus Bremen!</p>",
]
_USER_BODIES = [
    "<p>Good question, let me look.</p>",
    '<p>It is on <a href="https://acme.example/pricing">this page</a>.</p>',
    "<p>Shall we talk tomorrow?</p>",
    "<p>You are welcome. Have a nice day!</p>",
]
_BOT_BODIES = ["<p>Hello! What brings you here?</p>", "<p>Somebody will be with you soon.</p>"]
_BUTTON = {
    "label": "Talk to a person",
    "value": "person",
    "type": "reply",
    "style": "primary",
    "reaction": {"type": "replace", "message": "<p>A person is on the way.</p>"},
}
_CITIES = [
    {
        "city": "Boston",
        "region": "Massachusetts",
        "country": "US",
        "countryName": "United States",
        "postalCode": "02108",
        "latitude": 42.36,
        "longitude": -71.06,
    },
    {"city": "Lyon", "country": "FR", "latitude": 45.76, "longitude": 4.84},
    {"city": "Oslo", "country": "NO", "latitude": 59.91, "longitude": 10.75},
]
_TIME_ZONES = {"Boston": "America/New_York", "Lyon": "Europe/Paris", "Oslo": "Europe/Oslo"}
_PAGES = ["", "pricing", "demo"]


def generate_messages(
    seed: int, conversation: Conversation, end: int, users: list[Row]
) -> list[Row]:
    """Generate the messages of `GET /conversations/{id}/messages`, oldest first.

    Only the conversation's id, `contactId` and `createdAt` count, so that an update does not
    change its messages. `end` is the latest time of a message in epoch milliseconds.
    """
    rng = make_rng(seed, "messages", conversation["id"])
    count = rng.randint(*rng.choices(list(_COUNTS), list(_COUNTS.values()))[0])
    bot = rng.choice([user["id"] for user in users if user["bot"]])
    authors = _authors(conversation, participant_ids(seed, conversation["id"], users), bot)
    start = conversation["createdAt"]
    interval = max(end - start, 0) / max(count, 1)
    messages: list[Row] = []
    for index in range(count):
        author = authors[0] if index == 0 else rng.choice(authors)
        created = start + int(interval * (index + rng.random())) if index else start
        message = {
            "id": _message_id(created, conversation["id"], index),
            "orgId": ORG_ID,
            "author": author,
            "type": "chat",
            "conversationId": conversation["id"],
            "createdAt": created,
        }
        messages.append(message | _content(rng, message, messages))
    return messages


def format_transcript(messages: list[Row], users: list[Row]) -> str:
    """Format chat messages as `GET /conversations/{id}/transcript` does, one line each."""
    names = {user["id"]: user["name"] for user in users}
    return "".join(
        f"{datetime.fromtimestamp(message['createdAt'] // 1000, UTC):%Y-%m-%d %H:%M:%S} "
        f"{names.get(message['author']['id'], 'Visitor')}: {_strip_html(message['body'])}\n"
        for message in messages
        if message["type"] == "chat" and "body" in message
    )


def _authors(conversation: Conversation, users: list[int], bot: int) -> list[Row]:
    """List the possible authors. The first message is by the contact, if there is one."""
    contact = conversation.get("contactId")
    visitor = [{"type": "contact", "id": contact, "bot": False}] if contact else []
    staff = [{"type": "user", "id": user, "bot": False} for user in users]
    return [*visitor, *staff, {"type": "user", "id": bot, "bot": True}]


def _message_id(created: int, conversation_id: int, index: int) -> int:
    """Build a 64-bit id that is unique in the account and grows with time."""
    return created << 22 | (conversation_id & 0x1FFF) << 9 | index


def _content(rng: random.Random, message: Row, earlier: list[Row]) -> Row:
    author = message["author"]
    if author["type"] == "contact":
        return _contact_content(rng, message, len(earlier))
    if author["bot"]:
        return {"body": rng.choice(_BOT_BODIES)} | rng.choice([{}, {"buttons": [_BUTTON]}])
    own_ids = [m["id"] for m in earlier if m["author"] == author and m["type"] == "chat"]
    kind = rng.choices(["chat", "private_note", "edit"], [85, 10, 5])[0]
    if kind == "edit" and own_ids:
        return _edit(rng, rng.choice(own_ids))
    return {"body": rng.choice(_USER_BODIES), "type": "chat" if kind == "edit" else kind}


def _edit(rng: random.Random, message_id: int) -> Row:
    edit: Row = {"type": "edit", "editedMessageId": message_id}
    if rng.choice([True, False]):
        return edit | {"editType": "delete"}
    return edit | {"editType": "replace", "body": rng.choice(_USER_BODIES)}


def _contact_content(rng: random.Random, message: Row, index: int) -> Row:
    content: Row = {"body": rng.choice(_CONTACT_BODIES)}
    if index == 0:
        content["context"] = _context(rng)
    if rng.randrange(8) == 0:
        content["attributes"] = {"ticketId": rng.randrange(10_000), "TicketID": "none"}
    if rng.randrange(25) == 0:
        content["attachments"] = [generate_attachment(rng, message["conversationId"], index)]
        del content["body"]
    return content


def _context(rng: random.Random) -> Row:
    page = rng.choice(_PAGES)
    context: dict[str, Any] = {
        "ip": f"203.0.113.{rng.randrange(256)}",
        "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "href": f"https://acme.example/{page}",
        "title": f"Acme {page}",
        "locale": rng.choice(["en-US", "fr-FR"]),
    }
    location = rng.choice(_CITIES)
    context |= {"timezone": _TIME_ZONES[str(location["city"])], "location": location}
    if rng.choice([True, False]):
        context["referrer"] = "https://search.example/"
    return context


def _strip_html(body: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", body)).strip()
