"""What is asked once for each conversation: details, messages, transcript, contact."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_drift.api.responses import parse_messages, parse_object, parse_text
from tap_drift.streams.conversations import ConversationsStream
from tap_drift.streams.per_conversation import PerConversationStream
from tap_drift.sync.dedupe import DiskBackedSet

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Record

    from tap_drift.api.responses import Row


class ConversationChildStream(PerConversationStream):
    """A stream whose rows belong to one conversation, and carry its id."""

    parent_stream_type = ConversationsStream
    scope = "conversation_read"

    @override
    def context_of(self, record: Record) -> dict[str, Any]:
        return {"conversationId": record["id"]}

    @override
    def completed(self, row: Row, context: dict[str, Any]) -> Row:
        return row | context


class ConversationDetailsStream(ConversationChildStream):
    """The participants, the playbook and the tags of each: `GET /conversations/{id}`."""

    name = "conversation_details"
    path = "/conversations/{conversationId}"
    primary_keys = ("id",)
    read = staticmethod(parse_object)

    @override
    def completed(self, row: Row, context: dict[str, Any]) -> Row:
        playbook = row.get("relatedPlaybookId")
        if isinstance(playbook, str) and playbook.isdecimal():
            row["relatedPlaybookId"] = int(playbook)  # Drift writes it either way
        return super().completed(row, context)


class MessagesStream(ConversationChildStream):
    """Every message, oldest first: `GET /conversations/{id}/messages`, 50 on a page."""

    name = "messages"
    path = "/conversations/{conversationId}/messages"
    primary_keys = ("id",)
    first_params: ClassVar[dict[str, Any]] = {"next": ""}
    read = staticmethod(parse_messages)


class TranscriptsStream(ConversationChildStream):
    """The whole conversation as one text: `GET /conversations/{id}/transcript`."""

    name = "transcripts"
    path = "/conversations/{conversationId}/transcript"
    primary_keys = ("conversationId",)
    read = staticmethod(parse_text)


class ContactsStream(PerConversationStream):
    """Every contact met in a run, once: `GET /contacts/{id}`. Drift has no list of them."""

    name = "contacts"
    path = "/contacts/{contactId}"
    primary_keys = ("id",)
    parent_stream_type = ConversationsStream
    scope = "contact_read"
    read = staticmethod(parse_object)

    @cached_property
    def _met(self) -> DiskBackedSet:
        return DiskBackedSet()

    @override
    def context_of(self, record: Record) -> dict[str, Any] | None:
        contact = record.get("contactId")
        if contact is None or not self._met.is_new(contact):
            return None
        return {"contactId": contact}

    @override
    def forget(self, records: list[Record]) -> None:
        # The conversations to come, which name the same contact, will not ask for it again.
        for record in records:
            self.write(record["id"])
