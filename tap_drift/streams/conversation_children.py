"""Streams with a request for each conversation: details, messages, transcripts, contacts."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_drift.api.responses import parse_messages, parse_object, parse_text
from tap_drift.exceptions import ItemFailedError
from tap_drift.streams.conversations import ConversationsStream
from tap_drift.streams.per_conversation import FetchResult, Item, PerConversationStream
from tap_drift.sync.dedupe import DiskBackedSet
from tap_drift.sync.shards import BY_CONTACT

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Context, Record

    from tap_drift.api.responses import Row


class ConversationChildStream(PerConversationStream):
    """A stream whose rows belong to one conversation, and get its id."""

    parent_stream_type = ConversationsStream
    scope = "conversation_read"

    @override
    def item_of(self, record: Record) -> Item:
        return self.item(record["id"])

    @override
    def item(self, item_id: int) -> Item:
        return Item(item_id, {"conversationId": item_id})

    @override
    def post_process(self, row: Record, context: Context | None = None) -> Record | None:
        return row | dict(context or {})


class ConversationDetailsStream(ConversationChildStream):
    """Participants, playbook and tags of each conversation: `GET /conversations/{id}`."""

    name = "conversation_details"
    path = "/conversations/{conversationId}"
    primary_keys = ("id",)
    parse = staticmethod(parse_object)

    @override
    def post_process(self, row: Record, context: Context | None = None) -> Record | None:
        playbook = row.get("relatedPlaybookId")
        if isinstance(playbook, str) and playbook.isdecimal():
            row["relatedPlaybookId"] = int(playbook)  # Drift sends a number or a string
        return super().post_process(row, context)


class MessagesStream(ConversationChildStream):
    """Messages, oldest first: `GET /conversations/{id}/messages`, 50 per page."""

    name = "messages"
    path = "/conversations/{conversationId}/messages"
    primary_keys: ClassVar[tuple[str, ...]] = ("id",)
    first_params: ClassVar[dict[str, Any]] = {"next": ""}
    parse = staticmethod(parse_messages)

    @override
    def result(self, rows: list[Row], context: dict[str, Any], size: int) -> FetchResult:
        attachments = attachments_of(rows)  # as Drift sent them
        return replace(super().result(rows, context, size), attachments=attachments)


class TranscriptsStream(ConversationChildStream):
    """The conversation as one text: `GET /conversations/{id}/transcript`."""

    name = "transcripts"
    path = "/conversations/{conversationId}/transcript"
    primary_keys = ("conversationId",)
    parse = staticmethod(parse_text)


class ContactsStream(PerConversationStream):
    """Each contact of the listed conversations, once per run: `GET /contacts/{id}`.

    Drift has no list of contacts. A shard reads its own contacts, whichever shard has their
    conversations: in a database that several shards load at once, each row has one writer.
    """

    name = "contacts"
    path = "/contacts/{contactId}"
    primary_keys = ("id",)
    parent_stream_type = ConversationsStream
    scope = "contact_read"
    shared_by = BY_CONTACT
    parse = staticmethod(parse_object)

    @cached_property
    def _requested_ids(self) -> DiskBackedSet:
        return DiskBackedSet()

    @override
    def item_of(self, record: Record) -> Item | None:
        contact = record.get("contactId")
        if contact is None:
            return None
        if type(contact) is not int:  # it becomes a part of the path
            raise ItemFailedError(f"`contactId` of conversation {record['id']} is not an integer.")
        return self.item(contact) if self._requested_ids.add(contact) else None

    @override
    def item(self, item_id: int) -> Item:
        return Item(item_id, {"contactId": item_id})


def attachments_of(messages: list[Row]) -> list[Row]:
    """Return the attachments of messages, each with the id of its message."""
    return [
        {**attachment, "messageId": message.get("id")}
        for message in messages
        if isinstance(attachments := message.get("attachments"), list)
        for attachment in attachments
        if isinstance(attachment, dict)
    ]
