"""A conversation as its page shows it: people, messages with their edits, attachments."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

import msgspec

from drift_archive.database import MAX_INTEGER
from drift_archive.text import plain_text
from drift_archive.views import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

Row = dict[str, Any]
T = TypeVar("T")

CHAT = "chat"
EDIT = "edit"
PRIVATE_NOTE = "private_note"
_DELETE = "delete"
_PREVIEW_LENGTH = 140


@dataclass(frozen=True)
class Person:
    """A contact, a user or a bot.

    Attributes:
        stream: `contacts` or `users`.
        id: Drift's id; None if it is unknown.
        name: Name, email address or id.
        email: Email address; may be empty.
        bot: Whether it is a bot.
    """

    stream: str
    id: int | None
    name: str
    email: str = ""
    bot: bool = False

    @property
    def role(self) -> str:
        """What the page calls the person."""
        if self.stream == "contacts":
            return "contact"
        return "bot" if self.bot else "agent"


@dataclass
class Message:
    """A message. `body` and `buttons` are those after all edits.

    Attributes:
        edits: The messages that changed it, oldest first, each with the body that it replaced.
        deleted: The message that deleted it.
    """

    id: int
    type: str
    at: str | None
    author: Person
    body: str | None
    buttons: list[Row]
    attachments: list[Row]
    context: Row
    edited_id: int | None = None
    edit_type: str | None = None
    edits: list[tuple[Message, str | None]] = field(default_factory=list)
    deleted: Message | None = None


@dataclass
class Conversation:
    """What is known about a conversation."""

    id: int
    status: str | None
    inbox: int | None
    created: str | None
    updated: str | None
    contact: Person | None
    contact_attributes: Row
    participants: list[Person]
    tags: list[Row]
    playbook: str | None
    messages: list[Message]
    meetings: list[Row]
    transcript: str | None
    failures: list[Row]
    people: set[tuple[str, int]]
    """Stream and id of the people that the page names."""

    @property
    def agents(self) -> list[Person]:
        """The users who take part or write, without bots."""
        writers = [message.author for message in self.messages]
        people = {person.id: person for person in [*self.participants, *writers]}
        return [each for each in people.values() if each.role == "agent" and each.id is not None]

    @property
    def preview(self) -> str:
        """The beginning of the first message of the contact, or of anyone."""
        chats = [each for each in self.messages if each.type == CHAT and each.body]
        first = next((each for each in chats if each.author.role == "contact"), None)
        body = (first or chats[0]).body if chats else None
        return plain_text(body or "")[:_PREVIEW_LENGTH]

    @property
    def first_response_seconds(self) -> int | None:
        """Seconds from the contact's first message to the next one of an agent."""
        chats = [each for each in self.messages if each.type == CHAT and each.at]
        asked = next((each.at for each in chats if each.author.role == "contact"), None)
        if asked is None:
            return None
        answers = (each.at for each in chats if each.author.role == "agent")
        answered = next((at for at in answers if at and at >= asked), None)
        return _seconds(asked, answered) if answered else None


class ConversationReader:
    """Reads conversations from the views of `drift_archive.views`."""

    def __init__(self, connection: sa.Connection) -> None:
        # Without SQLAlchemy's results: a page costs about ten queries.
        self._cursor = connection.connection.cursor()

    def read(self, conversation_id: int) -> Conversation:
        """Read a conversation. What was not extracted is missing."""
        details = self._row("conversation_details", "id", conversation_id)
        listed = self._row("conversations", "id", conversation_id)
        row = details | {name: value for name, value in listed.items() if value is not None}
        people = _People(self)
        contact_id = row.get("contactId")
        contact = people.person("contacts", contact_id) if contact_id is not None else None
        attributes = _json(self._row("contacts", "id", contact_id).get("attributes"), dict)
        messages = self._messages(conversation_id, people)
        playbook_id = row.get("relatedPlaybookId")
        return Conversation(
            id=conversation_id,
            status=row.get("status"),
            inbox=row.get("inboxId"),
            created=row.get("createdAt") or (messages[0].at if messages else None),
            updated=row.get("updatedAt"),
            contact=contact,
            contact_attributes=attributes,
            participants=[
                people.person("users", each)
                for each in _json(row.get("participants"), list)
                if _is_id(each)
            ],
            tags=_objects(row.get("conversationTags")),
            playbook=people.playbook(playbook_id) if playbook_id is not None else None,
            messages=apply_edits(messages),
            meetings=[
                meeting | {"agent": people.person("users", meeting["agentId"])}
                for meeting in self.rows("meetings", "conversationId", conversation_id)
            ],
            transcript=None
            if messages
            else self._row("transcripts", "conversationId", conversation_id).get("transcript"),
            failures=[
                row
                for row in self.rows("failed_items", "id", conversation_id)
                if row["stream"] != "contacts" and not row["resolvedAt"]
            ],
            people=people.named,
        )

    def user(self, identifier: int) -> Person:
        """Return a user."""
        return _People(self).person("users", identifier)

    def rows(self, stream: str, column: str, value: object, order: str = "") -> list[Row]:
        """Return the rows of a stream with a value in a column."""
        self._cursor.execute(
            f'SELECT * FROM page_{stream} WHERE "{column}" = ?{order}',  # noqa: S608 - constants
            (value,),
        )
        names = COLUMNS[stream]
        return [dict(zip(names, row, strict=True)) for row in self._cursor.fetchall()]

    def _row(self, stream: str, column: str, value: object) -> Row:
        rows = self.rows(stream, column, value) if value is not None else []
        return rows[0] if rows else {}

    def _messages(self, conversation_id: int, people: _People) -> list[Message]:
        files: dict[int, list[Row]] = {}
        for file in self.rows("attachments", "conversationId", conversation_id):
            files.setdefault(file["messageId"], []).append(file)
        rows = self.rows(
            "messages", "conversationId", conversation_id, ' ORDER BY "createdAt", "id"'
        )
        return [_message(row, people, files.get(row["id"], [])) for row in rows]


