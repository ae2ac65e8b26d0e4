"""Streams: declarations of what is read from which endpoint."""

from tap_drift.streams.accounts import AccountsStream
from tap_drift.streams.attachments import AttachmentsStream
from tap_drift.streams.base import DriftStream
from tap_drift.streams.contacts import ContactsStream
from tap_drift.streams.conversation_children import (
    ConversationDetailsStream,
    MessagesStream,
    TranscriptsStream,
)
from tap_drift.streams.conversations import ConversationsStream
from tap_drift.streams.failed_items import FailedItemsStream
from tap_drift.streams.people import (
    ContactAttributesStream,
    MeetingsStream,
    TeamsStream,
    UsersStream,
)
from tap_drift.streams.playbooks import LandingPagesStream, PlaybooksStream
from tap_drift.streams.stats import ConversationStatsStream

STREAMS: tuple[type[DriftStream], ...] = (
    ConversationsStream,
    ConversationDetailsStream,
    MessagesStream,
    AttachmentsStream,
    TranscriptsStream,
    ContactsStream,
    ContactAttributesStream,
    AccountsStream,
    UsersStream,
    TeamsStream,
    MeetingsStream,
    PlaybooksStream,
    LandingPagesStream,
    ConversationStatsStream,
    FailedItemsStream,
)
"""All streams, in the order of the catalog."""
