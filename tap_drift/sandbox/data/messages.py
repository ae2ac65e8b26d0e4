"""What is said in a conversation, made when it is asked for."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tap_drift.sandbox.data.details import participants
from tap_drift.sandbox.data.seeds import ORG, Row, chance

if TYPE_CHECKING:
    import random

    from tap_drift.sandbox.data.conversations import Conversation

# How many messages conversations have, and how many of 1,000 conversations have so many.
_LENGTHS = {
    (0, 0): 60,
    (1, 1): 40,
    (2, 12): 800,
    (13, 50): 90,
    (51, 100): 8.5,
    (101, 260): 1.5,
}
_CONTACT_SAYS = [
    "<p>Hi! Does this work with our calendar?</p>",
    "<p>What does it cost for <b>20</b> people?</p>",
    "<p>Thanks, that helps &amp; is quick \N{SMILING FACE WITH OPEN MOUTH AND SMILING EYES}</p>",
    "<p>Is there a <i>trial</i>?<br>We would begin in May.</p>",
    "<p>Gr\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{LATIN SMALL LETTER SHARP S}e aus Bremen!</p>",
]
_USER_SAYS = [
    "<p>Good question, let me look.</p>",
    '<p>It is on <a href="https://acme.example/pricing">this page</a>.</p>',
    "<p>Shall we talk tomorrow?</p>",
    "<p>You are welcome. Have a nice day!</p>",
]
_BOT_SAYS = ["<p>Hello! What brings you here?</p>", "<p>Somebody will be with you soon.</p>"]
_BUTTON = {
    "label": "Talk to a person",
    "value": "person",
    "type": "reply",
    "style": "primary",
    "reaction": {"type": "replace", "message": "<p>A person is on the way.</p>"},
}
_CITIES = [
    {"city": "Boston", "country": "US", "latitude": 42.36, "longitude": -71.06},
    {"city": "Lyon", "country": "FR", "latitude": 45.76, "longitude": 4.84},
    {"city": "Oslo", "country": "NO", "latitude": 59.91, "longitude": 10.75},
]
_PAGES = ["", "pricing", "demo"]


def messages(seed: int, conversation: Conversation, ended: int, users: list[Row]) -> list[Row]:
    """Make a conversation's messages, as `GET /conversations/{id}/messages` gives them.

    Args:
        seed: The account's.
        conversation: Only its id, its contact and `createdAt` count: its messages stay the same
            when it changes.
        ended: When the last may have been written, epoch milliseconds.
        users: The account's users; those who take part, and the bots, write.

    Returns:
        The messages, oldest first.
    """
    luck = chance(seed, "messages", conversation["id"])
    number = luck.randint(*luck.choices(list(_LENGTHS), list(_LENGTHS.values()))[0])
    bot = luck.choice([user["id"] for user in users if user["bot"]])
    authors = _authors(conversation, participants(seed, conversation["id"], users), bot)
    begun = conversation["createdAt"]
    pace = max(ended - begun, 0) / max(number, 1)
    said: list[Row] = []
    for index in range(number):
        author = authors[0] if index == 0 else luck.choice(authors)
        at = begun + int(pace * (index + luck.random())) if index else begun
        message = {
            "id": _message_id(at, conversation["id"], index),
            "orgId": ORG,
            "author": author,
            "type": "chat",
            "conversationId": conversation["id"],
            "createdAt": at,
        }
        said.append(message | _content(luck, author, said))
    return said


def transcript(messages: list[Row], users: list[Row]) -> str:
    """Write down what was said, as `GET /conversations/{id}/transcript` does.

    Args:
        messages: The messages, oldest first.
        users: The account's users, for their names.

    Returns:
        A line for each message that the visitor could read.
    """
    names = {user["id"]: user["name"] for user in users}
    return "".join(
        f"{datetime.fromtimestamp(message['createdAt'] // 1000, UTC):%Y-%m-%d %H:%M:%S} "
        f"{names.get(message['author']['id'], 'Visitor')}: {_plain(message['body'])}\n"
        for message in messages
        if message["type"] == "chat" and "body" in message
    )


def _authors(conversation: Conversation, users: list[int], bot: int) -> list[Row]:
    """Who writes: the visitor first, if Drift knows who that is."""
    contact = conversation.get("contactId")
    visitor = [{"type": "contact", "id": contact, "bot": False}] if contact else []
    staff = [{"type": "user", "id": user, "bot": False} for user in users]
    return [*visitor, *staff, {"type": "user", "id": bot, "bot": True}]


def _message_id(at: int, conversation_id: int, index: int) -> int:
    """Number messages by time over the whole account without a list of them all, in 64 bits."""
    return at << 22 | (conversation_id & 0x1FFF) << 9 | index


def _content(luck: random.Random, author: Row, before: list[Row]) -> Row:
    if author["type"] == "contact":
        return _from_contact(luck, first=not before)
    if author["bot"]:
        return {"body": luck.choice(_BOT_SAYS)} | luck.choice([{}, {"buttons": [_BUTTON]}])
    own = [m["id"] for m in before if m["author"] == author and m["type"] == "chat"]
    kind = luck.choices(["chat", "private_note", "edit"], [85, 10, 5])[0]
    if kind == "edit" and own:
        return _edit(luck, luck.choice(own))
    return {"body": luck.choice(_USER_SAYS), "type": "chat" if kind == "edit" else kind}


def _edit(luck: random.Random, message_id: int) -> Row:
    edit: Row = {"type": "edit", "editedMessageId": message_id}
    if luck.choice([True, False]):
        return edit | {"editType": "delete"}
    return edit | {"editType": "replace", "body": luck.choice(_USER_SAYS)}


def _from_contact(luck: random.Random, *, first: bool) -> Row:
    said: Row = {"body": luck.choice(_CONTACT_SAYS)}
    if first:
        said["context"] = _context(luck)
    if luck.randrange(8) == 0:
        said["attributes"] = {"ticketId": luck.randrange(10_000), "TicketID": "none"}
    if luck.randrange(25) == 0:
        said["attachments"] = [_attachment(luck.randrange(10**9))]
        del said["body"]
    return said


def _context(luck: random.Random) -> Row:
    page = luck.choice(_PAGES)
    context: dict[str, Any] = {
        "ip": f"203.0.113.{luck.randrange(256)}",
        "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "href": f"https://acme.example/{page}",
        "title": f"Acme {page}",
        "locale": luck.choice(["en-US", "fr-FR"]),
        "location": luck.choice(_CITIES),
    }
    if luck.choice([True, False]):
        context["referrer"] = "https://search.example/"
    return context


def _attachment(attachment_id: int) -> Row:
    return {
        "id": attachment_id,
        "fileName": "screen.png",
        "mimeType": "image/png",
        "url": f"https://driftapi.com/attachments/{attachment_id}/data",
    }


def _plain(body: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", body)).strip()
