"""Reads what Drift has now by running the tap into the store."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from singer_sdk.configuration._dict_config import parse_environment_config

from tap_drift.exceptions import StreamsFailedError
from tap_drift.settings import SETTINGS
from tap_drift.streams.attachments import AttachmentsStream
from tap_drift.streams.contacts import ContactsStream
from tap_drift.streams.conversation_children import (
    ConversationChildStream,
    ConversationDetailsStream,
)
from tap_drift.streams.conversations import ConversationsStream
from tap_drift.streams.per_conversation import PerConversationStream
from tap_drift.sync.shards import BY_CONTACT, Shard
from tap_drift.tap import TapDrift
from tap_drift.timestamps import format_timestamp
from tap_drift.verify.item_reader import ItemReader
from tap_drift.verify.recorder import Recorder
from tap_drift.verify.status_counts import StatusCounter, StatusCounts
from tap_drift.verify.store import Side

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from tap_drift.verify.item_reader import Request
    from tap_drift.verify.store import Store

# Conversations of extracted records that the listing did not return.
_UNLISTED_CONVERSATIONS = """
SELECT DISTINCT conversation_id FROM record AS extracted
WHERE side = 0 AND conversation_id IS NOT NULL AND stream <> 'meetings' AND NOT EXISTS (
    SELECT 1 FROM record
    WHERE side = 1 AND stream = 'conversations'
        AND key = CAST(extracted.conversation_id AS TEXT)
)
"""
# Contacts that were extracted or are referred to, and that nothing in Drift refers to.
_UNREQUESTED_CONTACTS = """
SELECT key FROM (
    SELECT key FROM record WHERE side = 0 AND stream = 'contacts'
    UNION SELECT key FROM reference WHERE side = 0 AND stream = 'contacts'
) WHERE key NOT IN (SELECT key FROM reference WHERE side = 1 AND stream = 'contacts')
"""
# Contacts of messages that the sync did not request, because it did not request the messages.
_UNREAD_AUTHORS = """
SELECT key FROM reference WHERE side = 1 AND stream = 'contacts'
AND key NOT IN (SELECT key FROM record WHERE side = 1 AND stream = 'contacts')
AND key NOT IN (
    SELECT CAST(contact_id AS TEXT) FROM record
    WHERE side = 1 AND stream = 'conversations' AND contact_id IS NOT NULL
)
"""

_IGNORED_SETTINGS = {
    "attachments_path",  # the tap would download all files again
    "batch_config",  # the tap would write its records to files instead of the recorder
    "flattening_enabled",  # columns of flattened objects are compared with the objects
    "nested_as_json",  # JSON text is compared with what it means
}
"""Settings that are not used to read Drift."""

_CONTACT_OF = """
SELECT contact_id FROM record
WHERE side = 1 AND stream = 'conversations' AND key = :key AND contact_id IS NOT NULL
"""
_CONVERSATIONS_PER_BATCH = 100


class SourceReader:
    """Reads the records that Drift has now.

    Args:
        on_progress: Called with the number of records so far.
        env: Whether environment variables provide settings as well.

    Raises:
        ConfigValidationError: If the settings are invalid.
    """

    def __init__(
        self, config: dict[str, Any], store: Store, on_progress: Callable[[int], None], *, env: bool
    ) -> None:
        if env:
            config = config | _settings_in_environment()
        config = {name: value for name, value in config.items() if name not in _IGNORED_SETTINGS}
        self._tap = TapDrift(
            config=config, parse_env_config=False, message_writer=Recorder(store, on_progress)
        )
        self._store = store
        self._items = ItemReader(self._tap, store)
        self._counter = StatusCounter(self._tap)
        settings = self._tap.config
        store.is_filtered = bool(settings.get("statuses") or settings.get("start_date"))

    @property
    def failed_streams(self) -> set[str]:
        """Names of the streams that could not be read."""
        return self._items.failed_streams

    @property
    def lookback(self) -> timedelta:
        """The longest delay with which a change appears in Drift's listings."""
        return timedelta(seconds=int(self._tap.config["lookback_seconds"]))

    @property
    def unread_items(self) -> dict[str, int]:
        """The number of items that could not be read, for each stream that has some."""
        streams = self._tap.drift_streams
        counts = self._items.unread + Counter(
            {
                stream.name: len(stream.failed_items) + stream.unnamed_failures
                for stream in streams
                if isinstance(stream, PerConversationStream)
            }
        )
        return dict(counts)

    @property
    def request_count(self) -> int:
        """The number of requests sent so far."""
        return sum(self._tap.client.request_counts.values())

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the tap that are not secret."""
        properties = SETTINGS.to_dict()["properties"]
        return {
            name: value
            for name, value in self._tap.config.items()
            if name in properties and not properties[name].get("secret")
        }

    def refusals(self) -> list[dict[str, Any]]:
        """List what Drift refused: streams, and single items with their id."""
        found: list[dict[str, Any]] = []
        for stream in self._tap.drift_streams:
            if stream.failure:
                found.append({"stream": stream.name, "reason": str(stream.failure)})
            if isinstance(stream, PerConversationStream):
                found += [
                    {
                        "stream": stream.name,
                        "id": item.id,
                        "reason": item.reason,
                        "httpStatus": item.status,
                        "requestedAt": item.last_failed_at,
                    }
                    for item in stream.failed_items
                ]
        return found + self._items.refusals

    def read(
        self,
        names: Collection[str],
        children_of: Callable[[], Iterable[int]] | None = None,
        *,
        is_sample: bool = False,
    ) -> StatusCounts | None:
        """Read streams into the store.

        Args:
            names: The streams to read. Conversations are read as well for their child streams.
            children_of: Returns the conversations whose child records are read, when the listing
                has been read; None for all.
            is_sample: Whether only these conversations, and their contacts, are compared.

        Returns:
            Drift's counts of conversations; None if they do not apply to these streams or settings,
            or cannot be read.

        Raises:
            StreamsFailedError: If conversations, or all streams, could not be read.
        """
        for stream in self._tap.drift_streams:
            stream.selected = stream.name in names
            if children_of and isinstance(stream, PerConversationStream):
                # Contacts have no update time: they are always read, except in a sample.
                stream.selected &= stream.name == ContactsStream.name and not is_sample
        listed = {each.name for each in self._tap.drift_streams if _uses_listing(each)}
        if not listed & {*names}:
            self._sync()
            return None
        # Comparing a child's record requires the conversation's last update.
        self._tap.streams[ConversationsStream.name].selected = True
        counts = self._sync_and_count()
        if children_of is not None:
            self._read_children(names, children_of(), with_contacts=is_sample)
        extracted = set(names) - self.failed_streams
        if ContactsStream.name in extracted:
            if children_of is not None and not is_sample:
                self._read_authors()
            self._probe_contacts()
        self._probe_conversations([] if is_sample else extracted)
        return counts

    def _sync(self) -> None:
        try:
            self._tap.sync_all()
        except StreamsFailedError:
            streams = self._tap.drift_streams
            self._items.failed_streams.update(each.name for each in streams if each.failure)
            selected = {each.name for each in streams if each.selected}
            is_all = self.failed_streams >= selected
            if is_all or ConversationsStream.name in self.failed_streams:
                raise

    def _sync_and_count(self) -> StatusCounts | None:
        started_at = datetime.now(UTC)
        before = self._counter.fetch()
        self._sync()
        after = self._counter.fetch()
        listed = self._store.count_by_status(Side.SOURCE)
        if not before:
            return None
        since = format_timestamp(started_at - self.lookback)
        return StatusCounts(before, after, listed, self._counter.updated_since(since))

    def _read_children(
        self, names: Collection[str], ids: Iterable[int], *, with_contacts: bool
    ) -> None:
        """Read the child records of some conversations, and their contacts."""
        children = self._children(names)
        contacts: set[int] = set()
        for batch in _batches(ids, _CONVERSATIONS_PER_BATCH):
            context = [{"conversationId": each} for each in batch]
            requests: list[Request] = [
                (type(child), child.name, each) for each in context for child in children
            ]
            if with_contacts and ContactsStream.name in names:
                new = {*self._contacts_of(batch)} - contacts
                contacts |= new
                requests += [
                    (ContactsStream, ContactsStream.name, {"contactId": each})
                    for each in sorted(new)
                ]
            self._items.read_all(requests)

    def _contacts_of(self, ids: list[int]) -> Iterator[int]:
        for each in ids:
            for (contact,) in self._store.execute(_CONTACT_OF, key=str(each)):
                yield contact

    def _children(self, names: Collection[str]) -> list[ConversationChildStream]:
        children = [
            stream
            for stream in self._tap.drift_streams
            if stream.name in names and isinstance(stream, ConversationChildStream)
        ]
        # Attachments are read from messages that have been requested before them.
        return sorted(children, key=lambda each: each.name == AttachmentsStream.name)

    def _read_authors(self) -> None:
        """Request the authors of messages: the sync does so only if it requests the messages."""
        shard = Shard.from_config(self._tap.config, BY_CONTACT)
        contacts = [int(key) for (key,) in self._store.execute(_UNREAD_AUTHORS)]
        self._items.read_all(
            [
                (ContactsStream, ContactsStream.name, {"contactId": each})
                for each in contacts
                if shard.contains(each)
            ]
        )

    def _probe_contacts(self) -> None:
        """Request single contacts that the sync did not request.

        They are not compared, so those that cannot be read count as those that do not exist.
        """
        unread = self._items.unread[ContactsStream.name]
        for (key,) in self._store.execute(_UNREQUESTED_CONTACTS).fetchall():
            self._items.read(ContactsStream, ContactsStream.name, {"contactId": int(key)})
        self._items.unread[ContactsStream.name] = unread

    def _probe_conversations(self, names: Collection[str]) -> None:
        """Request single conversations that the sync did not return, with their child records.

        An update during the sync moves a conversation out of reach, and a new status can exclude it
        from the listing. Only a request for the conversation itself shows whether it is deleted.
        """
        children = self._children(names)
        for (conversation_id,) in self._store.execute(_UNLISTED_CONVERSATIONS).fetchall():
            context = {"conversationId": conversation_id}
            self._items.read(ConversationDetailsStream, ConversationsStream.name, context)
            for child in children:
                self._items.read(type(child), child.name, context)


def _batches(ids: Iterable[int], size: int) -> Iterator[list[int]]:
    remaining = iter(ids)
    while batch := [*islice(remaining, size)]:
        yield batch


def _settings_in_environment() -> dict[str, Any]:
    schema = deepcopy(TapDrift.config_jsonschema)
    TapDrift.append_builtin_config(schema)
    return parse_environment_config(schema, "TAP_DRIFT_")


def _uses_listing(stream: object) -> bool:
    return isinstance(stream, (ConversationsStream, ConversationChildStream, ContactsStream))