class _People:
    """Names of people, each read once per conversation."""

    def __init__(self, reader: ConversationReader) -> None:
        self._reader = reader
        self._known: dict[tuple[str, int], Person] = {}
        self.named: set[tuple[str, int]] = set()

    def person(self, stream: str, identifier: object, *, bot: bool = False) -> Person:
        """Return a contact or user."""
        if not _is_id(identifier):
            unknown = "Unknown contact" if stream == "contacts" else "Unknown user"
            return Person(stream, None, unknown, bot=bot)
        key = (stream, identifier)
        if key not in self._known:
            self._known[key] = self._read(stream, identifier, bot=bot)
        return self._known[key]

    def playbook(self, identifier: int) -> str:
        """Return the name of a playbook."""
        self.named.add(("playbooks", identifier))
        rows = self._reader.rows("playbooks", "id", identifier)
        return str(rows[0]["name"]) if rows and rows[0]["name"] else f"Playbook {identifier}"

    def _read(self, stream: str, identifier: int, *, bot: bool) -> Person:
        kind = "Contact" if stream == "contacts" else "User"
        self.named.add((stream, identifier))
        rows = self._reader.rows(stream, "id", identifier)
        row = rows[0] if rows else {}
        known = _json(row.get("attributes"), dict) if stream == "contacts" else row
        names = [known.get(name) for name in ("name", "alias", "email")]
        texts = [name for name in names if isinstance(name, str) and name.strip()]
        name = texts[0] if texts else f"{kind} {identifier}"
        email = known.get("email")
        return Person(
            stream,
            identifier,
            name,
            email if isinstance(email, str) else "",
            bot=bool(row.get("bot")) or bot,
        )


def apply_edits(messages: Sequence[Message]) -> list[Message]:
    """Return the messages after their edits.

    An edit of a message that is not there stays a message of its own.
    """
    by_id = {message.id: message for message in messages if message.type != EDIT}
    remaining = []
    for message in messages:
        edited = by_id.get(message.edited_id) if message.edited_id is not None else None
        if message.type == EDIT and edited is not None:
            _apply_edit(edited, message)
        else:
            remaining.append(message)
    return remaining


def _apply_edit(message: Message, edit: Message) -> None:
    if edit.edit_type == _DELETE:
        message.deleted = edit
        return
    message.edits.append((edit, message.body))
    if edit.body is not None:
        message.body = edit.body
    if edit.buttons or edit.edit_type == "replace_buttons":
        message.buttons = edit.buttons


def _message(row: Row, people: _People, files: list[Row]) -> Message:
    author = _json(row["author"], dict)
    stream = "contacts" if author.get("type") == "contact" else "users"
    return Message(
        id=row["id"],
        type=str(row["type"] or CHAT),
        at=row["createdAt"] if isinstance(row["createdAt"], str) else None,
        author=people.person(stream, author.get("id"), bot=bool(author.get("bot"))),
        body=row["body"] if isinstance(row["body"], str) else None,
        buttons=_objects(row["buttons"]),
        attachments=_attachments(_objects(row["attachments"]), files),
        context=_json(row["context"], dict),
        edited_id=row["editedMessageId"],
        edit_type=row["editType"],
    )


def _attachments(listed: list[Row], files: list[Row]) -> list[Row]:
    """Combine what the message says about its attachments with the rows of `attachments`."""
    by_id = {str(file["id"]): file for file in files}
    combined = [each | by_id.pop(str(each.get("id")), {}) for each in listed]
    return [*combined, *by_id.values()]


def _json(text: object, kind: type[T]) -> T:
    """Return stored JSON if it is of a type, otherwise an empty value of that type."""
    try:
        value = msgspec.json.decode(text) if isinstance(text, str) else None
    except msgspec.DecodeError:
        value = None
    return value if isinstance(value, kind) else kind()


def _objects(text: object) -> list[Row]:
    return [each for each in _json(text, list) if isinstance(each, dict)]


def _is_id(value: object) -> TypeGuard[int]:
    """Whether a value is a 64-bit integer, as all ids are."""
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return -MAX_INTEGER <= value < MAX_INTEGER


def _seconds(start: str, end: str) -> int | None:
    try:
        return int((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
    except (ValueError, TypeError):
        return None
