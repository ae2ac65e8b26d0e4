"""Streams with a request for each conversation: details, messages, transcripts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from typing_extensions import override

from tap_drift.api.responses import parse_messages, parse_object, parse_text
from tap_drift.streams.contacts import ContactsStream
from tap_drift.streams.conversations import ConversationsStream
from tap_drift.streams.items import FetchResult, Item
from tap_drift.streams.per_conversation import PerConversationStream

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

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
    primary_keys = ("id",)
    first_params: ClassVar[dict[str, Any]] = {"next": ""}
    parse = staticmethod(parse_messages)

    @override
    def task(self, record: Record, item: Item) -> Callable[[], FetchResult]:
        return partial(self._fetch_with_authors, item.context, record.get("contactId"))

    @override
    def result(self, rows: list[Row], context: dict[str, Any], size: int) -> FetchResult:
        attachments, authors = attachments_of(rows), contacts_of(rows)  # as Drift sent them
        result = super().result(rows, context, size)
        return replace(result, attachments=attachments, authors=authors)

    @override
    def on_result(self, result: FetchResult) -> None:
        for item, future in result.contacts:
            cast("ContactsStream", self._contacts).write_author(item, future)

    @override
    def on_discarded(self, future: Future[FetchResult]) -> None:
        # This run does not request the contacts of authors again: `contacts` would lack them.
        if not future.cancel() and future.exception() is None:
            self.on_result(future.result())

    @property
    def _contacts(self) -> ContactsStream | None:
        """The stream of contacts, if it is selected."""
        contacts = cast("ContactsStream | None", self._tap.streams.get(ContactsStream.name))
        return contacts if contacts and contacts.selected else None

    def _fetch_with_authors(self, context: dict[str, Any], contact: object) -> FetchResult:
        """Request a conversation's messages, and their authors but for the conversation's contact.

        `contacts` requests that one by itself, at the same time.
        """
        result, contacts = self.fetch(context), self._contacts
        if contacts is None:
            return result
        return replace(result, contacts=contacts.fetch_authors(result.authors - {contact}))


class TranscriptsStream(ConversationChildStream):
    """The conversation as one text: `GET /conversations/{id}/transcript`."""

    name = "transcripts"
    path = "/conversations/{conversationId}/transcript"
    primary_keys = ("conversationId",)
    parse = staticmethod(parse_text)


def attachments_of(messages: list[Row]) -> list[Row]:
    """Return the attachments of messages, each with the id of its message."""
    return [
        {**attachment, "messageId": message.get("id")}
        for message in messages
        if isinstance(attachments := message.get("attachments"), list)
        for attachment in attachments
        if isinstance(attachment, dict)
    ]


def contacts_of(messages: list[Row]) -> set[int]:
    """Return the ids of the contacts that are authors of messages."""
    authors = (message.get("author") for message in messages)
    ids = (a.get("id") for a in authors if isinstance(a, dict) and a.get("type") == "contact")
    return {number for number in ids if type(number) is int}
